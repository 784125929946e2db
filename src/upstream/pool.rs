//! Bookkeeping of one shard's idle target connections: last in, first out, per target.
//!
//! Decides which connection may be used again and until when: of those to a target under TLS only one that has proven
//! what the request's settings ask for, by its [`ConnectionId`]. Does not look into a connection and never closes one:
//! every connection that leaves the pool unused is handed to the caller. While connections of a target are kept, so is
//! its state, hence its slot cannot become another target's. Times are coarse milliseconds of one clock. Allocates only
//! when a target has more connections than ever before. Tested beside it.

use std::sync::Arc;

use crate::group::state::TargetState;
use crate::tls::target::ConnectionId;

/// A target's shelf keeps room for this many idle connections.
const IDLE_ROOM_KEPT: usize = 8;

#[derive(Debug)]
struct Idle<C> {
    connection: C,
    id: ConnectionId,
    expires_at_ms: u64,
}

/// Connections of one target, oldest first. `holder` is set whenever there is a connection.
#[derive(Debug)]
struct Shelf<C> {
    holder: Option<Arc<TargetState>>,
    idle: Vec<Idle<C>>,
}

/// Idle connections of all targets of a shard.
#[derive(Debug)]
pub struct Pool<C> {
    /// Indexed by slot.
    shelves: Vec<Shelf<C>>,
    count: usize,
    /// The time before which no connection expires.
    next_expiry_ms: u64,
}

impl<C> Default for Pool<C> {
    fn default() -> Self {
        Pool { shelves: Vec::new(), count: 0, next_expiry_ms: u64::MAX }
    }
}

impl<C> Pool<C> {
    pub fn new() -> Pool<C> {
        Pool::default()
    }

    /// Idle connections of all targets.
    #[cfg(any(test, feature = "internals"))]
    pub fn len(&self) -> usize {
        self.count
    }

    #[cfg(any(test, feature = "internals"))]
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Idle connections of one target.
    #[cfg(any(test, feature = "internals"))]
    pub fn idle(&self, slot: u32) -> usize {
        self.shelves.get(slot as usize).map_or(0, |shelf| shelf.idle.len())
    }

    /// The connection that became idle last among those of this id that have not expired. Expired ones stay for
    /// [`Self::expire`], as do those of settings that have changed.
    pub fn checkout(&mut self, slot: u32, id: ConnectionId, now_ms: u64) -> Option<C> {
        let shelf = self.shelves.get_mut(slot as usize)?;
        let is_usable = |idle: &Idle<C>| idle.expires_at_ms > now_ms && idle.id == id;
        let at = shelf.idle.iter().rposition(is_usable)?;
        self.count = self.count.saturating_sub(1);
        Some(shelf.idle.remove(at).connection)
    }

    /// Keeps a connection; returns the one to be closed instead: the oldest when `limit` are kept already, or the given
    /// one when none may be kept.
    #[inline(always)]
    pub fn checkin(
        &mut self,
        target: &Arc<TargetState>,
        (connection, id): (C, ConnectionId),
        expires_at_ms: u64,
        limit: usize,
    ) -> Option<C> {
        if limit == 0 {
            return Some(connection);
        }
        let slot = target.slot as usize;
        if self.shelves.len() <= slot {
            self.shelves.resize_with(slot + 1, || Shelf { holder: None, idle: Vec::new() });
        }
        let Some(shelf) = self.shelves.get_mut(slot) else { return Some(connection) };
        if shelf.holder.is_none() {
            shelf.holder = Some(Arc::clone(target));
        }
        let oldest = (shelf.idle.len() >= limit).then(|| shelf.idle.remove(0).connection);
        shelf.idle.push(Idle { connection, id, expires_at_ms });
        self.count = self.count.saturating_add(1).saturating_sub(usize::from(oldest.is_some()));
        self.next_expiry_ms = self.next_expiry_ms.min(expires_at_ms);
        oldest
    }

    /// Hands over every connection that has expired. Returns at once before the first can have.
    pub fn expire(&mut self, now_ms: u64, mut close: impl FnMut(C)) {
        if now_ms < self.next_expiry_ms {
            return;
        }
        let mut next_expiry_ms = u64::MAX;
        for shelf in &mut self.shelves {
            let gone = shelf.idle.extract_if(.., |idle| idle.expires_at_ms <= now_ms);
            for idle in gone {
                self.count = self.count.saturating_sub(1);
                close(idle.connection);
            }
            for idle in &shelf.idle {
                next_expiry_ms = next_expiry_ms.min(idle.expires_at_ms);
            }
            if shelf.idle.is_empty() {
                shelf.holder = None;
            }
            // Gives back the memory of a peak, no more than half of it at a time.
            if shelf.idle.len() < shelf.idle.capacity() / 4 {
                let half = shelf.idle.capacity() / 2;
                shelf.idle.shrink_to(half.max(IDLE_ROOM_KEPT));
            }
        }
        self.next_expiry_ms = next_expiry_ms;
    }

    /// Takes the connection that would expire first, of all targets, when descriptors are short.
    pub fn take_first_to_expire(&mut self) -> Option<C> {
        let first = |shelf: &Shelf<C>| shelf.idle.first().map(|idle| idle.expires_at_ms);
        let shelves = self.shelves.iter_mut().filter(|shelf| !shelf.idle.is_empty());
        let shelf = shelves.min_by_key(|shelf| first(shelf))?;
        let connection = shelf.idle.remove(0).connection;
        if shelf.idle.is_empty() {
            shelf.holder = None;
        }
        self.count = self.count.saturating_sub(1);
        Some(connection)
    }

    /// Hands over all connections of one target and forgets it.
    pub fn drain(&mut self, slot: u32, mut close: impl FnMut(C)) {
        let Some(shelf) = self.shelves.get_mut(slot as usize) else { return };
        for idle in shelf.idle.drain(..) {
            self.count = self.count.saturating_sub(1);
            close(idle.connection);
        }
        shelf.holder = None;
    }

    /// Hands over the connections of one target that stand under this id.
    pub fn drain_of(&mut self, (slot, id): (u32, ConnectionId), mut close: impl FnMut(C)) {
        let Some(shelf) = self.shelves.get_mut(slot as usize) else { return };
        for idle in shelf.idle.extract_if(.., |idle| idle.id == id) {
            self.count = self.count.saturating_sub(1);
            close(idle.connection);
        }
        if shelf.idle.is_empty() {
            shelf.holder = None;
        }
    }

    /// Hands over all connections: the shard ends.
    pub fn drain_all(&mut self, mut close: impl FnMut(C)) {
        for slot in 0..self.shelves.len() as u32 {
            self.drain(slot, &mut close);
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::upstream::pool::*;

    const PLAIN: ConnectionId = ConnectionId::PLAIN;

    fn target(slot: u32) -> Arc<TargetState> {
        TargetState::detached(slot)
    }

    fn expired(pool: &mut Pool<u32>, now_ms: u64) -> Vec<u32> {
        let mut closed = Vec::new();
        pool.expire(now_ms, |connection| closed.push(connection));
        closed
    }

    #[test]
    fn the_last_in_is_the_first_out_of_its_own_target() {
        let mut pool = Pool::new();
        let (a, b) = (target(0), target(3));
        for connection in 1..=3 {
            assert_eq!(pool.checkin(&a, (connection, PLAIN), 100, 8), None);
        }
        pool.checkin(&b, (9, PLAIN), 100, 8);
        assert_eq!((pool.len(), pool.idle(0), pool.idle(3), pool.idle(7)), (4, 3, 1, 0));
        assert_eq!(pool.checkout(0, PLAIN, 50), Some(3));
        assert_eq!(pool.checkout(0, PLAIN, 50), Some(2));
        assert_eq!(pool.checkout(3, PLAIN, 50), Some(9));
        assert_eq!(pool.checkout(3, PLAIN, 50), None);
        assert_eq!(pool.checkout(77, PLAIN, 50), None);
        assert_eq!(pool.len(), 1);
    }

    #[test]
    fn beyond_the_limit_the_oldest_is_closed() {
        let mut pool = Pool::new();
        let a = target(0);
        assert_eq!(pool.checkin(&a, (1, PLAIN), 100, 2), None);
        assert_eq!(pool.checkin(&a, (2, PLAIN), 100, 2), None);
        assert_eq!(pool.checkin(&a, (3, PLAIN), 100, 2), Some(1));
        assert_eq!(pool.checkin(&a, (4, PLAIN), 100, 0), Some(4));
        assert_eq!(pool.len(), 2);
        assert_eq!(pool.checkout(0, PLAIN, 0), Some(3));
    }

    #[test]
    fn an_expired_connection_is_never_used_and_always_handed_over() {
        let mut pool = Pool::new();
        let a = target(0);
        pool.checkin(&a, (1, PLAIN), 300, 8);
        pool.checkin(&a, (2, PLAIN), 100, 8);
        pool.checkin(&a, (3, PLAIN), 200, 8);
        assert_eq!(pool.checkout(0, PLAIN, 250), Some(1), "older, but its own expiry is later");
        assert_eq!(pool.checkout(0, PLAIN, 250), None);
        assert!(expired(&mut pool, 99).is_empty());
        assert_eq!(expired(&mut pool, 100), [2]);
        assert!(expired(&mut pool, 199).is_empty());
        assert_eq!(expired(&mut pool, 200), [3]);
        assert!(pool.is_empty());
    }

    #[test]
    fn a_slot_stays_taken_while_its_connections_are_kept() {
        let mut pool = Pool::new();
        let a = target(0);
        pool.checkin(&a, (1, PLAIN), 100, 8);
        pool.checkin(&a, (2, PLAIN), 100, 8);
        assert_eq!(Arc::strong_count(&a), 2);
        pool.checkout(0, PLAIN, 0);
        assert_eq!(expired(&mut pool, 100), [1]);
        assert_eq!(Arc::strong_count(&a), 1);
        pool.checkin(&a, (3, PLAIN), 500, 8);
        let mut closed = Vec::new();
        pool.drain(0, |connection| closed.push(connection));
        pool.drain(9, |connection| closed.push(connection));
        assert_eq!((closed, Arc::strong_count(&a)), (vec![3], 1));
    }

    #[test]
    fn what_expires_first_goes_first_when_descriptors_are_short() {
        let mut pool = Pool::new();
        let (a, b) = (target(0), target(2));
        for (target, connection, expires_at_ms) in [(&a, 1, 300), (&b, 2, 200), (&b, 3, 400)] {
            pool.checkin(target, (connection, PLAIN), expires_at_ms, 8);
        }
        assert_eq!(pool.take_first_to_expire(), Some(2));
        assert_eq!(pool.take_first_to_expire(), Some(1));
        assert_eq!(Arc::strong_count(&a), 1, "nobody holds its slot any more");
        assert_eq!((pool.len(), Arc::strong_count(&b)), (1, 2));
        assert_eq!(pool.take_first_to_expire(), Some(3));
        assert_eq!((pool.take_first_to_expire(), pool.len()), (None, 0));
    }

    #[test]
    fn after_a_peak_a_shelf_gives_its_memory_back() {
        let mut pool = Pool::new();
        let a = target(0);
        for connection in 0..1000_u32 {
            pool.checkin(&a, (connection, PLAIN), u64::from(connection), 1000);
        }
        for now_ms in 990..1000 {
            pool.expire(now_ms, drop);
        }
        assert!(pool.shelves[0].idle.capacity() < 32, "{}", pool.shelves[0].idle.capacity());
        pool.checkin(&a, (1, PLAIN), 2000, 1000);
        assert_eq!(pool.checkout(0, PLAIN, 1000), Some(1));
    }

    #[test]
    fn connections_of_one_client_leave_together() {
        let mut pool = Pool::new();
        let (a, b) = (target(0), target(2));
        let [own, others] = [5, 6].map(|key| PLAIN.of_client(key));
        for (target, connection, id) in
            [(&a, 1, own), (&a, 2, others), (&a, 3, own), (&b, 4, own), (&b, 5, PLAIN)]
        {
            pool.checkin(target, (connection, id), 100, 8);
        }
        let mut closed = Vec::new();
        for slot in [0, 2, 9] {
            pool.drain_of((slot, own), |connection| closed.push(connection));
        }
        assert_eq!((closed, pool.len()), (vec![1, 3, 4], 2));
        pool.drain_of((0, others), drop);
        assert_eq!(Arc::strong_count(&a), 1, "nobody holds its slot any more");
        assert_eq!(pool.checkout(2, PLAIN, 0), Some(5));
    }

    #[test]
    fn at_the_end_everything_is_handed_over() {
        let mut pool = Pool::new();
        for slot in 0..4 {
            pool.checkin(&target(slot), (slot, PLAIN), 100, 8);
        }
        let mut closed = Vec::new();
        pool.drain_all(|connection| closed.push(connection));
        assert_eq!(closed, [0, 1, 2, 3]);
        assert!(pool.is_empty());
    }
}
