//! Targets that left the configuration and are still served until their drain ends.
//!
//! Tested with `runtime`.

use std::time::Instant;

use super::config::file;

/// A target that is no longer configured and still serves what is bound to it.
#[derive(Debug, Clone, PartialEq)]
pub struct Leaving {
    pub group: String,
    pub target: file::Target,
    pub since: Instant,
}
