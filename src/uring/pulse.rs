//! Whether an engine still does its work.
//!
//! limpet's own driver learns that its ring has failed from the call that enters it. The other two engines do not
//! report a failure: tokio-uring drops the result of its submission, so it is given an operation now and then that
//! always succeeds; an epoll instance that takes no more sockets fails each of them alone, and the first failure is
//! noted. Tested by the black-box suite.

use std::io;

use super::engine::{self, Engine};
use super::{registration, tokio_ring};

/// The pulse of one shard's engine.
#[derive(Default)]
pub struct Pulse {
    of_tokio_ring: tokio_ring::Pulse,
}

impl Pulse {
    /// To be called at each of the shard's ticks.
    ///
    /// # Errors
    /// The engine can no longer be used.
    pub fn beat(&mut self) -> io::Result<()> {
        match engine::current() {
            Engine::IoUring => Ok(()),
            #[cfg(test)]
            Engine::Simulated => Ok(()),
            Engine::TokioUring => self.of_tokio_ring.beat(),
            Engine::Epoll => registration::look_at_refusals(),
        }
    }
}
