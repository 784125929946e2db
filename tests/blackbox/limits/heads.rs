//! Heads and contents that are too large.

use super::with;
use crate::support::{Framing, Target, config, group};

/// The status for a raw request; the connection must close behind a refusal.
#[track_caller]
fn status(limpet: &crate::support::Limpet, request: &str) -> u16 {
    let mut client = limpet.client();
    let status = client.send(request).response().status;
    if status >= 400 {
        client.assert_closed();
    }
    status
}

#[test]
fn a_request_line_over_its_limit_is_a_414() {
    let (limpet, target) = with(&[("limits.request_line", "1KiB".into())]);
    let get = |length: usize| {
        let path = "x".repeat(length - "GET / HTTP/1.1".len());
        format!("GET /{path} HTTP/1.1\r\nHost: limpet.test\r\n\r\n")
    };
    assert_eq!(status(&limpet, &get(1000)), 200);
    assert_eq!(status(&limpet, &get(1100)), 414);
    assert_eq!(status(&limpet, &get(100_000)), 414);
    assert_eq!(target.request_count(), 1);
}

#[test]
fn a_request_line_without_end_is_a_414() {
    let (limpet, target) = with(&[("limits.request_line", "1KiB".into())]);
    assert_eq!(status(&limpet, &format!("GET /{}", "x".repeat(5000))), 414);
    assert_eq!(target.connection_count(), 0);
}

#[test]
fn a_method_that_is_far_too_long_is_a_501() {
    let (limpet, target) = with(&[]);
    for bytes in [100, 5000, 100_000] {
        let request = format!("{} / HTTP/1.1\r\nHost: limpet.test\r\n\r\n", "M".repeat(bytes));
        assert_eq!(status(&limpet, &request), 501, "{bytes} bytes");
    }
    assert_eq!(target.connection_count(), 0);
}

#[test]
fn a_field_line_over_its_limit_is_a_431() {
    let (limpet, target) = with(&[("limits.field_line", "1KiB".into())]);
    let get = |length: usize| {
        format!("GET / HTTP/1.1\r\nHost: limpet.test\r\nX: {}\r\n\r\n", "y".repeat(length - 3))
    };
    assert_eq!(status(&limpet, &get(1000)), 200);
    assert_eq!(status(&limpet, &get(1100)), 431);
    assert_eq!(target.request_count(), 1);
}

#[test]
fn a_head_over_its_limit_is_a_431() {
    let (limpet, target) =
        with(&[("limits.head", "4KiB".into()), ("limits.field_line", "2KiB".into())]);
    let get = |count: usize| {
        let lines = format!("X: {}\r\n", "y".repeat(95)).repeat(count);
        format!("GET / HTTP/1.1\r\nHost: limpet.test\r\n{lines}\r\n")
    };
    assert_eq!(status(&limpet, &get(35)), 200);
    assert_eq!(status(&limpet, &get(60)), 431);
    assert_eq!(target.request_count(), 1);
}

#[test]
fn too_many_field_lines_are_a_431() {
    let (limpet, target) = with(&[("limits.fields", 10.into())]);
    let get = |count: usize| {
        format!("GET / HTTP/1.1\r\nHost: limpet.test\r\n{}\r\n", "X: y\r\n".repeat(count - 1))
    };
    assert_eq!(status(&limpet, &get(10)), 200);
    assert_eq!(status(&limpet, &get(11)), 431);
    assert_eq!(target.request_count(), 1);
}

#[test]
fn the_default_limits_hold() {
    let (limpet, _target) = with(&[]);
    let line = |length: usize| {
        format!("GET /{} HTTP/1.1\r\nHost: limpet.test\r\n\r\n", "x".repeat(length))
    };
    assert_eq!(status(&limpet, &line(16_000)), 200);
    assert_eq!(status(&limpet, &line(17_000)), 414);
    let fields = |count: usize| {
        format!("GET / HTTP/1.1\r\nHost: limpet.test\r\n{}\r\n", "X: y\r\n".repeat(count - 1))
    };
    assert_eq!(status(&limpet, &fields(128)), 200);
    assert_eq!(status(&limpet, &fields(129)), 431);
    let head = |count: usize| {
        let lines = format!("X: {}\r\n", "y".repeat(8_000)).repeat(count);
        format!("GET / HTTP/1.1\r\nHost: limpet.test\r\n{lines}\r\n")
    };
    assert_eq!(status(&limpet, &head(7)), 200);
    assert_eq!(status(&limpet, &head(9)), 431);
}

#[test]
fn announced_content_over_its_limit_is_a_413_before_anything_is_forwarded() {
    let (limpet, target) = with(&[("limits.content", "1KiB".into())]);
    let post = |length: usize| {
        format!("POST / HTTP/1.1\r\nHost: limpet.test\r\nContent-Length: {length}\r\n\r\n")
    };
    let fits = post(1024) + &"x".repeat(1024);
    assert_eq!(limpet.client().send(fits).response().status, 200);
    assert_eq!(status(&limpet, &post(1025)), 413);
    assert_eq!(target.request_count(), 1);
}

#[test]
fn chunked_content_over_its_limit_is_a_413_and_never_whole_at_the_target() {
    let (limpet, target) = with(&[("limits.content", "1KiB".into())]);
    let piece = format!("200\r\n{}\r\n", "x".repeat(512));
    let post = |count: usize| {
        let head = "POST / HTTP/1.1\r\nHost: limpet.test\r\nTransfer-Encoding: chunked\r\n\r\n";
        format!("{head}{}0\r\n\r\n", piece.repeat(count))
    };
    assert_eq!(limpet.client().send(post(2)).response().status, 200);
    let mut client = limpet.client();
    assert_eq!(client.send(post(3)).response().status, 413);
    client.assert_closed();
    assert_eq!(target.request_count(), 1);
}

#[test]
fn a_response_head_over_its_limit_is_a_502() {
    let target = Target::answering(|request| {
        let value = "y".repeat(request.target[1..].parse().unwrap_or(0));
        format!("HTTP/1.1 200 OK\r\nX: {value}\r\nContent-Length: 2\r\n\r\nok").into_bytes()
    });
    let app = group("app").set("limits.response_head", "4KiB").target("a", &target);
    let limpet = config().group(app).start();
    assert_eq!(limpet.get("/3000").status, 200);
    assert_eq!(limpet.get("/5000").status, 502);
    assert_eq!(limpet.get("/3000").status, 200);
}

#[test]
fn a_limit_on_content_is_no_limit_on_responses() {
    let target = Target::answering(|_| {
        format!("HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n{}", "x".repeat(100_000)).into()
    });
    let web = crate::support::listener("web").set("limits.content", "1KiB");
    let limpet = config().listener(web).group(group("app").target("a", &target)).start();
    let response = limpet.get("/");
    assert_eq!((response.framing, response.content.len()), (Framing::Length, 100_000));
}
