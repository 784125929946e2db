//! The published snapshot, and the replaced ones that shards still hold.
//!
//! A shard releases a snapshot when the last request that began on it ends, while it serves others. Its release must be
//! cheap: this module keeps a reference of its own, so that the shard only decrements a count, and the control plane
//! frees the snapshot once no shard holds it. The list is bounded by the snapshots that shards hold. Tested with the
//! runtime.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use arc_swap::ArcSwap;

use crate::snapshot::{Published, Snapshot};

pub struct Publication {
    published: Arc<Published>,
    replaced: Mutex<Vec<Arc<Snapshot>>>,
}

impl Publication {
    pub fn new(first: Arc<Snapshot>) -> Publication {
        Publication { published: Arc::new(ArcSwap::new(first)), replaced: Mutex::default() }
    }

    /// The pointer that shards read.
    pub fn pointer(&self) -> &Arc<Published> {
        &self.published
    }

    pub fn replace(&self, snapshot: Arc<Snapshot>) {
        let before = self.published.swap(snapshot);
        drop(self.take_unused());
        self.replaced().push(before);
    }

    /// Takes the replaced snapshots that no shard holds any more; the caller frees them.
    pub fn take_unused(&self) -> Vec<Arc<Snapshot>> {
        let mut replaced = self.replaced();
        // With a count of 1 there is no other reference that could be cloned.
        let unused = replaced.extract_if(.., |one| Arc::strong_count(one) == 1).collect();
        if replaced.is_empty() {
            *replaced = Vec::new();
        }
        unused
    }

    fn replaced(&self) -> MutexGuard<'_, Vec<Arc<Snapshot>>> {
        self.replaced.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
