//! The contents of a sample, in the types of the admin API; and how a count becomes a rate.
//!
//! Pure: counts and elapsed time are arguments. Tested with `sampler`.

use std::collections::{BTreeMap, VecDeque};

use serde::Serialize;

use crate::telemetry::histogram::Percentiles;
use crate::telemetry::reason::Reason;
use crate::telemetry::series::GroupSeries;

/// Points that are kept, one per second.
pub const HISTORY_POINTS: usize = 120;

/// Responses per second, by class.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize)]
pub struct ResponseRates {
    #[serde(rename = "2xx")]
    pub successful: f64,
    #[serde(rename = "3xx")]
    pub redirection: f64,
    #[serde(rename = "4xx")]
    pub client_error: f64,
    #[serde(rename = "5xx")]
    pub server_error: f64,
}

/// Responses since start, by class; `none` are requests that got no response.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct ResponseTotals {
    #[serde(rename = "1xx")]
    pub informational: u64,
    #[serde(rename = "2xx")]
    pub successful: u64,
    #[serde(rename = "3xx")]
    pub redirection: u64,
    #[serde(rename = "4xx")]
    pub client_error: u64,
    #[serde(rename = "5xx")]
    pub server_error: u64,
    pub none: u64,
}

/// One second of the whole process.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize)]
pub struct Point {
    pub unix_ms: u64,
    pub requests_per_second: f64,
    pub responses: ResponseRates,
    /// Responses of class 5xx.
    pub errors_per_second: f64,
    /// From the first byte of a request to the last of its response; `None` without requests.
    pub latency_us: Option<Percentiles>,
    /// Client connections open.
    pub connections: usize,
    pub bytes_in_per_second: f64,
    pub bytes_out_per_second: f64,
}

/// One shard in the last second.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize)]
pub struct ShardLoad {
    pub index: usize,
    pub requests_per_second: f64,
    pub connections: usize,
    /// Share of its core, 0 to 1.
    pub utilisation: f64,
}

/// Counts since start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct Totals {
    pub requests: u64,
    pub responses: ResponseTotals,
    pub retries: u64,
    pub bytes_in: u64,
    pub bytes_out: u64,
    pub aborted: u64,
}

/// The whole process: the last second, and those before it, oldest first.
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
pub struct Overview {
    pub now: Point,
    pub history: Vec<Point>,
    pub shards: Vec<ShardLoad>,
    pub totals: Totals,
}

/// One group in the last second.
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
pub struct GroupRates {
    pub requests_per_second: f64,
    /// Requests per second, oldest first.
    pub requests_history: Vec<f64>,
    /// Responses of class 5xx.
    pub errors_per_second: f64,
    pub latency_us: Option<Percentiles>,
    /// Verdicts since start, by reason.
    pub sticky: BTreeMap<&'static str, u64>,
}

/// One target in the last second.
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
pub struct TargetRates {
    pub requests_per_second: f64,
    /// Requests per second, oldest first.
    pub requests_history: Vec<f64>,
    /// Failures in the time of the history.
    pub failures_recently: u64,
}

/// One rule: since start, and in the last second.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize)]
pub struct RuleRates {
    pub requests: u64,
    pub requests_per_second: f64,
}

/// A group's verdicts since start, by reason.
pub fn sticky_totals(series: &GroupSeries) -> BTreeMap<&'static str, u64> {
    let sums = series.sums(|block| &block.sticky);
    Reason::ALL.iter().map(|reason| reason.code()).zip(sums).collect()
}

/// Seconds since the last sample; `None` for the first one, which only sets where counts begin.
pub(super) type Elapsed = Option<f64>;

/// A count that becomes a rate.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Rate {
    before: u64,
    pub(super) per_second: f64,
}

impl Rate {
    pub(super) fn next(&mut self, total: u64, elapsed_s: Elapsed) -> f64 {
        let more = total.saturating_sub(self.before);
        self.before = total;
        self.per_second = elapsed_s.map_or(0.0, |seconds| more as f64 / seconds);
        self.per_second
    }
}

/// A row of counts that become rates.
#[derive(Debug, Clone, Copy)]
pub(super) struct Rates<const N: usize>([Rate; N]);

impl<const N: usize> Default for Rates<N> {
    fn default() -> Self {
        Rates([Rate::default(); N])
    }
}

impl<const N: usize> Rates<N> {
    pub(super) fn next(&mut self, totals: [u64; N], elapsed_s: Elapsed) -> [f64; N] {
        for (rate, total) in self.0.iter_mut().zip(totals) {
            rate.next(total, elapsed_s);
        }
        self.0.map(|rate| rate.per_second)
    }
}

/// The last points of a graph.
#[derive(Debug, Clone, Default)]
pub(super) struct History<T>(VecDeque<T>);

impl<T: Copy> History<T> {
    pub(super) fn push(&mut self, point: T) {
        if self.0.len() >= HISTORY_POINTS {
            self.0.pop_front();
        }
        self.0.push_back(point);
    }

    pub(super) fn last(&self) -> Option<T> {
        self.0.back().copied()
    }

    /// Oldest first.
    pub(super) fn iter(&self) -> impl Iterator<Item = T> + '_ {
        self.0.iter().copied()
    }
}

impl History<u32> {
    pub(super) fn sum(&self) -> u64 {
        self.iter().map(u64::from).sum()
    }
}

/// A graph's points need no more digits than a screen has dots.
impl History<f32> {
    pub(super) fn to_vec(&self) -> Vec<f64> {
        self.iter().map(f64::from).collect()
    }
}
