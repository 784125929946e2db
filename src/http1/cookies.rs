//! Cookie values read in place (RFC 6265bis).
//!
//! Never decodes, never judges and never allocates: a pair is two slices of the field value.
//! Tested by tables beside the code.

use super::fields::trim;

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

#[cfg(test)]
mod tests {
    use super::*;

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
}
