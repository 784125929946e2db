//! A responder's thread: its connections and their timers.
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

use super::answer::Answers;
use super::connection::{Connection, Next, Shared};
use super::script::Script;
use super::streams::Streams;
use crate::http2::frame::PREFACE;
use crate::ring::{Event, Queue, Socket};
use crate::service::{self, Readiness, Worker};

/// Answers until the process ends.
///
/// # Errors
/// When the kernel refuses the ring or stops taking submissions.
pub fn run(
    listener: socket2::Socket,
    script: Arc<Script>,
    answers: Answers,
    readiness: &Readiness,
) -> Result<(), Box<dyn Error>> {
    // The kernel may wake a thread 50 µs late unless it is told not to; a delay is to be what it says.
    nix::sys::prctl::set_timerslack(1)?;
    let responder = Responder {
        shared: Shared { script, answers, random: rand::make_rng() },
        connections: Slab::new(),
        opened_count: 0,
        wakes: BinaryHeap::new(),
    };
    service::serve(listener, responder, readiness)
}

struct Responder {
    shared: Shared,
    /// Each connection with its number, counted from the first that was opened.
    connections: Slab<(u64, Speaker)>,
    opened_count: u64,
    /// When to wake which connection: its place and its number, because the place may have been taken
    /// by another one meanwhile.
    wakes: BinaryHeap<Reverse<(Instant, usize, u64)>>,
}

/// How much of a preface tells it from every method. It comes in one piece.
const TELLING_BYTES: usize = 4;

/// A connection, in the version that its client begins with.
enum Speaker {
    /// Nothing has come yet.
    Silent(Socket),
    One(Box<Connection>),
    Two(Box<Streams>),
}

impl Speaker {
    /// Tells the version by the first bytes.
    fn begin(&mut self, bytes: &[u8]) {
        if let Speaker::Silent(socket) = *self {
            *self = match bytes.starts_with(&PREFACE[..TELLING_BYTES]) {
                true => Speaker::Two(Box::new(Streams::new(socket))),
                false => Speaker::One(Box::new(Connection::new(socket))),
            };
        }
    }

    fn handle(&mut self, event: Event<'_>, shared: &mut Shared, queue: &mut Queue) -> Next {
        if let Event::Received(received) = &event {
            self.begin(received.bytes);
        }
        match (self, event) {
            (Speaker::Silent(socket), Event::Ended | Event::Failed(..)) => {
                queue.close(*socket);
                Next::Gone
            }
            (Speaker::One(one), Event::Received(got)) => one.received(got.bytes, shared, queue),
            (Speaker::One(one), Event::Sent(buffer)) => one.sent(buffer, shared, queue),
            (Speaker::One(one), Event::Ended) => one.ended(shared, queue),
            (Speaker::One(one), Event::Failed(..)) => one.failed(queue),
            (Speaker::Two(two), Event::Received(got)) => two.received(got.bytes, shared, queue),
            (Speaker::Two(two), Event::Sent(buffer)) => two.sent(buffer, shared, queue),
            (Speaker::Two(two), Event::Ended) => two.ended(shared, queue),
            (Speaker::Two(two), Event::Failed(..)) => two.failed(queue),
            _ => Next::Stay,
        }
    }

    fn wake(&mut self, shared: &mut Shared, queue: &mut Queue) -> Next {
        match self {
            Speaker::Silent(_) => Next::Stay,
            Speaker::One(one) => one.wake(shared, queue),
            Speaker::Two(two) => two.wake(shared, queue),
        }
    }
}

impl Worker for Responder {
    fn handle(&mut self, queue: &mut Queue, token: u64, event: Event<'_>) {
        let place = token as usize;
        let Some((_, speaker)) = self.connections.get_mut(place) else { return };
        let next = speaker.handle(event, &mut self.shared, queue);
        self.follow(place, next);
    }

    fn open(&mut self, queue: &mut Queue, descriptor: OwnedFd) {
        let entry = self.connections.vacant_entry();
        let socket = queue.adopt(descriptor, entry.key() as u64);
        queue.receive(socket);
        entry.insert((self.opened_count, Speaker::Silent(socket)));
        self.opened_count += 1;
    }

    fn deadline(&self) -> Option<Instant> {
        self.wakes.peek().map(|Reverse((at, ..))| *at)
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

impl Responder {
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
}
