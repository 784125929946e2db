//! The overview: the traffic of the process, and the state of each group, those in trouble first.
//!
//! Requested every second by every viewer, so it counts and does not describe: it lists only the targets that cause the
//! trouble. Tested by `tests/admin`.

use std::cmp::Reverse;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use super::operator::{Operator, unchecked_count};
use super::views::{GroupStanding, Overview, TargetStanding};
use crate::group::state::Health;
use crate::group::target_group::{Target, TargetGroup};

/// Most groups that are listed.
const GROUPS_MAX: usize = 50;
/// Most troubled targets that are listed for one group.
const TARGETS_MAX: usize = 5;
/// The word for a target that is ejected for its gateway errors, whatever its checks say.
const EJECTED: &str = "ejected";

/// Failures of the last two minutes, by target.
type Failing = HashMap<Arc<str>, u64>;

impl Operator {
    pub fn overview(&self) -> Overview {
        let snapshot = self.control.snapshot();
        let mut groups: Vec<(bool, &Arc<TargetGroup>, Failing)> = Vec::new();
        for group in &snapshot.groups {
            let failing: Failing = self.sampler.failing(&group.name).into_iter().collect();
            groups.push((is_troubled(group, &failing), group, failing));
        }
        let troubled_count = groups.iter().filter(|(is_troubled, ..)| *is_troubled).count();
        groups.sort_by_key(|(is_troubled, ..)| Reverse(*is_troubled));
        let told = groups.iter().take(GROUPS_MAX);
        Overview {
            rates: self.sampler.overview(),
            group_count: groups.len(),
            troubled_count,
            unchecked_count: unchecked_count(&snapshot),
            groups: told.map(|(_, group, failing)| self.standing(group, failing)).collect(),
        }
    }

    fn standing(&self, group: &TargetGroup, failing: &Failing) -> GroupStanding {
        let numbers = self.sampler.group(&group.name).unwrap_or_default();
        let mut standing = BTreeMap::new();
        for target in &group.targets {
            *standing.entry(word(group, target)).or_insert(0) += 1;
        }
        let troubled = group.targets.iter().filter(|target| is_target_troubled(target, failing));
        GroupStanding {
            name: group.name.to_string(),
            is_troubled: is_troubled(group, failing),
            target_count: group.targets.len(),
            standing,
            failing_open: group.fails_open(),
            requests_per_second: numbers.requests_per_second,
            errors_per_second: numbers.errors_per_second,
            failures_recently: failing.values().sum(),
            in_flight: group.targets.iter().map(|one| u64::from(one.state.in_flight())).sum(),
            troubled_targets: troubled
                .take(TARGETS_MAX)
                .map(|target| self.troubled(group, target, failing))
                .collect(),
        }
    }

    fn troubled(&self, group: &TargetGroup, target: &Target, failing: &Failing) -> TargetStanding {
        let note = self.board.note(target.state.slot);
        TargetStanding {
            id: target.id.to_string(),
            standing: word(group, target),
            reason: note.map_or_else(String::new, |note| note.reason),
            failures_recently: failing.get(&target.id).copied().unwrap_or(0),
        }
    }
}

fn word(group: &TargetGroup, target: &Target) -> &'static str {
    if target.state.is_ejected() { EJECTED } else { group.health_code(target) }
}

/// Whether no target is in service, too few are healthy, or one of them is in trouble.
fn is_troubled(group: &TargetGroup, failing: &Failing) -> bool {
    let is_out =
        |target: &Target| matches!(target.state.health(), Health::Draining | Health::Unused);
    group.targets.iter().all(is_out)
        || group.fails_open()
        || group.targets.iter().any(|target| is_target_troubled(target, failing))
}

fn is_target_troubled(target: &Target, failing: &Failing) -> bool {
    target.state.is_ejected()
        || target.state.health() == Health::Unhealthy
        || failing.contains_key(&target.id)
}
