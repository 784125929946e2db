//! What happens to a request whose chosen target has no place.
//!
//! Pure; takes no place: the caller acquires it. Tested with `select`.

use std::sync::Arc;

use super::address::TargetIndex;
use super::select::{Ask, Choice, Issue, StickyOutcome, draw};
use super::target_group::{OnFull, TargetGroup};
use crate::stickiness::set_cookie::Assignment;
use crate::telemetry::reason::Reason;

/// What to do when the chosen target has no place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Full {
    /// Join the target's line.
    Wait(Choice),
    /// Go there instead.
    Serve(Choice),
    /// Answer 503.
    Reject(Choice),
}

/// Decides for a chosen target that has no place, by the group's `on_full`. A request that is bound to no
/// target goes wherever there is a place. Where nobody has one, `spill` and `restick` wait like `queue`.
pub fn on_full(groups: &[Arc<TargetGroup>], choice: &Choice, ask: &Ask<'_>) -> Full {
    let Some(group) = groups.get(choice.group) else { return Full::Reject(*choice) };
    let elsewhere = || group.pick_with_place(&draw(group, ask), ask.excluded);
    let bound = choice.sticky.filter(|sticky| sticky.bound);
    let Some(sticky) = bound else {
        return match (elsewhere(), group.options.on_full) {
            (Some(other), _) => {
                place_anew(group, choice, other, ask.now_s);
                Full::Serve(moved(group, choice, other))
            }
            (None, OnFull::Reject) => Full::Reject(*choice),
            (None, OnFull::Queue | OnFull::Spill | OnFull::Restick) => Full::Wait(*choice),
        };
    };
    let sticky = StickyOutcome { reason: Reason::Full, ..sticky };
    let choice = Choice { sticky: Some(sticky), ..*choice };
    let on_full = match group.options.on_full {
        // A client that keeps its session id cannot be told of another target.
        OnFull::Restick if sticky.issue == Issue::WithSessionId => OnFull::Spill,
        on_full => on_full,
    };
    match on_full {
        OnFull::Queue => Full::Wait(choice),
        OnFull::Reject => Full::Reject(choice),
        OnFull::Spill => elsewhere().map_or(Full::Wait(choice), |other| {
            let sticky = StickyOutcome {
                issue: Issue::Never,
                bound: false,
                is_known: false,
                is_pinned: false,
                ..sticky
            };
            Full::Serve(Choice { target: other, sticky: Some(sticky), ..choice })
        }),
        OnFull::Restick => elsewhere().map_or(Full::Wait(choice), |other| {
            let sticky = StickyOutcome { issue: Issue::Now, ..sticky };
            Full::Serve(moved(group, &Choice { sticky: Some(sticky), ..choice }, other))
        }),
    }
}

/// Counts a session that begins at the target that serves it, where its scope counts them.
fn place_anew(group: &TargetGroup, choice: &Choice, to: TargetIndex, now_s: u64) {
    // One that is served elsewhere for once was never placed.
    let begins = choice.sticky.filter(|sticky| sticky.issue != Issue::Never);
    let targets = (group.targets.get(choice.target), group.targets.get(to));
    let (Some(sticky), (Some(from), Some(to))) = (begins, targets) else { return };
    if from.state.newcomers().take_back(sticky.assignment.session) {
        to.state.newcomers().place(sticky.assignment.session, now_s);
    }
}

/// The same choice with another target, which becomes the session's home.
fn moved(group: &TargetGroup, choice: &Choice, to: TargetIndex) -> Choice {
    let Some(target) = group.targets.get(to) else { return *choice };
    let sticky = choice.sticky.map(|sticky| {
        let assignment = Assignment { target: target.key, home: target.key, ..sticky.assignment };
        let left = sticky.left.or(Some((choice.group, choice.target)));
        StickyOutcome { assignment, left, ..sticky }
    });
    Choice { group: choice.group, target: to, sticky }
}
