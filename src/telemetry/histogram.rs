//! Durations in log-linear buckets: counted by one shard, merged and read by the control plane.
//!
//! ```text
//!   microseconds  0 1 … 7 │ 8 9 … 15 │ 16,17 … 30,31 │ 32–35 … 60–63 │ …   up to 2³² µs, over an hour
//!   buckets       8 exact │ 8 to each octave, so no value is off by more than 1/16 of itself
//! ```
//! Recording changes one bucket and the sum; the count is the sum of the buckets. [`Histogram`] depends on nothing else
//! and never allocates; [`Distribution`] is a reading of it. Tested below.
use super::number::Number;

/// Buckets of each octave, and of the values below the first one.
const SUB_BUCKETS: usize = 8;
/// 2³ = [`SUB_BUCKETS`].
const SUB_BITS: u32 = 3;
/// Durations of 2³² µs and more count as the longest that has a bucket.
const OCTAVES_END: u32 = 32;
/// The number of all buckets.
pub const BUCKET_COUNT: usize = SUB_BUCKETS * (OCTAVES_END - SUB_BITS + 1) as usize;

/// Counted by one thread; any thread may read.
#[derive(Debug)]
#[repr(C)]
pub struct Histogram {
    /// Beside the first buckets, which are those of the shortest durations.
    sum_us: Number,
    buckets: [Number; BUCKET_COUNT],
}

impl Default for Histogram {
    fn default() -> Self {
        Histogram { sum_us: Number::default(), buckets: std::array::from_fn(|_| Number::default()) }
    }
}

impl Histogram {
    /// Counts one duration.
    #[inline]
    pub fn record(&self, us: u64) {
        if let Some(bucket) = self.buckets.get(index(us)) {
            bucket.add(1);
        }
        self.sum_us.add(us);
    }

    /// Adds the counts so far to `all`.
    pub fn read_into(&self, all: &mut Distribution) {
        for (sum, bucket) in all.counts.iter_mut().zip(&self.buckets) {
            *sum = sum.wrapping_add(bucket.get());
        }
        all.sum_us = all.sum_us.wrapping_add(self.sum_us.get());
    }
}

/// The bucket of a duration.
fn index(us: u64) -> usize {
    let us = us.min((1 << OCTAVES_END) - 1) as usize;
    let Some(octave) = us.checked_ilog2().filter(|octave| *octave >= SUB_BITS) else { return us };
    let shift = octave - SUB_BITS;
    // The leading bit counts as one more octave's worth of buckets: 8 + (0 to 7) after the shift.
    SUB_BUCKETS * shift as usize + (us >> shift)
}

/// The first value of a bucket and how many values share it.
fn bounds(index: usize) -> (u64, u64) {
    let shift = (index / SUB_BUCKETS).saturating_sub(1);
    (((index - SUB_BUCKETS * shift) as u64) << shift, 1 << shift)
}

/// Durations at one moment, or between two.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Distribution {
    counts: Box<[u64; BUCKET_COUNT]>,
    sum_us: u64,
}

impl Default for Distribution {
    fn default() -> Self {
        Distribution { counts: Box::new([0; BUCKET_COUNT]), sum_us: 0 }
    }
}

/// The usual percentiles of latencies, in microseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
pub struct Percentiles {
    pub p50: u64,
    pub p90: u64,
    pub p99: u64,
    pub p999: u64,
}

impl Distribution {
    pub fn count(&self) -> u64 {
        self.counts.iter().fold(0, |sum: u64, count| sum.wrapping_add(*count))
    }

    pub fn sum_us(&self) -> u64 {
        self.sum_us
    }

    pub fn merge(&mut self, other: &Distribution) {
        for (sum, more) in self.counts.iter_mut().zip(other.counts.iter()) {
            *sum = sum.wrapping_add(*more);
        }
        self.sum_us = self.sum_us.wrapping_add(other.sum_us);
    }

    /// The durations counted after `earlier`, a reading of the same histogram.
    pub fn since(&self, earlier: &Distribution) -> Distribution {
        let mut difference = self.clone();
        for (count, before) in difference.counts.iter_mut().zip(earlier.counts.iter()) {
            // A reading is exact for each number, so no number is smaller than before.
            *count = count.saturating_sub(*before);
        }
        difference.sum_us = self.sum_us.saturating_sub(earlier.sum_us);
        difference
    }

    /// Durations shorter than 2 to the power of `exponent` microseconds: exact, since every power of
    /// two from eight on begins a bucket.
    pub fn below_power(&self, exponent: u32) -> u64 {
        let end = if exponent >= OCTAVES_END { BUCKET_COUNT } else { index(1 << exponent) };
        self.counts.iter().take(end).fold(0, |sum: u64, count| sum.wrapping_add(*count))
    }

    /// The duration that `per_mille` of a thousand do not exceed, off by at most 1/16 of itself;
    /// `None` when nothing was counted.
    pub fn percentile_us(&self, per_mille: u64) -> Option<u64> {
        let count = self.count();
        let rank = u128::from(count) * u128::from(per_mille.min(1000));
        let rank = u64::try_from(rank.div_ceil(1000)).unwrap_or(u64::MAX).max(1);
        let mut seen = 0;
        for (at, in_bucket) in self.counts.iter().enumerate() {
            seen += in_bucket;
            if seen >= rank {
                let (first, width) = bounds(at);
                return Some(first + width / 2);
            }
        }
        None
    }

    /// `None` when nothing was counted.
    pub fn percentiles(&self) -> Option<Percentiles> {
        Some(Percentiles {
            p50: self.percentile_us(500)?,
            p90: self.percentile_us(900)?,
            p99: self.percentile_us(990)?,
            p999: self.percentile_us(999)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use crate::telemetry::histogram::*;
    use proptest::prelude::*;

    fn read(histogram: &Histogram) -> Distribution {
        let mut all = Distribution::default();
        histogram.read_into(&mut all);
        all
    }

    #[test]
    fn buckets_follow_each_other_without_gap_or_overlap() {
        let mut next = 0;
        for at in 0..BUCKET_COUNT {
            let (first, width) = bounds(at);
            assert_eq!(first, next, "bucket {at}");
            assert_eq!((index(first), index(first + width - 1)), (at, at));
            next = first + width;
        }
        assert_eq!(next, 1 << OCTAVES_END);
        assert_eq!(index(next), BUCKET_COUNT - 1, "what is longer counts as the longest");
        assert_eq!(index(u64::MAX), BUCKET_COUNT - 1);
    }

    proptest! {
        #[test]
        fn a_single_value_comes_back_within_a_sixteenth(us in 0_u64..1 << 32) {
            let histogram = Histogram::default();
            histogram.record(us);
            let found = read(&histogram).percentile_us(500).unwrap();
            prop_assert!(found.abs_diff(us) * 16 <= us, "{us} came back as {found}");
        }

        #[test]
        fn percentiles_are_those_of_the_sorted_values(
            mut values in prop::collection::vec(0_u64..100_000_000, 1..400),
            per_mille in 1_u64..=1000,
        ) {
            let histogram = Histogram::default();
            values.iter().for_each(|us| histogram.record(*us));
            values.sort_unstable();
            let rank = (values.len() as u64 * per_mille).div_ceil(1000) as usize;
            let exact = values[rank - 1];
            let found = read(&histogram).percentile_us(per_mille).unwrap();
            prop_assert!(found.abs_diff(exact) * 16 <= exact, "{exact} came back as {found}");
        }

        #[test]
        fn powers_of_two_are_exact_borders(
            values in prop::collection::vec(0_u64..1 << 33, 0..200),
            exponent in 3_u32..32,
        ) {
            let histogram = Histogram::default();
            values.iter().for_each(|us| histogram.record(*us));
            let below = values.iter().filter(|us| **us < 1 << exponent).count() as u64;
            prop_assert_eq!(read(&histogram).below_power(exponent), below);
        }
    }

    #[test]
    fn nothing_counted_has_no_percentiles() {
        assert_eq!(Distribution::default().percentiles(), None);
    }

    #[test]
    fn shards_merge_and_a_later_reading_tells_what_came_between() {
        let (one, two) = (Histogram::default(), Histogram::default());
        (1..=100).for_each(|us| one.record(us));
        let earlier = read(&one);
        one.record(1_000_000);
        (0..3).for_each(|_| two.record(2_000_000));
        let mut all = read(&one);
        two.read_into(&mut all);
        let between = all.since(&earlier);
        assert_eq!((between.count(), between.sum_us()), (4, 7_000_000));
        assert_eq!(all.count(), 104);
        let mut merged = earlier.clone();
        merged.merge(&between);
        assert_eq!(merged, all);
        let percentiles = between.percentiles().unwrap();
        assert!(percentiles.p50.abs_diff(2_000_000) <= 125_000, "{percentiles:?}");
        assert_eq!(percentiles.p999, percentiles.p50);
    }
}
