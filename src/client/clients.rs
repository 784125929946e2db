//! What the clients of one shard share: all that they are served with and that no connection has to itself.
//!
//! Lives on the shard's thread. Never accepts, counts or evicts a connection: its shard does. Tested beside it and
//! by the simulation.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;

use super::views::Views;
use crate::exchange::local::Local;
use crate::snapshot::{ProxyProtocol, Published, View};
use crate::telemetry::counters::Counter;
use crate::time::seldom::Seldom;
use crate::upstream::Room;
use crate::upstream::h1::Lease;
use crate::upstream::pool::Pool;

pub struct Clients {
    pub local: Local,
    pub views: Views,
    pub pool: RefCell<Pool<Lease>>,
    /// Who makes room for a connection to a target when descriptors are short.
    pub room: Rc<dyn Room>,
    /// Warnings of what clients do.
    pub warnings: Seldom,
}

impl Clients {
    pub fn new(published: Arc<Published>, local: Local, room: Rc<dyn Room>) -> Clients {
        Clients {
            local,
            views: Views::new(published),
            pool: RefCell::new(Pool::new()),
            room,
            warnings: Seldom::default(),
        }
    }

    /// The snapshot published last.
    #[inline]
    pub fn view(&self) -> View {
        self.views.latest(&self.local.clock)
    }

    /// Whether those who connect to a listener are clients themselves: those who announce the clients behind them
    /// are not.
    pub fn are_peers_of(&self, listener: &str) -> bool {
        let view = self.view();
        let listener = view.listener(listener);
        listener.is_none_or(|listener| listener.proxy_protocol == ProxyProtocol::Off)
    }

    /// Lets go of what nobody needs any more, and hands the log on.
    pub fn tick(&self) {
        let now_ms = self.local.clock.now_ms();
        self.pool.borrow_mut().expire(now_ms, |lease| self.close(lease));
        self.flush();
        self.views.tick(&self.local.clock);
    }

    /// The process stops: closes all connections to targets on which no request is.
    pub fn stop_idle(&self) {
        self.pool.borrow_mut().drain_all(|lease| self.close(lease));
    }

    /// Closes the connection to a target that would be closed next; `false` when none is kept.
    pub fn close_kept(&self) -> bool {
        let lease = self.pool.borrow_mut().take_first_to_expire();
        lease.map(|lease| self.close(lease)).is_some()
    }

    /// Hands on what the log has been given.
    pub fn flush(&self) {
        self.local.log.borrow_mut().flush();
    }

    fn close(&self, lease: Lease) {
        self.local.counters.add(Counter::TargetConnectionsClosed, 1);
        lease.close();
    }
}

#[cfg(test)]
#[path = "clients_tests.rs"]
pub(super) mod tests;
