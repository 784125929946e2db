//! A TLS stream over a socket: the operations of a stream, and the task that sends the last records of one that ends.
//!
//! Whoever polls an operation drives both halves as far as they go; a half that completes another's operation wakes
//! who waits for it. Nothing runs beside that but the end: its records are sent by a task of their own, because who
//! ends a stream does not wait for it. Must never drop an operation of the socket that is in flight.

use std::cell::{Cell, RefCell};
use std::future::{Future, poll_fn};
use std::io;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use super::reading::{End, Reading};
use super::session::Session;
use super::writing::Writing;
#[cfg(test)]
use crate::uring::simulated;
use crate::uring::{Apart, Presence, Shutdown, Socket, pause, spawn};

/// How long the record of the end waits for a peer that takes nothing.
const LAST: Duration = Duration::from_secs(1);

struct Inner {
    socket: Socket,
    state: RefCell<State>,
    /// Whether both directions are ended, or are to be.
    is_ended: Cell<bool>,
    /// Whether a task finishes it.
    is_finishing: Cell<bool>,
}

struct State {
    session: Session,
    reading: Reading,
    writing: Writing,
    /// The waker of the task that finishes it.
    finisher: Option<Waker>,
}

/// A TLS connection after its handshake. Clones are the same stream; dropping the last one sends its end.
#[derive(Clone)]
pub struct TlsStream(Apart<Handle>);

/// Keeps a stream from being finished.
struct Handle(Rc<Inner>);

impl Clone for Handle {
    fn clone(&self) -> Handle {
        Handle(Rc::clone(&self.0))
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        let finishers = usize::from(self.0.is_finishing.get());
        if Rc::strong_count(&self.0) == 1 + finishers {
            end(&self.0);
        }
    }
}

impl State {
    /// Does everything that is possible without waiting.
    fn drive(&mut self, socket: &Socket) {
        let State { session, reading, writing, finisher } = self;
        reading.drive(socket, session, finisher.as_ref().unwrap_or(Waker::noop()));
        if std::mem::take(&mut reading.is_faulty) {
            writing.spend();
        }
        writing.drive(socket, session, finisher.as_ref(), reading.waker.as_ref());
    }

    fn wake_receiver(&mut self) {
        if self.reading.has_something(&self.session)
            && let Some(waker) = self.reading.waker.take()
        {
            waker.wake();
        }
    }

    fn wake_all(&mut self) {
        self.wake_receiver();
        self.writing.wake();
        if let Some(finisher) = &self.finisher {
            finisher.wake_by_ref();
        }
    }
}

impl Inner {
    fn drive(&self) {
        let mut state = self.state.borrow_mut();
        state.drive(&self.socket);
        state.wake_receiver();
        state.writing.wake();
    }

    /// Begins a receive into `buffer`, or into one that is found when data comes.
    fn want(&self, buffer: Option<Vec<u8>>) {
        self.state.borrow_mut().reading.want(buffer);
        self.drive();
    }

    fn poll_receive(&self, cx: &mut Context<'_>) -> Poll<(io::Result<usize>, Vec<u8>)> {
        let mut state = self.state.borrow_mut();
        if !state.reading.waker.as_ref().is_some_and(|waker| waker.will_wake(cx.waker())) {
            state.reading.waker = Some(cx.waker().clone());
        }
        state.drive(&self.socket);
        state.writing.wake();
        let State { session, reading, .. } = &mut *state;
        match reading.give(session) {
            Some(given) => {
                reading.waker = None;
                Poll::Ready(given)
            }
            None => Poll::Pending,
        }
    }

    fn poll_sent(&self, cx: &mut Context<'_>) -> Poll<(io::Result<usize>, Vec<u8>)> {
        let mut state = self.state.borrow_mut();
        if let Poll::Ready(sent) = state.writing.take_sent(cx) {
            return Poll::Ready(sent);
        }
        state.drive(&self.socket);
        state.wake_receiver();
        state.writing.take_sent(cx)
    }

    fn is_over(&self) -> bool {
        let state = self.state.borrow();
        state.writing.is_over() && !(self.is_ended.get() && state.reading.is_receiving())
    }
}

/// Drives the end of a stream, by a task where it cannot be sent at once.
fn finish(inner: &Rc<Inner>) {
    inner.drive();
    inner.state.borrow_mut().wake_all();
    if !inner.is_over() && !inner.is_finishing.replace(true) {
        spawn(finishing(Rc::clone(inner)));
    }
}

async fn finishing(inner: Rc<Inner>) {
    #[cfg(test)]
    simulated::helps();
    let mut last = pin!(None);
    let mut is_cut = false;
    poll_fn(|cx| {
        inner.state.borrow_mut().finisher = Some(cx.waker().clone());
        inner.drive();
        if inner.is_over() {
            return Poll::Ready(());
        }
        if inner.is_ended.get() && last.is_none() {
            last.set(Some(pause(LAST)));
        }
        if !is_cut
            && let Some(pause) = last.as_mut().as_pin_mut()
            && pause.poll(cx).is_ready()
        {
            is_cut = true;
            inner.socket.shutdown(Shutdown::Both);
            cx.waker().wake_by_ref();
        }
        Poll::Pending
    })
    .await;
    inner.is_finishing.set(false);
    inner.state.borrow_mut().finisher = None;
}

fn end(inner: &Rc<Inner>) {
    if !inner.is_ended.replace(true) {
        let mut state = inner.state.borrow_mut();
        state.reading.is_shut = true;
        state.reading.end.get_or_insert(End::Clean);
        state.writing.end_send();
        state.writing.end_both(&inner.socket);
        drop(state);
        inner.socket.shutdown(Shutdown::Read);
    }
    finish(inner);
}

impl TlsStream {
    /// A stream over a socket whose handshake is done. Control records of the session are sent at once.
    pub fn new(socket: Socket, mut session: Session) -> TlsStream {
        let mut reading = Reading::default();
        let opened = session.go_on();
        reading.judge(&opened, &session);
        let state = State { session, reading, writing: Writing::default(), finisher: None };
        let inner = Inner {
            socket,
            state: RefCell::new(state),
            is_ended: Cell::new(false),
            is_finishing: Cell::new(false),
        };
        inner.drive();
        TlsStream(Apart::new(Handle(Rc::new(inner))))
    }

    fn inner(&self) -> &Rc<Inner> {
        &self.0.0
    }

    fn handle(&self) -> Handle {
        Handle::clone(&self.0)
    }

    /// Has the keys changed after each of the pauses, while the stream lives.
    #[cfg(test)]
    pub fn chat(&self, pauses: Vec<Duration>) {
        let inner = Rc::downgrade(self.inner());
        spawn(async move {
            simulated::helps();
            for time in pauses {
                pause(time).await;
                let Some(inner) = inner.upgrade() else { return };
                if inner.is_ended.get() {
                    return;
                }
                inner.state.borrow_mut().session.update_keys();
                inner.drive();
            }
        });
    }

    pub fn socket(&self) -> &Socket {
        &self.inner().socket
    }

    /// Gives back what only a busy stream needs.
    pub fn rest(&self) {
        self.inner().state.borrow_mut().session.rest();
    }

    pub fn recv(&self, buffer: Vec<u8>) -> Recv {
        Recv(Apart::new(self.receive(Some(buffer))))
    }

    pub fn recv_any(&self) -> RecvAny {
        RecvAny(Apart::new(self.receive(None)))
    }

    fn receive(&self, buffer: Option<Vec<u8>>) -> Receive {
        self.inner().want(buffer);
        Receive { handle: self.handle(), is_over: false }
    }

    pub fn send(&self, buffer: Vec<u8>, from: usize, whole: bool) -> Send {
        self.inner().state.borrow_mut().writing.start(buffer, from, whole);
        self.inner().drive();
        Send(Apart::new(Sending { handle: self.handle(), is_over: false }))
    }

    /// Bytes that are sealed and not acknowledged.
    pub fn queued_bytes(&self) -> Option<u32> {
        let sealed = self.inner().state.borrow().writing.sealed_bytes();
        let sealed = u32::try_from(sealed).unwrap_or(u32::MAX);
        self.inner().socket.queued_bytes().map(|queued| queued.saturating_add(sealed))
    }

    /// Whether data or its end can be received. Records of other kinds that are opened here cannot; whether bytes in
    /// the kernel are data is not known, so they count.
    #[cfg(test)]
    pub fn is_readable(&self) -> bool {
        self.inner().drive();
        let state = self.inner().state.borrow();
        state.reading.has_something(&state.session) || self.inner().socket.is_readable()
    }

    /// Whether neither data nor an end has come. Asks the kernel with `surely`, and where records without data came
    /// before. Pending while bytes that the kernel has are still to be opened by the receive that is in flight. A record
    /// that has come in part may be one of data.
    pub fn poll_quiet(&self, surely: bool) -> Poll<bool> {
        let state = self.inner().state.borrow();
        if state.reading.has_something(&state.session) {
            return Poll::Ready(false);
        }
        if !surely && !state.reading.is_behind {
            return Poll::Ready(true);
        }
        if self.inner().socket.is_readable() {
            return match state.reading.is_receiving() {
                true => Poll::Pending,
                false => Poll::Ready(false),
            };
        }
        Poll::Ready(!state.session.has_part())
    }

    pub fn presence(&self) -> Presence {
        match (self.inner().state.borrow().reading.end, self.inner().socket.presence()) {
            (Some(End::Cut(_)), _) | (_, Presence::Reset) => Presence::Reset,
            (Some(End::Clean), _) | (_, Presence::Ended) => Presence::Ended,
            (None, Presence::There) => Presence::There,
        }
    }

    pub fn is_reset(&self) -> bool {
        let reset = End::Cut(io::ErrorKind::ConnectionReset);
        self.inner().state.borrow().reading.end == Some(reset) || self.inner().socket.is_reset()
    }

    pub fn end_receiving(&self) {
        self.inner().state.borrow_mut().reading.is_shut = true;
        self.inner().socket.shutdown(Shutdown::Read);
        self.inner().drive();
    }

    /// Sends `close_notify` behind all data, then ends the socket's side.
    pub fn end_sending(&self) {
        self.inner().state.borrow_mut().writing.end();
        finish(self.inner());
    }

    pub fn end(&self) {
        end(self.inner());
    }

    pub fn abort(&self) {
        let inner = self.inner();
        if inner.is_ended.replace(true) {
            return;
        }
        inner.socket.abort();
        let mut state = inner.state.borrow_mut();
        state.reading.fail(io::ErrorKind::ConnectionReset);
        state.writing.fail(io::ErrorKind::ConnectionReset);
        drop(state);
        finish(inner);
    }
}

/// A receive of any kind that has been begun.
struct Receive {
    handle: Handle,
    is_over: bool,
}

impl Receive {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<(io::Result<usize>, Vec<u8>)> {
        let polled = self.handle.0.poll_receive(cx);
        self.is_over |= polled.is_ready();
        polled
    }
}

impl Drop for Receive {
    fn drop(&mut self) {
        if !self.is_over {
            self.handle.0.state.borrow_mut().reading.unwant();
            end(&self.handle.0);
        }
    }
}

/// As a socket's.
#[must_use = "an operation in flight must be awaited"]
pub struct Recv(Apart<Receive>);

impl Future for Recv {
    type Output = (io::Result<usize>, Vec<u8>);
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.0.poll(cx)
    }
}

/// As a socket's.
#[must_use = "an operation in flight must be awaited"]
pub struct RecvAny(Apart<Receive>);

impl RecvAny {
    /// Whether it has completed already.
    pub fn is_over(&self) -> bool {
        self.0.is_over
    }

    /// Begins the next receive of the same stream, once this one has completed.
    pub fn again(&mut self) {
        let Receive { handle, is_over } = &mut *self.0;
        if std::mem::take(is_over) {
            handle.0.want(None);
        }
    }
}

impl Future for RecvAny {
    type Output = io::Result<Vec<u8>>;
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        if self.0.is_over {
            return Poll::Ready(Err(io::ErrorKind::InvalidInput.into()));
        }
        self.0.poll(cx).map(|(result, buffer)| result.map(|_| buffer))
    }
}

/// As a socket's: completes when the socket has taken the records of its data.
#[must_use = "an operation in flight must be awaited"]
pub struct Send(Apart<Sending>);

/// A send that has been begun.
struct Sending {
    handle: Handle,
    is_over: bool,
}

impl Send {
    /// Whether the send goes on without being polled.
    pub fn runs_by_itself(&self) -> bool {
        self.0.handle.0.state.borrow().writing.runs_by_itself()
    }
}

impl Future for Send {
    type Output = (io::Result<usize>, Vec<u8>);
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let Sending { handle, is_over } = &mut *self.0;
        let polled = handle.0.poll_sent(cx);
        *is_over |= polled.is_ready();
        polled
    }
}

impl Drop for Sending {
    fn drop(&mut self) {
        if !self.is_over {
            self.handle.0.state.borrow_mut().writing.forget_waker();
            end(&self.handle.0);
        }
    }
}
