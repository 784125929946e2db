//! The attempts that were made for one request, and whether another may be made.

use super::client::Client;
use super::entry::Entry;
use super::failure::Failure;
use super::grpc::Again;
use super::place::chosen;
use super::plan::{Outgoing, Plan};
use super::progress::Progress;
use super::scene::{Scene, Tried};
use super::target::Draft;
use crate::group::retry::{self, Decision};
use crate::group::target_group::{GroupOptions, Standing};
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
    /// Whether no more of the request was taken from the client than came with its head.
    pub is_untouched: bool,
    began_ms: Millis,
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
            is_untouched: false,
            began_ms: scene.local.clock.now_ms(),
        }
    }

    /// Decides about another attempt and makes `plan` ready for it.
    ///
    /// # Errors
    /// There is none, and why the request has failed.
    pub fn again<C: Client, D: Draft>(
        &mut self,
        (failure, progress): (Failure, &Progress),
        client: &C,
        (out, entry): (&mut Outgoing<D>, &mut Entry),
    ) -> Result<(), Failure> {
        let view = self.scene.view;
        let Some(group) = view.groups.get(out.plan.choice.group) else { return Err(failure) };
        let clock = &self.scene.local.clock;
        let options = &group.options;
        let kind = match failure {
            _ if failure.is_connect() => retry::Failure::ConnectFailed,
            _ if failure.is_before_any_byte() => retry::Failure::ClosedBeforeByte,
            Failure::TargetUnprocessed => retry::Failure::Unprocessed,
            Failure::CallRefused { .. } => retry::Failure::Refused,
            _ => retry::Failure::Other,
        };
        let attempt = self.attempt((kind, progress.is_reused.get()), &out.plan, options);
        let (percent, minimum) = (options.retry_budget_percent, options.retry_budget_minimum);
        let decision = retry::decide(&attempt, || {
            let mut permit = progress.permit.borrow_mut();
            if permit.is_none() {
                *permit = group.state.start_retry(clock.unix_s(), percent, minimum);
            }
            permit.is_some()
        });
        let (goes_elsewhere, has_same) = match decision {
            // A target that takes no connection has lost the sessions that it kept; one that closes has only failed this
            // request.
            Decision::GiveUp | Decision::OtherTarget | Decision::OtherTargetElseSame
                if self.answers_lost(&out.plan) =>
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
                let has_same = self.retries == 0 || kind == retry::Failure::Refused;
                (self.other(client, (out, entry), false)?, has_same)
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

    /// The facts about an attempt that has failed, or would.
    fn attempt(
        &self,
        (failure, was_reused): (retry::Failure, bool),
        plan: &Plan,
        options: &GroupOptions,
    ) -> retry::Attempt {
        let elapsed_ms = self.scene.local.clock.now_ms().saturating_sub(self.began_ms);
        retry::Attempt {
            failure,
            was_reused,
            is_idempotent: self.is_idempotent,
            // What was not looked at is sent again as it is, and then goes on.
            is_replayable: self.is_replayable
                || failure == retry::Failure::Unprocessed && self.is_untouched,
            is_bound: plan.choice.sticky.is_some_and(|sticky| sticky.bound),
            was_tried_again: self.was_tried_again,
            // What a target has refused was decided about before its answer came, however late.
            has_connect_time: failure == retry::Failure::Refused
                || u128::from(elapsed_ms)
                    < (options.connect_timeout + options.handshake_timeout).as_millis(),
            retries: self.retries,
            retries_max: options.retries,
        }
    }

    /// Whether a call that its chosen target answers by a status that the group retries may be tried again. What the
    /// target has said goes to the client where it may not, so that this is asked before it says anything.
    pub fn after_call(&self, plan: &Plan, progress: &Progress) -> Again {
        let Some((group, target)) = chosen(self.scene.view, &plan.choice) else {
            return Again::Never;
        };
        if group.options.retried_statuses == 0 {
            return Again::Never;
        }
        let attempt = self.attempt((retry::Failure::Refused, false), plan, &group.options);
        let mut needs_budget = false;
        let decision = retry::decide(&attempt, || {
            needs_budget = true;
            true
        });
        let is_untried = |slot| slot != target.state.slot && !self.tried.contains(&slot);
        let may_again = match decision {
            Decision::GiveUp => false,
            Decision::SameTarget => true,
            Decision::OtherTargetElseSame => !self.answers_lost(plan),
            Decision::OtherTarget => {
                let mut others = group.eligible().map(|(_, other)| other.state.slot);
                !self.answers_lost(plan) && others.any(is_untried)
            }
        };
        match may_again {
            false => Again::Never,
            true if needs_budget && progress.permit.borrow().is_none() => Again::WithinBudget,
            true => Again::Surely,
        }
    }

    /// Whether the session has bound this request to its target, and `on_lost` forbids to serve it elsewhere.
    fn answers_lost(&self, plan: &Plan) -> bool {
        let choice = &plan.choice;
        choice.sticky.is_some_and(|sticky| sticky.bound)
            && self
                .scene
                .stickiness(plan.rule, choice.group)
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
        // A session that was to begin there begins elsewhere.
        self.scene.abandon(&out.plan);
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
