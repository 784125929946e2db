//! Signals that end the process at once while it has nothing to finish yet.
//!
//! At its start a process may block in a call: on a file of a network file system, or a pipe without a writer. The loop
//! that handles signals does not run yet, so SIGTERM and SIGINT have a handler that ends the process. The default
//! action would not do: the kernel does not apply it to process 1 of a container. Tested by the black-box suite.

use std::io;
use std::ptr;
use std::sync::atomic::{AtomicBool, Ordering};

/// Whether the handler ends the process.
static IS_EARLY: AtomicBool = AtomicBool::new(false);

/// As long as it lives, SIGTERM and SIGINT end the process at once, with exit code 0; afterwards the handler does
/// nothing. Other handlers of these signals must be installed after this one, and call it.
#[derive(Debug)]
pub struct EarlyEnd(());

impl EarlyEnd {
    /// # Errors
    /// The kernel refuses the handler.
    pub fn begin() -> io::Result<EarlyEnd> {
        // SAFETY: a sigaction of zeros has no flags, an empty mask and the default action.
        let mut action: libc::sigaction = unsafe { std::mem::zeroed() };
        action.sa_sigaction = end as *const () as libc::sighandler_t;
        action.sa_flags = libc::SA_RESTART;
        IS_EARLY.store(true, Ordering::Release);
        let early = EarlyEnd(());
        for signal in [libc::SIGTERM, libc::SIGINT] {
            // SAFETY: sigaction reads one sigaction, whose handler does only what a handler may do, see `end`.
            if unsafe { libc::sigaction(signal, &raw const action, ptr::null_mut()) } != 0 {
                return Err(io::Error::last_os_error());
            }
        }
        Ok(early)
    }
}

impl Drop for EarlyEnd {
    fn drop(&mut self) {
        IS_EARLY.store(false, Ordering::Release);
    }
}

/// Runs in the middle of other code, so it only reads a flag and ends: nothing is unwound, flushed or freed.
extern "C" fn end(_: libc::c_int) {
    if IS_EARLY.load(Ordering::Acquire) {
        // SAFETY: _exit takes a number, does not return, and may be called by a handler (signal-safety(7)).
        unsafe { libc::_exit(0) }
    }
}
