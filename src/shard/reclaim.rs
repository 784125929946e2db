//! Making room: when the process is full or short of descriptors, the connection that has been idle longest is closed.
//!
//! ```text
//!   no place, no descriptor ─▶ a wish ─▶ this shard closes the connection that has been idle longest
//!                                │ it has none: the other shards are called, and look at every tick
//!                                └ none has one: the wish stays until a connection becomes idle
//! ```
//! Requests in flight and tunnels are never closed, nor is a client that has connected within the last second. A shard
//! frees descriptors that it keeps for later first, because no client waits for those. Tested beside it, as are its
//! parts (`wishes`, `idlest`), and by the black-box suite.

use std::future::{Future, poll_fn};
use std::io;
use std::pin::pin;
use std::rc::Rc;
use std::task::Poll;
use std::time::{Duration, Instant};

use super::admission::Place;
use super::local::{Shard, TICK};
use super::serve::Serve;
use super::wishes::{Wanted, Wish};
use crate::telemetry::counters::Counter;
use crate::uring;

/// How long a closed connection takes to give its descriptor back.
const SOON: Duration = Duration::from_millis(2);

/// Whether the process, or the system, is out of descriptors.
pub fn is_shortage(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EMFILE | libc::ENFILE))
}

/// Grants wishes whenever this shard or another makes one.
pub async fn hear_wishes<S: Serve>(shard: Rc<Shard>, serves: Rc<S>) {
    let wishes = &shard.admission.wishes;
    loop {
        let is_own = tokio::select! {
            () = shard.wished.notified() => true,
            () = wishes.call.notified() => false,
        };
        shard.grant_wishes(&*serves);
        if is_own && wishes.has_open() {
            wishes.call.notify_waiters();
        }
    }
}

impl Shard {
    /// Waits for a place, which becomes free when an idle connection is closed for it.
    pub async fn place(&self) -> Option<Place<'_>> {
        let mut place = pin!(self.admission.place());
        // The wait joins the queue before anything is closed, so that the freed place is its own.
        let at_once = poll_fn(|cx| Poll::Ready(place.as_mut().poll(cx))).await;
        if let Poll::Ready(place) = at_once {
            return place;
        }
        if self.may_complain() {
            tracing::warn!(
                connections = self.admission.open(),
                "the process is full: idle connections close for new ones, and new ones wait; raise process.connections"
            );
        }
        let _wish = self.wish_for(Wanted::Place);
        place.await
    }

    /// Has something idle closed and waits for its descriptor; `false` when none was closed within a tick.
    pub async fn descriptor(&self) -> bool {
        let wish = self.wish_for(Wanted::Descriptor);
        let mut pause = SOON;
        while pause < TICK {
            uring::pause(pause).await;
            if wish.is_granted() {
                return true;
            }
            pause *= 2;
        }
        false
    }

    /// Makes a wish, which this shard hears first.
    fn wish_for(&self, wanted: Wanted) -> Wish<'_> {
        let wish = self.admission.wishes.make(wanted);
        self.wished.notify_one();
        wish
    }

    /// Closes something idle of this shard's while a few descriptors are left, so that some remain for connections to
    /// targets, checks and files.
    pub fn spare_descriptor(&self, serves: &impl Serve) {
        self.close_idle(Wanted::Descriptor, serves);
    }

    fn grant_wishes(&self, serves: &impl Serve) {
        self.admission.wishes.grant(|wanted| self.close_idle(wanted, serves));
    }

    /// Looks for connections that have become idle since a wish was made; called at every tick.
    pub fn look_after_wishes(&self, serves: &impl Serve) {
        let wishes = &self.admission.wishes;
        if wishes.are_none() {
            self.idlest.borrow_mut().forget();
            return;
        }
        wishes.renew(Instant::now());
        self.grant_wishes(serves);
    }

    fn close_idle(&self, wanted: Wanted, serves: &impl Serve) -> bool {
        match wanted {
            Wanted::Place => self.close_idle_connection(),
            Wanted::Descriptor => {
                let is_closed = serves.close_kept() || self.close_idle_connection();
                if is_closed && self.may_complain() {
                    tracing::warn!(
                        "descriptors are short: what is idle closes for new connections; raise RLIMIT_NOFILE or lower process.connections"
                    );
                }
                is_closed
            }
        }
    }

    fn close_idle_connection(&self) -> bool {
        let is_closed = self.idlest.borrow_mut().evict(&self.time);
        if is_closed {
            self.counters.add(Counter::ConnectionsReclaimed, 1);
        }
        is_closed
    }
}
