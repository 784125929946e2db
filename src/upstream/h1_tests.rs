//! The bytes that a target of HTTP/1 is sent, when its connection may be leased again, and drafts of either version.

use std::future::poll_fn;
use std::time::Duration;

use super::*;
use crate::exchange::content::Along;
use crate::exchange::target::{Draft as _, Handle as _, Lease as _, Receiving as _};
use crate::http::edits::{RequestEdits, Wire};
use crate::http::fields::Fields;
use crate::http::head::{HeadLimits, Method};
use crate::http1::head::{Parsed, parse_request};
use crate::time::alarms::Alarms;
use crate::time::clock::Clock;
use crate::time::timers::{Timer, Timers};
use crate::uring::simulated::{self, Knobs};
use crate::uring::{Presence, Socket};
use std::rc::Rc;

const LIMITS: HeadLimits = HeadLimits {
    request_line_bytes: 8192,
    field_line_bytes: 8192,
    head_bytes: 8192,
    field_count: 100,
};
const IDLE: Duration = Duration::from_secs(5);

/// Runs `main` with a lease and the target's end of its connection.
fn play(room_bytes: usize, main: impl AsyncFnOnce(&mut Lease, &Socket, &Timers<'_>)) {
    let knobs = Knobs { room_bytes, ..Knobs::default() };
    simulated::run(0, knobs, async {
        let (near, far) = simulated::pair();
        let alarms = Rc::new(Alarms::default());
        let (alarm, clock) = (alarms.alarm(), Clock::start());
        let mut lease = Lease::new(TargetConnection::new(Stream::plain(near), ConnectionId::PLAIN));
        main(&mut lease, &far, &Timers::new(&alarm, &clock)).await;
        lease.close();
    });
}

/// Writes a request's head into a draft for targets of HTTP/1.1.
fn write(draft: &mut Draft, text: &str) {
    write_for(Wire::Http1, draft, text);
}

fn write_for(wire: Wire, draft: &mut Draft, text: &str) {
    let mut fields = Fields::new();
    let head = match parse_request(text.as_bytes(), &LIMITS, Default::default(), &mut fields) {
        Ok(Parsed::Complete(head)) => head,
        Ok(Parsed::Partial) | Err(_) => panic!("no head: {text:?}"),
    };
    let edits = RequestEdits {
        wire,
        forwarded_for: crate::http::edits::ForwardedFor::Remove,
        forwarded_for_entries: 1,
        peer: b"192.0.2.1",
        peer_trusted: false,
        scheme: b"http",
        front_scheme: b"http",
        front_port: b"",
        keep_real_ip: false,
        real_ip: None,
        forwarded: false,
        via: None,
        request_id: None,
        path: None,
        host: None,
        strip_cookies: &[],
        session_field: crate::http::edits::Replaced::NONE,
        websocket_key: None,
        upgrade: None,
        max_forwards: None,
    };
    draft.write(&head, &edits);
}

fn draft(text: &str) -> Draft {
    let mut draft = Draft::default();
    write(&mut draft, text);
    draft
}

/// Everything that has arrived at the target.
async fn arrived(far: &Socket) -> String {
    simulated::wait(Duration::from_millis(1)).await;
    let mut all = Vec::new();
    while far.is_readable() {
        let (result, buffer) = far.recv(Vec::with_capacity(4096)).await;
        if result.unwrap() == 0 {
            break;
        }
        all.extend_from_slice(&buffer);
        simulated::wait(Duration::from_millis(1)).await;
    }
    String::from_utf8(all).unwrap()
}

/// The content behind a head.
fn content(text: &str) -> &str {
    text.split_once("\r\n\r\n").expect("a head").1
}

async fn sent(lease: &mut Lease, draft: Option<&mut Draft>) -> Result<(), SendFault> {
    let mut draft = draft;
    poll_fn(|cx| lease.parts().0.poll_sent(cx, draft.as_deref_mut())).await
}

/// Has the target answer whole; returns whether the connection may be leased again.
async fn answered(lease: &mut Lease, far: &Socket) -> bool {
    let (result, _) = far.send(b"HTTP/1.1 204 N\r\n\r\n".to_vec(), 0, true).await;
    result.unwrap();
    let response = lease.parts().1;
    poll_fn(|cx| response.poll_head(cx)).await.unwrap();
    assert_eq!(response.head(Method::Get, &LIMITS, |head| head.status), Ok(Some(204)));
    response.along().unwrap();
    lease.renew().is_some()
}

fn piece(text: &str) -> Piece {
    let mut buffer = vec![0; crate::exchange::content::ROOM];
    buffer.extend_from_slice(text.as_bytes());
    Piece { buffer, from: crate::exchange::content::ROOM }
}

const GET: &str = "GET / HTTP/1.1\r\nHost: h\r\n\r\n";
const POST: &str = "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 6\r\n\r\n";
const CHUNKED: &str = "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n";

#[test]
fn content_that_came_along_stays_behind_a_head_that_is_written_anew() {
    let mut draft = draft(POST);
    draft.append(Along { bytes: b"abc", end: None });
    write(&mut draft, "POST /longer HTTP/1.1\r\nHost: h\r\nContent-Length: 6\r\n\r\n");
    let text = String::from_utf8(draft.bytes.clone()).unwrap();
    assert!(text.starts_with("POST /longer ") && text.ends_with("\r\n\r\nabc"), "{text:?}");
    draft.clear();
    write(&mut draft, GET);
    assert!(draft.bytes.ends_with(b"\r\n\r\n"), "what was let go of is not there any more");
}

#[test]
fn content_of_no_known_length_is_chunked_again() {
    let mut whole = draft(CHUNKED);
    whole.append(Along { bytes: b"abc", end: Some(b"X-Sum: 1\r\n") });
    let text = String::from_utf8(whole.bytes).unwrap();
    assert_eq!(content(&text), "3\r\nabc\r\n0\r\nX-Sum: 1\r\n\r\n");
}

const HTTP2: Wire = Wire::Http2;

/// The lines that a field block says.
fn lines(block: &[u8]) -> String {
    use crate::http2::hpack::block::{Block, Limits};
    use crate::http2::hpack::decoder::Decoder;
    let limits = Limits { list_bytes: 1 << 16, field_count: 100, list_bytes_max: 1 << 16 };
    let mut decoded = Block::default();
    Decoder::default().decode(block, true, &limits, &mut decoded).unwrap();
    String::from_utf8(decoded.field_lines().to_vec()).unwrap()
}

#[test]
fn a_head_for_http_2_has_neither_framing_nor_fields_of_a_connection() {
    let mut draft = Draft::default();
    let text = "POST /p HTTP/1.1\r\nHost: h\r\nConnection: x-own, TE\r\nX-Own: 1\r\nTE: trailers\r\n\
                Transfer-Encoding: chunked\r\nX-Kept: A b\r\n\r\n";
    write_for(HTTP2, &mut draft, text);
    let lines = lines(draft.parts().0);
    assert!(lines.contains("x-kept: A b\r\n") && lines.contains("te: trailers\r\n"), "{lines}");
    for other in ["connection", "x-own", "transfer-encoding", "host:"] {
        assert!(!lines.lines().any(|line| line.starts_with(other)), "{other} in {lines}");
    }
}

#[test]
fn content_is_framed_anew_when_the_next_target_speaks_another_version() {
    for (head, framed) in [(POST, "abc"), (CHUNKED, "3\r\nabc\r\n0\r\nX-Sum: 1\r\n\r\n")] {
        let mut draft = draft(head);
        draft.append(Along { bytes: b"abc", end: Some(b"X-Sum: 1\r\n") });
        for _ in 0..2 {
            write_for(HTTP2, &mut draft, head);
            let (_, bytes, trailers) = draft.parts();
            assert_eq!((bytes, trailers), (&b"abc"[..], &b"X-Sum: 1\r\n"[..]));
            write(&mut draft, head);
            let text = String::from_utf8(draft.bytes.clone()).unwrap();
            assert_eq!(content(&text), framed);
        }
    }
}

#[test]
fn a_connection_may_be_leased_again_when_all_was_sent_and_answered() {
    play(65_536, async |lease, far, _| {
        lease.request(&mut draft(GET), true);
        let mut back = Draft::default();
        sent(lease, Some(&mut back)).await.unwrap();
        assert!(back.bytes.starts_with(b"GET / "), "it is there again to be sent once more");
        assert!(arrived(far).await.starts_with("GET / "));
        assert!(answered(lease, far).await);
        assert!(lease.renew().is_none(), "nothing has been answered since");
    });
}

#[test]
fn one_whose_request_is_still_on_its_way_may_not() {
    play(65_536, async |lease, far, _| {
        lease.request(&mut draft(GET), true);
        assert!(!answered(lease, far).await, "nobody has looked whether it was sent");
    });
}

#[test]
fn one_whose_request_has_no_end_may_not() {
    play(65_536, async |lease, far, timers| {
        lease.request(&mut draft(POST), false);
        sent(lease, None).await.unwrap();
        let patience = Patience { timers, timer: Timer::Upload, idle: IDLE };
        lease.parts().0.send(piece("abc"), None, patience).await.unwrap();
        assert!(!answered(lease, far).await);
    });
    play(65_536, async |lease, far, timers| {
        lease.request(&mut draft(POST), false);
        sent(lease, None).await.unwrap();
        let patience = Patience { timers, timer: Timer::Upload, idle: IDLE };
        lease.parts().0.send(piece("abc"), None, patience).await.unwrap();
        lease.parts().0.send(piece("def"), Some(b""), patience).await.unwrap();
        assert_eq!(content(&arrived(far).await), "abcdef");
        assert!(answered(lease, far).await);
    });
}

#[test]
fn pieces_are_chunks_and_the_end_behind_the_last_one_brings_its_trailers() {
    play(65_536, async |lease, far, timers| {
        lease.request(&mut draft(CHUNKED), false);
        sent(lease, None).await.unwrap();
        let patience = Patience { timers, timer: Timer::Upload, idle: IDLE };
        let sending = lease.parts().0;
        sending.send(piece("abc"), None, patience).await.unwrap();
        sending.send(piece(""), Some(b"X-Sum: 1\r\n"), patience).await.unwrap();
        assert_eq!(content(&arrived(far).await), "3\r\nabc\r\n0\r\nX-Sum: 1\r\n\r\n");
    });
}

#[test]
fn a_target_that_has_reset_is_told_from_one_that_takes_no_more() {
    play(65_536, async |lease, far, _| {
        far.abort();
        simulated::wait(Duration::from_millis(1)).await;
        lease.request(&mut draft(GET), true);
        assert!(sent(lease, None).await.is_err());
    });
}

#[test]
fn a_lease_that_is_aborted_shows_its_target_a_failure() {
    play(65_536, async |lease, far, _| {
        lease.handle().abort();
        simulated::wait(Duration::from_millis(1)).await;
        assert_eq!(far.presence(), Presence::Reset);
    });
}

#[test]
fn what_the_target_has_sent_behind_its_101_goes_into_the_tunnel() {
    use crate::exchange::tunnel::{Reader as _, Side as _};
    play(65_536, async |lease, far, _| {
        let text = "HTTP/1.1 101 S\r\nConnection: upgrade\r\nUpgrade: chat\r\n\r\nhello";
        far.send(text.into(), 0, true).await.0.unwrap();
        let response = lease.parts().1;
        poll_fn(|cx| response.poll_head(cx)).await.unwrap();
        assert_eq!(response.head(Method::Get, &LIMITS, |head| head.status), Ok(Some(101)));
        let (mut reader, _) = lease.tunnel().split();
        let early = poll_fn(|cx| reader.poll_receive(false, cx)).await.unwrap();
        assert_eq!(early, b"hello");
        far.send(b"more".to_vec(), 0, true).await.0.unwrap();
        assert_eq!(poll_fn(|cx| reader.poll_receive(false, cx)).await.unwrap(), b"more");
    });
}
