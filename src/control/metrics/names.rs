//! The one table of metrics: every name, its kind, labels and meaning, and the limits on the number of series.
//!
//! The exposition takes names from here alone; `config/metrics.md` is `table`, and the dashboard in
//! `config/grafana.json` may use no others. Tests compare all three with it.

/// The kind of a metric, in Prometheus' words.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Counter,
    Gauge,
    Histogram,
}

impl Kind {
    #[cfg(any(test, feature = "internals"))]
    pub fn word(self) -> &'static str {
        match self {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
            Kind::Histogram => "histogram",
        }
    }
}

/// One metric.
#[derive(Debug, PartialEq, Eq)]
pub struct Metric {
    /// With its base unit, and `_total` if it is a counter.
    pub name: &'static str,
    pub kind: Kind,
    pub labels: &'static [&'static str],
    pub help: &'static str,
}

/// Listeners, rules, groups, targets and certificates that have series, the first ones in the order of the file. Those beyond are
/// counted in [`OMITTED`] and in all sums.
pub const LISTENERS_MAX: usize = 100;
pub const RULES_MAX: usize = 2_000;
pub const GROUPS_MAX: usize = 500;
pub const TARGETS_MAX: usize = 2_000;
pub const CERTIFICATES_MAX: usize = 1_000;

/// Upper bounds of a histogram's buckets: these powers of two, in microseconds. All are also bounds of the shards'
/// buckets, so every count is exact.
pub const BOUND_EXPONENTS: std::ops::RangeInclusive<u32> = 7..=26;

macro_rules! metrics {
    ($($name:ident = $kind:ident $text:literal [$($label:literal),*] $help:literal;)*) => {
        $(pub const $name: &Metric = &Metric {
            name: $text,
            kind: Kind::$kind,
            labels: &[$($label),*],
            help: $help,
        };)*
        /// All of them, in the order in which they are exposed.
        pub const ALL: &[&Metric] = &[$($name),*];
    };
}

metrics! {
    REQUESTS = Counter "limpet_requests_total" ["listener", "method", "status"]
        "Requests by listener, method and class of the status sent; none is a request that got no response.";
    VERSION_REQUESTS = Counter "limpet_version_requests_total" ["listener", "version"]
        "Requests by listener and version of HTTP; none is a request whose head was not understood.";
    ABORTED = Counter "limpet_aborted_requests_total" ["listener"]
        "Requests that were cut: the client went away, or what was begun could not be ended properly.";
    RECEIVED_BYTES = Counter "limpet_received_bytes_total" ["listener"]
        "Bytes received from clients, heads and content.";
    SENT_BYTES = Counter "limpet_sent_bytes_total" ["listener"]
        "Bytes sent to clients, heads and content.";
    HEAD_DURATION = Histogram "limpet_request_head_duration_seconds" ["listener"]
        "From the first byte of a request to the end of its head.";
    DURATION = Histogram "limpet_request_duration_seconds" ["listener"]
        "From the first byte of a request to the last of its response.";
    ERRORS = Counter "limpet_errors_total" ["code"]
        "Refusals and errors of limpet's own, by the word that the access log has for them.";
    HANDSHAKES = Counter "limpet_tls_handshakes_total" ["listener", "version", "resumed"]
        "TLS handshakes with clients, by version and whether a session was resumed; of the admin API where listener is empty.";
    HANDSHAKE_GROUPS = Counter "limpet_tls_key_exchanges_total" ["listener", "group"]
        "TLS handshakes by group of the key exchange; none is a session of TLS 1.2 that was resumed. Listener as above.";
    HANDSHAKE_CIPHERS = Counter "limpet_tls_cipher_suites_total" ["listener", "cipher"]
        "TLS handshakes by cipher suite. Listener as above.";
    HANDSHAKE_FAILURES = Counter "limpet_tls_handshake_failures_total" ["listener", "reason"]
        "TLS handshakes with clients that failed, by reason; of the admin API where listener is empty.";
    RULE_REQUESTS = Counter "limpet_rule_requests_total" ["listener", "rule"]
        "Requests by the rule that matched.";
    GROUP_REQUESTS = Counter "limpet_group_requests_total" ["group", "status"]
        "Requests by target group and class of the status sent.";
    GROUP_CONNECT_DURATION = Histogram "limpet_group_connect_duration_seconds" ["group"]
        "Connecting to a target, all attempts of a request, where no kept connection was there.";
    GROUP_FIRST_BYTE_DURATION = Histogram "limpet_group_first_byte_duration_seconds" ["group"]
        "From the end of a request's head to the first byte of its response.";
    GROUP_DURATION = Histogram "limpet_group_request_duration_seconds" ["group"]
        "From the first byte of a request to the last of its response.";
    GROUP_CONNECTIONS = Counter "limpet_group_pool_requests_total" ["group", "connection"]
        "Requests by the connection to the target they were given: reused from the pool, or new.";
    GROUP_RETRIES = Counter "limpet_group_retries_total" ["group"]
        "Attempts beyond the first one of a request.";
    GROUP_QUEUE_WAITS = Counter "limpet_group_queue_waits_total" ["group"]
        "Requests that waited for a place on a target.";
    GROUP_QUEUE_SECONDS = Counter "limpet_group_queue_wait_seconds_total" ["group"]
        "Time that requests waited for a place on a target.";
    GROUP_UPGRADES = Counter "limpet_group_upgrades_total" ["group"]
        "Requests that became tunnels, like WebSockets.";
    GROUP_GRPC = Counter "limpet_group_grpc_responses_total" ["group", "code"]
        "Responses to calls of gRPC by the status of the call: those of targets of HTTP/2, and limpet's own; unknown is a number beyond 16.";
    GROUP_STICKY = Counter "limpet_group_sticky_verdicts_total" ["group", "reason"]
        "Requests to a sticky group by what became of their session.";
    GROUP_SESSIONS = Gauge "limpet_group_sessions" ["group"]
        "Live sessions of a sticky group, estimated.";
    GROUP_UNSEALED = Counter "limpet_group_unsealed_session_ids_total" ["group"]
        "Session ids in the field of app_header that no seal goes behind: too long, not visible ASCII, or several.";
    GROUP_EJECTIONS = Counter "limpet_group_ejections_total" ["group"]
        "Targets taken out for a while because of what they answered.";
    GROUP_TARGETS = Gauge "limpet_group_targets" ["group", "state"]
        "Targets of a group by their health; unchecked where nobody checks them.";
    GROUP_FAILING_OPEN = Gauge "limpet_group_failing_open" ["group"]
        "1 where targets are used although none is healthy.";
    TARGET_REQUESTS = Counter "limpet_target_requests_total" ["group", "target", "status"]
        "Requests by the target that served them last and class of the status sent.";
    TARGET_FAILURES = Counter "limpet_target_failures_total" ["group", "target"]
        "Exchanges that failed on the target's side.";
    TARGET_IN_FLIGHT = Gauge "limpet_target_requests_in_flight" ["group", "target"]
        "Requests that hold a place on the target now.";
    TARGET_WAITING = Gauge "limpet_target_requests_waiting" ["group", "target"]
        "Requests that wait for a place on the target now.";
    TARGET_HEALTH = Gauge "limpet_target_health" ["group", "target", "state"]
        "1 for the state that the target is in, 0 for the others.";
    TARGET_SESSIONS = Gauge "limpet_target_sessions" ["group", "target"]
        "Live sessions bound to the target, estimated.";
    CONNECTIONS = Gauge "limpet_client_connections" []
        "Client connections open now.";
    CONNECTIONS_ACCEPTED = Counter "limpet_client_connections_accepted_total" []
        "Client connections accepted.";
    CONNECTIONS_RECLAIMED = Counter "limpet_client_connections_reclaimed_total" []
        "Idle client connections closed because new ones needed their places or descriptors.";
    CONNECTIONS_REFUSED = Counter "limpet_client_connections_refused_total" []
        "Client connections closed at once because a limit was reached.";
    TARGET_CONNECTIONS = Gauge "limpet_target_connections" []
        "Connections to targets open now, kept ones included.";
    TARGET_CONNECTIONS_OPENED = Counter "limpet_target_connections_opened_total" []
        "Connections made to targets.";
    TARGET_CONNECTIONS_CLOSED_IDLE = Counter "limpet_target_connections_closed_idle_total" []
        "Kept connections that turned out to have been closed by the target.";
    HTTP2_CONNECTIONS = Gauge "limpet_http2_connections" ["side"]
        "Connections of HTTP/2 open now, with clients and with targets.";
    HTTP2_STREAMS = Counter "limpet_http2_streams_total" ["side"]
        "Streams of HTTP/2 that were opened: requests of clients, and requests to targets.";
    HTTP2_STREAMS_OPEN = Gauge "limpet_http2_streams_open" ["side"]
        "Streams of HTTP/2 whose exchange has not ended.";
    HTTP2_REFUSED = Counter "limpet_http2_refused_streams_total" []
        "Streams of clients that limpet refused: too many were open, or the connection was ending. They are in no other number.";
    HTTP2_RESETS = Counter "limpet_http2_resets_total" ["side", "by", "cause"]
        "Streams of HTTP/2 that were reset, by the peer or by limpet, and why, as the code of RST_STREAM says; early is NO_ERROR, behind a whole response.";
    HTTP2_GOAWAYS = Counter "limpet_http2_goaways_total" ["side", "direction"]
        "GOAWAY frames; a connection that ends in order gets two of limpet. Why one was an error is in limpet_errors_total.";
    SHARD_BUSY = Counter "limpet_shard_busy_seconds_total" ["shard"]
        "CPU time of the shard's thread; its rate is the share of its core.";
    SHARD_CONNECTIONS = Gauge "limpet_shard_connections" ["shard"]
        "Client connections of the shard open now.";
    SHARD_REQUESTS = Counter "limpet_shard_requests_total" ["shard"]
        "Requests that the shard has served.";
    LOG_LINES = Counter "limpet_access_log_lines_total" ["result"]
        "Lines of the access log: written, dropped for want of room, or failed to be written.";
    BUILD_INFO = Gauge "limpet_build_info" ["version", "engine"]
        "Always 1; what is running.";
    CONFIG_VERSION = Gauge "limpet_config_version" []
        "Version of the running configuration; grows with every change.";
    CONFIG_GENERATION = Gauge "limpet_config_generation" []
        "Publications so far: changes, and health that changed who may be used.";
    CONFIG_RELOAD_SUCCESSFUL = Gauge "limpet_config_last_reload_successful" []
        "1 if the last attempt to load a file went well.";
    CONFIG_RELOAD_TIME = Gauge "limpet_config_last_reload_success_timestamp_seconds" []
        "When a file was last loaded, in seconds since the epoch.";
    CERTIFICATE_END = Gauge "limpet_certificate_not_after_timestamp_seconds" ["listener", "target_group", "chain"]
        "When a certificate, or one of its chain, ends, in seconds since the epoch; target_group presents it to its targets, and the admin API where both are empty.";
    CERTIFICATE_READING = Gauge "limpet_certificate_last_reload_successful" []
        "1 if the last attempt to read the certificates went well.";
    CERTIFICATE_ORDERS = Counter "limpet_certificate_orders_total" ["result"]
        "Orders of certificates from authorities (ACME): issued or failed.";
    ADMIN_REFUSED = Counter "limpet_admin_requests_refused_total" ["reason"]
        "Requests to the admin API refused for who asks: unauthorized, cross-site, not-trusted, misdirected.";
    OMITTED = Gauge "limpet_metrics_omitted" ["of"]
        "Listeners, rules, groups, targets and certificates beyond the number that has series of their own.";
    RESIDENT_BYTES = Gauge "process_resident_memory_bytes" []
        "Memory of the process that is in RAM.";
    VIRTUAL_BYTES = Gauge "process_virtual_memory_bytes" []
        "Address space of the process.";
    CPU_SECONDS = Counter "process_cpu_seconds_total" []
        "CPU time of the process, user and system.";
    START_TIME = Gauge "process_start_time_seconds" []
        "When the process started, in seconds since the epoch.";
}

/// The page that documents all of them, in Markdown.
#[cfg(any(test, feature = "internals"))]
pub fn table() -> String {
    use std::fmt::Write;
    let mut page = format!(
        "# Metrics\n\n\
         limpet tells these to Prometheus at `/metrics` of the admin address. Counts begin with the \
         process; those of a listener, rule, group or target go on over reloads as long as its name (a \
         target's address, too) stays in the file.\n\n\
         Histograms have buckets at powers of two from {} µs to {} s. Series are made for the first {LISTENERS_MAX} \
         listeners, {RULES_MAX} rules, {GROUPS_MAX} groups, {TARGETS_MAX} targets and {CERTIFICATES_MAX} \
         certificates of the file; `{}` counts the others, which all sums include.\n\n\
         | name | kind | labels | meaning |\n|---|---|---|---|\n",
        1_u64 << BOUND_EXPONENTS.start(),
        (1_u64 << BOUND_EXPONENTS.end()) / 1_000_000,
        OMITTED.name,
    );
    for metric in ALL {
        let labels: Vec<String> = metric.labels.iter().map(|label| format!("`{label}`")).collect();
        // Writing to a text cannot fail.
        let _ = writeln!(
            page,
            "| `{}` | {} | {} | {} |",
            metric.name,
            metric.kind.word(),
            labels.join(" "),
            metric.help
        );
    }
    page
}
