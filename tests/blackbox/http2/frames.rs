//! The frames of responses: how long they are, and in which order those of several streams come.

use std::collections::HashMap;
use std::time::Duration;

use super::{app, both, clear};
use crate::support::http2::{DATA, END_STREAM, HEADERS};
use crate::support::http2_frames::{
    Frame, Frames, INITIAL_WINDOW_SIZE, MAX_FRAME_SIZE, WINDOW_MAX, WINDOW_REST, get, request,
    settings, window_update,
};
use crate::support::http2_target::{Http2Target, answer};
use crate::support::{Target, config, pause};

/// Of each response.
const LENGTH: usize = 400_000;

/// A target whose responses are all as long.
fn target() -> Target {
    let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {LENGTH}\r\n\r\n");
    Target::fixed([head.as_bytes(), &[b'x'; LENGTH]].concat())
}

/// The frames of content until so many streams have ended, with something to do before each of them.
fn content(client: &mut Frames, mut streams: usize, mut before: impl FnMut()) -> Vec<Frame> {
    let mut frames = Vec::new();
    while streams > 0 {
        before();
        let frame = client.next_of_streams();
        streams -= usize::from(frame.ends());
        match frame.kind {
            DATA => frames.push(frame),
            _ => assert_eq!(frame.kind, HEADERS, "{frame:?}"),
        }
    }
    frames
}

#[test]
fn frames_of_content_are_as_long_as_their_records_take_and_no_longer_than_the_client_does() {
    // In clear there is a limit of limpet's own as well.
    for (name, taken, longest) in [
        ("secure", 1 << 20, 16_375),
        ("secure", 16_384, 16_375),
        ("clear", 16_384, 16_384),
        ("clear", 1 << 20, 32 << 10),
    ] {
        let target = target();
        let limpet = both().serving(&target).start();
        let own = [(INITIAL_WINDOW_SIZE, WINDOW_MAX), (MAX_FRAME_SIZE, taken)];
        let address = limpet.address_of(name);
        let mut client = match name {
            "secure" => Frames::begin_tls(address, &own),
            _ => Frames::begin(limpet.client_of(name), &own),
        };
        client.send(window_update(0, WINDOW_REST)).get(1, "/").get(3, "/");
        let lengths: Vec<usize> =
            content(&mut client, 2, || {}).iter().map(|frame| frame.payload.len()).collect();
        assert_eq!(lengths.iter().max(), Some(&longest), "{name}, {taken}");
        assert_eq!(lengths.iter().sum::<usize>(), 2 * LENGTH);
    }
}

#[test]
fn the_priority_of_a_request_reaches_targets_of_both_versions() {
    let first = Target::echo("a");
    let second = Http2Target::start(|_| answer(200, "b"));
    let web = clear("web").rule("priority = 1\nwhen.path = [\"/2\"]\nforward = \"second\"");
    let group = crate::support::group("second").set("protocol_version", "http2");
    let limpet = config()
        .listener(web)
        .group(app().target("a", &first))
        .group(group.target_at("b", &second.address(), ""))
        .start();
    let mut client = Frames::begin(limpet.client(), &[]);
    for (stream, path) in [(1, "/1"), (3, "/2")] {
        let fields = [&get(path)[..], &[("priority", "u=1, i")]].concat();
        client.send(request(stream, &fields, true));
        assert_eq!(client.response(stream).0, 200);
    }
    assert_eq!(first.last_request().fields.one("priority"), Some("u=1, i"));
    assert_eq!(second.last_request().field("priority"), "u=1, i");
}

/// Asks for a response by each of these priorities, whose windows open together when all have begun, on a connection
/// that takes no more at a time than the client reads; the frames of content.
fn ask(priorities: &[&str]) -> Vec<Frame> {
    let target = target();
    let web = clear("web").set("socket.send_buffer", "16KiB");
    let limpet = config().listener(web).serving(&target).start();
    let mut client = Frames::begin(limpet.client(), &[(INITIAL_WINDOW_SIZE, 0)]);
    client.client.wire.set_receive_buffer(16 << 10).unwrap();
    client.send(window_update(0, WINDOW_REST));
    for (at, priority) in priorities.iter().enumerate() {
        let fields = [&get("/")[..], &[("priority", *priority)]].concat();
        client.send(request(2 * at as u32 + 1, &fields, true));
    }
    for _ in priorities {
        let head = client.next_of_streams();
        assert!(head.kind == HEADERS && head.flags & END_STREAM == 0, "{head:?}");
    }
    client.send(settings(&[(INITIAL_WINDOW_SIZE, WINDOW_MAX)]));
    content(&mut client, priorities.len(), || pause(Duration::from_millis(2)))
}

/// How much of each stream has come before the end of the last one of these.
fn before_end(frames: &[Frame], of: &[u32]) -> HashMap<u32, usize> {
    let last = frames.iter().rposition(|frame| of.contains(&frame.stream)).expect("frames");
    let mut sums = HashMap::new();
    for frame in &frames[..=last] {
        *sums.entry(frame.stream).or_insert(0) += frame.payload.len();
    }
    sums
}

#[test]
fn incremental_responses_are_interleaved() {
    let frames = ask(&["u=3, i", "u=3, i"]);
    for stream in [1, 3] {
        let sums = before_end(&frames, &[stream]);
        assert!(sums.len() == 2 && sums.values().all(|sum| *sum > LENGTH / 2), "{sums:?}");
    }
    let changes = frames.windows(2).filter(|pair| pair[0].stream != pair[1].stream).count();
    assert!(changes > frames.len() / 3, "{changes} changes in {} frames", frames.len());
}

#[test]
fn urgent_responses_come_first_and_the_others_are_not_forgotten() {
    for incremental in ["", ", i"] {
        let both = [format!("u=5{incremental}"), format!("u=1{incremental}")];
        let priorities: Vec<&str> = (0..12).map(|at| &*both[at % 2]).collect();
        let urgent: Vec<u32> = (0..6).map(|at| 4 * at + 3).collect();
        let sums = before_end(&ask(&priorities), &urgent);
        let others = sums.iter().filter(|(stream, _)| !urgent.contains(stream));
        let others: usize = others.map(|(_, sum)| sum).sum();
        let share = others * 100 / (others + 6 * LENGTH);
        assert!((5..30).contains(&share), "{share} % for the others: {sums:?}");
    }
}
