//! A response on its way to a client of HTTP/2: heads and content, handed to the machine as it takes them.

use std::future::poll_fn;
use std::task::{Context, Poll};

use super::shared::Shared;
use crate::exchange::answer::Reply;
use crate::exchange::client::{Answering, Flushed, Presence};
use crate::exchange::content::{Along, Piece, SendFault};
use crate::http::edits::ResponseEdits;
use crate::http::head::{ContentLength, ResponseHead};
use crate::http2::hpack::encoder::Indexing;
use crate::http2::machine::events::{Closed, Key};
use crate::snapshot::Listener;
use crate::time::timers::{Timer, Timers};
use crate::uring::buffers;

/// The response to one request.
pub struct Response<'a> {
    shared: &'a Shared,
    stream: Key,
    listener: &'a Listener,
    timers: &'a Timers<'a>,
    /// Content that the machine has not taken yet, from `at` on.
    rest: Vec<u8>,
    at: usize,
    /// What ends the response behind the rest, once that is known: trailer lines.
    end: Option<Vec<u8>>,
    /// END_STREAM has been written.
    has_ended: bool,
    /// The stream takes no more.
    is_closed: bool,
    /// Bytes of heads and content that were written.
    pub sent: u64,
}

impl<'a> Response<'a> {
    pub fn new(
        shared: &'a Shared,
        stream: Key,
        listener: &'a Listener,
        timers: &'a Timers<'a>,
    ) -> Response<'a> {
        Response {
            shared,
            stream,
            listener,
            timers,
            rest: Vec::new(),
            at: 0,
            end: None,
            has_ended: false,
            is_closed: false,
            sent: 0,
        }
    }

    fn presence(&self) -> Presence {
        let told = self.shared.slot(self.stream, |slot| slot.presence);
        match told {
            Some(told) => told.unwrap_or(Presence::There),
            None => Presence::Reset,
        }
    }

    /// Hands the machine what it takes. Ready when it has taken everything.
    fn poll_taken(&mut self, cx: &Context<'_>) -> Poll<Result<(), SendFault>> {
        match self.hand_over() {
            Err(Closed) => Poll::Ready(Err(SendFault::Reset)),
            Ok(true) => Poll::Ready(Ok(())),
            Ok(false) => {
                self.shared.slot(self.stream, |slot| slot.listen(cx));
                match self.presence() {
                    Presence::Reset => Poll::Ready(Err(SendFault::Reset)),
                    Presence::Ended | Presence::There => Poll::Pending,
                }
            }
        }
    }

    /// Hands the machine what it takes; whether that was everything.
    fn hand_over(&mut self) -> Result<bool, Closed> {
        if self.is_closed {
            return Err(Closed);
        }
        let mut machine = self.shared.machine.borrow_mut();
        let left = self.rest.get(self.at..).unwrap_or_default();
        let is_end = self.end.as_ref().is_some_and(Vec::is_empty);
        let mut result = Ok(left.is_empty());
        if !left.is_empty() || is_end && !self.has_ended {
            result = machine.send(self.stream, left, is_end).map(|count| {
                self.at += count;
                self.sent += count as u64;
                let is_everything = self.at >= self.rest.len();
                self.has_ended |= is_everything && is_end;
                is_everything
            });
        }
        if let (Ok(true), Some(trailers), false) = (&result, &self.end, self.has_ended) {
            self.has_ended = true;
            self.sent += trailers.len() as u64;
            result = machine.send_trailers(self.stream, trailers).map(|()| true);
        }
        drop(machine);
        if result == Ok(true) {
            buffers::give_back(std::mem::take(&mut self.rest));
            self.at = 0;
        }
        self.is_closed |= result.is_err();
        self.shared.changed();
        result
    }

    /// Waits until the machine has taken everything; as long as it takes some of it within the listener's patience.
    async fn taken(&mut self) -> Result<(), SendFault> {
        let mut at = self.at;
        let (timers, idle) = (self.timers, self.listener.timeouts.send_idle);
        let mut is_set = false;
        let taken = poll_fn(|cx| {
            let polled = self.poll_taken(cx);
            if polled.is_ready() {
                return polled;
            }
            if !is_set || self.at > at {
                (is_set, at) = (true, self.at);
                timers.set(Timer::Send, timers.clock.deadline(idle));
            }
            if timers.poll_due(Timer::Send, cx) {
                return Poll::Ready(Err(SendFault::Timeout));
            }
            Poll::Pending
        })
        .await;
        timers.stop(Timer::Send);
        buffers::give_back(std::mem::take(&mut self.rest));
        self.at = 0;
        taken
    }
}

impl Response<'_> {
    /// Writes an answer of limpet's own. `date` is the value of Date.
    pub fn answer(&mut self, reply: &Reply, date: &str) {
        let answer = reply.answer(Some(self.listener));
        let has_content = !matches!(reply.status, 204 | 304) && !answer.body.is_empty();
        let ends = !has_content || reply.head_only;
        let mut machine = self.shared.machine.borrow_mut();
        let before = machine.unsent_bytes();
        let written = machine.respond_with(self.stream, reply.status, ends, |encoder, out| {
            if has_content {
                let content_type = answer.content_type.as_bytes();
                encoder.field(b"content-type", content_type, Indexing::Allowed, out);
                let mut length = itoa::Buffer::new();
                let length = length.format(answer.body.len()).as_bytes();
                encoder.field(b"content-length", length, Indexing::Allowed, out);
            }
            encoder.field(b"date", date.as_bytes(), Indexing::Allowed, out);
            for (name, value) in parts(&reply.extra) {
                encoder.field(name, value, Indexing::Allowed, out);
            }
        });
        self.sent += machine.unsent_bytes().saturating_sub(before) as u64;
        drop(machine);
        self.has_ended |= ends;
        self.is_closed |= written.is_err();
        if !ends {
            self.append(Along { bytes: &answer.body, end: Some(b"") });
        }
        self.shared.changed();
    }
}

/// Names and values of field lines.
fn parts(lines: &[u8]) -> impl Iterator<Item = (&[u8], &[u8])> {
    lines.split(|byte| *byte == b'\n').filter_map(|line| {
        let colon = memchr::memchr(b':', line)?;
        let (name, value) = line.split_at_checked(colon)?;
        Some((name, value.get(1..)?.trim_ascii()))
    })
}

impl Drop for Response<'_> {
    fn drop(&mut self) {
        buffers::give_back(std::mem::take(&mut self.rest));
    }
}

impl Answering for Response<'_> {
    fn listen(&mut self) {}

    fn poll_presence(&mut self, cx: &mut Context<'_>) -> Option<Presence> {
        self.shared.slot(self.stream, |slot| slot.listen(cx));
        match self.presence() {
            Presence::There => None,
            presence => Some(presence),
        }
    }

    fn is_told(&self) -> bool {
        true
    }

    fn told(&self) -> Presence {
        self.presence()
    }

    fn look(&self) -> Presence {
        self.presence()
    }

    fn respond(&mut self, head: &ResponseHead<'_, '_>, edits: &ResponseEdits<'_>, _may_keep: bool) {
        let is_final = head.status >= 200;
        let has_none = matches!(head.content, ContentLength::None | ContentLength::Exact(0));
        let ends = is_final && has_none;
        let mut machine = self.shared.machine.borrow_mut();
        let before = machine.unsent_bytes();
        let result = machine.respond(self.stream, head, edits, ends);
        self.sent += machine.unsent_bytes().saturating_sub(before) as u64;
        drop(machine);
        self.has_ended |= ends;
        self.is_closed |= result.is_err();
        self.shared.changed();
    }

    fn append(&mut self, along: Along<'_>) {
        self.end = along.end.map(<[u8]>::to_vec);
        if self.has_ended {
            return;
        }
        let mut machine = self.shared.machine.borrow_mut();
        let is_end = along.end.is_some_and(<[u8]>::is_empty);
        let sent = match along.bytes.is_empty() && !is_end {
            true => Ok(0),
            false => machine.send(self.stream, along.bytes, is_end),
        };
        drop(machine);
        self.is_closed |= sent.is_err();
        let count = sent.unwrap_or(along.bytes.len());
        self.sent += count as u64;
        let left = along.bytes.get(count..).unwrap_or_default();
        self.has_ended = is_end && left.is_empty();
        if !left.is_empty() {
            self.rest =
                if left.len() > buffers::SMALL_BYTES { buffers::large() } else { buffers::small() };
            self.rest.extend_from_slice(left);
        }
    }

    async fn flush(&mut self, is_whole: bool) -> Result<Flushed, SendFault> {
        if self.hand_over().map_err(|Closed| SendFault::Reset)? {
            return Ok(if is_whole { Flushed::OnItsWay } else { Flushed::Taken });
        }
        self.taken().await?;
        Ok(Flushed::Taken)
    }

    async fn send(&mut self, piece: Piece, end: Option<&[u8]>) -> Result<(), SendFault> {
        let Piece { buffer, from } = piece;
        (self.rest, self.at) = (buffer, from);
        self.end = end.map(<[u8]>::to_vec);
        self.taken().await
    }

    async fn finish(&mut self) {}
}
