//! Targets that break the rules of HTTP/2: no client of either version takes for whole what is not.

use std::sync::{Arc, Mutex, mpsc};

use super::{app, before, clear};
use crate::support::http2::{
    DATA, END_HEADERS, GOAWAY, HEADERS, Http2, RST_STREAM, block, frame, play,
};
use crate::support::http2_by_hand::{self as by_hand, ByHand, PUSH_PROMISE, data, fields};
use crate::support::wire::DEADLINE;
use crate::support::{Limpet, Target, config};

const OK: (&str, &str) = (":status", "200");
const PROTOCOL_ERROR: u32 = 1;
const INTERNAL_ERROR: u32 = 2;

type Lines = &'static [(&'static str, &'static str)];

/// Frames on a stream.
type Frames = fn(u32) -> Vec<u8>;

fn good(stream: u32) -> Vec<u8> {
    [fields(stream, &[OK, ("content-length", "4")], false), data(stream, b"good", true)].concat()
}

fn push(stream: u32) -> Vec<u8> {
    let request =
        [(":method", "GET"), (":scheme", "http"), (":path", "/pushed"), (":authority", "a")];
    let promise = [&2_u32.to_be_bytes()[..], &block(&request)].concat();
    frame(PUSH_PROMISE, END_HEADERS, stream, &promise)
}

#[track_caller]
fn assert_logged(limpet: &Limpet, path: &str, code: &str) {
    for version in ["HTTP/1.1", "HTTP/2.0"] {
        let record = limpet.record_where(path, |record| {
            record.text("path") == path && record.text("version") == version
        });
        assert_eq!(record.text("code"), code, "{path} to {version}");
    }
}

/// What is no response, in one piece: path, code, frames.
const NO_RESPONSES: [(&str, &str, Frames); 15] = [
    ("/switches", "response_switching_protocols", |stream| {
        fields(stream, &[(":status", "101")], false)
    }),
    ("/switched", "response_head_missing", |stream| {
        fields(stream, &[(":status", "101"), ("upgrade", "websocket")], true)
    }),
    ("/shorter", "response_content_length_mismatch", |stream| {
        let head = fields(stream, &[OK, ("content-length", "5")], false);
        [head, data(stream, b"1234", true)].concat()
    }),
    ("/longer", "response_content_length_mismatch", |stream| {
        let head = fields(stream, &[OK, ("content-length", "5")], false);
        [head, data(stream, b"123456", true)].concat()
    }),
    ("/longer-so-far", "response_content_length_mismatch", |stream| {
        let head = fields(stream, &[OK, ("content-length", "5")], false);
        [head, data(stream, b"123456", false)].concat()
    }),
    ("/nothing-of-five", "response_content_length_mismatch", |stream| {
        fields(stream, &[OK, ("content-length", "5")], true)
    }),
    ("/two-lengths", "response_content_length_repeated", |stream| {
        let head = fields(stream, &[OK, ("content-length", "5"), ("content-length", "6")], false);
        [head, data(stream, b"12345", true)].concat()
    }),
    ("/content-of-204", "response_content_length_mismatch", |stream| {
        let head = fields(stream, &[(":status", "204")], false);
        [head, data(stream, b"12345", true)].concat()
    }),
    ("/interim-alone", "response_head_missing", |stream| {
        fields(stream, &[(":status", "103")], true)
    }),
    ("/no-head", "response_head_missing", |stream| data(stream, b"12345", true)),
    ("/no-status", "response_pseudo_field", |stream| fields(stream, &[("x", "y")], true)),
    ("/two-statuses", "response_pseudo_field", |stream| fields(stream, &[OK, OK], true)),
    ("/late-status", "response_pseudo_field", |stream| fields(stream, &[("x", "y"), OK], true)),
    ("/of-requests", "response_pseudo_field", |stream| fields(stream, &[OK, (":path", "/")], true)),
    ("/upper", "response_bad_field_name", |stream| fields(stream, &[OK, ("Upper", "y")], true)),
];

#[test]
fn what_is_no_response_is_a_502_to_clients_of_either_version() {
    let target = by_hand::target(&[], |connection, request| {
        let case = NO_RESPONSES.iter().find(|(path, ..)| request.says(&format!("{path}?")));
        connection.send(&case.map_or(good as Frames, |(_, _, frames)| *frames)(request.stream))
    });
    let limpet = before(&target);
    let mut second = ByHand::new(&limpet);
    for (path, code, _) in NO_RESPONSES {
        let path = format!("{path}?");
        assert_eq!(limpet.get(&path).status, 502, "{path}");
        assert_eq!(second.status(&path), 502, "{path}");
        assert_logged(&limpet, &path, code);
        // The stream's fault is neither that of the client's connection nor of the target's.
        assert_eq!(second.status("/good"), 200, "behind {path}");
    }
    assert_eq!(target.connection_count(), 1);
}

/// What ends badly when the client has half of it: path, further fields of its head, code, frames.
const BAD_ENDS: [(&str, Lines, &str, Frames); 11] = [
    ("/shorter", &[("content-length", "10")], "content_length_wrong", |stream| {
        data(stream, b"6789", true)
    }),
    ("/longer", &[("content-length", "10")], "content_length_wrong", |stream| {
        data(stream, b"678901", true)
    }),
    ("/trailers-too-soon", &[("content-length", "10")], "content_length_wrong", |stream| {
        fields(stream, &[("x-sum", "1")], true)
    }),
    ("/no-end", &[], "trailer_invalid", |stream| fields(stream, &[("x-sum", "1")], false)),
    ("/no-end-but-data", &[], "trailer_invalid", |stream| {
        [fields(stream, &[("x-sum", "1")], false), data(stream, b"67890", true)].concat()
    }),
    ("/pseudo", &[], "trailer_invalid", |stream| fields(stream, &[OK], true)),
    ("/late-pseudo", &[], "trailer_invalid", |stream| {
        fields(stream, &[("x-sum", "1"), (":path", "/")], true)
    }),
    ("/upper", &[], "trailer_invalid", |stream| fields(stream, &[("X-Sum", "1")], true)),
    ("/of-connections", &[], "trailer_forbidden", |stream| {
        fields(stream, &[("connection", "close")], true)
    }),
    ("/framing", &[], "trailer_forbidden", |stream| {
        fields(stream, &[("transfer-encoding", "chunked")], true)
    }),
    ("/pushes", &[("content-length", "10")], "target_content_reset", push),
];

/// A target whose responses end badly as soon as the test says so.
fn ending_badly() -> (Target, mpsc::Sender<()>) {
    let (go, gone) = mpsc::channel();
    let gone = Mutex::new(gone);
    let target = by_hand::target(&[], move |connection, request| {
        let stream = request.stream;
        let case = BAD_ENDS.iter().find(|(path, ..)| request.says(&format!("{path}?")));
        let Some((_, more, _, end)) = case else { return connection.send(&good(stream)) };
        connection.send(&fields(stream, &[&[OK], *more].concat(), false))?;
        connection.send(&data(stream, b"12345", false))?;
        gone.lock().unwrap().recv_timeout(DEADLINE).expect("the client has half of it");
        connection.send(&end(stream))
    });
    (target, go)
}

#[test]
fn a_response_that_ends_badly_is_reset_for_a_client_of_http_2() {
    let (target, go) = ending_badly();
    let limpet = before(&target);
    let mut second = ByHand::new(&limpet);
    for (path, ..) in BAD_ENDS {
        let stream = second.get(&format!("{path}?"));
        let head = second.next(stream);
        assert_eq!((head.kind, head.status(), head.ends()), (HEADERS, 200, false), "{path}");
        let half = second.next(stream);
        assert_eq!((half.payload.as_slice(), half.ends()), (&b"12345"[..], false), "{path}");
        go.send(()).unwrap();
        let mut last = second.next(stream);
        while last.kind == DATA && !last.ends() {
            last = second.next(stream);
        }
        assert_eq!(last.kind, RST_STREAM, "{path}: {last:?}");
        assert_eq!(last.code(), INTERNAL_ERROR, "{path}");
        assert_eq!(second.status("/good"), 200, "behind {path}");
    }
}

#[test]
fn a_response_that_ends_badly_is_cut_off_for_a_client_of_http_1() {
    let (target, go) = ending_badly();
    let limpet = before(&target);
    for (path, more, code, _) in BAD_ENDS {
        let path = format!("{path}?");
        let mut client = limpet.client();
        client.send(format!("GET {path} HTTP/1.1\r\nHost: limpet.test\r\n\r\n"));
        assert_eq!(client.response_head().status, 200);
        if more.is_empty() {
            assert_eq!(client.wire.read_chunk().unwrap().1, b"12345", "{path}");
        } else {
            assert_eq!(client.wire.read_exactly(5).unwrap(), b"12345", "{path}");
        }
        go.send(()).unwrap();
        let rest = client.read_rest();
        // Neither is the last chunk among it, nor is it as long as was said.
        assert!(!rest.ends_with(b"0\r\n\r\n") && rest.len() < 5, "{path}: {rest:?}");
        let record = limpet.record_where(&path, |record| record.text("path") == path);
        assert_eq!(record.text("code"), code, "{path}");
    }
}

#[test]
fn a_push_ends_the_targets_connection_and_what_it_came_with_fails() {
    let words = Arc::new(Mutex::new(Vec::new()));
    let heard = Arc::clone(&words);
    let target = by_hand::target(&[], move |connection, request| {
        if !request.says("/push") {
            return connection.send(&good(request.stream));
        }
        connection.send(&push(request.stream))?;
        let word = by_hand::received_of(connection, GOAWAY)?;
        heard.lock().unwrap().push(word.goodbye().1);
        connection.read_to_end().map(drop)
    });
    let limpet = before(&target);
    let mut second = ByHand::new(&limpet);
    for _ in 0..2 {
        assert_eq!(limpet.get("/push").status, 502);
        assert_eq!(limpet.get("/good").status, 200);
        assert_eq!(second.status("/push"), 502);
        assert_eq!(second.status("/good"), 200);
    }
    target.wait_for_open(1);
    let words = words.lock().unwrap();
    assert!(words.len() >= 4 && words.iter().all(|code| *code == PROTOCOL_ERROR), "{words:?}");
}

#[test]
fn what_a_push_came_with_is_asked_of_another_target() {
    let pushes = by_hand::target(&[], |connection, request| connection.send(&push(request.stream)));
    let answers =
        by_hand::target(&[], |connection, request| connection.send(&good(request.stream)));
    let app = app().set("protocol_version", "http2").target("a", &pushes).target("b", &answers);
    let limpet = config().listener(clear("web")).group(app).start();
    let mut second = ByHand::new(&limpet);
    for _ in 0..4 {
        assert_eq!(limpet.get("/").text(), "good");
        assert_eq!(second.status("/"), 200);
    }
    assert!(pushes.connection_count() > 0);
}

#[test]
fn fields_of_a_connection_are_left_out_of_a_response() {
    const LEFT_OUT: [(&str, &str); 5] = [
        ("connection", "keep-alive"),
        ("keep-alive", "timeout=5"),
        ("proxy-connection", "keep-alive"),
        ("transfer-encoding", "chunked"),
        ("upgrade", "websocket"),
    ];
    let target = by_hand::target(&[], |connection, request| {
        let stream = request.stream;
        let more = [("content-length", "2"), ("x-own", "1")];
        connection.send(&fields(stream, &[&[OK], &LEFT_OUT[..], &more].concat(), false))?;
        connection.send(&data(stream, b"ok", true))
    });
    let limpet = before(&target);
    let mut first = limpet.client();
    for _ in 0..2 {
        let response = first.get("/");
        assert_eq!((response.field("x-own"), &*response.text()), (Some("1"), "ok"));
        assert_eq!(response.field("content-length"), Some("2"));
        assert!(LEFT_OUT.iter().all(|(name, _)| !response.fields.has(name)), "{}", response.head);
    }
    play(async {
        // It refuses a response that has any of them.
        let second = Http2::connect(limpet.address()).await;
        let answered = second.get("/", &[]).await;
        assert_eq!((answered.field("x-own"), &answered.content[..]), ("1", &b"ok"[..]));
        assert!(LEFT_OUT.iter().all(|(name, _)| answered.fields.get(*name).is_none()));
    });
}
