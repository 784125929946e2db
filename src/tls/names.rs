//! Which certificate a ClientHello gets: by its server name, and by what the client can verify.
//!
//! An exact name comes before a wildcard and a wildcard before the default; of one name ECDSA before RSA, a listed
//! certificate before one of the directory, and then the one that is valid longest. Never changes. Tested beside it.

use std::cmp::Reverse;
use std::sync::Arc;

use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls::time_provider::TimeProvider;
use rustls::{SignatureAlgorithm, SignatureScheme};

use super::certificate::Certificate;
use super::name_map::NameMap;
use super::x509::AltName;

/// Where a certificate comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Source {
    Listed,
    Directory,
    /// Issued to limpet itself.
    Acme,
}

/// A certificate to be presented.
#[derive(Debug, Clone)]
pub struct Presented {
    pub source: Source,
    pub certificate: Arc<Certificate>,
}

/// Of one name, in the order in which they are preferred.
type Candidates = Vec<Arc<Certificate>>;

/// The certificates of a listener by name.
#[derive(Debug)]
pub struct Names {
    by_name: NameMap<Candidates>,
    /// For a client that names nobody, or nobody who is known here.
    default: Candidates,
    /// Whether any of them has a key that signs slowly.
    any_slow: bool,
    clock: Arc<dyn TimeProvider>,
}

impl Names {
    /// The first certificate is the default, together with the others of its first name.
    pub fn new(mut presented: Vec<Presented>, clock: Arc<dyn TimeProvider>) -> Names {
        let first = presented.first().map(|first| Arc::clone(&first.certificate));
        presented.sort_by_key(|one| {
            let certificate = &one.certificate;
            (rank(certificate.algorithm()), one.source, Reverse(certificate.not_after))
        });
        let mut by_name: NameMap<Candidates> = NameMap::default();
        for one in &presented {
            for name in &one.certificate.facts.names {
                if let AltName::Dns(name) = name {
                    by_name.entry(name, Vec::new).push(Arc::clone(&one.certificate));
                }
            }
        }
        let default = first.map_or_else(Vec::new, |first| {
            let shares = |one: &&Presented| match first.facts.names.first() {
                Some(name) => one.certificate.facts.names.contains(name),
                None => Arc::ptr_eq(&one.certificate, &first),
            };
            let default = presented.iter().filter(shares);
            default.map(|one| Arc::clone(&one.certificate)).collect()
        });
        let any_slow = presented.iter().any(|one| is_slow(&one.certificate));
        Names { by_name, default, any_slow, clock }
    }

    /// Whether there is no certificate at all.
    pub fn is_empty(&self) -> bool {
        self.default.is_empty()
    }

    /// Whether a certificate has this name.
    pub fn know(&self, name: &str) -> bool {
        self.by_name.get(name).next().is_some()
    }

    /// Whether the certificate that a client with this server name gets covers `host`.
    pub fn cover(&self, server_name: Option<&str>, host: &str) -> bool {
        let covers = |certificate: &Arc<Certificate>| certificate.facts.covers(host);
        self.candidates(server_name).next().is_some_and(covers)
    }

    /// The certificate for a server name that the client can verify.
    pub fn choose(
        &self,
        server_name: Option<&str>,
        schemes: &[SignatureScheme],
    ) -> Option<&Arc<Certificate>> {
        let now = self.now();
        let is_verifiable = |certificate: &&Arc<Certificate>| {
            certificate.presented(now).key.choose_scheme(schemes).is_some()
        };
        self.candidates(server_name).find(is_verifiable)
    }

    /// Whether the certificate that such a client gets has a key that signs slowly.
    pub fn sign_slowly(&self, server_name: Option<&str>, schemes: &[SignatureScheme]) -> bool {
        // Most listeners have none, and pay nothing.
        self.any_slow && self.choose(server_name, schemes).is_some_and(is_slow)
    }

    fn candidates(&self, server_name: Option<&str>) -> impl Iterator<Item = &Arc<Certificate>> {
        let named = server_name.into_iter().flat_map(|name| self.by_name.get(name)).flatten();
        named.chain(&self.default)
    }

    fn now(&self) -> i64 {
        // A clock that cannot be read keeps staples back.
        let now = self.clock.current_time().map_or(u64::MAX, |now| now.as_secs());
        i64::try_from(now).unwrap_or(i64::MAX)
    }
}

impl ResolvesServerCert for Names {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let name = hello.server_name();
        // With one that the client cannot verify rustls finds nothing shared, which is what the client is to be told;
        // without any it would tell that access is denied.
        let chosen = self.choose(name, hello.signature_schemes());
        let chosen = chosen.or_else(|| self.candidates(name).next())?;
        Some(Arc::clone(chosen.presented(self.now())))
    }
}

fn is_slow(certificate: &Arc<Certificate>) -> bool {
    certificate.algorithm() == SignatureAlgorithm::RSA
}

/// Cheaper signatures come first.
fn rank(algorithm: SignatureAlgorithm) -> u8 {
    match algorithm {
        SignatureAlgorithm::ECDSA => 0,
        SignatureAlgorithm::ED25519 => 1,
        SignatureAlgorithm::RSA => 3,
        _ => 2,
    }
}
