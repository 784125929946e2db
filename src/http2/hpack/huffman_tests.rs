//! The code against RFC 7541, round trips, and every wrong end of a string.

use proptest::prelude::*;

use super::*;

fn decoded(coded: &[u8]) -> Result<Vec<u8>, HuffmanFault> {
    let mut out = b"before".to_vec();
    let result = decode(coded, &mut out);
    assert!(out.starts_with(b"before"));
    result.map(|()| out.split_off(6))
}

fn encoded(text: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    encode(text, &mut out);
    assert_eq!(out.len(), coded_bytes(text));
    out
}

/// The string of `bits`, first to last, padded with ones.
fn string_of(bits: &str) -> Vec<u8> {
    let padded = format!("{bits}{}", "1".repeat(bits.len().next_multiple_of(8) - bits.len()));
    let byte = |at: usize| u8::from_str_radix(&padded[at..at + 8], 2).expect("eight bits");
    (0..padded.len()).step_by(8).map(byte).collect()
}

fn code_of(symbol: usize) -> String {
    format!("{:0width$b}", CODES[symbol], width = usize::from(LENGTHS[symbol]))
}

#[test]
fn codes_are_those_of_appendix_b() {
    for (symbol, code, length) in [
        (0, 0x1ff8, 13),
        (1, 0x7f_ffd8, 23),
        (10, 0x3fff_fffc, 30),
        (13, 0x3fff_fffd, 30),
        (22, 0x3fff_fffe, 30),
        (usize::from(b' '), 0x14, 6),
        (usize::from(b'0'), 0x0, 5),
        (usize::from(b'<'), 0x7ffc, 15),
        (usize::from(b'a'), 0x3, 5),
        (usize::from(b'z'), 0x7b, 7),
        (usize::from(b'~'), 0x1ffd, 13),
        (127, 0xfff_fffc, 28),
        (128, 0xfffe6, 20),
        (203, 0x7ff_ffde, 27),
        (249, 0xfff_fffe, 28),
        (255, 0x3ff_ffee, 26),
        (256, 0x3fff_ffff, 30),
    ] {
        assert_eq!((CODES[symbol], usize::from(LENGTHS[symbol])), (code, length), "{symbol}");
    }
    // The code is complete: no string of bits is without a meaning.
    let filled: u64 = LENGTHS.iter().map(|length| 1 << (30 - length)).sum();
    assert_eq!(filled, 1 << 30);
}

#[test]
fn the_strings_of_appendix_c_are_decoded_and_encoded() {
    let rows: &[(&str, &[u8])] = &[
        (
            "www.example.com",
            &[0xf1, 0xe3, 0xc2, 0xe5, 0xf2, 0x3a, 0x6b, 0xa0, 0xab, 0x90, 0xf4, 0xff],
        ),
        ("no-cache", &[0xa8, 0xeb, 0x10, 0x64, 0x9c, 0xbf]),
        ("custom-key", &[0x25, 0xa8, 0x49, 0xe9, 0x5b, 0xa9, 0x7d, 0x7f]),
        ("302", &[0x64, 0x02]),
        ("private", &[0xae, 0xc3, 0x77, 0x1a, 0x4b]),
        ("", &[]),
    ];
    for (text, coded) in rows {
        assert_eq!(decoded(coded), Ok(text.as_bytes().to_vec()));
        assert_eq!(encoded(text.as_bytes()), *coded);
    }
}

#[test]
fn every_symbol_is_decoded_wherever_its_code_begins() {
    for symbol in 0..=255_u8 {
        for before in 0..20 {
            for after in [0, 1, 12] {
                let text = [&b"0a b"[..].repeat(5)[..before], &[symbol], &b"z"[..].repeat(after)];
                let text = text.concat();
                assert_eq!(decoded(&encoded(&text)), Ok(text), "{symbol}");
            }
        }
    }
}

#[test]
fn eos_is_refused_wherever_it_stands() {
    for before in 0..20 {
        for after in ["", "00000", "1"] {
            let bits = format!("{}{}{after}", "00011".repeat(before), code_of(256));
            assert_eq!(decoded(&string_of(&bits)), Err(HuffmanFault::Eos), "{bits}");
        }
    }
}

#[test]
fn a_padding_has_at_most_seven_bits_and_all_are_ones() {
    for count in 0..30_usize {
        let bits: String = (0..count).map(|at| code_of(usize::from(b"0a %z&"[at % 6]))).collect();
        let valid = string_of(&bits);
        assert!(decoded(&valid).is_ok(), "{bits}");
        assert_eq!(decoded(&[&valid[..], &[0xff]].concat()), Err(HuffmanFault::Padding));
        assert_eq!(decoded(&[&valid[..], &[0xff; 2]].concat()), Err(HuffmanFault::Padding));
        let padding = valid.len() * 8 - bits.len();
        for wrong in 0..padding {
            let mut coded = valid.clone();
            let last = coded.last_mut().expect("a byte");
            *last ^= 1 << wrong;
            // It may be the code of another symbol now; a wrong padding it must not be.
            if let Ok(text) = decoded(&coded) {
                assert_eq!(encoded(&text), coded);
            }
        }
        // `0` has five bits: a padding of zeros is four bits of it at most.
        if (1..5).contains(&padding) {
            let mut coded = valid.clone();
            let last = coded.last_mut().expect("a byte");
            *last &= 0xff << padding;
            assert_eq!(decoded(&coded), Err(HuffmanFault::Padding));
        }
    }
}

#[test]
fn a_code_that_is_cut_is_no_padding() {
    for symbol in (0..256).filter(|symbol| LENGTHS[*symbol] > 8) {
        let code = code_of(symbol);
        let cut = &code[..code.len().min(16) / 8 * 8];
        assert_eq!(decoded(&string_of(cut)), Err(HuffmanFault::Padding), "{symbol}");
    }
}

/// A decoder of one bit after the other, with the rules as RFC 7541 §5.2 has them.
fn decoded_bit_by_bit(coded: &[u8]) -> Result<Vec<u8>, HuffmanFault> {
    let (mut code, mut length, mut text) = (0_u32, 0_u8, Vec::new());
    for bit in coded.iter().flat_map(|byte| (0..8).rev().map(move |at| byte >> at & 1)) {
        code = code << 1 | u32::from(bit);
        length += 1;
        let symbol =
            (0..SYMBOL_COUNT).find(|symbol| (LENGTHS[*symbol], CODES[*symbol]) == (length, code));
        match symbol {
            Some(256) => return Err(HuffmanFault::Eos),
            Some(symbol) => {
                text.push(symbol as u8);
                (code, length) = (0, 0);
            }
            None => {}
        }
    }
    match length < 8 && code.trailing_ones() == u32::from(length) {
        true => Ok(text),
        false => Err(HuffmanFault::Padding),
    }
}

proptest! {
    #[test]
    fn any_text_survives(text in proptest::collection::vec(any::<u8>(), 0..200)) {
        prop_assert_eq!(decoded(&encoded(&text)), Ok(text));
    }

    #[test]
    fn any_bytes_are_decoded_as_bit_by_bit(coded in proptest::collection::vec(any::<u8>(), 0..40)) {
        prop_assert_eq!(decoded(&coded), decoded_bit_by_bit(&coded));
    }

    #[test]
    fn codes_that_are_nearly_all_ones_are_decoded_as_bit_by_bit(
        coded in proptest::collection::vec(prop_oneof![Just(0xff_u8), any::<u8>()], 0..40),
    ) {
        prop_assert_eq!(decoded(&coded), decoded_bit_by_bit(&coded));
    }
}
