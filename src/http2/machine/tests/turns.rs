//! Who sends when (RFC 9218): urgency, equal shares, and a part for those that are less urgent.

use super::wire::*;
use super::*;
use crate::http2::frame::Kind;
use crate::http2::settings::id;

const LARGE: &[u8] = &[b'x'; 1 << 20];

fn with_priority(stream: u32, priority: &str) -> Vec<u8> {
    headers(stream, &[get_block(), block(&[("priority", priority)])].concat(), true)
}

/// A client with windows that never close, and the streams that want to send.
struct Senders {
    probe: Probe,
    /// Bytes that are left, by id.
    left: Vec<(Key, usize)>,
    /// In the order of their ends.
    ended: Vec<u32>,
    /// Most bytes that one of them has at a time; those behind come when the connection has sent.
    piece: usize,
    /// Those that have none until then.
    idle: Vec<Key>,
}

impl Senders {
    fn new(requests: &[Vec<u8>]) -> Senders {
        let mut probe = Probe::new(Options::server());
        probe.feed(&greeting(&[(id::INITIAL_WINDOW_SIZE, 0x7fff_ffff)]));
        probe.feed(&window_update(0, 0x7000_0000));
        let (left, ended, idle) = (Vec::new(), Vec::new(), Vec::new());
        let mut senders = Senders { probe, left, ended, piece: LARGE.len(), idle };
        requests.iter().for_each(|request| senders.open(request));
        senders
    }

    fn open(&mut self, request: &[u8]) {
        self.probe.feed(request);
        let key = *self.probe.keys.last().expect("a stream");
        self.probe.machine.respond_with(key, 200, false, |_, _| {}).expect("open");
        self.left.push((key, LARGE.len()));
        self.send(key);
    }

    fn send(&mut self, key: Key) {
        let (_, left) = self.left.iter_mut().find(|(other, _)| *other == key).expect("a sender");
        let piece = self.piece.min(*left);
        let sent = self.probe.machine.send(key, &LARGE[..piece], piece == *left).expect("open");
        *left -= sent;
        if *left == 0 {
            self.ended.push(key.id());
        } else if sent == piece {
            self.idle.push(key);
        }
    }

    /// One send of the connection; returns its frames.
    fn turn(&mut self) -> Vec<Sent> {
        while let Some(key) = self.probe.machine.next_turn() {
            self.send(key);
        }
        let frames = self.probe.frames();
        let bytes: usize = frames.iter().map(|frame| frame.payload.len()).sum();
        assert!(bytes <= 66 * 1024, "a turn is bounded: {bytes}");
        std::mem::take(&mut self.idle).into_iter().for_each(|key| self.send(key));
        frames
    }

    fn sent(&self, urgent: bool) -> usize {
        let among = self.left.iter().filter(|(key, _)| (key.id() % 4 == 1) == urgent);
        among.map(|(_, left)| LARGE.len() - left).sum()
    }
}

#[test]
fn of_two_urgencies_the_first_ends_first_and_the_other_gets_a_part() {
    for incremental in ["", ", i"] {
        let requests: Vec<Vec<u8>> = (0..32)
            .map(|at| {
                let urgency = if at % 2 == 0 { 1 } else { 5 };
                with_priority(at * 2 + 1, &format!("u={urgency}{incremental}"))
            })
            .collect();
        let mut senders = Senders::new(&requests);
        while senders.ended.len() < 16 {
            assert!(!senders.turn().is_empty());
            let (urgent, other) = (senders.sent(true), senders.sent(false));
            if urgent > LARGE.len() {
                let part = other * 100 / (urgent + other);
                assert!((5..=12).contains(&part), "{part} % for the less urgent");
            }
        }
        // The urgent ones have ended; of the equal ones none was far behind.
        assert!(senders.ended.iter().all(|id| id % 4 == 1), "{:?}", senders.ended);
        while senders.ended.len() < 32 {
            assert!(!senders.turn().is_empty());
        }
    }
}

#[test]
fn what_is_owed_to_one_that_has_little_is_owed_to_the_others() {
    let priority =
        |at: u32| with_priority(at * 2 + 1, if at.is_multiple_of(2) { "u=1" } else { "u=5" });
    let requests: Vec<Vec<u8>> = (0..32).map(priority).collect();
    let mut senders = Senders::new(&requests);
    senders.piece = 20_000;
    while senders.sent(true) < 8 * LARGE.len() {
        assert!(!senders.turn().is_empty());
    }
    let (urgent, other) = (senders.sent(true), senders.sent(false));
    let part = other * 100 / (urgent + other);
    assert!((7..=12).contains(&part), "{part} % for the less urgent");
}

#[test]
fn equal_streams_get_equal_shares() {
    for priority in ["u=3", "u=3, i"] {
        let requests: Vec<Vec<u8>> =
            (0..16).map(|at| with_priority(at * 2 + 1, priority)).collect();
        let mut senders = Senders::new(&requests);
        while senders.ended.is_empty() {
            senders.turn();
            let sent = senders.left.iter().map(|(_, left)| LARGE.len() - left);
            let (least, most) = (sent.clone().min().unwrap_or(0), sent.max().unwrap_or(0));
            assert!(most - least <= LARGE.len() / 10, "{least} to {most}");
        }
    }
}

#[test]
fn a_small_response_passes_large_ones_that_are_less_urgent() {
    let large: Vec<Vec<u8>> = (0..8).map(|at| with_priority(at * 2 + 1, "u=4")).collect();
    let mut senders = Senders::new(&large);
    senders.turn();
    // Room is left where a turn begins.
    senders.probe.feed(&with_priority(101, "u=0"));
    assert_eq!(senders.probe.answer(101, b"soon"), Ok(true));
    let frames = senders.turn();
    let first = frames.iter().position(|frame| frame.is(Kind::Data, 101)).expect("the small one");
    assert!(first <= 2, "{first}");
    // As urgent as those that wait, it waits as they do.
    senders.probe.feed(&with_priority(103, "u=4"));
    assert_eq!(senders.probe.answer(103, b"wait"), Ok(false));
}

#[test]
fn a_priority_may_change_before_and_behind_the_request() {
    let update = |stream: u32, value: &str| {
        frame(Kind::PriorityUpdate, 0, 0, &[&stream.to_be_bytes(), value.as_bytes()].concat())
    };
    let mut senders = Senders::new(&[get(1), get(3)]);
    senders.probe.feed(&update(3, "u=1"));
    senders.probe.feed(&update(5, "u=0"));
    // The field in the request is older than the frame.
    senders.open(&with_priority(5, "u=7"));
    senders.open(&with_priority(7, "u=2"));
    let mut order = Vec::new();
    while senders.ended.len() < 4 {
        senders.turn();
    }
    order.append(&mut senders.ended);
    assert_eq!(order, [5, 3, 7, 1]);
}

#[test]
fn a_stream_that_ends_while_it_waits_gives_its_turn_away() {
    let requests: Vec<Vec<u8>> = (0..4).map(|at| with_priority(at * 2 + 1, "u=3")).collect();
    for how in 0..3 {
        let mut senders = Senders::new(&requests);
        senders.probe.frames();
        let key = senders.probe.machine.next_turn().expect("someone waits");
        match how {
            0 => senders.probe.feed(&rst_stream(key.id(), ErrorCode::Cancel)),
            1 => senders.probe.machine.reset(key, Cause::Internal, 0),
            _ => senders.probe.machine.finish(key),
        }
        if how < 2 {
            assert_eq!(senders.probe.machine.send(key, b"x", true), Err(Closed));
        }
        senders.left.retain(|(other, _)| *other != key);
        let mut bytes = 0;
        for _ in 0..200 {
            let frames = senders.turn();
            bytes += frames.iter().map(|frame| frame.payload.len()).sum::<usize>();
        }
        assert_eq!(senders.ended.len(), 3);
        assert!(bytes > 2 << 20);
    }
}

#[test]
fn a_turn_that_is_not_used_stops_nobody() {
    let requests: Vec<Vec<u8>> = (0..6).map(|at| with_priority(at * 2 + 1, "u=3")).collect();
    let mut senders = Senders::new(&requests);
    senders.probe.frames();
    let first = senders.probe.machine.next_turn().expect("someone waits");
    let second = senders.probe.machine.next_turn().expect("someone waits");
    assert_eq!(senders.probe.machine.next_turn(), None, "all room is promised");
    for _ in 0..200 {
        senders.turn();
    }
    assert_eq!(senders.ended.len(), 4);
    // They may still use it.
    for key in [first, second] {
        assert!(senders.probe.machine.send(key, &LARGE[..1_000], false) == Ok(1_000));
    }
}

#[test]
fn a_stream_that_is_reset_while_it_waits_is_named_no_more() {
    for by_peer in [false, true] {
        let requests: Vec<Vec<u8>> = (0..3).map(|at| with_priority(at * 2 + 1, "u=3")).collect();
        let mut senders = Senders::new(&requests);
        senders.probe.frames();
        let key = senders.probe.key(3);
        match by_peer {
            true => senders.probe.feed(&rst_stream(3, ErrorCode::Cancel)),
            false => senders.probe.machine.reset(key, Cause::Internal, 0),
        }
        senders.probe.frames();
        while let Some(next) = senders.probe.machine.next_turn() {
            assert_ne!(next, key);
            senders.send(next);
            senders.probe.frames();
        }
    }
}
