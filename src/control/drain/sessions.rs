//! About how many sessions are bound to a target, for drains, summaries, metrics and the console.
//!
//! Reads the targets' sketches with the stickiness durations of a snapshot. Figures are estimates; what
//! they mean and what they cannot know stands in `target::sketch`. Never locks. Tested below.

use std::collections::HashMap;
use std::sync::Arc;

use arc_swap::ArcSwapOption;

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

/// The sessions of what is published, by names. Whoever asks for thousands of groups asks each snapshot once for
/// where they are and how sticky.
#[derive(Debug)]
pub struct Sessions {
    published: Arc<Published>,
    index: ArcSwapOption<Index>,
}

/// Where groups are in one snapshot, and how long their sessions live.
#[derive(Debug)]
struct Index {
    generation: u64,
    groups: HashMap<Arc<str>, (usize, Option<u64>), ahash::RandomState>,
}

impl Sessions {
    pub fn new(published: Arc<Published>) -> Sessions {
        Sessions { published, index: ArcSwapOption::empty() }
    }

    /// Sessions that are bound to a target of this name; `None` when there is no such target, or nothing about it
    /// is sticky.
    pub fn of_target_named(&self, group: &str, target: &str, now_s: u64) -> Option<u64> {
        let snapshot = self.published.load();
        let (group, duration_s) = self.find(&snapshot, group)?;
        let found = group.targets.get(group.find(stable_key(target))?);
        let target = found.filter(|one| &*one.id == target)?;
        of_target(&target.state, duration_s, now_s)
    }

    /// Sessions of the group of this name; `None` when there is no such group, or nothing about it is sticky.
    pub fn of_group_named(&self, group: &str, now_s: u64) -> Option<u64> {
        let snapshot = self.published.load();
        let (group, duration_s) = self.find(&snapshot, group)?;
        of_group(group, duration_s, now_s)
    }

    fn find<'s>(
        &self,
        snapshot: &'s Snapshot,
        group: &str,
    ) -> Option<(&'s TargetGroup, Option<u64>)> {
        let known = self.index.load_full().filter(|one| one.generation == snapshot.generation);
        let index = known.unwrap_or_else(|| {
            let index = Arc::new(Index::of(snapshot));
            self.index.store(Some(Arc::clone(&index)));
            index
        });
        let (position, duration_s) = *index.groups.get(group)?;
        Some((snapshot.groups.get(position)?, duration_s))
    }
}

impl Index {
    fn of(snapshot: &Snapshot) -> Index {
        let groups = snapshot.groups.iter().zip(durations_s(snapshot)).enumerate();
        let groups = groups.map(|(position, (group, duration_s))| {
            (Arc::clone(&group.name), (position, duration_s))
        });
        Index { generation: snapshot.generation, groups: groups.collect() }
    }
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
        let sessions = Sessions::new(Arc::new(Published::from_pointee(snapshot)));
        assert_eq!(sessions.of_target_named("app", "a", NOW_S + 60), Some(3));
        assert_eq!(sessions.of_target_named("app", "a", NOW_S + 61), Some(0));
        assert_eq!(sessions.of_target_named("app", "c", NOW_S), None);
        assert_eq!(sessions.of_target_named("other", "a", NOW_S), None);
        assert_eq!(sessions.of_group_named("app", NOW_S), Some(3));
        assert_eq!(sessions.of_group_named("other", NOW_S), None);
    }
}
