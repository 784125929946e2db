//! The client's address behind trusted hops: the walk over X-Forwarded-For from the right.
//!
//! Believes an entry only when the hop that wrote it is trusted, so that a client can never choose
//! its own address. Pure; tested by tables.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use super::fields::members;

/// The address of the client: `peer` itself unless it is trusted, else the right-most entry of the
/// X-Forwarded-For `values` (given in the order of the head) that is not a trusted hop.
///
/// An entry that is not an address ends the walk at the hop that wrote it. When every entry is
/// trusted the left-most one is the client.
pub fn client_address<'v, I>(peer: IpAddr, values: I, trusted: impl Fn(IpAddr) -> bool) -> IpAddr
where
    I: IntoIterator<Item = &'v [u8]>,
    I::IntoIter: DoubleEndedIterator,
{
    let mut client = peer.to_canonical();
    if !trusted(client) {
        return client;
    }
    for value in values.into_iter().rev() {
        for entry in members(value).rev() {
            let Some(address) = parse_entry(entry) else { return client };
            client = address;
            if !trusted(client) {
                return client;
            }
        }
    }
    client
}

/// `address`, `address:port`, `[v6]` or `[v6]:port`; IPv4-mapped addresses become IPv4.
fn parse_entry(entry: &[u8]) -> Option<IpAddr> {
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
    use super::*;

    fn walk(peer: &str, values: &[&str]) -> String {
        let trusted = |ip: IpAddr| matches!(ip, IpAddr::V4(v4) if v4.octets()[0] == 10);
        let values = values.iter().map(|value| value.as_bytes());
        client_address(peer.parse().expect("an address"), values, trusted).to_string()
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
    }

    #[test]
    fn an_entry_that_is_no_address_ends_the_walk_at_its_writer() {
        assert_eq!(walk("10.0.0.1", &["198.51.100.7, unknown"]), "10.0.0.1");
        assert_eq!(walk("10.0.0.1", &["198.51.100.7, x, 10.0.0.2"]), "10.0.0.2");
        assert_eq!(walk("10.0.0.1", &["[::1, 10.0.0.2"]), "10.0.0.2");
    }

    #[test]
    fn ports_brackets_and_mapped_addresses_are_understood() {
        assert_eq!(walk("10.0.0.1", &["198.51.100.7:4711"]), "198.51.100.7");
        assert_eq!(walk("10.0.0.1", &["[2001:db8::7]:4711"]), "2001:db8::7");
        assert_eq!(walk("10.0.0.1", &["[2001:db8::7]"]), "2001:db8::7");
        assert_eq!(walk("::ffff:10.0.0.1", &["::ffff:198.51.100.7"]), "198.51.100.7");
    }
}
