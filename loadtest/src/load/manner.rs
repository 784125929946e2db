//! How the clients of a thread behave, and what falls to it of the whole load.
//!
//! Owns: these two. Tested with the clients.

use super::options::CookieJar;
use super::phase::Phases;
use super::schedule::Schedule;
use super::sessions::Sessions;
use crate::http2::wire::Terms;

/// How a thread's clients behave.
#[derive(Debug, Clone, Copy)]
pub struct Manner {
    /// Requests that a connection keeps going.
    pub pipeline: usize,
    /// How HTTP/2 is spoken, if so.
    pub http2: Option<Terms>,
    /// Streams besides on each connection that stall.
    pub stalled: usize,
    /// Responses are messages of gRPC.
    pub grpc: bool,
    /// A connection for each request.
    pub close: bool,
    pub jar: Option<CookieJar>,
    pub timeout_ns: u64,
}

/// What falls to one thread of the whole load.
#[derive(Debug)]
pub struct Share {
    /// Its number, from 0.
    pub thread: usize,
    pub connections: usize,
    pub sessions: Sessions,
    /// The arrivals of an open loop; `None` in a closed one.
    pub schedule: Option<Schedule>,
    pub phases: Phases,
}
