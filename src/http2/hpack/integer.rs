//! Integers with a prefix (RFC 7541 §5.1). Tested by the RFC's examples, by round trips and by what does not fit.

use super::fault::HpackFault;

/// Why nothing was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stop {
    /// The input ends before the representation does.
    Incomplete,
    Fault(HpackFault),
}

impl From<HpackFault> for Stop {
    fn from(fault: HpackFault) -> Stop {
        Stop::Fault(fault)
    }
}

/// Reads an integer whose first byte is `first`, with all bits of `mask` as its prefix; the bytes behind it are taken
/// off `rest`.
#[inline(always)]
pub(super) fn read(first: u8, mask: u8, rest: &mut &[u8]) -> Result<u32, Stop> {
    let prefix = first & mask;
    if prefix != mask { Ok(u32::from(prefix)) } else { read_long(mask, rest) }
}

/// At most five bytes behind the prefix: 35 bits, of which 32 may be used.
fn read_long(mask: u8, rest: &mut &[u8]) -> Result<u32, Stop> {
    let mut sum = u64::from(mask);
    for (at, shift) in (0..35).step_by(7).enumerate() {
        let byte = rest.get(at).ok_or(Stop::Incomplete)?;
        sum = sum.saturating_add(u64::from(byte & 0x7f) << shift);
        if byte & 0x80 == 0 {
            *rest = rest.get(at.saturating_add(1)..).unwrap_or_default();
            return u32::try_from(sum).map_err(|_| HpackFault::IntegerTooLarge.into());
        }
    }
    Err(HpackFault::IntegerTooLarge.into())
}

/// Appends `value` behind the bits of `first` that `mask` leaves free.
#[inline]
pub(super) fn write(first: u8, mask: u8, value: usize, out: &mut Vec<u8>) {
    match value.checked_sub(usize::from(mask)) {
        None => out.push(first | value as u8),
        Some(rest) => write_long(first | mask, rest, out),
    }
}

fn write_long(first: u8, mut rest: usize, out: &mut Vec<u8>) {
    out.push(first);
    while rest >= 0x80 {
        out.push(rest as u8 | 0x80);
        rest >>= 7;
    }
    out.push(rest as u8);
}

#[cfg(test)]
mod tests {
    use crate::http2::hpack::integer::*;

    fn whole(bytes: &[u8], mask: u8) -> Result<(u32, usize), Stop> {
        let (first, mut rest) = bytes.split_first().expect("a byte");
        read(*first, mask, &mut rest).map(|value| (value, bytes.len() - rest.len()))
    }

    #[test]
    fn the_examples_of_appendix_c_1_are_read_and_written() {
        for (value, mask, bytes) in
            [(10, 0x1f, &[0x0a][..]), (1337, 0x1f, &[0x1f, 0x9a, 0x0a]), (42, 0xff, &[0x2a])]
        {
            let mut out = Vec::new();
            write(0, mask, value, &mut out);
            assert_eq!(out, bytes);
            assert_eq!(whole(bytes, mask), Ok((value as u32, bytes.len())));
        }
    }

    #[test]
    fn every_integer_near_a_power_of_two_survives_and_no_part_of_it_is_one() {
        for mask in [0x0f, 0x1f, 0x3f, 0x7f] {
            for value in (0..32).flat_map(|bit| {
                [(1_u32 << bit) - 1, 1 << bit, (1 << bit) + u32::from(mask), u32::MAX >> bit]
            }) {
                let mut out = Vec::new();
                write(0x80 & !mask, mask, value as usize, &mut out);
                for end in 1..out.len() {
                    assert_eq!(whole(&out[..end], mask), Err(Stop::Incomplete));
                }
                let length = out.len();
                out.push(0xff);
                assert_eq!(whole(&out, mask), Ok((value, length)), "{value} {mask:#x}");
            }
        }
    }

    #[test]
    fn an_integer_beyond_32_bits_and_one_with_too_many_bytes_are_refused() {
        let too_large = Err(Stop::Fault(HpackFault::IntegerTooLarge));
        assert_eq!(whole(&[0x1f, 0xe0, 0xff, 0xff, 0xff, 0x0f], 0x1f), Ok((u32::MAX, 6)));
        assert_eq!(whole(&[0x1f, 0xe1, 0xff, 0xff, 0xff, 0x0f], 0x1f), too_large);
        assert_eq!(whole(&[0x1f, 0xff, 0xff, 0xff, 0xff, 0x7f], 0x1f), too_large);
        assert_eq!(whole(&[0x1f, 0x80, 0x80, 0x80, 0x80, 0x80], 0x1f), too_large);
        assert_eq!(whole(&[0x1f, 0x80, 0x80, 0x80, 0x80, 0x00], 0x1f), Ok((31, 6)));
    }
}
