use std::sync::Arc;
use std::time::Duration;

use crate::control::compile::{Before, compile};
use crate::control::config;
use crate::control::drain::*;
use crate::group::select::{Ask, Choice, CookieAction, Random, select};
use crate::group::state::{Health, Registry};
use crate::group::target_group::Standing;
use crate::http::fields::{Field, FieldId};
use crate::routing::actions::{Action, Forward};
use crate::snapshot::Snapshot;
use crate::stickiness::keyring::KeyRing;
use crate::stickiness::sketch::Life;
use crate::telemetry::reason::Reason;

pub(super) fn ring() -> Arc<KeyRing> {
    Arc::new(KeyRing::from_secrets(&[(1, [7; 32])]).unwrap())
}

fn parse(text: &str) -> File {
    config::parse(text, "test.toml").unwrap()
}

pub(super) fn snapshot(text: &str) -> Snapshot {
    compile(&parse(text), &Registry::new(), &ring(), None, &[]).unwrap()
}

/// Groups with their targets: "app: a b; api: c".
fn file(words: &str) -> File {
    file_with(words, "5m")
}

fn file_with(words: &str, delay: &str) -> File {
    let mut text = r#"
        [[listener]]
        name = "web"
        address = "127.0.0.1:0"
        respond = {}
    "#
    .to_owned();
    for group in words.split(';').filter(|group| !group.trim().is_empty()) {
        let (name, targets) = group.split_once(':').unwrap();
        text += &format!(
            "[[target_group]]\nname = {:?}\nderegistration_delay = {delay:?}\n",
            name.trim()
        );
        for id in targets.split_whitespace() {
            let port = 1 + u32::from(id.as_bytes()[0]);
            text +=
                &format!("[[target_group.target]]\nid = {id:?}\naddress = \"127.0.0.1:{port}\"\n");
        }
    }
    parse(&text)
}

fn words(leaving: &[Leaving]) -> Vec<String> {
    leaving.iter().map(|one| format!("{}: {}", one.group, one.target.effective_id())).collect()
}

#[test]
fn targets_that_their_group_has_no_longer_are_leaving() {
    let now = Instant::now();
    for (before, after, current, wanted) in [
        ("app: a b", "app: a b", &[][..], &[][..]),
        ("app: a b", "app: a", &[], &["app: b"]),
        ("app: a b; api: c", "app: a; api: d", &[], &["app: b", "api: c"]),
        // The same id in another group is another target.
        ("app: a b; api: c", "app: a; api: b c", &[], &["app: b"]),
        // The targets of a removed group go with it, those that were leaving too.
        ("app: a; api: c", "app: a", &[], &[]),
        ("app: a; api: c", "app: a", &["api: d", "app: x"], &["app: x"]),
        // A target that was leaving goes on …
        ("app: a", "app: a", &["app: b"], &["app: b"]),
        ("app: a c", "app: a", &["app: b"], &["app: b", "app: c"]),
        // … until the id comes back.
        ("app: a", "app: a b", &["app: b"], &[]),
        ("app: a", "app: b", &["app: b"], &["app: a"]),
    ] {
        let earlier = now - Duration::from_secs(60);
        let current: Vec<Leaving> = current
            .iter()
            .map(|one| {
                let file = file(one);
                let group = &file.target_groups[0];
                let target = group.targets[0].clone();
                Leaving { group: group.name.clone(), target, since: earlier }
            })
            .collect();
        let leaving = leaving_after(&file(before), &file(after), &current, now);
        assert_eq!(words(&leaving), wanted, "{before} to {after}");
        for one in &leaving {
            let since = if current.contains(one) { earlier } else { now };
            assert_eq!(one.since, since, "{before} to {after}");
        }
    }
}

#[test]
fn without_a_deregistration_delay_nobody_lingers() {
    let (before, now) = (file_with("app: a b", "5m"), Instant::now());
    assert!(leaving_after(&before, &file_with("app: a", "0s"), &[], now).is_empty());
    let leaving = leaving_after(&before, &file_with("app: a", "1s"), &[], now);
    assert_eq!(words(&leaving), ["app: b"]);
}

#[test]
fn a_target_without_an_id_leaves_under_its_address() {
    let with = |targets: &str| {
        parse(&format!(
            "[[listener]]\nname = \"web\"\naddress = \"127.0.0.1:0\"\nforward = \"app\"\n\
             [[target_group]]\nname = \"app\"\ntarget = [{targets}]"
        ))
    };
    let (a, b) = ("{ address = \"127.0.0.1:1\" }", "{ address = \"127.0.0.1:2\" }");
    let leaving = leaving_after(&with(&format!("{a}, {b}")), &with(b), &[], Instant::now());
    assert_eq!(words(&leaving), ["app: 127.0.0.1:1"]);
}

const STICKY: &str = r#"
    [[listener]]
    name = "web"
    address = "127.0.0.1:0"
    forward = "app"
    [[target_group]]
    name = "app"
    stickiness.enabled = true
    target = [{ id = "a", address = "127.0.0.1:1" }, { id = "b", address = "127.0.0.1:2" }]
"#;

const NOW_S: u64 = 1_700_000_000;

/// A group under change, as the control plane keeps it.
struct World {
    registry: Registry,
    ring: Arc<KeyRing>,
    file: File,
    snapshot: Snapshot,
}

impl World {
    fn new() -> World {
        let (registry, ring, file) = (Registry::new(), ring(), parse(STICKY));
        let snapshot = compile(&file, &registry, &ring, None, &[]).unwrap();
        World { registry, ring, file, snapshot }
    }

    fn publish(&mut self, file: File, leaving: &[Leaving], changed: &[&str]) {
        let before =
            Before { file: &self.file, snapshot: &self.snapshot, ring: &self.ring, changed };
        let snapshot = compile(&file, &self.registry, &self.ring, Some(before), leaving).unwrap();
        (self.file, self.snapshot) = (file, snapshot);
    }

    /// Removes a target from the file.
    fn remove(&mut self, id: &str) -> Vec<Leaving> {
        let mut after = self.file.clone();
        after.target_groups[0].targets.retain(|target| target.effective_id() != id);
        let leaving = leaving_after(&self.file, &after, &[], Instant::now());
        self.publish(after, &leaving, &[]);
        leaving
    }

    /// The target that serves a request with this cookie, and the cookie from then on.
    fn ask(&self, cookie: &str, random: u64) -> (String, Reason, String) {
        let fields = [Field::new(b"Cookie", cookie.as_bytes(), FieldId::Cookie)];
        let ask = Ask {
            now_s: NOW_S,
            random: Random { session: &|| u128::from(random) << 70, group: 0, target: [random; 2] },
            opened: None,
            fields: &fields,
            source: None,
            query: None,
            pinned: &[],
            is_shared: false,
            excluded: &[],
        };
        let rules = self.snapshot.listeners[0].rules.rules();
        let Action::Forward(forward) = &rules[0].action else { panic!("{:?}", rules[0].action) };
        let forward: &Forward = forward;
        let choice: Choice = select(&self.snapshot.groups, forward, None, &ask).unwrap();
        let group = &self.snapshot.groups[choice.group];
        let outcome = choice.sticky.unwrap();
        let target = group.targets[choice.target].id.to_string();
        let mut out = Vec::new();
        if let CookieAction::Set(assignment) = outcome.answer(Default::default()) {
            let sticky = group.stickiness.as_ref().unwrap();
            assert!(sticky.write_set_cookie(
                &assignment.seen(NOW_S),
                false,
                [random as u8; 12],
                &mut out
            ));
        }
        let line = String::from_utf8(out).unwrap();
        let pair = line.split(';').next().unwrap();
        let cookie = if pair.is_empty() { cookie } else { pair };
        (target, outcome.reason, cookie.to_owned())
    }

    /// A session that is bound to this target.
    fn session_on(&self, id: &str) -> String {
        let visits = (1..100).map(|random| self.ask("", random));
        visits.into_iter().find(|(target, ..)| target == id).map(|(.., cookie)| cookie).unwrap()
    }

    fn standing(&self, id: &str) -> Option<Standing> {
        let group = &self.snapshot.groups[0];
        let index = group.targets.iter().position(|target| &*target.id == id)?;
        Some(group.standing(index))
    }
}

#[test]
fn a_removed_target_keeps_its_sessions_and_gets_no_new_ones() {
    let mut world = World::new();
    let bound = world.session_on("b");
    world.remove("b");
    assert_eq!(world.standing("b"), Some(Standing::Draining));
    let (target, reason, cookie) = world.ask(&bound, 1);
    assert_eq!((target.as_str(), reason, &cookie), ("b", Reason::Draining, &bound));
    for random in 0..100 {
        assert_eq!(world.ask("", random).0, "a");
    }
}

#[test]
fn a_removed_target_keeps_its_state_and_is_itself_again_when_it_comes_back() {
    let mut world = World::new();
    let state = Arc::clone(&world.snapshot.groups[0].targets[1].state);
    assert!(state.try_acquire(0));
    let life = Life { tag: 1, duration_s: 60 };
    state.note_session(1, life, NOW_S);
    let configured = world.file.clone();
    let leaving = world.remove("b");
    let kept = Arc::clone(&world.snapshot.groups[0].targets[1].state);
    assert!(Arc::ptr_eq(&state, &kept));
    assert_eq!((kept.in_flight(), kept.sessions().unwrap().estimate(NOW_S, &[life])), (1, 1));
    let leaving = leaving_after(&world.file, &configured, &leaving, Instant::now());
    assert!(leaving.is_empty());
    world.publish(configured, &leaving, &[]);
    assert!(Arc::ptr_eq(&state, &world.snapshot.groups[0].targets[1].state));
    assert_eq!(world.standing("b"), Some(Standing::Usable { healthy: true }));
}

#[test]
fn when_the_drain_has_ended_its_sessions_fail_over() {
    let mut world = World::new();
    let bound = world.session_on("b");
    let leaving = world.remove("b");
    // Drained, but still known.
    world.snapshot.groups[0].targets[1].state.set_health(Health::Unused);
    world.publish(world.file.clone(), &leaving, &["app"]);
    assert_eq!(world.standing("b"), Some(Standing::Gone));
    let (target, reason, moved) = world.ask(&bound, 1);
    assert_eq!((target.as_str(), reason), ("a", Reason::Removed));
    // Forgotten.
    world.publish(world.file.clone(), &[], &["app"]);
    assert_eq!(world.standing("b"), None);
    assert_eq!(world.ask(&bound, 1).0, "a");
    assert_eq!(world.ask(&moved, 1).1, Reason::Valid);
}

#[test]
fn an_unhealthy_target_is_out_of_use_at_once_when_others_are_healthy() {
    for is_removed in [true, false] {
        for others_are_healthy in [true, false] {
            let mut world = World::new();
            let bound = world.session_on("b");
            let targets = &world.snapshot.groups[0].targets;
            targets[1].state.set_health(Health::Unhealthy);
            if !others_are_healthy {
                targets[0].state.set_health(Health::Unhealthy);
            }
            if is_removed {
                world.remove("b");
            } else {
                let mut after = world.file.clone();
                after.target_groups[0].targets[1].state = file::TargetState::Draining;
                world.publish(after, &[], &[]);
            }
            let context = format!("{is_removed} {others_are_healthy}");
            let (target, standing) =
                if others_are_healthy { ("a", Standing::Gone) } else { ("b", Standing::Draining) };
            assert_eq!(world.standing("b"), Some(standing), "{context}");
            assert_eq!(world.ask(&bound, 1).0, target, "{context}");
        }
    }
}

#[test]
fn an_unrelated_edit_leaves_a_group_with_leaving_targets_alone() {
    let mut world = World::new();
    let leaving = world.remove("b");
    let before = Arc::clone(&world.snapshot.groups[0]);
    let mut after = world.file.clone();
    after.listeners[0].merge_slashes = false;
    let leaving = leaving_after(&world.file, &after, &leaving, Instant::now());
    world.publish(after, &leaving, &[]);
    assert!(Arc::ptr_eq(&before, &world.snapshot.groups[0]));
}
