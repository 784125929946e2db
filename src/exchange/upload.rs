//! The request's content on its way to the target, while the response may already come back.

use std::cell::Cell;
use std::time::Duration;

use super::client::Asking;
use super::content::SendFault;
use super::failure::Failure;
use super::progress::UploadState;
use super::target::{Handle, Sending};
use super::watch::bound;
use crate::time::patience::Patience;
use crate::time::timers::{Timer, Timers};
use crate::uring::buffers;

/// The content of one request, without the part that was sent with its head.
pub struct Upload<'a, A, S, H> {
    pub asking: &'a mut A,
    pub sending: &'a mut S,
    pub target: &'a H,
    pub state: &'a Cell<UploadState>,
    pub timers: &'a Timers<'a>,
    /// How long the target may take no byte.
    pub idle: Duration,
}

/// The side that stopped an upload.
enum Stopped {
    Target(SendFault),
    Client(Failure),
}

impl<A: Asking, S: Sending, H: Handle> Upload<'_, A, S, H> {
    /// Pumps until the content ends or a side fails.
    pub async fn run(mut self) {
        #[cfg(test)]
        crate::simulation::uploads(true);
        let state = match self.pump().await {
            Ok(()) => UploadState::Complete,
            Err(Stopped::Target(SendFault::Gone)) => UploadState::TargetStopped,
            Err(Stopped::Target(SendFault::Reset)) => UploadState::TargetReset,
            Err(Stopped::Target(SendFault::Timeout)) => UploadState::TargetTimeout,
            Err(Stopped::Client(failure)) => UploadState::Failed(failure),
        };
        #[cfg(test)]
        crate::simulation::uploads(false);
        self.state.set(state);
        if matches!(state, UploadState::Failed(_)) {
            // The target must not take a cut-off request for a whole one.
            self.target.abort();
        }
    }

    async fn pump(&mut self) -> Result<(), Stopped> {
        let Upload { asking, sending, target, timers, idle, .. } = self;
        // A target that takes nothing must not hold the client for ever, and no other deadline runs yet.
        let mut is_late = false;
        let first = bound((timers, Timer::Upload), timers.clock.deadline(*idle), |cx, is_up| {
            if is_up {
                is_late = true;
                target.abort();
            }
            sending.poll_sent(cx, None)
        });
        let sent = first.await;
        sent.map_err(|fault| Stopped::Target(if is_late { SendFault::Timeout } else { fault }))?;
        loop {
            let received = asking.content(timers).await.map_err(Stopped::Client)?;
            let is_last = received.is_last();
            let end = is_last.then(|| asking.trailers());
            if received.piece.is_empty() && !is_last {
                buffers::give_back(received.piece.buffer);
                continue;
            }
            let patience = Patience { timers, timer: Timer::Upload, idle: *idle };
            let sent = sending.send(received.piece, end, patience).await;
            sent.map_err(Stopped::Target)?;
            if is_last {
                return Ok(());
            }
        }
    }
}

#[cfg(test)]
#[path = "upload_tests.rs"]
mod tests;
