//! The relay: for each client's connection one to the target, and every byte from one to the other.
//!
//! Owns: the pairs of sockets. Never: a copy of what passes, as long as the sockets take it: the buffer
//! that the kernel has received into is the one it sends from. Tested by `tests/floor.rs`.

use std::error::Error;
use std::io;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;

use slab::Slab;

use super::heads::{Heads, Kind};
use crate::ring::{Event, Outgoing, Queue, Received, Socket};
use crate::service::{self, BUFFERS, Readiness, Worker};

/// Buffers that may wait for one socket to take them; then its other side is no longer received from, so
/// that a slow one leaves some to the fast ones.
const WAITING_MAX: u32 = 8;

/// Received buffers that may be lent to sends, of all pairs. What arrives beyond them is copied, so that
/// receiving goes on however many sockets take nothing.
const LENT_MAX: u32 = BUFFERS.count as u32 / 2;

/// The two sides of a pair, and their places in its arrays.
const CLIENT: usize = 0;
const TARGET: usize = 1;

/// Relays until the process ends.
///
/// # Errors
/// When the kernel refuses the ring or stops taking submissions.
pub fn run(
    listener: socket2::Socket,
    target: SocketAddr,
    parse: bool,
    readiness: &Readiness,
) -> Result<(), Box<dyn Error>> {
    let relay = Relay { target, parse, pairs: Slab::new(), lent: 0, has_complained: false };
    service::serve(listener, relay, readiness)
}

struct Relay {
    target: SocketAddr,
    parse: bool,
    pairs: Slab<Pair>,
    /// Buffers that are lent to sends.
    lent: u32,
    /// It has been said that the target is not there.
    has_complained: bool,
}

/// A client's connection and the one that it goes on in.
struct Pair {
    sides: [Side; 2],
    /// By where the heads come from; `None` when they are not read.
    heads: Option<[Heads; 2]>,
}

#[derive(Debug, Clone, Copy)]
struct Side {
    socket: Socket,
    /// Sends to this side that have not been taken.
    waiting: u32,
    /// Those of them that a received buffer is lent to.
    lent: u32,
    /// This side sends nothing more.
    has_ended: bool,
    /// The other side has been told so.
    is_told: bool,
    /// This side is not received from until the other has taken what waits.
    is_paused: bool,
}

impl Side {
    fn new(socket: Socket) -> Side {
        Side { socket, waiting: 0, lent: 0, has_ended: false, is_told: false, is_paused: false }
    }
}

impl Worker for Relay {
    fn handle(&mut self, queue: &mut Queue, token: u64, event: Event<'_>) {
        let (place, side) = ((token / 2) as usize, (token % 2) as usize);
        let Some(pair) = self.pairs.get_mut(place) else { return };
        let is_over = match event {
            Event::Connected => {
                pair.sides.iter().for_each(|side| queue.receive(side.socket));
                false
            }
            Event::Received(received) => {
                self.lent += u32::from(pair.pass(queue, side, &received, self.lent < LENT_MAX));
                false
            }
            Event::Sent(copy) => {
                if copy.is_none() {
                    pair.sides[side].lent -= 1;
                    self.lent -= 1;
                }
                pair.taken(queue, side)
            }
            Event::Ended => pair.ended(queue, side),
            Event::Failed(error, _) => {
                if error.kind() == io::ErrorKind::ConnectionRefused && !self.has_complained {
                    eprintln!("cannot connect to {}: {error}", self.target);
                    self.has_complained = true;
                }
                pair.sides.iter().for_each(|side| queue.reset(side.socket));
                true
            }
            Event::Accepted(_) | Event::AcceptFailed(_) => false,
        };
        if is_over {
            let pair = self.pairs.remove(place);
            self.lent -= pair.sides.iter().map(|side| side.lent).sum::<u32>();
        }
    }

    fn open(&mut self, queue: &mut Queue, descriptor: OwnedFd) {
        let entry = self.pairs.vacant_entry();
        let token = entry.key() as u64 * 2;
        let client = queue.adopt(descriptor, token + CLIENT as u64);
        match queue.connect(self.target, token + TARGET as u64) {
            Ok(target) => {
                let heads = || [Heads::new(Kind::Request), Heads::new(Kind::Response)];
                let sides = [Side::new(client), Side::new(target)];
                entry.insert(Pair { sides, heads: self.parse.then(heads) });
            }
            Err(error) => {
                eprintln!("cannot connect to {}: {error}", self.target);
                queue.reset(client);
            }
        }
    }
}

impl Pair {
    /// Bytes of side `from` go on to the other; returns whether their buffer is lent to the send, which
    /// it `may` be.
    fn pass(&mut self, queue: &mut Queue, from: usize, received: &Received<'_>, may: bool) -> bool {
        if let Some(heads) = &mut self.heads {
            heads[from].pass(received.bytes);
        }
        let to = &mut self.sides[1 - from];
        let lends = may && to.waiting < WAITING_MAX;
        if lends {
            queue.forward(to.socket, received);
            to.lent += 1;
        } else {
            queue.send(to.socket, Outgoing::Owned(received.bytes.to_vec()));
        }
        to.waiting += 1;
        if to.waiting >= WAITING_MAX {
            let from = &mut self.sides[from];
            from.is_paused = true;
            queue.pause(from.socket);
        }
        lends
    }

    /// Side `to` has taken one send; `true` when the pair is over.
    fn taken(&mut self, queue: &mut Queue, to: usize) -> bool {
        self.sides[to].waiting -= 1;
        let nothing_waits = self.sides[to].waiting == 0;
        let from = &mut self.sides[1 - to];
        if from.is_paused && nothing_waits {
            from.is_paused = false;
            queue.receive(from.socket);
        }
        self.tell(queue, 1 - to)
    }

    /// Side `from` sends nothing more; `true` when the pair is over.
    fn ended(&mut self, queue: &mut Queue, from: usize) -> bool {
        self.sides[from].has_ended = true;
        self.tell(queue, from)
    }

    /// Tells the other side that `from` has ended, once it has taken all; `true` when both know.
    fn tell(&mut self, queue: &mut Queue, from: usize) -> bool {
        let [side, other] = [self.sides[from], self.sides[1 - from]];
        if !side.has_ended || side.is_told || other.waiting > 0 {
            return false;
        }
        self.sides[from].is_told = true;
        if !other.is_told {
            queue.shutdown(other.socket);
            return false;
        }
        self.sides.iter().for_each(|side| queue.close(side.socket));
        true
    }
}
