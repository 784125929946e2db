//! Two minutes of history, second by second: rates and percentiles from the shards' counts.
//!
//! [`Sampler::tick`] is called about once a second with the time; everything else only reads its notes. Names that are
//! no longer in the configuration are forgotten with the next tick. A name that comes back with another state starts
//! anew. Bounded by the limits in `names`. Tested beside it, with given times.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

use super::exposition::targets;
use super::rates::{
    Elapsed, GroupRates, History, Overview, Point, Rate, Rates, ResponseRates, ResponseTotals,
    RuleRates, ShardLoad, TargetRates, Totals, sticky_totals,
};
use super::{Machine, Sources, names};
use crate::group::state::{GroupState, TargetState};
use crate::group::target_group::TargetGroup;
use crate::snapshot::{Listener, Snapshot};
use crate::telemetry::counters::{Counter, CounterSnapshot, Counters};
use crate::telemetry::histogram::{Distribution, Percentiles};
use crate::telemetry::series::{ListenerSeries, RuleSeries, STATUS_CLASSES};

/// Position of 5xx in [`STATUS_CLASSES`].
const SERVER_ERRORS: usize = 5;

/// Keeps the history.
#[derive(Debug)]
pub struct Sampler {
    sources: Arc<Sources>,
    notes: Mutex<Notes>,
}

#[derive(Debug, Default)]
struct Notes {
    last: Option<Instant>,
    process: Process,
    history: History<Point>,
    shards: Vec<Shard>,
    listeners: HashMap<Arc<str>, ListenerNote>,
    groups: HashMap<Arc<str>, GroupNote>,
}

#[derive(Debug, Default)]
struct Process {
    classes: Rates<{ STATUS_CLASSES.len() }>,
    requests: Rate,
    bytes_in: Rate,
    bytes_out: Rate,
}

#[derive(Debug, Default)]
struct Shard {
    requests: Rate,
    busy_before: Duration,
    load: ShardLoad,
}

#[derive(Debug, Default)]
struct ListenerNote {
    of: Weak<ListenerSeries>,
    latency_before: Distribution,
    rules: HashMap<Box<str>, RuleNote>,
}

#[derive(Debug, Default)]
struct RuleNote {
    of: Weak<RuleSeries>,
    requests: Rate,
}

#[derive(Debug, Default)]
struct GroupNote {
    of: Weak<GroupState>,
    classes: Rates<{ STATUS_CLASSES.len() }>,
    latency_before: Distribution,
    latency: Option<Percentiles>,
    errors_per_second: f64,
    history: History<f32>,
    targets: HashMap<Arc<str>, TargetNote>,
}

#[derive(Debug, Default)]
struct TargetNote {
    of: Weak<TargetState>,
    requests: Rate,
    history: History<f32>,
    failures_before: u64,
    failures: History<u32>,
}

impl Sampler {
    pub fn new(sources: Arc<Sources>) -> Sampler {
        Sampler { sources, notes: Mutex::default() }
    }

    /// Notes the counts since the last call, which should be about a second ago.
    pub fn tick(&self, now: Instant, unix_ms: u64) {
        let snapshot = self.sources.published.load_full();
        let mut notes = self.lock();
        let elapsed_s = match notes.last {
            None => None,
            Some(last) => match now.saturating_duration_since(last).as_secs_f64() {
                seconds if seconds > 0.0 => Some(seconds),
                // No time has passed, so there is no rate.
                _ => return,
            },
        };
        notes.last = Some(now);
        let latency = notes.listeners(&snapshot, elapsed_s).percentiles();
        notes.groups(&snapshot, elapsed_s);
        notes.shards(&self.sources.counters, &*self.sources.machine, elapsed_s);
        let counted = self.sources.counters.snapshot();
        let point = notes.process.point(&counted, elapsed_s);
        let connections = self.sources.machine.connections();
        if elapsed_s.is_some() {
            notes.history.push(Point { unix_ms, latency_us: latency, connections, ..point });
        }
    }

    /// The whole process.
    pub fn overview(&self) -> Overview {
        let totals = totals(&self.sources.counters.snapshot());
        let notes = self.lock();
        Overview {
            now: notes.history.last().unwrap_or_default(),
            history: notes.history.iter().collect(),
            shards: notes.shards.iter().map(|shard| shard.load).collect(),
            totals,
        }
    }

    /// A group, by name; `None` for one that was not there at the last tick.
    pub fn group(&self, name: &str) -> Option<GroupRates> {
        let notes = self.lock();
        let note = notes.groups.get(name)?;
        Some(GroupRates {
            requests_per_second: note.history.last().map_or(0.0, f64::from),
            requests_history: note.history.to_vec(),
            errors_per_second: note.errors_per_second,
            latency_us: note.latency,
            sticky: note.of.upgrade().map(|of| sticky_totals(&of.series)).unwrap_or_default(),
        })
    }

    /// A target, by group and id; `None` for one that was not there at the last tick, or is beyond
    /// [`names::TARGETS_MAX`].
    pub fn target(&self, group: &str, id: &str) -> Option<TargetRates> {
        let notes = self.lock();
        let note = notes.groups.get(group)?.targets.get(id)?;
        Some(TargetRates {
            requests_per_second: note.requests.per_second,
            requests_history: note.history.to_vec(),
            failures_recently: note.failures.sum(),
        })
    }

    /// Targets of a group that have failed in the time of the history, by id, and how often.
    pub fn failing(&self, group: &str) -> Vec<(Arc<str>, u64)> {
        let notes = self.lock();
        let targets = notes.groups.get(group).into_iter().flat_map(|note| &note.targets);
        let counted = targets.map(|(id, note)| (Arc::clone(id), note.failures.sum()));
        counted.filter(|(_, failures)| *failures > 0).collect()
    }

    /// A rule, by listener and name; `None` for one that was not there at the last tick, or is beyond
    /// [`names::RULES_MAX`].
    pub fn rule(&self, listener: &str, rule: &str) -> Option<RuleRates> {
        let notes = self.lock();
        let note = notes.listeners.get(listener)?.rules.get(rule)?;
        Some(RuleRates {
            requests: note.of.upgrade().map_or(0, |of| of.sum(|block| &block.requests)),
            requests_per_second: note.requests.per_second,
        })
    }

    /// Notes are consistent after each step, so a panic leaves them usable.
    fn lock(&self) -> MutexGuard<'_, Notes> {
        self.notes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Notes {
    /// Renews the notes on listeners and rules; returns the durations of all since the last tick.
    fn listeners(&mut self, snapshot: &Snapshot, elapsed_s: Elapsed) -> Distribution {
        let mut before = std::mem::take(&mut self.listeners);
        let mut latency = Distribution::default();
        let mut rules_left = names::RULES_MAX;
        for listener in &snapshot.listeners {
            let known = before.remove(&listener.name);
            let known = known.filter(|note| is_of(&note.of, &listener.series));
            let mut note = known.unwrap_or_default();
            note.of = Arc::downgrade(&listener.series);
            let total = listener.series.distribution(|block| &block.total);
            if elapsed_s.is_some() {
                latency.merge(&total.since(&note.latency_before));
            }
            note.latency_before = total;
            note.rules(listener, &mut rules_left, elapsed_s);
            self.listeners.insert(Arc::clone(&listener.name), note);
        }
        latency
    }

    fn groups(&mut self, snapshot: &Snapshot, elapsed_s: Elapsed) {
        let mut before = std::mem::take(&mut self.groups);
        for group in &snapshot.groups {
            let known = before.remove(&group.name);
            let mut note = known.filter(|note| is_of(&note.of, &group.state)).unwrap_or_default();
            note.next(group, elapsed_s);
            self.groups.insert(Arc::clone(&group.name), note);
        }
        let mut targets_before: HashMap<(Arc<str>, Arc<str>), TargetNote> = HashMap::new();
        for (name, note) in &mut self.groups {
            let old = note.targets.drain();
            targets_before.extend(old.map(|(id, note)| ((Arc::clone(name), id), note)));
        }
        for (group, target) in targets(snapshot) {
            let key = (Arc::clone(&group.name), Arc::clone(&target.id));
            let known = targets_before.remove(&key);
            let known = known.filter(|note| is_of(&note.of, &target.state));
            let mut note = known.unwrap_or_default();
            note.of = Arc::downgrade(&target.state);
            let sums = target.state.series.sums(|block| &block.requests);
            let rate = note.requests.next(sums.iter().sum(), elapsed_s);
            if elapsed_s.is_some() {
                note.history.push(rate as f32);
            }
            note.count_failures(target.state.failures(), elapsed_s);
            if let Some(of) = self.groups.get_mut(&group.name) {
                of.targets.insert(Arc::clone(&target.id), note);
            }
        }
    }

    fn shards(&mut self, counters: &Counters, machine: &dyn Machine, elapsed_s: Elapsed) {
        self.shards.resize_with(machine.shard_count(), Shard::default);
        for (index, shard) in self.shards.iter_mut().enumerate() {
            let requests = counters.shard(index).map_or(0, |one| one.requests());
            let busy = machine.busy(index);
            let more = busy.saturating_sub(shard.busy_before).as_secs_f64();
            shard.busy_before = busy;
            shard.load = ShardLoad {
                index,
                requests_per_second: shard.requests.next(requests, elapsed_s),
                connections: machine.shard_connections(index),
                utilisation: elapsed_s.map_or(0.0, |seconds| (more / seconds).min(1.0)),
            };
        }
    }
}

impl ListenerNote {
    fn rules(&mut self, listener: &Listener, left: &mut usize, elapsed_s: Elapsed) {
        let mut before = std::mem::take(&mut self.rules);
        let rules = listener.rules.rules().iter().zip(&listener.rule_series).take(*left);
        for (rule, series) in rules {
            *left -= 1;
            let known = before.remove(&rule.name).filter(|note| is_of(&note.of, series));
            let mut note = known.unwrap_or_default();
            note.of = Arc::downgrade(series);
            note.requests.next(series.sum(|block| &block.requests), elapsed_s);
            self.rules.insert(rule.name.clone(), note);
        }
    }
}

impl TargetNote {
    fn count_failures(&mut self, total: u64, elapsed_s: Elapsed) {
        let more = total.saturating_sub(self.failures_before);
        self.failures_before = total;
        if elapsed_s.is_some() {
            self.failures.push(u32::try_from(more).unwrap_or(u32::MAX));
        }
    }
}

impl GroupNote {
    fn next(&mut self, group: &TargetGroup, elapsed_s: Elapsed) {
        let series = &group.state.series;
        self.of = Arc::downgrade(&group.state);
        let rates = self.classes.next(series.sums(|block| &block.requests), elapsed_s);
        self.errors_per_second = rates.get(SERVER_ERRORS).copied().unwrap_or(0.0);
        let total = series.distribution(|block| &block.total);
        if elapsed_s.is_some() {
            self.history.push(rates.iter().sum::<f64>() as f32);
            self.latency = total.since(&self.latency_before).percentiles();
        }
        self.latency_before = total;
    }
}

impl Process {
    fn point(&mut self, counted: &CounterSnapshot, elapsed_s: Elapsed) -> Point {
        let classes = std::array::from_fn(|class| counted.responses(class));
        let [_, _, successful, redirection, client_error, server_error] =
            self.classes.next(classes, elapsed_s);
        let requests_per_second = self.requests.next(counted.requests(), elapsed_s);
        let mut rate = |rate: fn(&mut Process) -> &mut Rate, counter| {
            rate(self).next(counted.get(counter), elapsed_s)
        };
        Point {
            requests_per_second,
            responses: ResponseRates { successful, redirection, client_error, server_error },
            errors_per_second: server_error,
            bytes_in_per_second: rate(|process| &mut process.bytes_in, Counter::BytesIn),
            bytes_out_per_second: rate(|process| &mut process.bytes_out, Counter::BytesOut),
            ..Point::default()
        }
    }
}

/// Whether a note belongs to this very object. The note keeps the object's address from being reused.
fn is_of<T>(note: &Weak<T>, one: &Arc<T>) -> bool {
    std::ptr::eq(note.as_ptr(), Arc::as_ptr(one))
}

fn totals(counted: &CounterSnapshot) -> Totals {
    Totals {
        requests: counted.requests(),
        responses: ResponseTotals {
            informational: counted.responses(1),
            successful: counted.responses(2),
            redirection: counted.responses(3),
            client_error: counted.responses(4),
            server_error: counted.responses(5),
            none: counted.responses(0),
        },
        retries: counted.get(Counter::Retries),
        bytes_in: counted.get(Counter::BytesIn),
        bytes_out: counted.get(Counter::BytesOut),
        aborted: counted.get(Counter::Aborted),
    }
}
