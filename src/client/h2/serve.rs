//! The task of a connection that speaks HTTP/2: owns its socket and its machine, and opens a task for each stream.
//!
//! Streams write into the machine; what they have written by the end of a turn leaves in one send. A connection that is
//! to end lets its streams end first: GOAWAY tells the client. Tested
//! beside it over real sockets, with the `h2` crate as client.

use std::cell::RefCell;
use std::future::poll_fn;
use std::rc::Rc;
use std::time::Duration;

use super::shared::Shared;
use super::stream::Request;
use super::workers;
use crate::client::connection::Connection;
use crate::client::early::NextReceive;
use crate::client::h1::{self, Done, Next};
use crate::exchange::client::Presence;
use crate::http2::flow;
use crate::http2::frame::error_code::ErrorCode;
use crate::http2::hpack::block::Limits;
use crate::http2::machine::events::Event;
use crate::http2::machine::fault::Fault;
use crate::http2::machine::{Machine, Options};
use crate::multiplex::flush::Takes;
use crate::multiplex::shared::Owner;
use crate::multiplex::task::{Receive, TLS_FRAME_BYTES, Task};
use crate::snapshot::Listener;
use crate::telemetry::http2::{Http2Block, Side};
use crate::time::alarms::Waits;
use crate::time::clock::{Clock, Millis, NEVER};
use crate::time::timers::{Timer, Timers};
use crate::transport::stream::Stream;

/// How often a busy connection looks whether it is to end.
const LOOK_MS: u64 = 1_000;
/// After so long without a stream memory is given back.
const QUIET_MS: u64 = 1_000;

/// Serves the received bytes, which begin with the preface, and all that follows until the connection ends.
pub async fn serve(connection: Rc<Connection>, received: Vec<u8>) -> Next {
    let clients = Rc::clone(&connection.clients);
    let clock = &clients.local.clock;
    let Some((options, takes)) = options(&connection) else { return Next::Close };
    let machine = Machine::new(options, clock.now_ms());
    let shared = Rc::new(Shared::new(Rc::clone(&connection), machine));
    let timers = Timers::new(&connection.alarm, clock);
    let mut serving = Serving {
        task: Task::new(&shared, timers, takes),
        rules: Rules::of(&connection),
        idle_since_ms: clock.now_ms(),
        is_small: false,
    };
    serving.task.take_in(received);
    while serving.task.goes_on() {
        serving.task.transmit();
        serving.set_timer();
        poll_fn(|cx| serving.task.poll(cx)).await;
        clock.read_us();
        serving.look();
    }
    // Boxed, since every connection has room for what is held here, and ends once.
    Box::pin(serving.end()).await;
    Next::Close
}

/// What the connection is held to, and how slow its client may be.
fn options(connection: &Connection) -> Option<(Options, Takes)> {
    let (view, position) = connection.view()?;
    let listener: &Listener = view.listeners.get(position)?;
    let mut options = Options::server();
    let (limits, streams) = (&listener.head_limits, &listener.streams);
    let list_bytes = u32::try_from(limits.head_bytes).unwrap_or(u32::MAX);
    options.list = Limits::new(list_bytes, limits.field_count);
    options.own.header_list_bytes = list_bytes;
    options.own.max_concurrent_streams = streams.count;
    options.own.header_table_bytes = streams.table_bytes;
    options.receive_bytes = streams.content_bytes;
    options.head_timeout_ms = u64::try_from(listener.timeouts.head.as_millis()).unwrap_or(NEVER);
    if connection.client.is_encrypted() {
        options.frame_bytes_max = TLS_FRAME_BYTES;
    }
    let timeouts = &listener.timeouts;
    let takes = Takes { idle: timeouts.send_idle, minimum_rate: timeouts.send_minimum_rate };
    Some((options, takes))
}

impl Owner for Rc<Connection> {
    fn wire(&self) -> &Stream {
        &self.client
    }

    fn clock(&self) -> &Clock {
        &self.clients.local.clock
    }

    fn numbers(&self) -> &Http2Block {
        self.clients.local.counters.http2(Side::Client)
    }

    fn windows(&self) -> &RefCell<flow::Pool> {
        &self.clients.lines.windows
    }

    fn event(shared: &Rc<Shared>, event: Event<'_>) {
        match event {
            Event::Head { stream, block, ends } => {
                let requests = &shared.owner.requests;
                requests.set(requests.get().saturating_add(1));
                shared.open(stream, ends);
                let request = Request { stream, block, ends };
                workers::serve(Rc::clone(shared), request);
            }
            Event::Fault(fault) => fail(shared, fault),
            // What is a stream's own never comes here.
            Event::Settings
            | Event::Goaway { .. }
            | Event::Content { .. }
            | Event::Trailers { .. }
            | Event::Malformed { .. }
            | Event::Reset { .. }
            | Event::Unprocessed { .. } => {}
        }
    }
}

/// The connection has failed: its streams end, and the client is told why.
#[cold]
fn fail(shared: &Shared, fault: Fault) {
    let Connection { clients, caller, .. } = &*shared.owner;
    shared.tell_all(Presence::Reset);
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

/// The task of one connection.
struct Serving<'a> {
    task: Task<'a, Rc<Connection>>,
    rules: Rules,
    /// Since when there has been no stream.
    idle_since_ms: Millis,
    /// What an idle connection does not need has been given back.
    is_small: bool,
}

/// What the listener says of its connections, as far as this task asks for it all the time.
struct Rules {
    /// Of the shard, when they were read.
    turns: u32,
    keep_alive_ms: u64,
    requests_max: u32,
    /// A reload may have turned HTTP/2 off.
    takes_http2: bool,
}

impl Rules {
    fn of(connection: &Connection) -> Rules {
        let view = connection.view();
        let listener = view.as_ref().and_then(|(view, at)| view.listeners.get(*at));
        let keep_alive = listener.map_or(Duration::ZERO, |listener| listener.timeouts.keep_alive);
        Rules {
            turns: connection.clients.views.turns(),
            keep_alive_ms: u64::try_from(keep_alive.as_millis()).unwrap_or(NEVER),
            requests_max: listener.map_or(1, |listener| listener.requests_per_connection),
            takes_http2: listener.is_some_and(|listener| connection.may_speak_http2(listener)),
        }
    }
}

impl Serving<'_> {
    /// Sets the timer for whatever comes first.
    fn set_timer(&mut self) {
        let Task { shared, timers, .. } = &self.task;
        let machines_ms = self.task.next_timeout_ms();
        let (machine, connection) = (shared.machine.borrow(), &shared.owner);
        let now_ms = timers.clock.now_ms();
        if machine.stream_count() > 0 || machine.is_draining() {
            (self.idle_since_ms, self.is_small) = (now_ms, false);
            timers.set(Timer::Idle, machines_ms.min(now_ms.saturating_add(LOOK_MS)));
            return;
        }
        let waits = if connection.requests.get() == 0 { Waits::Fresh } else { Waits::Idle };
        let quiet_ms =
            if self.is_small { NEVER } else { self.idle_since_ms.saturating_add(QUIET_MS) };
        let at_ms = machines_ms.min(self.idle_until_ms()).min(connection.expires_ms).min(quiet_ms);
        timers.set_waiting(Timer::Idle, at_ms, waits);
    }

    /// Until when the connection may have no stream.
    fn idle_until_ms(&self) -> Millis {
        self.idle_since_ms.saturating_add(self.rules.keep_alive_ms)
    }

    /// Looks whether time, or the process, wants the connection to end.
    fn look(&mut self) {
        self.task.expire();
        let now_ms = self.task.timers.clock.now_ms();
        self.give_back(now_ms);
        let Task { shared, timers, .. } = &self.task;
        let connection = &shared.owner;
        if connection.clients.views.turns() != self.rules.turns {
            self.rules = Rules::of(connection);
        }
        let mut machine = shared.machine.borrow_mut();
        let is_ending = timers.is_cut_off() || connection.alarm.is_evicted();
        if is_ending && machine.stream_count() == 0 {
            machine.close(ErrorCode::NoError, "");
            return;
        }
        if machine.is_draining() {
            return;
        }
        let Rules { requests_max, takes_http2, .. } = self.rules;
        let may_continue = takes_http2 && connection.may_continue(requests_max);
        let is_idle = machine.stream_count() == 0 && now_ms >= self.idle_until_ms();
        // What is cut off ends its streams by itself, each with its answer; what was to be evicted was idle a moment ago.
        if is_idle || is_ending || !may_continue {
            machine.drain(now_ms);
        }
    }

    /// Gives back what a connection does not need that has had no stream for a while.
    fn give_back(&mut self, now_ms: Millis) {
        let is_quiet = self.task.shared.machine.borrow().stream_count() == 0
            && now_ms >= self.idle_since_ms.saturating_add(QUIET_MS);
        if is_quiet && !self.is_small {
            self.is_small = true;
            self.task.shrink();
        }
    }

    /// Ends the connection: its streams first, then the last bytes, then the socket.
    async fn end(self) {
        let shared = self.task.shared;
        let ended = self.task.end().await;
        let done = if ended.is_gone { Done::ABORTED } else { Done::CLOSED };
        let mut next = match ended.receive {
            Receive::None => NextReceive::None,
            Receive::Any(receive) => NextReceive::InFlight(receive),
            Receive::Behind(receive) => NextReceive::Late(receive),
            Receive::Ended => NextReceive::Arrived(Ok(Vec::new())),
        };
        let connection = &shared.owner;
        let timers = Timers::new(&connection.alarm, &connection.clients.local.clock);
        h1::close(connection, &timers, done, &mut next).await;
    }
}

#[cfg(test)]
#[path = "serve_tests.rs"]
mod tests;
