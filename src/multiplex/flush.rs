//! The send in flight of a connection, and how long its peer may take nothing of it, or too little.
//!
//! As for HTTP/1 ([`sending`](crate::transport::sending)): a socket that is not writeable for so long may still be
//! draining a full send buffer to a slow peer, so progress is judged by whether its queue of unacknowledged bytes gets
//! shorter, and a peer that takes less than a minimum rate is given up all the same.

use std::future::Future as _;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use crate::time::clock::Millis;
use crate::time::timers::{Timer, Timers};
use crate::transport::pace::Drain;
use crate::transport::stream::{Send, Stream};
use crate::uring::buffers;

/// How long a peer may take nothing of a connection's bytes, and how few.
#[derive(Debug, Clone, Copy)]
pub struct Takes {
    pub idle: Duration,
    /// Bytes per second; 0 = no pace is too slow.
    pub minimum_rate: u64,
}

/// Why the peer gets no more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Gone {
    /// The connection is lost.
    Lost,
    /// It takes nothing, or too little.
    Slow,
}

/// The bytes on their way.
pub struct Flush {
    send: Option<Send>,
    /// Bytes of the buffer that were sent.
    from: usize,
    idle: Duration,
    drain: Drain,
    /// When the pace was noted last.
    noted_ms: Millis,
    /// Unacknowledged bytes at the last look.
    queued: Option<u32>,
}

impl Flush {
    pub fn new(takes: Takes) -> Flush {
        Flush {
            send: None,
            from: 0,
            idle: takes.idle,
            drain: Drain::new(takes.minimum_rate, takes.idle),
            noted_ms: 0,
            queued: None,
        }
    }

    /// Whether nothing is on its way.
    pub fn is_none(&self) -> bool {
        self.send.is_none()
    }

    /// Begins to send all of `bytes`, once nothing is on its way.
    pub fn begin(&mut self, wire: &Stream, bytes: Vec<u8>, timers: &Timers<'_>) {
        self.from = 0;
        self.go_on(wire, bytes, timers);
    }

    fn go_on(&mut self, wire: &Stream, bytes: Vec<u8>, timers: &Timers<'_>) {
        self.send = Some(wire.send(bytes, self.from, false));
        self.noted_ms = timers.clock.now_ms();
        self.queued = None;
        timers.set(Timer::Send, timers.clock.deadline(self.idle));
    }

    /// Waits until everything was sent; the buffer, emptied. [`Timer::Send`] bounds each step.
    pub fn poll(
        &mut self,
        wire: &Stream,
        timers: &Timers<'_>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Vec<u8>, Gone>> {
        while let Some(send) = &mut self.send {
            let Poll::Ready((result, mut buffer)) = Pin::new(send).poll(cx) else {
                if !timers.poll_due(Timer::Send, cx) {
                    return Poll::Pending;
                }
                let Some(idle) = self.look(wire, timers) else {
                    return Poll::Ready(Err(Gone::Slow));
                };
                timers.set(Timer::Send, timers.clock.deadline(idle));
                continue;
            };
            self.send = None;
            let sent = result.unwrap_or_default();
            self.from += sent;
            if sent == 0 || self.is_too_slow(wire, timers, sent) {
                timers.stop(Timer::Send);
                buffers::give_back(buffer);
                return Poll::Ready(Err(if sent == 0 { Gone::Lost } else { Gone::Slow }));
            }
            if self.from < buffer.len() {
                self.go_on(wire, buffer, timers);
                continue;
            }
            timers.stop(Timer::Send);
            buffer.clear();
            return Poll::Ready(Ok(buffer));
        }
        Poll::Ready(Ok(Vec::new()))
    }

    /// How much more time the peer has, when its time is up.
    #[cold]
    fn look(&mut self, wire: &Stream, timers: &Timers<'_>) -> Option<Duration> {
        if timers.is_cut_off() || self.is_too_slow(wire, timers, 0) {
            return None;
        }
        let before = std::mem::replace(&mut self.queued, wire.queued_bytes());
        match (before, self.queued) {
            // The first look has nothing to compare with.
            (None, Some(_)) => Some(self.idle / 4),
            (Some(before), Some(now)) if now < before => Some(self.idle),
            _ => None,
        }
    }

    /// Notes what the peer has taken since the last note; whether that is too little.
    #[inline]
    fn is_too_slow(&mut self, wire: &Stream, timers: &Timers<'_>, sent: usize) -> bool {
        let now_ms = timers.clock.now_ms();
        let waited_ms = now_ms.saturating_sub(self.noted_ms);
        self.noted_ms = now_ms;
        self.drain.note(waited_ms, sent);
        waited_ms > 0 && self.drain.is_below(|| wire.queued_bytes())
    }

    /// Waits until the send in flight has ended, whatever came of it; the connection has been aborted.
    pub async fn settle(self) {
        if let Some(send) = self.send {
            let (_, buffer) = send.await;
            buffers::give_back(buffer);
        }
    }
}
