//! One shard's time: a clock that is read once a turn, and deadlines that cost nothing until they are missed.

use std::rc::Rc;
use std::sync::Arc;

pub mod alarms;
pub mod clock;
pub mod patience;
pub mod seldom;
pub mod stop;
pub mod timers;

use self::alarms::Alarms;
use self::clock::Clock;
use self::stop::Stop;

/// The time that all tasks of a shard share.
#[derive(Debug, Clone)]
pub struct Time {
    pub clock: Rc<Clock>,
    pub alarms: Rc<Alarms>,
    pub stop: Arc<Stop>,
}

impl Time {
    /// Starts the clock.
    pub fn start(stop: Arc<Stop>) -> Time {
        Time { clock: Rc::new(Clock::start()), alarms: Rc::default(), stop }
    }
}
