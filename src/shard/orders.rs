//! The orders of a shard while it runs: which sockets to accept on, and which no longer.
//!
//! Orders come from the control plane through a bounded queue that the shard reads on every tick. No order concerns a
//! request. Tested through the server.

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
    /// Accept the connections in the backlog, then end listening.
    Retire(ListenerId),
    /// Change the listener's name.
    Rename(ListenerId, Arc<str>),
    /// Change the socket options of connections to come.
    Adjust(ListenerId, SocketOptions),
    #[cfg(test)]
    Panic,
    #[cfg(test)]
    PanicAccepting,
}

/// The orders waiting for one shard.
pub struct Orders {
    queue: ArrayQueue<Order>,
}

impl Default for Orders {
    fn default() -> Orders {
        Orders { queue: ArrayQueue::new(ORDERS_MAX) }
    }
}

impl Orders {
    /// Whether `count` more orders fit.
    pub fn has_room(&self, count: usize) -> bool {
        self.queue.capacity().saturating_sub(self.queue.len()) >= count
    }

    /// Gives an order; the caller has made sure that there is room.
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
