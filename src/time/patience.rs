//! How long a peer may take no byte of a send.

use std::time::Duration;

use super::timers::{Timer, Timers};

/// The time that a peer has for each step of progress, and the timer that bounds it.
#[derive(Clone, Copy)]
pub struct Patience<'a> {
    pub timers: &'a Timers<'a>,
    pub timer: Timer,
    pub idle: Duration,
}
