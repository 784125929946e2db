//! Many streams of one connection, and streams of one shared target: the shape that a version of HTTP with streams gives
//! to an exchange. Both sides are doubles in memory; the exchange between them is the real one.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::future::poll_fn;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use super::plan::Chance;
use super::quiet_log;
use crate::control::compile::compile;
use crate::control::config;
use crate::exchange::caller::{Caller, Origin, Peer, PortText};
use crate::exchange::client::{Answering, Asking, Client, Flushed, Presence};
use crate::exchange::content::{Along, End as ContentEnd, Piece, Received, SendFault};
use crate::exchange::end::End;
use crate::exchange::entry::Entry;
use crate::exchange::failure::Failure;
use crate::exchange::forward::Exchange;
use crate::exchange::local::Local;
use crate::exchange::scene::{Outgoing, Prepared, Scene};
use crate::exchange::target::{self, Lease, ReceiveFault, Receiving, Sending, Upstream};
use crate::exchange::tunnel::{Reader, Side, Writer};
use crate::group::state::Registry;
use crate::group::target_group::{GroupOptions, Target};
use crate::http::edits::{RequestEdits, ResponseEdits};
use crate::http::fields::Fields;
use crate::http::head::{HeadLimits, Method, RequestHead, ResponseHead};
use crate::http::refusal::{ChunkFault, ResponseFault};
use crate::http1::head::{Parsed, parse_request, parse_response};
use crate::http1::rewrite;
use crate::shard::TICK;
use crate::snapshot::{Listener, Snapshot, View};
use crate::stickiness::keyring::KeyRing;
use crate::telemetry::counters::ShardCounters;
use crate::time::alarms::Alarm;
use crate::time::patience::Patience;
use crate::time::stop::Stop;
use crate::uring::simulated::{self, Knobs, Left};
use crate::uring::spawn;

const STREAMS: u8 = 32;
/// This stream's client takes nothing of its response.
const STALLED: u8 = 7;
/// This stream is reset by its client while it goes on.
const RESET: u8 = 11;
/// The target resets this stream inside its response.
const CUT: u8 = 19;
const LENGTH_MAX: usize = 200_000;

const CONFIGURATION: &str = r#"
[[listener]]
name = "web"
address = "127.0.0.1:8080"
forward = "app"
timeouts.send_idle = "2s"
[[target_group]]
name = "app"
timeouts.response = "30s"
[[target_group.target]]
id = "a"
address = "127.0.0.1:1"
"#;

/// What one side has said and the other has not heard yet.
struct Line<T>(Rc<RefCell<Inner<T>>>);

struct Inner<T> {
    said: VecDeque<T>,
    is_cut: bool,
    listener: Option<Waker>,
}

impl<T> Clone for Line<T> {
    fn clone(&self) -> Line<T> {
        Line(Rc::clone(&self.0))
    }
}

impl<T> Default for Line<T> {
    fn default() -> Line<T> {
        Line(Rc::new(RefCell::new(Inner { said: VecDeque::new(), is_cut: false, listener: None })))
    }
}

impl<T> Line<T> {
    fn say(&self, what: T) {
        let mut inner = self.0.borrow_mut();
        inner.said.push_back(what);
        inner.listener.iter().for_each(Waker::wake_by_ref);
    }

    fn cut(&self) {
        let mut inner = self.0.borrow_mut();
        inner.is_cut = true;
        inner.listener.iter().for_each(Waker::wake_by_ref);
    }

    fn is_cut(&self) -> bool {
        self.0.borrow().is_cut
    }

    /// `None` once it is cut.
    fn poll_hear(&self, cx: &mut Context<'_>) -> Poll<Option<T>> {
        let mut inner = self.0.borrow_mut();
        if inner.is_cut {
            return Poll::Ready(None);
        }
        if let Some(what) = inner.said.pop_front() {
            return Poll::Ready(Some(what));
        }
        inner.listener = Some(cx.waker().clone());
        Poll::Pending
    }

    async fn hear(&self) -> Option<T> {
        poll_fn(|cx| self.poll_hear(cx)).await
    }
}

/// What a client's connection was sent, of all its streams, in order.
#[derive(Default)]
struct Connection {
    frames: RefCell<Vec<(u8, Frame)>>,
}

enum Frame {
    Head(u16),
    Data(Vec<u8>),
    End,
}

/// One stream of a client.
struct Stream {
    head: Vec<u8>,
    up: Up,
    down: Down,
}

struct Up {
    along: Vec<u8>,
    more: Upwards,
    is_whole: bool,
    received: u64,
}

struct Down {
    id: u8,
    connection: Rc<Connection>,
    /// One for each piece that may be sent.
    credit: Line<()>,
    /// Cut when the client resets the stream.
    presence: Line<()>,
    head: Option<u16>,
    data: Vec<u8>,
}

impl Client for Stream {
    type Asking = Up;
    type Answering = Down;
    type Side = Nobody;

    fn head<T>(&self, look: impl FnOnce(&RequestHead<'_, '_>) -> T) -> Option<T> {
        Some(with_head(&self.head, look))
    }

    fn parts(&mut self) -> (&mut Up, &mut Down) {
        (&mut self.up, &mut self.down)
    }

    fn tunnel(&mut self) -> Nobody {
        Nobody
    }
}

fn with_head<T>(head: &[u8], look: impl FnOnce(&RequestHead<'_, '_>) -> T) -> T {
    let limits = HeadLimits {
        request_line_bytes: 8192,
        field_line_bytes: 8192,
        head_bytes: 16_384,
        field_count: 100,
    };
    let mut fields = Fields::new();
    match parse_request(head, &limits, Default::default(), &mut fields) {
        Ok(Parsed::Complete(head)) => look(&head),
        Ok(Parsed::Partial) | Err(_) => panic!("a head of the test is not whole"),
    }
}

impl Asking for Up {
    fn along(&self) -> Along<'_> {
        Along { bytes: &self.along, end: self.is_whole.then_some(b"") }
    }

    fn received(&self) -> u64 {
        self.received
    }

    async fn content(&mut self, alarm: &Alarm) -> Result<Received, Failure> {
        // Who wants no more of it makes the alarm due.
        let next = poll_fn(|cx| match self.more.poll_hear(cx) {
            Poll::Pending if alarm.poll_fired(cx) => Poll::Ready(None),
            polled => polled,
        });
        let Some((bytes, is_last)) = next.await else { return Err(Failure::ClientGone) };
        self.received += bytes.len() as u64;
        let end = if is_last { ContentEnd::Last } else { ContentEnd::No };
        Ok(Received { piece: Piece { buffer: bytes, from: 0 }, end })
    }

    fn trailers(&self) -> &[u8] {
        b""
    }
}

impl Down {
    fn frame(&self, frame: Frame) {
        self.connection.frames.borrow_mut().push((self.id, frame));
    }
}

impl Answering for Down {
    fn listen(&mut self) {}

    fn poll_presence(&mut self, cx: &mut Context<'_>) -> Option<Presence> {
        self.presence.poll_hear(cx).is_ready().then_some(Presence::Reset)
    }

    fn is_told(&self) -> bool {
        true
    }

    fn told(&self) -> Presence {
        if self.presence.is_cut() { Presence::Reset } else { Presence::There }
    }

    fn look(&self) -> Presence {
        self.told()
    }

    fn respond(&mut self, head: &ResponseHead<'_, '_>, _: &ResponseEdits<'_>, _: bool) {
        self.head = Some(head.status);
    }

    fn append(&mut self, along: Along<'_>) {
        self.data.extend_from_slice(along.bytes);
    }

    async fn flush(&mut self, is_whole: bool) -> Result<Flushed, SendFault> {
        if let Some(status) = self.head.take() {
            self.frame(Frame::Head(status));
        }
        if !self.data.is_empty() {
            let data = std::mem::take(&mut self.data);
            self.frame(Frame::Data(data));
        }
        if is_whole {
            self.frame(Frame::End);
        }
        Ok(Flushed::Taken)
    }

    async fn send(&mut self, piece: Piece, end: Option<&[u8]>) -> Result<(), SendFault> {
        let mut waited = Duration::ZERO;
        let has_credit = || !self.credit.0.borrow().said.is_empty();
        while !has_credit() {
            if self.presence.is_cut() {
                return Err(SendFault::Gone);
            }
            if waited > Duration::from_secs(2) {
                return Err(SendFault::Timeout);
            }
            simulated::wait(TICK).await;
            waited += TICK;
        }
        self.credit.0.borrow_mut().said.pop_front();
        let content = piece.buffer.get(piece.from..).unwrap_or_default().to_vec();
        self.frame(Frame::Data(content));
        if end.is_some() {
            self.frame(Frame::End);
        }
        Ok(())
    }

    async fn finish(&mut self) {}
}

/// No stream of these becomes a tunnel.
struct Nobody;

impl Side for Nobody {
    type Reader = Nobody;
    type Writer = Nobody;
    fn split(self) -> (Nobody, Nobody) {
        (Nobody, Nobody)
    }
}

impl Reader for Nobody {
    fn poll_receive(&mut self, _: bool, _: &mut Context<'_>) -> Poll<std::io::Result<Vec<u8>>> {
        Poll::Ready(Ok(Vec::new()))
    }
    fn end_receiving(&self) {}
}

impl Writer for Nobody {
    async fn send(&self, _: Vec<u8>, _: Patience<'_>) -> Result<(), SendFault> {
        Ok(())
    }
    fn end_sending(&self) {}
    fn end(&self) {}
    fn abort(&self) {}
}

/// The content of a request, in pieces; with each, whether it is the last.
type Upwards = Line<(Vec<u8>, bool)>;

/// A stream as the target sees it: the request's head, its content, and the way back.
type Asked = (Vec<u8>, Upwards, Line<Vec<u8>>);

/// A target's one connection, on which every lease is a stream.
#[derive(Default)]
struct Shared {
    open: Cell<u32>,
    given_back: Cell<u32>,
    closed: Cell<u32>,
    asked: Line<Asked>,
}

#[derive(Default)]
struct Text(Vec<u8>);

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

struct Shares {
    shared: Rc<Shared>,
    up: Sent,
    down: Got,
}

struct Sent {
    to_target: Upwards,
    from_target: Line<Vec<u8>>,
}

#[derive(Default)]
struct Got {
    from_target: Line<Vec<u8>>,
    bytes: Vec<u8>,
    used: usize,
    rest: u64,
}

#[derive(Clone)]
struct Both(Upwards, Line<Vec<u8>>);

impl target::Handle for Both {
    fn queued_bytes(&self) -> Option<u32> {
        Some(0)
    }
    fn abort(&self) {
        self.0.cut();
        self.1.cut();
    }
}

/// The one connection, and what has come with each request already.
struct ToShared(Rc<Shared>, RefCell<Option<Vec<u8>>>);

impl Upstream for ToShared {
    type Draft = Text;
    type Lease = Shares;
    type Connecting = Never;

    fn lease(&self, _: &Target, _: bool, _: &mut Context<'_>) -> Option<Shares> {
        self.0.open.set(self.0.open.get() + 1);
        let (to_target, from_target) = (Line::default(), Line::default());
        if let Some(along) = self.1.borrow_mut().take() {
            to_target.say((along, false));
        }
        let down = Got { from_target: from_target.clone(), ..Got::default() };
        let up = Sent { to_target, from_target };
        Some(Shares { shared: Rc::clone(&self.0), up, down })
    }

    async fn connect(&self, _: &Target, _: &GroupOptions) -> Result<Never, Failure> {
        Err(Failure::NoSocket)
    }

    fn give_back(&self, _: Shares, _: &Target, _: &GroupOptions) {
        self.0.open.set(self.0.open.get() - 1);
        self.0.given_back.set(self.0.given_back.get() + 1);
    }

    fn close(&self, lease: Shares) {
        // The stream is reset, its connection goes on.
        target::Handle::abort(&lease.handle());
        self.0.open.set(self.0.open.get() - 1);
        self.0.closed.set(self.0.closed.get() + 1);
    }
}

/// There is no second connection.
enum Never {}

impl target::Connecting for Never {
    type Lease = Shares;
    fn poll_connected(&mut self, _: &mut Context<'_>) -> Poll<Result<Shares, Failure>> {
        match *self {}
    }
    fn abort(&self) {
        match *self {}
    }
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
        self.shared.asked.say((draft.0.clone(), lines.0, lines.1));
    }
    fn parts(&mut self) -> (&mut Sent, &mut Got) {
        (&mut self.up, &mut self.down)
    }
    fn handle(&self) -> Both {
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
        let Parsed::Complete(head) = parse_response(bytes, limits, method, &mut fields)? else {
            return Ok(None);
        };
        if let crate::http::framing::ResponseFraming::Length(length) = head.framing {
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

/// Answers each stream with as many bytes as it asks for, all of its own kind, in pieces.
async fn serve(shared: Rc<Shared>, seed: u64) {
    let mut streams = 0;
    while let Some((head, from_client, to_client)) = shared.asked.hear().await {
        streams += 1;
        let mut chance = Chance::new(seed ^ (streams << 32));
        spawn(async move {
            let (id, length) = asked_for(&head);
            while let Some((bytes, is_last)) = from_client.hear().await {
                assert!(bytes.iter().all(|byte| *byte == id), "stream {id} got another's content");
                if is_last {
                    break;
                }
            }
            pause(&mut chance, 20).await;
            let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n").into_bytes();
            let at = chance.below(head.len() as u64) as usize;
            to_client.say(head[..at.max(1)].to_vec());
            pause(&mut chance, 5).await;
            to_client.say(head[at.max(1)..].to_vec());
            let mut left = length;
            while left > 0 {
                if id == CUT && left <= length / 2 {
                    return to_client.cut();
                }
                let count = (chance.below(20_000) as usize + 1).min(left);
                to_client.say(vec![id; count]);
                left -= count;
                pause(&mut chance, 5).await;
            }
        });
    }
}

async fn pause(chance: &mut Chance, most_ms: u64) {
    simulated::wait(Duration::from_millis(chance.below(most_ms + 1))).await;
}

/// Stream and length in the path of a request.
fn asked_for(head: &[u8]) -> (u8, usize) {
    with_head(head, |head| {
        let path = std::str::from_utf8(head.target.path).expect("ASCII");
        let mut parts = path.trim_start_matches('/').split('/');
        let mut number = || parts.next().and_then(|part| part.parse::<usize>().ok());
        let (id, length) = (number().expect("a stream"), number().expect("a length"));
        (u8::try_from(id).expect("a stream"), length)
    })
}

/// What all streams of a run share.
struct World {
    local: Local,
    caller: Caller,
    view: View,
    listener: Arc<Listener>,
    connection: Rc<Connection>,
    shared: Rc<Shared>,
    ends: RefCell<Vec<(u8, usize, End)>>,
}

/// One stream: its exchange, and its client beside.
async fn stream(world: Rc<World>, id: u8, mut chance: Chance) {
    pause(&mut chance, 20).await;
    let length = match id {
        STALLED | CUT => LENGTH_MAX,
        _ => chance.below(LENGTH_MAX as u64) as usize,
    };
    let uploads = chance.one_in(2);
    let size = if uploads { chance.below(60_000) as usize + 1 } else { 0 };
    let framing = if uploads { format!("Content-Length: {size}\r\n") } else { String::new() };
    let method = if uploads { "POST" } else { "GET" };
    let head = format!("{method} /{id}/{length} HTTP/1.1\r\nHost: h\r\n{framing}\r\n");
    let (more, credit, presence) = (Line::default(), Line::default(), Line::default());
    let along = if uploads { vec![id; chance.below(size as u64) as usize] } else { Vec::new() };
    let first = along.len();
    let mut client = Stream {
        head: head.into_bytes(),
        up: Up { along, more: more.clone(), is_whole: !uploads, received: first as u64 },
        down: Down {
            id,
            connection: Rc::clone(&world.connection),
            credit: credit.clone(),
            presence: presence.clone(),
            head: None,
            data: Vec::new(),
        },
    };
    spawn(speak((id, size - first), more, Chance::new(chance.below(u64::MAX))));
    if id != STALLED {
        let mut chance = Chance::new(chance.below(u64::MAX));
        spawn(async move {
            for _ in 0..2000 {
                pause(&mut chance, 2).await;
                credit.say(());
            }
        });
    }
    if id == RESET {
        let mut chance = Chance::new(chance.below(u64::MAX));
        spawn(async move {
            pause(&mut chance, 60).await;
            presence.cut();
        });
    }
    let World { local, caller, view, listener, shared, .. } = &*world;
    let scene = Scene::new((local, caller), "192.0.2.1", view, listener);
    let (mut out, mut entry) = (Outgoing::default(), Entry::default());
    entry.begin(local, caller);
    let prepared = with_head(&client.head, |head| scene.prepare(head, &mut out, &mut entry));
    assert!(matches!(prepared, Prepared::Forward));
    let along = uploads.then(|| client.up.along.clone());
    let upstream = ToShared(Rc::clone(shared), RefCell::new(along));
    let alarm = local.alarms.alarm();
    let exchange = Exchange {
        scene: &scene,
        out: &mut out,
        client: &mut client,
        upstream: &upstream,
        alarm: &alarm,
    };
    let end = exchange.run(&mut entry).await;
    world.ends.borrow_mut().push((id, length, end));
}

/// The content of a request, in pieces.
async fn speak((id, mut left): (u8, usize), more: Upwards, mut chance: Chance) {
    while left > 0 {
        pause(&mut chance, 3).await;
        let count = (chance.below(8_000) as usize + 1).min(left);
        left -= count;
        more.say((vec![id; count], left == 0));
    }
}

fn snapshot() -> Arc<Snapshot> {
    let file = config::parse(CONFIGURATION, "streams.toml").expect("a configuration");
    let ring = Arc::new(KeyRing::from_secrets(&[(1, [7; 32])]).expect("a ring"));
    Arc::new(compile(&file, &Registry::new(), &ring, None, &[], &[]).expect("a snapshot"))
}

/// Plays all streams of one connection, and judges them.
async fn play(seed: u64) {
    let snapshot = snapshot();
    let log = quiet_log();
    let counters = Arc::new(ShardCounters::default());
    let local = Local::new(0, Arc::new(Stop::default()), log.shard_writer(), counters);
    let origin = Origin { listener_name: "web".into(), port: 8080, port_text: PortText::new() };
    let peer = Peer::new(Some(([192, 0, 2, 1], 40_000).into()));
    let world = Rc::new(World {
        local,
        caller: Caller::new(Rc::new(origin), peer, false),
        listener: Arc::clone(&snapshot.listeners[0]),
        view: Rc::new(Arc::clone(&snapshot)),
        connection: Rc::default(),
        shared: Rc::default(),
        ends: RefCell::default(),
    });
    spawn(serve(Rc::clone(&world.shared), seed));
    for id in 0..STREAMS {
        spawn(stream(Rc::clone(&world), id, Chance::new(seed ^ (u64::from(id) << 40))));
    }
    let mut waited = Duration::ZERO;
    while world.ends.borrow().len() < usize::from(STREAMS) {
        assert!(waited < Duration::from_secs(60), "only {:?} have ended", world.ends.borrow());
        simulated::wait(TICK).await;
        world.local.clock.tick();
        world.local.alarms.scan(world.local.clock.now_ms());
        waited += TICK;
    }
    judge(&world);
    world.shared.asked.cut();
}

fn judge(world: &World) {
    let frames = world.connection.frames.borrow();
    for (id, length, end) in &*world.ends.borrow() {
        let own: Vec<&Frame> =
            frames.iter().filter(|(of, _)| of == id).map(|(_, frame)| frame).collect();
        let (mut data, mut ends) = (0, 0);
        for (at, frame) in own.iter().enumerate() {
            match frame {
                Frame::Head(status) => assert_eq!((at, *status), (0, 200), "stream {id}"),
                Frame::Data(bytes) => {
                    assert!(bytes.iter().all(|byte| byte == id), "stream {id} got another's");
                    data += bytes.len();
                }
                Frame::End => ends += 1,
            }
        }
        let is_whole = (data, ends) == (*length, 1);
        match *id {
            STALLED => assert_eq!((*end, ends), (End::Failed(Failure::ClientSendTimeout), 0)),
            CUT => assert_eq!((*end, ends), (End::Failed(Failure::TargetContentReset), 0)),
            RESET if *end == End::Failed(Failure::ClientGone) => assert_eq!(ends, 0),
            _ => assert!(*end == End::Complete && is_whole, "stream {id}: {end:?}, {data} bytes"),
        }
    }
    let shared = &world.shared;
    assert_eq!(shared.open.get(), 0, "leases that nobody gave back");
    assert_eq!(shared.given_back.get() + shared.closed.get(), u32::from(STREAMS));
    assert_eq!(world.view.groups[0].targets[0].state.in_flight(), 0, "places");
    assert_eq!(world.local.alarms.count(), 0, "alarms");
}

#[test]
fn streams_of_one_connection_and_of_a_shared_target_are_exchanges_like_any_other() {
    let seeds = match super::asked("LIMPET_SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..super::asked("LIMPET_SEEDS").unwrap_or(20),
    };
    for seed in seeds {
        println!("seed {seed}");
        let ((), _): ((), Left) = simulated::run(seed, Knobs::default(), play(seed));
    }
}
