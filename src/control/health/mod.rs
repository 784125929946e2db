//! Health: which of a group's targets may take requests, judged by checks, by gateway errors in live traffic, and by
//! how long ago a target came back.
//!
//! ```text
//!   checks ──▶ machine ──┐                     ┌─▶ state of each target ─▶ republish (at most every 50 ms)
//!   errors ──▶ ejection ─┼─▶ supervisor's tick ┤
//!   time ────▶ slow_start┘                     └─▶ board, events (for people)
//! ```
//!
//! Decisions are pure and stand in files of their own; the supervisor applies them to the running configuration. All
//! changes of a tick are published together. Never touches a connection of the data plane, never changes the
//! configuration. Tested with paused time and a prober of the tests' own, and by the black-box suite.

mod beat;
mod board;
mod check;
mod ejection;
mod findings;
mod grpc;
mod http2;
mod machine;
mod response;
mod roster;
mod settings;
mod slow_start;

use std::cmp::Reverse;
use std::collections::{BTreeSet, BinaryHeap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior};

pub use board::{HealthBoard, LastCheck};
use check::{Outcome, Probe, Prober};
use findings::EndedBy;
use roster::{GroupWatch, Watched};
use settings::Settings;

use super::events::Told;
use super::runtime::Control;
use crate::group::state::Health;
use crate::snapshot::Snapshot;

/// The time between two ticks, which is also the shortest time between two publications.
const TICK: Duration = Duration::from_millis(50);

/// Checks that run at a time, each with a descriptor. They delay the checks of others only if more targets than this
/// hang at once.
const CHECKS_MAX: usize = 1024;

/// Watches the health of every target of the running configuration.
#[derive(Debug)]
pub struct Supervisor<P: Probe = Prober> {
    control: Arc<Control>,
    board: Arc<HealthBoard>,
    probe: Arc<P>,
    /// The zero of all times here.
    began: Instant,
    /// The snapshot seen last, and its version of the configuration.
    snapshot: Option<Arc<Snapshot>>,
    version: Option<u64>,
    settings: HashMap<String, Arc<Settings>>,
    groups: HashMap<Arc<str>, GroupWatch>,
    targets: HashMap<u32, Watched, ahash::RandomState>,
    /// Has an entry for every target that is checked; outdated entries are skipped.
    due: BinaryHeap<Reverse<Due>>,
    running: JoinSet<Done>,
    /// Targets that are ejected or in a slow start.
    attended: BTreeSet<u32>,
    /// Groups to publish.
    changed: BTreeSet<Arc<str>>,
    last_serial: u64,
    random: u64,
    /// Whether nothing is served yet: no slow start begins, and good news makes no event.
    is_first_round: bool,
}

/// A check to be made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Due {
    at: Duration,
    slot: u32,
    serial: u64,
    /// Whether it is additional to those of the interval.
    is_extra: bool,
}

/// A finished check.
#[derive(Debug)]
struct Done {
    slot: u32,
    serial: u64,
    outcome: Outcome,
}

impl Supervisor {
    pub fn new(control: Arc<Control>, board: Arc<HealthBoard>) -> Supervisor {
        Supervisor::with_probe(control, board, Arc::new(Prober))
    }
}

impl<P: Probe> Supervisor<P> {
    fn with_probe(control: Arc<Control>, board: Arc<HealthBoard>, probe: Arc<P>) -> Supervisor<P> {
        let hasher = ahash::RandomState::new();
        Supervisor {
            control,
            board,
            probe,
            began: Instant::now(),
            snapshot: None,
            version: None,
            settings: HashMap::new(),
            groups: HashMap::new(),
            random: hasher.hash_one(0),
            targets: HashMap::with_hasher(hasher),
            due: BinaryHeap::new(),
            running: JoinSet::new(),
            attended: BTreeSet::new(),
            changed: BTreeSet::new(),
            last_serial: 0,
            is_first_round: false,
        }
    }

    /// Checks every target of a checked group once. Await it before any listener accepts: then no session is placed by
    /// the accident of which check came first. Takes as long as the longest timeout, or a multiple of it where more
    /// than [`CHECKS_MAX`] targets hang.
    pub async fn first_round(&mut self) {
        self.is_first_round = true;
        self.look(self.now());
        let mut left: Vec<u32> = self.targets.keys().copied().collect();
        loop {
            while self.running.len() < CHECKS_MAX
                && let Some(slot) = left.pop()
            {
                self.start_check(slot, self.now());
            }
            let Some(done) = self.running.join_next().await else { break };
            if let Ok(done) = done {
                self.finish_check(done, self.now());
            }
        }
        let slots: Vec<u32> = self.targets.keys().copied().collect();
        for slot in slots {
            self.schedule_next(slot, self.now());
        }
        self.publish();
        self.look(self.now());
        self.tell_first_round();
        self.is_first_round = false;
    }

    /// Watches for ever.
    pub async fn run(mut self) {
        let mut ticks = tokio::time::interval(TICK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            self.tick(self.now());
        }
    }

    fn tick(&mut self, now: Duration) {
        self.look(now);
        while let Some(done) = self.running.try_join_next() {
            // A check that panicked has no result; its target is checked again at its next time.
            if let Ok(done) = done {
                self.finish_check(done, now);
            }
        }
        for slot in self.board.take_enabled() {
            self.end_ejection(slot, now, EndedBy::Operator);
        }
        self.look_at_errors(now);
        self.attend(now);
        self.start_checks(now);
        self.publish();
    }

    /// Starts the checks that are due, the longest due first.
    fn start_checks(&mut self, now: Duration) {
        while self.running.len() < CHECKS_MAX {
            let Some(Reverse(due)) = self.due.peek().copied() else { return };
            if due.at > now {
                return;
            }
            self.due.pop();
            let Some(watched) = self.targets.get(&due.slot) else { continue };
            if watched.serial != due.serial || !(due.is_extra || watched.due == Some(due.at)) {
                continue;
            }
            if !due.is_extra {
                self.schedule_next(due.slot, now);
            }
            self.start_check(due.slot, now);
        }
    }

    /// Starts a check, unless the target is not to be checked or is being checked.
    fn start_check(&mut self, slot: u32, now: Duration) {
        let Some(watched) = self.targets.get_mut(&slot) else { return };
        let Some(group) = self.groups.get(&watched.group) else { return };
        let Some(checks) = &group.settings.checks else { return };
        // A draining target still serves, so it is checked: no session may be kept at one that has failed.
        let is_out = watched.state.health_by_checks() == Health::Unused;
        if is_out || watched.is_being_checked(now, checks.ask.timeout) {
            return;
        }
        watched.checked_since = Some(now);
        let (probe, ask) = (Arc::clone(&self.probe), Arc::clone(&checks.ask));
        let (serial, endpoint) = (watched.serial, watched.endpoint.clone());
        self.running
            .spawn(async move { Done { slot, serial, outcome: probe.check(ask, endpoint).await } });
    }

    /// Sets the time of the target's next regular check.
    fn schedule_next(&mut self, slot: u32, now: Duration) {
        let random = self.next_random();
        let Some(watched) = self.targets.get_mut(&slot) else { return };
        let Some(group) = self.groups.get(&watched.group) else { return };
        let Some(checks) = &group.settings.checks else { return };
        let at = watched.beat.next(now, checks.interval, random);
        watched.due = Some(at);
        self.due.push(Reverse(Due { at, slot, serial: watched.serial, is_extra: false }));
    }

    /// Publishes all changes since the last call together.
    fn publish(&mut self) {
        if self.changed.is_empty() {
            return;
        }
        let groups: Vec<&str> = self.changed.iter().map(|name| &**name).collect();
        self.control.republish(&groups);
        self.changed.clear();
    }

    fn tell(&self, told: impl Into<Told>, group: &str, target: Option<&str>, text: String) {
        self.control.events().push(told, Some(group), target, text);
    }

    fn now(&self) -> Duration {
        self.began.elapsed()
    }

    /// Even enough to spread checks (xorshift64).
    fn next_random(&mut self) -> u64 {
        self.random |= 1;
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        self.random
    }
}

#[cfg(test)]
#[path = "supervisor_tests.rs"]
mod tests;
