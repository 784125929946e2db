#[path = "supervisor_tests/draining.rs"]
mod draining;
#[path = "supervisor_tests/ejection.rs"]
mod ejection;
#[path = "supervisor_tests/slow_start.rs"]
mod slow_start;

use std::collections::HashSet;
use std::fmt::Write;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::json;

use super::check::{Ask, Endpoint, Verdict};
use crate::control::change::{By, Edit, Keep};
use crate::control::config;
use crate::control::health::board::HealthNote;
use crate::control::health::*;
use crate::group::address::Address;
use crate::group::state::TargetState;
use crate::group::target_group::TargetGroup;
use crate::stickiness::keyring::KeyRing;

/// Answers by the port that is checked; notes which port was checked when.
struct Fake {
    failing: Mutex<HashSet<u16>>,
    hanging: Mutex<HashSet<u16>>,
    /// Whether limpet is out of descriptors.
    exhausted: Mutex<bool>,
    asked: Mutex<Vec<(Instant, u16)>>,
    at_a_time: AtomicUsize,
    most_at_a_time: AtomicUsize,
}

impl Probe for Fake {
    async fn check(&self, ask: Arc<Ask>, endpoint: Endpoint) -> Outcome {
        let Address::Tcp(address) = endpoint.address else { unreachable!("none is configured") };
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
        World::of(World::text(settings, count))
    }

    fn text(settings: &str, count: usize) -> String {
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
        text
    }

    fn of(text: String) -> World {
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

    /// A world whose first round is over and whose supervisor runs.
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

    fn edit(&self, edit: &Edit) {
        let by = By { actor: "test", if_version: None };
        self.control.edit(edit, Keep::Overlay, &by).expect("the edit is valid");
    }

    /// Changes settings of the group.
    fn set(&self, set: serde_json::Value) {
        let set = set.as_object().expect("a table").clone();
        self.edit(&Edit::SetGroup { group: "app".into(), set });
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

    /// The targets that take new requests, as published.
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

    /// Waits until these targets take new requests, and returns how long that took.
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
async fn a_target_that_drained_waits_for_a_check_when_it_is_back() {
    let world = World::started(CHECKED, 3).await;
    let state = world.state(2);
    // Does what the compilation of a group does for a draining target; in the file it is in service, so that the next
    // publication takes it back.
    state.set_health(Health::Draining);
    let began = Instant::now();
    sleep(30.0).await;
    let checks = world.asked_since(began).iter().filter(|(_, port)| *port == 2).count();
    assert!((2..=4).contains(&checks), "checks go on: {checks}");
    assert_eq!(state.health(), Health::Draining);
    world.fake.hanging.lock().unwrap().insert(2);
    world.control.republish(&["app"]);
    assert_eq!((state.health(), &*world.eligible()), (Health::Initial, "ac"));
    let bound_only = crate::group::target_group::Standing::Draining;
    assert_eq!(world.group().standing(1), bound_only, "nobody is moved yet");
    sleep(1.0).await;
    assert_eq!(world.note(2).reason, "waits for its first check");
    sleep(5.0).await;
    assert_eq!(world.note(2).reason, "its first check failed: connection refused");
    assert_eq!((state.health(), &*world.eligible()), (Health::Unhealthy, "ac"));
}

#[tokio::test(start_paused = true)]
async fn checks_that_are_switched_on_move_nobody_before_they_have_failed_often_enough() {
    let world = World::started("", 2).await;
    assert_eq!(world.note(1).reason, "not checked");
    world.fail(&[2]);
    world.set(json!({ "health_check.type": "http" }));
    sleep(0.2).await;
    assert_eq!(world.note(1).reason, "in service before it was checked");
    sleep(10.8).await;
    assert!(world.note(2).checks_failed >= 1);
    assert_eq!(world.eligible(), "ab");
    let took = world.until_eligible("a").await;
    assert!((8.0..21.0).contains(&took.as_secs_f64()), "{took:?}");
    assert_eq!(world.note(2).reason, "3 checks failed: connection refused");
}

#[tokio::test(start_paused = true)]
async fn checks_that_are_switched_off_leave_every_target_healthy() {
    let world = World::new(CHECKED, 2);
    world.fail(&[2]);
    world.start().await;
    assert_eq!(world.eligible(), "a");
    assert!(world.note(1).last_check.is_some());
    world.set(json!({ "health_check.type": "off" }));
    let took = world.until_eligible("ab").await;
    assert!(took <= Duration::from_millis(100), "{took:?}");
    let began = Instant::now();
    sleep(30.0).await;
    assert_eq!(world.asked_since(began), []);
    for port in [1, 2] {
        let note = world.note(port);
        assert_eq!((&*note.reason, note.last_check), ("not checked", None));
    }
    let group = world.group();
    let words = group.targets.iter().map(|target| group.health_code(target));
    assert_eq!(words.collect::<Vec<_>>(), ["unchecked"; 2]);
    assert_eq!(world.eligible(), "ab");
}

#[tokio::test(start_paused = true)]
async fn a_target_that_is_added_takes_nothing_before_its_first_check() {
    let world = World::started(CHECKED, 2).await;
    world.fake.hanging.lock().unwrap().insert(3);
    let settings = json!({ "id": "c", "address": "127.0.0.1:3" });
    let settings = settings.as_object().unwrap().clone();
    world.edit(&Edit::AddTarget { group: "app".into(), settings });
    sleep(1.0).await;
    assert_eq!((world.state(3).health(), &*world.eligible()), (Health::Initial, "ab"));
    sleep(5.0).await;
    assert_eq!(world.state(3).health(), Health::Unhealthy, "its first check failed");
    world.fake.hanging.lock().unwrap().clear();
    world.until_eligible("abc").await;
}

#[tokio::test(start_paused = true)]
async fn a_target_at_another_address_is_a_new_one() {
    let world = World::started(CHECKED, 2).await;
    let before = world.state(2);
    world.fail(&[9]);
    let set = json!({ "address": "127.0.0.1:9" }).as_object().unwrap().clone();
    world.edit(&Edit::SetTarget { group: "app".into(), target: "b".into(), set });
    assert_eq!(world.eligible(), "a", "nothing is known of it yet");
    sleep(0.2).await;
    assert!(!Arc::ptr_eq(&before, &world.state(2)));
    assert_eq!(world.note(2).reason, "its first check failed: connection refused");
}

#[tokio::test(start_paused = true)]
async fn a_target_that_is_gone_leaves_no_note_and_no_checks() {
    let world = World::started(CHECKED, 2).await;
    let slot = world.state(2).slot;
    world.set(json!({ "deregistration_delay": "0s" }));
    world.edit(&Edit::RemoveTarget { group: "app".into(), target: "b".into() });
    world.control.forget_leaving("app", "b");
    sleep(0.2).await;
    assert_eq!(world.board.note(slot), None);
    let began = Instant::now();
    sleep(30.0).await;
    assert!(world.asked_since(began).iter().all(|(_, port)| *port == 1));
}

/// CPU time of this thread.
fn cpu_time() -> Duration {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").expect("Linux");
    let nanos = text.split(' ').next().and_then(|nanos| nanos.parse().ok());
    Duration::from_nanos(nanos.expect("nanoseconds on the CPU"))
}

/// A server at every address of 127/8 that answers any request.
async fn serve_everywhere(listener: tokio::net::TcpListener) {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    loop {
        let Ok((mut stream, _)) = listener.accept().await else { continue };
        tokio::spawn(async move {
            let mut head = [0; 1024];
            let _ = stream.read(&mut head).await;
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await;
        });
    }
}

/// Prints the cost of 5 000 targets, as a share of one core, at 10 s:
/// `cargo test --lib -- --ignored --nocapture costs`.
#[test]
#[ignore = "measures for half a minute of real time"]
fn what_checking_5000_targets_costs() {
    let runtime = || tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let listener = std::net::TcpListener::bind("0.0.0.0:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    listener.set_nonblocking(true).unwrap();
    std::thread::spawn(move || {
        runtime().block_on(async {
            serve_everywhere(tokio::net::TcpListener::from_std(listener).unwrap()).await;
        });
    });
    let mut world_text = World::text(&format!("{CHECKED}\n{EJECTING}"), 0);
    for n in 0..5_000 {
        let address = format!("127.0.{}.{}:{port}", n / 250, n % 250 + 1);
        let _ = writeln!(world_text, "[[target_group.target]]\naddress = \"{address}\"");
    }
    let world = World::of(world_text);
    runtime().block_on(async {
        let (control, board) = (Arc::clone(&world.control), Arc::clone(&world.board));
        let mut supervisor = Supervisor::new(control, board);
        let (began, cpu) = (Instant::now(), cpu_time());
        supervisor.first_round().await;
        println!("first round: {:?}, {:?} of CPU", began.elapsed(), cpu_time() - cpu);
        assert_eq!(world.group().eligible().count(), 5_000);
        let watching = tokio::spawn(supervisor.run());
        sleep(1.0).await;
        let (began, cpu) = (Instant::now(), cpu_time());
        sleep(20.0).await;
        let share = (cpu_time() - cpu).as_secs_f64() / began.elapsed().as_secs_f64();
        println!("5000 targets at 10 s: {:.1} % of a core", share * 100.0);
        assert_eq!(world.group().eligible().count(), 5_000);
        watching.abort();
    });
}
