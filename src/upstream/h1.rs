//! A connection to a target that speaks HTTP/1.1, leased to one exchange at a time.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use super::connection::TargetConnection;
use super::draft::{Draft, Framing};
use super::response::{Kept, Response};
use super::side::{First, Plain};
use crate::exchange::content::{Piece, SendFault};
use crate::exchange::target::{self, Sending};
use crate::http1::frame;
use crate::time::patience::Patience;
use crate::tls::target::ConnectionId;
use crate::transport::pending::{self, PendingSend};
use crate::transport::sending;
use crate::transport::stream::Stream;
use crate::uring::buffers;

/// The lease of a whole connection. Its parts are made with the connection, and belong to the pool between leases.
pub struct Lease(Box<Parts>);

struct Parts {
    request: Request,
    response: Response,
}

/// The request on its way.
pub struct Request {
    stream: Stream,
    /// The head, and the content that came along with it.
    first: PendingSend,
    framing: Framing,
    /// Nothing more is to be sent.
    is_whole: bool,
}

impl Lease {
    pub fn new(connection: TargetConnection) -> Lease {
        let stream = connection.stream.clone();
        let request =
            Request { stream, first: PendingSend::None, framing: Framing::Length, is_whole: false };
        Lease(Box::new(Parts { request, response: Response::new(connection) }))
    }

    /// Whether nothing has happened on the connection since it was put into the pool.
    #[inline]
    pub(super) fn poll_quiet(&mut self, surely: bool, cx: &mut Context<'_>) -> Poll<bool> {
        self.0.response.connection.poll_quiet(surely, cx)
    }

    /// What both ends of the connection have proven.
    pub(super) fn id(&self) -> ConnectionId {
        self.0.response.connection.id
    }

    /// Ends the connection.
    pub fn close(self) {
        let Parts { response, .. } = *self.0;
        response.close();
    }

    /// Makes the connection ready for another request, if it can take one.
    #[inline(always)]
    pub(super) fn renew(&mut self) -> Option<Kept> {
        let Parts { request, response } = &mut *self.0;
        let is_sent = request.is_whole && matches!(request.first, PendingSend::None);
        if is_sent { response.renew() } else { None }
    }
}

impl target::Lease for Lease {
    type Draft = Draft;
    type Sending = Request;
    type Receiving = Response;
    type Handle = Handle;
    type Side = Plain;

    fn request(&mut self, draft: &mut Draft, is_whole: bool) {
        let request = &mut self.0.request;
        request.framing = draft.framing;
        request.is_whole = is_whole;
        request.first.begin(&request.stream, std::mem::take(&mut draft.bytes));
    }

    fn parts(&mut self) -> (&mut Request, &mut Response) {
        (&mut self.0.request, &mut self.0.response)
    }

    fn handle(&mut self) -> Handle {
        Handle(self.0.request.stream.clone())
    }

    fn tunnel(&mut self) -> Plain {
        Plain::new(self.0.request.stream.clone(), self.0.response.take_bytes(), First::None)
    }
}

/// The leased connection.
pub struct Handle(Stream);

impl target::Handle for Handle {
    fn queued_bytes(&self) -> Option<u32> {
        self.0.queued_bytes()
    }

    fn abort(&self) {
        self.0.abort();
    }
}

impl Sending for Request {
    type Draft = Draft;

    #[inline]
    fn keep_going(&mut self, cx: &mut Context<'_>) {
        self.first.poll_if_needed(cx);
    }

    fn poll_sent(
        &mut self,
        cx: &mut Context<'_>,
        draft: Option<&mut Draft>,
    ) -> Poll<Result<(), SendFault>> {
        let (result, bytes) = ready!(Pin::new(&mut self.first).poll(cx));
        match draft {
            Some(draft) => draft.bytes = bytes,
            None => buffers::give_back(bytes),
        }
        Poll::Ready(result.map_err(|error| match pending::may_tell_of_a_reset(&error) {
            true => SendFault::Reset,
            false => SendFault::Gone,
        }))
    }

    async fn send(
        &mut self,
        piece: Piece,
        end: Option<&[u8]>,
        patience: Patience<'_>,
    ) -> Result<(), SendFault> {
        let Piece { mut buffer, mut from } = piece;
        if self.framing == Framing::Chunked {
            from = frame::close_chunk(&mut buffer, from, end);
        }
        if from < buffer.len() {
            buffer = sending::send_all(&self.stream, buffer, from, patience).await?;
        }
        buffers::give_back(buffer);
        self.is_whole = end.is_some();
        Ok(())
    }
}

#[cfg(test)]
#[path = "h1_tests.rs"]
mod tests;
