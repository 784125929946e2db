//! The file as typed values: serde's result for a document that the walk has completed.
//!
//! Every default comes from the schema, so nothing here states one; absent settings are `None`. Unknown keys are
//! refused here a second time. Never checks one setting against another (`validate` does). Tested by `tests/config.rs`.

mod health;
mod stickiness;
mod target_tls;
mod tls;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Deserializer, Serialize};

use super::units::{duration, memory_size, size};
use crate::group::target_group::OnFull;
use crate::http::edits::{ForwardedFor, RealIp};
use crate::http::head::Mode;
use crate::proxy_protocol::{ProxyProtocol, Version};
use crate::snapshot::EngineChoice;
use crate::telemetry::options::{LogFormat, LogQuery};

pub use health::{Ejection, FailOpen, HealthCheck, HealthCheckType};
pub use stickiness::{Stickiness, StickinessType, Sticky};
pub use target_tls::{TargetProtocol, TargetTls};
pub use tls::{
    Acme, AdminTls, ChallengeName, ExternalAccount, Role, RoleName, Tls, TlsClient, TlsProfile,
};

/// The name of a listener's action when no rule matches.
pub const DEFAULT_RULE: &str = "default";

/// The whole file.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct File {
    pub process: Process,
    pub access_log: AccessLog,
    pub admin: Admin,
    pub stickiness_keys: StickinessKeys,
    #[serde(rename = "listener")]
    pub listeners: Vec<Listener>,
    #[serde(rename = "target_group")]
    pub target_groups: Vec<TargetGroup>,
}

impl File {
    /// What is presented to clients: by listeners, then by the admin API.
    pub fn presented(&self) -> impl Iterator<Item = &Tls> {
        let of_admin = self.admin.tls.as_ref().map(|tls| &tls.presented);
        self.listeners.iter().filter_map(|listener| listener.tls.as_ref()).chain(of_admin)
    }
}

#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Process {
    /// `None` = "auto".
    #[serde(deserialize_with = "auto_or_count")]
    pub shards: Option<usize>,
    pub engine: EngineChoice,
    pub ring_entries: u32,
    #[serde(deserialize_with = "duration")]
    pub grace_period: Duration,
    /// `None` = "auto".
    #[serde(deserialize_with = "auto_or_count")]
    pub connections: Option<usize>,
    pub connections_per_client: u32,
    #[serde(rename = "content_buffer", deserialize_with = "memory_size")]
    pub content_buffer_bytes: usize,
    pub buffers_kept: usize,
    pub state_directory: PathBuf,
    /// "USER" or "USER:GROUP".
    pub user: Option<String>,
    pub watch_config: bool,
    pub log_level: LogLevel,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum LogLevel {
    Error,
    Warn,
    Info,
    Debug,
    Trace,
}

#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AccessLog {
    pub output: String,
    pub format: LogFormat,
    pub template: Option<String>,
    pub sample: u32,
    pub query: LogQuery,
    #[serde(rename = "buffer", deserialize_with = "memory_size")]
    pub buffer_bytes: usize,
}

#[derive(Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Admin {
    pub address: Option<SocketAddr>,
    pub socket: Option<PathBuf>,
    /// Octal digits.
    pub socket_mode: String,
    pub token: Option<String>,
    pub hosts: Vec<String>,
    pub tls: Option<AdminTls>,
    pub audit_log: Option<PathBuf>,
}

impl std::fmt::Debug for Admin {
    /// Without the token, so that no log ever has it.
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("Admin")
            .field("address", &self.address)
            .field("socket", &self.socket)
            .finish_non_exhaustive()
    }
}

#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StickinessKeys {
    pub keys: Vec<Key>,
}

#[derive(Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Key {
    pub id: u16,
    /// 32 bytes in base64.
    pub secret: String,
}

impl std::fmt::Debug for Key {
    /// Without the secret, so that no log ever has it.
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("Key").field("id", &self.id).finish_non_exhaustive()
    }
}

#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Listener {
    pub name: String,
    pub address: String,
    #[serde(with = "ModeName")]
    pub mode: Mode,
    pub proxy_protocol: ProxyProtocol,
    pub proxy_protocol_from: Option<Vec<String>>,
    pub trusted_proxies: Vec<String>,
    pub merge_slashes: bool,
    pub http2: bool,
    pub forward: Option<Forward>,
    pub redirect: Option<Redirect>,
    pub respond: Option<Respond>,
    pub socket: Socket,
    pub tls: Option<Tls>,
    pub timeouts: ListenerTimeouts,
    pub limits: ListenerLimits,
    pub forwarded: Forwarded,
    pub answers: BTreeMap<String, Answer>,
    #[serde(rename = "rule")]
    pub rules: Vec<Rule>,
}

#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Socket {
    pub backlog: u32,
    pub nodelay: bool,
    #[serde(deserialize_with = "duration")]
    pub defer_accept: Duration,
    pub fast_open: u32,
    #[serde(deserialize_with = "duration")]
    pub keepalive: Duration,
    #[serde(rename = "send_buffer", deserialize_with = "memory_size")]
    pub send_buffer_bytes: usize,
    #[serde(rename = "receive_buffer", deserialize_with = "memory_size")]
    pub receive_buffer_bytes: usize,
    pub ipv6_only: bool,
    /// Octal digits.
    pub unix_mode: String,
}

#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ListenerTimeouts {
    #[serde(deserialize_with = "duration")]
    pub handshake: Duration,
    #[serde(deserialize_with = "duration")]
    pub head: Duration,
    #[serde(deserialize_with = "duration")]
    pub content_idle: Duration,
    #[serde(deserialize_with = "duration")]
    pub stream_idle: Duration,
    #[serde(deserialize_with = "size")]
    pub content_minimum_rate: u64,
    #[serde(deserialize_with = "duration")]
    pub keep_alive: Duration,
    #[serde(deserialize_with = "duration")]
    pub connection_age: Duration,
    #[serde(deserialize_with = "duration")]
    pub send_idle: Duration,
    #[serde(deserialize_with = "size")]
    pub send_minimum_rate: u64,
}

#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ListenerLimits {
    #[serde(rename = "request_line", deserialize_with = "memory_size")]
    pub request_line_bytes: usize,
    #[serde(rename = "field_line", deserialize_with = "memory_size")]
    pub field_line_bytes: usize,
    #[serde(rename = "head", deserialize_with = "memory_size")]
    pub head_bytes: usize,
    #[serde(rename = "fields")]
    pub field_count: usize,
    #[serde(rename = "content", deserialize_with = "size")]
    pub content_bytes: u64,
    pub requests_per_connection: u32,
    pub streams: u32,
    #[serde(rename = "streams_content", deserialize_with = "memory_size")]
    pub streams_content_bytes: usize,
    #[serde(rename = "header_table", deserialize_with = "memory_size")]
    pub header_table_bytes: usize,
    pub handshakes: usize,
    pub handshake_rate: u32,
}

#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Forwarded {
    #[serde(with = "ForwardedForName")]
    pub x_forwarded_for: ForwardedFor,
    pub entries: usize,
    #[serde(with = "RealIpName")]
    pub x_real_ip: RealIp,
    pub forwarded: bool,
    pub via: String,
    pub request_id: String,
}

#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Answer {
    pub body: String,
    pub content_type: String,
}

#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rule {
    pub name: Option<String>,
    pub priority: u32,
    pub when: When,
    pub forward: Option<Forward>,
    pub redirect: Option<Redirect>,
    pub respond: Option<Respond>,
    pub rewrite: Option<Rewrite>,
}

impl Rule {
    /// The given name, or the one derived from the priority.
    pub fn effective_name(&self) -> String {
        self.name.clone().unwrap_or_else(|| format!("rule-{}", self.priority))
    }
}

/// `None` is true for any request. No list is empty: an allow-list that a template left empty must not be read as
/// "any".
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct When {
    pub host: Option<Vec<String>>,
    pub path: Option<Vec<String>>,
    pub method: Option<Vec<String>>,
    pub header: Option<BTreeMap<String, Vec<String>>>,
    pub query: Option<Vec<Query>>,
    pub source: Option<Vec<String>>,
    pub sni: Option<Vec<String>>,
    pub client_certificate: Option<bool>,
}

#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Query {
    pub key: Option<String>,
    pub value: String,
}

/// `forward = "group"`, or a table of several weighted ones.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(untagged)]
pub enum Forward {
    One(String),
    Weighted(Weighted),
}

#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Weighted {
    pub groups: Vec<WeightedGroup>,
    pub sticky: Option<Sticky>,
}

#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WeightedGroup {
    pub group: String,
    pub weight: u32,
}

#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rewrite {
    pub strip_prefix: Option<String>,
    pub replace_prefix: Option<ReplacePrefix>,
    pub path: Option<String>,
    pub host: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReplacePrefix {
    pub prefix: String,
    pub with: String,
}

#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Redirect {
    pub status: u16,
    pub to: String,
}

#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Respond {
    pub status: u16,
    pub content_type: String,
    pub body: String,
}

/// Whether targets are told of clients by PROXY headers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SendProxyProtocol {
    Off,
    V1,
    V2,
}

impl SendProxyProtocol {
    /// `None` = off.
    pub fn version(self) -> Option<Version> {
        match self {
            SendProxyProtocol::Off => None,
            SendProxyProtocol::V1 => Some(Version::V1),
            SendProxyProtocol::V2 => Some(Version::V2),
        }
    }
}

/// The version of HTTP that targets are spoken to in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ProtocolVersion {
    Http1,
    Http2,
    /// HTTP/2, and nothing but calls of gRPC.
    Grpc,
}

impl ProtocolVersion {
    /// Whether connections are of HTTP/2.
    pub fn is_http2(self) -> bool {
        match self {
            ProtocolVersion::Http1 => false,
            ProtocolVersion::Http2 | ProtocolVersion::Grpc => true,
        }
    }
}

#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TargetGroup {
    pub name: String,
    pub protocol: TargetProtocol,
    pub protocol_version: ProtocolVersion,
    pub send_proxy_protocol: SendProxyProtocol,
    pub tls: TargetTls,
    pub algorithm: AlgorithmName,
    pub hash_on: Option<String>,
    pub connection_limit: u32,
    pub queue: u32,
    #[serde(deserialize_with = "duration")]
    pub queue_timeout: Duration,
    #[serde(with = "OnFullName")]
    pub on_full: OnFull,
    pub upgrades: bool,
    #[serde(deserialize_with = "duration")]
    pub deregistration_delay: Duration,
    #[serde(deserialize_with = "duration")]
    pub slow_start: Duration,
    pub health_check: HealthCheck,
    pub fail_open: FailOpen,
    pub ejection: Ejection,
    pub timeouts: TargetTimeouts,
    pub limits: TargetLimits,
    pub pool: Pool,
    pub retries: Retries,
    pub stickiness: Stickiness,
    #[serde(rename = "target")]
    pub targets: Vec<Target>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum AlgorithmName {
    RoundRobin,
    LeastOutstandingRequests,
    WeightedRandom,
    Hash,
}

#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TargetTimeouts {
    #[serde(deserialize_with = "duration")]
    pub connect: Duration,
    #[serde(deserialize_with = "duration")]
    pub handshake: Duration,
    #[serde(deserialize_with = "duration")]
    pub response: Duration,
    pub response_renewed_by_102: bool,
    #[serde(deserialize_with = "duration")]
    pub idle: Duration,
    #[serde(deserialize_with = "duration")]
    pub content_idle: Duration,
    #[serde(deserialize_with = "duration")]
    pub stream_idle: Duration,
    #[serde(deserialize_with = "duration")]
    pub tunnel_idle: Duration,
}

#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TargetLimits {
    #[serde(rename = "response_head", deserialize_with = "memory_size")]
    pub response_head_bytes: usize,
}

#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pool {
    pub idle_per_shard: usize,
    pub connections_max: u32,
    pub streams_per_connection: u32,
}

#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Retries {
    pub count: u32,
    pub budget_percent: u32,
    pub budget_minimum: u32,
    /// "grpc:unavailable" and its like.
    pub on: Vec<String>,
}

#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Target {
    pub id: Option<String>,
    pub address: String,
    pub weight: u32,
    pub state: TargetState,
}

impl Target {
    /// The given id, or the address.
    pub fn effective_id(&self) -> &str {
        self.id.as_deref().unwrap_or(&self.address)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum TargetState {
    InService,
    Draining,
}

fn auto_or_count<'de, D: Deserializer<'de>>(input: D) -> Result<Option<usize>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum AutoOrCount {
        Count(usize),
        Auto(Auto),
    }
    #[derive(Deserialize)]
    #[serde(rename_all = "snake_case")]
    enum Auto {
        Auto,
    }
    Ok(match AutoOrCount::deserialize(input)? {
        AutoOrCount::Count(count) => Some(count),
        AutoOrCount::Auto(Auto::Auto) => None,
    })
}

// The file's names for variants of the data plane's types.

#[derive(Deserialize)]
#[serde(remote = "Mode", rename_all = "snake_case")]
enum ModeName {
    Strict,
    Defensive,
    Monitor,
}

#[derive(Deserialize)]
#[serde(remote = "ForwardedFor", rename_all = "snake_case")]
enum ForwardedForName {
    Append,
    Preserve,
    Replace,
    Remove,
}

#[derive(Deserialize)]
#[serde(remote = "RealIp", rename_all = "snake_case")]
enum RealIpName {
    Replace,
    Preserve,
    Remove,
}

#[derive(Deserialize)]
#[serde(remote = "OnFull", rename_all = "snake_case")]
enum OnFullName {
    Queue,
    Spill,
    Restick,
    Reject,
}
