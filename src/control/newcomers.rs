//! Tells first visits how many sessions live at each target, four times a second, where
//! `new_sessions = "least_sessions"` asks for it.
//!
//! Reads the targets' sketches, which takes some microseconds each, beside the control plane's thread and in at most a
//! tenth of the time: a fleet of thousands of targets is told more seldom, and what is placed meanwhile is counted by
//! who places it. Where nobody asks, nothing is read. Tested below.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::drain::sessions::{self, Lives};
use super::events::unix_ms;
use super::runtime::Control;
use crate::routing::actions::{Action, GroupIndex};
use crate::snapshot::Snapshot;
use crate::stickiness::options::NewSessions;
use crate::stickiness::verdict::Stickiness;
use crate::uring::Courtesy;

/// How often sessions are counted.
const EVERY: Duration = Duration::from_millis(250);
/// Time that passes between two counts, by the time that one takes.
const PAUSE: u32 = 9;

/// The groups of one snapshot whose sessions are counted, and how these live.
#[derive(Debug)]
struct Counted {
    generation: u64,
    groups: Vec<(GroupIndex, Lives)>,
}

/// Counts for as long as it is polled.
pub async fn run(control: &Control) {
    let mut counted: Option<Arc<Counted>> = None;
    loop {
        let began = Instant::now();
        let snapshot = control.snapshot();
        let known = counted.take().filter(|known| known.generation == snapshot.generation);
        let of = counted.insert(known.unwrap_or_else(|| Arc::new(Counted::of(&snapshot))));
        if !of.groups.is_empty() {
            let of = Arc::clone(of);
            let count = move || {
                let _courtesy = Courtesy::begin();
                of.publish(&snapshot, unix_ms() / 1000);
            };
            if let Err(error) = tokio::task::spawn_blocking(count).await {
                tracing::error!(%error, "sessions cannot be counted for first visits");
            }
        }
        tokio::time::sleep(EVERY.max(began.elapsed().saturating_mul(PAUSE))).await;
    }
}

impl Counted {
    fn of(snapshot: &Snapshot) -> Counted {
        let own = snapshot.groups.iter().enumerate();
        let own = own.filter(|(_, group)| group.stickiness.as_ref().is_some_and(seeks_room));
        let mut groups: BTreeSet<GroupIndex> = own.map(|(index, _)| index).collect();
        for listener in &snapshot.listeners {
            for (rule, sticky) in listener.rules.rules().iter().zip(&listener.rule_stickiness) {
                if let (Action::Forward(forward), Some(sticky)) = (&rule.action, sticky)
                    && seeks_room(sticky)
                {
                    groups.extend(forward.groups.iter().map(|(group, _)| group));
                }
            }
        }
        let lives = if groups.is_empty() { Vec::new() } else { sessions::lives(snapshot) };
        let is_counted = |(index, _): &(GroupIndex, Lives)| groups.contains(index);
        let groups = lives.into_iter().enumerate().filter(is_counted).collect();
        Counted { generation: snapshot.generation, groups }
    }

    fn publish(&self, snapshot: &Snapshot, now_s: u64) {
        let groups = self.groups.iter();
        for (group, lives) in
            groups.filter_map(|(at, lives)| Some((snapshot.groups.get(*at)?, lives)))
        {
            for target in &group.targets {
                let state = &target.state;
                let live = || sessions::of_target(state, lives, now_s).unwrap_or(0);
                state.newcomers().publish(state.sessions(), now_s, live);
            }
        }
    }
}

fn seeks_room(sticky: &Stickiness) -> bool {
    sticky.is_enabled() && sticky.options().new_sessions == NewSessions::LeastSessions
}

#[cfg(test)]
mod tests {
    use crate::control::compile::compile;
    use crate::control::config;
    use crate::control::newcomers::*;
    use crate::group::state::Registry;
    use crate::stickiness::keyring::KeyRing;

    const NOW_S: u64 = 1_700_000_000;

    fn snapshot(text: &str) -> Snapshot {
        let ring = Arc::new(KeyRing::from_secrets(&[(1, [7; 32])]).unwrap());
        let file = config::parse(text, "test.toml").unwrap();
        compile(&file, &Registry::new(), &ring, None, &[]).unwrap()
    }

    #[test]
    fn sessions_are_counted_where_a_group_or_a_rule_seeks_room() {
        let snapshot = snapshot(
            r#"
            [[listener]]
            name = "web"
            address = "127.0.0.1:0"
            respond = {}
            [[listener.rule]]
            priority = 1
            when.path = ["/b"]
            forward = { groups = [{ group = "b" }, { group = "c" }], sticky = { enabled = true, new_sessions = "least_sessions" } }
            [[listener.rule]]
            priority = 2
            when.path = ["/d"]
            forward = { groups = [{ group = "d" }], sticky = { enabled = false, new_sessions = "least_sessions" } }
            [[target_group]]
            name = "a"
            stickiness = { enabled = true, new_sessions = "least_sessions" }
            [[target_group]]
            name = "b"
            [[target_group]]
            name = "c"
            stickiness = { enabled = true }
            [[target_group]]
            name = "d"
            stickiness = { enabled = true }
            [[target_group]]
            name = "e"
            stickiness = { enabled = false, new_sessions = "least_sessions" }
            "#,
        );
        let counted = Counted::of(&snapshot);
        let groups: Vec<&str> =
            counted.groups.iter().map(|(group, _)| &*snapshot.groups[*group].name).collect();
        assert_eq!(groups, ["a", "b", "c"]);
    }

    #[test]
    fn who_lives_and_who_is_awaited_is_published() {
        let snapshot = snapshot(
            r#"
            [[listener]]
            name = "web"
            address = "127.0.0.1:0"
            forward = "app"
            [[target_group]]
            name = "app"
            stickiness = { enabled = true, duration = "1m", new_sessions = "least_sessions" }
            target = [{ id = "a", address = "127.0.0.1:1" }, { id = "b", address = "127.0.0.1:2" }]
            "#,
        );
        let group = &snapshot.groups[0];
        let life = group.stickiness.as_ref().unwrap().life();
        let [a, b] = [0, 1].map(|index| &group.targets[index].state);
        let session = |number: u128| number << 100 | number;
        (1..=3).for_each(|number| a.newcomers().place(session(number), NOW_S));
        for number in 2..=5 {
            a.note_session(session(number), life, NOW_S);
        }
        b.note_session(session(9), life, NOW_S);
        let counted = Counted::of(&snapshot);
        let published = |now_s: u64| {
            counted.publish(&snapshot, now_s);
            [a.newcomers().load(), b.newcomers().load()]
        };
        assert_eq!(published(NOW_S), [5, 1]);
        assert_eq!(published(NOW_S + 31), [4, 1], "the first has not come back");
        b.forget_session(session(9), life);
        assert_eq!(published(NOW_S + 31), [4, 0]);
        assert_eq!(published(NOW_S + 61), [0, 0]);
    }
}
