//! The life of a connection beside its streams: timers, PING, GOAWAY of either side, draining, the end.
//!
//! ```text
//! Open ── drain() ─> Draining ── PING's round trip, or 1 s ─> Last(id) ── streams finished ─> over
//!   │  GOAWAY 2^31 − 1, PING                 GOAWAY id
//!   └──────────── fault, abort() ──> Over    GOAWAY id with its code
//! ```
//! Tested through the machine.

use super::events::{Event, Key};
use super::fault::{Fault, Late};
use super::receive::Outcome;
use super::stream::{Receiving, Sending};
use super::timers::Timer;
use super::{Life, Machine};
use crate::http2::frame::error_code::ErrorCode;
use crate::http2::frame::{MAX_31, Side};

/// Longest wait for the PING of a drain.
const DRAIN_MS: u64 = 1_000;

/// The data of limpet's own PINGs.
const PING_SILENCE: [u8; 8] = *b"limpet-?";
const PING_DRAIN: [u8; 8] = *b"limpet-.";

impl Machine {
    /// When [`Machine::expire`] is to be called at the latest, in milliseconds of the caller's clock.
    #[inline]
    pub fn next_timeout(&self) -> Option<u64> {
        if self.untold.is_some() { Some(0) } else { self.timers.next() }
    }

    /// Does what is due, until there is an event. Timers begin and end here; a client that does what it must in time
    /// never makes one expire.
    pub fn expire(&mut self, now_ms: u64) -> Option<Event<'static>> {
        if let Some(fault) = self.untold.take() {
            return Some(Event::Fault(fault));
        }
        while let Some(timer) = self.timers.expired(now_ms) {
            let late = match timer {
                Timer::Head => Late::Head,
                Timer::SettingsAck => Late::SettingsAck,
                Timer::Silence => {
                    self.ask_whether_alive(now_ms);
                    continue;
                }
                Timer::PingAnswer if self.is_heard_since_ping(now_ms) => {
                    self.await_silence();
                    continue;
                }
                Timer::PingAnswer => Late::Ping,
                Timer::Drain => {
                    self.send_last();
                    continue;
                }
            };
            return Some(self.fail(Fault::Late(late)));
        }
        None
    }

    fn await_silence(&mut self) {
        if self.streams.count() > 0 {
            let at_ms = self.received_ms.saturating_add(self.options.silence_ms);
            self.timers.set(Timer::Silence, at_ms);
        }
    }

    /// A PING, when the peer has been silent for long enough.
    fn ask_whether_alive(&mut self, now_ms: u64) {
        if now_ms.saturating_sub(self.received_ms) < self.options.silence_ms {
            return self.await_silence();
        }
        if self.streams.count() > 0 {
            self.output.ping(false, PING_SILENCE);
            self.counts.pings_sent += 1;
            self.timers.set(Timer::PingAnswer, now_ms.saturating_add(self.options.ping_timeout_ms));
        }
    }

    /// Anything that has come since the PING shows that the peer is there.
    fn is_heard_since_ping(&self, now_ms: u64) -> bool {
        self.received_ms > now_ms.saturating_sub(self.options.ping_timeout_ms)
    }

    pub(super) fn ping_ack<'i>(&mut self, data: [u8; 8], now_ms: u64) -> Outcome<'i> {
        match data {
            PING_SILENCE if self.timers.is_set(Timer::PingAnswer) => {
                self.timers.stop(Timer::PingAnswer);
                self.await_silence();
            }
            PING_DRAIN if self.timers.is_set(Timer::Drain) => {
                self.timers.stop(Timer::Drain);
                self.send_last();
            }
            _ => self.budgets.ping(now_ms)?,
        }
        Ok(None)
    }

    /// Lets the streams end and takes no more: those that are on their way are still taken (RFC 9113 §6.8).
    pub fn drain(&mut self, now_ms: u64) {
        if self.life != Life::Open {
            return;
        }
        if self.options.side == Side::Client {
            // A server opens no streams.
            return self.send_last();
        }
        self.life = Life::Draining;
        self.output.goaway(MAX_31, ErrorCode::NoError, "");
        self.counts.endings.goaways_sent += 1;
        // Its answer tells that the GOAWAY has been read.
        self.output.ping_behind(PING_DRAIN);
        self.counts.pings_sent += 1;
        self.timers.set(Timer::Drain, now_ms.saturating_add(DRAIN_MS));
    }

    /// The GOAWAY that names the last stream.
    fn send_last(&mut self) {
        let last = self.last_of_peer();
        self.life = Life::Last(last);
        self.output.goaway(last, ErrorCode::NoError, "");
        self.counts.endings.goaways_sent += 1;
    }

    /// The last stream that the peer has opened.
    fn last_of_peer(&self) -> u32 {
        match (self.options.side, self.life) {
            (_, Life::Last(last)) => last,
            (Side::Server, _) => self.last_id,
            (Side::Client, _) => 0,
        }
    }

    /// Ends the connection: GOAWAY with this code and a short word for the peer's log is the last frame.
    pub fn close(&mut self, code: ErrorCode, word: &'static str) {
        if self.life == Life::Over {
            return;
        }
        let last = self.last_of_peer();
        self.life = Life::Over;
        self.timers.stop_all();
        self.output.goaway(last, code, word);
        self.counts.endings.goaways_sent += 1;
    }

    /// Whether limpet has begun to end the connection.
    pub fn is_draining(&self) -> bool {
        self.life != Life::Open
    }

    /// The peer has taken bytes, or sent some, which need not be a whole frame: it is there.
    #[inline]
    pub fn heard(&mut self, now_ms: u64) {
        self.received_ms = now_ms;
    }

    /// Whether the silence of the peer is about to be judged: [`Machine::heard`] tells before that if it is none.
    pub fn judges_silence(&self, now_ms: u64) -> bool {
        self.timers.is_due(Timer::Silence, now_ms) || self.timers.is_due(Timer::PingAnswer, now_ms)
    }

    /// Whether the connection is to be closed once everything is sent.
    pub fn is_over(&self) -> bool {
        match self.life {
            Life::Over => true,
            Life::Last(_) => self.streams.count() == 0,
            Life::Open | Life::Draining => self.peer_last.is_some() && self.streams.count() == 0,
        }
    }

    /// RFC 9113 §6.8.
    pub(super) fn goaway<'i>(&mut self, last_stream: u32, code: u32) -> Option<Event<'i>> {
        let received = &mut self.counts.endings.goaways_received;
        *received = received.wrapping_add(1);
        // A later one may only lower the last stream.
        let last = self.peer_last.map_or(last_stream, |last| last.min(last_stream));
        self.peer_last = Some(last);
        if self.options.side == Side::Client {
            self.unprocessed_from = Some(0);
        }
        Some(Event::Goaway { code: ErrorCode::of(code) })
    }

    /// The next stream that the peer's GOAWAY has closed.
    pub(super) fn next_unprocessed<'i>(&mut self) -> Option<Event<'i>> {
        let from = self.unprocessed_from?;
        let last = self.peer_last.unwrap_or(MAX_31);
        let closed = self
            .streams
            .iter()
            .find(|(key, stream)| key.slot >= from && key.id > last && !stream.is_reset);
        let Some(stream) = closed.map(|(key, _)| key) else {
            self.unprocessed_from = None;
            return None;
        };
        self.unprocessed_from = stream.slot.checked_add(1);
        self.close_unprocessed(stream);
        Some(Event::Unprocessed { stream })
    }

    fn close_unprocessed(&mut self, stream: Key) {
        self.close_stream(stream, Receiving::Stopped);
        if let Some(state) = self.streams.get_mut(stream) {
            state.sending = Sending::Ended;
        }
    }
}
