//! A target group of a snapshot: immutable, with the tables of a pick computed beforehand.
//!
//! Owns the settings of a group, its targets, and which of them may take which request. State that changes while
//! requests are served lives in [`TargetState`] and [`GroupState`]. Built by the control plane, read by shards; reads
//! no clock and never locks after [`TargetGroup::new`]. Tested beside it.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use super::address::{Address, TargetIndex};
use super::maglev::{Entry, Maglev};
use super::schedule::{self, AliasTable};
use super::state::{GroupState, Health, TargetState};
use crate::http::edits::Wire;
use crate::proxy_protocol::Version;
use crate::stickiness::stable_key::stable_key;
use crate::stickiness::verdict::Stickiness;
use crate::tls::target::{ConnectionId, PeerName, TlsPeer};

#[derive(Debug, Clone)]
pub struct Target {
    pub id: Arc<str>,
    /// [`stable_key`] of `id`, which stands in cookies and rendezvous; unique in the group.
    pub key: u64,
    pub address: Address,
    /// At 0 it takes no new requests, but keeps those bound to it.
    pub weight: u32,
    /// The part of the weight that counts for balancing, in hundredths: less than all of it during a slow start. Hashes
    /// and sessions follow `weight`, so a slow start moves none of them.
    pub share: u32,
    pub state: Arc<TargetState>,
    /// `None` = requests are all that it is sent, in clear.
    pub manner: Option<Manner>,
}

/// How a target is spoken to before requests.
#[derive(Debug, Clone, Default)]
pub struct Manner {
    /// `None` = in clear.
    pub tls: Option<TlsPeer>,
    /// Every connection begins with a PROXY header, which names the client that it serves.
    pub header: Option<Version>,
    /// In HTTP/2, on connections that exchanges share.
    pub http2: bool,
    /// In HTTP/2, and it is sent calls of gRPC only.
    pub grpc: bool,
}

/// Where a connection leads: a target, and what it is made with.
#[derive(Debug, Clone, Copy)]
pub struct Destination<'t> {
    pub target: &'t Target,
    /// `None` = nothing but a connection, as to most targets.
    pub way: Option<&'t Way<'t>>,
}

/// What a connection is made with.
#[derive(Debug, Clone, Copy)]
pub struct Way<'t> {
    /// What the connection must have proven, and whom it must serve.
    pub id: ConnectionId,
    /// The name that the target is asked for under TLS; `None` = in clear.
    pub name: Option<&'t PeerName>,
    /// The first bytes, before those of TLS.
    pub header: Option<&'t [u8]>,
    /// Exchanges share it.
    pub http2: bool,
}

impl<'t> Way<'t> {
    /// To a target that is asked for this name.
    pub fn to(name: Option<&'t PeerName>) -> Way<'t> {
        Way {
            id: name.map_or(ConnectionId::PLAIN, |name| name.id),
            name,
            header: None,
            http2: false,
        }
    }
}

impl Destination<'_> {
    /// Whether exchanges share connections there.
    #[inline]
    pub fn speaks_http2(&self) -> bool {
        self.way.is_some_and(|way| way.http2)
    }

    /// What a connection must have proven that leads there.
    #[inline]
    pub fn id(&self) -> ConnectionId {
        self.way.map_or(ConnectionId::PLAIN, |way| way.id)
    }
}

impl Target {
    pub fn new(id: Arc<str>, address: Address, weight: u32, state: Arc<TargetState>) -> Target {
        let share = weight.saturating_mul(u32::from(state.share_percent()));
        Target { key: stable_key(&id), id, address, weight, share, state, manner: None }
    }

    /// The same target, spoken to in this way.
    pub fn spoken_to(self, manner: Manner) -> Target {
        let is_special = manner.tls.is_some() || manner.header.is_some() || manner.http2;
        Target { manner: is_special.then_some(manner), ..self }
    }

    /// `None` = it is spoken to in clear.
    #[inline]
    pub fn tls(&self) -> Option<&TlsPeer> {
        self.manner.as_ref()?.tls.as_ref()
    }

    /// The weight that counts for balancing now.
    #[cfg(any(test, feature = "internals"))]
    pub fn effective_weight(&self) -> f64 {
        f64::from(self.share) / 100.0
    }
}

#[derive(Debug, Clone, PartialEq)]
pub enum Algorithm {
    RoundRobin,
    LeastOutstandingRequests,
    WeightedRandom,
    Hash(HashOn),
}

/// The part of a request that the `hash` algorithm uses. A request that lacks it is balanced in turns.
#[derive(Debug, Clone, PartialEq)]
pub enum HashOn {
    /// The first field of this name.
    Header(Box<str>),
    Cookie(Box<str>),
    Source,
    /// The value of the first pair with this key, as the client wrote it.
    Query(Box<str>),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnFull {
    Queue,
    Spill,
    Restick,
    Reject,
}

/// Limits and deadlines of one group, 4-http's defaults.
#[derive(Debug, Clone, PartialEq)]
pub struct GroupOptions {
    pub connect_timeout: Duration,
    /// Of TLS, once there is a connection; zero where targets are spoken to in clear.
    pub handshake_timeout: Duration,
    pub response_timeout: Duration,
    /// Whether a 102 (Processing) restarts `response_timeout`.
    pub response_renewed_by_102: bool,
    pub pool_idle_timeout: Duration,
    pub pool_idle_per_shard: usize,
    /// Most connections of HTTP/2 that a shard has to one target.
    pub connections_max: u32,
    /// Most streams at a time on one of them.
    pub streams_per_connection: u32,
    /// How targets are spoken to.
    pub wire: Wire,
    pub content_idle_timeout: Duration,
    /// In its place for clients of HTTP/2.
    pub stream_idle_timeout: Duration,
    pub tunnel_idle_timeout: Duration,
    /// 0 = none.
    pub connection_limit: u32,
    pub queue_size: u32,
    pub queue_timeout: Duration,
    pub on_full: OnFull,
    pub retries: u32,
    pub retry_budget_percent: u32,
    pub retry_budget_minimum: u32,
    /// The statuses of gRPC after which a call is tried again, a bit each.
    pub retried_statuses: u32,
    pub response_head_bytes: usize,
    pub allow_upgrades: bool,
    /// Changes no decision: an unchecked target counts as healthy, but must not be reported so.
    pub is_checked: bool,
    pub fail_open: FailOpen,
    /// Names of session cookies to watch besides the well-known ones.
    pub session_cookies: Box<[Box<str>]>,
}

/// When unhealthy targets are used because too few are healthy: either figure alone is enough, and 0 never is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FailOpen {
    /// With fewer healthy targets than this.
    pub count: u32,
    /// With fewer healthy targets than this share of those in service.
    pub percent: u32,
}

impl FailOpen {
    fn is_due(self, healthy: usize, in_service: usize) -> bool {
        let (healthy, in_service) = (healthy as u64, in_service as u64);
        healthy < u64::from(self.count)
            || healthy.saturating_mul(100) < in_service.saturating_mul(u64::from(self.percent))
    }
}

/// The requests that a target may serve, as of this snapshot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// New requests and bound ones. `healthy` is false when the target is usable only because the group fails open.
    Usable { healthy: bool },
    /// Bound requests only: it drains, or has drained and waits for a check.
    Draining,
    /// None: it is unhealthy, or not checked yet.
    Unhealthy,
    /// None: it is no longer in use, as if removed.
    Gone,
}

/// The word for a target that serves like a healthy one although it is not checked.
pub const UNCHECKED: &str = "unchecked";

/// All words for a target's health.
pub const HEALTH_CODES: [&str; 6] = [
    Health::Initial.code(),
    Health::Healthy.code(),
    UNCHECKED,
    Health::Unhealthy.code(),
    Health::Draining.code(),
    Health::Unused.code(),
];

/// The parts that a group is made of.
#[derive(Debug)]
pub struct GroupParts {
    pub name: Arc<str>,
    pub algorithm: Algorithm,
    pub options: GroupOptions,
    pub stickiness: Option<Stickiness>,
    pub targets: Vec<Target>,
    pub state: Arc<GroupState>,
}

/// Why a group cannot be compiled.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum GroupFault {
    #[error("target group {group}: two targets have the id {id}")]
    DuplicateId { group: Arc<str>, id: Arc<str> },
    #[error(
        "target group {group}: the ids {first} and {second} have the same key; rename one of them"
    )]
    KeyCollision { group: Arc<str>, first: Arc<str>, second: Arc<str> },
}

#[derive(Debug)]
pub struct TargetGroup {
    pub name: Arc<str>,
    /// [`stable_key`] of `name`, which stands in the cookies of sticky rules.
    pub key: u64,
    pub algorithm: Algorithm,
    pub options: GroupOptions,
    pub stickiness: Option<Stickiness>,
    pub targets: Vec<Target>,
    pub state: Arc<GroupState>,
    /// Parallel to `targets`.
    standings: Box<[Standing]>,
    fails_open: bool,
    by_key: HashMap<u64, u32, ahash::RandomState>,
    /// Usable targets with a weight: they take new requests.
    pub(super) eligible: Box<[u32]>,
    /// Ejected targets with a weight whose checks pass: used when there are no others.
    pub(super) spare: Box<[u32]>,
    /// Ejected targets with a weight whose checks do not pass: for requests that have tried all others.
    last_resort: Box<[u32]>,
    pub(super) turns: Box<[u32]>,
    pub(super) alias: AliasTable,
    /// For the `hash` algorithm only.
    pub(super) consistent: Option<Consistent>,
}

/// The consistent table, and the targets at its positions.
#[derive(Debug)]
pub(super) struct Consistent {
    pub table: Arc<Maglev>,
    pub targets: Box<[u32]>,
}

impl TargetGroup {
    /// Judges every target by its health now and computes the tables of the algorithm.
    ///
    /// Fail open: when fewer targets are healthy than [`FailOpen`] requires, unhealthy and unchecked ones are used as
    /// well; never those that drain or are out of use.
    pub fn new(parts: GroupParts) -> Result<TargetGroup, GroupFault> {
        let GroupParts { name, algorithm, options, stickiness, targets, state } = parts;
        let by_key = index_by_key(&name, &targets)?;
        let (standings, fails_open) = standings(&targets, options.fail_open);
        let (spare, last_resort) = ejected(&targets, &standings, options.fail_open);
        let entries: Vec<(TargetIndex, u32)> = targets
            .iter()
            .enumerate()
            .zip(&standings)
            .filter(|(_, standing)| matches!(standing, Standing::Usable { .. }))
            .map(|((index, target), _)| (index, target.share))
            .filter(|(_, share)| *share > 0)
            .collect();
        let consistent = match &algorithm {
            Algorithm::Hash(_) => Some(consistent(&targets, &state)),
            _ => None,
        };
        Ok(TargetGroup {
            key: stable_key(&name),
            eligible: entries.iter().map(|(index, _)| *index as u32).collect(),
            spare,
            last_resort,
            turns: schedule::turns(&entries),
            alias: AliasTable::new(&entries),
            name,
            algorithm,
            options,
            stickiness,
            targets,
            state,
            standings,
            fails_open,
            by_key,
            consistent,
        })
    }

    /// Whether unhealthy targets are used because too few are healthy.
    pub fn fails_open(&self) -> bool {
        self.fails_open
    }

    /// The word for the health of a target of this group now, as it is reported. A target without checks is
    /// [`UNCHECKED`], unless it is ejected, drains or has drained.
    pub fn health_code(&self, target: &Target) -> &'static str {
        match target.state.health() {
            Health::Healthy if !self.options.is_checked => UNCHECKED,
            health => health.code(),
        }
    }

    /// `Gone` past the end.
    pub fn standing(&self, target: TargetIndex) -> Standing {
        self.standings.get(target).copied().unwrap_or(Standing::Gone)
    }

    /// The target whose id has this key.
    pub fn find(&self, key: u64) -> Option<TargetIndex> {
        self.by_key.get(&key).map(|index| *index as TargetIndex)
    }

    /// Targets that take new requests, in order of the file.
    pub fn eligible(&self) -> impl Iterator<Item = (TargetIndex, &Target)> {
        self.eligible.iter().filter_map(|index| {
            let index = *index as TargetIndex;
            self.targets.get(index).map(|target| (index, target))
        })
    }

    /// Ejected targets whose checks pass: they take requests that no other target may have.
    pub fn spare(&self) -> impl Iterator<Item = (TargetIndex, &Target)> {
        self.spare.iter().filter_map(|index| {
            let index = *index as TargetIndex;
            self.targets.get(index).map(|target| (index, target))
        })
    }

    /// The ejected targets that a request may use when there are no others; `excluded` are those that it has tried.
    pub(super) fn spare_besides(&self, excluded: &[u32]) -> &[u32] {
        let is_left = |index: &u32| !self.is_excluded(*index as TargetIndex, excluded);
        match excluded.is_empty() || self.spare.iter().any(is_left) {
            true => &self.spare,
            false => &self.last_resort,
        }
    }

    /// Whether a request could get a place on the target now; a hint.
    pub fn has_place(&self, target: TargetIndex) -> bool {
        let limit = self.options.connection_limit;
        limit == 0 || self.targets.get(target).is_some_and(|target| target.state.has_place(limit))
    }

    /// Whether the target's slot is in `excluded`.
    pub(crate) fn is_excluded(&self, target: TargetIndex, excluded: &[u32]) -> bool {
        !excluded.is_empty()
            && self.targets.get(target).is_some_and(|target| excluded.contains(&target.state.slot))
    }
}

fn index_by_key(
    group: &Arc<str>,
    targets: &[Target],
) -> Result<HashMap<u64, u32, ahash::RandomState>, GroupFault> {
    let mut by_key = HashMap::with_capacity_and_hasher(targets.len(), Default::default());
    for (index, target) in targets.iter().enumerate() {
        let Some(earlier) = by_key.insert(target.key, index as u32) else { continue };
        let Some(first) = targets.get(earlier as usize) else { continue };
        let first = Arc::clone(&first.id);
        let (group, second) = (Arc::clone(group), Arc::clone(&target.id));
        return Err(if first == second {
            GroupFault::DuplicateId { group, id: first }
        } else {
            GroupFault::KeyCollision { group, first, second }
        });
    }
    Ok(by_key)
}

/// The standing of each target, and whether some are usable only because the group fails open.
fn standings(targets: &[Target], fail_open: FailOpen) -> (Box<[Standing]>, bool) {
    // Read once, because health may change meanwhile.
    let healths: Vec<Health> = targets.iter().map(|target| target.state.health()).collect();
    let count = |of: &[Health]| healths.iter().filter(|health| of.contains(health)).count();
    let (healthy, others) =
        (count(&[Health::Healthy]), count(&[Health::Initial, Health::Unhealthy]));
    let fails_open = others > 0 && fail_open.is_due(healthy, healthy + others);
    let standings = healths
        .into_iter()
        .zip(targets)
        .map(|(health, target)| match health {
            Health::Healthy => Standing::Usable { healthy: true },
            Health::Initial | Health::Unhealthy if fails_open => {
                Standing::Usable { healthy: false }
            }
            // No bound session is moved before a check has failed.
            Health::Initial if target.state.has_returned() => Standing::Draining,
            Health::Initial | Health::Unhealthy => Standing::Unhealthy,
            Health::Draining => Standing::Draining,
            Health::Unused => Standing::Gone,
        })
        .collect();
    (standings, fails_open)
}

/// The ejected targets that serve when there are no others, and those only for requests that have tried all others. An
/// ejection asks for a check, whose first failure makes a target one of the latter; it must not leave the group without
/// any target, unless the group never fails open.
fn ejected(
    targets: &[Target],
    standings: &[Standing],
    fail_open: FailOpen,
) -> (Box<[u32]>, Box<[u32]>) {
    let is_ejected = |target: &Target| target.weight > 0 && target.state.is_ejected();
    let of = |healths: &[Health]| -> Box<[u32]> {
        let unused = targets.iter().zip(standings).enumerate();
        let ejected = unused.filter(|(_, (target, standing))| {
            let health = target.state.health_by_checks();
            **standing == Standing::Unhealthy && is_ejected(target) && healths.contains(&health)
        });
        ejected.map(|(index, _)| index as u32).collect()
    };
    let last_resort: &[Health] = if fail_open.is_due(0, targets.len()) {
        &[Health::Initial, Health::Unhealthy]
    } else {
        &[]
    };
    (of(&[Health::Healthy]), of(last_resort))
}

fn consistent(targets: &[Target], state: &GroupState) -> Consistent {
    let mut weighted: Vec<(Entry, u32)> = targets
        .iter()
        .enumerate()
        .filter(|(_, target)| target.weight > 0)
        .map(|(index, target)| (Entry { key: target.key, weight: target.weight }, index as u32))
        .collect();
    weighted.sort_unstable();
    Consistent {
        table: state.maglev.table(weighted.iter().map(|(entry, _)| *entry).collect()),
        targets: weighted.iter().map(|(_, index)| *index).collect(),
    }
}

#[cfg(test)]
#[path = "target_group_tests.rs"]
pub(crate) mod tests;
