//! Waiting with an eye on the client: who is gone needs no response, and holds no place, no connection and
//! no work of a target's.
//!
//! A client shows that it has gone by a reset, at once, or by the end of its stream, after a moment in which
//! one that only half-closed may still get a quick response. Where a receive of its next request is in
//! flight, that tells; where none can be (its content is unread, or it has sent more than its request), the
//! kernel is asked now and then.

use std::cell::Cell;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use super::connection::Connection;
use super::early::{NextReceive, PendingSend};
use super::stream::Stream;
use super::upload::UploadState;
use crate::shard::clock::{Millis, NEVER};
use crate::uring::Presence;

/// How long a client that has ended its side may still be waiting for the response: one that only
/// half-closed gets a quick one; one that closed, as most do, is not worked for any longer.
const CLIENT_GONE: Duration = Duration::from_secs(1);
/// How often the kernel is asked about a client of whom no receive tells.
const LOOK: Duration = Duration::from_millis(500);

/// What came of watching the client while something else was waited for.
pub enum Watched<T> {
    Output(T),
    ClientGone,
}

/// Awaits an operation until a deadline, and with it looks after what else is in flight: the request's
/// send, and the client. `cut` makes the operation end, which is always awaited to its end. Output: what
/// came of it, and whether the time was up.
pub struct Watch<'a, F, C> {
    op: F,
    cut: C,
    connection: &'a Connection,
    next: &'a mut NextReceive,
    /// Until when; the end of an upload that runs beside may set it only now.
    deadline: &'a Cell<Millis>,
    /// The operation has been looked at in this turn already.
    pub is_awaited: bool,
    /// A send to keep going where the engine does not do so by itself.
    pub sending: Option<&'a mut PendingSend>,
    /// An upload that may run beside, and the target it goes to.
    pub upload: Option<(&'a Cell<UploadState>, &'a Stream)>,
    /// The deadline that the alarm has been armed with.
    armed: Millis,
    /// When the kernel is to be asked about the client.
    look_ms: Millis,
    /// When the moment of a client that has ended its side is over.
    gone_ms: Millis,
    over: Option<Over>,
}

/// Why the operation has been made to end.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Over {
    Deadline,
    ClientGone,
}

impl<F: Unpin, C> Unpin for Watch<'_, F, C> {}

impl<'a, F: Future + Unpin, C: FnMut()> Watch<'a, F, C> {
    /// Arms the connection's alarm.
    #[inline]
    pub fn new(
        connection: &'a Connection,
        next: &'a mut NextReceive,
        deadline: &'a Cell<Millis>,
        op: F,
        cut: C,
    ) -> Watch<'a, F, C> {
        let is_told = matches!(next, NextReceive::InFlight(_));
        let look_ms = if is_told { NEVER } else { connection.shard.clock.deadline(LOOK) };
        let armed = deadline.get();
        connection.alarm.set(armed.min(look_ms));
        Watch {
            op,
            cut,
            connection,
            next,
            deadline,
            is_awaited: false,
            sending: None,
            upload: None,
            armed,
            look_ms,
            gone_ms: NEVER,
            over: None,
        }
    }

    #[inline]
    fn end(&self, output: F::Output) -> (Watched<F::Output>, bool) {
        let is_up = self.over == Some(Over::Deadline);
        if self.over == Some(Over::ClientGone) || self.next.client() == Presence::Reset {
            return (Watched::ClientGone, is_up);
        }
        (Watched::Output(output), is_up)
    }

    /// Arms the alarm for what comes first.
    fn arm(&mut self) {
        self.armed = self.deadline.get();
        self.connection.alarm.set(self.armed.min(self.look_ms).min(self.gone_ms));
    }

    /// Looks whether the client is there, as far as its receive tells.
    #[inline]
    fn listen(&mut self, cx: &mut Context<'_>) {
        if !self.next.is_none() && self.next.poll_arrived(cx) {
            self.note(self.next.client());
            if self.look_ms == NEVER {
                // It tells no more than that.
                self.look_ms = self.connection.shard.clock.deadline(LOOK);
                self.arm();
            }
        }
    }

    fn note(&mut self, client: Presence) {
        match client {
            Presence::There => {}
            Presence::Ended => {
                if self.gone_ms == NEVER && !self.is_uploading() {
                    self.gone_ms = self.connection.shard.clock.deadline(CLIENT_GONE);
                    self.arm();
                }
            }
            Presence::Reset => self.over = Some(Over::ClientGone),
        }
    }

    /// Whether the target is still to be sent what the client had to say, which it may have said to the end.
    fn is_uploading(&self) -> bool {
        self.upload.is_some_and(|(state, target)| match state.get() {
            UploadState::Running => true,
            UploadState::Complete => target.queued_bytes().is_some_and(|bytes| bytes > 0),
            UploadState::None
            | UploadState::TargetStopped
            | UploadState::TargetReset
            | UploadState::Failed(_) => false,
        })
    }

    /// The alarm has fired: for one of the three times, or because the shard is being cut off.
    #[cold]
    fn fired(&mut self) {
        let shard = &self.connection.shard;
        let now_ms = shard.clock.now_ms();
        if shard.stop.is_now() || now_ms >= self.deadline.get() {
            self.over = Some(Over::Deadline);
        } else if now_ms >= self.gone_ms {
            self.over = Some(Over::ClientGone);
        } else {
            if now_ms >= self.look_ms {
                self.look_ms = shard.clock.deadline(LOOK);
                self.note(self.connection.client.presence());
            }
            self.arm();
        }
    }
}

impl<F: Future + Unpin, C: FnMut()> Future for Watch<'_, F, C> {
    type Output = (Watched<F::Output>, bool);
    #[inline]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        if let Some(sending) = &mut this.sending {
            sending.poll_if_needed(cx);
        }
        if !std::mem::take(&mut this.is_awaited)
            && let Poll::Ready(output) = Pin::new(&mut this.op).poll(cx)
        {
            return Poll::Ready(this.end(output));
        }
        if this.over.is_some() {
            return Poll::Pending;
        }
        this.listen(cx);
        if this.armed != this.deadline.get() {
            this.arm();
        }
        if this.over.is_none() && this.connection.alarm.poll_fired(cx) {
            this.fired();
        }
        if this.over.is_some() {
            (this.cut)();
            if let Poll::Ready(output) = Pin::new(&mut this.op).poll(cx) {
                return Poll::Ready(this.end(output));
            }
        }
        Poll::Pending
    }
}
