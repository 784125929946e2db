//! One end of a stream of records, and the task that keeps it going while it is not polled.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::io;
use std::rc::{Rc, Weak};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use super::Manner;
use super::codec::Kind;
use super::reading::{End, Reading, Wanted};
use super::writing::{Writing, below};
use crate::uring::{Presence, Shutdown, Socket, pause, simulated, spawn};

/// How long the record of the end waits for a peer that takes nothing.
const LAST: Duration = Duration::from_secs(1);
/// How many records an end sends while it is idle, and how long it waits before each.
pub(super) const CHATS: usize = 6;
const CHAT_AFTER_US: u64 = 200_000;

pub(super) struct Inner {
    socket: Socket,
    reading: RefCell<Reading>,
    writing: RefCell<Writing>,
    /// The waker of the task that keeps it going.
    keeper: RefCell<Option<Waker>>,
    /// Whether both directions are ended, or are to be.
    is_ended: Cell<bool>,
    /// Whether only that task still has it.
    is_let_go: Cell<bool>,
}

impl Inner {
    pub(super) fn new(socket: Socket, manner: Manner) -> Inner {
        Inner {
            socket,
            reading: RefCell::default(),
            writing: RefCell::new(Writing::new(manner)),
            keeper: RefCell::default(),
            is_ended: Cell::new(false),
            is_let_go: Cell::new(false),
        }
    }

    pub(super) fn socket(&self) -> &Socket {
        &self.socket
    }

    pub(super) fn sealed_bytes(&self) -> usize {
        self.writing.borrow().sealed_bytes()
    }

    pub(super) fn has_something(&self) -> bool {
        self.reading.borrow().has_something()
    }

    /// Does everything that is possible without waiting. Later events wake the keeper.
    pub(super) fn drive(&self) {
        let keeper = self.keeper.borrow().clone();
        let waker = keeper.as_ref().unwrap_or(Waker::noop());
        let cx = &mut Context::from_waker(waker);
        let (mut reading, mut writing) = (self.reading.borrow_mut(), self.writing.borrow_mut());
        loop {
            let was_awaited = writing.is_answer_awaited;
            let said = &mut |kind| match kind {
                Kind::Ask => writing.answer(),
                Kind::Answer => writing.is_answer_awaited = false,
                Kind::Data | Kind::Notice | Kind::End => {}
            };
            reading.drive(&self.socket, was_awaited, said, cx);
            if reading.end.is_some() {
                // No answer will come any more.
                writing.is_answer_awaited = false;
            }
            writing.drive(&self.socket, cx);
            if was_awaited || !writing.is_answer_awaited {
                return;
            }
        }
    }

    pub(super) fn want(&self, wanted: Wanted) {
        if self.reading.borrow_mut().wanted.replace(wanted).is_some() {
            simulated::accuse("two receives are in flight on one stream of records");
        }
        self.drive();
    }

    pub(super) fn poll_receive(
        &self,
        buffer: &mut Vec<u8>,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<usize>> {
        drop(self.reading.borrow_mut().waker.take());
        self.drive();
        let mut reading = self.reading.borrow_mut();
        let Some(result) = reading.give(buffer) else {
            reading.waker = Some(cx.waker().clone());
            return Poll::Pending;
        };
        reading.wanted = None;
        Poll::Ready(result)
    }

    pub(super) fn start_send(&self, buffer: Vec<u8>, from: usize, whole: bool) {
        self.writing.borrow_mut().start(buffer, from, whole);
        self.drive();
    }

    pub(super) fn poll_sent(&self, cx: &mut Context<'_>) -> Poll<(io::Result<usize>, Vec<u8>)> {
        self.drive();
        self.writing.borrow_mut().poll_sent(cx)
    }

    pub(super) fn presence(&self) -> Presence {
        match (self.reading.borrow().end, self.socket.presence()) {
            (Some(End::Cut(_)), _) | (_, Presence::Reset) => Presence::Reset,
            (Some(End::Clean), _) | (_, Presence::Ended) => Presence::Ended,
            (None, Presence::There) => Presence::There,
        }
    }

    pub(super) fn is_reset(&self) -> bool {
        let reset = End::Cut(io::ErrorKind::ConnectionReset);
        self.reading.borrow().end == Some(reset) || self.socket.is_reset()
    }

    pub(super) fn end_receiving(&self) {
        self.reading.borrow_mut().is_shut = true;
        self.socket.shutdown(Shutdown::Read);
        self.drive();
    }

    pub(super) fn end_sending(&self) {
        self.writing.borrow_mut().end();
        self.drive();
        self.wake();
    }

    pub(super) fn end(&self) {
        if self.is_ended.replace(true) {
            return;
        }
        {
            let mut reading = self.reading.borrow_mut();
            reading.is_shut = true;
            reading.end.get_or_insert(End::Clean);
            let mut writing = self.writing.borrow_mut();
            writing.end_send();
            writing.end_both(&self.socket);
        }
        self.socket.shutdown(Shutdown::Read);
        self.drive();
        self.wake();
    }

    pub(super) fn abort(&self) {
        if self.is_ended.replace(true) {
            return;
        }
        self.socket.abort();
        self.reading.borrow_mut().fail(io::ErrorKind::ConnectionReset);
        self.writing.borrow_mut().fail(io::ErrorKind::ConnectionReset);
        self.drive();
        self.wake();
    }

    pub(super) fn let_go(&self) {
        self.is_let_go.set(true);
        self.wake();
    }

    fn wake(&self) {
        if let Some(keeper) = self.keeper.borrow().as_ref() {
            keeper.wake_by_ref();
        }
    }

    fn is_over(&self) -> bool {
        self.is_let_go.get()
            && !self.reading.borrow().is_receiving()
            && self.writing.borrow().is_over()
    }
}

/// Keeps a stream going until it was let go and its end is sent.
pub(super) async fn keep(inner: Rc<Inner>) {
    simulated::helps();
    let mut is_bound = false;
    poll_fn(|cx| {
        *inner.keeper.borrow_mut() = Some(cx.waker().clone());
        if inner.is_let_go.get() {
            inner.end();
        }
        inner.drive();
        if inner.is_over() {
            return Poll::Ready(());
        }
        if inner.is_ended.get() && !std::mem::replace(&mut is_bound, true) {
            spawn(bound(Rc::downgrade(&inner)));
        }
        Poll::Pending
    })
    .await;
}

/// Ends a socket whose peer does not take the end in time.
async fn bound(inner: Weak<Inner>) {
    pause(LAST).await;
    if let Some(inner) = inner.upgrade() {
        inner.socket.shutdown(Shutdown::Both);
    }
}

pub(super) fn before_chat() -> Duration {
    Duration::from_micros(below(CHAT_AFTER_US))
}

/// Sends records without data from time to time.
pub(super) async fn chat(inner: Weak<Inner>) {
    for _ in 0..CHATS {
        pause(before_chat()).await;
        let Some(inner) = inner.upgrade() else { return };
        inner.writing.borrow_mut().chat();
        inner.drive();
    }
}
