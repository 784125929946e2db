//! A target group of a snapshot.
use super::state::TargetState;
use super::stickiness::Stickiness;
use std::sync::Arc;
use std::time::Duration;

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Address {
    Tcp(std::net::SocketAddr),
    Unix(std::path::PathBuf),
}

#[derive(Debug, Clone)]
pub struct Target {
    pub id: Arc<str>,
    /// Hash of `id` that stands in cookies and rendezvous; equal on all nodes, stable across versions; unique in the group (checked at compile).
    pub key: u64,
    pub address: Address,
    pub weight: u32,
    pub state: Arc<TargetState>,
}

/// Position of a target in its group's `targets`.
pub type TargetIndex = usize;

#[derive(Debug, Clone, PartialEq)]
pub enum Algorithm {
    RoundRobin,
    LeastOutstandingRequests,
    WeightedRandom,
    Hash(HashOn),
}
#[derive(Debug, Clone, PartialEq)]
pub enum HashOn {
    Header(Box<str>),
    Cookie(Box<str>),
    Source,
    Query(Box<str>),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnFull {
    Queue,
    Spill,
    Restick,
    Reject,
}

/// Limits and deadlines of one group, 4-http's defaults.
#[derive(Debug, Clone, PartialEq)]
pub struct GroupOptions {
    pub connect_timeout: Duration,
    pub response_timeout: Duration,
    pub pool_idle_timeout: Duration,
    pub pool_idle_per_shard: usize,
    pub content_idle_timeout: Duration,
    pub tunnel_idle_timeout: Duration,
    /// 0 = none.
    pub connection_limit: u32,
    pub queue_size: u32,
    pub queue_timeout: Duration,
    pub on_full: OnFull,
    pub retries: u32,
    pub retry_budget_percent: u32,
    pub retry_budget_minimum: u32,
    pub response_head_bytes: usize,
    pub allow_upgrades: bool,
}

#[derive(Debug)]
pub struct TargetGroup {
    pub name: Arc<str>,
    pub algorithm: Algorithm,
    pub options: GroupOptions,
    pub stickiness: Option<Stickiness>,
    pub targets: Vec<Target>,
    // + precomputed: usable targets, smooth weighted schedule, shared atomic counter (outlives snapshots), rendezvous keys
}
