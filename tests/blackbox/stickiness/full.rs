//! A sticky user whose target is at its connection limit: `on_full` decides.

use std::sync::{Arc, Condvar, Mutex};

use super::{COOKIE, bound_to, visit};
use crate::support::target::echo_response;
use crate::support::{Client, Cookie, Limpet, Target, config, group};

/// Holds requests for `/hold` until it is opened.
#[derive(Clone, Default)]
struct Gate(Arc<(Mutex<bool>, Condvar)>);

impl Gate {
    fn open(&self) {
        *self.0.0.lock().unwrap() = true;
        self.0.1.notify_all();
    }

    fn pass(&self) {
        let wait = self.0.1.wait_timeout_while(
            self.0.0.lock().unwrap(),
            crate::support::wire::DEADLINE,
            |open| !*open,
        );
        assert!(!wait.unwrap().1.timed_out(), "the gate was never opened");
    }
}

struct Scene {
    limpet: Limpet,
    gate: Gate,
    cookie: Cookie,
    holding: Client,
    _targets: [Target; 2],
}

impl Scene {
    /// The place on the target is free once limpet has seen the end of the held exchange.
    #[track_caller]
    fn assert_back_home(&self) {
        let back = crate::support::poll(|| {
            let response = visit(&self.limpet, &self.cookie);
            (response.status == 200 && response.target() == "a").then_some(())
        });
        assert!(back.is_some(), "the session did not come back to its target");
    }
}

/// Target `a` is at its limit of one with a request that it holds; `cookie` is bound to it.
fn scene(settings: &[(&str, toml::Value)]) -> Scene {
    let gate = Gate::default();
    let at = gate.clone();
    let a = Target::answering(move |request| {
        if request.target == "/hold" {
            at.pass();
        }
        echo_response("a", request, "")
    });
    let b = Target::echo("b");
    let mut app = group("app").sticky().set("connection_limit", 1).target("a", &a).target("b", &b);
    for (key, value) in settings {
        app = app.set(key, value.clone());
    }
    let limpet = config().group(app).start();
    let cookie = bound_to(&limpet, "a");
    let before = a.request_count();
    let mut holding = limpet.client();
    holding.send(format!(
        "GET /hold HTTP/1.1\r\nHost: limpet.test\r\nCookie: {}\r\n\r\n",
        cookie.pair()
    ));
    a.wait_for_requests(before + 1);
    Scene { limpet, gate, cookie, holding, _targets: [a, b] }
}

#[test]
fn queue_waits_for_a_place_on_the_same_target() {
    let mut scene = scene(&[("on_full", "queue".into())]);
    let mut waiting = scene.limpet.client();
    waiting.send(format!(
        "GET /visit HTTP/1.1\r\nHost: limpet.test\r\nCookie: {}\r\n\r\n",
        scene.cookie.pair()
    ));
    // A request that needs no place shows that limpet has got round to the waiting one.
    assert_eq!(scene.limpet.get("/free").target(), "b");
    scene.gate.open();
    assert_eq!(scene.holding.response().target(), "a");
    assert_eq!(waiting.response().target(), "a");
}

#[test]
fn queue_gives_up_at_its_deadline() {
    let mut scene = scene(&[("on_full", "queue".into()), ("queue_timeout", "200ms".into())]);
    assert_eq!(visit(&scene.limpet, &scene.cookie).status, 503);
    scene.gate.open();
    assert_eq!(scene.holding.response().target(), "a");
    assert_eq!(visit(&scene.limpet, &scene.cookie).target(), "a");
}

#[test]
fn queue_is_bounded() {
    let mut scene =
        scene(&[("on_full", "queue".into()), ("queue", 1.into()), ("queue_timeout", "60s".into())]);
    let visits = ["/1", "/2"].map(|path| {
        let (address, pair) = (scene.limpet.address(), scene.cookie.pair());
        std::thread::spawn(move || Client::connect(address).get_cookie(path, &pair).status)
    });
    let rejected =
        crate::support::poll(|| visits.iter().position(std::thread::JoinHandle::is_finished));
    assert!(rejected.is_some(), "two requests wait where there is room for one");
    scene.gate.open();
    assert_eq!(scene.holding.response().status, 200);
    let mut statuses = visits.map(|visit| visit.join().unwrap());
    statuses.sort_unstable();
    assert_eq!(statuses, [200, 503]);
}

#[test]
fn spill_serves_elsewhere_once_and_keeps_the_cookie() {
    let mut scene = scene(&[("on_full", "spill".into())]);
    let response = visit(&scene.limpet, &scene.cookie);
    assert_eq!(response.target(), "b");
    assert!(response.set_cookie(COOKIE).is_none(), "{}", response.head);
    scene.limpet.record_where("of a full target", |record| record.reason() == "full");
    scene.gate.open();
    assert_eq!(scene.holding.response().target(), "a");
    scene.assert_back_home();
}

#[test]
fn restick_moves_the_session() {
    let mut scene = scene(&[("on_full", "restick".into())]);
    let response = visit(&scene.limpet, &scene.cookie);
    assert_eq!(response.target(), "b");
    let moved = response.set_cookie(COOKIE).expect("a new assignment");
    scene.limpet.record_where("of a full target", |record| record.reason() == "full");
    scene.gate.open();
    assert_eq!(scene.holding.response().target(), "a");
    assert_eq!(visit(&scene.limpet, &moved).target(), "b");
}

#[test]
fn reject_answers_503_at_once() {
    let mut scene = scene(&[("on_full", "reject".into())]);
    let response = visit(&scene.limpet, &scene.cookie);
    assert_eq!(response.status, 503);
    assert!(response.set_cookie(COOKIE).is_none());
    scene.gate.open();
    assert_eq!(scene.holding.response().target(), "a");
    scene.assert_back_home();
}

#[test]
fn a_user_without_a_session_takes_a_target_with_room() {
    let mut scene = scene(&[("on_full", "queue".into())]);
    for _ in 0..4 {
        assert_eq!(scene.limpet.get("/").target(), "b");
    }
    scene.gate.open();
    assert_eq!(scene.holding.response().target(), "a");
}
