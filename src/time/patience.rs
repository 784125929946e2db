//! How long a peer may take no byte of a send, and how often the system is asked whether the peer is still there.

use std::time::Duration;

use super::timers::{Timer, Timers};

/// How often the system is asked about a side whose reset nothing else would tell.
pub const LOOK: Duration = Duration::from_millis(500);

/// The time that a peer has for each step of progress, and the timer that bounds it.
#[derive(Clone, Copy)]
pub struct Patience<'a> {
    pub timers: &'a Timers<'a>,
    pub timer: Timer,
    pub idle: Duration,
}
