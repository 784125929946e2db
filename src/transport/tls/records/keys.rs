//! One direction's key and the number of its next record, of which the nonce is made.
//!
//! The key of a connection at rest is not held expanded. Must never seal two records under one nonce: the number goes
//! on with every record, and belongs to the secrets.

use aws_lc_rs::aead::{
    AES_128_GCM, AES_256_GCM, Aad, Algorithm, CHACHA20_POLY1305, LessSafeKey, Nonce, UnboundKey,
};
use rustls::crypto::cipher::{self, AeadKey, Iv, NONCE_LEN};
use rustls::{ConnectionTrafficSecrets, Error};

use super::fault::Fault;

/// What every cipher adds behind what it seals.
pub(super) const TAG: usize = 16;

pub(super) struct Keys {
    secrets: ConnectionTrafficSecrets,
    pub(super) sequence: u64,
    /// Expanded while the connection is busy.
    expanded: Option<LessSafeKey>,
}

impl Keys {
    pub(super) fn new((sequence, secrets): (u64, ConnectionTrafficSecrets)) -> Keys {
        Keys { secrets, sequence, expanded: None }
    }

    /// Whether the cipher is AES in Galois/Counter Mode.
    pub(super) fn is_gcm(&self) -> bool {
        use ConnectionTrafficSecrets::{Aes128Gcm, Aes256Gcm};
        matches!(self.secrets, Aes128Gcm { .. } | Aes256Gcm { .. })
    }

    fn parts(&self) -> Option<(&'static Algorithm, &AeadKey, &Iv)> {
        match &self.secrets {
            ConnectionTrafficSecrets::Aes128Gcm { key, iv } => Some((&AES_128_GCM, key, iv)),
            ConnectionTrafficSecrets::Aes256Gcm { key, iv } => Some((&AES_256_GCM, key, iv)),
            ConnectionTrafficSecrets::Chacha20Poly1305 { key, iv } => {
                Some((&CHACHA20_POLY1305, key, iv))
            }
            _ => None,
        }
    }

    /// The nonce of the next record, made of its number (RFC 8446 §5.3, RFC 7905 §2); nothing where the cipher is none
    /// of those that are offered.
    pub(super) fn nonce(&self) -> Option<[u8; NONCE_LEN]> {
        self.parts().map(|(_, _, iv)| cipher::Nonce::new(iv, self.sequence).0)
    }

    /// The key, expanded.
    fn ready(&mut self) -> Option<&LessSafeKey> {
        if self.expanded.is_none() {
            let (algorithm, key, _) = self.parts()?;
            let key = UnboundKey::new(algorithm, key.as_ref()).ok()?;
            self.expanded = Some(LessSafeKey::new(key));
        }
        self.expanded.as_ref()
    }

    /// Opens what a record has sealed, in place.
    pub(super) fn open<'b, A: AsRef<[u8]>>(
        &mut self,
        nonce: [u8; NONCE_LEN],
        aad: A,
        sealed: &'b mut [u8],
    ) -> Result<&'b [u8], Fault> {
        let nonce = Nonce::assume_unique_for_key(nonce);
        let key = self.ready().ok_or_else(Fault::forged)?;
        let content =
            key.open_in_place(nonce, Aad::from(aad), sealed).map_err(|_| Fault::forged())?;
        self.sequence += 1;
        Ok(content)
    }

    /// Seals content, and `behind` it, at the end of `out`.
    pub(super) fn seal<A: AsRef<[u8]>>(
        &mut self,
        aad: A,
        (content, behind): (&[u8], &[u8]),
        out: &mut Vec<u8>,
    ) -> Result<(), Error> {
        let nonce = self.nonce().ok_or(Error::EncryptError)?;
        let nonce = Nonce::assume_unique_for_key(nonce);
        let at = out.len();
        out.resize(at + content.len() + behind.len() + TAG, 0);
        let (sealed, end) = out.split_at_mut(at + content.len());
        let sealed = sealed.get_mut(at..).unwrap_or_default();
        let key = self.ready().ok_or(Error::EncryptError)?;
        key.seal_out_of_place_scatter(nonce, Aad::from(aad), content, sealed, behind, end)
            .map_err(|_| Error::EncryptError)?;
        self.sequence += 1;
        Ok(())
    }

    /// Holds the key not expanded until the next record.
    pub(super) fn rest(&mut self) {
        self.expanded = None;
    }
}
