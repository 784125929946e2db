//! The effects of signals on `limpet run`, from the start of the process to its end.
//!
//! ```text
//!   caught ─▶ starting: SIGTERM ends it at once, wherever it is held up; SIGHUP and SIGUSR1 wait
//!          ─▶ running:  SIGTERM begins the end, SIGHUP loads the file again, SIGUSR1 opens the logs anew
//!          ─▶ ending:   a second SIGTERM ends it at once
//! ```
//! Tested by the black-box suite.

use std::io;
use std::sync::Arc;

use tokio::runtime::Runtime;
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::control::plane;
use crate::control::runtime::Control;
use crate::shard::Handle;
use crate::uring::EarlyEnd;

/// The control thread's runtime, and the signals that it receives from the beginning on.
#[derive(Debug)]
pub struct Caught {
    pub runtime: Runtime,
    pub signals: Signals,
    /// Dropped once signals are handled.
    pub early: EarlyEnd,
}

impl Caught {
    /// Catches every signal that limpet handles. Starts no thread: the process may still change its rights afterwards.
    ///
    /// # Errors
    /// The kernel refuses a handler or a descriptor.
    pub fn begin() -> io::Result<Caught> {
        // Must precede the runtime's handlers, which call it.
        let early = EarlyEnd::begin()?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let signals = {
            let _guard = runtime.enter();
            Signals::catch()?
        };
        Ok(Caught { runtime, signals, early })
    }
}

/// SIGTERM and SIGINT end limpet, SIGHUP loads the file again, SIGUSR1 reopens the logs; SIGUSR2, which other servers
/// use, only gives a warning.
#[derive(Debug)]
pub struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hang_up: Signal,
    user_1: Signal,
    user_2: Signal,
}

impl Signals {
    fn catch() -> io::Result<Signals> {
        Ok(Signals {
            // Scripts may send these before the start is over.
            hang_up: signal(SignalKind::hangup())?,
            user_1: signal(SignalKind::user_defined1())?,
            user_2: signal(SignalKind::user_defined2())?,
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
        })
    }

    /// Handles signals until one asks for the end.
    pub async fn until_end(&mut self, control: &Arc<Control>, handle: &Handle) {
        loop {
            tokio::select! {
                _ = self.terminate.recv() => return,
                _ = self.interrupt.recv() => return,
                _ = self.hang_up.recv() => {
                    if !self.unless_ended(plane::reload(control, "SIGHUP")).await {
                        return;
                    }
                }
                _ = self.user_1.recv() => {
                    if !self.unless_ended(reopen_logs(control, handle)).await {
                        return;
                    }
                }
                _ = self.user_2.recv() => {
                    tracing::warn!("SIGUSR2 means nothing to limpet; SIGTERM ends it");
                }
            }
        }
    }

    /// Awaits `work`; `false` when a signal asks for the end first: a large file takes a while, and a file system may
    /// not respond at all.
    async fn unless_ended(&mut self, work: impl Future<Output = ()>) -> bool {
        tokio::select! {
            () = work => true,
            () = self.next_end() => false,
        }
    }

    /// The next signal that asks for the end.
    pub async fn next_end(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}

/// A log that cannot be reopened stays in use, with a warning.
async fn reopen_logs(control: &Arc<Control>, handle: &Handle) {
    let (control, handle) = (Arc::clone(control), handle.clone());
    let reopened = tokio::task::spawn_blocking(move || {
        if let Err(error) = control.reopen_audit() {
            tracing::warn!(%error, "the audit log cannot be opened anew");
        }
        if handle.reopen_log().is_ok() {
            tracing::info!("the access log is opened anew");
        }
    });
    if let Err(error) = reopened.await {
        tracing::error!(%error, "opening the logs anew ended by a panic");
    }
}
