//! Running drains: which targets drain, with which options, and what happens at their end.
//!
//! [`Drains::run`] looks at all draining targets four times a second, whatever made them drain: the drain command, an
//! edit of the configuration, a reload, a removal. A configured target whose drain has ended becomes unused; one that
//! was removed is forgotten. Taking a target back into service ends its drain. Never touches a connection. `machine`
//! makes the decisions. Tested beside it, with invented time.

use std::collections::HashSet;
use std::collections::hash_map::{Entry, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use serde::Serialize;
use serde_json::{Map, Value};

use super::machine::{Drain, DrainOptions, DrainOrder, Load, Progress, Until};
use super::sessions::{self, Lives};
use crate::control::change::{Applied, By, ChangeError, Edit, Keep};
use crate::control::config::file;
use crate::control::config::units::{show_age, show_duration};
use crate::control::events::{EventKind, unix_ms};
use crate::control::runtime::Control;
use crate::group::state::{Health, TargetState};
use crate::group::target_group::Target;
use crate::snapshot::Snapshot;
use crate::stickiness::stable_key::stable_key;

/// The time between two looks.
const TICK: Duration = Duration::from_millis(250);

/// The reason for a drain that ends at once, because no session is kept at the target.
const NOBODY_TO_SERVE: &str = "it is unhealthy, and its sessions have failed over";

/// Most removed targets that are forgotten at one look, since each one publishes a snapshot.
const FORGOTTEN_MAX: usize = 16;

/// A drain as the admin API shows it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct DrainView {
    /// "delay", "idle" or "sessions".
    pub until: &'static str,
    pub sessions_at_most: u64,
    pub started_unix_ms: u64,
    /// `None` = no end by time.
    pub remaining_s: Option<f64>,
    /// Requests in flight, without the tunnels.
    pub in_flight: u32,
    pub tunnels: u32,
    /// An estimate of the sessions bound to it; `None` when nothing about it is sticky.
    pub sessions: Option<u64>,
    pub finished: bool,
    /// What it waits for, or why it has ended.
    pub reason: String,
}

/// All drains of the process.
#[derive(Debug)]
pub struct Drains {
    control: Arc<Control>,
    /// Since when sessions have been watched.
    born: Instant,
    /// Locked before anything of `control`, never after.
    known: Mutex<Known>,
}

/// Group and id.
type Key = (String, String);

#[derive(Debug, Default)]
struct Known {
    drains: HashMap<Key, OneDrain>,
    /// Deregistration delays by group, for this version of the configuration.
    delays: HashMap<String, Duration>,
    version: Option<u64>,
}

#[derive(Debug, Clone)]
struct OneDrain {
    drain: Drain,
    started_unix_ms: u64,
    /// Why it has ended.
    ended: Option<String>,
}

impl OneDrain {
    /// A drain without options from the operator; that of a removed target began with its removal.
    fn begin(leaving_since: Option<Instant>, now: Now) -> OneDrain {
        let started = leaving_since.map_or(now.at, |since| since.min(now.at));
        let ago_ms = now.at.saturating_duration_since(started).as_millis();
        OneDrain {
            drain: Drain::new(DrainOptions::default(), started),
            started_unix_ms: now.unix_ms.saturating_sub(u64::try_from(ago_ms).unwrap_or(0)),
            ended: None,
        }
    }
}

/// The time of one look, on both clocks.
#[derive(Debug, Clone, Copy)]
struct Now {
    at: Instant,
    unix_ms: u64,
}

impl Now {
    fn read() -> Now {
        Now { at: tokio::time::Instant::now().into_std(), unix_ms: unix_ms() }
    }

    fn unix_s(self) -> u64 {
        self.unix_ms / 1000
    }
}

/// A draining target of a snapshot.
struct Found<'s> {
    group: &'s str,
    target: &'s Target,
    lives: Lives,
}

impl Found<'_> {
    fn key(&self) -> Key {
        (self.group.to_owned(), self.target.id.to_string())
    }
}

impl Drains {
    pub fn new(control: Arc<Control>) -> Drains {
        Drains { control, born: Now::read().at, known: Mutex::default() }
    }

    /// Makes a target drain; a target that drains already goes on with these options, and its delay still counts from
    /// its beginning. Also works for removed targets that still drain.
    ///
    /// # Errors
    /// The errors of [`Control::edit`].
    pub fn start(
        &self,
        order: &DrainOrder<'_>,
        keep: Keep,
        by: &By<'_>,
    ) -> Result<Applied, ChangeError> {
        let DrainOrder { group, target, options } = *order;
        let mut known = self.lock();
        let before = self.control.snapshot();
        let before = find(&before, group, target).map(|target| target.state.health());
        let mut applied = self.set_draining(group, target, keep, by)?;
        if before == Some(Health::Unused) {
            applied.notes.push(format!("target {target} of {group} has drained already"));
            return Ok(applied);
        }
        let now = Now::read();
        let key = (group.to_owned(), target.to_owned());
        let running = known.drains.get(&key).filter(|one| one.ended.is_none());
        let mut one = match running.filter(|_| before == Some(Health::Draining)) {
            Some(running) => running.clone(),
            None => OneDrain::begin(self.leaving_since(group, target), now),
        };
        one.drain = Drain { options, asked: now.at, ..one.drain };
        known.drains.insert(key, one);
        let sentence = format!("drains {}", announce(&options));
        let deed = format!("target {target} of {group} {sentence}");
        self.control.audit_deed(by, "drain", std::slice::from_ref(&deed));
        applied.summary.push(deed);
        applied.notes.extend(self.reservation(group, &options, now));
        let text = format!("the target {sentence}");
        self.control.events().push(EventKind::Drain, Some(group), Some(target), text);
        drop(known);
        self.tick(now);
        Ok(applied)
    }

    /// The drain of a target; `None` when it is in service. `lives`: the lifetimes of its group's sessions, which the
    /// caller passes so that they are not searched for again for each of thousands of targets.
    pub fn view(&self, group: &str, target: &Target, lives: &sessions::Lives) -> Option<DrainView> {
        if !is_draining(target) {
            return None;
        }
        let now = Now::read();
        let found = Found { group, target, lives: lives.clone() };
        let mut known = self.lock();
        let one = known.drains.get(&found.key()).cloned();
        let since = |found: &Found<'_>| self.leaving_since(found.group, &found.target.id);
        let one = one.unwrap_or_else(|| OneDrain::begin(since(&found), now));
        let delay = known.delay(&self.control, group);
        Some(self.show(&found, &one, delay, now))
    }

    /// Looks at all draining targets again and again, for ever.
    pub async fn run(self: Arc<Self>) {
        let mut ticks = tokio::time::interval(TICK);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            self.tick(Now::read());
        }
    }

    /// One look at all draining targets.
    fn tick(&self, now: Now) {
        let mut known = self.lock();
        let snapshot = self.control.snapshot();
        let found = draining(&snapshot);
        self.drop_ended(&mut known, &found);
        if found.is_empty() {
            return;
        }
        let leaving = self.control.leaving();
        let leaving: HashMap<(&str, &str), Instant> = leaving
            .iter()
            .map(|one| ((one.group.as_str(), one.target.effective_id()), one.since))
            .collect();
        let mut changed: Vec<&str> = Vec::new();
        let mut gone: Vec<&Found<'_>> = Vec::new();
        for found in &found {
            let is_unused = found.target.state.health() == Health::Unused;
            let since = leaving.get(&(found.group, &*found.target.id)).copied();
            if is_unused {
                self.settle(&mut known, found, since, now);
                gone.extend(since.is_some().then_some(found));
            } else if self.advance(&mut known, found, since, now) {
                changed.push(found.group);
            }
        }
        changed.dedup();
        if !changed.is_empty() {
            self.control.republish(&changed);
        }
        for found in gone.into_iter().take(FORGOTTEN_MAX) {
            known.drains.remove(&found.key());
            self.control.forget_leaving(found.group, &found.target.id);
        }
    }

    /// Judges one target; returns whether it is out of use from now on.
    fn advance(
        &self,
        known: &mut Known,
        found: &Found<'_>,
        since: Option<Instant>,
        now: Now,
    ) -> bool {
        let delay = known.delay(&self.control, found.group);
        let one = match known.drains.entry(found.key()) {
            Entry::Occupied(entry) => entry.into_mut(),
            Entry::Vacant(entry) => {
                let one = OneDrain::begin(since, now);
                self.note(found, format!("the target drains {}", announce(&one.drain.options)));
                entry.insert(one)
            }
        };
        // It was taken back and drains again, between two looks.
        if one.ended.is_some() {
            *one = OneDrain::begin(since, now);
        }
        match one.drain.judge(delay, now.at, &self.load(found, now)) {
            Progress::Waiting { .. } => false,
            Progress::Finished { reason } => {
                self.note(found, format!("the target has drained: {reason}"));
                one.ended = Some(reason);
                found.target.state.set_health(Health::Unused);
                true
            }
        }
    }

    /// Notes that a target is out of use; if no drain was known, it had no session to serve from the beginning.
    fn settle(&self, known: &mut Known, found: &Found<'_>, since: Option<Instant>, now: Now) {
        let entry = known.drains.entry(found.key());
        let one = entry.or_insert_with(|| OneDrain::begin(since, now));
        if one.ended.is_none() {
            self.note(found, format!("the target has drained: {NOBODY_TO_SERVE}"));
            one.ended = Some(NOBODY_TO_SERVE.to_owned());
        }
    }

    /// Forgets the drains of targets that are back in service, or gone.
    fn drop_ended(&self, known: &mut Known, found: &[Found<'_>]) {
        if known.drains.is_empty() {
            return;
        }
        let still: HashSet<(&str, &str)> =
            found.iter().map(|found| (found.group, &*found.target.id)).collect();
        let is_over = |(group, id): &Key| !still.contains(&(group.as_str(), id.as_str()));
        for ((group, id), one) in known.drains.extract_if(|key, _| is_over(key)) {
            if one.ended.is_none() {
                let text = "the drain of the target has ended early: it is back in service, or its \
                            group is gone";
                self.control.events().push(EventKind::Drain, Some(&group), Some(&id), text.into());
            }
        }
    }

    /// When a target that is no longer configured was removed.
    fn leaving_since(&self, group: &str, target: &str) -> Option<Instant> {
        let leaving = self.control.leaving();
        let mut of_group = leaving.iter().filter(|one| one.group == group);
        of_group.find(|one| one.target.effective_id() == target).map(|one| one.since)
    }

    fn set_draining(
        &self,
        group: &str,
        target: &str,
        keep: Keep,
        by: &By<'_>,
    ) -> Result<Applied, ChangeError> {
        let state = Map::from_iter([("state".to_owned(), Value::from("draining"))]);
        let edit = Edit::SetTarget { group: group.into(), target: target.into(), set: state };
        match self.control.edit(&edit, keep, by) {
            // The configuration says so already; only the drain changes, so the notes about it are dropped.
            Ok(applied) if applied.summary.is_empty() => {
                Ok(Applied { notes: Vec::new(), ..applied })
            }
            Err(ChangeError::NoTarget { .. }) if self.leaving_since(group, target).is_some() => {
                Ok(Applied {
                    change: self.control.history().last().map_or(0, |entry| entry.change),
                    version: self.control.version(),
                    summary: Vec::new(),
                    notes: vec![format!("target {target} of {group} is no longer configured")],
                })
            }
            result => result,
        }
    }

    /// What the operator should know about a wait for sessions.
    fn reservation(&self, group: &str, options: &DrainOptions, now: Now) -> Option<String> {
        let Until::Sessions { .. } = options.until else { return None };
        let snapshot = self.control.snapshot();
        let index = snapshot.groups.iter().position(|one| &*one.name == group)?;
        let Some(duration_s) = sessions::lives(&snapshot).get(index)?.longest_s() else {
            return Some(format!("target group {group} is not sticky: there are no sessions"));
        };
        let watched = now.at.saturating_duration_since(self.born);
        (watched.as_secs() < duration_s).then(|| {
            let (watched, all) = (whole_seconds(watched), Duration::from_secs(duration_s));
            format!(
                "sessions have been counted for {} only, and live for {}: those that have made no \
                 request since are not known",
                show_age(watched),
                show_duration(all)
            )
        })
    }

    fn load(&self, found: &Found<'_>, now: Now) -> Load {
        let state: &TargetState = &found.target.state;
        let watched_s = now.at.saturating_duration_since(self.born).as_secs();
        Load {
            requests: state.requests_in_flight(),
            tunnels: state.tunnels(),
            sessions: sessions::of_target(state, &found.lives, now.unix_s()),
            knows_all_sessions: found.lives.longest_s().is_none_or(|live_s| watched_s >= live_s),
        }
    }

    fn show(&self, found: &Found<'_>, one: &OneDrain, delay: Duration, now: Now) -> DrainView {
        let load = self.load(found, now);
        let finished = found.target.state.health() == Health::Unused;
        let (remaining, reason) = match one.drain.judge(delay, now.at, &load) {
            _ if finished => {
                let reason = one.ended.clone().unwrap_or_else(|| NOBODY_TO_SERVE.to_owned());
                (Some(Duration::ZERO), reason)
            }
            Progress::Waiting { remaining, reason } => (remaining, reason),
            // The next look will end it.
            Progress::Finished { reason } => (Some(Duration::ZERO), reason),
        };
        DrainView {
            until: one.drain.options.until.code(),
            sessions_at_most: match one.drain.options.until {
                Until::Sessions { at_most } => at_most,
                Until::Delay | Until::Idle => 0,
            },
            started_unix_ms: one.started_unix_ms,
            remaining_s: remaining.map(|remaining| remaining.as_secs_f64()),
            in_flight: load.requests,
            tunnels: load.tunnels,
            sessions: load.sessions,
            finished,
            reason,
        }
    }

    fn note(&self, found: &Found<'_>, text: String) {
        let target = Some(&*found.target.id);
        self.control.events().push(EventKind::Drain, Some(found.group), target, text);
    }

    fn lock(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Known {
    /// The group's deregistration delay, as configured now.
    fn delay(&mut self, control: &Control, group: &str) -> Duration {
        let version = control.version();
        if self.version != Some(version) {
            let file = control.file();
            let delay =
                |group: &file::TargetGroup| (group.name.clone(), group.deregistration_delay);
            self.delays = file.target_groups.iter().map(delay).collect();
            self.version = Some(version);
        }
        self.delays.get(group).copied().unwrap_or_default()
    }
}

/// Targets that drain or have drained.
fn draining(snapshot: &Snapshot) -> Vec<Found<'_>> {
    let mut lives = None;
    let mut found = Vec::new();
    for (index, group) in snapshot.groups.iter().enumerate() {
        for target in group.targets.iter().filter(|target| is_draining(target)) {
            let lives = lives.get_or_insert_with(|| sessions::lives(snapshot));
            let lives = lives.get(index).cloned().unwrap_or_default();
            found.push(Found { group: &group.name, target, lives });
        }
    }
    found
}

fn is_draining(target: &Target) -> bool {
    matches!(target.state.health(), Health::Draining | Health::Unused)
}

fn find<'s>(snapshot: &'s Snapshot, group: &str, target: &str) -> Option<&'s Target> {
    let group = snapshot.groups.iter().find(|one| &*one.name == group)?;
    let found = group.targets.get(group.find(stable_key(target))?)?;
    (&*found.id == target).then_some(found)
}

/// "until no request is in flight and no tunnel is open, for 10m at most".
fn announce(options: &DrainOptions) -> String {
    let until = match options.until {
        Until::Delay if options.deadline == Some(Duration::ZERO) => return "at once".to_owned(),
        Until::Delay => "for its group's deregistration delay".to_owned(),
        Until::Idle => "until no request is in flight and no tunnel is open".to_owned(),
        Until::Sessions { at_most: 0 } => "until no session is left".to_owned(),
        Until::Sessions { at_most: 1 } => "until one session is left at most".to_owned(),
        Until::Sessions { at_most } => format!("until {at_most} sessions are left at most"),
    };
    match options.deadline {
        Some(deadline) => format!("{until}, for {} at most", show_duration(deadline)),
        None => until,
    }
}

fn whole_seconds(duration: Duration) -> Duration {
    Duration::from_secs(duration.as_secs())
}

#[cfg(test)]
#[path = "watch_tests.rs"]
mod tests;
