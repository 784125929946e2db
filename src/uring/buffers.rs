//! The free buffers of one shard, in two sizes.
//!
//! *Small* ones (4 KiB) hold heads and whatever arrives on a connection that was idle; *large* ones (the file's
//! `content_buffer`) move content. A buffer is a plain `Vec<u8>`: pure code appends to it and reads it as a slice. Of
//! the buffers that come back, those beyond the limit of kept ones are freed. Kept buffers that were not needed give
//! their memory back to the system bit by bit, but stay where they are: freed, they would leave holes between the
//! buffers in use, and the allocator cannot give holes back. Must never be shared between shards.

use std::cell::RefCell;

use super::options;

/// Capacity of a small buffer, in bytes.
pub const SMALL_BYTES: usize = 4096;

/// Bytes that a receive leaves free at a buffer's end, so that the framing of what was received fits
/// behind it without the buffer growing.
pub const TAIL_BYTES: usize = 16;

/// Small buffers that are kept for each large one.
const SMALL_PER_LARGE: usize = 64;

/// Each tick gives back this part of the memory that was not needed since the tick before: all of it goes within a few
/// seconds, never much at once, and a burst finds most of it still there.
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
    /// The fewest free buffers since the last [`trim`]: so many were not needed.
    fewest: usize,
    /// How many of the free buffers have given their memory back.
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

    /// Gives back the memory of some buffers that were not needed, beginning with those unused for longest.
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

/// Capacity of a large buffer, in bytes.
pub fn large_bytes() -> usize {
    POOL.with_borrow(|pool| pool.large_bytes)
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

/// Gives back memory: that of one in [`TRIM_SHARE`] of the buffers not needed since the last call, and what this thread
/// freed more than a second ago. For a shard's tick: the allocator by itself does so only while something is allocated.
pub fn trim() {
    POOL.with_borrow_mut(|pool| {
        pool.small.trim();
        pool.large.trim();
    });
    // SAFETY: collecting touches only what is free, and may be called at any time.
    unsafe { libmimalloc_sys::mi_collect(false) };
}
