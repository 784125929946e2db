//! Picking a target for a request that is not bound to one.
//!
//! One or two table look-ups per pick, whatever the number of targets. A target at its connection limit or tried before
//! by the same request is skipped while another may take the request; only then, and rarely, does the cost grow with
//! the group. Randomness is an argument. Tested beside it.
//! rarely, does the cost grow with the group. Randomness is an argument. Tested beside it.

use std::net::IpAddr;

use super::rendezvous::{self, mix};
use super::target_group::{Algorithm, HashOn, TargetGroup};
use crate::group::address::TargetIndex;
use crate::http::fields::{Field, FieldId};
use crate::http::query;
use crate::stickiness::cookie;

/// Draws of the algorithm before every target is examined in turn.
const DRAWS_MAX: u64 = 8;

/// The inputs of a pick.
#[derive(Debug, Clone, Copy, Default)]
pub struct Draw {
    /// Two independent random numbers.
    pub random: [u64; 2],
    /// From [`request_hash`]; `None` for other algorithms or when the request lacks the hashed part.
    pub hash: Option<u64>,
}

impl Draw {
    /// Another draw made from this one.
    fn again(&self, attempt: u64) -> Draw {
        let shift = attempt.wrapping_mul(0x9E37_79B9_7F4A_7C15);
        Draw {
            random: self.random.map(|random| mix(random.wrapping_add(shift))),
            hash: self.hash.map(|hash| mix(hash.wrapping_add(shift))),
        }
    }
}

impl TargetGroup {
    /// A target for a new request: by the group's algorithm, not excluded (by slot), with a place if any has one. When
    /// all are full, the algorithm's own choice among them. When no target takes new requests, an ejected one, if
    /// possible one whose checks pass; `None` when there is none of these either.
    pub fn pick(&self, draw: &Draw, excluded: &[u32]) -> Option<TargetIndex> {
        self.pick_eligible(draw, excluded).or_else(|| self.pick_spare(draw, excluded))
    }

    fn pick_eligible(&self, draw: &Draw, excluded: &[u32]) -> Option<TargetIndex> {
        let first = self.draw(draw)?;
        if self.may_take(first, excluded) {
            return Some(first);
        }
        self.pick_another(draw, excluded)
            .or_else(|| (!self.refuses(first, excluded)).then_some(first))
            .or_else(|| self.scan(&self.eligible, draw, |index| !self.is_excluded(index, excluded)))
    }

    #[cold]
    fn pick_spare(&self, draw: &Draw, excluded: &[u32]) -> Option<TargetIndex> {
        let may_take = |index| !self.is_excluded(index, excluded);
        let spare = self.spare_besides(excluded);
        self.scan(spare, draw, |index| may_take(index) && self.has_place(index))
            .or_else(|| self.scan(spare, draw, may_take))
    }

    /// Like [`Self::pick`], but `None` when no target has a place, and without ejected ones.
    pub fn pick_with_place(&self, draw: &Draw, excluded: &[u32]) -> Option<TargetIndex> {
        let first = self.draw(draw)?;
        if self.may_take(first, excluded) {
            return Some(first);
        }
        self.pick_another(draw, excluded)
    }

    /// The deterministic choice for a session whose target cannot serve it; limits are ignored, so that all shards and
    /// nodes agree.
    pub fn fail_over(&self, session: u128, excluded: &[u32]) -> Option<TargetIndex> {
        let candidates = self
            .eligible()
            .filter(|(index, _)| !self.is_excluded(*index, excluded))
            .map(|(index, target)| (index, target.key, target.weight));
        rendezvous::choose(session, candidates)
    }

    /// The same among ejected targets, when there are no others.
    pub fn fail_over_to_spare(&self, session: u128, excluded: &[u32]) -> Option<TargetIndex> {
        let spare = self.spare_besides(excluded).iter().map(|index| *index as TargetIndex);
        let candidates = spare
            .filter(|index| !self.is_excluded(*index, excluded))
            .filter_map(|index| self.targets.get(index).map(|one| (index, one.key, one.weight)));
        rendezvous::choose(session, candidates)
    }

    fn draw(&self, draw: &Draw) -> Option<TargetIndex> {
        match &self.algorithm {
            Algorithm::RoundRobin => self.next_in_turn(),
            Algorithm::LeastOutstandingRequests => self.less_busy_of_two(draw),
            Algorithm::WeightedRandom => self.alias.draw(draw.random[0]),
            Algorithm::Hash(_) => match draw.hash {
                Some(hash) => self.consistent_target(hash),
                None => self.next_in_turn(),
            },
        }
    }

    fn next_in_turn(&self) -> Option<TargetIndex> {
        let turn = self.state.next_turn().checked_rem(self.turns.len() as u64)?;
        self.turns.get(turn as usize).map(|index| *index as TargetIndex)
    }

    /// Power of two choices: both drawn by share, the one with fewer requests per share serves.
    fn less_busy_of_two(&self, draw: &Draw) -> Option<TargetIndex> {
        let first = self.alias.draw(draw.random[0])?;
        let mut second = self.alias.draw(draw.random[1])?;
        if first == second {
            second = self.any_other(first, draw.random[1])?;
        }
        let (Some(a), Some(b)) = (self.targets.get(first), self.targets.get(second)) else {
            return Some(first);
        };
        let load = |busy: u32, other_share: u32| u64::from(busy) * u64::from(other_share);
        let is_second_freer =
            load(b.state.in_flight(), a.share) < load(a.state.in_flight(), b.share);
        Some(if is_second_freer { second } else { first })
    }

    /// Any target but `one`, unless there is no other.
    fn any_other(&self, one: TargetIndex, random: u64) -> Option<TargetIndex> {
        let position = mix(random).checked_rem(self.eligible.len() as u64)? as usize;
        let index = *self.eligible.get(position)? as TargetIndex;
        if index != one {
            return Some(index);
        }
        let next = self.eligible.get(position + 1).or(self.eligible.first())?;
        Some(*next as TargetIndex)
    }

    /// The result may be a target that takes no new requests; the caller then draws again.
    fn consistent_target(&self, hash: u64) -> Option<TargetIndex> {
        let consistent = self.consistent.as_ref()?;
        let position = consistent.table.find(hash)?;
        consistent.targets.get(position).map(|index| *index as TargetIndex)
    }

    /// Whether the target must not have this request, full or not. Only the consistent table can contain targets that
    /// take no new requests.
    fn refuses(&self, index: TargetIndex, excluded: &[u32]) -> bool {
        self.is_excluded(index, excluded) || (self.consistent.is_some() && !self.takes_new(index))
    }

    fn takes_new(&self, index: TargetIndex) -> bool {
        matches!(self.standing(index), super::target_group::Standing::Usable { .. })
    }

    fn may_take(&self, index: TargetIndex, excluded: &[u32]) -> bool {
        !self.refuses(index, excluded) && self.has_place(index)
    }

    #[cold]
    fn pick_another(&self, draw: &Draw, excluded: &[u32]) -> Option<TargetIndex> {
        for attempt in 1..=DRAWS_MAX {
            let index = self.draw(&draw.again(attempt))?;
            if self.may_take(index, excluded) {
                return Some(index);
            }
        }
        self.scan(&self.eligible, draw, |index| self.may_take(index, excluded))
    }

    /// The first suitable one of these targets, from a start that depends on the request.
    fn scan(
        &self,
        among: &[u32],
        draw: &Draw,
        will_do: impl Fn(TargetIndex) -> bool,
    ) -> Option<TargetIndex> {
        let start = mix(draw.hash.unwrap_or(draw.random[0])).checked_rem(among.len() as u64)?;
        let (before, after) = among.split_at_checked(start as usize)?;
        after.iter().chain(before).map(|index| *index as TargetIndex).find(|index| will_do(*index))
    }
}

/// The parts of a request that the `hash` algorithm can use.
#[derive(Debug, Clone, Copy)]
pub struct Shown<'a> {
    pub fields: &'a [Field<'a>],
    pub source: Option<IpAddr>,
    pub query: Option<&'a [u8]>,
}

/// The hash of the part that the group's setting names; the same on all nodes and in all versions. `None` when the
/// request lacks that part.
pub fn request_hash(on: &HashOn, shown: &Shown<'_>) -> Option<u64> {
    match on {
        HashOn::Header(name) => {
            let field = shown
                .fields
                .iter()
                .find(|field| field.name.eq_ignore_ascii_case(name.as_bytes()))?;
            Some(hash_decoded(field.value))
        }
        HashOn::Cookie(name) => {
            cookie::find(cookie_values(shown.fields), name.as_bytes()).map(hash_decoded)
        }
        HashOn::Source => Some(match shown.source?.to_canonical() {
            IpAddr::V4(address) => hash_bytes(&address.octets()),
            IpAddr::V6(address) => hash_bytes(&address.octets()),
        }),
        HashOn::Query(key) => {
            let wanted = key.as_bytes();
            let mut pairs = query::pairs(shown.query?);
            let (_, value) =
                pairs.find(|(key, _)| query::decoded(key).eq(wanted.iter().copied()))?;
            Some(hash_decoded(value))
        }
    }
}

/// Cookie field values, in order.
pub fn cookie_values<'a>(fields: &'a [Field<'a>]) -> impl Iterator<Item = &'a [u8]> + Clone {
    fields.iter().filter(|field| field.id == FieldId::Cookie).map(|field| field.value)
}

/// FNV-1a, finished by [`mix`]: short values, no state, fixed for ever.
fn hash_octets(octets: impl Iterator<Item = u8>) -> u64 {
    let hash = octets.fold(0xCBF2_9CE4_8422_2325, |hash: u64, octet| {
        (hash ^ u64::from(octet)).wrapping_mul(0x0000_0100_0000_01B3)
    });
    mix(hash)
}

/// Decoded, because different spellings of a value mean one user: many frameworks encode cookies like forms, and values
/// move from queries into fields.
fn hash_decoded(text: &[u8]) -> u64 {
    hash_octets(query::decoded(text))
}

fn hash_bytes(bytes: &[u8]) -> u64 {
    hash_octets(bytes.iter().copied())
}

#[cfg(test)]
#[path = "balance_tests.rs"]
mod tests;
