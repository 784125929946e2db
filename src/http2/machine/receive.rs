//! The frames of the peer, one at a time: which is for whom.
//!
//! A frame is taken off the input when all of it is there, and passed on in place. Tested whole and byte by byte.

use super::events::{Event, Key, ResetBy};
use super::fault::Fault;
use super::history::Ended;
use super::stream::{Receiving, Sending, Turn};
use super::timers::Timer;
use super::{Life, Machine};
use crate::http2::flow::Overflow;
use crate::http2::frame::error_code::ErrorCode;
use crate::http2::frame::fault::{FrameFault, Scope};
use crate::http2::frame::{Frame, HEADER_BYTES, Header, PREFACE, Side, parse};
use crate::http2::priority::Priority;
use crate::http2::settings::WINDOW_DEFAULT;

/// What a frame leads to.
pub(super) type Outcome<'i> = Result<Option<Event<'i>>, Fault>;

impl Machine {
    /// Takes whole frames off `input` until one of them is an event, or until no whole one is left: what remains then
    /// is the beginning of a frame, and has to stand in front of the bytes that come next. `input` has to have room for
    /// the longest frame that limpet's settings allow, and its header. While [`Machine::takes_input`] says no, nothing
    /// is taken.
    #[inline]
    pub fn receive<'i>(&mut self, input: &mut &'i [u8], now_ms: u64) -> Option<Event<'i>> {
        if self.untold.is_some() || self.unprocessed_from.is_some() || !self.has_preface {
            match self.before_frames(input) {
                Ok(None) => {}
                Ok(event) => return event,
                Err(fault) => {
                    *input = &[];
                    return Some(self.fail(fault));
                }
            }
        }
        if self.life == Life::Over {
            *input = &[];
        }
        if !self.takes_input() {
            return None;
        }
        loop {
            match self.next_frame(input, now_ms) {
                Ok(Step::Event(event)) => return Some(event),
                Ok(Step::Nothing) => {}
                Ok(Step::Incomplete) => return None,
                Err(fault) => {
                    *input = &[];
                    return Some(self.fail(fault));
                }
            }
        }
    }

    /// What comes before the next frame: events that are left over, and a client's preface (RFC 9113 §3.4).
    #[cold]
    fn before_frames<'i>(&mut self, input: &mut &'i [u8]) -> Outcome<'i> {
        if let Some(fault) = self.untold.take() {
            *input = &[];
            return Ok(Some(Event::Fault(fault)));
        }
        if let Some(event) = self.next_unprocessed() {
            return Ok(Some(event));
        }
        if self.has_preface || self.life == Life::Over {
            return Ok(None);
        }
        if let Some(rest) = input.strip_prefix(PREFACE) {
            *input = rest;
            self.has_preface = true;
        } else if !PREFACE.starts_with(input) {
            return Err(FrameFault::Preface.into());
        }
        Ok(None)
    }

    #[inline(always)]
    fn next_frame<'i>(&mut self, input: &mut &'i [u8], now_ms: u64) -> Result<Step<'i>, Fault> {
        let Some((head, after)) = input.split_first_chunk::<HEADER_BYTES>() else {
            return Ok(Step::Incomplete);
        };
        if !self.has_preface {
            return Ok(Step::Incomplete);
        }
        let header = Header::read(head);
        header.fits(self.options.own.frame_bytes)?;
        let Some((payload, rest)) = after.split_at_checked(header.length as usize) else {
            return Ok(Step::Incomplete);
        };
        *input = rest;
        self.received_ms = now_ms;
        self.order.follow(header)?;
        let frame = match parse(header, payload, self.options.side) {
            Ok(frame) => frame,
            Err(fault) => {
                return Ok(self.frame_fault(header.stream, fault, now_ms)?.into());
            }
        };
        let outcome = match frame {
            Frame::Data { content, flow_bytes, end_stream } => {
                self.data(header.stream, (content, flow_bytes), end_stream, now_ms)
            }
            Frame::Headers { fragment, end_stream, end_headers, depends_on } => {
                let is_own = depends_on == Some(header.stream);
                self.headers(header.stream, (fragment, end_headers), (end_stream, is_own), now_ms)
            }
            Frame::WindowUpdate { increment } => {
                self.window_update(header.stream, increment, now_ms)
            }
            frame => self.rare_frame(header, frame, now_ms),
        };
        Ok(outcome?.into())
    }

    #[inline(never)]
    fn rare_frame<'i>(&mut self, header: Header, frame: Frame<'i>, now_ms: u64) -> Outcome<'i> {
        match frame {
            Frame::Continuation { fragment, end_headers } => {
                self.continuation(fragment, end_headers, now_ms)
            }
            Frame::RstStream { code } => self.rst_stream(header.stream, code, now_ms),
            Frame::Settings(payload) => self.settings(payload, now_ms),
            Frame::SettingsAck => self.settings_ack(now_ms),
            Frame::Ping { is_ack: false, data } => {
                self.budgets.ping(now_ms)?;
                self.output.ping(true, data);
                self.output.judge()?;
                Ok(None)
            }
            Frame::Ping { is_ack: true, data } => self.ping_ack(data, now_ms),
            Frame::Goaway { last_stream, code, debug: _ } => Ok(self.goaway(last_stream, code)),
            // It means nothing any more (RFC 9113 §5.3.2).
            Frame::Priority => {
                self.budgets.priority(self.counts.streams)?;
                Ok(None)
            }
            Frame::PriorityUpdate { stream, value } => self.priority_update(stream, value),
            Frame::Unknown => {
                self.budgets.unknown_frame(now_ms)?;
                Ok(None)
            }
            // Those come often, and are told apart before.
            Frame::Data { .. } | Frame::Headers { .. } | Frame::WindowUpdate { .. } => Ok(None),
        }
    }

    /// A frame breaks a rule by itself: an error of its stream, where there is one, else of the connection.
    #[cold]
    fn frame_fault<'i>(&mut self, id: u32, fault: FrameFault, now_ms: u64) -> Outcome<'i> {
        match (fault.scope(), self.streams.find(id)) {
            (Scope::Connection, _) => Err(fault.into()),
            (Scope::Stream, Some(slot)) => {
                let stream = self.streams.at_mut(slot).map(|stream| stream.key(slot));
                stream.map_or(Ok(None), |stream| self.stream_fault(stream, fault, now_ms))
            }
            (Scope::Stream, None) if self.is_idle_id(id) => Err(fault.into()),
            (Scope::Stream, None) => {
                self.budgets.unknown_frame(now_ms)?;
                Ok(None)
            }
        }
    }

    /// Whether nobody has opened stream `id` (RFC 9113 §5.1).
    pub(super) fn is_idle_id(&self, id: u32) -> bool {
        id > self.last_id || id.is_multiple_of(2)
    }

    /// Whether it is a stream that limpet's last GOAWAY leaves out: its client may not have sent the head that it had
    /// meant to, and may still reset the stream, which is ignored (RFC 9113 §6.8).
    ///
    /// # Errors
    /// There are too many of them.
    #[cold]
    pub(super) fn is_left_out(&mut self, id: u32, now_ms: u64) -> Result<bool, Fault> {
        let is_left_out = matches!(self.life, Life::Last(last) if id > last) && id % 2 == 1;
        if is_left_out {
            self.budgets.refused_stream(now_ms)?;
        }
        Ok(is_left_out)
    }

    /// An error of a stream that has a place: it is reset.
    #[cold]
    pub(super) fn stream_fault<'i>(
        &mut self,
        stream: Key,
        fault: FrameFault,
        now_ms: u64,
    ) -> Outcome<'i> {
        let Some(state) = self.streams.get(stream) else { return Ok(None) };
        if state.is_reset {
            return Ok(None);
        }
        self.reset_frame(stream, fault.code());
        self.counts.endings.for_fault();
        self.provoked(now_ms)?;
        Ok(Some(Event::Reset { stream, by: ResetBy::Fault(fault) }))
    }

    /// An error on a stream that has no place any more (RFC 9113 §5.1).
    #[cold]
    pub(super) fn late_fault(
        &mut self,
        id: u32,
        fault: FrameFault,
        now_ms: u64,
    ) -> Result<(), Fault> {
        if fault.scope() == Scope::Connection {
            return Err(fault.into());
        }
        self.output.rst_stream(id, fault.code());
        self.counts.endings.for_fault();
        self.provoked(now_ms)
    }

    /// limpet had to send RST_STREAM for a fault of the peer.
    pub(super) fn provoked(&mut self, now_ms: u64) -> Result<(), Fault> {
        if self.options.side == Side::Server {
            self.budgets.provoked_reset(now_ms)?;
        }
        Ok(self.output.judge()?)
    }

    /// RFC 9113 §6.9.
    fn window_update<'i>(&mut self, id: u32, increment: u32, now_ms: u64) -> Outcome<'i> {
        self.budgets.is_busy = true;
        self.budgets.window_update(self.counts.streams, self.counts.data_frames_sent)?;
        if id == 0 {
            let grown = self.window.grow(increment);
            grown.map_err(|Overflow| FrameFault::ConnectionWindowOverflow)?;
            return Ok(None);
        }
        let Some(slot) = self.streams.find(id) else {
            if self.is_idle_id(id) && !self.is_left_out(id, now_ms)? {
                return Err(FrameFault::StreamIdle.into());
            }
            return Ok(None);
        };
        let Some(stream) = self.streams.at_mut(slot).filter(|stream| !stream.is_reset) else {
            return Ok(None);
        };
        if stream.window.grow(increment).is_err() {
            let key = stream.key(slot);
            return self.stream_fault(key, FrameFault::StreamWindowOverflow, now_ms);
        }
        if stream.turn == Turn::Blocked {
            self.turns.wait(slot, &mut self.streams);
        }
        Ok(None)
    }

    /// RFC 9113 §6.4.
    fn rst_stream<'i>(&mut self, id: u32, code: u32, now_ms: u64) -> Outcome<'i> {
        let Some(slot) = self.streams.find(id) else {
            if !self.is_idle_id(id) {
                return self.late_reset(id, now_ms);
            }
            return match self.is_left_out(id, now_ms)? {
                true => Ok(None),
                false => Err(FrameFault::StreamIdle.into()),
            };
        };
        let Some(stream) = self.streams.at_mut(slot) else { return Ok(None) };
        if stream.is_reset {
            let (is_first, opened_ms) = (!stream.is_noted, stream.opened_ms);
            stream.is_noted = true;
            stream.receiving = Receiving::Gone;
            return self.crossing_reset(is_first, opened_ms, now_ms);
        }
        if stream.is_closed() && stream.receiving == Receiving::Ended {
            // Both sides have ended it.
            stream.receiving = Receiving::Gone;
            return Ok(None);
        }
        let key = stream.key(slot);
        let (opened_ms, has_response) = (stream.opened_ms, stream.sending != Sending::Head);
        stream.is_noted = true;
        let code = ErrorCode::of(code);
        self.counts.endings.by_peer(code);
        self.close_stream(key, Receiving::Gone);
        if self.options.side == Side::Server {
            self.budgets.reset(opened_ms, has_response, now_ms)?;
        }
        let by = ResetBy::Peer(code);
        Ok(Some(Event::Reset { stream: key, by }))
    }

    /// A reset of a stream that has no place any more: it may have crossed limpet's own, or the end.
    #[cold]
    fn late_reset<'i>(&mut self, id: u32, now_ms: u64) -> Outcome<'i> {
        let ended = self.ended(id);
        let may_cross = matches!(ended, Ended::ResetByLimpet | Ended::ByBoth);
        if may_cross {
            self.streams.history.set(id >> 1, Ended::ResetByPeer);
        }
        match ended {
            Ended::ByBoth => Ok(None),
            _ => self.crossing_reset(may_cross, now_ms, now_ms),
        }
    }

    /// A reset of a stream that was reset already. The first of a client is one of its own, as of any other stream.
    #[cold]
    fn crossing_reset<'i>(&mut self, is_first: bool, opened_ms: u64, now_ms: u64) -> Outcome<'i> {
        match (is_first, self.options.side) {
            (true, Side::Server) => self.budgets.reset(opened_ms, true, now_ms)?,
            (true, Side::Client) => {}
            (false, _) => self.budgets.unknown_frame(now_ms)?,
        }
        Ok(None)
    }

    /// RFC 9113 §6.5.
    fn settings<'i>(&mut self, payload: &[u8], now_ms: u64) -> Outcome<'i> {
        self.budgets.settings(now_ms)?;
        if self.open.is_none() {
            self.timers.stop(Timer::Head);
        }
        let changes = self.peer.apply(payload, self.options.side)?;
        self.has_peer_settings = true;
        if let Some(least) = changes.header_table_bytes_least {
            self.encoder.set_size_limit(least);
            self.encoder.set_size_limit(self.peer.header_table_bytes);
        }
        self.frame_bytes = self.options.frame_bytes_max.min(self.peer.frame_bytes);
        if changes.window_delta != 0 {
            self.shift_windows(changes.window_delta)?;
        }
        self.output.settings_ack();
        self.output.judge()?;
        let is_of_use = self.options.side == Side::Client;
        Ok(is_of_use.then_some(Event::Settings))
    }

    /// RFC 9113 §6.9.2.
    fn shift_windows(&mut self, delta: i64) -> Result<(), Fault> {
        let mut blocked = arrayvec::ArrayVec::<u16, 64>::new();
        for (key, stream) in self.streams.iter_mut() {
            let shifted = stream.window.shift(delta);
            shifted.map_err(|Overflow| FrameFault::InitialWindowOverflow)?;
            if stream.turn == Turn::Blocked && stream.window.open() > 0 {
                // More of them are found again below.
                let _ = blocked.try_push(key.slot);
            }
        }
        let is_whole = !blocked.is_full();
        for slot in blocked {
            self.turns.wait(slot, &mut self.streams);
        }
        if is_whole { Ok(()) } else { self.shift_windows(0) }
    }

    fn settings_ack<'i>(&mut self, now_ms: u64) -> Outcome<'i> {
        if std::mem::replace(&mut self.has_settings_ack, true) {
            self.budgets.unknown_frame(now_ms)?;
            return Ok(None);
        }
        self.timers.stop(Timer::SettingsAck);
        self.decoder.set_size_limit(self.options.own.header_table_bytes);
        let delta = self.own_window_delta();
        if delta != 0 {
            let flow = &mut self.flow;
            self.streams.iter_mut().for_each(|(_, stream)| {
                if stream.receiving == Receiving::Content || stream.receiving == Receiving::Head {
                    stream.flow.shift(delta, flow);
                }
            });
        }
        Ok(None)
    }

    /// What the acknowledgement of limpet's SETTINGS changes in the windows of streams: a peer that does not know them
    /// yet may send as much as the RFC gives.
    fn own_window_delta(&self) -> i64 {
        let own = i64::from(self.options.own.initial_window_bytes);
        own - own.max(i64::from(WINDOW_DEFAULT))
    }

    /// The window of a stream that opens now, in bytes.
    #[inline]
    pub(super) fn initial_window(&self) -> u32 {
        let own = self.options.own.initial_window_bytes;
        let default = WINDOW_DEFAULT;
        if self.has_settings_ack { own } else { own.max(default) }
    }

    /// RFC 9218 §7.1.
    fn priority_update<'i>(&mut self, id: u32, value: &[u8]) -> Outcome<'i> {
        self.budgets.priority(self.counts.streams)?;
        let priority = Priority::parse(value);
        match self.streams.find(id) {
            Some(slot) => self.prioritize(slot, priority),
            None if self.is_idle_id(id) && !id.is_multiple_of(2) => {
                self.early_priorities.set(id, priority);
            }
            None => {}
        }
        Ok(None)
    }

    fn prioritize(&mut self, slot: u16, priority: Priority) {
        let Some(stream) = self.streams.at_mut(slot) else { return };
        let is_queued = stream.turn == Turn::Queued;
        if is_queued {
            self.turns.leave(slot, &mut self.streams);
        }
        if let Some(stream) = self.streams.at_mut(slot) {
            stream.priority = priority;
        }
        if is_queued {
            self.turns.wait(slot, &mut self.streams);
        }
    }

    /// The abuse of a budget by what the owner had to do, to be told by the next event.
    pub(super) fn tell(&mut self, fault: Fault) {
        if self.life != Life::Over {
            self.close(fault.code(), fault.word());
            self.untold = Some(fault);
        }
    }
}

/// What one frame, or its absence, means for the loop.
enum Step<'i> {
    Event(Event<'i>),
    Nothing,
    Incomplete,
}

impl<'i> From<Option<Event<'i>>> for Step<'i> {
    #[inline(always)]
    fn from(event: Option<Event<'i>>) -> Step<'i> {
        event.map_or(Step::Nothing, Step::Event)
    }
}
