//! Whose content comes first on a slow wire (RFC 9218).

use std::time::{Duration, Instant};

use super::{app, clear};
use crate::support::http2::DATA;
use crate::support::http2_frames::{
    Frames, INITIAL_WINDOW_SIZE, WINDOW_MAX, get, request, window_update,
};
use crate::support::{Target, config, pause};

/// Streams of each urgency.
const STREAMS: usize = 16;
/// Content of each.
const BYTES: usize = 768 << 10;
/// What the client takes: 10 Mbit/s.
const BYTES_PER_SECOND: f64 = 10e6 / 8.0;

#[test]
fn on_a_slow_wire_the_urgent_end_first_equals_together_and_the_others_get_a_part() {
    share_a_wire("");
}

#[test]
fn so_do_those_that_are_of_use_in_parts() {
    share_a_wire(", i");
}

/// Asks for the content of two urgencies in turn, and takes it slowly.
fn share_a_wire(incremental: &str) {
    let content = |bytes: usize| {
        let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {bytes}\r\n\r\n").into_bytes();
        [head, vec![b'x'; bytes]].concat()
    };
    // What it is asked first shuts the connection's window: nobody begins before all can.
    let (window, large) = (content(65_535), content(BYTES));
    let target = Target::scripted(move |connection| {
        while let Some(request) = connection.next_request()? {
            connection.send(if request.target == "/window" { &window } else { &large })?;
        }
        Ok(())
    });
    let limpet = config().listener(clear("web")).group(app().target("a", &target)).start();
    let client = limpet.client();
    client.wire.set_receive_buffer(16 << 10).unwrap();
    let mut client = Frames::begin(client, &[(INITIAL_WINDOW_SIZE, WINDOW_MAX)]);
    assert_eq!(client.get(1, "/window").response(1).1.len(), 65_535);
    let (urgent, other) = (format!("u=1{incremental}"), format!("u=5{incremental}"));
    for at in 0..2 * STREAMS {
        let priority = ("priority", if at % 2 == 0 { &*urgent } else { &*other });
        client.send(request(2 * at as u32 + 3, &[&get("/")[..], &[priority]].concat(), true));
    }
    for _ in 0..2 * STREAMS {
        assert_eq!(client.next_of_streams().status(), 200);
    }
    pause(Duration::from_millis(200));
    client.send(window_update(0, WINDOW_MAX));

    let started = Instant::now();
    let (mut received, mut taken) = ([0; 2 * STREAMS], 0);
    // Who has ended, and what all had taken by then.
    let mut ended = Vec::new();
    let mut others = 0;
    while ended.len() < 2 * STREAMS {
        let frame = client.next_of_streams();
        assert_eq!(frame.kind, DATA, "{frame:?}");
        let at = (frame.stream as usize - 3) / 2;
        received[at] += frame.payload.len();
        taken += frame.payload.len();
        if frame.ends() {
            ended.push((at, taken));
        }
        if ended.len() < STREAMS {
            others += if at % 2 == 1 { frame.payload.len() } else { 0 };
            let due = Duration::from_secs_f64(taken as f64 / BYTES_PER_SECOND);
            pause(due.saturating_sub(started.elapsed()));
        }
    }
    assert_eq!(received, [BYTES; 2 * STREAMS]);
    let (first, last) = (ended[0].1, ended[STREAMS - 1].1);
    assert!(ended[..STREAMS].iter().all(|(at, _)| at % 2 == 0), "the urgent first: {ended:?}");
    assert!(first * 10 >= last * 9, "equal ones end within a tenth of the time: {ended:?}");
    assert!(others * 20 >= last, "of {last} bytes until then, the others got {others}");
}
