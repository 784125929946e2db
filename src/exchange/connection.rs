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

use std::cell::{Cell, RefCell};
use std::future::Future;
use std::net::IpAddr;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use arrayvec::{ArrayString, ArrayVec};

use super::busy::{self, Next};
use super::proxy_protocol;
use super::stream::Stream;
use crate::shard::admission::Place;
use crate::shard::alarms::{Alarm, Waits};
use crate::shard::clock::{Millis, NEVER};
use crate::shard::local::{Shard, View};
use crate::snapshot::{Listener, ProxyProtocol};
use crate::target::select::Pinned;
use crate::telemetry::counters::Counter;
use crate::uring::{RecvAny, buffers};

/// How long a stop waits for the first request of a connection that has just been accepted.
pub const LAST_REQUEST: Duration = Duration::from_secs(1);

/// Who is at the other end.
#[derive(Debug, Clone, Copy)]
pub struct Peer {
    /// `None` on Unix sockets.
    pub ip: Option<IpAddr>,
    pub port: u16,
}

/// An address as text.
pub type PeerText = ArrayString<46>;

impl Peer {
    pub fn new(address: Option<std::net::SocketAddr>) -> Peer {
        let ip = address.map(|address| address.ip().to_canonical());
        Peer { ip, port: address.map_or(0, |address| address.port()) }
    }

    /// Its address as it goes into X-Forwarded-For; one of IPv4, as most are, without the machinery of
    /// formatting.
    pub fn text(&self) -> PeerText {
        use std::fmt::Write;
        let mut text = PeerText::new();
        // 46 bytes hold every address; a Unix peer has none.
        let _ = match self.ip {
            Some(IpAddr::V4(ip)) => {
                ip.octets().into_iter().enumerate().try_for_each(|(at, octet)| {
                    text.write_str(if at > 0 { "." } else { "" })?;
                    text.write_str(itoa::Buffer::new().format(octet))
                })
            }
            Some(IpAddr::V6(ip)) => write!(text, "{ip}"),
            None => text.write_str("unknown"),
        };
        text
    }
}

/// Where connections come in; shared by all that came in there.
#[derive(Debug, Clone)]
pub struct Origin {
    pub listener_name: Arc<str>,
    /// The listener's port; 0 on Unix sockets.
    pub port: u16,
    /// The same as text; empty on Unix sockets.
    pub port_text: ArrayVec<u8, 5>,
}

/// A connection as it was accepted.
pub struct Arrival {
    pub client: Stream,
    pub origin: Rc<Origin>,
    /// Position of its listener in the snapshot.
    pub listener: usize,
    pub peer: Peer,
}

/// What lasts as long as the connection does.
pub struct Connection {
    pub shard: Rc<Shard>,
    pub client: Stream,
    pub origin: Rc<Origin>,
    /// Position of its listener when it was accepted.
    listener: usize,
    pub peer: Peer,
    pub alarm: Alarm,
    pub opened_ms: Millis,
    /// After this the connection closes behind the request it is at.
    pub expires_ms: Millis,
    pub requests: Cell<u32>,
    /// The assignment of this connection's first visit, so that parallel first requests agree.
    pub pinned: RefCell<Option<Box<Pinned>>>,
    /// `None` for a client that is only told that it has too many.
    _place: Option<Place>,
}

impl Connection {
    pub fn new(shard: Rc<Shard>, arrival: Arrival, place: Option<Place>) -> Connection {
        let Arrival { client, origin, listener, peer } = arrival;
        let alarm = shard.alarms.alarm();
        let opened_ms = shard.clock.now_ms();
        shard.connections.set(shard.connections.get() + 1);
        Connection {
            shard,
            client,
            origin,
            listener,
            peer,
            alarm,
            opened_ms,
            expires_ms: NEVER,
            requests: Cell::new(0),
            pinned: RefCell::new(None),
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
        let view = self.shard.last_view_of(&self.origin.listener_name)?;
        let position = self.listener_in(&view)?;
        Some((view, position))
    }

    /// The connection's listener as it is now.
    pub fn listener(&self) -> Option<Arc<Listener>> {
        let (view, position) = self.view()?;
        view.listeners.get(position).cloned()
    }

    /// Where the listener is: where it was when the connection was accepted, unless a reload has moved it.
    #[inline]
    fn listener_in(&self, view: &View) -> Option<usize> {
        let name = &self.origin.listener_name;
        let is_it =
            |listener: &Arc<Listener>| Arc::ptr_eq(&listener.name, name) || listener.name == *name;
        let before = self.listener;
        if view.listeners.get(before).is_some_and(is_it) {
            return Some(before);
        }
        view.listeners.iter().position(is_it)
    }

    /// Whether the connection may serve another request after the one it is at.
    pub fn may_continue(&self, listener: &Listener) -> bool {
        let limit = listener.requests_per_connection;
        (limit == 0 || self.requests.get() < limit)
            && self.shard.clock.now_ms() < self.expires_ms
            && !self.shard.stop.has_begun()
            && !self.shard.is_retired(&self.origin.listener_name)
    }

    fn age_limit_ms(&self, listener: &Listener) -> Millis {
        let age_ms = u64::try_from(listener.timeouts.connection_age.as_millis()).unwrap_or(NEVER);
        if age_ms == 0 {
            return NEVER;
        }
        // Spread by ± 10 %, so that connections made together do not end together.
        let tenth = (age_ms / 10).max(1);
        let spread = self.shard.random.pick() % (2 * tenth);
        self.opened_ms.saturating_add((age_ms - tenth).saturating_add(spread))
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.shard.connections.set(self.shard.connections.get().saturating_sub(1));
        self.shard.counters.add(Counter::ConnectionsClosed, 1);
        self.shard.room.notify_one();
    }
}

/// Serves a client until it or limpet ends the connection.
pub async fn serve(mut connection: Box<Connection>) {
    let Some(listener) = connection.listener() else { return };
    connection.expires_ms = connection.age_limit_ms(&listener);
    let early = if listener.proxy_protocol == ProxyProtocol::Off {
        None
    } else {
        match Box::pin(proxy_protocol::receive(&mut connection, &listener)).await {
            Some(rest) => Some(rest),
            None => return,
        }
    };
    let deadline = connection.shard.clock.deadline(listener.timeouts.head);
    drop(listener);
    let mut received = match early {
        Some(bytes) if !bytes.is_empty() => bytes,
        _ => match asleep(&connection, connection.client.recv_any(), deadline).await {
            Some(bytes) => bytes,
            None => return,
        },
    };
    loop {
        let next = Box::pin(busy::serve(&connection, received)).await;
        let Next::Wait { receive, idle_deadline } = next else { return };
        received = match asleep(&connection, receive, idle_deadline).await {
            Some(bytes) => bytes,
            None => return,
        };
    }
}

/// Waits for the first bytes of a request; `None` when the connection has ended instead.
fn asleep(connection: &Connection, receive: RecvAny, deadline: Millis) -> Asleep<'_> {
    let clock = &connection.shard.clock;
    let mut deadline = deadline.min(connection.expires_ms);
    let waits = if connection.requests.get() == 0 { Waits::Fresh } else { Waits::Idle };
    if connection.shard.stop.has_begun() {
        match waits {
            // Its first request may be on its way; the answer will say that it is the last.
            Waits::Fresh => deadline = deadline.min(clock.deadline(LAST_REQUEST)),
            // What has arrived already is still read and answered.
            Waits::Idle | Waits::Busy => connection.client.end_receiving(),
        }
    }
    connection.alarm.set_waiting(deadline, waits);
    Asleep { connection, receive, is_up: false }
}

/// All that a sleeping connection's task holds, besides the connection.
struct Asleep<'a> {
    connection: &'a Connection,
    receive: RecvAny,
    /// The time is up, and the receive has been made to end.
    is_up: bool,
}

impl Future for Asleep<'_> {
    type Output = Option<Vec<u8>>;
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Vec<u8>>> {
        let this = &mut *self;
        if let Poll::Ready(result) = Pin::new(&mut this.receive).poll(cx) {
            let bytes = result.unwrap_or_default();
            if bytes.is_empty() {
                buffers::give_back(bytes);
                return Poll::Ready(None);
            }
            return Poll::Ready(Some(bytes));
        }
        if !this.is_up && this.connection.alarm.poll_fired(cx) {
            this.is_up = true;
            this.connection.client.end_receiving();
        }
        Poll::Pending
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn future_bytes<'a, A, F>(_: impl FnOnce(&'a Connection, A) -> F) -> usize {
        size_of::<F>()
    }

    fn task_bytes<F>(_: impl FnOnce(Box<Connection>) -> F) -> usize {
        size_of::<F>()
    }

    #[test]
    fn a_peer_is_written_as_everybody_writes_it() {
        for ip in ["0.0.0.0", "9.10.99.100", "127.0.0.1", "255.255.255.255", "::1", "2001:db8::ff"]
        {
            let address: IpAddr = ip.parse().unwrap();
            assert_eq!(&*Peer::new(Some((address, 80).into())).text(), ip);
        }
        let mapped: IpAddr = "::ffff:10.0.0.1".parse().unwrap();
        assert_eq!(&*Peer::new(Some((mapped, 80).into())).text(), "10.0.0.1");
        assert_eq!(&*Peer::new(None).text(), "unknown");
    }

    #[test]
    fn a_sleeping_connection_is_small() {
        let asleep = task_bytes(serve) + size_of::<Connection>();
        let busy = future_bytes(busy::serve);
        println!("a connection's task: {asleep} bytes asleep, {busy} more while busy");
        assert!(asleep <= 320, "{asleep} bytes");
        assert!(busy <= 8192, "{busy} bytes");
    }
}
