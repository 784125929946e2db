//! The text that Prometheus scrapes: the table of names, filled with the shards' counts.
//!
//! All numbers are read from atomics while the text is made; related numbers may be a moment apart. Bounded by the
//! limits in `names`. Formats nothing but the input of the `prometheus` crate. Tested beside it and by
//! `tests/metrics.rs`.

use std::sync::Arc;

use prometheus::{TextEncoder, proto};

use super::family::{Family, seconds};
use super::{Sources, names, process};
use crate::group::target_group::{HEALTH_CODES, Target, TargetGroup};
use crate::snapshot::{Listener, Snapshot};
use crate::telemetry::counters::Counter;
use crate::telemetry::handshakes::TlsVersion;
use crate::telemetry::handshakes::{Group, Handshakes};
use crate::telemetry::http2::{DIRECTIONS, RESET_CAUSES, RESETTERS, Side};
use crate::telemetry::reason::Reason;
use crate::telemetry::series::{GRPC_STATUSES, ListenerBlock, METHOD_CLASSES, STATUS_CLASSES};

/// The Content-Type of the text.
pub const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// All of [`names::ALL`], in its order, as text.
pub fn exposition(sources: &Sources) -> String {
    let snapshot = sources.published.load_full();
    let mut families: Vec<Family> = Vec::with_capacity(names::ALL.len());
    let listeners = listeners(&snapshot);
    families.extend(of_listeners(listeners));
    families.push(errors(sources));
    families.extend(of_handshakes(listeners, sources.plane.admin_handshakes()));
    families.push(of_rules(&snapshot));
    families.extend(of_groups(sources, &snapshot));
    families.extend(of_targets(sources, &snapshot));
    families.extend(of_connections(sources));
    families.extend(of_http2(sources));
    families.extend(of_shards(sources));
    families.extend(of_process(sources, &snapshot));
    let families: Vec<proto::MetricFamily> =
        families.into_iter().filter_map(Family::finish).collect();
    let mut text = String::new();
    if let Err(error) = TextEncoder::new().encode_utf8(&families, &mut text) {
        tracing::warn!(%error, "the metrics cannot be written");
    }
    text
}

fn listeners(snapshot: &Snapshot) -> &[Arc<Listener>] {
    snapshot.listeners.get(..names::LISTENERS_MAX).unwrap_or(&snapshot.listeners)
}

fn groups(snapshot: &Snapshot) -> &[Arc<TargetGroup>] {
    snapshot.groups.get(..names::GROUPS_MAX).unwrap_or(&snapshot.groups)
}

/// Targets that have series, with their groups.
pub(super) fn targets(snapshot: &Snapshot) -> impl Iterator<Item = (&Arc<TargetGroup>, &Target)> {
    let all = snapshot.groups.iter();
    all.flat_map(|group| group.targets.iter().map(move |target| (group, target)))
        .take(names::TARGETS_MAX)
}

fn of_listeners(listeners: &[Arc<Listener>]) -> [Family; 7] {
    let mut requests = Family::of(names::REQUESTS);
    let mut versions = Family::of(names::VERSION_REQUESTS);
    let mut aborted = Family::of(names::ABORTED);
    let mut received = Family::of(names::RECEIVED_BYTES);
    let mut sent = Family::of(names::SENT_BYTES);
    let mut head = Family::of(names::HEAD_DURATION);
    let mut total = Family::of(names::DURATION);
    for listener in listeners {
        let (name, series) = (&*listener.name, &listener.series);
        for (method, sums) in METHOD_CLASSES.iter().zip(series.requests()) {
            for (class, count) in STATUS_CLASSES.iter().zip(sums) {
                requests.count(&[name, method, class], count);
            }
        }
        for (version, count) in series.versions() {
            versions.count(&[name, version], count);
        }
        aborted.count(&[name], series.sum(|block| &block.aborted));
        received.count(&[name], series.sum(|block| &block.bytes_received));
        sent.count(&[name], series.sum(|block| &block.bytes_sent));
        head.distribution(&[name], &series.distribution(|block| &block.head));
        total.distribution(&[name], &series.distribution(|block| &block.total));
    }
    [requests, versions, aborted, received, sent, head, total]
}

/// Of listeners that have spoken TLS, and of the admin API, whose name is empty.
fn of_handshakes(listeners: &[Arc<Listener>], of_admin: Handshakes) -> [Family; 4] {
    let mut done = Family::of(names::HANDSHAKES);
    let mut groups = Family::of(names::HANDSHAKE_GROUPS);
    let mut ciphers = Family::of(names::HANDSHAKE_CIPHERS);
    let mut failures = Family::of(names::HANDSHAKE_FAILURES);
    let sums = listeners.iter().map(|listener| {
        let blocks = listener.series.blocks().filter_map(ListenerBlock::handshakes_if_any);
        (&*listener.name, Handshakes::of(blocks))
    });
    for (name, sum) in sums.chain([("", of_admin)]).filter(|(_, sum)| !sum.is_empty()) {
        for (version, of_version) in TlsVersion::ALL.iter().zip(sum.done) {
            for (resumed, count) in ["no", "yes"].iter().zip(of_version) {
                done.count(&[name, version.word(), resumed], count);
            }
        }
        for (group, count) in Group::ALL.iter().zip(sum.groups) {
            groups.count(&[name, group.word()], count);
        }
        for (cipher, count) in sum.ciphers {
            ciphers.count(&[name, cipher], count);
        }
        for (reason, count) in sum.failures {
            failures.count(&[name, reason], count);
        }
    }
    [done, groups, ciphers, failures]
}

fn errors(sources: &Sources) -> Family {
    let mut errors = Family::of(names::ERRORS);
    for (code, count) in sources.counters.snapshot().codes() {
        errors.count(&[code], *count);
    }
    errors
}

fn of_rules(snapshot: &Snapshot) -> Family {
    let mut requests = Family::of(names::RULE_REQUESTS);
    let all = snapshot.listeners.iter().flat_map(|listener| {
        let rules = listener.rules.rules().iter().zip(&listener.rule_series);
        rules.map(move |(rule, series)| (&*listener.name, &*rule.name, series))
    });
    for (listener, rule, series) in all.take(names::RULES_MAX) {
        requests.count(&[listener, rule], series.sum(|block| &block.requests));
    }
    requests
}

fn of_groups(sources: &Sources, snapshot: &Snapshot) -> Vec<Family> {
    let groups = groups(snapshot);
    let mut families = vec![by_class(groups)];
    families.extend(durations(groups));
    families.extend(waits_and_connections(groups));
    families.push(calls(groups));
    families.push(verdicts(groups));
    families.push(each(names::GROUP_SESSIONS, groups, |group| {
        sources.plane.group_sessions(&group.name).map(|sessions| sessions as f64)
    }));
    families.push(each(names::GROUP_UNSEALED, groups, |group| Some(group.state.unsealed() as f64)));
    families
        .push(each(names::GROUP_EJECTIONS, groups, |group| Some(group.state.ejections() as f64)));
    families.push(by_health(groups));
    families.push(each(names::GROUP_FAILING_OPEN, groups, |group| Some(flag(group.fails_open()))));
    families
}

/// One number for each group, where there is one.
fn each(
    metric: &'static names::Metric,
    groups: &[Arc<TargetGroup>],
    value: impl Fn(&TargetGroup) -> Option<f64>,
) -> Family {
    let mut family = Family::of(metric);
    for group in groups {
        if let Some(value) = value(group) {
            family.add(&[&group.name], value);
        }
    }
    family
}

fn by_class(groups: &[Arc<TargetGroup>]) -> Family {
    let mut requests = Family::of(names::GROUP_REQUESTS);
    for group in groups {
        let sums = group.state.series.sums(|block| &block.requests);
        for (class, count) in STATUS_CLASSES.iter().zip(sums) {
            requests.count(&[&group.name, class], count);
        }
    }
    requests
}

fn durations(groups: &[Arc<TargetGroup>]) -> [Family; 3] {
    let mut connect = Family::of(names::GROUP_CONNECT_DURATION);
    let mut first_byte = Family::of(names::GROUP_FIRST_BYTE_DURATION);
    let mut total = Family::of(names::GROUP_DURATION);
    for group in groups {
        let (labels, series) = ([&*group.name], &group.state.series);
        connect.distribution(&labels, &series.distribution(|block| &block.connect));
        first_byte.distribution(&labels, &series.distribution(|block| &block.first_byte));
        total.distribution(&labels, &series.distribution(|block| &block.total));
    }
    [connect, first_byte, total]
}

fn waits_and_connections(groups: &[Arc<TargetGroup>]) -> [Family; 5] {
    let mut connections = Family::of(names::GROUP_CONNECTIONS);
    let mut retries = Family::of(names::GROUP_RETRIES);
    let mut waits = Family::of(names::GROUP_QUEUE_WAITS);
    let mut waited = Family::of(names::GROUP_QUEUE_SECONDS);
    let mut upgrades = Family::of(names::GROUP_UPGRADES);
    for group in groups {
        let (name, series) = (&*group.name, &group.state.series);
        connections.count(&[name, "reused"], series.sum(|block| &block.reused));
        connections.count(&[name, "new"], series.sum(|block| &block.connected));
        retries.count(&[name], series.sum(|block| &block.retries));
        waits.count(&[name], series.sum(|block| &block.queue_waits));
        waited.add(&[name], seconds(series.sum(|block| &block.queue_us)));
        upgrades.count(&[name], series.sum(|block| &block.upgrades));
    }
    [connections, retries, waits, waited, upgrades]
}

/// Of groups that have answered a call.
fn calls(groups: &[Arc<TargetGroup>]) -> Family {
    let mut responses = Family::of(names::GROUP_GRPC);
    for group in groups {
        let sums = group.state.series.grpc();
        for (code, count) in GRPC_STATUSES.iter().zip(sums.into_iter().flatten()) {
            responses.count(&[&group.name, code], count);
        }
    }
    responses
}

fn verdicts(groups: &[Arc<TargetGroup>]) -> Family {
    let mut verdicts = Family::of(names::GROUP_STICKY);
    for group in groups {
        let sums = group.state.series.sums(|block| &block.sticky);
        for (reason, count) in Reason::ALL.iter().zip(sums) {
            verdicts.count(&[&group.name, reason.code()], count);
        }
    }
    verdicts
}

fn by_health(groups: &[Arc<TargetGroup>]) -> Family {
    let mut targets = Family::of(names::GROUP_TARGETS);
    for group in groups {
        for code in HEALTH_CODES {
            let in_it = group.targets.iter().filter(|target| group.health_code(target) == code);
            targets.count(&[&group.name, code], in_it.count() as u64);
        }
    }
    targets
}

fn of_targets(sources: &Sources, snapshot: &Snapshot) -> [Family; 6] {
    let mut requests = Family::of(names::TARGET_REQUESTS);
    let mut failures = Family::of(names::TARGET_FAILURES);
    let mut in_flight = Family::of(names::TARGET_IN_FLIGHT);
    let mut waiting = Family::of(names::TARGET_WAITING);
    let mut health = Family::of(names::TARGET_HEALTH);
    let mut sessions = Family::of(names::TARGET_SESSIONS);
    for (of, target) in targets(snapshot) {
        let (group, id, state) = (&*of.name, &*target.id, &target.state);
        let sums = state.series.sums(|block| &block.requests);
        for (class, count) in STATUS_CLASSES.iter().zip(sums) {
            requests.count(&[group, id, class], count);
        }
        failures.count(&[group, id], state.failures());
        in_flight.count(&[group, id], u64::from(state.in_flight()));
        waiting.count(&[group, id], state.waiting.len() as u64);
        let now = of.health_code(target);
        for code in HEALTH_CODES {
            health.add(&[group, id, code], flag(code == now));
        }
        if let Some(count) = sources.plane.target_sessions(group, id) {
            sessions.count(&[group, id], count);
        }
    }
    [requests, failures, in_flight, waiting, health, sessions]
}

fn of_connections(sources: &Sources) -> [Family; 7] {
    let counted = sources.counters.snapshot();
    let of = |metric, counter| single(metric, counted.get(counter) as f64);
    [
        single(names::CONNECTIONS, sources.machine.connections() as f64),
        of(names::CONNECTIONS_ACCEPTED, Counter::ConnectionsAccepted),
        of(names::CONNECTIONS_RECLAIMED, Counter::ConnectionsReclaimed),
        of(names::CONNECTIONS_REFUSED, Counter::ConnectionsRefused),
        single(names::TARGET_CONNECTIONS, counted.target_connections_open() as f64),
        of(names::TARGET_CONNECTIONS_OPENED, Counter::TargetConnectionsOpened),
        of(names::TARGET_CONNECTIONS_CLOSED_IDLE, Counter::TargetConnectionsClosedIdle),
    ]
}

fn of_http2(sources: &Sources) -> [Family; 6] {
    let mut connections = Family::of(names::HTTP2_CONNECTIONS);
    let mut streams = Family::of(names::HTTP2_STREAMS);
    let mut open = Family::of(names::HTTP2_STREAMS_OPEN);
    let mut refused = Family::of(names::HTTP2_REFUSED);
    let mut resets = Family::of(names::HTTP2_RESETS);
    let mut goaways = Family::of(names::HTTP2_GOAWAYS);
    for side in Side::ALL {
        let (word, sums) = (side.word(), sources.counters.http2(side));
        connections.count(&[word], sums.connections);
        streams.count(&[word], sums.streams);
        open.count(&[word], sums.streams_open);
        if side == Side::Client {
            // Targets open no streams.
            refused.count(&[], sums.streams_refused);
        }
        for (by, counts) in RESETTERS.iter().zip(sums.resets) {
            for (cause, count) in RESET_CAUSES.iter().zip(counts) {
                resets.count(&[word, by, cause], count);
            }
        }
        for (direction, count) in DIRECTIONS.iter().zip(sums.goaways) {
            goaways.count(&[word, direction], count);
        }
    }
    [connections, streams, open, refused, resets, goaways]
}

fn of_shards(sources: &Sources) -> [Family; 3] {
    let mut busy = Family::of(names::SHARD_BUSY);
    let mut connections = Family::of(names::SHARD_CONNECTIONS);
    let mut requests = Family::of(names::SHARD_REQUESTS);
    let machine = &sources.machine;
    for index in 0..machine.shard_count() {
        let mut digits = itoa::Buffer::new();
        let labels = [digits.format(index)];
        busy.add(&labels, machine.busy(index).as_secs_f64());
        connections.count(&labels, machine.shard_connections(index) as u64);
        let counted = sources.counters.shard(index).map(|shard| shard.requests());
        requests.count(&labels, counted.unwrap_or(0));
    }
    [busy, connections, requests]
}

fn of_process(sources: &Sources, snapshot: &Snapshot) -> Vec<Family> {
    let log = sources.machine.log();
    let mut lines = Family::of(names::LOG_LINES);
    lines.count(&["written"], log.lines_written);
    lines.count(&["dropped"], log.lines_dropped);
    lines.count(&["failed"], log.lines_failed);
    let mut build = Family::of(names::BUILD_INFO);
    build.add(&[env!("CARGO_PKG_VERSION"), sources.machine.engine()], 1.0);
    let mut refused = Family::of(names::ADMIN_REFUSED);
    for (reason, count) in sources.plane.refused_requests() {
        refused.count(&[reason], count);
    }
    let certificates = sources.plane.certificates();
    let mut ends = Family::of(names::CERTIFICATE_END);
    for end in certificates.ends.iter().take(names::CERTIFICATES_MAX) {
        ends.add(&[&end.listener, &end.target_group, &end.chain], end.not_after as f64);
    }
    let mut orders = Family::of(names::CERTIFICATE_ORDERS);
    orders.count(&["issued"], certificates.orders.issued);
    orders.count(&["failed"], certificates.orders.failed);
    let (config, usage) = (sources.plane.config(), process::usage());
    vec![
        lines,
        build,
        single(names::CONFIG_VERSION, config.version as f64),
        single(names::CONFIG_GENERATION, snapshot.generation as f64),
        single(names::CONFIG_RELOAD_SUCCESSFUL, flag(config.last_reload_successful)),
        single(names::CONFIG_RELOAD_TIME, config.loaded_unix_ms as f64 / 1000.0),
        ends,
        single(names::CERTIFICATE_READING, flag(certificates.last_reading_successful)),
        orders,
        refused,
        omitted(snapshot, certificates.ends.len()),
        single(names::RESIDENT_BYTES, usage.resident_bytes as f64),
        single(names::VIRTUAL_BYTES, usage.virtual_bytes as f64),
        single(names::CPU_SECONDS, usage.cpu_seconds),
        single(names::START_TIME, sources.started_unix_ms as f64 / 1000.0),
    ]
}

fn omitted(snapshot: &Snapshot, certificates: usize) -> Family {
    let rules = snapshot.listeners.iter().map(|listener| listener.rules.rules().len()).sum();
    let targets = snapshot.groups.iter().map(|group| group.targets.len()).sum();
    let mut omitted = Family::of(names::OMITTED);
    let all: [(&str, usize, usize); 5] = [
        ("listeners", snapshot.listeners.len(), names::LISTENERS_MAX),
        ("rules", rules, names::RULES_MAX),
        ("groups", snapshot.groups.len(), names::GROUPS_MAX),
        ("targets", targets, names::TARGETS_MAX),
        ("certificates", certificates, names::CERTIFICATES_MAX),
    ];
    for (of, count, most) in all {
        omitted.count(&[of], count.saturating_sub(most) as u64);
    }
    omitted
}

fn single(metric: &'static names::Metric, value: f64) -> Family {
    let mut family = Family::of(metric);
    family.add(&[], value);
    family
}

fn flag(is_so: bool) -> f64 {
    f64::from(u8::from(is_so))
}
