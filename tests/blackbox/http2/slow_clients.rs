//! Clients that take what they asked for slowly, in part or not at all: by windows, and by reading.

use std::time::{Duration, Instant};

use super::{app, clear};
use crate::support::http2::{DATA, END_STREAM, HEADERS, RST_STREAM};
use crate::support::http2_frames::{
    Frame, Frames, INITIAL_WINDOW_SIZE, WINDOW_MAX, WINDOW_REST, window_update,
};
use crate::support::http2_target::{Http2Target, answer};
use crate::support::wire::DEADLINE;
use crate::support::{Limpet, Target, config, pause};

fn start(target: &Target, timeouts: &[(&str, &str)]) -> Limpet {
    let web = clear("web");
    let web = timeouts
        .iter()
        .fold(web, |web, (name, value)| web.set(&format!("timeouts.{name}"), *value));
    config().listener(web).group(app().target("a", target)).start()
}

/// A client whose streams may be sent so many bytes each, and its connection as many as there can be.
fn begin(limpet: &Limpet, window_bytes: u32) -> Frames {
    let client = limpet.client();
    client.wire.set_receive_buffer(64 << 10).unwrap();
    let mut client = Frames::begin(client, &[(INITIAL_WINDOW_SIZE, window_bytes)]);
    client.send(window_update(0, WINDOW_REST));
    client
}

fn content(bytes: usize) -> Target {
    let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {bytes}\r\n\r\n").into_bytes();
    Target::fixed([head, vec![b'x'; bytes]].concat())
}

fn assert_given_up(limpet: &Limpet) {
    let record = limpet.record(1);
    assert_eq!((record.termination(), record.text("code")), ("CDT", "client_send_timeout"));
}

#[test]
fn a_stream_whose_window_stays_shut_is_given_up_and_its_connection_goes_on() {
    let target = content(1_000);
    let limpet = start(&target, &[("send_idle", "500ms")]);
    let mut client = begin(&limpet, 100);
    client.get(1, "/");
    assert_eq!(client.next_of_streams().kind, HEADERS);
    let data = client.next_of_streams();
    assert_eq!((data.kind, data.payload.len(), data.flags), (DATA, 100, 0));
    assert_eq!(client.next_of_streams().kind, RST_STREAM);
    assert_given_up(&limpet);

    client.get(3, "/");
    assert_eq!(client.next_of_streams().kind, HEADERS);
    client.send(window_update(3, 900));
    let mut bytes = 0;
    while bytes < 1_000 {
        let data = client.next_of_streams();
        assert_eq!((data.kind, data.stream), (DATA, 3));
        bytes += data.payload.len();
    }
}

#[test]
fn a_window_that_is_opened_by_a_byte_at_a_time_is_too_slow() {
    let target = content(1 << 20);
    let limpet = start(&target, &[("send_idle", "1s"), ("send_minimum_rate", "10KiB")]);
    let mut client = begin(&limpet, 100);
    client.get(1, "/");
    // Never opens nothing for long, and stays far below the rate.
    let started = Instant::now();
    loop {
        if client.next_of_streams().kind == RST_STREAM {
            break;
        }
        assert!(started.elapsed() < DEADLINE, "the client is put up with");
        pause(Duration::from_millis(20));
        client.send(window_update(1, 1));
    }
    assert!(started.elapsed() > Duration::from_millis(900), "{:?}", started.elapsed());
    assert_given_up(&limpet);
}

#[test]
fn readers_that_take_nothing_leave_the_connection_that_they_share_to_others() {
    const BYTES: usize = 1 << 20;
    let target = Http2Target::start(|_| answer(200, vec![b'x'; BYTES]));
    let app = app().set("protocol_version", "http2").set("pool.connections_max", 1);
    let app = app.target_at("a", &target.address(), "");
    let config = config().process("shards", 1).listener(clear("web"));
    let limpet = config.group(app).start();
    let mut stalled = begin(&limpet, 0);
    for at in 0..64 {
        stalled.get(2 * at + 1, "/");
    }
    for _ in 0..64 {
        assert_eq!(stalled.next_of_streams().kind, HEADERS);
    }
    for _ in 0..4 {
        let response = limpet.get("/");
        assert_eq!(
            (response.status, response.content.len()),
            (200, BYTES),
            "{:?}",
            limpet.record(1)
        );
    }
    assert_eq!(target.connections(), 1);
}

#[test]
fn a_connection_of_which_nothing_is_read_is_given_up() {
    let target = content(64 << 20);
    let limpet = start(&target, &[("send_idle", "500ms")]);
    let mut client = begin(&limpet, WINDOW_MAX);
    client.get(1, "/");
    // The target's connection ends though the client never reads and never closes.
    target.wait_for_connections(1);
    target.wait_until_idle();
    assert_given_up(&limpet);
}

#[test]
fn a_client_that_reads_slowly_is_put_up_with() {
    const BYTES: usize = 12 << 20;
    let target = content(BYTES);
    let limpet = start(&target, &[("send_idle", "1500ms")]);
    // A client that the machine holds up takes nothing for as long, and is rightly given up: then another shows it.
    let is_put_up_with = (0..10).any(|_| {
        let mut client = begin(&limpet, WINDOW_MAX);
        client.get(1, "/");
        client.client.wire.read_slowly(BYTES)
    });
    assert!(is_put_up_with, "each of ten was held up");
}

#[test]
fn streams_that_wait_for_their_turn_on_a_slow_connection_are_put_up_with() {
    const STREAMS: usize = 128;
    const BYTES: usize = 128 << 10;
    /// Read at a time, and how often: a turn of every stream, of 32 KiB each, takes longer than a stream may be refused.
    const STEP: (usize, Duration) = (192 << 10, Duration::from_millis(100));
    let target = content(BYTES);
    let limpet = start(&target, &[("send_idle", "1500ms")]);
    let mut client = begin(&limpet, WINDOW_MAX);
    for at in 0..STREAMS {
        client.get(2 * at as u32 + 1, "/");
    }
    let (mut received, mut ended, mut step) = (vec![0; STREAMS], 0, 0);
    while ended < STREAMS {
        let Frame { kind, flags, stream, payload } = client.next_of_streams();
        assert_ne!(kind, RST_STREAM, "stream {stream}");
        let at = stream as usize / 2;
        if kind == DATA {
            received[at] += payload.len();
            step += payload.len();
            ended += usize::from(flags & END_STREAM != 0);
        }
        if step >= STEP.0 {
            step = 0;
            pause(STEP.1);
        }
    }
    assert_eq!(received, vec![BYTES; STREAMS]);
}
