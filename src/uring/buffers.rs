//! The free buffers of one shard, in two sizes.
//!
//! *Small* ones (4 KiB) hold heads and whatever arrives on a connection that was idle; *large* ones
//! (the file's `content_buffer`) move content. A buffer is a plain `Vec<u8>`: pure code appends to it
//! and reads it as a slice. What comes back beyond the limit of kept ones is freed. Kept ones that nobody
//! needs give the system their memory back, bit by bit, and stay where they are: freed, they would leave
//! holes between those that are in use, which the allocator cannot give back. Must never be shared
//! between shards.

use std::cell::RefCell;

use super::options;

/// Capacity of a small buffer, in bytes.
pub const SMALL_BYTES: usize = 4096;

/// Bytes that a receive leaves free at a buffer's end, so that the framing of what was received fits
/// behind it without the buffer growing.
pub const TAIL_BYTES: usize = 16;

/// Small buffers that are kept for each large one.
const SMALL_PER_LARGE: usize = 64;

/// A tick takes this part of the memory that was not needed since the tick before: it goes within a few
/// seconds, without a moment in which much goes at once, and a burst finds most of it still there.
const TRIM_SHARE: usize = 32;

struct Pool {
    small: Free,
    large: Free,
    large_bytes: usize,
    kept: usize,
}

/// Free buffers of one size; the one that was used last is used next.
struct Free {
    buffers: Vec<Vec<u8>>,
    /// Fewest that there were since the last [`trim`]: so many were not needed.
    fewest: usize,
    /// Of these, so many have no memory: it was given back.
    hollow: usize,
}

impl Free {
    const fn new() -> Free {
        Free { buffers: Vec::new(), fewest: 0, hollow: 0 }
    }

    #[inline]
    fn take(&mut self) -> Option<Vec<u8>> {
        let buffer = self.buffers.pop();
        self.fewest = self.fewest.min(self.buffers.len());
        buffer
    }

    /// Gives back the memory of some that were not needed, the ones that were used longest ago.
    fn trim(&mut self) {
        self.hollow = self.hollow.min(self.fewest);
        let hollow = self.hollow + (self.fewest - self.hollow).div_ceil(TRIM_SHARE);
        for buffer in self.buffers.get_mut(self.hollow..hollow).unwrap_or_default() {
            options::give_back_pages(buffer);
        }
        self.hollow = hollow;
        self.fewest = self.buffers.len();
    }
}

thread_local! {
    static POOL: RefCell<Pool> = const {
        RefCell::new(Pool { small: Free::new(), large: Free::new(), large_bytes: 65536, kept: 64 })
    };
}

/// Sets the size of large buffers (bytes) and how many free ones of each size this thread keeps.
pub fn configure(large_bytes: usize, kept: usize) {
    POOL.with_borrow_mut(|pool| {
        pool.large_bytes = large_bytes.max(SMALL_BYTES * 2);
        pool.kept = kept;
        pool.small.buffers.reserve(kept * SMALL_PER_LARGE);
        pool.large.buffers.reserve(kept);
    });
}

/// An empty buffer of [`SMALL_BYTES`].
#[inline]
pub fn small() -> Vec<u8> {
    POOL.with_borrow_mut(|pool| pool.small.take())
        .unwrap_or_else(|| Vec::with_capacity(SMALL_BYTES))
}

/// An empty buffer of the configured content size.
pub fn large() -> Vec<u8> {
    POOL.with_borrow_mut(|pool| {
        pool.large.take().unwrap_or_else(|| Vec::with_capacity(pool.large_bytes))
    })
}

/// Takes a buffer back; one of neither size, or beyond what is kept, is freed.
#[inline]
pub fn give_back(mut buffer: Vec<u8>) {
    if buffer.capacity() < SMALL_BYTES {
        return;
    }
    buffer.clear();
    POOL.with_borrow_mut(|pool| {
        if buffer.capacity() == SMALL_BYTES {
            if pool.small.buffers.len() < pool.kept * SMALL_PER_LARGE {
                pool.small.buffers.push(buffer);
            }
        } else if buffer.capacity() == pool.large_bytes && pool.large.buffers.len() < pool.kept {
            pool.large.buffers.push(buffer);
        }
    });
}

/// Gives back memory: of one in [`TRIM_SHARE`] of the buffers that nobody has needed since this was called
/// last, and what this thread has freed and left alone for a second. For a shard's tick: the allocator by
/// itself does so only while something is allocated.
pub fn trim() {
    POOL.with_borrow_mut(|pool| {
        pool.small.trim();
        pool.large.trim();
    });
    // SAFETY: collecting touches only what is free, and may be called at any time.
    unsafe { libmimalloc_sys::mi_collect(false) };
}
