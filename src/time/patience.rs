//! How long somebody may take nothing of what is sent.

use std::time::Duration;

use super::alarms::Alarm;
use super::clock::Clock;

/// The time that a peer has for each step forward, and whose alarm wakes for it.
#[derive(Clone, Copy)]
pub struct Patience<'a> {
    pub alarm: &'a Alarm,
    pub clock: &'a Clock,
    pub idle: Duration,
}
