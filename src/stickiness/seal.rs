//! The seal that limpet sets behind a session id of the application's own, in a field that clients send back.
//!
//! ```text
//! value   = V.SEAL              V: the application's value, visible ASCII, 1 byte to 1 KiB
//! SEAL    = base64url(no padding) of 86 bytes = 115 characters, see `sealed_box`
//! 15 box        55   version 1, key id 2, group generation 4, group 8, target 8, home target 8,
//!                    session 16, issued 8                         (numbers in network order)
//! associated data = version, key id, kind of scope ("G" or "R"), SHA-256 of V, SHA-256 of the name of the scope
//! ```
//!
//! A seal is a cookie's box without the time when the session was last seen, since clients never take a new value. It
//! opens behind no other V and in no other scope. Never allocates, never says why a value is refused. Tested beside it
//! by a vector, by turning every bit, and by properties.

use std::sync::Arc;

use aws_lc_rs::aead::NONCE_LEN;
use aws_lc_rs::digest::{SHA256, digest};

use super::cookie::{Plain, Scope, next_identity};
use super::keyring::KeyRing;
use super::sealed_box::{self, HEADER_SIZE, text_size};

const PLAIN_SIZE: usize = 55;
/// Characters of every seal.
pub const SEAL_SIZE: usize = text_size(PLAIN_SIZE);
/// Longest session id that is sealed.
pub const SESSION_ID_SIZE_MAX: usize = 1024;
/// Bytes of a SHA-256.
const DIGEST_SIZE: usize = 32;
/// Header, kind of scope, digest of the session id, digest of the scope's name.
const ASSOCIATED_SIZE: usize = HEADER_SIZE + 1 + 2 * DIGEST_SIZE;

/// A field value in its two parts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sealed<'v> {
    /// V, the application's own value.
    pub session_id: &'v [u8],
    /// Of exactly [`SEAL_SIZE`] characters, whether or not they are a seal.
    pub seal: &'v [u8; SEAL_SIZE],
}

impl<'v> Sealed<'v> {
    /// Splits a value that may carry a seal.
    #[inline]
    pub fn split(value: &'v [u8]) -> Option<Sealed<'v>> {
        let (before, seal) = value.split_last_chunk::<SEAL_SIZE>()?;
        let session_id = before.strip_suffix(b".")?;
        is_session_id(session_id).then_some(Sealed { session_id, seal })
    }
}

/// Whether a value of the application can be sealed: visible ASCII, not empty, not too long.
#[inline]
pub fn is_session_id(value: &[u8]) -> bool {
    // All bytes are looked at, many at a time.
    let are_visible =
        |value: &[u8]| value.iter().fold(true, |are, byte| are & byte.is_ascii_graphic());
    (1..=SESSION_ID_SIZE_MAX).contains(&value.len()) && are_visible(value)
}

/// Seals and opens the session ids of one scope.
#[derive(Debug)]
pub struct SealCodec {
    /// Its own in this process, never 0 and never used again.
    identity: u64,
    ring: Arc<KeyRing>,
    kind: u8,
    name: [u8; DIGEST_SIZE],
}

impl SealCodec {
    pub fn new(scope: &Scope, ring: Arc<KeyRing>) -> SealCodec {
        SealCodec {
            identity: next_identity(),
            ring,
            kind: scope.kind().to_ascii_uppercase(),
            name: sha256(scope.name().as_bytes()),
        }
    }

    pub(super) fn identity(&self) -> u64 {
        self.identity
    }

    fn associated(&self, key_id: u16, session_id: &[u8]) -> [u8; ASSOCIATED_SIZE] {
        let mut bytes = [0; ASSOCIATED_SIZE];
        let mut rest = &mut bytes[..];
        sealed_box::put(&mut rest, &sealed_box::header(key_id));
        sealed_box::put(&mut rest, &[self.kind]);
        sealed_box::put(&mut rest, &sha256(session_id));
        sealed_box::put(&mut rest, &self.name);
        bytes
    }

    /// The seal behind `session_id` for `plain`, under the first key. `nonce` must be fresh random bytes. `None` only
    /// if the cryptographic library refuses, which it has no reason to.
    pub fn seal(
        &self,
        session_id: &[u8],
        plain: &Plain,
        nonce: [u8; NONCE_LEN],
    ) -> Option<[u8; SEAL_SIZE]> {
        let key_id = self.ring.ids().next()?;
        let mut bytes = [0; PLAIN_SIZE];
        plain.put(key_id, &mut &mut bytes[..]);
        sealed_box::seal(&self.ring, &self.associated(key_id, session_id), bytes, nonce)
    }

    /// What stands in the seal, if one of the ring's keys sealed it for this scope and session id.
    pub fn open(&self, sealed: Sealed<'_>) -> Option<Plain> {
        let associated = |_, key_id| Some(self.associated(key_id, sealed.session_id));
        let bytes: [u8; PLAIN_SIZE] = sealed_box::open(&self.ring, sealed.seal, associated)?;
        Plain::take(&mut &bytes[..])
    }

    /// Whether a seal that does not open was made under a key that the ring does not hold.
    pub(super) fn is_of_unknown_key(&self, sealed: Sealed<'_>) -> bool {
        sealed_box::is_of_unknown_key(&self.ring, sealed.seal, PLAIN_SIZE)
    }
}

pub(super) fn sha256(bytes: &[u8]) -> [u8; DIGEST_SIZE] {
    let mut copy = [0; DIGEST_SIZE];
    sealed_box::put(&mut &mut copy[..], digest(&SHA256, bytes).as_ref());
    copy
}

#[cfg(test)]
#[path = "seal_tests.rs"]
mod tests;
