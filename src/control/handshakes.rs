//! The TLS handshakes of the admin API, counted as those of a listener are. Tested by `tests/admin`.

use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::telemetry::handshakes::{Encrypted, HandshakeBlock, Handshakes};

/// Their numbers since the start, counted by any thread: handshakes with operators are few.
#[derive(Debug, Default)]
pub struct AdminHandshakes(Mutex<HandshakeBlock>);

impl AdminHandshakes {
    pub fn succeed(&self, encrypted: &Encrypted) {
        self.own().succeed(encrypted);
    }

    pub fn fail(&self, word: &'static str) {
        self.own().fail(word);
    }

    pub fn sum(&self) -> Handshakes {
        Handshakes::of([&*self.own()].into_iter())
    }

    fn own(&self) -> MutexGuard<'_, HandshakeBlock> {
        // Numbers are never left half changed, so a poisoned lock can be used.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
