//! How values are written into a line: addresses, times, and texts that cannot break out of it.
//!
//! Keeps no state but the text of a second. Tested by tables, and by whole lines beside each format.
use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use super::line::Line;
use crate::http::head::Version;

/// Longest text of a second.
const SECOND_BYTES_MAX: usize = 32;
/// The longest address: "ffff:ffff:ffff:ffff:ffff:ffff:255.255.255.255".
const V6_BYTES_MAX: usize = 45;

/// The result of [`octet_text`] for every octet.
#[expect(
    clippy::indexing_slicing,
    reason = "the compiler evaluates it, and refuses an index that is out of bounds"
)]
const OCTETS: [[u8; 4]; 256] = {
    let mut octets = [[b'.'; 4]; 256];
    let mut octet = 0_u8;
    loop {
        let (hundreds, tens, ones) =
            (b'0' + octet / 100, b'0' + octet / 10 % 10, b'0' + octet % 10);
        octets[octet as usize] = match octet {
            0..10 => [ones, b'.', 0, 0],
            10..100 => [tens, ones, b'.', 0],
            100.. => [hundreds, tens, ones, b'.'],
        };
        if octet == u8::MAX {
            break octets;
        }
        octet += 1;
    }
};

/// The text of a second, made again only when the second changes.
#[derive(Debug)]
pub struct SecondText {
    pattern: &'static str,
    second: Option<u64>,
    text: [u8; SECOND_BYTES_MAX],
    length: usize,
}

impl SecondText {
    /// With a pattern of strftime.
    pub fn new(pattern: &'static str) -> SecondText {
        SecondText { pattern, second: None, text: [0; SECOND_BYTES_MAX], length: 0 }
    }

    /// Appends `second` since the Unix epoch, in UTC.
    #[inline]
    pub fn push(&mut self, second: u64, line: &mut Line<'_>) {
        if self.second != Some(second) {
            self.change(second);
        }
        line.put_front(&self.text, self.length);
    }

    #[cold]
    fn change(&mut self, second: u64) {
        let timestamp = i64::try_from(second)
            .ok()
            .and_then(|second| jiff::Timestamp::from_second(second).ok())
            .unwrap_or_default();
        self.second = Some(second);
        let text = timestamp.strftime(self.pattern).to_string();
        self.length = text.len().min(SECOND_BYTES_MAX);
        for (to, from) in self.text.iter_mut().zip(text.bytes()) {
            *to = from;
        }
    }
}

/// Appends an address as the standard library writes it.
#[inline]
pub fn push_address(address: IpAddr, line: &mut Line<'_>) {
    match address {
        IpAddr::V4(v4) => {
            let [a, b, c, d] = v4.octets();
            for octet in [a, b, c] {
                line.put_front(&octet_text(octet), octet_length(octet) + 1);
            }
            line.put_front(&octet_text(d), octet_length(d));
        }
        IpAddr::V6(v6) => push_v6(v6, line),
    }
}

#[cold]
fn push_v6(v6: Ipv6Addr, line: &mut Line<'_>) {
    let mut text = arrayvec::ArrayString::<V6_BYTES_MAX>::new();
    // The longest address fits.
    let _ = std::fmt::Write::write_fmt(&mut text, format_args!("{v6}"));
    line.put(text.as_bytes());
}

/// The digits of an octet at the front, with a dot behind them.
#[inline(always)]
fn octet_text(octet: u8) -> [u8; 4] {
    OCTETS.get(usize::from(octet)).copied().unwrap_or_default()
}

#[inline(always)]
fn octet_length(octet: u8) -> usize {
    1 + usize::from(octet >= 10) + usize::from(octet >= 100)
}

/// `203.0.113.9:80`, `[2001:db8::7]:80`
pub fn push_socket_address(address: SocketAddr, line: &mut Line<'_>) {
    if address.is_ipv6() {
        line.put_byte(b'[');
    }
    push_address(address.ip(), line);
    if address.is_ipv6() {
        line.put_byte(b']');
    }
    line.put_byte(b':');
    line.put_number(address.port().into());
}

/// "2025-11-22T16:30:00.123Z"
pub fn push_time(time_unix_ms: u64, second: &mut SecondText, line: &mut Line<'_>) {
    second.push(time_unix_ms / 1000, line);
    line.put_byte(b'.');
    line.put_thousandths(time_unix_ms % 1000);
    line.put_byte(b'Z');
}

/// "HTTP/1.1"; empty when the request line could not be parsed.
pub fn version_text(version: Option<Version>) -> &'static str {
    match version {
        None => "",
        Some(Version::Http10) => "HTTP/1.0",
        Some(Version::Http11) => "HTTP/1.1",
        Some(Version::Http2) => "HTTP/2.0",
        Some(Version::Http3) => "HTTP/3.0",
    }
}

/// `\xhh` for quotes, backslashes and all bytes that are not visible ASCII: safe inside and outside of quotes, and for
/// readers that look for the next quote.
#[inline]
pub fn push_hex_escaped(text: &[u8], line: &mut Line<'_>) {
    push_from::<b' '>(text, line);
}

/// As [`push_hex_escaped`], and spaces too: for a text without quotes around it.
#[inline]
pub fn push_word(text: &[u8], line: &mut Line<'_>) {
    push_from::<b'!'>(text, line);
}

fn push_from<const LOWEST: u8>(text: &[u8], line: &mut Line<'_>) {
    if !line.put_if_plain::<LOWEST>(text) {
        push_odd_from::<LOWEST>(text, line);
    }
}

#[cold]
fn push_odd_from<const LOWEST: u8>(text: &[u8], line: &mut Line<'_>) {
    for &byte in text {
        if (LOWEST..=b'~').contains(&byte) && !matches!(byte, b'"' | b'\\') {
            line.put_byte(byte);
        } else {
            push_hex(byte, line);
        }
    }
}

/// `\x` and two hexadecimal digits.
pub fn push_hex(byte: u8, line: &mut Line<'_>) {
    let [high, low] = hex(byte);
    line.put(&[b'\\', b'x', high, low]);
}

/// Two hexadecimal digits.
pub fn hex(byte: u8) -> [u8; 2] {
    let digit = |nibble: u8| match nibble {
        0..=9 => b'0' + nibble,
        _ => b'a' + (nibble - 10),
    };
    [digit(byte >> 4), digit(byte & 15)]
}

#[cfg(test)]
mod tests {
    use super::super::line::Lines;
    use crate::telemetry::format::text::*;

    fn written(push: impl FnOnce(&mut Line<'_>)) -> String {
        let mut lines = Lines::new(4096);
        assert!(lines.add(push));
        String::from_utf8(lines.as_bytes().to_vec()).expect("UTF-8")
    }

    #[test]
    fn every_octet_is_written_as_the_standard_library_does() {
        for octet in 0..=255 {
            let address = IpAddr::from([octet, 255 - octet, octet, octet]);
            assert_eq!(written(|line| push_address(address, line)), address.to_string());
        }
    }

    #[test]
    fn the_longest_address_fits() {
        for text in ["2001:db8:1111:2222:3333:4444:5555:6666", "::ffff:255.255.255.255", "::"] {
            let address: IpAddr = text.parse().expect("an address");
            assert_eq!(written(|line| push_address(address, line)), text);
        }
    }

    #[test]
    fn an_address_with_a_port_can_be_taken_apart() {
        for text in ["203.0.113.9:80", "[2001:db8::7]:8080", "0.10.100.255:0"] {
            let address: SocketAddr = text.parse().expect("an address");
            assert_eq!(written(|line| push_socket_address(address, line)), text);
        }
    }

    #[test]
    fn escaped_texts_are_visible_ascii_without_quotes() {
        let all: Vec<u8> = (0..=255).collect();
        let escaped = written(|line| push_hex_escaped(&all, line));
        assert!(escaped.bytes().all(|byte| matches!(byte, b' '..=b'~') && byte != b'"'));
        assert_eq!(
            written(|line| push_hex_escaped(b"a b\"\\\n\xff", line)),
            r"a b\x22\x5c\x0a\xff"
        );
        assert_eq!(written(|line| push_word(b"a b", line)), r"a\x20b");
    }

    #[test]
    fn an_impossible_second_is_no_panic() {
        let mut second = SecondText::new("%Y");
        assert_eq!(written(|line| second.push(u64::MAX, line)), "1970");
    }
}
