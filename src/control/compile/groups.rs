//! Target groups in the data plane's form: the only place where the file meets the constructors of `target`. Tested as
//! part of `compile`.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use super::{CompileError, options};
use crate::control::config::file::{
    self, AlgorithmName, HealthCheckType, ProtocolVersion, StickinessType, TargetState,
};
use crate::control::config::grpc::retried_status;
use crate::control::config::target_address;
use crate::control::drain::Leaving;
use crate::group::address::Address;
use crate::group::state::{Health, Registry, TargetState as TargetCondition};
use crate::group::target_group::{
    Algorithm, FailOpen, GroupOptions, GroupParts, HashOn, Manner, Target, TargetGroup,
};
use crate::http::edits::Wire;
use crate::stickiness::cookie::Scope;
use crate::stickiness::keyring::KeyRing;
use crate::stickiness::options::{Failback, OnLost, StickinessKind, StickinessOptions};
use crate::stickiness::verdict::Stickiness;
use crate::tls::target::{TargetTls, TlsPeer};

/// What a group is made of besides its settings.
#[derive(Clone, Copy)]
pub(super) struct MadeOf<'m> {
    pub registry: &'m Registry,
    pub ring: &'m Arc<KeyRing>,
    /// `None` = its targets are spoken to in clear.
    pub tls: Option<&'m Arc<TargetTls>>,
}

fn ip(address: &Address) -> Option<IpAddr> {
    match address {
        Address::Tcp(address) => Some(address.ip()),
        Address::Unix(_) => None,
    }
}

/// A target of a group, spoken to as the group says.
fn spoken_to(group: &file::TargetGroup, peer: Option<TlsPeer>, target: Target) -> Target {
    target.spoken_to(Manner {
        tls: peer,
        header: group.send_proxy_protocol.version(),
        http2: group.protocol_version.is_http2(),
        grpc: group.protocol_version == ProtocolVersion::Grpc,
    })
}

/// Compiles one group, with its targets that are `leaving`; the state that outlives a snapshot comes from the registry.
pub(super) fn group(
    group: &file::TargetGroup,
    leaving: &[&Leaving],
    made_of: &MadeOf<'_>,
) -> Result<TargetGroup, CompileError> {
    let MadeOf { registry, ring, tls } = *made_of;
    let target = |id: &str, address: Address, weight, state| {
        let peer = tls.map(|tls| tls.peer(ip(&address)));
        spoken_to(group, peer, Target::new(id.into(), address, weight, state))
    };
    let fail = |what: String| CompileError(format!("target group {:?}: {what}", group.name));
    let stickiness = stickiness_options(&group.stickiness);
    let is_checked = group.health_check.kind != HealthCheckType::Off;
    // For a target that comes into service: its first check decides, if there is one. A target that is in service when
    // checks are switched on stays healthy until the configured number of them has failed.
    let initial = if is_checked { Health::Initial } else { Health::Healthy };
    let mut targets = Vec::with_capacity(group.targets.len());
    let (mut drains, mut others_serve) = (Vec::new(), false);
    for stated in &group.targets {
        let id = stated.effective_id();
        let address = target_address(&stated.address).map_err(fail)?;
        let state = registry.target(&group.name, id, &address, initial);
        match (stated.state, state.health_by_checks()) {
            (TargetState::InService, Health::Draining) if is_checked => take_back(&state),
            (TargetState::InService, Health::Draining | Health::Unused) => {
                state.set_health(initial);
            }
            (TargetState::InService, Health::Initial | Health::Healthy | Health::Unhealthy)
            | (TargetState::Draining, Health::Unused) => {}
            (
                TargetState::Draining,
                Health::Initial | Health::Healthy | Health::Unhealthy | Health::Draining,
            ) => drains.push(Arc::clone(&state)),
        }
        others_serve |= stated.state == TargetState::InService && state.health() == Health::Healthy;
        targets.push(target(id, address, stated.weight, state));
    }
    for Leaving { target: stated, .. } in leaving {
        let id = stated.effective_id();
        let address = target_address(&stated.address).map_err(fail)?;
        let state = registry.target(&group.name, id, &address, Health::Draining);
        drains.push(Arc::clone(&state));
        targets.push(target(id, address, stated.weight, state));
    }
    for state in drains {
        drain(&state, others_serve);
    }
    let parts = GroupParts {
        name: group.name.as_str().into(),
        algorithm: algorithm(group).map_err(fail)?,
        options: group_options(group, is_checked),
        stickiness: match stickiness.kind {
            StickinessKind::LbCookie | StickinessKind::AppCookie { .. } if !stickiness.enabled => {
                None
            }
            // Clients keep their sealed session ids when the scope is turned off, and targets must not see the seals.
            StickinessKind::LbCookie
            | StickinessKind::AppCookie { .. }
            | StickinessKind::AppHeader { .. } => {
                let scope = Scope::Group(group.name.as_str().into());
                let compiled = Stickiness::new(stickiness, scope, Arc::clone(ring));
                Some(compiled.map_err(|fault| fail(fault.to_string()))?)
            }
        },
        targets,
        state: registry.group(&group.name),
    };
    TargetGroup::new(parts).map_err(|fault| CompileError(fault.to_string()))
}

/// Makes a target drain. One that is or becomes unhealthy while others are healthy serves no session: its sessions fail
/// over, and must not be sent back to it because it leaves. One whose drain has ended stays so.
fn drain(state: &TargetCondition, others_serve: bool) {
    let fails_checks = state.checked_health() == Some(Health::Unhealthy);
    match state.health() {
        Health::Unhealthy if others_serve => state.set_health(Health::Unused),
        Health::Draining if fails_checks && others_serve => state.set_health(Health::Unused),
        Health::Initial | Health::Healthy | Health::Unhealthy => {
            state.set_health(Health::Draining);
        }
        Health::Draining | Health::Unused => {}
    }
}

/// Takes a draining target into service again: unhealthy if its checks have failed, else waiting for its first check.
fn take_back(state: &TargetCondition) {
    match state.checked_health() {
        Some(Health::Unhealthy) => state.set_health(Health::Unhealthy),
        _ => state.set_returned(),
    }
}

fn algorithm(group: &file::TargetGroup) -> Result<Algorithm, String> {
    Ok(match group.algorithm {
        AlgorithmName::RoundRobin => Algorithm::RoundRobin,
        AlgorithmName::LeastOutstandingRequests => Algorithm::LeastOutstandingRequests,
        AlgorithmName::WeightedRandom => Algorithm::WeightedRandom,
        AlgorithmName::Hash => {
            let hash_on = group.hash_on.as_deref().ok_or("hash needs hash_on")?;
            Algorithm::Hash(match hash_on.split_once(':') {
                None => HashOn::Source,
                Some(("header", name)) => HashOn::Header(name.into()),
                Some(("cookie", name)) => HashOn::Cookie(name.into()),
                Some(("query", key)) => HashOn::Query(key.into()),
                Some(_) => return Err(format!("hash_on {hash_on:?} is unknown")),
            })
        }
    })
}

fn group_options(group: &file::TargetGroup, is_checked: bool) -> GroupOptions {
    let (timeouts, retries) = (&group.timeouts, &group.retries);
    GroupOptions {
        connect_timeout: timeouts.connect,
        handshake_timeout: match group.tls() {
            Some(_) => timeouts.handshake,
            None => Duration::ZERO,
        },
        response_timeout: timeouts.response,
        response_renewed_by_102: timeouts.response_renewed_by_102,
        pool_idle_timeout: timeouts.idle,
        pool_idle_per_shard: group.pool.idle_per_shard,
        connections_max: group.pool.connections_max,
        streams_per_connection: group.pool.streams_per_connection,
        wire: match (group.protocol_version, group.tls()) {
            (ProtocolVersion::Http1, _) => Wire::Http1,
            (ProtocolVersion::Http2 | ProtocolVersion::Grpc, None) => Wire::Http2,
            (ProtocolVersion::Http2 | ProtocolVersion::Grpc, Some(_)) => Wire::Http2OverTls,
        },
        content_idle_timeout: timeouts.content_idle,
        stream_idle_timeout: timeouts.stream_idle,
        tunnel_idle_timeout: timeouts.tunnel_idle,
        connection_limit: group.connection_limit,
        queue_size: group.queue,
        queue_timeout: group.queue_timeout,
        on_full: group.on_full,
        retries: retries.count,
        retry_budget_percent: retries.budget_percent,
        retry_budget_minimum: retries.budget_minimum,
        retried_statuses: retried_statuses(&retries.on),
        response_head_bytes: group.limits.response_head_bytes,
        allow_upgrades: group.upgrades,
        is_checked,
        fail_open: FailOpen { count: group.fail_open.count, percent: group.fail_open.percent },
        session_cookies: session_cookies(&group.stickiness),
    }
}

/// The statuses of gRPC that are named, a bit each.
fn retried_statuses(on: &[String]) -> u32 {
    on.iter()
        .filter_map(|word| retried_status(word).ok())
        .fold(0, |mask, status| mask | 1 << status)
}

fn session_cookies(stickiness: &file::Stickiness) -> Box<[Box<str>]> {
    let named = stickiness.session_cookies.iter().chain(&stickiness.app_cookie);
    named.map(|name| name.as_str().into()).collect()
}

/// The settings of a group's stickiness in the form of the data plane, which every editor uses too.
pub fn stickiness_options(stickiness: &file::Stickiness) -> StickinessOptions {
    let app_cookie = stickiness.app_cookie.as_deref().unwrap_or_default();
    let app_header = stickiness.app_header.as_deref();
    StickinessOptions {
        enabled: stickiness.enabled,
        kind: kind(stickiness.kind, app_cookie, (app_header, stickiness.on_lost)),
        duration: stickiness.duration,
        max_age: stickiness.max_age,
        cookie_name: stickiness.cookie_name.as_deref().map(Box::from),
        domain: options::text(&stickiness.domain),
        path: stickiness.path.as_str().into(),
        same_site: stickiness.same_site,
        partitioned: stickiness.partitioned,
        cross_site_twin: stickiness.cross_site_twin,
        forward_cookie: stickiness.forward_cookie,
        failback: stickiness.failback,
        new_sessions: stickiness.new_sessions,
        generation: stickiness.generation,
        session_cookies: stickiness
            .session_cookies
            .iter()
            .map(|name| name.as_str().into())
            .collect(),
    }
}

fn kind(
    kind: StickinessType,
    app_cookie: &str,
    (app_header, on_lost): (Option<&str>, OnLost),
) -> StickinessKind {
    match kind {
        StickinessType::LbCookie => StickinessKind::LbCookie,
        StickinessType::AppCookie => StickinessKind::AppCookie { name: app_cookie.into() },
        StickinessType::AppHeader => {
            let name = app_header.unwrap_or_default().into();
            StickinessKind::AppHeader { name, on_lost }
        }
    }
}

/// The stickiness of a rule over several groups.
pub(super) fn rule_stickiness(
    rule: &str,
    sticky: &file::Sticky,
    ring: &Arc<KeyRing>,
) -> Result<Stickiness, String> {
    let options = StickinessOptions {
        enabled: sticky.enabled,
        kind: kind(sticky.kind, "", (sticky.app_header.as_deref(), sticky.on_lost)),
        duration: sticky.duration,
        max_age: sticky.max_age,
        cookie_name: sticky.cookie_name.as_deref().map(Box::from),
        domain: options::text(&sticky.domain),
        path: sticky.path.as_str().into(),
        same_site: sticky.same_site,
        partitioned: sticky.partitioned,
        cross_site_twin: sticky.cross_site_twin,
        forward_cookie: sticky.forward_cookie,
        // A rule remembers the group; the group itself chooses the target.
        failback: Failback::Never,
        new_sessions: sticky.new_sessions,
        generation: 0,
        session_cookies: Vec::new(),
    };
    Stickiness::new(options, Scope::Rule(rule.into()), Arc::clone(ring))
        .map_err(|fault| fault.to_string())
}
