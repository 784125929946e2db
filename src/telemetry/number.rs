//! One number that one thread counts and everybody may read.
//!
//! A load, an addition and a store, never a locked instruction: that is enough where nobody else
//! stores. Tested with what is made of it.
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// Counted by a single thread. Wraps around like every counter of its kind.
#[derive(Debug, Default)]
pub struct Number(AtomicU64);

impl Number {
    /// Only ever called by the thread that owns the number.
    #[inline]
    pub fn add(&self, count: u64) {
        // Nobody else stores between the load and the store.
        self.0.store(self.0.load(Relaxed).wrapping_add(count), Relaxed);
    }

    #[inline]
    pub fn get(&self) -> u64 {
        self.0.load(Relaxed)
    }
}
