//! The compiled, immutable configuration that the control plane publishes and the data plane reads.
//!
//! A shard reads the published pointer once per request and never waits for it. State that must outlive a snapshot
//! (health, in-flight counts, totals, round-robin counters) is shared by `Arc` from one to the next.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use ipnet::IpNet;

use crate::challenges::Challenges;
use crate::group::target_group::TargetGroup;
use crate::http::answers::Answer;
use crate::http::edits::{ForwardedFor, RealIp};
use crate::http::head::{HeadLimits, Mode};
use crate::proxy_protocol::ProxyProtocol;
use crate::routing::table::Table;
use crate::stickiness::verdict::Stickiness;
use crate::telemetry::options::AccessLogOptions;
use crate::telemetry::series::{ListenerSeries, RuleSeries};
use crate::tls::listener::TlsListener;

/// The one pointer between the planes.
pub type Published = ArcSwap<Snapshot>;

/// One published snapshot as a shard holds it: counted without atomics.
pub type View = Rc<Arc<Snapshot>>;

#[derive(Debug)]
pub struct Snapshot {
    /// Grows by one with every publication.
    pub generation: u64,
    pub listeners: Vec<Arc<Listener>>,
    /// Indexed by `routing::actions::GroupIndex`.
    pub groups: Vec<Arc<TargetGroup>>,
}

impl Snapshot {
    /// The listener of this name.
    pub fn listener(&self, name: &str) -> Option<&Arc<Listener>> {
        self.listeners.iter().find(|listener| *listener.name == *name)
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Bind {
    Tcp(SocketAddr),
    Unix(PathBuf),
}

/// Options of a listening socket and of the connections it accepts.
#[derive(Debug, Clone, PartialEq)]
pub struct SocketOptions {
    pub backlog: u32,
    pub nodelay: bool,
    /// Zero = off.
    pub defer_accept: Duration,
    /// Queue length; 0 = off.
    pub fast_open: u32,
    /// Zero = off.
    pub keepalive: Duration,
    /// 0 = the kernel's own.
    pub send_buffer_bytes: usize,
    pub receive_buffer_bytes: usize,
    /// IPv6 listeners only: refuse IPv4-mapped clients.
    pub ipv6_only: bool,
    /// Unix listeners only: permission bits of the socket file.
    pub unix_mode: u32,
}

#[derive(Debug, Clone, PartialEq)]
pub struct ListenerTimeouts {
    /// A TLS handshake, besides its waits for limpet itself.
    pub handshake: Duration,
    pub head: Duration,
    pub content_idle: Duration,
    /// In its place on a stream of HTTP/2 that may be silent for long.
    pub stream_idle: Duration,
    /// Bytes per second below which a client's content is given up; 0 = off.
    pub content_minimum_rate: u64,
    pub keep_alive: Duration,
    /// Spread by ± 10 %.
    pub connection_age: Duration,
    /// How long a client may take no byte of a response.
    pub send_idle: Duration,
    /// Bytes per second below which a response is given up; 0 = off.
    pub send_minimum_rate: u64,
}

/// What a client's connection of HTTP/2 is held to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StreamLimits {
    /// Streams at a time.
    pub count: u32,
    /// Bytes of request content that all of them may hold.
    pub content_bytes: u32,
    /// The table of HPACK that the client may use, in bytes.
    pub table_bytes: u32,
}

#[derive(Debug, Clone, PartialEq)]
pub struct ForwardedOptions {
    pub forwarded_for: ForwardedFor,
    pub forwarded_for_entries: usize,
    pub real_ip: RealIp,
    pub forwarded: bool,
    pub via: Option<Box<str>>,
    /// Field name of the request id; `None` = off.
    pub request_id: Option<Box<str>>,
}

/// The hops whose word counts: their X-Forwarded-*, Forwarded and request id, or their PROXY headers.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct TrustedHops {
    pub networks: Vec<IpNet>,
    /// Peers on a Unix socket, to which the permissions of its file admit.
    pub unix: bool,
}

impl TrustedHops {
    /// Whether there are any.
    #[inline]
    pub fn is_anybody(&self) -> bool {
        self.unix || !self.networks.is_empty()
    }

    /// Whether a hop is trusted; `None` is a peer on a Unix socket.
    #[inline]
    pub fn hold(&self, hop: Option<IpAddr>) -> bool {
        match hop {
            Some(ip) => self.networks.iter().any(|network| network.contains(&ip)),
            None => self.unix,
        }
    }
}

/// One listener with everything a request needs until a target group is known.
#[derive(Debug)]
pub struct Listener {
    pub name: Arc<str>,
    pub bind: Bind,
    pub socket: SocketOptions,
    /// `None` = plain.
    pub tls: Option<Arc<TlsListener>>,
    /// The proofs that authorities ask for in requests; `None` = nobody asks.
    pub challenges: Option<Arc<Challenges>>,
    pub mode: Mode,
    pub proxy_protocol: ProxyProtocol,
    /// The peers whose PROXY headers are taken.
    pub proxy_senders: TrustedHops,
    /// Whether a client's handshake may be known: the listener's own, or one that a PROXY header tells of.
    pub knows_handshakes: bool,
    pub trusted_proxies: TrustedHops,
    pub head_limits: HeadLimits,
    /// 0 = no limit; longer content is answered 413.
    pub content_bytes: u64,
    pub requests_per_connection: u32,
    pub streams: StreamLimits,
    /// TLS handshakes under way on a shard, of all listeners, beyond which none of this one begins.
    pub handshakes: usize,
    /// TLS handshakes that begin on a shard in a second; 0 = no limit.
    pub handshakes_per_second: u32,
    pub timeouts: ListenerTimeouts,
    pub forwarded: ForwardedOptions,
    pub merge_slashes: bool,
    /// Clients in clear may begin with the preface of HTTP/2.
    pub http2: bool,
    /// Answers that the file replaces, by status; others are `answers::standard`.
    pub answers: Vec<(u16, Answer)>,
    pub rules: Table,
    /// Parallel to `rules.rules()`: the stickiness of a rule that is sticky across its groups.
    pub rule_stickiness: Vec<Option<Arc<Stickiness>>>,
    /// The shards' counts for the metrics, carried over by name.
    pub series: Arc<ListenerSeries>,
    /// Parallel to `rules.rules()`.
    pub rule_series: Vec<Arc<RuleSeries>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EngineChoice {
    Auto,
    IoUring,
    TokioUring,
    Epoll,
}

/// Settings that are read once, at start.
#[derive(Debug, Clone, PartialEq)]
pub struct ProcessOptions {
    /// `None` = one per allowed core.
    pub shards: Option<usize>,
    pub engine: EngineChoice,
    /// Entries of each shard's submission queue.
    pub ring_entries: u32,
    pub grace_period: Duration,
    /// `None` = 80 % of half of RLIMIT_NOFILE.
    pub connections: Option<usize>,
    /// 0 = no limit.
    pub connections_per_client: u32,
    /// Size of a content buffer.
    pub content_buffer_bytes: usize,
    /// How many free content buffers a shard keeps.
    pub buffers_kept: usize,
    pub access_log: AccessLogOptions,
}
