//! Every budget of a client's connection, used up by hand: it is told to be calm and closed, for a reason that metrics
//! and log name, and whoever else is connected goes on being served.

use std::time::Duration;

use super::clear;
use crate::support::http2::{
    DATA, END_STREAM, GOAWAY, HEADERS, RST_STREAM, SETTINGS, block, frame,
};
use crate::support::http2_frames::{
    CONTINUATION, Frame, Frames, PING, PRIORITY, PRIORITY_UPDATE, get, post, request, window_update,
};
use crate::support::{Limpet, Target, config, pause, poll};

const ENHANCE_YOUR_CALM: u32 = 11;
const CANCEL: u32 = 8;
/// Requests for this are never answered, and their content is taken.
const HELD: &str = "/held";
/// limpet answers requests for this itself.
const AT_ONCE: &str = "/at-once";

/// A reason, and what a client sends for it: some bytes, so many times.
struct Flood {
    reason: &'static str,
    first: Vec<u8>,
    /// With the id of the next stream.
    part: fn(u32) -> Vec<u8>,
    times: u32,
    /// The answers are read after so many parts.
    reads_after: u32,
}

fn flood(reason: &'static str, part: fn(u32) -> Vec<u8>, times: u32) -> Flood {
    Flood { reason, first: Vec::new(), part, times, reads_after: 50 }
}

/// A request whose content is to come on stream 1.
fn opened() -> Vec<u8> {
    request(1, &post(HELD), false)
}

fn floods() -> Vec<Flood> {
    let of_stream = |flood: Flood| Flood { first: opened(), ..flood };
    vec![
        flood(
            "rapid_resets",
            |id| {
                let reset = frame(RST_STREAM, 0, id, &CANCEL.to_be_bytes());
                [request(id, &post(AT_ONCE), false), reset].concat()
            },
            3_000,
        ),
        // Malformed ones, which are answered and reset.
        flood("provoked_resets", |id| request(id, &[(":method", "GET")], true), 300),
        flood("settings_flood", |_| frame(SETTINGS, 0, 0, b""), 30),
        flood("ping_flood", |_| frame(PING, 0, 0, b"whatever"), 500),
        of_stream(flood("empty_data_flood", |_| frame(DATA, 0, 1, b""), 20)),
        of_stream(flood("small_data_flood", |_| frame(DATA, 0, 1, b"x"), 11_000)),
        flood("window_update_flood", |_| window_update(0, 1), 20),
        of_stream(flood("window_update_flood", |_| window_update(1, 1), 20)),
        of_stream(flood("priority_flood", |_| frame(PRIORITY, 0, 1, &[0; 5]), 200)),
        flood("priority_flood", |_| frame(PRIORITY_UPDATE, 0, 0, b"\0\0\0\x01u=0"), 200),
        flood("unknown_frame_flood", |_| frame(99, 0, 0, b"whatever"), 2_000),
        // Resets of a stream that is reset already.
        Flood {
            first: [opened(), frame(RST_STREAM, 0, 1, &CANCEL.to_be_bytes())].concat(),
            ..flood("unknown_frame_flood", |_| frame(RST_STREAM, 0, 1, &[0; 4]), 2_000)
        },
        // Answers to PINGs that may come, since content comes with them.
        Flood {
            reads_after: u32::MAX,
            ..of_stream(flood(
                "control_unread",
                |_| [frame(DATA, 0, 1, b"x"), frame(PING, 0, 0, b"whatever")].concat(),
                9_000,
            ))
        },
        Flood {
            first: frame(HEADERS, END_STREAM, 1, &block(&get("/"))),
            reads_after: u32::MAX,
            ..flood(
                "too_many_continuations",
                |_| frame(CONTINUATION, 0, 1, &block(&[("a", "b")])),
                10,
            )
        },
        Flood {
            first: frame(HEADERS, END_STREAM, 1, &block(&get("/"))),
            reads_after: u32::MAX,
            ..flood("continuation_empty", |_| frame(CONTINUATION, 0, 1, b""), 1)
        },
        Flood {
            first: frame(HEADERS, END_STREAM, 1, &block(&get("/"))),
            reads_after: u32::MAX,
            ..flood(
                "field_block_too_long",
                |_| frame(CONTINUATION, 0, 1, &block(&[("a", &"b".repeat(16_000))])),
                5,
            )
        },
    ]
}

/// Sends all of it, or until it is refused; returns the goodbye.
fn play(flood: &Flood, client: &mut Frames, meanwhile: &mut dyn FnMut()) -> Frame {
    let is_goodbye = |frame: &Frame| frame.kind == GOAWAY;
    client.send(&flood.first);
    let mut unsent = Vec::new();
    for at in 0..flood.times {
        unsent.extend((flood.part)(2 * at + 1));
        if (at + 1) % flood.reads_after == 0 {
            client.send(std::mem::take(&mut unsent));
            if let Some(frame) = client.round_trip().into_iter().find(is_goodbye) {
                meanwhile();
                return frame;
            }
        }
    }
    client.send(unsent);
    meanwhile();
    loop {
        let frame = client.next().expect("a goodbye before the end");
        if is_goodbye(&frame) {
            return frame;
        }
    }
}

/// How often the metrics have counted the reason.
fn count(limpet: &Limpet, reason: &str) -> u32 {
    let series = format!("limpet_errors_total{{code=\"{reason}\"}} ");
    let text = limpet.admin().text("/metrics");
    let counted = text.lines().find_map(|line| line.strip_prefix(&series));
    counted.map_or(0, |count| count.parse().unwrap())
}

/// What the log says of connections that have failed, one reason after the other.
fn logged(limpet: &Limpet) -> Vec<String> {
    let stderr = limpet.stderr();
    let lines = stderr.lines().filter(|line| line.contains("a connection of HTTP/2 has failed"));
    let reason = |line: &str| line.split("reason=\"").nth(1)?.split('"').next().map(str::to_owned);
    lines.filter_map(reason).collect()
}

/// A target that answers, but for what is held.
fn target() -> Target {
    Target::scripted(|connection| {
        while let Some(request) = connection.next_head()? {
            if request.target == HELD {
                return connection.read_until_closed().map(drop);
            }
            connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")?;
        }
        Ok(())
    })
}

/// One client floods limpet, beside another one that asks.
fn assert_calmed(limpet: &Limpet, flood: &Flood) {
    let (reason, before) = (flood.reason, count(limpet, flood.reason));
    let (mut other, mut stream) = (Frames::begin(limpet.client(), &[]), 1);
    let mut is_served = || {
        let answer = other.get(stream, "/").response(stream);
        assert_eq!(answer, (200, b"ok".to_vec()), "beside {reason}");
        stream += 2;
    };
    is_served();
    let mut client = Frames::begin(limpet.client(), &[]);
    client.client.wire.set_receive_buffer(4 << 10).unwrap();
    let goodbye = play(flood, &mut client, &mut is_served);
    assert_eq!(goodbye.goodbye().1, ENHANCE_YOUR_CALM, "{reason}");
    assert_eq!(&goodbye.payload[8..], reason.as_bytes());
    client.client.assert_closed();
    is_served();
    let counted = poll(|| (count(limpet, reason) == before + 1).then_some(()));
    assert!(counted.is_some(), "{reason} is counted {} times", count(limpet, reason));
    let told = poll(|| (logged(limpet).last()? == reason).then_some(()));
    assert!(told.is_some(), "{reason} is not logged: {:?}", logged(limpet));
}

#[test]
fn whoever_uses_up_a_budget_is_told_to_be_calm_and_others_are_served() {
    const AT_A_TIME: usize = 4;
    let target = target();
    let at_once = format!("priority = 1\nwhen.path = [{AT_ONCE:?}]\nrespond = {{ status = 204 }}");
    let web = clear("web").set("socket.send_buffer", "4KiB").rule(&at_once);
    let config = config().with_admin().listener(web).serving(&target);
    let floods = floods();
    std::thread::scope(|threads| {
        for part in floods.chunks(floods.len().div_ceil(AT_A_TIME)) {
            let config = &config;
            threads.spawn(move || {
                let limpet = config.start();
                for flood in part {
                    // The log tells of one in a second, and of none in the first.
                    pause(Duration::from_millis(1_200));
                    assert_calmed(&limpet, flood);
                }
            });
        }
    });
}
