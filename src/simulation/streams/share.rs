//! A target's one connection, on which every lease is a stream.

use super::line::{Line, Upwards};
use super::stream::Nobody;
use crate::exchange::content::{Along, End as ContentEnd, Piece, Received, SendFault};
use crate::exchange::failure::Failure;
use crate::exchange::target::{
    self, Connected, Lease, Leased, Leases, ReceiveFault, Receiving, Sending, Upstream,
};
use crate::group::target_group::{Destination, GroupOptions, Target};
use crate::http::edits::RequestEdits;
use crate::http::fields::Fields;
use crate::http::head::{ContentLength, HeadLimits, Method, RequestHead, ResponseHead};
use crate::http::refusal::{ChunkFault, ResponseFault};
use crate::http1::head::{Parsed, parse_response};
use crate::http1::rewrite;
use crate::time::patience::Patience;
use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::task::{Context, Poll};

/// A stream as the target sees it: the request's head, its content, and the way back.
pub(super) type Asked = (Vec<u8>, Upwards, Line<Vec<u8>>);

/// A target's one connection, on which every lease is a stream.
#[derive(Default)]
pub(super) struct Shared {
    pub(super) open: Cell<u32>,
    pub(super) given_back: Cell<u32>,
    pub(super) closed: Cell<u32>,
    pub(super) asked: Line<Asked>,
    /// Both directions of each of its streams.
    streams: RefCell<Vec<Both>>,
    pub(super) is_lost: Cell<bool>,
}

impl Shared {
    /// Loses the connection and all of its streams; later requests get another one.
    pub(super) fn lose(&self) {
        self.is_lost.set(true);
        self.streams.take().iter().for_each(target::Handle::abort);
    }
}

#[derive(Default)]
pub(super) struct Text(pub(super) Vec<u8>);

impl target::Draft for Text {
    fn write(&mut self, head: &RequestHead<'_, '_>, edits: &RequestEdits<'_>) {
        self.0.clear();
        rewrite::request(head, edits, &mut self.0);
    }
    fn append(&mut self, _: Along<'_>) {}
    fn clear(&mut self) {
        self.0.clear();
    }
}

pub(super) struct Shares {
    pub(super) shared: Rc<Shared>,
    pub(super) up: Sent,
    pub(super) down: Got,
}

pub(super) struct Sent {
    pub(super) to_target: Upwards,
    pub(super) from_target: Line<Vec<u8>>,
}

#[derive(Default)]
pub(super) struct Got {
    pub(super) from_target: Line<Vec<u8>>,
    pub(super) bytes: Vec<u8>,
    pub(super) used: usize,
    pub(super) rest: u64,
}

#[derive(Clone)]
pub(super) struct Both(pub(super) Upwards, pub(super) Line<Vec<u8>>);

impl target::Handle for Both {
    fn queued_bytes(&self) -> Option<u32> {
        Some(0)
    }
    fn abort(&self) {
        self.0.cut();
        self.1.cut();
    }
}

/// The one connection, and the bytes that have come with each request already.
pub(super) struct ToShared(pub(super) Rc<Shared>, pub(super) RefCell<Option<Vec<u8>>>);

impl ToShared {
    fn stream(&self) -> Shares {
        self.0.open.set(self.0.open.get() + 1);
        let (to_target, from_target) = (Line::default(), Line::default());
        if let Some(along) = self.1.borrow_mut().take() {
            to_target.say((along, false));
        }
        let down = Got { from_target: from_target.clone(), ..Got::default() };
        let up = Sent { to_target, from_target };
        Shares { shared: Rc::clone(&self.0), up, down }
    }
}

impl Upstream for ToShared {
    type Draft = Text;
    type Own = Shares;
    type Stream = Shares;
    type Connecting = Fresh;

    async fn lease(&self, _: Destination<'_>, _: bool) -> Option<Leases<ToShared>> {
        Some(Leased::Stream(self.stream()))
    }

    async fn connect(&self, _: Destination<'_>, _: &GroupOptions) -> Result<Fresh, Failure> {
        Ok(Fresh(Some(self.stream())))
    }

    fn give_back(&self, _: Leases<ToShared>, _: &Target, _: &GroupOptions) {
        self.0.open.set(self.0.open.get() - 1);
        self.0.given_back.set(self.0.given_back.get() + 1);
    }

    fn close(&self, lease: Leases<ToShared>) {
        let (Leased::Own(mut lease) | Leased::Stream(mut lease)) = lease;
        // The stream is reset, its connection goes on.
        target::Handle::abort(&lease.handle());
        self.0.open.set(self.0.open.get() - 1);
        self.0.closed.set(self.0.closed.get() + 1);
    }
}

/// A new connection in place of a lost one, and its first stream.
pub(super) struct Fresh(Option<Shares>);

impl target::Connecting for Fresh {
    type Lease = Leases<ToShared>;
    fn poll_connected(
        &mut self,
        _: &mut Context<'_>,
    ) -> Poll<Result<Connected<Leases<ToShared>>, Failure>> {
        let stream = self.0.take().map(|stream| Connected::Ready(Leased::Stream(stream)));
        Poll::Ready(stream.ok_or(Failure::NoSocket))
    }
    fn abort(&self) {}
}

impl Lease for Shares {
    type Draft = Text;
    type Sending = Sent;
    type Receiving = Got;
    type Handle = Both;
    type Side = Nobody;

    fn request(&mut self, draft: &mut Text, is_whole: bool) {
        if is_whole {
            self.up.to_target.say((Vec::new(), true));
        }
        let lines = (self.up.to_target.clone(), self.up.from_target.clone());
        self.shared.streams.borrow_mut().push(Both(lines.0.clone(), lines.1.clone()));
        self.shared.asked.say((draft.0.clone(), lines.0, lines.1));
    }
    fn parts(&mut self) -> (&mut Sent, &mut Got) {
        (&mut self.up, &mut self.down)
    }
    fn handle(&mut self) -> Both {
        Both(self.up.to_target.clone(), self.up.from_target.clone())
    }
    fn tunnel(&mut self) -> Nobody {
        Nobody
    }
}

impl Sending for Sent {
    type Draft = Text;
    fn keep_going(&mut self, _: &mut Context<'_>) {}
    fn poll_sent(
        &mut self,
        _: &mut Context<'_>,
        _: Option<&mut Text>,
    ) -> Poll<Result<(), SendFault>> {
        Poll::Ready(Ok(()))
    }
    async fn send(
        &mut self,
        piece: Piece,
        end: Option<&[u8]>,
        _: Patience<'_>,
    ) -> Result<(), SendFault> {
        if self.to_target.is_cut() {
            return Err(SendFault::Reset);
        }
        self.to_target.say((piece.buffer, end.is_some()));
        Ok(())
    }
}

impl Receiving for Got {
    fn poll_head(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), ReceiveFault>> {
        self.from_target.poll_hear(cx).map(|heard| match heard {
            Some(bytes) => {
                self.bytes.extend_from_slice(&bytes);
                Ok(())
            }
            None => Err(ReceiveFault::Reset),
        })
    }
    fn head<T>(
        &mut self,
        method: Method,
        limits: &HeadLimits,
        look: impl FnOnce(&ResponseHead<'_, '_>) -> T,
    ) -> Result<Option<T>, ResponseFault> {
        let mut fields = Fields::new();
        let bytes = &self.bytes[self.used..];
        let Parsed::Complete((head, _)) = parse_response(bytes, limits, method, &mut fields)?
        else {
            return Ok(None);
        };
        if let ContentLength::Exact(length) = head.content {
            self.rest = length;
        }
        let (used, seen) = (head.raw.len(), look(&head));
        drop(fields);
        self.used += used;
        Ok(Some(seen))
    }
    fn is_empty(&self) -> bool {
        self.used >= self.bytes.len()
    }
    fn along(&mut self) -> Result<Along<'_>, ChunkFault> {
        let bytes = &self.bytes[self.used..];
        self.used = self.bytes.len();
        self.rest -= bytes.len() as u64;
        Ok(Along { bytes, end: (self.rest == 0).then_some(b"") })
    }
    fn poll_content(&mut self, cx: &mut Context<'_>) -> Poll<Result<Received, ReceiveFault>> {
        self.from_target.poll_hear(cx).map(|heard| {
            let buffer = heard.ok_or(ReceiveFault::Reset)?;
            self.rest -= buffer.len() as u64;
            let end = if self.rest == 0 { ContentEnd::Last } else { ContentEnd::No };
            Ok(Received { piece: Piece { buffer, from: 0 }, end })
        })
    }
    fn trailers(&self) -> &[u8] {
        b""
    }
}
