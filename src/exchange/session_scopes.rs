//! Whose seals a request's session id may carry, as a scene knows it: of the rule, and of the groups that it forwards to.

use std::iter;

use super::scene::Scene;
use super::session_id::{self, SessionId};
use crate::group::select::Choice;
use crate::http::edits::Replaced;
use crate::http::head::RequestHead;
use crate::routing::actions::Forward;
use crate::stickiness::session_field::Worth;
use crate::stickiness::verdict::Stickiness;

impl Scene<'_> {
    /// Whether choices of a group by a rule are made under this stickiness.
    pub fn governs(&self, sticky: &Stickiness, rule: usize, group: usize) -> bool {
        self.stickiness(rule, group).is_some_and(|governing| std::ptr::eq(governing, sticky))
    }

    /// The scopes whose seals a request to a group may carry, the one that names the field first.
    pub fn session_scopes(
        &self,
        rule: usize,
        forward: &Forward,
        group: usize,
    ) -> impl Iterator<Item = session_id::Scope<'_>> {
        let of_rule = self.listener.rule_stickiness.get(rule).and_then(Option::as_deref);
        let others = forward.groups.iter().map(|(other, _)| *other).filter(move |at| *at != group);
        let groups = iter::once(group).chain(others);
        let of_groups = groups.filter_map(|at| self.view.groups.get(at)?.stickiness.as_ref());
        session_id::scopes(of_rule, of_groups)
    }

    /// Whether a request by a rule may carry a seal at all.
    #[inline]
    pub fn may_be_sealed(&self, rule: usize, forward: &Forward, group: usize) -> bool {
        let of_rule = self.listener.rule_stickiness.get(rule).and_then(Option::as_deref);
        let of_group = self.view.groups.get(group).and_then(|group| group.stickiness.as_ref());
        let has_field = |sticky| session_id::with_field(sticky).is_some();
        forward.groups.len() > 1 || has_field(of_group) || has_field(of_rule)
    }

    /// Takes the seal off a request's session id.
    pub fn open_session_id<'b>(
        &self,
        head: &RequestHead<'_, 'b>,
        (rule, forward): (usize, &Forward),
        choice: &Choice,
        session_id: &mut SessionId,
    ) -> Replaced<'b> {
        let scopes = self.session_scopes(rule, forward, choice.group);
        let judged = |sticky: &Stickiness| {
            let outcome = choice.sticky.filter(|_| self.governs(sticky, rule, choice.group))?;
            Some(Worth::judged(outcome.reason))
        };
        session_id.open(head, scopes, judged, (&self.local.opened, self.local.clock.unix_s()))
    }
}
