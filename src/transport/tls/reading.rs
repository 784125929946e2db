//! The receiving half of a TLS stream: one receive of the socket at most, and one of the stream.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use super::session::Session;
use crate::uring::{self, Socket, buffers};

/// The receive of the stream that waits: its buffer, which data is opened into.
pub(super) struct Wanted {
    into: Vec<u8>,
    /// The bytes before are the caller's.
    from: usize,
    /// Whether the buffer is found when data comes.
    is_any: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    /// The peer has said that this was all, or this end wants no more.
    Clean,
    Cut(io::ErrorKind),
}

/// The receive of the socket that is in flight.
enum Raw {
    Any(uring::RecvAny),
    Into(uring::Recv),
}

#[derive(Default)]
pub(super) struct Reading {
    raw: Option<Raw>,
    wanted: Option<Wanted>,
    pub(super) end: Option<End>,
    pub(super) waker: Option<Waker>,
    /// Whether what the stream's receive waits for was preceded by records without data: what was behind them has not
    /// been looked at yet.
    pub(super) is_behind: bool,
    /// Whether this end receives no more.
    pub(super) is_shut: bool,
    /// Whether the session has found a fault in what came, of which the peer is to be told.
    pub(super) is_faulty: bool,
}

impl Reading {
    pub(super) fn is_receiving(&self) -> bool {
        self.raw.is_some()
    }

    /// Whether the stream's receive has a result.
    pub(super) fn has_something(&self, session: &Session) -> bool {
        let has_data = self.wanted.as_ref().is_some_and(Wanted::has_data);
        has_data || session.has_data() || self.end.is_some()
    }

    /// Begins a receive of the stream into `buffer`, or into one that is found when data comes.
    pub(super) fn want(&mut self, buffer: Option<Vec<u8>>) {
        let is_any = buffer.is_none();
        let into = buffer.unwrap_or_default();
        self.wanted = Some(Wanted { from: into.len(), into, is_any });
        self.is_behind = false;
    }

    /// Ends a receive of the stream that nobody awaits any more.
    pub(super) fn unwant(&mut self) {
        self.wanted = None;
        self.waker = None;
    }

    /// The result of the stream's receive, if there is one, and its buffer.
    pub(super) fn give(&mut self, session: &mut Session) -> Option<(io::Result<usize>, Vec<u8>)> {
        let Some(wanted) = &mut self.wanted else {
            return Some((Err(io::ErrorKind::InvalidInput.into()), Vec::new()));
        };
        let mut count = wanted.into.len() - wanted.from;
        if count == 0 && session.has_data() {
            count = session.take_data(&mut wanted.into);
        } else if count == 0 {
            let result = match self.end? {
                End::Clean => Ok(0),
                End::Cut(kind) => Err(kind.into()),
            };
            return self.wanted.take().map(|wanted| (result, wanted.into));
        }
        self.wanted.take().map(|wanted| (Ok(count), wanted.into))
    }

    /// Receives from the socket while a receive of the stream waits for data.
    pub(super) fn drive(&mut self, socket: &Socket, session: &mut Session, other: &Waker) {
        loop {
            if self.raw.is_none() {
                match &self.wanted {
                    Some(wanted) if !self.has_something(session) => {
                        self.raw = Some(begin(socket, session, wanted));
                    }
                    Some(_) | None => return,
                }
            }
            let cx = &mut Context::from_waker(self.waker.as_ref().unwrap_or(other));
            let polled = match &mut self.raw {
                Some(Raw::Any(receive)) => Pin::new(receive).poll(cx),
                Some(Raw::Into(receive)) => {
                    Pin::new(receive).poll(cx).map(|(result, buffer)| result.map(|_| buffer))
                }
                None => return,
            };
            let Poll::Ready(result) = polled else { return };
            self.raw = None;
            self.is_behind = true;
            self.arrived(result, session);
        }
    }

    fn arrived(&mut self, result: io::Result<Vec<u8>>, session: &mut Session) {
        if self.end.is_some() {
            if let Ok(bytes) = result {
                buffers::give_back(bytes);
            }
            return;
        }
        match result {
            Ok(bytes) if bytes.is_empty() => {
                // RFC 8446 §6.1: without close_notify, data may have been cut off.
                let cut = End::Cut(io::ErrorKind::UnexpectedEof);
                self.end = Some(if self.is_shut { End::Clean } else { cut });
            }
            Ok(mut bytes) => {
                let into = self.wanted.as_mut().map(|wanted| &mut wanted.into);
                let opened = session.open(&mut bytes, into);
                buffers::give_back(bytes);
                self.judge(&opened, session);
            }
            Err(error) => self.end = Some(End::Cut(error.kind())),
        }
    }

    /// Notes what the session says of what it has opened.
    pub(super) fn judge(&mut self, opened: &Result<(), rustls::Error>, session: &Session) {
        if opened.is_err() {
            self.is_faulty = true;
            self.end = Some(End::Cut(io::ErrorKind::InvalidData));
        } else if session.is_closed() {
            self.end = Some(End::Clean);
        }
    }

    /// Receives nothing more, and drops the data that has come.
    pub(super) fn fail(&mut self, kind: io::ErrorKind) {
        if let Some(wanted) = &mut self.wanted {
            wanted.into.truncate(wanted.from);
        }
        self.end = Some(End::Cut(kind));
    }
}

impl Wanted {
    fn has_data(&self) -> bool {
        self.into.len() > self.from
    }
}

/// Begins the receive of the socket that fits what the stream waits for.
fn begin(socket: &Socket, session: &Session, wanted: &Wanted) -> Raw {
    let is_little = session.missing_bytes() < buffers::SMALL_BYTES;
    if wanted.is_any && is_little {
        return Raw::Any(socket.recv_any());
    }
    let room = wanted.into.capacity() - wanted.from;
    let is_small = is_little && room <= buffers::SMALL_BYTES;
    Raw::Into(socket.recv(if is_small { buffers::small() } else { buffers::large() }))
}
