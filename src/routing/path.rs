//! The normal form in which paths are matched and forwarded (RFC 3986 §6.2.2).
//!
//! * Percent-encoded unreserved characters are decoded (`%7E` is `~`), every other encoding stays and
//!   is written in upper case: an encoded slash (`%2F`) or backslash (`%5C`) never becomes a real one.
//! * Bytes that no path may have (RFC 3986 §3.3: `"`, `<`, `>`, `\`, `^`, `` ` ``, `{`, `|`, `}`, and what is
//!   no visible ASCII), yet browsers send, are encoded: `/a|b` is `/a%7Cb`.
//! * Dot segments are removed after decoding, so `%2e%2e` is judged like `..`; a path that climbs above
//!   its root is a fault, never silently held at the root.
//! * Repeated slashes are merged (a setting) from left to right: `/a//../b` is `/b`, and without
//!   merging `/a/b`, where `..` removes the empty segment.
//! * The other characters that RFC 3986 reserves (`@`, `:`, `+`, `;`, `[`, …) are forwarded as they come, encoded
//!   or not, because the two need not mean the same there; nearly every server reads them alike, so they are
//!   compared decoded (see [`push_compared`]).
//! * The asterisk-form `*` stays alone. The query is no part of the path and is never touched.
//!
//! So rules match the path that a server will read, and another spelling of a path cannot evade a rule; the patterns
//! and prefixes of the file are brought into the same form. Nothing else is judged here: which raw bytes a
//! request-target may have is decided by `http1`. Tested by tables, and by proptest for idempotence and for agreement
//! of the two functions.

use crate::http::query::octet;

/// Why a path has no normal form. The request is answered 400.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PathFault {
    BadPercentEncoding,
    EncodedNul,
    AboveRoot,
}

impl PathFault {
    /// Every fault, for tables and counters.
    #[cfg(any(test, feature = "internals"))]
    pub const ALL: [PathFault; 3] =
        [PathFault::BadPercentEncoding, PathFault::EncodedNul, PathFault::AboveRoot];

    /// Stable snake_case word for the log and the counters.
    pub fn code(self) -> &'static str {
        match self {
            PathFault::BadPercentEncoding => "path_bad_percent_encoding",
            PathFault::EncodedNul => "path_encoded_nul",
            PathFault::AboveRoot => "path_above_root",
        }
    }

    /// The status of limpet's answer.
    pub fn status(self) -> u16 {
        400
    }
}

/// How far a path is from its forwarded form, and from its compared form.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// The path is in both forms already: the common case.
    Plain,
    /// In normal form, with encodings that may be compared decoded.
    Normal,
    /// [`normalize`] brings it into normal form, unless it finds a fault.
    Other,
}

/// Judges `path` in one pass, without a copy.
pub fn form(path: &[u8], merge_slashes: bool) -> Form {
    if path.first() != Some(&b'/') {
        return if path == b"*" { Form::Plain } else { Form::Other };
    }
    // Nearly every path has no encoding, no double slash and no segment that begins with a dot.
    let mut looked_for = ANYWHERE;
    for &byte in path {
        let class = class(byte);
        if class & looked_for != 0 {
            let is_normal = is_normal_throughout(path, merge_slashes);
            return if is_normal { Form::Normal } else { Form::Other };
        }
        looked_for = ANYWHERE | (class & SLASH) >> 1;
    }
    Form::Plain
}

/// Bytes that need a closer look anywhere: "%", and those that have to be encoded.
const ANYWHERE: u8 = 1;
/// Bytes that need a closer look behind a slash: another slash, a dot.
const BEHIND_SLASH: u8 = 2;
const SLASH: u8 = BEHIND_SLASH << 1;
const ENCODED: u8 = 8;

/// The classes of each byte.
#[expect(
    clippy::indexing_slicing,
    reason = "the compiler evaluates it, and refuses an index that is out of bounds"
)]
const CLASSES: [u8; 256] = {
    let mut table = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        let b = byte as u8;
        let forbidden = !b.is_ascii_graphic()
            || matches!(b, b'"' | b'<' | b'>' | b'\\' | b'^' | b'`' | b'{' | b'|' | b'}');
        table[byte] = match b {
            b'/' => BEHIND_SLASH | SLASH,
            b'.' => BEHIND_SLASH,
            b'%' => ANYWHERE,
            _ if forbidden => ANYWHERE | ENCODED,
            _ => 0,
        };
        byte += 1;
    }
    table
};

#[inline]
#[expect(clippy::indexing_slicing, reason = "a byte has 256 values")]
fn class(byte: u8) -> u8 {
    CLASSES[usize::from(byte)]
}

/// Whether a path may have `byte` only percent-encoded.
pub(super) fn must_be_encoded(byte: u8) -> bool {
    class(byte) & ENCODED != 0
}

/// `text` with the bytes encoded that no path may have.
pub(super) fn encode(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if must_be_encoded(byte) {
            out.extend(encoded(byte).map(char::from));
        } else {
            out.push(char::from(byte));
        }
    }
    out
}

/// The encoding of `byte`.
pub(super) fn encoded(byte: u8) -> [u8; 3] {
    let digit = |value: u8| match value {
        0..10 => b'0'.wrapping_add(value),
        _ => b'A'.wrapping_add(value.wrapping_sub(10)),
    };
    [b'%', digit(byte >> 4), digit(byte & 15)]
}

/// Whether a path that begins with a slash is in normal form, segment by segment.
fn is_normal_throughout(path: &[u8], merge_slashes: bool) -> bool {
    let mut rest = path;
    while let Some((&byte, after)) = rest.split_first() {
        rest = after;
        match byte {
            b'/' => match after {
                [b'/', ..] if merge_slashes => return false,
                [b'.'] | [b'.', b'/', ..] | [b'.', b'.'] | [b'.', b'.', b'/', ..] => return false,
                _ => {}
            },
            b'%' => match after {
                [high, low, tail @ ..] if is_upper_hex(*high) && is_upper_hex(*low) => {
                    match octet(*high, *low) {
                        Some(0) | None => return false,
                        Some(decoded) if is_unreserved(decoded) => return false,
                        Some(_) => rest = tail,
                    }
                }
                _ => return false,
            },
            byte if must_be_encoded(byte) => return false,
            _ => {}
        }
    }
    true
}

/// Writes the normal form into `out` (cleared first; undefined content after a fault).
///
/// A path that does not begin with a slash gets one, except `*`. Linear in the length of `path`;
/// `out` never grows beyond three times that length and the slash.
pub fn normalize(path: &[u8], merge_slashes: bool, out: &mut Vec<u8>) -> Result<(), PathFault> {
    out.clear();
    if path == b"*" {
        out.push(b'*');
        return Ok(());
    }
    out.reserve(path.len().saturating_add(1));
    out.push(b'/');
    let mut segment_start = 1;
    let mut rest = path.strip_prefix(b"/").unwrap_or(path);
    while let Some((&byte, after)) = rest.split_first() {
        rest = after;
        match byte {
            b'/' => {
                let dots = remove_dots(out, &mut segment_start)?;
                let merged = merge_slashes && out.len() == segment_start;
                if !dots && !merged {
                    out.push(b'/');
                    segment_start = out.len();
                }
            }
            b'%' => rest = push_encoded(after, out)?,
            0 => return Err(PathFault::EncodedNul),
            other if must_be_encoded(other) => out.extend_from_slice(&encoded(other)),
            other => out.push(other),
        }
    }
    remove_dots(out, &mut segment_start)?;
    Ok(())
}

/// Judges the segment that ends at the end of `out`: a dot segment is removed (for `..` with the segment before it), so
/// that `out` ends with the slash before it. Returns whether it was one.
fn remove_dots(out: &mut Vec<u8>, segment_start: &mut usize) -> Result<bool, PathFault> {
    match out.get(*segment_start..) {
        Some(b".") => {
            out.truncate(*segment_start);
            Ok(true)
        }
        Some(b"..") => {
            // Without its closing slash, the path before is "/a" or, at the root, empty.
            let before = out.get(..segment_start.saturating_sub(1)).unwrap_or_default();
            let slash = memchr::memrchr(b'/', before).ok_or(PathFault::AboveRoot)?;
            *segment_start = slash.saturating_add(1);
            out.truncate(*segment_start);
            Ok(true)
        }
        _ => Ok(false),
    }
}

/// Writes the octet whose two hex digits begin `after` in its normal form; returns the text behind them.
fn push_encoded<'p>(after: &'p [u8], out: &mut Vec<u8>) -> Result<&'p [u8], PathFault> {
    let [high, low, tail @ ..] = after else { return Err(PathFault::BadPercentEncoding) };
    match octet(*high, *low) {
        None => return Err(PathFault::BadPercentEncoding),
        Some(0) => return Err(PathFault::EncodedNul),
        Some(decoded) if is_unreserved(decoded) => out.push(decoded),
        Some(_) => {
            out.extend_from_slice(&[b'%', high.to_ascii_uppercase(), low.to_ascii_uppercase()]);
        }
    }
    Ok(tail)
}

/// Appends a path in normal form as it is compared: encodings of reserved characters that are no delimiters of a path
/// (RFC 3986 §2.2 without "/", "?" and "#") are decoded. Never longer than `path`.
pub fn push_compared(path: &[u8], out: &mut Vec<u8>) {
    out.extend(compared(path).map(|(byte, _)| byte));
}

/// Whether [`push_compared`] changes anything in `path`, which is in normal form.
pub fn is_compared_decoded(path: &[u8]) -> bool {
    let mut rest = path;
    while let Some(at) = memchr::memchr(b'%', rest) {
        rest = rest.get(at..).unwrap_or_default();
        if first_compared(rest).is_some_and(|(_, length)| length > 1) {
            return true;
        }
        rest = rest.get(1..).unwrap_or_default();
    }
    false
}

/// The rest of `path` behind `prefix`, both in normal form, as paths are compared.
pub(super) fn strip_prefix<'p>(path: &'p [u8], prefix: &[u8]) -> Option<&'p [u8]> {
    if let Some(rest) = path.strip_prefix(prefix) {
        return Some(rest);
    }
    let mut taken = 0;
    let mut units = compared(path);
    for (wanted, _) in compared(prefix) {
        let (byte, length) = units.next()?;
        if byte != wanted {
            return None;
        }
        taken += length;
    }
    path.get(taken..)
}

/// The compared bytes of `path`, each with the number of bytes that encode it.
fn compared(path: &[u8]) -> impl Iterator<Item = (u8, usize)> {
    let mut rest = path;
    std::iter::from_fn(move || {
        let first = first_compared(rest)?;
        rest = rest.get(first.1..).unwrap_or_default();
        Some(first)
    })
}

fn first_compared(path: &[u8]) -> Option<(u8, usize)> {
    let (&first, _) = path.split_first()?;
    let decoded = match path {
        [b'%', high, low, ..] => octet(*high, *low).filter(|&octet| has_one_meaning(octet)),
        _ => None,
    };
    Some(decoded.map_or((first, 1), |octet| (octet, 3)))
}

/// Whether servers read `byte` alike, encoded or not, though RFC 3986 §2.2 reserves it.
pub(super) fn has_one_meaning(byte: u8) -> bool {
    b"!$&'()*+,;=:@[]".contains(&byte)
}

/// RFC 3986 §2.3.
pub(super) fn is_unreserved(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~')
}

fn is_upper_hex(byte: u8) -> bool {
    matches!(byte, b'0'..=b'9' | b'A'..=b'F')
}

#[cfg(test)]
mod tests {
    use crate::routing::path::*;
    use proptest::prelude::*;

    fn is_normal(path: &[u8], merge: bool) -> bool {
        form(path, merge) != Form::Other
    }

    fn normal(path: &str, merge: bool) -> Result<String, PathFault> {
        let mut out = b"left over".to_vec();
        normalize(path.as_bytes(), merge, &mut out)?;
        Ok(String::from_utf8(out).expect("test paths are text"))
    }

    #[test]
    fn normal_form_follows_rfc_3986_6_2_2() {
        for (path, merged) in [
            ("/", "/"),
            ("/a/b", "/a/b"),
            ("*", "*"),
            ("", "/"),
            ("a", "/a"),
            ("/%7euser/%41%2d%5F", "/~user/A-_"),
            ("/a%2fb%5c%3f", "/a%2Fb%5C%3F"),
            ("/a\\..\\b", "/a%5C..%5Cb"),
            ("/a|b/{id}/`\"<>^", "/a%7Cb/%7Bid%7D/%60%22%3C%3E%5E"),
            ("/caf\u{e9}", "/caf%C3%A9"),
            ("/a!$&'()*+,;=:@-._~b", "/a!$&'()*+,;=:@-._~b"),
            ("/a b\u{7f}", "/a%20b%7F"),
            ("/a/./b", "/a/b"),
            ("/a/../b", "/b"),
            ("/a/%2e%2E/b", "/b"),
            ("/a/.%2e", "/"),
            ("/a/b/..", "/a/"),
            ("/a/.", "/a/"),
            ("/.", "/"),
            ("/a/b/../../c", "/c"),
            ("/...", "/..."),
            ("/.a/..b/c..", "/.a/..b/c.."),
            ("/a/..%2Fb", "/a/..%2Fb"),
            ("//a///b//", "/a/b/"),
            ("/a//../b", "/b"),
            ("/a/.//b", "/a/b"),
            ("/*", "/*"),
            ("/%2A", "/%2A"),
            ("/%25%32%65", "/%252e"),
        ] {
            assert_eq!(normal(path, true).as_deref(), Ok(merged), "{path}");
        }
    }

    #[test]
    fn slashes_stay_where_merging_is_off() {
        for (path, kept) in
            [("//a///b//", "//a///b//"), ("/a//../b", "/a/b"), ("//..", "/"), ("/a/.//b", "/a//b")]
        {
            assert_eq!(normal(path, false).as_deref(), Ok(kept), "{path}");
        }
    }

    #[test]
    fn paths_without_a_normal_form_are_faults() {
        for (path, fault) in [
            ("/%", PathFault::BadPercentEncoding),
            ("/%4", PathFault::BadPercentEncoding),
            ("/%4g", PathFault::BadPercentEncoding),
            ("/%+1", PathFault::BadPercentEncoding),
            ("/a%00", PathFault::EncodedNul),
            ("/..", PathFault::AboveRoot),
            ("..", PathFault::AboveRoot),
            ("/a/../..", PathFault::AboveRoot),
            ("/%2e%2e/etc", PathFault::AboveRoot),
            ("/./../a", PathFault::AboveRoot),
            ("//..", PathFault::AboveRoot),
        ] {
            assert_eq!(normal(path, true), Err(fault), "{path}");
            assert!(!is_normal(path.as_bytes(), true), "{path}");
        }
    }

    #[test]
    fn every_fault_has_its_own_code_and_status_400() {
        let mut codes: Vec<_> = PathFault::ALL.iter().map(|fault| fault.code()).collect();
        codes.sort_unstable();
        codes.dedup();
        assert_eq!(codes, ["path_above_root", "path_bad_percent_encoding", "path_encoded_nul"]);
        assert!(PathFault::ALL.iter().all(|fault| fault.status() == 400));
    }

    #[test]
    fn reserved_characters_that_divide_nothing_are_compared_decoded() {
        for (path, expected) in [
            ("/%40a%3Ab", "/@a:b"),
            ("/%5B0%5D%2B%2C%3B%3D", "/[0]+,;="),
            ("/%21%24%26%27%28%29%2A", "/!$&'()*"),
            ("/a%2Fb%5C%25%23%3F%7C%20", "/a%2Fb%5C%25%23%3F%7C%20"),
            ("/%2540", "/%2540"),
            ("/a", "/a"),
        ] {
            let mut out = Vec::new();
            push_compared(path.as_bytes(), &mut out);
            assert_eq!(String::from_utf8(out).expect("text"), expected);
            assert_eq!(is_compared_decoded(path.as_bytes()), path != expected, "{path}");
        }
    }

    #[test]
    fn a_prefix_is_found_as_it_is_compared() {
        for (path, prefix, rest) in [
            ("/@a/b", "/@a", Some("/b")),
            ("/%40a/%3A", "/@a", Some("/%3A")),
            ("/@a/b", "/%40a", Some("/b")),
            ("/%40a", "/@a", Some("")),
            ("/%40", "/@a", None),
            ("/%7Ca", "/%7", Some("Ca")),
            ("/b", "/@a", None),
        ] {
            let found = strip_prefix(path.as_bytes(), prefix.as_bytes());
            assert_eq!(found, rest.map(str::as_bytes), "{path} {prefix}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(4096))]
        #[test]
        fn normal_form_is_reached_once_and_recognised(
            path in "(/|\\.|%2[eEfF]|%5c|%00|%7[ec]|%|a|\\*|é|\\\\|\\||\\{| ){0,12}",
            merge in any::<bool>(),
        ) {
            let mut once = Vec::new();
            match normalize(path.as_bytes(), merge, &mut once) {
                Ok(()) => {
                    prop_assert!(is_normal(&once, merge));
                    prop_assert_eq!(is_normal(path.as_bytes(), merge), once == path.as_bytes());
                    let mut twice = Vec::new();
                    prop_assert_eq!(normalize(&once, merge, &mut twice), Ok(()));
                    prop_assert_eq!(once, twice);
                }
                Err(_) => prop_assert!(!is_normal(path.as_bytes(), merge)),
            }
        }

        #[test]
        fn any_bytes_have_a_normal_form_or_a_fault(
            path in proptest::collection::vec(any::<u8>(), 0..64),
            merge in any::<bool>(),
        ) {
            let mut once = Vec::new();
            if normalize(&path, merge, &mut once).is_ok() {
                prop_assert!(is_normal(&once, merge));
            }
        }
    }
}
