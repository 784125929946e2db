//! A request's content on a stream of HTTP/2: what came with the head, and what is still to come.

use std::future::poll_fn;
use std::time::Duration;

use super::shared::Shared;
use crate::exchange::client::Asking;
use crate::exchange::content::{Along, End, Piece, ROOM, Received};
use crate::exchange::failure::Failure;
use crate::http2::machine::events::Key;
use crate::multiplex::reading::{Cut, Reading};
use crate::snapshot::Listener;
use crate::time::clock::NEVER;
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
    /// It is a call of gRPC, whose sides may be silent for long.
    is_call: bool,
    received: u64,
    reading: Reading,
    pace: Pace,
}

impl<'a> Content<'a> {
    /// That of a request without any: what comes on its stream belongs to a tunnel.
    pub fn none(shared: &'a Shared, stream: Key, listener: &'a Listener) -> Content<'a> {
        Content {
            shared,
            stream,
            listener,
            along: Vec::new(),
            is_whole: true,
            is_call: false,
            received: 0,
            reading: Reading::default(),
            pace: Pace::default(),
        }
    }

    /// Begins with what has come by now.
    pub fn new(
        shared: &'a Shared,
        stream: Key,
        listener: &'a Listener,
        is_call: bool,
    ) -> Content<'a> {
        let mut content = Content::none(shared, stream, listener);
        (content.is_whole, content.is_call) = (false, is_call);
        if let Some((piece, is_last)) = content.reading.next((shared, stream)) {
            content.is_whole = is_last;
            content.received = piece.len().saturating_sub(ROOM) as u64;
            content.along = piece;
        }
        content
    }

    /// Refuses content without a length that is longer than the listener allows; a length was judged with its head.
    pub fn judge_length(&self) -> Result<(), Failure> {
        let limit = self.listener.content_bytes;
        if limit > 0 && self.received > limit { Err(Failure::ContentTooLarge) } else { Ok(()) }
    }
}

impl Content<'_> {
    /// Whether the client may be silent for long: it may wait for the response before it says more.
    fn may_pause(&self) -> bool {
        self.is_call || self.shared.machine.borrow().responds(self.stream)
    }

    /// The next piece, and whether it is the last, within the listener's patience: in the middle of a wait the response
    /// may begin, which gives the client more time.
    async fn next(&mut self, timers: &Timers<'_>) -> Result<(Vec<u8>, bool), Failure> {
        let from = (self.shared, self.stream);
        let (timeouts, clock) = (&self.listener.timeouts, timers.clock);
        let began_ms = clock.now_ms();
        let until = |idle: Duration| {
            began_ms.saturating_add(u64::try_from(idle.as_millis()).unwrap_or(NEVER))
        };
        timers.was_hastened(Timer::Content);
        let mut may_pause = self.may_pause();
        loop {
            let idle = if may_pause { timeouts.stream_idle } else { timeouts.content_idle };
            let piece = poll_fn(|cx| self.reading.poll(from, cx));
            if let Some(piece) = timers.give_up(Timer::Content, until(idle), piece).await {
                return piece.map_err(|cut| match cut {
                    Cut::Invalid(fault) => Failure::ClientContentInvalid(fault),
                    Cut::Gone => Failure::ClientGone,
                });
            }
            // A wait that somebody has cut short is over.
            let is_cut_short = timers.was_hastened(Timer::Content) || timers.is_cut_off();
            if is_cut_short || may_pause || !self.may_pause() {
                return Err(Failure::ClientContentTimeout);
            }
            may_pause = true;
        }
    }
}

impl Drop for Content<'_> {
    fn drop(&mut self) {
        buffers::give_back(std::mem::take(&mut self.along));
    }
}

impl Asking for Content<'_> {
    const LINGERS: bool = false;

    fn along(&self) -> Along<'_> {
        let bytes = self.along.get(ROOM..).unwrap_or_default();
        Along { bytes, end: self.is_whole.then_some(&*self.reading.trailers) }
    }

    fn received(&self) -> u64 {
        self.received
    }

    async fn content(&mut self, timers: &Timers<'_>) -> Result<Received, Failure> {
        let from = (self.shared, self.stream);
        let along_bytes = self.along.len().saturating_sub(ROOM);
        if self.received == along_bytes as u64 {
            self.reading.owe(along_bytes);
        }
        self.reading.give_credit(from);
        let (timeouts, clock) = (&self.listener.timeouts, timers.clock);
        let began_ms = clock.now_ms();
        let (mut buffer, is_last) = self.next(timers).await?;
        if buffer.is_empty() {
            buffer.resize(ROOM, 0);
        }
        let count = buffer.len().saturating_sub(ROOM);
        self.pace.note(clock.now_ms().saturating_sub(began_ms), count);
        let is_slow = self.pace.is_below(timeouts.content_minimum_rate, timeouts.content_idle)
            && !is_last
            && !self.may_pause();
        if is_slow {
            buffers::give_back(buffer);
            return Err(Failure::ClientContentTimeout);
        }
        self.received += count as u64;
        self.reading.owe(count);
        self.judge_length()?;
        let end = if is_last { End::Last } else { End::No };
        Ok(Received { piece: Piece { buffer, from: ROOM }, end })
    }

    fn trailers(&self) -> &[u8] {
        &self.reading.trailers
    }
}
