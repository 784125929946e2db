//! What a shard asks of whatever serves the connections that it accepts, and what it lends to it.
//!
//! A shard knows nothing else of it: no protocol, no client and no target. Whoever starts the server says how it is
//! made, once on each shard's thread, where it lives. Nothing of this is called for a request.

use std::future::Future;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;

use super::local::Shard;
use crate::snapshot::Bind;
use crate::telemetry::access_log::ShardLog;
use crate::uring::Socket;

/// What a shard lends when what serves its connections is made.
pub struct Lent {
    pub shard: Rc<Shard>,
    /// Its way into the access log.
    pub log: ShardLog,
}

/// A connection that has just been accepted.
pub struct Accepted<O> {
    pub socket: Socket,
    /// `None` on Unix sockets.
    pub peer: Option<SocketAddr>,
    /// Of the listener where it came in.
    pub origin: Rc<O>,
}

/// Serves the connections of one shard.
pub trait Serve: Sized + 'static {
    /// What the connections that come in by one listener share.
    type Origin: 'static;

    /// The task of a connection that is served. There is one for each client, so it is small while nothing happens.
    type Connection: Future<Output = ()> + Unpin + 'static;

    /// What the connections of `listener`, which is bound there, share.
    fn origin(listener: &Arc<str>, bound: &Bind) -> Self::Origin;

    /// Serves a connection from now on; `None` closes it at once.
    fn begin(self: &Rc<Self>, accepted: Accepted<Self::Origin>) -> Option<Self::Connection>;

    /// Tells a client that it has too many connections, and ends this one.
    fn refuse(
        self: &Rc<Self>,
        accepted: Accepted<Self::Origin>,
    ) -> impl Future<Output = ()> + 'static;

    /// Whether those who connect there are the clients whose connections are counted. Asked only where they are.
    fn counts_peers(&self, origin: &Self::Origin) -> bool;

    /// Is called at every tick.
    fn tick(&self);

    /// The process stops: lets go of what is kept for later. Connections that wait are told by their alarms.
    fn stop_idle(&self);

    /// Closes one thing that is kept for later and has a descriptor, which others need; `false` when there is none.
    fn close_kept(&self) -> bool;

    /// Is called last, when all connections have ended or were cut off.
    fn end(&self);
}
