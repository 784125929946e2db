//! The two parts of a host: its name and its port (RFC 3986 §3.2.2, §3.2.3).

use super::client_address;

/// The port in an authority.
#[inline]
pub fn port_of(host: &[u8]) -> Option<u16> {
    let digits = host.get(without_port(host).len()..)?.strip_prefix(b":")?;
    client_address::parse_port(digits)
}

/// `host` without its port, which is digits behind the last colon; brackets of an IPv6 address stay.
#[inline]
pub fn without_port(host: &[u8]) -> &[u8] {
    let last = host.iter().rposition(|byte| !byte.is_ascii_digit());
    match last.and_then(|last| host.split_at_checked(last)) {
        Some((name, [b':', ..])) => name,
        _ => host,
    }
}

#[cfg(test)]
mod tests {
    use crate::http::host::*;

    #[test]
    fn an_authority_is_split_at_its_port() {
        for (host, name, port) in [
            ("h", "h", None),
            ("h:80", "h", Some(80)),
            ("h:", "h", None),
            ("h:65536", "h", None),
            ("[::1]", "[::1]", None),
            ("[::1]:8443", "[::1]", Some(8443)),
            ("", "", None),
        ] {
            assert_eq!(without_port(host.as_bytes()), name.as_bytes(), "{host:?}");
            assert_eq!(port_of(host.as_bytes()), port, "{host:?}");
        }
    }
}
