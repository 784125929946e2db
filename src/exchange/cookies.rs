//! limpet's own cookies in a response, and what is learnt of sessions from the application's.

use arrayvec::ArrayVec;

use super::place::Place;
use super::scene::{Plan, Scene};
use crate::group::select::{CookieAction, Count, Pinned, StickyOutcome};
use crate::http::edits::ResponseEdits;
use crate::http::fields::FieldId;
use crate::http::head::ResponseHead;
use crate::stickiness::response_cookie::AppCookieEvent;
use crate::stickiness::set_cookie::Assignment;
use crate::stickiness::verdict::Stickiness;
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
    /// Gives what changes in a head to `write`: limpet's own cookies, Via, Date.
    pub fn write(&self, head: &ResponseHead<'_, '_>, write: impl FnOnce(&ResponseEdits<'_>)) {
        let mut scratch = Vec::new();
        let mut ends = ArrayVec::<usize, OWN_COOKIES_MAX>::new();
        self.own_cookies(head, &mut scratch, &mut ends);
        let mut set_cookies = ArrayVec::<&[u8], OWN_COOKIES_MAX>::new();
        let mut start = 0;
        for &end in &ends {
            set_cookies.push(scratch.get(start..end).unwrap_or_default());
            start = end;
        }
        let date = self.scene.local.clock.date();
        write(&ResponseEdits {
            set_cookies: &set_cookies,
            protect_cookie: !set_cookies.is_empty() && !head.has_cache_control,
            via: self.scene.listener.forwarded.via.as_deref().map(str::as_bytes),
            date: Some(date.as_bytes()),
        });
        drop(set_cookies);
        buffers::give_back(scratch);
    }

    /// Writes limpet's own cookies one behind the other; `ends` says where each ends.
    fn own_cookies(
        &self,
        head: &ResponseHead<'_, '_>,
        scratch: &mut Vec<u8>,
        ends: &mut ArrayVec<usize, OWN_COOKIES_MAX>,
    ) {
        let Plan { choice, rule, .. } = self.plan;
        let Some(outcome) = &choice.sticky else { return self.watch_sessions(head) };
        let Some(sticky) = self.scene.stickiness(*rule, choice.group) else { return };
        let (local, caller) = (self.scene.local, self.scene.caller);
        let now_s = local.clock.unix_s();
        let mut event = AppCookieEvent::None;
        for field in head.fields.iter().filter(|field| field.id == FieldId::SetCookie) {
            event = event.then(sticky.observe_set_cookie(field.value, now_s));
            self.place.group.state.sessions.observe(sticky, field.value, now_s);
        }
        if outcome.is_pinned {
            caller.pin(Pinned::new(sticky, self.plan.client, &outcome.assignment, now_s));
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
                self.place.target.state.note_session(session, sticky.life(), seen_s);
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
