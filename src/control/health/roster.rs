//! The watched targets: the supervisor's view of the running configuration, updated with each snapshot.
//!
//! A target is identified by its state, which is a new one when its address changes. Tested with the supervisor.

use std::cmp::Reverse;
use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use super::beat::Beat;
use super::board::Entry;
use super::check::{Endpoint, Probe};
use super::ejection::{Ejection, Population};
use super::machine::Streak;
use super::settings::{Checks, Settings};
use super::{Due, EndedBy, Supervisor};
use crate::control::events::{EventKind, Tone, unix_ms};
use crate::group::state::{Health, TargetState};
use crate::group::target_group::{Standing, Target, TargetGroup};
use crate::uring::Courtesy;

/// The first checks of targets that come into service at once are this far apart, if that fits into their interval.
const FIRST_CHECKS_APART: Duration = Duration::from_millis(1);

/// How long after its timeout a check counts as lost.
const LOST: Duration = Duration::from_secs(5);

/// The change of a group's checks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Change {
    Same,
    Other,
    SwitchedOn,
    SwitchedOff,
}

impl Change {
    fn of(before: Option<&Checks>, now: Option<&Checks>) -> Change {
        match (before, now) {
            _ if before == now => Change::Same,
            (None, _) => Change::SwitchedOn,
            (_, None) => Change::SwitchedOff,
            (Some(_), Some(_)) => Change::Other,
        }
    }
}

/// One group.
#[derive(Debug)]
pub(super) struct GroupWatch {
    /// The group of the snapshot seen last.
    pub compiled: Arc<TargetGroup>,
    pub settings: Arc<Settings>,
    pub slots: Vec<u32>,
    /// Whether a healthy target carried the group before `compiled` was published.
    pub was_carried: bool,
}

impl GroupWatch {
    pub(super) fn population(&self) -> Population {
        let mut population = Population::default();
        for target in &self.compiled.targets {
            match target.state.health() {
                Health::Draining | Health::Unused => continue,
                Health::Healthy => population.healthy += 1,
                Health::Initial | Health::Unhealthy => {}
            }
            population.in_service += 1;
            population.ejected += usize::from(target.state.is_ejected());
        }
        population
    }

    /// Whether a target in service is healthy and not ejected.
    pub(super) fn has_healthy(&self) -> bool {
        let targets = &self.compiled.targets;
        targets.iter().any(|target| target.state.health() == Health::Healthy)
    }

    /// Whether a healthy target takes its full share, as published.
    pub(super) fn is_carried(&self) -> bool {
        self.compiled.targets.iter().enumerate().any(|(index, target)| {
            target.weight > 0
                && target.share == target.weight.saturating_mul(100)
                && self.compiled.standing(index) == Standing::Usable { healthy: true }
        })
    }
}

/// One target.
#[derive(Debug)]
pub(super) struct Watched {
    pub state: Arc<TargetState>,
    pub group: Arc<str>,
    pub id: Arc<str>,
    pub endpoint: Endpoint,
    /// Changes when results of running checks no longer count; never used again.
    pub serial: u64,
    pub streak: Streak,
    pub beat: Beat,
    /// When the next check of the interval is due.
    pub due: Option<Duration>,
    /// Since when a check runs.
    pub checked_since: Option<Duration>,
    /// Whether the check that runs, or the next, follows gateway errors.
    pub at_once: bool,
    /// When the last additional check was requested.
    pub extra: Option<Duration>,
    /// The last health set by checks or the operator.
    pub seen: Health,
    pub ejection: Ejection,
    /// Since when it is in a slow start.
    pub slow_since: Option<Duration>,
    /// When the last warning was given that it could not be ejected, or not be checked.
    pub warned: Option<Duration>,
}

impl Watched {
    pub(super) fn is_being_checked(&self, now: Duration, timeout: Duration) -> bool {
        self.checked_since.is_some_and(|since| now < since.saturating_add(timeout + LOST))
    }
}

impl<P: Probe> Supervisor<P> {
    /// Takes up the changes published since the last look.
    pub(super) fn look(&mut self, now: Duration) {
        // Reads the version first, so that a change in between is seen at the next look.
        let version = self.control.version();
        let is_other_version = self.version != Some(version);
        if is_other_version {
            let file = self.control.file();
            let of = |group| Arc::new(Settings::of(group));
            self.settings =
                file.target_groups.iter().map(|group| (group.name.clone(), of(group))).collect();
            self.version = Some(version);
        }
        let snapshot = self.control.snapshot();
        if !is_other_version
            && self.snapshot.as_ref().is_some_and(|seen| Arc::ptr_eq(seen, &snapshot))
        {
            return;
        }
        // There may be thousands of targets, on a core that a shard needs as well.
        let _courtesy = Courtesy::begin();
        let names: HashSet<&str> = snapshot.groups.iter().map(|group| &*group.name).collect();
        let gone = self.groups.extract_if(|name, _| !names.contains(&**name));
        let gone: Vec<u32> = gone.flat_map(|(_, group)| group.slots).collect();
        for slot in gone {
            self.forget(slot);
        }
        for group in &snapshot.groups {
            if let Some(settings) = self.settings.get(&*group.name).cloned() {
                self.look_at_group(group, settings, now);
            }
        }
        self.snapshot = Some(snapshot);
    }

    fn look_at_group(&mut self, group: &Arc<TargetGroup>, settings: Arc<Settings>, now: Duration) {
        let before = self.groups.get(&group.name);
        let has_same_settings = before.is_some_and(|before| before.settings == settings);
        if has_same_settings && before.is_some_and(|one| Arc::ptr_eq(&one.compiled, group)) {
            return;
        }
        let change = before.map_or(Change::Same, |before| {
            Change::of(before.settings.checks.as_ref(), settings.checks.as_ref())
        });
        let did_fail_open = before.map(|before| before.compiled.fails_open());
        let slots: Vec<u32> = group.targets.iter().map(|target| target.state.slot).collect();
        let was_carried = before.is_some_and(GroupWatch::is_carried);
        let watch = GroupWatch { compiled: Arc::clone(group), settings, slots, was_carried };
        let known: HashSet<u32, ahash::RandomState> = watch.slots.iter().copied().collect();
        if let Some(before) = self.groups.insert(Arc::clone(&group.name), watch) {
            for slot in before.slots.into_iter().filter(|slot| !known.contains(slot)) {
                self.forget(slot);
            }
        }
        let mut new_ones = 0;
        for target in &group.targets {
            if let Some(watched) = self.targets.get_mut(&target.state.slot) {
                watched.endpoint.tls = target.tls().cloned();
                self.look_again(target.state.slot, change, now);
            } else {
                self.meet(group, target, new_ones, now);
                new_ones += 1;
            }
        }
        if did_fail_open.is_some_and(|before| before != group.fails_open()) && !self.is_first_round
        {
            self.tell_fail_open(&group.name);
        }
    }

    /// Begins to watch a target that was not there before, the `position`th new one of its group.
    fn meet(&mut self, group: &TargetGroup, target: &Target, position: u32, now: Duration) {
        let state = &target.state;
        let health = state.health_by_checks();
        let is_unknown = state.checked_health() == Some(Health::Initial);
        let (slot, serial) = (state.slot, self.next_serial());
        let Some(watch) = self.groups.get(&group.name) else { return };
        let was_carried = watch.was_carried;
        let interval = watch.settings.checks.as_ref().map(|checks| checks.interval);
        let watched = Watched {
            state: Arc::clone(state),
            group: Arc::clone(&group.name),
            id: Arc::clone(&target.id),
            endpoint: Endpoint { address: target.address.clone(), tls: target.tls().cloned() },
            serial,
            streak: Streak::default(),
            beat: Beat::new(serial, now, interval.unwrap_or_default()),
            due: None,
            checked_since: None,
            at_once: false,
            extra: None,
            seen: health,
            ejection: Ejection::default(),
            slow_since: None,
            warned: None,
        };
        let reason = reason(health, interval.is_some()).to_owned();
        let entry =
            Entry::new(Arc::clone(&watched.group), Arc::clone(&watched.id), reason, unix_ms());
        self.targets.insert(slot, watched);
        self.board.insert(slot, entry);
        match interval {
            Some(interval) if is_unknown => {
                let after = FIRST_CHECKS_APART.saturating_mul(position).min(interval);
                self.schedule_first(slot, now.saturating_add(after));
            }
            Some(_) => self.schedule_next(slot, now),
            None if health == Health::Healthy => self.start_slowly(slot, was_carried, now),
            None => {}
        }
    }

    /// Takes up changes by the operator to a target, or to the way in which it is checked.
    fn look_again(&mut self, slot: u32, change: Change, now: Duration) {
        let serial = self.next_serial();
        let Some(watched) = self.targets.get_mut(&slot) else { return };
        let Some(group) = self.groups.get(&watched.group) else { return };
        let was_carried = group.was_carried;
        if group.settings.checks.is_none()
            && matches!(watched.state.checked_health(), Some(Health::Initial | Health::Unhealthy))
        {
            // Its checks have been switched off, so their results do not count any more.
            watched.state.set_health_by_check(Health::Healthy);
            self.changed.insert(Arc::clone(&watched.group));
        }
        let (settings, health) = (Arc::clone(&group.settings), watched.state.health_by_checks());
        let is_turned = watched.seen != health;
        let is_out = matches!(health, Health::Draining | Health::Unused);
        let is_ejected = watched.ejection.until().is_some();
        // The results of checks go on counting while the target drains.
        let begins_anew = (is_turned && health != Health::Draining) || change != Change::Same;
        // A reason given by checks is void when they are switched off, and the other way round.
        let is_other_word =
            matches!(change, Change::SwitchedOn | Change::SwitchedOff) && health == Health::Healthy;
        if is_turned || is_other_word {
            watched.seen = health;
            let reason = reason(health, settings.checks.is_some());
            self.board.update(slot, |entry| {
                reason.clone_into(&mut entry.reason);
                entry.since_unix_ms = unix_ms();
            });
        }
        if change == Change::SwitchedOff {
            self.board.update(slot, |entry| entry.last_check = None);
        }
        if begins_anew {
            watched.serial = serial;
            watched.streak = Streak::default();
            watched.checked_since = None;
            watched.due = None;
            if let Some(checks) = &settings.checks {
                watched.beat = Beat::new(serial, now, checks.interval);
                match watched.state.checked_health() {
                    Some(Health::Initial) => self.schedule_first(slot, now),
                    _ => self.schedule_next(slot, now),
                }
            }
        }
        if is_ejected && (is_out || settings.ejection.errors == 0) {
            self.end_ejection(slot, now, EndedBy::Operator);
        }
        if is_turned && is_out {
            self.end_slow_start(slot);
        } else if is_turned && health == Health::Healthy {
            self.start_slowly(slot, was_carried, now);
        }
    }

    fn schedule_first(&mut self, slot: u32, at: Duration) {
        let Some(watched) = self.targets.get_mut(&slot) else { return };
        watched.due = Some(at);
        self.due.push(Reverse(Due { at, slot, serial: watched.serial, is_extra: false }));
    }

    /// Removes the note before the state, because another target may get its slot afterwards.
    fn forget(&mut self, slot: u32) {
        self.board.remove(slot);
        self.attended.remove(&slot);
        self.targets.remove(&slot);
    }

    fn next_serial(&mut self) -> u64 {
        self.last_serial = self.last_serial.saturating_add(1);
        self.last_serial
    }

    pub(super) fn tell_first_round(&self) {
        let checked = self.groups.iter().filter(|(_, group)| group.settings.checks.is_some());
        for (name, group) in checked {
            let Population { healthy, in_service, .. } = group.population();
            let text = format!("{healthy} of {in_service} targets of {name} are healthy");
            let tone = if healthy < in_service { Tone::Bad } else { Tone::Plain };
            self.tell(EventKind::Health.toned(tone), name, None, text);
            if group.compiled.fails_open() {
                self.tell_fail_open(name);
            }
        }
    }

    fn tell_fail_open(&self, name: &Arc<str>) {
        let Some(group) = self.groups.get(name) else { return };
        let Population { healthy, in_service, .. } = group.population();
        // Without checks, only an ejection speaks against a target.
        let are = if group.settings.checks.is_some() { "healthy" } else { "not ejected" };
        let count = format!("{healthy} of {in_service} targets are {are}");
        if group.compiled.fails_open() {
            let text = format!("{name} fails open, so that all of its targets are used: {count}");
            self.tell(EventKind::Warning, name, None, text);
        } else {
            self.tell(
                EventKind::Health.toned(Tone::Good),
                name,
                None,
                format!("{name} no longer fails open: {count}"),
            );
        }
    }
}

/// The reason for a health that no check has given.
pub(super) fn reason(health: Health, is_checked: bool) -> &'static str {
    match health {
        Health::Initial => "waits for its first check",
        Health::Healthy if is_checked => "in service before it was checked",
        Health::Healthy => "not checked",
        Health::Unhealthy => "unhealthy",
        Health::Draining => "drains: only what is bound to it still comes",
        Health::Unused => "has drained",
    }
}
