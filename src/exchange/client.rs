//! The client of an exchange: one request, and the way on which its response goes back.
//!
//! A client side implements these traits once for each version of HTTP. It frames the response, and decides by how the
//! exchange [`Ended`](super::end::End) whether its connection stays open.

use std::future::Future;
use std::net::SocketAddr;
use std::task::Context;

use super::content::{Along, Piece, Received, SendFault};
use super::failure::Failure;
use super::tunnel::Side;
use crate::http::edits::ResponseEdits;
use crate::http::head::{RequestHead, ResponseHead};
use crate::time::timers::Timers;

/// Whether a client is still at the other end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Presence {
    There,
    /// It has sent everything: it closed, or half-closed and still reads.
    Ended,
    /// Nothing that is sent reaches it any more.
    Reset,
}

/// One request of a client.
pub trait Client {
    type Asking: Asking;
    type Answering: Answering;
    type Side: Side;

    /// Reads the request's head again, which stays unchanged until the exchange ends. `None` where it cannot be read
    /// again, which never happens to a head that was read before.
    fn head<T>(&self, look: impl FnOnce(&RequestHead<'_, '_>) -> T) -> Option<T>;

    /// The address at which the client's connection came in; `None` where it has none.
    fn local_address(&self) -> Option<SocketAddr>;

    /// The two directions.
    fn parts(&mut self) -> (&mut Self::Asking, &mut Self::Answering);

    /// The client's end of a tunnel, beginning with the bytes that it has sent behind its request.
    fn tunnel(&mut self) -> Self::Side;
}

/// The request's content.
pub trait Asking {
    /// Whether the client is read on for a moment behind a response that came before its content: a connection that is
    /// closed over unread bytes is reset, and the response with it.
    const LINGERS: bool;

    /// The content that came with the head; the same each time.
    fn along(&self) -> Along<'_>;

    /// Bytes of content so far, those that came with the head included.
    fn received(&self) -> u64;

    /// The next piece, bounded by [`Timer::Content`](crate::time::timers::Timer); when that is hastened, the content
    /// is given up.
    ///
    /// # Errors
    /// The content is cut off, late, too long or malformed.
    fn content(&mut self, timers: &Timers<'_>) -> impl Future<Output = Result<Received, Failure>>;

    /// Trailer lines behind the last piece.
    fn trailers(&self) -> &[u8];
}

/// Whether the written bytes have all been sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flushed {
    Taken,
    OnItsWay,
}

/// The response, and the presence of the client meanwhile.
pub trait Answering {
    /// Makes sure that a client that goes away is noticed, where nothing more of its request is to come.
    fn listen(&mut self);

    /// The presence that the client's connection reports; `None` while it reports nothing, and then wakes the task
    /// later.
    fn poll_presence(&mut self, cx: &mut Context<'_>) -> Option<Presence>;

    /// Whether the connection would report a client that goes away.
    fn is_told(&self) -> bool;

    /// The presence reported so far.
    fn told(&self) -> Presence;

    /// Asks the system whether the client is present.
    fn look(&self) -> Presence;

    /// Writes a head, interim or final; nothing is sent yet. `may_keep`: whether another request may follow, as far as
    /// the exchange is concerned.
    fn respond(&mut self, head: &ResponseHead<'_, '_>, edits: &ResponseEdits<'_>, may_keep: bool);

    /// Writes content that came along with the head.
    fn append(&mut self, along: Along<'_>);

    /// Sends the written bytes and waits until they are taken. A response that is whole by then, and small, may still
    /// be on its way afterwards.
    fn flush(&mut self, is_whole: bool) -> impl Future<Output = Result<Flushed, SendFault>>;

    /// Sends a piece, and behind the last one the end with its trailer lines; completes when it is taken.
    fn send(
        &mut self,
        piece: Piece,
        end: Option<&[u8]>,
    ) -> impl Future<Output = Result<(), SendFault>>;

    /// Waits for the end of a send that may still be on its way.
    fn finish(&mut self) -> impl Future<Output = ()>;
}
