//! The consequences of a check's result, of gateway errors and of passing time: the state of a target, its reports, and
//! which groups are published anew. Tested with the supervisor.

use std::cmp::Reverse;
use std::sync::Arc;
use std::time::Duration;

use super::board::{Ejected, LastCheck};
use super::check::{Probe, Verdict};
use super::ejection::{self, Refusal};
use super::machine::Turn;
use super::roster::{self, GroupWatch};
use super::slow_start;
use super::{Done, Due, Supervisor};
use crate::control::config::units::show_duration;
use crate::control::events::{EventKind, Told, Tone, unix_ms};
use crate::group::state::Health;

/// The shortest time between two equal warnings about the same target.
const WARN_EVERY: Duration = Duration::from_secs(60);

/// The shortest time between two extra checks of a target that fails live requests while its checks pass.
const EXTRA_EVERY: Duration = Duration::from_secs(1);

impl<P: Probe> Supervisor<P> {
    pub(super) fn finish_check(&mut self, done: Done, now: Duration) {
        let Done { slot, serial, outcome } = done;
        let Some(watched) = self.targets.get_mut(&slot).filter(|one| one.serial == serial) else {
            return;
        };
        let began = watched.checked_since.take().unwrap_or(now);
        let at_once = std::mem::take(&mut watched.at_once);
        let Some(group) = self.groups.get(&watched.group) else { return };
        let Some(checks) = &group.settings.checks else { return };
        let error = match outcome.verdict {
            Verdict::Passed => None,
            Verdict::Failed(error) => Some(error),
            Verdict::NotAsked(error) => return self.warn(slot, now, &error),
        };
        let passed = error.is_none();
        self.board.update(slot, |entry| {
            entry.checks_passed += u64::from(passed);
            entry.checks_failed += u64::from(!passed);
            entry.last_check = Some(LastCheck {
                unix_ms: unix_ms(),
                passed,
                status: outcome.status,
                error: error.clone(),
                latency_us: u64::try_from(outcome.latency.as_micros()).unwrap_or(u64::MAX),
            });
        });
        let rise = checks.thresholds.rise;
        let Some(health) = watched.state.checked_health() else { return };
        let turn = watched.streak.note(health, passed, checks.thresholds, at_once);
        if let Some(turn) = turn.filter(|turn| watched.state.set_health_by_check(turn.to)) {
            watched.seen = watched.state.health_by_checks();
            let is_early = turn.in_a_row < checks.thresholds.fall && !turn.is_first;
            let reason = reason(turn, error.as_deref(), is_early);
            self.turn(slot, turn.to, reason, now);
        }
        let Some(watched) = self.targets.get_mut(&slot) else { return };
        if watched.ejection.note_check(began, passed, rise) {
            self.end_ejection(slot, now, EndedBy::Checks);
        }
    }

    /// Notes that checks have made a target healthy or unhealthy.
    fn turn(&mut self, slot: u32, to: Health, reason: String, now: Duration) {
        let Some(watched) = self.targets.get(&slot) else { return };
        let Some(group) = self.groups.get(&watched.group) else { return };
        let is_carried = group.is_carried();
        self.changed.insert(watched.group.clone());
        let is_healthy = to == Health::Healthy;
        let drains = watched.state.health_by_checks() == Health::Draining;
        if !(self.is_first_round && is_healthy) {
            let which = if drains { ", which drains," } else { "" };
            let text = format!("{}{which} is {}: {reason}", watched.id, to.code());
            let tone = if is_healthy { Tone::Good } else { Tone::Bad };
            self.tell(EventKind::Health.toned(tone), &watched.group, Some(&watched.id), text);
        }
        let reason = match (drains, is_healthy) {
            (true, true) => roster::reason(Health::Draining, true).to_owned(),
            (true, false) => format!("drains, and is unhealthy: {reason}"),
            (false, _) => reason,
        };
        self.board.update(slot, |entry| {
            entry.reason = reason;
            entry.since_unix_ms = unix_ms();
        });
        match is_healthy {
            true => self.start_slowly(slot, is_carried, now),
            false => self.end_slow_start(slot),
        }
    }

    /// Finds targets with as many gateway errors in a row as their group allows.
    pub(super) fn look_at_errors(&mut self, now: Duration) {
        let watched = self.groups.values().filter(|group| group.settings.ejection.errors > 0);
        let failing = watched.flat_map(|group| {
            let limit = group.settings.ejection.errors;
            let states = group.compiled.targets.iter().map(|target| &target.state);
            states.filter(move |state| {
                let serves = matches!(state.health(), Health::Healthy | Health::Draining);
                serves && state.errors_in_a_row() >= limit
            })
        });
        let slots: Vec<u32> = failing.map(|state| state.slot).collect();
        for slot in slots {
            self.eject(slot, now);
        }
    }

    /// Checks the target out of turn, and ejects it unless too many are out. When it is the last healthy one, the
    /// ejected targets return in its place. A draining target is not let in again, so its drain ends.
    fn eject(&mut self, slot: u32, now: Duration) {
        for spare in self.spares(slot) {
            self.end_ejection(spare, now, EndedBy::Need);
        }
        let Some(watched) = self.targets.get_mut(&slot) else { return };
        let Some(group) = self.groups.get(&watched.group) else { return };
        let errors = watched.state.errors_in_a_row();
        watched.state.forget_errors();
        let allowed = ejection::may_eject(&group.population(), &group.settings.ejection);
        let is_checkable = group.settings.checks.is_some();
        if is_checkable && watched.extra.is_none_or(|last| now >= last + EXTRA_EVERY) {
            watched.extra = Some(now);
            // Its errors must not make the last healthy target unhealthy any sooner.
            watched.at_once = allowed == Err(Refusal::TooMany);
            self.due.push(Reverse(Due { at: now, slot, serial: watched.serial, is_extra: true }));
        }
        let cause = format!("{errors} gateway errors in a row");
        if watched.state.health() == Health::Draining {
            return self.give_up_drain(slot, &cause, now);
        }
        if let Err(refusal) = allowed {
            let why = refusal.why();
            let text = format!("{} stays in despite {cause}: {why}", watched.id);
            return self.warn(slot, now, &text);
        }
        let lasts = watched.ejection.begin(now, &group.settings.ejection);
        watched.state.set_ejected(true);
        group.compiled.state.count_ejection();
        let reason = format!("ejected for {}: {cause}", show_duration(lasts));
        let text = format!("{} is {reason}", watched.id);
        self.changed.insert(watched.group.clone());
        self.attended.insert(slot);
        self.tell_of(slot, EventKind::Ejection.toned(Tone::Bad), text);
        self.board.update(slot, |entry| {
            let since_unix_ms = unix_ms();
            let until_unix_ms = since_unix_ms.saturating_add(milliseconds(lasts));
            entry.ejections += 1;
            entry.ejected = Some(Ejected { reason, since_unix_ms, until_unix_ms });
        });
        self.end_slow_start(slot);
    }

    /// The targets that return when the last healthy one of a group fails: ejected ones whose checks pass.
    fn spares(&self, failing: u32) -> Vec<u32> {
        let Some(watched) = self.targets.get(&failing) else { return Vec::new() };
        let Some(group) = self.groups.get(&watched.group) else { return Vec::new() };
        let limits = &group.settings.ejection;
        if ejection::may_eject(&group.population(), limits) != Err(Refusal::LastHealthy) {
            return Vec::new();
        }
        let is_spare = |slot: &u32| {
            self.targets.get(slot).is_some_and(|other| {
                other.group == watched.group
                    && other.ejection.until().is_some()
                    && other.state.health_by_checks() == Health::Healthy
            })
        };
        self.attended.iter().copied().filter(|slot| *slot != failing && is_spare(slot)).collect()
    }

    /// Ends the drain of a target that fails its bound requests: it is unhealthy from now on, if others can serve.
    fn give_up_drain(&mut self, slot: u32, cause: &str, now: Duration) {
        let Some(watched) = self.targets.get_mut(&slot) else { return };
        let Some(group) = self.groups.get(&watched.group) else { return };
        let id = Arc::clone(&watched.id);
        if let Err(refusal) = ejection::may_give_up(&group.population(), &group.settings.ejection) {
            let why = refusal.why();
            return self.warn(slot, now, &format!("{id} goes on draining despite {cause}: {why}"));
        }
        if watched.state.set_health_by_check(Health::Unhealthy) {
            group.compiled.state.count_ejection();
            self.changed.insert(watched.group.clone());
            self.board.update(slot, |entry| {
                entry.ejections += 1;
                entry.reason = format!("drains, and is unhealthy: {cause}");
                entry.since_unix_ms = unix_ms();
            });
            let text = format!("{id}, which drains, is unhealthy: {cause}");
            self.tell_of(slot, EventKind::Ejection, text);
        }
    }

    /// Lets a target in again, with the health that its checks give it.
    pub(super) fn end_ejection(&mut self, slot: u32, now: Duration, by: EndedBy) {
        let Some(watched) = self.targets.get_mut(&slot) else { return };
        if watched.ejection.until().is_none() {
            return;
        }
        watched.ejection.end(now);
        watched.state.forget_errors();
        watched.state.set_ejected(false);
        self.changed.insert(watched.group.clone());
        let is_carried = self.groups.get(&watched.group).is_some_and(GroupWatch::is_carried);
        let id = &watched.id;
        let ended = by.ended();
        let is_back = watched.state.health() == Health::Healthy;
        let text = match is_back {
            true => format!("{id} is back: its ejection {ended}"),
            false => {
                format!("the ejection of {id} {ended}; it is {}", watched.state.health().code())
            }
        };
        let tone = if is_back { Tone::Good } else { Tone::Plain };
        self.tell_of(slot, EventKind::Ejection.toned(tone), text);
        self.board.update(slot, |entry| {
            entry.ejected = None;
            entry.since_unix_ms = unix_ms();
        });
        if is_back {
            self.start_slowly(slot, is_carried, now);
        }
    }

    /// Begins the slow start of a target that has just turned healthy, if its group has one and another target carries
    /// the load meanwhile.
    pub(super) fn start_slowly(&mut self, slot: u32, is_carried: bool, now: Duration) {
        let Some(watched) = self.targets.get_mut(&slot) else { return };
        let Some(group) = self.groups.get(&watched.group) else { return };
        let over = group.settings.slow_start;
        let is_due = !self.is_first_round
            && is_carried
            && !over.is_zero()
            && watched.state.health() == Health::Healthy;
        if !is_due {
            return;
        }
        watched.slow_since = Some(now);
        self.attended.insert(slot);
        let until_unix_ms = unix_ms().saturating_add(milliseconds(over));
        self.board.update(slot, |entry| entry.slow_start_until_unix_ms = Some(until_unix_ms));
        self.advance_slow_start(slot, now);
    }

    /// Raises the target's share with the elapsed time; the full share ends the slow start.
    fn advance_slow_start(&mut self, slot: u32, now: Duration) {
        let Some(watched) = self.targets.get_mut(&slot) else { return };
        let Some(group) = self.groups.get(&watched.group) else { return };
        let Some(since) = watched.slow_since else { return };
        let elapsed = now.saturating_sub(since);
        let percent = slow_start::share_percent(elapsed, group.settings.slow_start);
        if percent >= 100 {
            return self.end_slow_start(slot);
        }
        if percent != watched.state.share_percent() {
            watched.state.set_share_percent(percent);
            self.changed.insert(watched.group.clone());
            self.board.update(slot, |entry| entry.share_percent = percent);
        }
    }

    /// Restores the full weight.
    pub(super) fn end_slow_start(&mut self, slot: u32) {
        let Some(watched) = self.targets.get_mut(&slot) else { return };
        if watched.slow_since.take().is_none() {
            return;
        }
        watched.state.set_share_percent(100);
        self.changed.insert(watched.group.clone());
        self.board.update(slot, |entry| {
            entry.share_percent = 100;
            entry.slow_start_until_unix_ms = None;
        });
    }

    /// Ends ejections whose time is over or whose targets their group needs, and advances slow starts.
    pub(super) fn attend(&mut self, now: Duration) {
        let needed = self.needed();
        for slot in self.attended.clone() {
            if self.targets.get(&slot).is_some_and(|watched| watched.ejection.is_over(now)) {
                self.end_ejection(slot, now, EndedBy::Time);
            } else if needed.binary_search(&slot).is_ok() {
                self.end_ejection(slot, now, EndedBy::Need);
            }
            self.advance_slow_start(slot, now);
            let needs_more = self.targets.get(&slot).is_some_and(|watched| {
                watched.ejection.until().is_some() || watched.slow_since.is_some()
            });
            if !needs_more {
                self.attended.remove(&slot);
            }
        }
    }

    /// Ejected targets whose checks pass while no other target of their group is healthy; in order.
    fn needed(&self) -> Vec<u32> {
        let mut needed = Vec::new();
        // Neighbours mostly belong to one group.
        let mut last: Option<(&Arc<str>, bool)> = None;
        for slot in &self.attended {
            let Some(watched) = self.targets.get(slot) else { continue };
            let is_spare = watched.ejection.until().is_some()
                && watched.state.health_by_checks() == Health::Healthy;
            if !is_spare {
                continue;
            }
            let is_lost = match last {
                Some((group, is_lost)) if *group == watched.group => is_lost,
                _ => self.groups.get(&watched.group).is_some_and(|group| !group.has_healthy()),
            };
            last = Some((&watched.group, is_lost));
            needed.extend(is_lost.then_some(*slot));
        }
        needed
    }

    fn warn(&mut self, slot: u32, now: Duration, text: &str) {
        let Some(watched) = self.targets.get_mut(&slot) else { return };
        if watched.warned.is_none_or(|last| now >= last + WARN_EVERY) {
            watched.warned = Some(now);
            self.tell_of(slot, EventKind::Warning, text.to_owned());
        }
    }

    fn tell_of(&self, slot: u32, told: impl Into<Told>, text: String) {
        if let Some(watched) = self.targets.get(&slot) {
            self.tell(told, &watched.group, Some(&watched.id), text);
        }
    }
}

/// What ends an ejection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum EndedBy {
    Time,
    /// Checks that passed.
    Checks,
    /// No other target is healthy.
    Need,
    Operator,
}

impl EndedBy {
    /// In words for people, after "its ejection".
    fn ended(self) -> &'static str {
        match self {
            EndedBy::Time => "is over",
            EndedBy::Checks => "was ended by checks that passed",
            EndedBy::Need => "was ended because no other target is healthy",
            EndedBy::Operator => "was ended by the operator",
        }
    }
}

/// Why checks have turned a target; `is_early` when fewer than `fall` have failed.
fn reason(turn: Turn, error: Option<&str>, is_early: bool) -> String {
    let count = turn.in_a_row;
    match error {
        None if turn.is_first => "its first check passed".into(),
        None if count == 1 => "a check passed".into(),
        None => format!("{count} checks passed"),
        Some(error) if turn.is_first => format!("its first check failed: {error}"),
        Some(error) if is_early => format!("a check after gateway errors failed: {error}"),
        Some(error) if count == 1 => format!("a check failed: {error}"),
        Some(error) => format!("{count} checks failed: {error}"),
    }
}

fn milliseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
