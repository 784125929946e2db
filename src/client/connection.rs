//! A client's connection: asleep between requests, small while it sleeps.
//!
//! ```text
//!   accepted ─▶ [PROXY header] ─▶ waiting ──first byte──▶ busy (boxed) ──quiet for a second──▶ waiting
//!                                    │                      │
//!                                    └── idle limit, EOF ───┴── close ─▶ ended
//! ```
//! While it waits, its task holds this module's small future and one receive whose buffer the kernel
//! finds only when bytes arrive. Everything that serving needs is in the boxed `busy` future, which
//! goes away again when the client falls silent.

use std::cell::Cell;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use super::h1::{self, Next};
use super::proxy_protocol;
use crate::exchange::caller::{Caller, Origin, Peer};
use crate::shard::admission::Place;
use crate::shard::local::Shard;
use crate::snapshot::View;
use crate::snapshot::{Listener, ProxyProtocol};
use crate::telemetry::counters::Counter;
use crate::time::alarms::{Alarm, Waits};
use crate::time::clock::{Millis, NEVER};
use crate::transport::stream::{RecvAny, Stream};
use crate::uring::buffers;

/// How long a stop waits for the first request of a connection that has just been accepted.
pub const LAST_REQUEST: Duration = Duration::from_secs(1);

/// A connection as it was accepted.
pub struct Arrival {
    pub client: Stream,
    pub origin: Rc<Origin>,
    /// Position of its listener in the snapshot.
    pub listener: u32,
    pub peer: Peer,
}

/// What lasts as long as the connection does.
pub struct Connection {
    pub shard: Rc<Shard>,
    pub client: Stream,
    pub caller: Caller,
    /// Position of its listener when it was accepted.
    listener: u32,
    pub alarm: Alarm,
    pub opened_ms: Millis,
    /// After this the connection closes behind the request it is at.
    pub expires_ms: Millis,
    pub requests: Cell<u32>,
    /// `None` for a client that is only told that it has too many.
    _place: Option<Place>,
}

impl Connection {
    pub fn new(shard: Rc<Shard>, arrival: Arrival, place: Option<Place>) -> Connection {
        let Arrival { client, origin, listener, peer } = arrival;
        let is_encrypted = client.is_encrypted();
        let alarm = shard.local.alarms.alarm();
        let opened_ms = shard.local.clock.now_ms();
        shard.connections.set(shard.connections.get() + 1);
        Connection {
            shard,
            client,
            caller: Caller::new(origin, peer, is_encrypted),
            listener,
            alarm,
            opened_ms,
            expires_ms: NEVER,
            requests: Cell::new(0),
            _place: place,
        }
    }

    /// What is published now, or, when the connection's listener is no longer in it, what was last;
    /// and where the listener is in it. `None` when nobody knows the listener any more.
    #[inline]
    pub fn view(&self) -> Option<(View, usize)> {
        let view = self.shard.view();
        if let Some(position) = self.listener_in(&view) {
            return Some((view, position));
        }
        let view = self.shard.last_view_of(&self.caller.origin.listener_name)?;
        let position = self.listener_in(&view)?;
        Some((view, position))
    }

    /// Where the listener is: where it was when the connection was accepted, unless a reload has moved it.
    #[inline]
    fn listener_in(&self, view: &View) -> Option<usize> {
        let name = &self.caller.origin.listener_name;
        let is_it =
            |listener: &Arc<Listener>| Arc::ptr_eq(&listener.name, name) || listener.name == *name;
        let before = self.listener as usize;
        if view.listeners.get(before).is_some_and(is_it) {
            return Some(before);
        }
        view.listeners.iter().position(is_it)
    }

    /// Whether the connection may serve another request after the one it is at.
    pub fn may_continue(&self, listener: &Listener) -> bool {
        let limit = listener.requests_per_connection;
        (limit == 0 || self.requests.get() < limit)
            && self.shard.local.clock.now_ms() < self.expires_ms
            && !self.shard.local.stop.has_begun()
            && !self.shard.is_retired(&self.caller.origin.listener_name)
    }

    /// Whether the client has not taken all that it was sent, and would lose it by a reset.
    fn has_bytes_to_take(&self) -> bool {
        self.client.queued_bytes().is_some_and(|count| count > 0)
    }

    fn age_limit_ms(&self, listener: &Listener) -> Millis {
        let age_ms = u64::try_from(listener.timeouts.connection_age.as_millis()).unwrap_or(NEVER);
        if age_ms == 0 {
            return NEVER;
        }
        // Spread by ± 10 %, so that connections made together do not end together.
        let tenth = (age_ms / 10).max(1);
        let spread = self.shard.local.random.pick() % (2 * tenth);
        self.opened_ms.saturating_add((age_ms - tenth).saturating_add(spread))
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.shard.connections.set(self.shard.connections.get().saturating_sub(1));
        self.shard.local.counters.add(Counter::ConnectionsClosed, 1);
    }
}

/// Serves a client until it or limpet ends the connection. All that a sleeping connection's task holds,
/// besides the connection.
pub struct Serving {
    connection: Rc<Connection>,
    state: State,
}

enum State {
    /// Waits for the first bytes of a request.
    Asleep {
        receive: RecvAny,
        /// The time is up, and the receive has been made to end.
        is_up: bool,
    },
    Awake(Pin<Box<dyn Future<Output = Next>>>),
    Ended,
}

impl Serving {
    /// `None` when nobody knows the connection's listener any more.
    pub fn begin(mut connection: Connection) -> Option<Serving> {
        let (view, position) = connection.view()?;
        let listener = view.listeners.get(position)?;
        connection.expires_ms = connection.age_limit_ms(listener);
        let connection = Rc::new(connection);
        let state = if listener.proxy_protocol == ProxyProtocol::Off {
            let deadline = connection.shard.local.clock.deadline(listener.timeouts.head);
            asleep(&connection, connection.client.recv_any(), deadline)
        } else {
            State::Awake(Box::pin(announced(Rc::clone(&connection), view, position)))
        };
        Some(Serving { connection, state })
    }
}

impl Future for Serving {
    type Output = ();
    #[inline]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let Serving { connection, state } = &mut *self;
        loop {
            match state {
                State::Asleep { receive, is_up } => {
                    let Poll::Ready(received) = Pin::new(receive).poll(cx) else {
                        if *is_up || !connection.alarm.poll_fired(cx) {
                            return Poll::Pending;
                        }
                        if !connection.has_bytes_to_take() {
                            *is_up = true;
                            connection.client.end_receiving();
                            return Poll::Pending;
                        }
                        let State::Asleep { receive, .. } = std::mem::replace(state, State::Ended)
                        else {
                            return Poll::Ready(());
                        };
                        let leave = h1::leave(Rc::clone(connection), receive);
                        *state = State::Awake(Box::pin(leave));
                        continue;
                    };
                    let bytes = received.unwrap_or_default();
                    if bytes.is_empty() {
                        buffers::give_back(bytes);
                        return Poll::Ready(());
                    }
                    *state = State::Awake(Box::pin(h1::serve(Rc::clone(connection), bytes)));
                }
                State::Awake(awake) => match ready!(awake.as_mut().poll(cx)) {
                    Next::Wait { receive, idle_deadline } => {
                        *state = asleep(connection, receive, idle_deadline);
                    }
                    Next::Close => return Poll::Ready(()),
                },
                State::Ended => return Poll::Ready(()),
            }
        }
    }
}

/// Goes to sleep until bytes come, or `deadline`.
fn asleep(connection: &Connection, receive: RecvAny, deadline: Millis) -> State {
    let clock = &connection.shard.local.clock;
    let mut deadline = deadline.min(connection.expires_ms);
    let waits = if connection.requests.get() == 0 { Waits::Fresh } else { Waits::Idle };
    if connection.shard.local.stop.has_begun() {
        match waits {
            // Its first request may be on its way; the answer will say that it is the last.
            Waits::Fresh => deadline = deadline.min(clock.deadline(LAST_REQUEST)),
            // What has arrived already is still read and answered.
            Waits::Idle | Waits::Busy if connection.has_bytes_to_take() => {
                deadline = clock.now_ms();
            }
            Waits::Idle | Waits::Busy => connection.client.end_receiving(),
        }
    }
    connection.alarm.set_waiting(deadline, waits);
    if connection.alarm.is_evicted() {
        // What has arrived already is still read and answered.
        connection.client.end_receiving();
    }
    State::Asleep { receive, is_up: false }
}

/// Has a balancer in front announce the client, then serves what follows.
async fn announced(connection: Rc<Connection>, view: View, position: usize) -> Next {
    // The view is held, and not the listener alone: what shards hold of a snapshot keeps the whole of it, which
    // the control plane frees.
    let Some(listener) = view.listeners.get(position) else { return Next::Close };
    let Some(rest) = proxy_protocol::receive(&connection, listener).await else {
        return Next::Close;
    };
    if rest.is_empty() {
        let idle_deadline = connection.shard.local.clock.deadline(listener.timeouts.head);
        return Next::Wait { receive: connection.client.recv_any(), idle_deadline };
    }
    drop(view);
    Box::pin(h1::serve(connection, rest)).await
}

#[cfg(test)]
mod tests {
    use crate::client::connection::*;

    fn future_bytes<A, F>(_: impl FnOnce(Rc<Connection>, A) -> F) -> usize {
        size_of::<F>()
    }

    #[test]
    fn a_sleeping_connection_is_small() {
        let asleep = size_of::<Serving>() + size_of::<Connection>();
        let busy = future_bytes(h1::serve);
        println!("a connection's task: {asleep} bytes asleep, {busy} more while busy");
        assert!(asleep <= 192, "{asleep} bytes");
        assert!(busy <= 8192, "{busy} bytes");
    }
}
