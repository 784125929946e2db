//! First visits that lead a client's other requests on the same connection to the same target.
//!
//! A pin is set when the target is chosen, since a client of HTTP/2 has dozens of requests under way before the first is
//! answered, and is replaced when a request fails over.

use super::place::take_back;
use super::plan::Plan;
use super::scene::Scene;
use crate::group::select::Pinned;

impl Scene<'_> {
    /// Remembers the choice of a first visit.
    #[inline]
    pub fn pin(&self, plan: &Plan) {
        if let Some(outcome) = plan.choice.sticky.as_ref().filter(|outcome| outcome.is_pinned)
            && let Some(sticky) = self.stickiness(plan.rule, plan.choice.group)
        {
            let now_s = self.local.clock.unix_s();
            self.caller.pin(Pinned::new(sticky, plan.client, &outcome.assignment, now_s));
        }
    }

    /// A session that was to begin with this choice begins elsewhere, or not at all.
    pub fn abandon(&self, plan: &Plan) {
        take_back(self.view, &plan.choice);
        self.unpin(plan);
    }

    /// Forgets a first visit whose target has failed it, unless another request has led elsewhere meanwhile.
    fn unpin(&self, plan: &Plan) {
        if let Some(outcome) = plan.choice.sticky.filter(|outcome| !outcome.bound) {
            self.caller.unpin(&outcome.assignment);
        }
    }
}
