use super::super::tests::ring;
use crate::control::config;
use crate::control::config::file::TargetState as Configured;
use crate::control::drain::watch::*;
use crate::group::target_group::Standing;
use crate::stickiness::sketch::Life;

const FILE: &str = r#"
    [[listener]]
    name = "web"
    address = "127.0.0.1:0"
    forward = "app"
    [[target_group]]
    name = "app"
    deregistration_delay = "5m"
    stickiness = { enabled = true, duration = "1m" }
    target = [{ id = "a", address = "127.0.0.1:1" }, { id = "b", address = "127.0.0.1:2" }]
    [[target_group]]
    name = "plain"
    target = [
        { id = "c", address = "127.0.0.1:3", state = "draining" },
        { id = "d", address = "127.0.0.1:4" },
    ]
"#;

const BY: By<'static> = By { actor: "test", if_version: None };
const START_UNIX_MS: u64 = 1_700_000_000_000;

/// As the admin API asks.
fn view(control: &Control, drains: &Drains, group: &str, target: &str) -> Option<DrainView> {
    let snapshot = control.snapshot();
    let index = snapshot.groups.iter().position(|one| &*one.name == group)?;
    let target = find(&snapshot, group, target)?;
    drains.view(group, target, &sessions::lives(&snapshot)[index])
}

/// Drains under invented time.
struct World {
    control: Arc<Control>,
    drains: Drains,
    start: Instant,
}

impl World {
    fn new() -> World {
        let parsed = config::parse_complete(FILE.to_owned(), "test.toml").unwrap();
        let control = Arc::new(Control::new(parsed, None, ring()).unwrap());
        let drains = Drains::new(Arc::clone(&control));
        let start = drains.born;
        World { control, drains, start }
    }

    fn now(&self, after_s: u64) -> Now {
        Now {
            at: self.start + Duration::from_secs(after_s),
            unix_ms: START_UNIX_MS + after_s * 1000,
        }
    }

    fn tick(&self, after_s: u64) {
        self.drains.tick(self.now(after_s));
    }

    fn view(&self, group: &str, target: &str) -> Option<DrainView> {
        view(&self.control, &self.drains, group, target)
    }

    fn state(&self, group: &str, target: &str) -> Option<Arc<TargetState>> {
        let snapshot = self.control.snapshot();
        let group = snapshot.groups.iter().find(|one| &*one.name == group)?;
        let target = group.targets.iter().find(|one| &*one.id == target)?;
        Some(Arc::clone(&target.state))
    }

    /// The lifetime of the sessions of "app".
    fn life(&self) -> Life {
        let snapshot = self.control.snapshot();
        let app = snapshot.groups.iter().find(|one| &*one.name == "app").unwrap();
        app.stickiness.as_ref().unwrap().life()
    }

    fn health(&self, group: &str, target: &str) -> Option<Health> {
        self.state(group, target).map(|state| state.health())
    }

    /// The standing that shards see.
    fn standing(&self, group: &str, target: &str) -> Option<Standing> {
        let snapshot = self.control.published().load_full();
        let group = snapshot.groups.iter().find(|one| &*one.name == group)?;
        let index = group.targets.iter().position(|one| &*one.id == target)?;
        Some(group.standing(index))
    }

    fn start(&self, target: &str, until: Until, deadline_s: Option<u64>) -> Applied {
        let options = DrainOptions { until, deadline: deadline_s.map(Duration::from_secs) };
        self.order(target, options)
    }

    fn disable(&self, target: &str) -> Applied {
        self.order(target, DrainOptions::DISABLE)
    }

    fn order(&self, target: &str, options: DrainOptions) -> Applied {
        let order = DrainOrder { group: "app", target, options };
        self.drains.start(&order, Keep::Overlay, &BY).unwrap()
    }

    fn set(&self, target: &str, state: &str) {
        let set = Map::from_iter([("state".to_owned(), Value::from(state))]);
        let edit = Edit::SetTarget { group: "app".into(), target: target.into(), set };
        self.control.edit(&edit, Keep::Overlay, &BY).unwrap();
    }

    fn remove(&self, target: &str) {
        let edit = Edit::RemoveTarget { group: "app".into(), target: target.into() };
        self.control.edit(&edit, Keep::Overlay, &BY).unwrap();
    }

    fn events(&self) -> Vec<String> {
        let events = self.control.events().after(0, usize::MAX).into_iter();
        let drains = events.filter(|event| event.kind == EventKind::Drain);
        drains
            .map(|event| format!("{}: {}", event.target.unwrap_or_default(), event.text))
            .collect()
    }
}

#[test]
fn a_target_that_the_file_calls_draining_drains_for_the_delay() {
    let world = World::new();
    let state = world.state("plain", "c").unwrap();
    assert!(state.try_acquire(0) && state.try_acquire(0));
    let tunnel = state.open_tunnel();
    world.tick(10);
    world.tick(309);
    let view = world.view("plain", "c").unwrap();
    assert_eq!((view.until, view.sessions_at_most, view.finished), ("delay", 0, false));
    assert_eq!((view.in_flight, view.tunnels, view.sessions), (1, 1, None));
    assert_eq!(view.started_unix_ms, START_UNIX_MS + 10_000);
    assert_eq!(world.health("plain", "c"), Some(Health::Draining));
    assert_eq!(world.standing("plain", "c"), Some(Standing::Draining));
    world.tick(310);
    assert_eq!(world.health("plain", "c"), Some(Health::Unused));
    assert_eq!(world.standing("plain", "c"), Some(Standing::Gone));
    let view = world.view("plain", "c").unwrap();
    assert!(view.finished);
    assert_eq!(view.reason, "the deregistration delay is over; left: 1 request and 1 tunnel");
    // The remaining request and tunnel go on.
    assert_eq!((state.in_flight(), state.tunnels()), (2, 1));
    drop(tunnel);
    world.tick(500);
    assert_eq!(
        world.events(),
        [
            "c: the target drains for its group's deregistration delay",
            "c: the target has drained: the deregistration delay is over; left: 1 request and 1 tunnel",
        ]
    );
}

#[test]
fn a_target_that_has_nothing_left_to_do_is_done_before_the_delay_ends() {
    let world = World::new();
    let state = world.state("plain", "c").unwrap();
    assert!(state.try_acquire(0));
    world.tick(1);
    assert_eq!(world.health("plain", "c"), Some(Health::Draining));
    state.release();
    world.tick(2);
    assert_eq!(world.health("plain", "c"), Some(Health::Unused));
}

#[test]
fn who_is_in_service_has_no_drain() {
    let world = World::new();
    world.tick(1);
    assert_eq!(world.view("app", "a"), None);
    assert_eq!(world.view("app", "z"), None);
    assert_eq!(world.view("none", "a"), None);
}

#[test]
fn a_drain_until_idle_takes_no_new_request_and_waits_for_those_there_are() {
    let world = World::new();
    let state = world.state("app", "a").unwrap();
    assert!(state.try_acquire(0));
    let applied = world.start("a", Until::Idle, None);
    assert!(
        applied.summary.iter().any(|line| {
            line == "target a of app drains until no request is in flight and no tunnel is open"
        }),
        "{applied:?}"
    );
    assert_eq!(applied.notes, Vec::<String>::new());
    assert_eq!(world.standing("app", "a"), Some(Standing::Draining));
    world.tick(100_000);
    let view = world.view("app", "a").unwrap();
    assert_eq!((view.remaining_s, view.reason.as_str()), (None, "waits for 1 request"));
    state.release();
    world.tick(100_001);
    assert_eq!(world.standing("app", "a"), Some(Standing::Gone));
    let configured = &world.control.file().target_groups[0].targets[0];
    assert_eq!(configured.state, Configured::Draining);
}

#[test]
fn a_drain_until_sessions_ends_when_they_have_aged_out() {
    let world = World::new();
    let state = world.state("app", "a").unwrap();
    // The start reads the clock.
    let begun = Now::read();
    for session in [5_u128 << 100, 6 << 90 | 1] {
        state.note_session(session, world.life(), begun.unix_s());
    }
    let applied = world.start("a", Until::Sessions { at_most: 0 }, None);
    assert!(applied.notes.iter().any(|note| note.contains("only, and live for 1m")), "{applied:?}");
    let after = |seconds: u64| {
        let after = Duration::from_secs(seconds);
        world.drains.tick(Now { at: begun.at + after, unix_ms: begun.unix_ms + seconds * 1000 });
        world.health("app", "a")
    };
    assert_eq!(after(60), Some(Health::Draining));
    assert_eq!(world.view("app", "a").unwrap().reason, "waits for 2 sessions");
    assert_eq!(after(61), Some(Health::Unused));
    assert_eq!(world.view("app", "a").unwrap().reason, "it has 0 sessions");
}

#[test]
fn a_deadline_ends_a_drain_and_says_what_was_left() {
    let world = World::new();
    let state = world.state("app", "a").unwrap();
    state.note_session(7 << 80, world.life(), Now::read().unix_s());
    world.start("a", Until::Sessions { at_most: 0 }, Some(5));
    let now = Now::read();
    world.drains.tick(Now { at: now.at + Duration::from_secs(6), ..now });
    assert_eq!(world.health("app", "a"), Some(Health::Unused));
    let events = world.events();
    assert!(
        events
            .contains(&"a: the target has drained: the deadline has come; left: 1 session".into()),
        "{events:?}"
    );
}

#[test]
fn a_target_is_disabled_at_once() {
    let world = World::new();
    let state = world.state("app", "b").unwrap();
    assert!(state.try_acquire(0));
    world.disable("b");
    assert_eq!(world.standing("app", "b"), Some(Standing::Gone));
    assert_eq!(state.in_flight(), 1);
    let again = world.disable("b");
    assert_eq!(again.notes, ["target b of app has drained already"]);
}

#[test]
fn options_are_changed_while_a_drain_goes_on() {
    let world = World::new();
    let state = world.state("app", "a").unwrap();
    assert!(state.try_acquire(0));
    world.start("a", Until::Delay, None);
    let begun = world.view("app", "a").unwrap();
    assert_eq!(begun.until, "delay");
    world.start("a", Until::Idle, Some(7_200));
    let view = world.view("app", "a").unwrap();
    assert_eq!((view.until, view.started_unix_ms), ("idle", begun.started_unix_ms));
    assert!(view.remaining_s.is_some_and(|left| left > 7_100.0), "{view:?}");
}

#[test]
fn a_target_that_is_taken_back_drains_no_longer() {
    let world = World::new();
    let state = world.state("app", "a").unwrap();
    assert!(state.try_acquire(0));
    world.start("a", Until::Idle, None);
    world.set("a", "in_service");
    assert_eq!(world.standing("app", "a"), Some(Standing::Usable { healthy: true }));
    world.tick(20);
    assert_eq!(world.view("app", "a"), None);
    let events = world.events();
    assert!(
        events.last().unwrap().starts_with("a: the drain of the target has ended early"),
        "{events:?}"
    );
    // A later drain inherits nothing from the earlier one.
    world.set("a", "draining");
    world.tick(30);
    assert_eq!(world.view("app", "a").unwrap().until, "delay");
    assert_eq!(world.view("app", "a").unwrap().started_unix_ms, START_UNIX_MS + 30_000);
}

#[test]
fn a_target_that_has_drained_is_taken_back_too() {
    let world = World::new();
    world.disable("a");
    world.set("a", "in_service");
    assert_eq!(world.standing("app", "a"), Some(Standing::Usable { healthy: true }));
    world.tick(20);
    assert_eq!(world.view("app", "a"), None);
}

#[test]
fn a_removed_target_drains_and_is_then_forgotten() {
    let world = World::new();
    let state = world.state("app", "b").unwrap();
    assert!(state.try_acquire(0));
    world.remove("b");
    assert_eq!(world.standing("app", "b"), Some(Standing::Draining));
    world.tick(20);
    assert_eq!(world.view("app", "b").unwrap().until, "delay");
    world.tick(400);
    assert_eq!(world.standing("app", "b"), Some(Standing::Gone));
    world.tick(401);
    assert_eq!(world.standing("app", "b"), None);
    assert!(world.control.leaving().is_empty());
    assert_eq!(world.view("app", "b"), None);
    assert_eq!(state.in_flight(), 1);
    world.tick(402);
    let events = world.events();
    let of_b: Vec<_> = events.iter().filter(|event| event.starts_with("b: ")).collect();
    assert_eq!(of_b.len(), 2, "{events:?}");
}

#[test]
fn an_unhealthy_target_has_nothing_to_wait_for() {
    let world = World::new();
    for target in ["a", "b"] {
        world.state("app", target).unwrap().set_health(Health::Healthy);
    }
    world.state("app", "b").unwrap().set_health(Health::Unhealthy);
    world.start("b", Until::Sessions { at_most: 0 }, None);
    assert_eq!(world.standing("app", "b"), Some(Standing::Gone));
    let view = world.view("app", "b").unwrap();
    let reason = "it is unhealthy, and its sessions have failed over";
    assert_eq!((view.finished, view.reason.as_str()), (true, reason));
    world.tick(1);
    world.remove("b");
    world.tick(2);
    assert_eq!(world.standing("app", "b"), None);
    assert!(world.control.leaving().is_empty());
}

#[test]
fn options_of_a_drain_survive_the_removal_and_can_be_changed_after_it() {
    let world = World::new();
    let state = world.state("app", "b").unwrap();
    assert!(state.try_acquire(0));
    world.start("b", Until::Idle, None);
    world.remove("b");
    world.tick(1_000);
    assert_eq!(world.view("app", "b").unwrap().until, "idle");
    let applied = world.start("b", Until::Delay, Some(0));
    assert_eq!(applied.notes, ["target b of app is no longer configured"]);
    assert_eq!(world.standing("app", "b"), Some(Standing::Gone));
}

#[test]
fn a_drain_of_nobody_is_refused() {
    let world = World::new();
    let refused = |group: &str, target: &str| {
        let order = DrainOrder { group, target, options: DrainOptions::default() };
        world.drains.start(&order, Keep::Overlay, &BY).unwrap_err()
    };
    assert!(matches!(refused("app", "z"), ChangeError::NoTarget { .. }));
    assert!(matches!(refused("none", "a"), ChangeError::NoGroup { .. }));
    assert!(world.events().is_empty());
}

#[test]
fn drains_go_on_by_themselves() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    runtime.block_on(async {
        let world = World::new();
        let state = world.state("plain", "c").unwrap();
        assert!(state.try_acquire(0));
        let (control, drains) = (world.control, Arc::new(world.drains));
        let running = tokio::spawn(Arc::clone(&drains).run());
        let until = async |finished: bool| {
            while view(&control, &drains, "plain", "c").unwrap().finished != finished {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        until(false).await;
        state.release();
        let ended = tokio::time::timeout(Duration::from_secs(20), until(true)).await;
        running.abort();
        assert!(ended.is_ok());
    });
}
