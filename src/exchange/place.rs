//! A place on a target, which limits how many requests may be at it at a time.

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

/// A session that was to begin at the chosen target does not.
pub fn take_back(view: &View, choice: &Choice) {
    let Some((_, target)) = chosen(view, choice) else { return };
    if let Some(outcome) = choice.sticky.filter(|outcome| !outcome.bound) {
        target.state.newcomers().take_back(outcome.assignment.session);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exchange::doubles::{file, play};

    #[test]
    fn a_place_is_given_back_with_whatever_ends_its_request() {
        play(&file("", "connection_limit = 1", 1), async |shard| {
            let (group, target) = (shard.group(), shard.target(0));
            assert!(target.state.try_acquire(1));
            let place = Place { group, target };
            assert!(!target.state.has_place(1));
            drop(place);
            assert_eq!(target.state.in_flight(), 0);
            assert!(target.state.try_acquire(1));
            target.state.release();
        });
    }

    #[test]
    fn a_choice_that_the_view_does_not_have_leads_nowhere() {
        play(&file("", "", 2), async |shard| {
            let at = |group, target| {
                let choice = Choice { group, target, sticky: None };
                chosen(&shard.view, &choice).map(|(_, target)| target.id.to_string())
            };
            assert_eq!((at(0, 0).as_deref(), at(0, 1).as_deref()), (Some("a"), Some("b")));
            assert_eq!((at(0, 2), at(1, 0)), (None, None));
        });
    }
}
