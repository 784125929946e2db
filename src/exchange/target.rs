//! Who answers, as an exchange sees it: a lease on a connection to a target, or on a stream of one.
//!
//! An upstream side implements these traits once for each version of HTTP. It frames what it sends; a lease that is
//! dropped before its time has failed.

use std::future::Future;
use std::task::{Context, Poll};

use super::content::{Along, Piece, Received, SendFault};
use super::failure::Failure;
use super::tunnel::Side;
use crate::group::target_group::{GroupOptions, Target};
use crate::http::edits::RequestEdits;
use crate::http::head::{HeadLimits, Method, RequestHead, ResponseHead};
use crate::http::refusal::{ChunkFault, ResponseFault};
use crate::time::patience::Patience;

/// A request written once for whoever may answer it, in the form that its group's targets are spoken to.
pub trait Draft: Default {
    /// Writes the head in place of the one before; content behind it stays.
    fn write(&mut self, head: &RequestHead<'_, '_>, edits: &RequestEdits<'_>);

    /// Writes the content that came along with the head.
    fn append(&mut self, along: Along<'_>);

    /// Lets go of what has been written.
    fn clear(&mut self);
}

/// Where leases come from.
pub trait Upstream {
    type Draft: Draft;
    type Lease: Lease<Draft = Self::Draft>;
    type Connecting: Connecting<Lease = Self::Lease>;

    /// A lease on what is there and may be used at once. `surely` asks the system whether it is still open: for
    /// requests that could not be sent again.
    fn lease(&self, target: &Target, surely: bool, cx: &mut Context<'_>) -> Option<Self::Lease>;

    /// Begins to connect.
    ///
    /// # Errors
    /// [`Failure::NoSocket`].
    fn connect(
        &self,
        target: &Target,
        options: &GroupOptions,
    ) -> impl Future<Output = Result<Self::Connecting, Failure>>;

    /// Takes a lease back whose exchange went well.
    fn give_back(&self, lease: Self::Lease, target: &Target, options: &GroupOptions);

    /// Ends a lease of which nothing more is to come.
    fn close(&self, lease: Self::Lease);
}

/// A connection that is being made.
pub trait Connecting {
    type Lease;

    /// # Errors
    /// Why there will be none.
    fn poll_connected(&mut self, cx: &mut Context<'_>) -> Poll<Result<Self::Lease, Failure>>;

    /// Makes it fail soon.
    fn abort(&self);
}

/// One exchange's share of a connection.
pub trait Lease {
    type Draft;
    type Sending: Sending<Draft = Self::Draft>;
    type Receiving: Receiving;
    type Handle: Handle;
    type Side: Side;

    /// Hands the request over. `is_whole`: no content is still to come.
    fn request(&mut self, draft: &mut Self::Draft, is_whole: bool);

    /// The two directions.
    fn parts(&mut self) -> (&mut Self::Sending, &mut Self::Receiving);

    /// What both directions may be asked and told while they are at work.
    fn handle(&self) -> Self::Handle;

    /// Its end of a tunnel, with what the target has sent behind its head.
    fn tunnel(&mut self) -> Self::Side;
}

/// A lease as both of its directions know it.
pub trait Handle {
    /// Bytes that were sent and are not known to have arrived, where the system tells.
    fn queued_bytes(&self) -> Option<u32>;

    /// Ends both directions as a failure; whatever is awaited completes.
    fn abort(&self);
}

/// The request on its way.
pub trait Sending {
    type Draft;

    /// Keeps what was handed over going where the engine does not do so by itself.
    fn keep_going(&mut self, cx: &mut Context<'_>);

    /// Drives what was handed over to its end; a draft is there again then, to be sent once more.
    ///
    /// # Errors
    /// The target takes no more.
    fn poll_sent(
        &mut self,
        cx: &mut Context<'_>,
        draft: Option<&mut Self::Draft>,
    ) -> Poll<Result<(), SendFault>>;

    /// Sends a piece, and the end behind the last one with its trailer lines; completes when it is taken, within
    /// the patience that the group has.
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

/// Why no more comes of a head or content.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReceiveFault {
    Closed,
    Reset,
    Invalid(ChunkFault),
}

/// The response on its way.
pub trait Receiving {
    /// Further bytes of a head.
    fn poll_head(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), ReceiveFault>>;

    /// Looks at the head that has come; `None` while it is not whole. Its bytes are used up by that.
    ///
    /// # Errors
    /// It is none.
    fn head<T>(
        &mut self,
        method: Method,
        limits: &HeadLimits,
        look: impl FnOnce(&ResponseHead<'_, '_>) -> T,
    ) -> Result<Option<T>, ResponseFault>;

    /// Whether nothing has come of the next head.
    fn is_empty(&self) -> bool;

    /// The content that came along with a final head.
    ///
    /// # Errors
    /// It is none.
    fn along(&mut self) -> Result<Along<'_>, ChunkFault>;

    /// The next piece.
    fn poll_content(&mut self, cx: &mut Context<'_>) -> Poll<Result<Received, ReceiveFault>>;

    /// Trailer lines behind the last piece.
    fn trailers(&self) -> &[u8];
}
