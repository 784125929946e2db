//! One number that one thread counts and every thread may read.
//!
//! Counting is a load, an addition and a store, never a locked instruction: that is enough with a single writer. Tested
//! with the types that are made of it.
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// Counted by a single thread. Wraps around like every counter of its kind.
#[derive(Debug, Default)]
pub struct Number(AtomicU64);

impl Number {
    /// Must be called only by the thread that owns the number.
    #[inline]
    pub fn add(&self, count: u64) {
        // No other thread stores between the load and the store.
        self.0.store(self.0.load(Relaxed).wrapping_add(count), Relaxed);
    }

    #[inline]
    pub fn get(&self) -> u64 {
        self.0.load(Relaxed)
    }
}
