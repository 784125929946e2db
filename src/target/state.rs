//! What outlives a snapshot: one target's health, in-flight count and totals. Keyed by group name and target id.
use std::sync::atomic::{AtomicU8, AtomicU32, AtomicU64};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Health {
    Initial,
    Healthy,
    Unhealthy,
    Draining,
    Unused,
}

/// Shared by every shard and the control plane; one cache line for the hot part.
#[derive(Debug)]
pub struct TargetState {
    /// Dense index, unique in the process while this state lives: shards index their pools by it.
    pub slot: u32,
    pub health: AtomicU8,
    pub in_flight: crossbeam_utils::CachePadded<AtomicU32>,
    pub requests: AtomicU64,
    /// Requests waiting for a place on this target.
    pub waiting: super::queue::WaitQueue,
}
