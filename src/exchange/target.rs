//! The target of an exchange: a lease on a connection, or on a stream of one.
//!
//! An upstream side implements these traits once for each version of HTTP. It frames the request. A lease that is
//! dropped before it is given back has failed.

use std::future::Future;
use std::task::{Context, Poll};

use super::content::{Along, Piece, Received, SendFault};
use super::failure::Failure;
use super::tunnel::Side;
use crate::group::target_group::{Destination, GroupOptions, Target};
use crate::http::edits::RequestEdits;
use crate::http::head::{HeadLimits, Method, RequestHead, ResponseHead};
use crate::http::refusal::{ChunkFault, ResponseFault};
use crate::time::patience::Patience;

/// A request, written once for any target of its group, in the form that those targets understand.
pub trait Draft: Default {
    /// Writes the head, replacing the earlier one; the content behind it stays.
    fn write(&mut self, head: &RequestHead<'_, '_>, edits: &RequestEdits<'_>);

    /// Writes the content that came along with the head.
    fn append(&mut self, along: Along<'_>);

    /// Frees the written bytes.
    fn clear(&mut self);
}

/// A lease on a connection of its own, or on a stream of one that others share.
pub enum Leased<O, S> {
    Own(O),
    Stream(S),
}

/// The leases of a source.
pub type Leases<U> = Leased<<U as Upstream>::Own, <U as Upstream>::Stream>;

/// The source of leases.
pub trait Upstream: Sized {
    type Draft: Draft;
    type Own: Lease<Draft = Self::Draft>;
    type Stream: Lease<Draft = Self::Draft>;
    type Connecting: Connecting<Lease = Leases<Self>>;

    /// A lease on a connection that can be used at once, if there is one. `surely` asks the system whether the
    /// connection is still open: for requests that could not be sent again.
    fn lease(
        &self,
        to: Destination<'_>,
        surely: bool,
    ) -> impl Future<Output = Option<Leases<Self>>>;

    /// Begins to connect.
    ///
    /// # Errors
    /// [`Failure::NoSocket`].
    fn connect(
        &self,
        to: Destination<'_>,
        options: &GroupOptions,
    ) -> impl Future<Output = Result<Self::Connecting, Failure>>;

    /// Takes back the lease of an exchange that went well.
    fn give_back(&self, lease: Leases<Self>, target: &Target, options: &GroupOptions);

    /// Ends a lease that will not be used any more.
    fn close(&self, lease: Leases<Self>);
}

/// A connection that is being made.
pub trait Connecting {
    type Lease;

    /// # Errors
    /// Why there will be no connection.
    fn poll_connected(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Connected<Self::Lease>, Failure>>;

    /// Makes the connect fail soon.
    fn abort(&self);
}

/// How far a connection is.
pub enum Connected<L> {
    /// It can be used.
    Ready(L),
    /// A handshake begins, which has its own time; the connection is to be polled again.
    Shakes,
}

/// One exchange's share of a connection.
pub trait Lease {
    type Draft;
    type Sending: Sending<Draft = Self::Draft>;
    type Receiving: Receiving;
    type Handle: Handle;
    type Side: Side;

    /// Hands the request over. `is_whole`: no content follows.
    fn request(&mut self, draft: &mut Self::Draft, is_whole: bool);

    /// The two directions.
    fn parts(&mut self) -> (&mut Self::Sending, &mut Self::Receiving);

    /// A handle on the lease for both directions, while they are at work.
    fn handle(&mut self) -> Self::Handle;

    /// The target's end of a tunnel, beginning with the bytes that it has sent behind its head.
    fn tunnel(&mut self) -> Self::Side;
}

/// The part of a lease that both of its directions may use.
pub trait Handle {
    /// Bytes that were sent and that the target has not acknowledged, where the system tells.
    fn queued_bytes(&self) -> Option<u32>;

    /// Ends both directions as a failure; every operation that is awaited completes.
    fn abort(&self);
}

/// The request on its way.
pub trait Sending {
    type Draft;

    /// Drives the send that was handed over, on engines that do not do so by themselves.
    fn keep_going(&mut self, cx: &mut Context<'_>);

    /// Drives the send that was handed over to its end; then restores `draft`, to be sent once more.
    ///
    /// # Errors
    /// The target takes no more.
    fn poll_sent(
        &mut self,
        cx: &mut Context<'_>,
        draft: Option<&mut Self::Draft>,
    ) -> Poll<Result<(), SendFault>>;

    /// Sends a piece, and behind the last one the end with its trailer lines; completes when it is taken, within the
    /// group's patience.
    ///
    /// # Errors
    /// The target takes no more.
    fn send(
        &mut self,
        piece: Piece,
        end: Option<&[u8]>,
        patience: Patience<'_>,
    ) -> impl Future<Output = Result<(), SendFault>>;
}

/// Why no more of a head or content comes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReceiveFault {
    Closed,
    Reset,
    /// The target has reset the stream of this request, on a connection that goes on.
    StreamReset,
    /// The target has not looked at the request (RFC 9113 §8.7).
    Unprocessed,
    /// Interim heads came faster than anybody took them.
    TooManyInterim,
    /// The target opens no tunnels (RFC 8441 §3).
    NoTunnels,
    Invalid(ChunkFault),
}

/// The response on its way.
pub trait Receiving {
    /// Receives further bytes of a head.
    fn poll_head(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), ReceiveFault>>;

    /// Passes the received head to `look`; `None` while it is not whole. Uses up its bytes.
    ///
    /// # Errors
    /// The head is invalid.
    fn head<T>(
        &mut self,
        method: Method,
        limits: &HeadLimits,
        look: impl FnOnce(&ResponseHead<'_, '_>) -> T,
    ) -> Result<Option<T>, ResponseFault>;

    /// Whether no byte of the next head has come.
    fn is_empty(&self) -> bool;

    /// The content that came along with a final head.
    ///
    /// # Errors
    /// The content is invalid.
    fn along(&mut self) -> Result<Along<'_>, ChunkFault>;

    /// Receives the next piece.
    fn poll_content(&mut self, cx: &mut Context<'_>) -> Poll<Result<Received, ReceiveFault>>;

    /// Trailer lines behind the last piece.
    fn trailers(&self) -> &[u8];
}
