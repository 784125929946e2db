//! From the rule to the target: which groups, what a cookie decides, and which targets take new requests.
//!
//! Tested with its parent.

use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use super::{Explanation, Outcome, Scene, address, text};
use crate::control::config::units;
use crate::exchange::grpc::{self, is_call};
use crate::group::address::TargetIndex;
use crate::group::balance::cookie_values;
use crate::group::select;
use crate::group::target_group::{
    Algorithm, HashOn, OnFull, Standing, Target, TargetGroup, UNCHECKED,
};
use crate::http::head::Version;
use crate::proxy_protocol;
use crate::routing::actions::Forward;
use crate::stickiness::cookie::{self, Plain, Scope};
use crate::stickiness::options::{NewSessions, StickinessKind};
use crate::stickiness::seal::{SealCodec, Sealed};
use crate::stickiness::session_field;
use crate::stickiness::verdict::{Reading, Stickiness};
use crate::telemetry::reason::Reason;

/// Targets with the fewest sessions that are named.
const ROOM_SHOWN_MAX: usize = 8;

/// The status of a request that no target may have.
const NOBODY: u16 = 503;

pub(super) fn forward(scene: &Scene<'_>, forward: &Forward, rule: usize, page: &mut Explanation) {
    if let Some(rewrite) = &forward.rewrite_path {
        let mut path = Vec::new();
        rewrite.apply(scene.path, &mut path);
        page.line("", format!("the target sees the path {}", text(&path)));
    }
    if let Some(host) = &forward.rewrite_host {
        page.line("", format!("the target sees the host {host}"));
    }
    let candidates: Vec<&Arc<TargetGroup>> = forward
        .groups
        .iter()
        .filter(|(_, weight)| *weight > 0)
        .filter_map(|(index, _)| scene.snapshot.groups.get(*index))
        .collect();
    let rule_stickiness = scene.listener.rule_stickiness.get(rule).and_then(Option::as_deref);
    match rule_stickiness.filter(|stickiness| stickiness.is_enabled()) {
        Some(stickiness) => {
            groups(scene, &candidates, page);
            let asked = Sticky { scene, forward, stickiness, groups: &candidates };
            verdict(&asked, page);
        }
        None => {
            for group in &candidates {
                groups(scene, &[group], page);
                match group.stickiness.as_ref().filter(|stickiness| stickiness.is_enabled()) {
                    Some(stickiness) => {
                        let groups = &[*group];
                        let alone = alone(scene, forward, group);
                        let asked = Sticky { scene, forward: &alone, stickiness, groups };
                        verdict(&asked, page);
                    }
                    None => {
                        page.line("stickiness", "off: every request is balanced");
                        eligible(&[group], page);
                    }
                }
            }
            // Each of several groups has its own verdict, and weight decides among them.
            if candidates.len() > 1 {
                let Outcome { group, target, sticky_reason, .. } = &mut page.outcome;
                (*group, *target, *sticky_reason) = (None, None, None);
            }
        }
    }
    if let [only] = candidates.as_slice() {
        page.outcome.group = Some(only.name.to_string());
    }
    calls(scene, &candidates, page);
    let is_anybody =
        candidates.iter().any(|group| group.eligible().chain(group.spare()).next().is_some());
    if page.outcome.target.is_none() && !is_anybody {
        page.outcome.status = Some(NOBODY);
    }
    elsewhere(scene, &candidates, page);
}

/// What becomes of the request where targets answer calls of gRPC only. The question has no version of HTTP.
fn calls(scene: &Scene<'_>, groups: &[&Arc<TargetGroup>], page: &mut Explanation) {
    let is_call = is_call(scene.head.method, scene.head.fields);
    for group in groups.iter().filter(|group| answers_calls_only(group)) {
        let line = match is_call {
            true => {
                format!("{} answers this call over HTTP/2; over HTTP/1.1 it is 505", group.name)
            }
            false => {
                let status = grpc::status_for_others(Version::Http2, scene.head.method);
                if groups.len() == 1 {
                    page.outcome.status = Some(status);
                    page.outcome.target = None;
                }
                format!(
                    "{} answers calls of gRPC only, by POST with content type application/grpc: {status}",
                    group.name
                )
            }
        };
        page.line("gRPC", line);
    }
}

fn answers_calls_only(group: &TargetGroup) -> bool {
    group.targets.iter().any(|target| target.manner.as_ref().is_some_and(|manner| manner.grpc))
}

/// The same action with one of its groups.
fn alone(scene: &Scene<'_>, forward: &Forward, group: &TargetGroup) -> Forward {
    let is_it = |index: usize| scene.snapshot.groups.get(index).is_some_and(|g| g.key == group.key);
    let groups = forward.groups.iter().copied().filter(|(index, _)| is_it(*index)).collect();
    Forward { groups, ..forward.clone() }
}

fn groups(scene: &Scene<'_>, groups: &[&Arc<TargetGroup>], page: &mut Explanation) {
    for group in groups {
        page.line("group", format!("{}: {}", group.name, algorithm(&group.algorithm)));
        for target in &group.targets {
            let (id, weight) = (&target.id, target.weight);
            let (address, health) = (address(&target.address), health(group, target));
            let spoken_to = spoken_to(target, scene.head.host);
            page.line("", format!("{id} ({address}{spoken_to}, weight {weight}, {health})"));
        }
        if group.targets.is_empty() {
            page.line("", "no targets: 503");
        }
    }
}

/// How a target is spoken to, where that is not in clear, in HTTP/1.1 and of requests alone.
fn spoken_to(target: &Target, host: &[u8]) -> String {
    let manner = target.manner.as_ref();
    let mut said = match manner {
        Some(manner) if manner.grpc => " by gRPC".to_owned(),
        Some(manner) if manner.http2 => " in HTTP/2".to_owned(),
        Some(_) | None => String::new(),
    };
    if let Some(peer) = target.tls() {
        said.push_str(" over TLS");
        if let Some(name) = peer.name(host) {
            said.push_str(&format!(" as {}", name.server_name.to_str()));
        }
    }
    let header = manner.and_then(|manner| manner.header);
    said.push_str(match header {
        None => "",
        Some(proxy_protocol::Version::V1) => " behind a PROXY header v1",
        Some(proxy_protocol::Version::V2) => " behind a PROXY header v2",
    });
    said
}

fn algorithm(algorithm: &Algorithm) -> String {
    match algorithm {
        Algorithm::RoundRobin => "round_robin".to_owned(),
        Algorithm::LeastOutstandingRequests => "least_outstanding_requests".to_owned(),
        Algorithm::WeightedRandom => "weighted_random".to_owned(),
        Algorithm::Hash(HashOn::Header(name)) => format!("hash of the field {name}"),
        Algorithm::Hash(HashOn::Cookie(name)) => format!("hash of the cookie {name}"),
        Algorithm::Hash(HashOn::Query(key)) => format!("hash of the query parameter {key}"),
        Algorithm::Hash(HashOn::Source) => "hash of the client's address".to_owned(),
    }
}

/// A request in a sticky scope.
struct Sticky<'a> {
    scene: &'a Scene<'a>,
    forward: &'a Forward,
    stickiness: &'a Stickiness,
    groups: &'a [&'a Arc<TargetGroup>],
}

/// Explains what the request's cookie would decide, by the table of the documentation.
fn verdict(asked: &Sticky<'_>, page: &mut Explanation) {
    let Sticky { scene, forward, stickiness, groups } = asked;
    page.line("stickiness", settings(stickiness));
    if let Some(plain) = opened(stickiness, scene) {
        page.line("seal", sealed(scene, &plain));
    }
    let reading = read(stickiness, scene);
    let said = match reading {
        Reading::Live(plain) => {
            let all = &scene.snapshot.groups;
            let led = select::lead(all, &forward.groups, stickiness, &plain);
            let group = led.and_then(|led| all.get(led.group));
            let target = led.zip(group).and_then(|(led, group)| group.targets.get(led.target));
            let (Some(led), Some(group), Some(target)) = (led, group, target) else {
                let status = stickiness.answers_lost().unwrap_or(NOBODY);
                page.line("verdict", format!("the session lives, but nobody is usable: {status}"));
                page.outcome.status = Some(status);
                return;
            };
            let own = |index: usize| all.get(index).is_some_and(|own| own.key == plain.group);
            let left = if plain.group == group.key {
                ""
            } else if forward.groups.iter().any(|(index, _)| own(*index)) {
                ", since the session's own group has nobody for it"
            } else {
                ", since the session names a group that is not among these"
            };
            let code = led.reason.code();
            if let Some(status) = stickiness.answer_to_lost(led.reason) {
                page.line("verdict", format!("{code}: the session went with its target: {status}"));
                page.outcome.group = Some(group.name.to_string());
                page.outcome.sticky_reason = Some(code.to_owned());
                page.outcome.status = Some(status);
                return;
            }
            page.line(
                "verdict",
                format!("{code}: group {}, target {}{left}", group.name, target.id),
            );
            let is_in_field = stickiness.session_field().is_some();
            bound(group, target, led.target, (led.reason, is_in_field), page);
            page.outcome.group = Some(group.name.to_string());
            page.outcome.target = Some(target.id.to_string());
            page.outcome.sticky_reason = Some(code.to_owned());
            return;
        }
        Reading::Absent
        | Reading::Invalid
        | Reading::UnknownKey
        | Reading::Flushed
        | Reading::ExpiredAge
        | Reading::ExpiredIdle => unbound(&reading, stickiness.session_field().is_some()),
    };
    let reason = reading.fresh_reason().unwrap_or(Reason::New);
    page.outcome.sticky_reason = Some(reason.code().to_owned());
    if let Some(status) = stickiness.answer_to_lost(reason) {
        let what = said.split(';').next().unwrap_or_default();
        page.line("verdict", format!("{what}: {status}"));
        page.outcome.status = Some(status);
        return;
    }
    page.line("verdict", said);
    eligible(groups, page);
    if stickiness.options().new_sessions == NewSessions::LeastSessions {
        room(groups, page);
    }
}

/// What the request's cookie, or its sealed session id, is worth.
fn read(stickiness: &Stickiness, scene: &Scene<'_>) -> Reading {
    let fields = scene.head.fields;
    match stickiness.session_field() {
        None => stickiness.read(cookie_values(fields), scene.now_s),
        Some(field) => {
            let values = session_field::values(fields, field.name()).map(|(_, value)| value);
            stickiness.read_field(field, values, scene.now_s, SealCodec::open)
        }
    }
}

/// The content of the seal behind the session id of a request, if it opens for this scope.
fn opened(stickiness: &Stickiness, scene: &Scene<'_>) -> Option<Plain> {
    let field = stickiness.session_field()?;
    let (_, value) = session_field::values(scene.head.fields, field.name()).next()?;
    field.codec().open(Sealed::split(value)?)
}

/// "group app, target a, issued 5m ago"
fn sealed(scene: &Scene<'_>, plain: &Plain) -> String {
    let group = scene.snapshot.groups.iter().find(|group| group.key == plain.group);
    let ago = match scene.now_s.checked_sub(plain.issued_s) {
        Some(age_s) => format!("{} ago", units::show_age(Duration::from_secs(age_s))),
        None => "by a clock that is ahead of this one".to_owned(),
    };
    let Some(group) = group else { return format!("a group that is not here, issued {ago}") };
    let target = group.targets.iter().find(|target| target.key == plain.target);
    let target = match target {
        Some(target) => format!("target {}", target.id),
        None => "a target that is not here".to_owned(),
    };
    format!("group {}, {target}, issued {ago}", group.name)
}

/// What becomes of a request that nothing binds to a target.
fn unbound(reading: &Reading, is_in_field: bool) -> &'static str {
    match (reading, is_in_field) {
        (Reading::Live(_), _) => "valid",
        (Reading::Absent, false) => "new: no cookie that counts; balanced, a cookie is issued",
        (Reading::Absent, true) => {
            "new: no sealed session id; balanced, the session id of the response is sealed"
        }
        (Reading::Invalid, false) => {
            "invalid: the cookie does not open under these keys; balanced, issued anew"
        }
        (Reading::Invalid, true) => {
            "invalid: the seal does not open behind this session id; passed as it came, balanced"
        }
        (Reading::UnknownKey, false) => {
            "unknown_key: the cookie was sealed under a key that is not here; balanced, issued anew"
        }
        (Reading::UnknownKey, true) => {
            "unknown_key: the seal was made under a key that is not here; passed as it came, balanced"
        }
        (Reading::Flushed, false) => "flushed: the cookie is of an earlier generation; balanced",
        (Reading::Flushed, true) => "flushed: the seal is of an earlier generation; balanced",
        (Reading::ExpiredAge, false) => "expired_age: the cookie is too old; balanced",
        (Reading::ExpiredAge, true) => "expired_age: the seal is too old; balanced",
        (Reading::ExpiredIdle, _) => "expired_idle: idle too long; balanced",
    }
}

/// "cookie limpet_app, 1d without a request, 7d at most"
fn settings(stickiness: &Stickiness) -> String {
    let options = stickiness.options();
    let most = units::show_duration(options.max_age);
    if let Some(field) = stickiness.session_field() {
        let lost = match stickiness.answers_lost() {
            Some(status) => format!(", {status} when it is lost"),
            None => String::new(),
        };
        return format!("session id in {}, {most} at most{lost}", text(field.name()));
    }
    let (own, twin) = stickiness.cookie_names();
    let mut line = format!("cookie {}", text(own));
    if let Some(twin) = twin {
        let _ = write!(line, " (twin {})", text(twin));
    }
    if let StickinessKind::AppCookie { name } = &options.kind {
        let _ = write!(line, " beside the application's {name}");
    }
    let idle = units::show_duration(options.duration);
    let _ = write!(line, ", {idle} without a request, {most} at most");
    line
}

/// The word for its health; for an unchecked target, also the result of requests.
fn health(group: &TargetGroup, target: &Target) -> String {
    let health = group.health_code(target);
    match target.state.failures() {
        1 if health == UNCHECKED => format!("{health}, 1 failure"),
        failures @ 2.. if health == UNCHECKED => format!("{health}, {failures} failures"),
        _ => health.to_owned(),
    }
}

/// Explains the target that a cookie leads to, and whether it can serve the request.
fn bound(
    group: &TargetGroup,
    target: &Target,
    index: TargetIndex,
    (reason, is_in_field): (Reason, bool),
    page: &mut Explanation,
) {
    let health = health(group, target);
    let busy = target.state.in_flight();
    let mut line = format!("{} is {health}, {busy} in flight", target.id);
    match group.standing(index) {
        Standing::Usable { healthy: false } => {
            line.push_str("; used all the same, since no target of the group is healthy");
        }
        Standing::Draining => line.push_str("; it keeps what is bound to it until it has drained"),
        Standing::Usable { healthy: true } | Standing::Unhealthy | Standing::Gone => {}
    }
    let is_elsewhere = matches!(reason, Reason::Unhealthy | Reason::Removed);
    match is_elsewhere.then_some(is_in_field) {
        None => {}
        Some(false) => {
            line.push_str("; the session lives here from now on, a new cookie says so");
        }
        Some(true) => line.push_str("; as long as its own target cannot serve it"),
    }
    page.line("target", line);
    if !group.has_place(index) {
        let limit = group.options.connection_limit;
        let then = match group.options.on_full {
            OnFull::Queue => "the request waits in line",
            OnFull::Spill => "the request is served elsewhere once, if anybody has a place",
            OnFull::Restick => "the session moves to another target, if anybody has a place",
            OnFull::Reject => "the request is answered 503",
        };
        page.line("", format!("full, its connection limit is {limit}: {then}"));
    }
}

/// Lists the targets that take a request without a cookie, and why the others do not.
fn eligible(groups: &[&Arc<TargetGroup>], page: &mut Explanation) {
    let mut label = "balanced";
    let several = groups.len() > 1;
    for group in groups.iter().filter(|group| !group.targets.is_empty()) {
        let of = if several { format!(" of {}", group.name) } else { String::new() };
        let (mut taken, mut passed) = (Vec::new(), Vec::new());
        let mut fails_open = false;
        for (index, target) in group.targets.iter().enumerate() {
            let is_eligible = group.eligible().any(|(eligible, _)| eligible == index);
            if is_eligible {
                fails_open |= group.standing(index) == Standing::Usable { healthy: false };
                taken.push(&*target.id);
            } else {
                passed.push(format!("not {}{of}: {}", target.id, why_not(group, target, index)));
            }
        }
        let line = match (taken.as_slice(), fails_open) {
            ([], _) if group.spare().next().is_some() => {
                let ids: Vec<&str> = group.spare().map(|(_, target)| &*target.id).collect();
                format!("among {}{of}: ejected, but there is nobody else", ids.join(", "))
            }
            ([], _) => format!("among nobody{of}: 503"),
            (ids, true) => {
                format!("among {}{of}: nobody is healthy, so these are tried", ids.join(", "))
            }
            (ids, false) => format!("among {}{of}", ids.join(", ")),
        };
        page.line(label, line);
        label = "";
        for line in passed {
            page.line("", line);
        }
    }
}

/// Where a session that begins finds the fewest others.
fn room(groups: &[&Arc<TargetGroup>], page: &mut Explanation) {
    for group in groups {
        let load = |target: &Target| {
            let hundredths = target.state.newcomers().load().saturating_mul(100);
            hundredths.checked_div(u64::from(target.share)).unwrap_or(0)
        };
        let mut loads: Vec<(u64, &str)> =
            group.eligible().map(|(_, target)| (load(target), &*target.id)).collect();
        loads.sort_unstable();
        let shown = loads.iter().take(ROOM_SHOWN_MAX);
        let shown: Vec<String> = shown.map(|(load, id)| format!("{id} {load}")).collect();
        if shown.is_empty() {
            continue;
        }
        let of = if groups.len() > 1 { format!(" of {}", group.name) } else { String::new() };
        let more = if loads.len() > ROOM_SHOWN_MAX { ", …" } else { "" };
        page.line("", format!("least_sessions{of}, by weight: {}{more}", shown.join(", ")));
    }
}

/// Why a target takes no new requests.
fn why_not(group: &TargetGroup, target: &Target, index: TargetIndex) -> String {
    let health = target.state.health().code();
    match group.standing(index) {
        Standing::Draining => "draining, only what is bound to it still comes".to_owned(),
        Standing::Gone => "its deregistration delay has ended".to_owned(),
        Standing::Unhealthy if health == "initial" => "initial, no check has passed yet".to_owned(),
        Standing::Unhealthy => health.to_owned(),
        Standing::Usable { .. } if target.weight == 0 => {
            "weight 0, only what is bound to it still comes".to_owned()
        }
        Standing::Usable { .. } => "it takes no new requests".to_owned(),
    }
}

/// Explains cookies and seals of other scopes: the author of the question may not know that this request does not use
/// them.
fn elsewhere(scene: &Scene<'_>, candidates: &[&Arc<TargetGroup>], page: &mut Explanation) {
    let has = |name: &[u8]| cookie::find(cookie_values(scene.head.fields), name).is_some();
    let groups = scene.snapshot.groups.iter().filter_map(|group| {
        let is_reached = candidates.iter().any(|candidate| candidate.key == group.key);
        group.stickiness.as_ref().filter(|_| !is_reached)
    });
    for stickiness in groups {
        let Scope::Group(group) = stickiness.scope() else { continue };
        let (own, twin) = stickiness.cookie_names();
        let what = match stickiness.session_field() {
            // Groups may share the name of the field: only the seal tells whose it is.
            Some(field) => opened(stickiness, scene)
                .map(|_| format!("the session id in {} is", text(field.name()))),
            None => (has(own) || twin.is_some_and(has)).then(|| format!("{} is", text(own))),
        };
        if let Some(what) = what {
            page.line("note", format!("{what} of target group {group}, which is not reached"));
        }
    }
}
