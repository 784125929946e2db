//! Tables computed once per snapshot from the weights of a group: the turns of round-robin and the alias
//! table of weighted random. Both make a pick one index, whatever the number of targets.

use crate::group::address::TargetIndex;

/// Turns that any schedule may have; weights are scaled to fit.
const TURNS: usize = 4_096;
/// With many targets a schedule may have as many turns as the steps of a slow start need …
const TURNS_PER_TARGET: usize = 20;
/// … up to this, or one for each target.
const TURNS_MAX: usize = 65_536;

/// The turns of smooth weighted round-robin: each entry `weight` times (after reduction), as evenly spread as weights
/// allow. Entry `i` of `n` takes its `k`-th turn at time `(k + i/n) / weight`; sorting by that time keeps equal weights
/// in the order of the file, and spreads the turns of a heavy entry.
pub(super) fn turns(entries: &[(TargetIndex, u32)]) -> Box<[u32]> {
    let weights = reduce(entries);
    let count = entries.len() as u128;
    let total: usize = weights.iter().map(|weight| *weight as usize).sum();
    let mut timed: Vec<(u128, u32)> = Vec::with_capacity(total);
    for (position, ((index, _), weight)) in entries.iter().zip(&weights).enumerate() {
        let unit = count * u128::from(*weight);
        for turn in 0..u128::from(*weight) {
            let time = ((turn * count + position as u128) << 64) / unit;
            timed.push((time, *index as u32));
        }
    }
    // A stable sort: ties keep the order of the file.
    timed.sort_by_key(|(time, _)| *time);
    timed.into_iter().map(|(_, index)| index).collect()
}

/// Weights divided by their greatest common divisor, then scaled down if their turns are too many; each
/// stays at least 1.
fn reduce(entries: &[(TargetIndex, u32)]) -> Vec<u32> {
    let divisor = entries.iter().fold(0, |divisor, (_, weight)| common_divisor(divisor, *weight));
    let total: u64 = entries.iter().map(|(_, weight)| u64::from(*weight / divisor.max(1))).sum();
    let turns_max = entries.len().saturating_mul(TURNS_PER_TARGET).clamp(TURNS, TURNS_MAX) as u64;
    entries
        .iter()
        .map(|(_, weight)| {
            let weight = u64::from(*weight / divisor.max(1));
            let scaled =
                if total > turns_max { (weight * turns_max + total / 2) / total } else { weight };
            scaled.max(1) as u32
        })
        .collect()
}

fn common_divisor(a: u32, b: u32) -> u32 {
    if b == 0 { a } else { common_divisor(b, a % b) }
}

/// Walker's alias table: every cell is shared by two entries, so one random number selects a cell and one of its
/// entries.
#[derive(Debug, Default)]
pub(super) struct AliasTable {
    cells: Box<[Cell]>,
}

#[derive(Debug, Clone, Copy)]
struct Cell {
    /// Random values below it select `own`, the others `other`.
    threshold: u32,
    own: u32,
    other: u32,
}

impl AliasTable {
    #[expect(clippy::indexing_slicing, reason = "a cell and a share for each position")]
    pub(super) fn new(entries: &[(TargetIndex, u32)]) -> AliasTable {
        const FULL: u128 = 1 << 32;
        let total: u128 = entries.iter().map(|(_, weight)| u128::from(*weight)).sum();
        let count = entries.len() as u128;
        let mut cells: Vec<Cell> = Vec::with_capacity(entries.len());
        let (mut small, mut large) = (Vec::new(), Vec::new());
        let mut shares: Vec<u128> = Vec::with_capacity(entries.len());
        for (position, (index, weight)) in entries.iter().enumerate() {
            let share = u128::from(*weight) * count * FULL / total.max(1);
            shares.push(share);
            cells.push(Cell { threshold: u32::MAX, own: *index as u32, other: *index as u32 });
            if share < FULL { small.push(position) } else { large.push(position) }
        }
        while let (Some(under), Some(over)) = (small.pop(), large.pop()) {
            cells[under].threshold = shares[under] as u32;
            cells[under].other = cells[over].own;
            shares[over] -= FULL - shares[under];
            if shares[over] < FULL { small.push(over) } else { large.push(over) }
        }
        AliasTable { cells: cells.into_boxed_slice() }
    }

    /// Draws an entry in proportion to its weight.
    pub(super) fn draw(&self, random: u64) -> Option<TargetIndex> {
        let position = ((random >> 32) * self.cells.len() as u64) >> 32;
        let cell = self.cells.get(position as usize)?;
        let is_own = (random as u32) < cell.threshold;
        Some(if is_own { cell.own } else { cell.other } as TargetIndex)
    }
}

#[cfg(test)]
mod tests {
    use super::super::rendezvous::mix;
    use crate::group::schedule::*;

    fn sequence(weights: &[u32]) -> String {
        let entries: Vec<_> = weights.iter().copied().enumerate().collect();
        turns(&entries).iter().map(|index| char::from(b'a' + *index as u8)).collect()
    }

    #[test]
    fn turns_follow_weights_and_are_spread() {
        assert_eq!(sequence(&[]), "");
        assert_eq!(sequence(&[7]), "a");
        assert_eq!(sequence(&[1, 1]), "ab");
        assert_eq!(sequence(&[100, 100, 100]), "abc");
        assert_eq!(sequence(&[2, 1]), "aab");
        assert_eq!(sequence(&[3, 1]), "aaba");
        assert_eq!(sequence(&[5, 1, 1]), "aabaaca");
        assert_eq!(sequence(&[20, 10]), "aab");
    }

    #[test]
    fn every_window_gives_each_target_its_share_within_one_turn() {
        let weights = [5u32, 3, 1, 1, 7, 2];
        let text = sequence(&weights).repeat(2);
        let total = weights.iter().sum::<u32>();
        for (index, weight) in weights.iter().enumerate() {
            let name = char::from(b'a' + index as u8);
            for size in 1..=total as usize {
                let fair = f64::from(*weight) * size as f64 / f64::from(total);
                for start in 0..total as usize {
                    let window = &text[start..start + size];
                    let got = window.chars().filter(|c| *c == name).count() as f64;
                    assert!((got - fair).abs() < 2.0, "{name} in {window}: {got}, fair {fair}");
                }
            }
        }
    }

    #[test]
    fn the_schedule_is_bounded_and_forgets_nobody() {
        let entries: Vec<_> = (0..1_000).map(|n| (n, 1 + (n as u32 * 7_919) % 100_003)).collect();
        let turns = turns(&entries);
        assert!(turns.len() <= TURNS_PER_TARGET * entries.len() + entries.len());
        for (index, _) in &entries {
            assert!(turns.contains(&(*index as u32)));
        }
        assert_eq!(super::turns(&[(0, u32::MAX), (1, u32::MAX - 1)]).len(), TURNS);
        let many: Vec<_> = (0..10_000).map(|n| (n, 100)).collect();
        assert_eq!(super::turns(&many).len(), 10_000);
        let uneven: Vec<_> = (0..10_000).map(|n| (n, 1 + (n as u32 * 7_919) % 100_003)).collect();
        assert!(super::turns(&uneven).len() <= TURNS_MAX + uneven.len());
    }

    #[test]
    fn a_target_that_starts_slowly_gets_its_share_among_many() {
        let mut entries: Vec<_> = (0..1_000).map(|n| (n, 100)).collect();
        for percent in [5, 50, 95] {
            entries[7].1 = percent;
            let turns = turns(&entries);
            let count = |of: u32| turns.iter().filter(|index| **index == of).count() as u32;
            assert_eq!(count(7) * 100, count(8) * percent);
        }
    }

    #[test]
    fn the_alias_table_draws_by_weight() {
        let table = AliasTable::new(&[(4, 1), (5, 2), (6, 5)]);
        let mut drawn = [0u32; 7];
        for n in 0..80_000u64 {
            drawn[table.draw(mix(n)).expect("some")] += 1;
        }
        for (index, share) in [(4, 10_000), (5, 20_000), (6, 50_000)] {
            assert!(drawn[index].abs_diff(share) < share / 20, "{drawn:?}");
        }
        assert_eq!(AliasTable::new(&[]).draw(1), None);
        assert_eq!(AliasTable::new(&[(3, u32::MAX)]).draw(u64::MAX), Some(3));
    }
}
