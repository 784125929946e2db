//! Interim heads between either version on both sides: each as soon as it comes, and no more than anybody needs.

use std::sync::{Mutex, mpsc};

use super::{app, before, clear};
use crate::support::http2::{DATA, RST_STREAM};
use crate::support::http2_by_hand::{self as by_hand, ByHand, data, fields};
use crate::support::wire::DEADLINE;
use crate::support::{Client, Limpet, Target, config};

const HINTS: [(&str, &str); 2] = [(":status", "103"), ("link", "</a.css>")];
const CONTINUE: (&str, &str) = (":status", "100");
const OK: (&str, &str) = (":status", "200");

/// Most interim heads at once, and more than that.
const HEADS_MAX: usize = 100;
const TOO_MANY: usize = 120;

#[test]
fn early_hints_reach_clients_of_either_version_before_the_response_is_there() {
    let (go, gone) = mpsc::channel::<()>();
    let gone = Mutex::new(gone);
    let target = by_hand::target(&[], move |connection, request| {
        let stream = request.stream;
        for _ in 0..2 {
            connection.send(&fields(stream, &HINTS, false))?;
            gone.lock().unwrap().recv_timeout(DEADLINE).expect("the client has seen it");
        }
        connection.send(&fields(stream, &[OK, ("content-length", "2")], false))?;
        connection.send(&data(stream, b"ok", true))
    });
    let limpet = before(&target);
    let mut first = limpet.client();
    let mut second = ByHand::new(&limpet);
    for _ in 0..2 {
        first.send("GET / HTTP/1.1\r\nHost: limpet.test\r\n\r\n");
        for _ in 0..2 {
            let hints = first.response();
            assert_eq!((hints.status, hints.field("link")), (103, Some("</a.css>")));
            go.send(()).unwrap();
        }
        let response = first.response();
        assert_eq!((response.status, &*response.text()), (200, "ok"));

        let stream = second.get("/");
        for _ in 0..2 {
            let hints = second.head(stream);
            assert_eq!((hints.status(), hints.ends()), (103, false));
            assert!(hints.says("</a.css>"), "{hints:?}");
            go.send(()).unwrap();
        }
        assert_eq!(second.response(stream), (200, b"ok".to_vec()));
    }
    assert_eq!(limpet.record(1).number("status"), 200.0);
}

#[test]
fn a_client_of_http_1_0_gets_no_interim_head_of_a_target_of_http_2() {
    let target = by_hand::target(&[], |connection, request| {
        let head = fields(request.stream, &[OK, ("content-length", "2")], false);
        connection.send(&fields(request.stream, &HINTS, false))?;
        connection.send(&[head, data(request.stream, b"ok", true)].concat())
    });
    let limpet = before(&target);
    let mut client = limpet.client();
    let response = client.send("GET / HTTP/1.0\r\nHost: limpet.test\r\n\r\n").response();
    assert_eq!((response.status, &*response.text()), (200, "ok"));
}

/// A target of HTTP/2 that says 100, and sends the content back that comes then.
fn continuing() -> Target {
    by_hand::target(&[], |connection, request| {
        let stream = request.stream;
        assert!(request.says("100-continue") && !request.ends(), "{request:?}");
        connection.send(&fields(stream, &[CONTINUE], false))?;
        let mut content = Vec::new();
        loop {
            let frame = by_hand::received_of(connection, DATA)?;
            content.extend_from_slice(&frame.payload);
            if frame.ends() {
                break;
            }
        }
        connection.send(&fields(stream, &[OK], false))?;
        connection.send(&data(stream, &content, true))
    })
}

/// The content follows the 100, which nobody but the target says.
fn assert_continued(limpet: &Limpet) {
    let mut client = ByHand::new(limpet);
    for length in [&[][..], &[("content-length", "5")]] {
        let stream = client.post("/", &[&[("expect", "100-continue")], length].concat());
        let head = client.head(stream);
        assert_eq!((head.status(), head.ends()), (100, false));
        client.send(data(stream, b"he", false));
        client.send(data(stream, b"llo", true));
        assert_eq!(client.response(stream), (200, b"hello".to_vec()));
    }
}

#[test]
fn a_client_of_http_2_hears_continue_of_a_target_of_http_2_before_it_sends_content() {
    let target = continuing();
    assert_continued(&before(&target));
    assert_eq!(target.connection_count(), 1);
}

#[test]
fn a_client_of_http_2_hears_continue_of_a_target_of_http_1_before_it_sends_content() {
    let target = Target::scripted(|connection| {
        while let Some(mut request) = connection.next_head()? {
            assert_eq!(request.fields.one("expect"), Some("100-continue"));
            connection.send(b"HTTP/1.1 100 Continue\r\n\r\n")?;
            connection.read_request_content(&mut request)?;
            let length = request.content.len();
            let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n");
            connection.send(&[head.as_bytes(), &request.content].concat())?;
        }
        Ok(())
    });
    let limpet = config().listener(clear("web")).group(app().target("a", &target)).start();
    assert_continued(&limpet);
}

#[test]
fn a_client_of_http_1_hears_continue_of_a_target_of_http_2_before_it_sends_content() {
    let target = continuing();
    let limpet = before(&target);
    let mut client = limpet.client();
    for (framing, content) in [
        ("Content-Length: 5", "hello"),
        ("Transfer-Encoding: chunked", "2\r\nhe\r\n3\r\nllo\r\n0\r\n\r\n"),
    ] {
        client.send(format!(
            "POST / HTTP/1.1\r\nHost: limpet.test\r\nExpect: 100-continue\r\n{framing}\r\n\r\n"
        ));
        assert_eq!(client.response().status, 100);
        let response = client.send(content).response();
        assert_eq!((response.status, &*response.text()), (200, "hello"));
    }
    assert_eq!(target.connection_count(), 1);
}

#[test]
fn a_final_response_in_place_of_continue_is_delivered_and_the_content_is_not_waited_for() {
    let target = by_hand::target(&[], |connection, request| {
        let head = fields(request.stream, &[(":status", "401")], false);
        connection.send(&[head, data(request.stream, b"no", true)].concat())
    });
    let limpet = before(&target);
    let expect = ("expect", "100-continue");
    let mut second = ByHand::new(&limpet);
    for _ in 0..2 {
        let stream = second.post("/", &[expect, ("content-length", "5")]);
        assert_eq!(second.response(stream), (401, b"no".to_vec()));
        let last = second.next(stream);
        assert_eq!((last.kind, last.code()), (RST_STREAM, 0));
    }
    let mut first = limpet.client();
    first.send(
        "POST / HTTP/1.1\r\nHost: limpet.test\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n",
    );
    let response = first.response();
    assert_eq!((response.status, &*response.text()), (401, "no"));
    first.assert_closed();
}

/// How many interim heads come before the final one, and its status.
fn interim_heads(client: &mut Client) -> (usize, u16) {
    client.send("GET /many HTTP/1.1\r\nHost: limpet.test\r\n\r\n");
    for count in 0.. {
        let response = client.response();
        if response.status >= 200 {
            return (count, response.status);
        }
    }
    unreachable!("a final response")
}

#[test]
fn more_interim_heads_than_anybody_needs_are_a_502() {
    // Those that come together, before anybody has taken one, and those that come one by one.
    for at_a_time in [TOO_MANY, 1] {
        let target = by_hand::target(&[], move |connection, request| {
            let stream = request.stream;
            if !request.says("/many") {
                return connection.send(&fields(stream, &[OK], true));
            }
            for _ in 0..TOO_MANY / at_a_time {
                connection.send(&fields(stream, &HINTS, false).repeat(at_a_time))?;
            }
            connection.send(&fields(stream, &[OK], true))
        });
        let limpet = before(&target);
        let mut first = limpet.client();
        let (count, status) = interim_heads(&mut first);
        assert!(status == 502 && count <= HEADS_MAX + 1, "{status} behind {count}");

        let mut second = ByHand::new(&limpet);
        let stream = second.get("/many");
        let mut count = 0;
        let mut head = second.head(stream);
        while head.status() == 103 {
            count += 1;
            head = second.head(stream);
        }
        assert!(head.status() == 502 && count <= HEADS_MAX + 1, "{head:?} behind {count}");
        while !second.next(stream).ends() {}
        for record in limpet.access_log(2) {
            assert_eq!(record.text("code"), "response_too_many_interim");
        }
        // It is the fault of a stream.
        assert_eq!(second.status("/good"), 200);
        assert_eq!(limpet.get("/good").status, 200);
        assert_eq!(target.connection_count(), 1);
    }
}

#[test]
fn a_response_behind_as_many_interim_heads_as_are_allowed_is_delivered() {
    let target = by_hand::target(&[], |connection, request| {
        let stream = request.stream;
        connection.send(&fields(stream, &HINTS, false).repeat(HEADS_MAX - 1))?;
        connection.send(&fields(stream, &[OK], true))
    });
    let limpet = before(&target);
    assert_eq!(interim_heads(&mut limpet.client()), (HEADS_MAX - 1, 200));
    let mut second = ByHand::new(&limpet);
    let stream = second.get("/");
    for _ in 0..HEADS_MAX - 1 {
        assert_eq!(second.head(stream).status(), 103);
    }
    assert_eq!(second.response(stream), (200, Vec::new()));
}
