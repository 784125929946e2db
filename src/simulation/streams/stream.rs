//! A client's connection with streams, each with one request.

use super::line::{Line, Upwards};
use crate::exchange::client::{Answering, Asking, Client, Flushed, Presence};
use crate::exchange::content::{Along, End as ContentEnd, Piece, Received, SendFault};
use crate::exchange::failure::Failure;
use crate::exchange::tunnel::{Reader, Side, Writer};
use crate::http::edits::ResponseEdits;
use crate::http::fields::Fields;
use crate::http::head::{HeadLimits, RequestHead, ResponseHead};
use crate::http1::head::{Parsed, parse_request};
use crate::shard::TICK;
use crate::time::clock::NEVER;
use crate::time::patience::Patience;
use crate::time::timers::{Timer, Timers};
use crate::uring::simulated;
use std::cell::RefCell;
use std::future::poll_fn;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

/// The bytes that a client's connection was sent, of all its streams, in order.
#[derive(Default)]
pub(super) struct Connection {
    pub(super) frames: RefCell<Vec<(u8, Frame)>>,
}

pub(super) enum Frame {
    Head(u16),
    Data(Vec<u8>),
    End,
}

/// One stream of a client.
pub(super) struct Stream {
    pub(super) head: Vec<u8>,
    pub(super) up: Up,
    pub(super) down: Down,
}

pub(super) struct Up {
    pub(super) along: Vec<u8>,
    pub(super) more: Upwards,
    pub(super) is_whole: bool,
    pub(super) received: u64,
}

pub(super) struct Down {
    pub(super) id: u8,
    pub(super) connection: Rc<Connection>,
    /// One for each piece that may be sent.
    pub(super) credit: Line<()>,
    /// Cut when the client resets the stream.
    pub(super) presence: Line<()>,
    pub(super) head: Option<u16>,
    pub(super) data: Vec<u8>,
}

impl Client for Stream {
    type Asking = Up;
    type Answering = Down;
    type Side = Nobody;

    fn head<T>(&self, look: impl FnOnce(&RequestHead<'_, '_>) -> T) -> Option<T> {
        Some(with_head(&self.head, look))
    }

    fn local_address(&self) -> Option<std::net::SocketAddr> {
        None
    }

    fn parts(&mut self) -> (&mut Up, &mut Down) {
        (&mut self.up, &mut self.down)
    }

    fn tunnel(&mut self) -> Nobody {
        Nobody
    }
}

pub(super) fn with_head<T>(head: &[u8], look: impl FnOnce(&RequestHead<'_, '_>) -> T) -> T {
    let limits = HeadLimits {
        request_line_bytes: 8192,
        field_line_bytes: 8192,
        head_bytes: 16_384,
        field_count: 100,
    };
    let mut fields = Fields::new();
    match parse_request(head, &limits, Default::default(), &mut fields) {
        Ok(Parsed::Complete(head)) => look(&head),
        Ok(Parsed::Partial) | Err(_) => panic!("a head of the test is not whole"),
    }
}

impl Asking for Up {
    const LINGERS: bool = false;

    fn along(&self) -> Along<'_> {
        Along { bytes: &self.along, end: self.is_whole.then_some(b"") }
    }

    fn received(&self) -> u64 {
        self.received
    }

    async fn content(&mut self, timers: &Timers<'_>) -> Result<Received, Failure> {
        // An exchange that wants no more content hastens the timer.
        timers.set(Timer::Content, NEVER);
        let next = poll_fn(|cx| match self.more.poll_hear(cx) {
            Poll::Pending if timers.poll_due(Timer::Content, cx) => Poll::Ready(None),
            polled => polled,
        });
        let heard = next.await;
        timers.stop(Timer::Content);
        let Some((bytes, is_last)) = heard else { return Err(Failure::ClientGone) };
        self.received += bytes.len() as u64;
        let end = if is_last { ContentEnd::Last } else { ContentEnd::No };
        Ok(Received { piece: Piece { buffer: bytes, from: 0 }, end })
    }

    fn trailers(&self) -> &[u8] {
        b""
    }
}

impl Down {
    fn frame(&self, frame: Frame) {
        self.connection.frames.borrow_mut().push((self.id, frame));
    }
}

impl Answering for Down {
    fn listen(&mut self) {}

    fn poll_presence(&mut self, cx: &mut Context<'_>) -> Option<Presence> {
        self.presence.poll_hear(cx).is_ready().then_some(Presence::Reset)
    }

    fn is_told(&self) -> bool {
        true
    }

    fn told(&self) -> Presence {
        if self.presence.is_cut() { Presence::Reset } else { Presence::There }
    }

    fn look(&self) -> Presence {
        self.told()
    }

    fn respond(&mut self, head: &ResponseHead<'_, '_>, _: &ResponseEdits<'_>, _: bool) {
        self.head = Some(head.status);
    }

    fn append(&mut self, along: Along<'_>) {
        self.data.extend_from_slice(along.bytes);
    }

    async fn flush(&mut self, is_whole: bool) -> Result<Flushed, SendFault> {
        if let Some(status) = self.head.take() {
            self.frame(Frame::Head(status));
        }
        if !self.data.is_empty() {
            let data = std::mem::take(&mut self.data);
            self.frame(Frame::Data(data));
        }
        if is_whole {
            self.frame(Frame::End);
        }
        Ok(Flushed::Taken)
    }

    async fn send(&mut self, piece: Piece, end: Option<&[u8]>) -> Result<(), SendFault> {
        let mut waited = Duration::ZERO;
        let has_credit = || !self.credit.0.borrow().said.is_empty();
        while !has_credit() {
            if self.presence.is_cut() {
                return Err(SendFault::Gone);
            }
            if waited > Duration::from_secs(2) {
                return Err(SendFault::Timeout);
            }
            simulated::wait(TICK).await;
            waited += TICK;
        }
        self.credit.0.borrow_mut().said.pop_front();
        let content = piece.buffer.get(piece.from..).unwrap_or_default().to_vec();
        self.frame(Frame::Data(content));
        if end.is_some() {
            self.frame(Frame::End);
        }
        Ok(())
    }

    async fn finish(&mut self) {}
}

/// None of these streams becomes a tunnel.
pub(super) struct Nobody;

impl Side for Nobody {
    type Reader = Nobody;
    type Writer = Nobody;
    fn split(self) -> (Nobody, Nobody) {
        (Nobody, Nobody)
    }
}

impl Reader for Nobody {
    fn poll_receive(&mut self, _: bool, _: &mut Context<'_>) -> Poll<std::io::Result<Vec<u8>>> {
        Poll::Ready(Ok(Vec::new()))
    }
    fn end_receiving(&self) {}
}

impl Writer for Nobody {
    async fn send(&self, _: Vec<u8>, _: Patience<'_>) -> Result<(), SendFault> {
        Ok(())
    }
    fn is_reset(&self) -> bool {
        false
    }
    fn end_sending(&self) {}
    fn end(&self) {}
    fn abort(&self) {}
}
