//! The machine from outside: bytes in, events and bytes out.
//!
//! [`Probe`] drives one machine as the task of a connection does; its peer is the test, by [`wire`].

mod clauses;
mod flow;
mod life;
mod limits;
mod messages;
mod pairs;
mod random;
mod turns;
mod wire;

use super::events::{Cause, Closed, Event, Key, Malformed, ResetBy};
use super::fault::Fault;
use super::{Machine, Options};
use crate::http::fields::Fields;
use crate::http::head::{ContentLength, HeadLimits, Mode};
use crate::http2::flow::Pool;
use crate::http2::frame::Side;
use crate::http2::frame::error_code::ErrorCode;
use crate::http2::frame::fault::FrameFault;
use crate::http2::head;
use crate::http2::hpack::block::Block;
use crate::http2::hpack::encoder::Indexing;
use crate::http2::hpack::spare;

const LIMITS: HeadLimits = HeadLimits {
    request_line_bytes: 16 * 1024,
    field_line_bytes: 16 * 1024,
    head_bytes: 64 * 1024,
    field_count: 128,
};

/// An event in a form that can be compared.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Seen {
    Head { id: u32, lines: String, ends: bool },
    Content { id: u32, bytes: Vec<u8>, ends: bool },
    Trailers { id: u32, lines: String },
    Malformed { id: u32, cause: Malformed },
    Reset { id: u32, by: ResetBy },
    Unprocessed { id: u32 },
    Settings,
    Goaway { code: ErrorCode },
    Fault(Fault),
}

/// A machine and its surroundings.
struct Probe {
    machine: Machine,
    pool: Pool,
    now_ms: u64,
    /// Input of which no whole frame has come.
    rest: Vec<u8>,
    seen: Vec<Seen>,
    /// The streams that are not finished, by id.
    keys: Vec<Key>,
    /// What was transmitted and not looked at.
    out: Vec<u8>,
    /// Whether content is taken as soon as it has come.
    takes: bool,
}

impl Probe {
    fn new(options: Options) -> Probe {
        Probe {
            machine: Machine::new(options, 0),
            pool: Pool::new(1 << 26),
            now_ms: 0,
            rest: Vec::new(),
            seen: Vec::new(),
            keys: Vec::new(),
            out: Vec::new(),
            takes: true,
        }
    }

    /// A server that has greeted its client and was greeted.
    fn server() -> Probe {
        Probe::greeted(Options::server())
    }

    fn greeted(options: Options) -> Probe {
        let mut probe = Probe::new(options);
        match options.side {
            Side::Server => probe.feed(&wire::greeting(&[])),
            Side::Client => probe.feed(&[wire::settings(&[]), wire::settings_ack()].concat()),
        }
        assert_eq!(probe.events().iter().filter(|seen| **seen != Seen::Settings).count(), 0);
        probe.frames();
        probe
    }

    fn client() -> Probe {
        Probe::greeted(Options::client())
    }

    /// Receives these bytes behind those that were left.
    fn feed(&mut self, bytes: &[u8]) {
        self.rest.extend_from_slice(bytes);
        let rest = std::mem::take(&mut self.rest);
        let mut input = &rest[..];
        while let Some(event) = self.machine.receive(&mut input, self.now_ms) {
            let seen = seen(&event);
            self.note(&event);
            self.seen.push(seen);
            if let Event::Head { block, .. } | Event::Trailers { block, .. } = event {
                spare::give_back(block);
            }
        }
        self.rest = input.to_vec();
    }

    fn note(&mut self, event: &Event<'_>) {
        match *event {
            Event::Head { stream, .. } if !self.keys.contains(&stream) => self.keys.push(stream),
            Event::Content { stream, bytes, .. } if self.takes => {
                self.machine.take(stream, bytes.len());
            }
            _ => {}
        }
    }

    fn expire_at(&mut self, now_ms: u64) {
        self.now_ms = now_ms;
        while let Some(event) = self.machine.expire(now_ms) {
            self.seen.push(seen(&event));
        }
    }

    fn events(&mut self) -> Vec<Seen> {
        std::mem::take(&mut self.seen)
    }

    fn transmit(&mut self) {
        let mut out = Vec::new();
        self.machine.transmit(&mut out, &mut self.pool);
        self.out.extend_from_slice(&out);
    }

    /// The frames that were transmitted since the last look.
    fn frames(&mut self) -> Vec<wire::Sent> {
        self.transmit();
        let mut out = std::mem::take(&mut self.out);
        if out.starts_with(crate::http2::frame::PREFACE) {
            out.drain(..24);
        }
        wire::sent(&out)
    }

    fn key(&self, id: u32) -> Key {
        *self.keys.iter().find(|key| key.id() == id).expect("a stream that is open")
    }

    /// Answers with a small response; returns whether everything was taken.
    fn answer(&mut self, id: u32, content: &[u8]) -> Result<bool, Closed> {
        let key = self.key(id);
        self.machine.respond_with(key, 200, content.is_empty(), |encoder, out| {
            encoder.field(b"server", b"x", Indexing::Allowed, out);
        })?;
        if content.is_empty() {
            return Ok(true);
        }
        Ok(self.machine.send(key, content, true)? == content.len())
    }

    fn finish(&mut self, id: u32) {
        let key = self.key(id);
        self.machine.finish(key);
        self.keys.retain(|other| *other != key);
    }

    fn answer_and_finish(&mut self, id: u32) {
        assert_eq!(self.answer(id, b"hello"), Ok(true));
        self.finish(id);
    }

    fn request(&mut self, ends: bool) -> Key {
        let key = self.machine.request(&wire::get_block(), ends, self.now_ms).expect("room");
        self.keys.push(key);
        key
    }

    /// The only fault of the connection, when there is one.
    fn fault(&mut self) -> Option<Fault> {
        let faults = self.events().into_iter().filter_map(|seen| match seen {
            Seen::Fault(fault) => Some(fault),
            _ => None,
        });
        let faults: Vec<Fault> = faults.collect();
        assert!(faults.len() <= 1, "{faults:?}");
        faults.first().copied()
    }
}

fn text(block: &Block) -> String {
    String::from_utf8_lossy(block.raw()).into_owned()
}

fn seen(event: &Event<'_>) -> Seen {
    match event {
        Event::Head { stream, block, ends } => {
            Seen::Head { id: stream.id(), lines: text(block), ends: *ends }
        }
        Event::Content { stream, bytes, ends } => {
            Seen::Content { id: stream.id(), bytes: bytes.to_vec(), ends: *ends }
        }
        Event::Trailers { stream, block } => Seen::Trailers { id: stream.id(), lines: text(block) },
        Event::Malformed { stream, cause } => Seen::Malformed { id: stream.id(), cause: *cause },
        Event::Reset { stream, by } => Seen::Reset { id: stream.id(), by: *by },
        Event::Unprocessed { stream } => Seen::Unprocessed { id: stream.id() },
        Event::Settings => Seen::Settings,
        Event::Goaway { code } => Seen::Goaway { code: *code },
        Event::Fault(fault) => Seen::Fault(*fault),
    }
}

/// A server as a client side would be: judges every head, answers, and resets what is malformed.
fn serve(probe: &mut Probe, bytes: &[u8]) {
    let rest = [std::mem::take(&mut probe.rest), bytes.to_vec()].concat();
    let mut input = &rest[..];
    while let Some(event) = probe.machine.receive(&mut input, probe.now_ms) {
        probe.note(&event);
        probe.seen.push(seen(&event));
        match event {
            Event::Head { stream, block, ends } => {
                judge(probe, stream, &block, ends);
                spare::give_back(block);
            }
            Event::Content { stream, ends: true, .. } | Event::Trailers { stream, .. } => {
                let _ = probe.answer(stream.id(), b"hello");
                probe.finish(stream.id());
            }
            Event::Malformed { stream, .. } => refuse(probe, stream, 400),
            Event::Reset { stream, .. } => probe.finish(stream.id()),
            _ => {}
        }
    }
    probe.rest = input.to_vec();
}

fn judge(probe: &mut Probe, stream: Key, block: &Block, ends: bool) {
    let mut fields = Fields::new();
    match head::request(block, ends, &LIMITS, Mode::Strict, &mut fields) {
        Err(refusal) => refuse(probe, stream, refusal.status()),
        Ok(request) => {
            let content = match request.protocol {
                Some(_) => ContentLength::Unknown,
                None => request.head.content,
            };
            probe.machine.expect(stream, content).expect("nothing has come yet");
            if ends {
                probe.answer_and_finish(stream.id());
            }
        }
    }
}

fn refuse(probe: &mut Probe, stream: Key, status: u16) {
    let _ = probe.machine.respond_with(stream, status, true, |_, _| {});
    let is_too_large = matches!(status, 414 | 431 | 405 | 501);
    if !is_too_large {
        probe.machine.reset(stream, Cause::Malformed, probe.now_ms);
    }
    probe.finish(stream.id());
}
