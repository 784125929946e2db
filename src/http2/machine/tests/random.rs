//! Random frames, valid and not, against what always holds: no stream is lost or ends twice, what is sent can be read,
//! windows return, memory is bounded, and it does not matter where the input is cut.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::wire::*;
use super::*;
use crate::http2::frame::{Frame, Kind, flags, parse};
use crate::http2::settings::id;

/// What a peer does; ids are mostly those of streams that are open.
fn step() -> impl Strategy<Value = Vec<u8>> {
    let id = || (0_u32..12).prop_map(|at| at * 2 + 1);
    let any_id = || prop_oneof![20 => id(), 1 => 0_u32..30];
    let code = (0_u32..16).prop_map(ErrorCode::of);
    let value = prop_oneof![Just(0_u32), Just(1), Just(65_535), Just(0x7fff_ffff), any::<u32>()];
    prop_oneof![
        8 => id().prop_map(get),
        8 => id().prop_map(post),
        4 => id().prop_map(|id| in_parts(id, &post_block())),
        2 => id().prop_map(|id| headers(id, &block(&[("x-trailer", "v")]), true)),
        2 => (id(), 0_u64..300).prop_map(|(id, length)| {
            let length = length.to_string();
            headers(id, &[post_block(), block(&[("content-length", &length)])].concat(), false)
        }),
        12 => (any_id(), 0_usize..20_000, any::<bool>())
            .prop_map(|(id, length, ends)| data(id, &vec![b'x'; length.min(16_384)], ends)),
        6 => (id(), 0_usize..300, 0_u8..=255).prop_map(|(id, length, padding)| {
            padded(id, &vec![b'x'; length], padding)
        }),
        4 => (any_id(), code.clone()).prop_map(|(id, code)| rst_stream(id, code)),
        6 => (any_id(), 0_u32..100_000).prop_map(|(id, increment)| window_update(id, increment)),
        2 => (1_u16..10, value).prop_map(|(id, value)| settings(&[(id, value)])),
        2 => (0_u32..100_000).prop_map(|value| settings(&[(id::INITIAL_WINDOW_SIZE, value)])),
        1 => Just(settings_ack()),
        2 => Just(ping(*b"12345678")),
        1 => Just(ping_ack(*b"limpet-.")),
        1 => (0_u32..20, code).prop_map(|(last, code)| goaway(last, code)),
        2 => (id(), 0_u8..8).prop_map(|(id, urgency)| {
            let value = [&id.to_be_bytes()[..], b"u=", &[b'0' + urgency]].concat();
            frame(Kind::PriorityUpdate, 0, 0, &value)
        }),
        1 => id().prop_map(|id| frame(Kind::Priority, 0, id, &[0, 0, 0, 1, 1])),
        1 => (any::<u8>(), any::<u8>(), any_id(), proptest::collection::vec(any::<u8>(), 0..40))
            .prop_map(|(kind, flags, id, payload)| frame(Kind::of(kind), flags, id, &payload)),
        1 => (id(), proptest::collection::vec(any::<u8>(), 0..40))
            .prop_map(|(id, block)| headers(id, &block, false)),
    ]
}

fn in_parts(id: u32, block: &[u8]) -> Vec<u8> {
    let first = frame(Kind::Headers, flags::END_STREAM, id, &block[..2]);
    [first, frame(Kind::Continuation, flags::END_HEADERS, id, &block[2..])].concat()
}

/// How far a stream is, as the events tell.
#[derive(Debug, PartialEq, Eq)]
enum Told {
    Open,
    Ended,
    Over,
}

/// An owner of streams whose deeds depend on the events alone.
struct Owner {
    probe: Probe,
    told: BTreeMap<u32, (Key, Told)>,
    /// Streams whose exchange has ended.
    finished: Vec<u32>,
    has_fault: bool,
}

impl Owner {
    fn new(options: Options) -> Owner {
        let probe = Probe::greeted(options);
        let told = BTreeMap::new();
        Owner { probe, told, finished: Vec::new(), has_fault: false }
    }

    fn receive(&mut self, bytes: &[u8]) {
        self.probe.rest.extend_from_slice(bytes);
        let rest = std::mem::take(&mut self.probe.rest);
        let mut input = &rest[..];
        while let Some(event) = self.probe.machine.receive(&mut input, self.probe.now_ms) {
            self.probe.seen.push(seen(&event));
            self.see(event);
            self.act();
        }
        self.probe.rest = input.to_vec();
    }

    fn see(&mut self, event: Event<'_>) {
        assert!(!self.has_fault, "nothing comes after a fault");
        match event {
            Event::Head { stream, block, ends } => {
                let told = if ends { Told::Ended } else { Told::Open };
                if self.probe.machine.options.side == Side::Server {
                    assert!(!self.told.contains_key(&stream.id()), "a stream opens once");
                    assert!(!self.finished.contains(&stream.id()));
                } else {
                    assert_eq!(self.told[&stream.id()].1, Told::Open);
                }
                self.told.insert(stream.id(), (stream, told));
                spare::give_back(block);
            }
            Event::Content { stream, bytes, ends } => {
                let (_, told) = self.told.get_mut(&stream.id()).expect("a stream");
                assert_eq!(*told, Told::Open);
                assert!(ends || !bytes.is_empty());
                *told = if ends { Told::Ended } else { Told::Open };
                // Some is taken later, or never.
                match stream.id() % 3 {
                    0 => self.probe.machine.take(stream, bytes.len()),
                    1 => self.probe.machine.take(stream, bytes.len() / 2),
                    _ => {}
                }
            }
            Event::Trailers { stream, block } => {
                let (_, told) = self.told.get_mut(&stream.id()).expect("a stream");
                assert_eq!(std::mem::replace(told, Told::Ended), Told::Open);
                spare::give_back(block);
            }
            Event::Malformed { stream, .. } => {
                let (_, told) = self.told.get_mut(&stream.id()).expect("a stream");
                assert_eq!(std::mem::replace(told, Told::Ended), Told::Open);
                self.probe.machine.reset(stream, Cause::Malformed, 0);
                self.finish(stream);
            }
            Event::Reset { stream, .. } | Event::Unprocessed { stream } => {
                let (_, told) = self.told.get_mut(&stream.id()).expect("a stream");
                assert_ne!(std::mem::replace(told, Told::Over), Told::Over);
                self.finish(stream);
            }
            Event::Settings | Event::Goaway { .. } => {}
            Event::Fault(_) => self.has_fault = true,
        }
    }

    /// Answers some streams at once, others when they have ended; goes on with what waited.
    fn act(&mut self) {
        let machine = &mut self.probe.machine;
        let mut done = Vec::new();
        for (id, (key, told)) in &self.told {
            let is_wanted = match id % 5 {
                0 | 1 => true,
                2 | 3 => *told == Told::Ended,
                _ => false,
            };
            if !is_wanted {
                continue;
            }
            let _ = machine.respond_with(*key, 200, false, |_, _| {});
            let size = 7_000 * (*id as usize);
            match machine.send(*key, &vec![b'y'; size], true) {
                Ok(sent) if sent == size => done.push(*key),
                Ok(_) | Err(Closed) => {}
            }
        }
        while let Some(key) = machine.next_turn() {
            if machine.send(key, b"the rest", true) == Ok(8) {
                done.push(key);
            }
        }
        done.into_iter().for_each(|key| self.finish(key));
    }

    fn finish(&mut self, key: Key) {
        self.probe.machine.finish(key);
        if self.told.remove(&key.id()).is_some() {
            self.finished.push(key.id());
        }
    }

    /// What always holds between two inputs.
    fn check(&self) {
        let machine = &self.probe.machine;
        let keys: Vec<u32> = machine.keys().map(Key::id).collect();
        let mut told: Vec<u32> = self.told.keys().copied().collect();
        let mut open = keys.clone();
        open.sort_unstable();
        told.sort_unstable();
        assert_eq!(open, told, "the streams are those that were told of");
        let held: u32 = machine.streams.iter().map(|(_, stream)| stream.flow.held()).sum();
        assert_eq!(held, machine.flow.held());
        assert!(machine.output.content_bytes <= super::super::output::ROOM_BYTES);
        assert!(machine.unsent_bytes() < 256 * 1024, "{}", machine.unsent_bytes());
        assert!(machine.capacity_bytes() < 1 << 20, "{}", machine.capacity_bytes());
        assert!(self.probe.rest.len() < 9 + 16_384);
    }

    /// Every stream is finished: all windows are where they began.
    fn end(mut self) {
        let keys: Vec<Key> = self.told.values().map(|(key, _)| *key).collect();
        keys.into_iter().for_each(|key| self.finish(key));
        let machine = &mut self.probe.machine;
        assert_eq!((machine.stream_count(), machine.flow.held()), (0, 0));
        assert!(!machine.turns.is_awaited());
        machine.end(&mut self.probe.pool);
        assert_eq!(self.probe.pool.free(), 1 << 26);
    }
}

/// What is sent can be read, and nothing is sent on a stream that was ended or reset before.
#[derive(Default)]
struct Reader {
    ended: BTreeMap<u32, bool>,
    is_over: bool,
}

impl Reader {
    fn read(&mut self, frames: &[Sent]) {
        for sent in frames {
            assert!(!self.is_over, "GOAWAY with an error is the last frame: {sent:?}");
            let side = crate::http2::frame::Side::Server;
            let frame = parse(sent.header, &sent.payload, side).expect("a valid frame");
            let is_reset = self.ended.get(&sent.header.stream).copied();
            match frame {
                Frame::Data { end_stream, .. } | Frame::Headers { end_stream, .. } => {
                    assert_eq!(is_reset, None, "{sent:?}");
                    if end_stream {
                        self.ended.insert(sent.header.stream, false);
                    }
                }
                // A stream may be reset again that its peer goes on with.
                Frame::RstStream { .. } => drop(self.ended.insert(sent.header.stream, true)),
                Frame::Goaway { code, .. } => self.is_over = code != 0,
                Frame::WindowUpdate { increment } => assert!(increment > 0),
                _ => {}
            }
        }
    }
}

fn options(streams: u32, window: u32) -> Options {
    let mut options = Options::server();
    options.own.max_concurrent_streams = streams;
    options.own.initial_window_bytes = window;
    options
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn whatever_comes_no_stream_is_lost(
        steps in proptest::collection::vec((step(), any::<bool>()), 1..150),
        streams in 1_u32..10,
        window in prop_oneof![Just(65_536_u32), 1_u32..100_000],
    ) {
        let mut owner = Owner::new(options(streams, window));
        let mut reader = Reader::default();
        for (step, transmits) in &steps {
            owner.receive(step);
            owner.check();
            if *transmits {
                reader.read(&owner.probe.frames());
                owner.act();
            }
        }
        reader.read(&owner.probe.frames());
        owner.end();
    }

    #[test]
    fn it_does_not_matter_where_the_input_is_cut(
        steps in proptest::collection::vec(step(), 1..40),
        cuts in proptest::collection::vec(1_usize..2_000, 1..10),
    ) {
        let bytes = steps.concat();
        let mut whole = Owner::new(options(8, 65_536));
        whole.receive(&bytes);
        let mut cut = Owner::new(options(8, 65_536));
        let (mut rest, mut at) = (&bytes[..], 0);
        while !rest.is_empty() {
            let (part, after) = rest.split_at(cuts[at % cuts.len()].min(rest.len()));
            cut.receive(part);
            rest = after;
            at += 1;
        }
        prop_assert_eq!(whole.probe.events(), cut.probe.events());
        prop_assert_eq!(whole.probe.frames(), cut.probe.frames());
        prop_assert_eq!(&whole.probe.rest, &cut.probe.rest);
    }

    #[test]
    fn a_client_loses_no_stream_either(
        steps in proptest::collection::vec((step(), 0_u8..4), 1..150),
    ) {
        let mut owner = Owner::new(Options { streams_max: 6, ..Options::client() });
        for (step, deed) in &steps {
            if *deed == 0 && let Ok(key) = owner.probe.machine.request(&get_block(), true, 0) {
                owner.told.insert(key.id(), (key, Told::Open));
            }
            // Clients' heads are responses here and there.
            let step = if *deed == 1 { headers(1, &[0x88], false) } else { step.clone() };
            owner.receive(&step);
            owner.check();
            owner.probe.frames();
        }
        owner.end();
    }
}

#[test]
fn a_recorded_connection_is_the_same_at_every_cut() {
    let recorded = [
        get(1),
        post(3),
        in_parts(5, &post_block()),
        data(3, b"some content", false),
        padded(3, b"and padding", 7),
        frame(Kind::PriorityUpdate, 0, 0, b"\0\0\0\x01u=1"),
        ping(*b"12345678"),
        settings(&[(id::INITIAL_WINDOW_SIZE, 5_000)]),
        headers(3, &block(&[("x-sum", "1")]), true),
        post(7),
        window_update(7, 100),
        rst_stream(7, ErrorCode::Cancel),
        goaway(0, ErrorCode::NoError),
        data(5, b"too late", true),
    ]
    .concat();
    let run = |cut: usize| {
        let mut owner = Owner::new(options(8, 65_536));
        let (first, second) = recorded.split_at(cut);
        owner.receive(first);
        owner.receive(second);
        (owner.probe.events(), owner.probe.frames())
    };
    let whole = run(0);
    assert!(whole.0.len() > 9, "{whole:?}");
    for cut in 1..recorded.len() {
        assert_eq!(run(cut), whole, "cut at {cut}");
    }
}
