//! Who asks, as an exchange sees it: one request of a client, and the way its response takes back.
//!
//! A client side implements these traits once for each version of HTTP. It frames what it sends, and decides what
//! becomes of its connection by how the exchange [`Ended`](super::end::End).

use std::future::Future;
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
    /// It has sent all it will: it closed, or half-closed and still reads.
    Ended,
    /// Nothing that is sent reaches it any more.
    Reset,
}

/// One request of a client.
pub trait Client {
    type Asking: Asking;
    type Answering: Answering;
    type Side: Side;

    /// Reads the request's head again, which stays as it came until the exchange ends. `None` where it cannot be
    /// read any more, which never happens to one that was read before.
    fn head<T>(&self, look: impl FnOnce(&RequestHead<'_, '_>) -> T) -> Option<T>;

    /// The two directions.
    fn parts(&mut self) -> (&mut Self::Asking, &mut Self::Answering);

    /// Its end of a tunnel, with what it has sent behind its request.
    fn tunnel(&mut self) -> Self::Side;
}

/// The request's content.
pub trait Asking {
    /// What came with the head; the same each time.
    fn along(&self) -> Along<'_>;

    /// Bytes of content so far, those that came along among them.
    fn received(&self) -> u64;

    /// The next piece, bounded by [`Timer::Content`](crate::time::timers::Timer); when that is hastened, the content
    /// is given up.
    ///
    /// # Errors
    /// The content is cut off, late, too long, or none.
    fn content(&mut self, timers: &Timers<'_>) -> impl Future<Output = Result<Received, Failure>>;

    /// Trailer lines behind the last piece.
    fn trailers(&self) -> &[u8];
}

/// What has become of what was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flushed {
    Taken,
    OnItsWay,
}

/// The response, and what is known of the client meanwhile.
pub trait Answering {
    /// Has the client noticed when it goes away, where nothing more of its request is to come.
    fn listen(&mut self);

    /// What the client tells by itself; `None` while it says nothing, but will wake who asks.
    fn poll_presence(&mut self, cx: &mut Context<'_>) -> Option<Presence>;

    /// Whether a client that goes away would tell by itself.
    fn is_told(&self) -> bool;

    /// What it has told already.
    fn told(&self) -> Presence;

    /// Asks the system about the client.
    fn look(&self) -> Presence;

    /// Writes a head, interim or final; nothing is sent yet. `may_keep`: nothing speaks against another request.
    fn respond(&mut self, head: &ResponseHead<'_, '_>, edits: &ResponseEdits<'_>, may_keep: bool);

    /// Writes content that came along with the head.
    fn append(&mut self, along: Along<'_>);

    /// Sends what has been written and awaits that it is taken. A response that is whole by then, and small, may
    /// still be on its way afterwards.
    fn flush(&mut self, is_whole: bool) -> impl Future<Output = Result<Flushed, SendFault>>;

    /// Sends a piece, and the end behind the last one with its trailer lines; completes when it is taken.
    fn send(
        &mut self,
        piece: Piece,
        end: Option<&[u8]>,
    ) -> impl Future<Output = Result<(), SendFault>>;

    /// Awaits the end of what may still be on its way.
    fn finish(&mut self) -> impl Future<Output = ()>;
}
