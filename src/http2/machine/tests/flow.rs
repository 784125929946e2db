//! Windows in both directions (RFC 9113 §5.2, §6.9).

use super::wire::*;
use super::*;
use crate::http2::frame::Kind;
use crate::http2::settings::{WINDOW_DEFAULT, id};

/// The increments that were sent for a stream, summed up.
fn returned(frames: &[Sent], stream: u32) -> u32 {
    frames.iter().filter(|frame| frame.is(Kind::WindowUpdate, stream)).map(Sent::number).sum()
}

fn content(frames: &[Sent], stream: u32) -> usize {
    let data = frames.iter().filter(|frame| frame.is(Kind::Data, stream));
    data.map(|frame| frame.payload.len()).sum()
}

/// A server whose client has these settings, with a response to stream 1 begun.
fn responding(values: &[(u16, u32)]) -> (Probe, Key) {
    let mut probe = Probe::new(Options::server());
    probe.feed(&[greeting(values), get(1)].concat());
    let key = probe.key(1);
    probe.machine.respond_with(key, 200, false, |_, _| {}).expect("open");
    probe.frames();
    (probe, key)
}

#[test]
fn section_6_9_1_a_window_of_one_byte() {
    let (mut probe, key) = responding(&[(id::INITIAL_WINDOW_SIZE, 1)]);
    assert_eq!(probe.machine.send(key, b"hello", true), Ok(1));
    assert_eq!(probe.machine.next_turn(), None);
    for left in ["ello", "llo", "lo", "o"] {
        assert_eq!(probe.machine.next_turn(), None);
        probe.feed(&window_update(1, 1));
        assert_eq!(probe.machine.next_turn(), Some(key));
        assert_eq!(probe.machine.send(key, left.as_bytes(), true), Ok(1));
    }
    assert!(probe.frames().last().expect("DATA").ends());
}

#[test]
fn section_6_9_2_a_changed_initial_window() {
    let (mut probe, key) = responding(&[(id::INITIAL_WINDOW_SIZE, 0)]);
    assert_eq!(probe.machine.send(key, b"hello", true), Ok(0));
    probe.feed(&settings(&[(id::INITIAL_WINDOW_SIZE, 3)]));
    assert_eq!(probe.machine.next_turn(), Some(key));
    assert_eq!(probe.machine.send(key, b"hello", true), Ok(3));
    // Now it is negative.
    probe.feed(&settings(&[(id::INITIAL_WINDOW_SIZE, 2)]));
    probe.feed(&window_update(1, 1));
    assert_eq!(probe.machine.next_turn(), None);
    probe.feed(&window_update(1, 2));
    assert_eq!(probe.machine.next_turn(), Some(key));
    assert_eq!(probe.machine.send(key, b"lo", true), Ok(2));
    // Of several values in one frame the last counts.
    let (mut probe, key) =
        responding(&[(id::INITIAL_WINDOW_SIZE, 9), (id::INITIAL_WINDOW_SIZE, 1)]);
    assert_eq!(probe.machine.send(key, b"hello", true), Ok(1));
    // Hundreds of streams that wait all go on.
    let mut options = Options::server();
    options.own.max_concurrent_streams = 300;
    let mut probe = Probe::greeted(options);
    probe.feed(&settings(&[(id::INITIAL_WINDOW_SIZE, 0)]));
    for at in 0..300 {
        probe.feed(&get(at * 2 + 1));
        assert_eq!(probe.answer(at * 2 + 1, b"x"), Ok(false));
    }
    probe.feed(&settings(&[(id::INITIAL_WINDOW_SIZE, 1)]));
    let mut count = 0;
    while let Some(key) = probe.machine.next_turn() {
        assert_eq!(probe.machine.send(key, b"x", true), Ok(1));
        count += 1;
    }
    assert_eq!(count, 300);
}

#[test]
fn a_stream_is_blocked_while_either_window_is_closed() {
    let (mut probe, key) = responding(&[(id::INITIAL_WINDOW_SIZE, 1 << 20)]);
    assert!(!probe.machine.is_blocked(key, true));
    let large = vec![b'x'; 100_000];
    let mut sent = probe.machine.send(key, &large, true).expect("open");
    probe.frames();
    while let Some(key) = probe.machine.next_turn() {
        assert!(!probe.machine.is_blocked(key, true));
        sent += probe.machine.send(key, &large[sent..], true).expect("open");
        probe.frames();
    }
    assert!(sent < large.len() && probe.machine.is_blocked(key, true), "by the connection's");
    probe.feed(&window_update(0, 1));
    assert!(!probe.machine.is_blocked(key, true));

    let (mut probe, key) = responding(&[(id::INITIAL_WINDOW_SIZE, 0)]);
    assert!(probe.machine.is_blocked(key, true), "by its own");
    probe.feed(&window_update(1, 1));
    assert!(!probe.machine.is_blocked(key, true));
}

#[test]
fn the_window_of_the_connection_bounds_all_streams() {
    let (mut probe, key) = responding(&[(id::INITIAL_WINDOW_SIZE, 1 << 20)]);
    let large = vec![b'x'; 100_000];
    let mut sent = probe.machine.send(key, &large, true).expect("open");
    let mut frames = probe.frames();
    while let Some(key) = probe.machine.next_turn() {
        sent += probe.machine.send(key, &large[sent..], true).expect("open");
        frames.extend(probe.frames());
    }
    assert_eq!((sent, content(&frames, 1)), (WINDOW_DEFAULT as usize, WINDOW_DEFAULT as usize));
    // A response without content, and the end of one, need no window.
    probe.feed(&get(3));
    assert_eq!(probe.answer(3, b""), Ok(true));
    probe.feed(&get(5));
    let other = probe.key(5);
    probe.machine.respond_with(other, 200, false, |_, _| {}).expect("open");
    assert_eq!(probe.machine.send(other, b"", true), Ok(0));
    assert!(probe.frames().last().expect("DATA").ends());
    probe.feed(&window_update(0, 1_000_000));
    assert_eq!(probe.machine.next_turn(), Some(key));
    probe.machine.send(key, &large[sent..], true).expect("open");
}

#[test]
fn frames_are_no_longer_than_either_side_wants() {
    for (peer, own, expected) in
        [(16_384, 16_375, 16_375), (65_536, 32_768, 32_768), (20_000, 32_768, 20_000)]
    {
        let options = Options { frame_bytes_max: own, ..Options::server() };
        let mut probe = Probe::new(options);
        probe.feed(&[greeting(&[(id::MAX_FRAME_SIZE, peer)]), get(1)].concat());
        let key = probe.key(1);
        probe.machine.respond_with(key, 200, false, |_, _| {}).expect("open");
        assert_eq!(probe.machine.send(key, &[0; 40_000], true), Ok(40_000));
        let frames = probe.frames();
        let data: Vec<&Sent> = frames.iter().filter(|frame| frame.is(Kind::Data, 1)).collect();
        assert_eq!(data[0].header.length, expected);
        assert_eq!(content(&frames, 1), 40_000);
        assert_eq!(data.iter().filter(|frame| frame.ends()).count(), 1);
    }
}

#[test]
fn credit_of_the_connection_returns_on_receipt_and_that_of_a_stream_when_it_is_taken() {
    let mut probe = Probe::server();
    probe.takes = false;
    probe.feed(&[post(1), post(3)].concat());
    (0..3).for_each(|_| probe.feed(&data(1, &[0; 16_384], false)));
    let frames = probe.frames();
    assert!(returned(&frames, 0) >= 3 * 16_384);
    assert_eq!(returned(&frames, 1), 0);
    // A stream that stalls stops itself only.
    probe.feed(&data(1, &[0; 16_384], false));
    probe.feed(&data(3, &[0; 16_384], false));
    assert_eq!(probe.fault(), None);
    probe.feed(&data(1, &[0; 16_384], false));
    let frames = probe.frames();
    assert!(
        frames.iter().any(
            |frame| frame.is(Kind::RstStream, 1) && frame.code() == ErrorCode::FlowControlError
        )
    );
    assert!(!probe.machine.is_over());
    probe.machine.take(probe.key(3), 16_384);
    probe.feed(&data(3, &[0; 16_384], false));
    probe.machine.take(probe.key(3), 16_384);
    assert_eq!(returned(&probe.frames(), 3), 32_768);
}

#[test]
fn padding_returns_at_once() {
    let mut probe = Probe::server();
    probe.takes = false;
    probe.feed(&post(1));
    for _ in 0..2_000 {
        probe.feed(&padded(1, b"", 0));
        probe.feed(&data(1, b"x", false));
    }
    let mut probe = Probe::server();
    probe.feed(&post(1));
    // More than all windows hold.
    for _ in 0..1_000 {
        probe.feed(&padded(1, &[b'x'; 64], 255));
        probe.frames();
    }
    assert_eq!(probe.fault(), None);
    assert_eq!(probe.machine.stream_count(), 1);
}

#[test]
fn a_larger_window_than_the_default_is_known_before_its_acknowledgement() {
    // Until the client has acknowledged a smaller window, it may use the one that the RFC gives.
    let mut options = Options::server();
    options.own.initial_window_bytes = 1_000;
    let mut probe = Probe::new(options);
    probe.takes = false;
    probe.feed(&[&crate::http2::frame::PREFACE[..], &settings(&[]), &post(1)].concat());
    probe.feed(&data(1, &[0; 10_000], false));
    assert_eq!(probe.fault(), None);
    probe.feed(&settings_ack());
    probe.feed(&[post(3), data(3, &[0; 1_001], false)].concat());
    let resets: Vec<u32> = probe
        .frames()
        .iter()
        .filter(|frame| frame.header.kind == Kind::RstStream)
        .map(|frame| frame.header.stream)
        .collect();
    assert_eq!(resets, [3]);
}

#[test]
fn content_that_nobody_wants_returns_to_the_connection() {
    let mut probe = Probe::server();
    for at in 0..40 {
        let id = at * 2 + 1;
        probe.feed(&post(id));
        let key = probe.key(id);
        probe.machine.reset(key, Cause::Internal, 0);
        probe.finish(id);
        probe.feed(&data(id, &[0; 16_384], false));
        probe.frames();
    }
    assert_eq!(probe.fault(), None);
    // So does what was held of an exchange that ends.
    let mut probe = Probe::server();
    probe.takes = false;
    for at in 0..400 {
        let id = at * 2 + 1;
        probe.feed(&[post(id), data(id, &[0; 16_384], false)].concat());
        assert_eq!(probe.answer(id, b""), Ok(true));
        probe.finish(id);
        let frames = probe.frames();
        assert!(
            frames
                .iter()
                .any(|frame| frame.is(Kind::RstStream, id) && frame.code() == ErrorCode::NoError)
        );
    }
    assert_eq!(
        (probe.fault(), probe.machine.counts().endings.resets[Cause::Early as usize]),
        (None, 400)
    );
}
