//! Streams that a target does not take: those behind the last that its GOAWAY names, and those beyond its limit.

use std::collections::VecDeque;
use std::io;
use std::sync::{Mutex, mpsc};

use axum::http::Method;

use super::{app, before, clear};
use crate::support::http2::{GOAWAY, HEADERS, Http2, frame, play};
use crate::support::http2_by_hand::{self as by_hand, ByHand, data, fields};
use crate::support::http2_frames::{PING, get, post, request as ask};
use crate::support::http2_target::{Http2Options, Http2Target, Then, answer};
use crate::support::target::Connection;
use crate::support::wire::DEADLINE;
use crate::support::{config, poll};

const MAX_CONCURRENT_STREAMS: u16 = 3;

fn ok(stream: u32, content: &[u8]) -> Vec<u8> {
    [fields(stream, &[(":status", "200")], false), data(stream, content, true)].concat()
}

/// GOAWAY without an error, behind this stream.
fn goodbye(last: u32) -> Vec<u8> {
    frame(GOAWAY, 0, 0, &[last.to_be_bytes(), [0; 4]].concat())
}

#[test]
fn a_request_behind_the_last_of_a_goaway_is_sent_on_another_connection_whatever_its_method() {
    let requests = [
        ("GET / HTTP/1.1\r\nHost: limpet.test\r\n\r\n", None),
        ("POST / HTTP/1.1\r\nHost: limpet.test\r\nContent-Length: 0\r\n\r\n", None),
        ("POST / HTTP/1.1\r\nHost: limpet.test\r\nContent-Length: 5\r\n\r\nhello", Some("hello")),
    ];
    for (request, content) in requests {
        let target = by_hand::target(&[], |connection, request| match connection.index {
            // It stays open, as it may have other streams.
            0 => connection.send(&goodbye(0)),
            _ => connection.send(&ok(request.stream, b"another")),
        });
        let limpet = before(&target);
        let mut first = limpet.client();
        let response = first.send(request).response();
        assert_eq!((response.status, &*response.text()), (200, "another"), "{request}");
        assert_eq!(target.connection_count(), 2, "{request}");
        assert!(content.is_none_or(|content| target.received()[1].contains(content)));
        let record = limpet.record(1);
        assert_eq!((record.retries(), record.number("status")), (1.0, 200.0));
        assert_eq!(first.get("/").text(), "another");
        assert_eq!(target.connection_count(), 2, "{request}");
    }
}

#[test]
fn a_stream_of_a_client_is_sent_on_another_connection_as_well() {
    let content = data(1, b"hello", true);
    let requests: [(Vec<u8>, Option<&str>); 3] = [
        (ask(1, &get("/"), true), None),
        ([ask(1, &post("/"), false), data(1, b"", true)].concat(), None),
        // What came along with the head is still there.
        (
            [ask(1, &[&post("/")[..], &[("content-length", "5")]].concat(), false), content]
                .concat(),
            Some("hello"),
        ),
    ];
    for (request, content) in requests {
        let target = by_hand::target(&[], |connection, request| match connection.index {
            0 => connection.send(&goodbye(0)),
            _ => connection.send(&ok(request.stream, b"another")),
        });
        let limpet = before(&target);
        let mut second = ByHand::new(&limpet);
        second.send(&request);
        assert_eq!(second.response(1), (200, b"another".to_vec()), "{content:?}");
        assert_eq!(target.connection_count(), 2, "{content:?}");
        assert!(content.is_none_or(|content| target.received()[1].contains(content)));
    }
}

#[test]
fn streams_that_a_goaway_leaves_open_end_where_they_are() {
    let (told, tells) = mpsc::channel();
    let (go, gone) = mpsc::channel();
    let (told, go, gone) = (Mutex::new(told), Mutex::new(go), Mutex::new(gone));
    let target = by_hand::target(&[], move |connection, request| {
        if connection.index > 0 {
            connection.send(&ok(request.stream, b"second"))?;
            go.lock().unwrap().send(()).unwrap();
            return Ok(());
        }
        told.lock().unwrap().send(()).unwrap();
        let later = by_hand::received_of(connection, HEADERS)?;
        assert_eq!((request.stream, later.stream), (1, 3));
        connection.send(&goodbye(1))?;
        gone.lock().unwrap().recv_timeout(DEADLINE).expect("the later one is answered elsewhere");
        connection.send(&ok(1, b"first"))
    });
    let limpet = before(&target);
    let mut client = ByHand::new(&limpet);
    client.get("/");
    tells.recv_timeout(DEADLINE).expect("the first one is there");
    client.get("/");
    let mut contents = Vec::new();
    while contents.len() < 2 {
        let frame = client.any();
        if frame.ends() {
            contents.push((frame.stream, frame.payload));
        }
    }
    contents.sort();
    assert_eq!(contents, [(1, b"first".to_vec()), (3, b"second".to_vec())]);
    assert_eq!(target.connection_count(), 2);
}

/// Confirms that limpet has sent nothing else before it has answered; the streams that it had opened meanwhile.
fn opened_meanwhile(connection: &mut Connection) -> io::Result<Vec<u32>> {
    connection.send(&frame(PING, 0, 0, b"whatever"))?;
    let mut opened = Vec::new();
    loop {
        let frame = by_hand::received(connection)?;
        match frame.kind {
            HEADERS => opened.push(frame.stream),
            PING => return Ok(opened),
            _ => {}
        }
    }
}

#[test]
fn streams_beyond_the_limit_of_the_only_connection_wait_for_their_turn() {
    const REQUESTS: usize = 5;
    let (go, gone) = mpsc::channel::<()>();
    let gone = Mutex::new(gone);
    let target = by_hand::target(&[(MAX_CONCURRENT_STREAMS, 2)], move |connection, request| {
        if request.says("/before") {
            return connection.send(&ok(request.stream, b"before"));
        }
        gone.lock().unwrap().recv_timeout(DEADLINE).expect("limpet has all of them");
        let mut open = VecDeque::from([request.stream]);
        for left in (1..=REQUESTS).rev() {
            while open.len() < left.min(2) {
                open.push_back(by_hand::received_of(connection, HEADERS)?.stream);
            }
            assert_eq!(opened_meanwhile(connection)?, [0; 0], "beside {open:?}");
            let done = open.pop_front().unwrap();
            connection.send(&ok(done, b"in turn"))?;
        }
        Ok(())
    });
    let group = app().set("protocol_version", "http2").set("pool.connections_max", 1);
    let limpet = config().listener(clear("web")).group(group.target("a", &target)).start();
    let mut client = ByHand::new(&limpet);
    // Behind the settings.
    assert_eq!(client.status("/before"), 200);
    for _ in 0..REQUESTS {
        client.get("/");
    }
    client.settle();
    go.send(()).unwrap();
    let mut answered = 0;
    while answered < REQUESTS {
        let frame = client.any();
        match frame.kind {
            HEADERS => assert_eq!(frame.status(), 200),
            _ => answered += usize::from(frame.ends()),
        }
    }
    assert_eq!(target.connection_count(), 1);
}

#[test]
fn a_stream_beyond_the_limit_of_a_connection_opens_another() {
    let options = Http2Options { streams: 2, ..Http2Options::default() };
    let target = Http2Target::start_with(options, |seen| match seen.path.as_str() {
        "/held" => Then::Nothing,
        _ => answer(200, "a"),
    });
    let group = app().set("protocol_version", "http2").target_at("a", &target.address(), "");
    let limpet = config().listener(clear("web")).group(group).start();
    play(async {
        let client = Http2::connect(limpet.address()).await;
        // Behind the settings.
        assert_eq!(client.get("/", &[]).await.status, 200);
        let mut held = Vec::new();
        for count in 1..=3 {
            held.push(client.begin(Method::POST, "/held", &[], true).await);
            assert!(poll(|| (target.requests().len() == 1 + count).then_some(())).is_some());
        }
        assert_eq!(client.get("/", &[]).await.status, 200);
        assert_eq!(limpet.get("/").status, 200);
        let connections: Vec<usize> =
            target.requests().iter().map(|request| request.connection).collect();
        assert_eq!(connections, [0, 0, 0, 1, 1, 1]);
    });
}
