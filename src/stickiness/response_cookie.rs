//! What limpet reads in the Set-Cookie fields of targets: name, value and how long the cookie lives.
//!
//! Follows the user agent's side of RFC 6265 §5.2 (Max-Age before Expires, the last of each counts, bad
//! attributes are ignored), because a browser is who will act on it. Never changes a field, never
//! allocates. Tested beside it, dates by the examples of RFC 6265 §5.1.1 and by properties.

use super::verdict::Stickiness;

/// How long a browser keeps a cookie.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lifetime {
    /// Until it is closed.
    Browser,
    Seconds(u64),
    /// Max-Age=0 or a past Expires: the cookie is deleted.
    Deleted,
}

/// One Set-Cookie field value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ResponseCookie<'a> {
    pub name: &'a [u8],
    pub value: &'a [u8],
    pub lifetime: Lifetime,
}

/// `None` when there is no name.
pub fn parse(field_value: &[u8], now_s: u64) -> Option<ResponseCookie<'_>> {
    let mut parts = field_value.split(|byte| *byte == b';');
    let (name, value) = split_pair(parts.next()?);
    if name.is_empty() {
        return None;
    }
    let (mut max_age, mut expires) = (None, None);
    for attribute in parts {
        let (key, value) = split_pair(attribute);
        if key.eq_ignore_ascii_case(b"max-age") {
            max_age = parse_max_age(value).or(max_age);
        } else if key.eq_ignore_ascii_case(b"expires") {
            expires = parse_date(value).or(expires);
        }
    }
    let left_s = max_age.or(expires.map(|expires_s| expires_s.saturating_sub(now_s)));
    let lifetime = match left_s {
        None => Lifetime::Browser,
        Some(0) => Lifetime::Deleted,
        Some(seconds) => Lifetime::Seconds(seconds),
    };
    Some(ResponseCookie { name, value, lifetime })
}

fn split_pair(pair: &[u8]) -> (&[u8], &[u8]) {
    match memchr::memchr(b'=', pair).and_then(|at| pair.split_at_checked(at)) {
        Some((name, value)) => (name.trim_ascii(), value.get(1..).unwrap_or(b"").trim_ascii()),
        None => (pair.trim_ascii(), b""),
    }
}

/// Seconds; 0 for anything not positive; `None` for what is not a number (RFC 6265 §5.2.2).
fn parse_max_age(text: &[u8]) -> Option<u64> {
    let (digits, is_negative) = match text.strip_prefix(b"-") {
        Some(digits) => (digits, true),
        None => (text, false),
    };
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    if is_negative {
        return Some(0);
    }
    Some(digits.iter().fold(0, |number: u64, digit| {
        number.saturating_mul(10).saturating_add(u64::from(digit - b'0'))
    }))
}

/// Seconds since the epoch, 0 for what lies before it; any format that RFC 6265 §5.1.1 accepts, which are
/// more than HTTP's own: real applications write `Wed, 21-Oct-2015 07:28:00 GMT`.
fn parse_date(text: &[u8]) -> Option<u64> {
    let (mut time, mut day, mut month, mut year) = (None, None, None, None);
    for token in text.split(|byte| is_date_delimiter(*byte)).filter(|token| !token.is_empty()) {
        if time.is_none() {
            time = parse_time(token);
            if time.is_some() {
                continue;
            }
        }
        if day.is_none() {
            day = leading_number(token, 1..=2);
            if day.is_some() {
                continue;
            }
        }
        if month.is_none() {
            month = parse_month(token);
            if month.is_some() {
                continue;
            }
        }
        if year.is_none() {
            year = leading_number(token, 2..=4);
        }
    }
    let year = match year? {
        short @ 0..=69 => short + 2_000,
        short @ 70..=99 => short + 1_900,
        full => full,
    };
    let (day, month, time_s) = (day?, month?, time?);
    if !(1..=31).contains(&day) || year < 1_601 {
        return None;
    }
    let days = days_since_epoch(i64::from(year), i64::from(month), i64::from(day));
    Some(u64::try_from(days * 86_400 + i64::from(time_s)).unwrap_or(0))
}

fn is_date_delimiter(byte: u8) -> bool {
    matches!(byte, 0x09 | 0x20..=0x2F | 0x3B..=0x40 | 0x5B..=0x60 | 0x7B..=0x7E)
}

/// The digits a token begins with, if they are as many as allowed and no further digit follows.
fn leading_number(token: &[u8], digits: std::ops::RangeInclusive<usize>) -> Option<u32> {
    let count = token.iter().take_while(|byte| byte.is_ascii_digit()).count();
    if !digits.contains(&count) {
        return None;
    }
    let number = token.iter().take(count);
    Some(number.fold(0, |number, digit| number * 10 + u32::from(digit - b'0')))
}

fn parse_time(token: &[u8]) -> Option<u32> {
    let mut parts = token.split(|byte| *byte == b':');
    let (hour, minute, second) = (parts.next()?, parts.next()?, parts.next()?);
    let is_number = |part: &[u8]| part.iter().all(u8::is_ascii_digit);
    if !is_number(hour) || !is_number(minute) {
        return None;
    }
    let (hour, minute) = (leading_number(hour, 1..=2)?, leading_number(minute, 1..=2)?);
    let second = leading_number(second, 1..=2)?;
    let is_valid = hour <= 23 && minute <= 59 && second <= 59;
    is_valid.then_some(hour * 3_600 + minute * 60 + second)
}

fn parse_month(token: &[u8]) -> Option<u32> {
    const MONTHS: [&[u8; 3]; 12] = [
        b"jan", b"feb", b"mar", b"apr", b"may", b"jun", b"jul", b"aug", b"sep", b"oct", b"nov",
        b"dec",
    ];
    let start = token.first_chunk::<3>()?.map(|byte| byte.to_ascii_lowercase());
    (1..).zip(MONTHS).find(|(_, month)| **month == start).map(|(number, _)| number)
}

/// In the Gregorian calendar, years starting in March so that the leap day is the last.
fn days_since_epoch(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    era * 146_097 + day_of_era - 719_468
}

/// What a response did to the application's cookie.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum AppCookieEvent {
    #[default]
    None,
    Set,
    Deleted,
}

impl AppCookieEvent {
    /// Of several Set-Cookie fields the last counts, as in a browser.
    #[must_use]
    pub fn then(self, later: AppCookieEvent) -> AppCookieEvent {
        if later == AppCookieEvent::None { self } else { later }
    }
}

impl Stickiness {
    /// What one Set-Cookie field of a target's response means for stickiness that follows an application's
    /// cookie; always `None` for `lb_cookie`.
    pub fn observe_set_cookie(&self, field_value: &[u8], now_s: u64) -> AppCookieEvent {
        let Some(name) = self.app_cookie() else { return AppCookieEvent::None };
        match parse(field_value, now_s) {
            Some(cookie) if cookie.name == name => match cookie.lifetime {
                Lifetime::Deleted => AppCookieEvent::Deleted,
                Lifetime::Browser | Lifetime::Seconds(_) => AppCookieEvent::Set,
            },
            _ => AppCookieEvent::None,
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::stickiness::response_cookie::*;
    use proptest::prelude::*;
    use std::time::{Duration, UNIX_EPOCH};

    const NOW_S: u64 = 1_700_000_000;

    fn lifetime(field: &str) -> Lifetime {
        parse(field.as_bytes(), NOW_S).expect("a cookie").lifetime
    }

    #[test]
    fn name_and_value_are_what_a_browser_takes() {
        let cases = [
            ("a=b", Some(("a", "b"))),
            ("  a  =  b  ; Path=/", Some(("a", "b"))),
            ("a=", Some(("a", ""))),
            ("a=b=c;x", Some(("a", "b=c"))),
            ("a=\"b\"", Some(("a", "\"b\""))),
            ("=b", None),
            ("", None),
            (";Max-Age=1", None),
        ];
        for (field, wanted) in cases {
            let cookie = parse(field.as_bytes(), NOW_S);
            let got = cookie.map(|cookie| (cookie.name, cookie.value));
            assert_eq!(got, wanted.map(|(n, v)| (n.as_bytes(), v.as_bytes())), "{field}");
        }
    }

    #[test]
    fn max_age_goes_before_expires_and_bad_attributes_do_not_count() {
        let past = "Expires=Thu, 01 Jan 1970 00:00:00 GMT";
        assert_eq!(lifetime("a=b"), Lifetime::Browser);
        assert_eq!(lifetime("a=b; Max-Age=60"), Lifetime::Seconds(60));
        assert_eq!(lifetime("a=b; max-AGE = 60 ; Path=/"), Lifetime::Seconds(60));
        assert_eq!(lifetime("a=b; Max-Age=0"), Lifetime::Deleted);
        assert_eq!(lifetime("a=b; Max-Age=-5"), Lifetime::Deleted);
        assert_eq!(lifetime(&format!("a=b; {past}")), Lifetime::Deleted);
        assert_eq!(lifetime(&format!("a=b; {past}; Max-Age=60")), Lifetime::Seconds(60));
        assert_eq!(lifetime(&format!("a=b; Max-Age=60; {past}")), Lifetime::Seconds(60));
        assert_eq!(lifetime("a=b; Max-Age=x; Expires=never"), Lifetime::Browser);
        assert_eq!(lifetime("a=b; Max-Age=1; Max-Age=2"), Lifetime::Seconds(2));
        assert_eq!(lifetime("a=b; Max-Age=99999999999999999999999"), Lifetime::Seconds(u64::MAX));
        assert_eq!(lifetime("a=b; Expires=Tue, 14 Nov 2023 22:14:20 GMT"), Lifetime::Seconds(60));
    }

    #[test]
    fn dates_are_read_as_browsers_read_them() {
        let cases = [
            ("Sat, 25 Dec 1999 00:13:15 GMT", Some(946_080_795)),
            ("Saturday, 25-Dec-99 00:13:15 GMT", Some(946_080_795)),
            ("Sat Dec 25 00:13:15 1999", Some(946_080_795)),
            ("Sat, 25-Dec-1999 00:13:15 GMT", Some(946_080_795)),
            ("25 dec 1999 0:13:15", Some(946_080_795)),
            ("Fri, 24 Dec 1999 00:13:15 GMT", Some(945_994_395)),
            ("Thu, 29 Feb 2024 12:00:00 GMT", Some(1_709_208_000)),
            ("Mon, 01 Jan 1601 00:00:00 GMT", Some(0)),
            ("Fri, 31 Dec 9999 23:59:59 GMT", Some(253_402_300_799)),
            ("Sat, 25 Dec 1999", None),
            ("Sat, 25 Dec 1999 24:13:15 GMT", None),
            ("Sat, 32 Dec 1999 00:13:15 GMT", None),
            ("Sat, 25 Dez 1999 00:13:15 GMT", None),
            ("Sat, 25 Dec 1500 00:13:15 GMT", None),
            ("0", None),
            ("", None),
        ];
        for (text, wanted) in cases {
            assert_eq!(parse_date(text.as_bytes()), wanted, "{text}");
        }
    }

    proptest! {
        #[test]
        fn http_dates_are_read_exactly(seconds in 0u64..253_402_300_799) {
            let text = httpdate::fmt_http_date(UNIX_EPOCH + Duration::from_secs(seconds));
            prop_assert_eq!(parse_date(text.as_bytes()), Some(seconds));
        }

        #[test]
        fn nothing_a_target_sends_panics(bytes in proptest::collection::vec(any::<u8>(), 0..80)) {
            if let Some(cookie) = parse(&bytes, NOW_S) {
                prop_assert!(!cookie.name.is_empty());
            }
            parse_date(&bytes);
        }
    }
}
