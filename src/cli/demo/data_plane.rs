//! The shards under the demo.
//!
//! Owns: the running data plane and the address that its one listener got. Never: anything of the
//! demo's story. Tested by `tests/demo.rs`.

use std::net::SocketAddr;
use std::time::Duration;

use crate::cli::server;
use crate::control::runtime::Control;
use crate::shard::Handle;
use crate::shard::server::Server;
use crate::snapshot::{Bind, ProcessOptions};

/// A running data plane with one TCP listener.
pub struct DataPlane {
    server: Server,
    address: SocketAddr,
    grace_period: Duration,
}

impl std::fmt::Debug for DataPlane {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("DataPlane").field("address", &self.address).finish_non_exhaustive()
    }
}

impl DataPlane {
    /// Starts the shards with what `control` has published.
    ///
    /// # Errors
    /// Why the data plane cannot be started: a busy port, say.
    pub fn start(control: &Control, process: &ProcessOptions) -> Result<DataPlane, String> {
        let server =
            server::start(control.published(), process).map_err(|error| error.to_string())?;
        let address = server.handle().addresses().into_iter().find_map(|(_, bound)| match bound {
            Bind::Tcp(address) => Some(address),
            Bind::Unix(_) => None,
        });
        let address = address.ok_or("the demo's configuration has no TCP listener")?;
        Ok(DataPlane { server, address, grace_period: process.grace_period })
    }

    /// Where the listener is, with the port that it got.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// What the control plane asks and tells the shards by.
    pub fn handle(&self) -> Handle {
        self.server.handle()
    }

    /// Finishes what is in flight within the grace period, and ends.
    pub fn shutdown(self) {
        if let Some(ended) = self.server.shutdown(self.grace_period).failure {
            tracing::error!("{ended}");
        }
    }
}
