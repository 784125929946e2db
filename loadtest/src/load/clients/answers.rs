//! Responses as the clients of a thread judge them.
//!
//! Owns: the verdict on every response, whatever the version it came in; and the responses of HTTP/1.1. Never: a response
//! that is not counted. Tested by `tests/load.rs`.

use super::super::asked::{Asked, NOBODY, Seen, digits};
use super::super::connection::State;
use super::super::response::{Garbage, Whole};
use super::super::sessions::Stay;
use super::{Clients, Problem};
use crate::ring::Queue;

impl Clients {
    pub(super) fn take_in(&mut self, queue: &mut Queue, index: usize, bytes: &[u8], now_ns: u64) {
        if self.phases.is_measuring() {
            self.tally.bytes_in += bytes.len() as u64;
        }
        if self.connections[index].streams.is_some() {
            return self.take_in_streams(queue, index, bytes, now_ns);
        }
        let mut input = bytes;
        while !input.is_empty() {
            match self.read(index, &mut input) {
                Ok(None) => return,
                Ok(Some(whole)) => {
                    self.complete(index, whole, now_ns);
                    if self.manner.close && !whole.keep {
                        return self.connections[index].enter(State::Ending, now_ns);
                    }
                    if self.manner.close || !whole.keep {
                        return self.lose(queue, index, now_ns, Problem::Closed);
                    }
                }
                Err(Garbage) => {
                    if self.connections[index].asked.is_empty() {
                        self.tally.problem(Problem::Garbage);
                    }
                    return self.lose(queue, index, now_ns, Problem::Garbage);
                }
            }
        }
        self.go_on(queue, index, now_ns);
    }

    /// Reads on in the response to the oldest request of a connection.
    fn read(&mut self, index: usize, input: &mut &[u8]) -> Result<Option<Whole>, Garbage> {
        let Clients { connections, sessions, tally, plan, .. } = self;
        let connection = &mut connections[index];
        // Nobody asked for these bytes.
        let asked = connection.asked.front().ok_or(Garbage)?;
        let (seen, bodiless) = (&mut connection.seen, plan.shapes[asked.shape as usize].bodiless);
        connection.reader.read(input, bodiless, |head| {
            *seen = Seen {
                status: head.status,
                target: head.target.map(|name| tally.target(name)),
                has_cookie: head.has_cookies,
                has_echo: head.echo.is_some(),
                is_echo_wrong: head.echo.is_some_and(|echo| echo != digits(asked.id)),
                content: 0,
            };
            if head.has_cookies && asked.user != NOBODY {
                head.cookies().for_each(|cookie| sessions.set_cookie(asked.user, cookie));
            }
        })
    }

    /// A response is whole: judges it and makes room for the next request.
    pub(super) fn complete(&mut self, index: usize, whole: Whole, now_ns: u64) {
        let connection = &mut self.connections[index];
        let (seen, Some(asked)) = (connection.seen, connection.asked.pop_front()) else { return };
        self.judge(index, asked, Seen { content: whole.content, ..seen }, now_ns);
    }

    /// Judges a whole response.
    pub(super) fn judge(&mut self, index: usize, asked: Asked, seen: Seen, now_ns: u64) {
        self.waiting -= 1;
        let shape = &self.plan.shapes[asked.shape as usize];
        let is_status_right = shape.expected.allows_status(seen.status);
        let is_size_right = shape.bodiless || shape.expected.allows_size(seen.content);
        if !is_status_right {
            self.tally.problem(Problem::Status);
        } else if !is_size_right {
            self.tally.problem(Problem::Length);
        } else if seen.is_echo_wrong {
            self.tally.problem(Problem::Echo);
        }
        // An error that no target answered says nothing about stickiness.
        if asked.user != NOBODY && (is_status_right || seen.target.is_some()) {
            match self.sessions.judge(asked.user, seen.target, seen.has_cookie) {
                Stay::Stayed => {}
                Stay::Moved => self.tally.moves += 1,
                Stay::Wrong => self.tally.wrong_target += 1,
            }
        }
        if asked.is_measured {
            let time_ns = now_ns.saturating_sub(asked.intended_ns);
            self.tally.response(seen.status, seen.target, time_ns);
            self.tally.echoed += u64::from(seen.has_echo && !seen.is_echo_wrong);
            self.tally.in_time += u64::from(self.phases.is_measuring());
        }
        let think_ns = shape.think_ns;
        self.give_back(asked.user);
        if let (Some(range), None) = (think_ns, &self.schedule) {
            let due_ns = now_ns + self.random.between(range);
            self.wait_until(index, due_ns);
        }
    }
}
