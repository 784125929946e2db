//! The part of its shard that an open connection holds.
//!
//! The shard ends when no connection holds any part. A task that is dropped half-way gives everything back too.

use std::future::Future;
use std::net::IpAddr;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use super::admission::Place;
use super::local::Shard;
use crate::telemetry::counters::Counter;

/// One of the connections that a shard has open; counted until it is dropped.
pub struct Open {
    shard: Rc<Shard>,
}

/// An open connection that has a place in the process.
pub struct Admitted {
    open: Open,
    /// The address that its client is counted under; boxed, since most configurations do not count clients.
    client: Option<Box<IpAddr>>,
}

/// The task of a connection that is served.
pub struct Served<C> {
    /// Dropped first: its resources are free before another connection is let in.
    connection: C,
    _admitted: Admitted,
}

impl Open {
    pub fn new(shard: Rc<Shard>) -> Open {
        shard.counters.add(Counter::ConnectionsAccepted, 1);
        shard.connections.set(shard.connections.get().saturating_add(1));
        Open { shard }
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.shard.connections.set(self.shard.connections.get().saturating_sub(1));
        self.shard.counters.add(Counter::ConnectionsClosed, 1);
    }
}

impl Admitted {
    /// `place` belongs to the shard's own process.
    pub fn new(shard: &Rc<Shard>, place: Place<'_>) -> Admitted {
        Admitted { open: Open::new(Rc::clone(shard)), client: place.keep() }
    }
}

impl Drop for Admitted {
    fn drop(&mut self) {
        self.open.shard.admission.give_back(self.client.as_deref());
    }
}

impl<C> Served<C> {
    pub fn new(connection: C, admitted: Admitted) -> Served<C> {
        Served { connection, _admitted: admitted }
    }
}

impl<C: Future<Output = ()> + Unpin> Future for Served<C> {
    type Output = ();

    #[inline]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        Pin::new(&mut self.connection).poll(cx)
    }
}

#[cfg(test)]
mod tests {
    use crate::shard::admission::Admission;
    use crate::shard::admitted::*;
    use crate::shard::local::Shared;
    use std::future::pending;
    use std::net::Ipv4Addr;
    use std::sync::Arc;
    use std::task::Waker;

    const CLIENT: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

    fn shard() -> Rc<Shard> {
        let admission = Arc::new(Admission::new(1, 1));
        Shard::new(0, &Shared { admission, stop: Arc::default() }, Arc::default())
    }

    fn admitted(shard: &Rc<Shard>) -> Admitted {
        let mut place = shard.admission.reserve().unwrap();
        assert!(place.count_client(CLIENT), "the client's last connection is still counted");
        Admitted::new(shard, place)
    }

    /// Open connections, and those closed so far.
    fn count(shard: &Shard) -> (usize, usize, u64) {
        let closed = shard.counters.snapshot().connections_open();
        (shard.connections.get(), shard.admission.open(), closed)
    }

    #[test]
    fn a_connection_is_counted_until_its_task_is_dropped() {
        let shard = shard();
        let mut cx = Context::from_waker(Waker::noop());
        for is_polled in [true, false] {
            let connection = Box::pin(pending());
            let mut served = Served::new(connection, admitted(&shard));
            if is_polled {
                assert!(Pin::new(&mut served).poll(&mut cx).is_pending());
            }
            assert_eq!(count(&shard), (1, 1, 1));
            assert!(shard.admission.reserve().is_none());
            drop(served);
            assert_eq!(count(&shard), (0, 0, 0));
        }
    }

    #[test]
    fn a_connection_that_is_only_refused_takes_no_place() {
        let shard = shard();
        let open = Open::new(Rc::clone(&shard));
        assert_eq!(count(&shard), (1, 0, 1));
        drop(open);
        assert_eq!(count(&shard), (0, 0, 0));
    }
}
