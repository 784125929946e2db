//! Drains over a whole data plane in this process: what is counted of real traffic, who still comes to a
//! target that drains, and that nothing that runs is cut off.
//!
//! In process, because counts are compared with the traffic that made them.
#![allow(
    dead_code,
    unused_imports,
    unsafe_code,
    reason = "the harness is that of the black-box tests, which use all of it and say why it is unsafe"
)]

use std::sync::Arc;
use std::time::Duration;

use limpet::cli::{server, start};
use limpet::control::change::{By, Edit, Keep};
use limpet::control::drain::sessions::{self, Sessions};
use limpet::control::drain::{DrainOptions, DrainOrder, DrainView, Drains, Until};
use limpet::control::events::unix_ms;
use limpet::control::runtime::Control;
use limpet::group::state::TargetState;
use limpet::group::target_group::Standing;
use limpet::shard::server::Server;
use limpet::snapshot::Bind;

#[path = "blackbox/support/mod.rs"]
mod support;

use support::config::{Config, DIRECTORY, Section};
use support::{Client, Cookie, Response, Target, config, group, poll};

const COOKIE: &str = "limpet_app";
const BY: By<'static> = By { actor: "test", if_version: None };

/// A running balancer whose insides can be looked at.
struct Balancer {
    control: Arc<Control>,
    drains: Arc<Drains>,
    server: Option<Server>,
    /// Ends the drains' thread when it is dropped.
    stop: Option<tokio::sync::oneshot::Sender<()>>,
    _directory: tempfile::TempDir,
}

impl Balancer {
    fn start(config: &Config) -> Balancer {
        let directory = tempfile::tempdir().expect("a directory");
        let text = config.text().replace(DIRECTORY, &directory.path().to_string_lossy());
        let start = start::from_text(&text, "test.toml").expect("a valid configuration");
        let server = server::start(start.control.published(), &start.process).expect("a start");
        let drains = Arc::new(Drains::new(Arc::clone(&start.control)));
        let (stop, stopped) = tokio::sync::oneshot::channel();
        let running = Arc::clone(&drains);
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build();
            runtime.expect("a runtime").block_on(async {
                tokio::select! {
                    () = running.run() => {}
                    _ = stopped => {}
                }
            });
        });
        Balancer {
            control: start.control,
            drains,
            server: Some(server),
            stop: Some(stop),
            _directory: directory,
        }
    }

    fn client(&self) -> Client {
        let server = self.server.as_ref().expect("it runs");
        match &server.handle().addresses()[0].1 {
            Bind::Tcp(address) => Client::connect(*address),
            Bind::Unix(path) => Client::connect_unix(path),
        }
    }

    fn visit(&self, cookie: &str) -> Response {
        self.client().get_cookie("/", cookie)
    }

    /// A session that lives at this target: its cookie, which has come back once.
    fn session_on(&self, target: &str) -> String {
        for _ in 0..20 {
            let response = self.client().get("/");
            if response.target() == target {
                let cookie = issued(&response);
                assert_eq!(self.visit(&cookie).target(), target);
                return cookie;
            }
        }
        panic!("nobody is sent to {target}");
    }

    fn state(&self, target: &str) -> Arc<TargetState> {
        let snapshot = self.control.snapshot();
        let found = snapshot.groups[0].targets.iter().find(|one| &*one.id == target);
        Arc::clone(&found.expect("the target").state)
    }

    fn standing(&self, target: &str) -> Option<Standing> {
        let snapshot = self.control.snapshot();
        let group = &snapshot.groups[0];
        let index = group.targets.iter().position(|one| &*one.id == target)?;
        Some(group.standing(index))
    }

    fn sessions(&self, target: &str) -> Option<u64> {
        Sessions::new(self.control.published()).of_target_named("app", target, unix_ms() / 1000)
    }

    fn drain_of(&self, target: &str) -> Option<DrainView> {
        let snapshot = self.control.snapshot();
        let target = snapshot.groups[0].targets.iter().find(|one| &*one.id == target)?;
        self.drains.view("app", target, &sessions::lives(&snapshot)[0])
    }

    fn drain(&self, target: &str, until: Until, deadline: Option<Duration>) {
        self.order(target, DrainOptions { until, deadline });
    }

    fn order(&self, target: &str, options: DrainOptions) {
        let order = DrainOrder { group: "app", target, options };
        self.drains.start(&order, Keep::Overlay, &BY).expect("a drain");
    }

    fn wait_until(&self, what: &str, mut holds: impl FnMut() -> bool) {
        assert!(poll(|| holds().then_some(())).is_some(), "in time: {what}");
    }
}

impl Drop for Balancer {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(server) = self.server.take() {
            server.shutdown(Duration::from_millis(100));
        }
    }
}

fn issued(response: &Response) -> String {
    let cookie: Option<Cookie> = response.set_cookie(COOKIE);
    cookie.unwrap_or_else(|| panic!("a cookie: {}", response.head)).pair()
}

fn sticky(duration: &str, targets: &[Target; 2]) -> Section {
    let app = group("app").sticky().set("stickiness.duration", duration);
    app.target("a", &targets[0]).target("b", &targets[1])
}

fn echoes() -> [Target; 2] {
    [Target::echo("a"), Target::echo("b")]
}

/// Answers when it is told to, by a visit to /go on another connection; upgrades what asks for it, and
/// echoes there.
fn slow(id: &'static str) -> Target {
    let (go, gone) = (Arc::new(tokio::sync::Semaphore::new(0)), id);
    Target::scripted(move |connection| {
        while let Some(request) = connection.next_request()? {
            let answer = format!(
                "HTTP/1.1 200 OK\r\nContent-Length: {}\r\nX-Target: {gone}\r\n\r\n{gone}",
                gone.len()
            );
            match request.target.as_str() {
                "/go" => go.add_permits(1),
                "/slow" => {
                    let waited =
                        poll(|| go.try_acquire().ok().map(tokio::sync::SemaphorePermit::forget));
                    assert!(waited.is_some(), "told to go on");
                }
                "/chat" => {
                    connection.send(
                        b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
                    )?;
                    loop {
                        let bytes = connection.read_some()?;
                        if bytes.is_empty() {
                            return Ok(());
                        }
                        connection.send(&bytes)?;
                    }
                }
                _ => {}
            }
            connection.send(answer.as_bytes())?;
        }
        Ok(())
    })
}

const UPGRADE: &str =
    "GET /chat HTTP/1.1\r\nHost: limpet.test\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n";

#[test]
fn sessions_are_counted_where_they_live_however_often_they_come() {
    let targets = echoes();
    let balancer = Balancer::start(&config().process("shards", 2).group(sticky("1h", &targets)));
    assert_eq!((balancer.sessions("a"), balancer.sessions("b")), (Some(0), Some(0)));
    let cookies: Vec<String> = (0..5).map(|_| issued(&balancer.client().get("/"))).collect();
    for cookie in &cookies {
        let home = balancer.visit(cookie).target();
        for _ in 0..5 {
            assert_eq!(balancer.visit(cookie).target(), home);
        }
    }
    let counts = [balancer.sessions("a"), balancer.sessions("b")].map(Option::unwrap);
    assert_eq!(counts[0] + counts[1], 5, "{counts:?}");
    assert!(counts.iter().all(|count| (2..=3).contains(count)), "{counts:?}");
}

#[test]
fn nothing_is_counted_where_nothing_is_sticky() {
    let targets = echoes();
    let app = group("app").target("a", &targets[0]).target("b", &targets[1]);
    let balancer = Balancer::start(&config().group(app));
    balancer.client().get("/");
    assert_eq!(balancer.sessions("a"), None);
    assert!(balancer.state("a").sessions().is_none() && balancer.state("b").sessions().is_none());
}

#[test]
fn a_session_that_fails_over_is_counted_where_it_is_served() {
    let mut targets = echoes();
    let balancer = Balancer::start(&config().group(sticky("1h", &targets)));
    let cookie = issued(&balancer.client().get("/"));
    let home = balancer.visit(&cookie).target();
    let (at, other) = if home == "a" { (0, "b") } else { (1, "a") };
    assert_eq!((balancer.sessions(&home), balancer.sessions(other)), (Some(1), Some(0)));
    targets[at].down();
    assert_eq!(balancer.visit(&cookie).target(), other);
    assert_eq!((balancer.sessions(&home), balancer.sessions(other)), (Some(0), Some(1)));
    // A new visitor who is sent to the dead one first is counted at the other only.
    for _ in 0..4 {
        let new = issued(&balancer.client().get("/"));
        assert_eq!(balancer.visit(&new).target(), other);
    }
    assert_eq!((balancer.sessions(&home), balancer.sessions(other)), (Some(0), Some(5)));
}

#[test]
fn a_session_that_is_served_elsewhere_once_stays_counted_at_home() {
    let targets = [slow("a"), slow("b")];
    let app = sticky("1h", &targets).set("connection_limit", 1).set("on_full", "spill");
    let balancer = Balancer::start(&config().group(app));
    let response = balancer.client().get("/");
    let (cookie, home) = (issued(&response), response.text());
    let (at, other) = if home == "a" { (0, "b") } else { (1, "a") };
    assert_eq!(balancer.visit(&cookie).text(), home);
    let mut busy = balancer.client();
    busy.send(format!("GET /slow HTTP/1.1\r\nHost: h\r\nCookie: {cookie}\r\n\r\n"));
    targets[at].wait_for_requests(3);
    assert_eq!(balancer.visit(&cookie).text(), other);
    assert_eq!((balancer.sessions(&home), balancer.sessions(other)), (Some(1), Some(0)));
    Client::connect(targets[at].address().parse().unwrap()).get("/go");
    assert_eq!(busy.response().text(), home);
}

#[test]
fn a_session_counts_once_the_application_has_begun_it() {
    let application = |request: &support::Request| match request.target.as_str() {
        "/login" => "Set-Cookie: JSESSIONID=1; Path=/\r\n".to_owned(),
        _ => String::new(),
    };
    let targets = ["a", "b"].map(|id| Target::echo_with(id, application));
    let app = sticky("1h", &targets)
        .set("stickiness.type", "app_cookie")
        .set("stickiness.app_cookie", "JSESSIONID");
    let balancer = Balancer::start(&config().group(app));
    for _ in 0..6 {
        balancer.client().get("/page");
    }
    assert_eq!((balancer.sessions("a"), balancer.sessions("b")), (Some(0), Some(0)));
    let login = balancer.client().get("/login");
    assert_eq!(balancer.sessions(&login.target()), Some(0), "its cookie has not come back");
    let both = format!("JSESSIONID=1; {}", issued(&login));
    assert_eq!(balancer.visit(&both).target(), login.target());
    assert_eq!(balancer.sessions(&login.target()), Some(1));
}

#[test]
fn tunnels_are_counted_while_they_are_open() {
    let target = slow("a");
    let balancer = Balancer::start(&config().serving(&target));
    let state = balancer.state("a");
    let mut tunnels: Vec<Client> = (0..3).map(|_| balancer.client()).collect();
    for tunnel in &mut tunnels {
        assert_eq!(tunnel.send(UPGRADE).response_head().status, 101);
    }
    balancer.wait_until("three tunnels", || state.tunnels() == 3);
    assert_eq!((state.in_flight(), state.requests_in_flight()), (3, 0));
    drop(tunnels);
    balancer.wait_until("no tunnel", || state.tunnels() == 0 && state.in_flight() == 0);
}

#[test]
fn bound_sessions_come_until_they_have_ended_and_new_ones_go_elsewhere() {
    let targets = echoes();
    let balancer = Balancer::start(&config().process("shards", 2).group(sticky("2s", &targets)));
    let cookie = balancer.session_on("a");
    balancer.drain("a", Until::Sessions { at_most: 0 }, None);
    // The session lives as long as it comes; its cookie is renewed on the way.
    let (until, mut cookie) = (unix_ms() + 4_000, cookie);
    let mut visits = 0;
    while unix_ms() < until {
        let response = balancer.visit(&cookie);
        assert_eq!(response.target(), "a");
        if let Some(renewed) = response.set_cookie(COOKIE) {
            cookie = renewed.pair();
        }
        assert_eq!(balancer.client().get("/").target(), "b");
        visits += 1;
        support::pause(Duration::from_millis(20));
    }
    assert!(visits > 20, "{visits}");
    let view = balancer.drain_of("a").unwrap();
    assert!(!view.finished && view.remaining_s.is_none(), "{view:?}");
    assert!(view.reason.starts_with("waits for "), "{view:?}");
    // Nobody comes any more.
    balancer.wait_until("the end", || balancer.drain_of("a").unwrap().finished);
    assert_eq!(balancer.standing("a"), Some(Standing::Gone));
    assert_eq!(balancer.visit(&cookie).target(), "b");
}

#[test]
fn a_deadline_ends_the_service_for_sessions_that_still_come() {
    let targets = echoes();
    let balancer = Balancer::start(&config().group(sticky("1h", &targets)));
    let cookie = balancer.session_on("a");
    let deadline = Duration::from_millis(1_200);
    let begun = unix_ms();
    balancer.drain("a", Until::Sessions { at_most: 0 }, Some(deadline));
    loop {
        let served_at = unix_ms();
        let target = balancer.visit(&cookie).target();
        if target == "b" {
            break;
        }
        assert!(served_at < begun + 5_000, "the deadline has come");
        support::pause(Duration::from_millis(10));
    }
    assert!(unix_ms() >= begun + 1_200, "nobody is sent away before the deadline");
    let view = balancer.drain_of("a").unwrap();
    // The deadline may have come while a request was at the target.
    let left = view.reason.strip_prefix("the deadline has come; left: ").expect("its reason");
    assert!(["1 session", "1 session and 1 request"].contains(&left), "{left}");
}

#[test]
fn what_runs_goes_on_when_a_target_is_disabled() {
    let targets = [slow("a"), slow("b")];
    let balancer = Balancer::start(&config().group(sticky("1h", &targets)));
    let response = balancer.client().get("/");
    let (cookie, home) = (issued(&response), response.text());
    let (at, other) = if home == "a" { (0, "b") } else { (1, "a") };
    let with_cookie =
        |request: &str| request.replace("\r\n\r\n", &format!("\r\nCookie: {cookie}\r\n\r\n"));
    let mut request = balancer.client();
    request.send(with_cookie("GET /slow HTTP/1.1\r\nHost: h\r\n\r\n"));
    let mut tunnel = balancer.client();
    assert_eq!(tunnel.send(with_cookie(UPGRADE)).response_head().status, 101);
    targets[at].wait_for_requests(3);
    balancer.order(&home, DrainOptions::DISABLE);
    assert_eq!(balancer.standing(&home), Some(Standing::Gone));
    let view = balancer.drain_of(&home).unwrap();
    assert_eq!((view.in_flight, view.tunnels, view.finished), (1, 1, true));
    // Sessions are elsewhere with their next request, and both that run are untouched.
    assert_eq!(balancer.visit(&cookie).text(), other);
    tunnel.send("still here");
    assert_eq!(tunnel.wire.read_exactly(10).unwrap(), b"still here");
    Client::connect(targets[at].address().parse().unwrap()).get("/go");
    assert_eq!(request.response().text(), home);
}

#[test]
fn a_removed_target_drains_first_and_comes_back_as_if_it_had_never_gone() {
    let targets = echoes();
    let balancer = Balancer::start(&config().group(sticky("1h", &targets)));
    let cookie = balancer.session_on("b");
    let remove = Edit::RemoveTarget { group: "app".into(), target: "b".into() };
    balancer.control.edit(&remove, Keep::Overlay, &BY).expect("a removal");
    assert_eq!(balancer.control.file().target_groups[0].targets.len(), 1);
    for _ in 0..4 {
        assert_eq!(balancer.visit(&cookie).target(), "b");
        assert_eq!(balancer.client().get("/").target(), "a");
    }
    let view = balancer.drain_of("b").unwrap();
    assert_eq!((view.until, view.sessions, view.finished), ("delay", Some(1), false));
    let settings = [("id", "b".to_owned()), ("address", targets[1].address())];
    let settings =
        settings.into_iter().map(|(key, value)| (key.to_owned(), value.into())).collect();
    let add = Edit::AddTarget { group: "app".into(), settings };
    balancer.control.edit(&add, Keep::Overlay, &BY).expect("an addition");
    assert_eq!(balancer.standing("b"), Some(Standing::Usable { healthy: true }));
    assert_eq!(balancer.sessions("b"), Some(1));
    assert_eq!(balancer.visit(&cookie).target(), "b");
}

#[test]
fn a_removed_target_is_forgotten_when_its_delay_is_over() {
    let targets = echoes();
    let app = sticky("1h", &targets).set("deregistration_delay", "1s");
    let balancer = Balancer::start(&config().group(app));
    let cookie = balancer.session_on("b");
    let remove = Edit::RemoveTarget { group: "app".into(), target: "b".into() };
    balancer.control.edit(&remove, Keep::Overlay, &BY).expect("a removal");
    assert_eq!(balancer.visit(&cookie).target(), "b");
    balancer.wait_until("it is forgotten", || balancer.standing("b").is_none());
    assert!(balancer.control.leaving().is_empty());
    assert_eq!(balancer.visit(&cookie).target(), "a");
}
