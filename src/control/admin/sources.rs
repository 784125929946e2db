//! Where the admin API's numbers come from, besides the running configuration.
//!
//! Seams to the data plane, the sampler, health and drains: what each must be able to say. The control
//! plane joins them; tests say what they like.

use std::sync::Arc;
use std::time::Duration;

use super::views::{Counts, Drain, LastCheck, Overview, Percentiles};
use crate::control::change::{Applied, By, ChangeError, Keep};
use crate::snapshot::Bind;
use crate::target::group::{Target, TargetGroup};
use crate::telemetry::counters::CounterSnapshot;

/// The running data plane.
pub trait Machine: Send + Sync {
    /// "io_uring" or "epoll".
    fn engine(&self) -> &'static str;
    fn shard_count(&self) -> usize;
    /// Every listener and where it listens in fact.
    fn addresses(&self) -> Vec<(Arc<str>, Bind)>;
    /// Client connections open now.
    fn connections(&self) -> usize;
    /// Sums over all shards.
    fn counters(&self) -> CounterSnapshot;
    /// Lines of the access log: written, dropped, failed.
    fn log_lines(&self) -> LogLines;
}

/// What became of the access log's lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct LogLines {
    pub written: u64,
    pub dropped: u64,
    pub failed: u64,
}

/// Rates, percentiles and totals.
pub trait Numbers: Send + Sync {
    fn overview(&self) -> Overview;
    fn group(&self, group: &str) -> GroupNumbers;
    fn target(&self, group: &str, target: &str) -> TargetNumbers;
    fn rule(&self, listener: &str, rule: &str) -> RuleNumbers;
    /// The text that Prometheus scrapes.
    fn exposition(&self) -> String;
}

#[derive(Debug, Clone, PartialEq, Default)]
pub struct GroupNumbers {
    pub requests_per_second: f64,
    pub requests_history: Vec<f64>,
    pub errors_per_second: f64,
    pub latency_us: Option<Percentiles>,
    pub sticky: Counts,
}

#[derive(Debug, Clone, PartialEq, Default)]
pub struct TargetNumbers {
    pub requests_per_second: f64,
    pub requests_history: Vec<f64>,
}

#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct RuleNumbers {
    pub requests: u64,
    pub requests_per_second: f64,
}

/// What is known of targets besides their state.
pub trait Watch: Send + Sync {
    /// `None` for a target that was never looked at.
    fn note(&self, group: &TargetGroup, target: &Target) -> Option<Note>;
    /// Ends the target's ejection, if there is one.
    fn end_ejection(&self, group: &str, target: &str);
}

/// Why a target is in its state.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Note {
    pub reason: String,
    pub since_unix_ms: Option<u64>,
    pub last_check: Option<LastCheck>,
    pub ejected_until_unix_ms: Option<u64>,
    pub slow_start_remaining_s: Option<f64>,
    /// How much of its weight a target that warms up has now, 0 to 1.
    pub warm_share: Option<f64>,
}

/// Targets that take their leave.
pub trait Drains: Send + Sync {
    /// Lets a target drain; see [`DrainWish`].
    ///
    /// # Errors
    /// See [`ChangeError`].
    fn start(
        &self,
        group: &str,
        target: &str,
        wish: &DrainWish,
        keep: Keep,
        by: &By<'_>,
    ) -> Result<Applied, ChangeError>;
    /// How far it is; `None` for a target that does not drain.
    fn view(&self, group: &str, target: &str) -> Option<Drain>;
    /// Live sessions of a target, estimated; `None` = not known.
    fn sessions(&self, group: &TargetGroup, target: &Target) -> Option<u64>;
    /// Upgraded connections of a target that are open.
    fn tunnels(&self, target: &Target) -> u32;
    /// Standard error of the estimate of sessions.
    fn sessions_error_percent(&self) -> f64;
}

/// What a drain waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DrainWish {
    pub until: Until,
    /// With [`Until::Sessions`].
    pub sessions_at_most: u64,
    /// `None` = as the group's deregistration delay says, or for as long as it takes.
    pub deadline: Option<Duration>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Until {
    #[default]
    Delay,
    Idle,
    Sessions,
}
