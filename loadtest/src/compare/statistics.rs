//! Medians, spreads and paired ratios.
//!
//! Owns: the arithmetic of a comparison. Never: a mean, which one disturbed round would carry away.
//! Tested here with figures whose results are known.

use serde::Serialize;

/// A median with what it was taken from.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Spread {
    /// The middle one, or the mean of the two in the middle.
    pub median: f64,
    /// The least.
    pub least: f64,
    /// The greatest.
    pub greatest: f64,
    /// How many there were.
    pub count: usize,
}

/// Median and spread; `None` of nothing.
pub fn spread(figures: &[f64]) -> Option<Spread> {
    let mut sorted: Vec<f64> =
        figures.iter().copied().filter(|figure| figure.is_finite()).collect();
    sorted.sort_by(f64::total_cmp);
    let count = sorted.len();
    let (least, greatest) = (*sorted.first()?, *sorted.last()?);
    let median = match count % 2 {
        0 => f64::midpoint(sorted[count / 2 - 1], sorted[count / 2]),
        _ => sorted[count / 2],
    };
    Some(Spread { median, least, greatest, count })
}

/// Spread of the ratios `one / other`, each of two figures of the same round.
pub fn paired(one: &[Option<f64>], other: &[Option<f64>]) -> Option<Spread> {
    let ratios: Vec<f64> =
        one.iter().zip(other).filter_map(|(one, other)| Some((*one)? / (*other)?)).collect();
    spread(&ratios)
}

/// What some paired ratios say.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// Reliably below 1.
    Less,
    /// Reliably above 1.
    More,
    /// Not told apart by these rounds.
    Unproven,
}

/// What a coincidence may be: one in twenty.
const CHANCE_MAX: f64 = 0.05;

/// Judges paired ratios by the sign test: how likely so many of them on one side of 1 would be, if both
/// were the same.
pub fn judge(ratios: &[f64]) -> (Verdict, f64) {
    let less = ratios.iter().filter(|&&ratio| ratio < 1.0).count();
    let more = ratios.iter().filter(|&&ratio| ratio > 1.0).count();
    let chance = sign_chance(less, more);
    let verdict = match (chance <= CHANCE_MAX, less > more) {
        (false, _) => Verdict::Unproven,
        (true, true) => Verdict::Less,
        (true, false) => Verdict::More,
    };
    (verdict, chance)
}

/// The two-sided chance of a split as uneven as this, of fair coins.
fn sign_chance(less: usize, more: usize) -> f64 {
    let count = less + more;
    let few = less.min(more);
    let mut ways = 1.0;
    let mut sum = 0.0;
    for index in 0..=few {
        if index > 0 {
            ways = ways * (count - index + 1) as f64 / index as f64;
        }
        sum += ways;
    }
    (2.0 * sum / 2f64.powi(i32::try_from(count).unwrap_or(i32::MAX))).min(1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_the_middle_and_the_spread_its_ends() {
        let odd = spread(&[3.0, 1.0, 2.0]).unwrap();
        assert_eq!((odd.median, odd.least, odd.greatest, odd.count), (2.0, 1.0, 3.0, 3));
        assert_eq!(spread(&[4.0, 1.0, 2.0, 3.0]).unwrap().median, 2.5);
        assert_eq!(spread(&[]), None);
        assert_eq!(spread(&[f64::NAN]), None);
    }

    #[test]
    fn ratios_are_of_the_same_round_only() {
        let one = [Some(2.0), None, Some(9.0)];
        let other = [Some(1.0), Some(5.0), Some(3.0)];
        let ratios = paired(&one, &other).unwrap();
        assert_eq!((ratios.least, ratios.greatest, ratios.count), (2.0, 3.0, 2));
        assert_eq!(paired(&[None], &[Some(1.0)]), None);
    }

    #[test]
    fn the_sign_test_has_the_chances_of_coins() {
        assert_eq!(sign_chance(0, 0), 1.0);
        assert_eq!(sign_chance(0, 5), 0.0625);
        assert_eq!(sign_chance(8, 0), 0.0078125);
        assert_eq!(sign_chance(1, 7), 0.0703125);
        assert_eq!(sign_chance(4, 4), 1.0);
    }

    #[test]
    fn one_side_of_one_in_eight_rounds_is_a_verdict_and_in_five_is_not() {
        assert_eq!(judge(&[0.98; 8]).0, Verdict::Less);
        assert_eq!(judge(&[1.02; 8]).0, Verdict::More);
        assert_eq!(judge(&[0.5; 5]).0, Verdict::Unproven);
        assert_eq!(judge(&[0.98, 1.01, 0.99, 1.0, 0.97, 1.02, 0.98, 0.99]).0, Verdict::Unproven);
    }
}
