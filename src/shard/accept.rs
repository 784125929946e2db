//! Accepting on one shard: admission, and surviving the lack of descriptors and memory.
//!
//! ```text
//!   a connection is there ─▶ its place is reserved ─▶ accepted, without blocking ─▶ served
//!                              │ the process is full: it waits in the backlog
//! ```

use std::cell::{Cell, RefCell};
use std::fs::File;
use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use arrayvec::ArrayVec;
use tokio::sync::Notify;

use super::admission::Place;
use super::local::Shard;
use super::orders::ListenerId;
use super::reclaim;
use crate::client::connection::{Arrival, Connection, Serving};
use crate::client::h1;
use crate::exchange::caller::{Origin, Peer};
use crate::snapshot::{Bind, ProxyProtocol, SocketOptions};
use crate::telemetry::counters::Counter;
use crate::time::clock::{Millis, NEVER};
use crate::transport::stream::Stream;
use crate::uring::{self, Accepted, Listening};

/// Connections that are taken in a row before the shard's other tasks have their turn.
const ACCEPTED_IN_A_ROW: usize = 16;
/// How long accepting rests when the system is out of descriptors or memory.
const BACK_OFF: Duration = Duration::from_millis(50);
/// How long there may be no descriptor before waiting connections are closed: longer than a new connection is
/// given for its first request.
const SHORTAGE: Duration = Duration::from_secs(2);
/// Refused clients that are being told so at the same time; beyond, they are just closed.
const REFUSALS_MAX: usize = 64;

/// One listener of one shard.
pub struct Acceptor {
    pub shard: Rc<Shard>,
    pub listening: Listening,
    /// Which of the process's listeners this is a socket of.
    pub id: ListenerId,
    pub origin: RefCell<Rc<Origin>>,
    /// No more connections are taken.
    is_retired: Cell<bool>,
    /// Told when it is retired.
    retirement: Notify,
    /// A descriptor kept for the moment in which there is no other: freed, it lets one waiting
    /// connection be taken and closed, instead of hanging until it gives up.
    reserve: RefCell<Option<File>>,
    refusals: Rc<()>,
    /// Until when connections that find no descriptor wait for one; [`NEVER`] while there are some.
    shortage_ms: Cell<Millis>,
}

impl Acceptor {
    pub fn new(shard: Rc<Shard>, listening: Listening, id: ListenerId, origin: Origin) -> Acceptor {
        Acceptor {
            shard,
            listening,
            id,
            origin: RefCell::new(Rc::new(origin)),
            is_retired: Cell::new(false),
            retirement: Notify::new(),
            reserve: RefCell::new(File::open("/dev/null").ok()),
            refusals: Rc::new(()),
            shortage_ms: Cell::new(NEVER),
        }
    }

    /// Where `bound` listens, as far as each connection needs it.
    pub fn origin(name: &Arc<str>, bound: &Bind) -> Origin {
        let mut port_text = ArrayVec::new();
        let mut port = 0;
        if let Bind::Tcp(address) = bound {
            port = address.port();
            let _ = port_text.try_extend_from_slice(itoa::Buffer::new().format(port).as_bytes());
        }
        Origin { listener_name: name.clone(), port, port_text }
    }

    /// Accepts until the shard stops or the listener is taken away.
    pub async fn run(&self) {
        while !self.has_ended() {
            let result = match self.listening.readable().await {
                Ok(()) => self.take_waiting().await,
                Err(error) => Err(error),
            };
            match result {
                Err(error) if !self.has_ended() => self.after(&error).await,
                _ => {}
            }
        }
    }

    /// Takes connections that are there, each when it has a place.
    async fn take_waiting(&self) -> io::Result<()> {
        for _ in 0..ACCEPTED_IN_A_ROW {
            let Some(place) = self.place().await else { return Ok(()) };
            // Where shards share the socket, another may have been faster.
            let Some(accepted) = self.listening.accept()? else { return Ok(()) };
            self.shortage_ms.set(NEVER);
            if accepted.descriptor >= self.shard.scarce_from {
                self.shard.spare_descriptor();
            }
            self.take(accepted, place);
            if !self.listening.is_readable()? {
                return Ok(());
            }
        }
        uring::yield_now().await;
        Ok(())
    }

    /// A place for a connection that is there; while the process is full it waits in the backlog, and what is
    /// idle longest closes for it. `None` when the listener has ended meanwhile.
    async fn place(&self) -> Option<Place> {
        if let Some(place) = self.shard.admission.reserve() {
            return Some(place);
        }
        tokio::select! {
            place = self.shard.place() => place.filter(|_| !self.has_ended()),
            () = self.retirement.notified() => None,
        }
    }

    fn has_ended(&self) -> bool {
        self.is_retired.get() || self.shard.local.stop.has_begun()
    }

    /// Takes what is still waiting in the backlog, then ends listening.
    pub fn finish(&self) {
        self.is_retired.set(true);
        self.retirement.notify_one();
        while let Some(place) = self.shard.admission.reserve() {
            let Ok(Some(accepted)) = self.listening.accept() else { break };
            self.take(accepted, place);
        }
        self.listening.close();
    }

    fn take(&self, accepted: Accepted, mut place: Place) {
        let shard = &self.shard;
        let peer = Peer::new(accepted.peer.as_socket());
        let client = Stream::plain(accepted.socket);
        let view = shard.view();
        let origin = Rc::clone(&self.origin.borrow());
        let mut listeners = view.listeners.iter();
        let position = listeners.position(|listener| listener.name == origin.listener_name);
        let listener = position.and_then(|position| view.listeners.get(position));
        // Peers that announce the clients behind them are not clients themselves: they are not counted.
        let peers_are_clients =
            listener.is_none_or(|listener| listener.proxy_protocol == ProxyProtocol::Off);
        let listener = position.and_then(|at| u32::try_from(at).ok()).unwrap_or(u32::MAX);
        let arrival = Arrival { client, origin, listener, peer };
        if let Some(client) = peer.ip.filter(|_| peers_are_clients)
            && !place.count_client(client)
        {
            drop(place);
            self.refuse(arrival);
            return;
        }
        shard.local.counters.add(Counter::ConnectionsAccepted, 1);
        let connection = Connection::new(Rc::clone(shard), arrival, Some(place));
        if let Some(serving) = Serving::begin(connection) {
            uring::spawn(serving);
        }
    }

    /// Tells a client that it has too many connections, while not too many are being told.
    fn refuse(&self, arrival: Arrival) {
        let shard = &self.shard;
        shard.local.counters.add(Counter::ConnectionsRefused, 1);
        if Rc::strong_count(&self.refusals) > REFUSALS_MAX {
            arrival.client.abort();
            return;
        }
        let told = Rc::clone(&self.refusals);
        shard.local.counters.add(Counter::ConnectionsAccepted, 1);
        let connection = Connection::new(Rc::clone(shard), arrival, None);
        uring::spawn(async move {
            h1::refuse(&connection).await;
            drop(told);
        });
    }

    async fn after(&self, error: &io::Error) {
        match error.raw_os_error() {
            // The connection was gone, or taken by another accept, before this one could take it.
            Some(libc::ECONNABORTED | libc::EPROTO | libc::EPERM | libc::EINTR | libc::EAGAIN) => {
                return;
            }
            // Another shard has closed the Unix socket that they share; the order to retire is on its way.
            Some(libc::EINVAL) => {
                uring::pause(BACK_OFF).await;
                return;
            }
            _ if reclaim::is_shortage(error) => {
                if self.shard.descriptor().await {
                    return;
                }
                self.shed_when_late();
            }
            _ => {}
        }
        if self.shard.may_complain() {
            tracing::warn!(
                listener = %self.origin.borrow().listener_name,
                %error,
                "accepting rests for a moment; raise RLIMIT_NOFILE or lower process.connections"
            );
        }
        uring::pause(BACK_OFF).await;
    }

    /// Other options for the connections that will come.
    pub fn adjust(&self, options: &SocketOptions) {
        let name = &self.origin.borrow().listener_name;
        if let Err(error) = crate::listener::adjust(self.listening.raw(), options) {
            tracing::warn!(listener = %name, %error, "not all socket options could be changed");
        }
    }

    /// While nothing closes, connections wait in the backlog; after a while they are closed, one by one.
    fn shed_when_late(&self) {
        let clock = &self.shard.local.clock;
        if self.shortage_ms.get() == NEVER {
            self.shortage_ms.set(clock.deadline(SHORTAGE));
        }
        if clock.now_ms() >= self.shortage_ms.get() {
            self.shed_one();
        }
    }

    /// Uses the reserved descriptor to close one waiting connection at once.
    fn shed_one(&self) {
        let Ok(mut reserve) = self.reserve.try_borrow_mut() else { return };
        *reserve = None;
        if let Ok(Some(accepted)) = self.listening.accept() {
            self.shard.local.counters.add(Counter::ConnectionsRefused, 1);
            drop(accepted);
        }
        *reserve = File::open("/dev/null").ok();
    }
}
