//! Authorities, certificates, clocks and handshakes for the tests.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use aws_lc_rs::hkdf::{HKDF_SHA256, Prk};
use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, DnType,
    ExtendedKeyUsagePurpose, IsCa, Issuer, KeyIdMethod, KeyPair, KeyUsagePurpose,
    PKCS_ECDSA_P256_SHA256, PKCS_RSA_SHA256, RevokedCertParams, RsaKeySize, SerialNumber,
};
use rustls::client::Resumption;
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::server::Acceptor;
use rustls::time_provider::TimeProvider;
use rustls::version::{TLS12, TLS13};
use rustls::{
    ClientConfig, ClientConnection, ConfigBuilder, Error, HandshakeKind, ProtocolVersion,
    RootCertStore, ServerConnection, WantsVersions,
};

use crate::tls::certificate::Certificate;
use crate::tls::client_auth::ClientAuth;
use crate::tls::listener::*;
use crate::tls::names::{Presented, Source};
use crate::tls::policy::{PolicyName, PolicyOptions, Version};
use crate::tls::tickets::{ProcessKeys, TicketRoots};

/// Noon of the first of July 2026.
pub const NOW: u64 = 1_782_907_200;
pub const DAY_S: u64 = 86_400;

#[derive(Debug)]
pub struct Clock(AtomicU64);

impl Clock {
    pub fn at(now: u64) -> Arc<Clock> {
        Arc::new(Clock(AtomicU64::new(now)))
    }

    pub fn set(&self, now: u64) {
        self.0.store(now, Ordering::Relaxed);
    }
}

impl TimeProvider for Clock {
    fn current_time(&self) -> Option<UnixTime> {
        Some(UnixTime::since_unix_epoch(std::time::Duration::from_secs(
            self.0.load(Ordering::Relaxed),
        )))
    }
}

/// Seconds since 1970 in rcgen's form, whose type it does not name.
macro_rules! date {
    ($seconds:expr) => {
        rcgen::date_time_ymd(1970, 1, 1) + std::time::Duration::from_secs($seconds)
    };
}

#[derive(Clone, Copy, PartialEq)]
pub enum Algorithm {
    Ecdsa,
    Rsa,
}

/// A certificate to be issued.
pub struct Wanted<'w> {
    pub names: &'w [&'w str],
    pub subject: &'w [(DnType, &'w str)],
    pub algorithm: Algorithm,
    /// Days from [`NOW`].
    pub days: (i64, i64),
    pub usage: ExtendedKeyUsagePurpose,
    pub serial: u64,
}

impl Default for Wanted<'_> {
    fn default() -> Self {
        Wanted {
            names: &["shop.example"],
            subject: &[],
            algorithm: Algorithm::Ecdsa,
            days: (-10, 80),
            usage: ExtendedKeyUsagePurpose::ServerAuth,
            serial: 1,
        }
    }
}

#[derive(Clone)]
pub struct Issued {
    pub pem: String,
    pub key: String,
}

pub struct Authority {
    pub params: CertificateParams,
    key: KeyPair,
    pub pem: String,
    pub der: CertificateDer<'static>,
}

fn authority_params(name: &str) -> CertificateParams {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params.serial_number = Some(SerialNumber::from(77));
    params
}

impl Authority {
    pub fn root(name: &str) -> Authority {
        let (params, key) = (authority_params(name), KeyPair::generate().unwrap());
        let certificate = params.self_signed(&key).unwrap();
        let (pem, der) = (certificate.pem(), certificate.der().clone());
        Authority { params, key, pem, der }
    }

    pub fn under(&self, name: &str) -> Authority {
        let (params, key) = (authority_params(name), KeyPair::generate().unwrap());
        let certificate = params.signed_by(&key, &self.issuer()).unwrap();
        let (pem, der) = (certificate.pem(), certificate.der().clone());
        Authority { params, key, pem, der }
    }

    fn issuer(&self) -> Issuer<'_, &KeyPair> {
        Issuer::from_params(&self.params, &self.key)
    }

    pub fn issue(&self, wanted: &Wanted<'_>) -> Issued {
        let key = match wanted.algorithm {
            Algorithm::Ecdsa => KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).unwrap(),
            Algorithm::Rsa => {
                KeyPair::generate_rsa_for(&PKCS_RSA_SHA256, RsaKeySize::_2048).unwrap()
            }
        };
        let names: Vec<String> = wanted.names.iter().map(|name| (*name).to_owned()).collect();
        let mut params = CertificateParams::new(names).unwrap();
        params.distinguished_name = rcgen::DistinguishedName::new();
        for (kind, value) in wanted.subject {
            params.distinguished_name.push(kind.clone(), *value);
        }
        let day = |days: i64| date!(NOW.checked_add_signed(days * 86_400).unwrap());
        (params.not_before, params.not_after) = (day(wanted.days.0), day(wanted.days.1));
        params.extended_key_usages = vec![wanted.usage.clone()];
        params.serial_number = Some(SerialNumber::from(wanted.serial));
        let certificate = params.signed_by(&key, &self.issuer()).unwrap();
        Issued { pem: certificate.pem(), key: key.serialize_pem() }
    }

    /// A list with these serial numbers, which ends some days from [`NOW`].
    pub fn revoke(&self, serials: &[u64], days: u64) -> Vec<u8> {
        let revoked = |serial: &u64| RevokedCertParams {
            serial_number: SerialNumber::from(*serial),
            revocation_time: date!(NOW - 5 * DAY_S),
            reason_code: None,
            invalidity_date: None,
        };
        let params = CertificateRevocationListParams {
            this_update: date!(NOW - 20 * DAY_S),
            next_update: date!(NOW - 10 * DAY_S + days * DAY_S),
            crl_number: SerialNumber::from(1),
            issuing_distribution_point: None,
            revoked_certs: serials.iter().map(revoked).collect(),
            key_identifier_method: KeyIdMethod::Sha256,
        };
        params.signed_by(&self.issuer()).unwrap().pem().unwrap().into_bytes()
    }
}

pub fn certificate(issued: &Issued) -> Arc<Certificate> {
    Arc::new(Certificate::read(issued.pem.as_bytes(), Some(issued.key.as_bytes())).unwrap())
}

pub fn listed(issued: &Issued) -> Presented {
    Presented { source: Source::Listed, certificate: certificate(issued) }
}

pub fn intermediate() -> PolicyOptions {
    PolicyOptions {
        name: PolicyName::Intermediate,
        minimum_version: Version::Tls12,
        cipher_suites: Vec::new(),
        groups: Vec::new(),
    }
}

pub fn profile(client: ClientAuth) -> ProfileOptions {
    ProfileOptions { policy: intermediate(), alpn: vec!["http/1.1".into()], client }
}

pub fn options(certificates: Vec<Presented>) -> TlsOptions {
    TlsOptions {
        listener: "secure".into(),
        certificates,
        strict_sni: false,
        tickets: true,
        host_match: HostMatch::ClientAuth,
        small_records: false,
        own: profile(ClientAuth::off()),
        profiles: Vec::new(),
        awaits_certificate: false,
        challenges: None,
    }
}

/// What the ring derives from these secrets.
pub fn roots(secrets: &[(u16, [u8; 32])]) -> Vec<(u16, Prk)> {
    secrets.iter().map(|(id, secret)| (*id, Prk::new_less_safe(HKDF_SHA256, secret))).collect()
}

/// A node with these secrets.
pub fn source(secrets: &[(u16, [u8; 32])], clock: &Arc<Clock>) -> TicketSource {
    TicketSource {
        ring: Arc::new(TicketRoots(roots(secrets))),
        process: Arc::new(ProcessKeys::new()),
        clock: Arc::clone(clock) as _,
    }
}

pub fn listener(options: TlsOptions) -> TlsListener {
    TlsListener::new(options, &source(&[(1, [1; 32])], &Clock::at(NOW))).unwrap()
}

/// A client that trusts `root`, with a certificate of its own or without.
pub fn client(
    root: &Authority,
    version: Option<ProtocolVersion>,
    own: Option<&Issued>,
) -> ClientConfig {
    let provider = Arc::new(default_provider());
    client_with(ClientConfig::builder_with_details(provider, Clock::at(NOW)), root, version, own)
}

pub fn client_with(
    builder: ConfigBuilder<ClientConfig, WantsVersions>,
    root: &Authority,
    version: Option<ProtocolVersion>,
    own: Option<&Issued>,
) -> ClientConfig {
    let mut roots = RootCertStore::empty();
    roots.add(root.der.clone()).unwrap();
    let versions: &[_] = match version {
        Some(ProtocolVersion::TLSv1_2) => &[&TLS12],
        Some(_) => &[&TLS13],
        None => &[&TLS13, &TLS12],
    };
    let builder = builder.with_protocol_versions(versions).unwrap().with_root_certificates(roots);
    let mut config = match own {
        None => builder.with_no_client_auth(),
        Some(own) => {
            let chain = CertificateDer::pem_slice_iter(own.pem.as_bytes());
            let key = PrivateKeyDer::from_pem_slice(own.key.as_bytes()).unwrap();
            builder.with_client_auth_cert(chain.map(Result::unwrap).collect(), key).unwrap()
        }
    };
    config.resumption = Resumption::in_memory_sessions(16);
    config
}

/// Both ends after a handshake that went well.
pub struct Connected {
    pub client: ClientConnection,
    pub server: ServerConnection,
}

impl Connected {
    pub fn is_resumed(&self) -> bool {
        self.client.handshake_kind() == Some(HandshakeKind::Resumed)
    }

    pub fn presented(&self) -> CertificateDer<'static> {
        self.client.peer_certificates().unwrap()[0].clone().into_owned()
    }
}

#[derive(Debug)]
pub enum Failure {
    Refused(Refused),
    Server(Error),
    #[expect(dead_code, reason = "it is printed where a test fails")]
    Client(Error),
}

/// Shakes hands in memory, as the stream does: the Acceptor reads first.
pub fn connect(
    listener: &TlsListener,
    config: &Arc<ClientConfig>,
    server_name: &str,
) -> Result<Connected, Failure> {
    let name = ServerName::try_from(server_name.to_owned()).unwrap();
    let mut client = ClientConnection::new(Arc::clone(config), name).unwrap();
    let mut flight = Vec::new();
    client.write_tls(&mut flight).unwrap();
    let mut acceptor = Acceptor::default();
    acceptor.read_tls(&mut flight.as_slice()).unwrap();
    let accepted = acceptor.accept().map_err(|(error, _)| Failure::Server(error))?.unwrap();
    let chosen = listener.choose(&accepted.client_hello()).map_err(Failure::Refused)?;
    let mut server =
        accepted.into_connection(chosen).map_err(|(error, _)| Failure::Server(error))?;
    for _ in 0..8 {
        let mut flight = Vec::new();
        while server.wants_write() {
            server.write_tls(&mut flight).unwrap();
        }
        let mut flight = flight.as_slice();
        while !flight.is_empty() {
            client.read_tls(&mut flight).unwrap();
            client.process_new_packets().map_err(Failure::Client)?;
        }
        let mut flight = Vec::new();
        while client.wants_write() {
            client.write_tls(&mut flight).unwrap();
        }
        let mut flight = flight.as_slice();
        while !flight.is_empty() {
            server.read_tls(&mut flight).unwrap();
            server.process_new_packets().map_err(Failure::Server)?;
        }
    }
    assert!(!client.is_handshaking() && !server.is_handshaking());
    Ok(Connected { client, server })
}
