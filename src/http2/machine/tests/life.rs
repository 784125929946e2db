//! Timers, PING, GOAWAY of either side, draining, and what an idle connection keeps.

use super::wire::*;
use super::*;
use crate::http::head::Method;
use crate::http2::frame::{Kind, MAX_31};
use crate::http2::machine::events::Unavailable;
use crate::http2::machine::fault::{Abuse, Late};
use crate::http2::settings::id;

fn goaways(frames: &[Sent]) -> Vec<(u32, ErrorCode)> {
    let goaways = frames.iter().filter(|frame| frame.header.kind == Kind::Goaway);
    goaways.map(|frame| (frame.number(), frame.code())).collect()
}

#[test]
fn the_greeting_is_due_in_time() {
    let mut probe = Probe::new(Options::server());
    assert_eq!(probe.machine.next_timeout(), Some(10_000));
    probe.feed(&crate::http2::frame::PREFACE[..]);
    probe.expire_at(9_999);
    assert_eq!(probe.fault(), None);
    probe.expire_at(10_000);
    assert_eq!(probe.fault(), Some(Fault::Late(Late::Head)));
    assert_eq!((probe.machine.next_timeout(), probe.machine.is_over()), (None, true));

    let mut probe = Probe::new(Options { head_timeout_ms: 5_000, ..Options::server() });
    probe.feed(&[&crate::http2::frame::PREFACE[..], &settings(&[])].concat());
    probe.expire_at(9_999);
    assert_eq!(probe.fault(), None);
    probe.expire_at(10_000);
    assert_eq!(probe.fault(), Some(Fault::Late(Late::SettingsAck)));
    assert_eq!(goaways(&probe.frames()), [(0, ErrorCode::SettingsTimeout)]);

    let mut probe = Probe::server();
    assert_eq!(probe.machine.next_timeout(), None);
    probe.expire_at(1_000_000);
    assert_eq!(probe.fault(), None);
}

#[test]
fn the_rest_of_a_field_block_is_due_in_time() {
    let mut probe = Probe::server();
    probe.now_ms = 500;
    probe.feed(&frame(Kind::Headers, 0, 1, &get_block()[..3]));
    assert_eq!(probe.machine.next_timeout(), Some(10_500));
    probe.feed(&frame(
        Kind::Continuation,
        crate::http2::frame::flags::END_HEADERS,
        1,
        &get_block()[3..],
    ));
    assert_eq!(probe.machine.next_timeout(), Some(30_500));
    probe.feed(&frame(Kind::Headers, 0, 3, &get_block()[..3]));
    probe.expire_at(10_500);
    assert_eq!(probe.fault(), Some(Fault::Late(Late::Head)));
}

#[test]
fn a_silent_peer_is_asked_while_streams_are_open() {
    for options in [Options::server(), Options::client()] {
        let is_client = options.side == Side::Client;
        let mut probe = Probe::greeted(options);
        match is_client {
            true => drop(probe.request(true)),
            false => probe.feed(&get(1)),
        }
        probe.frames();
        assert_eq!(probe.machine.next_timeout(), Some(30_000));
        // It was not silent.
        probe.now_ms = 20_000;
        probe.feed(&ping(*b"12345678"));
        probe.expire_at(30_000);
        assert_eq!(probe.machine.next_timeout(), Some(50_000));
        probe.frames();
        probe.expire_at(50_000);
        let frames = probe.frames();
        assert!(frames.len() == 1 && frames[0].is(Kind::Ping, 0));
        let data: [u8; 8] = frames[0].payload[..].try_into().expect("eight bytes");
        assert_eq!(probe.machine.next_timeout(), Some(60_000));
        probe.now_ms = 55_000;
        probe.feed(&ping_ack(data));
        assert_eq!(probe.machine.next_timeout(), Some(85_000));
        // Whatever else comes is an answer too.
        probe.expire_at(85_000);
        probe.now_ms = 90_000;
        probe.feed(&settings(&[]));
        probe.expire_at(95_000);
        assert_eq!(probe.fault(), None);
        assert_eq!(probe.machine.next_timeout(), Some(120_000));
        probe.expire_at(120_000);
        probe.expire_at(130_000);
        assert_eq!(probe.fault(), Some(Fault::Late(Late::Ping)));
    }
    // Without streams nobody is asked.
    let mut probe = Probe::server();
    serve(&mut probe, &get(1));
    assert_eq!(probe.machine.next_timeout(), None);
}

#[test]
fn a_drain_takes_what_is_on_its_way() {
    for by_time in [false, true] {
        let mut probe = Probe::server();
        probe.feed(&post(1));
        probe.machine.drain(100);
        probe.machine.drain(100);
        let frames = probe.frames();
        assert_eq!(goaways(&frames), [(MAX_31, ErrorCode::NoError)]);
        let asked = frames.last().expect("a PING");
        assert_eq!(asked.header.kind, Kind::Ping, "whoever has read it has read the GOAWAY");
        let data: [u8; 8] = asked.payload[..].try_into().expect("eight bytes");
        // A stream that the client opened before it knew.
        probe.feed(&post(3));
        match by_time {
            true => probe.expire_at(1_100),
            false => probe.feed(&ping_ack(data)),
        }
        assert_eq!(goaways(&probe.frames()), [(3, ErrorCode::NoError)]);
        assert!(probe.machine.is_draining() && !probe.machine.is_over());
        // Now it knows.
        probe.feed(&[get(5), data_of(3), data_of(1)].concat());
        let frames = probe.frames();
        assert!(
            frames
                .iter()
                .any(|frame| frame.is(Kind::RstStream, 5)
                    && frame.code() == ErrorCode::RefusedStream)
        );
        probe.answer_and_finish(1);
        assert!(!probe.machine.is_over());
        probe.answer_and_finish(3);
        assert!(probe.machine.is_over() && probe.machine.has_output());
        assert_eq!(goaways(&probe.frames()), []);
        assert_eq!(probe.machine.counts().endings.goaways_sent, 2);
    }
}

#[test]
fn frames_of_streams_that_the_last_goaway_leaves_out_are_ignored() {
    let drained = || {
        let mut probe = Probe::server();
        probe.feed(&post(1));
        probe.machine.drain(0);
        probe.expire_at(1_000);
        assert_eq!(goaways(&probe.frames()).last(), Some(&(1, ErrorCode::NoError)));
        probe
    };
    // Their heads were never sent, because the client has heard of the end before.
    for frame in [rst_stream(7, ErrorCode::InternalError), window_update(7, 10), data_of(7)] {
        let mut probe = drained();
        probe.feed(&frame);
        assert_eq!((probe.fault(), probe.frames().len()), (None, 0));
        probe.answer_and_finish(1);
        assert_eq!(probe.fault(), None);
    }
    // Not without end, and not where limpet has not said its last.
    let mut probe = drained();
    (0..1_000).for_each(|at| probe.feed(&rst_stream(3 + 2 * at, ErrorCode::Cancel)));
    assert_eq!(probe.fault(), None);
    probe.feed(&rst_stream(3, ErrorCode::Cancel));
    assert_eq!(probe.fault(), Some(Fault::Abuse(Abuse::RefusedStreams)));
    let mut probe = Probe::server();
    probe.machine.drain(0);
    probe.feed(&rst_stream(7, ErrorCode::Cancel));
    assert_eq!(probe.fault(), Some(Fault::Frame(FrameFault::StreamIdle)));
}

#[test]
fn whoever_takes_or_sends_anything_is_there() {
    let mut probe = Probe::server();
    probe.feed(&post(1));
    probe.frames();
    assert!(!probe.machine.judges_silence(29_999) && probe.machine.judges_silence(30_000));
    // A part of a frame, or bytes that were taken.
    probe.machine.heard(20_000);
    probe.expire_at(30_000);
    assert!(probe.frames().is_empty(), "it was heard ten seconds ago");
    probe.expire_at(50_000);
    assert_eq!(probe.frames().len(), 1, "a PING");
    assert!(probe.machine.judges_silence(60_000));
    probe.machine.heard(60_000);
    probe.expire_at(60_000);
    assert_eq!(probe.fault(), None);
}

#[test]
fn a_length_is_judged_by_the_end_of_the_content_whatever_came_behind_it() {
    for behind in
        [vec![], rst_stream(1, ErrorCode::NoError), goaway(0, ErrorCode::NoError), data_of(1)]
    {
        for (length, is_right) in [(7, true), (100, false)] {
            let mut probe = Probe::client();
            let key = probe.request(true);
            probe.feed(&[headers(1, &[0x88], false), data_of(1), behind.clone()].concat());
            let judged = probe.machine.expect(key, ContentLength::Exact(length));
            assert_eq!(judged.is_ok(), is_right, "{length} of 7 bytes, then {behind:?}");
        }
    }
}

fn data_of(stream: u32) -> Vec<u8> {
    data(stream, b"content", true)
}

#[test]
fn a_client_that_drains_lets_its_requests_end() {
    let mut probe = Probe::client();
    let key = probe.request(true);
    probe.machine.drain(0);
    assert_eq!(goaways(&probe.frames()), [(0, ErrorCode::NoError)]);
    assert_eq!(probe.machine.request(&get_block(), true, 0), Err(Unavailable::Closed));
    probe.feed(&headers(1, &[0x88], true));
    assert_eq!(probe.events().len(), 1);
    assert!(!probe.machine.is_over());
    probe.finish(key.id());
    assert!(probe.machine.is_over());
}

#[test]
fn a_goaway_tells_which_requests_may_be_sent_again() {
    let mut probe = Probe::client();
    let ids: Vec<u32> = (0..6).map(|_| probe.request(true).id()).collect();
    assert_eq!(ids, [1, 3, 5, 7, 9, 11]);
    probe.finish(9);
    probe.frames();
    probe.feed(&[goaway(MAX_31, ErrorCode::NoError), goaway(5, ErrorCode::NoError)].concat());
    let code = ErrorCode::NoError;
    let unprocessed = [7, 11].map(|id| Seen::Unprocessed { id });
    assert_eq!(
        probe.events(),
        [&[Seen::Goaway { code }, Seen::Goaway { code }][..], &unprocessed].concat()
    );
    assert_eq!(probe.machine.request(&get_block(), true, 0), Err(Unavailable::Closed));
    // The others go on, and nothing is reset.
    probe.feed(&headers(3, &[0x88], true));
    assert!(matches!(probe.events()[..], [Seen::Head { id: 3, ends: true, .. }]));
    ids.iter().filter(|id| **id != 9).for_each(|id| probe.finish(*id));
    let resets = probe.frames();
    assert!(resets.iter().all(|frame| [1, 5].contains(&frame.header.stream)), "{resets:?}");
    assert!(probe.machine.is_over());
    // A later GOAWAY does not open what an earlier one has closed.
    let mut probe = Probe::client();
    let key = probe.request(true);
    probe.feed(&[goaway(0, code), goaway(MAX_31, code)].concat());
    let last = Seen::Unprocessed { id: key.id() };
    assert_eq!(probe.events().iter().filter(|seen| **seen == last).count(), 1);
}

#[test]
fn a_client_keeps_to_the_streams_that_a_server_allows() {
    let mut probe = Probe::client();
    probe.feed(&settings(&[(id::MAX_CONCURRENT_STREAMS, 2), (id::ENABLE_CONNECT_PROTOCOL, 1)]));
    assert_eq!(probe.events(), [Seen::Settings]);
    assert!(probe.machine.peer().enable_connect_protocol);
    assert_eq!(probe.machine.available(), 2);
    probe.request(true);
    probe.request(false);
    assert_eq!(probe.machine.request(&get_block(), true, 0), Err(Unavailable::Full));
    probe.feed(&headers(1, &[0x88], true));
    probe.finish(1);
    assert_eq!(probe.request(true).id(), 5);
    let mut probe = Probe::greeted(Options { streams_max: 1, ..Options::client() });
    probe.request(true);
    assert_eq!(probe.machine.request(&get_block(), true, 0), Err(Unavailable::Full));
    let mut probe = Probe::server();
    assert_eq!(probe.machine.request(&get_block(), true, 0), Err(Unavailable::Closed));
    assert_eq!(probe.frames(), []);
}

#[test]
fn responses_come_as_heads_content_and_trailers() {
    let mut probe = Probe::client();
    let key = probe.request(false);
    assert_eq!(probe.machine.send(key, b"question", false), Ok(8));
    assert_eq!(probe.machine.send_trailers(key, b"X-Sum: 1\r\nx-b:  2 \r\n"), Ok(()));
    assert_eq!(probe.machine.send(key, b"more", false), Err(Closed));
    let frames = probe.frames();
    assert_eq!(lines(&frames[2]), "x-sum: 1\r\nx-b: 2\r\n\r\n");
    assert!(frames[2].ends() && !frames[1].ends());
    probe.feed(
        &[
            headers(1, &block(&[(":status", "103"), ("link", "x")]), false),
            headers(1, &[0x88], false),
            data(1, b"answer", false),
            headers(1, &block(&[("grpc-status", "0")]), true),
        ]
        .concat(),
    );
    let head = |lines: &str| Seen::Head { id: 1, lines: lines.to_owned(), ends: false };
    assert_eq!(
        probe.events(),
        [
            head(":status: 103\r\nlink: x\r\n\r\n"),
            head(":status: 200\r\n\r\n"),
            Seen::Content { id: 1, bytes: b"answer".to_vec(), ends: false },
            Seen::Trailers { id: 1, lines: "grpc-status: 0\r\n\r\n".to_owned() },
        ]
    );
    probe.finish(1);
    assert_eq!(probe.frames(), []);
}

#[test]
fn malformed_responses() {
    let cases = [
        (vec![data(1, b"x", false)], Malformed::NoHead),
        (vec![headers(1, &block(&[(":status", "100")]), true)], Malformed::InterimEnds),
        (
            vec![headers(1, &[0x88], false), headers(1, &block(&[("a", "b")]), false)],
            Malformed::Trailers(crate::http::refusal::ChunkFault::TrailerInvalid),
        ),
    ];
    for (bytes, cause) in cases {
        let mut probe = Probe::client();
        probe.request(true);
        probe.feed(&[&bytes.concat()[..], &data(1, b"more", true)].concat());
        assert_eq!(probe.events().last(), Some(&Seen::Malformed { id: 1, cause }));
        probe.finish(1);
        assert_eq!(probe.frames().last().map(Sent::code), Some(ErrorCode::Cancel));
    }
    // The length that the head names, judged before or after the content has come.
    for (method, length, is_late, has_mismatch) in [
        (Method::Get, "3", false, false),
        (Method::Get, "4", false, true),
        (Method::Get, "2", true, true),
        (Method::Head, "3", true, true),
        (Method::Get, "3", true, false),
    ] {
        let mut probe = Probe::client();
        let key = probe.request(true);
        let head = headers(1, &block(&[(":status", "200"), ("content-length", length)]), false);
        let length = match method {
            Method::Head => ContentLength::None,
            _ => ContentLength::Exact(length.parse().expect("a number")),
        };
        probe.feed(&head);
        let mut found = false;
        if !is_late {
            probe.machine.expect(key, length).expect("nothing has come");
        }
        probe.feed(&data(1, b"abc", true));
        if is_late {
            found = probe.machine.expect(key, length).is_err();
        }
        let malformed = Seen::Malformed { id: 1, cause: Malformed::Length };
        found |= probe.events().contains(&malformed);
        assert_eq!(found, has_mismatch, "{method:?} {length:?} {is_late}");
    }
}

#[test]
fn a_response_that_is_early_is_whole_for_the_client() {
    let mut probe = Probe::server();
    probe.feed(&post(1));
    assert_eq!(probe.answer(1, b"hello"), Ok(true));
    probe.finish(1);
    let frames = probe.frames();
    assert!(frames[1].is(Kind::Data, 1) && frames[1].ends());
    assert!(frames[2].is(Kind::RstStream, 1) && frames[2].code() == ErrorCode::NoError);
    // And one that is cut off is not.
    probe.feed(&get(3));
    let key = probe.key(3);
    probe.machine.respond_with(key, 200, false, |_, _| {}).expect("open");
    probe.finish(3);
    let frames = probe.frames();
    assert!(frames[1].is(Kind::RstStream, 3) && frames[1].code() == ErrorCode::InternalError);
}

#[test]
fn interim_heads_come_before_the_final_one() {
    let mut probe = Probe::server();
    probe.feed(&post(1));
    let key = probe.key(1);
    for status in [100, 103, 200] {
        probe.machine.respond_with(key, status, false, |_, _| {}).expect("open");
    }
    assert_eq!(probe.machine.respond_with(key, 200, false, |_, _| {}), Err(Closed));
    assert_eq!(probe.machine.respond_with(key, 100, false, |_, _| {}), Err(Closed));
    assert_eq!(probe.frames().len(), 3);
    // Content needs a head.
    probe.feed(&post(3));
    assert_eq!(probe.machine.send(probe.key(3), b"x", true), Err(Closed));
    assert_eq!(probe.machine.send_trailers(probe.key(3), b""), Err(Closed));
}

#[test]
fn a_key_is_of_one_stream_only() {
    let mut probe = Probe::server();
    serve(&mut probe, &post(1));
    let key = probe.key(1);
    probe.finish(1);
    probe.feed(&post(3));
    assert_eq!(probe.key(3).slot(), key.slot());
    assert_eq!(probe.machine.respond_with(key, 200, true, |_, _| {}), Err(Closed));
    assert_eq!(probe.machine.send(key, b"x", true), Err(Closed));
    probe.machine.take(key, 5);
    probe.machine.reset(key, Cause::Cancel, 0);
    probe.machine.finish(key);
    assert_eq!(probe.machine.stream_count(), 1);
}

#[test]
fn an_idle_connection_keeps_little() {
    let mut probe = Probe::server();
    for round in 0..4 {
        for at in 0..128 {
            probe.feed(&post((round * 128 + at) * 2 + 1));
        }
        for at in 0..128 {
            let id = (round * 128 + at) * 2 + 1;
            probe.feed(&data(id, &[0; 256], true));
            probe.answer_and_finish(id);
        }
        probe.frames();
    }
    assert!(probe.machine.capacity_bytes() > 4096);
    probe.machine.shrink(&mut probe.pool);
    assert!(probe.machine.capacity_bytes() <= 2048, "{}", probe.machine.capacity_bytes());
    // And goes on.
    serve(&mut probe, &get(20_001));
    assert_eq!(probe.frames().len(), 2);
    probe.machine.end(&mut probe.pool);
    assert_eq!(probe.pool.free(), 1 << 26);
}

#[test]
fn an_idle_connection_keeps_the_table_of_its_client_in_little_more_than_that_takes() {
    // What a browser indexes: some fields that all of its requests share, and then paths and cookies.
    let fixed = [
        (
            "user-agent",
            "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 Chrome/142.0 Safari/537.36",
        ),
        ("accept", "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,*/*;q=0.8"),
        ("accept-language", "en-GB,en;q=0.9,de;q=0.8"),
        ("sec-ch-ua", "\"Chromium\";v=\"142\", \"Not A(Brand\";v=\"24\""),
        ("cookie", "session=0123456789abcdef0123456789abcdef"),
    ];
    let indexed = |name: &str, value: &str| {
        let text = |text: &str| [&[text.len() as u8][..], text.as_bytes()].concat();
        [vec![0x40], text(name), text(value)].concat()
    };
    let mut probe = Probe::server();
    for at in 0..200 {
        let referer = format!("https://shop.example.com/articles/{at}");
        let shared = if at == 120 { &fixed[..] } else { &[] };
        let fields = shared.iter().map(|(name, value)| indexed(name, value));
        let lines: Vec<u8> = fields.chain([indexed("referer", &referer)]).flatten().collect();
        serve(&mut probe, &headers(at * 2 + 1, &[get_block(), lines].concat(), true));
    }
    probe.frames();
    probe.machine.shrink(&mut probe.pool);
    // The table's 4 KiB, as RFC 7541 §4.1 counts them, take less; the rest is the machine's.
    assert!(probe.machine.capacity_bytes() <= 4_608, "{}", probe.machine.capacity_bytes());
}

#[test]
fn a_steady_stream_of_requests_grows_nothing() {
    let mut probe = Probe::server();
    let (mut out, mut capacity) = (Vec::new(), 0);
    for at in 0..2_000 {
        serve(&mut probe, &get(at * 2 + 1));
        probe.machine.transmit(&mut out, &mut probe.pool);
        out.clear();
        if at == 100 {
            capacity = probe.machine.capacity_bytes();
        }
    }
    assert!(probe.machine.capacity_bytes() <= capacity);
}
