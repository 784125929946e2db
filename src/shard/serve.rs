//! The interface between a shard and the code that serves the connections that it accepts.
//!
//! A shard knows nothing else of that code: no protocol, no client and no target. The caller that starts the server
//! passes a function that makes it, once on each shard's thread. None of these methods is called for a request.

use std::future::Future;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;

use super::local::Shard;
use crate::snapshot::Bind;
use crate::telemetry::access_log::ShardLog;
use crate::uring::Socket;

/// The resources that a shard lends to the code that serves its connections.
pub struct Lent {
    pub shard: Rc<Shard>,
    /// The shard's access to the access log.
    pub log: ShardLog,
}

/// A connection that has just been accepted.
pub struct Accepted<O> {
    pub socket: Socket,
    /// `None` on Unix sockets.
    pub peer: Option<SocketAddr>,
    /// Shared by the connections of the listener that accepted it.
    pub origin: Rc<O>,
}

/// Serves the connections of one shard.
pub trait Serve: Sized + 'static {
    /// Data that the connections of one listener share.
    type Origin: 'static;

    /// The task that serves a connection. There is one for each client, so it must be small while nothing happens.
    type Connection: Future<Output = ()> + Unpin + 'static;

    /// Makes the data that connections of `listener`, bound to `bound`, share.
    fn origin(listener: &Arc<str>, bound: &Bind) -> Self::Origin;

    /// Begins to serve a connection; `None` closes it at once.
    fn begin(self: &Rc<Self>, accepted: Accepted<Self::Origin>) -> Option<Self::Connection>;

    /// Tells a client that it has too many connections, and ends this one.
    fn refuse(
        self: &Rc<Self>,
        accepted: Accepted<Self::Origin>,
    ) -> impl Future<Output = ()> + 'static;

    /// Whether the peers of this listener are the clients to count. Asked only when clients are counted.
    fn counts_peers(&self, origin: &Self::Origin) -> bool;

    /// Called at every tick.
    fn tick(&self);

    /// The process stops: frees everything that is kept for later. Connections that wait are woken by their alarms.
    fn stop_idle(&self);

    /// Closes one thing that is kept for later and holds a descriptor; `false` when there is none.
    fn close_kept(&self) -> bool;

    /// Called last, when all connections have ended or were cut off.
    fn end(&self);
}
