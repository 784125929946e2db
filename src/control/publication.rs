//! What is published, and what it has replaced and shards still hold.
//!
//! A shard lets a snapshot go whenever its last request that began on it ends, in the middle of serving others. It
//! only counts down there: the last one who holds a snapshot is this module, which gives it to be freed by the
//! control plane once no shard has it any more. What it keeps is bounded by what shards hold. Tested with the runtime.

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

    /// Takes the replaced snapshots that nobody else holds any more; the caller frees them.
    pub fn take_unused(&self) -> Vec<Arc<Snapshot>> {
        let mut replaced = self.replaced();
        // Whoever could make another reference has one.
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
