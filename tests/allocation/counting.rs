//! What one thread asks of the allocator.
#![allow(unsafe_code, reason = "a counting allocator implements GlobalAlloc")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::backtrace::Backtrace;
use std::cell::Cell;
use std::sync::atomic::{AtomicI32, AtomicU64, Ordering};

/// The thread whose allocations are counted, by its id; 0 = none.
static WATCHED: AtomicI32 = AtomicI32::new(0);
static ALLOCATIONS: AtomicU64 = AtomicU64::new(0);
static RELEASES: AtomicU64 = AtomicU64::new(0);
static PLACES_LEFT: AtomicU64 = AtomicU64::new(0);

thread_local! {
    /// This thread's id as the kernel knows it, once it was asked for.
    static THREAD: Cell<i32> = const { Cell::new(0) };
    /// A place is being printed, which allocates.
    static IS_SHOWING: Cell<bool> = const { Cell::new(false) };
}

fn is_watched() -> bool {
    let watched = WATCHED.load(Ordering::Relaxed);
    if watched == 0 {
        return false;
    }
    if THREAD.get() == 0 {
        // SAFETY: gettid(2) takes nothing and cannot fail.
        THREAD.set(unsafe { libc::gettid() });
    }
    THREAD.get() == watched && !IS_SHOWING.get()
}

fn count(counter: &AtomicU64, what: &str, bytes: usize) {
    if !is_watched() {
        return;
    }
    counter.fetch_add(1, Ordering::Relaxed);
    let take = |left: u64| left.checked_sub(1);
    if PLACES_LEFT.fetch_update(Ordering::Relaxed, Ordering::Relaxed, take).is_ok() {
        IS_SHOWING.set(true);
        eprintln!("{what} of {bytes} bytes:\n{}", Backtrace::force_capture());
        IS_SHOWING.set(false);
    }
}

struct Counting;

// SAFETY: every call is passed on to the system's allocator unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(&ALLOCATIONS, "an allocation", layout.size());
        // SAFETY: the caller's promise is passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        count(&ALLOCATIONS, "an allocation", layout.size());
        // SAFETY: the caller's promise is passed on.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        count(&RELEASES, "a release", layout.size());
        // SAFETY: the caller's promise is passed on.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count(&ALLOCATIONS, "a growth", size);
        // SAFETY: the caller's promise is passed on.
        unsafe { System.realloc(pointer, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// What the watched thread asked of the allocator while `work` ran: allocations and releases. The
/// first `shown` places are printed.
pub fn asked_for(thread: i32, shown: u64, work: impl FnOnce()) -> (u64, u64) {
    ALLOCATIONS.store(0, Ordering::Relaxed);
    RELEASES.store(0, Ordering::Relaxed);
    PLACES_LEFT.store(shown, Ordering::Relaxed);
    WATCHED.store(thread, Ordering::SeqCst);
    work();
    WATCHED.store(0, Ordering::SeqCst);
    (ALLOCATIONS.load(Ordering::SeqCst), RELEASES.load(Ordering::SeqCst))
}
