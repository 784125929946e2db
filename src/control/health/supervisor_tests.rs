use std::collections::HashSet;
use std::fmt::Write;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::check::{Ask, Verdict};
use super::*;
use crate::control::config;
use crate::target::group::{Address, TargetGroup};
use crate::target::keyring::KeyRing;
use crate::target::state::TargetState;

/// Answers by the port that is asked; notes who was asked when.
struct Fake {
    failing: Mutex<HashSet<u16>>,
    hanging: Mutex<HashSet<u16>>,
    /// limpet is out of descriptors.
    exhausted: Mutex<bool>,
    asked: Mutex<Vec<(Instant, u16)>>,
    at_a_time: AtomicUsize,
    most_at_a_time: AtomicUsize,
}

impl Probe for Fake {
    async fn check(&self, ask: Arc<Ask>, address: Address) -> Outcome {
        let Address::Tcp(address) = address else { unreachable!("none is configured") };
        let port = address.port();
        self.asked.lock().unwrap().push((Instant::now(), port));
        let now = self.at_a_time.fetch_add(1, Ordering::SeqCst) + 1;
        self.most_at_a_time.fetch_max(now, Ordering::SeqCst);
        let hangs = self.hanging.lock().unwrap().contains(&port);
        let latency = if hangs { ask.timeout } else { Duration::from_millis(3) };
        tokio::time::sleep(latency).await;
        self.at_a_time.fetch_sub(1, Ordering::SeqCst);
        let verdict = if *self.exhausted.lock().unwrap() {
            Verdict::NotAsked("limpet could not connect".into())
        } else if hangs || self.failing.lock().unwrap().contains(&port) {
            Verdict::Failed("connection refused".into())
        } else {
            Verdict::Passed
        };
        Outcome { verdict, status: None, latency }
    }
}

struct World {
    control: Arc<Control>,
    board: Arc<HealthBoard>,
    fake: Arc<Fake>,
}

/// Ids of targets: "a" at port 1, "b" at port 2, … beyond that "t27" at port 27.
fn id(port: usize) -> String {
    match u8::try_from(port) {
        Ok(port @ 1..=26) => char::from(b'a' + port - 1).to_string(),
        _ => format!("t{port}"),
    }
}

impl World {
    /// One group "app" of `count` targets with these settings.
    fn new(settings: &str, count: usize) -> World {
        let mut text = format!(
            "[[listener]]\nname = \"web\"\naddress = \"127.0.0.1:0\"\nforward = \"app\"\n\
             [[target_group]]\nname = \"app\"\n{settings}\n"
        );
        for port in 1..=count {
            let id = id(port);
            let _ = writeln!(
                text,
                "[[target_group.target]]\nid = \"{id}\"\naddress = \"127.0.0.1:{port}\""
            );
        }
        let ring = Arc::new(KeyRing::from_secrets(&[(1, [7; 32])]).unwrap());
        let parsed = config::parse_complete(text, "test.toml").unwrap();
        World {
            control: Arc::new(Control::new(parsed, None, ring).unwrap()),
            board: Arc::default(),
            fake: Arc::new(Fake {
                failing: Mutex::default(),
                hanging: Mutex::default(),
                exhausted: Mutex::new(false),
                asked: Mutex::default(),
                at_a_time: AtomicUsize::new(0),
                most_at_a_time: AtomicUsize::new(0),
            }),
        }
    }

    fn supervisor(&self) -> Supervisor<Fake> {
        let (control, board) = (Arc::clone(&self.control), Arc::clone(&self.board));
        Supervisor::with_probe(control, board, Arc::clone(&self.fake))
    }

    /// The first round is over, and the supervisor watches.
    async fn started(settings: &str, count: usize) -> World {
        let world = World::new(settings, count);
        world.start().await;
        world
    }

    async fn start(&self) {
        let mut supervisor = self.supervisor();
        supervisor.first_round().await;
        tokio::spawn(supervisor.run());
    }

    fn group(&self) -> Arc<TargetGroup> {
        Arc::clone(&self.control.snapshot().groups[0])
    }

    fn state(&self, port: usize) -> Arc<TargetState> {
        Arc::clone(&self.group().targets[port - 1].state)
    }

    fn note(&self, port: usize) -> HealthNote {
        self.board.note(self.state(port).slot).expect("it is watched")
    }

    /// Who takes new requests, as published.
    fn eligible(&self) -> String {
        self.group().eligible().map(|(_, target)| target.id.to_string()).collect()
    }

    fn fail(&self, ports: &[u16]) {
        *self.fake.failing.lock().unwrap() = ports.iter().copied().collect();
    }

    fn errors(&self, port: usize, count: u32) {
        for _ in 0..count {
            self.state(port).note_outcome(true);
        }
    }

    fn asked_since(&self, since: Instant) -> Vec<(Duration, u16)> {
        let asked = self.fake.asked.lock().unwrap();
        let later = asked.iter().filter(|(at, _)| *at >= since);
        later.map(|(at, port)| (at.duration_since(since), *port)).collect()
    }

    fn events(&self) -> Vec<String> {
        self.control.events().after(0, usize::MAX).into_iter().map(|event| event.text).collect()
    }

    /// Waits for who takes new requests, and says how long that took.
    async fn until_eligible(&self, wanted: &str) -> Duration {
        let began = Instant::now();
        while self.eligible() != wanted {
            let waited = began.elapsed();
            assert!(waited < Duration::from_secs(1_000), "{} not {wanted}", self.eligible());
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        began.elapsed()
    }
}

const CHECKED: &str = "health_check.type = \"http\"";
const EJECTING: &str = "ejection.errors = 5";

async fn sleep(seconds: f64) {
    tokio::time::sleep(Duration::from_secs_f64(seconds)).await;
}

#[tokio::test(start_paused = true)]
async fn the_first_round_decides_before_anything_is_served() {
    let world = World::new(CHECKED, 3);
    world.fail(&[2]);
    let before = world.control.snapshot().generation;
    assert!(world.group().fails_open(), "nothing is known yet");
    let mut supervisor = world.supervisor();
    supervisor.first_round().await;
    assert_eq!(world.eligible(), "ac");
    assert_eq!(world.control.snapshot().generation, before + 1);
    let mut asked: Vec<u16> = world.fake.asked.lock().unwrap().iter().map(|one| one.1).collect();
    asked.sort_unstable();
    assert_eq!(asked, [1, 2, 3]);
    let failed = world.note(2);
    assert_eq!(failed.reason, "its first check failed: connection refused");
    let last = failed.last_check.unwrap();
    assert_eq!((last.passed, last.latency_us), (false, 3_000));
    assert_eq!(last.error.as_deref(), Some("connection refused"));
    assert_eq!(world.note(1).reason, "its first check passed");
    let events = [
        "b is unhealthy: its first check failed: connection refused",
        "2 of 3 targets of app are healthy",
    ];
    assert_eq!(world.events(), events);
}

#[tokio::test(start_paused = true)]
async fn a_first_round_without_a_healthy_target_says_that_the_group_fails_open() {
    let world = World::new(CHECKED, 2);
    world.fail(&[1, 2]);
    world.supervisor().first_round().await;
    assert_eq!(world.eligible(), "ab");
    let events = world.events();
    assert_eq!(
        events[2..],
        [
            "0 of 2 targets of app are healthy",
            "app fails open, so that all of its targets are used: 0 of 2 targets are healthy"
        ]
    );
}

#[tokio::test(start_paused = true)]
async fn checks_take_a_target_out_and_bring_it_back() {
    let world = World::started(CHECKED, 2).await;
    world.fail(&[2]);
    let took = world.until_eligible("a").await;
    assert!((20.0..31.0).contains(&took.as_secs_f64()), "the third failure in a row: {took:?}");
    assert_eq!(world.note(2).reason, "3 checks failed: connection refused");
    assert_eq!(world.note(2).checks_failed, 3);
    world.fail(&[]);
    let took = world.until_eligible("ab").await;
    assert!((9.0..21.0).contains(&took.as_secs_f64()), "the second success in a row: {took:?}");
    assert_eq!(world.note(2).reason, "2 checks passed");
    let events = world.events();
    assert_eq!(
        events[1..],
        ["b is unhealthy: 3 checks failed: connection refused", "b is healthy: 2 checks passed"]
    );
}

#[tokio::test(start_paused = true)]
async fn a_group_tells_when_it_begins_and_ceases_to_fail_open() {
    let world = World::started(CHECKED, 2).await;
    world.fail(&[1, 2]);
    while !world.group().fails_open() {
        sleep(0.1).await;
    }
    assert_eq!(world.eligible(), "ab");
    world.fail(&[2]);
    world.until_eligible("a").await;
    sleep(0.1).await;
    let events = world.events();
    let told = |text: &str| events.iter().any(|event| event == text);
    assert!(told(
        "app fails open, so that all of its targets are used: 0 of 2 targets are healthy"
    ));
    assert!(told("app no longer fails open: 1 of 2 targets are healthy"), "{events:?}");
}

#[tokio::test(start_paused = true)]
async fn checks_are_spread_evenly_over_the_interval() {
    let world = World::started(CHECKED, 500).await;
    let began = Instant::now();
    sleep(60.0).await;
    let asked = world.asked_since(began);
    let mut seconds = [0usize; 60];
    let mut last: HashMap<u16, Duration> = HashMap::new();
    for (at, port) in &asked {
        if let Some(second) = seconds.get_mut(at.as_secs() as usize) {
            *second += 1;
        }
        if let Some(before) = last.insert(*port, *at) {
            let gap = (*at - before).as_secs_f64();
            assert!((8.9..=11.1).contains(&gap), "target {port} after {gap} s");
        }
    }
    assert_eq!(last.len(), 500);
    for (second, count) in seconds.iter().enumerate() {
        assert!((35..=65).contains(count), "{count} checks in second {second}");
    }
}

#[tokio::test(start_paused = true)]
async fn no_more_than_so_many_checks_run_at_a_time() {
    let world = World::new(CHECKED, 2_500);
    world.fake.hanging.lock().unwrap().extend(1..=2_500);
    let began = Instant::now();
    world.supervisor().first_round().await;
    assert_eq!(world.fake.asked.lock().unwrap().len(), 2_500);
    assert_eq!(world.fake.most_at_a_time.load(Ordering::SeqCst), CHECKS_MAX);
    assert_eq!(began.elapsed().as_secs(), 15, "three times the timeout");
}

#[tokio::test(start_paused = true)]
async fn a_target_that_hangs_delays_no_other() {
    let world = World::started(CHECKED, 3).await;
    world.fake.hanging.lock().unwrap().insert(1);
    let began = Instant::now();
    sleep(101.0).await;
    let asked = world.asked_since(began);
    for port in 1..=3 {
        let count = asked.iter().filter(|(_, one)| *one == port).count();
        assert!((9..=12).contains(&count), "{count} checks of {port}");
    }
    assert_eq!(world.eligible(), "bc");
}

#[tokio::test(start_paused = true)]
async fn whatever_a_tick_finds_is_published_together() {
    let settings = "health_check = { type = \"tcp\", interval = \"100ms\", timeout = \"50ms\", rise = 1, fall = 1 }";
    let world = World::started(settings, 200).await;
    let before = world.control.snapshot().generation;
    let began = Instant::now();
    let mut turns = 0;
    while began.elapsed() < Duration::from_secs(5) {
        world.fail(&(1..=200).filter(|port| (port + turns) % 2 == 0).collect::<Vec<_>>());
        sleep(0.15).await;
        turns += 1;
    }
    let published = world.control.snapshot().generation - before;
    let checks = world.asked_since(began).len();
    assert!(checks > 5_000, "{checks}");
    assert!(
        (20..=103).contains(&published),
        "{published} publications for {turns} turns of 200 targets"
    );
}

#[tokio::test(start_paused = true)]
async fn want_of_descriptors_takes_no_target_out() {
    let world = World::started(CHECKED, 2).await;
    *world.fake.exhausted.lock().unwrap() = true;
    sleep(120.0).await;
    assert_eq!(world.eligible(), "ab");
    assert_eq!(world.note(1).checks_failed, 0);
    let warnings = world.events().len() - 1;
    assert!((2..=6).contains(&warnings), "not more than once a minute for each: {warnings}");
}

#[tokio::test(start_paused = true)]
async fn a_target_that_drains_is_not_checked_and_waits_for_a_check_when_it_is_back() {
    let world = World::started(CHECKED, 3).await;
    let state = world.state(2);
    // What the compilation of a group does when the operator lets a target drain; in the file it is in
    // service, so that the next publication is the operator's taking it back.
    state.set_health(Health::Draining);
    let began = Instant::now();
    sleep(30.0).await;
    assert!(world.asked_since(began).iter().all(|(_, port)| *port != 2));
    assert_eq!(state.health(), Health::Draining);
    world.fake.hanging.lock().unwrap().insert(2);
    world.control.republish(&["app"]);
    assert_eq!((state.health(), &*world.eligible()), (Health::Initial, "ac"));
    sleep(1.0).await;
    assert_eq!(world.note(2).reason, "waits for its first check");
    sleep(5.0).await;
    assert_eq!(world.note(2).reason, "its first check failed: connection refused");
    assert_eq!((state.health(), &*world.eligible()), (Health::Unhealthy, "ac"));
}

#[tokio::test(start_paused = true)]
async fn gateway_errors_in_a_row_eject_a_target_for_a_while() {
    let world = World::started(EJECTING, 3).await;
    world.errors(2, 4);
    sleep(1.0).await;
    assert_eq!(world.eligible(), "abc");
    world.errors(2, 1);
    let took = world.until_eligible("ac").await;
    assert!(took <= Duration::from_millis(100), "{took:?}");
    let note = world.note(2);
    assert_eq!(note.reason, "ejected for 30s: 5 gateway errors in a row");
    assert_eq!((note.ejections, note.ejected_until_unix_ms.is_some()), (1, true));
    assert_eq!(world.state(2).errors_in_a_row(), 0);
    let took = world.until_eligible("abc").await;
    assert!((29.9..30.2).contains(&took.as_secs_f64()), "{took:?}");
    assert_eq!(world.note(2).ejected_until_unix_ms, None);
    assert_eq!(world.note(2).reason, "not checked");
    // Again, and so for twice as long.
    world.errors(2, 5);
    world.until_eligible("ac").await;
    let took = world.until_eligible("abc").await;
    assert!((59.9..60.2).contains(&took.as_secs_f64()), "{took:?}");
    assert_eq!(
        world.events(),
        [
            "b is ejected for 30s: 5 gateway errors in a row",
            "b is back: its ejection is over",
            "b is ejected for 1m: 5 gateway errors in a row",
            "b is back: its ejection is over"
        ]
    );
}

#[tokio::test(start_paused = true)]
async fn no_more_of_a_group_is_ejected_than_its_share() {
    let world = World::started(EJECTING, 3).await;
    for port in 1..=3 {
        world.errors(port, 5);
    }
    sleep(0.2).await;
    assert_eq!(world.eligible().len(), 2);
    // The other two go on failing; nobody is told of it at every turn.
    for _ in 0..50 {
        (1..=3).for_each(|port| world.errors(port, 5));
        sleep(0.1).await;
    }
    assert_eq!(world.eligible().len(), 2);
    let events = world.events();
    assert_eq!(events.len(), 3, "{events:?}");
    let refused = events.iter().filter(|text| text.contains("stays in despite 5 gateway errors"));
    assert_eq!(refused.count(), 2);
}

#[tokio::test(start_paused = true)]
async fn an_ejection_checks_the_target_at_once_and_a_failure_counts_without_waiting_for_more() {
    let world = World::started(&format!("{CHECKED}\n{EJECTING}"), 3).await;
    world.fail(&[2]);
    let began = Instant::now();
    world.errors(2, 5);
    sleep(0.2).await;
    assert!(world.asked_since(began).iter().any(|(_, port)| *port == 2), "at once");
    assert_eq!(world.state(2).health_by_checks(), Health::Unhealthy);
    assert!(world.state(2).is_ejected());
    // The ejection ends before the checks pass: they decide.
    sleep(35.0).await;
    assert!(!world.state(2).is_ejected());
    assert_eq!(world.eligible(), "ac");
    let note = world.note(2);
    assert_eq!(note.reason, "a check after gateway errors failed: connection refused");
    world.fail(&[]);
    world.until_eligible("abc").await;
    let events = world.events();
    assert_eq!(
        events[1..],
        [
            "b is ejected for 30s: 5 gateway errors in a row",
            "b is unhealthy: a check after gateway errors failed: connection refused",
            "the ejection of b is over; it is unhealthy",
            "b is healthy: 2 checks passed"
        ]
    );
}

#[tokio::test(start_paused = true)]
async fn a_check_that_passes_does_not_end_an_ejection() {
    let world = World::started(&format!("{CHECKED}\n{EJECTING}"), 3).await;
    world.errors(2, 5);
    sleep(25.0).await;
    assert_eq!((&*world.eligible(), world.state(2).health_by_checks()), ("ac", Health::Healthy));
    world.until_eligible("abc").await;
}

#[tokio::test(start_paused = true)]
async fn the_operator_ends_an_ejection() {
    let world = World::started(EJECTING, 2).await;
    world.errors(1, 5);
    world.until_eligible("b").await;
    assert!(!world.board.enable("app", "b"), "it is not ejected");
    assert!(world.board.enable("app", "a"));
    let took = world.until_eligible("ab").await;
    assert!(took <= Duration::from_millis(100), "{took:?}");
    assert_eq!(world.events()[1], "a is back: its ejection was ended by the operator");
}

/// The share of target `port`, as published, each time it changes, from now on for `seconds`.
async fn shares(world: &World, port: usize, seconds: u64) -> Vec<u32> {
    let began = Instant::now();
    let mut shares = Vec::new();
    while began.elapsed() < Duration::from_secs(seconds) {
        let share = world.group().targets[port - 1].share;
        if shares.last() != Some(&share) {
            shares.push(share);
        }
        sleep(0.01).await;
    }
    shares
}

#[tokio::test(start_paused = true)]
async fn a_target_that_turns_healthy_starts_slowly() {
    let world = World::started(&format!("{CHECKED}\nslow_start = \"40s\""), 2).await;
    assert_eq!(world.group().targets[0].share, 100, "not at the start of the process");
    world.fail(&[2]);
    world.until_eligible("a").await;
    world.fail(&[]);
    world.until_eligible("ab").await;
    let before = world.control.snapshot().generation;
    assert!(world.note(2).slow_start_until_unix_ms.is_some());
    let shares = shares(&world, 2, 45).await;
    assert_eq!(shares, (1..=20).map(|step| step * 5).collect::<Vec<_>>());
    assert_eq!(world.control.snapshot().generation - before, 19, "one publication a step");
    let note = world.note(2);
    assert_eq!((note.share_percent, note.slow_start_until_unix_ms), (100, None));
}

#[tokio::test(start_paused = true)]
async fn the_first_healthy_target_of_a_group_does_not_start_slowly() {
    let world = World::new(&format!("{CHECKED}\nslow_start = \"40s\"\nfail_open.count = 0"), 3);
    world.fail(&[1, 2, 3]);
    world.start().await;
    assert_eq!(world.eligible(), "");
    world.fail(&[2, 3]);
    world.until_eligible("a").await;
    assert_eq!(world.group().targets[0].share, 100);
    world.fail(&[3]);
    world.until_eligible("ab").await;
    assert_eq!(world.group().targets[1].share, 5);
    // A target that fails during its slow start is at its full weight when it is used for want of others.
    world.fail(&[2, 3]);
    world.until_eligible("a").await;
    assert_eq!(world.group().targets[1].share, 100);
}

#[tokio::test(start_paused = true)]
async fn a_target_that_returns_from_an_ejection_starts_slowly() {
    let world = World::started(&format!("{EJECTING}\nslow_start = \"40s\""), 2).await;
    world.errors(2, 5);
    world.until_eligible("a").await;
    world.until_eligible("ab").await;
    assert_eq!(world.group().targets[1].share, 5);
}
