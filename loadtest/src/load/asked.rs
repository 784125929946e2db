//! A request on its way, and what its response said.
//!
//! Owns: what both are known by. Never: which connection they are on. Tested with those.

use super::sessions::Target;

/// Digits of a request's id.
pub const ID_DIGITS: usize = 16;

/// Nobody: a request without a cookie jar.
pub const NOBODY: u32 = u32::MAX;

/// A request that waits for its response.
#[derive(Debug, Clone, Copy)]
pub struct Asked {
    /// When it was due: the time counts from here.
    pub intended_ns: u64,
    /// When it was sent: patience counts from here.
    pub sent_ns: u64,
    pub id: u64,
    /// The user who asked; [`NOBODY`] without a jar.
    pub user: u32,
    pub shape: u32,
    pub is_measured: bool,
}

/// What the current response said.
#[derive(Debug, Clone, Copy, Default)]
pub struct Seen {
    pub status: u16,
    pub target: Option<Target>,
    pub has_cookie: bool,
    pub has_echo: bool,
    pub is_echo_wrong: bool,
    /// Bytes of content, once it has all come.
    pub content: u64,
}

/// An id as it is written in a request.
pub fn digits(id: u64) -> [u8; ID_DIGITS] {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    let mut digits = [b'0'; ID_DIGITS];
    for (index, digit) in digits.iter_mut().rev().enumerate() {
        *digit = HEX[(id >> (4 * index) & 0xf) as usize];
    }
    digits
}
