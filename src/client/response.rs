//! A response on its way to a client of HTTP/1: written, framed as its version needs, sent.

use std::future::poll_fn;
use std::task::Context;

use super::connection::Connection;
use super::early::{Ahead, NextReceive};
use crate::exchange::client::{Answering, Flushed, Presence};
use crate::exchange::content::{Along, Piece, SendFault};
use crate::http::edits::ResponseEdits;
use crate::http::head::{ContentLength, ResponseHead, Version};
use crate::http1::frame;
use crate::http1::framing::ResponseFraming;
use crate::http1::rewrite::{self, ToClient};
use crate::snapshot::Listener;
use crate::time::patience::Patience;
use crate::time::timers::{Timer, Timers};
use crate::transport::pace::Drain;
use crate::transport::{sending, stream};
use crate::uring::buffers;

/// Responses up to this size are sent without waiting for the send's end.
const LAZY_SEND_BYTES: usize = 16 * 1024;

/// The properties of a request that its response depends on.
#[derive(Debug, Clone, Copy)]
pub struct Asked {
    pub version: Version,
    /// Whether the client wants its connection kept.
    pub persistent: bool,
    /// The request has come whole, with no bytes behind it.
    pub may_listen: bool,
}

/// The response to one request.
pub struct Response<'a> {
    connection: &'a Connection,
    listener: &'a Listener,
    timers: &'a Timers<'a>,
    asked: Asked,
    pub ahead: &'a mut Ahead,
    /// Bytes that are written but not sent.
    out: Vec<u8>,
    is_chunked: bool,
    /// Whether another request may follow.
    pub keep: bool,
    /// Bytes that the system has taken.
    pub sent: u64,
    /// Whether the pace of this response is being measured.
    is_paced: bool,
}

impl<'a> Response<'a> {
    pub fn new(
        connection: &'a Connection,
        listener: &'a Listener,
        timers: &'a Timers<'a>,
        asked: Asked,
        ahead: &'a mut Ahead,
    ) -> Response<'a> {
        Response {
            connection,
            listener,
            timers,
            asked,
            ahead,
            out: Vec::new(),
            is_chunked: false,
            keep: false,
            sent: 0,
            is_paced: false,
        }
    }

    fn patience(&self) -> Patience<'a> {
        Patience { timers: self.timers, timer: Timer::Send, idle: self.listener.timeouts.send_idle }
    }

    /// How the content is framed for this client.
    fn framing(&self, head: &ResponseHead<'_, '_>) -> ResponseFraming {
        match head.content {
            ContentLength::None => ResponseFraming::None,
            ContentLength::Exact(length) => ResponseFraming::Length(length),
            ContentLength::Unknown if self.asked.version == Version::Http10 => {
                ResponseFraming::UntilClose
            }
            ContentLength::Unknown => ResponseFraming::Chunked,
        }
    }

    /// Sends `buffer[from..]` and waits until it is taken.
    async fn send_from(&mut self, buffer: Vec<u8>, from: usize) -> Result<(), SendFault> {
        self.sent += (buffer.len() - from) as u64;
        let (client, patience) = (&self.connection.client, self.patience());
        let drain = &mut self.ahead.drain;
        if !std::mem::replace(&mut self.is_paced, true) {
            let timeouts = &self.listener.timeouts;
            *drain = Drain::new(timeouts.send_minimum_rate, timeouts.send_idle);
        }
        let sent = sending::send_at_pace(client, buffer, from, patience, drain).await;
        buffers::give_back(sent.map_err(SendFault::from)?);
        Ok(())
    }
}

impl From<stream::Presence> for Presence {
    fn from(presence: stream::Presence) -> Presence {
        match presence {
            stream::Presence::There => Presence::There,
            stream::Presence::Ended => Presence::Ended,
            stream::Presence::Reset => Presence::Reset,
        }
    }
}

impl Answering for Response<'_> {
    #[inline]
    fn listen(&mut self) {
        if self.asked.may_listen && self.ahead.next.is_none() {
            self.ahead.next.begin(&self.connection.client);
        }
    }

    #[inline]
    fn poll_presence(&mut self, cx: &mut Context<'_>) -> Option<Presence> {
        let next = &mut self.ahead.next;
        (!next.is_none() && next.poll_arrived(cx)).then(|| next.client())
    }

    fn is_told(&self) -> bool {
        matches!(self.ahead.next, NextReceive::InFlight(_))
    }

    fn told(&self) -> Presence {
        self.ahead.next.client()
    }

    fn look(&self) -> Presence {
        self.connection.client.presence().into()
    }

    fn respond(&mut self, head: &ResponseHead<'_, '_>, edits: &ResponseEdits<'_>, may_keep: bool) {
        // HTTP/1.0 has no interim responses (RFC 9110 §15.2).
        let is_interim = head.status < 200 && head.status != 101;
        if is_interim && self.asked.version == Version::Http10 {
            return;
        }
        if self.out.capacity() == 0 {
            self.out = buffers::small();
        }
        let framing = if head.status < 200 { ResponseFraming::None } else { self.framing(head) };
        self.is_chunked = framing == ResponseFraming::Chunked;
        self.keep = head.status < 200
            || may_keep
                && self.asked.persistent
                && framing != ResponseFraming::UntilClose
                && self.connection.may_continue(self.listener.requests_per_connection);
        let to_client = ToClient {
            version: self.asked.version,
            framing,
            keep: self.keep,
            upgrade: head.status == 101,
        };
        rewrite::response(head, edits, &to_client, &mut self.out);
    }

    fn append(&mut self, along: Along<'_>) {
        if self.out.len() + along.bytes.len() + 64 > self.out.capacity() {
            let mut larger = buffers::large();
            larger.extend_from_slice(&self.out);
            buffers::give_back(std::mem::replace(&mut self.out, larger));
        }
        if self.is_chunked {
            frame::append_chunk(along.bytes, along.end, &mut self.out);
        } else {
            self.out.extend_from_slice(along.bytes);
        }
    }

    async fn flush(&mut self, is_whole: bool) -> Result<Flushed, SendFault> {
        let out = std::mem::take(&mut self.out);
        if is_whole && out.len() <= LAZY_SEND_BYTES {
            self.sent += out.len() as u64;
            self.ahead.last.begin(&self.connection.client, out);
            return Ok(Flushed::OnItsWay);
        }
        if !out.is_empty() {
            self.send_from(out, 0).await?;
        }
        Ok(Flushed::Taken)
    }

    async fn send(&mut self, piece: Piece, end: Option<&[u8]>) -> Result<(), SendFault> {
        let Piece { mut buffer, mut from } = piece;
        if self.is_chunked {
            from = frame::close_chunk(&mut buffer, from, end);
        }
        self.send_from(buffer, from).await
    }

    async fn finish(&mut self) {
        let Patience { timers, timer, idle } = self.patience();
        let deadline = timers.clock.deadline(idle);
        let sent = poll_fn(|cx| self.ahead.last.poll_done(cx));
        timers.bound(timer, deadline, sent, || self.connection.client.abort()).await;
    }
}

#[cfg(test)]
#[path = "response_tests.rs"]
mod tests;
