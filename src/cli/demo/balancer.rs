//! The balancer of the demo: the one place where the demo touches limpet's own insides.
//!
//! Owns: starting from a configuration's text, the edit of stickiness, the end. Never: a setting that
//! does not come from the text. Tested by `tests/demo.rs`.

use std::net::SocketAddr;
use std::sync::Arc;

use super::configuration::GROUP;
use super::data_plane::DataPlane;
use super::walkthrough::Operator;
use crate::cli::start;
use crate::control::change::{By, Edit, Keep};
use crate::control::runtime::Control;

/// What reports call the demo's configuration.
const NAME: &str = "the demo's configuration";

/// A running balancer.
#[derive(Debug)]
pub struct Balancer {
    control: Arc<Control>,
    data_plane: DataPlane,
}

impl Balancer {
    /// Loads `configuration` as a file would be loaded, and starts the data plane with it.
    ///
    /// # Errors
    /// What the loader refuses, or what the start-up says (a busy port, say).
    pub fn start(configuration: &str) -> Result<Balancer, String> {
        let start = start::from_text(configuration, NAME).map_err(|error| error.to_string())?;
        let data_plane = DataPlane::start(&start.control, &start.process)?;
        Ok(Balancer { control: start.control, data_plane })
    }

    /// Where the balancer listens, with the port that it got.
    pub fn address(&self) -> SocketAddr {
        self.data_plane.address()
    }

    /// Switches the target group's stickiness, as the console does.
    ///
    /// # Errors
    /// What the control plane says against it.
    pub fn set_stickiness(&self, enabled: bool) -> Result<(), String> {
        let set = [("stickiness.enabled".to_owned(), enabled.into())].into_iter().collect();
        let edit = Edit::SetGroup { group: GROUP.to_owned(), set };
        let by = By { actor: "demo", if_version: None };
        let applied = self.control.edit(&edit, Keep::Overlay, &by);
        applied.map(|_| ()).map_err(|error| error.to_string())
    }

    /// Finishes what is in flight within the grace period, and ends.
    pub fn shutdown(self) {
        self.data_plane.shutdown();
    }
}

impl Operator for Balancer {
    fn enable_stickiness(&self) -> Result<(), String> {
        self.set_stickiness(true)
    }
}
