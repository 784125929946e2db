//! A request's content on an HTTP/1 connection: what came with the head, and what is still to come.

use std::ops::Range;

use super::early::NextReceive;
use super::input::Input;
use crate::exchange::client::Asking;
use crate::exchange::content::{Along, End, Piece, ROOM, Received};
use crate::exchange::failure::Failure;
use crate::http::head::ContentLength;
use crate::http1::rest::Rest;
use crate::snapshot::Listener;
use crate::time::timers::{Timer, Timers};
use crate::transport::pace::Pace;
use crate::transport::stream::Stream;
use crate::uring::buffers;

/// What is known of a request's extent in the bytes that came with its head.
#[derive(Debug, Clone, Copy, Default)]
pub struct Extent {
    /// Bytes of its head.
    pub head_bytes: usize,
    /// Bytes that belong to it: head, and content as it was framed.
    pub used: usize,
    /// Content bytes, decoded, behind the head.
    along: usize,
}

/// How far the content of a request has come. One is written anew for each request of a connection, in place.
pub struct Content {
    pub extent: Extent,
    rest: Rest,
    is_whole: bool,
    received: u64,
    pace: Pace,
    /// What the client has sent behind the content.
    pub beyond: Input,
    /// The receive that was waited for in vain.
    pub late: NextReceive,
}

impl Default for Content {
    fn default() -> Content {
        Content {
            extent: Extent::default(),
            rest: Rest::None,
            is_whole: false,
            received: 0,
            pace: Pace::default(),
            beyond: Input::default(),
            late: NextReceive::None,
        }
    }
}

impl Content {
    /// Begins anew, behind a head of so many bytes.
    pub fn begin(&mut self, head_bytes: usize, content: ContentLength) {
        self.extent = Extent { head_bytes, used: head_bytes, along: 0 };
        self.rest = Rest::of_request(content);
        self.is_whole = false;
        self.received = 0;
        self.pace = Pace::default();
    }
}

/// The content of one request.
pub struct Request<'a> {
    pub client: &'a Stream,
    pub listener: &'a Listener,
    /// Begins with the head, which stays until the exchange is over.
    pub input: &'a mut Input,
    pub content: &'a mut Content,
}

impl Request<'_> {
    /// Takes what has come of the content with the head.
    ///
    /// # Errors
    /// It is none, or too long.
    pub fn take_along(&mut self) -> Result<(), Failure> {
        let Request { input, content, .. } = self;
        let bytes = input.unread_mut(content.extent.head_bytes);
        let taken = content.rest.take(bytes).map_err(Failure::ClientContentInvalid)?;
        content.is_whole = taken.end;
        content.received = taken.content as u64;
        content.extent.along = taken.content;
        content.extent.used += taken.used;
        self.judge_length()
    }

    /// Refuses chunked content that is longer than the listener allows; a length was judged with its head.
    fn judge_length(&self) -> Result<(), Failure> {
        let limit = self.listener.content_bytes;
        let is_too_long = limit > 0 && self.content.received > limit;
        match self.content.rest {
            Rest::Chunked(_) if is_too_long => Err(Failure::ContentTooLarge),
            Rest::Chunked(_) | Rest::Length(_) | Rest::None | Rest::UntilClose => Ok(()),
        }
    }

    /// Whether all of the request has come.
    pub fn is_whole(&self) -> bool {
        self.content.is_whole
    }

    /// What the client has sent beyond its request with the head.
    pub fn early(&self) -> &[u8] {
        self.input.unread().get(self.content.extent.used..).unwrap_or_default()
    }

    /// One receive, with [`ROOM`] bytes in front.
    async fn receive(&mut self, timers: &Timers<'_>) -> Result<Vec<u8>, Failure> {
        let mut buffer = buffers::large();
        buffer.resize(ROOM, 0);
        let (timeouts, clock) = (&self.listener.timeouts, timers.clock);
        let began_ms = clock.now_ms();
        let deadline = clock.deadline(timeouts.content_idle);
        let mut receive = self.client.recv(buffer);
        let received = timers.give_up(Timer::Content, deadline, &mut receive).await;
        let Some((result, buffer)) = received else {
            self.content.late = NextReceive::Late(receive);
            return Err(Failure::ClientContentTimeout);
        };
        let count = result.map_err(|_| Failure::ClientGone)?;
        if count == 0 {
            return Err(Failure::ClientGone);
        }
        self.content.pace.note(clock.now_ms().saturating_sub(began_ms), count);
        if self.content.pace.is_below(timeouts.content_minimum_rate, timeouts.content_idle) {
            return Err(Failure::ClientContentTimeout);
        }
        Ok(buffer)
    }

    /// Keeps what stands behind the end of the content at `beyond` in `buffer`.
    fn keep_beyond(&mut self, buffer: &[u8], beyond: Range<usize>) {
        let bytes = buffer.get(beyond).unwrap_or_default();
        if !bytes.is_empty() {
            let mut kept = buffers::small();
            kept.extend_from_slice(bytes);
            self.content.beyond.append(kept);
        }
    }
}

impl Asking for Request<'_> {
    const LINGERS: bool = true;

    fn along(&self) -> Along<'_> {
        let Extent { head_bytes, along, .. } = self.content.extent;
        let bytes = self.input.unread().get(head_bytes..head_bytes.saturating_add(along));
        let end = self.content.is_whole.then(|| self.trailers());
        Along { bytes: bytes.unwrap_or_default(), end }
    }

    fn received(&self) -> u64 {
        self.content.received
    }

    async fn content(&mut self, timers: &Timers<'_>) -> Result<Received, Failure> {
        let mut buffer = self.receive(timers).await?;
        let length = buffer.len();
        let input = buffer.get_mut(ROOM..).unwrap_or_default();
        let taken = self.content.rest.take(input).map_err(Failure::ClientContentInvalid)?;
        self.content.is_whole = taken.end;
        self.content.received += taken.content as u64;
        self.judge_length()?;
        if taken.end {
            self.keep_beyond(&buffer, ROOM + taken.used..length);
        }
        buffer.truncate(ROOM + taken.content);
        let end = if self.content.is_whole { End::Last } else { End::No };
        Ok(Received { piece: Piece { buffer, from: ROOM }, end })
    }

    fn trailers(&self) -> &[u8] {
        self.content.rest.trailers()
    }
}

#[cfg(test)]
#[path = "request_tests.rs"]
mod tests;
