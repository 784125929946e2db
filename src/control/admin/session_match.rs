//! The session-match warning of a group in words, with the settings that would remove it.
//!
//! Pure; the comparison itself is `stickiness::session_match`. Tested below.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::Value;

use super::views::{MatchKind, SessionMatch};
use crate::control::config::schema::{self, Kind};
use crate::control::config::units::show_duration;
use crate::stickiness::session_match::{self, Life, Mismatch, MismatchKind, Seen};

/// From here on a lifetime is shown and suggested in whole minutes: one that is given as a date is always a few seconds
/// short.
const WHOLE_MINUTES_FROM_S: u64 = 600;

/// The warning about one mismatch, for these durations of the group's stickiness.
pub fn describe(mismatch: &Mismatch, duration: Duration, max_age: Duration) -> SessionMatch {
    let Mismatch { cookie, session: life, gap } = mismatch;
    let stickiness = show_duration(Duration::from_secs(gap.stickiness_s));
    let suggestion = suggestion(gap.kind, readable(life.seconds), duration, max_age);
    let session = told(life);
    let mut text = match gap.kind {
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
        Some(settings) => text.push_str(&format!("; {}", to_set(settings))),
        None => text.push_str(&format!("; stickiness.{} cannot be set so far", gap.setting)),
    }
    let kind = match gap.kind {
        MismatchKind::EndsBefore => MatchKind::EndsBefore,
        MismatchKind::FarOutlives => MatchKind::Outlives,
    };
    let session = Some(show_duration(readable(life.seconds)));
    SessionMatch { cookie: cookie.to_string(), kind, session, stickiness, text, suggestion }
}

/// The advice about a session in a group that is not sticky, for the durations that its stickiness would have.
pub fn advise(seen: &Seen, duration: Duration, max_age: Duration) -> SessionMatch {
    let Seen { cookie, life } = seen;
    let mut settings = Settings::from([("stickiness.enabled", true.into())]);
    let gap = life.and_then(|life| {
        session_match::gap(life.seconds, duration.as_secs(), max_age.as_secs())
            .and_then(|gap| suggestion(gap.kind, readable(life.seconds), duration, max_age))
    });
    settings.extend(gap.into_iter().flatten());
    let lives =
        life.as_ref().map_or(String::new(), |life| format!(", which lives {},", told(life)));
    let text = format!(
        "The application keeps a session in the cookie {cookie}{lives} and the group is not sticky: unless its \
         targets share their sessions, users lose theirs; {}",
        to_set(&settings)
    );
    SessionMatch {
        cookie: cookie.to_string(),
        kind: MatchKind::NotSticky,
        session: life.map(|life| show_duration(readable(life.seconds))),
        stickiness: "off".to_owned(),
        text,
        suggestion: Some(settings),
    }
}

/// Settings of a group, by key.
type Settings = BTreeMap<&'static str, Value>;

/// "12h", "24m (PHP's default; the cookie itself says nothing)"
fn told(life: &Life) -> String {
    let lasts = show_duration(readable(life.seconds));
    match life.by_default_of {
        Some(whose) => format!("{lasts} ({whose}'s default; the cookie itself says nothing)"),
        None => lasts,
    }
}

/// "set stickiness.enabled to true and stickiness.duration to 12h"
fn to_set(settings: &Settings) -> String {
    let said = settings.iter().map(|(key, value)| match value {
        Value::String(text) => format!("{key} to {text}"),
        other => format!("{key} to {other}"),
    });
    format!("set {}", said.collect::<Vec<String>>().join(" and "))
}

/// Both durations with the values that they need, as far as a file may have them; `None` when nothing would be better.
fn suggestion(
    kind: MismatchKind,
    session: Duration,
    duration: Duration,
    max_age: Duration,
) -> Option<Settings> {
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
    let mut settings = Settings::new();
    if new_duration != duration {
        settings.insert("stickiness.duration", show_duration(new_duration).into());
    }
    if new_max_age != max_age {
        settings.insert("stickiness.max_age", show_duration(new_max_age).into());
    }
    (!settings.is_empty()).then_some(settings)
}

/// The range that a file may use.
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
    use crate::control::admin::session_match::*;
    use crate::stickiness::session_match::Gap;

    const HOUR_S: u64 = 3600;
    const DAY_S: u64 = 24 * HOUR_S;

    fn said(kind: MismatchKind, session_s: u64, duration_s: u64, max_age_s: u64) -> SessionMatch {
        let (setting, stickiness_s) = match duration_s < session_s {
            false if kind == MismatchKind::EndsBefore => ("max_age", max_age_s),
            _ => ("duration", duration_s),
        };
        let session = Life { seconds: session_s, by_default_of: None };
        let gap = Gap { kind, setting, stickiness_s };
        let mismatch = Mismatch { cookie: "PHPSESSID".into(), session, gap };
        describe(&mismatch, Duration::from_secs(duration_s), Duration::from_secs(max_age_s))
    }

    fn settings(said: &SessionMatch) -> Option<Vec<(&str, &str)>> {
        let settings = said.suggestion.as_ref()?;
        Some(settings.iter().map(|(key, value)| (*key, value.as_str().unwrap_or("on"))).collect())
    }

    #[test]
    fn the_sentence_has_both_figures_and_the_setting() {
        let said = said(MismatchKind::EndsBefore, 12 * HOUR_S, HOUR_S, DAY_S);
        assert_eq!((said.session.as_deref(), &*said.stickiness), (Some("12h"), "1h"));
        assert_eq!(settings(&said), Some(vec![("stickiness.duration", "12h")]));
        assert_eq!(
            said.text,
            "Stickiness ends after 1h, but the session in the cookie PHPSESSID lives 12h: users lose their \
             session; set stickiness.duration to 12h"
        );
    }

    #[test]
    fn a_default_is_told_as_one() {
        let seconds = 24 * 60;
        let session = Life { seconds, by_default_of: Some("PHP") };
        let gap = Gap { kind: MismatchKind::EndsBefore, setting: "duration", stickiness_s: 600 };
        let mismatch = Mismatch { cookie: "PHPSESSID".into(), session, gap };
        let said = describe(&mismatch, Duration::from_secs(600), Duration::from_secs(DAY_S));
        assert!(said.text.contains("lives 24m (PHP's default; the cookie"), "{}", said.text);
        assert_eq!(settings(&said), Some(vec![("stickiness.duration", "24m")]));
    }

    #[test]
    fn a_session_that_nobody_keeps_is_told_with_all_that_would_keep_it() {
        let advice = |life| {
            let seen = Seen { cookie: "PHPSESSID".into(), life };
            advise(&seen, Duration::from_secs(DAY_S), Duration::from_secs(7 * DAY_S))
        };
        let of = |seconds| Some(Life { seconds, by_default_of: None });
        let two_days = advice(of(2 * DAY_S));
        let both = vec![("stickiness.duration", "2d"), ("stickiness.enabled", "on")];
        assert_eq!(settings(&two_days), Some(both));
        assert_eq!((two_days.kind, &*two_days.stickiness), (MatchKind::NotSticky, "off"));
        assert!(
            two_days.text.contains("set stickiness.duration to 2d and stickiness.enabled to true")
        );
        let alone = Some(vec![("stickiness.enabled", "on")]);
        assert_eq!(settings(&advice(of(DAY_S))), alone);
        let unknown = advice(None);
        assert_eq!((settings(&unknown), unknown.session.as_deref()), (alone, None));
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
            // A week is the longest idle duration that is allowed.
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
            // An Expires that is a date: a moment less than two weeks.
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
