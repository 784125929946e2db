//! Connection limits of targets without stickiness: others first, then the bounded queue, then 503.

use std::sync::{Arc, Condvar, Mutex};

use crate::support::target::echo_response;
use crate::support::wire::DEADLINE;
use crate::support::{Limpet, Target, config, group, poll};

type Gate = Arc<(Mutex<bool>, Condvar)>;

fn open(gate: &Gate) {
    *gate.0.lock().unwrap() = true;
    gate.1.notify_all();
}

fn holding(id: &'static str, gate: &Gate) -> Target {
    let gate = gate.clone();
    Target::answering(move |request| {
        if request.target == "/hold" {
            let held = gate.0.lock().unwrap();
            drop(gate.1.wait_timeout_while(held, DEADLINE, |open| !*open).unwrap());
        }
        echo_response(id, request, "")
    })
}

fn limited(target: &Target, queue: i64, timeout: &str) -> Limpet {
    let app = group("app")
        .set("connection_limit", 1)
        .set("queue", queue)
        .set("queue_timeout", timeout)
        .target("a", target);
    config().group(app).start()
}

const HOLD: &str = "GET /hold HTTP/1.1\r\nHost: limpet.test\r\n\r\n";

#[test]
fn a_full_target_is_passed_over() {
    let gate = Gate::default();
    let (a, b) = (holding("a", &gate), holding("b", &gate));
    let app = group("app").set("connection_limit", 1).target("a", &a).target("b", &b);
    let limpet = config().group(app).start();
    let mut held = limpet.client();
    held.send(HOLD);
    poll(|| (a.request_count() + b.request_count() == 1).then_some(())).expect("held");
    let free = if a.request_count() == 1 { "b" } else { "a" };
    let mut client = limpet.client();
    for _ in 0..6 {
        assert_eq!(client.get("/").target(), free);
    }
    open(&gate);
    assert_eq!(held.response().status, 200);
}

#[test]
fn no_more_requests_than_the_limit_are_ever_in_flight() {
    let busy = Arc::new((Mutex::new((0_usize, 0_usize)), Condvar::new()));
    let count = busy.clone();
    let target = Target::answering(move |request| {
        {
            let mut now = count.0.lock().unwrap();
            now.0 += 1;
            now.1 = now.1.max(now.0);
        }
        std::thread::yield_now();
        let response = echo_response("a", request, "");
        count.0.lock().unwrap().0 -= 1;
        response
    });
    let app = group("app").set("connection_limit", 2).target("a", &target);
    let limpet = config().process("shards", 2).group(app).start();
    let address = limpet.address();
    let clients: Vec<_> = (0..8)
        .map(|_| {
            std::thread::spawn(move || {
                let mut client = crate::support::Client::connect(address);
                (0..20).for_each(|_| assert_eq!(client.get("/").status, 200));
            })
        })
        .collect();
    clients.into_iter().for_each(|client| client.join().expect("a client"));
    assert!(busy.0.lock().unwrap().1 <= 2);
}

#[test]
fn a_request_waits_in_the_queue_for_a_place() {
    let gate = Gate::default();
    let target = holding("a", &gate);
    let limpet = limited(&target, 10, "60s");
    let mut held = limpet.client();
    held.send(HOLD);
    target.wait_for_requests(1);
    let mut waiting = limpet.client();
    waiting.send("GET /waited HTTP/1.1\r\nHost: limpet.test\r\n\r\n");
    open(&gate);
    assert_eq!(held.response().status, 200);
    assert_eq!(waiting.response().echo().path, "/waited");
}

#[test]
fn the_queue_ends_at_its_deadline_with_503() {
    let gate = Gate::default();
    let target = holding("a", &gate);
    let limpet = limited(&target, 10, "150ms");
    let mut held = limpet.client();
    held.send(HOLD);
    target.wait_for_requests(1);
    assert_eq!(limpet.get("/").status, 503);
    open(&gate);
    assert_eq!(held.response().status, 200);
    assert_eq!(target.request_count(), 1);
}

#[test]
fn a_queue_of_none_rejects_at_once() {
    let gate = Gate::default();
    let target = holding("a", &gate);
    let limpet = limited(&target, 0, "60s");
    let mut held = limpet.client();
    held.send(HOLD);
    target.wait_for_requests(1);
    assert_eq!(limpet.get("/").status, 503);
    open(&gate);
    assert_eq!(held.response().status, 200);
}

#[test]
fn a_client_that_leaves_the_queue_takes_no_place() {
    let gate = Gate::default();
    let target = holding("a", &gate);
    let limpet = limited(&target, 10, "60s");
    let mut held = limpet.client();
    held.send(HOLD);
    target.wait_for_requests(1);
    let mut leaving = limpet.client();
    leaving.send("GET /left HTTP/1.1\r\nHost: limpet.test\r\n\r\n");
    leaving.wire.reset().unwrap();
    let mut staying = limpet.client();
    staying.send("GET /stayed HTTP/1.1\r\nHost: limpet.test\r\n\r\n");
    open(&gate);
    assert_eq!(held.response().status, 200);
    assert_eq!(staying.response().echo().path, "/stayed");
}
