//! Whose turn it is to send (RFC 9218): by urgency, and among equals one after the other.
//!
//! ```text
//! urgency 0: | 5 | -> | 9 |        the first is next
//! urgency 3: | 1 | -> | 7 | -> …   gets one part in eleven while more urgent ones send
//! ```
//! A stream waits when [`Machine::send`](super::Machine::send) has not taken all of its bytes. A turn keeps room free
//! for it, which it uses when it sends again: incremental ones one frame at a time, others in longer runs, so that
//! equal ones end at about the same time and none waits for the whole of another. Tested through the machine, with two
//! urgencies of sixteen streams each.

use super::stream::{NONE, Stream, Turn};
use super::streams::Streams;

const URGENCIES: usize = 8;
/// Bytes of one turn.
const RUN_BYTES: u32 = 32 * 1024;
const INCREMENTAL_RUN_BYTES: u32 = 16 * 1024;
/// Of so many bytes that urgent streams send, one is for those that are less urgent and wait.
const LESS_URGENT_PART: u32 = 10;
/// Less room than this is not worth a turn, when more will be there after the next send.
const TURN_BYTES_MIN: u32 = 4 * 1024;

/// The ends of one queue.
#[derive(Debug, Clone, Copy)]
struct Queue {
    first: u16,
    last: u16,
}

#[derive(Debug)]
pub struct Turns {
    queues: [Queue; URGENCIES],
    /// A bit for each urgency whose queue is not empty.
    waiting: u8,
    /// Bytes that are kept free for streams whose turn it is.
    reserved: u32,
    /// Bytes that the less urgent ones may send although more urgent ones wait; negative when they have sent more.
    owed_bytes: i64,
    /// The urgency that was last given what is owed to the less urgent ones.
    last_owed: u8,
}

impl Default for Turns {
    fn default() -> Turns {
        let queue = Queue { first: NONE, last: NONE };
        Turns { queues: [queue; URGENCIES], waiting: 0, reserved: 0, owed_bytes: 0, last_owed: 0 }
    }
}

impl Turns {
    /// Whether some stream waits.
    #[inline]
    pub fn is_awaited(&self) -> bool {
        self.waiting != 0
    }

    /// Bytes that the stream may send now, of `wanted`, with `room` in the output: those that are kept free for it, or
    /// what is free when nobody waits who is as urgent.
    #[inline]
    pub fn allowance(&mut self, stream: &mut Stream, wanted: u32, room: u32) -> u32 {
        match stream.turn {
            Turn::Granted { bytes, is_owed } => {
                let allowance = bytes.min(room);
                stream.turn = Turn::None;
                self.take_back((bytes, bytes.saturating_sub(wanted.min(allowance))), is_owed);
                allowance
            }
            Turn::Queued | Turn::Blocked => 0,
            Turn::None if self.waiting & up_to(stream.priority.urgency) != 0 => 0,
            Turn::None => room.saturating_sub(self.reserved),
        }
    }

    /// The bytes of a turn are kept free no longer; those that were not used are still owed, if the turn was.
    #[inline]
    fn take_back(&mut self, (bytes, unused): (u32, u32), is_owed: bool) {
        self.reserved = self.reserved.saturating_sub(bytes);
        if is_owed {
            self.owed_bytes += i64::from(unused);
        }
    }

    /// Everything was sent, and there is room again: what was kept free for those who have not used it is so no longer.
    /// They still have their turn.
    #[inline]
    pub fn lapse(&mut self) {
        self.reserved = 0;
    }

    /// A stream of this urgency has sent so many bytes.
    #[inline]
    pub fn sent(&mut self, urgency: u8, bytes: u32) {
        if self.waiting & !up_to(urgency) != 0 {
            self.owed_bytes += i64::from(bytes / LESS_URGENT_PART);
        }
    }

    /// The stream at `slot` waits for its turn.
    pub fn wait(&mut self, slot: u16, streams: &mut Streams) {
        let Some(stream) = streams.at_mut(slot) else { return };
        match stream.turn {
            Turn::Queued => return,
            Turn::Granted { bytes, is_owed } => self.take_back((bytes, bytes), is_owed),
            Turn::None | Turn::Blocked => {}
        }
        if stream.window.open() == 0 {
            stream.turn = Turn::Blocked;
            return;
        }
        let urgency = stream.priority.urgency;
        let Some(queue) = self.queues.get_mut(usize::from(urgency)) else { return };
        let last = std::mem::replace(&mut queue.last, slot);
        stream.turn = Turn::Queued;
        stream.previous = last;
        stream.next = NONE;
        match streams.at_mut(last) {
            Some(last) => last.next = slot,
            None => queue.first = slot,
        }
        self.waiting |= 1 << urgency;
    }

    /// The stream at `slot` waits no more.
    pub fn leave(&mut self, slot: u16, streams: &mut Streams) {
        let Some(stream) = streams.at_mut(slot) else { return };
        let (previous, next, urgency) = (stream.previous, stream.next, stream.priority.urgency);
        match std::mem::replace(&mut stream.turn, Turn::None) {
            Turn::None | Turn::Blocked => return,
            Turn::Granted { bytes, is_owed } => return self.take_back((bytes, bytes), is_owed),
            Turn::Queued => {}
        }
        let Some(queue) = self.queues.get_mut(usize::from(urgency)) else { return };
        match streams.at_mut(previous) {
            Some(previous) => previous.next = next,
            None => queue.first = next,
        }
        match streams.at_mut(next) {
            Some(next) => next.previous = previous,
            None => queue.last = previous,
        }
        if queue.first == NONE {
            self.waiting &= !(1 << urgency);
        }
    }

    /// Gives the next stream its turn, and returns its slot; `room` is what the output and the connection's window
    /// have. `is_more_coming`: there will be more room soon.
    pub fn next(&mut self, room: u32, is_more_coming: bool, streams: &mut Streams) -> Option<u16> {
        let free = room.saturating_sub(self.reserved);
        if self.waiting == 0 || free == 0 || is_more_coming && free < TURN_BYTES_MIN {
            return None;
        }
        let most_urgent = self.waiting.trailing_zeros() as u8;
        let urgency = self.owed_to(most_urgent).unwrap_or(most_urgent);
        let slot = self.queues.get(usize::from(urgency))?.first;
        self.leave(slot, streams);
        let stream = streams.at_mut(slot)?;
        let run = if stream.priority.incremental { INCREMENTAL_RUN_BYTES } else { RUN_BYTES };
        let bytes = run.min(free).min(stream.window.open());
        let is_owed = urgency != most_urgent;
        stream.turn = Turn::Granted { bytes, is_owed };
        self.reserved += bytes;
        if is_owed {
            self.owed_bytes -= i64::from(bytes);
            self.last_owed = urgency;
        }
        Some(slot)
    }

    /// The less urgent queue whose turn it is, when enough is owed; they take turns themselves.
    fn owed_to(&mut self, most_urgent: u8) -> Option<u8> {
        let less_urgent = self.waiting & !up_to(most_urgent);
        if less_urgent == 0 {
            self.owed_bytes = 0;
            return None;
        }
        if self.owed_bytes < i64::from(INCREMENTAL_RUN_BYTES) {
            return None;
        }
        let behind_last = less_urgent & !up_to(self.last_owed);
        let among = if behind_last == 0 { less_urgent } else { behind_last };
        Some(among.trailing_zeros() as u8)
    }
}

/// A bit for each urgency up to this one.
#[inline]
fn up_to(urgency: u8) -> u8 {
    ((2_u16 << urgency.min(7)) - 1) as u8
}
