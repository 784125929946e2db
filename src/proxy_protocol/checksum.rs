//! CRC32C (Castagnoli; RFC 9260 appendix A), the checksum of headers of version 2. Few headers have it, and it is
//! computed once a connection over some dozen bytes: bit by bit is fast enough.

/// The polynomial, its bits in reverse.
const POLYNOMIAL: u32 = 0x82f6_3b78;

/// The checksum of these bytes, one after another.
pub fn crc32c<'b>(bytes: impl IntoIterator<Item = &'b u8>) -> u32 {
    !bytes.into_iter().fold(u32::MAX, |sum, byte| (0..8).fold(sum ^ u32::from(*byte), step))
}

fn step(sum: u32, _: u8) -> u32 {
    let shifted = sum >> 1;
    if sum & 1 == 1 { shifted ^ POLYNOMIAL } else { shifted }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_texts_have_their_checksums() {
        // The first is the check value of the catalogues, the others are RFC 3720's, appendix B.4.
        assert_eq!(crc32c(b"123456789"), 0xe306_9283);
        assert_eq!(crc32c(&[0; 32]), 0x8a91_36aa);
        assert_eq!(crc32c(&[0xff; 32]), 0x62a8_ab43);
        assert_eq!(crc32c(&(0..32).collect::<Vec<u8>>()), 0x46dd_794e);
        assert_eq!(crc32c(b""), 0);
    }
}
