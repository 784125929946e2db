//! The attempts that were made for one request, and whether another may be made.

use super::client::Client;
use super::entry::Entry;
use super::failure::Failure;
use super::place::chosen;
use super::plan::Outgoing;
use super::scene::{Scene, Tried};
use super::target::Draft;
use crate::group::retry::{self, Decision, RetryPermit};
use crate::group::target_group::Standing;
use crate::routing::actions::Action;
use crate::time::clock::Millis;

/// The attempts for one request.
pub struct Attempts<'a, 's> {
    scene: &'a Scene<'s>,
    pub tried: Tried,
    retries: u32,
    /// Whether the request has tried its bound target a second time.
    was_tried_again: bool,
    /// Whether a kept connection has failed this request, so that only new ones are used: another may be as stale.
    pub only_fresh: bool,
    is_idempotent: bool,
    is_replayable: bool,
    began_ms: Millis,
    /// Held while a retry runs.
    permit: Option<RetryPermit>,
}

impl<'a, 's> Attempts<'a, 's> {
    pub fn new<D>(
        scene: &'a Scene<'s>,
        out: &Outgoing<D>,
        is_replayable: bool,
    ) -> Attempts<'a, 's> {
        Attempts {
            scene,
            tried: Tried::new(),
            retries: 0,
            was_tried_again: false,
            only_fresh: false,
            is_idempotent: out.plan.method.is_idempotent(),
            is_replayable,
            began_ms: scene.local.clock.now_ms(),
            permit: None,
        }
    }

    /// Decides about another attempt and makes `plan` ready for it.
    ///
    /// # Errors
    /// There is none, and why the request has failed.
    pub fn again<C: Client, D: Draft>(
        &mut self,
        (failure, was_reused): (Failure, bool),
        client: &C,
        (out, entry): (&mut Outgoing<D>, &mut Entry),
    ) -> Result<(), Failure> {
        let view = self.scene.view;
        let Some(group) = view.groups.get(out.plan.choice.group) else { return Err(failure) };
        let clock = &self.scene.local.clock;
        let elapsed_ms = clock.now_ms().saturating_sub(self.began_ms);
        let options = &group.options;
        let attempt = retry::Attempt {
            failure: match failure {
                _ if failure.is_connect() => retry::Failure::ConnectFailed,
                _ if failure.is_before_any_byte() => retry::Failure::ClosedBeforeByte,
                _ => retry::Failure::Other,
            },
            was_reused,
            is_idempotent: self.is_idempotent,
            is_replayable: self.is_replayable,
            is_bound: out.plan.choice.sticky.is_some_and(|sticky| sticky.bound),
            was_tried_again: self.was_tried_again,
            has_connect_time: u128::from(elapsed_ms)
                < (options.connect_timeout + options.handshake_timeout).as_millis(),
            retries: self.retries,
            retries_max: options.retries,
        };
        let (percent, minimum) = (options.retry_budget_percent, options.retry_budget_minimum);
        let decision = retry::decide(&attempt, || {
            self.permit = self
                .permit
                .take()
                .or_else(|| group.state.start_retry(clock.unix_s(), percent, minimum));
            self.permit.is_some()
        });
        let (goes_elsewhere, has_same) = match decision {
            // A target that takes no connection has lost the sessions that it kept; one that closes has only failed this
            // request.
            Decision::GiveUp | Decision::OtherTarget | Decision::OtherTargetElseSame
                if self.answers_lost(out) =>
            {
                if failure.is_connect() {
                    self.other(client, (out, entry), false)?;
                }
                return Err(failure);
            }
            Decision::GiveUp => (false, false),
            Decision::SameTarget => (false, true),
            Decision::OtherTarget => (self.other(client, (out, entry), true)?, false),
            // A stale connection is no reason to use an ejected target, before the target itself has refused a
            // connection.
            Decision::OtherTargetElseSame => {
                (self.other(client, (out, entry), false)?, self.retries == 0)
            }
        };
        if !goes_elsewhere && !has_same {
            return Err(failure);
        }
        self.only_fresh |= failure.is_before_any_byte();
        entry.retries += 1;
        self.retries += u32::from(goes_elsewhere);
        self.was_tried_again |= !goes_elsewhere;
        Ok(())
    }

    /// Whether the session has bound this request to its target, and `on_lost` forbids to serve it elsewhere.
    fn answers_lost<D>(&self, out: &Outgoing<D>) -> bool {
        let choice = &out.plan.choice;
        choice.sticky.is_some_and(|sticky| sticky.bound)
            && self
                .scene
                .stickiness(out.plan.rule, choice.group)
                .is_some_and(|sticky| sticky.answers_lost().is_some())
    }

    /// Chooses another target, an ejected one only with `even_ejected`; `plan` keeps its own when there is none.
    ///
    /// # Errors
    /// The session that led to the target is lost, and is not to be served elsewhere.
    fn other<C: Client, D: Draft>(
        &mut self,
        client: &C,
        (out, entry): (&mut Outgoing<D>, &mut Entry),
        even_ejected: bool,
    ) -> Result<bool, Failure> {
        let Some((_, target)) = chosen(self.scene.view, &out.plan.choice) else { return Ok(false) };
        let rules = self.scene.listener.rules.rules();
        let Some(Action::Forward(forward)) = rules.get(out.plan.rule).map(|rule| &rule.action)
        else {
            return Ok(false);
        };
        let slot = target.state.slot;
        if !self.tried.contains(&slot) && self.tried.try_push(slot).is_err() {
            return Ok(false);
        }
        // A session that was to begin at the target that has failed begins elsewhere.
        if let Some(outcome) = out.plan.choice.sticky.filter(|outcome| !outcome.bound) {
            target.state.newcomers().take_back(outcome.assignment.session);
        }
        let choice =
            client.head(|head| self.scene.select_again(head, forward, &out.plan, &self.tried));
        match choice {
            Some(Ok(choice)) => {
                let group = self.scene.view.groups.get(choice.group);
                let is_in =
                    group.is_some_and(|group| group.standing(choice.target) != Standing::Unhealthy);
                if is_in || even_ejected {
                    self.scene.choose_again(client, choice, (out, entry));
                }
                Ok(is_in || even_ejected)
            }
            Some(Err(unplaced)) => match self.scene.unplaced(&unplaced, out.plan.rule, entry) {
                lost @ Failure::SessionLost { .. } => Err(lost),
                _ => Ok(false),
            },
            None => Ok(false),
        }
    }
}

#[cfg(test)]
#[path = "attempts_tests.rs"]
mod tests;
