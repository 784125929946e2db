use std::time::Duration;

use super::*;
use crate::control::config;
use crate::control::config::file::TargetState;

const FILE: &str = r#"
    [[listener]]
    name = "web"
    address = "127.0.0.1:0"
    forward = "a"
    [[target_group]]
    name = "a"
    target = [{ id = "one", address = "127.0.0.1:1" }, { id = "two", address = "127.0.0.1:2" }]
    [[target_group]]
    name = "b"
    stickiness.enabled = true
    target = [{ id = "one", address = "127.0.0.1:3" }]
"#;

fn ring() -> Arc<KeyRing> {
    Arc::new(KeyRing::from_secrets(&[(1, [7; 32])]).unwrap())
}

fn file(text: &str) -> File {
    config::parse(text, "test.toml").unwrap()
}

fn control() -> Control {
    Control::new(file(FILE), ring()).unwrap()
}

fn eligible(control: &Control, group: usize) -> Vec<String> {
    let snapshot = control.snapshot();
    snapshot.groups[group].eligible().map(|(_, target)| target.id.to_string()).collect()
}

#[test]
fn stickiness_is_enabled_while_running_and_nothing_else_is_touched() {
    let control = control();
    let published = control.published();
    let before = published.load_full();
    assert!(before.groups[0].stickiness.is_none());
    before.groups[0].targets[0].state.try_acquire(0);
    control.edit_stickiness("a", |options| options.enabled = true).unwrap();
    let after = published.load_full();
    assert_eq!(after.generation, before.generation + 1);
    assert!(after.groups[0].stickiness.as_ref().unwrap().is_enabled());
    assert!(Arc::ptr_eq(&before.groups[1], &after.groups[1]));
    assert!(Arc::ptr_eq(&before.listeners[0], &after.listeners[0]));
    let state = |snapshot: &Snapshot| Arc::clone(&snapshot.groups[0].targets[0].state);
    assert!(Arc::ptr_eq(&state(&before), &state(&after)));
    assert_eq!(state(&after).in_flight(), 1);
    assert!(Arc::ptr_eq(&before.groups[0].state, &after.groups[0].state));
    assert!(control.stickiness("a").unwrap().enabled);
}

#[test]
fn an_edit_is_held_to_the_rules_of_a_file_and_a_refused_one_changes_nothing() {
    let control = control();
    let before = control.snapshot();
    let refused = |edit: fn(&mut StickinessOptions)| {
        control.edit_stickiness("a", edit).unwrap_err().to_string()
    };
    let text = refused(|options| options.duration = Duration::from_secs(8 * 86_400));
    assert!(
        text.contains("duration: is too long; found \"8d\"; allowed: a duration from"),
        "{text}"
    );
    let text = refused(|options| options.path = "shop".into());
    assert!(text.contains("path: does not begin with \"/\""), "{text}");
    let text = refused(|options| options.max_age = Duration::from_secs(60));
    assert!(text.contains("lets duration (1d) outlast max_age"), "{text}");
    let text = refused(|options| {
        options.enabled = true;
        options.cookie_name = Some("limpet_b".into());
    });
    assert!(text.contains("is also that of target group"), "{text}");
    let unknown = control.edit_stickiness("c", |_| ()).unwrap_err();
    assert_eq!(unknown.to_string(), "there is no target group \"c\"; allowed: a, b");
    assert!(Arc::ptr_eq(&before, &control.snapshot()));
}

#[test]
fn every_attribute_survives_an_edit() {
    let control = control();
    let edit = |options: &mut StickinessOptions| {
        use crate::target::stickiness::{Failback, SameSite, StickinessKind};
        *options = StickinessOptions {
            enabled: true,
            kind: StickinessKind::AppCookie { name: "JSESSIONID".into() },
            duration: Duration::from_secs(90),
            max_age: Duration::from_secs(3600),
            cookie_name: Some("home".into()),
            domain: Some("example.com".into()),
            path: "/shop".into(),
            same_site: SameSite::Strict,
            partitioned: true,
            cross_site_twin: true,
            forward_cookie: true,
            failback: Failback::Healthy,
            generation: 7,
            session_cookies: vec!["SHOP".into()],
        };
    };
    let mut expected = control.stickiness("a").unwrap();
    edit(&mut expected);
    control.edit_stickiness("a", edit).unwrap();
    assert_eq!(control.stickiness("a").unwrap(), expected);
    let snapshot = control.snapshot();
    assert_eq!(snapshot.groups[0].stickiness.as_ref().unwrap().options(), &expected);
}

#[test]
fn a_flush_raises_the_generation_and_a_reload_does_not_lower_it() {
    let control = control();
    control.flush_stickiness("b").unwrap();
    control.flush_stickiness("b").unwrap();
    assert_eq!(control.stickiness("b").unwrap().generation, 2);
    control.replace(file(FILE), ring()).unwrap();
    assert_eq!(control.stickiness("b").unwrap().generation, 2);
}

#[test]
fn targets_drain_and_come_back() {
    let control = control();
    control.set_target_state("a", "one", TargetState::Draining).unwrap();
    assert_eq!(eligible(&control, 0), ["two"]);
    let state = Arc::clone(&control.snapshot().groups[0].targets[0].state);
    assert_eq!(state.health(), Health::Draining);
    let again = control.set_target_health("a", "one", Health::Unhealthy).unwrap_err();
    assert_eq!(again, EditError::NotAHealth(Health::Draining));
    control.set_target_state("a", "one", TargetState::InService).unwrap();
    assert_eq!(state.health(), Health::Healthy);
    assert_eq!(eligible(&control, 0), ["one", "two"]);
}

#[test]
fn health_decides_who_is_eligible_and_outlives_other_edits() {
    let control = control();
    control.set_target_health("a", "two", Health::Unhealthy).unwrap();
    assert_eq!(eligible(&control, 0), ["one"]);
    control.set_weight("a", "one", 5).unwrap();
    control.edit_stickiness("a", |options| options.enabled = true).unwrap();
    assert_eq!(eligible(&control, 0), ["one"]);
    control.set_target_health("a", "two", Health::Healthy).unwrap();
    assert_eq!(eligible(&control, 0), ["one", "two"]);
    assert_eq!(control.snapshot().groups[0].targets[0].weight, 5);
    let refused = control.set_weight("a", "one", 1000).unwrap_err().to_string();
    assert!(refused.contains("weight: is too large; found 1000"), "{refused}");
}

#[test]
fn targets_are_added_and_removed_by_id() {
    let control = control();
    let target = |id: &str, address: &str| file::Target {
        id: Some(id.into()),
        address: address.into(),
        weight: 1,
        state: TargetState::InService,
    };
    control.add_target("a", &target("three", "127.0.0.1:9")).unwrap();
    assert_eq!(eligible(&control, 0), ["one", "two", "three"]);
    let taken = control.add_target("a", &target("one", "127.0.0.1:8")).unwrap_err().to_string();
    assert!(taken.contains("is taken"), "{taken}");
    let bad = control.add_target("a", &target("four", "localhost:8")).unwrap_err().to_string();
    assert!(bad.contains("has \"localhost\", which is not an IP address"), "{bad}");
    control.remove_target("a", "one").unwrap();
    assert_eq!(eligible(&control, 0), ["two", "three"]);
    let gone = control.remove_target("a", "one").unwrap_err();
    assert_eq!(gone.to_string(), "target group \"a\" has no target \"one\"; allowed: two, three");
}

#[test]
fn a_replacement_carries_over_what_is_the_same() {
    let control = control();
    let before = control.snapshot();
    let ring = Arc::clone(&control.lock().ring);
    let text = FILE.replace("address = \"127.0.0.1:2\"", "address = \"127.0.0.1:4\"");
    control.replace(file(&text), ring).unwrap();
    let after = control.snapshot();
    assert!(Arc::ptr_eq(&before.groups[1], &after.groups[1]));
    let state = |snapshot: &Snapshot, at: usize| Arc::clone(&snapshot.groups[0].targets[at].state);
    assert!(Arc::ptr_eq(&state(&before, 0), &state(&after, 0)));
    // At another address it is another server.
    assert!(!Arc::ptr_eq(&state(&before, 1), &state(&after, 1)));
    // Under other keys every codec is another one, and still the targets' states stay.
    control.replace(file(&text), self::ring()).unwrap();
    let rekeyed = control.snapshot();
    assert!(!Arc::ptr_eq(&after.groups[1], &rekeyed.groups[1]));
    assert!(Arc::ptr_eq(&state(&after, 0), &state(&rekeyed, 0)));
    assert_eq!(rekeyed.generation, after.generation + 1);
}
