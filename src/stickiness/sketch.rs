//! About how many sessions live at a target: whose cookie has come back within the stickiness duration, and who has not
//! moved elsewhere since.
//!
//! A sample of sessions in a table of a fixed size, shared by all shards through atomics: a request reads a few words,
//! and writes one when the clock's second has changed. While there are few, everybody is in the sample; when a set of
//! the table is full, the sample is halved and each of it stands for twice as many (*level* n: one in 2ⁿ, by bits of
//! the session's id). Unlike a sketch that only ever grows, a sample can forget. Never locks, never allocates, reads no
//! clock. Tested beside it, against exact counts and with threads.
//!
//! ```text
//!   cell   │ last seen, 32 bits │ scope and generation, 8 │ rank, 5 │ fingerprint, 19 │
//!   session ids: low bits ─▶ set of 16 cells, fingerprint; high bits ─▶ rank: at which level it is still in
//! ```
//!
//! What the figure means, and what it cannot know:
//! * Up to about two thousand sessions it is exact, beyond that its standard error is 3.3 % (1 / √1000).
//! * A session counts from the request that brings its cookie back, so clients that keep no cookies never do, until its
//!   duration has passed since its last request, or its greatest age is over. One that moves counts where it moves to,
//!   and one that its application ends no longer.
//! * Scope and generation stand in the cell: what was flushed counts no more, at once, and scopes that lead to one
//!   target each have their own duration.
//! * Where somebody was passed over for the sample, none is said only when the duration has passed since.
//! * Sessions that have made no request to this process (from before a restart, or at other nodes) are unknown to it.
//! * A longer duration drops nobody who was kept; sessions that had expired under the shorter one and whose cell was
//!   taken are not brought back.
//! * A clock that is set back lets sessions count longer, never shorter.

use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};

/// A power of two: the lowest bits of a session id name its set.
const SET_COUNT: usize = 256;
/// Two lines of the processor's cache.
const CELLS_PER_SET: usize = 16;
/// At this level one session in two thousand millions is in the sample.
const RANK_MAX: u8 = 31;
const LEVEL_COUNT: usize = RANK_MAX as usize + 1;

const FINGERPRINT_BITS: u32 = 19;
const RANK_BITS: u32 = 5;
const TAG_SHIFT: u32 = FINGERPRINT_BITS + RANK_BITS;

/// A sample that has become smaller than this is to grow again.
const SAMPLE_MIN: u64 = 256;

/// How often a place is looked for before a note is given up; the session's next request notes it.
const ATTEMPTS_MAX: usize = 2 * LEVEL_COUNT;

/// The standard error of an estimate, in percent of it.
pub const ERROR_PERCENT: f64 = 3.3;

/// What sessions of one scope and generation have in common.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Life {
    /// Tells scopes apart, and a generation from the next.
    pub tag: u8,
    /// For how long one lives without a request.
    pub duration_s: u64,
}

/// The sessions that live at one target.
#[derive(Debug)]
pub struct SessionSketch {
    sets: Box<[Set]>,
    level: AtomicU8,
    /// When each level was left for the one below it, in seconds since the epoch; 0 = never.
    left_s: [AtomicU64; LEVEL_COUNT],
    /// When a session was last passed over for the sample, above the tag of its scope; 0 = never.
    passed_over: AtomicU64,
    /// The longest duration ever noted.
    longest_s: AtomicU64,
}

#[derive(Debug)]
struct Set([AtomicU64; CELLS_PER_SET]);

impl Default for SessionSketch {
    fn default() -> SessionSketch {
        let set = || Set([const { AtomicU64::new(0) }; CELLS_PER_SET]);
        SessionSketch {
            sets: std::iter::repeat_with(set).take(SET_COUNT).collect(),
            level: AtomicU8::new(0),
            left_s: [const { AtomicU64::new(0) }; LEVEL_COUNT],
            passed_over: AtomicU64::new(0),
            longest_s: AtomicU64::new(0),
        }
    }
}

/// Where a session stands and how it is known there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Place {
    set: usize,
    /// Tag, rank and fingerprint: the lower half of its cell; never 0.
    key: u32,
    rank: u8,
}

impl Place {
    /// Session ids are random and sealed, so their bits need no further mixing and no client can choose them.
    fn of(session: u128, tag: u8) -> Place {
        let (low, high) = (session as u64, (session >> 64) as u64);
        let rank = (high.leading_zeros() as u8).min(RANK_MAX);
        let fingerprint = (low >> SET_COUNT.trailing_zeros()) as u32 | 1;
        let fingerprint = fingerprint & ((1 << FINGERPRINT_BITS) - 1);
        let key = u32::from(tag) << TAG_SHIFT | u32::from(rank) << FINGERPRINT_BITS | fingerprint;
        Place { set: (low as usize) & (SET_COUNT - 1), key, rank }
    }
}

/// What a cell that is not empty says.
#[derive(Debug, Clone, Copy)]
struct Cell(u64);

impl Cell {
    fn new(key: u32, seen_s: u64) -> Cell {
        // Enough until 2106; a later clock would count everybody as expired.
        Cell(seen_s << 32 | u64::from(key))
    }

    fn read(cell: &AtomicU64) -> Option<Cell> {
        let bits = cell.load(Ordering::SeqCst);
        (bits != 0).then_some(Cell(bits))
    }

    fn key(self) -> u32 {
        self.0 as u32
    }

    fn tag(self) -> u8 {
        (self.key() >> TAG_SHIFT) as u8
    }

    fn rank(self) -> u8 {
        (self.key() >> FINGERPRINT_BITS) as u8 & RANK_MAX
    }

    fn seen_s(self) -> u64 {
        self.0 >> 32
    }

    /// The cookie's own rule (`Stickiness::appraise`).
    fn lives(self, now_s: u64, duration_s: u64) -> bool {
        now_s.saturating_sub(self.seen_s()) <= duration_s
    }

    /// Unless the cell says something else by now.
    fn replace(self, cell: &AtomicU64, by: u64) -> bool {
        cell.compare_exchange(self.0, by, Ordering::SeqCst, Ordering::Relaxed).is_ok()
    }
}

impl SessionSketch {
    /// The cookie of `session` has come back to this target at `now_s`. Says whether the session is in the sample
    /// from now on and was not before.
    pub fn note(&self, session: u128, life: Life, now_s: u64) -> bool {
        let place = Place::of(session, life.tag);
        let Some(Set(cells)) = self.sets.get(place.set) else { return false };
        if place.rank < self.level.load(Ordering::Relaxed) {
            self.pass_over(life.tag, now_s);
            return false;
        }
        for cell in cells {
            let bits = cell.load(Ordering::Relaxed);
            if bits as u32 == place.key {
                if bits >> 32 < now_s {
                    // Whoever has changed it meanwhile knows better.
                    Cell(bits).replace(cell, Cell::new(place.key, now_s).0);
                }
                return false;
            }
        }
        self.admit(place, cells, life, now_s)
    }

    /// `session` lives here no more: it has moved, or its application has ended it.
    pub fn forget(&self, session: u128, tag: u8) {
        let place = Place::of(session, tag);
        let Some(Set(cells)) = self.sets.get(place.set) else { return };
        cells.iter().for_each(|cell| clear(cell, place.key));
    }

    /// About how many sessions of these scopes live here at `now_s`. To be asked now and then: a sample that has
    /// become small is let grow again here.
    pub fn estimate(&self, now_s: u64, lives: &[Life]) -> u64 {
        self.estimate_at(now_s, lives, |_| 0)
    }

    /// The same where each session is forgotten here once it is in the sample of `known`: whom that one has passed
    /// over may still stand here, and stands for nobody.
    pub fn estimate_besides(&self, known: &SessionSketch, now_s: u64, lives: &[Life]) -> u64 {
        self.estimate_at(now_s, lives, known.levels())
    }

    /// By those who are at a level of at least `level_since` since they were seen.
    fn estimate_at(&self, now_s: u64, lives: &[Life], level_since: impl Fn(u64) -> u8) -> u64 {
        let level = self.level.load(Ordering::Relaxed);
        let own_since = self.levels();
        let (mut estimate, mut sample) = (0_u64, 0);
        for cell in self.sets.iter().flat_map(|Set(cells)| cells).filter_map(Cell::read) {
            let life = lives.iter().find(|life| life.tag == cell.tag());
            if life.is_none_or(|life| !cell.lives(now_s, life.duration_s)) {
                continue;
            }
            sample += 1;
            // As long as it has not been seen anew, it stands for those who were passed over then.
            let level = own_since(cell.seen_s()).max(level_since(cell.seen_s()));
            if cell.rank() >= level {
                estimate = estimate.saturating_add(1 << level);
            }
        }
        if level > 0 && sample < SAMPLE_MIN {
            self.refine(level, now_s);
        }
        estimate.max(u64::from(self.may_have_missed_somebody(now_s, lives)))
    }

    /// Finds a cell for a session that has none; `false` where it is not to have one.
    #[cold]
    fn admit(
        &self,
        place: Place,
        cells: &[AtomicU64; CELLS_PER_SET],
        life: Life,
        now_s: u64,
    ) -> bool {
        self.longest_s.fetch_max(life.duration_s, Ordering::Relaxed);
        for _ in 0..ATTEMPTS_MAX {
            let level = self.level.load(Ordering::Relaxed);
            if place.rank < level {
                self.pass_over(life.tag, now_s);
                return false;
            }
            let mut free = cells.iter().map(|cell| (cell, Cell::read(cell)));
            let free = free.find(|(_, known)| self.is_free(*known, life, now_s));
            match free {
                Some((cell, known)) => {
                    let new = Cell::new(place.key, now_s).0;
                    if known.unwrap_or(Cell(0)).replace(cell, new) {
                        forget_doubles(cells, place.key);
                        return true;
                    }
                }
                None if level < RANK_MAX => self.coarsen(level, life.tag, now_s),
                None => return false,
            }
        }
        false
    }

    /// Empty, or of somebody whose session is over. How long those of other scopes live is known only as a limit.
    fn is_free(&self, cell: Option<Cell>, life: Life, now_s: u64) -> bool {
        cell.is_none_or(|cell| {
            let longest_s = match cell.tag() == life.tag {
                true => life.duration_s,
                false => self.longest_s.load(Ordering::Relaxed),
            };
            !cell.lives(now_s, longest_s)
        })
    }

    /// Halves the sample.
    fn coarsen(&self, level: u8, tag: u8, now_s: u64) {
        let next = level + 1;
        let moved =
            self.level.compare_exchange(level, next, Ordering::SeqCst, Ordering::Relaxed).is_ok();
        if !moved {
            return;
        }
        self.pass_over(tag, now_s);
        for cell in self.sets.iter().flat_map(|Set(cells)| cells) {
            if let Some(known) = Cell::read(cell).filter(|known| known.rank() < next) {
                known.replace(cell, 0);
            }
        }
    }

    /// Lets the sample grow to twice its size as sessions come by, not again before they have had time to.
    fn refine(&self, level: u8, now_s: u64) {
        let left_s = |level: u8| self.left_s.get(usize::from(level));
        let pause_s = self.longest_s.load(Ordering::Relaxed) / 4;
        let last_s = left_s(level + 1).map_or(0, |left| left.load(Ordering::Relaxed));
        if now_s >= last_s.saturating_add(pause_s)
            && let Some(left) = left_s(level)
        {
            left.store(now_s, Ordering::SeqCst);
            let below = level.saturating_sub(1);
            let _ = self.level.compare_exchange(level, below, Ordering::SeqCst, Ordering::Relaxed);
        }
    }

    /// The highest level since a time. Mostly none was ever left, and nothing has to be looked up.
    fn levels(&self) -> impl Fn(u64) -> u8 {
        let level = self.level.load(Ordering::Relaxed);
        let was_left = self.left_s.iter().any(|left| left.load(Ordering::Relaxed) != 0);
        move |seen_s| if was_left { self.highest_since(seen_s, level) } else { level }
    }

    /// The highest level since `seen_s`, now that it is `level`.
    fn highest_since(&self, seen_s: u64, level: u8) -> u8 {
        let above = self.left_s.iter().enumerate().skip(usize::from(level) + 1);
        let since = above.filter(|(_, left)| {
            let left_s = left.load(Ordering::Relaxed);
            left_s != 0 && left_s >= seen_s
        });
        since.map(|(above, _)| above as u8).max().unwrap_or(level)
    }

    fn pass_over(&self, tag: u8, now_s: u64) {
        let now = now_s << 8 | u64::from(tag);
        if self.passed_over.load(Ordering::Relaxed) != now {
            self.passed_over.store(now, Ordering::Relaxed);
        }
    }

    /// Whether a session that was passed over may live, seen or not.
    fn may_have_missed_somebody(&self, now_s: u64, lives: &[Life]) -> bool {
        let passed_over = self.passed_over.load(Ordering::Relaxed);
        let (seen_s, tag) = (passed_over >> 8, passed_over as u8);
        let life = lives.iter().find(|life| life.tag == tag);
        passed_over != 0 && life.is_some_and(|life| now_s.saturating_sub(seen_s) <= life.duration_s)
    }
}

/// Two shards may have admitted one session at once, each to a cell of its own: the first cell stays. Whoever
/// comes last sees both.
fn forget_doubles(cells: &[AtomicU64; CELLS_PER_SET], key: u32) {
    let is_it = |cell: &&AtomicU64| Cell::read(cell).is_some_and(|known| known.key() == key);
    cells.iter().filter(is_it).skip(1).for_each(|double| clear(double, key));
}

/// Empties a cell if it is the session's of this key.
fn clear(cell: &AtomicU64, key: u32) {
    // Another shard may note the session once more just now.
    for _ in 0..2 {
        let known = Cell::read(cell).filter(|known| known.key() == key);
        if known.is_none_or(|known| known.replace(cell, 0)) {
            return;
        }
    }
}

#[cfg(test)]
#[path = "sketch_tests.rs"]
mod tests;
