//! The connections of one shard to targets that speak HTTP/2.
//!
//! A request goes to a connection that has a stream left; one that finds none waits for a connection that is being
//! made, or has another made, up to the group's `pool.connections_max`.

use std::cell::RefCell;
use std::rc::Rc;

use super::line::{Link, Shelf};
use crate::http2::flow;
use crate::multiplex::shared::Shared;
use crate::time::seldom::Seldom;
use crate::tls::target::ConnectionId;

/// Most bytes by which the windows of a shard's HTTP/2 connections may grow.
const WINDOW_BYTES: u64 = 64 * 1024 * 1024;

pub struct Lines {
    /// By the slots of targets.
    shelves: RefCell<Vec<Rc<Shelf>>>,
    /// What the windows of HTTP/2 connections may grow by, those of clients included.
    pub windows: Rc<RefCell<flow::Pool>>,
    /// Limits the warnings about targets' connections.
    pub warnings: Rc<Seldom>,
}

impl Default for Lines {
    fn default() -> Lines {
        let windows = Rc::new(RefCell::new(flow::Pool::new(WINDOW_BYTES)));
        Lines { shelves: RefCell::default(), windows, warnings: Rc::default() }
    }
}

impl Lines {
    /// A connection that takes another stream at once.
    pub fn usable(&self, slot: u32, id: ConnectionId) -> Option<Rc<Shared<Link>>> {
        self.shelves.borrow().get(slot as usize)?.usable(id)
    }

    /// The connections to the target of this slot.
    pub fn shelf(&self, slot: u32) -> Rc<Shelf> {
        let mut shelves = self.shelves.borrow_mut();
        let slot = slot as usize;
        if shelves.len() <= slot {
            shelves.resize_with(slot + 1, Rc::default);
        }
        shelves.get(slot).map(Rc::clone).unwrap_or_default()
    }

    /// The process stops: ends the idle connections.
    pub fn stop_idle(&self) {
        self.shelves.borrow().iter().for_each(|shelf| shelf.end_idle());
    }

    /// Ends a connection that has been idle for longest; `false` when none is.
    pub fn close_idlest(&self) -> bool {
        let shelves = self.shelves.borrow();
        let idlest = shelves.iter().filter_map(|shelf| shelf.idlest());
        let idlest = idlest.min_by_key(|(since_ms, _)| *since_ms);
        idlest.map(|(_, line)| line.end()).is_some()
    }

    /// Ends the connections that have proven `id`, whose only client has gone.
    pub fn close_of(&self, (slot, id): (u32, ConnectionId)) {
        if let Some(shelf) = self.shelves.borrow().get(slot as usize) {
            shelf.end_of(id);
        }
    }

    /// Forgets connections that are over; some that were full may take more by now.
    pub fn tick(&self) {
        self.shelves.borrow().iter().for_each(|shelf| shelf.tick());
    }
}
