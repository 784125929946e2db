//! How far an exchange has come: what decides about the rest of it. What the log will say stands in the entry.

use std::cell::Cell;

use super::failure::Failure;

/// How far an exchange has come, as both of its directions see it.
#[derive(Debug)]
pub struct Progress {
    /// A final response of the target has begun to go out.
    pub has_begun: Cell<bool>,
    /// The lease is on a connection that has served before.
    pub is_reused: Cell<bool>,
    /// The request's content, where more of it came than with the head.
    pub upload: Cell<UploadState>,
}

impl Default for Progress {
    fn default() -> Progress {
        Progress {
            has_begun: Cell::new(false),
            is_reused: Cell::new(false),
            upload: Cell::new(UploadState::None),
        }
    }
}

/// How far an upload has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UploadState {
    /// All there is came with the head.
    None,
    Running,
    /// The target has been sent the whole request.
    Complete,
    /// The target takes no more; its response decides what happens.
    TargetStopped,
    /// It has reset the connection: nothing that is received ends well any more.
    TargetReset,
    /// It took nothing for too long, and was reset for that.
    TargetTimeout,
    Failed(Failure),
}

impl UploadState {
    /// Whether the connection to the target was reset, by whichever side.
    pub fn has_lost_target(self) -> bool {
        matches!(self, UploadState::TargetReset | UploadState::TargetTimeout)
    }

    /// Whether the target has been sent the whole request.
    pub fn is_whole(self) -> bool {
        matches!(self, UploadState::None | UploadState::Complete)
    }
}
