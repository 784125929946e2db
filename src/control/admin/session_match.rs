//! The session-match warning of a group in words, with the settings that would make it go away.
//!
//! Pure; the comparison itself is `target::session_match`. Tested below.

use std::collections::BTreeMap;
use std::time::Duration;

use super::views::{MatchKind, SessionMatch};
use crate::control::config::schema::{self, Kind};
use crate::control::config::units::show_duration;
use crate::target::session_match::{Mismatch, MismatchKind};

/// From here on a lifetime is shown and suggested in whole minutes: one that is written as a date is
/// always a few seconds short.
const WHOLE_MINUTES_FROM_S: u64 = 600;

/// What is said of one mismatch, under these durations of the group's stickiness.
pub fn describe(mismatch: &Mismatch, duration: Duration, max_age: Duration) -> SessionMatch {
    let session = readable(mismatch.session_s);
    let stickiness = show_duration(Duration::from_secs(mismatch.stickiness_s));
    let suggestion = suggestion(mismatch.kind, session, duration, max_age);
    let (cookie, setting) = (&mismatch.cookie, mismatch.setting);
    let session = show_duration(session);
    let mut text = match mismatch.kind {
        MismatchKind::EndsBefore => format!(
            "Stickiness ends after {stickiness}, but the session in the cookie {cookie} lives {session}: users \
             lose their session"
        ),
        MismatchKind::FarOutlives => format!(
            "Stickiness lasts {stickiness}, but the session in the cookie {cookie} lives only {session}: users \
             stay bound for nothing"
        ),
    };
    match &suggestion {
        Some(settings) => {
            let settings: Vec<String> =
                settings.iter().map(|(key, value)| format!("{key} to {value}")).collect();
            text.push_str(&format!("; set {}", settings.join(" and ")));
        }
        None => text.push_str(&format!("; stickiness.{setting} cannot be set so far")),
    }
    let kind = match mismatch.kind {
        MismatchKind::EndsBefore => MatchKind::EndsBefore,
        MismatchKind::FarOutlives => MatchKind::Outlives,
    };
    SessionMatch { cookie: cookie.to_string(), kind, session, stickiness, text, suggestion }
}

/// Both durations as they must be, as far as a file may have them; `None` when nothing would be better.
fn suggestion(
    kind: MismatchKind,
    session: Duration,
    duration: Duration,
    max_age: Duration,
) -> Option<BTreeMap<&'static str, String>> {
    let (shortest, longest) = range("duration")?;
    let (_, oldest) = range("max_age")?;
    let new_duration = match kind {
        MismatchKind::EndsBefore => duration.max(session.min(longest)),
        MismatchKind::FarOutlives => session.max(shortest),
    };
    let new_max_age = match kind {
        MismatchKind::EndsBefore => max_age.max(session.min(oldest)),
        MismatchKind::FarOutlives => max_age.max(new_duration),
    };
    let mut settings = BTreeMap::new();
    if new_duration != duration {
        settings.insert("stickiness.duration", show_duration(new_duration));
    }
    if new_max_age != max_age {
        settings.insert("stickiness.max_age", show_duration(new_max_age));
    }
    (!settings.is_empty()).then_some(settings)
}

/// What a file may say.
fn range(key: &str) -> Option<(Duration, Duration)> {
    match schema::STICKINESS.setting(key)?.kind {
        Kind::Duration { min, max, .. } => Some((min, max)),
        _ => None,
    }
}

fn readable(seconds: u64) -> Duration {
    let whole = if seconds >= WHOLE_MINUTES_FROM_S { 60 } else { 1 };
    Duration::from_secs(seconds.div_ceil(whole).saturating_mul(whole))
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR_S: u64 = 3600;
    const DAY_S: u64 = 24 * HOUR_S;

    fn said(kind: MismatchKind, session_s: u64, duration_s: u64, max_age_s: u64) -> SessionMatch {
        let (setting, stickiness_s) = match duration_s < session_s {
            false if kind == MismatchKind::EndsBefore => ("max_age", max_age_s),
            _ => ("duration", duration_s),
        };
        let mismatch =
            Mismatch { cookie: "PHPSESSID".into(), session_s, stickiness_s, kind, setting };
        describe(&mismatch, Duration::from_secs(duration_s), Duration::from_secs(max_age_s))
    }

    fn settings(said: &SessionMatch) -> Option<Vec<(&str, &str)>> {
        let settings = said.suggestion.as_ref()?;
        Some(settings.iter().map(|(key, value)| (*key, value.as_str())).collect())
    }

    #[test]
    fn the_sentence_has_both_figures_and_the_setting() {
        let said = said(MismatchKind::EndsBefore, 12 * HOUR_S, HOUR_S, DAY_S);
        assert_eq!((&*said.session, &*said.stickiness), ("12h", "1h"));
        assert_eq!(settings(&said), Some(vec![("stickiness.duration", "12h")]));
        assert_eq!(
            said.text,
            "Stickiness ends after 1h, but the session in the cookie PHPSESSID lives 12h: users lose their \
             session; set stickiness.duration to 12h"
        );
    }

    #[test]
    fn suggestions_stay_within_what_a_file_may_say() {
        use MismatchKind::*;
        for (kind, session_s, duration_s, max_age_s, wanted) in [
            (
                EndsBefore,
                2 * DAY_S,
                HOUR_S,
                DAY_S,
                Some(vec![("stickiness.duration", "2d"), ("stickiness.max_age", "2d")]),
            ),
            (EndsBefore, 2 * DAY_S, 2 * DAY_S, DAY_S, Some(vec![("stickiness.max_age", "2d")])),
            // A week is the longest idle duration there is.
            (
                EndsBefore,
                30 * DAY_S,
                DAY_S,
                7 * DAY_S,
                Some(vec![("stickiness.duration", "7d"), ("stickiness.max_age", "30d")]),
            ),
            (EndsBefore, 30 * DAY_S, 7 * DAY_S, 30 * DAY_S, None),
            (EndsBefore, 900 * DAY_S, 7 * DAY_S, 366 * DAY_S, None),
            (FarOutlives, HOUR_S, DAY_S, 7 * DAY_S, Some(vec![("stickiness.duration", "1h")])),
            // An Expires that is a date: two weeks short of a moment.
            (
                EndsBefore,
                2 * DAY_S - 1,
                DAY_S,
                7 * DAY_S,
                Some(vec![("stickiness.duration", "2d")]),
            ),
            (FarOutlives, 59, HOUR_S, DAY_S, Some(vec![("stickiness.duration", "59s")])),
        ] {
            let said = said(kind, session_s, duration_s, max_age_s);
            assert_eq!(
                settings(&said),
                wanted,
                "{session_s} s under {duration_s} s, {max_age_s} s"
            );
            assert_eq!(said.text.contains("cannot"), wanted.is_none());
        }
    }
}
