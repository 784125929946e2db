//! The keys under which stickiness cookies are sealed and opened.
//!
//! The first key seals, every key opens; rotation is a new ring in the next snapshot. Owns key material and
//! never shows it: neither `Debug` nor an error carries a byte of it. Where keys are kept is the business of
//! the configuration. Tested beside it; the codec on top is tested in `cookie`.

use std::fmt;

use aws_lc_rs::aead::{AES_256_GCM_SIV, Algorithm, LessSafeKey, UnboundKey};
use aws_lc_rs::hkdf::{HKDF_SHA256, Prk, Salt};
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};

/// Bytes of a secret.
pub const SECRET_SIZE: usize = 32;

/// AES-256-GCM-SIV (RFC 8452): nodes of a fleet draw nonces without talking, and under this mode a repeated
/// nonce shows no more than that two cookies are equal. Its cost is stated in `cookie`.
static ALGORITHM: &Algorithm = &AES_256_GCM_SIV;

/// Keeps what is derived from a secret apart from the key that the secret itself is.
const ROOT_LABEL: &[u8] = b"limpet derived keys 1";

/// Why a ring was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum KeyRingFault {
    #[error("a key ring needs at least one key")]
    Empty,
    #[error("two keys have the id {0}; every key needs its own")]
    DuplicateId(u16),
    #[error("the cryptographic library refused the key with the id {0}")]
    Refused(u16),
}

/// Why the text of a secret was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SecretFault {
    #[error("a secret is 32 random bytes in base64, this is not base64")]
    NotBase64,
    #[error("a secret is 32 random bytes in base64, this decodes to another size")]
    WrongSize,
}

/// The keys of all scopes. Never empty.
pub struct KeyRing {
    keys: Vec<(u16, LessSafeKey)>,
    /// Parallel to `keys`.
    roots: Vec<(u16, Prk)>,
}

impl KeyRing {
    /// Ids must be unique; the order is the order of use: the first seals.
    pub fn from_secrets(secrets: &[(u16, [u8; SECRET_SIZE])]) -> Result<KeyRing, KeyRingFault> {
        if secrets.is_empty() {
            return Err(KeyRingFault::Empty);
        }
        let mut keys: Vec<(u16, LessSafeKey)> = Vec::with_capacity(secrets.len());
        for (id, secret) in secrets {
            if keys.iter().any(|(known, _)| known == id) {
                return Err(KeyRingFault::DuplicateId(*id));
            }
            let key = UnboundKey::new(ALGORITHM, secret).map_err(|_| KeyRingFault::Refused(*id))?;
            keys.push((*id, LessSafeKey::new(key)));
        }
        let salt = Salt::new(HKDF_SHA256, ROOT_LABEL);
        let roots = secrets.iter().map(|(id, secret)| (*id, salt.extract(secret))).collect();
        Ok(KeyRing { keys, roots })
    }

    /// Keys in order of use.
    pub(super) fn keys(&self) -> &[(u16, LessSafeKey)] {
        &self.keys
    }

    /// What other keys are derived from (RFC 5869 §2.2), in order of use: the nodes of a fleet share them as they share
    /// the ring. They do not lead back to a secret.
    pub fn roots(&self) -> &[(u16, Prk)] {
        &self.roots
    }

    /// Ids in order of use, for logs and the admin API.
    pub fn ids(&self) -> impl Iterator<Item = u16> {
        self.keys.iter().map(|(id, _)| *id)
    }
}

impl fmt::Debug for KeyRing {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("KeyRing").field("ids", &self.ids().collect::<Vec<_>>()).finish()
    }
}

/// A new secret from the system's random source; `None` when it fails.
pub fn generate_secret() -> Option<[u8; SECRET_SIZE]> {
    let mut secret = [0; SECRET_SIZE];
    aws_lc_rs::rand::fill(&mut secret).ok()?;
    Some(secret)
}

/// Reads a secret as the file writes it: base64 or base64url, padded or not.
pub fn parse_secret(text: &str) -> Result<[u8; SECRET_SIZE], SecretFault> {
    let text = text.trim();
    let bytes = STANDARD
        .decode(text)
        .or_else(|_| URL_SAFE_NO_PAD.decode(text.trim_end_matches('=')))
        .or_else(|_| base64::engine::general_purpose::STANDARD_NO_PAD.decode(text))
        .map_err(|_| SecretFault::NotBase64)?;
    bytes.try_into().map_err(|_| SecretFault::WrongSize)
}

/// Writes a secret so that [`parse_secret`] reads it.
pub fn format_secret(secret: &[u8; SECRET_SIZE]) -> String {
    STANDARD.encode(secret)
}

#[cfg(test)]
mod tests {
    use crate::stickiness::keyring::*;

    #[test]
    fn a_ring_has_keys_with_ids_of_their_own() {
        assert_eq!(KeyRing::from_secrets(&[]).err(), Some(KeyRingFault::Empty));
        let twice = [(7, [1; 32]), (7, [2; 32])];
        assert_eq!(KeyRing::from_secrets(&twice).err(), Some(KeyRingFault::DuplicateId(7)));
        let ring = KeyRing::from_secrets(&[(7, [1; 32]), (3, [2; 32])]).expect("valid");
        assert_eq!(ring.ids().collect::<Vec<_>>(), [7, 3]);
    }

    #[test]
    fn debug_shows_ids_and_no_key() {
        let ring = KeyRing::from_secrets(&[(7, [0xAB; 32])]).expect("valid");
        assert_eq!(format!("{ring:?}"), "KeyRing { ids: [7] }");
    }

    #[test]
    fn equal_secrets_have_equal_roots_and_others_have_others() {
        let derived = |secret| {
            let ring = KeyRing::from_secrets(&[(7, [secret; 32])]).expect("valid");
            let mut bytes = [0; 32];
            let (id, root) = &ring.roots()[0];
            root.expand(&[b"label"], HKDF_SHA256).expect("a size").fill(&mut bytes).expect("same");
            (*id, bytes)
        };
        assert_eq!(derived(1), derived(1));
        assert_ne!(derived(1), derived(2));
        assert_eq!(derived(1).0, 7);
    }

    #[test]
    fn secrets_survive_their_text() {
        let secret = generate_secret().expect("a random source");
        assert_ne!(secret, generate_secret().expect("a random source"));
        assert_eq!(parse_secret(&format_secret(&secret)), Ok(secret));
        assert_eq!(parse_secret(&URL_SAFE_NO_PAD.encode(secret)), Ok(secret));
        assert_eq!(parse_secret("not base64 !"), Err(SecretFault::NotBase64));
        assert_eq!(parse_secret("AAAA"), Err(SecretFault::WrongSize));
    }
}
