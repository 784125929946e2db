//! The dynamic table of a decoder (RFC 7541 §2.3.2, §4).
//!
//! Its lines stand one behind the other in one store, in the canonical form of a head, so that a reference to one is
//! copied at once:
//!
//! ```text
//!             oldest                            newest
//! | evicted | name: value CRLF | … | name: value CRLF | room
//! 0         live_from                                 bytes.len()
//! ```
//!
//! The store never grows beyond the table's size: an entry takes 28 bytes less of it than RFC 7541 §4.1 counts. It
//! allocates with its first entry. Tested against a plain list of entries.

use std::collections::VecDeque;

use super::line::Line;
use super::static_table::Entry;

/// The largest table that limpet offers, in bytes.
pub const SIZE_MAX: u32 = 65_535;

/// First allocation of a store that is larger.
const STORE_BYTES_MIN: usize = 512;

#[derive(Debug, Default)]
pub(super) struct DynamicTable {
    bytes: Vec<u8>,
    /// Bytes of `bytes` that belong to evicted entries.
    live_from: usize,
    /// Bytes that were appended before the first of `bytes`, modulo 2^32.
    base: u32,
    /// The oldest first. Each begins behind as many bytes as were appended before it, modulo 2^32.
    lines: VecDeque<Line>,
    /// As RFC 7541 §4.1 counts.
    size: u32,
    size_max: u32,
}

impl DynamicTable {
    /// An empty table of at most `size_max` bytes, which are at most [`SIZE_MAX`].
    pub fn new(size_max: u32) -> DynamicTable {
        DynamicTable { size_max: size_max.min(SIZE_MAX), ..DynamicTable::default() }
    }

    pub fn size_max(&self) -> u32 {
        self.size_max
    }

    /// The entry at `index`; the newest has index 0.
    #[inline]
    pub fn entry(&self, index: u32) -> Option<Entry<'_>> {
        let at = self.lines.len().checked_sub((index as usize).checked_add(1)?)?;
        let line = *self.lines.get(at)?;
        let start = line.start.wrapping_sub(self.base) as usize;
        let bytes = self.bytes.get(start..start.saturating_add(line.line_bytes()))?;
        Some(Entry { bytes, line })
    }

    /// Adds an entry, and evicts as many as have no room beside it; one that is larger than the table empties it
    /// (RFC 7541 §4.4).
    pub fn insert(&mut self, entry: Entry<'_>) {
        let size = entry.line.size();
        let Some(others) = self.size_max.checked_sub(size) else { return self.evict_to(0) };
        self.evict_to(others);
        self.make_room(entry.bytes.len());
        let start = self.base.wrapping_add(self.bytes.len() as u32);
        self.bytes.extend_from_slice(entry.bytes);
        self.size += size;
        self.lines.push_back(entry.line.at(start as usize));
    }

    /// Sets the size that the peer has chosen (RFC 7541 §4.3).
    pub fn resize(&mut self, size_max: u32) {
        self.size_max = size_max.min(SIZE_MAX);
        self.evict_to(self.size_max);
    }

    /// Gives back what the entries do not need.
    pub fn shrink(&mut self) {
        self.compact();
        self.bytes.shrink_to_fit();
        self.lines.shrink_to_fit();
    }

    /// Memory in use, in bytes.
    pub fn capacity_bytes(&self) -> usize {
        self.bytes.capacity() + self.lines.capacity() * size_of::<Line>()
    }

    fn evict_to(&mut self, size: u32) {
        while self.size > size {
            let Some(oldest) = self.lines.pop_front() else { return };
            self.size -= oldest.size();
            self.live_from += oldest.line_bytes();
        }
        if self.lines.is_empty() {
            self.base = self.base.wrapping_add(self.bytes.len() as u32);
            self.bytes.clear();
            self.live_from = 0;
        }
    }

    /// Makes room for `more` bytes: in the store as it is, else where evicted entries stood, else by growth.
    fn make_room(&mut self, more: usize) {
        if self.bytes.len() + more <= self.bytes.capacity() {
            return;
        }
        let needed = self.bytes.len() - self.live_from + more;
        if needed > self.bytes.capacity() {
            let doubled = self.bytes.capacity().saturating_mul(2).max(STORE_BYTES_MIN);
            let capacity = doubled.min(self.size_max as usize).max(needed);
            self.compact();
            self.bytes.reserve_exact(capacity - self.bytes.len());
        } else {
            self.compact();
        }
    }

    fn compact(&mut self) {
        self.base = self.base.wrapping_add(self.live_from as u32);
        self.bytes.drain(..self.live_from);
        self.live_from = 0;
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use proptest::prelude::*;

    use crate::http2::hpack::dynamic::*;

    /// A table as the RFC describes it.
    struct Plain {
        /// The newest first.
        entries: VecDeque<(Vec<u8>, Vec<u8>)>,
        size_max: usize,
    }

    impl Plain {
        fn size(&self) -> usize {
            self.entries.iter().map(|(name, value)| name.len() + value.len() + 32).sum()
        }

        fn evict_to(&mut self, size: usize) {
            while self.size() > size {
                self.entries.pop_back();
            }
        }

        fn insert(&mut self, name: &[u8], value: &[u8]) {
            match self.size_max.checked_sub(name.len() + value.len() + 32) {
                None => self.entries.clear(),
                Some(room) => {
                    self.evict_to(room);
                    self.entries.push_front((name.to_vec(), value.to_vec()));
                }
            }
        }
    }

    fn insert(table: &mut DynamicTable, name: &[u8], value: &[u8]) {
        let line = [name, b": ", value, b"\r\n"].concat();
        table.insert(Entry { bytes: &line, line: Line::of(name, value) });
    }

    fn assert_alike(table: &DynamicTable, plain: &Plain) {
        assert_eq!(table.size as usize, plain.size());
        assert!(table.entry(plain.entries.len() as u32).is_none());
        assert!(table.entry(u32::MAX).is_none());
        for (index, (name, value)) in plain.entries.iter().enumerate() {
            let entry = table.entry(index as u32).expect("an entry");
            assert_eq!(entry.bytes, [name, &b": "[..], value, b"\r\n"].concat());
            assert_eq!(entry.name(), name);
            assert_eq!(entry.line.at(0), Line::of(name, value));
        }
    }

    proptest! {
        #[test]
        fn a_table_is_a_list_of_entries(
            steps in proptest::collection::vec((0_u8..8, 0_usize..80, 0_usize..300), 1..200),
            size_max in 0_u32..1024,
        ) {
            let mut table = DynamicTable::new(size_max);
            let mut plain = Plain { entries: VecDeque::new(), size_max: size_max as usize };
            for (number, (kind, name_bytes, value_bytes)) in steps.into_iter().enumerate() {
                match kind {
                    0 => {
                        plain.size_max = name_bytes * value_bytes % 1024;
                        table.resize(plain.size_max as u32);
                        plain.evict_to(plain.size_max);
                    }
                    1 => table.shrink(),
                    _ => {
                        let byte = b'a' + (number % 26) as u8;
                        let (name, value) = (vec![byte; name_bytes], vec![byte; value_bytes]);
                        insert(&mut table, &name, &value);
                        plain.insert(&name, &value);
                    }
                }
                assert_alike(&table, &plain);
                prop_assert!(table.bytes.capacity() <= 1024.max(STORE_BYTES_MIN));
            }
        }
    }

    #[test]
    fn a_table_allocates_with_its_first_entry_and_gives_back_what_it_does_not_need() {
        let mut table = DynamicTable::new(4096);
        table.shrink();
        assert_eq!(table.capacity_bytes(), 0);
        for number in 0..10_000_u32 {
            insert(&mut table, b"x-number", number.to_string().repeat(5).as_bytes());
        }
        assert!(table.bytes.capacity() <= 4096, "{}", table.bytes.capacity());
        table.shrink();
        assert_eq!(table.bytes.capacity(), table.bytes.len());
        assert_eq!(table.entry(0).expect("the newest").line.value_bytes, 20);
        table.resize(0);
        table.shrink();
        assert_eq!(table.capacity_bytes(), 0);
    }

    #[test]
    fn an_entry_larger_than_any_table_empties_it() {
        let mut table = DynamicTable::new(SIZE_MAX);
        insert(&mut table, b"a", b"b");
        insert(&mut table, b"a", &vec![b'x'; 70_000]);
        assert!(table.entry(0).is_none() && table.size == 0);
    }
}
