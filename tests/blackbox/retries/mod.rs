//! Retries: a failed connect for any method, a stale connection where it is safe and within the budget, at
//! most the configured count, never twice what may not be done twice.

mod elsewhere;

use crate::support::{Limpet, Target, config, group};

fn over(targets: &[(&str, &Target)], settings: &[(&str, toml::Value)]) -> Limpet {
    let mut app = group("app");
    for (key, value) in settings {
        app = app.set(key, value.clone());
    }
    for (id, target) in targets {
        app = app.target(id, target);
    }
    config().group(app).start()
}

/// Answers one request on each connection and then drops it without a word at the next one.
fn stale() -> Target {
    Target::scripted(|connection| {
        connection.next_request()?;
        connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")?;
        // The connection looks alive until the next request is on it.
        connection.next_request().map(drop)
    })
}

#[test]
fn a_refused_connect_is_retried_on_another_target_for_any_method() {
    let (down, up) = (Target::refusing("down"), Target::echo("up"));
    let limpet = over(&[("down", &down), ("up", &up)], &[]);
    let mut client = limpet.client();
    for _ in 0..4 {
        assert_eq!(client.get("/").target(), "up");
        assert_eq!(client.post("/", b"once").echo().content, "once");
    }
    assert_eq!(up.request_count(), 8);
}

#[test]
fn without_retries_a_refused_connect_is_a_502() {
    let down = Target::refusing("down");
    let limpet = over(&[("down", &down)], &[("retries.count", 0.into())]);
    let mut client = limpet.client();
    assert_eq!(client.get("/").status, 502);
    assert_eq!(client.get("/").status, 502, "the client stays");
}

#[test]
fn at_most_the_configured_count_of_targets_is_tried() {
    let down = ["a", "b", "c"].map(Target::refusing);
    let limpet =
        over(&[("a", &down[0]), ("b", &down[1]), ("c", &down[2])], &[("retries.count", 2.into())]);
    assert_eq!(limpet.get("/").status, 502);
    assert!(limpet.record(1).retries() <= 2.0);
}

#[test]
fn a_retry_is_in_the_log() {
    let (down, up) = (Target::refusing("down"), Target::echo("up"));
    let limpet = over(&[("down", &down), ("up", &up)], &[]);
    // Round robin meets the one that is down in one of two requests at least.
    limpet.get("/");
    limpet.get("/");
    let retries: f64 = limpet.access_log(2).iter().map(|record| record.retries()).sum();
    assert!((1.0..=2.0).contains(&retries), "{retries} retries");
}

#[test]
fn a_stale_connection_is_retried_for_an_idempotent_method() {
    let registered =
        ["PROPFIND", "PROPPATCH", "REPORT", "SEARCH", "QUERY", "MKCOL", "MOVE", "UNLOCK"];
    for method in ["GET", "HEAD", "PUT", "DELETE", "OPTIONS"].into_iter().chain(registered) {
        let target = stale();
        let limpet = over(&[("a", &target)], &[]);
        let mut client = limpet.client();
        for _ in 0..3 {
            client.send(format!(
                "{method} / HTTP/1.1\r\nHost: limpet.test\r\nContent-Length: 0\r\n\r\n"
            ));
            assert_eq!(client.response_to(method).status, 200, "{method}");
        }
    }
}

#[test]
fn a_request_that_is_not_idempotent_never_reaches_two_connections() {
    let target = stale();
    let limpet = over(&[("a", &target)], &[]);
    let mut client = limpet.client();
    assert_eq!(client.get("/").status, 200);
    let status = client.post("/pay", b"x").status;
    assert!(matches!(status, 200 | 502), "{status}");
    let paid = target.requests().iter().filter(|request| request.target == "/pay").count();
    assert_eq!(paid, 1);
}

#[test]
fn a_target_that_ends_a_fresh_connection_without_a_response_is_not_asked_again() {
    let target = Target::scripted(|connection| connection.next_request().map(drop));
    let limpet = over(&[("a", &target)], &[]);
    assert_eq!(limpet.get("/").status, 502);
    assert_eq!(target.request_count(), 1);
}

#[test]
fn a_target_that_dies_with_an_idempotent_request_in_its_hands_is_replaced() {
    let cases = [("GET", 200), ("PROPFIND", 200), ("POST", 502), ("LOCK", 502), ("propfind", 502)];
    for (method, status) in cases {
        let dying = Target::scripted(|connection| connection.next_request().map(drop));
        let alive = Target::echo("b");
        let limpet = over(&[("a", &dying), ("b", &alive)], &[]);
        // Round robin meets the one that dies first.
        let mut client = limpet.client();
        client.send(format!("{method} / HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n\r\n"));
        assert_eq!(client.response_to(method).status, status, "{method}");
        assert_eq!(dying.request_count(), 1);
    }
}

#[test]
fn a_response_that_has_begun_is_never_retried() {
    let target = Target::scripted(|connection| {
        connection.next_request()?;
        connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")?;
        if connection.next_request()?.is_some() {
            connection.send(b"HTTP/1.1 200 OK\r\nConte")?;
        }
        Ok(())
    });
    let limpet = over(&[("a", &target)], &[]);
    let mut client = limpet.client();
    assert_eq!(client.get("/").text(), "ok");
    assert_eq!(client.get("/").status, 502);
    assert_eq!(target.request_count(), 2);
}

#[test]
fn a_stale_connection_with_content_that_is_gone_is_not_retried_with_less() {
    let target = Target::scripted(|connection| {
        if connection.next_request()?.is_some() {
            connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")?;
            if connection.next_head()?.is_some() {
                connection.read_exactly(300_000)?;
            }
        }
        Ok(())
    });
    let limpet = over(&[("a", &target)], &[]);
    let mut client = limpet.client();
    assert_eq!(client.get("/").text(), "ok");
    let content = vec![b'x'; 1_000_000];
    client.send("PUT /big HTTP/1.1\r\nHost: limpet.test\r\nContent-Length: 1000000\r\n\r\n");
    client.send(&content);
    // Whole or not at all: what was streamed away cannot be sent again.
    assert_eq!(client.response().status, 502);
    target.wait_until_idle();
    assert!(target.requests().iter().skip(1).all(|request| request.target == "/big"));
    assert_eq!(target.request_count(), 2);
}

const NO_BUDGET: [(&str, toml::Value); 2] = [
    ("retries.budget_percent", toml::Value::Integer(0)),
    ("retries.budget_minimum", toml::Value::Integer(0)),
];

#[test]
fn what_a_target_may_have_seen_is_retried_within_the_budget() {
    let target = stale();
    let limpet = over(&[("a", &target)], &NO_BUDGET);
    let mut client = limpet.client();
    assert_eq!(client.get("/").status, 200);
    assert_eq!(client.get("/").status, 502, "no budget, no retry");
}

#[test]
fn a_refused_connect_needs_no_budget() {
    let (down, up) = (Target::refusing("down"), Target::echo("up"));
    let limpet = over(&[("down", &down), ("up", &up)], &NO_BUDGET);
    let mut client = limpet.client();
    for _ in 0..4 {
        assert_eq!(client.get("/").status, 200);
    }
    let retries: f64 = limpet.access_log(4).iter().map(|record| record.retries()).sum();
    assert!(retries >= 1.0, "{retries} retries");
}
