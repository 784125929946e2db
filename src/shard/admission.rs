//! How many connections the process holds, in all and for each client address.
//!
//! The total is one atomic. Counts by address exist only where the file sets that limit; they are
//! touched when a connection comes and goes, never by a request, and hold no more entries than there
//! are connections.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

const STRIPES: usize = 64;

#[derive(Debug)]
pub struct Admission {
    open: AtomicUsize,
    limit: usize,
    per_client: u32,
    by_client: Vec<Mutex<HashMap<IpAddr, u32, ahash::RandomState>>>,
    hasher: ahash::RandomState,
}

/// Why a connection is not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NotAdmitted {
    /// The process has as many as it may; accepting waits.
    ProcessFull,
    /// This client has as many as it may; it is answered 429.
    ClientFull,
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
        Admission {
            open: AtomicUsize::new(0),
            limit,
            per_client,
            by_client: (0..stripes).map(|_| Mutex::default()).collect(),
            hasher: ahash::RandomState::new(),
        }
    }

    /// Connections open now.
    pub fn open(&self) -> usize {
        self.open.load(Ordering::Relaxed)
    }

    /// Whether a connection could be admitted now.
    pub fn has_room(&self) -> bool {
        self.open() < self.limit
    }

    /// Takes a place for a connection from `client` (`None` for Unix sockets).
    ///
    /// # Errors
    /// Which of the limits is reached.
    pub fn admit(self: &Arc<Self>, client: Option<IpAddr>) -> Result<Place, NotAdmitted> {
        self.open
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |open| {
                (open < self.limit).then_some(open + 1)
            })
            .map_err(|_| NotAdmitted::ProcessFull)?;
        let mut place = Place { admission: Arc::clone(self), client: None };
        if let Some(client) = client.filter(|_| self.per_client > 0).map(network) {
            if !self.count_in(client) {
                return Err(NotAdmitted::ClientFull);
            }
            place.client = Some(Box::new(client));
        }
        Ok(place)
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

impl Drop for Place {
    fn drop(&mut self) {
        if let Some(client) = self.client.take() {
            self.admission.count_out(*client);
        }
        self.admission.open.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CLIENT: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);
    const OTHER: IpAddr = IpAddr::V6(std::net::Ipv6Addr::LOCALHOST);

    #[test]
    fn the_process_limit_holds_and_a_place_comes_back() {
        let admission = Arc::new(Admission::new(1, 0));
        let place = admission.admit(Some(CLIENT)).unwrap();
        assert_eq!(admission.admit(Some(OTHER)).unwrap_err(), NotAdmitted::ProcessFull);
        drop(place);
        assert!(admission.admit(None).is_ok());
        assert_eq!(admission.open(), 0);
    }

    #[test]
    fn one_client_is_limited_without_harm_to_others() {
        let admission = Arc::new(Admission::new(10, 1));
        let place = admission.admit(Some(CLIENT)).unwrap();
        assert_eq!(admission.admit(Some(CLIENT)).unwrap_err(), NotAdmitted::ClientFull);
        assert!(admission.admit(Some(OTHER)).is_ok());
        assert_eq!(admission.open(), 1, "a refused client must not hold a place");
        drop(place);
        assert!(admission.admit(Some(CLIENT)).is_ok());
    }
}
