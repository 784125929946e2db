//! About how many sessions are bound to a target, for drains, summaries, metrics and the console.
//!
//! Reads the targets' sketches with the stickiness durations of a snapshot. Figures are estimates; what
//! they mean and what they cannot know stands in `target::sketch`. Never locks. Tested below.

use crate::routing::actions::Action;
use crate::snapshot::{Published, Snapshot};
use crate::target::group::{TargetGroup, stable_key};
use crate::target::sketch::Seen;
use crate::target::state::TargetState;

/// For each group of the snapshot, for how many seconds without a request a session with it lives: by its
/// own stickiness or that of a rule that leads to it, whichever is longer. `None` = nothing is sticky.
pub fn durations_s(snapshot: &Snapshot) -> Vec<Option<u64>> {
    let own = snapshot.groups.iter().map(|group| {
        let sticky = group.stickiness.as_ref().filter(|sticky| sticky.is_enabled())?;
        Some(sticky.options().duration.as_secs())
    });
    let mut durations: Vec<Option<u64>> = own.collect();
    for listener in &snapshot.listeners {
        for (rule, sticky) in listener.rules.rules().iter().zip(&listener.rule_stickiness) {
            let (Action::Forward(forward), Some(sticky)) = (&rule.action, sticky) else { continue };
            let duration_s = sticky.is_enabled().then(|| sticky.options().duration.as_secs());
            for (group, _) in &forward.groups {
                if let Some(longest) = durations.get_mut(*group) {
                    *longest = (*longest).max(duration_s);
                }
            }
        }
    }
    durations
}

/// Sessions that are bound to one target; `None` when nothing about it is sticky.
pub fn of_target(target: &TargetState, duration_s: Option<u64>, now_s: u64) -> Option<u64> {
    let duration_s = duration_s?;
    Some(target.sessions().map_or(0, |sketch| sketch.estimate(now_s, duration_s)))
}

/// Sessions of a whole group; one that has moved from target to target counts once.
pub fn of_group(group: &TargetGroup, duration_s: Option<u64>, now_s: u64) -> Option<u64> {
    let duration_s = duration_s?;
    let mut seen = Seen::default();
    for sketch in group.targets.iter().filter_map(|target| target.state.sessions()) {
        seen.add(sketch, now_s, duration_s);
    }
    Some(seen.estimate())
}

/// Sessions that are bound to a target of this name in what is published; `None` when there is no such
/// target, or nothing about it is sticky.
pub fn by_name(published: &Published, group: &str, target: &str, now_s: u64) -> Option<u64> {
    let snapshot = published.load();
    let index = snapshot.groups.iter().position(|one| &*one.name == group)?;
    let found = snapshot.groups.get(index)?;
    let found = found.targets.get(found.find(stable_key(target))?);
    let target = found.filter(|one| &*one.id == target)?;
    let duration_s = durations_s(&snapshot).get(index).copied().flatten();
    of_target(&target.state, duration_s, now_s)
}

#[cfg(test)]
mod tests {
    use super::super::tests::snapshot;
    use super::*;

    const NOW_S: u64 = 1_700_000_000;

    #[test]
    fn a_group_is_as_sticky_as_itself_or_the_rules_that_lead_to_it() {
        let snapshot = snapshot(
            r#"
            [[listener]]
            name = "web"
            address = "127.0.0.1:0"
            forward = { groups = [{ group = "a" }, { group = "b" }], sticky = { enabled = true, duration = "2h" } }
            [[listener.rule]]
            priority = 1
            when.path = ["/c"]
            forward = { groups = [{ group = "c" }, { group = "d" }], sticky = { enabled = false } }
            [[target_group]]
            name = "a"
            stickiness = { enabled = true, duration = "1h" }
            [[target_group]]
            name = "b"
            [[target_group]]
            name = "c"
            stickiness = { enabled = true, duration = "1m" }
            [[target_group]]
            name = "d"
            "#,
        );
        assert_eq!(durations_s(&snapshot), [Some(7_200), Some(7_200), Some(60), None]);
    }

    #[test]
    fn sessions_are_counted_by_target_and_by_group() {
        let snapshot = snapshot(
            r#"
            [[listener]]
            name = "web"
            address = "127.0.0.1:0"
            forward = "app"
            [[target_group]]
            name = "app"
            stickiness = { enabled = true, duration = "1m" }
            target = [{ id = "a", address = "127.0.0.1:1" }, { id = "b", address = "127.0.0.1:2" }]
            "#,
        );
        let group = &snapshot.groups[0];
        let [a, b] = [0, 1].map(|index| &group.targets[index].state);
        for session in [1_u128, 2, 3] {
            a.note_session(session << 100 | session, NOW_S, 60);
        }
        b.note_session(3 << 100 | 3, NOW_S, 60);
        assert_eq!(of_target(a, Some(60), NOW_S), Some(3));
        assert_eq!(of_target(b, Some(60), NOW_S), Some(1));
        assert_eq!(of_target(b, None, NOW_S), None);
        assert_eq!(of_group(group, Some(60), NOW_S), Some(3));
        assert_eq!(of_group(group, None, NOW_S), None);
        let published = Published::from_pointee(snapshot);
        assert_eq!(by_name(&published, "app", "a", NOW_S + 60), Some(3));
        assert_eq!(by_name(&published, "app", "a", NOW_S + 61), Some(0));
        assert_eq!(by_name(&published, "app", "c", NOW_S), None);
        assert_eq!(by_name(&published, "other", "a", NOW_S), None);
    }
}
