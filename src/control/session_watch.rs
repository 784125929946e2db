//! Tells the operator, once, when an application's session and limpet's stickiness do not end together.
//!
//! Shards note what they see in targets' Set-Cookie fields; the control plane looks at the notes now and
//! then. Never touches a connection. The comparison is tested in `target::session_match`, the warning by
//! the black-box suite.

use std::time::Duration;

use crate::snapshot::Snapshot;

/// How often the notes are looked at.
pub const EVERY: Duration = Duration::from_millis(500);

/// Logs every mismatch that was not logged before.
pub fn log_new(snapshot: &Snapshot) {
    for group in &snapshot.groups {
        let Some(sticky) = &group.stickiness else { continue };
        for mismatch in group.state.sessions.unlogged(sticky) {
            tracing::warn!(group = %group.name, "{mismatch}");
        }
    }
}
