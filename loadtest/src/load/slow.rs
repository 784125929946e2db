//! Clients that read slowly: what a balancer has beside the fast ones.
//!
//! Owns: their connections. Never: part of what is measured; they are there to be in the way. Tested by
//! `tests/load.rs`.

use std::sync::Arc;

use super::plan::Plan;
use super::response::Reader;
use super::tally::Slow;
use crate::ring::{Event, Outgoing, Queue, Socket};

/// Bytes taken at a time, and how often.
const READ_BYTES: u32 = 1024;
const READ_EVERY_NS: u64 = 100_000_000;

/// Room that the kernel gets for what has not been read: little, so that the other side feels it.
const RECEIVE_BUFFER_BYTES: usize = 4096;

#[derive(Debug)]
struct Client {
    socket: Socket,
    is_open: bool,
    reader: Reader,
}

/// The slow clients of one thread. Their tokens begin where the caller says.
#[derive(Debug)]
pub struct SlowClients {
    plan: Arc<Plan>,
    clients: Vec<Client>,
    first_token: u64,
    next_ns: u64,
    pub seen: Slow,
}

impl SlowClients {
    pub fn new(plan: Arc<Plan>, count: usize, first_token: u64) -> SlowClients {
        let client = || Client { socket: Socket::NONE, is_open: false, reader: Reader::new() };
        SlowClients {
            plan,
            clients: (0..count).map(|_| client()).collect(),
            first_token,
            next_ns: 0,
            seen: Slow { clients: count as u64, ..Slow::default() },
        }
    }

    pub fn deadline_ns(&self) -> u64 {
        if self.clients.is_empty() { u64::MAX } else { self.next_ns }
    }

    /// Lets each client take its next bytes when it is time; those without a connection open one.
    pub fn turn(&mut self, queue: &mut Queue, now_ns: u64) {
        if now_ns < self.deadline_ns() || self.clients.is_empty() {
            return;
        }
        self.next_ns = now_ns + READ_EVERY_NS;
        for (index, client) in self.clients.iter_mut().enumerate() {
            if client.is_open {
                queue.receive_once(client.socket, READ_BYTES);
            } else if client.socket == Socket::NONE {
                let token = self.first_token + index as u64;
                let address = self.plan.address;
                match queue.connect_with(address, token, Some(RECEIVE_BUFFER_BYTES)) {
                    Ok(socket) => client.socket = socket,
                    Err(_) => self.seen.ended += 1,
                }
            }
        }
    }

    /// Takes in what has happened to the client of that token.
    pub fn handle(&mut self, queue: &mut Queue, token: u64, event: &Event<'_>) {
        let Some(client) = self.clients.get_mut((token - self.first_token) as usize) else {
            return;
        };
        let mut is_over = false;
        match event {
            Event::Connected => {
                client.is_open = true;
                client.reader.reset();
                ask(queue, client.socket, &self.plan);
            }
            Event::Received(received) => {
                self.seen.bytes += received.bytes.len() as u64;
                let mut input = received.bytes;
                while !input.is_empty() && !is_over {
                    match client.reader.read(&mut input, false, |_| {}) {
                        Ok(None) => break,
                        Ok(Some(whole)) => {
                            self.seen.responses += 1;
                            is_over = !whole.keep;
                            if whole.keep {
                                ask(queue, client.socket, &self.plan);
                            }
                        }
                        Err(_) => is_over = true,
                    }
                }
            }
            Event::Ended | Event::Failed(..) => {
                self.seen.ended += 1;
                is_over = true;
            }
            Event::Sent(_) | Event::Accepted(_) | Event::AcceptFailed(_) => {}
        }
        if is_over {
            queue.close(client.socket);
            (client.socket, client.is_open) = (Socket::NONE, false);
        }
    }
}

fn ask(queue: &mut Queue, socket: Socket, plan: &Plan) {
    let mut out = Vec::new();
    plan.slow.write(0, b"", &mut out);
    queue.send(socket, Outgoing::Owned(out));
}
