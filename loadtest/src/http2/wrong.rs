//! What can be wrong with what comes.
//!
//! Owns: the error code of each. Tested with what says it.

use super::frame::code;

/// What is wrong with what came: the connection is of no use then.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{what}")]
pub struct Wrong {
    pub what: &'static str,
    /// The error code that says it (RFC 9113 §7).
    pub code: u32,
}

impl Wrong {
    pub(super) const fn compression(what: &'static str) -> Wrong {
        Wrong { what, code: code::COMPRESSION_ERROR }
    }

    /// Something that RFC 9113 forbids.
    pub const fn protocol(what: &'static str) -> Wrong {
        Wrong { what, code: code::PROTOCOL_ERROR }
    }

    pub(super) const fn size(what: &'static str) -> Wrong {
        Wrong { what, code: code::FRAME_SIZE_ERROR }
    }

    pub(super) const fn flow(what: &'static str) -> Wrong {
        Wrong { what, code: code::FLOW_CONTROL_ERROR }
    }
}
