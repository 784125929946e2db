//! The consistent table of the `hash` algorithm (Maglev, Eisenbud et al., NSDI 2016, §3.4), weighted.
//!
//! A look-up is one index whatever the number of targets. Stability: the table is built over every target with a
//! weight, healthy or not, so a change of health moves only the keys of the target that changed (the pick hashes again
//! when a target may not take the request). Adding or removing a target, or changing a weight, moves its own share and,
//! as a property of Maglev, a few percent of the others. Entries are sorted by key, so the order of the file does not
//! matter and all nodes agree.

use std::sync::{Arc, Mutex, PoisonError};

use super::rendezvous::mix;

/// Prime, and at least a hundred cells for each of 655 targets.
const SIZE: usize = 65_537;
/// Prime, for groups that the small table would balance unevenly.
const LARGE_SIZE: usize = 655_373;
const ENTRIES_MAX_OF_SIZE: usize = 2_000;

/// One target of the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Entry {
    pub key: u64,
    pub weight: u32,
}

/// Cells hold positions in the sorted entries.
#[derive(Debug)]
pub(super) struct Maglev {
    entries: Box<[Entry]>,
    cells: Box<[u32]>,
}

impl Maglev {
    fn new(entries: Box<[Entry]>) -> Maglev {
        let size = if entries.len() > ENTRIES_MAX_OF_SIZE { LARGE_SIZE } else { SIZE };
        let cells = if entries.is_empty() { Box::default() } else { fill(&entries, size) };
        Maglev { entries, cells }
    }

    /// The position of the entry, in order of keys, that owns `hash`.
    pub(super) fn find(&self, hash: u64) -> Option<usize> {
        let cell = hash.checked_rem(self.cells.len() as u64)?;
        self.cells.get(cell as usize).map(|entry| *entry as usize)
    }
}

/// Every entry takes cells in the order of its own permutation, with as many turns as its weight gives it.
#[expect(
    clippy::indexing_slicing,
    reason = "a credit and a walk for each entry; a walk stays below `size`"
)]
fn fill(entries: &[Entry], size: usize) -> Box<[u32]> {
    const FREE: u32 = u32::MAX;
    let heaviest = entries.iter().map(|entry| u64::from(entry.weight)).max().unwrap_or(1).max(1);
    let mut cells = vec![FREE; size].into_boxed_slice();
    let mut walks: Vec<Walk> = entries.iter().map(|entry| Walk::new(entry.key, size)).collect();
    let mut credits = vec![0u64; entries.len()];
    let mut left = size;
    loop {
        for (position, entry) in entries.iter().enumerate() {
            credits[position] += u64::from(entry.weight);
            if credits[position] < heaviest {
                continue;
            }
            credits[position] -= heaviest;
            let cell = walks[position].next_where(size, |cell| cells[cell] == FREE);
            cells[cell] = position as u32;
            left -= 1;
            if left == 0 {
                return cells;
            }
        }
    }
}

/// The order in which an entry visits all cells: a start and a step, which reaches every cell because their number is
/// prime.
struct Walk {
    at: usize,
    step: usize,
}

impl Walk {
    fn new(key: u64, size: usize) -> Walk {
        let at = (mix(key) % size as u64) as usize;
        let step = (mix(key ^ 0x9E37_79B9_7F4A_7C15) % (size as u64 - 1)) as usize + 1;
        Walk { at, step }
    }

    fn next_where(&mut self, size: usize, wanted: impl Fn(usize) -> bool) -> usize {
        loop {
            let cell = self.at;
            self.at = (self.at + self.step) % size;
            if wanted(cell) {
                return cell;
            }
        }
    }
}

/// The table of the last compilation: most snapshots do not change its inputs.
#[derive(Debug, Default)]
pub(super) struct Cache(Mutex<Option<Arc<Maglev>>>);

impl Cache {
    /// The table for `entries`, which this sorts.
    pub(super) fn table(&self, mut entries: Vec<Entry>) -> Arc<Maglev> {
        entries.sort_unstable();
        let mut last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match &*last {
            Some(table) if *table.entries == *entries => Arc::clone(table),
            _ => {
                let table = Arc::new(Maglev::new(entries.into_boxed_slice()));
                *last = Some(Arc::clone(&table));
                table
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::group::maglev::*;

    fn entries(weights: &[u32]) -> Vec<Entry> {
        let keyed = weights.iter().enumerate();
        keyed.map(|(n, weight)| Entry { key: mix(n as u64 + 1), weight: *weight }).collect()
    }

    fn owner(table: &Maglev, hash: u64) -> u64 {
        table.entries[table.find(hash).expect("not empty")].key
    }

    #[test]
    fn shares_follow_weights() {
        let table = Cache::default().table(entries(&[1, 2, 5]));
        for entry in &table.entries {
            let cells =
                table.cells.iter().filter(|cell| table.entries[**cell as usize].key == entry.key);
            let share = SIZE * entry.weight as usize / 8;
            assert!(cells.count().abs_diff(share) <= 2);
        }
    }

    #[test]
    fn the_order_of_the_file_does_not_matter() {
        let forwards = entries(&[1; 10]);
        let backwards = forwards.iter().rev().copied().collect();
        let (one, other) = (Cache::default().table(forwards), Cache::default().table(backwards));
        assert_eq!(one.cells, other.cells);
    }

    #[test]
    fn a_removed_target_moves_little_beyond_its_share() {
        let all = Cache::default().table(entries(&[1; 20]));
        let gone = mix(7);
        let rest: Vec<_> = entries(&[1; 20]).into_iter().filter(|e| e.key != gone).collect();
        let rest = Cache::default().table(rest);
        let moved = (0..SIZE as u64)
            .filter(|hash| owner(&all, *hash) != gone)
            .filter(|hash| owner(&all, *hash) != owner(&rest, *hash))
            .count();
        assert!(moved < SIZE / 20, "{moved} of {SIZE} moved");
    }

    #[test]
    fn the_table_is_kept_as_long_as_nothing_changes() {
        let cache = Cache::default();
        let first = cache.table(entries(&[1, 2]));
        assert!(Arc::ptr_eq(&first, &cache.table(entries(&[1, 2]))));
        assert!(!Arc::ptr_eq(&first, &cache.table(entries(&[1, 3]))));
        assert_eq!(cache.table(Vec::new()).find(1), None);
    }
}
