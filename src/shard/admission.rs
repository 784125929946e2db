//! How many connections the process holds, in all and for each client address.
//!
//! A place is reserved before its connection is accepted; connections without one stay in the kernel's
//! backlog. Acceptors that wait for a place get one in the order in which they came, whichever shard they
//! are of. Counts by address exist only where the file sets that limit; they are touched when a connection
//! comes and goes, never by a request, and hold no more entries than there are connections.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::Semaphore;

use super::reclaim::Wishes;

const STRIPES: usize = 64;
/// Room for this many clients is kept in each.
const CLIENTS_ROOM_KEPT: usize = 16;

#[derive(Debug)]
pub struct Admission {
    places: Semaphore,
    /// Of those who find no place, or no descriptor.
    pub wishes: Wishes,
    limit: usize,
    per_client: u32,
    by_client: Vec<Mutex<HashMap<IpAddr, u32, ahash::RandomState>>>,
    hasher: ahash::RandomState,
}

/// The place of one connection, given back when dropped.
#[derive(Debug)]
pub struct Place {
    admission: Arc<Admission>,
    /// Where its client is counted; boxed, since most configurations count nobody.
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

    /// Connections open now.
    pub fn open(&self) -> usize {
        self.limit.saturating_sub(self.places.available_permits())
    }

    /// Takes a place, `None` when the process is full.
    pub fn reserve(self: &Arc<Self>) -> Option<Place> {
        self.places.try_acquire().ok()?.forget();
        Some(Place { admission: Arc::clone(self), client: None })
    }

    /// Waits for a place. Only for a connection that is there already: who held one while nobody comes
    /// would keep it from the other listeners and shards.
    pub async fn place(self: &Arc<Self>) -> Option<Place> {
        self.places.acquire().await.ok()?.forget();
        Some(Place { admission: Arc::clone(self), client: None })
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

/// Whose connections count together: an IPv4 address, or a /64 of IPv6, which one client owns whole.
fn network(client: IpAddr) -> IpAddr {
    match client {
        IpAddr::V4(_) => client,
        IpAddr::V6(address) => {
            let [a, b, c, d, ..] = address.segments();
            IpAddr::V6(Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0))
        }
    }
}

impl Place {
    /// Counts its connection as one of `client`; `false` when that client has as many as it may.
    #[must_use]
    pub fn count_client(&mut self, client: IpAddr) -> bool {
        if self.admission.per_client == 0 || self.client.is_some() {
            return true;
        }
        let client = network(client);
        let is_counted = self.admission.count_in(client);
        if is_counted {
            self.client = Some(Box::new(client));
        }
        is_counted
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if let Some(client) = self.client.take() {
            self.admission.count_out(*client);
        }
        self.admission.places.add_permits(1);
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
        let admission = Arc::new(Admission::new(1, 0));
        let place = admission.reserve().unwrap();
        assert!(admission.reserve().is_none());
        assert_eq!(admission.open(), 1);
        drop(place);
        assert!(admission.reserve().is_some());
        assert_eq!(admission.open(), 0);
    }

    #[test]
    fn one_client_is_limited_without_harm_to_others() {
        let admission = Arc::new(Admission::new(10, 1));
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
    fn after_a_peak_counts_of_clients_give_their_memory_back() {
        let admission = Arc::new(Admission::new(100_000, 1));
        let place = |number: u32| {
            let mut place = admission.reserve().unwrap();
            assert!(place.count_client(IpAddr::from(number.to_be_bytes())));
            place
        };
        let room = || -> usize {
            admission.by_client.iter().map(|counts| counts.lock().unwrap().capacity()).sum()
        };
        let peak: Vec<Place> = (0..20_000).map(place).collect();
        assert!(room() >= 20_000);
        drop(peak);
        assert!(room() <= STRIPES * 4 * CLIENTS_ROOM_KEPT, "{}", room());
    }

    #[test]
    fn places_are_handed_on_in_the_order_in_which_they_were_waited_for() {
        let admission = Arc::new(Admission::new(1, 0));
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
        // Who no longer waits is passed over.
        drop(second);
        drop(place);
        assert!(admission.reserve().is_some());
    }
}
