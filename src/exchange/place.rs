//! A place on a target: so many requests may be at it at a time.

use crate::group::select::Choice;
use crate::group::target_group::{Target, TargetGroup};
use crate::snapshot::View;

/// A place on a target, given back when dropped.
pub struct Place<'v> {
    pub group: &'v TargetGroup,
    pub target: &'v Target,
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.target.state.release();
    }
}

/// The group and the target of a choice.
pub fn chosen<'v>(view: &'v View, choice: &Choice) -> Option<(&'v TargetGroup, &'v Target)> {
    let group = view.groups.get(choice.group)?;
    Some((group, group.targets.get(choice.target)?))
}
