//! Waiting for a place on a target that is at its connection limit: bounded, lock-free, across shards.
#[derive(Debug)]
pub struct WaitQueue {}
