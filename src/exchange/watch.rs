//! Waiting with an eye on the client: who is gone needs no response, and holds no place, no connection and
//! no work of a target's.
//!
//! A client shows that it has gone by a reset, at once, or by the end of its stream, after a moment in which
//! one that only half-closed may still get a quick response. Where the client side is told of that by itself,
//! that tells; where it cannot be (its content is unread, or it has sent more than its request), the
//! system is asked now and then.

use std::cell::Cell;
use std::future::poll_fn;
use std::task::{Context, Poll};
use std::time::Duration;

use super::client::{Answering, Presence};
use super::progress::UploadState;
use super::target::Handle;
use crate::time::clock::Millis;
use crate::time::patience::LOOK;
use crate::time::timers::{Timer, Timers};

/// How long a client that has ended its side may still be waiting for the response: one that only
/// half-closed gets a quick one; one that closed, as most do, is not worked for any longer.
const CLIENT_GONE: Duration = Duration::from_secs(1);

/// Why something that was awaited was made to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cut {
    Deadline,
    ClientGone,
}

/// An upload that runs beside what is awaited, and where it goes.
#[derive(Clone, Copy)]
pub struct Beside<'a> {
    pub state: &'a Cell<UploadState>,
    pub target: &'a dyn Handle,
}

/// A wait for the target's side, until a timer comes due.
pub struct Watch<'a, A> {
    timers: &'a Timers<'a>,
    /// Bounds what is awaited, where it is set.
    timer: Timer,
    client: &'a mut A,
    beside: Option<Beside<'a>>,
    cut: Option<Cut>,
}

impl<'a, A: Answering> Watch<'a, A> {
    #[inline]
    pub fn new(
        (timers, timer): (&'a Timers<'a>, Timer),
        client: &'a mut A,
        beside: Option<Beside<'a>>,
    ) -> Watch<'a, A> {
        if !client.is_told() {
            timers.set(Timer::Look, timers.clock.deadline(LOOK));
        }
        Watch { timers, timer, client, beside, cut: None }
    }

    /// Awaits `op`. When the time is up or the client gone it is polled with `true` once, which must make it end,
    /// and is still awaited. Gives what came of it, and why it was cut.
    #[inline]
    pub async fn over<T>(
        mut self,
        mut op: impl FnMut(&mut Context<'_>, bool) -> Poll<T>,
    ) -> (T, Option<Cut>) {
        let output = poll_fn(|cx| {
            if let Poll::Ready(output) = op(cx, false) {
                return Poll::Ready(output);
            }
            if self.cut.is_none() && self.poll_cut(cx) {
                return op(cx, true);
            }
            Poll::Pending
        })
        .await;
        self.timers.stop(Timer::Look);
        self.timers.stop(Timer::Gone);
        if self.cut != Some(Cut::ClientGone) && self.client.told() == Presence::Reset {
            self.cut = Some(Cut::ClientGone);
        }
        (output, self.cut)
    }

    /// Whether what is awaited must be made to end now.
    #[inline]
    fn poll_cut(&mut self, cx: &mut Context<'_>) -> bool {
        self.listen(cx);
        if self.cut.is_none() {
            if self.timers.poll_due(self.timer, cx) {
                self.cut = Some(Cut::Deadline);
            } else if self.timers.is_any_due() {
                self.look(cx);
            }
        }
        self.cut.is_some()
    }

    /// Looks whether the client is there, as far as it tells.
    #[inline]
    fn listen(&mut self, cx: &mut Context<'_>) {
        if let Some(presence) = self.client.poll_presence(cx) {
            self.note(presence);
            if self.timers.at(Timer::Look).is_none() {
                // It tells no more than that.
                self.timers.set(Timer::Look, self.timers.clock.deadline(LOOK));
            }
        }
    }

    fn note(&mut self, client: Presence) {
        match client {
            Presence::There => {}
            Presence::Ended => {
                if self.timers.at(Timer::Gone).is_none() && !self.is_uploading() {
                    self.timers.set(Timer::Gone, self.timers.clock.deadline(CLIENT_GONE));
                }
            }
            Presence::Reset => self.cut = Some(Cut::ClientGone),
        }
    }

    /// Whether the target is still to be sent what the client had to say, which it may have said to the end.
    fn is_uploading(&self) -> bool {
        self.beside.is_some_and(|beside| match beside.state.get() {
            UploadState::Running => true,
            UploadState::Complete => beside.target.queued_bytes().is_some_and(|bytes| bytes > 0),
            UploadState::None
            | UploadState::TargetStopped
            | UploadState::TargetReset
            | UploadState::TargetTimeout
            | UploadState::Failed(_) => false,
        })
    }

    /// A timer has come due, perhaps one that is about the client.
    #[cold]
    fn look(&mut self, cx: &mut Context<'_>) {
        if self.timers.poll_due(Timer::Gone, cx) {
            self.cut = Some(Cut::ClientGone);
        } else if self.timers.poll_due(Timer::Look, cx) {
            self.timers.set(Timer::Look, self.timers.clock.deadline(LOOK));
            let presence = self.client.look();
            self.note(presence);
        }
    }
}

/// Awaits `op` until `at_ms`, or until the whole call ends if that is sooner; then it is polled with `true` once, which
/// must make it end. The timer is set only when it has to be waited for.
pub async fn bound<T>(
    (timers, timer): (&Timers<'_>, Timer),
    at_ms: Millis,
    mut op: impl FnMut(&mut Context<'_>, bool) -> Poll<T>,
) -> T {
    let (mut is_set, mut is_up) = (false, false);
    let output = poll_fn(|cx| {
        if let Poll::Ready(output) = op(cx, false) {
            return Poll::Ready(output);
        }
        if !std::mem::replace(&mut is_set, true) {
            timers.set(timer, timers.at(Timer::Call).map_or(at_ms, |end_ms| end_ms.min(at_ms)));
        }
        if !is_up && timers.poll_due(timer, cx) {
            is_up = true;
            return op(cx, true);
        }
        Poll::Pending
    })
    .await;
    timers.stop(timer);
    output
}

#[cfg(test)]
#[path = "watch_tests.rs"]
mod tests;
