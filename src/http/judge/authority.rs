//! Authorities: the syntax of Host and of the target's own, and whether the two agree.

use crate::http::fields::{alphanumeric_and, eq_ignore_case};
use crate::http::head::{Mode, RequestTarget, Version};
use crate::http::notes::Notes;
use crate::http::refusal::Refusal;

/// The effective authority of a request (RFC 9110 §7.1): the target's own, else Host. HTTP/1.1 requires Host in either
/// case (RFC 9112 §3.2), later versions only where the target has none (RFC 9113 §8.3.1).
#[inline(always)]
pub(super) fn effective<'b>(
    target: &RequestTarget<'b>,
    notes: &Notes<'b>,
    (version, default_port): (Version, &[u8]),
    mode: Mode,
    anomaly: &mut Option<&'static str>,
) -> Result<&'b [u8], Refusal> {
    if notes.host_repeated {
        return Err(Refusal::HostRepeated);
    }
    match (notes.host, version) {
        (Some(host), _) if !is_valid(host) => return Err(Refusal::HostInvalid),
        (None, Version::Http11) => return Err(Refusal::HostMissing),
        (None, Version::Http2 | Version::Http3) if target.authority.is_none() => {
            return Err(Refusal::HostMissing);
        }
        (Some(_), _) | (None, Version::Http10 | Version::Http2 | Version::Http3) => {}
    }
    let Some(authority) = target.authority else {
        return Ok(notes.host.unwrap_or_default());
    };
    if !is_valid(authority) {
        return Err(Refusal::HostInvalid);
    }
    if notes.host.is_some_and(|host| !same(authority, host, default_port)) {
        if mode != Mode::Monitor {
            return Err(Refusal::AuthorityMismatch);
        }
        *anomaly = anomaly.or(Some("authority_mismatch"));
    }
    Ok(authority)
}

/// Bytes of a reg-name or an IPv4 address: unreserved and sub-delims of RFC 3986 §3.2.2, without the
/// comma, which would make a list of two Host fields look like one host.
const REG_NAME: [bool; 256] = alphanumeric_and(b"-._~!$&'()*+;=");

/// `uri-host [ ":" port ]` (RFC 9110 §7.2) with a host that is not empty.
pub(super) fn is_valid(authority: &[u8]) -> bool {
    let (name, rest) = split_reg_name(authority);
    match (name, rest) {
        ([_, ..], []) => true,
        ([_, ..], [b':', port @ ..]) => is_port(port),
        _ => is_valid_unusual(authority),
    }
}

/// The fast path, since nearly every host is a name of these bytes alone.
#[inline]
#[expect(clippy::indexing_slicing, reason = "a byte has 256 values")]
fn split_reg_name(authority: &[u8]) -> (&[u8], &[u8]) {
    let end = authority.iter().position(|byte| !REG_NAME[usize::from(*byte)]);
    authority.split_at_checked(end.unwrap_or(authority.len())).unwrap_or_default()
}

/// The slow path, for addresses in brackets and names with encoded bytes.
#[cold]
fn is_valid_unusual(authority: &[u8]) -> bool {
    let (host, port) = split_port(authority);
    let host_is_valid = match host {
        [] => false,
        [b'[', address @ .., b']'] => is_ip_literal(address),
        name => is_reg_name(name),
    };
    host_is_valid && port.is_none_or(is_port)
}

/// The host and the text behind its colon. A colon inside brackets belongs to the address.
fn split_port(authority: &[u8]) -> (&[u8], Option<&[u8]>) {
    let host_end = match authority.first() {
        Some(b'[') => memchr::memchr(b']', authority).map(|bracket| bracket.saturating_add(1)),
        _ => memchr::memchr(b':', authority),
    };
    let Some((host, rest)) = host_end.and_then(|end| authority.split_at_checked(end)) else {
        return (authority, None);
    };
    match rest {
        [] => (host, None),
        [b':', port @ ..] => (host, Some(port)),
        // Bytes between the bracket and the colon: no host matches this.
        _ => (b"", None),
    }
}

/// Up to five digits that fit 16 bits; the grammar allows none at all.
fn is_port(port: &[u8]) -> bool {
    port.len() <= 5 && port.iter().all(u8::is_ascii_digit) && port_number(port) <= 65_535
}

/// Digits as a number, so that `080` is `80`.
fn port_number(digits: &[u8]) -> u32 {
    digits.iter().fold(0, |sum: u32, digit| {
        sum.saturating_mul(10).saturating_add(u32::from(digit.wrapping_sub(b'0')))
    })
}

#[expect(clippy::indexing_slicing, reason = "a byte has 256 values")]
fn is_reg_name(name: &[u8]) -> bool {
    let mut rest = name;
    while let [byte, tail @ ..] = rest {
        rest = match tail {
            _ if REG_NAME[usize::from(*byte)] => tail,
            [high, low, after @ ..]
                if *byte == b'%' && high.is_ascii_hexdigit() && low.is_ascii_hexdigit() =>
            {
                after
            }
            _ => return false,
        };
    }
    true
}

/// An IPv6 address; limpet supports neither IPvFuture nor zones.
fn is_ip_literal(address: &[u8]) -> bool {
    std::str::from_utf8(address).is_ok_and(|text| text.parse::<std::net::Ipv6Addr>().is_ok())
}

/// Whether two valid authorities are equivalent: case and a default or empty port do not count.
fn same(one: &[u8], other: &[u8], default_port: &[u8]) -> bool {
    let (one_host, one_port) = split_port(one);
    let (other_host, other_port) = split_port(other);
    let port = |given: Option<&[u8]>| {
        port_number(given.filter(|digits| !digits.is_empty()).unwrap_or(default_port))
    };
    eq_ignore_case(one_host, other_host) && port(one_port) == port(other_port)
}

#[cfg(test)]
mod tests {
    use crate::http::judge::authority::*;

    #[test]
    fn hosts_are_names_addresses_and_ports() {
        for valid in [
            "a",
            "example.com",
            "EXAMPLE.com:8080",
            "127.0.0.1",
            "[::1]",
            "[2001:db8::1]:443",
            "a_b.example",
            "a%20b",
            "a:",
            "a:65535",
            "xn--bcher-kva.example",
            "a.",
            "a:080",
        ] {
            assert!(is_valid(valid.as_bytes()), "{valid}");
        }
        for invalid in [
            "",
            ":",
            ":80",
            "a:b",
            "a:65536",
            "a:000080",
            "a:-1",
            "a b",
            "a,b",
            "a/b",
            "a@b",
            "u:p@b",
            "a?b",
            "a#b",
            "[::1",
            "::1",
            "[::1]x",
            "[::1]x:80",
            "[]",
            "[v1.x]",
            "[fe80::1%25eth0]",
            "a%2",
            "a%zz",
            "a%",
            "a\\b",
            "a\"b",
            "<a>",
            "caf\u{e9}.example",
            "a:80:80",
            "[::1]:80:80",
            "a\tb",
        ] {
            assert!(!is_valid(invalid.as_bytes()), "{invalid}");
        }
    }

    #[test]
    fn authorities_agree_whatever_their_case_and_default_port() {
        let agree = |one: &str, other: &str| same(one.as_bytes(), other.as_bytes(), b"80");
        assert!(agree("a", "A"));
        assert!(agree("a", "a:80") && agree("a:", "a") && agree("a:080", "a:80"));
        assert!(agree("[::1]", "[::1]:80"));
        assert!(
            !agree("a", "b") && !agree("a", "a:81") && !agree("a:443", "a") && !agree("a", "a.")
        );
    }
}
