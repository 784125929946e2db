//! Tables for the many things of a shard: an entry keeps its number and its place while it lives, and the table gives
//! memory back after a peak.
//!
//! ```text
//!   pages of 64 places:   [x..x] [....] [full] (no memory)
//!   with room:            without memory, then empty, then begun ─▶ used next
//! ```
//! An empty page can be freed wherever it stands, so that one entry that stays keeps only its own page. New entries
//! fill pages that are begun. Nothing is freed while entries come and go, only by [`Table::trim`], on a shard's tick.
//! Tested below.

/// Places of a page: one for each bit of a word.
const PLACES: usize = u64::BITS as usize;

/// How many empty pages are kept at least, and as what part of the pages in use: a burst finds them still there.
const KEPT: usize = 4;
const KEPT_SHARE: usize = 4;

/// Each call of [`Table::trim`] frees this part of the excess pages.
const TRIM_SHARE: usize = 4;

#[derive(Debug)]
struct Page<T> {
    /// A bit for each place with an entry.
    taken: u64,
    /// `None` before the first entry, and after the memory was given back.
    places: Option<Box<[Option<T>; PLACES]>>,
}

#[derive(Debug)]
pub struct Table<T> {
    pages: Vec<Page<T>>,
    /// Numbers of the pages that have room, each once; the last is used next.
    roomy: Vec<u32>,
}

impl<T> Page<T> {
    const FULL: u64 = u64::MAX;

    fn is_spare(&self) -> bool {
        self.taken == 0 && self.places.is_some()
    }

    /// Pages of higher rank are used sooner.
    fn rank(&self) -> u8 {
        u8::from(self.places.is_some()) + u8::from(self.taken != 0)
    }
}

impl<T> Default for Table<T> {
    fn default() -> Self {
        Table::new()
    }
}

impl<T> Table<T> {
    pub const fn new() -> Table<T> {
        Table { pages: Vec::new(), roomy: Vec::new() }
    }

    /// Puts an entry in and returns its number, which becomes free when the entry is taken out.
    #[inline]
    pub fn insert(&mut self, entry: T) -> usize {
        loop {
            if let Some(&number) = self.roomy.last()
                && let Some(page) = self.pages.get_mut(number as usize)
            {
                let at = page.taken.trailing_ones() as usize;
                let places = page.places.get_or_insert_with(empty_page);
                if let Some(place) = places.get_mut(at) {
                    *place = Some(entry);
                    page.taken |= 1 << at;
                    if page.taken == Page::<T>::FULL {
                        self.roomy.pop();
                    }
                    return number as usize * PLACES + at;
                }
            }
            self.grow();
        }
    }

    #[cold]
    fn grow(&mut self) {
        self.roomy.push(self.pages.len() as u32);
        self.pages.push(Page { taken: 0, places: None });
    }

    #[inline]
    pub fn get_mut(&mut self, number: usize) -> Option<&mut T> {
        let page = self.pages.get_mut(number / PLACES)?;
        page.places.as_mut()?.get_mut(number % PLACES)?.as_mut()
    }

    pub fn get(&self, number: usize) -> Option<&T> {
        let page = self.pages.get(number / PLACES)?;
        page.places.as_ref()?.get(number % PLACES)?.as_ref()
    }

    #[inline]
    pub fn remove(&mut self, number: usize) -> Option<T> {
        let (at, bit) = (number / PLACES, 1 << (number % PLACES));
        let page = self.pages.get_mut(at)?;
        let entry = page.places.as_mut()?.get_mut(number % PLACES)?.take()?;
        if page.taken == Page::<T>::FULL {
            self.roomy.push(at as u32);
        }
        page.taken &= !bit;
        Some(entry)
    }

    /// All entries with their numbers.
    pub fn iter(&self) -> impl Iterator<Item = (usize, &T)> {
        let in_use = self.pages.iter().enumerate().filter(|(_, page)| page.taken != 0);
        in_use.flat_map(|(number, page)| {
            let places = page.places.iter().flat_map(|places| places.iter().enumerate());
            places.filter_map(move |(at, place)| Some((number * PLACES + at, place.as_ref()?)))
        })
    }

    /// All entries.
    pub fn values_mut(&mut self) -> impl Iterator<Item = &mut T> {
        let in_use = self.pages.iter_mut().filter(|page| page.taken != 0);
        in_use
            .flat_map(|page| page.places.iter_mut().flat_map(|places| places.iter_mut().flatten()))
    }

    /// Takes all entries out.
    pub fn into_values(self) -> impl Iterator<Item = T> {
        let places = self.pages.into_iter().filter_map(|page| page.places);
        places.flat_map(|places| (places as Box<[Option<T>]>).into_vec().into_iter().flatten())
    }

    /// Frees a part of the empty pages that are too many to be kept. For a shard's tick, about once a second: looks at
    /// all pages.
    pub fn trim(&mut self) {
        let used = self.pages.iter().filter(|page| page.taken != 0).count();
        let spare = self.pages.iter().filter(|page| page.is_spare()).count();
        let excess = spare.saturating_sub(KEPT.max(used / KEPT_SHARE));
        if excess == 0 {
            return;
        }
        let spares = self.pages.iter_mut().rev().filter(|page| page.is_spare());
        for page in spares.take(excess.div_ceil(TRIM_SHARE)) {
            page.places = None;
        }
        while self.pages.pop_if(|page| page.places.is_none()).is_some() {}
        self.pages.shrink_to(self.pages.len() * 2);
        let pages = &self.pages;
        self.roomy.clear();
        let has_room = |number: &u32| {
            pages.get(*number as usize).is_some_and(|page| page.taken != Page::<T>::FULL)
        };
        self.roomy.extend((0..pages.len() as u32).filter(has_room));
        self.roomy.sort_by_key(|&number| pages.get(number as usize).map_or(0, Page::rank));
        self.roomy.shrink_to(pages.len() * 2);
    }

    /// Entries for which there is memory.
    #[cfg(test)]
    pub fn capacity(&self) -> usize {
        self.pages.iter().filter(|page| page.places.is_some()).count() * PLACES
    }
}

#[cold]
fn empty_page<T>() -> Box<[Option<T>; PLACES]> {
    Box::new([const { None }; PLACES])
}

#[cfg(test)]
mod tests {
    use crate::table::*;

    const MANY: usize = 100 * PLACES;

    fn settled<T>(table: &mut Table<T>) -> usize {
        for _ in 0..100 {
            table.trim();
        }
        table.capacity()
    }

    #[test]
    fn an_entry_has_its_number_until_it_is_taken_out() {
        let mut table = Table::new();
        let numbers: Vec<usize> = (0..MANY).map(|value| table.insert(value)).collect();
        assert_eq!(table.iter().count(), MANY);
        for (value, &number) in numbers.iter().enumerate().rev().step_by(2) {
            assert_eq!(table.remove(number), Some(value));
            assert_eq!(table.remove(number), None);
            assert_eq!(table.get_mut(number), None);
        }
        settled(&mut table);
        for (value, &number) in numbers.iter().enumerate() {
            let is_there = (MANY - 1 - value) % 2 == 1;
            assert_eq!(table.get(number), is_there.then_some(&value));
        }
        for value in table.values_mut() {
            *value += 1;
        }
        assert!(table.iter().all(|(number, value)| numbers[value - 1] == number));
        // Numbers of the kernel's that no entry has.
        assert_eq!(table.get_mut(usize::MAX), None);
        assert_eq!(table.remove(usize::MAX), None);
    }

    #[test]
    fn a_table_gives_its_memory_back_after_a_peak() {
        let mut table = Table::new();
        let numbers: Vec<usize> = (0..MANY).map(|value| table.insert(value)).collect();
        // In the last page, and in the middle, one entry stays.
        for &number in &numbers {
            if ![MANY / 2, MANY - 1].contains(&number) {
                table.remove(number);
            }
        }
        assert_eq!(table.capacity(), MANY, "nothing is freed while entries go");
        table.trim();
        assert!(table.capacity() > MANY / 2, "not all at once: a burst may follow");
        assert!(settled(&mut table) <= (2 + KEPT) * PLACES);
        assert_eq!(table.get(MANY / 2), Some(&(MANY / 2)));
        table.remove(MANY - 1);
        table.remove(MANY / 2);
        assert!(settled(&mut table) <= KEPT * PLACES);
        assert!(table.pages.len() <= KEPT && table.pages.capacity() <= 2 * KEPT);
    }

    #[test]
    fn pages_that_are_begun_are_filled_before_others_are_used() {
        let mut table = Table::new();
        let numbers: Vec<usize> = (0..MANY).map(|value| table.insert(value)).collect();
        for &number in numbers.iter().skip(1) {
            table.remove(number);
        }
        settled(&mut table);
        let before = table.capacity();
        for value in 1..PLACES {
            assert!(table.insert(value) < PLACES, "the page of the one that stayed");
        }
        assert_eq!(table.capacity(), before);
    }

    #[test]
    fn what_was_given_back_is_used_again() {
        let mut table = Table::new();
        for _ in 0..3 {
            let numbers: Vec<usize> = (0..MANY).map(|value| table.insert(value)).collect();
            assert_eq!(table.capacity(), MANY);
            let mut sorted = numbers.clone();
            sorted.sort_unstable();
            sorted.dedup();
            assert_eq!(sorted.len(), MANY, "a number was given twice");
            for number in numbers {
                assert!(table.remove(number).is_some());
            }
            settled(&mut table);
        }
    }

    #[test]
    fn a_steady_load_frees_and_allocates_nothing() {
        let mut table = Table::new();
        let mut numbers: Vec<usize> = (0..MANY).map(|value| table.insert(value)).collect();
        for turn in 0..50 {
            let part = MANY / 8;
            for number in numbers.drain(..part) {
                table.remove(number);
            }
            table.trim();
            assert_eq!(table.capacity(), MANY, "turn {turn}");
            numbers.extend((0..part).map(|value| table.insert(value)));
        }
    }
}
