//! One connection of a client: what was asked on it, and how far the responses have come.
//!
//! Owns: its state. Never: the ring, the clock or the numbers; `clients.rs` brings them. Tested by
//! `tests/load.rs`.

use std::collections::VecDeque;

use super::response::Reader;
use super::sessions::Target;
use crate::ring::Socket;
use crate::tls::session::Session;

/// Nobody: a request without a cookie jar.
pub(super) const NOBODY: u32 = u32::MAX;

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

/// A request that waits for its response.
#[derive(Debug, Clone, Copy)]
pub(super) struct Asked {
    /// When it was due: the time counts from here.
    pub intended_ns: u64,
    /// When it was sent: patience counts from here.
    pub sent_ns: u64,
    pub id: u64,
    /// The user who asked; [`NOBODY`] without a jar.
    pub user: u32,
    pub shape: u32,
    pub is_measured: bool,
}

/// What the head of the current response said.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Seen {
    pub status: u16,
    pub target: Option<Target>,
    pub has_cookie: bool,
    pub has_echo: bool,
    pub is_echo_wrong: bool,
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
            asked: VecDeque::with_capacity(pipeline),
            seen: Seen::default(),
            is_idle: false,
            is_waiting: false,
            intended_ns: 0,
            is_known: false,
        }
    }

    pub(super) fn enter(&mut self, state: State, now_ns: u64) {
        (self.state, self.since_ns) = (state, now_ns);
    }
}
