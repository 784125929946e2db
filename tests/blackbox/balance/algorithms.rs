//! round_robin, weighted_random, least_outstanding_requests and hash, all weighted.

use std::collections::HashSet;
use std::sync::{Condvar, Mutex};

use super::counts;
use crate::support::target::echo_response;
use crate::support::wire::DEADLINE;
use crate::support::{Client, Limpet, Target, config, group};

fn targets() -> [Target; 3] {
    ["a", "b", "c"].map(Target::echo)
}

fn start(settings: &[(&str, &str)], weights: [u32; 3]) -> (Limpet, [Target; 3]) {
    let targets = targets();
    let mut app = group("app");
    for (key, value) in settings {
        app = app.set(key, *value);
    }
    for (target, (id, weight)) in targets.iter().zip(["a", "b", "c"].into_iter().zip(weights)) {
        app = app.target_with(id, target, &format!("weight = {weight}"));
    }
    (config().group(app).start(), targets)
}

#[test]
fn round_robin_alternates() {
    let (limpet, _targets) = start(&[], [1, 1, 1]);
    let mut client = limpet.client();
    let order: Vec<String> = (0..9).map(|_| client.get("/").target()).collect();
    for three in order.windows(3) {
        assert_eq!(three.iter().collect::<HashSet<_>>().len(), 3, "{order:?}");
    }
}

#[test]
fn round_robin_is_exact_and_smooth_by_weight() {
    let (limpet, _targets) = start(&[], [5, 1, 1]);
    let mut client = limpet.client();
    for _ in 0..3 {
        let order: Vec<String> = (0..7).map(|_| client.get("/").target()).collect();
        let of = |id: &str| order.iter().filter(|target| *target == id).count();
        assert_eq!((of("a"), of("b"), of("c")), (5, 1, 1), "{order:?}");
    }
    // Smooth: in two rounds the heavy target never goes five times in a row.
    let order: Vec<String> = (0..14).map(|_| client.get("/").target()).collect();
    assert!(!order.windows(5).any(|five| five.iter().all(|target| target == "a")), "{order:?}");
}

#[test]
fn round_robin_counts_across_connections() {
    let (limpet, _targets) = start(&[], [1, 1, 1]);
    let seen: HashSet<String> = (0..3).map(|_| limpet.get("/").target()).collect();
    assert_eq!(seen.len(), 3);
}

#[test]
fn round_robin_counts_across_shards() {
    let targets = targets();
    let app =
        group("app").target("a", &targets[0]).target("b", &targets[1]).target("c", &targets[2]);
    let limpet = config().process("shards", 4).group(app).start();
    let mut seen = std::collections::HashMap::new();
    for _ in 0..60 {
        *seen.entry(limpet.get("/").target()).or_insert(0) += 1;
    }
    // One request at a time takes one turn of the shared counter.
    assert!(seen.values().all(|count| *count == 20), "{seen:?}");
}

#[test]
fn weighted_random_spreads_by_weight() {
    let (limpet, _targets) = start(&[("algorithm", "weighted_random")], [2, 1, 1]);
    let seen = counts(&mut limpet.client(), 400);
    // 200, 100, 100 expected; bounds at five standard deviations.
    assert!((150..=250).contains(&seen["a"]), "{seen:?}");
    assert!((56..=144).contains(&seen["b"]), "{seen:?}");
    assert!((56..=144).contains(&seen["c"]), "{seen:?}");
}

#[test]
fn weight_zero_gets_nothing() {
    for algorithm in ["round_robin", "least_outstanding_requests", "weighted_random"] {
        let (limpet, _targets) = start(&[("algorithm", algorithm)], [0, 1, 1]);
        let seen = counts(&mut limpet.client(), 60);
        assert!(!seen.contains_key("a"), "{algorithm}: {seen:?}");
        assert_eq!(seen.len(), 2, "{algorithm}: {seen:?}");
    }
}

#[test]
fn a_draining_target_gets_nothing_new() {
    let [a, b, _] = targets();
    let app = group("app").target_with("a", &a, "state = \"draining\"").target("b", &b);
    let limpet = config().group(app).start();
    assert_eq!(counts(&mut limpet.client(), 10)["b"], 10);
}

#[test]
fn least_outstanding_requests_avoids_the_busy_target() {
    static GATE: (Mutex<bool>, Condvar) = (Mutex::new(false), Condvar::new());
    let slow = |id: &'static str| {
        Target::answering(move |request| {
            if request.target == "/hold" {
                let held = GATE.0.lock().unwrap();
                drop(GATE.1.wait_timeout_while(held, DEADLINE, |open| !*open).unwrap());
            }
            echo_response(id, request, "")
        })
    };
    let (a, b) = (slow("a"), slow("b"));
    let app =
        group("app").set("algorithm", "least_outstanding_requests").target("a", &a).target("b", &b);
    let limpet = config().group(app).start();
    let mut holding = limpet.client();
    holding.send("GET /hold HTTP/1.1\r\nHost: limpet.test\r\n\r\n");
    crate::support::poll(|| (a.request_count() + b.request_count() == 1).then_some(()))
        .expect("the held request");
    let (busy, idle) = if a.request_count() == 1 { ("a", "b") } else { ("b", "a") };
    // Two targets: both of the two choices are always looked at.
    let mut client = limpet.client();
    for _ in 0..20 {
        let target = client.get("/").target();
        assert_eq!(target, idle, "{busy} is busy");
    }
    *GATE.0.lock().unwrap() = true;
    GATE.1.notify_all();
    assert_eq!(holding.response().target(), busy);
}

/// Requests with key `k` in the place that the setting names, as raw bytes.
type Keyed = fn(&str) -> String;

#[test]
fn a_hash_leads_the_same_key_to_the_same_target_and_spreads_keys() {
    let places: [(&str, Keyed); 3] = [
        ("header:X-User", |k| format!("GET / HTTP/1.1\r\nHost: h\r\nX-User: {k}\r\n\r\n")),
        ("cookie:user", |k| format!("GET / HTTP/1.1\r\nHost: h\r\nCookie: a=b; user={k}\r\n\r\n")),
        ("query:user", |k| format!("GET /?a=b&user={k} HTTP/1.1\r\nHost: h\r\n\r\n")),
    ];
    for (place, request) in places {
        let (limpet, _targets) = start(&[("algorithm", "hash"), ("hash_on", place)], [1, 1, 1]);
        let mut seen = HashSet::new();
        for key in 0..60 {
            let request = request(&format!("user{key}"));
            let first = limpet.client().send(&request).response().target();
            for _ in 0..2 {
                assert_eq!(limpet.client().send(&request).response().target(), first, "{place}");
            }
            seen.insert(first);
        }
        assert_eq!(seen.len(), 3, "{place}: sixty keys leave a target idle");
    }
}

#[test]
fn a_hash_of_a_query_value_is_the_same_in_every_spelling() {
    let (limpet, _targets) = start(&[("algorithm", "hash"), ("hash_on", "query:user")], [1, 1, 1]);
    let mut client = limpet.client();
    for key in 0..30 {
        let first = client.get(&format!("/?user=ann+{key}")).target();
        for pair in ["user=ann%20", "us%65r=%61nn%20", "x=%26&user=a%6En+"] {
            assert_eq!(client.get(&format!("/?{pair}{key}")).target(), first, "{pair}{key}");
        }
    }
}

#[test]
fn a_hash_of_the_source_address_is_stable() {
    let (limpet, _targets) = start(&[("algorithm", "hash"), ("hash_on", "source")], [1, 1, 1]);
    let seen: HashSet<String> = (0..6).map(|_| limpet.get("/").target()).collect();
    assert_eq!(seen.len(), 1);
}

#[test]
fn a_hash_moves_only_the_keys_of_a_target_that_left() {
    let targets = targets();
    let app = group("app").set("algorithm", "hash").set("hash_on", "header:X-User");
    let three = config()
        .group(
            app.clone().target("a", &targets[0]).target("b", &targets[1]).target("c", &targets[2]),
        )
        .start();
    let two = config().group(app.target("a", &targets[0]).target("b", &targets[1])).start();
    let at = |client: &mut Client, key: usize| {
        client.get_with("/", &format!("X-User: user{key}\r\n")).target()
    };
    let (mut three, mut two) = (three.client(), two.client());
    let mut moved = 0;
    for key in 0..300 {
        let (before, after) = (at(&mut three, key), at(&mut two, key));
        if before != "c" && before != after {
            moved += 1;
        }
    }
    // A table of buckets may move a few keys more than it must, never a share of them.
    assert!(moved < 60, "{moved} of about 200 keys moved without need");
}

#[test]
fn nodes_agree_on_a_hash() {
    let targets = targets();
    let node = || {
        let app = group("app").set("algorithm", "hash").set("hash_on", "header:X-User");
        config()
            .group(app.target("a", &targets[0]).target("b", &targets[1]).target("c", &targets[2]))
            .start()
    };
    let (one, two) = (node(), node());
    let (mut one, mut two) = (one.client(), two.client());
    for key in 0..40 {
        let lines = format!("X-User: user{key}\r\n");
        assert_eq!(one.get_with("/", &lines).target(), two.get_with("/", &lines).target());
    }
}
