//! Target groups and targets as the API shows them: settings from the file, standing from the snapshot,
//! numbers from the sources. Tested by `tests/admin`.

use std::collections::BTreeMap;

use serde_json::Value;

use super::operator::Operator;
use super::problem::{Cause, Problem};
use super::session_match;
use super::views::{
    ConfiguredState, Group, GroupSessions, Groups, SessionMatch, Sessions, Target, TargetSessions,
};
use crate::control::config::file::{self, TargetState};
use crate::target::group::{self, Address, Standing, TargetGroup};
use crate::target::state::Health;

/// A group of the file with what was compiled from it.
struct Both<'a> {
    file: &'a file::TargetGroup,
    group: &'a TargetGroup,
}

/// Whether unhealthy targets are used, because too few are healthy.
pub fn is_failing_open(group: &TargetGroup) -> bool {
    (0..group.targets.len())
        .any(|index| matches!(group.standing(index), Standing::Usable { healthy: false }))
}

impl Operator {
    pub fn groups(&self) -> Groups {
        let (file, snapshot) = (self.control.file(), self.control.snapshot());
        let both = |group| both(&file, group);
        let groups = snapshot.groups.iter().filter_map(|group| both(group));
        Groups { groups: groups.map(|both| self.show_group(&both)).collect() }
    }

    /// One group.
    ///
    /// # Errors
    /// There is none of this name.
    pub fn group(&self, name: &str) -> Result<Group, Problem> {
        let (file, snapshot) = (self.control.file(), self.control.snapshot());
        let group = snapshot.groups.iter().find(|group| &*group.name == name);
        let both = group.and_then(|group| both(&file, group)).ok_or_else(|| self.no_group(name))?;
        Ok(self.show_group(&both))
    }

    /// One target.
    ///
    /// # Errors
    /// There is no such group, or it has no such target.
    pub fn target(&self, group: &str, id: &str) -> Result<Target, Problem> {
        let (file, snapshot) = (self.control.file(), self.control.snapshot());
        let found = snapshot.groups.iter().find(|one| &*one.name == group);
        let both = found.and_then(|found| both(&file, found)).ok_or_else(|| self.no_group(group))?;
        let target = both.group.targets.iter().find(|target| &*target.id == id);
        target.map(|target| self.show_target(&both, target)).ok_or_else(|| {
            let ids: Vec<&str> = both.group.targets.iter().map(|target| &*target.id).collect();
            let allowed = ids.join(", ");
            let detail =
                format!("target group {group:?} has no target {id:?}; allowed: {allowed}");
            Problem::new(Cause::NoTarget, detail)
        })
    }

    /// The stickiness attributes of a group.
    ///
    /// # Errors
    /// There is none of this name.
    pub fn stickiness(&self, name: &str) -> Result<Value, Problem> {
        let attributes = self.control.group_attributes(name).ok_or_else(|| self.no_group(name))?;
        Ok(stickiness(name, &attributes))
    }

    pub fn sessions(&self) -> Sessions {
        let snapshot = self.control.snapshot();
        let groups = snapshot.groups.iter().map(|group| {
            let targets: Vec<TargetSessions> = group
                .targets
                .iter()
                .map(|target| TargetSessions {
                    id: target.id.to_string(),
                    sessions: self.drains.sessions(group, target),
                })
                .collect();
            GroupSessions {
                name: group.name.to_string(),
                sticky: self.numbers.group(&group.name).sticky,
                sessions: sum(targets.iter().map(|target| target.sessions)),
                error_percent: self.drains.sessions_error_percent(),
                targets,
            }
        });
        Sessions { groups: groups.collect() }
    }

    fn show_group(&self, both: &Both<'_>) -> Group {
        let name = &*both.group.name;
        let numbers = self.numbers.group(name);
        let attributes = self.control.group_attributes(name).unwrap_or_default();
        let targets: Vec<Target> =
            both.group.targets.iter().map(|target| self.show_target(both, target)).collect();
        Group {
            name: name.to_owned(),
            algorithm: both.file.algorithm,
            health_summary: health_summary(&targets),
            failing_open: is_failing_open(both.group),
            requests_per_second: numbers.requests_per_second,
            requests_history: numbers.requests_history,
            errors_per_second: numbers.errors_per_second,
            latency_us: numbers.latency_us,
            in_flight: targets.iter().map(|target| u64::from(target.in_flight)).sum(),
            tunnels: targets.iter().map(|target| u64::from(target.tunnels)).sum(),
            waiting: targets.iter().map(|target| target.waiting).sum(),
            sessions: sum(targets.iter().map(|target| target.sessions)),
            stickiness: stickiness(name, &attributes),
            attributes,
            session_matches: session_matches(both.group),
            sticky: numbers.sticky,
            targets,
        }
    }

    fn show_target(&self, both: &Both<'_>, target: &group::Target) -> Target {
        let (group, state) = (both.group, &target.state);
        let numbers = self.numbers.target(&group.name, &target.id);
        let note = self.watch.note(group, target).unwrap_or_default();
        let drain = self.drains.view(&group.name, &target.id);
        let configured = both.file.targets.iter().find(|one| one.effective_id() == &*target.id);
        Target {
            id: target.id.to_string(),
            address: address(&target.address),
            weight: target.weight,
            effective_weight: effective_weight(target, note.warm_share),
            configured_state: match configured.map(|target| target.state) {
                Some(TargetState::InService) => ConfiguredState::InService,
                Some(TargetState::Draining) => ConfiguredState::Draining,
                None => ConfiguredState::Removed,
            },
            health: state.health().code(),
            reason: note.reason,
            since_unix_ms: note.since_unix_ms.unwrap_or(self.started_unix_ms),
            last_check: note.last_check,
            ejected_until_unix_ms: note.ejected_until_unix_ms,
            slow_start_remaining_s: note.slow_start_remaining_s,
            in_flight: state.in_flight(),
            tunnels: self.drains.tunnels(target),
            waiting: state.waiting.len(),
            requests: state.requests(),
            failures: state.failures(),
            requests_per_second: numbers.requests_per_second,
            requests_history: numbers.requests_history,
            sessions: self.drains.sessions(group, target),
            sessions_error_percent: self.drains.sessions_error_percent(),
            drain,
        }
    }
}

fn both<'a>(file: &'a file::File, group: &'a TargetGroup) -> Option<Both<'a>> {
    let file = file.target_groups.iter().find(|one| one.name == *group.name)?;
    Some(Both { file, group })
}

/// All states, also those that no target is in.
fn health_summary(targets: &[Target]) -> BTreeMap<&'static str, usize> {
    let all =
        [Health::Initial, Health::Healthy, Health::Unhealthy, Health::Draining, Health::Unused];
    all.map(Health::code)
        .into_iter()
        .map(|code| (code, targets.iter().filter(|target| target.health == code).count()))
        .collect()
}

/// What a target that warms up counts for; nothing while it takes no new requests.
fn effective_weight(target: &group::Target, warm_share: Option<f64>) -> f64 {
    match target.state.health() {
        Health::Draining | Health::Unused => 0.0,
        Health::Initial | Health::Healthy | Health::Unhealthy => {
            f64::from(target.weight) * warm_share.unwrap_or(1.0)
        }
    }
}

/// The table `stickiness` of a group's attributes, with the cookie's name as it is in fact.
fn stickiness(group: &str, attributes: &Value) -> Value {
    let mut table = attributes.get("stickiness").cloned().unwrap_or_default();
    if let Some(table) = table.as_object_mut() {
        table.entry("app_cookie").or_insert(Value::Null);
        let name = table.entry("cookie_name").or_insert(Value::Null);
        if name.is_null() {
            *name = format!("limpet_{group}").into();
        }
    }
    table
}

fn session_matches(group: &TargetGroup) -> Vec<SessionMatch> {
    let Some(sticky) = group.stickiness.as_ref().filter(|sticky| sticky.is_enabled()) else {
        return Vec::new();
    };
    let (duration, max_age) = (sticky.options().duration, sticky.options().max_age);
    let mismatches = group.state.sessions.mismatches(sticky);
    mismatches.iter().map(|one| session_match::describe(one, duration, max_age)).collect()
}

/// `None` when none of them is known.
fn sum(parts: impl Iterator<Item = Option<u64>>) -> Option<u64> {
    parts.flatten().reduce(u64::saturating_add)
}

fn address(address: &Address) -> String {
    match address {
        Address::Tcp(address) => address.to_string(),
        Address::Unix(path) => format!("unix:{}", path.display()),
    }
}
