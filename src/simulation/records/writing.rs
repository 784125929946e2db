//! The bytes to be sent on a stream of records, in their order: answers and notices, then data, then the end.

use std::collections::VecDeque;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use super::Manner;
use super::codec::{Kind, PAYLOAD_MAX, Sealer};
use crate::uring::{self, Shutdown, Socket, simulated};

/// A number below `end`, drawn from the world's sequence.
pub(super) fn below(end: u64) -> u64 {
    simulated::draw().map_or(0, |drawn| drawn % end.max(1))
}

fn one_in(count: u64) -> bool {
    below(count) == 0
}

/// The data of one send of the stream.
struct Data {
    buffer: Vec<u8>,
    from: usize,
    /// How much of it is sealed.
    at: usize,
    until: usize,
    whole: bool,
    result: Option<io::Result<usize>>,
    waker: Option<Waker>,
}

/// How far the end of this side's data has been sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Ending {
    #[default]
    Not,
    /// The record of the end is to be sent.
    Asked,
    /// It is on its way.
    Sealed,
    Done,
}

/// Most records to be answered that one end sends.
const ASKS: u8 = 3;

pub(super) struct Writing {
    manner: Manner,
    sealer: Sealer,
    raw: Option<uring::Send>,
    /// The length of the buffer in flight, and how much of it was taken.
    raw_length: usize,
    raw_at: usize,
    control: VecDeque<Kind>,
    data: Option<Data>,
    ending: Ending,
    /// Whether both directions end with the record of the end.
    ends_both: bool,
    fault: Option<io::ErrorKind>,
    asks_left: u8,
    /// Whether it has sent a record that is not answered yet.
    pub(super) is_answer_awaited: bool,
}

impl Writing {
    pub(super) fn new(manner: Manner) -> Writing {
        Writing {
            manner,
            sealer: Sealer::default(),
            raw: None,
            raw_length: 0,
            raw_at: 0,
            control: VecDeque::new(),
            data: None,
            ending: Ending::Not,
            ends_both: false,
            fault: None,
            asks_left: ASKS,
            is_answer_awaited: false,
        }
    }

    /// Bytes of records that the socket has not taken.
    pub(super) fn sealed_bytes(&self) -> usize {
        self.raw_length - self.raw_at
    }

    pub(super) fn is_over(&self) -> bool {
        self.raw.is_none() && (self.ending == Ending::Done || self.fault.is_some())
    }

    pub(super) fn start(&mut self, buffer: Vec<u8>, from: usize, whole: bool) {
        if self.data.is_some() {
            simulated::accuse("two sends are in flight on one stream of records");
        }
        let length = buffer.len().saturating_sub(from);
        // A part is taken at once, as a socket's send buffer takes one.
        let part = if whole { length } else { length.min(1 + below(PAYLOAD_MAX as u64) as usize) };
        let result = match self.fault {
            Some(kind) => Some(Err(kind.into())),
            None if self.ending != Ending::Not => Some(Err(io::ErrorKind::BrokenPipe.into())),
            None => (length == 0).then_some(Ok(0)),
        };
        let until = from + part;
        self.data = Some(Data { buffer, from, at: from, until, whole, result, waker: None });
    }

    pub(super) fn poll_sent(&mut self, cx: &mut Context<'_>) -> Poll<(io::Result<usize>, Vec<u8>)> {
        let Some(data) = &mut self.data else {
            return Poll::Ready((Err(io::ErrorKind::InvalidInput.into()), Vec::new()));
        };
        let Some(result) = data.result.take() else {
            data.waker = Some(cx.waker().clone());
            return Poll::Pending;
        };
        let buffer = std::mem::take(&mut data.buffer);
        self.data = None;
        Poll::Ready((result, buffer))
    }

    /// Answers a record of the other end's.
    pub(super) fn answer(&mut self) {
        if self.ending == Ending::Not && self.fault.is_none() {
            self.control.push_back(Kind::Answer);
        }
    }

    /// Sends a record without data, while there is none to send.
    pub(super) fn chat(&mut self) {
        if self.ending == Ending::Not && self.fault.is_none() && self.control.is_empty() {
            let kind = if one_in(3) { self.ask() } else { None };
            self.control.push_back(kind.unwrap_or(Kind::Notice));
        }
    }

    fn ask(&mut self) -> Option<Kind> {
        if self.is_answer_awaited || self.asks_left == 0 {
            return None;
        }
        self.asks_left -= 1;
        self.is_answer_awaited = true;
        Some(Kind::Ask)
    }

    /// Ends this side behind everything that was sent already.
    pub(super) fn end(&mut self) {
        if self.ending == Ending::Not {
            self.ending = Ending::Asked;
        }
    }

    /// As [`Self::end`], but ends both directions.
    pub(super) fn end_both(&mut self, socket: &Socket) {
        self.ends_both = true;
        self.end();
        if self.ending == Ending::Done {
            socket.shutdown(Shutdown::Both);
        }
    }

    /// Sends while there are bytes to send and the socket takes them.
    pub(super) fn drive(&mut self, socket: &Socket, cx: &mut Context<'_>) {
        loop {
            if let Some(raw) = &mut self.raw {
                let Poll::Ready((result, buffer)) = Pin::new(raw).poll(cx) else { return };
                self.raw = None;
                match result {
                    Ok(count) if count > 0 => self.taken(socket, buffer, count),
                    Ok(_) => self.fail(io::ErrorKind::WriteZero),
                    Err(error) => self.fail(error.kind()),
                }
                continue;
            }
            if self.fault.is_some() {
                self.shut(socket);
                return;
            }
            let mut out = Vec::new();
            let whole = self.seal(&mut out);
            if out.is_empty() {
                return;
            }
            (self.raw_length, self.raw_at) = (out.len(), 0);
            self.raw = Some(socket.send(out, 0, whole));
        }
    }

    /// Seals the next records; returns whether all of them must be taken together.
    fn seal(&mut self, out: &mut Vec<u8>) -> bool {
        while let Some(kind) = self.control.pop_front() {
            self.seal_saying_nothing(kind, out);
        }
        let mut whole = true;
        while out.len() < PAYLOAD_MAX {
            let has_data = self
                .data
                .as_ref()
                .is_some_and(|data| data.result.is_none() && data.at < data.until);
            if !has_data || self.is_answer_awaited {
                break;
            }
            if self.manner == Manner::Chatty && one_in(8) {
                let kind = if one_in(2) { self.ask() } else { None };
                self.seal_saying_nothing(kind.unwrap_or(Kind::Notice), out);
                continue;
            }
            let Some(data) = &mut self.data else { break };
            let most = [PAYLOAD_MAX, PAYLOAD_MAX, PAYLOAD_MAX, 4000, 300, 3][below(6) as usize];
            let length = (1 + below(most as u64) as usize).min(data.until - data.at);
            self.sealer.seal(Kind::Data, &data.buffer[data.at..data.at + length], out);
            data.at += length;
            whole = data.whole;
        }
        if self.ending == Ending::Asked && self.data.as_ref().is_none_or(Data::is_sealed) {
            self.ending = Ending::Sealed;
            self.sealer.seal(Kind::End, &[], out);
        }
        whole
    }

    fn seal_saying_nothing(&mut self, kind: Kind, out: &mut Vec<u8>) {
        let noise = [0x55; 300];
        let length = if kind == Kind::Notice { below(300) as usize } else { 0 };
        self.sealer.seal(kind, &noise[..length], out);
    }

    /// Notes that the socket has taken some of the buffer in flight.
    fn taken(&mut self, socket: &Socket, buffer: Vec<u8>, count: usize) {
        self.raw_at += count;
        if self.raw_at < self.raw_length {
            let whole = self.ending != Ending::Not;
            self.raw = Some(socket.send(buffer, self.raw_at, whole));
            return;
        }
        if let Some(data) = self.data.as_mut().filter(|data| data.is_sealed()) {
            data.over(Ok(data.until - data.from));
        }
        if self.ending == Ending::Sealed {
            self.shut(socket);
        }
    }

    /// Shuts the directions down that end with the last record, whether or not it could be sent.
    fn shut(&mut self, socket: &Socket) {
        if self.ending != Ending::Not && self.ending != Ending::Done {
            self.ending = Ending::Done;
            socket.shutdown(if self.ends_both { Shutdown::Both } else { Shutdown::Write });
        }
    }

    /// Nothing more can be sent.
    pub(super) fn fail(&mut self, kind: io::ErrorKind) {
        self.fault.get_or_insert(kind);
        (self.raw_length, self.raw_at) = (0, 0);
        self.control.clear();
        self.is_answer_awaited = false;
        if let Some(data) = &mut self.data {
            data.over(Err(kind.into()));
        }
    }

    /// Ends a send that waits; the sealed part of it is still sent.
    pub(super) fn end_send(&mut self) {
        if let Some(data) = &mut self.data {
            let taken = data.at - data.from;
            data.over(if taken > 0 { Ok(taken) } else { Err(io::ErrorKind::BrokenPipe.into()) });
        }
    }
}

impl Data {
    fn is_sealed(&self) -> bool {
        self.result.is_some() || self.at == self.until
    }

    fn over(&mut self, result: io::Result<usize>) {
        if self.result.is_none() {
            self.result = Some(result);
            if let Some(waker) = self.waker.take() {
                waker.wake();
            }
        }
    }
}
