//! The socket of a connection, driven for its machine: what comes is taken in, and what its streams have written by the
//! end of a turn leaves in one send.

use std::future::{Future as _, poll_fn};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use super::flush::{Flush, Gone, Takes};
use super::shared::{Owner, Shared};
use super::tally::Tally;
use crate::exchange::client::Presence;
use crate::http2::frame::HEADER_BYTES;
use crate::http2::settings::FRAME_BYTES_MIN;
use crate::time::clock::NEVER;
use crate::time::timers::{Timer, Timers};
use crate::transport::stream::{Recv, RecvAny};
use crate::uring::buffers;

/// Most bytes of DATA in a frame under TLS: it fits into one record.
pub const TLS_FRAME_BYTES: u32 = 16_375;
/// How long the last bytes of a connection may take.
const LAST: Duration = Duration::from_secs(2);

/// The receive in flight.
pub enum Receive {
    None,
    /// Into a buffer that is found when bytes come.
    Any(RecvAny),
    /// Behind the part of a frame.
    Behind(Recv),
    /// The peer has ended what it sends.
    Ended,
}

/// A buffer that begins with what has come, and has room for the whole frame.
fn with_room(part: &[u8]) -> Vec<u8> {
    let whole = HEADER_BYTES + FRAME_BYTES_MIN as usize;
    let most = whole.max(part.len() + buffers::SMALL_BYTES) + buffers::TAIL_BYTES;
    let mut buffer = buffers::large();
    if buffer.capacity() < most {
        buffers::give_back(buffer);
        buffer = Vec::with_capacity(most);
    }
    buffer.extend_from_slice(part);
    buffer
}

/// What the windows of a connection have drawn from its shard's; it goes back when the task is over, however it ends.
struct Drawn<'a, O: Owner>(&'a Shared<O>);

impl<O: Owner> Drop for Drawn<'_, O> {
    fn drop(&mut self) {
        let Drawn(shared) = self;
        let windows = shared.owner.windows().try_borrow_mut();
        // Only a panic would leave either of them borrowed.
        if let (Ok(mut machine), Ok(mut windows)) = (shared.machine.try_borrow_mut(), windows) {
            machine.end(&mut windows);
        }
    }
}

pub struct Task<'a, O: Owner> {
    pub shared: &'a Rc<Shared<O>>,
    /// [`Timer::Idle`] is the owner's; [`Timer::Send`] bounds a send.
    pub timers: Timers<'a>,
    /// Received bytes that were not taken in: the beginning of a frame that has not come whole.
    part: Vec<u8>,
    /// More wait there, and the peer has to read before they are taken in.
    is_full: bool,
    receive: Receive,
    send: Flush,
    /// More may be there to send, behind the send in flight.
    is_behind: bool,
    /// The buffer of the last send.
    spare: Vec<u8>,
    /// Bytes that the peer had not acknowledged when its silence was judged last.
    queued: Option<u32>,
    /// Nothing reaches the peer any more.
    is_gone: bool,
    tally: Tally<'a>,
    _drawn: Drawn<'a, O>,
}

/// How a connection ended, with what is left of its operations.
pub struct Ended {
    /// Nothing reaches the peer any more.
    pub is_gone: bool,
    pub receive: Receive,
}

impl<'a, O: Owner> Task<'a, O> {
    pub fn new(shared: &'a Rc<Shared<O>>, timers: Timers<'a>, takes: Takes) -> Task<'a, O> {
        Task {
            shared,
            timers,
            part: Vec::new(),
            is_full: false,
            receive: Receive::None,
            send: Flush::new(takes),
            is_behind: false,
            spare: Vec::new(),
            queued: None,
            is_gone: false,
            tally: Tally::new(&shared.machine, shared.owner.numbers()),
            _drawn: Drawn(shared),
        }
    }

    /// Whether there is anything left to do.
    pub fn goes_on(&self) -> bool {
        let machine = self.shared.machine.borrow();
        let has_ended = matches!(self.receive, Receive::Ended);
        !(self.is_gone || machine.is_over() || has_ended && machine.stream_count() == 0)
    }

    /// Whether nothing more comes.
    pub fn has_ended(&self) -> bool {
        self.is_gone || matches!(self.receive, Receive::Ended)
    }

    /// Has the machine take in received bytes.
    pub fn take_in(&mut self, received: Vec<u8>) {
        let bytes = match self.part.is_empty() {
            true => received,
            false => {
                let mut part = std::mem::take(&mut self.part);
                part.extend_from_slice(&received);
                buffers::give_back(received);
                part
            }
        };
        let now_ms = self.timers.clock.now_ms();
        self.shared.machine.borrow_mut().heard(now_ms);
        let mut input = &bytes[..];
        loop {
            let event = self.shared.machine.borrow_mut().receive(&mut input, now_ms);
            match event {
                Some(event) => self.shared.note(event),
                None => break,
            }
        }
        self.is_full = !self.shared.machine.borrow().takes_input();
        if !input.is_empty() {
            self.part = with_room(input);
        }
        buffers::give_back(bytes);
    }

    /// Begins to send what is there, and lets streams go on that may.
    pub fn transmit(&mut self) {
        let shared = self.shared;
        let mut machine = shared.machine.borrow_mut();
        self.tally.note(&machine);
        self.is_behind = !self.send.is_none();
        if !self.is_behind && !self.is_gone {
            let mut out = std::mem::take(&mut self.spare);
            machine.transmit(&mut out, &mut shared.owner.windows().borrow_mut());
            if out.is_empty() {
                self.spare = out;
            } else {
                self.send.begin(shared.owner.wire(), out, &self.timers);
            }
        }
        while let Some(stream) = machine.next_turn() {
            shared.tell(stream, |_| {});
        }
        let takes_input = machine.takes_input();
        drop(machine);
        if self.is_full && takes_input {
            // What comes of it waits behind the send that has begun.
            self.is_behind = true;
            self.take_in(Vec::new());
        }
    }

    /// Waits until there is something to do.
    pub fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let mut is_ready = self.poll_receive(cx);
        if !self.send.is_none()
            && let Poll::Ready(sent) = self.send.poll(self.shared.owner.wire(), &self.timers, cx)
        {
            is_ready |= self.is_behind || sent.is_err();
            match sent {
                Ok(buffer) => self.spare = buffer,
                // All of its streams wait for it.
                Err(gone) => self.go(gone),
            }
        }
        is_ready |= self.shared.poll_changed(cx);
        is_ready |= self.timers.poll_due(Timer::Idle, cx);
        if is_ready { Poll::Ready(()) } else { Poll::Pending }
    }

    fn poll_receive(&mut self, cx: &mut Context<'_>) -> bool {
        if self.is_full {
            return false;
        }
        let wire = self.shared.owner.wire();
        if let Receive::None = self.receive {
            self.receive = match self.part.is_empty() {
                true => Receive::Any(wire.recv_any()),
                false => Receive::Behind(wire.recv(std::mem::take(&mut self.part))),
            };
        }
        let received = match &mut self.receive {
            Receive::Any(receive) => Pin::new(receive).poll(cx),
            Receive::Behind(receive) => Pin::new(receive).poll(cx).map(|(result, buffer)| {
                result.map(|count| if count > 0 { buffer } else { Vec::new() })
            }),
            Receive::None | Receive::Ended => return false,
        };
        let Poll::Ready(received) = received else { return false };
        self.receive = Receive::None;
        match received {
            Ok(bytes) if !bytes.is_empty() => self.take_in(bytes),
            Ok(_) => {
                self.receive = Receive::Ended;
                self.shared.tell_all(Presence::Ended);
            }
            Err(_) => self.go(Gone::Lost),
        }
        true
    }

    /// The peer is gone.
    fn go(&mut self, gone: Gone) {
        self.is_gone = true;
        self.shared.is_slow.set(gone == Gone::Slow);
        self.shared.tell_all(Presence::Reset);
    }

    /// Has the machine do what is due by now.
    pub fn expire(&mut self) {
        let now_ms = self.timers.clock.now_ms();
        if self.shared.machine.borrow().judges_silence(now_ms) && self.is_taken() {
            self.shared.machine.borrow_mut().heard(now_ms);
        }
        loop {
            let event = self.shared.machine.borrow_mut().expire(now_ms);
            let Some(event) = event else { break };
            self.shared.note(event);
        }
    }

    /// Whether the peer shows that it is there by what it takes: a PING to it, and its answer, would stand behind that.
    #[cold]
    fn is_taken(&mut self) -> bool {
        let queued = self.shared.owner.wire().queued_bytes();
        let before = std::mem::replace(&mut self.queued, queued);
        let has_shrunk = before.zip(queued).is_some_and(|(before, now)| now < before);
        // A send in flight is bounded by itself.
        has_shrunk || !self.send.is_none()
    }

    /// When the machine has something to do next.
    pub fn next_timeout_ms(&self) -> u64 {
        self.shared.machine.borrow().next_timeout().unwrap_or(NEVER)
    }

    /// Gives back what an idle connection does not need.
    pub fn shrink(&mut self) {
        self.spare = Vec::new();
        self.shared.shrink();
    }

    /// Ends the connection: its streams first, then the last bytes. The socket is still open.
    pub async fn end(mut self) -> Ended {
        let shared = self.shared;
        let wire = shared.owner.wire();
        shared.tell_all(Presence::Reset);
        poll_fn(|cx| {
            // Their tasks have been told, and end by themselves.
            shared.poll_changed(cx);
            match shared.machine.borrow().stream_count() {
                0 => Poll::Ready(()),
                _ => Poll::Pending,
            }
        })
        .await;
        let deadline = self.timers.clock.deadline(LAST);
        while !self.is_gone {
            self.transmit();
            if self.send.is_none() {
                break;
            }
            let (send, timers) = (&mut self.send, &self.timers);
            let sent = poll_fn(|cx| send.poll(wire, timers, cx));
            let sent = timers.give_up(Timer::Idle, deadline, sent).await;
            match sent {
                Some(Ok(buffer)) => self.spare = buffer,
                Some(Err(_)) | None => self.is_gone = true,
            }
        }
        if self.is_gone {
            wire.abort();
            // A send that was in flight ends with the stream.
            self.send.settle().await;
        }
        buffers::give_back(self.part);
        Ended { is_gone: self.is_gone, receive: self.receive }
    }
}
