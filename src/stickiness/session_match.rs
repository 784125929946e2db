//! Do the sessions of the application and the stickiness of limpet live equally long?
//!
//! Notes the lifetime of the session cookies that targets set and compares it with the stickiness durations
//! when asked. A shard that sees a cookie it knows reads two atomics and is done; it locks only to note
//! something new. Comparing, wording and logging are the control plane's, which asks from time to time.
//! Tested beside it.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use super::response_cookie::{self, Lifetime};
use super::verdict::Stickiness;

/// Names under which frameworks keep their session.
pub const SESSION_COOKIES: [&str; 12] = [
    "PHPSESSID",
    "JSESSIONID",
    "connect.sid",
    "session",
    "sessionid",
    "session_id",
    "ASP.NET_SessionId",
    ".AspNetCore.Session",
    "_session_id",
    "laravel_session",
    "CGISESSID",
    "beaker.session.id",
];

/// Sessions whose cookie has no Max-Age: how long the server keeps them unless it is told otherwise. The cookie's
/// name, whose default it is, seconds without a request.
const DEFAULTS_S: [(&str, &str, u64); 4] = [
    ("PHPSESSID", "PHP", 24 * 60),
    ("JSESSIONID", "Tomcat", 30 * 60),
    ("ASP.NET_SessionId", "ASP.NET", 20 * 60),
    (".AspNetCore.Session", "ASP.NET Core", 20 * 60),
];

/// Session cookies that are noted for one group.
const NOTES_MAX: usize = 8;
/// Stickiness that lasts this many times as long as the session far outlives it.
const FAR: u64 = 4;
/// Lifetime of a cookie that ends with the browser.
const BROWSER: u64 = u64::MAX;
/// A lifetime counts as another one when it differs by more than this part of itself.
const TOLERANCE: u64 = 10;

/// How the two lifetimes disagree.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MismatchKind {
    /// The user is sent elsewhere while the session is still alive.
    EndsBefore,
    /// Users stay bound to a target long after there is anything to come back to.
    FarOutlives,
}

/// How long a session lives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Life {
    pub seconds: u64,
    /// Whose default that is; `None` where the cookie itself says it.
    pub by_default_of: Option<&'static str>,
}

/// A session cookie that was seen; its life is `None` where nobody says how long that is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    pub cookie: Box<str>,
    pub life: Option<Life>,
}

/// How a session and the stickiness beside it disagree.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Gap {
    pub kind: MismatchKind,
    /// The setting to change, below the group's or rule's `stickiness`.
    pub setting: &'static str,
    /// What it is now.
    pub stickiness_s: u64,
}

/// A session cookie whose lifetime does not match the stickiness.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mismatch {
    pub cookie: Box<str>,
    pub session: Life,
    pub gap: Gap,
}

/// What shards compare without a lock. A hash of 0 is a free place.
#[derive(Debug, Default)]
struct Known {
    name_hash: AtomicU64,
    lifetime_s: AtomicU64,
}

#[derive(Debug)]
struct Note {
    name: Box<str>,
    lifetime_s: u64,
    logged: Option<Mismatch>,
}

/// The session cookies seen in one group. Parallel: the notes and what is known of them.
#[derive(Debug, Default)]
pub struct SessionNotes {
    known: [Known; NOTES_MAX],
    notes: Mutex<Vec<Note>>,
}

impl SessionNotes {
    /// Looks at one Set-Cookie field value of a target's response to a sticky scope.
    pub fn observe(&self, sticky: &Stickiness, field_value: &[u8], now_s: u64) {
        self.look(field_value, now_s, |name| sticky.is_session_cookie(name));
    }

    /// The same for a response of a group that keeps nobody; `names` are watched besides the well-known ones.
    pub fn observe_unkept(&self, names: &[Box<str>], field_value: &[u8], now_s: u64) {
        self.look(field_value, now_s, |name| is_well_known(name) || has(names, name));
    }

    fn look(&self, field_value: &[u8], now_s: u64, is_watched: impl Fn(&[u8]) -> bool) {
        let Some(cookie) = response_cookie::parse(field_value, now_s) else { return };
        let lifetime_s = match cookie.lifetime {
            Lifetime::Deleted => return,
            Lifetime::Browser => BROWSER,
            Lifetime::Seconds(seconds) => seconds.min(BROWSER - 1),
        };
        if is_watched(cookie.name) && !self.is_known(cookie.name, lifetime_s) {
            self.note(cookie.name, lifetime_s);
        }
    }

    fn is_known(&self, name: &[u8], lifetime_s: u64) -> bool {
        let hash = hash_of(name);
        for known in &self.known {
            match known.name_hash.load(Ordering::Acquire) {
                0 => return false,
                of if of == hash => {
                    return is_close(known.lifetime_s.load(Ordering::Relaxed), lifetime_s);
                }
                _ => {}
            }
        }
        // All places are taken: what else is there is not noted.
        true
    }

    #[cold]
    fn note(&self, name: &[u8], lifetime_s: u64) {
        let Ok(name) = std::str::from_utf8(name) else { return };
        let mut notes = self.notes.lock().unwrap_or_else(PoisonError::into_inner);
        let position = match notes.iter().position(|note| &*note.name == name) {
            Some(position) => position,
            None if notes.len() < NOTES_MAX => {
                notes.push(Note { name: name.into(), lifetime_s, logged: None });
                notes.len() - 1
            }
            None => return,
        };
        if let (Some(note), Some(known)) = (notes.get_mut(position), self.known.get(position)) {
            note.lifetime_s = lifetime_s;
            known.lifetime_s.store(lifetime_s, Ordering::Relaxed);
            known.name_hash.store(hash_of(name.as_bytes()), Ordering::Release);
        }
    }

    /// Session cookies seen and how long their sessions live.
    pub fn seen(&self) -> Vec<Seen> {
        let notes = self.notes.lock().unwrap_or_else(PoisonError::into_inner);
        let seen = notes.iter().map(|note| Seen {
            cookie: note.name.clone(),
            life: life(&note.name, note.lifetime_s),
        });
        seen.collect()
    }

    /// What does not match now; for the console and the admin API.
    pub fn mismatches(&self, sticky: &Stickiness) -> Vec<Mismatch> {
        let notes = self.notes.lock().unwrap_or_else(PoisonError::into_inner);
        notes.iter().filter_map(|note| compare(&note.name, note.lifetime_s, sticky)).collect()
    }

    /// What does not match and was not handed out before: each is logged once.
    pub fn unlogged(&self, sticky: &Stickiness) -> Vec<Mismatch> {
        let mut notes = self.notes.lock().unwrap_or_else(PoisonError::into_inner);
        let mut fresh = Vec::new();
        for note in notes.iter_mut() {
            let Some(mismatch) = compare(&note.name, note.lifetime_s, sticky) else { continue };
            // Nobody loses anything by it, and it may not be so: a default is what most have, not what this one has.
            let is_guess = mismatch.session.by_default_of.is_some();
            if is_guess && mismatch.gap.kind == MismatchKind::FarOutlives {
                continue;
            }
            let is_logged = note.logged.as_ref().is_some_and(|logged| {
                logged.gap == mismatch.gap
                    && is_close(logged.session.seconds, mismatch.session.seconds)
            });
            if !is_logged {
                note.logged = Some(mismatch.clone());
                fresh.push(mismatch);
            }
        }
        fresh
    }
}

impl Stickiness {
    /// Whether a cookie of this name is watched: well known, named in the file, or the application's.
    fn is_session_cookie(&self, name: &[u8]) -> bool {
        is_well_known(name)
            || has(&self.options().session_cookies, name)
            || self.app_cookie() == Some(name)
    }
}

fn is_well_known(name: &[u8]) -> bool {
    SESSION_COOKIES.iter().any(|known| known.as_bytes() == name)
}

fn has(names: &[Box<str>], name: &[u8]) -> bool {
    names.iter().any(|known| known.as_bytes() == name)
}

/// How long a session lives whose cookie lives so long; one that ends with the browser as its framework has it.
fn life(name: &str, lifetime_s: u64) -> Option<Life> {
    if lifetime_s != BROWSER {
        return Some(Life { seconds: lifetime_s, by_default_of: None });
    }
    let (_, whose, seconds) = DEFAULTS_S.iter().find(|(cookie, ..)| *cookie == name)?;
    Some(Life { seconds: *seconds, by_default_of: Some(whose) })
}

/// A session of which nobody knows how long it lives has no figure to compare.
/// Sessions that a field carries do not live by any cookie.
fn compare(name: &str, lifetime_s: u64, sticky: &Stickiness) -> Option<Mismatch> {
    if sticky.session_field().is_some() {
        return None;
    }
    let session = life(name, lifetime_s)?;
    let options = sticky.options();
    let gap = gap(session.seconds, options.duration.as_secs(), options.max_age.as_secs())?;
    Some(Mismatch { cookie: name.into(), session, gap })
}

/// Whether a session that lives so long goes with these durations of stickiness.
pub fn gap(session_s: u64, duration_s: u64, max_age_s: u64) -> Option<Gap> {
    let (kind, setting, stickiness_s) = if duration_s < session_s {
        (MismatchKind::EndsBefore, "duration", duration_s)
    } else if max_age_s < session_s {
        (MismatchKind::EndsBefore, "max_age", max_age_s)
    } else if duration_s > session_s.saturating_mul(FAR) {
        (MismatchKind::FarOutlives, "duration", duration_s)
    } else {
        return None;
    };
    Some(Gap { kind, setting, stickiness_s })
}

/// An Expires that is written as a date gives a lifetime that jitters by seconds.
fn is_close(one_s: u64, other_s: u64) -> bool {
    one_s == other_s
        || (one_s != BROWSER
            && other_s != BROWSER
            && one_s.abs_diff(other_s) <= one_s / TOLERANCE + 1)
}

/// FNV-1a; never 0, which marks a free place.
fn hash_of(name: &[u8]) -> u64 {
    let hash = name.iter().fold(0xCBF2_9CE4_8422_2325, |hash: u64, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01B3)
    });
    hash.max(1)
}

#[cfg(test)]
mod tests {
    use super::super::verdict::tests::{options, sticky};
    use crate::stickiness::options::{OnLost, StickinessKind};
    use crate::stickiness::session_match::*;
    use std::time::Duration;

    fn lasting(duration_s: u64, max_age_s: u64) -> Stickiness {
        let mut options = options();
        options.duration = Duration::from_secs(duration_s);
        options.max_age = Duration::from_secs(max_age_s);
        options.session_cookies = vec!["mine".into()];
        sticky(options)
    }

    fn mismatch(
        sticky: &Stickiness,
        field: &str,
    ) -> Option<(u64, u64, MismatchKind, &'static str)> {
        let notes = SessionNotes::default();
        notes.observe(sticky, field.as_bytes(), 1_000);
        let found = notes.mismatches(sticky).pop()?;
        let Gap { kind, setting, stickiness_s } = found.gap;
        Some((found.session.seconds, stickiness_s, kind, setting))
    }

    #[test]
    fn lifetimes_are_compared_with_both_durations() {
        use MismatchKind::*;
        let sticky = lasting(3_600, 7_200);
        let cases = [
            ("PHPSESSID=x; Max-Age=3600", None),
            ("PHPSESSID=x; Max-Age=900", None),
            ("PHPSESSID=x", None),
            ("PHPSESSID=x; Max-Age=0", None),
            ("PHPSESSID=x; Max-Age=3601", Some((3_601, 3_600, EndsBefore, "duration"))),
            ("PHPSESSID=x; Max-Age=899", Some((899, 3_600, FarOutlives, "duration"))),
            ("mine=x; Max-Age=60", Some((60, 3_600, FarOutlives, "duration"))),
            ("other=x; Max-Age=60", None),
            ("phpsessid=x; Max-Age=60", None),
        ];
        for (field, wanted) in cases {
            assert_eq!(mismatch(&sticky, field), wanted, "{field}");
        }
        let short_age = lasting(3_600, 1_800);
        let wanted = Some((2_000, 1_800, EndsBefore, "max_age"));
        assert_eq!(mismatch(&short_age, "JSESSIONID=x; Max-Age=2000"), wanted);
    }

    #[test]
    fn a_mismatch_is_handed_out_for_logging_once() {
        let sticky = lasting(3_600, 7_200);
        let notes = SessionNotes::default();
        notes.observe(&sticky, b"session=x; Max-Age=86400", 0);
        assert_eq!(notes.unlogged(&sticky).len(), 1);
        notes.observe(&sticky, b"session=y; Max-Age=86399", 0);
        assert_eq!(notes.unlogged(&sticky).len(), 0);
        assert_eq!(notes.mismatches(&sticky).len(), 1);
        notes.observe(&sticky, b"session=y; Max-Age=60", 0);
        assert_eq!(notes.unlogged(&sticky).len(), 1);
        let changed = lasting(60, 7_200);
        assert_eq!(notes.unlogged(&changed).len(), 0, "it matches now");
    }

    #[test]
    fn what_is_known_takes_no_lock() {
        let sticky = lasting(3_600, 7_200);
        let notes = SessionNotes::default();
        notes.observe(&sticky, b"session=x; Max-Age=1000", 0);
        let held = notes.notes.lock().expect("free");
        notes.observe(&sticky, b"session=y; Max-Age=1000", 0);
        notes.observe(&sticky, b"session=y; Max-Age=950", 0);
        notes.observe(&sticky, b"session=; Max-Age=0", 0);
        notes.observe(&sticky, b"unwatched=y; Max-Age=950", 0);
        drop(held);
        let life = Some(Life { seconds: 1_000, by_default_of: None });
        assert_eq!(notes.seen(), [Seen { cookie: "session".into(), life }]);
    }

    #[test]
    fn a_cookie_that_ends_with_the_browser_lives_as_its_framework_keeps_sessions() {
        use MismatchKind::*;
        let short = lasting(600, 7_200);
        let wanted = |session_s| Some((session_s, 600, EndsBefore, "duration"));
        for (field, session) in [
            ("PHPSESSID=x; Path=/", wanted(1_440)),
            ("JSESSIONID=x; HttpOnly", wanted(1_800)),
            ("ASP.NET_SessionId=x", wanted(1_200)),
            // Nobody knows how long these live.
            ("connect.sid=x", None),
            ("mine=x", None),
            // What the cookie says is so.
            ("PHPSESSID=x; Max-Age=600", None),
        ] {
            assert_eq!(mismatch(&short, field), session, "{field}");
        }
        let long = lasting(86_400, 604_800);
        let far = Some((1_440, 86_400, FarOutlives, "duration"));
        assert_eq!(mismatch(&long, "PHPSESSID=x"), far);
        // That is a hint and no news: a default of limpet's beside one of PHP's.
        let notes = SessionNotes::default();
        notes.observe(&long, b"PHPSESSID=x", 0);
        assert_eq!((notes.unlogged(&long).len(), notes.unlogged(&short).len()), (0, 1));
    }

    #[test]
    fn what_was_seen_before_sessions_went_into_a_field_is_no_mismatch() {
        let notes = SessionNotes::default();
        notes.observe(&lasting(60, 60), b"PHPSESSID=x; Max-Age=600", 0);
        assert_eq!(notes.mismatches(&lasting(60, 60)).len(), 1);
        let mut options = lasting(60, 60).options().clone();
        let name = "Mcp-Session-Id".into();
        options.kind = StickinessKind::AppHeader { name, on_lost: OnLost::Balance };
        let by_field = sticky(options);
        assert_eq!((notes.mismatches(&by_field), notes.unlogged(&by_field)), (vec![], vec![]));
    }

    #[test]
    fn sessions_of_a_group_that_keeps_nobody_are_noted_too() {
        let notes = SessionNotes::default();
        let names = ["mine".into()];
        for field in ["PHPSESSID=x", "mine=y; Max-Age=60", "other=z; Max-Age=60"] {
            notes.observe_unkept(&names, field.as_bytes(), 0);
        }
        let seen: Vec<_> = notes.seen().into_iter().map(|seen| seen.cookie).collect();
        assert_eq!(seen, ["PHPSESSID".into(), "mine".into()]);
    }

    #[test]
    fn notes_are_bounded() {
        let mut options = options();
        options.session_cookies = (0..50).map(|n| format!("s{n}").into()).collect();
        let sticky = sticky(options);
        let notes = SessionNotes::default();
        for n in 0..50 {
            notes.observe(&sticky, format!("s{n}=x").as_bytes(), 0);
        }
        let held = notes.notes.lock().expect("free");
        assert_eq!(held.len(), NOTES_MAX);
        notes.observe(&sticky, b"s49=x", 0);
    }
}
