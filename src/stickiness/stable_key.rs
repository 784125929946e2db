//! What stands in cookies for a name.

/// The first eight bytes, in network order, of the SHA-256 of a target's id, or of a group's or scope's name: equal on
/// all nodes and in all versions, since cookies carry it.
pub fn stable_key(name: &str) -> u64 {
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, name.as_bytes());
    digest.as_ref().first_chunk::<8>().map_or(0, |bytes| u64::from_be_bytes(*bytes))
}
