//! TLS towards targets: what a target must prove, the name that it is asked for, and what limpet proves in turn.
//!
//! Compiled once by the control plane and shared by all shards and by health checks. Each shard keeps sessions of its
//! own with a target, from [`TargetTls::config`]. [`ConnectionId`] stands for everything that an existing connection
//! has proven, so that none is used under other settings than its own. Reads no file, opens no socket. Tested in
//! `tests/targets.rs`, with both ends in memory.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use aws_lc_rs::digest::{Context, SHA256};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{Resumption, WebPkiServerVerifier, verify_server_name};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, CertificateRevocationListDer, ServerName, UnixTime};
use rustls::server::{ParsedCertificate, VerifierBuilderError};
use rustls::sign::SingleCertAndKey;
use rustls::time_provider::TimeProvider;
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme,
};

use super::certificate::Certificate;
use super::client_auth::ClientAuthFault;
use super::policy::{Policy, PolicyFault, PolicyName, PolicyOptions, Version};
use super::x509::Facts;

/// The names that one group's targets may be asked for by the hosts of requests.
pub const HOSTS_MAX: usize = 64;
/// Sessions that a shard keeps of one target and name: as many as rustls keeps of one server.
const SESSIONS: usize = 8;

/// What a target must prove.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Deserialize, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verify {
    /// A certificate of a trusted authority, for the name that it is asked for.
    Full,
    /// A certificate of a trusted authority, for any name.
    Chain,
    /// Nothing: whoever answers at the address is taken for the target.
    None,
}

/// The name that targets are asked for, and that their certificates must have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Naming {
    Fixed(ServerName<'static>),
    /// That of the request's host, which is one of these.
    Hosts(Vec<ServerName<'static>>),
    /// The address of each target.
    Address,
}

/// The name that targets are sent (SNI, RFC 6066 §3).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Sni {
    /// The one that they are asked for, unless it is an address.
    Same,
    None,
    Other(ServerName<'static>),
}

/// How the targets of one group are spoken to, read from files.
#[derive(Debug, Clone)]
pub struct TargetTlsOptions {
    pub naming: Naming,
    pub sni: Sni,
    pub minimum_version: Version,
    pub verify: Verify,
    pub authorities: Vec<CertificateDer<'static>>,
    pub crls: Vec<CertificateRevocationListDer<'static>>,
    /// The certificate that limpet presents where it is asked for one.
    pub own: Option<Arc<Certificate>>,
    pub alpn: Vec<String>,
}

/// Why the settings make no configuration.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TargetTlsFault {
    #[error("\"{{host}}\" stands for no name: no rule names a host and forwards to the group")]
    NoHost,
    #[error("\"{{host}}\" stands for {0} names, and {HOSTS_MAX} are the most of one group")]
    TooManyHosts(usize),
    #[error(transparent)]
    Policy(#[from] PolicyFault),
    #[error(transparent)]
    Authorities(#[from] ClientAuthFault),
    #[error("rustls refuses the settings: {0}")]
    Refused(String),
}

/// Stands for everything that a connection has proven to limpet, and limpet to its target: equal where the settings,
/// the contents of their files and the name are. A connection without TLS has [`ConnectionId::PLAIN`].
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct ConnectionId(u64);

impl ConnectionId {
    pub const PLAIN: ConnectionId = ConnectionId(0);

    /// That of connections which have proven the same and serve nobody but the client of this key.
    pub fn of_client(self, key: u64) -> ConnectionId {
        ConnectionId(self.0 ^ key)
    }

    fn of(digest: Context) -> ConnectionId {
        let digest = digest.finish();
        let mut bytes = [0; 8];
        for (byte, of_digest) in bytes.iter_mut().zip(digest.as_ref()) {
            *byte = *of_digest;
        }
        ConnectionId(u64::from_be_bytes(bytes))
    }
}

impl fmt::Debug for ConnectionId {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{:016x}", self.0)
    }
}

/// Whether two names are one and the same, as the host of a request compares.
pub fn is_same_name(one: &str, other: &str) -> bool {
    let bare = |name: &'_ str| name.strip_suffix('.').unwrap_or(name).len();
    let (one, other) = (one.get(..bare(one)), other.get(..bare(other)));
    one.zip(other).is_some_and(|(one, other)| one.eq_ignore_ascii_case(other))
}

/// A name in the form of certificates.
///
/// # Errors
/// It is neither a DNS name nor an address.
pub fn server_name(text: &str) -> Result<ServerName<'static>, String> {
    let bare = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(text);
    let bare = bare.strip_suffix('.').unwrap_or(bare);
    ServerName::try_from(bare.to_owned()).map_err(|_| format!("{text:?} is no name of a server"))
}

/// The compiled settings of one group.
#[derive(Debug)]
pub struct TargetTls {
    /// Without a store of sessions.
    config: ClientConfig,
    naming: Naming,
    sni: Sni,
    /// Everything but names that follow hosts, and addresses.
    id: ConnectionId,
}

/// One name that a target may be asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PeerName {
    /// What the handshake begins with: the name that is sent.
    pub server_name: ServerName<'static>,
    /// That of every connection that was made with it.
    pub id: ConnectionId,
    /// The host of requests that it is for, where it follows theirs.
    host: Option<Box<str>>,
}

/// How one target is spoken to.
#[derive(Debug, Clone)]
pub struct TlsPeer {
    tls: Arc<TargetTls>,
    /// At least one.
    names: Arc<[PeerName]>,
}

impl TlsPeer {
    /// The name that the target is asked for whatever the host of a request is, as in most groups.
    pub fn only_name(&self) -> Option<&PeerName> {
        self.names.first().filter(|_| self.names.len() == 1)
    }

    /// The name to ask for where a request's host (its port may follow) is this one.
    pub fn name(&self, host: &[u8]) -> Option<&PeerName> {
        let host = std::str::from_utf8(host).unwrap_or_default();
        let bare = host.rsplit_once(':').map_or(host, |(name, _)| name);
        let is_meant =
            |name: &&PeerName| name.host.as_deref().is_some_and(|own| is_same_name(own, bare));
        self.names.iter().find(is_meant).or(self.names.first())
    }

    pub fn tls(&self) -> &Arc<TargetTls> {
        &self.tls
    }
}

impl TargetTls {
    /// # Errors
    /// See [`TargetTlsFault`].
    pub fn new(
        options: &TargetTlsOptions,
        clock: Arc<dyn TimeProvider>,
    ) -> Result<TargetTls, TargetTlsFault> {
        if let Naming::Hosts(hosts) = &options.naming {
            match hosts.len() {
                0 => return Err(TargetTlsFault::NoHost),
                1..=HOSTS_MAX => {}
                more => return Err(TargetTlsFault::TooManyHosts(more)),
            }
        }
        let policy = Policy::of(&PolicyOptions {
            name: PolicyName::Intermediate,
            minimum_version: options.minimum_version,
            cipher_suites: Vec::new(),
            groups: Vec::new(),
        })?;
        let provider = Arc::new(policy.provider);
        let verifier = Arc::new(Verifier::new(options, &provider)?);
        let builder = ClientConfig::builder_with_details(provider, clock)
            .with_protocol_versions(&policy.versions)
            .map_err(|error| TargetTlsFault::Refused(error.to_string()))?
            .dangerous()
            .with_custom_certificate_verifier(verifier);
        let mut config = match &options.own {
            Some(own) => {
                let key = SingleCertAndKey::from(Arc::clone(own.presented(i64::MAX)));
                builder.with_client_cert_resolver(Arc::new(key))
            }
            None => builder.with_no_client_auth(),
        };
        config.alpn_protocols = options.alpn.iter().map(|name| name.clone().into_bytes()).collect();
        config.enable_sni = options.sni != Sni::None;
        config.resumption = Resumption::disabled();
        // The streams of connections take their records over.
        config.enable_secret_extraction = true;
        let (naming, sni) = (options.naming.clone(), options.sni.clone());
        Ok(TargetTls { config, naming, sni, id: identity(options) })
    }

    /// How a target at this address is spoken to; `None` = at a Unix socket.
    pub fn peer(self: &Arc<Self>, address: Option<IpAddr>) -> TlsPeer {
        let of_address = || match address {
            Some(address) => ServerName::from(address),
            // rustls needs a name; at a Unix socket nobody verifies this one, and no address is sent.
            None => ServerName::from(IpAddr::V4(Ipv4Addr::UNSPECIFIED)),
        };
        let names = match &self.naming {
            Naming::Fixed(name) => vec![self.peer_name(name.clone(), None)],
            Naming::Address => vec![self.peer_name(of_address(), None)],
            Naming::Hosts(hosts) => hosts
                .iter()
                .map(|name| self.peer_name(name.clone(), Some(name.to_str().as_ref().into())))
                .collect(),
        };
        TlsPeer { tls: Arc::clone(self), names: names.into() }
    }

    fn peer_name(&self, name: ServerName<'static>, host: Option<Box<str>>) -> PeerName {
        let mut context = Context::new(&SHA256);
        context.update(&self.id.0.to_be_bytes());
        context.update(name.to_str().as_bytes());
        let id = ConnectionId::of(context);
        let server_name = match &self.sni {
            Sni::Other(sent) => sent.clone(),
            Sni::Same | Sni::None => name,
        };
        PeerName { server_name, id, host }
    }

    /// The configuration that one shard speaks to one target with, which remembers the sessions of that target. Its
    /// store has a lock for which nobody ever waits, since the shard is alone with it.
    pub fn config(&self) -> Arc<ClientConfig> {
        let names = match &self.naming {
            Naming::Hosts(hosts) => hosts.len(),
            Naming::Fixed(_) | Naming::Address => 1,
        };
        let mut config = self.config.clone();
        config.resumption = Resumption::in_memory_sessions(SESSIONS * names);
        Arc::new(config)
    }

    /// The configuration for connections that are not resumed, as those of health checks: each of them verifies.
    pub fn config_without_sessions(&self) -> Arc<ClientConfig> {
        Arc::new(self.config.clone())
    }

    /// That of all settings; connections to one target may differ by names that follow hosts.
    pub fn id(&self) -> ConnectionId {
        self.id
    }
}

/// What stands for the settings of a group. Of the private key nothing is needed: it belongs to the certificate.
fn identity(options: &TargetTlsOptions) -> ConnectionId {
    let mut context = Context::new(&SHA256);
    let mut part = |tag: u8, bytes: &[u8]| {
        context.update(&[tag]);
        context.update(&u64::try_from(bytes.len()).unwrap_or(u64::MAX).to_be_bytes());
        context.update(bytes);
    };
    part(
        0,
        match options.verify {
            Verify::Full => b"full",
            Verify::Chain => b"chain",
            Verify::None => b"none",
        },
    );
    match &options.sni {
        Sni::Same => part(1, b""),
        Sni::None => part(2, b""),
        Sni::Other(name) => part(3, name.to_str().as_bytes()),
    }
    part(
        4,
        match options.minimum_version {
            Version::Tls12 => b"1.2",
            Version::Tls13 => b"1.3",
        },
    );
    options.authorities.iter().for_each(|der| part(5, der));
    options.crls.iter().for_each(|der| part(6, der));
    if let Some(own) = &options.own {
        own.presented(i64::MAX).cert.iter().for_each(|der| part(7, der));
    }
    options.alpn.iter().for_each(|name| part(8, name.as_bytes()));
    match &options.naming {
        Naming::Fixed(name) => part(9, name.to_str().as_bytes()),
        Naming::Address => part(10, b""),
        // Each of the names stands in its own connections' id.
        Naming::Hosts(_) => part(11, b""),
    }
    ConnectionId::of(context)
}

/// webpki's judgement of a chain, with the rules of the group.
#[derive(Debug)]
struct Verifier {
    /// `None` = nothing is verified.
    chains: Option<Arc<WebPkiServerVerifier>>,
    /// Certificates that are trusted for themselves.
    authorities: Vec<CertificateDer<'static>>,
    verify: Verify,
    /// In place of the name that is sent.
    name: Option<ServerName<'static>>,
    provider: Arc<CryptoProvider>,
}

impl Verifier {
    fn new(
        options: &TargetTlsOptions,
        provider: &Arc<CryptoProvider>,
    ) -> Result<Verifier, TargetTlsFault> {
        let chains = match options.verify {
            Verify::None => None,
            Verify::Full | Verify::Chain => Some(chains(options, provider)?),
        };
        let name = match (&options.sni, &options.naming) {
            (Sni::Other(_), Naming::Fixed(name)) => Some(name.clone()),
            (Sni::Other(_), Naming::Hosts(_) | Naming::Address) | (Sni::Same | Sni::None, _) => {
                None
            }
        };
        Ok(Verifier {
            chains,
            authorities: options.authorities.clone(),
            verify: options.verify,
            name,
            provider: Arc::clone(provider),
        })
    }

    /// A certificate that the file names itself needs no issuer: that of a target which signed its own, mostly, which
    /// webpki does not take for a server's where it says that it may sign others (as openssl makes them).
    fn own_anchor(
        &self,
        end_entity: &CertificateDer<'_>,
        name: &ServerName<'_>,
        now: UnixTime,
    ) -> Option<Result<ServerCertVerified, Error>> {
        if !self.authorities.iter().any(|authority| authority == end_entity) {
            return None;
        }
        let refused = |error: CertificateError| Some(Err(Error::InvalidCertificate(error)));
        let Ok(facts) = Facts::read(end_entity) else {
            return refused(CertificateError::BadEncoding);
        };
        let now = i64::try_from(now.as_secs()).unwrap_or(i64::MAX);
        if now > facts.not_after {
            return refused(CertificateError::Expired);
        }
        if now < facts.not_before {
            return refused(CertificateError::NotValidYet);
        }
        let parsed = match ParsedCertificate::try_from(end_entity) {
            Ok(parsed) => parsed,
            Err(error) => return Some(Err(error)),
        };
        let judged = self.named(verify_server_name(&parsed, name));
        Some(judged.map(|()| ServerCertVerified::assertion()))
    }

    /// The judgement about a name, as far as names count. webpki looks at the name last, so that everything else is
    /// in order where it is the wrong one.
    fn named(&self, judged: Result<(), Error>) -> Result<(), Error> {
        match (self.verify, judged) {
            (
                Verify::Chain | Verify::None,
                Err(Error::InvalidCertificate(
                    CertificateError::NotValidForName
                    | CertificateError::NotValidForNameContext { .. },
                )),
            ) => Ok(()),
            (Verify::Full | Verify::Chain | Verify::None, judged) => judged,
        }
    }
}

fn chains(
    options: &TargetTlsOptions,
    provider: &Arc<CryptoProvider>,
) -> Result<Arc<WebPkiServerVerifier>, TargetTlsFault> {
    let mut roots = RootCertStore::empty();
    for (index, der) in options.authorities.iter().enumerate() {
        let position = index + 1;
        roots.add(der.clone()).map_err(|error| {
            let fault = error.to_string();
            TargetTlsFault::Authorities(ClientAuthFault::Authority { position, fault })
        })?;
    }
    WebPkiServerVerifier::builder_with_provider(Arc::new(roots), Arc::clone(provider))
        .with_crls(options.crls.iter().cloned())
        // An authority that publishes no list has revoked nobody.
        .allow_unknown_revocation_status()
        .build()
        .map_err(|error| {
            TargetTlsFault::Authorities(match error {
                VerifierBuilderError::InvalidCrl(error) => {
                    ClientAuthFault::Crl(format!("{error:?}"))
                }
                _ => ClientAuthFault::NoAuthority,
            })
        })
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let Some(chains) = &self.chains else { return Ok(ServerCertVerified::assertion()) };
        let name = self.name.as_ref().unwrap_or(server_name);
        if let Some(judged) = self.own_anchor(end_entity, name, now) {
            return judged;
        }
        let judged = chains.verify_server_cert(end_entity, intermediates, name, ocsp_response, now);
        self.named(judged.map(drop))?;
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let known = &self.provider.signature_verification_algorithms;
        verify_tls12_signature(message, cert, dss, known)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let known = &self.provider.signature_verification_algorithms;
        verify_tls13_signature(message, cert, dss, known)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}
