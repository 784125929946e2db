//! The sending half of a TLS stream: records that carry no data, then data, then the end; one send at a time.

use std::cell::RefCell;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use super::session::{RECORD_DATA_MAX, RECORD_OVERHEAD, Session};
use super::small_records::SmallRecords;
use crate::uring::{self, Shutdown, Socket, buffers};

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
    /// It is to be sealed behind all data.
    Asked,
    /// It is on its way.
    Sealed,
    Done,
}

#[derive(Default)]
pub(super) struct Writing {
    raw: Option<uring::Send>,
    /// The length of the buffer in flight, and how much of it was taken.
    raw_length: usize,
    raw_at: usize,
    data: Option<Data>,
    small_records: SmallRecords,
    ending: Ending,
    /// Whether both directions end with this side's data.
    ends_both: bool,
    /// Whether the session can seal nothing more; an alert is still sent.
    is_spent: bool,
    fault: Option<io::ErrorKind>,
}

impl Writing {
    /// Sealed bytes that the socket has not taken.
    pub(super) fn sealed_bytes(&self) -> usize {
        self.raw_length - self.raw_at
    }

    /// Whether nothing is on its way and nothing more will be.
    pub(super) fn is_over(&self) -> bool {
        self.raw.is_none() && (self.ending == Ending::Done || self.fault.is_some())
    }

    /// Whether the send that waits goes on without being polled.
    pub(super) fn runs_by_itself(&self) -> bool {
        let is_sealed = self.data.as_ref().is_none_or(Data::is_sealed);
        is_sealed && self.raw.as_ref().is_none_or(uring::Send::runs_by_itself)
    }

    pub(super) fn start(&mut self, buffer: Vec<u8>, from: usize, whole: bool) {
        let until = buffer.len();
        let result = match self.fault {
            Some(kind) => Some(Err(kind.into())),
            None if self.is_spent || self.ending != Ending::Not => {
                Some(Err(io::ErrorKind::BrokenPipe.into()))
            }
            None => (until <= from).then_some(Ok(0)),
        };
        self.data = Some(Data { buffer, from, at: from, until, whole, result, waker: None });
    }

    /// The result of the stream's send, if there is one, and its buffer; keeps the waker else.
    pub(super) fn take_sent(&mut self, cx: &mut Context<'_>) -> Poll<(io::Result<usize>, Vec<u8>)> {
        let Some(data) = &mut self.data else {
            return Poll::Ready((Err(io::ErrorKind::InvalidInput.into()), Vec::new()));
        };
        let Some(result) = data.result.take() else {
            if !data.waker.as_ref().is_some_and(|waker| waker.will_wake(cx.waker())) {
                data.waker = Some(cx.waker().clone());
            }
            return Poll::Pending;
        };
        let buffer = std::mem::take(&mut data.buffer);
        self.data = None;
        Poll::Ready((result, buffer))
    }

    /// Forgets the poller of the stream's send, who is about to look himself, or is gone.
    pub(super) fn forget_waker(&mut self) {
        if let Some(data) = &mut self.data {
            data.waker = None;
        }
    }

    /// Wakes the poller of a send that has its result.
    pub(super) fn wake(&mut self) {
        if let Some(data) = &mut self.data
            && data.result.is_some()
            && let Some(waker) = data.waker.take()
        {
            waker.wake();
        }
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

    /// Sends while there are bytes to send and the socket takes them. `other` is woken where no send of the stream
    /// waits, `finisher` in any case.
    pub(super) fn drive(
        &mut self,
        socket: &Socket,
        session: &mut Session,
        finisher: Option<&Waker>,
        other: Option<&Waker>,
    ) {
        loop {
            if let Some(raw) = &mut self.raw {
                let sender = self.data.as_ref().filter(|data| data.result.is_none());
                // Who waits for a receive may have other things to wait for meanwhile; who waits for a send is sure to look.
                let waker = finisher.or(sender.and_then(|data| data.waker.as_ref())).or(other);
                let cx = &mut Context::from_waker(waker.unwrap_or(Waker::noop()));
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
            let (out, whole) = self.seal(session);
            if out.is_empty() {
                if self.ending == Ending::Sealed {
                    self.shut(socket);
                }
                return;
            }
            (self.raw_length, self.raw_at) = (out.len(), 0);
            self.raw = Some(socket.send(out, 0, whole));
        }
    }

    /// Seals the next records into one buffer. Returns with it whether all of it must be taken together.
    fn seal(&mut self, session: &mut Session) -> (Vec<u8>, bool) {
        let mut whole = true;
        let mut out = session.take_control();
        if let Some(data) = self.data.as_mut().filter(|data| !data.is_sealed())
            && !self.is_spent
        {
            let mut length = out.len() + data.until - data.at;
            if session.wants_small_records {
                length += SmallRecords::overhead_bytes(length);
            }
            let control = std::mem::replace(&mut out, sealing_buffer(length));
            out.extend_from_slice(&control);
            whole = data.whole;
            let sealed = match session.wants_small_records {
                false => session.seal(data.rest(), &mut out),
                true => self.small_records.seal(session, data.rest(), &mut out),
            };
            match sealed {
                Ok(count) if count > 0 => {
                    data.at += count;
                    if !data.whole {
                        data.until = data.at;
                    }
                }
                Ok(_) | Err(_) => self.spend(),
            }
        }
        if self.ending == Ending::Asked && self.data.as_ref().is_none_or(Data::is_sealed) {
            self.ending = Ending::Sealed;
            whole = true;
            if !self.is_spent && session.close(&mut out).is_err() {
                self.spend();
            }
        }
        if session.has_control() {
            out.extend_from_slice(&session.take_control());
        }
        (out, whole)
    }

    /// Notes that the socket has taken some of the buffer in flight.
    fn taken(&mut self, socket: &Socket, buffer: Vec<u8>, count: usize) {
        self.raw_at += count;
        if self.raw_at < self.raw_length {
            let whole = self.ending != Ending::Not;
            self.raw = Some(socket.send(buffer, self.raw_at, whole));
            return;
        }
        let_go(buffer);
        if let Some(data) = self.data.as_mut().filter(|data| data.is_sealed()) {
            data.over(Ok(data.until - data.from));
        }
        if self.ending == Ending::Sealed {
            self.shut(socket);
        }
    }

    /// Shuts the directions down that end with this side's data, whether or not its end could be sent.
    fn shut(&mut self, socket: &Socket) {
        if self.ending != Ending::Not && self.ending != Ending::Done {
            self.ending = Ending::Done;
            socket.shutdown(if self.ends_both { Shutdown::Both } else { Shutdown::Write });
        }
    }

    /// Nothing more can be sealed, and what waits fails; the peer is still told why.
    pub(super) fn spend(&mut self) {
        self.is_spent = true;
        if let Some(data) = self.data.as_mut().filter(|data| !data.is_sealed()) {
            data.over(Err(io::ErrorKind::BrokenPipe.into()));
        }
    }

    /// Nothing more can be sent.
    pub(super) fn fail(&mut self, kind: io::ErrorKind) {
        self.fault.get_or_insert(kind);
        (self.raw_length, self.raw_at) = (0, 0);
        if let Some(data) = &mut self.data {
            data.over(Err(kind.into()));
        }
    }

    /// Ends a send that waits; the sealed part of it is still sent. Of one that waits for a record without data to be
    /// taken, what fits in one buffer is sent: a socket would have taken it at once.
    pub(super) fn end_send(&mut self) {
        if let Some(data) = &mut self.data {
            let has_begun = data.result.is_some() || data.at > data.from;
            if !has_begun && self.raw.is_some() {
                data.whole = false;
                return;
            }
            let taken = data.at - data.from;
            data.over(if taken > 0 { Ok(taken) } else { Err(io::ErrorKind::BrokenPipe.into()) });
        }
    }
}

impl Data {
    fn rest(&self) -> &[u8] {
        self.buffer.get(self.at..self.until).unwrap_or_default()
    }

    fn is_sealed(&self) -> bool {
        self.result.is_some() || self.at >= self.until
    }

    fn over(&mut self, result: io::Result<usize>) {
        self.result.get_or_insert(result);
    }
}

/// How many buffers for sealed content a shard keeps.
const KEPT: usize = 16;

thread_local! {
    /// Free buffers for the records of one content buffer, which are longer than it.
    static SEALING: RefCell<Vec<Vec<u8>>> = const { RefCell::new(Vec::new()) };
}

/// The bytes of the records that a content buffer becomes.
fn sealed_content_bytes() -> usize {
    let content = buffers::large_bytes();
    content + (content / RECORD_DATA_MAX + 2) * RECORD_OVERHEAD
}

/// A buffer for the records of so much data, or of as much as one send takes.
fn sealing_buffer(data_bytes: usize) -> Vec<u8> {
    if data_bytes + 2 * RECORD_OVERHEAD <= buffers::SMALL_BYTES {
        return buffers::small();
    }
    let kept = SEALING.with_borrow_mut(Vec::pop);
    kept.unwrap_or_else(|| Vec::with_capacity(sealed_content_bytes()))
}

fn let_go(mut buffer: Vec<u8>) {
    if buffer.capacity() != sealed_content_bytes() {
        return buffers::give_back(buffer);
    }
    buffer.clear();
    SEALING.with_borrow_mut(|kept| {
        if kept.len() < KEPT {
            kept.push(buffer);
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_of_a_beginning_takes_no_memory_of_its_own() {
        /// All but the small records.
        type Without = (
            (Option<uring::Send>, usize, usize, Option<Data>),
            (Ending, bool, bool, Option<io::ErrorKind>),
        );
        assert_eq!(size_of::<Writing>(), size_of::<Without>());
    }
}
