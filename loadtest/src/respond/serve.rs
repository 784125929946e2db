//! A responder's thread: its ring, its connections and their timers.
//!
//! Owns: who gets which event, and the one heap of times at which connections are to be woken. Never:
//! what a connection does with either. Tested by `tests/respond.rs`.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::error::Error;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::Instant;

use slab::Slab;
use socket2::Socket;

use super::answer::Answers;
use super::connection::{Connection, Next, Shared};
use super::script::Script;
use crate::ring::{BufferSpec, Event, Queue, Ring};
use crate::service::{LISTENER, Listening, Readiness};

/// Submissions that fit between two waits.
const ENTRIES: u32 = 1024;

/// Receive buffers: few enough that small requests stay in the processor's cache, large enough that an
/// upload comes in few pieces.
const BUFFERS: BufferSpec = BufferSpec { count: 256, size: 64 * 1024 };

/// Answers until the process ends.
///
/// # Errors
/// When the kernel refuses the ring or stops taking submissions.
pub fn run(
    listener: Socket,
    script: Arc<Script>,
    answers: Answers,
    readiness: &Readiness,
) -> Result<(), Box<dyn Error>> {
    // The kernel may wake a thread 50 µs late unless it is told not to; a delay is to be what it says.
    nix::sys::prctl::set_timerslack(1)?;
    let mut ring = Ring::new(ENTRIES, BUFFERS)?;
    let shared = Shared { script, answers, random: rand::make_rng() };
    let mut worker = Worker {
        listening: Listening::begin(listener, ring.queue()),
        shared,
        connections: Slab::new(),
        opened_count: 0,
        wakes: BinaryHeap::new(),
    };
    readiness.ready();
    loop {
        ring.wait(worker.deadline(), |queue, token, event| worker.handle(queue, token, event))?;
        worker.wake(ring.queue());
        worker.listening.resume(ring.queue());
    }
}

struct Worker {
    listening: Listening,
    shared: Shared,
    /// Each connection with its number, counted from the first that was opened.
    connections: Slab<(u64, Connection)>,
    opened_count: u64,
    /// When to wake which connection: its place and its number, because the place may have been taken
    /// by another one meanwhile.
    wakes: BinaryHeap<Reverse<(Instant, usize, u64)>>,
}

impl Worker {
    fn handle(&mut self, queue: &mut Queue, token: u64, event: Event<'_>) {
        if token == LISTENER {
            match event {
                Event::Accepted(descriptor) => self.open(queue, descriptor),
                Event::AcceptFailed(error) => self.listening.failed(&error),
                _ => {}
            }
            return;
        }
        let place = token as usize;
        let Some((_, connection)) = self.connections.get_mut(place) else { return };
        let shared = &mut self.shared;
        let next = match event {
            Event::Received(received) => connection.received(received.bytes, shared, queue),
            Event::Sent(buffer) => connection.sent(buffer, shared, queue),
            Event::Ended => connection.ended(shared, queue),
            Event::Failed(..) => connection.failed(queue),
            Event::Accepted(_) | Event::AcceptFailed(_) | Event::Connected => Next::Stay,
        };
        self.follow(place, next);
    }

    fn open(&mut self, queue: &mut Queue, descriptor: OwnedFd) {
        let entry = self.connections.vacant_entry();
        let socket = queue.adopt(descriptor, entry.key() as u64);
        queue.receive(socket);
        entry.insert((self.opened_count, Connection::new(socket)));
        self.opened_count += 1;
    }

    fn follow(&mut self, place: usize, next: Next) {
        match next {
            Next::Stay => {}
            Next::Wake(at) => {
                if let Some((number, _)) = self.connections.get(place) {
                    self.wakes.push(Reverse((at, place, *number)));
                }
            }
            Next::Gone => {
                self.connections.try_remove(place);
            }
        }
    }

    /// When something is to be done even if nothing happens.
    fn deadline(&self) -> Option<Instant> {
        let wake = self.wakes.peek().map(|Reverse((at, ..))| *at);
        wake.into_iter().chain(self.listening.deadline()).min()
    }

    /// Wakes whose time has come.
    fn wake(&mut self, queue: &mut Queue) {
        if self.wakes.is_empty() {
            return;
        }
        let now = Instant::now();
        while let Some(Reverse((at, place, number))) = self.wakes.peek().copied() {
            if at > now {
                return;
            }
            self.wakes.pop();
            let connection = self.connections.get_mut(place).filter(|found| found.0 == number);
            if let Some((_, connection)) = connection {
                let next = connection.wake(&mut self.shared, queue);
                self.follow(place, next);
            }
        }
    }
}
