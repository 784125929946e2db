//! The listeners that are open, and how they follow a new snapshot without losing a connection.
//!
//! A listener whose address stays keeps its sockets, whatever else changes; a new address is opened before the snapshot
//! is published; a listener that is gone accepts its backlog and ends. Tested beside it and by the black-box suite.

use std::sync::{Arc, Mutex, PoisonError};

use super::orders::{ListenerId, Order, Orders};
use crate::listener::{self, ListenError, SocketFile};
use crate::snapshot::{Bind, Listener, Snapshot, SocketOptions};

/// One listener that is open on every shard.
#[derive(Debug, Clone)]
struct Open {
    id: ListenerId,
    name: Arc<str>,
    /// The address as the file gives it.
    wanted: Bind,
    /// The actual address: with the port that the system chose.
    bound: Bind,
    options: SocketOptions,
    /// The file of a Unix socket: removed when neither the table nor a plan has the listener.
    _file: Option<Arc<SocketFile>>,
}

#[derive(Debug, Default)]
struct Table {
    open: Vec<Open>,
    last_id: u64,
}

/// All open listeners.
pub struct Listeners {
    table: Mutex<Table>,
    orders: Vec<Arc<Orders>>,
}

/// The changes that are due when a snapshot is published.
pub struct Plan {
    /// New listeners, each with a socket for every shard.
    opened: Vec<(Open, Vec<socket2::Socket>)>,
    kept: Vec<Open>,
    renamed: Vec<ListenerId>,
    adjusted: Vec<ListenerId>,
    retired: Vec<Open>,
    last_id: u64,
}

impl Listeners {
    /// Begins with no listener open.
    pub fn new(shards: usize) -> Listeners {
        let orders = (0..shards).map(|_| Arc::default()).collect();
        Listeners { table: Mutex::default(), orders }
    }

    /// The orders of one shard.
    pub fn orders(&self, shard: usize) -> Option<Arc<Orders>> {
        self.orders.get(shard).cloned()
    }

    /// Every listener's name and actual address.
    pub fn addresses(&self) -> Vec<(Arc<str>, Bind)> {
        let table = self.table.lock().unwrap_or_else(PoisonError::into_inner);
        table.open.iter().map(|open| (Arc::clone(&open.name), open.bound.clone())).collect()
    }

    /// Opens the addresses that `after` needs and that are not open yet.
    ///
    /// # Errors
    /// The first listener that cannot be opened; the others are closed again.
    pub fn plan(&self, after: &Snapshot) -> Result<Plan, ListenError> {
        let table = self.table.lock().unwrap_or_else(PoisonError::into_inner);
        let mut left = table.open.clone();
        let mut plan = Plan {
            opened: Vec::new(),
            kept: Vec::new(),
            renamed: Vec::new(),
            adjusted: Vec::new(),
            retired: Vec::new(),
            last_id: table.last_id,
        };
        drop(table);
        let mut wanted = Vec::new();
        for listener in &after.listeners {
            // Matched by address: two listeners may have exchanged their names, or their addresses.
            let position = left.iter().position(|open| open.wanted == listener.bind);
            match position {
                Some(position) => plan.keep(left.swap_remove(position), listener),
                None => wanted.push(listener),
            }
        }
        for listener in wanted {
            let has_own_port = left.iter().any(|open| shares_port(&open.bound, &listener.bind));
            let opened = listener::open(listener, self.orders.len(), has_own_port)?;
            plan.last_id = plan.last_id.saturating_add(1);
            let open = Open {
                id: ListenerId(plan.last_id),
                name: Arc::clone(&listener.name),
                wanted: listener.bind.clone(),
                bound: opened.bound,
                options: listener.socket.clone(),
                _file: opened.file.map(Arc::new),
            };
            plan.opened.push((open, opened.sockets));
        }
        plan.retired = left;
        Ok(plan)
    }

    /// Carries out a plan: the shards follow at their next tick.
    pub fn commit(&self, plan: Plan) {
        let mut table = self.table.lock().unwrap_or_else(PoisonError::into_inner);
        let mut open = plan.kept;
        for kept in &open {
            for orders in &self.orders {
                if plan.renamed.contains(&kept.id) {
                    orders.give(Order::Rename(kept.id, Arc::clone(&kept.name)));
                }
                if plan.adjusted.contains(&kept.id) {
                    orders.give(Order::Adjust(kept.id, kept.options.clone()));
                }
            }
        }
        for (new, sockets) in plan.opened {
            for (socket, orders) in sockets.into_iter().zip(&self.orders) {
                let (name, bound) = (Arc::clone(&new.name), new.bound.clone());
                orders.give(Order::Listen { id: new.id, socket, name, bound });
            }
            open.push(new);
        }
        for gone in plan.retired {
            self.orders.iter().for_each(|orders| orders.give(Order::Retire(gone.id)));
        }
        table.open = open;
        table.last_id = plan.last_id;
    }

    /// Whether every shard has room for the orders of `plan`.
    pub fn has_room(&self, plan: &Plan) -> bool {
        let count =
            plan.opened.len() + plan.renamed.len() + plan.adjusted.len() + plan.retired.len();
        self.orders.iter().all(|orders| orders.has_room(count))
    }

    /// Forgets all listeners and removes the files of Unix sockets: no shard accepts any more.
    pub fn close(&self) {
        let mut table = self.table.lock().unwrap_or_else(PoisonError::into_inner);
        table.open.clear();
    }
}

impl Plan {
    fn keep(&mut self, open: Open, listener: &Listener) {
        if open.name != listener.name {
            self.renamed.push(open.id);
        }
        if open.options != listener.socket {
            self.adjusted.push(open.id);
        }
        self.kept.push(Open {
            name: Arc::clone(&listener.name),
            options: listener.socket.clone(),
            ..open
        });
    }
}

fn shares_port(ours: &Bind, wanted: &Bind) -> bool {
    match (ours, wanted) {
        (Bind::Tcp(ours), Bind::Tcp(wanted)) => ours.port() == wanted.port(),
        _ => false,
    }
}

#[cfg(test)]
#[path = "listeners_tests.rs"]
mod tests;
