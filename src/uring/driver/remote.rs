//! Wakes from other threads.
//!
//! The shards' own tasks never need them, but a waker may be sent anywhere. A name that belongs to
//! another thread is put into that thread's list, and an eventfd that its ring reads makes it look.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsRawFd, FromRawFd, RawFd};
use std::sync::atomic::{AtomicU16, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::name::Name;

static RUNS: Mutex<Vec<Arc<Remote>>> = Mutex::new(Vec::new());
static NEXT: AtomicU16 = AtomicU16::new(1);

/// Where other threads wake the tasks of a run.
pub(super) struct Remote {
    pub(super) thread: u16,
    woken: Mutex<Vec<Name>>,
    event: File,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Wakes the task of this name on its own thread, if that still runs.
pub(super) fn wake(name: Name) {
    let remote = lock(&RUNS).iter().find(|run| run.thread == name.thread()).cloned();
    if let Some(remote) = remote {
        lock(&remote.woken).push(name);
        // The write fails only when the counter is full, and then it is about to be read anyway.
        let _ = (&remote.event).write(&1_u64.to_ne_bytes());
    }
}

impl Remote {
    /// Registers a run under a number of its own.
    pub(super) fn register() -> io::Result<Arc<Remote>> {
        // SAFETY: takes no pointers.
        let event = unsafe { libc::eventfd(0, libc::EFD_CLOEXEC | libc::EFD_NONBLOCK) };
        if event < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: the kernel just made this descriptor for us.
        let event = unsafe { File::from_raw_fd(event) };
        let mut runs = lock(&RUNS);
        let thread = loop {
            let thread = NEXT.fetch_add(1, Ordering::Relaxed);
            if thread != 0 && runs.iter().all(|run| run.thread != thread) {
                break thread;
            }
        };
        let remote = Arc::new(Remote { thread, woken: Mutex::default(), event });
        runs.push(Arc::clone(&remote));
        Ok(remote)
    }

    pub(super) fn descriptor(&self) -> RawFd {
        self.event.as_raw_fd()
    }

    /// Takes the names of the tasks that other threads have woken; called by the thread that owns them.
    ///
    /// # Errors
    /// The eventfd is gone.
    pub(super) fn take(&self) -> io::Result<Vec<Name>> {
        // Reads before it takes the list, so that a name added afterwards sets the eventfd again.
        match (&self.event).read(&mut [0; 8]) {
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Err(error) if error.kind() != io::ErrorKind::WouldBlock => return Err(error),
            _ => {}
        }
        Ok(std::mem::take(&mut *lock(&self.woken)))
    }

    pub(super) fn forget(&self) {
        lock(&RUNS).retain(|run| run.thread != self.thread);
    }
}
