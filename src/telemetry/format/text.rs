//! How values are written into a line: numbers, addresses, times, and texts that cannot break out of it.
//!
//! Appends to a buffer and keeps nothing but the text of a second. Tested by tables, and by whole lines
//! beside each format.
use std::net::{IpAddr, SocketAddr};

use crate::http1::head::Version;

/// The text of a second, made anew only when the second changes.
#[derive(Debug)]
pub struct SecondText {
    pattern: &'static str,
    second: Option<u64>,
    text: String,
}

impl SecondText {
    /// By a pattern of strftime.
    pub fn new(pattern: &'static str) -> SecondText {
        SecondText { pattern, second: None, text: String::new() }
    }

    /// Appends `second` since the Unix epoch, in UTC.
    pub fn push(&mut self, second: u64, out: &mut Vec<u8>) {
        if self.second != Some(second) {
            let timestamp = i64::try_from(second)
                .ok()
                .and_then(|second| jiff::Timestamp::from_second(second).ok())
                .unwrap_or_default();
            self.second = Some(second);
            self.text = timestamp.strftime(self.pattern).to_string();
        }
        out.extend_from_slice(self.text.as_bytes());
    }
}

/// Appends `fraction` with exactly `digits` digits.
pub fn push_fraction(fraction: u64, digits: u32, out: &mut Vec<u8>) {
    let mut divisor = 10_u64.saturating_pow(digits.saturating_sub(1));
    for _ in 0..digits {
        out.push(b'0' + u8::try_from(fraction / divisor.max(1) % 10).unwrap_or(0));
        divisor /= 10;
    }
}

pub fn push_number(number: impl itoa::Integer, out: &mut Vec<u8>) {
    out.extend_from_slice(itoa::Buffer::new().format(number).as_bytes());
}

pub fn push_address(address: IpAddr, out: &mut Vec<u8>) {
    match address {
        IpAddr::V4(v4) => {
            for (at, octet) in v4.octets().into_iter().enumerate() {
                if at > 0 {
                    out.push(b'.');
                }
                push_number(octet, out);
            }
        }
        // Writing into memory does not fail.
        IpAddr::V6(v6) => drop(std::io::Write::write_fmt(out, format_args!("{v6}"))),
    }
}

/// "203.0.113.9:80", "[2001:db8::7]:80"
pub fn push_socket_address(address: SocketAddr, out: &mut Vec<u8>) {
    if address.is_ipv6() {
        out.push(b'[');
    }
    push_address(address.ip(), out);
    if address.is_ipv6() {
        out.push(b']');
    }
    out.push(b':');
    push_number(address.port(), out);
}

/// "HTTP/1.1"; empty when no request line was understood.
pub fn version_text(version: Option<Version>) -> &'static str {
    match version {
        None => "",
        Some(Version::Http10) => "HTTP/1.0",
        Some(Version::Http11) => "HTTP/1.1",
    }
}

/// Visible ASCII and space that a string may hold as it is.
pub fn is_plain(byte: u8) -> bool {
    matches!(byte, b' '..=b'~') && byte != b'"' && byte != b'\\'
}

/// `\xhh` for quotes, backslashes and everything that is not visible ASCII: safe inside and outside of
/// quotes, and for readers that look for the next quote.
pub fn push_hex_escaped(text: &[u8], out: &mut Vec<u8>) {
    push_escaped_where(text, is_plain, out);
}

/// As [`push_hex_escaped`], and spaces too: for a text that stands without quotes.
pub fn push_word(text: &[u8], out: &mut Vec<u8>) {
    push_escaped_where(text, |byte| byte != b' ' && is_plain(byte), out);
}

fn push_escaped_where(text: &[u8], is_plain: impl Fn(u8) -> bool, out: &mut Vec<u8>) {
    if text.iter().all(|&byte| is_plain(byte)) {
        out.extend_from_slice(text);
        return;
    }
    for &byte in text {
        if is_plain(byte) {
            out.push(byte);
        } else {
            out.extend_from_slice(b"\\x");
            push_hex(byte, out);
        }
    }
}

/// Two hexadecimal digits.
pub fn push_hex(byte: u8, out: &mut Vec<u8>) {
    let digit = |nibble: u8| match nibble {
        0..=9 => b'0' + nibble,
        _ => b'a' + (nibble - 10),
    };
    out.extend_from_slice(&[digit(byte >> 4), digit(byte & 15)]);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(push: impl FnOnce(&mut Vec<u8>)) -> String {
        let mut out = Vec::new();
        push(&mut out);
        String::from_utf8(out).expect("UTF-8")
    }

    #[test]
    fn fractions_have_all_their_digits() {
        for (fraction, digits, wanted) in
            [(0, 3, "000"), (7, 3, "007"), (123_456, 6, "123456"), (1999, 3, "999"), (5, 0, "")]
        {
            assert_eq!(written(|out| push_fraction(fraction, digits, out)), wanted);
        }
    }

    #[test]
    fn an_address_with_a_port_can_be_taken_apart() {
        for text in ["203.0.113.9:80", "[2001:db8::7]:8080"] {
            let address: SocketAddr = text.parse().expect("an address");
            assert_eq!(written(|out| push_socket_address(address, out)), text);
        }
    }

    #[test]
    fn escaped_texts_are_visible_ascii_without_quotes() {
        let all: Vec<u8> = (0..=255).collect();
        let escaped = written(|out| push_hex_escaped(&all, out));
        assert!(escaped.bytes().all(|byte| matches!(byte, b' '..=b'~') && byte != b'"'));
        assert_eq!(written(|out| push_hex_escaped(b"a b\"\\\n\xff", out)), r"a b\x22\x5c\x0a\xff");
        assert_eq!(written(|out| push_word(b"a b", out)), r"a\x20b");
    }

    #[test]
    fn an_impossible_second_is_no_panic() {
        let mut second = SecondText::new("%Y");
        assert_eq!(written(|out| second.push(u64::MAX, out)), "1970");
    }
}
