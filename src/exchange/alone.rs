//! The connections to targets that serve one client's connection alone, because they begin with a PROXY header that
//! names it: what they begin with, how the pool tells them from those of others, and where they are kept.
//!
//! Only clients whose requests go to such targets have this. Tested by the black-box suite.

use std::cell::{OnceCell, RefCell};

use arrayvec::ArrayVec;

use crate::proxy_protocol::{Announced, Version, write};
use crate::tls::target::ConnectionId;

/// Targets where connections of one client are kept. More than these are closed when they have been idle for their
/// time, not when the client's connection ends.
const KEPT_MAX: usize = 16;

/// A target, by slot, and what its connections have proven.
pub type Kept = (u32, ConnectionId);

/// The connections of one client's connection.
#[derive(Debug)]
pub struct Alone {
    /// Differs from that of every other client's connection.
    key: u64,
    /// By version.
    headers: [OnceCell<Box<[u8]>>; 2],
    kept: RefCell<ArrayVec<Kept, KEPT_MAX>>,
}

impl Alone {
    pub fn new(key: u64) -> Alone {
        Alone { key, headers: Default::default(), kept: RefCell::default() }
    }

    /// The header of these connections; `announced` tells what it says, once.
    pub fn header<'a>(&self, version: Version, announced: impl FnOnce() -> Announced<'a>) -> &[u8] {
        let [v1, v2] = &self.headers;
        let header = match version {
            Version::V1 => v1,
            Version::V2 => v2,
        };
        header.get_or_init(|| write::header(version, &announced()).into())
    }

    /// What stands for a connection to the target at `slot` that has proven `id` and begins with such a header; such
    /// connections may be kept from now on.
    pub fn id(&self, version: Version, (slot, id): Kept) -> ConnectionId {
        let key = match version {
            Version::V1 => self.key,
            Version::V2 => !self.key,
        };
        let id = id.of_client(key);
        let mut kept = self.kept.borrow_mut();
        if !kept.contains(&(slot, id)) {
            // The last ones that there is no room for are not known at the client's end.
            let _ = kept.try_push((slot, id));
        }
        id
    }

    /// Where its connections may be kept.
    pub fn kept(&self) -> ArrayVec<Kept, KEPT_MAX> {
        self.kept.borrow().clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_clients_and_no_two_versions_have_the_same_connections() {
        let (one, other) = (Alone::new(1), Alone::new(2));
        let plain = (7, ConnectionId::PLAIN);
        let ids = [
            one.id(Version::V1, plain),
            one.id(Version::V2, plain),
            other.id(Version::V1, plain),
            other.id(Version::V2, plain),
            ConnectionId::PLAIN,
        ];
        for (at, id) in ids.iter().enumerate() {
            assert!(!ids[..at].contains(id), "{ids:?}");
        }
        assert_eq!(one.id(Version::V2, plain), ids[1], "the same each time");
        assert_eq!(one.kept().as_slice(), [(7, ids[0]), (7, ids[1])]);
    }

    #[test]
    fn a_client_remembers_a_bounded_number_of_targets() {
        let alone = Alone::new(1);
        for slot in 0..100 {
            alone.id(Version::V1, (slot, ConnectionId::PLAIN));
        }
        assert_eq!(alone.kept().len(), KEPT_MAX);
    }
}
