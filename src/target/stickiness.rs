//! The stickiness of one scope (a target group, or a rule over several groups) and its verdicts.
//!
//! [`Stickiness::read`] says what a request's cookie is worth (is it there, does it open, is it young
//! enough), [`Stickiness::place`] where a living one leads; [`select`](super::select::select) asks both. Pure: the
//! clock is an argument, nothing is sent or counted. Every row of the documentation's table is tested through `select`.

use std::sync::Arc;
use std::time::Duration;

use super::cookie::{self, Codec, Plain, Scope};
use super::group::{Standing, TargetGroup, TargetIndex, stable_key};
use super::keyring::KeyRing;
use super::set_cookie::Lines;
use super::sketch::Life;

/// Why a request to a sticky group went where it went; exactly the table of the documentation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Reason {
    New,
    Valid,
    ExpiredIdle,
    ExpiredAge,
    Invalid,
    Flushed,
    Draining,
    Unhealthy,
    Removed,
    Full,
}

impl Reason {
    /// In the order of the table, for counters and their tests.
    pub const ALL: [Reason; 10] = [
        Reason::New,
        Reason::Valid,
        Reason::ExpiredIdle,
        Reason::ExpiredAge,
        Reason::Invalid,
        Reason::Flushed,
        Reason::Draining,
        Reason::Unhealthy,
        Reason::Removed,
        Reason::Full,
    ];

    /// The word of the access log and the metrics.
    pub fn code(self) -> &'static str {
        match self {
            Reason::New => "new",
            Reason::Valid => "valid",
            Reason::ExpiredIdle => "expired_idle",
            Reason::ExpiredAge => "expired_age",
            Reason::Invalid => "invalid",
            Reason::Flushed => "flushed",
            Reason::Draining => "draining",
            Reason::Unhealthy => "unhealthy",
            Reason::Removed => "removed",
            Reason::Full => "full",
        }
    }
}

#[derive(Debug, Clone, PartialEq)]
pub enum StickinessKind {
    LbCookie,
    AppCookie { name: Box<str> },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Failback {
    Never,
    Healthy,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SameSite {
    Lax,
    Strict,
    None,
}

/// Settings as the file and the admin API give them.
#[derive(Debug, Clone, PartialEq)]
pub struct StickinessOptions {
    pub enabled: bool,
    pub kind: StickinessKind,
    pub duration: Duration,
    pub max_age: Duration,
    /// `None` = `limpet_<name of the scope>`.
    pub cookie_name: Option<Box<str>>,
    pub domain: Option<Box<str>>,
    pub path: Box<str>,
    pub same_site: SameSite,
    pub partitioned: bool,
    /// Twin for cross-site use (SameSite=None; Secure), named `<cookie>_cors`.
    pub cross_site_twin: bool,
    /// Keep the cookie in the request that the target sees.
    pub forward_cookie: bool,
    pub failback: Failback,
    /// "Flush stickiness" bumps it.
    pub generation: u32,
    /// Further names of session cookies to watch.
    pub session_cookies: Vec<Box<str>>,
}

impl Default for StickinessOptions {
    /// The documentation's defaults; off.
    fn default() -> StickinessOptions {
        const DAY: Duration = Duration::from_secs(86_400);
        StickinessOptions {
            enabled: false,
            kind: StickinessKind::LbCookie,
            duration: DAY,
            max_age: DAY * 7,
            cookie_name: None,
            domain: None,
            path: "/".into(),
            same_site: SameSite::Lax,
            partitioned: false,
            cross_site_twin: false,
            forward_cookie: false,
            failback: Failback::Never,
            generation: 0,
            session_cookies: Vec::new(),
        }
    }
}

/// Shortest and longest idle duration.
pub const DURATION_MIN: Duration = Duration::from_secs(1);
pub const DURATION_MAX: Duration = Duration::from_secs(7 * 86_400);

/// How far another node's clock may be ahead before its cookies are not believed.
const CLOCK_SKEW_MAX_S: u64 = 3_600;

/// Cookies of one name that are looked at: each costs an attempt to open it.
const CANDIDATES_MAX: usize = 4;

/// Why settings were refused; says what is allowed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StickinessFault {
    #[error("the idle duration must be between 1s and 7d")]
    Duration,
    #[error("the maximum age must be at least 1s")]
    MaxAge,
    #[error("{0:?} is not a cookie name: letters, digits and !#$%&'*+-.^_`|~ are allowed")]
    CookieName(Box<str>),
    #[error("the balancer's cookie and the application's have the same name {0:?}")]
    SameName(Box<str>),
    #[error("{0:?} is not a cookie domain: letters, digits, dots and hyphens are allowed")]
    Domain(Box<str>),
    #[error("{0:?} is not a cookie path: it starts with \"/\" and has no \";\", space or control")]
    Path(Box<str>),
    #[error("a cookie named __Host-… must have the path \"/\" and no domain")]
    HostPrefix,
}

/// What a request's cookie is worth.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reading {
    /// No cookie of this scope, or an application cookie is required and missing.
    Absent,
    Invalid,
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
            Reading::Flushed => Some(Reason::Flushed),
            Reading::ExpiredAge => Some(Reason::ExpiredAge),
            Reading::ExpiredIdle => Some(Reason::ExpiredIdle),
            Reading::Live(_) => None,
        }
    }
}

/// Where a living cookie leads within a group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Placed {
    /// Valid, Draining, Unhealthy or Removed.
    pub reason: Reason,
    /// `None` when the group has nobody for it.
    pub target: Option<TargetIndex>,
    /// Key of the home target from now on.
    pub home: u64,
}

/// One scope, compiled.
#[derive(Debug)]
pub struct Stickiness {
    options: StickinessOptions,
    scope: Scope,
    /// Tells scopes apart on a connection.
    scope_key: u64,
    codec: Codec,
    pub(super) lines: Lines,
    duration_s: u64,
    max_age_s: u64,
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
        Ok(Stickiness {
            scope_key: stable_key(&format!("{scope:?}")),
            codec: Codec::new(&scope, ring),
            lines,
            duration_s: options.duration.as_secs(),
            max_age_s: options.max_age.as_secs(),
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

    pub(super) fn scope_key(&self) -> u64 {
        self.scope_key
    }

    pub(super) fn codec(&self) -> &Codec {
        &self.codec
    }

    /// Name of the cookie, and of its twin, which are also what is stripped from requests.
    pub fn cookie_names(&self) -> (&[u8], Option<&[u8]>) {
        (self.lines.name(), self.lines.twin_name())
    }

    pub(super) fn app_cookie(&self) -> Option<&[u8]> {
        match &self.options.kind {
            StickinessKind::LbCookie => None,
            StickinessKind::AppCookie { name } => Some(name.as_bytes()),
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
    pub(super) fn read_through<'a>(
        &self,
        cookies: impl Iterator<Item = &'a [u8]> + Clone,
        now_s: u64,
        open: impl Fn(&[u8]) -> Option<Plain>,
    ) -> Reading {
        let judge = |value: &[u8]| match open(value) {
            Some(plain) => self.appraise(plain, now_s),
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

    /// Whether what a cookie said still counts. Times a little in the future (clocks differ between nodes)
    /// count as now.
    pub(super) fn appraise(&self, mut plain: Plain, now_s: u64) -> Reading {
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
    pub(super) fn is_refresh_due(&self, plain: &Plain, now_s: u64) -> bool {
        now_s.saturating_sub(plain.last_seen_s).saturating_mul(10) > self.duration_s
    }

    /// Where a living cookie leads within its group; `excluded` (slots of targets that refused this very
    /// request) count as unhealthy.
    pub fn place(&self, plain: &Plain, group: &TargetGroup, excluded: &[u32]) -> Placed {
        if let Some(home) = self.way_home(plain, group, excluded) {
            return Placed { reason: Reason::Valid, target: Some(home), home: plain.home };
        }
        let bound = group.find(plain.target);
        let standing = bound.map_or(Standing::Gone, |target| group.standing(target));
        let refused = bound.is_some_and(|target| group.is_excluded(target, excluded));
        let home = match self.options.failback {
            Failback::Never => plain.target,
            Failback::Healthy => plain.home,
        };
        let reason = match standing {
            Standing::Gone => Reason::Removed,
            Standing::Unhealthy => Reason::Unhealthy,
            Standing::Usable { .. } | Standing::Draining if refused => Reason::Unhealthy,
            Standing::Usable { .. } => {
                return Placed { reason: Reason::Valid, target: bound, home };
            }
            Standing::Draining => return Placed { reason: Reason::Draining, target: bound, home },
        };
        let target = group.fail_over(plain.session, excluded);
        let home = match self.options.failback {
            Failback::Never => {
                target.and_then(|index| group.targets.get(index)).map_or(0, |t| t.key)
            }
            Failback::Healthy => plain.home,
        };
        Placed { reason, target, home }
    }

    /// The home target of a session that lives elsewhere, if it may return: the settings say so, and the
    /// home is truly healthy (not only used because nobody is) and takes sessions.
    fn way_home(
        &self,
        plain: &Plain,
        group: &TargetGroup,
        excluded: &[u32],
    ) -> Option<TargetIndex> {
        if self.options.failback == Failback::Never || plain.home == plain.target {
            return None;
        }
        let home = group.find(plain.home)?;
        let is_open = group.standing(home) == Standing::Usable { healthy: true }
            && group.targets.get(home)?.weight > 0
            && !group.is_excluded(home, excluded);
        is_open.then_some(home)
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
            (Reading::Absent | Reading::Invalid, _) | (_, Reading::Live(_)) => best = reading,
            (
                Reading::Flushed | Reading::ExpiredAge | Reading::ExpiredIdle | Reading::Live(_),
                _,
            ) => {}
        }
    }
    best
}
#[cfg(test)]
#[path = "stickiness_tests.rs"]
pub(super) mod tests;
