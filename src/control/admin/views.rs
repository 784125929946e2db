//! The answers of the admin API, as types: keys and words of version 1, every key always present.
//!
//! Types only: `operator` and its siblings fill them. `openapi.json` describes the same; `tests/admin` compares the
//! two.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::Value;

use crate::control::change::{Difference, HistoryEntry, Pending};
use crate::control::config::file::{AlgorithmName, LogLevel};
use crate::control::drain::DrainView;
use crate::control::events::Event;
use crate::control::health::LastCheck;
use crate::control::metrics;
use crate::telemetry::histogram::Percentiles;

/// Requests by the word of their stickiness verdict.
pub type Counts = BTreeMap<&'static str, u64>;

/// GET /v1/status
#[derive(Debug, Serialize)]
pub struct Status {
    pub version: &'static str,
    pub pid: u32,
    pub started_unix_ms: u64,
    pub uptime_s: f64,
    /// "io_uring" or "epoll".
    pub engine: &'static str,
    pub shards: usize,
    pub config: ConfigStatus,
    pub listeners: Vec<ListenerAddress>,
    pub connections: ClientConnections,
    pub target_connections: OpenConnections,
    /// Resident; `None` = not reported by the kernel.
    pub memory_bytes: Option<u64>,
    pub log: LogStatus,
    /// One sentence each.
    pub warnings: Vec<String>,
    /// Groups with targets in service that are not checked.
    pub unchecked_count: usize,
    /// What the visitor may change: "everything", or "attributes" of groups and targets.
    pub may_change: &'static str,
    pub demo: bool,
    pub demo_urls: Vec<String>,
}

#[derive(Debug, Serialize)]
pub struct ConfigStatus {
    pub version: u64,
    pub generation: u64,
    pub path: Option<String>,
    pub loaded_unix_ms: u64,
    pub overlay_edits: usize,
    pub file_differs: bool,
    /// Why no change can be kept in the file; `None` where one can.
    pub file_obstacle: Option<String>,
    pub pending: Option<Pending>,
}

#[derive(Debug, Serialize)]
pub struct ListenerAddress {
    pub name: String,
    /// The actual address.
    pub address: String,
    /// The versions of HTTP that its clients may speak, "HTTP/1.1" and "HTTP/2", the preferred one first.
    pub http_versions: Vec<&'static str>,
}

#[derive(Debug, Serialize)]
pub struct ClientConnections {
    pub open: usize,
    pub accepted: u64,
    pub refused: u64,
    pub http2: OpenHttp2,
}

#[derive(Debug, Serialize)]
pub struct OpenConnections {
    pub open: u64,
    pub http2: OpenHttp2,
}

/// The connections that speak HTTP/2 and what they carry, now.
#[derive(Debug, Serialize)]
pub struct OpenHttp2 {
    pub open: u64,
    pub streams: u64,
}

#[derive(Debug, Serialize)]
pub struct LogStatus {
    pub lines_written: u64,
    pub lines_dropped: u64,
    pub lines_failed: u64,
    pub level: LogLevel,
}

/// GET /v1/overview
#[derive(Debug, Serialize)]
pub struct Overview {
    #[serde(flatten)]
    pub rates: metrics::Overview,
    pub group_count: usize,
    /// Groups that need attention.
    pub troubled_count: usize,
    /// Groups with targets in service that are not checked.
    pub unchecked_count: usize,
    /// Those in trouble first, then in the order of the file; when there are very many, not all.
    pub groups: Vec<GroupStanding>,
}

/// The state of a group.
#[derive(Debug, Serialize)]
pub struct GroupStanding {
    pub name: String,
    /// Whether a target is unhealthy, ejected or failing, or there is none in service.
    pub is_troubled: bool,
    pub target_count: usize,
    /// Targets by the words of `HEALTH_CODES`; "ejected" for ejected ones, which count in no other number.
    pub standing: BTreeMap<&'static str, usize>,
    pub failing_open: bool,
    pub requests_per_second: f64,
    pub errors_per_second: f64,
    /// In the last two minutes.
    pub failures_recently: u64,
    pub in_flight: u64,
    /// The targets that cause the trouble; when there are very many, not all.
    pub troubled_targets: Vec<TargetStanding>,
}

/// A target in trouble.
#[derive(Debug, Serialize)]
pub struct TargetStanding {
    pub id: String,
    /// Its health, or "ejected".
    pub standing: &'static str,
    /// A sentence, or "".
    pub reason: String,
    /// In the last two minutes.
    pub failures_recently: u64,
}

/// GET /v1/groups
#[derive(Debug, Serialize)]
pub struct Groups {
    pub groups: Vec<Group>,
}

/// GET /v1/groups/{group}
#[derive(Debug, Serialize)]
pub struct Group {
    pub name: String,
    pub algorithm: AlgorithmName,
    /// Targets by the words of `HEALTH_CODES`.
    pub health_summary: BTreeMap<&'static str, usize>,
    /// Whether unhealthy targets are used as well, because none or too few are healthy.
    pub failing_open: bool,
    pub requests_per_second: f64,
    pub requests_history: Vec<f64>,
    pub errors_per_second: f64,
    pub latency_us: Option<Percentiles>,
    pub in_flight: u64,
    pub tunnels: u64,
    pub waiting: usize,
    /// Estimated; `None` where no target has an estimate.
    pub sessions: Option<u64>,
    /// Every setting of the group's table but its targets, as the file has them.
    pub attributes: Value,
    pub stickiness: Value,
    pub session_matches: Vec<SessionMatch>,
    pub sticky: Counts,
    pub targets: Vec<Target>,
}

/// A session of the application that does not end when stickiness does.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct SessionMatch {
    pub cookie: String,
    pub kind: MatchKind,
    /// "12h"; `None` where its lifetime is not known.
    pub session: Option<String>,
    /// "1d", "off"
    pub stickiness: String,
    /// One sentence with both figures and the setting to change.
    pub text: String,
    /// Settings of the group that would make the two match; `None` where none can.
    pub suggestion: Option<BTreeMap<&'static str, Value>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum MatchKind {
    /// Stickiness ends before the session does.
    EndsBefore,
    /// Stickiness lasts far longer than the session.
    Outlives,
    /// There is a session, and the group is not sticky.
    NotSticky,
}

/// GET /v1/groups/{group}/targets/{target}
#[derive(Debug, Serialize)]
pub struct Target {
    pub id: String,
    pub address: String,
    pub weight: u32,
    /// The weight that counts now, during a slow start.
    pub effective_weight: f64,
    pub configured_state: ConfiguredState,
    pub health: &'static str,
    /// A sentence, or "".
    pub reason: String,
    pub since_unix_ms: u64,
    pub last_check: Option<LastCheck>,
    pub ejected_until_unix_ms: Option<u64>,
    pub slow_start_remaining_s: Option<f64>,
    pub in_flight: u32,
    pub tunnels: u32,
    pub waiting: usize,
    pub requests: u64,
    pub failures: u64,
    /// In the last two minutes.
    pub failures_recently: u64,
    pub requests_per_second: f64,
    pub requests_history: Vec<f64>,
    pub sessions: Option<u64>,
    /// Standard error of `sessions`.
    pub sessions_error_percent: f64,
    pub drain: Option<DrainView>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ConfiguredState {
    InService,
    Draining,
    /// No longer in the configuration; serves the requests bound to it until its drain ends.
    Removed,
}

/// GET /v1/sessions
#[derive(Debug, Serialize)]
pub struct Sessions {
    pub groups: Vec<GroupSessions>,
}

#[derive(Debug, Serialize)]
pub struct GroupSessions {
    pub name: String,
    pub sticky: Counts,
    pub sessions: Option<u64>,
    pub error_percent: f64,
    pub targets: Vec<TargetSessions>,
}

#[derive(Debug, Serialize)]
pub struct TargetSessions {
    pub id: String,
    pub sessions: Option<u64>,
}

/// GET /v1/rules
#[derive(Debug, Serialize)]
pub struct Rules {
    pub listeners: Vec<ListenerRules>,
}

#[derive(Debug, Serialize)]
pub struct ListenerRules {
    pub name: String,
    pub address: String,
    /// The versions of HTTP that its clients may speak, "HTTP/1.1" and "HTTP/2", the preferred one first.
    pub http_versions: Vec<&'static str>,
    /// In the order in which they are tried; the default is last.
    pub rules: Vec<Rule>,
}

#[derive(Debug, PartialEq, Serialize)]
pub struct Rule {
    pub name: String,
    /// `None` = the default.
    pub priority: Option<u32>,
    pub conditions: Vec<String>,
    pub action: String,
    pub requests: u64,
    pub requests_per_second: f64,
}

/// GET /v1/events
#[derive(Debug, Serialize)]
pub struct Events {
    pub events: Vec<Event>,
}

/// GET /v1/certificates
#[derive(Debug, Serialize)]
pub struct Certificates {
    pub certificates: Vec<Certificate>,
    pub orders: Vec<CertificateOrder>,
    pub last_reading: CertificateReading,
    pub notes: Vec<String>,
}

/// A certificate that an authority issues (ACME).
#[derive(Debug, Serialize)]
pub struct CertificateOrder {
    pub names: Vec<String>,
    pub directory: String,
    pub obtained: bool,
    pub next_unix_s: Option<i64>,
    pub failures: u32,
    pub fault: Option<String>,
}

/// A certificate that is presented.
#[derive(Debug, Serialize)]
pub struct Certificate {
    /// `None` = the admin API, or a target group.
    pub listener: Option<String>,
    /// The group to whose targets limpet presents it.
    pub target_group: Option<String>,
    /// Names of profiles that it is presented under.
    pub profiles: Vec<String>,
    pub chain: String,
    pub source: &'static str,
    pub names: Vec<String>,
    pub subject: String,
    pub issuer: String,
    pub serial: String,
    pub key: String,
    pub sha256: String,
    pub not_before_unix_s: i64,
    pub not_after_unix_s: i64,
    pub state: &'static str,
    pub stapled_until_unix_s: Option<i64>,
}

/// How the last reading of the files went.
#[derive(Debug, Serialize)]
pub struct CertificateReading {
    pub unix_ms: u64,
    pub fault: Option<String>,
}

/// GET /v1/config
#[derive(Debug, Serialize)]
pub struct Config {
    pub version: u64,
    pub path: Option<String>,
    /// Secrets are "…" in both texts.
    pub running: String,
    pub file: Option<String>,
    pub file_differs: bool,
    pub overlay: Vec<OverlayEdit>,
    pub pending: Option<Pending>,
}

#[derive(Debug, Serialize)]
pub struct OverlayEdit {
    pub change: u64,
    pub actor: String,
    pub unix_ms: u64,
    pub summary: Vec<String>,
}

impl From<HistoryEntry> for OverlayEdit {
    fn from(entry: HistoryEntry) -> OverlayEdit {
        let HistoryEntry { change, actor, unix_ms, summary, .. } = entry;
        OverlayEdit { change, actor, unix_ms, summary }
    }
}

/// GET /v1/config/history
#[derive(Debug, Serialize)]
pub struct History {
    pub entries: Vec<HistoryEntry>,
}

/// GET and POST /v1/config/diff
#[derive(Debug, Serialize)]
pub struct Differences {
    pub differences: Vec<Difference>,
}

/// GET and PUT /v1/log-level
#[derive(Debug, Serialize)]
pub struct LogLevelView {
    pub level: LogLevel,
}

/// GET /v1/settings
#[derive(Debug, Serialize)]
pub struct Settings {
    pub settings: Vec<Setting>,
}

#[derive(Debug, Serialize)]
pub struct Setting {
    pub key: String,
    /// In TOML.
    pub default: Option<&'static str>,
    pub allowed: String,
    pub about: &'static str,
}
