//! The time of a target's next check: every target has its own place in the interval, so that checks are spread evenly,
//! however many there are. Pure; time and randomness are arguments.
//!
//! Places follow the golden ratio, whose multiples fall evenly into an interval for any count of targets, in any
//! group, added at any time. Tested below.

use std::time::Duration;

/// The golden ratio's fraction, in parts of 2⁶⁴.
const GOLDEN: u64 = 0x9E37_79B9_7F4A_7C15;

/// A check varies around its place by up to this part of the interval, so that two checks are up to a tenth nearer or
/// farther apart than the interval.
const STRAY_PARTS: u32 = 20;

/// The beat of one target's checks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Beat {
    /// When the next check would be without the variation.
    due: Duration,
}

impl Beat {
    /// The beat of the target with this number, whose next check comes within `interval`.
    pub fn new(number: u64, now: Duration, interval: Duration) -> Beat {
        Beat { due: now.saturating_add(part(interval, number.wrapping_mul(GOLDEN))) }
    }

    /// When the next check is due; moves the beat past it. Missed checks are not made up for.
    pub fn next(&mut self, now: Duration, interval: Duration, random: u64) -> Duration {
        let due = self.due.saturating_add(part(interval / (STRAY_PARTS / 2), random));
        let due = due.saturating_sub(interval / STRAY_PARTS).max(now);
        self.due = self.due.saturating_add(interval);
        if self.due <= now {
            self.due = now.saturating_add(interval);
        }
        due
    }
}

/// `bits` of 2⁶⁴ parts of a duration.
fn part(of: Duration, bits: u64) -> Duration {
    let nanos = (of.as_nanos().min(u128::from(u64::MAX)) * u128::from(bits)) >> 64;
    Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use crate::control::health::beat::*;

    const INTERVAL: Duration = Duration::from_secs(10);

    #[test]
    fn any_number_of_targets_is_spread_evenly() {
        for count in [2u64, 3, 10, 5_000] {
            let mut beats: Vec<_> =
                (100..100 + count).map(|n| Beat::new(n, INTERVAL, INTERVAL).due).collect();
            beats.sort();
            let ends = [INTERVAL, INTERVAL * 2];
            assert!(beats.iter().all(|beat| (ends[0]..ends[1]).contains(beat)));
            let widest = beats.windows(2).map(|pair| pair[1] - pair[0]).max().unwrap();
            assert!(widest < INTERVAL * 3 / count as u32, "{count}: {widest:?}");
        }
    }

    #[test]
    fn two_checks_are_an_interval_apart_give_or_take_a_tenth() {
        let mut beat = Beat::new(7, Duration::ZERO, INTERVAL);
        let mut last = beat.next(Duration::ZERO, INTERVAL, 0);
        let mut gaps = Vec::new();
        for n in 1..1_000u64 {
            let due = beat.next(last, INTERVAL, n.wrapping_mul(GOLDEN).wrapping_mul(n));
            gaps.push(due - last);
            last = due;
        }
        let tenth = INTERVAL / 10;
        assert!(gaps.iter().all(|gap| (INTERVAL - tenth..=INTERVAL + tenth).contains(gap)));
        let (least, most) = (gaps.iter().min().unwrap(), gaps.iter().max().unwrap());
        assert!(*most - *least > tenth, "they do stray: {least:?} to {most:?}");
        // Variations do not add up.
        let drift = last.abs_diff(INTERVAL * 999 + Beat::new(7, Duration::ZERO, INTERVAL).due);
        assert!(drift <= tenth, "{drift:?}");
    }

    #[test]
    fn what_was_missed_is_not_made_up_for() {
        let mut beat = Beat::new(0, Duration::ZERO, INTERVAL);
        let late = INTERVAL * 5;
        assert_eq!(beat.next(late, INTERVAL, 0), late);
        assert_eq!(
            beat.next(late, INTERVAL, u64::MAX / 2),
            late + INTERVAL - Duration::from_nanos(1)
        );
    }
}
