//! What surrounds an exchange, for the tests beside it: a shard at a time of the test's choice, a client and targets
//! that do as they are told.
//!
//! Nothing here wakes anybody. A test polls by hand, moves the time, and looks what has come of it.

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
use super::scene::{Outgoing, Prepared, Scene};
use super::target::{self, Connecting, Lease, ReceiveFault, Receiving, Sending, Upstream};
use super::tunnel::{Reader, Side, Writer};
use crate::control::compile::compile;
use crate::control::config;
use crate::group::state::Registry;
use crate::group::target_group::{GroupOptions, Target, TargetGroup};
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

/// A shard that nothing runs on, with one listener.
pub struct Shard {
    pub local: Local,
    pub caller: Caller,
    pub view: View,
    pub listener: Arc<Listener>,
    alarm: Alarm,
}

/// A listener before a group of so many targets (`a` at 10.0.0.1:80, `b` at 10.0.0.2:80, …), each with further settings.
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

/// Plays on a shard with this file, whose time moves by [`Shard::at`] alone.
pub fn play(file: &str, main: impl AsyncFnOnce(&Shard)) {
    play_prepared(file, |_| {}, main);
}

/// As [`play`], where `prepare` may tell targets apart before they are judged.
pub fn play_prepared(file: &str, prepare: impl FnOnce(&Snapshot), main: impl AsyncFnOnce(&Shard)) {
    let registry = Registry::new();
    // What is told of targets lasts as long as somebody knows them.
    let before = snapshot(file, &registry);
    prepare(&before);
    stage(Knobs::default(), &snapshot(file, &registry), main);
}

/// As [`play`], on a kernel with these whims.
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

/// What `future` gives without having to wait.
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

    /// Moves the time to so long after the shard's start, and fires what is due.
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

    /// Reads a head and makes a plan of it, which must lead to a target.
    pub fn plan(&self, head: &str) -> (ClientDouble, Outgoing<Text>, Entry) {
        let client = ClientDouble::new(head);
        let (mut out, mut entry) = (Outgoing::default(), Entry::default());
        entry.begin(&self.local, &self.caller);
        let prepared = with_head(head, |head| self.scene().prepare(head, &mut out, &mut entry));
        assert!(matches!(prepared, Prepared::Forward));
        (client, out, entry)
    }

    /// What the log would say.
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

/// What a client does, and what it was sent.
pub struct ClientState {
    /// It would tell by itself that it goes away …
    pub is_told: Cell<bool>,
    /// … and has told this.
    pub tells: Cell<Option<Presence>>,
    /// What is found when the system is asked, and how often it was.
    pub is: Cell<Presence>,
    pub looks: Cell<u32>,
    /// Further content of its request; with each piece, whether it is the last.
    pub says: RefCell<VecDeque<Result<(&'static str, bool), Failure>>>,
    /// It takes nothing of what it is sent.
    pub is_stalled: Cell<bool>,
    pub fault: Cell<Option<SendFault>>,
    /// Small responses that are whole may still be on their way.
    pub is_lazy: Cell<bool>,
    pub was_sent: RefCell<Vec<u8>>,
    pub has_end: Cell<bool>,
    /// The last `may_keep` of a head.
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
    /// Nothing comes behind the head, unless the test says so.
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
    fn parts(&mut self) -> (&mut Asks, &mut Answers) {
        (&mut self.asks, &mut self.answers)
    }
    fn tunnel(&mut self) -> SideDouble {
        SideDouble(Rc::clone(&self.state.side))
    }
}

impl Asking for Asks {
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

/// What a target says.
#[derive(Clone, Copy)]
pub enum Says {
    /// Of a head, and what is behind it.
    Head(&'static str),
    Content(&'static str, End),
    Fault(ReceiveFault),
}

/// What a target does on one connection, and what it was sent.
#[derive(Default)]
pub struct TargetState {
    pub says: RefCell<VecDeque<Says>>,
    pub was_sent: RefCell<Vec<u8>>,
    /// The trailers that the end of the request came with.
    pub end: RefCell<Option<Vec<u8>>>,
    pub queued: Cell<Option<u32>>,
    /// It takes nothing of what it is sent …
    pub is_stalled: Cell<bool>,
    /// … or what was handed over fails, or what is sent behind it.
    pub first_fault: Cell<Option<SendFault>>,
    pub fault: Cell<Option<SendFault>>,
    /// The connection was made to end as a failure.
    pub is_aborted: Cell<bool>,
    /// What is received then; a reset where nothing else is said.
    pub at_abort: Cell<Option<Says>>,
    pub side: Rc<SideState>,
}

impl TargetState {
    pub fn saying(says: &[Says]) -> Rc<TargetState> {
        let state = TargetState::default();
        state.says.borrow_mut().extend(says);
        Rc::new(state)
    }

    /// The text that it was sent.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.was_sent.borrow()).into_owned()
    }

    fn poll_said(&self) -> Poll<Says> {
        match self.says.borrow_mut().pop_front() {
            Some(said) => Poll::Ready(said),
            None if self.is_aborted.get() => {
                Poll::Ready(self.at_abort.take().unwrap_or(Says::Fault(ReceiveFault::Reset)))
            }
            None => Poll::Pending,
        }
    }

    fn poll_taken(&self, fault: &Cell<Option<SendFault>>) -> Poll<Result<(), SendFault>> {
        match fault.get() {
            Some(fault) => Poll::Ready(Err(fault)),
            None if self.is_aborted.get() => Poll::Ready(Err(SendFault::Reset)),
            None if self.is_stalled.get() => Poll::Pending,
            None => Poll::Ready(Ok(())),
        }
    }
}

/// A request as text.
#[derive(Default)]
pub struct Text(pub Vec<u8>);

impl Text {
    pub fn has(&self, text: &str) -> bool {
        String::from_utf8_lossy(&self.0).contains(text)
    }
}

impl target::Draft for Text {
    fn write(&mut self, head: &RequestHead<'_, '_>, edits: &RequestEdits<'_>) {
        self.0.clear();
        rewrite::request(head, edits, &mut self.0);
    }
    fn append(&mut self, along: Along<'_>) {
        self.0.extend_from_slice(along.bytes);
    }
    fn clear(&mut self) {
        self.0.clear();
    }
}

/// A lease on one connection.
pub struct LeaseDouble {
    pub state: Rc<TargetState>,
    sends: Sends,
    pub receives: Receives,
}

pub struct Sends(Rc<TargetState>, Vec<u8>);

pub struct Receives {
    state: Rc<TargetState>,
    bytes: Vec<u8>,
    used: usize,
    content: ContentLength,
}

#[derive(Clone)]
pub struct HandleDouble(pub Rc<TargetState>);

impl LeaseDouble {
    pub fn new(state: &Rc<TargetState>) -> LeaseDouble {
        LeaseDouble {
            state: Rc::clone(state),
            sends: Sends(Rc::clone(state), Vec::new()),
            receives: Receives::new(state),
        }
    }
}

impl Sends {
    pub fn new(state: &Rc<TargetState>) -> Sends {
        Sends(Rc::clone(state), Vec::new())
    }
}

impl Receives {
    pub fn new(state: &Rc<TargetState>) -> Receives {
        let state = Rc::clone(state);
        Receives { state, bytes: Vec::new(), used: 0, content: ContentLength::None }
    }
}

impl target::Handle for HandleDouble {
    fn queued_bytes(&self) -> Option<u32> {
        self.0.queued.get()
    }
    fn abort(&self) {
        self.0.is_aborted.set(true);
    }
}

impl Lease for LeaseDouble {
    type Draft = Text;
    type Sending = Sends;
    type Receiving = Receives;
    type Handle = HandleDouble;
    type Side = SideDouble;

    fn request(&mut self, draft: &mut Text, is_whole: bool) {
        self.sends.1 = std::mem::take(&mut draft.0);
        self.state.was_sent.borrow_mut().extend_from_slice(&self.sends.1);
        *self.state.end.borrow_mut() = is_whole.then(Vec::new);
    }
    fn parts(&mut self) -> (&mut Sends, &mut Receives) {
        (&mut self.sends, &mut self.receives)
    }
    fn handle(&self) -> HandleDouble {
        HandleDouble(Rc::clone(&self.state))
    }
    fn tunnel(&mut self) -> SideDouble {
        SideDouble(Rc::clone(&self.state.side))
    }
}

impl Sending for Sends {
    type Draft = Text;
    fn keep_going(&mut self, _: &mut Context<'_>) {}
    fn poll_sent(
        &mut self,
        _: &mut Context<'_>,
        draft: Option<&mut Text>,
    ) -> Poll<Result<(), SendFault>> {
        let taken = self.0.poll_taken(&self.0.first_fault);
        if let (Poll::Ready(_), Some(draft)) = (taken, draft) {
            draft.0 = std::mem::take(&mut self.1);
        }
        taken
    }
    async fn send(
        &mut self,
        piece: Piece,
        end: Option<&[u8]>,
        _: Patience<'_>,
    ) -> Result<(), SendFault> {
        poll_fn(|_| self.0.poll_taken(&self.0.fault)).await?;
        self.0.was_sent.borrow_mut().extend_from_slice(&piece.buffer[piece.from..]);
        *self.0.end.borrow_mut() = end.map(Vec::from);
        Ok(())
    }
}

impl Receiving for Receives {
    fn poll_head(&mut self, _: &mut Context<'_>) -> Poll<Result<(), ReceiveFault>> {
        self.state.poll_said().map(|said| match said {
            Says::Head(text) => {
                self.bytes.extend_from_slice(text.as_bytes());
                Ok(())
            }
            Says::Fault(fault) => Err(fault),
            Says::Content(..) => panic!("content before a head"),
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
        self.content = head.content;
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
        let is_whole = match self.content {
            ContentLength::None => true,
            ContentLength::Exact(length) => bytes.len() as u64 == length,
            ContentLength::Unknown => false,
        };
        Ok(Along { bytes, end: is_whole.then_some(b"") })
    }
    fn poll_content(&mut self, _: &mut Context<'_>) -> Poll<Result<Received, ReceiveFault>> {
        self.state.poll_said().map(|said| match said {
            Says::Content(text, end) => {
                Ok(Received { piece: Piece { buffer: text.into(), from: 0 }, end })
            }
            Says::Fault(fault) => Err(fault),
            Says::Head(_) => panic!("a head behind a head"),
        })
    }
    fn trailers(&self) -> &[u8] {
        b""
    }
}

/// Targets that are reached as a test says.
#[derive(Default)]
pub struct Reach {
    /// Connections that are there to be used at once.
    pub kept: RefCell<VecDeque<Rc<TargetState>>>,
    /// Connects, in the order in which they are begun.
    pub connects: RefCell<VecDeque<Rc<ConnectState>>>,
    /// Ids of the targets that were connected to.
    pub connected: RefCell<Vec<String>>,
    /// What the last lease was asked for with.
    pub surely: Cell<Option<bool>>,
    pub given_back: Cell<u32>,
    pub closed: Cell<u32>,
}

/// A connection that is being made.
#[derive(Default)]
pub struct ConnectState {
    pub result: RefCell<Option<Result<Rc<TargetState>, Failure>>>,
    pub is_aborted: Cell<bool>,
    /// It has come to be in the moment in which it was aborted.
    pub late: RefCell<Option<Rc<TargetState>>>,
}

impl Reach {
    /// A connect that ends so; one that does not, where nothing is said.
    pub fn connect(&self, result: Option<Result<&Rc<TargetState>, Failure>>) -> Rc<ConnectState> {
        let state = Rc::<ConnectState>::default();
        *state.result.borrow_mut() = result.map(|result| result.map(Rc::clone));
        self.connects.borrow_mut().push_back(Rc::clone(&state));
        state
    }

    /// How many leases were given back, and how many closed.
    pub fn ends(&self) -> (u32, u32) {
        (self.given_back.get(), self.closed.get())
    }
}

pub struct ConnectDouble(Rc<ConnectState>);

impl Upstream for Reach {
    type Draft = Text;
    type Lease = LeaseDouble;
    type Connecting = ConnectDouble;

    fn lease(&self, _: &Target, surely: bool, _: &mut Context<'_>) -> Option<LeaseDouble> {
        self.surely.set(Some(surely));
        self.kept.borrow_mut().pop_front().map(|state| LeaseDouble::new(&state))
    }
    async fn connect(&self, target: &Target, _: &GroupOptions) -> Result<ConnectDouble, Failure> {
        self.connected.borrow_mut().push(target.id.to_string());
        let next = self.connects.borrow_mut().pop_front();
        next.map(ConnectDouble).ok_or(Failure::NoSocket)
    }
    fn give_back(&self, _: LeaseDouble, _: &Target, _: &GroupOptions) {
        self.given_back.set(self.given_back.get() + 1);
    }
    fn close(&self, _: LeaseDouble) {
        self.closed.set(self.closed.get() + 1);
    }
}

impl Connecting for ConnectDouble {
    type Lease = LeaseDouble;
    fn poll_connected(&mut self, _: &mut Context<'_>) -> Poll<Result<LeaseDouble, Failure>> {
        if let Some(result) = self.0.result.borrow_mut().take() {
            return Poll::Ready(result.map(|state| LeaseDouble::new(&state)));
        }
        if !self.0.is_aborted.get() {
            return Poll::Pending;
        }
        let late = self.0.late.borrow_mut().take();
        Poll::Ready(late.map(|state| LeaseDouble::new(&state)).ok_or(Failure::ConnectFailed))
    }
    fn abort(&self) {
        self.0.is_aborted.set(true);
    }
}

/// What one end of a tunnel does, and what it was sent.
#[derive(Default)]
pub struct SideState {
    /// An empty text is the end of the stream.
    pub says: RefCell<VecDeque<io::Result<Vec<u8>>>>,
    /// Whether much was expected when it was asked last.
    pub is_bulk: Cell<bool>,
    pub was_sent: RefCell<Vec<u8>>,
    pub fault: Cell<Option<SendFault>>,
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
        self.0.was_sent.borrow_mut().extend_from_slice(&bytes);
        Ok(())
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
