//! A request's content on a stream of HTTP/2: what came with the head, and what is still to come.

use std::future::poll_fn;
use std::task::{Context, Poll};

use super::shared::Shared;
use crate::exchange::client::{Asking, Presence};
use crate::exchange::content::{Along, End, Piece, ROOM, Received};
use crate::exchange::failure::Failure;
use crate::http2::machine::events::Key;
use crate::snapshot::Listener;
use crate::time::timers::{Timer, Timers};
use crate::transport::pace::Pace;
use crate::uring::buffers;

/// The content of one request.
pub struct Content<'a> {
    shared: &'a Shared,
    stream: Key,
    listener: &'a Listener,
    /// What came with the head.
    along: Vec<u8>,
    /// All of the request came with the head.
    is_whole: bool,
    received: u64,
    /// Bytes that the other side has, and whose credit is still to be given back.
    owed: usize,
    trailers: Vec<u8>,
    pace: Pace,
}

impl<'a> Content<'a> {
    /// Begins with what has come by now.
    pub fn new(shared: &'a Shared, stream: Key, listener: &'a Listener) -> Content<'a> {
        let mut content = Content {
            shared,
            stream,
            listener,
            along: Vec::new(),
            is_whole: false,
            received: 0,
            owed: 0,
            trailers: Vec::new(),
            pace: Pace::default(),
        };
        if let Some((piece, is_last)) = content.next_piece() {
            content.is_whole = is_last;
            content.received = piece.len().saturating_sub(ROOM) as u64;
            content.along = piece;
        }
        content
    }

    /// Takes the next piece that has come, and whether it is the last; the trailers come with the last.
    fn next_piece(&mut self) -> Option<(Vec<u8>, bool)> {
        let (shared, stream) = (self.shared, self.stream);
        shared.slot(stream, |slot| {
            let piece = slot.pieces.pop_front();
            let is_last = slot.has_ended && slot.pieces.is_empty() && slot.fault.is_none();
            if is_last {
                std::mem::swap(&mut self.trailers, &mut slot.trailers);
            }
            match piece {
                None if is_last => Some((Vec::new(), true)),
                piece => piece.map(|piece| (piece, is_last)),
            }
        })?
    }

    /// Gives back the credit of what the other side has taken.
    fn give_credit(&mut self) {
        let owed = std::mem::take(&mut self.owed);
        if owed > 0 {
            self.shared.machine.borrow_mut().take(self.stream, owed);
            self.shared.changed();
        }
    }

    fn poll_piece(&mut self, cx: &Context<'_>) -> Poll<Result<(Vec<u8>, bool), Failure>> {
        if let Some(next) = self.next_piece() {
            return Poll::Ready(Ok(next));
        }
        let (fault, presence) = self
            .shared
            .slot(self.stream, |slot| {
                slot.listen(cx);
                (slot.fault, slot.presence)
            })
            .unwrap_or((None, Some(Presence::Reset)));
        match (fault, presence) {
            (Some(fault), _) => Poll::Ready(Err(Failure::ClientContentInvalid(fault))),
            (None, Some(Presence::Reset | Presence::Ended)) => {
                Poll::Ready(Err(Failure::ClientGone))
            }
            (None, Some(Presence::There) | None) => Poll::Pending,
        }
    }

    /// Refuses content without a length that is longer than the listener allows; a length was judged with its head.
    pub fn judge_length(&self) -> Result<(), Failure> {
        let limit = self.listener.content_bytes;
        if limit > 0 && self.received > limit { Err(Failure::ContentTooLarge) } else { Ok(()) }
    }
}

impl Drop for Content<'_> {
    fn drop(&mut self) {
        buffers::give_back(std::mem::take(&mut self.along));
    }
}

impl Asking for Content<'_> {
    fn along(&self) -> Along<'_> {
        let bytes = self.along.get(ROOM..).unwrap_or_default();
        Along { bytes, end: self.is_whole.then_some(&*self.trailers) }
    }

    fn received(&self) -> u64 {
        self.received
    }

    async fn content(&mut self, timers: &Timers<'_>) -> Result<Received, Failure> {
        let along_bytes = self.along.len().saturating_sub(ROOM);
        if self.received == along_bytes as u64 {
            self.owed = along_bytes;
        }
        self.give_credit();
        let (timeouts, clock) = (&self.listener.timeouts, timers.clock);
        let began_ms = clock.now_ms();
        let deadline = clock.deadline(timeouts.content_idle);
        let piece = poll_fn(|cx| self.poll_piece(cx));
        let piece = timers.give_up(Timer::Content, deadline, piece).await;
        let (mut buffer, is_last) = piece.ok_or(Failure::ClientContentTimeout)??;
        if buffer.is_empty() {
            buffer.resize(ROOM, 0);
        }
        let count = buffer.len().saturating_sub(ROOM);
        self.pace.note(clock.now_ms().saturating_sub(began_ms), count);
        let is_slow =
            self.pace.is_below(timeouts.content_minimum_rate, timeouts.content_idle) && !is_last;
        if is_slow {
            buffers::give_back(buffer);
            return Err(Failure::ClientContentTimeout);
        }
        self.received += count as u64;
        self.owed = count;
        self.judge_length()?;
        let end = if is_last { End::Last } else { End::No };
        Ok(Received { piece: Piece { buffer, from: ROOM }, end })
    }

    fn trailers(&self) -> &[u8] {
        &self.trailers
    }
}
