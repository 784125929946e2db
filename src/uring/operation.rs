//! One operation of a ring, as both drivers see it. Tested through the operations.

use std::io;

/// The result of an operation.
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

/// The data that an operation owns while it is in flight, and the output made of it.
pub(super) trait Operation: Unpin + 'static {
    type Output;
    fn complete(self, done: Completion) -> Self::Output;
}
