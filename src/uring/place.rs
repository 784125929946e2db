//! A value at an address that the kernel has.
//!
//! Moving a `Box` asserts that its content has no other user, but an operation's data is moved while the kernel reads
//! it. A raw pointer asserts nothing. Tested through the operations.

use std::ptr::NonNull;

/// Owns a value that stays at its address, wherever this is moved.
pub(super) struct Place<T>(NonNull<T>);

impl<T> Place<T> {
    pub(super) fn new(value: T) -> Place<T> {
        Place(NonNull::from(Box::leak(Box::new(value))))
    }

    pub(super) fn get(&self) -> &T {
        // SAFETY: made by `new` and freed by `drop` alone; written by `set` alone, which borrows it exclusively.
        unsafe { self.0.as_ref() }
    }

    /// For a place that the kernel has done with.
    pub(super) fn set(&mut self, value: T) {
        // SAFETY: as in `get`, and `&mut self` excludes other references.
        unsafe { *self.0.as_mut() = value };
    }
}

impl<T> Drop for Place<T> {
    fn drop(&mut self) {
        // SAFETY: `new` leaked this box, and nothing else makes a box of it again.
        drop(unsafe { Box::from_raw(self.0.as_ptr()) });
    }
}
