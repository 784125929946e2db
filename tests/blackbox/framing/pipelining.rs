//! Pipelined requests are answered in order, each with its own response. RFC 9112 §9.3.2.

use std::fmt::Write as _;

use crate::support::{Target, config, group, listener};

#[test]
fn pipelined_requests_are_answered_in_order() {
    let target = Target::echo("a");
    let limpet = config().serving(&target).start();
    let mut client = limpet.client();
    let mut all = String::new();
    for i in 0..50 {
        write!(all, "GET /{i} HTTP/1.1\r\nHost: limpet.test\r\n\r\n").unwrap();
    }
    client.send(&all);
    for i in 0..50 {
        assert_eq!(client.response().echo().path, format!("/{i}"));
    }
}

#[test]
fn pipelined_requests_with_content_keep_their_own() {
    let target = Target::echo("a");
    let limpet = config().serving(&target).start();
    let mut client = limpet.client();
    let one = "POST /1 HTTP/1.1\r\nHost: limpet.test\r\nContent-Length: 3\r\n\r\none";
    let two = "POST /2 HTTP/1.1\r\nHost: limpet.test\r\nTransfer-Encoding: chunked\r\n\r\n3\r\ntwo\r\n0\r\n\r\n";
    let three = "GET /3 HTTP/1.1\r\nHost: limpet.test\r\n\r\n";
    let all = format!("{one}{two}{three}{two}{one}");
    let expected = [("/1", "one"), ("/2", "two"), ("/3", ""), ("/2", "two"), ("/1", "one")];
    let whole: [usize; 0] = [];
    for splits in [&whole[..], &[10, 80, 150], &[70, 71, 72, 73]] {
        client.send_split(&all, splits);
        for (path, content) in expected {
            let echo = client.response().echo();
            assert_eq!((&*echo.path, &*echo.content), (path, content));
        }
    }
}

#[test]
fn limpets_own_answers_keep_their_place_among_pipelined_responses() {
    let target = Target::echo("a");
    let limpet = config()
        .group(group("app").target("a", &target))
        .listener(
            listener("web")
                .rule("priority = 1\nwhen.path = [\"/ping\"]\nrespond = { body = \"pong\" }"),
        )
        .start();
    let mut client = limpet.client();
    let get = |path: &str| format!("GET {path} HTTP/1.1\r\nHost: limpet.test\r\n\r\n");
    client.send([get("/1"), get("/ping"), get("/2"), get("/ping")].concat());
    assert_eq!(client.response().echo().path, "/1");
    assert_eq!(client.response().text(), "pong");
    assert_eq!(client.response().echo().path, "/2");
    assert_eq!(client.response().text(), "pong");
}

#[test]
fn requests_behind_a_close_are_not_answered() {
    let target = Target::echo("a");
    let limpet = config().serving(&target).start();
    let mut client = limpet.client();
    client.send(
        "GET /1 HTTP/1.1\r\nHost: limpet.test\r\nConnection: close\r\n\r\nGET /2 HTTP/1.1\r\nHost: limpet.test\r\n\r\n",
    );
    assert_eq!(client.response().echo().path, "/1");
    client.assert_closed();
    assert_eq!(target.request_count(), 1);
}
