//! What a shard is told while it runs: which sockets to accept on, and which no longer.
//!
//! Orders come from the control plane by way of a bounded queue that the shard looks at on every tick.
//! Never about a request. Tested through the server.

use std::sync::Arc;

use crossbeam_queue::ArrayQueue;

use crate::snapshot::{Bind, SocketOptions};

/// Orders that may wait for one shard; more than listeners can be changed at once.
const ORDERS_MAX: usize = 4096;

/// One opened listener of the process: a socket on every shard.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ListenerId(pub u64);

/// One order.
pub enum Order {
    /// Accept on this socket.
    Listen { id: ListenerId, socket: socket2::Socket, name: Arc<str>, bound: Bind },
    /// Take what waits in the backlog, then end listening.
    Retire(ListenerId),
    /// The listener has another name now.
    Rename(ListenerId, Arc<str>),
    /// Other options for the connections that will be accepted.
    Adjust(ListenerId, SocketOptions),
    #[cfg(test)]
    Panic,
    #[cfg(test)]
    PanicAccepting,
}

/// The orders that wait for one shard.
pub struct Orders {
    queue: ArrayQueue<Order>,
}

impl Default for Orders {
    fn default() -> Orders {
        Orders { queue: ArrayQueue::new(ORDERS_MAX) }
    }
}

impl Orders {
    /// `false` when too many wait already.
    pub fn has_room(&self, count: usize) -> bool {
        self.queue.capacity().saturating_sub(self.queue.len()) >= count
    }

    /// Gives an order; the caller has asked for room.
    pub fn give(&self, order: Order) {
        if self.queue.push(order).is_err() {
            tracing::error!("a shard takes no orders: a listener could not be changed on it");
        }
    }

    /// The next order.
    pub fn take(&self) -> Option<Order> {
        self.queue.pop()
    }
}
