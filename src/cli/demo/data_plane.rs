//! The shards under the demo.
//!
//! Owns: the running data plane and the address that its one listener got. Never: anything of the
//! demo's story. Tested by `tests/demo.rs`.

use std::net::SocketAddr;

use crate::control::runtime::Control;
use crate::snapshot::ProcessOptions;

/// A running data plane with one TCP listener.
#[derive(Debug)]
pub struct DataPlane {
    address: SocketAddr,
}

impl DataPlane {
    /// Starts the shards with what `control` has published.
    ///
    /// # Errors
    /// Why the data plane cannot be started: a busy port, say.
    pub fn start(_control: &Control, _process: &ProcessOptions) -> Result<DataPlane, String> {
        todo!()
    }

    /// Where the listener is, with the port that it got.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Finishes what is in flight within the grace period, and ends.
    pub fn shutdown(self) {}
}
