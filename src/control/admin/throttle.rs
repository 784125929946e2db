//! Slows down peers that are refused again and again, so that tokens cannot be guessed by the thousand and the audit
//! log is not flooded.
//!
//! Every peer has an allowance that grows back with time. A peer that has used it up waits for each further answer. One
//! that guesses tokens waits before its next token is checked, right or wrong, so that hanging up early gains nothing.
//! Other refusals do not count as guesses: pages of other sites can cause those in an operator's browser. Keeps one
//! time for each of a bounded number of peers. Never sleeps itself. Pure but for its lock; tested below.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::actor::Peer;

/// Refusals in a row that cost no time.
const ALLOWANCE: u32 = 10;
/// How long one refusal takes to be forgotten.
const EVERY: Duration = Duration::from_millis(100);
/// Longest wait.
const WAIT_MAX: Duration = Duration::from_secs(2);
/// Most peers that are remembered.
const PEERS_MAX: usize = 1024;

/// The key of a peer: an IPv6 address stands for its whole /64, which one client owns.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Who {
    V4([u8; 4]),
    V6([u16; 4]),
    User(Option<u32>),
}

impl Who {
    fn of(peer: &Peer) -> Who {
        match peer {
            Peer::Unix { uid, .. } => Who::User(*uid),
            Peer::Tcp(address) | Peer::Tls(address, _) => match address.ip().to_canonical() {
                IpAddr::V4(address) => Who::V4(address.octets()),
                IpAddr::V6(address) => {
                    let [a, b, c, d, ..] = address.segments();
                    Who::V6([a, b, c, d])
                }
            },
        }
    }
}

/// The kind of a refusal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// A wrong token.
    Guess,
    Other,
}

/// For each peer, when all of its refusals will be forgotten.
#[derive(Debug, Default)]
pub struct Throttle {
    forgotten: Mutex<HashMap<(Who, Kind), Instant, ahash::RandomState>>,
}

impl Throttle {
    /// Notes a refusal; returns how long its answer must wait.
    pub fn refuse(&self, peer: &Peer, kind: Kind, now: Instant) -> Duration {
        let mut forgotten = self.forgotten.lock().unwrap_or_else(PoisonError::into_inner);
        let key = (Who::of(peer), kind);
        if forgotten.len() >= PEERS_MAX && !forgotten.contains_key(&key) {
            make_room(&mut forgotten, now);
        }
        let at = forgotten.entry(key).or_insert(now);
        let latest = now.checked_add(EVERY * ALLOWANCE + WAIT_MAX).unwrap_or(now);
        *at = (*at).max(now).checked_add(EVERY).unwrap_or(now).min(latest);
        beyond(*at, now)
    }

    /// How long a peer that brings a token must wait.
    pub fn wait(&self, peer: &Peer, now: Instant) -> Duration {
        let forgotten = self.forgotten.lock().unwrap_or_else(PoisonError::into_inner);
        let at = forgotten.get(&(Who::of(peer), Kind::Guess));
        at.map_or(Duration::ZERO, |at| beyond(*at, now))
    }
}

fn beyond(at: Instant, now: Instant) -> Duration {
    at.saturating_duration_since(now).saturating_sub(EVERY * ALLOWANCE).min(WAIT_MAX)
}

/// Forgets peers whose time has passed, and if there are none, the one with the least time left.
fn make_room(forgotten: &mut HashMap<(Who, Kind), Instant, ahash::RandomState>, now: Instant) {
    forgotten.retain(|_, at| *at > now);
    if forgotten.len() >= PEERS_MAX {
        let least = forgotten.iter().min_by_key(|(_, at)| **at).map(|(key, _)| *key);
        if let Some(least) = least {
            forgotten.remove(&least);
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::control::admin::throttle::*;

    fn peer(address: &str) -> Peer {
        Peer::Tcp(address.parse().unwrap())
    }

    #[test]
    fn who_is_refused_beyond_the_allowance_waits_longer_and_longer_up_to_a_limit() {
        let (throttle, now) = (Throttle::default(), Instant::now());
        let one = peer("192.0.2.1:1");
        let waits: Vec<Duration> =
            (0..100).map(|_| throttle.refuse(&one, Kind::Guess, now)).collect();
        assert!(waits[..10].iter().all(Duration::is_zero), "{waits:?}");
        assert_eq!((waits[10], waits[11], waits[99]), (EVERY, EVERY * 2, WAIT_MAX));
        assert_eq!(throttle.wait(&one, now), WAIT_MAX);
        assert_eq!(throttle.wait(&peer("192.0.2.1:2"), now), WAIT_MAX, "whatever its port");
        let later = now + Duration::from_secs(3);
        assert_eq!(throttle.wait(&one, later), Duration::ZERO, "it is forgotten");
        assert_eq!(throttle.refuse(&one, Kind::Guess, later), Duration::ZERO);
    }

    #[test]
    fn others_do_not_wait_and_other_refusals_are_no_guesses() {
        let (throttle, now) = (Throttle::default(), Instant::now());
        let one = peer("[2001:db8::1]:1");
        for _ in 0..50 {
            throttle.refuse(&one, Kind::Other, now);
        }
        assert_eq!(throttle.wait(&one, now), Duration::ZERO);
        for _ in 0..50 {
            throttle.refuse(&one, Kind::Guess, now);
        }
        assert_eq!(
            throttle.wait(&peer("[2001:db8::ffff]:9"), now),
            WAIT_MAX,
            "one /64 is one peer"
        );
        for other in [
            peer("[2001:db8:0:1::1]:1"),
            peer("127.0.0.1:1"),
            Peer::Unix { uid: Some(0), pid: None },
        ] {
            assert_eq!(throttle.wait(&other, now), Duration::ZERO, "{other:?}");
        }
        let mapped = peer("[::ffff:192.0.2.9]:1");
        for _ in 0..50 {
            throttle.refuse(&mapped, Kind::Guess, now);
        }
        assert_eq!(throttle.wait(&peer("192.0.2.9:1"), now), WAIT_MAX);
    }

    #[test]
    fn the_table_is_bounded_and_keeps_the_worst() {
        let (throttle, now) = (Throttle::default(), Instant::now());
        let worst = peer("192.0.2.1:1");
        for _ in 0..50 {
            throttle.refuse(&worst, Kind::Guess, now);
        }
        for number in 0..20_000_u32 {
            let address = std::net::Ipv4Addr::from(0x0a00_0000 + number);
            throttle.refuse(&Peer::Tcp((address, 1).into()), Kind::Guess, now);
        }
        assert!(throttle.forgotten.lock().unwrap().len() <= PEERS_MAX);
        assert_eq!(throttle.wait(&worst, now), WAIT_MAX);
    }
}
