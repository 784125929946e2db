//! What is sent on streams: heads, content, trailers, resets; and the end of a stream.
//!
//! Every frame is written at once, behind those that wait to be sent, so that the frames of a stream keep their order.
//! Tested through the machine.

use super::events::{Cause, Closed, Key, Unavailable};
use super::history::Ended;
use super::stream::{Receiving, Sending};
use super::timers::Timer;
use super::{Life, Machine};
use crate::http::edits::ResponseEdits;
use crate::http::head::ResponseHead;
use crate::http2::frame::error_code::ErrorCode;
use crate::http2::frame::{MAX_31, Side, write};
use crate::http2::hpack::encoder::{Encoder, Indexing};
use crate::http2::priority::Priority;
use crate::http2::rewrite;

impl Machine {
    /// Sends the head of a response, interim or final, with its edits; `ends`: without content.
    ///
    /// # Errors
    /// The stream takes no head any more.
    #[inline]
    pub fn respond(
        &mut self,
        stream: Key,
        head: &ResponseHead<'_, '_>,
        edits: &ResponseEdits<'_>,
        ends: bool,
    ) -> Result<(), Closed> {
        self.respond_with(stream, head.status, ends, |encoder, out| {
            rewrite::response(head, edits, encoder, out);
        })
    }

    /// Sends the head of a response whose fields, behind `:status`, `fields` writes.
    ///
    /// # Errors
    /// The stream takes no head any more.
    #[inline]
    pub fn respond_with(
        &mut self,
        stream: Key,
        status: u16,
        ends: bool,
        fields: impl FnOnce(&Encoder, &mut Vec<u8>),
    ) -> Result<(), Closed> {
        let is_over = self.life == Life::Over;
        let state = self.streams.get_mut(stream);
        let state = state.filter(|state| state.sending == Sending::Head && !is_over);
        let state = state.ok_or(Closed)?;
        if status >= 200 {
            state.sending = if ends { Sending::Ended } else { Sending::Content };
        }
        self.budgets.is_busy = true;
        let out = &mut self.output.frames;
        let start = write::begin_headers(out);
        self.encoder.begin(out);
        self.encoder.status(status, out);
        fields(&self.encoder, out);
        write::end_headers((start, self.frame_bytes), stream.id, ends && status >= 200, out);
        Ok(())
    }

    /// Opens a stream with a request. `block` is what an [`Encoder`] has written, the same for every connection.
    ///
    /// # Errors
    /// No stream can be opened now, or none ever.
    pub fn request(&mut self, block: &[u8], ends: bool, now_ms: u64) -> Result<Key, Unavailable> {
        if self.available() == 0 {
            let may_later = self.takes_requests();
            return Err(if may_later { Unavailable::Full } else { Unavailable::Closed });
        }
        let id = if self.last_id == 0 { 1 } else { self.last_id + 2 };
        let sending = if ends { Sending::Ended } else { Sending::Content };
        let priority = Priority::default();
        let key = self.place((id, Receiving::Head), sending, priority, now_ms);
        let key = key.ok_or(Unavailable::Full)?;
        self.last_id = id;
        self.budgets.is_busy = true;
        let out = &mut self.output.frames;
        let start = write::begin_headers(out);
        self.encoder.begin(out);
        out.extend_from_slice(block);
        write::end_headers((start, self.frame_bytes), id, ends, out);
        Ok(key)
    }

    /// How many streams may be opened now.
    pub fn available(&self) -> u32 {
        if !self.takes_requests() {
            return 0;
        }
        let most = self.peer.max_concurrent_streams.min(self.options.streams_max);
        most.saturating_sub(self.streams.count())
    }

    /// Whether the final head of a response has been written, and its end has not.
    pub fn responds(&self, stream: Key) -> bool {
        self.streams.get(stream).is_some_and(|state| state.sending == Sending::Content)
    }

    /// Whether the peer has said that it opens tunnels (RFC 8441 §3).
    pub fn opens_tunnels(&self) -> bool {
        self.peer.enable_connect_protocol
    }

    /// Whether streams can be opened, now or later.
    pub fn takes_requests(&self) -> bool {
        let has_ids = self.last_id < MAX_31 - 1;
        let is_client = self.options.side == Side::Client;
        is_client && self.life == Life::Open && self.peer_last.is_none() && has_ids
    }

    /// Sends content, as much as may be sent now, and returns how many bytes that is. `ends`: END_STREAM goes with the
    /// last of them, or alone when there are none. When bytes are left, [`Machine::next_turn`] will name the stream.
    ///
    /// # Errors
    /// The stream takes no content any more, or none yet.
    #[inline]
    pub fn send(&mut self, stream: Key, bytes: &[u8], ends: bool) -> Result<usize, Closed> {
        let is_over = self.life == Life::Over;
        let state = self.streams.get_mut(stream);
        let state = state.filter(|state| state.sending == Sending::Content && !is_over);
        let state = state.ok_or(Closed)?;
        let wanted = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
        let allowance = self.turns.allowance(state, wanted, self.output.room());
        let count = wanted.min(allowance).min(state.window.open()).min(self.window.open());
        let (now, later) = bytes.split_at_checked(count as usize).ok_or(Closed)?;
        let ends = ends && later.is_empty();
        if ends {
            state.sending = Sending::Ended;
        }
        if count > 0 || ends {
            state.window.send(count);
            self.window.send(count);
            self.turns.sent(state.priority.urgency, count);
            self.write_data(stream.id, now, ends);
        }
        if !later.is_empty() {
            self.turns.wait(stream.slot, &mut self.streams);
        } else if ends {
            self.turns.leave(stream.slot, &mut self.streams);
        }
        Ok(count as usize)
    }

    #[inline]
    fn write_data(&mut self, id: u32, content: &[u8], ends: bool) {
        let most = (self.frame_bytes as usize).max(1);
        let out = &mut self.output.frames;
        let mut rest = content;
        loop {
            let (now, later) = rest.split_at_checked(most).unwrap_or((rest, &[]));
            write::data_header(id, now.len() as u32, ends && later.is_empty(), out);
            out.extend_from_slice(now);
            self.counts.data_frames_sent += 1;
            rest = later;
            if rest.is_empty() {
                break;
            }
        }
        self.output.content_bytes += content.len() as u32;
        self.counts.data_bytes_sent += content.len() as u64;
        self.budgets.is_busy = true;
    }

    /// Whether the stream can send no content before the peer has opened a window: its own, or, with `or_connection`, that
    /// of the connection.
    pub fn is_blocked(&self, stream: Key, or_connection: bool) -> bool {
        let own = self.streams.get(stream).map_or(0, |state| state.window.open());
        own == 0 || or_connection && self.window.open() == 0
    }

    /// Sends trailers and END_STREAM, when all content was taken. `lines` are `name: value CRLF`, without an empty one.
    ///
    /// # Errors
    /// The stream takes nothing any more, or has no head yet.
    pub fn send_trailers(&mut self, stream: Key, lines: &[u8]) -> Result<(), Closed> {
        let is_over = self.life == Life::Over;
        let state = self.streams.get_mut(stream);
        let state = state.filter(|state| state.sending == Sending::Content && !is_over);
        state.ok_or(Closed)?.sending = Sending::Ended;
        self.budgets.is_busy = true;
        self.turns.leave(stream.slot, &mut self.streams);
        let out = &mut self.output.frames;
        let start = write::begin_headers(out);
        self.encoder.begin(out);
        let mut rest = lines;
        while let Some((name, value)) = next_line(&mut rest) {
            // One that came so must go on so, which nobody knows of these any more (RFC 7541 §7.1.3).
            self.encoder.field(name, value, Indexing::Never, out);
        }
        write::end_headers((start, self.frame_bytes), stream.id, true, out);
        Ok(())
    }

    /// Resets the stream, unless it is closed. Its place stays until [`Machine::finish`]. A response that was sent
    /// whole stays whole for the client.
    pub fn reset(&mut self, stream: Key, cause: Cause, now_ms: u64) {
        let is_over = self.life == Life::Over;
        let Some(state) = self.streams.get(stream).filter(|_| !is_over) else { return };
        if state.is_reset || state.is_closed() && cause != Cause::Malformed {
            return;
        }
        self.reset_frame(stream, cause.code());
        self.counts.endings.by_limpet(cause);
        if cause == Cause::Malformed {
            let provoked = self.provoked(now_ms);
            self.tell_if(provoked);
        }
    }

    /// Writes RST_STREAM, and closes the stream.
    pub(super) fn reset_frame(&mut self, stream: Key, code: ErrorCode) {
        self.output.rst_stream(stream.id, code);
        self.close_stream(stream, Receiving::Stopped);
    }

    /// The stream is reset, by whom `receiving` tells: nothing more goes either way.
    pub(super) fn close_stream(&mut self, stream: Key, receiving: Receiving) {
        self.turns.leave(stream.slot, &mut self.streams);
        if let Some(state) = self.streams.get_mut(stream) {
            state.receiving = receiving;
            state.sending = Sending::Ended;
            state.is_reset = true;
            self.flow.close_stream(&mut state.flow);
        }
    }

    /// The exchange on the stream has ended, and its place is free. A stream that is not closed is reset: without an
    /// error when the response was whole before the request.
    #[inline]
    pub fn finish(&mut self, stream: Key) {
        let Some(state) = self.streams.get(stream) else { return };
        if !state.is_closed() && self.life != Life::Over {
            self.reset_unfinished(stream);
        }
        let Some(state) = self.streams.get_mut(stream) else { return };
        if !state.is_noted && self.options.side == Side::Server {
            self.budgets.ended();
        }
        let held = state.flow.held();
        state.flow.take(held, &mut self.flow);
        self.flow.close_stream(&mut state.flow);
        let ended = match (state.is_reset, state.receiving) {
            (_, Receiving::Gone) => Ended::ResetByPeer,
            (true, _) => Ended::ResetByLimpet,
            (false, _) => Ended::ByBoth,
        };
        self.turns.leave(stream.slot, &mut self.streams);
        self.streams.remove(stream, ended);
        if self.streams.count() == 0 {
            self.timers.stop(Timer::Silence);
            self.timers.stop(Timer::PingAnswer);
        }
    }

    #[cold]
    fn reset_unfinished(&mut self, stream: Key) {
        let Some(state) = self.streams.get(stream) else { return };
        let is_early = state.sending == Sending::Ended;
        let cause = match (self.options.side, is_early) {
            (Side::Server, true) => Cause::Early,
            (Side::Server, false) => Cause::Internal,
            (Side::Client, _) => Cause::Cancel,
        };
        self.reset_frame(stream, cause.code());
        self.counts.endings.by_limpet(cause);
    }
}

/// Takes the next field line off `lines`.
fn next_line<'l>(lines: &mut &'l [u8]) -> Option<(&'l [u8], &'l [u8])> {
    let end = memchr::memchr(b'\n', lines)?;
    let (line, rest) = lines.split_at_checked(end + 1)?;
    *lines = rest;
    let line = line.strip_suffix(b"\r\n").or_else(|| line.strip_suffix(b"\n"))?;
    let colon = memchr::memchr(b':', line)?;
    let (name, value) = line.split_at_checked(colon)?;
    Some((name, crate::http::fields::trim(value.get(1..)?)))
}
