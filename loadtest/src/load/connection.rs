//! One connection of a client: what was asked on it, and how far the responses have come.
//!
//! Owns: its state. Never: the ring, the clock or the numbers; `clients.rs` brings them. Tested by
//! `tests/load.rs`.

use std::collections::VecDeque;

use super::asked::{Asked, Seen};
use super::response::Reader;
use super::streams::Streams;
use crate::ring::Socket;
use crate::tls::session::Session;

/// Where a connection is.
///
/// ```text
///   Closed ──▶ Connecting ──▶ Open ──▶ Ending ──▶ Closed
///     ▲            │  └▶ Greeting ▲        │
///     │            │      │   └───┘        │
///     └────────────┴──────┴── refused, lost, timed out
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    Closed,
    Connecting,
    /// The handshake of TLS is not done.
    Greeting,
    Open,
    /// The response is whole and the connection is not to be kept: the other side ends it.
    Ending,
}

#[derive(Debug)]
pub(super) struct Connection {
    pub socket: Socket,
    pub state: State,
    /// When the state began.
    pub since_ns: u64,
    /// Its TLS, while it is connected over TLS.
    pub session: Option<Box<Session>>,
    pub reader: Reader,
    /// Its streams, while it is connected over HTTP/2; `asked` is empty then.
    pub streams: Option<Box<Streams>>,
    /// Oldest first.
    pub asked: VecDeque<Asked>,
    pub seen: Seen,
    /// It is in the list of those that an arrival may use.
    pub is_idle: bool,
    /// A timer will say when to go on.
    pub is_waiting: bool,
    /// With a connection for each request: when that request was due.
    pub intended_ns: u64,
    /// It has been connected before.
    pub is_known: bool,
}

impl Connection {
    pub(super) fn new(pipeline: usize) -> Connection {
        Connection {
            socket: Socket::NONE,
            state: State::Closed,
            since_ns: 0,
            session: None,
            reader: Reader::new(),
            streams: None,
            asked: VecDeque::with_capacity(pipeline),
            seen: Seen::default(),
            is_idle: false,
            is_waiting: false,
            intended_ns: 0,
            is_known: false,
        }
    }

    /// Requests that wait for their responses.
    pub(super) fn waiting(&self) -> usize {
        self.asked.len() + self.streams.as_ref().map_or(0, |streams| streams.waiting())
    }

    /// One more may be asked, where so many may wait.
    pub(super) fn has_room(&self, at_a_time: usize) -> bool {
        self.waiting() < at_a_time && self.streams.as_ref().is_none_or(|streams| streams.has_room())
    }

    pub(super) fn enter(&mut self, state: State, now_ns: u64) {
        (self.state, self.since_ns) = (state, now_ns);
    }
}
