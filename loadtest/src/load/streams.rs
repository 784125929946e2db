//! One connection's streams over HTTP/2: what was asked on them, and how far the responses have come.
//!
//! Owns: the streams, and what of their content waits for windows. Never: the ring, the clock or the numbers; `clients`
//! brings them. Tested by `tests/http2.rs`.

use std::sync::Arc;

use super::asked::{Asked, Seen, digits};
use super::plan::Shape;
use super::tally::Problem;
use crate::http2::Fields;
use crate::http2::content::Outlet;
use crate::http2::frame::{self, code};
use crate::http2::wire::{Terms, Wire, Wrong};

/// A request and how far its response has come.
#[derive(Debug)]
pub struct Stream {
    /// `None`: one that is to stall.
    pub asked: Option<Asked>,
    pub seen: Seen,
    pub has_head: bool,
    /// The status of gRPC that the head or the trailers gave.
    pub grpc: Option<bool>,
    pub owed: u32,
    pub outlet: Outlet,
    content: Arc<[u8]>,
    sent: usize,
}

/// One connection's streams.
#[derive(Debug)]
pub struct Streams {
    pub wire: Wire,
    pub terms: Terms,
    pub open: Vec<Stream>,
    next: u32,
    /// Those of `open` that are to stall.
    stalled: usize,
    /// Those of `open` whose content has not all been sent.
    sending: usize,
    /// The other side has said that it takes no more.
    pub is_leaving: bool,
    block: Vec<u8>,
}

impl Streams {
    pub fn begin(terms: Terms, out: &mut Vec<u8>) -> Streams {
        let wire = Wire::new(terms);
        wire.begin(out);
        Streams {
            wire,
            terms,
            open: Vec::new(),
            next: 1,
            stalled: 0,
            sending: 0,
            is_leaving: false,
            block: Vec::new(),
        }
    }

    /// Requests that wait for their responses.
    pub fn waiting(&self) -> usize {
        self.open.len() - self.stalled
    }

    /// One more may be asked.
    pub fn has_room(&self) -> bool {
        !self.is_leaving
            && self.open.len() < self.wire.streams_max as usize
            && self.next < frame::WINDOW_MAX
    }

    /// When the oldest request was sent.
    pub fn oldest_ns(&self) -> Option<u64> {
        self.open.iter().filter_map(|stream| Some(stream.asked?.sent_ns)).min()
    }

    /// Takes away all that waits.
    pub fn take_asked(&mut self) -> impl Iterator<Item = Asked> {
        self.open.drain(..).filter_map(|stream| stream.asked)
    }

    /// Opens a stream.
    pub fn ask(&mut self, shape: &Shape, asked: Option<Asked>, cookies: &[u8], out: &mut Vec<u8>) {
        let Some(coded) = &shape.coded else { return };
        let id = self.next;
        self.next += 2;
        self.block.clear();
        let number = asked.map_or(0, |asked| asked.id);
        coded.write(number, cookies, &mut self.wire.encoder, &mut self.block);
        frame::write_head(id, coded.content.is_empty(), &self.block, out);
        let mut stream = Stream {
            asked,
            seen: Seen::default(),
            has_head: false,
            grpc: None,
            owed: 0,
            outlet: Outlet { stream: id, window: self.wire.stream_window },
            content: Arc::clone(&coded.content),
            sent: 0,
        };
        stream.send(&mut self.wire, out);
        self.sending += usize::from(stream.is_sending());
        self.stalled += usize::from(asked.is_none());
        self.open.push(stream);
    }

    pub fn place(&self, id: u32) -> Option<usize> {
        self.open.iter().position(|stream| stream.id() == id)
    }

    pub fn remove(&mut self, place: usize) -> Stream {
        let stream = self.open.swap_remove(place);
        self.sending -= usize::from(stream.is_sending());
        self.stalled -= usize::from(stream.asked.is_none());
        stream
    }

    /// Sends content that windows have room for again.
    pub fn send_more(&mut self, out: &mut Vec<u8>) {
        if self.sending > 0 {
            let Streams { wire, open, .. } = self;
            open.iter_mut().for_each(|stream| stream.send(wire, out));
            self.sending = open.iter().filter(|stream| stream.is_sending()).count();
        }
    }
}

impl Stream {
    pub fn id(&self) -> u32 {
        self.outlet.stream
    }

    fn is_sending(&self) -> bool {
        self.sent < self.content.len()
    }

    fn send(&mut self, wire: &mut Wire, out: &mut Vec<u8>) {
        if self.is_sending() {
            let rest = &self.content[self.sent..];
            self.sent += wire.allowance.write(&mut self.outlet, rest, true, out);
        }
    }
}

/// How a stream went on.
pub enum Went {
    On,
    /// The response is whole.
    Done(Stream),
    Failed(Stream, Problem),
    /// The connection has said that it ends, and why; these requests will not be answered.
    Left(Vec<Stream>, u32),
}

impl Streams {
    /// Something has come on a stream that is not open: nothing, if it was once.
    pub fn unasked(&self, id: u32) -> Result<Option<Went>, Wrong> {
        match id % 2 == 1 && id < self.next {
            true => Ok(Some(Went::On)),
            false => Err(Wrong::protocol("a frame on a stream that nobody opened")),
        }
    }

    /// The response is whole.
    pub fn end(&mut self, place: usize, out: &mut Vec<u8>) -> Result<Option<Went>, Wrong> {
        let stream = self.remove(place);
        if stream.is_sending() {
            // RFC 9113 §8.1: what is left of the request is not wanted.
            frame::write_reset(stream.id(), code::NO_ERROR, out);
        }
        Ok(Some(Went::Done(stream)))
    }

    /// No more is taken here; returns what was asked in vain.
    pub fn leave(&mut self, last: u32) -> Vec<Stream> {
        self.is_leaving = true;
        let mut left = Vec::new();
        while let Some(place) = self.open.iter().position(|stream| stream.id() > last) {
            left.push(self.remove(place));
        }
        left
    }
}

impl Stream {
    /// Reads a head, interim or final, or trailers.
    pub fn take_head(
        &mut self,
        fields: &Fields,
        mut target: impl FnMut(&[u8]) -> u16,
    ) -> Result<(), Wrong> {
        let mut seen = Seen::default();
        let mut status = None;
        for (name, value) in fields.iter() {
            match name {
                b":status" => {
                    status = str::from_utf8(value).ok().and_then(|value| value.parse().ok());
                }
                b"x-target" => seen.target = Some(target(value)),
                b"x-request-echo" => {
                    seen.has_echo = true;
                    let id = self.asked.map_or(0, |asked| asked.id);
                    seen.is_echo_wrong = value != digits(id);
                }
                b"set-cookie" => seen.has_cookie = true,
                b"grpc-status" => self.grpc = Some(value == b"0"),
                _ => {}
            }
        }
        match (self.has_head, status) {
            (true, None) => Ok(()),
            (false, Some(100..200)) => Ok(()),
            (false, Some(status)) => {
                self.seen = Seen { status, ..seen };
                self.has_head = true;
                Ok(())
            }
            _ => Err(Wrong::protocol("a head without a status, or trailers with one")),
        }
    }
}
