//! Which target serves a request: the one question the exchange asks.
//!
//! Joins the weighted groups of a forward action, the stickiness of the rule or the group, first-visit
//! coherence and retries (targets that were tried are excluded). Pure but for the counters of [`super::state`]; takes no
//! place: the caller acquires the chosen target and asks [`super::on_full`] when it cannot. Tested beside it.

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use super::balance::{self, Draw, Shown, cookie_values};
use super::placing::Placed;
use super::rendezvous;
use super::target_group::{Algorithm, TargetGroup};
use crate::group::address::TargetIndex;
use crate::group::state::Health;
use crate::http::fields::Field;
use crate::routing::actions::{Forward, GroupIndex};
use crate::routing::weighted;
use crate::stickiness::cookie::Plain;
use crate::stickiness::memo::Memo;
use crate::stickiness::options::{Failback, NewSessions};
use crate::stickiness::response_cookie::AppCookieEvent;
use crate::stickiness::session_field;
use crate::stickiness::set_cookie::Assignment;
use crate::stickiness::verdict::{Reading, Stickiness};
use crate::telemetry::reason::Reason;

/// Random numbers for one request.
#[derive(Clone, Copy)]
pub struct Random<'a> {
    /// Draws the session id if a session begins, which few requests do.
    pub session: &'a dyn Fn() -> u128,
    pub group: u64,
    pub target: [u64; 2],
}

impl fmt::Debug for Random<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Random { session: _, group, target } = self;
        formatter.debug_tuple("Random").field(group).field(target).finish()
    }
}

/// Everything a choice may depend on.
#[derive(Debug, Clone, Copy)]
pub struct Ask<'a> {
    /// Seconds since the epoch.
    pub now_s: u64,
    pub random: Random<'a>,
    /// Where the cookies and seals are remembered that were opened lately.
    pub opened: Option<&'a Memo>,
    /// Of the request as the client sent it; Cookie fields are found by their id.
    pub fields: &'a [Field<'a>],
    pub source: Option<IpAddr>,
    pub query: Option<&'a [u8]>,
    /// The assignments of first visits on this client connection.
    pub pinned: &'a [Pinned],
    /// A proxy may send several users over this connection: they may share a target, never a session.
    pub is_shared: bool,
    /// Slots of targets that failed this request.
    pub excluded: &'a [u32],
}

/// An assignment that a client connection remembers, so that a first visit of several requests of one
/// client leads to one target.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pinned {
    scope: u64,
    client: Option<IpAddr>,
    plain: Plain,
}

impl Pinned {
    /// Where a client was assigned at `now_s`.
    pub fn new(
        sticky: &Stickiness,
        client: Option<IpAddr>,
        assignment: &Assignment,
        now_s: u64,
    ) -> Pinned {
        Pinned { scope: sticky.scope_key(), client, plain: assignment.seen(now_s) }
    }

    /// Whether both are about the same client and the same group or rule.
    pub fn is_of_the_same(&self, other: &Pinned) -> bool {
        (self.scope, self.client) == (other.scope, other.client)
    }

    /// Whether it remembers this assignment.
    pub fn is_of(&self, assignment: &Assignment) -> bool {
        (self.plain.session, self.plain.target) == (assignment.session, assignment.target)
    }
}

/// Who serves the request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Choice {
    pub group: GroupIndex,
    pub target: TargetIndex,
    /// `None` when neither the rule nor the group is sticky.
    pub sticky: Option<StickyOutcome>,
}

/// When the assignment goes to the client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Issue {
    /// With this response: new, changed, or due to be refreshed.
    Now,
    /// In the value of a session id that the response brings, and never in one that the client has.
    WithSessionId,
    /// Only if the response sets the application's cookie.
    WithAppCookie,
    /// Not with this response: the session is served elsewhere once.
    Never,
}

/// The stickiness of one choice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StickyOutcome {
    pub reason: Reason,
    /// The session as it is from now on.
    pub assignment: Assignment,
    pub issue: Issue,
    /// Whether cookie or connection led to this target: a refused connection is then tried again there.
    pub bound: bool,
    /// The request has brought the session's cookie, which makes it a session that counts.
    pub is_known: bool,
    /// Where the session has lived until now, if that is elsewhere.
    pub left: Option<(GroupIndex, TargetIndex)>,
    /// The client connection remembers the assignment from now on; else it keeps what it has.
    pub is_pinned: bool,
}

/// What the response must carry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CookieAction {
    Nothing,
    Set(Assignment),
    Delete,
}

impl StickyOutcome {
    /// What the response must carry, once its own Set-Cookie fields are known.
    pub fn answer(&self, app_cookie: AppCookieEvent) -> CookieAction {
        match (app_cookie, self.issue) {
            (AppCookieEvent::Deleted, _) => CookieAction::Delete,
            (_, Issue::Now) | (AppCookieEvent::Set, Issue::WithAppCookie) => {
                CookieAction::Set(self.assignment)
            }
            (AppCookieEvent::None, Issue::WithAppCookie)
            | (_, Issue::WithSessionId | Issue::Never) => CookieAction::Nothing,
        }
    }
}

impl StickyOutcome {
    /// What the response of the target with this key makes of the session there: nothing of one that is served
    /// elsewhere for once, or whose cookie has not come back yet.
    pub fn count_at(&self, target: u64, action: CookieAction) -> Count {
        match action {
            _ if !self.is_known || self.assignment.target != target => Count::Nothing,
            CookieAction::Nothing | CookieAction::Set(_) => Count::Lives,
            CookieAction::Delete => Count::Ends,
        }
    }
}

/// What a response makes of a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Count {
    Nothing,
    /// It lives at the target from now on.
    Lives,
    /// The application has ended it.
    Ends,
}

/// Why no target gets the request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unplaced {
    NoTarget,
    Lost(LostSession),
}

/// A session that is not to be served elsewhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LostSession {
    /// Flushed, too old, or its target is unhealthy or gone.
    pub reason: Reason,
    /// What the client is told.
    pub status: u16,
    /// The group whose verdict this is; `None` where a rule over several groups has lost the session's.
    pub group: Option<GroupIndex>,
    /// The session, and where it has lived, if that is still there.
    pub left: Option<(u128, GroupIndex, TargetIndex)>,
}

/// Chooses who serves a request. `rule` is the stickiness of a rule that is sticky across its groups.
pub fn select(
    groups: &[Arc<TargetGroup>],
    forward: &Forward,
    rule: Option<&Stickiness>,
    ask: &Ask<'_>,
) -> Result<Choice, Unplaced> {
    let choice = match rule.filter(|rule| rule.is_enabled()) {
        Some(rule) => Scoped { groups, candidates: &forward.groups, sticky: rule, ask }.select(),
        None => {
            let group = draw_group(groups, &forward.groups, ask).ok_or(Unplaced::NoTarget)?;
            select_in_group(groups, group, ask)
        }
    }?;
    if ask.excluded.is_empty()
        && let Some(group) = groups.get(choice.group)
    {
        group.state.retry_budget().count_request(ask.now_s);
    }
    Ok(choice)
}

fn select_in_group(
    groups: &[Arc<TargetGroup>],
    index: GroupIndex,
    ask: &Ask<'_>,
) -> Result<Choice, Unplaced> {
    let group = groups.get(index).ok_or(Unplaced::NoTarget)?;
    match group.stickiness.as_ref().filter(|sticky| sticky.is_enabled()) {
        Some(sticky) => Scoped { groups, candidates: &[(index, 1)], sticky, ask }.select(),
        None => {
            let target = group.pick(&draw(group, ask), ask.excluded).ok_or(Unplaced::NoTarget)?;
            Ok(Choice { group: index, target, sticky: None })
        }
    }
}

pub(super) fn draw(group: &TargetGroup, ask: &Ask<'_>) -> Draw {
    let hash = match &group.algorithm {
        Algorithm::Hash(on) => {
            let shown = Shown { fields: ask.fields, source: ask.source, query: ask.query };
            balance::request_hash(on, &shown)
        }
        Algorithm::RoundRobin | Algorithm::LeastOutstandingRequests | Algorithm::WeightedRandom => {
            None
        }
    };
    Draw { random: ask.random.target, hash }
}

/// A group by weight, among those that have a target for the request, if only an ejected one; among all if
/// none has, since a target that drains may still serve what is bound to it.
fn draw_group(
    groups: &[Arc<TargetGroup>],
    candidates: &[(GroupIndex, u32)],
    ask: &Ask<'_>,
) -> Option<GroupIndex> {
    if let [(only, weight)] = candidates {
        return (*weight > 0).then_some(*only);
    }
    let draw =
        |is_one: &dyn Fn(GroupIndex) -> bool| weighted::pick(candidates, ask.random.group, is_one);
    draw(&|index| can_serve(groups, index, ask.excluded))
        .or_else(|| draw(&|index| has_spare(groups, index, ask.excluded)))
        .or_else(|| draw(&|index| index < groups.len()))
}

fn can_serve(groups: &[Arc<TargetGroup>], index: GroupIndex, excluded: &[u32]) -> bool {
    groups.get(index).is_some_and(|group| {
        group.eligible().any(|(_, target)| !excluded.contains(&target.state.slot))
    })
}

fn has_spare(groups: &[Arc<TargetGroup>], index: GroupIndex, excluded: &[u32]) -> bool {
    groups.get(index).is_some_and(|group| {
        let spare = group.spare_besides(excluded);
        spare.iter().any(|index| !group.is_excluded(*index as TargetIndex, excluded))
    })
}

/// A request in a sticky scope: one group, or the groups of a sticky rule.
struct Scoped<'a> {
    groups: &'a [Arc<TargetGroup>],
    candidates: &'a [(GroupIndex, u32)],
    sticky: &'a Stickiness,
    ask: &'a Ask<'a>,
}

/// Where a session that exists is served.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Found {
    pub group: GroupIndex,
    pub target: TargetIndex,
    pub reason: Reason,
    /// Key of the session's home target from now on.
    pub home: u64,
}

/// Where a living cookie leads, for explanations: like [`select`], but counts nothing.
pub fn lead(
    groups: &[Arc<TargetGroup>],
    candidates: &[(GroupIndex, u32)],
    sticky: &Stickiness,
    plain: &Plain,
) -> Option<Found> {
    let ask = &Ask {
        now_s: plain.last_seen_s,
        random: Random { session: &|| plain.session, group: 0, target: [0; 2] },
        opened: None,
        fields: &[],
        source: None,
        query: None,
        pinned: &[],
        is_shared: false,
        excluded: &[],
    };
    Scoped { groups, candidates, sticky, ask }.find(plain).ok()
}

impl Scoped<'_> {
    fn select(&self) -> Result<Choice, Unplaced> {
        let reading = self.read();
        match reading {
            Reading::Live(plain) => self.follow(&plain),
            Reading::Absent
            | Reading::Invalid
            | Reading::UnknownKey
            | Reading::Flushed
            | Reading::ExpiredAge
            | Reading::ExpiredIdle => {
                let reason = reading.fresh_reason().unwrap_or(Reason::New);
                if self.sticky.answer_to_lost(reason).is_some() {
                    return Err(self.lost(reason, None));
                }
                match self.pinned() {
                    Some(plain) => self.follow_pinned(&plain, reason),
                    None => self.begin(reason),
                }
            }
        }
    }

    /// What the request's cookie, or its sealed session id, is worth.
    #[inline]
    fn read(&self) -> Reading {
        let Ask { fields, now_s, opened, .. } = *self.ask;
        if let Some(field) = self.sticky.session_field() {
            let values = session_field::values(fields, field.name()).map(|(_, value)| value);
            return self.sticky.read_field(field, values, now_s, |codec, sealed| match opened {
                Some(memo) => memo.open_seal(codec, sealed),
                None => codec.open(sealed),
            });
        }
        let codec = self.sticky.codec();
        let open = |value: &[u8]| match opened {
            Some(memo) => memo.open(codec, value),
            None => codec.open(value),
        };
        self.sticky.read_through(cookie_values(fields), now_s, open)
    }

    /// A session that is told to begin anew, for `reason`.
    #[cold]
    fn lost(&self, reason: Reason, plain: Option<&Plain>) -> Unplaced {
        let Some(status) = self.sticky.answers_lost() else { return Unplaced::NoTarget };
        let left = plain.and_then(|plain| {
            let (group, target) = self.place_of(plain)?;
            Some((plain.session, group, target))
        });
        let group = match *self.candidates {
            [(only, _)] => Some(only),
            _ => left.map(|(_, group, _)| group),
        };
        Unplaced::Lost(LostSession { reason, status, group, left })
    }

    /// A living cookie decides.
    fn follow(&self, plain: &Plain) -> Result<Choice, Unplaced> {
        let found = self.find(plain).map_err(|reason| self.lost(reason, Some(plain)))?;
        if self.sticky.answer_to_lost(found.reason).is_some() {
            return Err(self.lost(found.reason, Some(plain)));
        }
        let assignment = self.assignment(plain, &found)?;
        let is_changed = assignment.target != plain.target || assignment.group != plain.group;
        let issue = if self.sticky.session_field().is_some() {
            Issue::WithSessionId
        } else if is_changed || self.sticky.is_refresh_due(plain, self.ask.now_s) {
            Issue::Now
        } else if self.sticky.app_cookie().is_some() {
            Issue::WithAppCookie
        } else {
            Issue::Never
        };
        let sticky = StickyOutcome {
            reason: found.reason,
            assignment,
            issue,
            bound: true,
            is_known: true,
            left: if is_changed { self.place_of(plain) } else { None },
            is_pinned: false,
        };
        Ok(Choice { group: found.group, target: found.target, sticky: Some(sticky) })
    }

    /// No cookie that counts, but this client was assigned somewhere on this very connection.
    fn follow_pinned(&self, plain: &Plain, reason: Reason) -> Result<Choice, Unplaced> {
        let found = self.find(plain).map_err(|_| Unplaced::NoTarget)?;
        // A client that keeps no cookie would stay for as long as its connection, and its target never be empty.
        if self.is_leaving(&found)
            && let Ok(choice) = self.begin(reason)
        {
            return Ok(choice);
        }
        let mut assignment = self.assignment(plain, &found)?;
        if self.ask.is_shared {
            assignment.session = (self.ask.random.session)();
        }
        if assignment.target != plain.target {
            // No cookie has told of the one before.
            assignment.home = assignment.target;
        }
        let sticky = StickyOutcome {
            reason,
            assignment,
            issue: Issue::Now,
            bound: true,
            is_known: false,
            left: None,
            is_pinned: true,
        };
        Ok(Choice { group: found.group, target: found.target, sticky: Some(sticky) })
    }

    /// Whether the target only ends what it has begun.
    fn is_leaving(&self, found: &Found) -> bool {
        let target = self.groups.get(found.group).and_then(|group| group.targets.get(found.target));
        target.is_some_and(|target| target.weight == 0 || target.state.health() == Health::Draining)
    }

    /// A new session is balanced.
    fn begin(&self, reason: Reason) -> Result<Choice, Unplaced> {
        let index = draw_group(self.groups, self.candidates, self.ask).ok_or(Unplaced::NoTarget)?;
        let group = self.groups.get(index).ok_or(Unplaced::NoTarget)?;
        let seeks_room = self.sticky.options().new_sessions == NewSessions::LeastSessions;
        let picked = self.pick_new(group, seeks_room).ok_or(Unplaced::NoTarget)?;
        let place = group.targets.get(picked).ok_or(Unplaced::NoTarget)?;
        let target = place.key;
        let assignment = Assignment {
            generation: self.sticky.options().generation,
            group: group.key,
            target,
            home: target,
            session: (self.ask.random.session)(),
            issued_s: self.ask.now_s,
        };
        if seeks_room {
            place.state.newcomers().place(assignment.session, self.ask.now_s);
        }
        let issue = if self.sticky.session_field().is_some() {
            Issue::WithSessionId
        } else if self.sticky.app_cookie().is_some() {
            Issue::WithAppCookie
        } else {
            Issue::Now
        };
        let sticky = StickyOutcome {
            reason,
            assignment,
            issue,
            bound: false,
            is_known: false,
            left: None,
            is_pinned: issue == Issue::Now,
        };
        Ok(Choice { group: index, target: picked, sticky: Some(sticky) })
    }

    fn pick_new(&self, group: &TargetGroup, seeks_room: bool) -> Option<TargetIndex> {
        let Ask { random, excluded, .. } = *self.ask;
        let with_room = seeks_room.then(|| group.pick_with_room(random.target, excluded)).flatten();
        with_room.or_else(|| group.pick(&draw(group, self.ask), excluded))
    }

    /// Where a session is served: in its group, or, when that has nobody for it, in another of the scope,
    /// chosen by the session alone. A session that left its group does not return to it. Where nobody may have it, why
    /// it cannot stay where it was.
    fn find(&self, plain: &Plain) -> Result<Found, Reason> {
        let own = self.candidates.iter().find_map(|(index, _)| {
            let group = self.groups.get(*index)?;
            (group.key == plain.group).then_some((*index, group))
        });
        let mut reason = Reason::Removed;
        if let Some((index, group)) = own {
            let placed = group.place(plain, self.sticky.options().failback, self.ask.excluded);
            if let Some(target) = placed.target {
                let Placed { reason, home, .. } = placed;
                return Ok(Found { group: index, target, reason, home });
            }
            reason = placed.reason;
        }
        let others = self.candidates.iter().filter_map(|(index, weight)| {
            let group = self.groups.get(*index)?;
            can_serve(self.groups, *index, self.ask.excluded).then_some((
                (*index, group),
                group.key,
                *weight,
            ))
        });
        let Some((index, group)) = rendezvous::choose(plain.session, others) else {
            return self.find_spare(plain, own, reason).ok_or(reason);
        };
        let target = group.fail_over(plain.session, self.ask.excluded).ok_or(reason)?;
        let home = group.targets.get(target).ok_or(reason)?.key;
        Ok(Found { group: index, target, reason, home })
    }

    /// The whole scope has nobody for the session but targets that are ejected: its own group's, or another's.
    #[cold]
    fn find_spare(
        &self,
        plain: &Plain,
        own: Option<(GroupIndex, &Arc<TargetGroup>)>,
        reason: Reason,
    ) -> Option<Found> {
        let Ask { excluded, .. } = *self.ask;
        let others = self.candidates.iter().filter_map(|(index, weight)| {
            let group = self.groups.get(*index)?;
            let has_spare = has_spare(self.groups, *index, excluded);
            has_spare.then_some(((*index, group), group.key, *weight))
        });
        let own = own.filter(|(index, _)| has_spare(self.groups, *index, excluded));
        let (index, group) = own.or_else(|| rendezvous::choose(plain.session, others))?;
        let target = group.fail_over_to_spare(plain.session, excluded)?;
        let home = match self.sticky.options().failback {
            Failback::Healthy if group.key == plain.group => plain.home,
            Failback::Healthy | Failback::Never => group.targets.get(target)?.key,
        };
        Some(Found { group: index, target, reason, home })
    }

    /// The target that a cookie names, if it is still there.
    #[cold]
    fn place_of(&self, plain: &Plain) -> Option<(GroupIndex, TargetIndex)> {
        self.candidates.iter().find_map(|(index, _)| {
            let group = self.groups.get(*index).filter(|group| group.key == plain.group)?;
            Some((*index, group.find(plain.target)?))
        })
    }

    fn assignment(&self, plain: &Plain, found: &Found) -> Result<Assignment, Unplaced> {
        let group = self.groups.get(found.group).ok_or(Unplaced::NoTarget)?;
        Ok(Assignment {
            // Never below the cookie's own: another node may know of a flush before we do.
            generation: plain.generation.max(self.sticky.options().generation),
            group: group.key,
            target: group.targets.get(found.target).ok_or(Unplaced::NoTarget)?.key,
            home: found.home,
            session: plain.session,
            issued_s: plain.issued_s,
        })
    }

    /// What this connection remembers of this scope, if it still counts.
    fn pinned(&self) -> Option<Plain> {
        if self.sticky.begins_with_response() {
            return None;
        }
        let scope = self.sticky.scope_key();
        let is_ours = |pinned: &&Pinned| pinned.scope == scope && pinned.client == self.ask.source;
        let pinned = self.ask.pinned.iter().find(is_ours)?;
        match self.sticky.appraise(pinned.plain, self.ask.now_s) {
            Reading::Live(plain) => Some(plain),
            Reading::Absent
            | Reading::Invalid
            | Reading::UnknownKey
            | Reading::Flushed
            | Reading::ExpiredAge
            | Reading::ExpiredIdle => None,
        }
    }
}

#[cfg(test)]
#[path = "select_tests.rs"]
mod tests;
