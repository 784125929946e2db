//! Durations and sizes as people write them: "5s", "1h30m", "64KiB".
//!
//! Exact: a text has one meaning, to the millisecond and the byte, and a text that could be read in two ways is
//! refused. Never rounds, never overflows. Tested as tables and by proptest (a shown value is read back unchanged).

use std::fmt::Write as _;
use std::time::Duration;

use serde::Deserialize as _;
use serde::de::{Deserializer, Error as _};

/// Units of a duration in milliseconds, longest first.
const DURATION_UNITS: [(&str, u64); 6] = [
    ("w", 604_800_000),
    ("d", 86_400_000),
    ("h", 3_600_000),
    ("m", 60_000),
    ("s", 1000),
    ("ms", 1),
];

/// Units of a size in bytes; a size is shown in the first one that divides it.
const SIZE_UNITS: [(&str, u64); 9] = [
    ("TiB", 1 << 40),
    ("GiB", 1 << 30),
    ("MiB", 1 << 20),
    ("KiB", 1 << 10),
    ("TB", 1_000_000_000_000),
    ("GB", 1_000_000_000),
    ("MB", 1_000_000),
    ("KB", 1000),
    ("B", 1),
];

/// Which units of durations there are, for messages.
pub(super) const DURATION_UNITS_TEXT: &str = "units are ms, s, m, h, d and w";

/// Which units of sizes there are, for messages.
pub(super) const SIZE_UNITS_TEXT: &str =
    "units are B, KiB, MiB, GiB, TiB (of 1024) and KB, MB, GB, TB (of 1000)";

/// Other balancers' words for the units of durations; in lower case.
const DURATION_WORDS: [(&str, &str); 19] = [
    ("msec", "ms"),
    ("millis", "ms"),
    ("millisecond", "ms"),
    ("milliseconds", "ms"),
    ("sec", "s"),
    ("secs", "s"),
    ("second", "s"),
    ("seconds", "s"),
    ("min", "m"),
    ("mins", "m"),
    ("minute", "m"),
    ("minutes", "m"),
    ("hr", "h"),
    ("hour", "h"),
    ("hours", "h"),
    ("day", "d"),
    ("days", "d"),
    ("week", "w"),
    ("weeks", "w"),
];

/// Other balancers' words for the units of sizes; in lower case.
const SIZE_WORDS: [(&str, &str); 10] = [
    ("byte", "B"),
    ("bytes", "B"),
    ("k", "KiB"),
    ("m", "MiB"),
    ("g", "GiB"),
    ("t", "TiB"),
    ("ki", "KiB"),
    ("mi", "MiB"),
    ("gi", "GiB"),
    ("ti", "TiB"),
];

fn unknown_unit(unit: &str, words: &[(&str, &str)], units: &str) -> String {
    let word = words.iter().find(|(word, _)| unit.eq_ignore_ascii_case(word));
    let cased = DURATION_UNITS.iter().chain(&SIZE_UNITS).map(|(name, _)| (*name, *name));
    // "M" may be minutes or months for durations: only a unit with one meaning is proposed.
    let near = word.copied().or_else(|| {
        let mut cased = cased.filter(|(name, _)| units.contains(name) && unit.len() == name.len());
        cased.find(|(name, _)| unit != "M" && unit.eq_ignore_ascii_case(name))
    });
    match near {
        Some((_, near)) => format!("has the unknown unit {unit:?}, did you mean {near:?}? {units}"),
        None => format!("has the unknown unit {unit:?}; {units}"),
    }
}

/// Reads "250ms", "5s", "1h30m"; units from long to short, each at most once. "0" needs no unit.
///
/// # Errors
/// What is wrong with the text, as the predicate of a sentence.
pub fn parse_duration(text: &str) -> Result<Duration, String> {
    if text == "0" {
        return Ok(Duration::ZERO);
    }
    let mut rest = text;
    let mut total_ms: u64 = 0;
    let mut units_left: &[(&str, u64)] = &DURATION_UNITS;
    if rest.is_empty() {
        return Err("is empty".into());
    }
    while !rest.is_empty() {
        let (count, unit, after) = number_and_unit(rest)?;
        if unit.is_empty() {
            return Err(format!("has no unit after {count}; {DURATION_UNITS_TEXT}"));
        }
        let mut units = units_left.iter();
        let Some((_, unit_ms)) = units.find(|(name, _)| *name == unit) else {
            return Err(if DURATION_UNITS.iter().any(|(name, _)| *name == unit) {
                format!("has the unit {unit:?} twice or not in order from long to short")
            } else {
                unknown_unit(unit, &DURATION_WORDS, DURATION_UNITS_TEXT)
            });
        };
        units_left = units.as_slice();
        total_ms = count
            .checked_mul(*unit_ms)
            .and_then(|ms| total_ms.checked_add(ms))
            .ok_or("is too long to count in milliseconds")?;
        rest = after;
    }
    Ok(Duration::from_millis(total_ms))
}

/// Reads "500B", "64KiB", "16KB" (1000s). "0" needs no unit.
///
/// # Errors
/// What is wrong with the text, as the predicate of a sentence.
pub fn parse_size(text: &str) -> Result<u64, String> {
    if text == "0" {
        return Ok(0);
    }
    if text.is_empty() {
        return Err("is empty".into());
    }
    let (count, unit, after) = number_and_unit(text)?;
    if !after.is_empty() {
        return Err(format!("goes on after the unit: {after:?}"));
    }
    if unit.is_empty() {
        return Err(format!("has no unit after {count}; {SIZE_UNITS_TEXT}"));
    }
    let found = SIZE_UNITS.iter().find(|(name, _)| *name == unit);
    let Some((_, unit_bytes)) = found.or((unit == "kB").then_some(&SIZE_UNITS[7])) else {
        return Err(unknown_unit(unit, &SIZE_WORDS, SIZE_UNITS_TEXT));
    };
    count.checked_mul(*unit_bytes).ok_or_else(|| "is too large to count in bytes".into())
}

/// Splits "90s…" into its number, its unit and the rest.
fn number_and_unit(text: &str) -> Result<(u64, &str, &str), String> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, rest) = text.split_at(digits);
    if number.is_empty() {
        return Err(if text.starts_with('-') {
            "is negative".into()
        } else {
            format!("does not start with a number at {text:?}")
        });
    }
    if rest.starts_with(['.', ',']) {
        return Err("is not a whole number; take a smaller unit".into());
    }
    let count = number.parse().map_err(|_| "has a number that is too large".to_owned())?;
    let letters = rest.bytes().take_while(u8::is_ascii_alphabetic).count();
    let (unit, after) = rest.split_at(letters);
    if after.starts_with(' ') {
        return Err("has a space in it; write the unit right behind its number".into());
    }
    if unit.is_empty() && !after.is_empty() {
        return Err(format!("has no unit at {after:?}"));
    }
    Ok((count, unit, after))
}

/// Shows a duration as [`parse_duration`] reads it; parts below a millisecond are left out.
pub fn show_duration(duration: Duration) -> String {
    let mut left = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    if left == 0 {
        return "0s".into();
    }
    let mut text = String::new();
    for (name, unit_ms) in DURATION_UNITS {
        // Weeks are read but not shown: the documentation counts in days.
        if left < unit_ms || name == "w" {
            continue;
        }
        let _ = write!(text, "{}{name}", left / unit_ms);
        left %= unit_ms;
    }
    text
}

/// Shows an age, or a remaining time, as [`show_duration`] in its two largest units at most; below a second in
/// milliseconds. `span` of the console's `format.js` has the same rule.
pub fn show_age(age: Duration) -> String {
    let age_ms = u64::try_from(age.as_millis()).unwrap_or(u64::MAX);
    let smallest_ms = match age_ms {
        ..1_000 => 1,
        1_000..3_600_000 => 1_000,
        3_600_000..86_400_000 => 60_000,
        86_400_000.. => 3_600_000,
    };
    show_duration(Duration::from_millis(age_ms - age_ms % smallest_ms))
}

/// Shows a remaining time as [`show_age`], in whole seconds that are rounded up.
pub fn show_remaining(remaining: Duration) -> String {
    let part = u64::from(remaining.subsec_nanos() > 0);
    show_age(Duration::from_secs(remaining.as_secs().saturating_add(part)))
}

/// Shows a size as [`parse_size`] reads it, in the largest unit that loses nothing.
pub fn show_size(bytes: u64) -> String {
    let (name, unit) = SIZE_UNITS
        .into_iter()
        .find(|(_, unit)| bytes > 0 && bytes.is_multiple_of(*unit))
        .unwrap_or(("B", 1));
    format!("{}{name}", bytes / unit)
}

/// A number that may stand without a unit because it is 0, or a text with one.
#[derive(serde::Deserialize)]
#[serde(untagged)]
enum Quantity {
    Bare(u64),
    Text(String),
}

impl Quantity {
    fn text(self) -> String {
        match self {
            Quantity::Bare(number) => number.to_string(),
            Quantity::Text(text) => text,
        }
    }
}

/// For `#[serde(deserialize_with)]`.
pub(super) fn duration<'de, D: Deserializer<'de>>(input: D) -> Result<Duration, D::Error> {
    let text = Quantity::deserialize(input)?.text();
    parse_duration(&text).map_err(|what| D::Error::custom(format!("duration {text:?} {what}")))
}

/// For `#[serde(deserialize_with)]`.
pub(super) fn size<'de, D: Deserializer<'de>>(input: D) -> Result<u64, D::Error> {
    let text = Quantity::deserialize(input)?.text();
    parse_size(&text).map_err(|what| D::Error::custom(format!("size {text:?} {what}")))
}

/// For `#[serde(deserialize_with)]`: a size that is held in memory.
pub(super) fn memory_size<'de, D: Deserializer<'de>>(input: D) -> Result<usize, D::Error> {
    usize::try_from(size(input)?).map_err(D::Error::custom)
}

#[cfg(test)]
mod tests {
    use crate::control::config::units::*;

    #[test]
    fn an_age_has_two_units_at_most() {
        for (age_ms, expected) in [
            (0, "0s"),
            (250, "250ms"),
            (1_999, "1s"),
            (119_000, "1m59s"),
            (3_600_000, "1h"),
            (3_605_000, "1h"),
            (7_505_000, "2h5m"),
            (86_400_000, "1d"),
            (86_760_000, "1d"),
            (180_061_000, "2d2h"),
        ] {
            assert_eq!(show_age(Duration::from_millis(age_ms)), expected);
        }
        assert_eq!(show_remaining(Duration::from_millis(4_200)), "5s");
        assert_eq!(show_remaining(Duration::from_millis(59_001)), "1m");
        assert_eq!(show_remaining(Duration::from_millis(200)), "1s");
        assert!(
            show_age(Duration::MAX).ends_with('h') && !show_remaining(Duration::MAX).is_empty()
        );
    }

    #[test]
    fn durations_are_read_exactly() {
        for (text, ms) in [
            ("0", 0),
            ("0s", 0),
            ("250ms", 250),
            ("5s", 5000),
            ("1m", 60_000),
            ("1h30m", 5_400_000),
            ("1d12h", 129_600_000),
            ("2w", 1_209_600_000),
            ("90m", 5_400_000),
            ("1s500ms", 1500),
        ] {
            assert_eq!(parse_duration(text), Ok(Duration::from_millis(ms)), "{text}");
        }
    }

    #[test]
    fn a_duration_that_could_mean_two_things_is_refused() {
        for (text, what) in [
            ("", "is empty"),
            ("5", "has no unit after 5; units are ms, s, m, h, d and w"),
            ("s", "does not start with a number at \"s\""),
            ("-5s", "is negative"),
            ("1.5s", "is not a whole number; take a smaller unit"),
            ("5 s", "has a space in it; write the unit right behind its number"),
            (
                "5S",
                "has the unknown unit \"S\", did you mean \"s\"? units are ms, s, m, h, d and w",
            ),
            (
                "5min",
                "has the unknown unit \"min\", did you mean \"m\"? units are ms, s, m, h, d and w",
            ),
            ("1M", "has the unknown unit \"M\"; units are ms, s, m, h, d and w"),
            ("1y", "has the unknown unit \"y\"; units are ms, s, m, h, d and w"),
            ("1m1h", "has the unit \"h\" twice or not in order from long to short"),
            ("1s1s", "has the unit \"s\" twice or not in order from long to short"),
            ("1h30", "has no unit after 30; units are ms, s, m, h, d and w"),
            ("99999999999999999999s", "has a number that is too large"),
            ("18446744073709551615w", "is too long to count in milliseconds"),
        ] {
            assert_eq!(parse_duration(text), Err(what.to_owned()), "{text}");
        }
    }

    #[test]
    fn sizes_are_read_exactly() {
        for (text, bytes) in [
            ("0", 0),
            ("0B", 0),
            ("500B", 500),
            ("64KiB", 65_536),
            ("16KB", 16_000),
            ("16kB", 16_000),
            ("1MiB", 1 << 20),
            ("50MB", 50_000_000),
            ("1GiB", 1 << 30),
            ("2TiB", 2 << 40),
        ] {
            assert_eq!(parse_size(text), Ok(bytes), "{text}");
        }
    }

    #[test]
    fn a_size_that_could_mean_two_things_is_refused() {
        for (text, unit, near) in [
            ("64K", "K", "KiB"),
            ("64kib", "kib", "KiB"),
            ("10m", "m", "MiB"),
            ("10mb", "mb", "MB"),
            ("1Gi", "Gi", "GiB"),
            ("5bytes", "bytes", "B"),
        ] {
            let expected =
                format!("has the unknown unit {unit:?}, did you mean {near:?}? {SIZE_UNITS_TEXT}");
            assert_eq!(parse_size(text), Err(expected), "{text}");
        }
        let none = parse_size("64").expect_err("no unit");
        assert_eq!(none, format!("has no unit after 64; {SIZE_UNITS_TEXT}"));
        for (text, what) in [
            ("", "is empty"),
            ("64 KiB", "has a space in it; write the unit right behind its number"),
            ("1MiB512KiB", "goes on after the unit: \"512KiB\""),
            ("1.5MiB", "is not a whole number; take a smaller unit"),
            ("-1B", "is negative"),
            ("18446744073709551615KiB", "is too large to count in bytes"),
        ] {
            assert_eq!(parse_size(text), Err(what.to_owned()), "{text}");
        }
    }

    proptest::proptest! {
        #[test]
        fn a_shown_duration_is_read_back(ms in 0u64..=u64::MAX) {
            let duration = Duration::from_millis(ms);
            proptest::prop_assert_eq!(parse_duration(&show_duration(duration)), Ok(duration));
        }

        #[test]
        fn a_shown_size_is_read_back(bytes: u64) {
            proptest::prop_assert_eq!(parse_size(&show_size(bytes)), Ok(bytes));
        }

        #[test]
        fn no_text_panics(text in ".*") {
            let _ = (parse_duration(&text), parse_size(&text));
        }
    }
}
