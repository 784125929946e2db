//! One shard's time: a clock that is read once a turn, and deadlines that cost nothing until they are missed.

pub mod alarms;
pub mod clock;
pub mod patience;
pub mod stop;
pub mod timers;
