//! How long somebody may take nothing of what is sent.

use std::time::Duration;

use super::timers::{Timer, Timers};

/// The time that a peer has for each step forward, and the timer that bounds it.
#[derive(Clone, Copy)]
pub struct Patience<'a> {
    pub timers: &'a Timers<'a>,
    pub timer: Timer,
    pub idle: Duration,
}
