//! limpet's own cookies and seals in a response, and what is learnt of sessions from the application's cookies.

use arrayvec::ArrayVec;

use super::place::Place;
use super::plan::Plan;
use super::scene::Scene;
use crate::group::select::{CookieAction, Count, StickyOutcome};
use crate::http::edits::{Replaced, ResponseEdits};
use crate::http::fields::FieldId;
use crate::http::head::{Method, ResponseHead};
use crate::routing::actions::Action;
use crate::stickiness::response_cookie::AppCookieEvent;
use crate::stickiness::session_field::{self, Returned, Worth};
use crate::stickiness::set_cookie::Assignment;
use crate::stickiness::verdict::Stickiness;
use crate::telemetry::reason::Reason;
use crate::uring::buffers;

/// Cookies of limpet's own in one response: the rule's or group's, and its cross-site twin.
const OWN_COOKIES_MAX: usize = 4;

/// What decides about cookies of one response.
pub struct OwnCookies<'a, 's> {
    pub scene: &'a Scene<'s>,
    pub plan: &'a Plan,
    pub place: &'a Place<'s>,
}

impl OwnCookies<'_, '_> {
    /// Gives what changes in a head to `write`: limpet's own cookies, the field with a session id, Via, Date.
    pub fn write(&self, head: &ResponseHead<'_, '_>, write: impl FnOnce(&ResponseEdits<'_>)) {
        let mut scratch = Vec::new();
        let mut ends = ArrayVec::<usize, OWN_COOKIES_MAX>::new();
        self.own_cookies(head, &mut scratch, &mut ends);
        let cookies_end = scratch.len();
        let field = match self.plan.session_id.has_field() {
            true => self.session_field(head, &mut scratch),
            false => None,
        };
        let is_sealed = scratch.len() > cookies_end;
        let mut set_cookies = ArrayVec::<&[u8], OWN_COOKIES_MAX>::new();
        let mut start = 0;
        for &end in &ends {
            set_cookies.push(scratch.get(start..end).unwrap_or_default());
            start = end;
        }
        let date = self.scene.local.clock.date();
        let sealed = scratch.get(cookies_end..).unwrap_or_default();
        write(&ResponseEdits {
            set_cookies: &set_cookies,
            session_field: field.map_or(Replaced::NONE, |at| Replaced {
                at,
                value: if is_sealed { sealed } else { self.plan.session_id.as_sent() },
            }),
            protect_cookie: (!set_cookies.is_empty() || is_sealed) && !head.has_cache_control,
            via: self.scene.listener.forwarded.via.as_deref().map(str::as_bytes),
            date: Some(date.as_bytes()),
        });
        drop(set_cookies);
        buffers::give_back(scratch);
    }

    /// Writes limpet's own cookies one behind the other; `ends` says where each ends.
    #[inline(always)]
    fn own_cookies(
        &self,
        head: &ResponseHead<'_, '_>,
        scratch: &mut Vec<u8>,
        ends: &mut ArrayVec<usize, OWN_COOKIES_MAX>,
    ) {
        let Plan { choice, rule, .. } = self.plan;
        let Some(outcome) = &choice.sticky else { return self.watch_sessions(head) };
        let Some(sticky) = self.scene.stickiness(*rule, choice.group) else { return };
        let local = self.scene.local;
        let now_s = local.clock.unix_s();
        if sticky.session_field().is_some() {
            let action = self.session_end(head.status);
            return self.count_session(sticky, outcome, action, now_s);
        }
        let mut event = AppCookieEvent::None;
        for field in head.fields.iter().filter(|field| field.id == FieldId::SetCookie) {
            event = event.then(sticky.observe_set_cookie(field.value, now_s));
            self.place.group.state.sessions.observe(sticky, field.value, now_s);
        }
        let https = self.plan.https;
        let random = &local.random;
        let twin;
        let action = outcome.answer(event);
        self.count_session(sticky, outcome, action, now_s);
        match action {
            CookieAction::Nothing => return,
            CookieAction::Set(assignment) => {
                *scratch = buffers::small();
                let seen = assignment.seen(now_s);
                let own = sticky.write_set_cookie(&seen, https, random.secret(), scratch);
                ends.extend(own.then_some(scratch.len()));
                twin = sticky.write_twin_set_cookie(&seen, https, random.secret(), scratch);
            }
            CookieAction::Delete => {
                *scratch = buffers::small();
                sticky.write_deletion(https, scratch);
                ends.push(scratch.len());
                twin = sticky.write_twin_deletion(https, scratch);
            }
        }
        ends.extend(twin.then_some(scratch.len()));
    }

    /// DELETE ends the session whose id it carries, where the target agrees.
    fn session_end(&self, status: u16) -> CookieAction {
        match (self.plan.method, status) {
            (Method::Delete, 200..=299) => CookieAction::Delete,
            _ => CookieAction::Nothing,
        }
    }

    /// The line of the session field that the client is to see otherwise; what is sealed anew is written behind
    /// `scratch`.
    fn session_field(&self, head: &ResponseHead<'_, '_>, scratch: &mut Vec<u8>) -> Option<usize> {
        let Plan { choice, rule, session_id, .. } = self.plan;
        let rules = self.scene.listener.rules.rules();
        let Action::Forward(forward) = &rules.get(*rule)?.action else { return None };
        let (sticky, field) = self.scene.session_scopes(*rule, forward, choice.group).next()?;
        let brought = session_id.brought();
        let seals = self.scene.governs(sticky, *rule, choice.group);
        match session_field::returned(head.fields, field.name(), brought, head.status) {
            Returned::Untouched => None,
            Returned::AsBrought(at) => Some(at),
            // A scope that is off seals nothing, and takes no seal from a client that has one.
            Returned::Sealed(at, value) if !seals => {
                brought.filter(|own| *own == (value, Worth::Outdated)).map(|_| at)
            }
            Returned::Sealed(at, value) => {
                if scratch.is_empty() {
                    *scratch = buffers::small();
                }
                let seen = self.new_session(sticky).seen(self.scene.local.clock.unix_s());
                let nonce = self.scene.local.random.secret();
                sticky.write_sealed(field, value, (&seen, nonce), scratch).then_some(at)
            }
            Returned::Unfit => {
                if seals {
                    self.place.group.state.count_unsealed();
                }
                None
            }
        }
    }

    /// A session that begins with the response of the place's target: the one that the choice has begun, or, for a
    /// request of another session, one more.
    fn new_session(&self, sticky: &Stickiness) -> Assignment {
        let local = self.scene.local;
        let target = self.place.target.key;
        let is_begun = |outcome: &StickyOutcome| !outcome.bound && outcome.reason != Reason::Full;
        let begun = self.plan.choice.sticky.filter(is_begun);
        let drawn = || u128::from_ne_bytes(local.random.secret());
        Assignment {
            generation: sticky.options().generation,
            group: self.place.group.key,
            target,
            home: target,
            session: begun.map_or_else(drawn, |outcome| outcome.assignment.session),
            issued_s: local.clock.unix_s(),
        }
    }

    /// Counts a session whose cookie has come back where it lives now, and no longer where it has lived.
    fn count_session(
        &self,
        sticky: &Stickiness,
        outcome: &StickyOutcome,
        action: CookieAction,
        now_s: u64,
    ) {
        let Assignment { session, issued_s, .. } = outcome.assignment;
        match outcome.count_at(self.place.target.key, action) {
            Count::Nothing => return,
            Count::Lives => {
                let seen_s = sticky.counts_from_s(issued_s, now_s);
                let is_new = self.place.target.state.note_session(session, sticky.life(), seen_s);
                if is_new && sticky.session_field().is_some() {
                    self.forget_elsewhere(session, sticky);
                }
            }
            Count::Ends => self.place.target.state.forget_session(session, sticky.life()),
        }
        let left = outcome
            .left
            .and_then(|(group, target)| self.scene.view.groups.get(group)?.targets.get(target));
        if let Some(left) = left.filter(|left| left.state.slot != self.place.target.state.slot) {
            left.state.forget_session(session, sticky.life());
        }
    }

    /// A session whose client keeps its value returns from a fail-over without saying where it was.
    #[cold]
    fn forget_elsewhere(&self, session: u128, sticky: &Stickiness) {
        let Scene { listener, view, .. } = self.scene;
        let rule = listener.rules.rules().get(self.plan.rule);
        let Some(Action::Forward(forward)) = rule.map(|rule| &rule.action) else { return };
        let groups = forward.groups.iter().filter_map(|(group, _)| view.groups.get(*group));
        for target in groups.flat_map(|group| &group.targets) {
            if target.state.slot != self.place.target.state.slot {
                target.state.forget_session(session, sticky.life());
            }
        }
    }

    /// Notes sessions of an application whose users nobody keeps: a hint for the operator.
    fn watch_sessions(&self, head: &ResponseHead<'_, '_>) {
        if !head.has_set_cookie {
            return;
        }
        let now_s = self.scene.local.clock.unix_s();
        for field in head.fields.iter().filter(|field| field.id == FieldId::SetCookie) {
            let names = &self.place.group.options.session_cookies;
            self.place.group.state.sessions.observe_unkept(names, field.value, now_s);
        }
    }
}

#[cfg(test)]
#[path = "cookies_tests.rs"]
mod tests;
