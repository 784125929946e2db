//! A stream whose peer opens no window: how long it may do so, and how little it may open.
//!
//! What waits for its turn, or for the connection's send, is not refused: those are bounded where they wait.

use std::task::Context;

use super::shared::{Owner, Shared};
use crate::http2::machine::events::Key;
use crate::time::clock::Millis;
use crate::time::patience::Patience;
use crate::transport::pace::Pace;

/// One wait of a stream that has more to send.
#[derive(Debug, Default)]
pub struct Stall {
    /// Whether a window was shut when the wait was looked at last, and when that was.
    was_blocked: bool,
    noted_ms: Millis,
    /// Content that the connection had sent by then.
    sent_bytes: u64,
    is_set: bool,
}

impl Stall {
    /// Whether the peer has let nothing more be sent for its whole patience, or too little of it: `pace`, with the lowest
    /// rate in bytes per second. `moved`: bytes that were sent since the last call. The task is woken when the time is up.
    pub fn poll<O: Owner>(
        &mut self,
        (shared, stream): (&Shared<O>, Key),
        (patience, moved): (Patience<'_>, usize),
        (pace, minimum_rate): (&mut Pace, u64),
        cx: &mut Context<'_>,
    ) -> bool {
        let Patience { timers, timer, idle } = patience;
        let (is_blocked, sent_bytes) = {
            let machine = shared.machine.borrow();
            let sent_bytes = machine.counts().data_bytes_sent;
            // A connection's window that others have used meanwhile is not kept shut.
            let has_moved = sent_bytes > self.sent_bytes + moved as u64;
            (machine.is_blocked(stream, !has_moved), sent_bytes)
        };
        self.sent_bytes = sent_bytes;
        let now_ms = timers.clock.now_ms();
        let waited_ms = if self.was_blocked { now_ms.saturating_sub(self.noted_ms) } else { 0 };
        self.noted_ms = now_ms;
        pace.note(waited_ms, moved);
        if waited_ms > 0 && pace.is_below(minimum_rate, idle) {
            return true;
        }
        let was_blocked = std::mem::replace(&mut self.was_blocked, is_blocked);
        if !self.is_set || moved > 0 || !(was_blocked && is_blocked) {
            self.is_set = true;
            timers.set(timer, timers.clock.deadline(idle));
        }
        timers.is_cut_off() || timers.poll_due(timer, cx)
    }
}
