//! Tells the operator, once, when an application's session and limpet's stickiness do not end together.
//!
//! Shards note the sessions in targets' Set-Cookie fields; the control plane reads the notes now and then. Never
//! touches a connection. The comparison is tested in `stickiness::session_match`, the words where they stand, the
//! warning by the black-box suite.

use std::time::Duration;

use super::admin::session_match::describe;
use super::events::{EventKind, Events};
use crate::snapshot::Snapshot;
use crate::stickiness::options::StickinessOptions;

/// How often the notes are read.
pub const EVERY: Duration = Duration::from_millis(500);

/// Logs every mismatch that was not logged before, and puts it among the events.
pub fn log_new(snapshot: &Snapshot, events: &Events) {
    for group in &snapshot.groups {
        let sticky = group.stickiness.as_ref().filter(|sticky| sticky.is_enabled());
        let Some(sticky) = sticky else { continue };
        let StickinessOptions { duration, max_age, .. } = *sticky.options();
        for mismatch in group.state.sessions.unlogged(sticky) {
            let text = describe(&mismatch, duration, max_age).text;
            events.push(EventKind::Warning, Some(&group.name), None, text);
        }
    }
}
