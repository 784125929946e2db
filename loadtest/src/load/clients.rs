//! The clients of one thread: they ask, check every answer, and come back.
//!
//! Owns: the connections, who asks next, and the verdict on every response. Never: a system call of its own for a
//! request, or memory for one once it runs. Tested by `tests/load.rs` against a server that does everything wrong. TLS
//! is spoken by `secure`, in between.

mod answers;
mod secure;
mod streams;

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};
use std::io;
use std::mem;
use std::sync::Arc;

use self::secure::Secure;
use super::asked::{Asked, NOBODY};
use super::connection::{Connection, State};
use super::manner::{Manner, Share};
use super::options::CookieJar;
use super::phase::{Clock, Phase, Phases};
use super::plan::Plan;
use super::random::Random;
use super::schedule::Schedule;
use super::sessions::Sessions;
use super::tally::{Problem, Tally};
use crate::ring::{Event, Outgoing, Queue};
use crate::tls::speech;

/// Connections that are being opened at the same time.
const CONNECTING_MAX: usize = 512;

/// How long a client waits before it tries to connect again.
const RETRY_NS: u64 = 50_000_000;

/// How long the other side may take to end a connection that is not to be kept.
const ENDING_NS: u64 = 1_000_000_000;

/// How often all connections are looked at.
const TICK_NS: u64 = 50_000_000;

/// The clients of one thread. Their tokens are the numbers of their connections.
pub struct Clients {
    plan: Arc<Plan>,
    manner: Manner,
    clock: Clock,
    connections: Vec<Connection>,
    sessions: Sessions,
    /// The arrivals of an open loop; `None` in a closed one.
    schedule: Option<Schedule>,
    phases: Phases,
    /// Connections with room for an arrival, the last used on top; some may have lost it since.
    idle: Vec<u32>,
    to_connect: VecDeque<u32>,
    connecting: usize,
    /// Handshakes of TLS that are not done.
    greeting: usize,
    /// Connections that wait: when, and which.
    timers: BinaryHeap<Reverse<(u64, u32)>>,
    spare: Vec<Vec<u8>>,
    /// Requests that are written for one connection, until they are sent all at once.
    out: Vec<u8>,
    random: Random,
    next_id: u64,
    next_tick_ns: u64,
    /// Requests that wait for a response, on all connections.
    waiting: usize,
    /// What speaks TLS, if it is spoken.
    secure: Option<Secure>,
    pub tally: Tally,
}

impl Clients {
    /// # Errors
    /// When TLS cannot be spoken.
    pub fn new(
        plan: Arc<Plan>,
        manner: Manner,
        clock: Clock,
        share: Share,
    ) -> Result<Clients, speech::Error> {
        let Share { thread, connections, sessions, schedule, phases } = share;
        Ok(Clients {
            secure: plan.speech.as_ref().map(Secure::new).transpose()?,
            plan,
            manner,
            clock,
            connections: (0..connections).map(|_| Connection::new(manner.pipeline)).collect(),
            sessions,
            schedule,
            phases,
            idle: Vec::with_capacity(connections),
            to_connect: VecDeque::with_capacity(connections),
            connecting: 0,
            greeting: 0,
            timers: BinaryHeap::with_capacity(connections),
            spare: Vec::with_capacity(connections),
            out: Vec::new(),
            random: Random::new(thread as u64),
            // Each thread has ids of its own.
            next_id: (thread as u64) << 48,
            next_tick_ns: 0,
            waiting: 0,
            tally: Tally::new(),
        })
    }

    /// Begins: every connection is opened, or waits for its first request.
    pub fn start(&mut self, queue: &mut Queue) {
        let now_ns = self.clock.now_ns();
        // Without a time to warm up, the very first requests are measured.
        self.phases.advance(now_ns, self.connections.len(), &mut self.tally);
        for index in 0..self.connections.len() {
            if self.manner.close {
                self.free(index, now_ns);
            } else {
                self.to_connect.push_back(index as u32);
            }
        }
        self.connect_more(queue, now_ns);
    }

    /// Does what is due; `false` when all is over.
    pub fn turn(&mut self, queue: &mut Queue) -> bool {
        let now_ns = self.clock.now_ns();
        if self.phases.advance(now_ns, self.waiting, &mut self.tally) == Phase::Over {
            return false;
        }
        if self.phases.is_asking() {
            self.fire(queue, now_ns);
            self.arrive(queue, now_ns);
        } else if let Some(mut schedule) = self.schedule.take()
            && let Some(end_ns) = self.phases.end_ns()
        {
            schedule.advance(end_ns.saturating_sub(1));
            self.tally.unsent += schedule.waiting() as u64;
        }
        if now_ns >= self.next_tick_ns {
            self.next_tick_ns = now_ns + TICK_NS;
            self.look_at_all(queue, now_ns);
        }
        self.connect_more(queue, now_ns);
        true
    }

    /// When there is something to do even if nothing happens.
    pub fn deadline_ns(&self) -> u64 {
        let mut deadline_ns = self.next_tick_ns.min(self.phases.next_ns());
        if let Some(Reverse((due_ns, _))) = self.timers.peek() {
            deadline_ns = deadline_ns.min(*due_ns);
        }
        if let Some(schedule) = &self.schedule {
            deadline_ns = deadline_ns.min(schedule.next_ns());
        }
        deadline_ns
    }

    /// Takes in what has happened to a connection.
    pub fn handle(&mut self, queue: &mut Queue, index: usize, event: Event<'_>) {
        match event {
            Event::Received(received) => self.received(queue, index, received.bytes),
            Event::Sent(buffer) => self.spare.extend(buffer),
            Event::Connected => self.connected(queue, index),
            Event::Ended => self.ended(queue, index),
            Event::Failed(error, buffer) => {
                self.spare.extend(buffer);
                self.failed(queue, index, error);
            }
            // There is no listener.
            Event::Accepted(_) | Event::AcceptFailed(_) => {}
        }
    }

    /// Wakes the connections whose time to wait is over.
    fn fire(&mut self, queue: &mut Queue, now_ns: u64) {
        while let Some(Reverse((due_ns, index))) = self.timers.peek().copied() {
            if due_ns > now_ns {
                return;
            }
            self.timers.pop();
            let connection = &mut self.connections[index as usize];
            connection.is_waiting = false;
            match connection.state {
                State::Open => self.go_on(queue, index as usize, now_ns),
                State::Closed if self.manner.close => self.free(index as usize, now_ns),
                State::Closed => self.to_connect.push_back(index),
                State::Connecting | State::Greeting | State::Ending => {}
            }
        }
    }

    /// Gives the arrivals that are due to connections with room.
    fn arrive(&mut self, queue: &mut Queue, now_ns: u64) {
        let Some(schedule) = &mut self.schedule else { return };
        schedule.advance(now_ns);
        let mut waiting = schedule.waiting();
        while waiting > 0
            && let Some(index) = self.idle.pop()
        {
            let index = index as usize;
            self.connections[index].is_idle = false;
            match (self.connections[index].state, self.manner.close) {
                (State::Open, false) => self.go_on(queue, index, now_ns),
                (State::Closed, true) => self.free(index, now_ns),
                // It has lost its connection meanwhile, and comes back by itself.
                _ => continue,
            }
            let left = self.schedule.as_ref().map_or(0, Schedule::waiting);
            if left == waiting {
                // No more can be sent now, whoever has room.
                return;
            }
            waiting = left;
        }
    }

    /// Asks as much as an open connection has room for.
    fn go_on(&mut self, queue: &mut Queue, index: usize, now_ns: u64) {
        if !self.phases.is_asking() || self.connections[index].is_waiting {
            return;
        }
        let mut has_room = true;
        while has_room && self.connections[index].has_room(self.manner.pipeline) {
            let intended_ns = match &mut self.schedule {
                None => now_ns,
                Some(schedule) => match schedule.take() {
                    Some(intended_ns) => intended_ns,
                    None => break,
                },
            };
            has_room = self.ask(queue, index, intended_ns, now_ns);
            if let (false, Some(schedule)) = (has_room, &mut self.schedule) {
                schedule.put_back(intended_ns);
            }
        }
        self.send(queue, index);
        let connection = &mut self.connections[index];
        let has_room = connection.has_room(self.manner.pipeline);
        if self.schedule.is_some() && has_room && !connection.is_idle {
            connection.is_idle = true;
            self.idle.push(index as u32);
        }
    }

    /// Sends what was written.
    fn send(&mut self, queue: &mut Queue, index: usize) {
        if self.secure.is_some() {
            return self.send_sealed(queue, index);
        }
        if self.out.is_empty() {
            return;
        }
        let out = mem::replace(&mut self.out, self.spare.pop().unwrap_or_default());
        if self.phases.is_measuring() {
            self.tally.bytes_out += out.len() as u64;
        }
        queue.send(self.connections[index].socket, Outgoing::Owned(out));
    }

    /// Writes one request, or sends it when its content is large; `false` when it may not be asked now.
    fn ask(&mut self, queue: &mut Queue, index: usize, intended_ns: u64, sent_ns: u64) -> bool {
        let Some(user) = self.user(index) else { return false };
        let Some(is_measured) = self.phases.begin(intended_ns) else {
            self.give_back(user);
            return false;
        };
        let Clients { plan, random, sessions, connections, tally, phases, spare, out, .. } = self;
        let shape_index = plan.draw(random);
        let shape = &plan.shapes[shape_index];
        self.next_id += 1;
        let id = self.next_id;
        let cookies = match user {
            NOBODY => &[],
            user => sessions.cookies(user),
        };
        tally.requests += u64::from(is_measured);
        self.waiting += 1;
        let connection = &mut connections[index];
        let shape_number = shape_index as u32;
        let asked = Asked { intended_ns, sent_ns, id, user, shape: shape_number, is_measured };
        if let Some(streams) = &mut connection.streams {
            streams.ask(shape, Some(asked), cookies, out);
            return true;
        }
        shape.write(id, cookies, out);
        connection.asked.push_back(asked);
        if let Some(content) = &shape.content {
            if self.secure.is_some() {
                out.extend_from_slice(content);
                self.send_sealed(queue, index);
                return true;
            }
            if phases.is_measuring() {
                tally.bytes_out += (out.len() + content.len()) as u64;
            }
            let head = mem::replace(out, spare.pop().unwrap_or_default());
            let outgoing = Outgoing::Pair(head, content.clone(), 0..content.len());
            queue.send(connection.socket, outgoing);
        }
        true
    }

    /// Who asks next on a connection; `None` when nobody may.
    fn user(&mut self, index: usize) -> Option<u32> {
        match self.manner.jar {
            None => Some(NOBODY),
            Some(CookieJar::PerSession) => self.sessions.take(&mut self.random),
            Some(CookieJar::PerConnection) => {
                let user = index as u32;
                let is_first = self.connections[index].waiting() == 0;
                (is_first || !self.sessions.is_new(user)).then_some(user)
            }
        }
    }

    fn give_back(&mut self, user: u32) {
        if user != NOBODY && self.manner.jar == Some(CookieJar::PerSession) {
            self.sessions.give_back(user);
        }
    }

    fn connect_more(&mut self, queue: &mut Queue, now_ns: u64) {
        while self.connecting < CONNECTING_MAX
            && self.phases.is_asking()
            // A connection for each request: none is opened that nothing is left for.
            && (!self.manner.close || self.phases.has_more(self.connecting + self.greeting))
            && let Some(index) = self.to_connect.pop_front()
        {
            match queue.connect(self.plan.address, u64::from(index)) {
                Ok(socket) => {
                    self.connecting += 1;
                    let connection = &mut self.connections[index as usize];
                    connection.socket = socket;
                    connection.enter(State::Connecting, now_ns);
                    connection.reader.reset();
                    self.tally.reconnects += u64::from(connection.is_known && !self.manner.close);
                    connection.is_known = true;
                }
                Err(error) => {
                    self.tally.first_refusal.get_or_insert_with(|| error.to_string());
                    self.refused(index as usize, now_ns, Problem::Connect);
                }
            }
        }
    }

    /// No connection could be had: tries again later.
    fn refused(&mut self, index: usize, now_ns: u64, problem: Problem) {
        self.tally.problem(problem);
        self.phases.forfeit();
        self.wait_until(index, now_ns + RETRY_NS);
    }

    fn wait_until(&mut self, index: usize, due_ns: u64) {
        self.connections[index].is_waiting = true;
        self.timers.push(Reverse((due_ns, index as u32)));
    }

    fn connected(&mut self, queue: &mut Queue, index: usize) {
        let now_ns = self.clock.now_ns();
        self.connecting -= 1;
        queue.receive(self.connections[index].socket);
        match self.secure {
            Some(_) => self.greet(queue, index, now_ns),
            None => self.opened(queue, index, now_ns),
        }
        self.connect_more(queue, now_ns);
    }

    /// Asks the first time on a connection.
    fn opened(&mut self, queue: &mut Queue, index: usize, now_ns: u64) {
        self.begin_streams(index);
        let connection = &mut self.connections[index];
        connection.enter(State::Open, now_ns);
        if self.manner.close {
            let intended_ns = connection.intended_ns;
            let is_asked = self.phases.is_asking() && self.ask(queue, index, intended_ns, now_ns);
            self.send(queue, index);
            if !is_asked {
                self.close(queue, index, now_ns);
            }
        } else {
            self.go_on(queue, index, now_ns);
            self.send(queue, index);
        }
    }

    fn received(&mut self, queue: &mut Queue, index: usize, bytes: &[u8]) {
        let now_ns = self.clock.now_ns();
        match self.secure {
            Some(_) => self.receive_sealed(queue, index, bytes, now_ns),
            None => self.take_in(queue, index, bytes, now_ns),
        }
    }

    fn ended(&mut self, queue: &mut Queue, index: usize) {
        let now_ns = self.clock.now_ns();
        let connection = &mut self.connections[index];
        // Without TLS's own word for the end, the response may have been cut off.
        let is_whole = connection.session.as_ref().is_none_or(|session| session.is_ended());
        if connection.state == State::Open
            && is_whole
            && let Some(whole) = connection.reader.end()
        {
            self.complete(index, whole, now_ns);
        }
        self.failed_at(queue, index, now_ns);
    }

    fn failed(&mut self, queue: &mut Queue, index: usize, error: io::Error) {
        let now_ns = self.clock.now_ns();
        if self.connections[index].state == State::Connecting {
            self.tally.first_refusal.get_or_insert_with(|| error.to_string());
        }
        self.failed_at(queue, index, now_ns);
    }

    fn failed_at(&mut self, queue: &mut Queue, index: usize, now_ns: u64) {
        match self.connections[index].state {
            State::Connecting => {
                self.connecting -= 1;
                queue.close(self.connections[index].socket);
                self.connections[index].enter(State::Closed, now_ns);
                self.refused(index, now_ns, Problem::Connect);
                self.connect_more(queue, now_ns);
            }
            State::Greeting => self.turned_away(queue, index, now_ns, Problem::Tls),
            State::Open => self.lose(queue, index, now_ns, Problem::Closed),
            State::Ending => self.close(queue, index, now_ns),
            State::Closed => {}
        }
    }

    /// The connection is over: what was asked on it has failed, the oldest with `problem`.
    fn lose(&mut self, queue: &mut Queue, index: usize, now_ns: u64, problem: Problem) {
        let is_in_content = self.connections[index].reader.is_in_content();
        let mut problem = match problem {
            Problem::Closed if is_in_content => Problem::Length,
            problem => problem,
        };
        let Connection { asked, streams, .. } = &mut self.connections[index];
        let left = streams.iter_mut().flat_map(|streams| streams.take_asked());
        let left: Vec<Asked> = asked.drain(..).chain(left).collect();
        for asked in left {
            self.waiting -= 1;
            self.tally.problem(problem);
            self.give_back(asked.user);
            if problem != Problem::Timeout {
                problem = Problem::Closed;
            }
        }
        self.close(queue, index, now_ns);
    }

    /// Closes a connection and sees to its next one.
    fn close(&mut self, queue: &mut Queue, index: usize, now_ns: u64) {
        let connection = &mut self.connections[index];
        queue.close(connection.socket);
        connection.session = None;
        connection.streams = None;
        connection.enter(State::Closed, now_ns);
        if connection.is_waiting || !self.phases.is_asking() {
            return;
        }
        if self.manner.close {
            self.free(index, now_ns);
        } else {
            self.to_connect.push_back(index as u32);
        }
        self.connect_more(queue, now_ns);
    }

    /// With a connection for each request: the place is free for the next one.
    fn free(&mut self, index: usize, now_ns: u64) {
        let connection = &mut self.connections[index];
        let intended_ns = match &mut self.schedule {
            None => Some(now_ns),
            Some(schedule) => schedule.take(),
        };
        if let Some(intended_ns) = intended_ns {
            connection.intended_ns = intended_ns;
            self.to_connect.push_back(index as u32);
        } else if !connection.is_idle {
            connection.is_idle = true;
            self.idle.push(index as u32);
        }
    }

    /// Ends what has taken too long.
    fn look_at_all(&mut self, queue: &mut Queue, now_ns: u64) {
        for index in 0..self.connections.len() {
            let connection = &self.connections[index];
            let age_ns = now_ns.saturating_sub(connection.since_ns);
            let oldest_ns = match &connection.streams {
                Some(streams) => streams.oldest_ns(),
                None => connection.asked.front().map(|asked| asked.sent_ns),
            };
            let is_late = oldest_ns
                .is_some_and(|sent_ns| now_ns.saturating_sub(sent_ns) > self.manner.timeout_ns);
            let has_streams = connection.streams.is_some();
            match connection.state {
                State::Connecting if age_ns > self.manner.timeout_ns => {
                    self.failed_at(queue, index, now_ns);
                }
                State::Greeting if age_ns > self.manner.timeout_ns => {
                    self.turned_away(queue, index, now_ns, Problem::Timeout);
                }
                State::Open if is_late && has_streams => {
                    self.look_at_streams(queue, index, now_ns);
                }
                State::Open if is_late => self.lose(queue, index, now_ns, Problem::Timeout),
                State::Ending if age_ns > ENDING_NS => self.close(queue, index, now_ns),
                _ => {}
            }
        }
    }
}
