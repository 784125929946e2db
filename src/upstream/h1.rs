//! A connection to a target that speaks HTTP/1.1, leased to one exchange at a time.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use super::connection::TargetConnection;
use super::response::{Kept, Response};
use super::side::{First, Plain};
use crate::exchange::content::SendFault;
use crate::exchange::content::{Along, Piece};
use crate::exchange::target::{self, Sending};
use crate::http::edits::RequestEdits;
use crate::http::head::{ContentLength, RequestHead};
use crate::http1::{frame, rewrite};
use crate::time::patience::Patience;
use crate::tls::target::ConnectionId;
use crate::transport::pending::{self, PendingSend};
use crate::transport::sending;
use crate::transport::stream::Stream;
use crate::uring::buffers;

/// A request for a target of HTTP/1.1: its head, and the content that came along.
#[derive(Default)]
pub struct Draft {
    bytes: Vec<u8>,
    head_bytes: usize,
    is_chunked: bool,
}

impl target::Draft for Draft {
    fn write(&mut self, head: &RequestHead<'_, '_>, edits: &RequestEdits<'_>) {
        let before = std::mem::replace(&mut self.bytes, buffers::small());
        rewrite::request(head, edits, &mut self.bytes);
        let content = before.get(self.head_bytes..).unwrap_or_default();
        self.head_bytes = self.bytes.len();
        self.is_chunked = head.content == ContentLength::Unknown;
        self.bytes.extend_from_slice(content);
        buffers::give_back(before);
    }

    fn append(&mut self, along: Along<'_>) {
        if self.is_chunked {
            frame::append_chunk(along.bytes, along.end, &mut self.bytes);
        } else {
            self.bytes.extend_from_slice(along.bytes);
        }
    }

    fn clear(&mut self) {
        buffers::give_back(std::mem::take(&mut self.bytes));
        self.head_bytes = 0;
    }
}

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
    head_bytes: usize,
    is_chunked: bool,
    /// Nothing more is to be sent.
    is_whole: bool,
}

impl Lease {
    pub fn new(connection: TargetConnection) -> Lease {
        let stream = connection.stream.clone();
        let request = Request {
            stream,
            first: PendingSend::None,
            head_bytes: 0,
            is_chunked: false,
            is_whole: false,
        };
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
    #[inline]
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
        request.is_chunked = draft.is_chunked;
        request.head_bytes = draft.head_bytes;
        request.is_whole = is_whole;
        request.first.begin(&request.stream, std::mem::take(&mut draft.bytes));
    }

    fn parts(&mut self) -> (&mut Request, &mut Response) {
        (&mut self.0.request, &mut self.0.response)
    }

    fn handle(&self) -> Handle {
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
            Some(draft) => {
                *draft = Draft { bytes, head_bytes: self.head_bytes, is_chunked: self.is_chunked }
            }
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
        if self.is_chunked {
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
