//! A response on its way to a client of HTTP/2: heads and content, handed to the machine as it takes them.

use std::future::{Future as _, poll_fn};
use std::pin::pin;
use std::task::{Context, Poll};

use super::grpc;
use super::shared::Shared;
use crate::exchange::answer::Reply;
use crate::exchange::client::{Answering, Flushed, Presence};
use crate::exchange::content::{Along, Piece, SendFault};
use crate::http::edits::ResponseEdits;
use crate::http::head::{ContentLength, ResponseHead};
use crate::http2::hpack::encoder::Indexing;
use crate::http2::machine::events::{Closed, Key};
use crate::http2::rewrite;
use crate::multiplex::writing::Writing;
use crate::snapshot::Listener;
use crate::time::patience::Patience;
use crate::time::timers::{Timer, Timers};

/// The response to one request.
pub struct Response<'a> {
    shared: &'a Shared,
    stream: Key,
    listener: &'a Listener,
    timers: &'a Timers<'a>,
    writing: Writing,
    /// Bytes of heads that were written.
    head_bytes: u64,
    /// Whether a final head was written.
    has_head: bool,
}

impl<'a> Response<'a> {
    pub fn new(
        shared: &'a Shared,
        stream: Key,
        listener: &'a Listener,
        timers: &'a Timers<'a>,
    ) -> Response<'a> {
        let mut writing = Writing::default();
        writing.minimum_rate = listener.timeouts.send_minimum_rate;
        let (head_bytes, has_head) = (0, false);
        Response { shared, stream, listener, timers, writing, head_bytes, has_head }
    }

    /// Bytes of heads and content that were written.
    pub fn sent(&self) -> u64 {
        self.head_bytes + self.writing.sent
    }

    /// Whether the client has been told a part of the final response.
    pub fn has_begun(&self) -> bool {
        self.has_head
    }

    /// Whether the call's time is up; while it is not, the task is woken when it is.
    fn poll_late(&self, cx: &mut Context<'_>) -> bool {
        self.timers.at(Timer::Call).is_some() && self.timers.poll_due(Timer::Call, cx)
    }

    fn to(&self) -> (&'a Shared, Key) {
        (self.shared, self.stream)
    }

    fn presence(&self) -> Presence {
        self.shared.presence(self.stream)
    }

    /// Waits until the machine has taken everything, within the listener's patience and the call's time.
    async fn taken(&mut self) -> Result<(), SendFault> {
        let (timers, idle) = (self.timers, self.listener.timeouts.send_idle);
        let patience = Patience { timers, timer: Timer::Send, idle };
        let to = self.to();
        if timers.at(Timer::Call).is_none() {
            return self.writing.taken(to, patience).await;
        }
        let mut taken = pin!(self.writing.taken(to, patience));
        let taken = poll_fn(|cx| match taken.as_mut().poll(cx) {
            Poll::Pending if timers.poll_due(Timer::Call, cx) => {
                Poll::Ready(Err(SendFault::Timeout))
            }
            polled => polled,
        });
        let taken = taken.await;
        timers.stop(Timer::Send);
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
        self.head_bytes += machine.unsent_bytes().saturating_sub(before) as u64;
        drop(machine);
        self.writing.has_ended |= ends;
        self.writing.is_closed |= written.is_err();
        if !ends {
            self.append(Along { bytes: &answer.body, end: Some(b"") });
        }
        self.shared.changed();
    }
}

impl Response<'_> {
    /// Writes an answer of limpet's own to a call of gRPC: trailers only, with this status.
    pub fn answer_call(&mut self, reply: &Reply, grpc_status: u32, date: &str) {
        let mut machine = self.shared.machine.borrow_mut();
        let before = machine.unsent_bytes();
        let written = machine.respond_with(self.stream, 200, true, |encoder, out| {
            encoder.field(b"content-type", grpc::CONTENT_TYPE, Indexing::Allowed, out);
            let mut number = itoa::Buffer::new();
            let status = number.format(grpc_status).as_bytes();
            encoder.field(b"grpc-status", status, Indexing::Allowed, out);
            // What the file answers has no word of its own.
            let mut http = itoa::Buffer::new();
            let said: [&[u8]; 2] = match reply.code {
                "" => [b"limpet: HTTP status ", http.format(reply.status).as_bytes()],
                code => [b"limpet: ", code.as_bytes()],
            };
            encoder.field_of((b"grpc-message", &said), Indexing::Allowed, out);
            encoder.field(b"date", date.as_bytes(), Indexing::Allowed, out);
        });
        self.head_bytes += machine.unsent_bytes().saturating_sub(before) as u64;
        drop(machine);
        self.writing.has_ended = true;
        self.writing.is_closed |= written.is_err();
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

impl Answering for Response<'_> {
    fn listen(&mut self) {}

    fn poll_presence(&mut self, cx: &mut Context<'_>) -> Option<Presence> {
        self.shared.slot(self.stream, |slot| slot.listen(cx));
        match self.presence() {
            // Whatever is awaited for a call ends with its time, as for a client that is gone.
            Presence::There => self.poll_late(cx).then_some(Presence::Reset),
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
        self.has_head |= is_final || head.status == 101;
        let has_none = matches!(head.content, ContentLength::None | ContentLength::Exact(0));
        let ends = is_final && has_none;
        let mut machine = self.shared.machine.borrow_mut();
        let before = machine.unsent_bytes();
        // A tunnel that is open (RFC 8441 §5).
        let result = match head.status {
            101 => machine.respond_with(self.stream, 200, false, |encoder, out| {
                rewrite::response(head, edits, encoder, out);
            }),
            _ => machine.respond(self.stream, head, edits, ends),
        };
        self.head_bytes += machine.unsent_bytes().saturating_sub(before) as u64;
        drop(machine);
        self.writing.has_ended |= ends;
        self.writing.is_closed |= result.is_err();
        self.shared.changed();
    }

    fn append(&mut self, along: Along<'_>) {
        self.writing.append(self.to(), along);
    }

    async fn flush(&mut self, is_whole: bool) -> Result<Flushed, SendFault> {
        if self.writing.hand_over(self.to()).map_err(|Closed| self.shared.fault())? {
            return Ok(if is_whole { Flushed::OnItsWay } else { Flushed::Taken });
        }
        self.taken().await?;
        Ok(Flushed::Taken)
    }

    async fn send(&mut self, piece: Piece, end: Option<&[u8]>) -> Result<(), SendFault> {
        self.writing.put(piece, end);
        self.taken().await
    }

    async fn finish(&mut self) {}
}
