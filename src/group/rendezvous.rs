//! Weighted rendezvous hashing: the deterministic choice of fail-over.
//!
//! Every node and shard computes the same winner from the session id and the keys and weights of the candidates alone.
//! When a candidate leaves, only the sessions that it had won move; a candidate that joins takes its share from all
//! others. Nothing here may change between versions, since old and new nodes run side by side; so the logarithm is
//! computed from additions, multiplications and divisions, whose results IEEE 754 fixes, instead of by a library.
//! Tested by vectors and by properties.

/// Spreads 64 bits over 64 bits; a bijection (the finalizer of MurmurHash3).
pub(super) fn mix(mut bits: u64) -> u64 {
    bits ^= bits >> 33;
    bits = bits.wrapping_mul(0xFF51_AFD7_ED55_8CCD);
    bits ^= bits >> 33;
    bits = bits.wrapping_mul(0xC4CE_B9FE_1A85_EC53);
    bits ^ (bits >> 33)
}

/// Both halves of a session id in one number.
fn fold(session: u128) -> u64 {
    mix(session as u64).wrapping_add((session >> 64) as u64)
}

/// The score of a candidate for a session: `weight / -ln(u)` with `u` in (0, 1) from the hash of both. The highest
/// wins; a candidate wins in proportion to its weight.
fn score(session: u64, key: u64, weight: u32) -> f64 {
    let hash = mix(mix(session ^ key).wrapping_add(key));
    // 52 bits, in the middle of their interval: neither 0 nor 1, and exact.
    let unit = ((hash >> 12) as f64 + 0.5) * (1.0 / (1u64 << 52) as f64);
    f64::from(weight) / -natural_logarithm(unit)
}

/// For positive normal numbers; exact to about 1e-15.
fn natural_logarithm(number: f64) -> f64 {
    const MANTISSA: u64 = (1 << 52) - 1;
    let bits = number.to_bits();
    let mut exponent = (bits >> 52) as i32 - 1023;
    let mut fraction = f64::from_bits((bits & MANTISSA) | (1023 << 52));
    if fraction > std::f64::consts::SQRT_2 {
        fraction /= 2.0;
        exponent += 1;
    }
    // ln(f) = 2·artanh((f - 1) / (f + 1)), a series in odd powers of at most 0.1716.
    let ratio = (fraction - 1.0) / (fraction + 1.0);
    let square = ratio * ratio;
    let mut sum = 0.0;
    for power in (1..=19u32).rev().step_by(2) {
        sum = sum * square + 1.0 / f64::from(power);
    }
    f64::from(exponent) * std::f64::consts::LN_2 + 2.0 * ratio * sum
}

/// The winner among `(candidate, key, weight)`; weight 0 never wins. Equal scores go to the higher key.
pub(super) fn choose<T>(
    session: u128,
    candidates: impl Iterator<Item = (T, u64, u32)>,
) -> Option<T> {
    let session = fold(session);
    let mut best: Option<(f64, u64, T)> = None;
    for (candidate, key, weight) in candidates {
        if weight == 0 {
            continue;
        }
        let score = score(session, key, weight);
        let wins = match &best {
            None => true,
            Some((highest, of, _)) => score > *highest || (score == *highest && key > *of),
        };
        if wins {
            best = Some((score, key, candidate));
        }
    }
    best.map(|(_, _, candidate)| candidate)
}

#[cfg(test)]
mod tests {
    use crate::group::rendezvous::*;
    use proptest::prelude::*;

    fn keys(count: u64) -> Vec<(u64, u64, u32)> {
        (0..count).map(|n| (n, mix(n + 1), 1)).collect()
    }

    fn winner(session: u128, candidates: &[(u64, u64, u32)]) -> Option<u64> {
        choose(session, candidates.iter().copied())
    }

    #[test]
    fn the_choice_is_the_same_in_every_version() {
        let candidates = keys(10);
        let winners: Vec<u64> =
            (0..8).map(|n| winner(mix(n).into(), &candidates).expect("some")).collect();
        assert_eq!(winners, VECTOR);
        assert_eq!(score(1, 2, 3).to_bits(), SCORE);
    }
    const VECTOR: [u64; 8] = [6, 1, 2, 4, 3, 3, 6, 1];
    const SCORE: u64 = 0x4096e1d972d2f5a8;

    #[test]
    fn the_logarithm_is_the_logarithm() {
        for n in 1..10_000 {
            let number = f64::from(n) / 10_000.0;
            assert!((natural_logarithm(number) - number.ln()).abs() < 1e-13, "{number}");
        }
        let smallest = 0.5 / (1u64 << 52) as f64;
        assert!((natural_logarithm(smallest) - smallest.ln()).abs() < 1e-13);
        let largest = 1.0 - smallest;
        assert!(natural_logarithm(largest) < 0.0);
    }

    #[test]
    fn sessions_spread_by_weight() {
        let candidates = [(0, mix(1), 1), (1, mix(2), 2), (2, mix(3), 5), (3, mix(4), 0)];
        let mut won = [0u32; 4];
        for session in 0..40_000u64 {
            won[winner(mix(session).into(), &candidates).expect("some") as usize] += 1;
        }
        for (index, share) in [(0, 5_000.0), (1, 10_000.0), (2, 25_000.0)] {
            let off = (f64::from(won[index]) - share).abs() / share;
            assert!(off < 0.05, "{won:?}");
        }
        assert_eq!(won[3], 0);
    }

    #[test]
    fn nobody_wins_without_candidates() {
        assert_eq!(winner(1, &[]), None);
        assert_eq!(winner(1, &[(0, 1, 0)]), None);
    }

    proptest! {
        #[test]
        fn a_leaver_moves_only_its_own_sessions(
            session: u128, count in 2u64..20, leaver in 0u64..20,
        ) {
            let all = keys(count);
            let leaver = leaver % count;
            let rest: Vec<_> = all.iter().copied().filter(|(n, _, _)| *n != leaver).collect();
            let before = winner(session, &all);
            if before != Some(leaver) {
                prop_assert_eq!(winner(session, &rest), before);
            }
        }

        #[test]
        fn a_heavier_candidate_only_gains(session: u128, which in 0usize..6, weight in 1u32..100) {
            let before = keys(6);
            let mut after = before.clone();
            after[which].2 = weight;
            let (old, new) = (winner(session, &before), winner(session, &after));
            prop_assert!(new == old || new == Some(which as u64));
        }

        #[test]
        fn the_order_of_candidates_does_not_matter(session: u128, count in 1u64..20) {
            let forwards = keys(count);
            let backwards: Vec<_> = forwards.iter().rev().copied().collect();
            prop_assert_eq!(winner(session, &forwards), winner(session, &backwards));
        }
    }
}
