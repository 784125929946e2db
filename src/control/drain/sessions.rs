//! An estimate of the sessions bound to a target, for drains, summaries, metrics and the console.
//!
//! Combines the targets' sketches with the lifetimes of sessions in a snapshot. The numbers are estimates;
//! `stickiness::sketch` explains their meaning and limits. Never locks. Tested below.

use std::collections::HashMap;
use std::sync::Arc;

use arc_swap::ArcSwapOption;

use crate::group::state::TargetState;
use crate::group::target_group::{Target, TargetGroup};
use crate::routing::actions::Action;
use crate::snapshot::{Published, Snapshot};
use crate::stickiness::sketch::Life;
use crate::stickiness::stable_key::stable_key;
use crate::stickiness::verdict::Stickiness;

/// The lifetimes of the sessions that lead to one group: by its own stickiness, and by that of rules. Empty when
/// nothing is sticky.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Lives(Vec<Life>);

impl Lives {
    /// The longest time, in seconds, that one of them lives without a request; `None` when nothing is sticky.
    pub fn longest_s(&self) -> Option<u64> {
        self.0.iter().map(|life| life.duration_s).max()
    }
}

/// The lifetimes of the sessions of each group of the snapshot.
pub fn lives(snapshot: &Snapshot) -> Vec<Lives> {
    let own = snapshot.groups.iter().map(|group| {
        let sticky = group.stickiness.as_ref().filter(|sticky| sticky.is_enabled());
        Lives(sticky.map(Stickiness::life).into_iter().collect())
    });
    let mut lives: Vec<Lives> = own.collect();
    for listener in &snapshot.listeners {
        for (rule, sticky) in listener.rules.rules().iter().zip(&listener.rule_stickiness) {
            let (Action::Forward(forward), Some(sticky)) = (&rule.action, sticky) else { continue };
            let life = sticky.is_enabled().then(|| sticky.life());
            for (group, _) in &forward.groups {
                if let Some(Lives(lives)) = lives.get_mut(*group) {
                    lives.extend(life.filter(|life| !lives.contains(life)));
                }
            }
        }
    }
    lives
}

/// Sessions that are bound to one target; `None` when nothing about it is sticky.
pub fn of_target(target: &TargetState, Lives(lives): &Lives, now_s: u64) -> Option<u64> {
    let sessions = || target.sessions().map_or(0, |sketch| sketch.estimate(now_s, lives));
    (!lives.is_empty()).then(sessions)
}

/// Sessions of a whole group: each lives at one of its targets.
pub fn of_group(group: &TargetGroup, lives: &Lives, now_s: u64) -> Option<u64> {
    let of_target = |target: &Target| of_target(&target.state, lives, now_s);
    lives.longest_s().map(|_| group.targets.iter().filter_map(of_target).sum())
}

/// The sessions of the published configuration, by name. To ask for thousands of groups, positions and lifetimes are
/// read once per snapshot.
#[derive(Debug)]
pub struct Sessions {
    published: Arc<Published>,
    index: ArcSwapOption<Index>,
}

/// The positions of groups in one snapshot, and the lifetimes of their sessions.
#[derive(Debug)]
struct Index {
    generation: u64,
    groups: HashMap<Arc<str>, (usize, Lives), ahash::RandomState>,
}

impl Sessions {
    pub fn new(published: Arc<Published>) -> Sessions {
        Sessions { published, index: ArcSwapOption::empty() }
    }

    /// Sessions that are bound to a target of this name; `None` when there is no such target, or nothing about it
    /// is sticky.
    pub fn of_target_named(&self, group: &str, target: &str, now_s: u64) -> Option<u64> {
        let snapshot = self.published.load();
        let index = self.index_of(&snapshot);
        let (group, lives) = index.find(&snapshot, group)?;
        let found = group.targets.get(group.find(stable_key(target))?);
        let target = found.filter(|one| &*one.id == target)?;
        of_target(&target.state, lives, now_s)
    }

    /// Sessions of the group of this name; `None` when there is no such group, or nothing about it is sticky.
    pub fn of_group_named(&self, group: &str, now_s: u64) -> Option<u64> {
        let snapshot = self.published.load();
        let index = self.index_of(&snapshot);
        let (group, lives) = index.find(&snapshot, group)?;
        of_group(group, lives, now_s)
    }

    fn index_of(&self, snapshot: &Snapshot) -> Arc<Index> {
        let known = self.index.load_full().filter(|one| one.generation == snapshot.generation);
        known.unwrap_or_else(|| {
            let index = Arc::new(Index::of(snapshot));
            self.index.store(Some(Arc::clone(&index)));
            index
        })
    }
}

impl Index {
    fn of(snapshot: &Snapshot) -> Index {
        let groups = snapshot.groups.iter().zip(lives(snapshot)).enumerate();
        let groups =
            groups.map(|(position, (group, lives))| (Arc::clone(&group.name), (position, lives)));
        Index { generation: snapshot.generation, groups: groups.collect() }
    }

    fn find<'s>(
        &'s self,
        snapshot: &'s Snapshot,
        group: &str,
    ) -> Option<(&'s TargetGroup, &'s Lives)> {
        let (position, lives) = self.groups.get(group)?;
        Some((snapshot.groups.get(*position)?, lives))
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::snapshot;
    use crate::control::drain::sessions::*;

    const NOW_S: u64 = 1_700_000_000;

    #[test]
    fn sessions_live_by_their_group_and_by_the_rules_that_lead_to_it() {
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
        let lives = lives(&snapshot);
        let durations_s = |of: &Lives| of.0.iter().map(|life| life.duration_s).collect::<Vec<_>>();
        let all: Vec<_> = lives.iter().map(durations_s).collect();
        assert_eq!(all, [vec![3_600, 7_200], vec![7_200], vec![60], vec![]]);
        let longest: Vec<_> = lives.iter().map(Lives::longest_s).collect();
        assert_eq!(longest, [Some(7_200), Some(7_200), Some(60), None]);
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
        let sticky = &lives(&snapshot)[0];
        let life = sticky.0[0];
        for session in [1_u128, 2, 3] {
            a.note_session(session << 100 | session, life, NOW_S);
        }
        b.note_session(4 << 100 | 4, life, NOW_S);
        let loose = &Lives::default();
        assert_eq!(of_target(a, sticky, NOW_S), Some(3));
        assert_eq!(of_target(b, sticky, NOW_S), Some(1));
        assert_eq!(of_target(b, loose, NOW_S), None);
        assert_eq!(of_group(group, sticky, NOW_S), Some(4));
        assert_eq!(of_group(group, loose, NOW_S), None);
        let sessions = Sessions::new(Arc::new(Published::from_pointee(snapshot)));
        assert_eq!(sessions.of_target_named("app", "a", NOW_S + 60), Some(3));
        assert_eq!(sessions.of_target_named("app", "a", NOW_S + 61), Some(0));
        assert_eq!(sessions.of_target_named("app", "c", NOW_S), None);
        assert_eq!(sessions.of_target_named("other", "a", NOW_S), None);
        assert_eq!(sessions.of_group_named("app", NOW_S), Some(4));
        assert_eq!(sessions.of_group_named("other", NOW_S), None);
    }
}
