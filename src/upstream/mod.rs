//! The target's side: connections to targets, the pool that keeps them between requests, and the leases on them.
//!
//! * [`connection`]: a connection to a target, and the pool of a shard ([`pool`]);
//! * [`h1`]: the lease of a whole connection, and the request on it; [`response`]: the response on it;
//! * [`side`]: the connection once its bytes belong to a tunnel.

pub mod connection;
pub mod h1;
pub mod pool;
mod response;
pub mod side;

use std::cell::RefCell;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use self::connection::TargetConnection;
use self::h1::{Draft, Lease};
use self::pool::Pool;
use crate::exchange::content::SendFault;
use crate::exchange::failure::Failure;
use crate::exchange::local::Local;
use crate::exchange::target;
use crate::group::address::Address;
use crate::group::target_group::{GroupOptions, Target};
use crate::telemetry::counters::Counter;
use crate::time::clock::NEVER;
use crate::transport::connect::{self, Connect, ConnectFault, Place};
use crate::transport::sending;

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
    pub room: &'a dyn Room,
}

/// A connection that is being made.
pub struct Connecting<'a> {
    local: &'a Local,
    connect: Connect,
}

impl<'a> target::Upstream for Targets<'a> {
    type Draft = Draft;
    type Lease = Lease;
    type Connecting = Connecting<'a>;

    /// A kept connection on which nothing has happened since; unusable ones that are found on the way are closed.
    fn lease(&self, target: &Target, surely: bool, cx: &mut Context<'_>) -> Option<Lease> {
        loop {
            let now_ms = self.local.clock.now_ms();
            let mut lease = self.pool.borrow_mut().checkout(target.state.slot, now_ms)?;
            if lease.is_quiet(surely, cx) {
                return Some(lease);
            }
            self.local.counters.add(Counter::TargetConnectionsClosedIdle, 1);
            self.close(lease);
        }
    }

    async fn connect(
        &self,
        target: &Target,
        options: &GroupOptions,
    ) -> Result<Connecting<'a>, Failure> {
        let place = match &target.address {
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
        Ok(Connecting { local: self.local, connect })
    }

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
        let back = self.pool.borrow_mut().checkin(
            &target.state,
            lease,
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

    fn poll_connected(&mut self, cx: &mut Context<'_>) -> Poll<Result<Lease, Failure>> {
        Poll::Ready(match ready!(self.connect.poll_connected(cx)) {
            Ok(stream) => {
                self.local.counters.add(Counter::TargetConnectionsOpened, 1);
                Ok(Lease::new(TargetConnection::new(stream)))
            }
            Err(ConnectFault::Refused) => Err(Failure::ConnectRefused),
            Err(ConnectFault::Timeout) => Err(Failure::ConnectTimeout),
            Err(ConnectFault::NoSocket) => Err(Failure::NoSocket),
            Err(ConnectFault::Failed) => Err(Failure::ConnectFailed),
        })
    }

    fn abort(&self) {
        self.connect.abort();
    }
}

#[cfg(test)]
#[path = "targets_tests.rs"]
mod tests;
