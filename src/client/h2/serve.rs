//! The task of a connection that speaks HTTP/2: owns its socket and its machine, and opens a task for each stream.
//!
//! Streams write into the machine; what they have written by the end of a turn leaves in one send. A connection that is
//! to end lets its streams end first: GOAWAY tells the client. Tested
//! beside it over real sockets, with the `h2` crate as client.

use std::future::{Future as _, poll_fn};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use super::shared::Shared;
use super::stream::{self, Request};
use crate::client::connection::Connection;
use crate::client::early::NextReceive;
use crate::client::h1::{self, Done, Next};
use crate::exchange::client::Presence;
use crate::http::refusal::ChunkFault;
use crate::http2::frame::HEADER_BYTES;
use crate::http2::frame::error_code::ErrorCode;
use crate::http2::machine::events::{Event, Malformed};
use crate::http2::machine::fault::Fault;
use crate::http2::machine::{Machine, Options};
use crate::http2::settings::FRAME_BYTES_MIN;
use crate::snapshot::Listener;
use crate::time::alarms::Waits;
use crate::time::clock::{Millis, NEVER};
use crate::time::timers::{Timer, Timers};
use crate::transport::pending::PendingSend;
use crate::transport::spawn;
use crate::transport::stream::{Recv, RecvAny};
use crate::uring::buffers;

/// Most bytes of DATA in a frame under TLS: it fits into one record.
const TLS_FRAME_BYTES: u32 = 16_375;
/// How often a busy connection looks whether it is to end.
const LOOK_MS: u64 = 1_000;
/// After so long without a stream memory is given back.
const QUIET_MS: u64 = 1_000;
/// How long the last bytes of a connection may take.
const LAST: Duration = Duration::from_secs(2);

/// Serves the received bytes, which begin with the preface, and all that follows until the connection ends.
pub async fn serve(connection: Rc<Connection>, received: Vec<u8>) -> Next {
    let clients = Rc::clone(&connection.clients);
    let clock = &clients.local.clock;
    let Some((options, send_idle)) = options(&connection) else { return Next::Close };
    let machine = Machine::new(options, clock.now_ms());
    let shared = Rc::new(Shared::new(Rc::clone(&connection), machine));
    let mut task = Task {
        shared: &shared,
        timers: Timers::new(&connection.alarm, clock),
        part: Vec::new(),
        is_full: false,
        receive: Receive::None,
        send: PendingSend::None,
        spare: Vec::new(),
        send_idle,
        idle_since_ms: clock.now_ms(),
        is_small: false,
        is_gone: false,
    };
    task.take_in(received);
    while task.goes_on() {
        task.transmit();
        task.set_timer();
        poll_fn(|cx| task.poll(cx)).await;
        clock.read_us();
        task.look();
    }
    task.end().await;
    Next::Close
}

/// What the connection is held to, and how long its client may take nothing.
fn options(connection: &Connection) -> Option<(Options, Duration)> {
    let (view, position) = connection.view()?;
    let listener: &Listener = view.listeners.get(position)?;
    let mut options = Options::server();
    options.head_timeout_ms = u64::try_from(listener.timeouts.head.as_millis()).unwrap_or(NEVER);
    // No exchange switches a stream to WebSocket yet.
    options.own.enable_connect_protocol = false;
    if connection.client.is_encrypted() {
        options.frame_bytes_max = TLS_FRAME_BYTES;
    }
    Some((options, listener.timeouts.send_idle))
}

/// The receive in flight.
enum Receive {
    None,
    /// Into a buffer that is found when bytes come.
    Any(RecvAny),
    /// Behind the part of a frame.
    Behind(Recv),
    /// The client has ended what it sends.
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

struct Task<'a> {
    shared: &'a Rc<Shared>,
    timers: Timers<'a>,
    /// Received bytes that were not taken in: the beginning of a frame that has not come whole.
    part: Vec<u8>,
    /// More wait there, and the client has to read before they are taken in.
    is_full: bool,
    receive: Receive,
    send: PendingSend,
    /// The buffer of the last send.
    spare: Vec<u8>,
    /// How long the client may take nothing.
    send_idle: Duration,
    /// Since when there has been no stream.
    idle_since_ms: Millis,
    /// What an idle connection does not need has been given back.
    is_small: bool,
    /// Nothing reaches the client any more.
    is_gone: bool,
}

impl Task<'_> {
    /// Whether there is anything left to do.
    fn goes_on(&self) -> bool {
        let machine = self.shared.machine.borrow();
        let has_ended = matches!(self.receive, Receive::Ended);
        !(self.is_gone || machine.is_over() || has_ended && machine.stream_count() == 0)
    }

    /// Has the machine take in received bytes.
    fn take_in(&mut self, received: Vec<u8>) {
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
        let mut input = &bytes[..];
        loop {
            let event = self.shared.machine.borrow_mut().receive(&mut input, now_ms);
            match event {
                Some(event) => self.handle(event),
                None => break,
            }
        }
        self.is_full = !self.shared.machine.borrow().takes_input();
        if !input.is_empty() {
            self.part = with_room(input);
        }
        buffers::give_back(bytes);
    }

    fn handle(&mut self, event: Event<'_>) {
        let shared = self.shared;
        match event {
            Event::Head { stream, block, ends } => {
                let requests = &shared.connection.requests;
                requests.set(requests.get().saturating_add(1));
                shared.open(stream, ends);
                let request = Request { stream, block, ends };
                spawn(stream::serve(Rc::clone(shared), request));
            }
            Event::Content { stream, bytes, ends } => shared.arrived(stream, bytes, ends),
            Event::Trailers { stream, block } => {
                shared.tell(stream, |slot| {
                    slot.trailers.extend_from_slice(block.field_lines());
                    slot.has_ended = true;
                });
                shared.machine.borrow_mut().recycle(block);
            }
            Event::Malformed { stream, cause } => {
                let fault = match cause {
                    Malformed::Trailers(fault) => fault,
                    Malformed::Length | Malformed::InterimEnds | Malformed::NoHead => {
                        ChunkFault::LengthWrong
                    }
                };
                shared.tell(stream, |slot| slot.fault = Some(fault));
            }
            Event::Reset { stream, .. } | Event::Unprocessed { stream } => {
                shared.tell(stream, |slot| slot.presence = Some(Presence::Reset));
            }
            Event::Settings | Event::Goaway { .. } => {}
            Event::Fault(fault) => self.fail(fault),
        }
    }

    /// The connection has failed: its streams end, and the client is told why.
    #[cold]
    fn fail(&self, fault: Fault) {
        let Connection { clients, caller, .. } = &*self.shared.connection;
        self.shared.tell_all(Presence::Reset);
        clients.local.counters.count_code(fault.word());
        if clients.warnings.may(clients.local.clock.now_ms()) {
            tracing::warn!(
                listener = %caller.origin.listener_name,
                client = %caller.peer().text(),
                reason = fault.word(),
                "a connection of HTTP/2 has failed"
            );
        }
    }

    /// Begins to send what is there, and lets streams go on that may.
    fn transmit(&mut self) {
        let shared = self.shared;
        let mut machine = shared.machine.borrow_mut();
        if matches!(self.send, PendingSend::None) && !self.is_gone {
            let mut out = std::mem::take(&mut self.spare);
            machine.transmit(&mut out, &mut shared.connection.clients.windows.borrow_mut());
            if out.is_empty() {
                self.spare = out;
            } else {
                self.send.begin(&shared.connection.client, out);
                self.timers.set(Timer::Send, self.timers.clock.deadline(self.send_idle));
            }
        }
        while let Some(stream) = machine.next_turn() {
            shared.tell(stream, |_| {});
        }
        let takes_input = machine.takes_input();
        drop(machine);
        if self.is_full && takes_input {
            self.take_in(Vec::new());
        }
    }

    /// Sets the timer for whatever comes first.
    fn set_timer(&mut self) {
        let (machine, connection) = (self.shared.machine.borrow(), &self.shared.connection);
        let machines_ms = machine.next_timeout().unwrap_or(NEVER);
        let now_ms = self.timers.clock.now_ms();
        if machine.stream_count() > 0 || machine.is_draining() {
            (self.idle_since_ms, self.is_small) = (now_ms, false);
            self.timers.set(Timer::Idle, machines_ms.min(now_ms.saturating_add(LOOK_MS)));
            return;
        }
        let waits = if connection.requests.get() == 0 { Waits::Fresh } else { Waits::Idle };
        let quiet_ms =
            if self.is_small { NEVER } else { self.idle_since_ms.saturating_add(QUIET_MS) };
        let at_ms = machines_ms.min(self.idle_until_ms()).min(connection.expires_ms).min(quiet_ms);
        self.timers.set_waiting(Timer::Idle, at_ms, waits);
    }

    /// Until when the connection may have no stream.
    fn idle_until_ms(&self) -> Millis {
        let view = self.shared.connection.view();
        let listener = view.as_ref().and_then(|(view, at)| view.listeners.get(*at));
        let idle = listener.map_or(Duration::ZERO, |listener| listener.timeouts.keep_alive);
        let idle_ms = u64::try_from(idle.as_millis()).unwrap_or(NEVER);
        self.idle_since_ms.saturating_add(idle_ms)
    }

    /// Waits until there is something to do.
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let mut is_ready = self.poll_receive(cx);
        if !matches!(self.send, PendingSend::None)
            && let Poll::Ready((result, mut buffer)) = Pin::new(&mut self.send).poll(cx)
        {
            buffer.clear();
            self.spare = buffer;
            self.timers.stop(Timer::Send);
            if result.is_err() {
                self.go();
            }
            is_ready = true;
        }
        is_ready |= self.shared.poll_changed(cx);
        is_ready |= self.timers.poll_due(Timer::Idle, cx);
        if self.timers.poll_due(Timer::Send, cx) {
            // It takes nothing, and all of its streams wait for that.
            self.go();
            is_ready = true;
        }
        if is_ready { Poll::Ready(()) } else { Poll::Pending }
    }

    fn poll_receive(&mut self, cx: &mut Context<'_>) -> bool {
        let client = &self.shared.connection.client;
        if self.is_full {
            return false;
        }
        if let Receive::None = self.receive {
            self.receive = match self.part.is_empty() {
                true => Receive::Any(client.recv_any()),
                false => Receive::Behind(client.recv(std::mem::take(&mut self.part))),
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
            Err(_) => self.go(),
        }
        true
    }

    /// The client is gone.
    fn go(&mut self) {
        self.is_gone = true;
        self.shared.tell_all(Presence::Reset);
    }

    /// Looks whether time, or the process, wants the connection to end.
    fn look(&mut self) {
        let (shared, connection) = (self.shared, &self.shared.connection);
        let now_ms = self.timers.clock.now_ms();
        loop {
            let event = shared.machine.borrow_mut().expire(now_ms);
            let Some(event) = event else { break };
            self.handle(event);
        }
        self.give_back(now_ms);
        let mut machine = shared.machine.borrow_mut();
        if self.timers.is_cut_off() || connection.alarm.is_evicted() {
            // What is cut off is no clean end.
            let is_clean = machine.stream_count() == 0;
            let code = if is_clean { ErrorCode::NoError } else { ErrorCode::InternalError };
            machine.close(code, "");
            return;
        }
        if machine.is_draining() {
            return;
        }
        let view = connection.view();
        let listener = view.as_ref().and_then(|(view, at)| view.listeners.get(*at));
        let may_continue = listener.is_some_and(|listener| connection.may_continue(listener));
        let is_idle = machine.stream_count() == 0 && now_ms >= self.idle_until_ms();
        if is_idle || !may_continue {
            machine.drain(now_ms);
        }
    }

    /// Gives back what a connection does not need that has had no stream for a while.
    fn give_back(&mut self, now_ms: Millis) {
        let is_quiet = self.shared.machine.borrow().stream_count() == 0
            && now_ms >= self.idle_since_ms.saturating_add(QUIET_MS);
        if is_quiet && !self.is_small {
            self.is_small = true;
            self.spare = Vec::new();
            self.shared.shrink();
        }
    }

    /// Ends the connection: its streams first, then the last bytes, then the socket.
    async fn end(mut self) {
        let shared = self.shared;
        let client = &shared.connection.client;
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
            if matches!(self.send, PendingSend::None) {
                break;
            }
            let send = &mut self.send;
            let bound = self.timers.bound(Timer::Send, deadline, send, || client.abort());
            let ((result, buffer), is_late) = bound.await;
            buffers::give_back(buffer);
            self.is_gone = result.is_err() || is_late;
        }
        let mut done = Done::CLOSED;
        if self.is_gone {
            done = Done::ABORTED;
            client.abort();
            // A send that was in flight ends with the stream.
            let (_, buffer) = self.send.await;
            buffers::give_back(buffer);
        }
        let mut next = match self.receive {
            Receive::None => NextReceive::None,
            Receive::Any(receive) => NextReceive::InFlight(receive),
            Receive::Behind(receive) => NextReceive::Late(receive),
            Receive::Ended => NextReceive::Arrived(Ok(Vec::new())),
        };
        h1::close(&shared.connection, &self.timers, done, &mut next).await;
        buffers::give_back(self.part);
    }
}

#[cfg(test)]
#[path = "serve_tests.rs"]
mod tests;
