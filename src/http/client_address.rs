//! The client behind trusted hops: the walk over X-Forwarded-For, or Forwarded, from the right.
//!
//! Believes an entry only when the hop that wrote it is trusted, so that a client can never choose its own address.
//! Where both fields come, X-Forwarded-For is walked, which nearly every proxy writes: a proxy that writes only that
//! field passes a stranger's Forwarded on, which must not be believed. Pure; tested by tables.

use std::net::IpAddr;

use super::fields::{Field, FieldId, eq_ignore_case, find, members};
use super::forwarded::{Element, elements_from_right, parse_address};

/// The address of the client: `peer` itself unless it is trusted, else the right-most entry of the fields that is not a
/// trusted hop. A peer without an address (`None`) is one on a Unix socket.
///
/// An entry that is not an address ends the walk at the hop that wrote it. When every entry is
/// trusted the left-most one is the client.
pub fn client_address(
    peer: Option<IpAddr>,
    fields: &[Field<'_>],
    trusted: impl Fn(Option<IpAddr>) -> bool,
) -> Option<IpAddr> {
    let entries = || {
        let lines = fields.iter().rev().filter(|field| field.id == FieldId::XForwardedFor);
        lines.flat_map(|field| members(field.value).rev())
    };
    if entries().next().is_none() {
        return walk(peer, elements(fields), trusted).0;
    }
    let hops = entries().map(|entry| Element { address: parse_address(entry), proto: None });
    walk(peer, hops, trusted).0
}

/// Whether the client's own connection is encrypted, according to the hops: by the first member of X-Forwarded-Proto,
/// else by Forwarded, in the element that names the client. `None` when neither tells.
///
/// Call it only for a trusted peer.
pub fn is_told_encrypted(
    peer: Option<IpAddr>,
    fields: &[Field<'_>],
    trusted: impl Fn(Option<IpAddr>) -> bool,
) -> Option<bool> {
    let first = find(fields, FieldId::XForwardedProto).and_then(|value| members(value).next());
    let of_field = first.and_then(is_encrypted);
    of_field.or_else(|| is_encrypted(walk(peer, elements(fields), trusted).1?))
}

/// Whether a scheme is encrypted; `None` for one that is not HTTP's.
fn is_encrypted(proto: &[u8]) -> Option<bool> {
    let is = |schemes: [&[u8]; 2]| schemes.iter().any(|scheme| eq_ignore_case(proto, scheme));
    if is([b"https", b"wss"]) {
        Some(true)
    } else if is([b"http", b"ws"]) {
        Some(false)
    } else {
        None
    }
}

/// The port that the client connected to, where a hop tells it: the first member of X-Forwarded-Port.
pub fn told_port(fields: &[Field<'_>]) -> Option<u16> {
    let value = find(fields, FieldId::XForwardedPort)?;
    parse_port(members(value).next()?)
}

/// A port in digits; `None` for 0.
pub fn parse_port(digits: &[u8]) -> Option<u16> {
    let is_number = digits.iter().all(u8::is_ascii_digit);
    let port = std::str::from_utf8(digits).ok().filter(|_| is_number)?.parse().ok()?;
    (port != 0).then_some(port)
}

/// The elements of Forwarded, the last one first; several lines are one list (RFC 7239 §4).
fn elements<'f, 'v>(fields: &'f [Field<'v>]) -> impl Iterator<Item = Element<'v>> + use<'f, 'v> {
    let lines = fields.iter().rev().filter(|field| field.id == FieldId::Forwarded);
    lines.flat_map(|field| elements_from_right(field.value))
}

/// The client, and the protocol in the last element that a trusted hop wrote.
fn walk<'v>(
    peer: Option<IpAddr>,
    hops: impl Iterator<Item = Element<'v>>,
    trusted: impl Fn(Option<IpAddr>) -> bool,
) -> (Option<IpAddr>, Option<&'v [u8]>) {
    let mut client = peer.map(|peer| peer.to_canonical());
    let mut proto = None;
    if !trusted(client) {
        return (client, proto);
    }
    for hop in hops {
        proto = hop.proto;
        if hop.address.is_none() {
            break;
        }
        client = hop.address;
        if !trusted(client) {
            break;
        }
    }
    (client, proto)
}

#[cfg(test)]
mod tests {
    use crate::http::client_address::*;

    fn trusted(hop: Option<IpAddr>) -> bool {
        hop.is_none_or(|ip| matches!(ip, IpAddr::V4(v4) if v4.octets()[0] == 10))
    }

    fn lines<'v>(id: FieldId, values: &[&'v str]) -> Vec<Field<'v>> {
        let line = |value: &&'v str| Field::new(b"x", value.as_bytes(), id);
        values.iter().map(line).collect()
    }

    fn client(peer: &str, fields: &[Field<'_>]) -> String {
        let peer = (peer != "unix").then(|| peer.parse().expect("an address"));
        client_address(peer, fields, trusted).map_or("-".into(), |client| client.to_string())
    }

    fn walk(peer: &str, values: &[&str]) -> String {
        let found = client(peer, &lines(FieldId::XForwardedFor, values));
        let forwarded = values.iter().map(|value| as_forwarded(value)).collect::<Vec<_>>();
        let forwarded: Vec<&str> = forwarded.iter().map(String::as_str).collect();
        let other = client(peer, &lines(FieldId::Forwarded, &forwarded));
        assert_eq!(found, other, "{values:?} as Forwarded");
        found
    }

    fn as_forwarded(value: &str) -> String {
        value
            .split(',')
            .map(|entry| format!("for=\"{}\"", entry.trim()))
            .collect::<Vec<_>>()
            .join(",")
    }

    #[test]
    fn an_untrusted_peer_is_the_client_whatever_it_says() {
        assert_eq!(walk("192.0.2.1", &["198.51.100.7"]), "192.0.2.1");
        assert_eq!(walk("2001:db8::1", &["198.51.100.7"]), "2001:db8::1");
    }

    #[test]
    fn trusted_hops_are_walked_from_the_right() {
        assert_eq!(walk("10.0.0.1", &[]), "10.0.0.1");
        assert_eq!(walk("10.0.0.1", &["198.51.100.7"]), "198.51.100.7");
        assert_eq!(walk("10.0.0.1", &["1.1.1.1, 198.51.100.7, 10.0.0.2"]), "198.51.100.7");
        assert_eq!(
            walk("10.0.0.1", &["1.1.1.1, 198.51.100.7", "10.0.0.2, 10.0.0.3"]),
            "198.51.100.7"
        );
        assert_eq!(walk("10.0.0.1", &["10.0.0.9, 10.0.0.2"]), "10.0.0.9");
        assert_eq!(walk("unix", &["1.1.1.1, 198.51.100.7"]), "198.51.100.7");
        assert_eq!(walk("unix", &[]), "-");
    }

    #[test]
    fn an_entry_that_is_no_address_ends_the_walk_at_its_writer() {
        assert_eq!(walk("10.0.0.1", &["198.51.100.7, unknown"]), "10.0.0.1");
        assert_eq!(walk("10.0.0.1", &["198.51.100.7, x, 10.0.0.2"]), "10.0.0.2");
        assert_eq!(walk("10.0.0.1", &["[::1, 10.0.0.2"]), "10.0.0.2");
        assert_eq!(walk("unix", &["198.51.100.7, unknown"]), "-");
    }

    #[test]
    fn ports_brackets_and_mapped_addresses_are_understood() {
        assert_eq!(walk("10.0.0.1", &["198.51.100.7:4711"]), "198.51.100.7");
        assert_eq!(walk("10.0.0.1", &["[2001:db8::7]:4711"]), "2001:db8::7");
        assert_eq!(walk("10.0.0.1", &["[2001:db8::7]"]), "2001:db8::7");
        assert_eq!(walk("::ffff:10.0.0.1", &["::ffff:198.51.100.7"]), "198.51.100.7");
    }

    #[test]
    fn x_forwarded_for_goes_before_forwarded() {
        let mut fields = lines(FieldId::Forwarded, &["for=203.0.113.9"]);
        assert_eq!(client("10.0.0.1", &fields), "203.0.113.9");
        fields.extend(lines(FieldId::XForwardedFor, &[" , "]));
        assert_eq!(client("10.0.0.1", &fields), "203.0.113.9");
        fields.extend(lines(FieldId::XForwardedFor, &["198.51.100.7"]));
        assert_eq!(client("10.0.0.1", &fields), "198.51.100.7");
    }

    #[test]
    fn the_protocol_is_the_first_one_told_or_that_beside_the_client() {
        let told = |id, values: &[&str]| {
            is_told_encrypted("10.0.0.1".parse().ok(), &lines(id, values), trusted)
        };
        for (values, expected) in [
            (&[][..], None),
            (&["https"], Some(true)),
            (&["HTTPS"], Some(true)),
            (&["wss"], Some(true)),
            (&["https, http"], Some(true)),
            (&["https,http", "http"], Some(true)),
            (&[" , https"], Some(true)),
            (&["http, https"], Some(false)),
            (&["http", "https"], Some(false)),
            (&["ws"], Some(false)),
            (&["httpsx"], None),
            (&["on"], None),
        ] {
            assert_eq!(told(FieldId::XForwardedProto, values), expected, "{values:?}");
        }
        for (values, expected) in [
            (&["for=192.0.2.1;proto=https"][..], Some(true)),
            (&["for=192.0.2.1;proto=\"HTTPS\""], Some(true)),
            (&["for=192.0.2.1;proto=http"], Some(false)),
            (&["for=_hidden;proto=https"], Some(true)),
            (&["proto=https"], Some(true)),
            (&["for=192.0.2.1"], None),
            (&["for=192.0.2.1;proto=https, for=10.0.0.2;proto=http"], Some(true)),
            (&["for=9.9.9.9;proto=https, for=192.0.2.1;proto=http"], Some(false)),
            (&["for=9.9.9.9;proto=https", "for=192.0.2.1"], None),
        ] {
            assert_eq!(told(FieldId::Forwarded, values), expected, "{values:?}");
        }
    }

    #[test]
    fn a_port_is_a_number_that_a_client_can_connect_to() {
        for (values, expected) in [
            (&["443"][..], Some(443)),
            (&["443, 8080"], Some(443)),
            (&["443", "8080"], Some(443)),
            (&["65535"], Some(65_535)),
            (&["65536"], None),
            (&["0"], None),
            (&["+1"], None),
            (&[""], None),
            (&[], None),
        ] {
            assert_eq!(told_port(&lines(FieldId::XForwardedPort, values)), expected, "{values:?}");
        }
    }
}
