//! Clients that take what they asked for slowly, in part or not at all: by windows, and by reading.

use std::time::{Duration, Instant};

use super::{app, clear};
use crate::support::http2::{
    DATA, END_HEADERS, END_STREAM, HEADERS, PREFACE, RST_STREAM, SETTINGS, block, frame,
};
use crate::support::http2_target::{Http2Target, answer};
use crate::support::wire::DEADLINE;
use crate::support::{Client, Limpet, Target, config, pause};

const WINDOW_UPDATE: u8 = 8;
const INITIAL_WINDOW_SIZE: u8 = 4;
const WINDOW_MAX: u32 = (1 << 31) - 1;

fn start(target: &Target, timeouts: &[(&str, &str)]) -> Limpet {
    let web = clear("web");
    let web = timeouts
        .iter()
        .fold(web, |web, (name, value)| web.set(&format!("timeouts.{name}"), *value));
    config().listener(web).group(app().target("a", target)).start()
}

/// A client whose streams may be sent so many bytes each, and its connection as many as there can be.
fn begin(limpet: &Limpet, window_bytes: u32) -> Client {
    let mut client = limpet.client();
    client.wire.set_receive_buffer(64 << 10).unwrap();
    client.send(PREFACE);
    let setting = [&[0, INITIAL_WINDOW_SIZE], &window_bytes.to_be_bytes()[..]].concat();
    client.send(frame(SETTINGS, 0, 0, &setting));
    client.send(frame(WINDOW_UPDATE, 0, 0, &(WINDOW_MAX - 65_535).to_be_bytes()));
    client
}

fn ask(client: &mut Client, stream: u32) {
    let fields =
        [(":method", "GET"), (":scheme", "http"), (":path", "/"), (":authority", "limpet.test")];
    client.send(frame(HEADERS, END_STREAM | END_HEADERS, stream, &block(&fields)));
}

/// A frame about a stream.
struct Frame {
    kind: u8,
    flags: u8,
    stream: u32,
    payload: Vec<u8>,
}

/// The next one.
fn next(client: &mut Client) -> Frame {
    loop {
        let head = client.wire.read_exactly(9).unwrap();
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
        let payload = client.wire.read_exactly(length as usize).unwrap();
        let stream = u32::from_be_bytes([head[5], head[6], head[7], head[8]]);
        if stream != 0 {
            return Frame { kind: head[3], flags: head[4], stream, payload };
        }
    }
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
    ask(&mut client, 1);
    assert_eq!(next(&mut client).kind, HEADERS);
    let data = next(&mut client);
    assert_eq!((data.kind, data.payload.len(), data.flags), (DATA, 100, 0));
    assert_eq!(next(&mut client).kind, RST_STREAM);
    assert_given_up(&limpet);

    ask(&mut client, 3);
    assert_eq!(next(&mut client).kind, HEADERS);
    client.send(frame(WINDOW_UPDATE, 0, 3, &900_u32.to_be_bytes()));
    let mut bytes = 0;
    while bytes < 1_000 {
        let data = next(&mut client);
        assert_eq!((data.kind, data.stream), (DATA, 3));
        bytes += data.payload.len();
    }
}

#[test]
fn a_window_that_is_opened_by_a_byte_at_a_time_is_too_slow() {
    let target = content(1 << 20);
    let limpet = start(&target, &[("send_idle", "1s"), ("send_minimum_rate", "10KiB")]);
    let mut client = begin(&limpet, 100);
    ask(&mut client, 1);
    // Never opens nothing for long, and stays far below the rate.
    let started = Instant::now();
    loop {
        let frame_ = next(&mut client);
        if frame_.kind == RST_STREAM {
            break;
        }
        assert!(started.elapsed() < DEADLINE, "the client is put up with");
        pause(Duration::from_millis(20));
        client.send(frame(WINDOW_UPDATE, 0, 1, &1_u32.to_be_bytes()));
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
    (0..64).for_each(|at| ask(&mut stalled, 2 * at + 1));
    for _ in 0..64 {
        assert_eq!(next(&mut stalled).kind, HEADERS);
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
    ask(&mut client, 1);
    // The target's connection ends though the client never reads and never closes.
    target.wait_for_connections(1);
    target.wait_until_idle();
    let record = limpet.record(1);
    assert_eq!(record.termination().get(..1), Some("C"), "{record:?}");
}

#[test]
fn a_client_that_reads_slowly_is_put_up_with() {
    const BYTES: usize = 12 << 20;
    let target = content(BYTES);
    let limpet = start(&target, &[("send_idle", "1500ms")]);
    // A client that the machine holds up takes nothing for as long, and is rightly given up: then another shows it.
    let is_put_up_with = (0..10).any(|_| {
        let mut client = begin(&limpet, WINDOW_MAX);
        ask(&mut client, 1);
        client.wire.read_slowly(BYTES)
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
    (0..STREAMS).for_each(|at| ask(&mut client, 2 * at as u32 + 1));
    let (mut received, mut ended, mut step) = (vec![0; STREAMS], 0, 0);
    while ended < STREAMS {
        let Frame { kind, flags, stream, payload } = next(&mut client);
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
