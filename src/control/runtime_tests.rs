#[path = "runtime_tests/costs.rs"]
mod costs;
#[path = "runtime_tests/file.rs"]
mod file;
#[path = "runtime_tests/undo.rs"]
mod undo;

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use serde_json::{Map, Value as Json, json};

use crate::control::change::{Applied, By, Edit, Keep};
use crate::control::config;
use crate::control::runtime::*;
use crate::group::state::Health;

const FILE: &str = r#"# What the operator wrote.

[[listener]]
name = "web" # the one and only
address = "127.0.0.1:0"
forward = "a"

[[target_group]]
name = "a"
# Why it is so.
slow_start = "10s"

# The first machine.
[[target_group.target]]
id = "one"
address = "127.0.0.1:1"

[[target_group.target]]
id = "two"
address = "127.0.0.1:2" # rack 2
weight = 1

# The other group.
[[target_group]]
name = "b"
stickiness.enabled = true
target = [{ id = "one", address = "127.0.0.1:3" }]
"#;

const BY: By<'static> = By { actor: "test", if_version: None };

fn ring() -> Arc<KeyRing> {
    Arc::new(KeyRing::from_secrets(&[(1, [7; 32])]).unwrap())
}

/// A control without a file.
fn control() -> Control {
    let parsed = config::parse_complete(FILE.to_owned(), "test.toml").unwrap();
    Control::new(parsed, None, ring()).unwrap()
}

/// A control whose file is on disk.
struct OnDisk {
    control: Control,
    path: PathBuf,
    _home: tempfile::TempDir,
}

fn on_disk() -> OnDisk {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("limpet.toml");
    fs::write(&path, FILE).unwrap();
    let control = Control::new(config::load(&path).unwrap(), Some(&path), ring()).unwrap();
    OnDisk { control, path, _home: home }
}

impl OnDisk {
    fn text(&self) -> String {
        fs::read_to_string(&self.path).unwrap()
    }

    fn rewrite(&self, from: &str, to: &str) {
        let text = self.text();
        assert!(text.contains(from), "{from}");
        fs::write(&self.path, text.replace(from, to)).unwrap();
    }
}

fn map(set: Json) -> Map<String, Json> {
    match set {
        Json::Object(map) => map,
        other => panic!("{other}"),
    }
}

fn set_group(group: &str, set: Json) -> Edit {
    Edit::SetGroup { group: group.to_owned(), set: map(set) }
}

fn set_target(group: &str, target: &str, set: Json) -> Edit {
    Edit::SetTarget { group: group.to_owned(), target: target.to_owned(), set: map(set) }
}

fn add_target(group: &str, settings: Json) -> Edit {
    Edit::AddTarget { group: group.to_owned(), settings: map(settings) }
}

fn remove_target(group: &str, target: &str) -> Edit {
    Edit::RemoveTarget { group: group.to_owned(), target: target.to_owned() }
}

fn flush(group: &str) -> Edit {
    Edit::FlushStickiness { group: group.to_owned() }
}

fn overlay(control: &Control, edit: &Edit) -> Applied {
    control.edit(edit, Keep::Overlay, &BY).unwrap()
}

fn refused(control: &Control, edit: &Edit) -> String {
    control.edit(edit, Keep::Overlay, &BY).unwrap_err().to_string()
}

fn eligible(control: &Control, group: usize) -> Vec<String> {
    let snapshot = control.snapshot();
    snapshot.groups[group].eligible().map(|(_, target)| target.id.to_string()).collect()
}

fn weight(control: &Control, id: &str) -> u32 {
    let file = control.file();
    let target = file.target_groups[0].targets.iter().find(|one| one.effective_id() == id);
    target.unwrap().weight
}

fn generation(control: &Control, group: &str) -> u32 {
    control.stickiness(group).unwrap().generation
}

#[test]
fn a_replaced_snapshot_that_a_shard_holds_longest_is_freed_by_the_control_plane() {
    let control = control();
    let held = control.snapshot();
    let replaced = Arc::downgrade(&held);
    control.republish(&["a"]);
    control.republish(&["b"]);
    assert!(control.unused_snapshots().iter().all(|one| !Arc::ptr_eq(one, &held)));
    drop(held);
    assert!(replaced.upgrade().is_some(), "freed where it was let go");
    assert_eq!(control.unused_snapshots().len(), 1);
    assert!(replaced.upgrade().is_none());
}

#[test]
fn stickiness_is_enabled_while_running_and_nothing_else_is_touched() {
    let control = control();
    let published = control.published();
    let before = published.load_full();
    assert!(before.groups[0].stickiness.is_none());
    before.groups[0].targets[0].state.try_acquire(0);
    let applied = overlay(&control, &set_group("a", json!({"stickiness.enabled": true})));
    assert_eq!(applied.summary, ["target group a: stickiness.enabled false → true"]);
    assert_eq!((applied.change, applied.version, control.version()), (1, 2, 2));
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
    for (edit, reason) in [
        (
            set_group("a", json!({"stickiness.duration": "8d"})),
            "duration: is too long; found \"8d\"; allowed: a duration from",
        ),
        (set_group("a", json!({"stickiness.path": "shop"})), "path: does not begin with \"/\""),
        (
            set_group("a", json!({"stickiness.duration": "1d", "stickiness.max_age": "1m"})),
            "lets duration (1d) outlast max_age",
        ),
        (
            set_group(
                "a",
                json!({"stickiness.enabled": true, "stickiness.cookie_name": "limpet_b"}),
            ),
            "is also that of target group",
        ),
        (
            set_group("a", json!({"stickyness.enabled": true})),
            "is an unknown key, did you mean \"stickiness\"",
        ),
        (set_group("a", json!({"stickiness": 5})), "is a whole number, not a table"),
        (set_group("a", json!({"stickiness.enabled.x": 5})), "is a table, not true or false"),
        (set_group("b", json!({"stickiness.enabled.x": 5})), "is not a table"),
        (set_target("a", "one", json!({"id": "eins"})), "another id is another one"),
        (set_group("a", json!({"slow_start": [null]})), "null is no value of the file"),
        (set_group("a", json!({"": 1})), "is not the name of a setting"),
        (set_group("a", json!({"name": "c"})), "has edits of its own"),
        (set_group("c", json!({})), "there is no target group \"c\"; allowed: a, b"),
        (set_target("a", "one", json!({"weight": 1000})), "weight: is too large; found 1000"),
        (
            set_target("a", "six", json!({"weight": 1})),
            "target group \"a\" has no target \"six\"; allowed: one, two",
        ),
        (add_target("a", json!({"id": "one", "address": "127.0.0.1:8"})), "is taken"),
        (
            add_target("a", json!({"id": "four", "address": "localhost:8"})),
            "has \"localhost\", which is not an IP address",
        ),
        (remove_target("a", "six"), "has no target"),
        (flush("c"), "there is no target group"),
    ] {
        let text = refused(&control, &edit);
        assert!(text.contains(reason), "{edit:?}: {text}");
    }
    assert!(Arc::ptr_eq(&before, &control.snapshot()));
    assert_eq!((control.version(), control.history().len(), control.overlay()), (1, 1, vec![]));
    assert_eq!(control.running_text(), FILE);
}

#[test]
fn every_attribute_survives_an_edit() {
    use crate::stickiness::options::{Failback, NewSessions, SameSite, StickinessKind};
    let control = control();
    let set = json!({
        "enabled": true, "type": "app_cookie", "app_cookie": "JSESSIONID", "duration": "90s",
        "max_age": "1h", "cookie_name": "home", "domain": "example.com", "path": "/shop",
        "same_site": "strict", "partitioned": true, "cross_site_twin": true,
        "forward_cookie": true, "failback": "healthy", "new_sessions": "least_sessions", "generation": 7,
        "session_cookies": ["SHOP"],
    });
    let expected = StickinessOptions {
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
        new_sessions: NewSessions::LeastSessions,
        generation: 7,
        session_cookies: vec!["SHOP".into()],
    };
    overlay(&control, &set_group("a", json!({ "stickiness": set })));
    assert_eq!(control.stickiness("a").unwrap(), expected);
    let snapshot = control.snapshot();
    assert_eq!(snapshot.groups[0].stickiness.as_ref().unwrap().options(), &expected);
    let mut shown = control.group_attributes("a").unwrap()["stickiness"].clone();
    let others = shown.as_object_mut().expect("a table");
    assert_eq!(others.remove("app_header"), Some(json!(null)));
    assert_eq!(others.remove("on_lost"), Some(json!("balance")));
    assert_eq!(shown, set);
}

#[test]
fn a_session_id_in_a_field_can_be_edited() {
    use crate::stickiness::options::{OnLost, StickinessKind};
    let control = control();
    let edits = [
        (json!({}), OnLost::Balance),
        (json!({ "on_lost": 404 }), OnLost::Answer(404)),
        (json!({ "on_lost": "balance" }), OnLost::Balance),
    ];
    for (mut set, on_lost) in edits {
        set["type"] = "app_header".into();
        set["app_header"] = "Session".into();
        overlay(&control, &set_group("a", json!({ "stickiness": set })));
        let kind = StickinessKind::AppHeader { name: "Session".into(), on_lost };
        assert_eq!(control.stickiness("a").unwrap().kind, kind);
    }
    let back = json!({ "type": "lb_cookie" });
    overlay(&control, &set_group("a", json!({ "stickiness": back })));
    assert_eq!(control.stickiness("a").unwrap().kind, StickinessKind::LbCookie);
}

#[test]
fn attributes_are_complete_in_the_words_of_the_file() {
    let attributes = control().group_attributes("a").unwrap();
    assert_eq!(attributes["algorithm"], "round_robin");
    assert_eq!(attributes["slow_start"], "10s");
    assert_eq!(attributes["deregistration_delay"], "5m");
    assert_eq!(attributes["health_check"]["expect"], json!(["200"]));
    assert_eq!(attributes["stickiness"]["duration"], "1d");
    assert_eq!(attributes["stickiness"].get("cookie_name"), Some(&Json::Null));
    assert_eq!(attributes.get("hash_on"), Some(&Json::Null));
    assert_eq!(attributes.get("target"), None);
    assert_eq!(control().group_attributes("c"), None);
}

#[test]
fn a_flush_raises_the_generation_and_nothing_lowers_it_but_a_number() {
    let OnDisk { control, path, .. } = &on_disk();
    overlay(control, &flush("b"));
    overlay(control, &flush("b"));
    assert_eq!((generation(control, "b"), control.overlay().len()), (2, 1));
    fs::write(path, FILE.replace("10s", "20s")).unwrap();
    control.reload(&BY).unwrap();
    assert_eq!(generation(control, "b"), 2);
    control.discard_overlay(&BY).unwrap();
    assert_eq!(generation(control, "b"), 2);
    control.edit(&flush("b"), Keep::File, &BY).unwrap();
    assert!(fs::read_to_string(path).unwrap().contains("stickiness.generation = 3\n"));
    assert_eq!(generation(control, "b"), 3);
    assert!(!control.history().last().unwrap().can_undo);
    overlay(control, &set_group("b", json!({"stickiness.generation": 1})));
    assert_eq!(generation(control, "b"), 1);
}

#[test]
fn health_decides_who_is_eligible_and_outlives_other_edits() {
    let control = control();
    let state = Arc::clone(&control.snapshot().groups[0].targets[1].state);
    let before = control.snapshot();
    state.set_health(Health::Unhealthy);
    control.republish(&["a"]);
    assert_eq!(eligible(&control, 0), ["one"]);
    assert!(Arc::ptr_eq(&before.groups[1], &control.snapshot().groups[1]));
    assert_eq!(control.version(), 1);
    overlay(&control, &set_target("a", "one", json!({"weight": 5})));
    overlay(&control, &set_group("a", json!({"stickiness.enabled": true})));
    assert_eq!(eligible(&control, 0), ["one"]);
    state.set_health(Health::Healthy);
    control.republish(&["a"]);
    assert_eq!(eligible(&control, 0), ["one", "two"]);
    assert_eq!(control.snapshot().groups[0].targets[0].weight, 5);
}

#[test]
fn targets_drain_and_come_back() {
    let control = control();
    overlay(&control, &set_target("a", "one", json!({"state": "draining"})));
    assert_eq!(eligible(&control, 0), ["two"]);
    overlay(&control, &set_target("a", "one", json!({"state": "in_service"})));
    assert_eq!(eligible(&control, 0), ["one", "two"]);
}

#[test]
fn targets_are_added_and_removed_by_id() {
    let control = control();
    overlay(&control, &add_target("a", json!({"id": "three", "address": "127.0.0.1:9"})));
    assert_eq!(eligible(&control, 0), ["one", "two", "three"]);
    overlay(&control, &add_target("b", json!({"address": "127.0.0.1:8"})));
    assert_eq!(eligible(&control, 1), ["one", "127.0.0.1:8"]);
    overlay(&control, &remove_target("a", "one"));
    assert_eq!(eligible(&control, 0), ["two", "three"]);
    let leaving = control.leaving();
    assert_eq!((leaving.len(), leaving[0].target.effective_id()), (1, "one"));
    control.forget_leaving("a", "one");
    assert!(control.leaving().is_empty());
    // Removing a target that only the overlay has leaves no trace in it.
    overlay(&control, &remove_target("a", "three"));
    assert_eq!(control.overlay().len(), 2);
}

#[test]
fn an_edit_on_top_that_changes_nothing_is_not_kept() {
    let control = control();
    overlay(&control, &set_target("a", "two", json!({"state": "draining"})));
    overlay(&control, &set_target("a", "one", json!({"weight": 3})));
    let (entries, before) = (control.history().len(), control.overlay());
    for edit in [
        set_target("a", "two", json!({"state": "draining"})),
        set_target("a", "one", json!({"state": "in_service"})),
        set_group("a", json!({"slow_start": "10s"})),
    ] {
        let applied = overlay(&control, &edit);
        assert_eq!(applied.notes, ["nothing differs"], "{edit:?}");
        assert_eq!((control.history().len(), control.overlay()), (entries, before.clone()));
    }
}

#[test]
fn a_change_of_many_things_is_told_by_the_first_of_them_and_their_number() {
    let control = control();
    let targets = |weight: u32| {
        let target = |port| {
            format!("[[target_group.target]]\naddress = \"127.0.0.1:{port}\"\nweight = {weight}\n")
        };
        (1..=150).map(target).collect::<String>()
    };
    let (head, _) = FILE.split_once("# The first machine.").unwrap();
    control.apply(Some(&format!("{head}{}", targets(1))), None, Keep::Overlay, &BY).unwrap();
    let other = format!("{head}{}", targets(2));
    assert_eq!(control.diff(Some(&other)).unwrap().len(), 101);
    let applied = control.apply(Some(&other), None, Keep::Overlay, &BY).unwrap();
    assert_eq!(applied.summary.len(), 101);
    assert_eq!(applied.summary.last().unwrap(), "and 50 more");
    assert_eq!(control.history().last().unwrap().summary, applied.summary);
    let told = control.events().after(0, 1).pop().unwrap().text;
    assert!(told.starts_with("apply by test: target 127.0.0.1:1 of a: weight 1 → 2; "), "{told}");
    assert!(told.ends_with("127.0.0.1:3 of a: weight 1 → 2 and 147 more"), "{told}");
}

#[test]
fn an_operator_who_saw_another_version_changes_nothing() {
    let control = control();
    overlay(&control, &set_target("a", "two", json!({"weight": 5})));
    let late = By { actor: "late", if_version: Some(1) };
    let edit = set_target("a", "two", json!({"weight": 6}));
    let error = control.edit(&edit, Keep::Overlay, &late).unwrap_err();
    assert!(matches!(error, ChangeError::Conflict { current: 2, expected: 1 }), "{error}");
    assert_eq!(weight(&control, "two"), 5);
    let seen = By { actor: "seen", if_version: Some(2) };
    control.edit(&edit, Keep::Overlay, &seen).unwrap();
    assert_eq!(control.version(), 3);
    // An edit without effect is no change.
    let same = control.edit(&edit, Keep::Overlay, &BY).unwrap();
    assert_eq!((same.version, same.summary.len()), (3, 0));
    assert_eq!(same.notes, ["nothing differs"]);
}

/// Opens nothing, but refuses when told to, and counts its commits.
#[derive(Default)]
struct Sockets {
    refuses: AtomicBool,
    committed: Arc<AtomicU64>,
}

impl Listeners for Sockets {
    fn open(&self, _: &Snapshot) -> Result<Box<dyn FnOnce() + Send>, String> {
        if self.refuses.load(Ordering::Relaxed) {
            return Err("listener web: the address is in use".to_owned());
        }
        let committed = Arc::clone(&self.committed);
        Ok(Box::new(move || {
            committed.fetch_add(1, Ordering::Relaxed);
        }))
    }
}

#[test]
fn a_listener_that_cannot_be_opened_refuses_the_change() {
    let disk = on_disk();
    let sockets = Arc::new(Sockets::default());
    let attached: Arc<dyn Listeners> = Arc::clone(&sockets) as Arc<dyn Listeners>;
    disk.control.attach(attached);
    let edit = set_target("a", "two", json!({"weight": 5}));
    overlay(&disk.control, &edit);
    assert_eq!(sockets.committed.load(Ordering::Relaxed), 1);
    sockets.refuses.store(true, Ordering::Relaxed);
    let before = disk.control.snapshot();
    disk.rewrite("127.0.0.1:0", "127.0.0.1:1");
    let text = disk.control.reload(&BY).unwrap_err().to_string();
    assert_eq!(text, "listener web: the address is in use");
    assert!(Arc::ptr_eq(&before, &disk.control.snapshot()));
    // A configuration whose file cannot be written is not published either.
    sockets.refuses.store(false, Ordering::Relaxed);
    disk.control.edit(&edit, Keep::File, &BY).unwrap_err();
    assert_eq!(sockets.committed.load(Ordering::Relaxed), 1);
}

#[test]
fn changes_and_refusals_are_told_to_events_history_and_audit_log() {
    let disk = on_disk();
    let control = &disk.control;
    let path = disk.path.with_file_name("audit.log");
    control.set_audit(Some(AuditLog::open(&path).unwrap()));
    control.set_session_estimate(Arc::new(|group, target| {
        (group == "a" && target == "two").then_some(12)
    }));
    control.edit(&remove_target("a", "two"), Keep::File, &BY).unwrap();
    refused(control, &set_target("a", "six", json!({"weight": 5})));
    disk.rewrite("# What the operator wrote.", "process.buffers_kept = 5");
    let applied = control.reload(&BY).unwrap();
    let restart = "process: buffers_kept 64 → 5";
    assert_eq!(applied.notes, [format!("in force after a restart: {restart}")]);
    let text = fs::read_to_string(path).unwrap();
    let lines: Vec<Json> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let removed = "target two removed from a, about 12 live sessions bound to it";
    assert_eq!(lines.len(), 3);
    assert_eq!(lines[0]["summary"], json!([removed]));
    assert_eq!((&lines[0]["outcome"], &lines[0]["keep"]), (&json!("accepted"), &json!("file")));
    assert_eq!(lines[1]["outcome"], "refused");
    assert!(lines[1]["why"].as_str().unwrap().contains("has no target \"six\""));
    assert_eq!(lines[2]["what"], "reload");
    let events = control.events().after(0, 10);
    let texts: Vec<&str> = events.iter().map(|one| one.text.as_str()).collect();
    assert_eq!(texts, [format!("edit by test: {removed}"), format!("reload by test: {restart}")]);
    assert_eq!((events[0].group.as_deref(), events[0].target.as_deref()), (Some("a"), Some("two")));
    let history = control.history();
    assert_eq!((history[0].what, history[0].change), ("start", 0));
    let history = &history[1..];
    assert_eq!(
        (history[0].what, history[0].keep, history[0].can_undo),
        ("edit", Some(Keep::File), true)
    );
    assert_eq!((history[1].what, history[1].version, history[1].change), ("reload", 3, 2));
}

#[test]
fn the_overlay_is_bounded() {
    let control = control();
    let by = BY;
    for number in 0..crate::control::overlay::EDITS_MAX {
        let id = format!("t{number}");
        let target = add_target("b", json!({"id": id, "address": "127.0.0.1:9"}));
        if number < 3 {
            control.edit(&target, Keep::Overlay, &by).unwrap();
        } else {
            let entry = crate::control::overlay::entry(0, 0, "x");
            let edit = target;
            control
                .lock()
                .state
                .overlay
                .edits
                .push(crate::control::overlay::Overlaid { edit, entry });
        }
    }
    let text = refused(&control, &add_target("b", json!({"address": "127.0.0.1:9"})));
    assert!(text.starts_with("there are 1000 edits on top of the file"), "{text}");
    // An edit that replaces another is still accepted.
    overlay(&control, &remove_target("b", "t1"));
    overlay(&control, &add_target("b", json!({"address": "127.0.0.1:9"})));
}

/// The control thread checks targets and serves clients meanwhile.
#[test]
fn what_is_asked_again_and_again_waits_for_no_change_that_is_at_work() {
    let disk = on_disk();
    let control = Arc::new(disk.control);
    let at_work = control.lock();
    let (told, answer) = std::sync::mpsc::channel();
    let asked = Arc::clone(&control);
    let asker = std::thread::spawn(move || {
        asked.tick(Instant::now());
        let _ = told.send((asked.version(), asked.file_stamp().is_some(), asked.path()));
    });
    let answered = answer.recv_timeout(Duration::from_secs(20));
    drop(at_work);
    asker.join().unwrap();
    assert_eq!(answered, Ok((1, true, Some(disk.path))));
}
