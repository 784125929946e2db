//! What one operation of a ring is, to either of the two drivers. Tested through the operations.

use std::io;

/// What came of an operation.
#[derive(Debug, Clone, Copy)]
pub(super) struct Completion {
    /// As the system call would give it; an error is negative.
    pub(super) result: i32,
    pub(super) flags: u32,
}

impl Completion {
    pub(super) fn result(self) -> io::Result<usize> {
        match self.result {
            count @ 0.. => Ok(count as usize),
            error => Err(io::Error::from_raw_os_error(-error)),
        }
    }
}

/// What an operation owns while it is in flight, and what becomes of it.
pub(super) trait Operation: Unpin + 'static {
    type Output;
    fn complete(self, done: Completion) -> Self::Output;
}
