//! Clients beside the measured ones that have a server begin handshakes, and never finish one.
//!
//! Owns: their connections and when the next one comes. Never: a computation of its own for each; all of them say the
//! same hello, made once, so that a server has far more to do than they have. Tested by `tests/secure.rs`.
//!
//! Of four, two go away when the server has answered, which is after its signature; one says hello and stays; one says
//! half of it and stays. Who stays does so until there are too many, or the server has had enough.

use std::collections::VecDeque;
use std::sync::Arc;

use super::plan::Plan;
use super::tally::Hostile;
use crate::ring::{Event, Outgoing, Queue, Socket};
use crate::tls::session::Session;
use crate::tls::speech;

/// Most of them at a time, in a thread.
pub const OPEN_MAX: usize = 4096;

/// How far behind their time they may be; what is later than that never comes.
const LATE_MAX_NS: u64 = 100_000_000;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// Until the server has answered.
    Leaves,
    Stays,
    /// Says half of a hello.
    Half,
}

#[derive(Debug)]
struct Client {
    socket: Socket,
    kind: Kind,
    /// Which of its place's clients it is.
    number: u64,
}

/// The hostile clients of one thread. Their tokens begin where the caller says.
pub struct HostileClients {
    plan: Arc<Plan>,
    hello: Arc<[u8]>,
    clients: Vec<Client>,
    /// Places that nobody has.
    free: Vec<u32>,
    /// Places of those who came, the oldest first, each with its client's number.
    order: VecDeque<(u32, u64)>,
    first_token: u64,
    /// Between two of them; `None` when there are none.
    every_ns: Option<u64>,
    next_ns: u64,
    pub seen: Hostile,
}

impl HostileClients {
    /// So many a second.
    ///
    /// # Errors
    /// When TLS cannot be spoken.
    pub fn new(
        plan: Arc<Plan>,
        per_second: f64,
        first_token: u64,
    ) -> Result<HostileClients, speech::Error> {
        let mut hello = Vec::new();
        if let (Some(speech), true) = (&plan.speech, per_second > 0.0) {
            Session::begin(speech.configuration()?, speech.name.clone(), &mut hello)?;
        }
        let every_ns = (!hello.is_empty()).then(|| (1e9 / per_second) as u64);
        Ok(HostileClients {
            plan,
            hello: hello.into(),
            clients: Vec::new(),
            free: Vec::new(),
            order: VecDeque::new(),
            first_token,
            every_ns,
            next_ns: 0,
            seen: Hostile::default(),
        })
    }

    pub fn deadline_ns(&self) -> u64 {
        self.every_ns.map_or(u64::MAX, |_| self.next_ns)
    }

    /// Lets come who is due.
    pub fn turn(&mut self, queue: &mut Queue, now_ns: u64) {
        let Some(every_ns) = self.every_ns else { return };
        self.next_ns = self.next_ns.max(now_ns.saturating_sub(LATE_MAX_NS));
        while self.next_ns <= now_ns {
            self.next_ns += every_ns;
            self.come(queue);
        }
    }

    fn come(&mut self, queue: &mut Queue) {
        let Some(place) = self.place(queue) else { return };
        let token = self.first_token + u64::from(place);
        let number = self.seen.begun;
        let kind = match number % 4 {
            1 => Kind::Stays,
            3 => Kind::Half,
            _ => Kind::Leaves,
        };
        match queue.connect(self.plan.address, token) {
            Ok(socket) => {
                self.clients[place as usize] = Client { socket, kind, number };
                self.order.push_back((place, number));
                self.seen.begun += 1;
            }
            Err(_) => self.free.push(place),
        }
    }

    /// A place that is free, a new one, or that of the oldest, who goes.
    fn place(&mut self, queue: &mut Queue) -> Option<u32> {
        if let Some(place) = self.free.pop() {
            return Some(place);
        }
        if self.clients.len() < OPEN_MAX {
            self.clients.push(Client { socket: Socket::NONE, kind: Kind::Leaves, number: 0 });
            return Some((self.clients.len() - 1) as u32);
        }
        while let Some((place, number)) = self.order.pop_front() {
            let client = &mut self.clients[place as usize];
            if client.number == number && client.socket != Socket::NONE {
                queue.close(client.socket);
                client.socket = Socket::NONE;
                return Some(place);
            }
        }
        None
    }

    /// Takes in what has happened to the client of that token.
    pub fn handle(&mut self, queue: &mut Queue, token: u64, event: &Event<'_>) {
        let place = token - self.first_token;
        let Some(client) = self.clients.get_mut(place as usize) else { return };
        let is_over = match event {
            Event::Connected => {
                let count = match client.kind {
                    Kind::Half => self.hello.len() / 2,
                    Kind::Leaves | Kind::Stays => self.hello.len(),
                };
                queue.receive(client.socket);
                queue.send(client.socket, Outgoing::Shared(Arc::clone(&self.hello), 0..count));
                false
            }
            Event::Received(_) => {
                self.seen.answered += 1;
                client.kind == Kind::Leaves
            }
            Event::Ended | Event::Failed(..) => {
                self.seen.ended += 1;
                true
            }
            Event::Sent(_) | Event::Accepted(_) | Event::AcceptFailed(_) => false,
        };
        if is_over {
            queue.close(client.socket);
            client.socket = Socket::NONE;
            self.free.push(place as u32);
        }
        // Those who have gone need not be remembered: the oldest are forgotten as they are met.
        while let Some((place, number)) = self.order.front() {
            let client = &self.clients[*place as usize];
            if client.number == *number && client.socket != Socket::NONE {
                break;
            }
            self.order.pop_front();
        }
    }
}
