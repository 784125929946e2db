//! The normal form in which paths are matched and forwarded (RFC 3986 §6.2.2).
//!
//! * Percent-encoded unreserved characters are decoded (`%7E` is `~`), every other encoding stays and
//!   is written in upper case: an encoded slash (`%2F`) or backslash (`%5C`) never becomes a real one.
//! * Dot segments are removed after decoding, so `%2e%2e` is judged like `..`; a path that climbs above
//!   its root is a fault, never silently held at the root.
//! * Repeated slashes are merged (a setting) from left to right: `/a//../b` is `/b`, and without
//!   merging `/a/b`, where `..` removes the empty segment.
//! * The asterisk-form `*` stays alone. The query is no part of the path and is never touched.
//!
//! What is matched is what is forwarded, so a rule cannot be passed by another spelling of its path.
//! Nothing else is judged here: which raw bytes a request-target may have is decided by `http1`.
//! Tested by tables, and by proptest for idempotence and for agreement of the two functions.

/// Why a path has no normal form. The request is answered 400.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PathFault {
    BadPercentEncoding,
    EncodedNul,
    AboveRoot,
}

impl PathFault {
    /// Every fault, for tables and counters.
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

/// Whether `path` needs no change (the common case, one pass, no copy).
pub fn is_normal(path: &[u8], merge_slashes: bool) -> bool {
    if path.first() != Some(&b'/') {
        return path == b"*";
    }
    // Nearly every path has neither an encoding nor, behind a slash, another one or a dot.
    let mut before = 0;
    for &byte in path {
        if byte == b'%' || (before == b'/' && matches!(byte, b'/' | b'.')) {
            return is_normal_throughout(path, merge_slashes);
        }
        before = byte;
    }
    true
}

/// [`is_normal`] of a path that begins with a slash, segment by segment.
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
                    match decode_pair(*high, *low) {
                        Some(0) | None => return false,
                        Some(decoded) if is_unreserved(decoded) => return false,
                        Some(_) => rest = tail,
                    }
                }
                _ => return false,
            },
            _ => {}
        }
    }
    true
}

/// Writes the normal form into `out` (cleared first; undefined content after a fault).
///
/// A path that does not begin with a slash gets one, except `*`. Linear in the length of `path`;
/// `out` never grows beyond `path.len() + 1`.
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
            other => out.push(other),
        }
    }
    remove_dots(out, &mut segment_start)?;
    Ok(())
}

/// Judges the segment that ends at the end of `out`: a dot segment is removed (with the segment before
/// it for `..`), which leaves `out` at the slash before the place. Says whether it was one.
fn remove_dots(out: &mut Vec<u8>, segment_start: &mut usize) -> Result<bool, PathFault> {
    match out.get(*segment_start..) {
        Some(b".") => {
            out.truncate(*segment_start);
            Ok(true)
        }
        Some(b"..") => {
            // Without its closing slash, what stands before is "/a" or, at the root, nothing.
            let before = out.get(..segment_start.saturating_sub(1)).unwrap_or_default();
            let slash = memchr::memrchr(b'/', before).ok_or(PathFault::AboveRoot)?;
            *segment_start = slash.saturating_add(1);
            out.truncate(*segment_start);
            Ok(true)
        }
        _ => Ok(false),
    }
}

/// Writes the octet whose two hex digits begin `after` in its normal form; returns what follows it.
fn push_encoded<'p>(after: &'p [u8], out: &mut Vec<u8>) -> Result<&'p [u8], PathFault> {
    let [high, low, tail @ ..] = after else { return Err(PathFault::BadPercentEncoding) };
    match decode_pair(*high, *low) {
        None => return Err(PathFault::BadPercentEncoding),
        Some(0) => return Err(PathFault::EncodedNul),
        Some(decoded) if is_unreserved(decoded) => out.push(decoded),
        Some(_) => {
            out.extend_from_slice(&[b'%', high.to_ascii_uppercase(), low.to_ascii_uppercase()]);
        }
    }
    Ok(tail)
}

/// RFC 3986 §2.3.
pub(super) fn is_unreserved(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~')
}

/// The octet of two hex digits in any case.
pub(super) fn decode_pair(high: u8, low: u8) -> Option<u8> {
    let high = char::from(high).to_digit(16)?;
    let low = char::from(low).to_digit(16)?;
    u8::try_from(high << 4 | low).ok()
}

fn is_upper_hex(byte: u8) -> bool {
    matches!(byte, b'0'..=b'9' | b'A'..=b'F')
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

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
            ("/a\\..\\b", "/a\\..\\b"),
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

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(4096))]
        #[test]
        fn normal_form_is_reached_once_and_recognised(
            path in "(/|\\.|%2[eEfF]|%5c|%00|%7e|%|a|\\*|é|\\\\){0,12}",
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
