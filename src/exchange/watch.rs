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
use super::local::Local;
use super::progress::UploadState;
use super::target::Handle;
use crate::time::alarms::Alarm;
use crate::time::clock::{Millis, NEVER};

/// How long a client that has ended its side may still be waiting for the response: one that only
/// half-closed gets a quick one; one that closed, as most do, is not worked for any longer.
const CLIENT_GONE: Duration = Duration::from_secs(1);
/// How often the system is asked about a client of whom nothing tells.
const LOOK: Duration = Duration::from_millis(500);

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

/// A wait for the target's side, until a deadline.
pub struct Watch<'a, A> {
    local: &'a Local,
    alarm: &'a Alarm,
    client: &'a mut A,
    /// Until when; the end of an upload that runs beside may set it only now.
    deadline: &'a Cell<Millis>,
    beside: Option<Beside<'a>>,
    /// The deadline that the alarm has been armed with.
    armed: Millis,
    /// When the system is to be asked about the client.
    look_ms: Millis,
    /// When the moment of a client that has ended its side is over.
    gone_ms: Millis,
    cut: Option<Cut>,
}

impl<'a, A: Answering> Watch<'a, A> {
    /// Arms the alarm.
    #[inline]
    pub fn new(
        local: &'a Local,
        alarm: &'a Alarm,
        client: &'a mut A,
        deadline: &'a Cell<Millis>,
        beside: Option<Beside<'a>>,
    ) -> Watch<'a, A> {
        let look_ms = if client.is_told() { NEVER } else { local.clock.deadline(LOOK) };
        let armed = deadline.get();
        alarm.set(armed.min(look_ms));
        Watch { local, alarm, client, deadline, beside, armed, look_ms, gone_ms: NEVER, cut: None }
    }

    /// Awaits `op`. When the time is up or the client gone it is polled with `true` once, which must make it end,
    /// and is still awaited. Gives what came of it, and why it was cut.
    #[inline]
    pub async fn over<T>(
        &mut self,
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
        if self.cut != Some(Cut::ClientGone) && self.told_of_reset() {
            self.cut = Some(Cut::ClientGone);
        }
        (output, self.cut)
    }

    /// Whether what is awaited must be made to end now.
    #[inline]
    fn poll_cut(&mut self, cx: &mut Context<'_>) -> bool {
        self.listen(cx);
        if self.armed != self.deadline.get() {
            self.arm();
        }
        if self.cut.is_none() && self.alarm.poll_fired(cx) {
            self.fired();
        }
        self.cut.is_some()
    }

    /// Arms the alarm for what comes first.
    fn arm(&mut self) {
        self.armed = self.deadline.get();
        self.alarm.set(self.armed.min(self.look_ms).min(self.gone_ms));
    }

    /// Looks whether the client is there, as far as it tells.
    #[inline]
    fn listen(&mut self, cx: &mut Context<'_>) {
        if let Some(presence) = self.client.poll_presence(cx) {
            self.note(presence);
            if self.look_ms == NEVER {
                // It tells no more than that.
                self.look_ms = self.local.clock.deadline(LOOK);
                self.arm();
            }
        }
    }

    fn told_of_reset(&mut self) -> bool {
        self.client.told() == Presence::Reset
    }

    fn note(&mut self, client: Presence) {
        match client {
            Presence::There => {}
            Presence::Ended => {
                if self.gone_ms == NEVER && !self.is_uploading() {
                    self.gone_ms = self.local.clock.deadline(CLIENT_GONE);
                    self.arm();
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
            | UploadState::Failed(_) => false,
        })
    }

    /// The alarm has fired: for one of the three times, or because the shard is being cut off.
    #[cold]
    fn fired(&mut self) {
        let now_ms = self.local.clock.now_ms();
        if self.local.stop.is_now() || now_ms >= self.deadline.get() {
            self.cut = Some(Cut::Deadline);
        } else if now_ms >= self.gone_ms {
            self.cut = Some(Cut::ClientGone);
        } else {
            if now_ms >= self.look_ms {
                self.look_ms = self.local.clock.deadline(LOOK);
                let presence = self.client.look();
                self.note(presence);
            }
            self.arm();
        }
    }
}

/// Awaits `op` until `at_ms`, when it is polled with `true` once, which must make it end. The alarm is armed only when
/// it has to be waited for.
pub async fn bound<T>(
    alarm: &Alarm,
    at_ms: Millis,
    mut op: impl FnMut(&mut Context<'_>, bool) -> Poll<T>,
) -> T {
    let (mut is_armed, mut is_up) = (false, false);
    poll_fn(|cx| {
        if let Poll::Ready(output) = op(cx, false) {
            return Poll::Ready(output);
        }
        if !std::mem::replace(&mut is_armed, true) {
            alarm.set(at_ms);
        }
        if !is_up && alarm.poll_fired(cx) {
            is_up = true;
            return op(cx, true);
        }
        Poll::Pending
    })
    .await
}
