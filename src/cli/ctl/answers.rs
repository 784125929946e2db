//! The parts of the admin API's answers that are shown to people.
//!
//! Lenient: keys that a newer server adds are ignored, keys that an older one lacks are empty. The words and units are
//! the API's. Tested by `tests/ctl`.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::{Map, Value};

/// A change that is in force.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Applied {
    pub change: u64,
    pub version: u64,
    pub summary: Vec<String>,
    pub notes: Vec<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Status {
    pub version: String,
    pub pid: u64,
    pub uptime_s: f64,
    pub engine: String,
    pub shards: u64,
    pub config: ConfigStatus,
    pub listeners: Vec<Listener>,
    pub connections: Connections,
    pub target_connections: Connections,
    pub memory_bytes: Option<u64>,
    pub log: LogStatus,
    pub warnings: Vec<String>,
    pub unchecked_count: u64,
    pub demo: bool,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct ConfigStatus {
    pub version: u64,
    pub generation: u64,
    pub path: Option<String>,
    pub loaded_unix_ms: u64,
    pub overlay_edits: u64,
    pub file_differs: bool,
    pub file_obstacle: Option<String>,
    pub pending: Option<Pending>,
}

/// A configuration that will be rolled back unless it is confirmed.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Pending {
    pub change: u64,
    pub summary: Vec<String>,
    pub actor: String,
    /// Seconds.
    pub remaining: f64,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Listener {
    pub name: String,
    pub address: String,
    pub http_versions: Vec<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Connections {
    pub open: u64,
    pub accepted: u64,
    pub refused: u64,
    pub http2: OpenHttp2,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct OpenHttp2 {
    pub open: u64,
    pub streams: u64,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct LogStatus {
    pub lines_written: u64,
    pub lines_dropped: u64,
    pub lines_failed: u64,
    pub level: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Groups {
    pub groups: Vec<Group>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Group {
    pub name: String,
    pub algorithm: String,
    pub health_summary: HealthSummary,
    pub failing_open: bool,
    pub requests_per_second: Option<f64>,
    pub errors_per_second: Option<f64>,
    pub latency_us: Option<Percentiles>,
    pub in_flight: Option<u64>,
    pub waiting: Option<u64>,
    pub sessions: Option<u64>,
    pub attributes: Map<String, Value>,
    pub stickiness: Map<String, Value>,
    pub session_matches: Vec<SessionMatch>,
    pub targets: Vec<Target>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct HealthSummary {
    pub initial: u64,
    pub healthy: u64,
    pub unchecked: u64,
    pub unhealthy: u64,
    pub draining: u64,
    pub unused: u64,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Percentiles {
    pub p50: Option<u64>,
    pub p99: Option<u64>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct SessionMatch {
    pub text: String,
    /// Settings that would make stickiness and session match.
    pub suggestion: Option<Map<String, Value>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Target {
    pub id: String,
    pub address: String,
    pub weight: u64,
    pub effective_weight: Option<f64>,
    pub configured_state: String,
    pub health: String,
    pub reason: String,
    pub since_unix_ms: Option<u64>,
    pub last_check: Option<Check>,
    pub ejected_until_unix_ms: Option<u64>,
    pub slow_start_remaining_s: Option<f64>,
    pub in_flight: Option<u64>,
    pub tunnels: Option<u64>,
    pub waiting: Option<u64>,
    pub requests_per_second: Option<f64>,
    pub failures: Option<u64>,
    pub failures_recently: u64,
    pub sessions: Option<u64>,
    pub drain: Option<Drain>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Check {
    pub unix_ms: u64,
    pub passed: bool,
    pub status: Option<u16>,
    pub error: Option<String>,
    pub latency_us: Option<u64>,
}

#[derive(Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub(super) struct Drain {
    /// `None` = no end by time.
    pub remaining_s: Option<f64>,
    pub in_flight: Option<u64>,
    pub tunnels: Option<u64>,
    pub sessions: Option<u64>,
    pub finished: bool,
    pub reason: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Sessions {
    pub groups: Vec<GroupSessions>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct GroupSessions {
    pub name: String,
    /// Requests by verdict.
    pub sticky: BTreeMap<String, u64>,
    pub sessions: Option<u64>,
    pub error_percent: Option<f64>,
    pub targets: Vec<TargetSessions>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct TargetSessions {
    pub id: String,
    pub sessions: Option<u64>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct History {
    pub entries: Vec<HistoryEntry>,
}

/// One change, of the history or the overlay.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct HistoryEntry {
    pub change: u64,
    pub version: Option<u64>,
    pub unix_ms: u64,
    pub actor: String,
    pub what: String,
    pub keep: Option<String>,
    pub summary: Vec<String>,
    pub can_undo: bool,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Config {
    pub overlay: Vec<HistoryEntry>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Differences {
    pub differences: Vec<Difference>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Difference {
    pub text: String,
    pub needs_restart: bool,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Events {
    pub events: Vec<Event>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Certificates {
    pub certificates: Vec<Certificate>,
    pub orders: Vec<CertificateOrder>,
    pub last_reading: CertificateReading,
    pub notes: Vec<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct CertificateOrder {
    pub names: Vec<String>,
    pub obtained: bool,
    pub next_unix_s: Option<i64>,
    pub failures: u32,
    pub fault: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Certificate {
    /// `None` = the admin API, or a target group.
    pub listener: Option<String>,
    pub target_group: Option<String>,
    pub chain: String,
    pub source: String,
    pub names: Vec<String>,
    pub issuer: String,
    pub not_after_unix_s: i64,
    pub state: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct CertificateReading {
    pub unix_ms: u64,
    pub fault: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Event {
    pub number: u64,
    pub unix_ms: u64,
    pub kind: String,
    pub tone: String,
    pub group: Option<String>,
    pub target: Option<String>,
    pub text: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Level {
    pub level: String,
}
