//! The free buffers of one shard, in two sizes.
//!
//! *Small* ones (4 KiB) hold heads and whatever arrives on a connection that was idle; *large* ones
//! (the file's `content_buffer`) move content. A buffer is a plain `Vec<u8>`: pure code appends to it
//! and reads it as a slice. What comes back beyond the limit of kept ones is freed, so that memory
//! returns after a peak. Must never be shared between shards.

use std::cell::RefCell;

/// Capacity of a small buffer, in bytes.
pub const SMALL_BYTES: usize = 4096;

/// Bytes that a receive leaves free at a buffer's end, so that the framing of what was received fits
/// behind it without the buffer growing.
pub const TAIL_BYTES: usize = 16;

/// Small buffers that are kept for each large one: the same memory when a large one has 64 KiB.
const SMALL_PER_LARGE: usize = 16;

struct Pool {
    small: Vec<Vec<u8>>,
    large: Vec<Vec<u8>>,
    large_bytes: usize,
    kept: usize,
}

thread_local! {
    static POOL: RefCell<Pool> = const {
        RefCell::new(Pool { small: Vec::new(), large: Vec::new(), large_bytes: 65536, kept: 64 })
    };
}

/// Sets the size of large buffers (bytes) and how many free ones of each size this thread keeps.
pub fn configure(large_bytes: usize, kept: usize) {
    POOL.with_borrow_mut(|pool| {
        pool.large_bytes = large_bytes.max(SMALL_BYTES * 2);
        pool.kept = kept;
        pool.small.reserve(kept * SMALL_PER_LARGE);
        pool.large.reserve(kept);
    });
}

/// An empty buffer of [`SMALL_BYTES`].
#[inline]
pub fn small() -> Vec<u8> {
    POOL.with_borrow_mut(|pool| pool.small.pop()).unwrap_or_else(|| Vec::with_capacity(SMALL_BYTES))
}

/// An empty buffer of the configured content size.
pub fn large() -> Vec<u8> {
    POOL.with_borrow_mut(|pool| {
        pool.large.pop().unwrap_or_else(|| Vec::with_capacity(pool.large_bytes))
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
            if pool.small.len() < pool.kept * SMALL_PER_LARGE {
                pool.small.push(buffer);
            }
        } else if buffer.capacity() == pool.large_bytes && pool.large.len() < pool.kept {
            pool.large.push(buffer);
        }
    });
}
