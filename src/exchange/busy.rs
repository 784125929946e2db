//! Requests back to back, while they come.
//!
//! One boxed future of this module serves a connection from the first byte of a request until the
//! client has been silent for about a second. Responses are finished lazily: the last send of a
//! response is handed to the kernel together with nothing to wait for, because the receive of the
//! next request is in flight already; its result is looked at when that receive completes, or a tick
//! later, and only then is the request's log record closed.

use std::future::poll_fn;
use std::io;
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use super::answer::Reply;
use super::connection::Connection;
use super::content;
use super::early::{NextReceive, PendingSend};
use super::entry::Entry;
use super::failure::Failure;
use super::forward;
use super::input::Input;
use super::prepare::{Prepared, Scene};
use crate::http1::head::{self, HeadScan};
use crate::http1::refusal::Refusal;
use crate::shard::alarms::Waits;
use crate::shard::clock::Millis;
use crate::snapshot::Listener;
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

/// Where an exchange left the client's connection.
pub struct Done {
    /// The last bytes of the response, on their way.
    pub last: PendingSend,
    /// The receive of the next request, when it was submitted already.
    pub next: NextReceive,
    /// Another request may follow.
    pub keep: bool,
    /// The client may still be sending; it is read on for a while before the close.
    pub linger: bool,
    /// The client must see a failure, not a clean end.
    pub abort: bool,
}

impl Done {
    /// Nothing more is to be said on this connection.
    pub fn closed() -> Done {
        Done {
            last: PendingSend::None,
            next: NextReceive::None,
            keep: false,
            linger: false,
            abort: false,
        }
    }

    /// What was begun cannot be ended properly.
    pub fn aborted() -> Done {
        Done { abort: true, ..Done::closed() }
    }
}

/// Serves what has been received and what follows, until the client is silent or gone.
pub async fn serve(connection: &Connection, received: Vec<u8>) -> Next {
    let mut input = Input::new(received);
    let mut entry = Entry::new();
    loop {
        let view = connection.view();
        let Some(listener) = connection.listener(&view) else { return Next::Close };
        entry.begin(connection, &view);
        let scene = Scene { connection, view: &view, listener };
        let Some(prepared) = read_head(&scene, &mut input, &mut entry).await else {
            return Next::Close;
        };
        connection.requests.set(connection.requests.get().saturating_add(1));
        let mut done = match prepared {
            Prepared::Forward(plan) => forward::forward(&scene, plan, &mut input, &mut entry).await,
            Prepared::Answer(reply) => answer(&scene, reply, &mut input, &mut entry).await,
            Prepared::Partial => Done::closed(),
        };
        if !done.keep {
            settle(connection, listener, &mut done.last, &mut entry).await;
            close(connection, done).await;
            return Next::Close;
        }
        input.release_if_empty();
        if !input.is_empty() {
            settle(connection, listener, &mut done.last, &mut entry).await;
            continue;
        }
        match next_request(connection, listener, done, &mut entry).await {
            Ok(bytes) => input.replace(bytes),
            Err(next) => return next,
        }
    }
}

/// Receives until a head is whole, or refused, or late. `None`: the client ended the connection.
async fn read_head(scene: &Scene<'_>, input: &mut Input, entry: &mut Entry) -> Option<Prepared> {
    let Scene { connection, listener, .. } = *scene;
    let deadline = connection.shard.clock.deadline(listener.timeouts.head);
    let mut scan = HeadScan::default();
    loop {
        let empty_lines = head::skip_empty_lines(input.unread());
        input.consume(empty_lines);
        if !input.is_empty() && scan.worth_parsing(input.unread(), &listener.head_limits) {
            match scene.prepare(input.unread(), entry) {
                Prepared::Partial => {}
                prepared => return Some(prepared),
            }
        }
        let buffer = input.take_with_room(listener.head_limits.head_bytes);
        let receive = connection.client.recv(buffer);
        let ((result, buffer), expired) =
            connection.alarm.bound(deadline, receive, || connection.client.end_receiving()).await;
        input.put_back(buffer);
        connection.shard.clock.read_us();
        match result {
            Ok(count) if count > 0 => {}
            Ok(_) if expired && !input.is_empty() => {
                return Some(Prepared::Answer(Reply::refusal(Refusal::HeadTimeout)));
            }
            Ok(_) | Err(_) => {
                if !input.is_empty() {
                    entry.fail(Failure::ClientGone);
                    connection.record(entry);
                }
                return None;
            }
        }
    }
}

/// Sends an answer of limpet's own.
pub async fn answer(
    scene: &Scene<'_>,
    mut reply: Reply,
    input: &mut Input,
    entry: &mut Entry,
) -> Done {
    reply.keep = reply.keep && scene.connection.may_continue(scene.listener);
    entry.answered(&reply);
    let mut out = buffers::small();
    reply.write(Some(scene.listener), &scene.connection.shard.clock.date(), &mut out);
    entry.response_bytes += out.len() as u64;
    entry.first_byte_now(&scene.connection.shard.clock);
    if let Some(bytes) = reply.request_bytes {
        input.consume(bytes);
    }
    let last = PendingSend::start(&scene.connection.client, out);
    entry.last_byte_now(&scene.connection.shard.clock);
    Done { last, next: NextReceive::None, keep: reply.keep, linger: true, abort: false }
}

/// Awaits the end of a response and closes its record.
async fn settle(
    connection: &Connection,
    listener: &Listener,
    last: &mut PendingSend,
    entry: &mut Entry,
) {
    let deadline = connection.shard.clock.deadline(listener.timeouts.send_idle);
    let ((), expired) =
        connection.alarm.bound(deadline, &mut *last, || connection.client.end()).await;
    let (result, buffer) = last.finish().await;
    buffers::give_back(buffer);
    entry.settle(&result, expired);
    connection.record(entry);
}

/// Waits for the next request's bytes; settles the last response on the way.
async fn next_request(
    connection: &Connection,
    listener: &Listener,
    done: Done,
    entry: &mut Entry,
) -> Result<Vec<u8>, Next> {
    let Done { mut last, mut next, .. } = done;
    if next.is_none() {
        next = NextReceive::start(&connection.client);
    }
    let clock = &connection.shard.clock;
    let idle_deadline = clock.deadline(listener.timeouts.keep_alive);
    let settle_deadline = clock.deadline(SETTLE);
    connection.alarm.set(settle_deadline);
    let arrived = poll_fn(|cx| {
        last.poll_if_needed(cx);
        if next.poll_arrived(cx) {
            return Poll::Ready(true);
        }
        if connection.alarm.poll_fired(cx) { Poll::Ready(false) } else { Poll::Pending }
    })
    .await;
    settle(connection, listener, &mut last, entry).await;
    if !arrived && !wait_quietly(connection, &mut next).await {
        return match next {
            NextReceive::InFlight(receive) => Err(Next::Wait { receive, idle_deadline }),
            NextReceive::None | NextReceive::Arrived(_) => Err(Next::Close),
        };
    }
    take_arrived(next.finish().await)
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
async fn close(connection: &Connection, done: Done) {
    let Done { mut next, linger, abort, .. } = done;
    if abort {
        connection.client.abort();
        discard(next.finish().await);
        return;
    }
    if !next.is_none() {
        connection.client.end_sending();
        let deadline = connection.shard.clock.deadline(LINGER);
        let arrived = pin!(next.finish());
        let (result, _) =
            connection.alarm.bound(deadline, arrived, || connection.client.end()).await;
        discard(result);
    } else if linger {
        self::linger(connection).await;
    }
}

fn discard(received: io::Result<Vec<u8>>) {
    if let Ok(bytes) = received {
        buffers::give_back(bytes);
    }
}

/// Says that nothing more comes, then reads and discards for a bounded while.
async fn linger(connection: &Connection) {
    connection.client.end_sending();
    let deadline = connection.shard.clock.deadline(LINGER);
    let (mut discarded, mut is_bulk) = (0, false);
    while discarded < LINGER_BYTES {
        let client = &connection.client;
        let (result, expired) = if is_bulk {
            let receive = client.recv(buffers::large());
            let bound = connection.alarm.bound(deadline, receive, || client.end());
            let ((result, buffer), expired) = bound.await;
            (result.map(|_| buffer), expired)
        } else {
            connection.alarm.bound(deadline, client.recv_any(), || client.end()).await
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

/// Refuses a connection with 429 before anything is read from it.
pub async fn refuse(connection: &Connection) {
    let mut reply = Reply::too_many_connections();
    let mut out = buffers::small();
    let view = connection.view();
    let listener = connection.listener(&view).map(|listener| &**listener);
    reply.write(listener, &connection.shard.clock.date(), &mut out);
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
        linger(connection).await;
    }
}
