//! About how many sessions a target serves: who was seen within the stickiness duration, counted without
//! keeping anybody's id.
//!
//! HyperLogLog over session ids, in slices of time, shared by all shards through relaxed atomics: a request
//! reads a few words and one register, and writes only what has to grow. The estimate is the union of the
//! slices that are young enough. Never locks, never allocates, reads no clock. Tested beside it, against
//! exact counts and with threads.
//!
//! ```text
//!        │◀──────────────── duration ────────────────▶│now
//!   ░░░░░│█████│█████│█████│█████│█████│█████│█████│██
//!    aged  eight closed slices, each an eighth long   current
//! ```
//!
//! What the figure means, and what it cannot know:
//! * Standard error 3.3 % (1.04 / √1024) for many sessions; a dozen are nearly always exact, none is
//!   always none.
//! * A session counts from its last request until the duration has passed, and up to an eighth of the
//!   duration longer.
//! * One that has moved to another target stays counted here until then: a sketch forgets nobody. So does
//!   one that was flushed, or whose user has logged out.
//! * A client that keeps no cookies begins a session with each request, and each counts.
//! * Sessions that have made no request to this process (from before a restart, or at other nodes) are
//!   unknown to it.
//! * A longer duration takes effect at once and drops nobody who was kept; sessions that had expired under
//!   the shorter one are not brought back. A shorter one is exact when it has passed twice. Where scopes of
//!   different durations share a target, the longer one decides, as long as it is asked for now and then.
//! * A clock that is set back lets sessions count longer, never shorter.

use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, AtomicUsize, Ordering};

/// Registers of one slice. A power of two: the lowest bits of a session id name its register.
const REGISTER_COUNT: usize = 1024;
/// What a slice's rank can be: one more than the zeros that 64 bits may begin with, capped.
const RANK_MAX: u8 = 64;
const SLICE_COUNT: usize = 9;
/// The current one fills while the others cover the duration.
const SLICES_PER_DURATION: u64 = SLICE_COUNT as u64 - 1;

/// Closed slices whose durations still count when the next one begins.
const RECENT_COUNT: usize = 2;

/// The standard error of an estimate, in percent of it.
pub const ERROR_PERCENT: f64 = 3.3;

/// The sessions that one target has seen lately.
#[derive(Debug)]
pub struct SessionSketch {
    slices: [Slice; SLICE_COUNT],
    /// The slice that is being filled.
    current: AtomicUsize,
    /// Somebody prepares the next slice; everybody else goes on with the current one.
    is_turning: AtomicBool,
}

/// Who was seen between two times.
#[derive(Debug)]
struct Slice {
    /// Of the first note, in seconds since the epoch; 0 = empty.
    first_s: AtomicU64,
    last_s: AtomicU64,
    /// The longest duration that was asked for in this slice's own time.
    duration_s: AtomicU64,
    registers: [AtomicU8; REGISTER_COUNT],
}

impl Default for SessionSketch {
    fn default() -> SessionSketch {
        SessionSketch {
            slices: std::array::from_fn(|_| Slice::default()),
            current: AtomicUsize::new(0),
            is_turning: AtomicBool::new(false),
        }
    }
}

impl SessionSketch {
    /// A request of `session` was served at `now_s`; its cookie lives `duration_s` from now.
    ///
    /// Session ids are random and sealed, so their bits need no further mixing and no client can choose
    /// them.
    pub fn note(&self, session: u128, now_s: u64, duration_s: u64) {
        // Pairs with the release in `turn`: the new slice is seen empty.
        let current = self.current.load(Ordering::Acquire);
        let Some(slice) = self.slices.get(current) else { return };
        let age_s = now_s.saturating_sub(slice.first_s.load(Ordering::Relaxed));
        if age_s < slice_length_s(duration_s) {
            slice.note(session, now_s, duration_s);
        } else {
            self.note_later(current, session, now_s, duration_s);
        }
    }

    /// About how many sessions were seen within the last `duration_s`.
    pub fn estimate(&self, now_s: u64, duration_s: u64) -> u64 {
        let mut seen = Seen::default();
        seen.add(self, now_s, duration_s);
        seen.estimate()
    }

    /// The current slice has been filled long enough.
    #[cold]
    fn note_later(&self, current: usize, session: u128, now_s: u64, duration_s: u64) {
        if !self.is_turning.swap(true, Ordering::Acquire) {
            // Another shard may have done it between our look and our turn.
            if self.current.load(Ordering::Relaxed) == current {
                let next = self.make_room(current, now_s, duration_s);
                if let Some(slice) = self.slices.get(next) {
                    slice.note(session, now_s, duration_s);
                }
                self.current.store(next, Ordering::Release);
            }
            self.is_turning.store(false, Ordering::Release);
        }
        // Whoever does not get to turn goes on with the slice there is. A note so late that it meets the
        // emptying of its slice may be lost: its session counts again with its next request.
        if let Some(slice) = self.slices.get(self.current.load(Ordering::Acquire)) {
            slice.note(session, now_s, duration_s);
        }
    }

    /// Empties a slice that has aged out. When none has (the duration has become longer, or scopes of
    /// different durations lead to this target), the two neighbours that together span the shortest time
    /// become one: nobody is forgotten early, some are remembered longer.
    fn make_room(&self, current: usize, now_s: u64, duration_s: u64) -> usize {
        let slice = |index: usize| self.slices.get(index);
        let first_s = |index: usize| slice(index).map_or(0, Slice::first_s);
        let last_s = |index: usize| slice(index).map_or(0, Slice::last_s);
        let mut others: [usize; SLICE_COUNT - 1] =
            std::array::from_fn(|index| if index < current { index } else { index + 1 });
        others.sort_unstable_by_key(|index| first_s(*index));
        // The longest duration that was asked for lately: a shorter one takes over in a few slices.
        let recent = others.iter().rev().take(RECENT_COUNT).chain([&current]);
        let kept_s = recent
            .filter_map(|index| slice(*index))
            .map(|slice| slice.duration_s.load(Ordering::Relaxed))
            .fold(duration_s, u64::max);
        for index in others {
            if let Some(slice) = slice(index).filter(|slice| !slice.is_within(now_s, kept_s)) {
                slice.clear();
                return index;
            }
        }
        let span_s = |pair: &&[usize; 2]| last_s(pair[1]).saturating_sub(first_s(pair[0]));
        if let Some([earlier, later]) = others.array_windows::<2>().min_by_key(span_s)
            && let (Some(from), Some(to)) = (slice(*earlier), slice(*later))
        {
            to.take_in(from);
            from.clear();
            return *earlier;
        }
        current
    }
}

impl Default for Slice {
    fn default() -> Slice {
        Slice {
            first_s: AtomicU64::new(0),
            last_s: AtomicU64::new(0),
            duration_s: AtomicU64::new(0),
            registers: [const { AtomicU8::new(0) }; REGISTER_COUNT],
        }
    }
}

impl Slice {
    /// Writes only what has to change: most requests are of sessions that were seen a moment ago.
    fn note(&self, session: u128, now_s: u64, duration_s: u64) {
        if self.first_s.load(Ordering::Relaxed) == 0 {
            self.first_s.store(now_s, Ordering::Relaxed);
        }
        raise(&self.last_s, now_s);
        raise(&self.duration_s, duration_s);
        let (register, rank) = place(session);
        if let Some(register) = self.registers.get(register)
            && register.load(Ordering::Relaxed) < rank
        {
            register.fetch_max(rank, Ordering::Relaxed);
        }
    }

    fn first_s(&self) -> u64 {
        self.first_s.load(Ordering::Relaxed)
    }

    fn last_s(&self) -> u64 {
        self.last_s.load(Ordering::Relaxed)
    }

    fn is_empty(&self) -> bool {
        self.last_s() == 0
    }

    /// Whether its latest session may still be bound; the cookie's own rule (`Stickiness::appraise`).
    fn is_within(&self, now_s: u64, duration_s: u64) -> bool {
        !self.is_empty() && now_s.saturating_sub(self.last_s()) <= duration_s
    }

    fn take_in(&self, earlier: &Slice) {
        for (mine, theirs) in self.registers.iter().zip(&earlier.registers) {
            mine.fetch_max(theirs.load(Ordering::Relaxed), Ordering::Relaxed);
        }
        self.first_s.fetch_min(earlier.first_s(), Ordering::Relaxed);
    }

    fn clear(&self) {
        for register in &self.registers {
            register.store(0, Ordering::Relaxed);
        }
        for word in [&self.first_s, &self.last_s, &self.duration_s] {
            word.store(0, Ordering::Relaxed);
        }
    }
}

/// Sessions of one or several sketches; one that was seen by several counts once.
#[derive(Debug, Clone)]
pub struct Seen {
    registers: [u8; REGISTER_COUNT],
}

impl Default for Seen {
    fn default() -> Seen {
        Seen { registers: [0; REGISTER_COUNT] }
    }
}

impl Seen {
    /// Adds whom `sketch` has seen within the last `duration_s`.
    pub fn add(&mut self, sketch: &SessionSketch, now_s: u64, duration_s: u64) {
        for slice in sketch.slices.iter().filter(|slice| slice.is_within(now_s, duration_s)) {
            for (mine, theirs) in self.registers.iter_mut().zip(&slice.registers) {
                *mine = (*mine).max(theirs.load(Ordering::Relaxed));
            }
        }
    }

    /// The estimator of O. Ertl, "New cardinality estimation algorithms for HyperLogLog sketches" (2017),
    /// §4: unbiased from the first session on, without tables or thresholds.
    pub fn estimate(&self) -> u64 {
        let mut counts = [0_u32; RANK_MAX as usize + 1];
        for rank in self.registers {
            if let Some(count) = counts.get_mut(usize::from(rank)) {
                *count += 1;
            }
        }
        let [empty, ranked @ ..] = counts;
        if empty as usize == REGISTER_COUNT {
            return 0;
        }
        let registers = REGISTER_COUNT as f64;
        let sum = ranked.iter().rev().fold(0.0, |sum, count| 0.5 * (sum + f64::from(*count)));
        let sum = sum + registers * sigma(f64::from(empty) / registers);
        let estimate = registers * registers / (2.0 * std::f64::consts::LN_2 * sum);
        // A float that is too large becomes the largest integer.
        (estimate.round() as u64).max(1)
    }
}

/// x + Σ x^(2^k) 2^(k-1): what the empty registers say. Below 1, as its caller sees to.
fn sigma(mut x: f64) -> f64 {
    let (mut sum, mut weight) = (x, 1.0);
    loop {
        x *= x;
        let before = sum;
        sum += x * weight;
        weight += weight;
        if sum <= before {
            return sum;
        }
    }
}

/// Register and rank of a session: its lowest bits, and the zeros that its upper half begins with.
fn place(session: u128) -> (usize, u8) {
    let register = (session as usize) & (REGISTER_COUNT - 1);
    let zeros = (session >> 64) as u64;
    let rank = u8::try_from(zeros.leading_zeros() + 1).unwrap_or(RANK_MAX);
    (register, rank.min(RANK_MAX))
}

/// An eighth of the duration, rounded up to whole seconds.
fn slice_length_s(duration_s: u64) -> u64 {
    duration_s.div_ceil(SLICES_PER_DURATION).max(1)
}

fn raise(word: &AtomicU64, to: u64) {
    if word.load(Ordering::Relaxed) < to {
        word.fetch_max(to, Ordering::Relaxed);
    }
}

#[cfg(test)]
#[path = "sketch_tests.rs"]
mod tests;
