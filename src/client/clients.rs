//! The state that the clients of one shard share.
//!
//! Lives on the shard's thread. Never accepts, counts or evicts a connection: its shard does. Tested beside it and
//! by the simulation.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;

use super::views::Views;
use crate::exchange::alone::Alone;
use crate::exchange::local::Local;
use crate::proxy_protocol::ProxyProtocol;
use crate::snapshot::{Published, View};
use crate::telemetry::counters::Counter;
use crate::time::seldom::Seldom;
use crate::transport::tls::places::Places;
use crate::upstream::Room;
use crate::upstream::h1::Lease;
use crate::upstream::h2::lines::Lines;
use crate::upstream::pool::Pool;
use crate::upstream::sessions::Sessions;

pub struct Clients {
    pub local: Local,
    pub views: Views,
    pub pool: RefCell<Pool<Lease>>,
    /// Connections to targets that exchanges share.
    pub lines: Lines,
    /// TLS with targets.
    pub sessions: RefCell<Sessions>,
    /// Makes room for a connection to a target when descriptors are short.
    pub room: Rc<dyn Room>,
    /// Limits the warnings about clients' behaviour.
    pub warnings: Seldom,
    /// The TLS handshakes under way.
    pub handshakes: Places,
}

impl Clients {
    pub fn new(published: Arc<Published>, local: Local, room: Rc<dyn Room>) -> Clients {
        Clients {
            local,
            views: Views::new(published),
            pool: RefCell::new(Pool::new()),
            sessions: RefCell::default(),
            room,
            warnings: Seldom::default(),
            handshakes: Places::default(),
            lines: Lines::default(),
        }
    }

    /// The snapshot published last.
    #[inline]
    pub fn view(&self) -> View {
        self.views.latest(&self.local.clock)
    }

    /// Whether the peers of a listener are the clients themselves; a balancer that announces clients by PROXY headers
    /// is not one.
    pub fn are_peers_of(&self, listener: &str) -> bool {
        let view = self.view();
        let listener = view.listener(listener);
        listener.is_none_or(|listener| listener.proxy_protocol == ProxyProtocol::Off)
    }

    /// Drops snapshots that are no longer needed, and hands on the log.
    pub fn tick(&self) {
        let now_ms = self.local.clock.now_ms();
        self.pool.borrow_mut().expire(now_ms, |lease| self.close(lease));
        self.lines.tick();
        self.flush();
        self.views.tick(&self.local.clock);
    }

    /// The process stops: closes the idle connections to targets.
    pub fn stop_idle(&self) {
        self.pool.borrow_mut().drain_all(|lease| self.close(lease));
        self.lines.stop_idle();
    }

    /// Closes the kept connection to a target that would expire first, else a shared one that has been idle for longest;
    /// `false` when there is neither.
    pub fn close_kept(&self) -> bool {
        let lease = self.pool.borrow_mut().take_first_to_expire();
        lease.map(|lease| self.close(lease)).is_some() || self.lines.close_idlest()
    }

    /// A client's connection has ended: closes the connections to targets that were kept for it alone.
    #[cold]
    pub fn close_kept_for(&self, alone: &Alone) {
        let mut pool = self.pool.borrow_mut();
        for kept in alone.kept() {
            pool.drain_of(kept, |lease| self.close(lease));
            self.lines.close_of(kept);
        }
    }

    /// Hands on the lines that the log has collected.
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
