//! Requests back to back, while they come.
//!
//! One boxed future of this module serves a connection from the first byte of a request until the client has been
//! silent for about a second. Responses are finished lazily: the task does not wait for the last send of a response,
//! because the receive of the next request is in flight already; the send's result is looked at when that receive
//! completes, or a tick later, and only then is the request's log record closed.

use std::future::{Future, poll_fn};
use std::io;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

use super::clients::Clients;
use super::connection::Connection;
use super::early::{Ahead, NextReceive};
use super::input::Input;
use super::reply;
use super::request::{Content, Request};
use super::response::{Asked, Response};
use crate::challenges::Search;
use crate::exchange::answer::Reply;
use crate::exchange::client::{Asking, Client};
use crate::exchange::end::End;
use crate::exchange::entry::Entry;
use crate::exchange::failure::Failure;
use crate::exchange::forward::Exchange;
use crate::exchange::plan::Outgoing;
use crate::exchange::prepared::Prepared;
use crate::exchange::scene::Scene;
use crate::http::fields::Fields;
use crate::http::head::{ContentLength, RequestHead};
use crate::http::refusal::Refusal;
use crate::http1::head::{self, HeadScan, Parsed};
use crate::snapshot::Listener;
use crate::telemetry::ended::Phase;
use crate::telemetry::record::Record;
use crate::telemetry::series::Places;
use crate::time::alarms::Waits;
use crate::time::clock::Millis;
use crate::time::patience::Patience;
use crate::time::timers::{Timer, Timers};
use crate::transport::pending::PendingSend;
use crate::transport::sending;
use crate::transport::stream::{RecvAny, Stream};
use crate::upstream::Targets;
use crate::upstream::draft::Draft;
use crate::upstream::side::{First, Plain};
use crate::uring::buffers::{self, SMALL_BYTES};

/// After this silence the last send of a response is looked at, so that its log line is not held back.
const SETTLE: Duration = Duration::from_millis(50);
/// After this silence the connection goes back to sleep and its serving state is freed.
const QUIET: Duration = Duration::from_secs(1);
/// How many bytes, and for how long, a closing connection goes on reading, so that the client gets the response instead
/// of a reset (RFC 9112 §9.6).
const LINGER_BYTES: usize = 64 * 1024 * 1024;
const LINGER: Duration = Duration::from_secs(2);

/// The next state of the connection.
pub enum Next {
    Wait { receive: RecvAny, idle_deadline: Millis },
    Close,
}

/// How an exchange left the client's connection; operations still in flight on it are in [`Ahead`].
#[derive(Clone, Copy)]
pub struct Done {
    /// Another request may follow.
    pub keep: bool,
    /// The client must see a failure, not a clean end.
    pub abort: bool,
}

impl Done {
    /// The response is complete, and the connection closes.
    pub const CLOSED: Done = Done { keep: false, abort: false };
    /// The response cannot be completed.
    pub const ABORTED: Done = Done { abort: true, ..Done::CLOSED };
}

/// Serves the received bytes and the requests that follow, until the client is silent or gone.
pub async fn serve(connection: Rc<Connection>, received: Vec<u8>) -> Next {
    let connection = &*connection;
    let local = &connection.clients.local;
    let mut input = Input::new(received);
    let mut entry = Entry::default();
    let mut out = Outgoing::default();
    let mut ahead = Ahead::default();
    let mut content = Content::default();
    let peer_text = connection.caller.peer().text();
    let timers = Timers::new(&connection.alarm, &local.clock);
    loop {
        let Some((view, position)) = connection.view() else { return Next::Close };
        let Some(listener) = view.listeners.get(position) else { return Next::Close };
        let scene = Scene::new((local, &connection.caller), &peer_text, &view, listener);
        entry.begin(local, &connection.caller);
        let mut request =
            Served { scene: &scene, connection, timers: &timers, out: &mut out, entry: &mut entry };
        let mut scan = HeadScan::default();
        let mut judged = match request.judge(&mut input, &mut scan) {
            Judged::Partial => request.read_head((&mut input, &mut ahead.next), &mut scan).await,
            judged => judged,
        };
        while let Judged::Search(search) = judged {
            search.await;
            judged = request.judge(&mut input, &mut HeadScan::default());
        }
        connection.requests.set(connection.requests.get().saturating_add(1));
        let done = match judged {
            Judged::Forward(facts) => {
                request.forward(facts, (&mut input, &mut content), &mut ahead).await
            }
            Judged::Answer(mut reply) => request.answer(&mut reply, &mut input, &mut ahead),
            Judged::Partial | Judged::Search(_) => {
                close(connection, &timers, Done::CLOSED, &mut ahead.next).await;
                return Next::Close;
            }
        };
        if !done.keep {
            request.settle(&mut ahead.last).await;
            close(connection, &timers, done, &mut ahead.next).await;
            return Next::Close;
        }
        input.release_if_empty();
        if !input.is_empty() {
            request.settle(&mut ahead.last).await;
            continue;
        }
        match request.next(&mut ahead).await {
            Ok(bytes) => input.replace(bytes),
            Err(next) => return next,
        }
    }
}

/// The outcome of judging a head.
enum Judged {
    /// It is not whole yet.
    Partial,
    /// A target answers, as the plan says.
    Forward(Facts),
    /// limpet answers by itself.
    Answer(Box<Reply>),
    /// To be judged again when this has ended.
    Search(Search),
}

/// The facts of a head that the connection needs after the head is gone.
#[derive(Debug, Clone, Copy)]
struct Facts {
    head_bytes: usize,
    content: ContentLength,
    /// Whether the client wants its connection kept.
    persistent: bool,
}

/// The request that is being served.
struct Served<'a, 's> {
    scene: &'a Scene<'s>,
    connection: &'a Connection,
    timers: &'a Timers<'a>,
    out: &'a mut Outgoing<Draft>,
    entry: &'a mut Entry,
}

impl Served<'_, '_> {
    /// Judges whether the received bytes are a whole head, or can be refused already.
    fn judge(&mut self, input: &mut Input, scan: &mut HeadScan) -> Judged {
        let empty_lines = head::skip_empty_lines(input.unread());
        input.consume(empty_lines);
        let listener = self.scene.listener;
        let bytes = input.unread();
        if input.is_empty() || !scan.worth_parsing(bytes, &listener.head_limits) {
            return Judged::Partial;
        }
        let mut fields = Fields::new();
        // Matched by reference, since a head is large.
        match &head::parse_request(bytes, &listener.head_limits, listener.mode, &mut fields) {
            Ok(Parsed::Partial) => Judged::Partial,
            Ok(Parsed::Complete(head)) => match self.scene.prepare(head, self.out, self.entry) {
                Prepared::Forward => Judged::Forward(Facts {
                    head_bytes: head.raw.len(),
                    content: head.content,
                    persistent: head.persistent,
                }),
                Prepared::Answer(mut reply) => {
                    reply.of(head, bytes);
                    Judged::Answer(reply)
                }
                Prepared::Search(search) => Judged::Search(search),
            },
            Err(refusal) => {
                self.entry.refused(bytes.len());
                Judged::Answer(Box::new(Reply::refusal(*refusal)))
            }
        }
    }

    /// Receives until a head is whole, or refused, or late; the receive that was in vain is then in `late`. `Partial`:
    /// no head has begun, or the client ended the connection.
    async fn read_head(
        &mut self,
        (input, late): (&mut Input, &mut NextReceive),
        scan: &mut HeadScan,
    ) -> Judged {
        let (connection, listener) = (self.connection, self.scene.listener);
        let clock = &self.scene.local.clock;
        let deadline = clock.deadline(listener.timeouts.head);
        loop {
            let begun = input.unread().len();
            let buffer = input.take_with_room(listener.head_limits.head_bytes);
            let mut receive = connection.client.recv(buffer);
            let received = self.timers.give_up(Timer::Head, deadline, &mut receive).await;
            let Some((result, buffer)) = received else {
                *late = NextReceive::Late(receive);
                return self.too_late(begun);
            };
            input.put_back(buffer);
            clock.read_us();
            match result {
                Ok(count) if count > 0 => {}
                Ok(_) | Err(_) => {
                    if begun > 0 {
                        self.entry.refused(begun);
                        self.entry.head_ends_now(clock);
                        self.entry.refuse(Failure::ClientGone);
                        self.record();
                    }
                    return Judged::Partial;
                }
            }
            match self.judge(input, scan) {
                Judged::Partial if clock.now_ms() >= deadline => {
                    return self.too_late(input.unread().len());
                }
                Judged::Partial => {}
                judged => return judged,
            }
        }
    }

    /// Handles a head that is late, of which `begun` bytes have come.
    fn too_late(&mut self, begun: usize) -> Judged {
        if begun == 0 {
            return Judged::Partial;
        }
        self.entry.refused(begun);
        Judged::Answer(Box::new(Reply::refusal(Refusal::HeadTimeout)))
    }

    /// Forwards the request to a target.
    async fn forward(
        &mut self,
        facts: Facts,
        (input, content): (&mut Input, &mut Content),
        ahead: &mut Ahead,
    ) -> Done {
        let (connection, listener) = (self.connection, self.scene.listener);
        let local = self.scene.local;
        content.begin(facts.head_bytes, facts.content);
        let mut request = Request { client: &connection.client, listener, input, content };
        let taken = request.take_along();
        // Bytes behind refused content cannot be trusted to be a request.
        let was_whole = request.is_whole() && taken.is_ok();
        let asked = Asked {
            version: self.out.plan.version,
            persistent: facts.persistent,
            may_listen: was_whole && request.early().is_empty(),
        };
        let response = Response::new(connection, listener, self.timers, asked, ahead);
        let mut client = H1 { listener, request, response };
        let end = match taken {
            Ok(()) => {
                self.entry.request_bytes = client.request.content.extent.used as u64;
                self.entry.request_content_bytes = client.request.received();
                let Clients { pool, sessions, lines, room, .. } = &*connection.clients;
                let upstream = Targets { local, pool, sessions, lines, room: &**room };
                let mut exchange = Exchange {
                    scene: self.scene,
                    out: &mut *self.out,
                    client: &mut client,
                    upstream: &upstream,
                    timers: self.timers,
                };
                exchange.run(self.entry).await
            }
            Err(failure) => {
                self.entry.phase = Phase::RequestContent;
                self.scene.failed(failure, false, self.entry)
            }
        };
        self.entry.response_bytes += client.response.sent;
        let keep = client.response.keep && end == End::Complete;
        let Content { extent, beyond, late, .. } = content;
        if let NextReceive::Late(_) = late {
            ahead.next = std::mem::take(late);
        }
        match end {
            End::Complete | End::Over => {
                input.consume(extent.used);
                if !beyond.is_empty() {
                    let mut bytes = buffers::small();
                    bytes.extend_from_slice(beyond.unread());
                    beyond.replace(Vec::new());
                    input.append(bytes);
                }
                Done { keep, abort: false }
            }
            End::Aborted(_) => Done::ABORTED,
            End::Refused(failure) => {
                let kept = (was_whole && facts.persistent).then_some(extent.used);
                let plan = &self.out.plan;
                let mut reply = Reply::failure(failure).after(plan.method, plan.version, kept);
                self.answer(&mut reply, input, ahead)
            }
        }
    }

    /// Sends an answer of limpet's own.
    fn answer(&mut self, reply: &mut Reply, input: &mut Input, ahead: &mut Ahead) -> Done {
        let (connection, listener) = (self.connection, self.scene.listener);
        let clock = &self.scene.local.clock;
        reply.keep = reply.keep && connection.may_continue(listener.requests_per_connection);
        self.entry.answered(reply);
        let mut out = buffers::small();
        reply::write(reply, Some(listener), &clock.date(), &mut out);
        self.entry.response_bytes += out.len() as u64;
        self.entry.head_ends_now(clock);
        self.entry.first_byte_now(clock);
        if let Some(bytes) = reply.request_bytes {
            input.consume(bytes);
        }
        ahead.last.begin(&connection.client, out);
        self.entry.last_byte_now(clock);
        Done { keep: reply.keep, abort: false }
    }

    /// Writes the record of an exchange that has ended, and counts it.
    fn record(&self) {
        if !self.entry.is_blank() {
            let Scene { local, caller, view, listener, .. } = *self.scene;
            let write = |record: &Record<'_>, places: &Places<'_>| local.record(record, places);
            self.entry.finish((local, caller), (view, listener), write);
        }
    }

    /// Awaits the end of a response and closes its record.
    async fn settle(&mut self, last: &mut PendingSend) {
        let (connection, listener) = (self.connection, self.scene.listener);
        let clock = &self.scene.local.clock;
        let deadline = clock.deadline(listener.timeouts.send_idle);
        let mut is_awaited = false;
        let sent = poll_fn(|cx| {
            let sent = Pin::new(&mut *last).poll(cx);
            is_awaited |= sent.is_pending();
            sent
        });
        let ((result, buffer), expired) =
            self.timers.bound(Timer::Send, deadline, sent, || connection.client.abort()).await;
        buffers::give_back(buffer);
        if is_awaited {
            // The time noted when the send was submitted is too early.
            self.entry.last_byte_read(clock);
        }
        self.entry.settle(&result, expired);
        self.record();
    }

    /// Waits for the next request's bytes; settles the last response on the way.
    async fn next(&mut self, ahead: &mut Ahead) -> Result<Vec<u8>, Next> {
        let (connection, listener) = (self.connection, self.scene.listener);
        let Ahead { last, next, .. } = ahead;
        if next.is_none() {
            next.begin(&connection.client);
        }
        let clock = &self.scene.local.clock;
        let idle_deadline = clock.deadline(listener.timeouts.keep_alive);
        let timers = self.timers;
        timers.set(Timer::Settle, clock.deadline(SETTLE));
        let arrived = poll_fn(|cx| {
            last.poll_if_needed(cx);
            if next.poll_arrived(cx) {
                return Poll::Ready(true);
            }
            if timers.poll_due(Timer::Settle, cx) { Poll::Ready(false) } else { Poll::Pending }
        })
        .await;
        timers.stop(Timer::Settle);
        self.settle(last).await;
        if !arrived && !wait_quietly(timers, next).await {
            return match std::mem::take(next) {
                NextReceive::InFlight(receive) => Err(Next::Wait { receive, idle_deadline }),
                NextReceive::None | NextReceive::Late(_) | NextReceive::Arrived(_) => {
                    Err(Next::Close)
                }
            };
        }
        take_arrived(next.take_arrived())
    }
}

/// An HTTP/1 request and its response, in the form that an exchange takes.
struct H1<'a> {
    listener: &'a Listener,
    request: Request<'a>,
    response: Response<'a>,
}

impl<'a> Client for H1<'a> {
    type Asking = Request<'a>;
    type Answering = Response<'a>;
    type Side = Plain;

    fn head<T>(&self, look: impl FnOnce(&RequestHead<'_, '_>) -> T) -> Option<T> {
        let mut fields = Fields::new();
        let Listener { head_limits, mode, .. } = self.listener;
        let bytes = self.request.input.unread();
        match head::parse_request(bytes, head_limits, *mode, &mut fields) {
            Ok(Parsed::Complete(head)) => Some(look(&head)),
            Ok(Parsed::Partial) | Err(_) => None,
        }
    }

    fn local_address(&self) -> Option<SocketAddr> {
        self.request.client.local_address()
    }

    fn parts(&mut self) -> (&mut Request<'a>, &mut Response<'a>) {
        (&mut self.request, &mut self.response)
    }

    fn tunnel(&mut self) -> Plain {
        // Early bytes are in `beyond` when content was received by itself, else behind the request in the input.
        let beyond = self.request.content.beyond.unread();
        let early = if beyond.is_empty() { self.request.early() } else { beyond };
        let first = match std::mem::take(&mut self.response.ahead.next) {
            NextReceive::InFlight(receive) => First::InFlight(receive),
            NextReceive::Arrived(result) => First::Arrived(result),
            NextReceive::None | NextReceive::Late(_) => First::None,
        };
        Plain::new(self.request.client.clone(), early.to_vec(), first)
    }
}

/// Waits a little longer for the next request before the serving state is freed. `true` when it came.
async fn wait_quietly(timers: &Timers<'_>, next: &mut NextReceive) -> bool {
    timers.set_waiting(Timer::Idle, timers.clock.deadline(QUIET), Waits::Idle);
    let arrived = poll_fn(|cx| {
        if next.poll_arrived(cx) {
            return Poll::Ready(true);
        }
        if timers.poll_due(Timer::Idle, cx) { Poll::Ready(false) } else { Poll::Pending }
    })
    .await;
    timers.stop(Timer::Idle);
    arrived
}

fn take_arrived(result: io::Result<Vec<u8>>) -> Result<Vec<u8>, Next> {
    match result {
        Ok(bytes) if !bytes.is_empty() => Ok(bytes),
        Ok(bytes) => {
            buffers::give_back(bytes);
            Err(Next::Close)
        }
        Err(_) => Err(Next::Close),
    }
}

/// Ends the connection such that the client gets everything that was sent, or a reset where the response is incomplete.
pub(super) async fn close(
    connection: &Connection,
    timers: &Timers<'_>,
    done: Done,
    next: &mut NextReceive,
) {
    if done.abort {
        connection.client.abort();
        if let Ok(bytes) = next.finish().await {
            buffers::give_back(bytes);
        }
        return;
    }
    linger(&connection.client, timers, next).await;
}

/// Ends sending, then reads and discards for a bounded while: bytes that are left unread, or arrive later, would cause
/// a reset, by which the client loses what it has not read yet. Begins with the receive in flight, if there is one.
async fn linger(client: &Stream, timers: &Timers<'_>, next: &mut NextReceive) {
    client.end_sending();
    let deadline = timers.clock.deadline(LINGER);
    let (mut discarded, mut is_bulk) = (0, false);
    while discarded < LINGER_BYTES {
        let (result, expired) = if is_bulk {
            let receive = client.recv(buffers::large());
            let bound = timers.bound(Timer::Linger, deadline, receive, || client.end());
            let ((result, buffer), expired) = bound.await;
            (result.map(|_| buffer), expired)
        } else {
            if next.is_none() {
                next.begin(client);
            }
            timers.bound(Timer::Linger, deadline, pin!(next.finish()), || client.end()).await
        };
        let Ok(bytes) = result else { return };
        discarded += bytes.len();
        is_bulk |= bytes.len() >= SMALL_BYTES / 2;
        let is_end = bytes.is_empty();
        buffers::give_back(bytes);
        if is_end || expired {
            return;
        }
    }
}

/// Closes a connection that is over while its client has not taken everything that it was sent. `receive` is that of
/// its next request.
pub async fn leave(connection: Rc<Connection>, receive: RecvAny) -> Next {
    let timers = Timers::new(&connection.alarm, &connection.clients.local.clock);
    linger(&connection.client, &timers, &mut NextReceive::InFlight(receive)).await;
    Next::Close
}

/// Refuses a connection with 429 before anything is read from it.
pub async fn refuse(connection: &Connection) {
    let mut reply = Reply::too_many_connections();
    let mut out = buffers::small();
    let view = connection.view();
    let listener = view.as_ref().and_then(|(view, position)| view.listeners.get(*position));
    reply::write(
        &mut reply,
        listener.map(|listener| &**listener),
        &connection.clients.local.clock.date(),
        &mut out,
    );
    drop(view);
    let timers = Timers::new(&connection.alarm, &connection.clients.local.clock);
    let result = sending::send_all(
        &connection.client,
        out,
        0,
        Patience { timers: &timers, timer: Timer::Send, idle: LINGER },
    );
    if let Ok(buffer) = result.await {
        buffers::give_back(buffer);
        linger(&connection.client, &timers, &mut NextReceive::None).await;
    }
}

#[cfg(test)]
#[path = "h1_tests.rs"]
mod tests;
