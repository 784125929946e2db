//! Whether an engine still does what it is asked to.
//!
//! limpet's own driver hears of a ring that fails from the call that enters it. Of the other two nobody does: tokio-uring
//! drops what its submission says, and is therefore asked for something now and then that always succeeds; an epoll
//! instance that takes no more sockets fails each of them alone, and the first one tells. Tested by the black-box suite.

use std::io;

use super::engine::{self, Engine};
use super::{registration, tokio_ring};

/// One engine's, as its shard feels it.
#[derive(Default)]
pub struct Pulse {
    of_tokio_ring: tokio_ring::Pulse,
}

impl Pulse {
    /// To be called at each of the shard's ticks.
    ///
    /// # Errors
    /// The engine is of no use any more.
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
