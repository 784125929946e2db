//! Buffers that the kernel picks itself when bytes arrive, so that a waiting receive pins none.
//!
//! A ring of `ENTRIES` small buffers is registered with the shard's io_uring. When a completion names
//! the slot it used, the filled buffer leaves the slot and a fresh one takes its place at once: the
//! ring is full again before the next submission.
//!
//! ```text
//!   slots[bid] ──owned Vec──▶ taken(bid, n) ──▶ the connection ──▶ buffers::give_back
//!        ▲                                                             │
//!        └──────────────── buffers::small() ◀──────────────────────────┘
//! ```
//!
//! Where that fails (an old kernel) receives simply bring their own buffer.

use std::alloc::{Layout, alloc_zeroed, dealloc};
use std::cell::RefCell;
use std::io;
use std::mem::ManuallyDrop;
use std::os::fd::RawFd;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU16, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use io_uring::types::BufRingEntry;

use super::buffers;

/// Buffers in the ring; a power of two. When more arrive in one turn, the further receives bring their own buffers.
pub(super) const ENTRIES: u16 = 512;
/// The buffer group's id.
pub(super) const GROUP: u16 = 0;
const REGISTER_PBUF_RING: libc::c_uint = 22;
const PAGE_BYTES: usize = 4096;

const _: () = assert!(size_of::<BufferRegistration>() == 40 && size_of::<BufRingEntry>() == 16);

/// `struct io_uring_buf_reg` of the kernel's interface.
#[repr(C)]
#[derive(Default)]
struct BufferRegistration {
    ring_addr: u64,
    ring_entries: u32,
    group: u16,
    flags: u16,
    reserved: [u64; 3],
}

struct Provided {
    /// `ENTRIES` entries, page-aligned; shared with the kernel until the ring is closed.
    entries: NonNull<BufRingEntry>,
    slots: Vec<Vec<u8>>,
    tail: u16,
}

thread_local! {
    static PROVIDED: RefCell<Option<Provided>> = const { RefCell::new(None) };
}

/// One ring at a time is made or closed in the process, so that a new descriptor is surely its own.
static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

/// The lock that must be held while a ring is made or closed.
pub(super) fn one_at_a_time() -> MutexGuard<'static, ()> {
    ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Registers this thread's buffers with the ring of this descriptor.
pub(super) fn register_with(ring: RawFd) {
    match Provided::register(ring) {
        Ok(provided) => PROVIDED.set(Some(provided)),
        Err(error) => tracing::debug!(%error, "no provided buffers; receives bring their own"),
    }
}

/// Never frees this thread's buffers: the operations that use them could not be ended.
pub(super) fn leak() {
    let _kept = ManuallyDrop::new(PROVIDED.take());
}

/// Frees this thread's buffers. The ring must be closed already.
pub(super) fn release() {
    PROVIDED.set(None);
}

pub(super) fn is_available() -> bool {
    PROVIDED.with_borrow(Option::is_some)
}

/// Takes the buffer that the kernel filled with `count` bytes and refills its slot; `None` when there is no such slot.
pub(super) fn take(slot: u16, count: usize) -> Option<Vec<u8>> {
    PROVIDED.with_borrow_mut(|provided| provided.as_mut()?.take(slot, count))
}

impl Provided {
    fn layout() -> Layout {
        let bytes = usize::from(ENTRIES) * size_of::<BufRingEntry>();
        Layout::from_size_align(bytes, PAGE_BYTES).unwrap_or(Layout::new::<BufRingEntry>())
    }

    fn register(descriptor: RawFd) -> io::Result<Provided> {
        // SAFETY: the layout has a non-zero size; the memory is freed in `drop` with the same layout.
        let memory = unsafe { alloc_zeroed(Self::layout()) };
        let Some(entries) = NonNull::new(memory.cast::<BufRingEntry>()) else {
            return Err(io::ErrorKind::OutOfMemory.into());
        };
        let mut provided = Provided { entries, slots: Vec::new(), tail: 0 };
        let registration = BufferRegistration {
            ring_addr: entries.as_ptr() as u64,
            ring_entries: u32::from(ENTRIES),
            group: GROUP,
            ..BufferRegistration::default()
        };
        // SAFETY: the kernel reads one io_uring_buf_reg and keeps the entries' address until the ring is closed;
        // `driver::run` and `tokio_ring::run` close the ring before they call `release`.
        let result = unsafe {
            libc::syscall(
                libc::SYS_io_uring_register,
                descriptor,
                REGISTER_PBUF_RING,
                std::ptr::from_ref(&registration),
                1,
            )
        };
        if result < 0 {
            return Err(io::Error::last_os_error());
        }
        provided.slots = (0..ENTRIES).map(|_| buffers::small()).collect();
        for slot in 0..ENTRIES {
            provided.publish(slot);
        }
        Ok(provided)
    }

    fn take(&mut self, slot: u16, count: usize) -> Option<Vec<u8>> {
        let place = self.slots.get_mut(usize::from(slot))?;
        let mut filled = std::mem::replace(place, buffers::small());
        self.publish(slot);
        let count = count.min(filled.capacity());
        // SAFETY: the kernel wrote `count` bytes from the start of this buffer's allocation, whose
        // capacity it was told in `publish`.
        unsafe { filled.set_len(count) };
        Some(filled)
    }

    /// Puts the buffer of `slot` at the tail of the ring.
    fn publish(&mut self, slot: u16) {
        let Some(buffer) = self.slots.get_mut(usize::from(slot)) else { return };
        let address = buffer.as_mut_ptr() as u64;
        let length = buffer.capacity().saturating_sub(buffers::TAIL_BYTES) as u32;
        let position = usize::from(self.tail & (ENTRIES - 1));
        // SAFETY: `position` is below ENTRIES, so the entry lies in our allocation.
        let entry = unsafe { self.entries.as_ptr().add(position) };
        // SAFETY: zeroed or written by us before; the kernel reads it only after the tail has moved
        // past it, below.
        let entry = unsafe { &mut *entry };
        entry.set_addr(address);
        entry.set_len(length);
        entry.set_bid(slot);
        self.tail = self.tail.wrapping_add(1);
        // SAFETY: the tail lies in the first entry's reserved field, inside our allocation.
        let tail = unsafe { BufRingEntry::tail(self.entries.as_ptr()) };
        // SAFETY: the tail is an aligned u16 that only this thread writes and the kernel reads.
        let tail = unsafe { AtomicU16::from_ptr(tail.cast_mut()) };
        tail.store(self.tail, Ordering::Release);
    }
}

impl Drop for Provided {
    fn drop(&mut self) {
        // SAFETY: allocated in `register` with the same layout; the ring that knew it is closed.
        unsafe { dealloc(self.entries.as_ptr().cast(), Self::layout()) };
    }
}
