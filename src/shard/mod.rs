//! shard
pub mod admission;
pub mod alarms;
pub mod clock;
pub mod random;
