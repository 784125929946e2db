//! Forwarded, as received (RFC 7239): its elements from the right, each written by one hop about the hop before it.
//!
//! Read from the right, where the nearest hop has written: anything that a stranger put before it, unbalanced quotes
//! included, cannot change how that part is read. Pure; tested by tables.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use arrayvec::ArrayVec;

use super::fields::{eq_ignore_case, trim};

/// One element of the list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Element<'v> {
    /// `for`; `None` where it is unknown, obfuscated or malformed.
    pub address: Option<IpAddr>,
    /// `proto`.
    pub proto: Option<&'v [u8]>,
}

/// Longest `for` that is read: an address of IPv6 in brackets with a port is much shorter.
const NODE_BYTES_MAX: usize = 128;

/// The elements of one field line, the last one first; empty ones are skipped.
pub(super) fn elements_from_right(value: &[u8]) -> impl Iterator<Item = Element<'_>> {
    let mut rest = Some(value);
    std::iter::from_fn(move || {
        loop {
            let value = rest?;
            let (before, element) = split_last(value);
            rest = before;
            let element = trim(element);
            if !element.is_empty() {
                return Some(read(element));
            }
        }
    })
}

/// The part behind the last comma outside of quotes, and the part before it.
fn split_last(value: &[u8]) -> (Option<&[u8]>, &[u8]) {
    let mut is_quoted = false;
    for (at, byte) in value.iter().enumerate().rev() {
        match byte {
            b'"' if !is_quoted || !is_escaped(value, at) => is_quoted = !is_quoted,
            b',' if !is_quoted => {
                let (before, rest) = value.split_at(at);
                return (Some(before), rest.get(1..).unwrap_or_default());
            }
            _ => {}
        }
    }
    (None, value)
}

/// Whether an odd number of backslashes precedes `at`.
fn is_escaped(value: &[u8], at: usize) -> bool {
    let before = value.get(..at).unwrap_or_default();
    before.iter().rev().take_while(|byte| **byte == b'\\').count() % 2 == 1
}

/// The pairs of one element; the first `proto` counts, and a second `for` voids both.
fn read(element: &[u8]) -> Element<'_> {
    let mut found = Element::default();
    let mut has_for = false;
    let mut rest = Some(element);
    while let Some(pairs) = rest {
        let (pair, after) = split_first(pairs);
        rest = after;
        let Some(equals) = pair.iter().position(|byte| *byte == b'=') else { continue };
        let (name, value) = pair.split_at(equals);
        let value = trim(value.get(1..).unwrap_or_default());
        if eq_ignore_case(trim(name), b"for") {
            found.address = if has_for { None } else { node(value) };
            has_for = true;
        } else if eq_ignore_case(trim(name), b"proto") && found.proto.is_none() {
            found.proto = Some(unquoted(value).unwrap_or(value));
        }
    }
    found
}

/// The part before the first semicolon outside of quotes, and the part behind it.
fn split_first(pairs: &[u8]) -> (&[u8], Option<&[u8]>) {
    let mut is_quoted = false;
    for (at, byte) in pairs.iter().enumerate() {
        match byte {
            b'"' if !is_quoted || !is_escaped(pairs, at) => is_quoted = !is_quoted,
            b';' if !is_quoted => {
                let (pair, rest) = pairs.split_at(at);
                return (pair, rest.get(1..));
            }
            _ => {}
        }
    }
    (pairs, None)
}

/// The content between quotes; `None` without them.
fn unquoted(value: &[u8]) -> Option<&[u8]> {
    value.strip_prefix(b"\"")?.strip_suffix(b"\"")
}

/// RFC 7239 §6: an address, perhaps with a port; "unknown" and obfuscated identifiers are none.
fn node(value: &[u8]) -> Option<IpAddr> {
    let Some(quoted) = unquoted(value) else { return parse_address(without_hidden_port(value)) };
    let mut text = ArrayVec::<u8, NODE_BYTES_MAX>::new();
    let mut is_escaped = false;
    for byte in quoted {
        match byte {
            b'\\' if !is_escaped => is_escaped = true,
            // A quote that belongs to another string.
            b'"' if !is_escaped => return None,
            byte => {
                text.try_push(*byte).ok()?;
                is_escaped = false;
            }
        }
    }
    parse_address(without_hidden_port(&text))
}

/// `node` without an obfuscated port, as in `192.0.2.1:_a`.
fn without_hidden_port(node: &[u8]) -> &[u8] {
    match memchr::memmem::find(node, b":_") {
        Some(colon) => node.get(..colon).unwrap_or_default(),
        None => node,
    }
}

/// `address`, `address:port`, `[v6]` or `[v6]:port`; IPv4-mapped addresses become IPv4.
pub(super) fn parse_address(entry: &[u8]) -> Option<IpAddr> {
    let text = std::str::from_utf8(entry).ok()?;
    let address = text
        .parse::<IpAddr>()
        .or_else(|_| text.parse::<SocketAddr>().map(|socket| socket.ip()))
        .or_else(|_| {
            let inner = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
            inner.unwrap_or_default().parse::<Ipv6Addr>().map(IpAddr::V6)
        })
        .ok()?;
    Some(address.to_canonical())
}

#[cfg(test)]
mod tests {
    use crate::http::forwarded::*;

    fn read_all(value: &str) -> Vec<(String, String)> {
        let text = |element: Element<'_>| {
            let address = element.address.map_or("-".into(), |address| address.to_string());
            let proto = element.proto.map_or("-".into(), |p| String::from_utf8_lossy(p).into());
            (address, proto)
        };
        elements_from_right(value.as_bytes()).map(text).collect()
    }

    #[track_caller]
    fn assert_reads(value: &str, expected: &[(&str, &str)]) {
        let found = read_all(value);
        let found: Vec<_> = found.iter().map(|(a, p)| (a.as_str(), p.as_str())).collect();
        assert_eq!(found, expected, "{value}");
    }

    #[test]
    fn elements_are_read_from_the_right() {
        assert_reads("", &[]);
        assert_reads(" , ,", &[]);
        assert_reads("for=192.0.2.1", &[("192.0.2.1", "-")]);
        assert_reads("For=192.0.2.1;Proto=https;by=_x", &[("192.0.2.1", "https")]);
        assert_reads("proto=http", &[("-", "http")]);
        assert_reads(
            "for=192.0.2.1;proto=https, for=192.0.2.2,,for=192.0.2.3 ; proto=\"wss\"",
            &[("192.0.2.3", "wss"), ("192.0.2.2", "-"), ("192.0.2.1", "https")],
        );
    }

    #[test]
    fn nodes_are_addresses_with_and_without_ports() {
        for (value, address) in [
            ("192.0.2.1:80", "192.0.2.1"),
            ("\"192.0.2.1:80\"", "192.0.2.1"),
            ("\"192.0.2.1:_hidden\"", "192.0.2.1"),
            ("\"[2001:db8::1]\"", "2001:db8::1"),
            ("\"[2001:db8::1]:4711\"", "2001:db8::1"),
            ("\"[2001:db8::1]:_x\"", "2001:db8::1"),
            ("\"[2001:db8::1]:\\4711\"", "2001:db8::1"),
            ("\"\\192.0.2.1\"", "192.0.2.1"),
            ("[2001:db8::1]", "2001:db8::1"),
            ("\"[::ffff:192.0.2.1]\"", "192.0.2.1"),
            ("unknown", "-"),
            ("_hidden", "-"),
            ("_", "-"),
            ("", "-"),
            ("\"", "-"),
            ("\"\"", "-"),
            ("\"192.0.2.1", "-"),
            ("\"192.0.2.1\"x", "-"),
            ("\"192.0.2.1\" \"", "-"),
            ("192.0.2.1;for=192.0.2.2", "-"),
        ] {
            assert_reads(&format!("for={value}"), &[(address, "-")]);
        }
        let long = format!("for=\"{}\"", "1".repeat(500));
        assert_reads(&long, &[("-", "-")]);
    }

    #[test]
    fn quotes_hide_commas_and_semicolons() {
        assert_reads(
            "for=192.0.2.1;x=\"a,for=9.9.9.9;proto=http\";proto=https",
            &[("192.0.2.1", "https")],
        );
        assert_reads("x=\"\\\",for=9.9.9.9\\\\\";for=192.0.2.1", &[("192.0.2.1", "-")]);
    }

    #[test]
    fn unbalanced_quotes_before_it_do_not_reach_what_the_nearest_hop_wrote() {
        let ours = ["for=192.0.2.7;proto=https", "for=\"[2001:db8::7]\";host=\"a:80\";proto=https"];
        for stranger in ["for=\"", "for=9.9.9.9;x=\"", "x=\"\\", "\"\"\"", "x=\"\\\"", "\\"] {
            for ours in ours {
                let value = format!("{stranger}, {ours}");
                let first = read_all(&value).into_iter().next().unwrap();
                let expected = read_all(ours).into_iter().next().unwrap();
                assert_eq!(first, expected, "{value}");
            }
        }
    }

    #[test]
    fn any_bytes_are_read_without_harm() {
        proptest::proptest!(|(value in "[\",;=\\\\ a-f0-9.:\\[\\]_]{0,60}")| {
            assert!(elements_from_right(value.as_bytes()).count() <= value.len());
        });
    }
}
