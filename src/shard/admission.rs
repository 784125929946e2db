//! How many connections the process holds, in all and for each client address.
//!
//! A place is reserved before its connection is accepted; connections without one stay in the kernel's backlog.
//! Acceptors that wait for a place get one in the order in which they asked, whichever shard they belong to. Counts by
//! address exist only where the file sets that limit; they change when a connection opens and closes, never with a
//! request, and have at most as many entries as there are connections.

use std::collections::HashMap;
use std::mem::ManuallyDrop;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Mutex, PoisonError};

use tokio::sync::Semaphore;

use super::wishes::Wishes;

const STRIPES: usize = 64;
/// Each stripe keeps room for this many clients.
const CLIENTS_ROOM_KEPT: usize = 16;

#[derive(Debug)]
pub struct Admission {
    places: Semaphore,
    /// Wishes for places and descriptors that were not available.
    pub wishes: Wishes,
    limit: usize,
    per_client: u32,
    by_client: Vec<Mutex<HashMap<IpAddr, u32, ahash::RandomState>>>,
    hasher: ahash::RandomState,
}

/// The place of one connection, given back when dropped.
#[derive(Debug)]
pub struct Place<'a> {
    admission: &'a Admission,
    /// The address that its client is counted under; boxed, since most configurations do not count clients.
    client: Option<Box<IpAddr>>,
}

impl Admission {
    /// `limit`: connections of the process; `per_client`: of one client address, 0 = no limit.
    pub fn new(limit: usize, per_client: u32) -> Admission {
        let stripes = if per_client == 0 { 0 } else { STRIPES };
        let limit = limit.min(Semaphore::MAX_PERMITS);
        Admission {
            places: Semaphore::new(limit),
            wishes: Wishes::default(),
            limit,
            per_client,
            by_client: (0..stripes).map(|_| Mutex::default()).collect(),
            hasher: ahash::RandomState::new(),
        }
    }

    /// How many connections are open now.
    pub fn open(&self) -> usize {
        self.limit.saturating_sub(self.places.available_permits())
    }

    /// Takes a place, `None` when the process is full.
    pub fn reserve(&self) -> Option<Place<'_>> {
        self.places.try_acquire().ok()?.forget();
        Some(Place { admission: self, client: None })
    }

    /// Waits for a place. Only for a connection that is there already: an acceptor that held a place without one would
    /// keep it from the other listeners and shards.
    pub async fn place(&self) -> Option<Place<'_>> {
        self.places.acquire().await.ok()?.forget();
        Some(Place { admission: self, client: None })
    }

    /// Whether the number of connections of a client is limited.
    pub fn counts_clients(&self) -> bool {
        self.per_client > 0
    }

    /// Frees a place that was kept; `client` is the address that it was counted under.
    pub fn give_back(&self, client: Option<&IpAddr>) {
        if let Some(client) = client {
            self.count_out(*client);
        }
        self.places.add_permits(1);
    }

    fn stripe(&self, client: IpAddr) -> Option<&Mutex<HashMap<IpAddr, u32, ahash::RandomState>>> {
        let hash = self.hasher.hash_one(client);
        self.by_client.get((hash % STRIPES as u64) as usize)
    }

    fn count_in(&self, client: IpAddr) -> bool {
        let Some(stripe) = self.stripe(client) else { return true };
        let mut counts = stripe.lock().unwrap_or_else(PoisonError::into_inner);
        let count = counts.entry(client).or_insert(0);
        if *count >= self.per_client {
            return false;
        }
        *count += 1;
        true
    }

    fn count_out(&self, client: IpAddr) {
        let Some(stripe) = self.stripe(client) else { return };
        let mut counts = stripe.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = counts.get_mut(&client) {
            *count -= 1;
            if *count == 0 {
                counts.remove(&client);
                if counts.len() < counts.capacity() / 8 {
                    let room = counts.capacity() / 4;
                    counts.shrink_to(room.max(CLIENTS_ROOM_KEPT));
                }
            }
        }
    }
}

/// The key under which connections count together: an IPv4 address, or a /64 of IPv6, all of which one client owns.
fn network(client: IpAddr) -> IpAddr {
    match client {
        IpAddr::V4(_) => client,
        IpAddr::V6(address) => {
            let [a, b, c, d, ..] = address.segments();
            IpAddr::V6(Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0))
        }
    }
}

impl Place<'_> {
    /// Counts the connection as one of `client`; `false` when the client has reached its limit.
    #[must_use]
    pub fn count_client(&mut self, client: IpAddr) -> bool {
        if !self.admission.counts_clients() || self.client.is_some() {
            return true;
        }
        let client = network(client);
        let is_counted = self.admission.count_in(client);
        if is_counted {
            self.client = Some(Box::new(client));
        }
        is_counted
    }

    /// Keeps the place until [`Admission::give_back`] frees it. Returns the address that its client is counted under.
    pub fn keep(self) -> Option<Box<IpAddr>> {
        ManuallyDrop::new(self).client.take()
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.admission.give_back(self.client.as_deref());
    }
}

#[cfg(test)]
mod tests {
    use crate::shard::admission::*;
    use std::future::Future;
    use std::task::{Context, Poll, Waker};

    const CLIENT: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);
    const OTHER: IpAddr = IpAddr::V6(std::net::Ipv6Addr::LOCALHOST);

    #[test]
    fn the_process_limit_holds_and_a_place_comes_back() {
        let admission = Admission::new(1, 0);
        let place = admission.reserve().unwrap();
        assert!(admission.reserve().is_none());
        assert_eq!(admission.open(), 1);
        drop(place);
        assert!(admission.reserve().is_some());
        assert_eq!(admission.open(), 0);
    }

    #[test]
    fn one_client_is_limited_without_harm_to_others() {
        let admission = Admission::new(10, 1);
        let mut place = admission.reserve().unwrap();
        assert!(place.count_client(CLIENT));
        let mut second = admission.reserve().unwrap();
        assert!(!second.count_client(CLIENT));
        assert!(second.count_client(OTHER), "a refused count must leave nothing behind");
        drop((second, place));
        let mut again = admission.reserve().unwrap();
        assert!(again.count_client(CLIENT));
        assert_eq!(admission.open(), 1);
    }

    #[test]
    fn a_place_that_is_kept_comes_back_with_the_count_of_its_client() {
        let admission = Admission::new(1, 1);
        let mut place = admission.reserve().unwrap();
        assert!(place.count_client(CLIENT));
        let client = place.keep();
        assert!(admission.reserve().is_none(), "it was kept");
        admission.give_back(client.as_deref());
        assert!(admission.reserve().unwrap().count_client(CLIENT));
    }

    #[test]
    fn after_a_peak_counts_of_clients_give_their_memory_back() {
        let admission = Admission::new(100_000, 1);
        let place = |number: u32| {
            let mut place = admission.reserve().unwrap();
            assert!(place.count_client(IpAddr::from(number.to_be_bytes())));
            place
        };
        let room = || -> usize {
            admission.by_client.iter().map(|counts| counts.lock().unwrap().capacity()).sum()
        };
        let peak: Vec<Place<'_>> = (0..20_000).map(place).collect();
        assert!(room() >= 20_000);
        drop(peak);
        assert!(room() <= STRIPES * 4 * CLIENTS_ROOM_KEPT, "{}", room());
    }

    #[test]
    fn places_are_handed_on_in_the_order_in_which_they_were_waited_for() {
        let admission = Admission::new(1, 0);
        let held = admission.reserve().unwrap();
        let mut cx = Context::from_waker(Waker::noop());
        let (mut first, mut second) = (Box::pin(admission.place()), Box::pin(admission.place()));
        assert!(first.as_mut().poll(&mut cx).is_pending());
        assert!(second.as_mut().poll(&mut cx).is_pending());
        drop(held);
        assert!(admission.reserve().is_none(), "it is somebody's already");
        assert!(second.as_mut().poll(&mut cx).is_pending());
        let Poll::Ready(Some(place)) = first.as_mut().poll(&mut cx) else {
            panic!("not handed on")
        };
        // An acceptor that no longer waits is skipped.
        drop(second);
        drop(place);
        assert!(admission.reserve().is_some());
    }
}
