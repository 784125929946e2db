//! The surroundings of an exchange, for the tests beside it: a shard whose time the test sets, and a client and targets
//! that do as they are told.
//!
//! Nothing here wakes a task. A test polls by hand, moves the time, and checks the results.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::future::{Future, poll_fn};
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use super::caller::{Caller, Origin, Peer, port_text};
use super::client::{Answering, Asking, Client, Flushed, Presence};
use super::content::{Along, End, Piece, Received, SendFault};
use super::entry::Entry;
use super::failure::Failure;
use super::local::Local;
use super::plan::Outgoing;
use super::prepared::Prepared;
use super::scene::Scene;
use super::target::{
    self, Connected, Connecting, Lease, Leased, Leases, ReceiveFault, Receiving, Sending, Upstream,
};
use super::tunnel::{Reader, Side, Writer};
use crate::control::compile::compile;
use crate::control::config;
use crate::group::state::Registry;
use crate::group::target_group::{Destination, GroupOptions, Target, TargetGroup};
use crate::http::edits::{RequestEdits, ResponseEdits};
use crate::http::fields::Fields;
use crate::http::head::{ContentLength, HeadLimits, Method, RequestHead, ResponseHead};
use crate::http::refusal::{ChunkFault, ResponseFault};
use crate::http1::head::{Parsed, parse_request, parse_response};
use crate::http1::rewrite;
use crate::snapshot::{Listener, Snapshot, View};
use crate::stickiness::keyring::KeyRing;
use crate::telemetry::access_log::AccessLog;
use crate::telemetry::options::{AccessLogOptions, LogFormat, LogOutput, LogQuery};
use crate::telemetry::record::Record;
use crate::time::Time;
use crate::time::alarms::Alarm;
use crate::time::clock::{Millis, NEVER};
use crate::time::patience::Patience;
use crate::time::timers::{Timer, Timers};
use crate::uring::simulated::{self, Knobs};

#[path = "doubles_tests/target_tests.rs"]
mod target_doubles;
pub use target_doubles::*;

/// A shard that nothing runs on, with one listener.
pub struct Shard {
    pub local: Local,
    pub caller: Caller,
    pub view: View,
    pub listener: Arc<Listener>,
    alarm: Alarm,
}

/// A listener before a group of this many targets (`a` at 10.0.0.1:80, `b` at 10.0.0.2:80, …); listener and group with
/// further settings.
pub fn file(listener: &str, group: &str, targets: u8) -> String {
    let mut text = format!(
        "[[listener]]\nname = \"web\"\naddress = \"127.0.0.1:8080\"\nforward = \"app\"\n{listener}\n\
         [[target_group]]\nname = \"app\"\n{group}\n"
    );
    for (at, id) in (1..=targets).zip('a'..) {
        text += &format!("[[target_group.target]]\nid = \"{id}\"\naddress = \"10.0.0.{at}:80\"\n");
    }
    text
}

/// Runs a test on a shard with this file, whose time only [`Shard::at`] moves.
pub fn play(file: &str, main: impl AsyncFnOnce(&Shard)) {
    play_prepared(file, |_| {}, main);
}

/// As [`play`]; `prepare` may change the state of targets before it is judged.
pub fn play_prepared(file: &str, prepare: impl FnOnce(&Snapshot), main: impl AsyncFnOnce(&Shard)) {
    let registry = Registry::new();
    // The state of targets lasts only as long as there is a reference.
    let before = snapshot(file, &registry);
    prepare(&before);
    stage(Knobs::default(), &snapshot(file, &registry), main);
}

/// As [`play`], on a kernel with these knobs.
pub fn play_on(knobs: Knobs, file: &str, main: impl AsyncFnOnce(&Shard)) {
    stage(knobs, &snapshot(file, &Registry::new()), main);
}

fn stage(knobs: Knobs, snapshot: &Arc<Snapshot>, main: impl AsyncFnOnce(&Shard)) {
    simulated::run(0, knobs, async {
        main(&Shard::new(snapshot)).await;
    });
}

fn snapshot(file: &str, registry: &Registry) -> Arc<Snapshot> {
    let file = config::parse(file, "doubles.toml").expect("a configuration");
    let ring = Arc::new(KeyRing::from_secrets(&[(1, [7; 32])]).expect("a ring"));
    Arc::new(compile(&file, registry, &ring, None, &[]).expect("a snapshot"))
}

/// Polls once, by hand.
pub fn poll<F: Future + ?Sized>(future: &mut Pin<Box<F>>) -> Poll<F::Output> {
    future.as_mut().poll(&mut Context::from_waker(Waker::noop()))
}

/// The output of a `future` that must be ready at once.
pub fn at_once<F: Future>(future: F) -> F::Output {
    match poll(&mut Box::pin(future)) {
        Poll::Ready(output) => output,
        Poll::Pending => panic!("it waits"),
    }
}

impl Shard {
    fn new(snapshot: &Arc<Snapshot>) -> Shard {
        let options = AccessLogOptions {
            output: LogOutput::Off,
            format: LogFormat::Json,
            template: None,
            sample: 1,
            query: LogQuery::Keep,
            buffer_bytes: 65_536,
        };
        let log = AccessLog::start(&options).expect("no output").shard_writer();
        let local = Local::new(0, Time::start(Arc::default()), log, Arc::default());
        let alarm = local.alarms.alarm();
        let peer = Peer::new(Some(([192, 0, 2, 1], 40_000).into()));
        Shard {
            local,
            caller: Caller::new(origin(), peer, false),
            listener: Arc::clone(&snapshot.listeners[0]),
            view: Rc::new(Arc::clone(snapshot)),
            alarm,
        }
    }

    pub fn scene(&self) -> Scene<'_> {
        Scene::new((&self.local, &self.caller), "192.0.2.1", &self.view, &self.listener)
    }

    pub fn timers(&self) -> Timers<'_> {
        Timers::new(&self.alarm, &self.local.clock)
    }

    /// Moves the time to so long after the shard's start, and fires the timers that are due.
    pub async fn at(&self, now_ms: Millis) {
        let clock = &self.local.clock;
        let left_us = (now_ms * 1000).saturating_sub(clock.read_us());
        simulated::wait(Duration::from_micros(left_us)).await;
        clock.tick();
        self.local.alarms.scan(clock.now_ms());
    }

    pub fn group(&self) -> &TargetGroup {
        &self.view.groups[0]
    }

    pub fn target(&self, at: usize) -> &Target {
        &self.group().targets[at]
    }

    /// Reads a head and makes its plan, which must lead to a target.
    pub fn plan(&self, head: &str) -> (ClientDouble, Outgoing<Text>, Entry) {
        let client = ClientDouble::new(head);
        let (mut out, mut entry) = (Outgoing::default(), Entry::default());
        entry.begin(&self.local, &self.caller);
        let prepared = with_head(head, |head| self.scene().prepare(head, &mut out, &mut entry));
        assert!(matches!(prepared, Prepared::Forward));
        (client, out, entry)
    }

    /// Passes `look` the record that the log would get.
    pub fn logged<T>(&self, entry: &Entry, look: impl FnOnce(&Record<'_>) -> T) -> T {
        let mut seen = None;
        let places = ((&self.local, &self.caller), (&self.view, &*self.listener));
        entry.finish(places.0, places.1, |record, _| seen = Some(look(record)));
        seen.expect("a record")
    }
}

fn origin() -> Rc<Origin> {
    Rc::new(Origin { listener_name: "web".into(), port: 8080, port_text: port_text(8080) })
}

/// Reads a request's head.
pub fn with_head<T>(head: &str, look: impl FnOnce(&RequestHead<'_, '_>) -> T) -> T {
    let limits = HeadLimits {
        request_line_bytes: 8192,
        field_line_bytes: 8192,
        head_bytes: 16_384,
        field_count: 100,
    };
    let mut fields = Fields::new();
    match parse_request(head.as_bytes(), &limits, Default::default(), &mut fields) {
        Ok(Parsed::Complete(head)) => look(&head),
        Ok(Parsed::Partial) | Err(_) => panic!("a head of the test is not whole"),
    }
}

/// The behaviour of a client, and what it was sent.
pub struct ClientState {
    /// Whether its connection would report that it goes away …
    pub is_told: Cell<bool>,
    /// … and what it has reported.
    pub tells: Cell<Option<Presence>>,
    /// The answer of the system about the client, and how often it was asked.
    pub is: Cell<Presence>,
    pub looks: Cell<u32>,
    /// Further content of its request; with each piece, whether it is the last.
    pub says: RefCell<VecDeque<Result<(&'static str, bool), Failure>>>,
    /// Whether it takes nothing that it is sent.
    pub is_stalled: Cell<bool>,
    pub fault: Cell<Option<SendFault>>,
    /// Whether small responses that are whole may still be on their way.
    pub is_lazy: Cell<bool>,
    pub was_sent: RefCell<Vec<u8>>,
    pub has_end: Cell<bool>,
    /// The last `may_keep` that came with a head.
    pub may_keep: Cell<Option<bool>>,
    pub side: Rc<SideState>,
}

impl Default for ClientState {
    fn default() -> ClientState {
        ClientState {
            is_told: Cell::new(true),
            tells: Cell::new(None),
            is: Cell::new(Presence::There),
            looks: Cell::new(0),
            says: RefCell::default(),
            is_stalled: Cell::new(false),
            fault: Cell::new(None),
            is_lazy: Cell::new(false),
            was_sent: RefCell::default(),
            has_end: Cell::new(false),
            may_keep: Cell::new(None),
            side: Rc::default(),
        }
    }
}

impl ClientState {
    /// The text that it was sent.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.was_sent.borrow()).into_owned()
    }

    fn poll_taken(&self) -> Poll<Result<(), SendFault>> {
        match self.fault.get() {
            Some(fault) => Poll::Ready(Err(fault)),
            None if self.is_stalled.get() => Poll::Pending,
            None => Poll::Ready(Ok(())),
        }
    }
}

/// One request of a client.
pub struct ClientDouble {
    pub state: Rc<ClientState>,
    head: String,
    pub asks: Asks,
    pub answers: Answers,
}

/// The request's content.
pub struct Asks {
    state: Rc<ClientState>,
    pub along: &'static str,
    pub is_whole: bool,
    pub received: u64,
}

/// The way back.
pub struct Answers {
    state: Rc<ClientState>,
    out: Vec<u8>,
}

impl ClientDouble {
    /// Nothing comes behind the head, unless the test adds it.
    pub fn new(head: &str) -> ClientDouble {
        let state = Rc::<ClientState>::default();
        let asks = Asks { state: Rc::clone(&state), along: "", is_whole: true, received: 0 };
        let answers = Answers::new(&state);
        ClientDouble { state, head: head.to_owned(), asks, answers }
    }

    /// `along` has come with the head, and more of the content is to come.
    pub fn uploads(&mut self, along: &'static str) {
        (self.asks.along, self.asks.is_whole) = (along, false);
        self.asks.received = along.len() as u64;
    }
}

impl Client for ClientDouble {
    type Asking = Asks;
    type Answering = Answers;
    type Side = SideDouble;

    fn head<T>(&self, look: impl FnOnce(&RequestHead<'_, '_>) -> T) -> Option<T> {
        Some(with_head(&self.head, look))
    }
    fn local_address(&self) -> Option<std::net::SocketAddr> {
        None
    }

    fn parts(&mut self) -> (&mut Asks, &mut Answers) {
        (&mut self.asks, &mut self.answers)
    }
    fn tunnel(&mut self) -> SideDouble {
        SideDouble(Rc::clone(&self.state.side))
    }
}

impl Asking for Asks {
    const LINGERS: bool = true;

    fn along(&self) -> Along<'_> {
        Along { bytes: self.along.as_bytes(), end: self.is_whole.then_some(b"") }
    }
    fn received(&self) -> u64 {
        self.received
    }
    async fn content(&mut self, timers: &Timers<'_>) -> Result<Received, Failure> {
        timers.set(Timer::Content, NEVER);
        let said = poll_fn(|cx| match self.state.says.borrow_mut().pop_front() {
            Some(said) => Poll::Ready(said),
            None if timers.poll_due(Timer::Content, cx) => {
                Poll::Ready(Err(Failure::ClientContentTimeout))
            }
            None => Poll::Pending,
        });
        let said = said.await;
        timers.stop(Timer::Content);
        let (text, is_last) = said?;
        self.received += text.len() as u64;
        let end = if is_last { End::Last } else { End::No };
        Ok(Received { piece: Piece { buffer: text.into(), from: 0 }, end })
    }
    fn trailers(&self) -> &[u8] {
        b"X-Trailer: of the client\r\n"
    }
}

impl Answers {
    pub fn new(state: &Rc<ClientState>) -> Answers {
        Answers { state: Rc::clone(state), out: Vec::new() }
    }
}

impl Answering for Answers {
    fn listen(&mut self) {}
    fn poll_presence(&mut self, _: &mut Context<'_>) -> Option<Presence> {
        self.state.tells.get()
    }
    fn is_told(&self) -> bool {
        self.state.is_told.get()
    }
    fn told(&self) -> Presence {
        self.state.tells.get().unwrap_or(Presence::There)
    }
    fn look(&self) -> Presence {
        self.state.looks.set(self.state.looks.get() + 1);
        self.state.is.get()
    }
    fn respond(&mut self, head: &ResponseHead<'_, '_>, _: &ResponseEdits<'_>, keep: bool) {
        self.state.may_keep.set(Some(keep));
        self.out.extend_from_slice(format!("{}\n", head.status).as_bytes());
    }
    fn append(&mut self, along: Along<'_>) {
        self.out.extend_from_slice(along.bytes);
    }
    async fn flush(&mut self, is_whole: bool) -> Result<Flushed, SendFault> {
        poll_fn(|_| self.state.poll_taken()).await?;
        self.state.was_sent.borrow_mut().append(&mut self.out);
        self.state.has_end.set(is_whole);
        Ok(if is_whole && self.state.is_lazy.get() { Flushed::OnItsWay } else { Flushed::Taken })
    }
    async fn send(&mut self, piece: Piece, end: Option<&[u8]>) -> Result<(), SendFault> {
        poll_fn(|_| self.state.poll_taken()).await?;
        self.state.was_sent.borrow_mut().extend_from_slice(&piece.buffer[piece.from..]);
        self.state.has_end.set(end.is_some());
        Ok(())
    }
    async fn finish(&mut self) {}
}

/// The behaviour of one end of a tunnel, and what it was sent.
#[derive(Default)]
pub struct SideState {
    /// An empty text is the end of the stream.
    pub says: RefCell<VecDeque<io::Result<Vec<u8>>>>,
    /// Whether much was expected at the last receive.
    pub is_bulk: Cell<bool>,
    pub was_sent: RefCell<Vec<u8>>,
    pub fault: Cell<Option<SendFault>>,
    /// It takes nothing of what it is sent, until it is aborted.
    pub is_stalled: Cell<bool>,
    /// It has reset its stream, which is found when the system is asked, and how often it was.
    pub is_reset: Cell<bool>,
    pub looks: Cell<u32>,
    pub is_listened_to: Cell<Option<bool>>,
    pub was_told_end: Cell<bool>,
    pub is_ended: Cell<bool>,
    pub is_aborted: Cell<bool>,
}

impl SideState {
    pub fn says(&self, text: &str) {
        self.says.borrow_mut().push_back(Ok(text.into()));
    }
}

#[derive(Clone)]
pub struct SideDouble(pub Rc<SideState>);

impl Side for SideDouble {
    type Reader = SideDouble;
    type Writer = SideDouble;
    fn split(self) -> (SideDouble, SideDouble) {
        (self.clone(), self)
    }
}

impl Reader for SideDouble {
    fn poll_receive(&mut self, is_bulk: bool, _: &mut Context<'_>) -> Poll<io::Result<Vec<u8>>> {
        self.0.is_bulk.set(is_bulk);
        if let Some(said) = self.0.says.borrow_mut().pop_front() {
            return Poll::Ready(said);
        }
        if self.0.is_aborted.get() {
            return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()));
        }
        if self.0.is_listened_to.get() == Some(false) {
            return Poll::Ready(Ok(Vec::new()));
        }
        Poll::Pending
    }
    fn end_receiving(&self) {
        self.0.is_listened_to.set(Some(false));
    }
}

impl Writer for SideDouble {
    async fn send(&self, bytes: Vec<u8>, _: Patience<'_>) -> Result<(), SendFault> {
        if let Some(fault) = self.0.fault.get() {
            return Err(fault);
        }
        let is_taken = || !self.0.is_stalled.get() || self.0.is_aborted.get();
        poll_fn(|_| if is_taken() { Poll::Ready(()) } else { Poll::Pending }).await;
        if self.0.is_aborted.get() {
            return Err(SendFault::Gone);
        }
        self.0.was_sent.borrow_mut().extend_from_slice(&bytes);
        Ok(())
    }
    fn is_reset(&self) -> bool {
        self.0.looks.set(self.0.looks.get() + 1);
        self.0.is_reset.get()
    }
    fn end_sending(&self) {
        self.0.was_told_end.set(true);
    }
    fn end(&self) {
        self.0.is_ended.set(true);
    }
    fn abort(&self) {
        self.0.is_aborted.set(true);
    }
}
