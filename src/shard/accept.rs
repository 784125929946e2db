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

use tokio::sync::Notify;

use super::admission::Place;
use super::admitted::{Admitted, Open, Served};
use super::local::Shard;
use super::orders::ListenerId;
use super::reclaim;
use super::serve::{Accepted, Serve};
use crate::snapshot::{Bind, SocketOptions};
use crate::telemetry::counters::Counter;
use crate::time::clock::{Millis, NEVER};
use crate::uring::{self, Listening};

/// Connections accepted in a row before the shard's other tasks run.
const ACCEPTED_IN_A_ROW: usize = 16;
/// How long accepting rests when the system is out of descriptors or memory.
const BACK_OFF: Duration = Duration::from_millis(50);
/// How long there may be no descriptor before waiting connections are closed: longer than a new connection may stay
/// silent before its first request.
const SHORTAGE: Duration = Duration::from_secs(2);
/// Most clients that are sent a refusal at the same time; beyond, connections are just closed.
const REFUSALS_MAX: usize = 64;

/// One listener of one shard.
pub struct Acceptor<S: Serve> {
    shard: Rc<Shard>,
    serves: Rc<S>,
    listening: Listening,
    at: At,
    /// The listener's current name.
    name: RefCell<Arc<str>>,
    origin: RefCell<Rc<S::Origin>>,
    /// Set when no more connections are to be taken.
    is_retired: Cell<bool>,
    /// Notified when the listener is retired.
    retirement: Notify,
    /// A descriptor in reserve for when there is no other: freed, it lets one waiting connection be accepted and
    /// closed, instead of hanging until its client gives up.
    reserve: RefCell<Option<File>>,
    refusals: Rc<()>,
    /// When connections that wait for a descriptor begin to be closed; [`NEVER`] while descriptors are available.
    shortage_ms: Cell<Millis>,
}

/// The listener that a socket belongs to, and its bound address.
pub struct At {
    pub id: ListenerId,
    pub bound: Bind,
}

impl<S: Serve> Acceptor<S> {
    pub fn new(
        shard: Rc<Shard>,
        serves: Rc<S>,
        listening: Listening,
        at: At,
        name: Arc<str>,
    ) -> Acceptor<S> {
        let origin = RefCell::new(Rc::new(S::origin(&name, &at.bound)));
        Acceptor {
            shard,
            serves,
            listening,
            at,
            name: RefCell::new(name),
            origin,
            is_retired: Cell::new(false),
            retirement: Notify::new(),
            reserve: RefCell::new(File::open("/dev/null").ok()),
            refusals: Rc::new(()),
            shortage_ms: Cell::new(NEVER),
        }
    }

    /// Whether it is a socket of this listener.
    pub fn is_of(&self, listener: ListenerId) -> bool {
        self.at.id == listener
    }

    /// Changes the listener's name for the connections to come.
    pub fn rename(&self, name: Arc<str>) {
        *self.origin.borrow_mut() = Rc::new(S::origin(&name, &self.at.bound));
        *self.name.borrow_mut() = name;
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

    /// Accepts waiting connections, each when it has a place.
    async fn take_waiting(&self) -> io::Result<()> {
        for _ in 0..ACCEPTED_IN_A_ROW {
            let Some(place) = self.place().await else { return Ok(()) };
            // Where shards share the socket, another may have accepted it first.
            let Some(accepted) = self.listening.accept()? else { return Ok(()) };
            self.shortage_ms.set(NEVER);
            if accepted.descriptor >= self.shard.scarce_from {
                self.shard.spare_descriptor(&*self.serves);
            }
            self.take(accepted, place);
            if !self.listening.is_readable()? {
                return Ok(());
            }
        }
        uring::yield_now().await;
        Ok(())
    }

    /// A place for a waiting connection. While the process is full the connection stays in the backlog, and the
    /// connection that has been idle longest is closed for it. `None` when the listener has ended meanwhile.
    async fn place(&self) -> Option<Place<'_>> {
        if let Some(place) = self.shard.admission.reserve() {
            return Some(place);
        }
        tokio::select! {
            place = self.shard.place() => place.filter(|_| !self.has_ended()),
            () = self.retirement.notified() => None,
        }
    }

    fn has_ended(&self) -> bool {
        self.is_retired.get() || self.shard.time.stop.has_begun()
    }

    /// Accepts the connections still in the backlog, then ends listening.
    pub fn finish(&self) {
        self.is_retired.set(true);
        self.retirement.notify_one();
        while let Some(place) = self.shard.admission.reserve() {
            let Ok(Some(accepted)) = self.listening.accept() else { break };
            self.take(accepted, place);
        }
        self.listening.close();
    }

    fn take(&self, taken: uring::Accepted, mut place: Place<'_>) {
        let peer = taken.peer.as_socket();
        let origin = Rc::clone(&self.origin.borrow());
        let client = peer
            .map(|peer| peer.ip().to_canonical())
            .filter(|_| self.shard.admission.counts_clients() && self.serves.counts_peers(&origin));
        let accepted = Accepted { socket: taken.socket, peer, origin };
        if client.is_some_and(|client| !place.count_client(client)) {
            drop(place);
            self.refuse(accepted);
            return;
        }
        let admitted = Admitted::new(&self.shard, place);
        if let Some(connection) = self.serves.begin(accepted) {
            uring::spawn(Served::new(connection, admitted));
        }
    }

    /// Tells a client that it has too many connections, unless too many are being told so already.
    fn refuse(&self, accepted: Accepted<S::Origin>) {
        self.shard.counters.add(Counter::ConnectionsRefused, 1);
        if Rc::strong_count(&self.refusals) > REFUSALS_MAX {
            accepted.socket.abort();
            return;
        }
        let told = Rc::clone(&self.refusals);
        let open = Open::new(Rc::clone(&self.shard));
        let refusing = self.serves.refuse(accepted);
        uring::spawn(async move {
            refusing.await;
            drop((open, told));
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
                listener = %self.name.borrow(),
                %error,
                "accepting rests for a moment; raise RLIMIT_NOFILE or lower process.connections"
            );
        }
        uring::pause(BACK_OFF).await;
    }

    /// Changes the socket options for the connections to come.
    pub fn adjust(&self, options: &SocketOptions) {
        let name = &self.name.borrow();
        if let Err(error) = crate::listener::adjust(self.listening.raw(), options) {
            tracing::warn!(listener = %name, %error, "not all socket options could be changed");
        }
    }

    /// Lets connections wait in the backlog while none closes; after [`SHORTAGE`], closes them one by one.
    fn shed_when_late(&self) {
        let clock = &self.shard.time.clock;
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
            self.shard.counters.add(Counter::ConnectionsRefused, 1);
            drop(accepted);
        }
        *reserve = File::open("/dev/null").ok();
    }
}
