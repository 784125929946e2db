//! The target's side: connections to targets, the pool that keeps them between requests, and the leases on them.
//!
//! * [`connection`]: a connection to a target, and the pool of a shard ([`pool`]);
//! * [`sessions`]: what a shard remembers of targets that it speaks TLS to;
//! * [`draft`]: a request, before it is known who gets it;
//! * [`h1`]: the lease of a whole connection, and the request on it; [`response`]: the response on it;
//! * [`h2`]: connections of HTTP/2, which exchanges share;
//! * [`side`]: the connection once its bytes belong to a tunnel.

pub mod connection;
pub mod draft;
pub mod h1;
pub mod h2;
mod opening;
pub mod pool;
mod response;
pub mod sessions;
pub mod side;

use std::cell::RefCell;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use self::draft::Draft;
use self::h1::Lease;
use self::h2::line::{Shard, Waiting};
use self::h2::lines::Lines;
use self::h2::stream;
use self::h2::task::{self, Patience};
use self::opening::{Asked, Handshake, Opening, Step};
use self::pool::Pool;
use self::sessions::Sessions;
use crate::exchange::content::SendFault;
use crate::exchange::failure::Failure;
use crate::exchange::local::Local;
use crate::exchange::target::{self, Connected, Leased, Leases, Upstream as _};
use crate::group::address::Address;
use crate::group::target_group::{Destination, GroupOptions, Target, Way};
use crate::telemetry::counters::Counter;
use crate::time::clock::NEVER;
use crate::transport::connect::{self, Connect, Place};
use crate::transport::sending;
use crate::transport::spawn;

/// How often a connection to a target waits for something idle to give its descriptor back.
const SHORTAGES_MAX: usize = 8;

/// Makes room for another connection.
pub trait Room {
    /// Whether an error is a shortage of descriptors or memory, which others may give back.
    fn is_shortage(&self, error: &std::io::Error) -> bool;

    /// Waits until something idle has given a descriptor back; `false` when nothing did.
    fn descriptor(&self) -> Pin<Box<dyn Future<Output = bool> + '_>>;
}

impl From<sending::Fault> for SendFault {
    fn from(fault: sending::Fault) -> SendFault {
        match fault {
            sending::Fault::Gone => SendFault::Gone,
            sending::Fault::Reset => SendFault::Reset,
            sending::Fault::Timeout => SendFault::Timeout,
        }
    }
}

/// The access of one shard to its targets.
pub struct Targets<'a> {
    pub local: &'a Local,
    pub pool: &'a RefCell<Pool<Lease>>,
    pub sessions: &'a RefCell<Sessions>,
    pub lines: &'a Lines,
    pub room: &'a dyn Room,
}

/// A connection that is being made.
pub enum Connecting<'a> {
    /// For this exchange alone.
    Own(Opening<'a>),
    /// For everybody who needs a stream of it.
    Shared(Waiting),
}

/// Looks for a kept connection that is still usable.
struct Leasing<'t, 'a, 'd> {
    targets: &'t Targets<'a>,
    to: Destination<'d>,
    surely: bool,
    /// One that waits for records which are there; only under TLS.
    waits: Option<Lease>,
}

impl<'a> Future for Leasing<'_, 'a, '_> {
    type Output = Option<Leases<Targets<'a>>>;

    #[inline(always)]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let Leasing { targets, to, surely, waits } = &mut *self;
        if to.speaks_http2() {
            let shared = targets.lines.usable(to.target.state.slot, to.id());
            return Poll::Ready(shared.map(|shared| Leased::Stream(stream::Lease::new(shared))));
        }
        loop {
            let now_ms = targets.local.clock.now_ms();
            let kept = || targets.pool.borrow_mut().checkout(to.target.state.slot, to.id(), now_ms);
            let Some(mut lease) = waits.take().or_else(kept) else { return Poll::Ready(None) };
            match lease.poll_quiet(*surely, cx) {
                Poll::Ready(true) => return Poll::Ready(Some(Leased::Own(lease))),
                Poll::Ready(false) => {}
                Poll::Pending => {
                    *waits = Some(lease);
                    return Poll::Pending;
                }
            }
            targets.local.counters.add(Counter::TargetConnectionsClosedIdle, 1);
            targets.close(Leased::Own(lease));
        }
    }
}

impl<'a> target::Upstream for Targets<'a> {
    type Draft = Draft;
    type Own = Lease;
    type Stream = stream::Lease;
    type Connecting = Connecting<'a>;

    /// A kept connection on which nothing has happened since; unusable ones that are found on the way are closed.
    #[inline]
    fn lease(
        &self,
        to: Destination<'_>,
        surely: bool,
    ) -> impl Future<Output = Option<Leases<Self>>> {
        Leasing { targets: self, to, surely, waits: None }
    }

    async fn connect(
        &self,
        to: Destination<'_>,
        options: &GroupOptions,
    ) -> Result<Connecting<'a>, Failure> {
        let shelf = to.speaks_http2().then(|| self.lines.shelf(to.target.state.slot));
        let most = (options.streams_per_connection, options.connections_max);
        if let Some(waiting) = shelf.as_ref().and_then(|shelf| shelf.wait(to.id(), most)) {
            return Ok(Connecting::Shared(waiting));
        }
        let connect = self.begin(to, options).await?;
        let asked = to.way.map(|way| self.asked(to.target, way, options));
        let Some(shelf) = shelf else {
            let step = asked.map_or(Step::Socket, |asked| Step::SocketFor(Box::new(asked)));
            return Ok(Connecting::Own(Opening { local: self.local, connect, step }));
        };
        let line = shelf.begin(to.target, to.id());
        let shard = Shard::new(self.local, &self.lines.windows, &self.lines.warnings);
        let patience = Patience {
            idle: options.pool_idle_timeout,
            send: options.content_idle_timeout,
            streams_max: options.streams_per_connection,
            head_bytes: options.response_head_bytes,
        };
        let timeout = options.connect_timeout;
        let waiting = Waiting::new(&line);
        spawn(task::make(line, (connect, timeout), asked, (shard, patience)));
        Ok(Connecting::Shared(waiting))
    }

    #[inline(always)]
    fn give_back(&self, lease: Leases<Self>, target: &Target, options: &GroupOptions) {
        let Leased::Own(mut lease) = lease else { return };
        if self.local.stop.has_begun() {
            return self.close(Leased::Own(lease));
        }
        let Some(kept) = lease.renew() else { return self.close(Leased::Own(lease)) };
        let mut idle_ms = u64::try_from(options.pool_idle_timeout.as_millis()).unwrap_or(NEVER);
        if let Some(seconds) = kept.idle_s {
            // A little less than the target's own time, so that limpet closes first.
            idle_ms = (u64::from(seconds) * 1000).saturating_sub(500);
        }
        let expires_ms = self.local.clock.now_ms().saturating_add(idle_ms);
        let id = lease.id();
        let back = self.pool.borrow_mut().checkin(
            &target.state,
            (lease, id),
            expires_ms,
            options.pool_idle_per_shard,
        );
        if let Some(too_many) = back {
            self.close(Leased::Own(too_many));
        }
    }

    fn close(&self, lease: Leases<Self>) {
        // A stream ends by itself.
        if let Leased::Own(lease) = lease {
            self.local.counters.add(Counter::TargetConnectionsClosed, 1);
            lease.close();
        }
    }
}

impl Targets<'_> {
    /// Begins to connect, once a descriptor can be had.
    async fn begin(&self, to: Destination<'_>, options: &GroupOptions) -> Result<Connect, Failure> {
        let place = match &to.target.address {
            Address::Tcp(address) => Place::Tcp(*address),
            Address::Unix(path) => Place::Unix(path),
        };
        let mut connect = connect::connect(place, options.connect_timeout);
        for _ in 0..SHORTAGES_MAX {
            if !connect.as_ref().is_err_and(|error| self.room.is_shortage(error)) {
                break;
            }
            self.room.descriptor().await;
            connect = connect::connect(place, options.connect_timeout);
        }
        connect.map_err(|_| Failure::NoSocket)
    }

    /// What the connection begins with.
    fn asked(&self, target: &Target, way: &Way<'_>, options: &GroupOptions) -> Asked {
        // A target under TLS always has a name.
        let handshake = target.tls().zip(way.name).map(|(tls, name)| Handshake {
            config: self.sessions.borrow_mut().config(target, tls.tls()),
            name: name.clone(),
            timeout: options.handshake_timeout,
        });
        Asked { id: way.id, header: way.header.map(<[u8]>::to_vec), is_http2: way.http2, handshake }
    }
}

impl<'a> target::Connecting for Connecting<'a> {
    type Lease = Leases<Targets<'a>>;

    fn poll_connected(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Connected<Self::Lease>, Failure>> {
        match self {
            Connecting::Own(opening) => {
                opening.poll_connected(cx).map_ok(|connected| match connected {
                    Connected::Ready(lease) => Connected::Ready(Leased::Own(lease)),
                    Connected::Shakes => Connected::Shakes,
                })
            }
            Connecting::Shared(waiting) => waiting.poll(cx).map_ok(|connected| match connected {
                Connected::Ready(shared) => {
                    Connected::Ready(Leased::Stream(stream::Lease::new(shared)))
                }
                Connected::Shakes => Connected::Shakes,
            }),
        }
    }

    fn abort(&self) {
        match self {
            Connecting::Own(opening) => opening.connect.abort(),
            Connecting::Shared(waiting) => waiting.abort(),
        }
    }
}

#[cfg(test)]
#[path = "tls_tests.rs"]
mod tls_tests;

#[cfg(test)]
#[path = "targets_tests.rs"]
mod tests;
