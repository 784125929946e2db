//! The state that outlives a snapshot: one target's health, in-flight count and totals, and one group's counters.
//!
//! Keyed by group name, target id and address in a [`Registry`] that only the control plane uses, while it compiles a
//! snapshot; the data plane reads and writes atomics and never meets a lock here except behind [`Registry`]. Nothing in
//! this file depends on time, sockets or configuration. Tested beside it, with threads where the rule is about threads.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::atomic::{AtomicU8, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError, Weak};

use crossbeam_utils::CachePadded;

use super::address::Address;
use super::newcomers::Newcomers;
use super::queue::WaitQueue;
use super::retry_budget::RetryBudget;
use crate::stickiness::session_match::SessionNotes;
use crate::stickiness::sketch::{Life, SessionSketch};
use crate::telemetry::series::{GroupSeries, ListenerSeries, PerShard, RuleSeries, TargetSeries};

/// A target's health in ALB's words.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Health {
    /// Registered, no check passed yet.
    Initial,
    Healthy,
    Unhealthy,
    /// Deregistering: serves the requests bound to it until the deregistration delay ends.
    Draining,
    /// Not in use: its deregistration delay has ended.
    Unused,
}

impl Health {
    /// The word of metrics and the admin API; for a target that is in use and not checked, see
    /// `TargetGroup::health_code`.
    pub const fn code(self) -> &'static str {
        match self {
            Health::Initial => "initial",
            Health::Healthy => "healthy",
            Health::Unhealthy => "unhealthy",
            Health::Draining => "draining",
            Health::Unused => "unused",
        }
    }

    fn from_bits(bits: u8) -> Health {
        match bits & HEALTH {
            0 => Health::Initial,
            1 => Health::Healthy,
            2 => Health::Unhealthy,
            3 => Health::Draining,
            _ => Health::Unused,
        }
    }
}

/// The bits of a [`Health`].
const HEALTH: u8 = 0b111;

/// While a target drains, the result of its checks is stored this many bits above [`HEALTH`].
const BENEATH: u32 = 3;

/// A flag beside the health: the target is ejected, whatever its checks say.
const EJECTED: u8 = 0x80;

/// The result of the checks, for [`TargetState::checked_health`].
fn checked_health(bits: u8) -> Option<Health> {
    match Health::from_bits(bits) {
        in_service @ (Health::Initial | Health::Healthy | Health::Unhealthy) => Some(in_service),
        Health::Draining => Some(Health::from_bits(bits >> BENEATH)),
        Health::Unused => None,
    }
}

/// A flag beside [`Health::Initial`]: the target has drained before, and still serves the requests bound to it.
const RETURNED: u8 = 0x40;

/// The share of a target that is not in a slow start.
const FULL_SHARE_PERCENT: u8 = 100;

/// The counters that every request to a target writes; in one cache line, apart from fields that are only read.
#[derive(Debug, Default)]
struct Hot {
    in_flight: AtomicU32,
    requests: AtomicU64,
    failures: AtomicU64,
    newcomers: Newcomers,
}

/// Shared by every shard and the control plane, for as long as there is a reference.
#[derive(Debug)]
pub struct TargetState {
    /// Dense index, unique in the process while this state lives: shards index their pools by it.
    pub slot: u32,
    /// A [`Health`], the result of checks above [`Health::Draining`], [`EJECTED`] and [`RETURNED`].
    health: AtomicU8,
    /// Percent of its weight, 1 to 100; below 100 during a slow start.
    share_percent: AtomicU8,
    /// Stands beside fields that are only read, because normally it is not written either.
    errors_in_a_row: AtomicU32,
    hot: CachePadded<Hot>,
    /// Requests waiting for a place on this target.
    pub waiting: WaitQueue,
    /// The shards' counts for the metrics.
    pub series: TargetSeries,
    /// Upgraded connections that are open; each holds a place as well.
    tunnels: AtomicU32,
    /// Made with the first cookie that comes back, since most targets never get one.
    sessions: OnceLock<Box<SessionSketch>>,
    /// Takes the slot back when the last reference is gone; `None` for a state outside a registry.
    slots: Option<Arc<Slots>>,
}

impl TargetState {
    /// A state outside any registry, healthy; the caller must make sure that the slot is unique.
    #[cfg(any(test, feature = "internals"))]
    pub fn detached(slot: u32) -> Arc<TargetState> {
        Arc::new(TargetState::new(slot, Health::Healthy, TargetSeries::default(), None))
    }

    fn new(
        slot: u32,
        health: Health,
        series: TargetSeries,
        slots: Option<Arc<Slots>>,
    ) -> TargetState {
        TargetState {
            slot,
            health: AtomicU8::new(health as u8),
            share_percent: AtomicU8::new(FULL_SHARE_PERCENT),
            errors_in_a_row: AtomicU32::new(0),
            hot: CachePadded::new(Hot::default()),
            waiting: WaitQueue::new(),
            series,
            tunnels: AtomicU32::new(0),
            sessions: OnceLock::new(),
            slots,
        }
    }

    /// The health that routing uses: an ejected target in service counts as unhealthy.
    pub fn health(&self) -> Health {
        let bits = self.health.load(Ordering::Relaxed);
        match Health::from_bits(bits) {
            Health::Initial | Health::Healthy if bits & EJECTED != 0 => Health::Unhealthy,
            health => health,
        }
    }

    /// The health that checks and the operator have set, whether the target is ejected or not.
    pub fn health_by_checks(&self) -> Health {
        Health::from_bits(self.health.load(Ordering::Relaxed))
    }

    /// The result of the checks of a target that is in service or drains; `None` for one that is not in use.
    pub fn checked_health(&self) -> Option<Health> {
        checked_health(self.health.load(Ordering::Relaxed))
    }

    /// Takes effect on routing with the next snapshot that is compiled. Keeps an ejection, and for a target that drains
    /// from now on the result of its checks.
    pub fn set_health(&self, health: Health) {
        self.update_health(|bits| {
            let beneath = match health {
                Health::Draining => checked_health(bits).unwrap_or(Health::Initial) as u8,
                Health::Initial | Health::Healthy | Health::Unhealthy | Health::Unused => 0,
            };
            Some((bits & EJECTED) | beneath << BENEATH | health as u8)
        });
    }

    /// Takes a target that drained into service again, to be checked before it gets new requests: until then it serves
    /// the requests bound to it, as it did while it drained.
    pub fn set_returned(&self) {
        self.update_health(|bits| Some((bits & EJECTED) | RETURNED | Health::Initial as u8));
    }

    /// Whether it drained and still waits for the first check.
    pub fn has_returned(&self) -> bool {
        self.health.load(Ordering::Relaxed) & RETURNED != 0
    }

    /// Notes the result of checks: for a target in service it is its health; a target that drains goes on draining
    /// until the next compilation of its group. Returns whether the target is in use.
    pub fn set_health_by_check(&self, health: Health) -> bool {
        self.update_health(|bits| match Health::from_bits(bits) {
            Health::Initial | Health::Healthy | Health::Unhealthy => {
                Some((bits & EJECTED) | health as u8)
            }
            Health::Draining => {
                Some((bits & EJECTED) | (health as u8) << BENEATH | Health::Draining as u8)
            }
            Health::Unused => None,
        })
    }

    pub fn is_ejected(&self) -> bool {
        self.health.load(Ordering::Relaxed) & EJECTED != 0
    }

    /// Takes effect on routing with the next snapshot that is compiled.
    pub fn set_ejected(&self, ejected: bool) {
        self.update_health(|bits| Some(if ejected { bits | EJECTED } else { bits & !EJECTED }));
    }

    fn update_health(&self, update: impl FnMut(u8) -> Option<u8>) -> bool {
        self.health.fetch_update(Ordering::Relaxed, Ordering::Relaxed, update).is_ok()
    }

    /// The part of its weight that counts for new requests, in percent; below 100 during a slow start.
    pub fn share_percent(&self) -> u8 {
        self.share_percent.load(Ordering::Relaxed)
    }

    /// From 1 to 100. Takes effect on routing with the next snapshot that is compiled.
    pub fn set_share_percent(&self, percent: u8) {
        let percent = percent.clamp(1, FULL_SHARE_PERCENT);
        self.share_percent.store(percent, Ordering::Relaxed);
    }

    /// Notes whether the target failed to answer. Writes nothing while all answers are good.
    pub fn note_outcome(&self, is_gateway_error: bool) {
        if is_gateway_error {
            self.errors_in_a_row.fetch_add(1, Ordering::Relaxed);
        } else if self.errors_in_a_row() != 0 {
            self.forget_errors();
        }
    }

    /// Gateway errors since the last response without one.
    pub fn errors_in_a_row(&self) -> u32 {
        self.errors_in_a_row.load(Ordering::Relaxed)
    }

    pub fn forget_errors(&self) {
        self.errors_in_a_row.store(0, Ordering::Relaxed);
    }

    /// How many requests hold a place now, open tunnels among them.
    pub fn in_flight(&self) -> u32 {
        self.hot.in_flight.load(Ordering::Relaxed)
    }

    /// How many requests have got a place so far.
    pub fn requests(&self) -> u64 {
        self.hot.requests.load(Ordering::Relaxed)
    }

    /// How many exchanges have failed on the target's side.
    pub fn failures(&self) -> u64 {
        self.hot.failures.load(Ordering::Relaxed)
    }

    pub fn count_failure(&self) {
        self.hot.failures.fetch_add(1, Ordering::Relaxed);
    }

    /// Whether a request could get a place now; a hint, [`Self::try_acquire`] decides.
    pub fn has_place(&self, limit: u32) -> bool {
        limit == 0 || self.in_flight() < limit
    }

    /// Takes a place if fewer than `limit` are taken (0 = no limit, still counted). Every `true` must be followed by
    /// exactly one [`Self::release`].
    pub fn try_acquire(&self, limit: u32) -> bool {
        let taken = self.take_place(limit);
        if taken {
            self.hot.requests.fetch_add(1, Ordering::Relaxed);
        }
        taken
    }

    /// Sequentially consistent, like the decrement in `release`: see the proof in `queue`.
    fn take_place(&self, limit: u32) -> bool {
        if limit == 0 {
            self.hot.in_flight.fetch_add(1, Ordering::SeqCst);
            return true;
        }
        self.hot
            .in_flight
            .fetch_update(Ordering::SeqCst, Ordering::SeqCst, |now| (now < limit).then(|| now + 1))
            .is_ok()
    }

    /// Gives a place back: to the first waiter if there is one (the count stays the same), else to all.
    pub fn release(&self) {
        if !self.waiting.is_empty() && self.waiting.grant_first() {
            self.hot.requests.fetch_add(1, Ordering::Relaxed);
            return;
        }
        let before = self.hot.in_flight.fetch_sub(1, Ordering::SeqCst);
        debug_assert!(before > 0, "a place was released that nobody held");
        if !self.waiting.is_empty() {
            self.serve_waiters(self.waiting.limit());
        }
    }

    /// Hands free places to waiters until either runs out.
    pub(super) fn serve_waiters(&self, limit: u32) {
        while !self.waiting.is_empty() {
            if !self.take_place(limit) {
                return;
            }
            if self.waiting.grant_first() {
                self.hot.requests.fetch_add(1, Ordering::Relaxed);
            } else {
                self.hot.in_flight.fetch_sub(1, Ordering::SeqCst);
            }
        }
    }
}

/// The counts that a drain waits for.
impl TargetState {
    /// How many upgraded connections are open now.
    pub fn tunnels(&self) -> u32 {
        self.tunnels.load(Ordering::Relaxed)
    }

    /// How many requests hold a place now and have not become tunnels.
    pub fn requests_in_flight(&self) -> u32 {
        self.in_flight().saturating_sub(self.tunnels())
    }

    /// Counts a request as a tunnel until the returned value is dropped.
    pub fn open_tunnel(self: &Arc<Self>) -> OpenTunnel {
        self.tunnels.fetch_add(1, Ordering::Relaxed);
        OpenTunnel { target: Arc::clone(self) }
    }

    /// Notes that a session whose cookie has come back was served here; see [`SessionSketch::note`]. Allocates once in
    /// the target's life. Says whether it was not known here.
    pub fn note_session(&self, session: u128, life: Life, now_s: u64) -> bool {
        let is_new = self.sessions.get_or_init(Box::default).note(session, life, now_s);
        if is_new {
            self.newcomers().forget(session);
        }
        is_new
    }

    /// Notes that a session no longer lives here.
    pub fn forget_session(&self, session: u128, life: Life) {
        if let Some(sessions) = self.sessions.get() {
            sessions.forget(session, life.tag);
        }
        self.newcomers().forget(session);
    }

    /// The sessions that live at this target; `None` before the first cookie that comes back.
    pub fn sessions(&self) -> Option<&SessionSketch> {
        self.sessions.get().map(|sketch| &**sketch)
    }

    /// How full of sessions first visits find this target.
    pub fn newcomers(&self) -> &Newcomers {
        &self.hot.newcomers
    }
}

/// Counts as an open tunnel while it lives.
#[derive(Debug)]
pub struct OpenTunnel {
    target: Arc<TargetState>,
}

impl Drop for OpenTunnel {
    fn drop(&mut self) {
        self.target.tunnels.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Drop for TargetState {
    fn drop(&mut self) {
        if let Some(slots) = &self.slots {
            slots.give_back(self.slot);
        }
    }
}

/// The state that the requests of one group share across shards and snapshots.
#[derive(Debug, Default)]
pub struct GroupState {
    hot: CachePadded<GroupHot>,
    /// The shards' counts for the metrics.
    pub series: GroupSeries,
    ejections: AtomicU64,
    unsealed: AtomicU64,
    /// Session cookies seen in responses of this group's targets.
    pub sessions: SessionNotes,
    /// The consistent table of the last compilation, kept because it is expensive to build.
    pub(super) maglev: super::maglev::Cache,
}

#[derive(Debug, Default)]
struct GroupHot {
    round_robin: AtomicU64,
    retries: RetryBudget,
}

impl GroupState {
    #[cfg(any(test, feature = "internals"))]
    pub fn new() -> Arc<GroupState> {
        Arc::new(GroupState::default())
    }

    /// How many targets were ejected for their responses so far.
    pub fn ejections(&self) -> u64 {
        self.ejections.load(Ordering::Relaxed)
    }

    /// Counts the ejection of a target for its responses.
    pub fn count_ejection(&self) {
        self.ejections.fetch_add(1, Ordering::Relaxed);
    }

    /// Session ids that could not be sealed, ever: too long, not visible ASCII, or several at once.
    pub fn unsealed(&self) -> u64 {
        self.unsealed.load(Ordering::Relaxed)
    }

    /// A session id could not be sealed.
    pub fn count_unsealed(&self) {
        self.unsealed.fetch_add(1, Ordering::Relaxed);
    }

    /// The next turn of round-robin; never repeats in the life of a process.
    pub(super) fn next_turn(&self) -> u64 {
        self.hot.round_robin.fetch_add(1, Ordering::Relaxed)
    }

    pub fn retry_budget(&self) -> &RetryBudget {
        &self.hot.retries
    }
}

/// Dense slot numbers, the lowest free one first.
#[derive(Debug, Default)]
struct Slots {
    free: Mutex<SlotList>,
}

#[derive(Debug, Default)]
struct SlotList {
    next: u32,
    returned: std::collections::BinaryHeap<std::cmp::Reverse<u32>>,
}

impl Slots {
    fn take(&self) -> u32 {
        let mut free = self.free.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(std::cmp::Reverse(slot)) = free.returned.pop() {
            return slot;
        }
        let slot = free.next;
        free.next = free.next.saturating_add(1);
        slot
    }

    fn give_back(&self, slot: u32) {
        let mut free = self.free.lock().unwrap_or_else(PoisonError::into_inner);
        free.returned.push(std::cmp::Reverse(slot));
    }
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct TargetKey {
    group: Box<str>,
    id: Box<str>,
    address: Address,
}

/// Objects found by name, each alive for as long as there is a reference.
type Shared<K, V> = Mutex<HashMap<K, Weak<V>, ahash::RandomState>>;

fn shared<K: Eq + Hash, V>(all: &Shared<K, V>, key: K, make: impl FnOnce() -> V) -> Arc<V> {
    let mut all = all.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(one) = all.get(&key).and_then(Weak::upgrade) {
        return one;
    }
    if all.len() == all.capacity() {
        // Before the map grows, entries without a reference are removed.
        all.retain(|_, one| one.strong_count() > 0);
    }
    let one = Arc::new(make());
    all.insert(key, Arc::downgrade(&one));
    one
}

/// The process-wide registry of the state that snapshots share. Used only by the control plane, so it may lock.
#[derive(Debug, Default)]
pub struct Registry {
    slots: Arc<Slots>,
    shard_count: OnceLock<usize>,
    targets: Shared<TargetKey, TargetState>,
    groups: Shared<Box<str>, GroupState>,
    listeners: Shared<Box<str>, ListenerSeries>,
    /// By listener and rule.
    rules: Shared<(Box<str>, Box<str>), RuleSeries>,
}

impl Registry {
    pub fn new() -> Registry {
        Registry::default()
    }

    /// Sets how many shards will count; only the first call counts, because a process keeps its shards. Before it,
    /// nothing is counted.
    pub fn decide_shard_count(&self, count: impl FnOnce() -> usize) {
        self.shard_count.get_or_init(count);
    }

    fn series<T: Default>(&self) -> PerShard<T> {
        PerShard::new(self.shard_count.get().copied().unwrap_or(0))
    }

    /// The state of a target, the same for as long as there is a reference; new ones start with `initial`.
    ///
    /// The address is part of the identity: a target with a new address is another server, so its health, its count of
    /// requests in flight and above all its pooled connections must not follow it.
    pub fn target(
        &self,
        group: &str,
        id: &str,
        address: &Address,
        initial: Health,
    ) -> Arc<TargetState> {
        let key = TargetKey { group: group.into(), id: id.into(), address: address.clone() };
        shared(&self.targets, key, || {
            let slots = Arc::clone(&self.slots);
            TargetState::new(slots.take(), initial, self.series(), Some(slots))
        })
    }

    /// The shared state of a group, the same for as long as there is a reference.
    pub fn group(&self, name: &str) -> Arc<GroupState> {
        let new = || GroupState { series: self.series(), ..GroupState::default() };
        shared(&self.groups, name.into(), new)
    }

    /// The counts of a listener, the same for as long as there is a reference.
    pub fn listener(&self, name: &str) -> Arc<ListenerSeries> {
        shared(&self.listeners, name.into(), || self.series())
    }

    /// The counts of a listener's rule, the same for as long as there is a reference.
    pub fn rule(&self, listener: &str, name: &str) -> Arc<RuleSeries> {
        shared(&self.rules, (listener.into(), name.into()), || self.series())
    }
}

#[cfg(test)]
#[path = "state_tests.rs"]
mod tests;
