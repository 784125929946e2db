//! Requests back to back, while they come.
//!
//! One boxed future of this module serves a connection from the first byte of a request until the
//! client has been silent for about a second. Responses are finished lazily: the last send of a
//! response is handed to the kernel together with nothing to wait for, because the receive of the
//! next request is in flight already; its result is looked at when that receive completes, or a tick
//! later, and only then is the request's log record closed.

use std::future::{Future, poll_fn};
use std::io;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

use super::answer::Reply;
use super::connection::Connection;
use super::content;
use super::early::{Ahead, NextReceive, PendingSend};
use super::entry::Entry;
use super::failure::Failure;
use super::forward;
use super::input::Input;
use super::prepare::{Plan, Prepared, Scene};
use crate::http1::head::{self, HeadScan};
use crate::http1::refusal::Refusal;
use crate::shard::alarms::Waits;
use crate::shard::clock::Millis;
use crate::uring::RecvAny;
use crate::uring::buffers::{self, SMALL_BYTES};

/// After this silence a finished response is looked at, so that its log line is not held back.
const SETTLE: Duration = Duration::from_millis(50);
/// After this silence the connection goes back to sleep and its serving state is freed.
const QUIET: Duration = Duration::from_secs(1);
/// Bytes and time that a closing connection reads on, so that the client gets the response
/// instead of a reset (RFC 9112 §9.6).
const LINGER_BYTES: usize = 64 * 1024 * 1024;
const LINGER: Duration = Duration::from_secs(2);

/// What becomes of the connection.
pub enum Next {
    Wait { receive: RecvAny, idle_deadline: Millis },
    Close,
}

/// Where an exchange left the client's connection; what is still in flight on it is in [`Ahead`].
#[derive(Clone, Copy)]
pub struct Done {
    /// Another request may follow.
    pub keep: bool,
    /// The client must see a failure, not a clean end.
    pub abort: bool,
}

impl Done {
    /// Nothing more is to be said on this connection.
    pub const CLOSED: Done = Done { keep: false, abort: false };
    /// What was begun cannot be ended properly.
    pub const ABORTED: Done = Done { abort: true, ..Done::CLOSED };
}

/// Serves what has been received and what follows, until the client is silent or gone.
pub async fn serve(connection: Rc<Connection>, received: Vec<u8>) -> Next {
    let connection = &*connection;
    let mut input = Input::new(received);
    let mut entry = Entry::default();
    let mut plan = Plan::default();
    let mut ahead = Ahead::default();
    let peer_text = connection.peer().text();
    loop {
        let Some((view, position)) = connection.view() else { return Next::Close };
        let Some(listener) = view.listeners.get(position) else { return Next::Close };
        let scene = Scene::new(connection, &peer_text, &view, listener);
        entry.begin(connection);
        let mut scan = HeadScan::default();
        let prepared = match scene.judge(&mut input, &mut scan, &mut plan, &mut entry) {
            Prepared::Partial => {
                let input = (&mut input, &mut ahead.next);
                read_head(&scene, input, &mut scan, &mut plan, &mut entry).await
            }
            prepared => prepared,
        };
        connection.requests.set(connection.requests.get().saturating_add(1));
        let done = match prepared {
            Prepared::Forward => {
                forward::forward(&scene, &mut plan, &mut input, &mut ahead, &mut entry).await
            }
            Prepared::Answer(reply) => answer(&scene, *reply, &mut input, &mut ahead, &mut entry),
            Prepared::Partial => {
                close(connection, Done::CLOSED, &mut ahead.next).await;
                return Next::Close;
            }
        };
        if !done.keep {
            settle(&scene, &mut ahead.last, &mut entry).await;
            close(connection, done, &mut ahead.next).await;
            return Next::Close;
        }
        input.release_if_empty();
        if !input.is_empty() {
            settle(&scene, &mut ahead.last, &mut entry).await;
            continue;
        }
        match next_request(&scene, &mut ahead, &mut entry).await {
            Ok(bytes) => input.replace(bytes),
            Err(next) => return next,
        }
    }
}

impl Scene<'_> {
    /// Looks whether what has come is a whole head, or can be refused already.
    fn judge(
        &self,
        input: &mut Input,
        scan: &mut HeadScan,
        plan: &mut Plan,
        entry: &mut Entry,
    ) -> Prepared {
        let empty_lines = head::skip_empty_lines(input.unread());
        input.consume(empty_lines);
        if !input.is_empty() && scan.worth_parsing(input.unread(), &self.listener.head_limits) {
            return self.prepare(input.unread(), plan, entry);
        }
        Prepared::Partial
    }

    /// Writes and counts what `entry` says of an exchange that has ended.
    fn record(&self, entry: &Entry) {
        if !entry.is_blank() {
            let shard = &self.connection.shard;
            entry.finish(self, |record, places| shard.record(record, places));
        }
    }
}

/// Receives until a head is whole, or refused, or late; `late` is then what was waited for. `Partial`: no head
/// has begun, or the client ended the connection.
async fn read_head(
    scene: &Scene<'_>,
    (input, late): (&mut Input, &mut NextReceive),
    scan: &mut HeadScan,
    plan: &mut Plan,
    entry: &mut Entry,
) -> Prepared {
    let Scene { connection, listener, .. } = *scene;
    let deadline = connection.shard.clock.deadline(listener.timeouts.head);
    loop {
        let begun = input.unread().len();
        let buffer = input.take_with_room(listener.head_limits.head_bytes);
        let mut receive = connection.client.recv(buffer);
        let Some((result, buffer)) = connection.alarm.give_up(deadline, &mut receive).await else {
            *late = NextReceive::Late(receive);
            return too_late(begun, entry);
        };
        input.put_back(buffer);
        connection.shard.clock.read_us();
        match result {
            Ok(count) if count > 0 => {}
            Ok(_) | Err(_) => {
                if begun > 0 {
                    entry.refused(begun);
                    entry.head_ends_now(&connection.shard.clock);
                    entry.fail(Failure::ClientGone);
                    scene.record(entry);
                }
                return Prepared::Partial;
            }
        }
        match scene.judge(input, scan, plan, entry) {
            Prepared::Partial if connection.shard.clock.now_ms() >= deadline => {
                return too_late(input.unread().len(), entry);
            }
            Prepared::Partial => {}
            prepared => return prepared,
        }
    }
}

/// The time for a head is up, of which so many bytes have come.
fn too_late(begun: usize, entry: &mut Entry) -> Prepared {
    if begun == 0 {
        return Prepared::Partial;
    }
    entry.refused(begun);
    Reply::refusal(Refusal::HeadTimeout).into()
}

/// Sends an answer of limpet's own.
pub fn answer(
    scene: &Scene<'_>,
    mut reply: Reply,
    input: &mut Input,
    ahead: &mut Ahead,
    entry: &mut Entry,
) -> Done {
    let Scene { connection, listener, .. } = *scene;
    let clock = &connection.shard.clock;
    reply.keep = reply.keep && connection.may_continue(listener);
    entry.answered(&reply);
    let mut out = buffers::small();
    reply.write(Some(listener), &clock.date(), &mut out);
    entry.response_bytes += out.len() as u64;
    entry.head_ends_now(clock);
    entry.first_byte_now(clock);
    if let Some(bytes) = reply.request_bytes {
        input.consume(bytes);
    }
    ahead.last = PendingSend::start(&connection.client, out);
    entry.last_byte_now(clock);
    Done { keep: reply.keep, abort: false }
}

/// Awaits the end of a response and closes its record.
async fn settle(scene: &Scene<'_>, last: &mut PendingSend, entry: &mut Entry) {
    let Scene { connection, listener, .. } = *scene;
    let deadline = connection.shard.clock.deadline(listener.timeouts.send_idle);
    let mut is_awaited = false;
    let sent = poll_fn(|cx| {
        let sent = Pin::new(&mut *last).poll(cx);
        is_awaited |= sent.is_pending();
        sent
    });
    let ((result, buffer), expired) =
        connection.alarm.bound_late(deadline, sent, || connection.client.abort()).await;
    buffers::give_back(buffer);
    if is_awaited {
        // It was handed over long before it went.
        entry.last_byte_read(&connection.shard.clock);
    }
    entry.settle(&result, expired);
    scene.record(entry);
}

/// Waits for the next request's bytes; settles the last response on the way.
async fn next_request(
    scene: &Scene<'_>,
    ahead: &mut Ahead,
    entry: &mut Entry,
) -> Result<Vec<u8>, Next> {
    let Scene { connection, listener, .. } = *scene;
    let Ahead { last, next } = ahead;
    if next.is_none() {
        *next = NextReceive::start(&connection.client);
    }
    let clock = &connection.shard.clock;
    let idle_deadline = clock.deadline(listener.timeouts.keep_alive);
    connection.alarm.set(clock.deadline(SETTLE));
    let arrived = poll_fn(|cx| {
        last.poll_if_needed(cx);
        if next.poll_arrived(cx) {
            return Poll::Ready(true);
        }
        if connection.alarm.poll_fired(cx) { Poll::Ready(false) } else { Poll::Pending }
    })
    .await;
    settle(scene, last, entry).await;
    if !arrived && !wait_quietly(connection, next).await {
        return match std::mem::take(next) {
            NextReceive::InFlight(receive) => Err(Next::Wait { receive, idle_deadline }),
            NextReceive::None | NextReceive::Late(_) | NextReceive::Arrived(_) => Err(Next::Close),
        };
    }
    take_arrived(next.take_arrived())
}

/// A second chance for the next request before the serving state is freed. `true` when it came.
async fn wait_quietly(connection: &Connection, next: &mut NextReceive) -> bool {
    connection.alarm.set_waiting(connection.shard.clock.deadline(QUIET), Waits::Idle);
    poll_fn(|cx| {
        if next.poll_arrived(cx) {
            return Poll::Ready(true);
        }
        if connection.alarm.poll_fired(cx) { Poll::Ready(false) } else { Poll::Pending }
    })
    .await
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

/// Ends the connection such that the client gets everything that was sent, or, where what was sent is
/// not the whole, a reset.
async fn close(connection: &Connection, done: Done, next: &mut NextReceive) {
    if done.abort {
        connection.client.abort();
        if let Ok(bytes) = next.finish().await {
            buffers::give_back(bytes);
        }
        return;
    }
    linger(connection, next).await;
}

/// Says that nothing more comes, then reads and discards for a bounded while: whatever is left unread, or comes in
/// later, would become a reset, which takes from the client what it has not read yet. Begins with the receive that is
/// in flight, if there is one.
async fn linger(connection: &Connection, next: &mut NextReceive) {
    let client = &connection.client;
    client.end_sending();
    let deadline = connection.shard.clock.deadline(LINGER);
    let (mut discarded, mut is_bulk) = (0, false);
    while discarded < LINGER_BYTES {
        let (result, expired) = if is_bulk {
            let receive = client.recv(buffers::large());
            let bound = connection.alarm.bound(deadline, receive, || client.end());
            let ((result, buffer), expired) = bound.await;
            (result.map(|_| buffer), expired)
        } else {
            if next.is_none() {
                *next = NextReceive::start(client);
            }
            connection.alarm.bound(deadline, pin!(next.finish()), || client.end()).await
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

/// Closes a connection whose time is up while its client has not taken all that it was sent. `receive` is the one
/// of its next request.
pub async fn leave(connection: Rc<Connection>, receive: RecvAny) -> Next {
    linger(&connection, &mut NextReceive::InFlight(receive)).await;
    Next::Close
}

/// Refuses a connection with 429 before anything is read from it.
pub async fn refuse(connection: &Connection) {
    let mut reply = Reply::too_many_connections();
    let mut out = buffers::small();
    let view = connection.view();
    let listener = view.as_ref().and_then(|(view, position)| view.listeners.get(*position));
    reply.write(listener.map(|listener| &**listener), &connection.shard.clock.date(), &mut out);
    drop(view);
    let result = content::send_all(
        &connection.client,
        out,
        0,
        &connection.alarm,
        &connection.shard.clock,
        LINGER,
    );
    if let Ok(buffer) = result.await {
        buffers::give_back(buffer);
        linger(connection, &mut NextReceive::None).await;
    }
}
