//! base64url without padding (RFC 4648 §5) for values of the one size a cookie has.
//!
//! Decoding stands on the path of every sticky request, and a fixed size lets it be free of branches: the
//! classes of all characters at once, then eight characters to six bytes in one word. Measured against the
//! `base64` crate in `benches/target.rs`; encoding, which is rare, is the crate's. Never allocates, never
//! panics; the only accepted spelling of a value is the canonical one. Tested against the crate.

/// Characters of a value.
pub(super) const TEXT_SIZE: usize = 126;
/// Bytes they stand for.
pub(super) const BYTES_SIZE: usize = 94;
/// Both rounded up to whole words of eight characters.
const WORDS: usize = TEXT_SIZE.div_ceil(8);
/// Marks what is no character of the alphabet.
const INVALID: u8 = 0x80;

/// `None` when a character is not of the alphabet, or when the bits beyond the last byte are not zero.
pub(super) fn decode(text: &[u8; TEXT_SIZE]) -> Option<[u8; BYTES_SIZE]> {
    // "A" is zero: what is filled up decodes to zeros, which cut off below.
    let mut sextets = [b'A'; WORDS * 8];
    sextets.first_chunk_mut::<TEXT_SIZE>()?.copy_from_slice(text);
    let mut seen = 0;
    for sextet in &mut sextets {
        *sextet = value_of(*sextet);
        seen |= *sextet;
    }
    if seen & INVALID != 0 {
        return None;
    }
    let mut bytes = [0; WORDS * 6];
    for (to, from) in bytes.as_chunks_mut::<6>().0.iter_mut().zip(sextets.as_chunks::<8>().0) {
        let [_, _, packed @ ..] = pack(u64::from_be_bytes(*from)).to_be_bytes();
        *to = packed;
    }
    let (whole, beyond) = bytes.split_first_chunk::<BYTES_SIZE>()?;
    beyond.iter().all(|byte| *byte == 0).then_some(*whole)
}

/// Without a branch, so that sixteen of them become one.
fn value_of(character: u8) -> u8 {
    let within = |first: u8, last: u8| character.wrapping_sub(first) <= last - first;
    let choose = |holds: bool, value: u8| if holds { value } else { 0 };
    let upper = choose(within(b'A', b'Z'), character.wrapping_sub(b'A'));
    let lower = choose(within(b'a', b'z'), character.wrapping_sub(b'a').wrapping_add(26));
    let digit = choose(within(b'0', b'9'), character.wrapping_sub(b'0').wrapping_add(52));
    let sign = choose(character == b'-', 62) | choose(character == b'_', 63);
    let known = within(b'A', b'Z')
        | within(b'a', b'z')
        | within(b'0', b'9')
        | (character == b'-')
        | (character == b'_');
    upper | lower | digit | sign | choose(!known, INVALID)
}

/// Eight values of six bits to the lower 48 bits, in order.
fn pack(sextets: u64) -> u64 {
    let twelves = ((sextets & 0x3F00_3F00_3F00_3F00) >> 2) | (sextets & 0x003F_003F_003F_003F);
    let halves = ((twelves & 0x0FFF_0000_0FFF_0000) >> 4) | (twelves & 0x0000_0FFF_0000_0FFF);
    ((halves & 0x00FF_FFFF_0000_0000) >> 8) | (halves & 0x0000_0000_00FF_FFFF)
}

#[cfg(test)]
mod tests {
    use super::*;
    use base64::Engine;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;
    use proptest::prelude::*;

    fn by_the_crate(text: &[u8]) -> Option<Vec<u8>> {
        URL_SAFE_NO_PAD.decode(text).ok()
    }

    #[test]
    fn every_byte_at_every_place_is_judged_as_the_crate_does() {
        let text = URL_SAFE_NO_PAD.encode([0x5A; BYTES_SIZE]);
        let text: [u8; TEXT_SIZE] = text.as_bytes().try_into().expect("the size");
        for position in 0..TEXT_SIZE {
            for byte in 0..=u8::MAX {
                let mut changed = text;
                changed[position] = byte;
                let decoded = decode(&changed).map(|bytes| bytes.to_vec());
                assert_eq!(decoded, by_the_crate(&changed), "byte {byte} at {position}");
            }
        }
    }

    proptest! {
        #[test]
        fn what_the_crate_encodes_is_decoded(half: [[u8; 32]; 3]) {
            let bytes = &half.as_flattened()[..BYTES_SIZE];
            let text = URL_SAFE_NO_PAD.encode(bytes);
            let text: &[u8; TEXT_SIZE] = text.as_bytes().try_into().expect("the size");
            prop_assert_eq!(decode(text).map(|bytes| bytes.to_vec()), Some(bytes.to_vec()));
        }
    }
}
