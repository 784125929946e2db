//! The stickiness of one scope (a target group, or a rule over several groups) and its verdicts.
//!
//! [`Stickiness::read`] says what a request's cookie is worth, [`Stickiness::read_field`] what its sealed session id is
//! worth: is it there, does it open, is it young enough. Where a living one leads is the group's to say. Pure: the clock is an argument, nothing is sent or counted. Every row of the
//! documentation's table is tested through the group's `select`.

use std::sync::Arc;

use super::cookie::{self, Codec, Plain, Scope};
use super::keyring::KeyRing;
use super::lines::Lines;
use super::options::{
    DURATION_MAX, DURATION_MIN, OnLost, StickinessFault, StickinessKind, StickinessOptions,
};
use super::seal::{SealCodec, Sealed};
use super::sketch::Life;
use super::stable_key::stable_key;
use crate::telemetry::reason::Reason;

/// How far another node's clock may be ahead before its cookies are not believed.
const CLOCK_SKEW_MAX_S: u64 = 3_600;

/// Cookies of one name that are looked at: each costs an attempt to open it.
const CANDIDATES_MAX: usize = 4;

/// What a request's cookie, or its sealed session id, is worth.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reading {
    /// No cookie of this scope, or an application cookie is required and missing; no seal.
    Absent,
    Invalid,
    /// Sealed under a key that is not in the ring.
    UnknownKey,
    Flushed,
    ExpiredAge,
    ExpiredIdle,
    Live(Plain),
}

impl Reading {
    /// The reason under which the request is balanced anew; `None` for a living cookie.
    pub fn fresh_reason(&self) -> Option<Reason> {
        match self {
            Reading::Absent => Some(Reason::New),
            Reading::Invalid => Some(Reason::Invalid),
            Reading::UnknownKey => Some(Reason::UnknownKey),
            Reading::Flushed => Some(Reason::Flushed),
            Reading::ExpiredAge => Some(Reason::ExpiredAge),
            Reading::ExpiredIdle => Some(Reason::ExpiredIdle),
            Reading::Live(_) => None,
        }
    }
}

/// One scope, compiled.
#[derive(Debug)]
pub struct Stickiness {
    options: StickinessOptions,
    scope: Scope,
    /// Tells scopes apart on a connection.
    scope_key: u64,
    codec: Codec,
    lines: Lines,
    field: Option<SessionField>,
    /// Of a session id in a field, whose seal does not say when it was last seen, the maximum age.
    duration_s: u64,
    max_age_s: u64,
}

/// The field of `app_header`, in which the application hands out its session ids and clients return them.
#[derive(Debug)]
pub struct SessionField {
    name: Box<[u8]>,
    codec: SealCodec,
    on_lost: OnLost,
}

impl SessionField {
    /// As the configuration spells it.
    pub fn name(&self) -> &[u8] {
        &self.name
    }

    pub(crate) fn codec(&self) -> &SealCodec {
        &self.codec
    }
}

impl Stickiness {
    pub fn new(
        options: StickinessOptions,
        scope: Scope,
        ring: Arc<KeyRing>,
    ) -> Result<Stickiness, StickinessFault> {
        if !(DURATION_MIN..=DURATION_MAX).contains(&options.duration) {
            return Err(StickinessFault::Duration);
        }
        if options.max_age < DURATION_MIN {
            return Err(StickinessFault::MaxAge);
        }
        let lines = Lines::new(&options, &scope)?;
        if let StickinessKind::AppCookie { name } = &options.kind
            && (name.as_bytes() == lines.name() || Some(name.as_bytes()) == lines.twin_name())
        {
            return Err(StickinessFault::SameName(name.clone()));
        }
        let max_age_s = options.max_age.as_secs();
        let field = match &options.kind {
            StickinessKind::LbCookie | StickinessKind::AppCookie { .. } => None,
            StickinessKind::AppHeader { name, on_lost } => Some(SessionField {
                name: name.as_bytes().into(),
                codec: SealCodec::new(&scope, Arc::clone(&ring)),
                on_lost: *on_lost,
            }),
        };
        Ok(Stickiness {
            scope_key: stable_key(&format!("{scope:?}")),
            codec: Codec::new(&scope, ring),
            lines,
            duration_s: if field.is_some() { max_age_s } else { options.duration.as_secs() },
            field,
            max_age_s,
            options,
            scope,
        })
    }

    pub fn options(&self) -> &StickinessOptions {
        &self.options
    }

    pub fn scope(&self) -> &Scope {
        &self.scope
    }

    pub fn is_enabled(&self) -> bool {
        self.options.enabled
    }

    /// What its sessions have in common while nothing is flushed: a flush begins another life.
    pub fn life(&self) -> Life {
        let tag = (self.scope_key as u8).wrapping_add(self.options.generation as u8);
        Life { tag, duration_s: self.duration_s }
    }

    /// When a session counts as seen that was issued at `issued_s` and is served at `now_s`: it lives for the
    /// duration from then on, but not beyond its greatest age.
    pub fn counts_from_s(&self, issued_s: u64, now_s: u64) -> u64 {
        let ends_s = issued_s.saturating_add(self.max_age_s);
        now_s.min(ends_s.saturating_sub(self.duration_s))
    }

    pub(crate) fn scope_key(&self) -> u64 {
        self.scope_key
    }

    pub(crate) fn codec(&self) -> &Codec {
        &self.codec
    }

    pub(super) fn lines(&self) -> &Lines {
        &self.lines
    }

    /// Name of the cookie, and of its twin, which are also what is stripped from requests.
    pub fn cookie_names(&self) -> (&[u8], Option<&[u8]>) {
        (self.lines.name(), self.lines.twin_name())
    }

    pub(crate) fn app_cookie(&self) -> Option<&[u8]> {
        match &self.options.kind {
            StickinessKind::LbCookie | StickinessKind::AppHeader { .. } => None,
            StickinessKind::AppCookie { name } => Some(name.as_bytes()),
        }
    }

    /// The field of `app_header`.
    #[inline]
    pub fn session_field(&self) -> Option<&SessionField> {
        self.field.as_ref()
    }

    /// A session begins with what a target's response says, not with the first visit.
    pub(crate) fn begins_with_response(&self) -> bool {
        !matches!(self.options.kind, StickinessKind::LbCookie)
    }

    /// The status for a request whose session is lost for this reason; `None` where the reason is another, or where such
    /// a request is balanced.
    pub(crate) fn answer_to_lost(&self, reason: Reason) -> Option<u16> {
        let is_lost = matches!(
            reason,
            Reason::Unhealthy | Reason::Removed | Reason::Flushed | Reason::ExpiredAge
        );
        self.answers_lost().filter(|_| is_lost)
    }

    /// The status for a request whose session has been lost, where such a request is not balanced.
    pub(crate) fn answers_lost(&self) -> Option<u16> {
        match self.field.as_ref()?.on_lost {
            OnLost::Balance => None,
            OnLost::Answer(status) => Some(status),
        }
    }

    /// What the cookies of a request are worth: of those that live the one that was seen last, wherever it
    /// stands among others of its name (a browser keeps those of another path or domain apart, and sends
    /// them all), else what is wrong with the first that opens. The twin counts when the cookie itself does not live: a browser in
    /// a cross-site frame sends only the twin.
    pub fn read<'a>(&self, cookies: impl Iterator<Item = &'a [u8]> + Clone, now_s: u64) -> Reading {
        self.read_through(cookies, now_s, |value| self.codec.open(value))
    }

    /// The same, with `open` in the place of [`Codec::open`].
    #[inline]
    pub(crate) fn read_through<'a>(
        &self,
        cookies: impl Iterator<Item = &'a [u8]> + Clone,
        now_s: u64,
        open: impl Fn(&[u8]) -> Option<Plain>,
    ) -> Reading {
        let judge = |value: &[u8]| match open(value) {
            Some(plain) => self.appraise(plain, now_s),
            None if self.codec.is_of_unknown_key(value) => Reading::UnknownKey,
            None => Reading::Invalid,
        };
        if let Some(name) = self.app_cookie()
            && cookie::find(cookies.clone(), name).is_none_or(<[u8]>::is_empty)
        {
            return Reading::Absent;
        }
        let own = cookie::find_all(cookies.clone(), self.lines.name());
        let reading = best_of(own, Reading::Absent, &judge);
        match (reading, self.lines.twin_name()) {
            (Reading::Live(_), _) | (_, None) => reading,
            (_, Some(twin)) => best_of(cookie::find_all(cookies, twin), reading, &judge),
        }
    }

    /// What the values of the session field are worth, which `open` opens. More than one are none: nobody could say
    /// which the target will take.
    #[inline]
    pub fn read_field<'a>(
        &self,
        field: &SessionField,
        mut values: impl Iterator<Item = &'a [u8]>,
        now_s: u64,
        open: impl Fn(&SealCodec, Sealed<'a>) -> Option<Plain>,
    ) -> Reading {
        let Some(value) = values.next() else { return Reading::Absent };
        if values.next().is_some() {
            return Reading::Invalid;
        }
        let Some(sealed) = Sealed::split(value) else { return Reading::Absent };
        match open(&field.codec, sealed) {
            Some(plain) => self.appraise(plain, now_s),
            None if field.codec.is_of_unknown_key(sealed) => Reading::UnknownKey,
            None => Reading::Invalid,
        }
    }

    /// Whether what a cookie said still counts. Times a little in the future (clocks differ between nodes)
    /// count as now.
    pub(crate) fn appraise(&self, mut plain: Plain, now_s: u64) -> Reading {
        let latest_s = now_s.saturating_add(CLOCK_SKEW_MAX_S);
        if plain.issued_s > latest_s || plain.last_seen_s > latest_s {
            return Reading::Invalid;
        }
        plain.issued_s = plain.issued_s.min(now_s);
        plain.last_seen_s = plain.last_seen_s.min(now_s);
        if plain.generation < self.options.generation {
            Reading::Flushed
        } else if now_s - plain.issued_s > self.max_age_s {
            Reading::ExpiredAge
        } else if now_s - plain.last_seen_s > self.duration_s {
            Reading::ExpiredIdle
        } else {
            Reading::Live(plain)
        }
    }

    /// Whether more than a tenth of the idle duration has passed.
    pub(crate) fn is_refresh_due(&self, plain: &Plain, now_s: u64) -> bool {
        now_s.saturating_sub(plain.last_seen_s).saturating_mul(10) > self.duration_s
    }
}

/// The best of what `values` are worth and of what was read `before`.
#[inline]
fn best_of<'a>(
    values: impl Iterator<Item = &'a [u8]>,
    before: Reading,
    judge: &impl Fn(&[u8]) -> Reading,
) -> Reading {
    let mut best = before;
    for value in values.take(CANDIDATES_MAX) {
        let reading = judge(value);
        match (best, reading) {
            // An older one that still lives is left over from another domain or path.
            (Reading::Live(kept), Reading::Live(plain)) => {
                if plain.last_seen_s > kept.last_seen_s {
                    best = reading;
                }
            }
            (Reading::Absent | Reading::Invalid | Reading::UnknownKey, _)
            | (_, Reading::Live(_)) => {
                best = reading;
            }
            (
                Reading::Flushed | Reading::ExpiredAge | Reading::ExpiredIdle | Reading::Live(_),
                _,
            ) => {}
        }
    }
    best
}

#[cfg(test)]
#[path = "verdict_tests.rs"]
pub(crate) mod tests;
