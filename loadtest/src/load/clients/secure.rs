//! TLS between the clients of a thread and their sockets.
//!
//! Owns: the handshakes, and what is sealed and opened. Never: what a request or a response is. Tested by
//! `tests/load.rs` against a server that speaks it, and one that does not.

use std::mem;
use std::sync::Arc;

use rustls::ClientConfig;
use rustls::pki_types::ServerName;

use super::{Clients, Problem, State};
use crate::ring::{Outgoing, Queue};
use crate::tls::session::{Lent, Session};
use crate::tls::speech::{self, HTTP_2, Speech};

/// What all connections of a thread share.
pub(super) struct Secure {
    config: Arc<ClientConfig>,
    name: ServerName<'static>,
    lent: Lent,
    /// Records for one connection, until they are sent all at once.
    flight: Vec<u8>,
}

impl Secure {
    pub(super) fn new(speech: &Speech) -> Result<Secure, speech::Error> {
        Ok(Secure {
            config: speech.configuration()?,
            name: speech.name.clone(),
            lent: Lent::default(),
            flight: Vec::new(),
        })
    }
}

impl Clients {
    /// Says hello on a connection that is there.
    pub(super) fn greet(&mut self, queue: &mut Queue, index: usize, now_ns: u64) {
        let Some(secure) = &mut self.secure else { return };
        let (config, name) = (Arc::clone(&secure.config), secure.name.clone());
        let begun = Session::begin(config, name, &mut secure.flight);
        let connection = &mut self.connections[index];
        connection.enter(State::Greeting, now_ns);
        self.greeting += 1;
        match begun {
            Ok(session) => {
                connection.session = Some(Box::new(session));
                self.fly(queue, index);
            }
            Err(error) => self.is_faulty(queue, index, now_ns, &error),
        }
    }

    /// Opens what has arrived, and goes on with what was in it.
    pub(super) fn receive_sealed(
        &mut self,
        queue: &mut Queue,
        index: usize,
        bytes: &[u8],
        now_ns: u64,
    ) {
        let Clients { secure: Some(secure), connections, .. } = self else { return };
        let connection = &mut connections[index];
        let Some(session) = &mut connection.session else { return };
        if let Err(error) = session.receive(bytes, &mut secure.lent, &mut secure.flight) {
            return self.is_faulty(queue, index, now_ns, &error);
        }
        if connection.state == State::Greeting && !session.is_handshaking() {
            if self.manner.http2.is_some() && !session.speaks(HTTP_2) {
                let error = rustls::Error::NoApplicationProtocol;
                return self.is_faulty(queue, index, now_ns, &error);
            }
            if self.phases.is_measuring() {
                self.tally.resumed += u64::from(session.is_resumed());
                self.tally.handshakes += u64::from(!session.is_resumed());
            }
            self.greeting -= 1;
            // What ends the handshake goes out with the first request.
            self.opened(queue, index, now_ns);
        }
        self.fly(queue, index);
        let Some(secure) = &mut self.secure else { return };
        let data = mem::take(&mut secure.lent.data);
        if !data.is_empty() && self.connections[index].session.is_some() {
            self.take_in(queue, index, &data, now_ns);
        }
        if let Some(secure) = &mut self.secure {
            secure.lent.data = data;
        }
    }

    /// Seals what was written for a connection, and sends it.
    pub(super) fn send_sealed(&mut self, queue: &mut Queue, index: usize) {
        let Clients { secure: Some(secure), connections, out, .. } = self else { return };
        if out.is_empty() {
            return;
        }
        if self.phases.is_measuring() {
            self.tally.bytes_out += out.len() as u64;
        }
        let session = connections[index].session.as_mut();
        let sealed = session.map(|session| session.seal(out, &mut secure.flight));
        out.clear();
        match sealed {
            Some(Err(error)) => self.is_faulty(queue, index, self.clock.now_ns(), &error),
            Some(Ok(())) | None => self.fly(queue, index),
        }
    }

    /// Sends the records that there are.
    fn fly(&mut self, queue: &mut Queue, index: usize) {
        let Clients { secure: Some(secure), spare, connections, .. } = self else { return };
        if !secure.flight.is_empty() {
            let flight = mem::replace(&mut secure.flight, spare.pop().unwrap_or_default());
            queue.send(connections[index].socket, Outgoing::Owned(flight));
        }
    }

    /// What came, or what was to be sent, is not as TLS says.
    fn is_faulty(&mut self, queue: &mut Queue, index: usize, now_ns: u64, error: &rustls::Error) {
        if let Some(secure) = &mut self.secure {
            secure.flight.clear();
        }
        self.tally.first_refusal.get_or_insert_with(|| format!("TLS: {error}"));
        match self.connections[index].state {
            State::Greeting => self.turned_away(queue, index, now_ns, Problem::Tls),
            _ => {
                if self.connections[index].waiting() == 0 {
                    self.tally.problem(Problem::Tls);
                }
                self.lose(queue, index, now_ns, Problem::Tls);
            }
        }
    }

    /// There is a connection, but it is of no use: tries again later.
    pub(super) fn turned_away(
        &mut self,
        queue: &mut Queue,
        index: usize,
        now_ns: u64,
        problem: Problem,
    ) {
        self.greeting -= 1;
        let connection = &mut self.connections[index];
        queue.close(connection.socket);
        connection.session = None;
        connection.streams = None;
        connection.enter(State::Closed, now_ns);
        self.refused(index, now_ns, problem);
    }
}
