//! Numbers and times in the form for people.
//!
//! Pure: the clock is an argument. Tested below.

use std::time::Duration;

use crate::control::config::units::{show_age, show_remaining};

/// The sign for an unknown value.
pub(super) const UNKNOWN: &str = "-";

/// `text` on one line, without characters that a terminal would interpret.
pub(super) fn plain(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

/// "now", "3s ago", "5m12s ago", "2h ago", "4d3h ago".
pub(super) fn ago(unix_ms: u64, now_ms: u64) -> String {
    match now_ms.saturating_sub(unix_ms) {
        ..1_000 => "now".to_owned(),
        since_ms => format!("{} ago", show_age(Duration::from_millis(since_ms))),
    }
}

/// How long a state has lasted, in whole seconds.
pub(super) fn span(seconds: u64) -> String {
    show_age(Duration::from_secs(seconds))
}

/// Remaining whole seconds, rounded up.
pub(super) fn left(seconds: f64) -> String {
    show_remaining(Duration::try_from_secs_f64(seconds.max(0.0)).unwrap_or(Duration::MAX))
}

/// "12.3", "0", "1234": one decimal place where it matters.
pub(super) fn rate(number: f64) -> String {
    match number {
        0.0 => "0".to_owned(),
        n if n < 100.0 => format!("{n:.1}"),
        n => format!("{n:.0}"),
    }
}

/// Microseconds as milliseconds: "0.18", "12.5", "1500".
pub(super) fn milliseconds(us: u64) -> String {
    let ms = us as f64 / 1_000.0;
    match us {
        0 => "0".to_owned(),
        1..10_000 => format!("{ms:.2}"),
        10_000..100_000 => format!("{ms:.1}"),
        _ => format!("{ms:.0}"),
    }
}

/// "512 B", "1.5 KiB", "12 MiB".
pub(super) fn size(bytes: u64) -> String {
    const UNITS: [&str; 5] = ["B", "KiB", "MiB", "GiB", "TiB"];
    let mut value = bytes as f64;
    let mut units = UNITS.iter().copied();
    let mut unit = units.next().unwrap_or_default();
    for larger in units {
        if value < 1_024.0 {
            break;
        }
        value /= 1_024.0;
        unit = larger;
    }
    match unit {
        "B" => format!("{value:.0} B"),
        _ if value < 10.0 => format!("{value:.1} {unit}"),
        _ => format!("{value:.0} {unit}"),
    }
}

/// "1 target", "2 targets".
pub(super) fn count(number: u64, of: &str) -> String {
    let plural = if number == 1 { "" } else { "s" };
    format!("{number} {of}{plural}")
}

/// The value, or [`UNKNOWN`].
pub(super) fn known<T: ToString>(value: Option<T>) -> String {
    value.map_or_else(|| UNKNOWN.to_owned(), |value| value.to_string())
}

/// "2026-11-22 20:46:03Z"; for lines that may be read later.
pub(super) fn moment(unix_ms: u64) -> String {
    let ms = i64::try_from(unix_ms).unwrap_or(i64::MAX);
    match jiff::Timestamp::from_millisecond(ms) {
        Ok(at) => at.strftime("%F %TZ").to_string(),
        Err(_) => UNKNOWN.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use crate::cli::ctl::words::*;

    #[test]
    fn times_are_told_as_settings_are_written() {
        let cases = [
            (0, "now"),
            (999, "now"),
            (3_000, "3s ago"),
            (119_000, "1m59s ago"),
            (120_000, "2m ago"),
            (7_199_000, "1h59m ago"),
            (7_200_000, "2h ago"),
            (172_800_000, "2d ago"),
        ];
        for (since_ms, expected) in cases {
            assert_eq!(ago(1_000_000, 1_000_000 + since_ms), expected);
        }
        // The server's clock may be ahead.
        assert_eq!(ago(5_000, 1_000), "now");
        assert_eq!(left(0.2), "1s");
        assert_eq!(left(-3.0), "0s");
        assert_eq!(left(f64::NAN), "0s");
        assert_eq!(moment(1_795_380_363_000), "2026-11-22 20:46:03Z");
        assert_eq!(moment(u64::MAX), UNKNOWN);
    }

    #[test]
    fn numbers_have_the_digits_that_tell_something() {
        assert_eq!([0.0, 0.25, 12.34, 1234.5].map(rate), ["0", "0.2", "12.3", "1234"]);
        assert_eq!([0, 180, 12_500, 1_500_000].map(milliseconds), ["0", "0.18", "12.5", "1500"]);
        assert_eq!(
            [0, 512, 1_536, 12 << 20, 3 << 40].map(size),
            ["0 B", "512 B", "1.5 KiB", "12 MiB", "3.0 TiB"]
        );
        assert_eq!([count(1, "edit"), count(2, "edit")], ["1 edit", "2 edits"]);
        assert_eq!([known(Some(3)), known::<u64>(None)], ["3", "-"]);
    }

    #[test]
    fn nothing_that_a_terminal_obeys_is_shown() {
        assert_eq!(plain("a\x1b[31mb\nc\r\u{9b}d"), "a [31mb c  d");
    }
}
