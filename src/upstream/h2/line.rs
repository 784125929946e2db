//! One connection to a target, from the moment that it is asked for until it takes no more requests.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::{Rc, Weak};
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use crate::exchange::client::Presence;
use crate::exchange::failure::Failure;
use crate::exchange::local::Local;
use crate::exchange::target::Connected;
use crate::group::state::TargetState;
use crate::group::target_group::Target;
use crate::http2::flow;
use crate::http2::frame::error_code::ErrorCode;
use crate::http2::machine::events::{Cause, Event, Key};
use crate::http2::machine::fault::Fault;
use crate::multiplex::shared::{Owner, Shared};
use crate::telemetry::counters::ShardCounters;
use crate::telemetry::http2::{Http2Block, Side};
use crate::time::alarms::Alarms;
use crate::time::clock::{Clock, Millis};
use crate::time::seldom::Seldom;
use crate::time::stop::Stop;
use crate::tls::target::ConnectionId;
use crate::transport::stream::Stream;

/// What a connection to a target needs of its shard.
#[derive(Clone)]
pub struct Shard {
    pub(super) clock: Rc<Clock>,
    pub(super) alarms: Rc<Alarms>,
    pub(super) stop: Arc<Stop>,
    pub(super) counters: Arc<ShardCounters>,
    windows: Rc<RefCell<flow::Pool>>,
    /// Limits the warnings about targets' connections.
    warnings: Rc<Seldom>,
}

impl Shard {
    pub fn new(local: &Local, windows: &Rc<RefCell<flow::Pool>>, warnings: &Rc<Seldom>) -> Shard {
        Shard {
            clock: Rc::clone(&local.clock),
            alarms: Rc::clone(&local.alarms),
            stop: Arc::clone(&local.stop),
            counters: Arc::clone(&local.counters),
            windows: Rc::clone(windows),
            warnings: Rc::clone(warnings),
        }
    }
}

/// One connection, as its streams see it.
pub struct Link {
    pub(super) wire: Stream,
    pub(super) shard: Shard,
    pub(super) line: Weak<Line>,
    /// The target has refused a stream beside others: until then it has room for more only when one of those has ended.
    full_until_ms: Cell<Millis>,
    /// Since when it has had no stream.
    pub(super) idle_since_ms: Cell<Millis>,
}

impl Owner for Link {
    fn wire(&self) -> &Stream {
        &self.wire
    }

    fn clock(&self) -> &Clock {
        &self.shard.clock
    }

    fn numbers(&self) -> &Http2Block {
        self.shard.counters.http2(Side::Target)
    }

    fn windows(&self) -> &RefCell<flow::Pool> {
        &self.shard.windows
    }

    fn event(shared: &Rc<Shared<Link>>, event: Event<'_>) {
        match event {
            Event::Head { stream, block, ends } => {
                let mut fits = true;
                shared.tell(stream, |slot| fits = slot.push_head(block, ends));
                if !fits {
                    let now_ms = shared.owner.shard.clock.now_ms();
                    shared.machine.borrow_mut().reset(stream, Cause::Malformed, now_ms);
                    shared.changed();
                }
            }
            Event::Settings => shared.owner.settings(shared),
            // No more streams are allowed.
            Event::Goaway { .. } => shared.owner.changed(),
            Event::Fault(fault) => {
                shared.owner.fail(fault);
                shared.tell_all(Presence::Reset);
                shared.owner.changed();
            }
            // What is a stream's own never comes here.
            Event::Content { .. }
            | Event::Trailers { .. }
            | Event::Malformed { .. }
            | Event::Reset { .. }
            | Event::Unprocessed { .. } => {}
        }
    }
}

impl Link {
    pub fn new(wire: Stream, shard: Shard, line: &Rc<Line>) -> Link {
        let line = Rc::downgrade(line);
        let idle_since_ms = Cell::new(shard.clock.now_ms());
        Link { wire, shard, line, full_until_ms: Cell::default(), idle_since_ms }
    }

    /// The target has said how many streams it takes, and of which kinds: requests may go to it from the first time on.
    #[cold]
    fn settings(&self, shared: &Rc<Shared<Link>>) {
        self.full_until_ms.set(0);
        if let Some(line) = self.line.upgrade()
            && line.is_being_made()
        {
            line.open(Rc::clone(shared));
        }
        self.changed();
    }

    /// The connection has failed.
    #[cold]
    fn fail(&self, fault: Fault) {
        self.shard.counters.count_code(fault.word());
        if let Some(line) = self.line.upgrade()
            && self.shard.warnings.may(self.shard.clock.now_ms())
        {
            let reason = fault.word();
            tracing::warn!(target_id = %line.target_id, reason, "a connection of HTTP/2 has failed");
        }
    }

    /// The connection has ended.
    pub(super) fn over(&self) {
        if let Some(line) = self.line.upgrade() {
            line.retire(None);
        }
        self.changed();
    }

    /// More streams may be had, or none any more.
    fn changed(&self) {
        if let Some(line) = self.line.upgrade() {
            line.shelf.wake_all();
        }
    }
}

/// How long a connection takes no more after its target has refused a stream beside others, unless one of those ends.
const FULL_MS: Millis = 1_000;

/// The target has refused a stream.
#[cold]
pub fn refused(shared: &Shared<Link>) {
    if shared.machine.borrow().stream_count() > 1 {
        let now_ms = shared.owner.shard.clock.now_ms();
        shared.owner.full_until_ms.set(now_ms.saturating_add(FULL_MS));
    }
}

/// Ends a stream, whose place another may take unless the target has refused it.
pub fn finish(shared: &Shared<Link>, stream: Key, was_refused: bool) {
    shared.finish(stream);
    if !was_refused || shared.machine.borrow().stream_count() == 0 {
        shared.owner.full_until_ms.set(0);
    }
    if let Some(line) = shared.owner.line.upgrade() {
        line.shelf.wake_next(line.id);
    }
}

/// How far a connection is.
enum State {
    Making,
    /// Its socket is connected, and its handshake under way.
    Shakes,
    Open(Rc<Shared<Link>>),
    /// It takes no more requests; why there never was one.
    Over(Option<Failure>),
}

/// A connection that exchanges share.
pub struct Line {
    /// While there is a line, no other target can have its slot.
    _target: Arc<TargetState>,
    target_id: Arc<str>,
    /// What both ends have to have proven.
    id: ConnectionId,
    shelf: Rc<Shelf>,
    state: RefCell<State>,
    /// How many exchanges wait for it first.
    waiting: Cell<u32>,
    /// Nobody needs it any more, although it is still being made.
    is_unwanted: Cell<bool>,
}

impl Line {
    fn change(&self, state: State) {
        // What was there before may end streams when it is dropped, so not while it is borrowed.
        let before = std::mem::replace(&mut *self.state.borrow_mut(), state);
        drop(before);
        self.shelf.wake_all();
    }

    /// Its socket is connected, and a handshake begins.
    pub fn shakes(&self) {
        self.change(State::Shakes);
    }

    pub fn open(&self, shared: Rc<Shared<Link>>) {
        self.change(State::Open(shared));
        if self.is_unwanted.get() {
            self.end();
        }
    }

    /// No more requests are taken; `failure` = why no connection was made.
    pub fn retire(&self, failure: Option<Failure>) {
        // One whose target has not even said its SETTINGS was none.
        let failure = failure.or_else(|| self.is_being_made().then_some(Failure::ConnectFailed));
        let is_over = matches!(&*self.state.borrow(), State::Over(_));
        if !is_over {
            self.change(State::Over(failure));
        }
    }

    /// The connection, where it takes another stream at once.
    fn usable(&self) -> Option<Rc<Shared<Link>>> {
        match &*self.state.borrow() {
            State::Open(shared) => {
                let Link { shard, full_until_ms, .. } = &shared.owner;
                let has_room = full_until_ms.get() <= shard.clock.now_ms();
                let takes_more = has_room && shared.machine.borrow().available() > 0;
                takes_more.then(|| Rc::clone(shared))
            }
            State::Making | State::Shakes | State::Over(_) => None,
        }
    }

    /// Whether it may still take requests.
    fn has_future(&self) -> bool {
        match &*self.state.borrow() {
            State::Open(shared) => shared.machine.borrow().takes_requests(),
            State::Making | State::Shakes => true,
            State::Over(_) => false,
        }
    }

    /// Since when the connection has had no stream, while it has none.
    fn idle_since_ms(&self) -> Option<Millis> {
        match &*self.state.borrow() {
            State::Open(shared) => {
                let machine = shared.machine.borrow();
                let is_idle = machine.stream_count() == 0 && machine.takes_requests();
                is_idle.then(|| shared.owner.idle_since_ms.get())
            }
            State::Making | State::Shakes | State::Over(_) => None,
        }
    }

    /// Ends the connection, which has no stream.
    pub fn end(&self) {
        if let State::Open(shared) = &*self.state.borrow() {
            shared.machine.borrow_mut().close(ErrorCode::NoError, "");
            shared.changed();
        }
    }

    fn is_being_made(&self) -> bool {
        matches!(&*self.state.borrow(), State::Making | State::Shakes)
    }
}

/// An exchange that waits, and whether it stands in the line of its shelf.
struct Waiter {
    /// What the connection that it waits for has to have proven.
    id: ConnectionId,
    is_listed: Rc<Cell<bool>>,
    waker: Waker,
}

/// The connections to one target, and the exchanges that wait for a stream of one.
#[derive(Default)]
pub struct Shelf {
    lines: RefCell<Vec<Rc<Line>>>,
    waiters: RefCell<VecDeque<Waiter>>,
}

impl Shelf {
    /// A connection that takes another stream at once.
    pub fn usable(&self, id: ConnectionId) -> Option<Rc<Shared<Link>>> {
        let lines = self.lines.borrow();
        lines.iter().filter(|line| line.id == id).find_map(|line| line.usable())
    }

    /// A wait for a stream: of a connection that is being made and has few waiting for it, or of any, where there are as
    /// many as may be. `None` = another is to be made.
    pub fn wait(
        self: &Rc<Self>,
        id: ConnectionId,
        (streams_max, connections_max): (u32, u32),
    ) -> Option<Waiting> {
        self.tidy();
        let lines = self.lines.borrow();
        let same = || lines.iter().filter(|line| line.id == id);
        let is_soon = |line: &&Rc<Line>| {
            line.usable().is_some() || line.is_being_made() && line.waiting.get() < streams_max
        };
        let full = || {
            let is_full = same().count() >= connections_max as usize;
            same().min_by_key(|line| line.waiting.get()).filter(|_| is_full)
        };
        same().find(is_soon).or_else(full).map(Waiting::new)
    }

    /// Begins with a connection that is to be made.
    pub fn begin(self: &Rc<Self>, target: &Target, id: ConnectionId) -> Rc<Line> {
        let line = Rc::new(Line {
            _target: Arc::clone(&target.state),
            target_id: Arc::clone(&target.id),
            id,
            shelf: Rc::clone(self),
            state: RefCell::new(State::Making),
            waiting: Cell::new(0),
            is_unwanted: Cell::new(false),
        });
        self.lines.borrow_mut().push(Rc::clone(&line));
        line
    }

    /// Forgets connections that are over.
    pub fn tidy(&self) {
        self.lines.borrow_mut().retain(|line| line.has_future());
    }

    /// Forgets connections that are over, and lets who waits look: one that was full may take more by now.
    pub fn tick(&self) {
        self.tidy();
        if !self.waiters.borrow().is_empty() {
            self.wake_all();
        }
    }

    /// The connection that has been idle for longest, and since when.
    pub fn idlest(&self) -> Option<(Millis, Rc<Line>)> {
        let lines = self.lines.borrow();
        let idle = lines.iter().filter_map(|line| Some((line.idle_since_ms()?, line)));
        idle.min_by_key(|(since_ms, _)| *since_ms)
            .map(|(since_ms, line)| (since_ms, Rc::clone(line)))
    }

    /// Ends the idle connections.
    pub fn end_idle(&self) {
        for line in &*self.lines.borrow() {
            if line.idle_since_ms().is_some() {
                line.end();
            }
        }
    }

    /// Ends the connections that have proven `id`, also such as are still being made.
    pub fn end_of(&self, id: ConnectionId) {
        for line in self.lines.borrow().iter().filter(|line| line.id == id) {
            line.is_unwanted.set(true);
            if line.idle_since_ms().is_some() {
                line.end();
            }
        }
    }

    /// Whether any connection may still take such requests.
    fn has_future(&self, id: ConnectionId) -> bool {
        self.lines.borrow().iter().any(|line| line.id == id && line.has_future())
    }

    /// A stream may be had: whoever waits longest for such a connection looks.
    fn wake_next(&self, id: ConnectionId) {
        let mut waiters = self.waiters.borrow_mut();
        let at = waiters.iter().position(|waiter| waiter.id == id);
        let next = at.and_then(|at| waiters.remove(at));
        drop(waiters);
        if let Some(Waiter { is_listed, waker, .. }) = next {
            is_listed.set(false);
            waker.wake();
        }
    }

    fn wake_all(&self) {
        for Waiter { is_listed, waker, .. } in self.waiters.take() {
            is_listed.set(false);
            waker.wake();
        }
    }
}

/// An exchange that waits for a stream.
pub struct Waiting {
    /// What it waits for first.
    line: Rc<Line>,
    has_told: bool,
    is_given_up: Cell<bool>,
    is_listed: Rc<Cell<bool>>,
    /// It has what it waited for.
    is_served: bool,
}

impl Waiting {
    pub fn new(line: &Rc<Line>) -> Waiting {
        line.waiting.set(line.waiting.get() + 1);
        let line = Rc::clone(line);
        Waiting {
            line,
            has_told: false,
            is_given_up: Cell::default(),
            is_listed: Rc::default(),
            is_served: false,
        }
    }

    pub fn poll(&mut self, cx: &Context<'_>) -> Poll<Result<Connected<Rc<Shared<Link>>>, Failure>> {
        if self.is_given_up.get() {
            // All connections that there may be are full, which is nothing that the target does.
            let is_limpets = !self.line.is_being_made();
            let late = if is_limpets { Failure::QueueTimeout } else { Failure::ConnectTimeout };
            return Poll::Ready(Err(late));
        }
        let Line { shelf, id, state, .. } = &*self.line;
        if let Some(shared) = shelf.usable(*id) {
            self.is_served = true;
            return Poll::Ready(Ok(Connected::Ready(shared)));
        }
        match &*state.borrow() {
            State::Over(Some(failure)) => return Poll::Ready(Err(*failure)),
            State::Shakes if !self.has_told => {
                self.has_told = true;
                return Poll::Ready(Ok(Connected::Shakes));
            }
            State::Over(None) | State::Open(_) if !shelf.has_future(*id) => {
                // It was never sent.
                return Poll::Ready(Err(Failure::TargetUnprocessed));
            }
            State::Over(None) | State::Open(_) | State::Making | State::Shakes => {}
        }
        if !self.is_listed.replace(true) {
            let (is_listed, waker) = (Rc::clone(&self.is_listed), cx.waker().clone());
            shelf.waiters.borrow_mut().push_back(Waiter { id: *id, is_listed, waker });
        }
        Poll::Pending
    }

    /// Makes the wait end. The connection itself is made on, since others may wait for it.
    pub fn abort(&self) {
        self.is_given_up.set(true);
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        let Line { shelf, waiting, id, .. } = &*self.line;
        waiting.set(waiting.get().saturating_sub(1));
        if self.is_listed.get() {
            let is_own = |waiter: &Waiter| Rc::ptr_eq(&waiter.is_listed, &self.is_listed);
            shelf.waiters.borrow_mut().retain(|waiter| !is_own(waiter));
        } else if !self.is_served {
            // It may have been woken for a stream that it has not taken.
            shelf.wake_next(*id);
        }
    }
}
