//! The target's side: connections to targets, the pool that keeps them between requests, and the leases on them.
//!
//! * [`connection`]: a connection to a target, and the pool of a shard ([`pool`]);
//! * [`sessions`]: what a shard remembers of targets that it speaks TLS to;
//! * [`h1`]: the lease of a whole connection, and the request on it; [`response`]: the response on it;
//! * [`side`]: the connection once its bytes belong to a tunnel.

pub mod connection;
pub mod h1;
pub mod pool;
mod response;
pub mod sessions;
pub mod side;

use std::cell::RefCell;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use rustls::ClientConfig;

use self::connection::TargetConnection;
use self::h1::{Draft, Lease};
use self::pool::Pool;
use self::sessions::Sessions;
use crate::exchange::content::SendFault;
use crate::exchange::failure::Failure;
use crate::exchange::local::Local;
use crate::exchange::target::{self, Connected};
use crate::group::address::Address;
use crate::group::target_group::{Destination, GroupOptions, Target};
use crate::telemetry::counters::Counter;
use crate::time::clock::NEVER;
use crate::tls::target::{ConnectionId, PeerName};
use crate::transport::connect::{self, Connect, ConnectFault, Place};
use crate::transport::sending;
use crate::transport::stream::Stream;
use crate::transport::tls::handshake;

/// How often a connection to a target waits for something idle to give its descriptor back.
const SHORTAGES_MAX: usize = 8;
/// How much longer than its time a handshake waits by itself: who waits for it ends it first.
const SLACK: Duration = Duration::from_secs(1);

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
    pub room: &'a dyn Room,
}

/// A connection that is being made.
pub struct Connecting<'a> {
    local: &'a Local,
    connect: Connect,
    step: Step,
}

/// What is done on a new socket before requests; boxed, since it is made once for many of them.
type Beginning = Pin<Box<dyn Future<Output = Result<Stream, Failure>>>>;

/// What a connection that is being made waits for.
enum Step {
    Socket,
    /// Its socket, which then begins with more than requests.
    SocketFor(Box<Asked>),
    Beginning(Beginning, ConnectionId),
}

/// What a connection begins with.
struct Asked {
    id: ConnectionId,
    /// A PROXY header.
    header: Option<Vec<u8>>,
    handshake: Option<Handshake>,
}

/// What a handshake begins with.
struct Handshake {
    config: Arc<ClientConfig>,
    name: PeerName,
    timeout: Duration,
}

impl<'a> target::Upstream for Targets<'a> {
    type Draft = Draft;
    type Lease = Lease;
    type Connecting = Connecting<'a>;

    /// A kept connection on which nothing has happened since; unusable ones that are found on the way are closed.
    #[inline]
    fn lease(&self, to: Destination<'_>, surely: bool) -> impl Future<Output = Option<Lease>> {
        // One that waits for records which are there; only under TLS.
        let mut waits = None;
        poll_fn(move |cx| {
            loop {
                let now_ms = self.local.clock.now_ms();
                let kept =
                    || self.pool.borrow_mut().checkout(to.target.state.slot, to.id(), now_ms);
                let Some(mut lease) = waits.take().or_else(kept) else { return Poll::Ready(None) };
                match lease.poll_quiet(surely, cx) {
                    Poll::Ready(true) => return Poll::Ready(Some(lease)),
                    Poll::Ready(false) => {}
                    Poll::Pending => {
                        waits = Some(lease);
                        return Poll::Pending;
                    }
                }
                self.local.counters.add(Counter::TargetConnectionsClosedIdle, 1);
                self.close(lease);
            }
        })
    }

    async fn connect(
        &self,
        to: Destination<'_>,
        options: &GroupOptions,
    ) -> Result<Connecting<'a>, Failure> {
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
        let connect = connect.map_err(|_| Failure::NoSocket)?;
        let step = match to.way {
            None => Step::Socket,
            Some(way) => {
                // A target under TLS always has a name.
                let handshake = to.target.tls().zip(way.name).map(|(tls, name)| Handshake {
                    config: self.sessions.borrow_mut().config(to.target, tls.tls()),
                    name: name.clone(),
                    timeout: options.handshake_timeout,
                });
                let header = way.header.map(<[u8]>::to_vec);
                Step::SocketFor(Box::new(Asked { id: way.id, header, handshake }))
            }
        };
        Ok(Connecting { local: self.local, connect, step })
    }

    #[inline]
    fn give_back(&self, mut lease: Lease, target: &Target, options: &GroupOptions) {
        if self.local.stop.has_begun() {
            return self.close(lease);
        }
        let Some(kept) = lease.renew() else { return self.close(lease) };
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
            self.close(too_many);
        }
    }

    fn close(&self, lease: Lease) {
        self.local.counters.add(Counter::TargetConnectionsClosed, 1);
        lease.close();
    }
}

impl target::Connecting for Connecting<'_> {
    type Lease = Lease;

    fn poll_connected(&mut self, cx: &mut Context<'_>) -> Poll<Result<Connected<Lease>, Failure>> {
        if !matches!(self.step, Step::Beginning(..)) {
            let connected = ready!(self.connect.poll_connected(cx));
            let socket = match connected.map_err(failure) {
                Ok(socket) => socket,
                Err(failure) => return Poll::Ready(Err(failure)),
            };
            let Step::SocketFor(asked) = std::mem::replace(&mut self.step, Step::Socket) else {
                let stream = Stream::to_target(socket);
                return Poll::Ready(Ok(self.opened(stream, ConnectionId::PLAIN)));
            };
            let Asked { id, header, handshake } = *asked;
            let shakes = handshake.is_some();
            let beginning = async move {
                if let Some(header) = header {
                    connect::send_first(&socket, header).await.map_err(failure)?;
                }
                let Some(Handshake { config, name, timeout }) = handshake else {
                    return Ok(Stream::to_target(socket));
                };
                let PeerName { server_name, .. } = name;
                let shaken = handshake::connect(socket, config, server_name, timeout + SLACK);
                shaken.await.map(|(stream, _)| stream).map_err(Failure::Handshake)
            };
            self.step = Step::Beginning(Box::pin(beginning), id);
            if shakes {
                return Poll::Ready(Ok(Connected::Shakes));
            }
        }
        let Step::Beginning(beginning, id) = &mut self.step else { return Poll::Pending };
        let (id, begun) = (*id, ready!(beginning.as_mut().poll(cx)));
        Poll::Ready(begun.map(|stream| self.opened(stream, id)))
    }

    fn abort(&self) {
        self.connect.abort();
    }
}

fn failure(fault: ConnectFault) -> Failure {
    match fault {
        ConnectFault::Refused => Failure::ConnectRefused,
        ConnectFault::Timeout => Failure::ConnectTimeout,
        ConnectFault::NoSocket => Failure::NoSocket,
        ConnectFault::Failed => Failure::ConnectFailed,
    }
}

impl Connecting<'_> {
    fn opened(&self, stream: Stream, id: ConnectionId) -> Connected<Lease> {
        self.local.counters.add(Counter::TargetConnectionsOpened, 1);
        Connected::Ready(Lease::new(TargetConnection::new(stream, id)))
    }
}

#[cfg(test)]
#[path = "tls_tests.rs"]
mod tls_tests;

#[cfg(test)]
#[path = "targets_tests.rs"]
mod tests;
