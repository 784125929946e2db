//! A certificate as a listener presents it, or limpet to its targets: chain, key and staple, read from the bytes of
//! files and judged.
//!
//! Reads no file and never shows a byte of a key. Every fault says what is wrong and what would be right; the caller
//! adds the file's name. Tested beside it.

use std::sync::Arc;

use rustls::crypto::aws_lc_rs::sign::any_supported_type;
use rustls::pki_types::pem::{self, PemObject as _, SectionKind};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use rustls::{Error, InconsistentKeys, SignatureAlgorithm};

use super::staple::{self, Staple, StapleFault};
use super::x509::{Facts, KeyKind};

/// RSA keys with fewer bits are refused (Mozilla's intermediate policy, and every browser).
const RSA_BITS_MIN: usize = 2048;
/// Longer keys are not supported by aws-lc-rs.
const RSA_BITS_MAX: usize = 8192;
/// Certificates in one chain; longer ones are a file of something else.
const CHAIN_COUNT_MAX: usize = 10;

/// Why a chain or a key is refused. `position` counts a chain's certificates from 1.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CertificateFault {
    #[error("is not PEM: {0}; a certificate begins with \"-----BEGIN CERTIFICATE-----\"")]
    NotPem(&'static str),
    #[error("has no certificate; a chain in PEM is needed, the own certificate first")]
    NoCertificate,
    #[error("has more than {CHAIN_COUNT_MAX} certificates; only the chain of one belongs there")]
    TooMany,
    #[error("certificate {position} {fault}")]
    NotX509 { position: usize, fault: String },
    #[error(
        "certificate {position} ({subject}) is out of order: certificate {before} was issued by \
         {issuer}, which is certificate {found}; each must be followed by its issuer's"
    )]
    WrongOrder { position: usize, subject: String, before: usize, issuer: String, found: usize },
    #[error(
        "the chain is incomplete: the certificate of {issuer}, which issued certificate {before}, \
         is missing behind it"
    )]
    Incomplete { before: usize, issuer: String },
    #[error(
        "has a weak key: certificate {position} has RSA with {bits} bits; from {RSA_BITS_MIN} to \
         {RSA_BITS_MAX} are accepted, or ECDSA with P-256 or P-384"
    )]
    WeakKey { position: usize, bits: usize },
    #[error(
        "certificate {position} is signed with {digest}, which clients refuse; have it issued \
         anew, with SHA-256"
    )]
    WeakDigest { position: usize, digest: &'static str },
    #[error("is not for servers: its extended key usage lacks serverAuth; have it issued with it")]
    NotForServers,
    #[error("is not for clients: its extended key usage lacks clientAuth; have it issued with it")]
    NotForClients,
    #[error("has no private key; PKCS#8, PKCS#1 and SEC1 in PEM are read")]
    NoKey,
    #[error("has {0} private keys; only the certificate's own belongs there")]
    ManyKeys(usize),
    #[error(
        "is an encrypted private key, which would need a passphrase at every start; decrypt it: \
         openssl pkey -in FILE -out FILE"
    )]
    EncryptedKey,
    #[error(
        "has a private key that cannot be used: RSA, ECDSA (P-256, P-384, P-521) and Ed25519 can"
    )]
    UnusableKey,
    #[error("does not match: the private key belongs to another certificate")]
    OtherKey,
}

/// Which of the two files of a certificate a fault is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    Chain,
    Key,
}

impl CertificateFault {
    /// The file that must be changed.
    pub fn part(&self) -> Part {
        match self {
            CertificateFault::NoKey
            | CertificateFault::ManyKeys(_)
            | CertificateFault::EncryptedKey
            | CertificateFault::UnusableKey
            | CertificateFault::OtherKey => Part::Key,
            CertificateFault::NotPem(_)
            | CertificateFault::NoCertificate
            | CertificateFault::TooMany
            | CertificateFault::NotX509 { .. }
            | CertificateFault::WrongOrder { .. }
            | CertificateFault::Incomplete { .. }
            | CertificateFault::WeakKey { .. }
            | CertificateFault::WeakDigest { .. }
            | CertificateFault::NotForServers
            | CertificateFault::NotForClients => Part::Chain,
        }
    }
}

/// Whom a certificate is presented by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Purpose {
    Server,
    Client,
}

/// When a certificate is valid, compared with a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Validity {
    Valid,
    NotYet,
    Expired,
}

/// A chain with its key, ready to be presented.
#[derive(Debug, Clone)]
pub struct Certificate {
    /// Of the certificate itself, the first of the chain.
    pub facts: Facts,
    /// The first date on which one of the chain ends, in seconds since 1970.
    pub not_after: i64,
    bare: Arc<CertifiedKey>,
    stapled: Option<(Arc<CertifiedKey>, i64)>,
    chain_count: usize,
}

impl Certificate {
    /// `key` is the text of a file of its own; without one the key is looked for in the chain's.
    ///
    /// # Errors
    /// See [`CertificateFault`]. Dates are not judged: [`Certificate::validity`] does.
    pub fn read(chain: &[u8], key: Option<&[u8]>) -> Result<Certificate, CertificateFault> {
        Certificate::read_for(Purpose::Server, chain, key)
    }

    /// As [`Certificate::read`], for the certificate that limpet presents to its targets.
    ///
    /// # Errors
    /// As there.
    pub fn read_of_client(
        chain: &[u8],
        key: Option<&[u8]>,
    ) -> Result<Certificate, CertificateFault> {
        Certificate::read_for(Purpose::Client, chain, key)
    }

    fn read_for(
        purpose: Purpose,
        chain: &[u8],
        key: Option<&[u8]>,
    ) -> Result<Certificate, CertificateFault> {
        let ders = certificates(chain)?;
        let facts = facts(&ders)?;
        judge_chain(purpose, &facts)?;
        let key = any_supported_type(&private_key(key.unwrap_or(chain))?)
            .map_err(|_| CertificateFault::UnusableKey)?;
        // A root at the end is trusted for itself, whatever its dates.
        let dated = facts
            .iter()
            .enumerate()
            .filter(|(index, facts)| *index == 0 || !facts.is_self_issued());
        let not_after = dated.map(|(_, facts)| facts.not_after).min();
        let chain_count = facts.len();
        let facts = facts.into_iter().next().ok_or(CertificateFault::NoCertificate)?;
        let bare = CertifiedKey::new(ders, key);
        match bare.keys_match() {
            Ok(()) => {}
            Err(Error::InconsistentKeys(InconsistentKeys::KeyMismatch)) => {
                return Err(CertificateFault::OtherKey);
            }
            Err(_) => return Err(CertificateFault::UnusableKey),
        }
        let not_after = not_after.unwrap_or(facts.not_after);
        Ok(Certificate { facts, not_after, bare: Arc::new(bare), stapled: None, chain_count })
    }

    /// Takes an OCSP response in DER, which is sent along until its nextUpdate.
    ///
    /// # Errors
    /// See [`StapleFault`].
    pub fn staple(&mut self, response: &[u8]) -> Result<(), StapleFault> {
        let Staple { der, next_update } = staple::read(response, &self.facts.serial_der)?;
        let mut key = CertifiedKey::clone(&self.bare);
        key.ocsp = Some(der);
        self.stapled = Some((Arc::new(key), next_update));
        Ok(())
    }

    /// Takes the response of `other`, where that is the same certificate and still has one at this time, in seconds
    /// since 1970; whether it did.
    pub fn staple_as(&mut self, other: &Certificate, now: i64) -> bool {
        let of_same = other
            .stapled
            .as_ref()
            .filter(|(key, until)| now <= *until && key.cert.first() == self.bare.cert.first());
        let Some((key, until)) = of_same else { return false };
        let mut own = CertifiedKey::clone(&self.bare);
        own.ocsp.clone_from(&key.ocsp);
        self.stapled = Some((Arc::new(own), *until));
        true
    }

    /// Until when the staple is sent, in seconds since 1970.
    pub fn staple_until(&self) -> Option<i64> {
        self.stapled.as_ref().map(|(_, until)| *until)
    }

    /// What a handshake at this time presents, in seconds since 1970.
    pub fn presented(&self, now: i64) -> &Arc<CertifiedKey> {
        match &self.stapled {
            Some((key, until)) if now <= *until => key,
            _ => &self.bare,
        }
    }

    pub fn algorithm(&self) -> SignatureAlgorithm {
        self.bare.key.algorithm()
    }

    /// The dates of the whole chain, at a time in seconds since 1970.
    pub fn validity(&self, now: i64) -> Validity {
        if now > self.not_after {
            Validity::Expired
        } else if now < self.facts.not_before {
            Validity::NotYet
        } else {
            Validity::Valid
        }
    }

    /// Whether the chain ends at once although its issuer's certificate is known to exist elsewhere: clients that have
    /// not met the issuer before will refuse it.
    pub fn lacks_issuer(&self) -> bool {
        self.chain_count == 1 && !self.facts.is_self_issued() && self.facts.names_issuer_place
    }
}

fn certificates(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, CertificateFault> {
    let mut ders = Vec::new();
    for der in CertificateDer::pem_slice_iter(pem) {
        ders.push(der.map_err(|error| CertificateFault::NotPem(pem_fault(&error)))?);
        if ders.len() > CHAIN_COUNT_MAX {
            return Err(CertificateFault::TooMany);
        }
    }
    if ders.is_empty() { Err(CertificateFault::NoCertificate) } else { Ok(ders) }
}

/// What is wrong with a text in PEM, without a byte of it: the library's own words quote a line, which may be that of a
/// key whose newlines were lost.
pub(super) fn pem_fault(error: &pem::Error) -> &'static str {
    match error {
        pem::Error::MissingSectionEnd { .. } => "a block has no end",
        pem::Error::IllegalSectionStart { .. } => {
            "a line that begins a block does not end in \"-----\", or has more behind it"
        }
        pem::Error::Base64Decode(_) => "a block is not base64",
        pem::Error::NoItemsFound => "it has no block",
        pem::Error::SectionTooLarge => "a block is too large",
        _ => "it cannot be read",
    }
}

fn facts(ders: &[CertificateDer<'_>]) -> Result<Vec<Facts>, CertificateFault> {
    let read = |(index, der): (usize, &CertificateDer<'_>)| {
        Facts::read(der).map_err(|fault| CertificateFault::NotX509 {
            position: index + 1,
            fault: fault.to_string(),
        })
    };
    ders.iter().enumerate().map(read).collect()
}

fn judge_chain(purpose: Purpose, chain: &[Facts]) -> Result<(), CertificateFault> {
    match (purpose, chain.first()) {
        (Purpose::Server, Some(leaf)) if !leaf.is_for_servers => {
            return Err(CertificateFault::NotForServers);
        }
        (Purpose::Client, Some(leaf)) if !leaf.is_for_clients => {
            return Err(CertificateFault::NotForClients);
        }
        (Purpose::Server | Purpose::Client, _) => {}
    }
    for (index, facts) in chain.iter().enumerate() {
        let position = index + 1;
        if let KeyKind::Rsa { bits } = facts.key
            && !(RSA_BITS_MIN..=RSA_BITS_MAX).contains(&bits)
        {
            return Err(CertificateFault::WeakKey { position, bits });
        }
        // Nobody verifies the signature of a root.
        if let Some(digest) = facts.weak_digest.filter(|_| !facts.is_self_issued()) {
            return Err(CertificateFault::WeakDigest { position, digest });
        }
    }
    for (before, pair) in chain.windows(2).enumerate() {
        let [one, next] = pair else { continue };
        if one.issuer_der == next.subject_der {
            continue;
        }
        let issuer = one.issuer.clone();
        let issued = |facts: &Facts| facts.subject_der == one.issuer_der;
        return Err(match chain.iter().position(issued) {
            // A root followed by others: it stands too early.
            Some(found) => CertificateFault::WrongOrder {
                position: before + 2,
                subject: next.subject.clone(),
                before: before + 1,
                issuer,
                found: found + 1,
            },
            None => CertificateFault::Incomplete { before: before + 1, issuer },
        });
    }
    Ok(())
}

/// The only private key in a text.
///
/// # Errors
/// There is none that can be used, or more than one.
pub fn private_key(pem: &[u8]) -> Result<PrivateKeyDer<'static>, CertificateFault> {
    // RFC 7468 §11 names the block, RFC 1421 §4.6.1.1 the header of older ones.
    let is_encrypted = |line: &[u8]| {
        line.starts_with(b"-----BEGIN ENCRYPTED PRIVATE KEY-----")
            || line.starts_with(b"Proc-Type: 4,ENCRYPTED")
    };
    if pem.split(|byte| *byte == b'\n').any(is_encrypted) {
        return Err(CertificateFault::EncryptedKey);
    }
    let mut keys: Vec<PrivateKeyDer<'static>> = Vec::new();
    for section in <(SectionKind, Vec<u8>)>::pem_slice_iter(pem) {
        // The library's error would quote the line, which may be one of a key.
        let (kind, der) = section.map_err(|_| CertificateFault::NoKey)?;
        keys.extend(PrivateKeyDer::from_pem(kind, der));
    }
    match (keys.pop(), keys.len()) {
        (Some(key), 0) => Ok(key),
        (Some(_), more) => Err(CertificateFault::ManyKeys(more + 1)),
        (None, _) => Err(CertificateFault::NoKey),
    }
}
