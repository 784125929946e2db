//! The target of a first visit under `new_sessions = "least_sessions"`.
//!
//! A target has room if its live sessions per weight are not above the average. A visit goes to one of two random
//! targets with room, the one with fewer sessions per weight. Two random targets of *all* would not do: a sixth of all
//! users would still go to the two old targets of four, and the new targets of a scale-out would catch up only as old
//! sessions end. A target in its slow start gets no more than its share of users. Randomness is an argument. Tested
//! beside it.

use arrayvec::ArrayVec;

use super::address::TargetIndex;
use super::rendezvous::mix;
use super::target_group::TargetGroup;
use crate::routing::weighted;

/// Targets that one first visit looks at: all of a group that has no more, of a larger one so many in a row.
const LOOKED_AT_MAX: usize = 64;

/// A target that may take the visit.
#[derive(Debug, Clone, Copy)]
struct Seat {
    target: TargetIndex,
    share: u32,
    load: u64,
    starts_slowly: bool,
}

impl Seat {
    /// Fewer sessions per weight than the other.
    fn is_freer_than(&self, other: &Seat) -> bool {
        u128::from(self.load) * u128::from(other.share)
            < u128::from(other.load) * u128::from(self.share)
    }
}

/// The sums of weights and sessions over the targets: the average by weight.
#[derive(Debug, Default)]
struct Average {
    share: u64,
    load: u64,
}

impl Average {
    fn of<'s>(seats: impl Iterator<Item = &'s Seat>) -> Average {
        seats.fold(Average::default(), |sum, seat| Average {
            share: sum.share.saturating_add(u64::from(seat.share)),
            load: sum.load.saturating_add(seat.load),
        })
    }

    fn leaves_room_at(&self, seat: &Seat) -> bool {
        u128::from(seat.load) * u128::from(self.share)
            <= u128::from(self.load) * u128::from(seat.share)
    }
}

impl TargetGroup {
    /// The target of a new session, among those who take new requests, are not excluded (by slot) and have a place;
    /// `None` when there is nobody such.
    pub fn pick_with_room(&self, random: [u64; 2], excluded: &[u32]) -> Option<TargetIndex> {
        let [first, second] = random;
        let seats = self.seats(mix(first.wrapping_add(second)), excluded);
        let by_share: ArrayVec<(usize, u32), LOOKED_AT_MAX> =
            seats.iter().enumerate().map(|(at, seat)| (at, seat.share)).collect();
        let draw = |random: u64, is_one: &dyn Fn(&Seat) -> bool| {
            let is_one = |at: usize| seats.get(at).is_some_and(is_one);
            seats.get(weighted::pick(&by_share, random, is_one)?)
        };
        let all_start = seats.iter().all(|seat| seat.starts_slowly);
        let is_settled = |seat: &Seat| all_start || !seat.starts_slowly;
        let average = Average::of(seats.iter().filter(|seat| is_settled(seat)));
        let any = draw(mix(first ^ mix(second)), &|_| true)?;
        if !is_settled(any) && average.leaves_room_at(any) {
            return Some(any.target);
        }
        let has_room = |seat: &Seat| is_settled(seat) && average.leaves_room_at(seat);
        let one = draw(first, &has_room)?;
        let other = draw(second, &|seat| has_room(seat) && seat.target != one.target);
        Some(other.filter(|other| other.is_freer_than(one)).unwrap_or(one).target)
    }

    fn seats(&self, random: u64, excluded: &[u32]) -> ArrayVec<Seat, LOOKED_AT_MAX> {
        let count = self.eligible.len() as u64;
        let start = match self.eligible.len() > LOOKED_AT_MAX {
            true => random.checked_rem(count).unwrap_or(0) as usize,
            false => 0,
        };
        let (before, after) =
            self.eligible.split_at_checked(start).unwrap_or((&[], &self.eligible));
        let looked_at = after.iter().chain(before).take(LOOKED_AT_MAX);
        let seat = |index: &u32| {
            let index = *index as TargetIndex;
            let target = self.targets.get(index)?;
            let may_take = self.has_place(index) && !self.is_excluded(index, excluded);
            may_take.then(|| Seat {
                target: index,
                share: target.share,
                load: target.state.newcomers().load(),
                starts_slowly: target.share < target.weight.saturating_mul(100),
            })
        };
        looked_at.filter_map(seat).collect()
    }
}

#[cfg(test)]
#[path = "room_tests.rs"]
mod tests;
