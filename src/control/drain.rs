//! Targets that left the configuration and are still served until their drain ends.
//!
//! Pure; tested with `runtime`.

use std::time::Instant;

use super::config::file::{self, File};

/// A target that is no longer configured and still serves what is bound to it.
#[derive(Debug, Clone, PartialEq)]
pub struct Leaving {
    pub group: String,
    pub target: file::Target,
    pub since: Instant,
}

/// Who leaves, or goes on leaving, when `after` takes the place of `before`.
pub fn leaving_after(
    before: &File,
    after: &File,
    current: &[Leaving],
    now: Instant,
) -> Vec<Leaving> {
    let mut leaving = Vec::new();
    for group in &after.target_groups {
        let is_back = |target: &file::Target| {
            group.targets.iter().any(|one| one.effective_id() == target.effective_id())
        };
        let still = current.iter().filter(|one| one.group == group.name && !is_back(&one.target));
        leaving.extend(still.cloned());
        let before = before.target_groups.iter().find(|one| one.name == group.name);
        let gone = before.map(|before| before.targets.as_slice()).unwrap_or_default();
        for target in gone.iter().filter(|target| !is_back(target)) {
            leaving.push(Leaving {
                group: group.name.clone(),
                target: target.clone(),
                since: now,
            });
        }
    }
    leaving
}
