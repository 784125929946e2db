//! One client's connection: what has arrived and waits, what goes out, and how it ends.
//!
//! Owns: the connection's buffers and its phase. Never: more than [`HELD_BYTES_MAX`] of requests that
//! wait, or more than one send at a time, so that answers which come meanwhile go out together. Tested
//! by `tests/respond.rs`.
//!
//! ```text
//!   Open ◀──▶ Waiting (for the answer's time)
//!    ├──▶ Stalled ───────────────────┐
//!    └──▶ Closing ──▶ Lingering ──▶ gone
//! ```

use std::sync::Arc;
use std::time::{Duration, Instant};

use rand::rngs::SmallRng;

use super::answer::{Answers, GARBAGE, Rest};
use super::mix::Fault;
use super::script::Script;
use super::talk::{Due, Talk};
use crate::ring::{Outgoing, Queue, Socket};

/// Most bytes of requests that wait for an earlier one; a client that sends more is reset.
const HELD_BYTES_MAX: usize = 1024 * 1024;

/// So many bytes of answers are made before they must be sent.
const OUT_BYTES_MAX: usize = 64 * 1024;

/// A larger buffer is not kept once it is empty.
const KEPT_BYTES_MAX: usize = 16 * 1024;

/// How long a connection that has been ended from here waits for the other side (RFC 9112 §9.6).
const LINGER: Duration = Duration::from_secs(2);

/// What all connections of a thread share.
#[derive(Debug)]
pub struct Shared {
    pub script: Arc<Script>,
    pub answers: Answers,
    pub random: SmallRng,
}

/// What a connection asks of its owner.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub enum Next {
    /// Keep it.
    Stay,
    /// Keep it, and call [`Connection::wake`] at that time.
    Wake(Instant),
    /// Forget it: its socket is closed.
    Gone,
}

#[derive(Debug)]
enum Phase {
    Open,
    /// The answer is held back.
    Waiting(Due),
    /// No answer will come.
    Stalled,
    /// Ends when all has been sent.
    Closing,
    /// All has been sent; what still arrives is thrown away until the other side ends as well.
    Lingering,
    Gone,
}

/// See the module's head.
#[derive(Debug)]
pub struct Connection {
    socket: Socket,
    phase: Phase,
    talk: Talk,
    /// What has arrived and has not been read.
    held: Vec<u8>,
    /// Answers that have not been given to the ring.
    out: Vec<u8>,
    /// Content that follows `out`.
    rest: Option<Rest>,
    /// The ring has a send of ours.
    is_sending: bool,
    /// The other side sends nothing more.
    has_ended: bool,
    /// Closing leaves unread bytes behind: closed at once, it would reset, and lose the answer.
    lingers: bool,
    /// A time to be woken at that the owner has not been told.
    wake_at: Option<Instant>,
}

impl Connection {
    pub fn new(socket: Socket) -> Connection {
        Connection {
            socket,
            phase: Phase::Open,
            talk: Talk::new(),
            held: Vec::new(),
            out: Vec::new(),
            rest: None,
            is_sending: false,
            has_ended: false,
            lingers: false,
            wake_at: None,
        }
    }

    /// Bytes have arrived.
    pub fn received(&mut self, bytes: &[u8], shared: &mut Shared, queue: &mut Queue) -> Next {
        match self.phase {
            Phase::Open | Phase::Waiting(_) => {}
            Phase::Closing => {
                self.lingers = true;
                return Next::Stay;
            }
            Phase::Stalled | Phase::Lingering | Phase::Gone => return Next::Stay,
        }
        if self.held.is_empty() {
            let used = self.read(bytes, shared, queue);
            self.held.extend_from_slice(&bytes[used..]);
        } else {
            self.held.extend_from_slice(bytes);
            self.read_held(shared, queue);
        }
        if self.held.len() > HELD_BYTES_MAX {
            self.reset(queue);
        }
        self.go_on(shared, queue)
    }

    /// The other side sends nothing more; what it has asked for is still answered.
    pub fn ended(&mut self, shared: &mut Shared, queue: &mut Queue) -> Next {
        self.has_ended = true;
        self.go_on(shared, queue)
    }

    /// A send has been taken; `buffer` can be used again.
    pub fn sent(
        &mut self,
        buffer: Option<Vec<u8>>,
        shared: &mut Shared,
        queue: &mut Queue,
    ) -> Next {
        self.is_sending = false;
        if let Some(buffer) = buffer
            && self.out.capacity() == 0
            && buffer.capacity() <= KEPT_BYTES_MAX
        {
            self.out = buffer;
        }
        if !self.held.is_empty() && self.rest.is_none() {
            self.read_held(shared, queue);
        }
        self.go_on(shared, queue)
    }

    /// The time has come that was asked for.
    pub fn wake(&mut self, shared: &mut Shared, queue: &mut Queue) -> Next {
        match self.phase {
            Phase::Waiting(due) => {
                self.phase = Phase::Open;
                self.fulfil(due, shared, queue);
                self.read_held(shared, queue);
            }
            Phase::Lingering => self.close(queue),
            Phase::Open | Phase::Stalled | Phase::Closing | Phase::Gone => {}
        }
        self.go_on(shared, queue)
    }

    /// The connection is broken.
    pub fn failed(&mut self, queue: &mut Queue) -> Next {
        self.close(queue);
        Next::Gone
    }

    fn read_held(&mut self, shared: &mut Shared, queue: &mut Queue) {
        let mut held = std::mem::take(&mut self.held);
        let used = self.read(&held, shared, queue);
        held.drain(..used);
        if !held.is_empty() || held.capacity() <= KEPT_BYTES_MAX {
            self.held = held;
        }
    }

    /// Reads requests as long as they can be answered at once; returns how many bytes that took.
    fn read(&mut self, bytes: &[u8], shared: &mut Shared, queue: &mut Queue) -> usize {
        let mut used = 0;
        while used < bytes.len()
            && matches!(self.phase, Phase::Open)
            && self.rest.is_none()
            && self.out.len() < OUT_BYTES_MAX
        {
            let Shared { script, random, .. } = shared;
            let (count, due) = self.talk.read(&bytes[used..], script, random, &mut self.out);
            used += count;
            match due {
                None => break,
                Some(due) if due.delay.is_zero() => self.fulfil(due, shared, queue),
                Some(due) => {
                    self.wake_at = Some(Instant::now() + due.delay);
                    self.phase = Phase::Waiting(due);
                }
            }
        }
        if matches!(self.phase, Phase::Closing | Phase::Stalled | Phase::Gone) {
            self.lingers |= used < bytes.len();
            return bytes.len();
        }
        used
    }

    /// Answers, or does what is to be done instead.
    fn fulfil(&mut self, due: Due, shared: &Shared, queue: &mut Queue) {
        match due.fault {
            None => {
                self.rest = self.talk.answer(&shared.answers, &mut self.out);
                if !due.keep {
                    self.lingers = due.refused;
                    self.phase = Phase::Closing;
                }
            }
            Some(Fault::Close) => self.phase = Phase::Closing,
            Some(Fault::Reset) => self.reset(queue),
            Some(Fault::Stall) => self.phase = Phase::Stalled,
            Some(Fault::Garbage) => {
                self.out.extend_from_slice(GARBAGE);
                self.phase = Phase::Closing;
            }
        }
    }

    /// Sends what there is, and ends the connection when nothing more can come of it.
    fn go_on(&mut self, shared: &Shared, queue: &mut Queue) -> Next {
        self.send(shared, queue);
        if !self.is_sending {
            match self.phase {
                // Half a request that will never be whole is no reason to wait.
                Phase::Open | Phase::Stalled | Phase::Lingering if self.has_ended => {
                    self.close(queue);
                }
                Phase::Closing if self.lingers && !self.has_ended => {
                    queue.shutdown(self.socket);
                    self.wake_at = Some(Instant::now() + LINGER);
                    self.phase = Phase::Lingering;
                }
                Phase::Closing => self.close(queue),
                Phase::Open
                | Phase::Waiting(_)
                | Phase::Stalled
                | Phase::Lingering
                | Phase::Gone => {}
            }
        }
        match (&self.phase, self.wake_at.take()) {
            (Phase::Gone, _) => Next::Gone,
            (_, Some(at)) => Next::Wake(at),
            (_, None) => Next::Stay,
        }
    }

    /// Gives the next send to the ring, unless it has one.
    fn send(&mut self, shared: &Shared, queue: &mut Queue) {
        if self.is_sending || (self.out.is_empty() && self.rest.is_none()) {
            return;
        }
        if matches!(self.phase, Phase::Gone) {
            return;
        }
        let mut out = std::mem::take(&mut self.out);
        let (shared, range) = shared.answers.piece(&mut self.rest, &mut out);
        let outgoing = match (out.is_empty(), range.is_empty()) {
            (_, true) => Outgoing::Owned(out),
            (true, false) => Outgoing::Shared(Arc::clone(shared), range),
            (false, false) => Outgoing::Pair(out, Arc::clone(shared), range),
        };
        queue.send(self.socket, outgoing);
        self.is_sending = true;
    }

    fn reset(&mut self, queue: &mut Queue) {
        queue.reset(self.socket);
        self.phase = Phase::Gone;
    }

    fn close(&mut self, queue: &mut Queue) {
        queue.close(self.socket);
        self.phase = Phase::Gone;
    }
}
