//! One client's connection over HTTP/2: its streams, and the answers that go out on them in turn.
//!
//! Owns: the connection's buffers, and when each stream's answer is due. Never: content that no window has room for, or
//! more than one send at a time, so that answers which come meanwhile go out together. Tested by `tests/http2.rs`.
//!
//! ```text
//!   stream:  Asking ──▶ Waiting (for the answer's time) ──▶ Answering ──▶ gone
//!                              └──▶ Stalled
//! ```

use std::time::Instant;

use super::answer::GARBAGE;
use super::connection::{Next, Shared};
use super::mix::Fault;
use super::request::Request;
use super::script::Plan;
use crate::http2::content::Outlet;
use crate::http2::encoder::Keep;
use crate::http2::frame::{self, code};
use crate::http2::wire::{Event, Terms, Wire, Wrong};
use crate::ring::{Outgoing, Queue, Socket};

/// So many bytes of answers are made before they must be sent.
const OUT_BYTES_MAX: usize = 256 * 1024;

/// Content that one stream may send before the next has its turn.
const TURN_BYTES: usize = 64 * 1024;

/// A larger buffer is not kept once it is empty.
const KEPT_BYTES_MAX: usize = 64 * 1024;

/// What a message of gRPC begins with beside its length: it is not compressed.
const MESSAGE_HEAD_BYTES: u64 = 5;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    /// The request has not come to its end.
    Asking,
    /// The answer is held back until then.
    Waiting(Instant),
    /// So much content is still to be sent.
    Answering(u64),
    /// No answer will come.
    Stalled,
}

/// A request and its answer.
#[derive(Debug)]
struct Exchange {
    outlet: Outlet,
    place: Place,
    plan: Plan,
    echo: Option<Vec<u8>>,
    received: u64,
    has_content: bool,
    is_grpc: bool,
}

/// See the module's head.
#[derive(Debug)]
pub struct Streams {
    socket: Socket,
    wire: Wire,
    open: Vec<Exchange>,
    /// The newest stream that has been opened.
    newest: u32,
    out: Vec<u8>,
    block: Vec<u8>,
    is_sending: bool,
    /// The other side sends nothing more.
    has_ended: bool,
    /// Ends when all has been sent.
    is_closing: bool,
    is_gone: bool,
    /// The earliest time that the owner has been told.
    told: Option<Instant>,
}

impl Streams {
    pub fn new(socket: Socket) -> Streams {
        let (wire, mut out) = (Wire::new(Terms::SERVER), Vec::new());
        wire.begin(&mut out);
        Streams {
            socket,
            wire,
            open: Vec::new(),
            newest: 0,
            out,
            block: Vec::new(),
            is_sending: false,
            has_ended: false,
            is_closing: false,
            is_gone: false,
            told: None,
        }
    }

    /// Bytes have arrived.
    pub fn received(&mut self, bytes: &[u8], shared: &mut Shared, queue: &mut Queue) -> Next {
        let mut input = bytes;
        while !self.is_closing && !self.is_gone {
            match self.read(&mut input, shared, queue) {
                Ok(true) => {}
                Ok(false) => break,
                Err(wrong) => {
                    frame::write_away(self.newest, wrong.code, &mut self.out);
                    self.is_closing = true;
                }
            }
        }
        self.go_on(shared, queue)
    }

    /// The other side sends nothing more; what it has asked for is still answered.
    pub fn ended(&mut self, shared: &mut Shared, queue: &mut Queue) -> Next {
        self.has_ended = true;
        self.go_on(shared, queue)
    }

    /// A send has been taken; `buffer` can be used again.
    pub fn sent(
        &mut self,
        buffer: Option<Vec<u8>>,
        shared: &mut Shared,
        queue: &mut Queue,
    ) -> Next {
        self.is_sending = false;
        if let Some(buffer) = buffer
            && self.out.capacity() == 0
            && buffer.capacity() <= KEPT_BYTES_MAX
        {
            self.out = buffer;
        }
        self.go_on(shared, queue)
    }

    /// The time has come that was asked for.
    pub fn wake(&mut self, shared: &mut Shared, queue: &mut Queue) -> Next {
        self.told = None;
        let now = Instant::now();
        let is_due = |one: &Exchange| matches!(one.place, Place::Waiting(at) if at <= now);
        while let Some(place) = self.open.iter().position(is_due) {
            self.fulfil(place, shared, queue);
        }
        self.go_on(shared, queue)
    }

    /// The connection is broken.
    pub fn failed(&mut self, queue: &mut Queue) -> Next {
        self.close(queue);
        Next::Gone
    }

    /// Takes in the next thing that has come; `false` when nothing is left.
    fn read(
        &mut self,
        input: &mut &[u8],
        shared: &mut Shared,
        queue: &mut Queue,
    ) -> Result<bool, Wrong> {
        let Some(event) = self.wire.next(input, &mut self.out)? else { return Ok(false) };
        match event {
            Event::Head { stream, ends } => {
                let place = match self.place(stream) {
                    Some(place) if ends => Some(place),
                    Some(_) => {
                        return Err(Wrong::protocol("trailers that do not end their stream"));
                    }
                    None => self.open(stream, shared)?,
                };
                if let (Some(place), true) = (place, ends) {
                    self.asked(place, shared, queue);
                }
            }
            Event::Data { stream, bytes, ends } => {
                // It may have been answered already, by a refusal say.
                let Some(place) = self.place(stream) else { return Ok(true) };
                let exchange = &mut self.open[place];
                if exchange.place != Place::Asking {
                    return Err(Wrong::protocol("content behind the end of a stream"));
                }
                exchange.received += bytes.len() as u64;
                exchange.has_content = true;
                if ends {
                    self.asked(place, shared, queue);
                }
            }
            Event::Reset { stream, .. } => {
                if let Some(place) = self.place(stream) {
                    self.open.swap_remove(place);
                }
            }
            Event::Window { stream, by } => {
                if let Some(place) = self.place(stream) {
                    self.open[place].outlet.window += i64::from(by);
                }
            }
            Event::Settings { delta } => {
                self.open.iter_mut().for_each(|exchange| exchange.outlet.window += delta);
            }
            Event::Away { .. } => {}
        }
        Ok(true)
    }

    fn place(&self, stream: u32) -> Option<usize> {
        self.open.iter().position(|exchange| exchange.outlet.stream == stream)
    }

    /// A request has begun; `None` when it was refused.
    fn open(&mut self, stream: u32, shared: &mut Shared) -> Result<Option<usize>, Wrong> {
        if stream.is_multiple_of(2) || stream <= self.newest {
            return Err(Wrong::protocol("a head on a stream that cannot be opened"));
        }
        self.newest = stream;
        let fields = &self.wire.fields;
        let path = fields.get(b":path").and_then(|path| str::from_utf8(path).ok());
        let (Some(path), Some(method)) = (path, fields.get(b":method")) else {
            return Err(Wrong::protocol("a request without a path or a method"));
        };
        let echo = fields.get(b"x-echo");
        let request = Request {
            head_bytes: 0,
            query: path.split_once('?').map_or("", |(_, query)| query),
            head_only: method == b"HEAD",
            old: false,
            keep: true,
            expects: false,
            framing: None,
            echo,
        };
        let Ok(plan) = shared.script.plan(&request, &mut shared.random) else {
            let block = &mut self.block;
            block.clear();
            self.wire.encoder.begin(block);
            self.wire.encoder.field(b":status", b"400", Keep::Yes, block);
            frame::write_head(stream, true, block, &mut self.out);
            return Ok(None);
        };
        let content_type = fields.get(b"content-type");
        self.open.push(Exchange {
            outlet: Outlet { stream, window: self.wire.stream_window },
            place: Place::Asking,
            plan,
            echo: echo.map(<[u8]>::to_vec),
            received: 0,
            has_content: false,
            is_grpc: content_type.is_some_and(|value| value.starts_with(b"application/grpc")),
        });
        Ok(Some(self.open.len() - 1))
    }

    /// A request has come to its end.
    fn asked(&mut self, place: usize, shared: &Shared, queue: &mut Queue) {
        let exchange = &mut self.open[place];
        if exchange.plan.delay.is_zero() {
            self.fulfil(place, shared, queue);
        } else {
            exchange.place = Place::Waiting(Instant::now() + exchange.plan.delay);
        }
    }

    /// Begins to answer, or does what is to be done instead.
    fn fulfil(&mut self, place: usize, shared: &Shared, queue: &mut Queue) {
        let stream = self.open[place].outlet.stream;
        match self.open[place].plan.fault {
            None => self.answer(place, shared),
            Some(Fault::Close) => self.close(queue),
            Some(Fault::Reset) => {
                self.open.swap_remove(place);
                frame::write_reset(stream, code::INTERNAL_ERROR, &mut self.out);
            }
            Some(Fault::Stall) => self.open[place].place = Place::Stalled,
            Some(Fault::Garbage) => {
                self.out.extend_from_slice(GARBAGE);
                self.is_closing = true;
            }
        }
    }

    fn answer(&mut self, place: usize, shared: &Shared) {
        let Streams { wire, open, block, out, .. } = self;
        let exchange = &mut open[place];
        let Plan { status, size, chunked, head_only, .. } = exchange.plan;
        block.clear();
        wire.encoder.begin(block);
        let mut field = |name: &[u8], value: &[u8], keep| {
            wire.encoder.field(name, value, keep, block);
        };
        let mut digits = itoa::Buffer::new();
        field(b":status", digits.format(status.number()).as_bytes(), Keep::Yes);
        field(b"x-target", shared.answers.id().as_bytes(), Keep::Yes);
        if let Some(echo) = &exchange.echo {
            field(b"x-request-echo", echo, Keep::No);
        }
        if exchange.has_content {
            let received = digits.format(exchange.received).as_bytes();
            field(b"x-request-received", received, Keep::Yes);
        }
        if exchange.is_grpc {
            field(b"content-type", b"application/grpc", Keep::Yes);
        } else if !status.is_bare() {
            field(b"content-type", b"text/plain", Keep::Yes);
            if !chunked {
                field(b"content-length", digits.format(size).as_bytes(), Keep::Yes);
            }
        }
        let is_bare = head_only || (size == 0 && !exchange.is_grpc);
        frame::write_head(exchange.outlet.stream, is_bare, block, out);
        if is_bare {
            self.open.swap_remove(place);
            return;
        }
        let head = if exchange.is_grpc { MESSAGE_HEAD_BYTES } else { 0 };
        exchange.place = Place::Answering(size + head);
    }

    /// Writes content that windows have room for, a turn of each stream after the other.
    fn fill(&mut self, shared: &Shared) {
        let Streams { wire, open, block, out, .. } = self;
        let mut has_moved = true;
        while has_moved && out.len() < OUT_BYTES_MAX {
            has_moved = false;
            open.retain_mut(|exchange| {
                let Place::Answering(left) = exchange.place else { return true };
                let count = TURN_BYTES.min(usize::try_from(left).unwrap_or(TURN_BYTES));
                let filler = shared.answers.content();
                let begun;
                let bytes = match left.checked_sub(exchange.plan.size) {
                    // What has not gone out of a message's head.
                    Some(head_left @ 1..) => {
                        let size = (exchange.plan.size as u32).to_be_bytes();
                        let head = [&[0], &size[..]].concat();
                        let head = &head[head.len() - head_left as usize..];
                        begun = [head, &filler[..count - head.len()]].concat();
                        &begun[..]
                    }
                    _ => &filler[..count],
                };
                let ends = count as u64 == left && !exchange.is_grpc;
                let sent = wire.allowance.write(&mut exchange.outlet, bytes, ends, out) as u64;
                has_moved |= sent > 0;
                exchange.place = Place::Answering(left - sent);
                if left > sent {
                    return true;
                }
                if exchange.is_grpc {
                    block.clear();
                    wire.encoder.begin(block);
                    wire.encoder.field(b"grpc-status", b"0", Keep::Yes, block);
                    frame::write_head(exchange.outlet.stream, true, block, out);
                }
                false
            });
        }
    }

    /// Sends what there is, and ends the connection when nothing more can come of it.
    fn go_on(&mut self, shared: &Shared, queue: &mut Queue) -> Next {
        if self.is_gone {
            return Next::Gone;
        }
        if !self.is_sending {
            self.fill(shared);
            if !self.out.is_empty() {
                queue.send(self.socket, Outgoing::Owned(std::mem::take(&mut self.out)));
                self.is_sending = true;
            } else if self.is_closing || (self.has_ended && self.has_nothing_due()) {
                self.close(queue);
                return Next::Gone;
            }
        }
        let waits = self.open.iter().filter_map(|exchange| match exchange.place {
            Place::Waiting(at) => Some(at),
            _ => None,
        });
        match waits.min() {
            Some(at) if self.told.is_none_or(|told| at < told) => {
                self.told = Some(at);
                Next::Wake(at)
            }
            _ => Next::Stay,
        }
    }

    /// No answer is still to go out: half a request that will never be whole is none, nor is what no window will allow.
    fn has_nothing_due(&self) -> bool {
        !self.open.iter().any(|exchange| matches!(exchange.place, Place::Waiting(_)))
    }

    fn close(&mut self, queue: &mut Queue) {
        queue.close(self.socket);
        self.is_gone = true;
    }
}
