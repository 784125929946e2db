//! Buffers that the kernel picks itself when bytes arrive: one registered ring of them.
//!
//! Owns: the memory of all receive buffers and the ring of entries that lends them to the kernel.
//! Never: a buffer that both sides may write. Tested with the ring, in `tests.rs`.
//!
//! ```text
//!   published ──kernel fills──▶ taken (lent to the handler) ──▶ published
//!                                  └──▶ forwarded (pinned by a send) ──▶ published
//! ```

use std::alloc::{Layout, alloc_zeroed, dealloc, handle_alloc_error};
use std::io;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU16, Ordering};

use io_uring::IoUring;
use io_uring::types::BufRingEntry;

/// The one buffer group of a ring.
pub(super) const GROUP: u16 = 0;

const PAGE_BYTES: usize = 4096;

/// Distance between the ends of buffers: without it, small messages at the starts of buffers whose
/// size is a power of two would all compete for the same few cache sets.
const SKEW_BYTES: usize = 256;

/// How many receive buffers a ring has, and how large they are.
#[derive(Debug, Clone, Copy)]
pub struct BufferSpec {
    /// Buffers; rounded up to a power of two, at most 32 768.
    pub count: u16,
    /// Bytes of each.
    pub size: u32,
}

#[derive(Debug)]
pub(super) struct Buffers {
    /// `count` entries, page-aligned; shared with the kernel until the ring is closed.
    entries: NonNull<BufRingEntry>,
    /// `count` buffers of `size` bytes each, in one piece, `stride(size)` apart.
    memory: NonNull<u8>,
    /// A power of two.
    count: u16,
    size: u32,
    /// Position behind the last published entry, as the kernel counts.
    tail: u16,
    /// Buffers that the kernel may fill.
    available: u16,
}

impl Buffers {
    /// Makes the buffers and registers them. They must outlive `uring`: the owner drops the ring first.
    pub(super) fn register(uring: &IoUring, spec: BufferSpec) -> io::Result<Buffers> {
        let count = spec.count.clamp(1, 1 << 15).next_power_of_two();
        let size = spec.size.max(1);
        let mut buffers = Buffers {
            entries: allocate(entries_layout(count)?).cast(),
            memory: allocate(memory_layout(count, size)?),
            count,
            size,
            tail: 0,
            available: 0,
        };
        let address = buffers.entries.as_ptr() as u64;
        // SAFETY: the entries are freed in `drop`, which the owner runs after the ring is closed.
        unsafe { uring.submitter().register_buf_ring_with_flags(address, count, GROUP, 0)? };
        for slot in 0..count {
            buffers.publish(slot);
        }
        Ok(buffers)
    }

    /// Buffers that the kernel may fill now.
    pub(super) fn available(&self) -> u16 {
        self.available
    }

    /// Notes that the kernel has handed out `slot`.
    pub(super) fn take(&mut self, slot: u16) {
        assert!(slot < self.count, "the kernel named a buffer that does not exist");
        self.available = self.available.saturating_sub(1);
    }

    /// The first `count` bytes of a taken buffer.
    pub(super) fn bytes(&self, slot: u16, count: usize) -> &[u8] {
        let count = count.min(self.size as usize);
        let start = self.start_of(slot);
        // SAFETY: the buffer is taken, so the kernel does not write it until it is published again,
        // which needs `&mut self`; the memory was zeroed at first, so that every byte is initialised.
        unsafe { std::slice::from_raw_parts(start.as_ptr(), count) }
    }

    /// Lends the buffer of `slot` to the kernel.
    pub(super) fn publish(&mut self, slot: u16) {
        let address = self.start_of(slot).as_ptr() as u64;
        let position = usize::from(self.tail & (self.count - 1));
        // SAFETY: `position` is below `count`, so the entry lies in our allocation.
        let entry = unsafe { self.entries.as_ptr().add(position) };
        // SAFETY: zeroed or written by us before; the kernel reads it only after the tail has moved
        // past it, below.
        let entry = unsafe { &mut *entry };
        entry.set_addr(address);
        entry.set_len(self.size);
        entry.set_bid(slot);
        self.tail = self.tail.wrapping_add(1);
        // SAFETY: the tail lies in the first entry's reserved field, inside our allocation.
        let tail = unsafe { BufRingEntry::tail(self.entries.as_ptr()) };
        // SAFETY: the tail is an aligned u16 that only this thread writes and the kernel reads.
        let tail = unsafe { AtomicU16::from_ptr(tail.cast_mut()) };
        tail.store(self.tail, Ordering::Release);
        self.available += 1;
    }

    fn start_of(&self, slot: u16) -> NonNull<u8> {
        assert!(slot < self.count, "a buffer that does not exist");
        // SAFETY: `slot` is below `count`, so the result lies in our allocation.
        unsafe { self.memory.add(usize::from(slot) * stride(self.size)) }
    }
}

impl Drop for Buffers {
    fn drop(&mut self) {
        if let Ok(layout) = entries_layout(self.count) {
            // SAFETY: allocated in `register` with the same layout; the ring that knew it is closed.
            unsafe { dealloc(self.entries.as_ptr().cast(), layout) };
        }
        if let Ok(layout) = memory_layout(self.count, self.size) {
            // SAFETY: allocated in `register` with the same layout; the ring that knew it is closed.
            unsafe { dealloc(self.memory.as_ptr(), layout) };
        }
    }
}

fn entries_layout(count: u16) -> io::Result<Layout> {
    Layout::from_size_align(usize::from(count) * size_of::<BufRingEntry>(), PAGE_BYTES)
        .map_err(io::Error::other)
}

fn memory_layout(count: u16, size: u32) -> io::Result<Layout> {
    let bytes = usize::from(count).checked_mul(stride(size)).ok_or(io::ErrorKind::InvalidInput)?;
    Layout::from_size_align(bytes, PAGE_BYTES).map_err(io::Error::other)
}

fn stride(size: u32) -> usize {
    (size as usize).next_multiple_of(64) + SKEW_BYTES
}

fn allocate(layout: Layout) -> NonNull<u8> {
    // SAFETY: neither layout has size zero: counts and sizes are at least 1.
    let memory = unsafe { alloc_zeroed(layout) };
    NonNull::new(memory).unwrap_or_else(|| handle_alloc_error(layout))
}
