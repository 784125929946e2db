//! Any bytes in any pieces to the machine of either side, whose owner does anything in any order: no panic; no stream
//! is lost or ends twice; what is sent can be read, and nothing follows the end of its stream; memory is bounded; the
//! windows return when every stream is finished.
#![no_main]

use std::collections::BTreeMap;

use libfuzzer_sys::fuzz_target;
use limpet::http::head::ContentLength;
use limpet::http2::hpack::spare;
use limpet::http2::flow::Pool;
use limpet::http2::frame::{Frame, HEADER_BYTES, Header, PREFACE, Side, parse};
use limpet::http2::machine::events::{Cause, Event, Key};
use limpet::http2::machine::{Machine, Options};

const POOL_BYTES: u64 = 1 << 26;
/// SETTINGS without values, and the acknowledgement of limpet's.
const SETTINGS: [u8; 18] = [0, 0, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 4, 1, 0, 0, 0, 0];
/// GET http://a/.
const BLOCK: [u8; 6] = [0x82, 0x86, 0x84, 0x01, 1, b'a'];

/// How far a stream is, as the events tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Told {
    Open,
    Ended,
    Over,
}

struct Owner {
    machine: Machine,
    pool: Pool,
    side: Side,
    now_ms: u64,
    rest: Vec<u8>,
    out: Vec<u8>,
    told: BTreeMap<u32, (Key, Told)>,
    has_fault: bool,
    /// Streams on which limpet has sent END_STREAM or RST_STREAM.
    ended: BTreeMap<u32, ()>,
}

impl Owner {
    fn new(side: Side) -> Owner {
        let mut options = if side == Side::Server { Options::server() } else { Options::client() };
        options.own.max_concurrent_streams = 8;
        options.streams_max = 8;
        Owner {
            machine: Machine::new(options, 0),
            pool: Pool::new(POOL_BYTES),
            side,
            now_ms: 0,
            rest: Vec::new(),
            out: Vec::new(),
            told: BTreeMap::new(),
            has_fault: false,
            ended: BTreeMap::new(),
        }
    }

    fn receive(&mut self, bytes: &[u8]) {
        self.rest.extend_from_slice(bytes);
        let rest = std::mem::take(&mut self.rest);
        let mut input = &rest[..];
        while let Some(event) = self.machine.receive(&mut input, self.now_ms) {
            self.see(event);
        }
        self.rest = input.to_vec();
        assert!(self.rest.len() < HEADER_BYTES + 16_384);
    }

    fn see(&mut self, event: Event<'_>) {
        assert!(!self.has_fault, "nothing comes after a fault");
        match event {
            Event::Head { stream, block, ends } => {
                let told = if ends { Told::Ended } else { Told::Open };
                let before = self.told.insert(stream.id(), (stream, told));
                match self.side {
                    Side::Server => assert!(before.is_none(), "a stream opens once"),
                    Side::Client => assert_eq!(before, Some((stream, Told::Open))),
                }
                spare::give_back(block);
            }
            Event::Content { stream, bytes, ends } => {
                assert!(ends || !bytes.is_empty());
                self.tell(stream, if ends { Told::Ended } else { Told::Open }, Told::Open);
                self.machine.take(stream, bytes.len() / 2);
            }
            Event::Trailers { stream, block } => {
                self.tell(stream, Told::Ended, Told::Open);
                spare::give_back(block);
            }
            Event::Malformed { stream, .. } => self.tell(stream, Told::Ended, Told::Open),
            Event::Reset { stream, .. } | Event::Unprocessed { stream } => {
                let (_, told) = self.told.get_mut(&stream.id()).expect("a stream");
                assert_ne!(std::mem::replace(told, Told::Over), Told::Over, "a stream ends once");
            }
            Event::Settings | Event::Goaway { .. } => {}
            Event::Fault(fault) => {
                assert!(!fault.word().is_empty());
                self.has_fault = true;
            }
        }
    }

    fn tell(&mut self, stream: Key, now: Told, before: Told) {
        let (_, told) = self.told.get_mut(&stream.id()).expect("a stream");
        assert_eq!(std::mem::replace(told, now), before);
    }

    /// One deed of the owner, on the stream that `at` points to where it needs one.
    fn act(&mut self, deed: u8, at: u8) {
        let machine = &mut self.machine;
        let count = self.told.len().max(1);
        let key = self.told.values().nth(usize::from(at) % count).map(|(key, _)| *key);
        match (deed % 14, key) {
            (0, _) => self.transmit(),
            (1, _) => {
                self.now_ms += u64::from(at) * 200;
                while let Some(event) = self.machine.expire(self.now_ms) {
                    self.see(event);
                }
            }
            (2, _) => {
                if let Ok(key) = machine.request(&BLOCK, at % 2 == 0, self.now_ms) {
                    self.told.insert(key.id(), (key, Told::Open));
                }
            }
            (3, _) if at == 7 => machine.drain(self.now_ms),
            (3, _) => machine.shrink(&mut self.pool),
            (4, _) => {
                while let Some(key) = machine.next_turn() {
                    let _ = machine.send(key, &vec![b'x'; usize::from(at) * 300], at % 2 == 0);
                }
            }
            (5 | 6, Some(key)) => {
                let status = if at % 4 == 0 { 103 } else { 200 };
                let _ = machine.respond_with(key, status, at % 4 == 1, |_, _| {});
            }
            (7 | 8, Some(key)) => {
                let bytes = vec![b'y'; usize::from(at) * 400];
                if let Ok(sent) = machine.send(key, &bytes, at % 3 == 0) {
                    assert!(sent <= bytes.len());
                }
            }
            (9, Some(key)) => drop(machine.send_trailers(key, b"x-sum: 1\r\n")),
            (10, Some(key)) => {
                let cause = if at % 2 == 0 { Cause::Malformed } else { Cause::Cancel };
                machine.reset(key, cause, self.now_ms);
                // Its peer's end is not told any more.
                self.told.insert(key.id(), (key, Told::Over));
            }
            (11, Some(key)) => machine.take(key, usize::from(at) * 100),
            (12, Some(key)) => {
                if machine.expect(key, ContentLength::Exact(u64::from(at))).is_err() {
                    self.told.insert(key.id(), (key, Told::Ended));
                }
            }
            (13, Some(key)) => self.finish(key),
            (_, None) | (14.., _) => {}
        }
    }

    fn finish(&mut self, key: Key) {
        self.machine.finish(key);
        self.told.remove(&key.id());
    }

    fn transmit(&mut self) {
        self.machine.transmit(&mut self.out, &mut self.pool);
        let out = std::mem::take(&mut self.out);
        let mut rest = &out[..];
        if self.side == Side::Client {
            rest = rest.strip_prefix(PREFACE).unwrap_or(rest);
        }
        while let Some((head, after)) = rest.split_first_chunk::<HEADER_BYTES>() {
            let header = Header::read(head);
            let (payload, after) = after.split_at(header.length as usize);
            rest = after;
            let frame = parse(header, payload, Side::Server).expect("a valid frame");
            match frame {
                Frame::Data { end_stream, .. } | Frame::Headers { end_stream, .. } => {
                    assert!(!self.ended.contains_key(&header.stream), "it has ended");
                    if end_stream {
                        self.ended.insert(header.stream, ());
                    }
                }
                Frame::RstStream { .. } => drop(self.ended.insert(header.stream, ())),
                _ => {}
            }
        }
        assert!(rest.is_empty());
    }

    fn check(&self) {
        let mut keys: Vec<u32> = self.machine.keys().map(Key::id).collect();
        keys.sort_unstable();
        assert!(keys.iter().eq(self.told.keys()), "the streams are those that were told of");
        assert!(self.machine.capacity_bytes() < 1 << 22);
    }
}

fuzz_target!(|data: &[u8]| {
    let [side, greets, rest @ ..] = data else { return };
    let side = if side % 2 == 0 { Side::Server } else { Side::Client };
    let mut owner = Owner::new(side);
    if greets % 4 != 0 {
        if side == Side::Server {
            owner.receive(PREFACE);
        }
        owner.receive(&SETTINGS);
    }
    // A byte below 200 is the length of a piece of input that follows, another one a deed and its argument.
    let mut rest = rest;
    while let Some((control, after)) = rest.split_first() {
        rest = match (*control, after.split_first()) {
            (length @ 0..200, _) => {
                let (piece, after) = after.split_at(usize::from(length).min(after.len()));
                owner.receive(piece);
                after
            }
            (deed, Some((at, after))) => {
                owner.act(deed, *at);
                after
            }
            (_, None) => break,
        };
        owner.check();
    }
    let keys: Vec<Key> = owner.told.values().map(|(key, _)| *key).collect();
    keys.into_iter().for_each(|key| owner.finish(key));
    owner.transmit();
    assert_eq!(owner.machine.stream_count(), 0);
    owner.machine.end(&mut owner.pool);
    assert_eq!(owner.pool.free(), POOL_BYTES);
});
