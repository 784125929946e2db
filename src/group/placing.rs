//! The target of a living cookie within its group.
//!
//! The cookie was judged before; this file decides by the standing of targets. Pure. Tested through `select`.

use super::address::TargetIndex;
use super::target_group::{Standing, TargetGroup};
use crate::stickiness::cookie::Plain;
use crate::stickiness::options::Failback;
use crate::telemetry::reason::Reason;

/// The target of a living cookie within a group, and why.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Placed {
    /// Valid, Draining, Unhealthy or Removed.
    pub reason: Reason,
    /// `None` when the group has no target for it.
    pub target: Option<TargetIndex>,
    /// Key of the home target from now on.
    pub home: u64,
}

impl TargetGroup {
    /// Places a living cookie of this group; `excluded` (slots of targets that have refused this very request) count as
    /// unhealthy.
    pub fn place(&self, plain: &Plain, failback: Failback, excluded: &[u32]) -> Placed {
        if let Some(home) = self.way_home(plain, failback, excluded) {
            return Placed { reason: Reason::Valid, target: Some(home), home: plain.home };
        }
        let bound = self.find(plain.target);
        let standing = bound.map_or(Standing::Gone, |target| self.standing(target));
        let refused = bound.is_some_and(|target| self.is_excluded(target, excluded));
        let home = match failback {
            Failback::Never => plain.target,
            Failback::Healthy => plain.home,
        };
        let reason = match standing {
            Standing::Gone => Reason::Removed,
            Standing::Unhealthy => Reason::Unhealthy,
            Standing::Usable { .. } | Standing::Draining if refused => Reason::Unhealthy,
            Standing::Usable { .. } => {
                return Placed { reason: Reason::Valid, target: bound, home };
            }
            Standing::Draining => return Placed { reason: Reason::Draining, target: bound, home },
        };
        let target = self.fail_over(plain.session, excluded);
        let home = match failback {
            Failback::Never => {
                target.and_then(|index| self.targets.get(index)).map_or(0, |t| t.key)
            }
            Failback::Healthy => plain.home,
        };
        Placed { reason, target, home }
    }

    /// The home target of a session that lives elsewhere, if it may return: the settings allow it, and the home takes
    /// sessions and is healthy itself (not only used because too few targets are).
    fn way_home(&self, plain: &Plain, failback: Failback, excluded: &[u32]) -> Option<TargetIndex> {
        if failback == Failback::Never || plain.home == plain.target {
            return None;
        }
        let home = self.find(plain.home)?;
        let is_open = self.standing(home) == Standing::Usable { healthy: true }
            && self.targets.get(home)?.weight > 0
            && !self.is_excluded(home, excluded);
        is_open.then_some(home)
    }
}
