//! Draining: how a target leaves without any request being cut or session being lost before time.
//!
//! While a target drains, new requests go elsewhere and the sessions that are bound to it still come. [`machine`]
//! decides when a drain ends, [`watch`] applies it to all draining targets, [`sessions`] estimates how many sessions
//! are bound to a target. This file owns [`Leaving`]: targets that the configuration no longer has, which drain as
//! well. Never ends a request or a tunnel: those finish by themselves, on the snapshot that they began with.
//!
//! A drain lives in the process. After a restart a target that is draining in the file begins its deregistration delay
//! anew, and one that was removed is simply gone. Tested beside it, and as part of `compile`.

pub mod machine;
pub mod sessions;
pub mod watch;

use std::collections::{HashMap, HashSet};
use std::time::Instant;

pub use machine::{DrainOptions, DrainOrder, Until};
pub use watch::{DrainView, Drains};

use super::config::file::{self, File};

/// A target that is no longer configured and still serves the requests bound to it.
#[derive(Debug, Clone, PartialEq)]
pub struct Leaving {
    pub group: String,
    /// Its last configuration.
    pub target: file::Target,
    pub since: Instant,
}

/// The targets that leave once `after` replaces `before`: those that `after` no longer has, in groups that it still has
/// and whose deregistration delay is above zero. A target whose id comes back stops leaving, and the targets of a
/// removed group go with it.
pub fn leaving_after(
    before: &File,
    after: &File,
    current: &[Leaving],
    now: Instant,
) -> Vec<Leaving> {
    let remaining: HashMap<&str, Remaining<'_>> = after
        .target_groups
        .iter()
        .map(|group| (group.name.as_str(), Remaining::of(group)))
        .collect();
    let has_left = |group: &str, target: &file::Target| {
        remaining.get(group).filter(|left| !left.ids.contains(target.effective_id()))
    };
    let still = current.iter().filter(|one| has_left(&one.group, &one.target).is_some());
    let mut leaving: Vec<Leaving> = still.cloned().collect();
    for group in &before.target_groups {
        let new = group
            .targets
            .iter()
            .filter(|target| has_left(&group.name, target).is_some_and(|left| left.may_drain));
        leaving.extend(new.map(|target| Leaving {
            group: group.name.clone(),
            target: target.clone(),
            since: now,
        }));
    }
    leaving
}

/// A group of the new configuration.
struct Remaining<'f> {
    ids: HashSet<&'f str, ahash::RandomState>,
    may_drain: bool,
}

impl Remaining<'_> {
    fn of(group: &file::TargetGroup) -> Remaining<'_> {
        Remaining {
            ids: group.targets.iter().map(file::Target::effective_id).collect(),
            may_drain: !group.deregistration_delay.is_zero(),
        }
    }
}

#[cfg(test)]
#[path = "drain/tests.rs"]
mod tests;
