//! How far the parts of an exchange have come.

use super::failure::Failure;

/// How far an upload has come; read by the other direction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UploadState {
    /// All there is came with the head.
    None,
    Running,
    /// The target has been sent the whole request.
    Complete,
    /// The target takes no more; its response decides what happens.
    TargetStopped,
    /// It has reset the connection, or was reset for taking nothing: nothing that is received ends well any more.
    TargetReset,
    Failed(Failure),
}

impl UploadState {
    /// Whether the target has been sent the whole request.
    pub fn is_whole(self) -> bool {
        matches!(self, UploadState::None | UploadState::Complete)
    }
}
