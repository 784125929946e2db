//! A double of an encrypted stream: data travels in records, among others that carry no data.
//!
//! It has the form of TLS without its secrets. A record is opened only when all of it has come, and its number shows
//! whether one was lost; some records carry no message, also while the stream is idle, and some must be answered by the
//! receiver. The end of the data is a record: a socket that ends without it is cut. Both ends of a simulated connection
//! use this code; the tests beside it write and check the bytes.

mod codec;
mod reading;
mod session;
#[cfg(test)]
mod tests;
pub(super) mod tls;
mod writing;

use std::cell::Cell;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use crate::transport::stream::Stream;
use crate::uring::{Presence, Socket, buffers, simulated, spawn};
use reading::Wanted;
use session::Inner;

/// The records that an end sends by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Manner {
    /// Data, answers and the end.
    Terse,
    /// Also records without data, before its data and while it is idle. Until the other end has answered those that
    /// must be answered, it sends no data.
    Chatty,
}

thread_local! {
    static TO_TARGETS: Cell<bool> = const { Cell::new(false) };
}

/// While it lives, connections to targets on this thread use records, if the plan says so.
pub(super) struct ToTargets(());

impl ToTargets {
    pub(super) fn speak(speaks: bool) -> ToTargets {
        TO_TARGETS.set(speaks);
        ToTargets(())
    }
}

impl Drop for ToTargets {
    fn drop(&mut self) {
        TO_TARGETS.set(false);
    }
}

pub fn are_spoken_to_targets() -> bool {
    TO_TARGETS.get()
}

/// One end of an encrypted stream: of these records, or of TLS where a test asks for it.
pub fn stream(socket: Socket, manner: Manner) -> Stream {
    match tls::session(&socket) {
        Some(session) if manner == Manner::Chatty => {
            let pauses = (0..session::CHATS).map(|_| session::before_chat()).collect();
            Stream::tls_chatting(socket, session, pauses)
        }
        Some(session) => Stream::tls(socket, session),
        None => Stream::records(socket, manner),
    }
}

/// One end of a stream of records. Dropping it sends the record of the end.
pub struct Session(Rc<Inner>);

impl Session {
    pub fn new(socket: Socket, manner: Manner) -> Rc<Session> {
        let inner = Rc::new(Inner::new(socket, manner));
        spawn(session::keep(Rc::clone(&inner)));
        if manner == Manner::Chatty {
            spawn(session::chat(Rc::downgrade(&inner)));
        }
        Rc::new(Session(inner))
    }

    pub fn socket(&self) -> &Socket {
        self.0.socket()
    }

    pub fn recv(self: &Rc<Self>, buffer: Vec<u8>) -> Box<Recv> {
        Box::new(Recv(self.receive(buffer, Wanted::Data)))
    }

    pub fn recv_any(self: &Rc<Self>) -> Box<RecvAny> {
        Box::new(RecvAny(self.receive(Vec::new(), Wanted::Any)))
    }

    fn receive(self: &Rc<Self>, buffer: Vec<u8>, wanted: Wanted) -> Receive {
        self.0.want(wanted);
        Receive { session: Rc::clone(self), buffer, is_over: false }
    }

    pub fn send(self: &Rc<Self>, buffer: Vec<u8>, from: usize, whole: bool) -> Box<Send> {
        self.0.start_send(buffer, from, whole);
        Box::new(Send { session: Rc::clone(self), is_over: false })
    }

    /// Bytes that are sealed and not acknowledged.
    pub fn queued_bytes(&self) -> Option<u32> {
        let sealed = u32::try_from(self.0.sealed_bytes()).unwrap_or(u32::MAX);
        self.0.socket().queued_bytes().map(|queued| queued.saturating_add(sealed))
    }

    /// Opens the records that are there: data and the end can be received, other records cannot.
    pub fn is_readable(&self) -> bool {
        self.0.drive();
        self.0.has_something() || self.0.socket().is_readable()
    }

    pub fn presence(&self) -> Presence {
        self.0.presence()
    }

    pub fn is_reset(&self) -> bool {
        self.0.is_reset()
    }

    pub fn end_receiving(&self) {
        self.0.end_receiving();
    }

    pub fn end_sending(&self) {
        self.0.end_sending();
    }

    pub fn end(&self) {
        self.0.end();
    }

    pub fn abort(&self) {
        self.0.abort();
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        self.0.let_go();
    }
}

/// A receive of any kind that has been begun.
struct Receive {
    session: Rc<Session>,
    buffer: Vec<u8>,
    is_over: bool,
}

impl Receive {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let polled = self.session.0.poll_receive(&mut self.buffer, cx);
        self.is_over |= polled.is_ready();
        polled
    }
}

impl Drop for Receive {
    fn drop(&mut self) {
        if !self.is_over {
            simulated::accuse("a receive of records in flight was dropped");
            self.session.end();
        }
    }
}

/// As a socket's.
pub struct Recv(Receive);

impl Future for Recv {
    type Output = (io::Result<usize>, Vec<u8>);
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.0.poll(cx).map(|result| (result, std::mem::take(&mut self.0.buffer)))
    }
}

/// As a socket's.
pub struct RecvAny(Receive);

impl RecvAny {
    pub fn is_over(&self) -> bool {
        self.0.is_over
    }

    pub fn again(&mut self) {
        if std::mem::take(&mut self.0.is_over) {
            self.0.session.0.want(Wanted::Any);
        }
    }
}

impl Future for RecvAny {
    type Output = io::Result<Vec<u8>>;
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        if self.0.is_over {
            return Poll::Ready(Err(io::ErrorKind::InvalidInput.into()));
        }
        if self.0.buffer.capacity() == 0 {
            self.0.buffer = buffers::small();
        }
        self.0.poll(cx).map(|result| result.map(|_| std::mem::take(&mut self.0.buffer)))
    }
}

/// As a socket's: completes when the socket has taken the records of its data.
pub struct Send {
    session: Rc<Session>,
    is_over: bool,
}

impl Future for Send {
    type Output = (io::Result<usize>, Vec<u8>);
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let polled = self.session.0.poll_sent(cx);
        self.is_over |= polled.is_ready();
        polled
    }
}

impl Drop for Send {
    fn drop(&mut self) {
        if !self.is_over {
            simulated::accuse("a send of records in flight was dropped");
            self.session.end();
        }
    }
}
