//! Cookie and Set-Cookie values read in place (RFC 6265bis).
//!
//! Never decodes, never judges and never allocates: a pair is two slices of the field value.
//! Tested by tables beside the code.

use std::time::SystemTime;

use super::fields::{eq_ignore_case, trim};

/// The pairs of a Cookie field value in order, as (name, value) slices, without white space around
/// them. A part without `=` has an empty name, as RFC 6265bis §5.6 reads it; empty parts are skipped.
pub fn cookie_pairs(value: &[u8]) -> CookiePairs<'_> {
    CookiePairs { rest: Some(value) }
}

/// See [`cookie_pairs`].
#[derive(Debug, Clone)]
pub struct CookiePairs<'v> {
    rest: Option<&'v [u8]>,
}

impl<'v> Iterator for CookiePairs<'v> {
    type Item = (&'v [u8], &'v [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        while let Some(part) = next_part(&mut self.rest) {
            let (name, value) = split_pair(part);
            if !(name.is_empty() && value.is_empty()) {
                return Some((name, value));
            }
        }
        None
    }
}

/// Takes the part before the next `;` off `rest`, white space and all.
pub(super) fn next_part<'v>(rest: &mut Option<&'v [u8]>) -> Option<&'v [u8]> {
    let text = (*rest)?;
    match memchr::memchr(b';', text) {
        Some(semicolon) => {
            let (part, tail) = text.split_at(semicolon);
            *rest = tail.get(1..);
            Some(part)
        }
        None => {
            *rest = None;
            Some(text)
        }
    }
}

/// Name and value of one part, both trimmed; without `=` the name is empty.
pub(super) fn split_pair(part: &[u8]) -> (&[u8], &[u8]) {
    match memchr::memchr(b'=', part) {
        Some(equals) => {
            let (name, value) = part.split_at(equals);
            (trim(name), trim(value.get(1..).unwrap_or_default()))
        }
        None => (b"", trim(part)),
    }
}

/// What a Set-Cookie value says, as far as a session's lifetime and place go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SetCookie<'v> {
    pub name: &'v [u8],
    pub value: &'v [u8],
    /// Seconds; zero or less deletes the cookie. The last attribute counts, a bad one does not.
    pub max_age_s: Option<i64>,
    pub expires: Option<SystemTime>,
    pub path: Option<&'v [u8]>,
}

impl SetCookie<'_> {
    /// Whether the cookie is deleted by this field: Max-Age wins over Expires (RFC 6265bis §5.7).
    pub fn deletes(&self, now: SystemTime) -> bool {
        match (self.max_age_s, self.expires) {
            (Some(max_age_s), _) => max_age_s <= 0,
            (None, Some(expires)) => expires <= now,
            (None, None) => false,
        }
    }
}

/// Reads one Set-Cookie value; `None` when it names no cookie (RFC 6265bis §5.6).
pub fn set_cookie_parts(value: &[u8]) -> Option<SetCookie<'_>> {
    let mut rest = Some(value);
    let (name, cookie_value) = split_pair(next_part(&mut rest)?);
    if name.is_empty() {
        return None;
    }
    let mut cookie =
        SetCookie { name, value: cookie_value, max_age_s: None, expires: None, path: None };
    while let Some(part) = next_part(&mut rest) {
        let (attribute, text) = split_pair(part);
        if eq_ignore_case(attribute, b"max-age") {
            cookie.max_age_s = max_age(text).or(cookie.max_age_s);
        } else if eq_ignore_case(attribute, b"expires") {
            cookie.expires = cookie_date(text).or(cookie.expires);
        } else if eq_ignore_case(attribute, b"path") {
            cookie.path = Some(text);
        }
    }
    Some(cookie)
}

/// `[-]1*DIGIT`, clamped to 64 bits (RFC 6265bis §5.6.2).
fn max_age(text: &[u8]) -> Option<i64> {
    let (negative, digits) = match text {
        [b'-', digits @ ..] => (true, digits),
        digits => (false, digits),
    };
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let seconds = digits.iter().fold(0_i64, |sum, digit| {
        sum.saturating_mul(10).saturating_add(i64::from(digit.wrapping_sub(b'0')))
    });
    Some(if negative { -seconds } else { seconds })
}

/// The three dates of RFC 9110 §5.6.7, and the first of them with dashes, which PHP before 8.2 and
/// many others write ("Thu, 01-Jan-1970 00:00:01 GMT").
fn cookie_date(text: &[u8]) -> Option<SystemTime> {
    let parse = |bytes: &[u8]| httpdate::parse_http_date(std::str::from_utf8(bytes).ok()?).ok();
    parse(text).or_else(|| {
        let mut spaced = *text.first_chunk::<29>()?;
        if text.len() != spaced.len() {
            return None;
        }
        for byte in &mut spaced {
            if *byte == b'-' {
                *byte = b' ';
            }
        }
        parse(&spaced)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::{Duration, UNIX_EPOCH};

    fn pairs(value: &str) -> Vec<(String, String)> {
        cookie_pairs(value.as_bytes())
            .map(|(n, v)| (String::from_utf8_lossy(n).into(), String::from_utf8_lossy(v).into()))
            .collect()
    }

    #[test]
    fn pairs_are_slices_in_order() {
        let cases: &[(&str, &[(&str, &str)])] = &[
            ("", &[]),
            (" ; ;", &[]),
            ("a=1", &[("a", "1")]),
            ("a=1; b=2", &[("a", "1"), ("b", "2")]),
            ("a=1;b=2;", &[("a", "1"), ("b", "2")]),
            ("a = 1 ; b=x=y", &[("a", "1"), ("b", "x=y")]),
            ("bare; a=", &[("", "bare"), ("a", "")]),
            ("a=\"q;b=2\"", &[("a", "\"q"), ("b", "2\"")]),
        ];
        for (value, expected) in cases {
            let expected: Vec<(String, String)> =
                expected.iter().map(|(n, v)| ((*n).into(), (*v).into())).collect();
            assert_eq!(pairs(value), expected, "{value:?}");
        }
    }

    #[test]
    fn set_cookie_is_read_with_its_lifetime() {
        let cookie = set_cookie_parts(b"PHPSESSID=abc; path=/app; Max-Age=3600; HttpOnly")
            .expect("a cookie");
        assert_eq!((cookie.name, cookie.value), (&b"PHPSESSID"[..], &b"abc"[..]));
        assert_eq!((cookie.max_age_s, cookie.path), (Some(3600), Some(&b"/app"[..])));
        assert_eq!(cookie.expires, None);
        assert_eq!(set_cookie_parts(b"=x"), None);
        assert_eq!(set_cookie_parts(b"nameless"), None);
        assert_eq!(set_cookie_parts(b""), None);
    }

    #[test]
    fn dates_are_read_in_every_form_that_servers_write() {
        let second = UNIX_EPOCH + Duration::from_secs(1);
        for date in [
            "Thu, 01 Jan 1970 00:00:01 GMT",
            "Thu, 01-Jan-1970 00:00:01 GMT",
            "Thursday, 01-Jan-70 00:00:01 GMT",
            "Thu Jan  1 00:00:01 1970",
        ] {
            let value = format!("a=1; Expires={date}");
            let cookie = set_cookie_parts(value.as_bytes()).expect("a cookie");
            assert_eq!(cookie.expires, Some(second), "{date}");
        }
        let cookie = set_cookie_parts(b"a=1; Expires=soon").expect("a cookie");
        assert_eq!(cookie.expires, None);
    }

    #[test]
    fn max_age_is_clamped_and_a_bad_one_is_ignored() {
        let age = |text: &str| {
            set_cookie_parts(format!("a=1; max-age={text}").as_bytes()).and_then(|c| c.max_age_s)
        };
        assert_eq!(age("0"), Some(0));
        assert_eq!(age("-1"), Some(-1));
        assert_eq!(age("99999999999999999999999"), Some(i64::MAX));
        assert_eq!(age("1.5"), None);
        assert_eq!(age(""), None);
        assert_eq!(age("-"), None);
    }

    #[test]
    fn a_cookie_is_deleted_by_max_age_before_expires() {
        let now = UNIX_EPOCH + Duration::from_secs(1_000_000_000);
        let deletes =
            |text: &str| set_cookie_parts(text.as_bytes()).expect("a cookie").deletes(now);
        assert!(deletes("a=; Max-Age=0"));
        assert!(deletes("a=; Expires=Thu, 01 Jan 1970 00:00:01 GMT"));
        assert!(!deletes("a=; Max-Age=60; Expires=Thu, 01 Jan 1970 00:00:01 GMT"));
        assert!(!deletes("a=1"));
    }
}
