//! The received part of a stream of records, and the receive of its socket.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use super::codec::{Kind, Opener};
use crate::uring::{self, Socket, buffers};

/// The kind of the stream's receive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wanted {
    /// As much as there is room for.
    Data,
    /// Any bytes that come while the stream may be idle.
    Any,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    /// The other end has sent the record of the end, or this end wants no more.
    Clean,
    Cut(io::ErrorKind),
}

/// The receive of the socket that is in flight.
enum Raw {
    Any(uring::RecvAny),
    Into(uring::Recv),
}

/// Room for the socket's bytes where more than a few are expected.
const RAW_BYTES: usize = 16_400;

#[derive(Default)]
pub(super) struct Reading {
    raw: Option<Raw>,
    opener: Opener,
    /// Data that was opened and not received yet.
    data: Vec<u8>,
    pub(super) end: Option<End>,
    pub(super) wanted: Option<Wanted>,
    pub(super) waker: Option<Waker>,
    /// Whether this end receives no more.
    pub(super) is_shut: bool,
}

impl Reading {
    pub(super) fn is_receiving(&self) -> bool {
        self.raw.is_some()
    }

    pub(super) fn has_something(&self) -> bool {
        !self.data.is_empty() || self.end.is_some()
    }

    /// The result of the stream's receive, if there is one.
    pub(super) fn give(&mut self, buffer: &mut Vec<u8>) -> Option<io::Result<usize>> {
        if !self.data.is_empty() {
            let room = (buffer.capacity() - buffer.len()).saturating_sub(buffers::TAIL_BYTES);
            let count = self.data.len().min(room);
            buffer.extend(self.data.drain(..count));
            return Some(Ok(count));
        }
        self.end.map(|end| match end {
            End::Clean => Ok(0),
            End::Cut(kind) => Err(kind.into()),
        })
    }

    /// Receives from the socket while a receive of the stream waits for data. Calls `said` for each record without
    /// data.
    pub(super) fn drive(
        &mut self,
        socket: &Socket,
        is_answer_awaited: bool,
        said: &mut impl FnMut(Kind),
        cx: &mut Context<'_>,
    ) {
        let mut is_answer_awaited = is_answer_awaited;
        loop {
            let is_needed = is_answer_awaited || self.wanted.is_some() && self.data.is_empty();
            if self.raw.is_none() {
                if !is_needed || self.end.is_some() {
                    break;
                }
                self.raw = Some(match self.wanted {
                    Some(Wanted::Any) => Raw::Any(socket.recv_any()),
                    _ => Raw::Into(socket.recv(Vec::with_capacity(RAW_BYTES))),
                });
            }
            let Poll::Ready(result) = self.poll_raw(cx) else { break };
            self.raw = None;
            self.arrived(result, &mut |kind| {
                is_answer_awaited &= kind != Kind::Answer;
                said(kind);
            });
        }
        if self.has_something()
            && let Some(waker) = self.waker.take()
        {
            waker.wake();
        }
    }

    fn poll_raw(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Vec<u8>>> {
        match &mut self.raw {
            Some(Raw::Any(receive)) => Pin::new(receive).poll(cx),
            Some(Raw::Into(receive)) => {
                Pin::new(receive).poll(cx).map(|(result, buffer)| result.map(|_| buffer))
            }
            None => Poll::Pending,
        }
    }

    fn arrived(&mut self, result: io::Result<Vec<u8>>, said: &mut impl FnMut(Kind)) {
        if self.end.is_some() {
            return;
        }
        match result {
            Ok(bytes) if bytes.is_empty() => {
                let cut = End::Cut(io::ErrorKind::UnexpectedEof);
                self.end = Some(if self.is_shut { End::Clean } else { cut });
                buffers::give_back(bytes);
            }
            Ok(bytes) => {
                self.opener.take(&bytes);
                buffers::give_back(bytes);
                self.open(said);
            }
            Err(error) => self.end = Some(End::Cut(error.kind())),
        }
    }

    fn open(&mut self, said: &mut impl FnMut(Kind)) {
        while self.end.is_none() {
            match self.opener.open(&mut self.data) {
                Ok(Some(Kind::Data)) => {}
                Ok(Some(Kind::End)) => self.end = Some(End::Clean),
                Ok(Some(kind)) => said(kind),
                Ok(None) => return,
                Err(_) => self.end = Some(End::Cut(io::ErrorKind::InvalidData)),
            }
        }
    }

    /// Receives nothing more, and drops the received bytes.
    pub(super) fn fail(&mut self, kind: io::ErrorKind) {
        self.data.clear();
        self.end = Some(End::Cut(kind));
    }
}
