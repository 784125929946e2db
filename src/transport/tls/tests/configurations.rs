//! Certificates and configurations of both ends, made for one test.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use rcgen::{CertificateParams, DnType, KeyPair};
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, ServerName};
use rustls::server::ClientHello;
use rustls::version::{TLS12, TLS13};
use rustls::{CipherSuite, ClientConfig, RootCertStore, ServerConfig, SupportedProtocolVersion};

use crate::transport::stream::Stream;
use crate::transport::tls::fault::HandshakeFault;
use crate::transport::tls::handshake::{self, Chosen, Computes, Facts, Terms, Unchosen};
use crate::transport::tls::places::{Limits, Places};
use crate::uring::Socket;

const ONE: Limits = Limits { count: 1, per_second: 0 };

/// Answers a handshake on a socket that has no line of its own.
pub async fn accept<C>(
    socket: Socket,
    early: Vec<u8>,
    choose: C,
    time: Duration,
) -> Result<(Stream, Facts), HandshakeFault>
where
    C: FnOnce(&ClientHello<'_>) -> Result<Arc<ServerConfig>, Unchosen>,
{
    let places = Places::default();
    let place = places.place(&socket, ONE).await?;
    let choose = async |hello: &ClientHello<'_>| {
        choose(hello).map(|config| Chosen { config, signs: Computes::Here })
    };
    let terms = Terms { place: &place, time, small_records: false };
    handshake::accept(&Stream::plain(socket), early, choose, terms).await
}

pub const NAME: &str = "shop.example";

pub fn name() -> ServerName<'static> {
    ServerName::try_from(NAME).unwrap()
}

/// A certificate for [`NAME`], signed by itself under a name of its own, and its key.
pub fn certificate() -> (CertificateDer<'static>, PrivateKeyDer<'static>) {
    static MADE: AtomicU32 = AtomicU32::new(0);
    let mut parameters = CertificateParams::new([NAME.to_owned()]).unwrap();
    let number = MADE.fetch_add(1, Ordering::Relaxed);
    parameters.distinguished_name.push(DnType::CommonName, format!("authority {number}"));
    let key = KeyPair::generate().unwrap();
    let certificate = parameters.self_signed(&key).unwrap();
    let key = PrivatePkcs8KeyDer::from(key.serialize_der());
    (certificate.der().clone(), key.into())
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(aws_lc_rs::default_provider())
}

/// A server's and a client's configuration that agree on `version`.
pub fn pair(version: &'static SupportedProtocolVersion) -> (Arc<ServerConfig>, Arc<ClientConfig>) {
    pair_speaking(version, &[])
}

/// As [`pair`], both with these protocols.
pub fn pair_speaking(
    version: &'static SupportedProtocolVersion,
    protocols: &[&[u8]],
) -> (Arc<ServerConfig>, Arc<ClientConfig>) {
    pair_by(&provider(), version, protocols)
}

/// A server's and a client's configuration that agree on a cipher suite, which is of one version.
pub fn pair_in(suite: CipherSuite) -> (Arc<ServerConfig>, Arc<ClientConfig>) {
    let mut provider = aws_lc_rs::default_provider();
    provider.cipher_suites.retain(|one| one.suite() == suite);
    let is_13 = provider.cipher_suites.iter().all(|one| one.tls13().is_some());
    pair_by(&Arc::new(provider), if is_13 { &TLS13 } else { &TLS12 }, &[])
}

fn pair_by(
    provider: &Arc<CryptoProvider>,
    version: &'static SupportedProtocolVersion,
    protocols: &[&[u8]],
) -> (Arc<ServerConfig>, Arc<ClientConfig>) {
    let (certificate, key) = certificate();
    let mut roots = RootCertStore::empty();
    roots.add(certificate.clone()).unwrap();
    let mut server = ServerConfig::builder_with_provider(Arc::clone(provider))
        .with_protocol_versions(&[version])
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate], key)
        .unwrap();
    server.send_tls13_tickets = 1;
    let mut client = ClientConfig::builder_with_provider(Arc::clone(provider))
        .with_protocol_versions(&[version])
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let protocols: Vec<Vec<u8>> = protocols.iter().map(|name| name.to_vec()).collect();
    server.alpn_protocols.clone_from(&protocols);
    client.alpn_protocols = protocols;
    (server.enable_secret_extraction, client.enable_secret_extraction) = (true, true);
    (Arc::new(server), Arc::new(client))
}
