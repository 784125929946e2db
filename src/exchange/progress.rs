//! How far an exchange has come, as far as the rest of it depends on that. `entry` has the facts for the log.

use std::cell::{Cell, RefCell};

use super::failure::Failure;
use crate::group::retry::RetryPermit;

/// How far an exchange has come, as both of its directions see it.
#[derive(Debug)]
pub struct Progress {
    /// Whether a final response of the target has begun to go out.
    has_begun: Cell<bool>,
    /// Held while a retry waits for its response: what has begun is no burden on the group any more, however long it
    /// runs.
    pub permit: RefCell<Option<RetryPermit>>,
    /// Whether the lease is on a connection that has served before.
    pub is_reused: Cell<bool>,
    /// The state of the request's content, where more of it comes than with the head.
    pub upload: Cell<UploadState>,
}

impl Default for Progress {
    fn default() -> Progress {
        Progress {
            has_begun: Cell::new(false),
            permit: RefCell::new(None),
            is_reused: Cell::new(false),
            upload: Cell::new(UploadState::None),
        }
    }
}

impl Progress {
    /// A final response of the target begins to go out.
    #[inline]
    pub fn begin(&self) {
        self.has_begun.set(true);
        self.permit.take();
    }

    #[inline]
    pub fn has_begun(&self) -> bool {
        self.has_begun.get()
    }
}

/// How far an upload has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UploadState {
    /// All content came with the head.
    None,
    Running,
    /// The target has been sent the whole request.
    Complete,
    /// The target takes no more; its response decides what happens.
    TargetStopped,
    /// The target has reset the connection: an end that is received now is not the real one.
    TargetReset,
    /// The target took nothing for too long, and was reset for that.
    TargetTimeout,
    Failed(Failure),
}

impl UploadState {
    /// Whether the connection to the target was reset, by either side.
    pub fn has_lost_target(self) -> bool {
        matches!(self, UploadState::TargetReset | UploadState::TargetTimeout)
    }

    /// Whether the target has been sent the whole request.
    pub fn is_whole(self) -> bool {
        matches!(self, UploadState::None | UploadState::Complete)
    }
}
