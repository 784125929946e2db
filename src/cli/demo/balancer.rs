//! The balancer of the demo: the one place where the demo touches limpet's own insides.
//!
//! Owns: starting the data plane from a configuration's text, the edit of stickiness, the end. Never:
//! a setting that does not come from the text. Tested by `tests/demo.rs`.

use std::net::SocketAddr;

use super::walkthrough::Operator;

/// A running balancer.
#[derive(Debug)]
pub struct Balancer {
    address: SocketAddr,
}

impl Balancer {
    /// Loads `configuration` as a file would be loaded, and starts the data plane with it.
    ///
    /// # Errors
    /// What the loader refuses, or what the start-up says (a busy port, say).
    pub fn start(_configuration: &str) -> Result<Balancer, String> {
        todo!()
    }

    /// Where the balancer listens, with the port that it got.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Switches the target group's stickiness, as the console does.
    ///
    /// # Errors
    /// What the control plane says against it.
    pub fn set_stickiness(&self, _enabled: bool) -> Result<(), String> {
        todo!()
    }

    /// Finishes what is in flight within the grace period, and ends.
    pub fn shutdown(self) {}
}

impl Operator for Balancer {
    fn enable_stickiness(&self) -> Result<(), String> {
        self.set_stickiness(true)
    }
}
