//! The Huffman code of heads, decoded.
//!
//! Owns: the lengths of its codes (RFC 7541 Appendix B), from which the rest follows, the code being canonical. Tested
//! below with the examples of Appendix C.

use std::sync::LazyLock;

/// Bits of the code of each byte, and of the end, which must not occur.
const LENGTHS: [u8; 257] = [
    13, 23, 28, 28, 28, 28, 28, 28, 28, 24, 30, 28, 28, 30, 28, 28, 28, 28, 28, 28, 28, 28, 30, 28,
    28, 28, 28, 28, 28, 28, 28, 28, 6, 10, 10, 12, 13, 6, 8, 11, 10, 10, 8, 11, 8, 6, 6, 6, 5, 5,
    5, 6, 6, 6, 6, 6, 6, 6, 7, 8, 15, 6, 12, 10, 13, 6, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7,
    7, 7, 7, 7, 7, 7, 7, 7, 8, 7, 8, 13, 19, 13, 14, 6, 15, 5, 6, 5, 6, 5, 6, 6, 6, 5, 7, 7, 6, 6,
    6, 5, 6, 7, 6, 5, 5, 6, 7, 7, 7, 7, 7, 15, 11, 14, 13, 28, 20, 22, 20, 20, 22, 22, 22, 23, 22,
    23, 23, 23, 23, 23, 24, 23, 24, 24, 22, 23, 24, 23, 23, 23, 23, 21, 22, 23, 22, 23, 23, 24, 22,
    21, 20, 22, 22, 23, 23, 21, 23, 22, 22, 24, 21, 22, 23, 23, 21, 21, 22, 21, 23, 22, 23, 23, 20,
    22, 22, 22, 23, 22, 22, 23, 26, 26, 20, 19, 22, 23, 22, 25, 26, 26, 26, 27, 27, 26, 24, 25, 19,
    21, 26, 27, 27, 26, 27, 24, 21, 21, 26, 26, 28, 27, 27, 27, 20, 24, 20, 21, 22, 21, 21, 23, 22,
    22, 25, 25, 24, 24, 26, 23, 26, 27, 26, 26, 27, 27, 27, 27, 27, 28, 27, 27, 27, 27, 27, 26, 30,
];

const LENGTH_MIN: usize = 5;
const LENGTH_MAX: usize = 30;

/// The code by its lengths.
struct Code {
    /// Of each length: behind its last code, at the left of 32 bits; and what to add to a code's number to find its
    /// byte in `bytes`.
    lengths: [(u64, i64); LENGTH_MAX + 1],
    /// By length of the code, then by value.
    bytes: Vec<u16>,
}

static CODE: LazyLock<Code> = LazyLock::new(|| {
    let mut bytes = Vec::with_capacity(LENGTHS.len());
    let mut lengths = [(0, 0); LENGTH_MAX + 1];
    let mut next = 0u64;
    for (length, of_length) in lengths.iter_mut().enumerate().skip(1) {
        next <<= 1;
        let offset = bytes.len() as i64 - next as i64;
        let its = (0u16..).zip(LENGTHS).filter(|(_, bits)| usize::from(*bits) == length);
        bytes.extend(its.map(|(byte, _)| byte));
        next = (bytes.len() as i64 - offset) as u64;
        *of_length = (next << (32 - length), offset);
    }
    Code { lengths, bytes }
});

/// Appends what `coded` stands for; `None` when it is no such code (RFC 7541 §5.2).
pub fn decode(coded: &[u8], out: &mut Vec<u8>) -> Option<()> {
    let code = &*CODE;
    let (mut bits, mut count) = (0u64, 0usize);
    let mut coded = coded.iter();
    loop {
        while count <= 32
            && let Some(byte) = coded.next()
        {
            bits = bits << 8 | u64::from(*byte);
            count += 8;
        }
        // The next 32 bits, with ones behind the last.
        let ahead = match count {
            32.. => bits >> (count - 32) & 0xffff_ffff,
            _ => (bits << (32 - count) | ((1u64 << (32 - count)) - 1)) & 0xffff_ffff,
        };
        let length = (LENGTH_MIN..=LENGTH_MAX).find(|length| ahead < code.lengths[*length].0);
        match length {
            Some(length) if length <= count => {
                let number = (ahead >> (32 - length)) as i64 + code.lengths[length].1;
                let byte = *code.bytes.get(usize::try_from(number).ok()?)?;
                out.push(u8::try_from(byte).ok()?);
                count -= length;
                bits &= (1u64 << count) - 1;
            }
            // Padding: fewer than eight bits, all ones.
            _ => return (count < 8 && bits == (1u64 << count) - 1).then_some(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decoded(hex: &str) -> Option<String> {
        let bytes: Vec<u8> = (0..hex.len())
            .step_by(2)
            .map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap())
            .collect();
        let mut out = Vec::new();
        decode(&bytes, &mut out)?;
        String::from_utf8(out).ok()
    }

    #[test]
    fn the_examples_of_the_standard() {
        for (coded, text) in [
            ("f1e3c2e5f23a6ba0ab90f4ff", "www.example.com"),
            ("a8eb10649cbf", "no-cache"),
            ("25a849e95ba97d7f", "custom-key"),
            ("d07abe941054d444a8200595040b8166e082a62d1bff", "Mon, 21 Oct 2013 20:13:21 GMT"),
            ("9d29ad171863c78f0b97c8e9ae82ae43d3", "https://www.example.com"),
            ("", ""),
        ] {
            assert_eq!(decoded(coded).as_deref(), Some(text));
        }
        let cookie = "94e7821dd7f2e6c7b335dfdfcd5b3960d5af27087f3672c1ab270fb5291f9587316065c003ed4ee5b1063d5007";
        assert_eq!(
            decoded(cookie).as_deref(),
            Some("foo=ASDJKHQKBZXOQWEOPIUAXQWEOIU; max-age=3600; version=1")
        );
    }

    #[test]
    fn the_code_is_whole() {
        // Kraft: every sequence of bits begins with exactly one code.
        let sum: u64 = LENGTHS.iter().map(|length| 1u64 << (30 - length)).sum();
        assert_eq!(sum, 1 << 30);
    }

    #[test]
    fn wrong_padding_and_the_end_are_refused() {
        // Eight bits of padding; zeros as padding; the end's own code.
        for coded in ["a8eb10649cbfff", "a8eb10649cb0", "fffffffc"] {
            assert_eq!(decoded(coded), None, "{coded}");
        }
    }
}
