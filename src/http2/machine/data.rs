//! DATA (RFC 9113 §6.1): counted against windows, length and budgets, and passed on.
//!
//! Content that nobody wants counts on the connection, and returns at once. Tested through the machine.

use super::Machine;
use super::events::{Event, Key, LengthMismatch, Malformed};
use super::fault::Fault;
use super::history::Ended;
use super::receive::Outcome;
use super::stream::{Receiving, Stream};
use crate::http::head::ContentLength;
use crate::http2::frame::Side;
use crate::http2::frame::fault::{FrameFault, Scope};

impl Machine {
    #[inline]
    pub(super) fn data<'i>(
        &mut self,
        id: u32,
        (content, flow_bytes): (&'i [u8], u32),
        ends: bool,
        now_ms: u64,
    ) -> Outcome<'i> {
        // A payload is no longer than a frame.
        let content_bytes = content.len() as u32;
        self.budgets.is_busy = true;
        self.counts.data_bytes_received += u64::from(content_bytes);
        let totals = (self.counts.data_bytes_received, self.counts.data_frames_sent);
        let is_judged = self.options.side == Side::Server;
        self.budgets.data(content_bytes, ends, is_judged, totals)?;
        let Some(slot) = self.streams.find(id) else {
            return self.data_of_none(id, flow_bytes, now_ms);
        };
        let Some(stream) = self.streams.at_mut(slot) else { return Ok(None) };
        let key = stream.key(slot);
        if stream.receiving != Receiving::Content {
            return self.unexpected_data(key, flow_bytes, now_ms);
        }
        match self.flow.receive(&mut stream.flow, flow_bytes, content_bytes) {
            Ok(()) => {}
            Err(fault) if fault.scope() == Scope::Connection => return Err(fault.into()),
            Err(fault) => return self.stream_fault(key, fault, now_ms),
        }
        stream.received += u64::from(content_bytes);
        if !has_valid_length(stream, ends) {
            stream.flow.take(content_bytes, &mut self.flow);
            return Ok(Some(self.malformed(key, Malformed::Length)));
        }
        if ends {
            stream.receiving = Receiving::Ended;
            stream.has_end = true;
            self.flow.close_stream(&mut stream.flow);
        } else if content_bytes < flow_bytes {
            self.return_padding(key);
        }
        let is_event = content_bytes > 0 || ends;
        Ok(is_event.then_some(Event::Content { stream: key, bytes: content, ends }))
    }

    /// Padding is not held: it returns with the next update of the stream's window.
    #[cold]
    fn return_padding(&mut self, key: Key) {
        let size_max = self.options.stream_bytes_max;
        let Some(stream) = self.streams.get_mut(key) else { return };
        if let Some(increment) = stream.flow.update(size_max, &mut self.flow) {
            self.output.window_update(key.id, increment);
        }
    }

    /// DATA on a stream that has a place, and of which none is expected.
    #[cold]
    fn unexpected_data<'i>(&mut self, key: Key, flow_bytes: u32, now_ms: u64) -> Outcome<'i> {
        self.flow.discard(flow_bytes)?;
        let Some(stream) = self.streams.get(key) else { return Ok(None) };
        match stream.receiving {
            // A response begins with its head.
            Receiving::Head => Ok(Some(self.malformed(key, Malformed::NoHead))),
            Receiving::Ended if stream.is_closed() => Err(FrameFault::StreamClosed.into()),
            Receiving::Ended => self.stream_fault(key, FrameFault::StreamHalfClosed, now_ms),
            Receiving::Gone => {
                self.late_fault(key.id, FrameFault::StreamWasReset, now_ms)?;
                Ok(None)
            }
            Receiving::Content | Receiving::Stopped => Ok(None),
        }
    }

    /// DATA on a stream that has no place.
    #[cold]
    fn data_of_none<'i>(&mut self, id: u32, flow_bytes: u32, now_ms: u64) -> Outcome<'i> {
        self.flow.discard(flow_bytes)?;
        if self.is_idle_id(id) {
            return match self.is_left_out(id, now_ms)? {
                true => Ok(None),
                false => Err(FrameFault::StreamIdle.into()),
            };
        }
        match self.ended(id) {
            Ended::ResetByLimpet | Ended::LongAgo => {}
            Ended::ResetByPeer => self.late_fault(id, FrameFault::StreamWasReset, now_ms)?,
            Ended::ByBoth | Ended::Skipped => return Err(FrameFault::StreamClosed.into()),
        }
        Ok(None)
    }

    /// How the stream has ended that has no place any more and is not idle.
    pub(super) fn ended(&self, id: u32) -> Ended {
        self.streams.history.get(id >> 1)
    }

    /// No more of the message is passed on; the stream stays until its owner resets it.
    #[cold]
    pub(super) fn malformed<'i>(&mut self, stream: Key, cause: Malformed) -> Event<'i> {
        if let Some(state) = self.streams.get_mut(stream) {
            state.receiving = Receiving::Stopped;
            self.flow.close_stream(&mut state.flow);
        }
        Event::Malformed { stream, cause }
    }

    /// Gives back the credit for `bytes` of the stream's content, which the other side has taken.
    #[inline]
    pub fn take(&mut self, stream: Key, bytes: usize) {
        let size_max = self.options.stream_bytes_max;
        let Some(state) = self.streams.get_mut(stream) else { return };
        let bytes = u32::try_from(bytes).unwrap_or(u32::MAX).min(state.flow.held());
        state.flow.take(bytes, &mut self.flow);
        if let Some(increment) = state.flow.update(size_max, &mut self.flow) {
            self.budgets.is_busy = true;
            self.output.window_update(stream.id, increment);
        }
    }

    /// The content of the stream is as long as its head says, as far as it has come: to be told what the head says,
    /// once it is judged.
    ///
    /// # Errors
    /// It is not. No more of the message is passed on, as after [`Event::Malformed`].
    #[inline]
    pub fn expect(&mut self, stream: Key, content: ContentLength) -> Result<(), LengthMismatch> {
        let Some(state) = self.streams.get_mut(stream) else { return Ok(()) };
        state.expected = match content {
            // Of HEAD, 204 and 304 there is none.
            ContentLength::None => Some(0),
            ContentLength::Exact(length) => Some(length),
            ContentLength::Unknown => None,
        };
        let has_ended = state.has_end;
        if has_valid_length(state, has_ended) {
            return Ok(());
        }
        if state.receiving == Receiving::Content {
            self.malformed(stream, Malformed::Length);
        }
        Err(LengthMismatch)
    }

    /// Every fault of the connection that is found outside of an event.
    #[cold]
    pub(super) fn tell_if(&mut self, result: Result<(), Fault>) {
        if let Err(fault) = result {
            self.tell(fault);
        }
    }
}

/// Whether so much content may have come (RFC 9113 §8.1.1).
#[inline]
pub(super) fn has_valid_length(stream: &Stream, has_ended: bool) -> bool {
    match stream.expected {
        None => true,
        Some(expected) if has_ended => stream.received == expected,
        Some(expected) => stream.received <= expected,
    }
}
