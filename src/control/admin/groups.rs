//! Target groups and targets as the API shows them: settings from the file, health from the snapshot, numbers from
//! their counters. Tested by `tests/admin`.

use std::collections::{BTreeMap, HashMap};

use serde_json::Value;

use super::operator::Operator;
use super::problem::Problem;
use super::session_match;
use super::views::{
    ConfiguredState, Group, GroupSessions, Groups, SessionMatch, Sessions, Target, TargetSessions,
};
use crate::control::change::ChangeError;
use crate::control::config::file::{self, TargetState};
use crate::control::drain::sessions::{self, Lives};
use crate::control::events::unix_ms;
use crate::group::address::Address;
use crate::group::state::Health;
use crate::group::target_group::{self, HEALTH_CODES, TargetGroup};
use crate::snapshot::Snapshot;
use crate::stickiness::sketch;

/// A group of the file, and what was compiled from it.
struct Both<'a> {
    file: &'a file::TargetGroup,
    group: &'a TargetGroup,
    /// By id: a group may have thousands of targets.
    states: HashMap<&'a str, TargetState, ahash::RandomState>,
    /// How long a session with this group lives without a request; `None` = the group is not sticky.
    lives: Lives,
}

impl Operator {
    pub fn groups(&self) -> Groups {
        let (file, snapshot) = (self.control.file(), self.control.snapshot());
        // Read all at once: there may be tens of thousands, and searching for each would be too slow.
        let mut attributes = self.control.all_group_attributes();
        let groups = both(&file, &snapshot).map(|both| {
            let attributes = attributes.remove(&*both.group.name).unwrap_or_default();
            self.show_group(&both, attributes)
        });
        Groups { groups: groups.collect() }
    }

    /// One group.
    ///
    /// # Errors
    /// There is none of this name.
    pub fn group(&self, name: &str) -> Result<Group, Problem> {
        let (file, snapshot) = (self.control.file(), self.control.snapshot());
        let found = both(&file, &snapshot).find(|both| &*both.group.name == name);
        let both = found.ok_or_else(|| self.no_group(name))?;
        Ok(self.show_group(&both, self.control.group_attributes(name).unwrap_or_default()))
    }

    /// One target.
    ///
    /// # Errors
    /// There is no such group, or it has no such target.
    pub fn target(&self, group: &str, id: &str) -> Result<Target, Problem> {
        let (file, snapshot) = (self.control.file(), self.control.snapshot());
        let found = both(&file, &snapshot).find(|both| &*both.group.name == group);
        let both = found.ok_or_else(|| self.no_group(group))?;
        let target = both.group.targets.iter().find(|target| &*target.id == id);
        target.map(|target| self.show_target(&both, target)).ok_or_else(|| {
            let ids: Vec<&str> = both.group.targets.iter().map(|target| &*target.id).collect();
            let (group, target, allowed) = (group.to_owned(), id.to_owned(), ids.join(", "));
            ChangeError::NoTarget { group, target, allowed }.into()
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
        let now_s = unix_ms() / 1000;
        let lives = sessions::lives(&snapshot);
        let groups = snapshot.groups.iter().zip(lives).map(|(group, lives)| {
            let targets = group.targets.iter().map(|target| TargetSessions {
                id: target.id.to_string(),
                sessions: sessions::of_target(&target.state, &lives, now_s),
            });
            GroupSessions {
                name: group.name.to_string(),
                sticky: self.sampler.group(&group.name).unwrap_or_default().sticky,
                sessions: sessions::of_group(group, &lives, now_s),
                error_percent: sketch::ERROR_PERCENT,
                targets: targets.collect(),
            }
        });
        Sessions { groups: groups.collect() }
    }

    fn show_group(&self, both: &Both<'_>, attributes: Value) -> Group {
        let name = &*both.group.name;
        let numbers = self.sampler.group(name).unwrap_or_default();
        let targets: Vec<Target> =
            both.group.targets.iter().map(|target| self.show_target(both, target)).collect();
        Group {
            name: name.to_owned(),
            algorithm: both.file.algorithm,
            health_summary: health_summary(&targets),
            failing_open: both.group.fails_open(),
            requests_per_second: numbers.requests_per_second,
            requests_history: numbers.requests_history,
            errors_per_second: numbers.errors_per_second,
            latency_us: numbers.latency_us,
            in_flight: targets.iter().map(|target| u64::from(target.in_flight)).sum(),
            tunnels: targets.iter().map(|target| u64::from(target.tunnels)).sum(),
            waiting: targets.iter().map(|target| target.waiting).sum(),
            sessions: sessions::of_group(both.group, &both.lives, unix_ms() / 1000),
            stickiness: stickiness(name, &attributes),
            attributes,
            session_matches: session_matches(both),
            sticky: numbers.sticky,
            targets,
        }
    }

    fn show_target(&self, both: &Both<'_>, target: &target_group::Target) -> Target {
        let (group, state) = (both.group, &target.state);
        let now_unix_ms = unix_ms();
        let numbers = self.sampler.target(&group.name, &target.id).unwrap_or_default();
        let note = self.board.note(state.slot);
        let note = note.as_ref();
        Target {
            id: target.id.to_string(),
            address: address(&target.address),
            weight: target.weight,
            effective_weight: effective_weight(target, note.map_or(100, |note| note.share_percent)),
            configured_state: match both.states.get(&*target.id) {
                Some(TargetState::InService) => ConfiguredState::InService,
                Some(TargetState::Draining) => ConfiguredState::Draining,
                None => ConfiguredState::Removed,
            },
            health: group.health_code(target),
            reason: note.map_or_else(String::new, |note| note.reason.clone()),
            since_unix_ms: note.map_or(self.sources.started_unix_ms, |note| note.since_unix_ms),
            last_check: note.and_then(|note| note.last_check.clone()),
            ejected_until_unix_ms: note.and_then(|note| note.ejected_until_unix_ms),
            slow_start_remaining_s: note
                .and_then(|note| note.slow_start_remaining_ms(now_unix_ms))
                .map(|remaining_ms| remaining_ms as f64 / 1000.0),
            in_flight: state.in_flight(),
            tunnels: state.tunnels(),
            waiting: state.waiting.len(),
            requests: state.requests(),
            failures: state.failures(),
            failures_recently: numbers.failures_recently,
            requests_per_second: numbers.requests_per_second,
            requests_history: numbers.requests_history,
            sessions: sessions::of_target(state, &both.lives, now_unix_ms / 1000),
            sessions_error_percent: sketch::ERROR_PERCENT,
            drain: self.drains.view(&group.name, target, &both.lives),
        }
    }
}

fn both<'a>(
    file: &'a file::File,
    snapshot: &'a Snapshot,
) -> impl Iterator<Item = Both<'a>> + use<'a> {
    // The snapshot may belong to another version than the file, so groups are matched by name.
    let by_name: HashMap<&str, &file::TargetGroup, ahash::RandomState> =
        file.target_groups.iter().map(|group| (group.name.as_str(), group)).collect();
    let groups = snapshot.groups.iter().zip(sessions::lives(snapshot));
    groups.filter_map(move |(group, lives)| {
        let file = *by_name.get(&*group.name)?;
        let states = file.targets.iter().map(|one| (one.effective_id(), one.state)).collect();
        Some(Both { file, group, states, lives })
    })
}

/// A count for every state, also those without a target.
fn health_summary(targets: &[Target]) -> BTreeMap<&'static str, usize> {
    HEALTH_CODES
        .into_iter()
        .map(|code| (code, targets.iter().filter(|target| target.health == code).count()))
        .collect()
}

/// The weight of a target that counts during a slow start; 0 while it takes no new requests.
fn effective_weight(target: &target_group::Target, share_percent: u8) -> f64 {
    match target.state.health() {
        Health::Draining | Health::Unused => 0.0,
        Health::Initial | Health::Healthy | Health::Unhealthy => {
            f64::from(target.weight) * f64::from(share_percent) / 100.0
        }
    }
}

/// The table `stickiness` of a group's attributes, with the cookie's actual name.
fn stickiness(group: &str, attributes: &Value) -> Value {
    let mut table = attributes.get("stickiness").cloned().unwrap_or_default();
    if let Some(table) = table.as_object_mut() {
        for absent in ["app_cookie", "app_header"] {
            table.entry(absent).or_insert(Value::Null);
        }
        let name = table.entry("cookie_name").or_insert(Value::Null);
        if name.is_null() {
            *name = format!("limpet_{group}").into();
        }
    }
    table
}

/// Mismatches between stickiness and the application's sessions; for a group that is not sticky, the sessions that it
/// has. A single target loses no session, and a sticky rule may bind users instead of the group.
fn session_matches(both: &Both<'_>) -> Vec<SessionMatch> {
    let (group, file) = (both.group, &both.file.stickiness);
    let Some(sticky) = group.stickiness.as_ref().filter(|sticky| sticky.is_enabled()) else {
        let is_moot = group.targets.len() < 2 || both.lives.longest_s().is_some();
        let seen = if is_moot { Vec::new() } else { group.state.sessions.seen() };
        return seen
            .iter()
            .map(|one| session_match::advise(one, file.duration, file.max_age))
            .collect();
    };
    let (duration, max_age) = (sticky.options().duration, sticky.options().max_age);
    let mismatches = group.state.sessions.mismatches(sticky);
    mismatches.iter().map(|one| session_match::describe(one, duration, max_age)).collect()
}

fn address(address: &Address) -> String {
    match address {
        Address::Tcp(address) => address.to_string(),
        Address::Unix(path) => format!("unix:{}", path.display()),
    }
}
