//! The choice among the weighted groups of a forward action.
//!
//! Pure: randomness and the usability of a group are arguments. Tested by exact shares over evenly
//! spread numbers.
use super::actions::GroupIndex;

/// Picks a group by weight among those that `usable` accepts; `random` is evenly spread over all u64.
///
/// Weight 0 is never picked. `None` when no group with a weight is usable: the caller then picks again among all
/// groups, to answer 503 in the name of one.
pub fn pick(
    groups: &[(GroupIndex, u32)],
    random: u64,
    usable: impl Fn(GroupIndex) -> bool,
) -> Option<GroupIndex> {
    let candidates =
        || groups.iter().filter(|&&(group, weight)| weight > 0 && usable(group)).copied();
    let total: u64 = candidates().map(|(_, weight)| u64::from(weight)).fold(0, u64::saturating_add);
    // Multiplying and shifting maps evenly onto 0..total without a division.
    let point = (u128::from(random) * u128::from(total)) >> 64;
    let mut passed: u128 = 0;
    let mut last = None;
    for (group, weight) in candidates() {
        passed += u128::from(weight);
        last = Some(group);
        if point < passed {
            break;
        }
    }
    // Usability may change between the two passes; then the last usable group is taken.
    last
}

#[cfg(test)]
mod tests {
    use crate::routing::weighted::*;

    fn shares(groups: &[(GroupIndex, u32)], usable: impl Fn(GroupIndex) -> bool) -> [u32; 4] {
        let mut counts = [0; 4];
        for step in 0..1000 {
            if let Some(group) = pick(groups, step * (u64::MAX / 1000), &usable) {
                counts[group] += 1;
            }
        }
        counts
    }

    #[test]
    fn groups_get_their_share_by_weight() {
        let counts = shares(&[(2, 9), (0, 1), (1, 0)], |_| true);
        assert!(counts[0].abs_diff(100) <= 1, "{counts:?}");
        assert!(counts[2].abs_diff(900) <= 1, "{counts:?}");
        assert_eq!(counts[1], 0);
    }

    #[test]
    fn an_unusable_group_leaves_its_share_to_the_others() {
        let counts = shares(&[(0, 1), (1, 1), (3, 3)], |group| group != 3);
        assert!(counts[0].abs_diff(500) <= 1 && counts[1].abs_diff(500) <= 1, "{counts:?}");
        assert_eq!(counts[3], 0);
    }

    #[test]
    fn nothing_usable_or_weightless_is_none() {
        assert_eq!(pick(&[(0, 1), (1, 1)], 7, |_| false), None);
        assert_eq!(pick(&[(0, 0)], 7, |_| true), None);
        assert_eq!(pick(&[], 7, |_| true), None);
    }

    #[test]
    fn the_extremes_of_randomness_and_weight_stay_in_range() {
        let groups = [(0, u32::MAX), (1, u32::MAX)];
        assert_eq!(pick(&groups, 0, |_| true), Some(0));
        assert_eq!(pick(&groups, u64::MAX, |_| true), Some(1));
    }
}
