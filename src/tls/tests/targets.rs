//! What a target must prove, what it is sent, and which connections are alike.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use rcgen::ExtendedKeyUsagePurpose;
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use rustls::server::WebPkiClientVerifier;
use rustls::version::{TLS12, TLS13};
use rustls::{
    CertificateError, ClientConnection, Error, HandshakeKind, RootCertStore, ServerConfig,
    ServerConnection,
};

use crate::tls::certificate::{Certificate, CertificateFault};
use crate::tls::client_auth::{ClientAuthFault, crls};
use crate::tls::policy::Version;
use crate::tls::target::*;
use crate::tls::tests::pki::*;

const NAME: &str = "shop.example";

fn to(root: &Authority) -> TargetTlsOptions {
    TargetTlsOptions {
        naming: Naming::Fixed(server_name(NAME).unwrap()),
        sni: Sni::Same,
        minimum_version: Version::Tls12,
        verify: Verify::Full,
        authorities: vec![root.der.clone()],
        crls: Vec::new(),
        own: None,
        alpn: vec!["http/1.1".into()],
    }
}

fn compiled(options: &TargetTlsOptions) -> Arc<TargetTls> {
    Arc::new(TargetTls::new(options, Clock::at(NOW)).unwrap())
}

fn peer(options: &TargetTlsOptions) -> TlsPeer {
    compiled(options).peer(Some(Ipv4Addr::LOCALHOST.into()))
}

/// A target that presents this certificate; it asks for one of `clients`, if there is such an authority.
fn target(issued: &Issued, clients: Option<&Authority>) -> ServerConfig {
    let builder = ServerConfig::builder_with_details(Arc::new(default_provider()), Clock::at(NOW))
        .with_protocol_versions(&[&TLS13, &TLS12])
        .unwrap();
    let builder = match clients {
        None => builder.with_no_client_auth(),
        Some(authority) => {
            let mut roots = RootCertStore::empty();
            roots.add(authority.der.clone()).unwrap();
            let provider = Arc::new(default_provider());
            let verifier = WebPkiClientVerifier::builder_with_provider(roots.into(), provider);
            builder.with_client_cert_verifier(verifier.build().unwrap())
        }
    };
    let key = certificate(issued);
    let chain = key.presented(0).cert.clone();
    let key = rustls::pki_types::PrivateKeyDer::from_pem_slice(issued.key.as_bytes()).unwrap();
    let mut config = builder.with_single_cert(chain, key).unwrap();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    config
}

/// Shakes hands; both ends, or why there is no connection, the client's word first.
fn connect(
    config: &Arc<rustls::ClientConfig>,
    name: &PeerName,
    target: &ServerConfig,
) -> Result<(ClientConnection, ServerConnection), Error> {
    let mut client = ClientConnection::new(Arc::clone(config), name.server_name.clone()).unwrap();
    let mut server = ServerConnection::new(Arc::new(target.clone())).unwrap();
    for _ in 0..8 {
        let mut flight = Vec::new();
        while client.wants_write() {
            client.write_tls(&mut flight).unwrap();
        }
        let mut flight = flight.as_slice();
        while !flight.is_empty() {
            server.read_tls(&mut flight).unwrap();
            server.process_new_packets()?;
        }
        let mut flight = Vec::new();
        while server.wants_write() {
            server.write_tls(&mut flight).unwrap();
        }
        let mut flight = flight.as_slice();
        while !flight.is_empty() {
            client.read_tls(&mut flight).unwrap();
            client.process_new_packets()?;
        }
    }
    assert!(!client.is_handshaking() && !server.is_handshaking());
    Ok((client, server))
}

/// A connection of a shard that has never been at the target.
fn once(
    options: &TargetTlsOptions,
    target: &ServerConfig,
) -> Result<(ClientConnection, ServerConnection), Error> {
    let peer = peer(options);
    connect(&peer.tls().config(), peer.name(b"").unwrap(), target)
}

fn fault(options: &TargetTlsOptions, target: &ServerConfig) -> Option<CertificateError> {
    match once(options, target) {
        Ok(_) => None,
        Err(Error::InvalidCertificate(error)) => Some(error),
        Err(error) => panic!("{error:?}"),
    }
}

fn is_wrong_name(fault: Option<CertificateError>) -> bool {
    matches!(
        fault,
        Some(CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. })
    )
}

#[test]
fn full_verification_wants_a_trusted_authority_and_the_name() {
    let (root, other) = (Authority::root("root"), Authority::root("other"));
    let of = |names| root.issue(&Wanted { names, ..Wanted::default() });
    assert_eq!(fault(&to(&root), &target(&of(&[NAME]), None)), None);
    assert!(is_wrong_name(fault(&to(&root), &target(&of(&["else.example"]), None))));
    let foreign = other.issue(&Wanted::default());
    assert_eq!(fault(&to(&root), &target(&foreign, None)), Some(CertificateError::UnknownIssuer));
    let past = root.issue(&Wanted { days: (-80, -1), ..Wanted::default() });
    let expired = fault(&to(&root), &target(&past, None));
    assert!(matches!(expired, Some(CertificateError::ExpiredContext { .. })), "{expired:?}");
}

#[test]
fn verification_of_the_chain_takes_any_name_and_none_takes_anybody() {
    let (root, other) = (Authority::root("root"), Authority::root("other"));
    let elsewhere = Wanted { names: &["else.example"], ..Wanted::default() };
    let (of_root, foreign) = (root.issue(&elsewhere), other.issue(&elsewhere));
    let chain = TargetTlsOptions { verify: Verify::Chain, ..to(&root) };
    assert_eq!(fault(&chain, &target(&of_root, None)), None);
    assert_eq!(fault(&chain, &target(&foreign, None)), Some(CertificateError::UnknownIssuer));
    let none = TargetTlsOptions { verify: Verify::None, authorities: Vec::new(), ..to(&root) };
    assert_eq!(fault(&none, &target(&foreign, None)), None);
}

#[test]
fn a_revoked_certificate_is_refused_however_names_are_verified() {
    let root = Authority::root("root");
    let issued = root.issue(&Wanted { serial: 9, ..Wanted::default() });
    for verify in [Verify::Full, Verify::Chain] {
        let listed = crls(&root.revoke(&[9], 30)).unwrap();
        let options = TargetTlsOptions { verify, crls: listed, ..to(&root) };
        assert_eq!(fault(&options, &target(&issued, None)), Some(CertificateError::Revoked));
        let of_others = crls(&root.revoke(&[8], 30)).unwrap();
        let options = TargetTlsOptions { verify, crls: of_others, ..to(&root) };
        assert_eq!(fault(&options, &target(&issued, None)), None);
    }
}

#[test]
fn a_certificate_that_the_file_names_itself_is_trusted_for_its_names_and_its_time() {
    // As `openssl req -x509` makes it: its own issuer, and allowed to sign others.
    let key = rcgen::KeyPair::generate().unwrap();
    let mut params = rcgen::CertificateParams::new(vec![NAME.to_owned()]).unwrap();
    params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    params.not_after = rcgen::date_time_ymd(2027, 1, 1);
    let signed = params.self_signed(&key).unwrap();
    let issued = Issued { pem: signed.pem(), key: key.serialize_pem() };
    let root = Authority::root("root");
    let options = TargetTlsOptions { authorities: vec![signed.der().clone()], ..to(&root) };
    assert_eq!(fault(&options, &target(&issued, None)), None);
    let elsewhere = Naming::Fixed(server_name("else.example").unwrap());
    let named = TargetTlsOptions { naming: elsewhere, ..options.clone() };
    assert!(is_wrong_name(fault(&named, &target(&issued, None))));
    let chain = TargetTlsOptions { verify: Verify::Chain, ..named };
    assert_eq!(fault(&chain, &target(&issued, None)), None);
    for (now, wanted) in
        [(NOW + 300 * DAY_S, CertificateError::Expired), (0, CertificateError::NotValidYet)]
    {
        // rcgen begins certificates in 1975.
        let late = Arc::new(TargetTls::new(&options, Clock::at(now)).unwrap()).peer(None);
        let result = connect(&late.tls().config(), late.name(b"").unwrap(), &target(&issued, None));
        assert_eq!(result.err(), Some(Error::InvalidCertificate(wanted)));
    }
}

#[test]
fn an_address_is_verified_where_it_stands_as_the_name() {
    let root = Authority::root("root");
    let issued = root.issue(&Wanted { names: &["127.0.0.1"], ..Wanted::default() });
    let by_address = TargetTlsOptions { naming: Naming::Address, ..to(&root) };
    assert_eq!(fault(&by_address, &target(&issued, None)), None);
    let written = Naming::Fixed(server_name("127.0.0.1").unwrap());
    let (_, server) =
        once(&TargetTlsOptions { naming: written, ..to(&root) }, &target(&issued, None)).unwrap();
    assert_eq!(server.server_name(), None, "RFC 6066 §3: no address is sent");
    let other = Naming::Fixed(server_name("[::1]").unwrap());
    let options = TargetTlsOptions { naming: other, ..to(&root) };
    assert!(is_wrong_name(fault(&options, &target(&issued, None))));
}

#[test]
fn a_target_is_sent_its_name_or_another_or_none() {
    let root = Authority::root("root");
    let issued = root.issue(&Wanted::default());
    for (sni, sent) in [
        (Sni::Same, Some(NAME)),
        (Sni::None, None),
        (Sni::Other(server_name("front.example").unwrap()), Some("front.example")),
    ] {
        let options = TargetTlsOptions { sni: sni.clone(), ..to(&root) };
        let (client, server) = once(&options, &target(&issued, None)).unwrap();
        assert_eq!(server.server_name(), sent, "{sni:?}");
        assert_eq!(client.alpn_protocol(), Some(&b"http/1.1"[..]));
    }
}

#[test]
fn the_host_of_a_request_is_the_name_where_names_follow_hosts() {
    let root = Authority::root("root");
    let hosts = ["a.example", "B.example", "c.example"];
    let naming = Naming::Hosts(hosts.iter().map(|host| server_name(host).unwrap()).collect());
    let peer = peer(&TargetTlsOptions { naming, ..to(&root) });
    for (host, wanted) in [
        (&b"a.example"[..], "a.example"),
        (b"A.EXAMPLE:8443", "a.example"),
        (b"b.example.", "B.example"),
        (b"c.example:1", "c.example"),
        (b"nobody.example", "a.example"),
        (b"\xff", "a.example"),
    ] {
        let name = peer.name(host).unwrap();
        assert_eq!(name.server_name.to_str(), wanted);
        let issued = root.issue(&Wanted { names: &[wanted], ..Wanted::default() });
        let (_, server) = connect(&peer.tls().config(), name, &target(&issued, None)).unwrap();
        assert!(server.server_name().is_some_and(|sent| is_same_name(sent, wanted)));
    }
    let ids: std::collections::HashSet<ConnectionId> =
        hosts.iter().map(|host| peer.name(host.as_bytes()).unwrap().id).collect();
    assert_eq!(ids.len(), 3, "a connection of one name is none of another");
}

#[test]
fn names_that_follow_hosts_are_limited() {
    let root = Authority::root("root");
    let of = |count: usize| {
        let hosts = (0..count).map(|at| server_name(&format!("{at}.example")).unwrap());
        let naming = Naming::Hosts(hosts.collect());
        TargetTls::new(&TargetTlsOptions { naming, ..to(&root) }, Clock::at(NOW)).err()
    };
    assert_eq!(of(HOSTS_MAX), None);
    assert_eq!(of(HOSTS_MAX + 1), Some(TargetTlsFault::TooManyHosts(HOSTS_MAX + 1)));
    assert_eq!(of(0), Some(TargetTlsFault::NoHost));
}

#[test]
fn a_target_that_asks_for_a_certificate_gets_the_groups() {
    let (root, clients) = (Authority::root("root"), Authority::root("clients"));
    let issued = root.issue(&Wanted::default());
    let usage = ExtendedKeyUsagePurpose::ClientAuth;
    let own = clients.issue(&Wanted { names: &[], usage, ..Wanted::default() });
    let read = Certificate::read_of_client(own.pem.as_bytes(), Some(own.key.as_bytes())).unwrap();
    let options = TargetTlsOptions { own: Some(Arc::new(read)), ..to(&root) };
    let (_, server) = once(&options, &target(&issued, Some(&clients))).unwrap();
    let expected = CertificateDer::from_pem_slice(own.pem.as_bytes()).unwrap();
    assert_eq!(server.peer_certificates().unwrap()[0], expected);
    let without = once(&to(&root), &target(&issued, Some(&clients)));
    assert_eq!(without.err(), Some(Error::NoCertificatesPresented));
}

#[test]
fn a_certificate_for_servers_only_is_no_clients_and_the_other_way_round() {
    let root = Authority::root("root");
    let server = root.issue(&Wanted::default());
    let read = Certificate::read_of_client(server.pem.as_bytes(), Some(server.key.as_bytes()));
    assert_eq!(read.err(), Some(CertificateFault::NotForClients));
    let usage = ExtendedKeyUsagePurpose::ClientAuth;
    let client = root.issue(&Wanted { usage, ..Wanted::default() });
    let read = Certificate::read(client.pem.as_bytes(), Some(client.key.as_bytes()));
    assert_eq!(read.err(), Some(CertificateFault::NotForServers));
}

#[test]
fn an_old_version_is_refused_where_a_newer_one_is_the_least() {
    let root = Authority::root("root");
    let issued = root.issue(&Wanted::default());
    let old = {
        let provider = Arc::new(default_provider());
        let builder = ServerConfig::builder_with_details(provider, Clock::at(NOW));
        let new = target(&issued, None);
        let key = rustls::pki_types::PrivateKeyDer::from_pem_slice(issued.key.as_bytes()).unwrap();
        let chain = certificate(&issued).presented(0).cert.clone();
        let mut old = builder
            .with_protocol_versions(&[&TLS12])
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(chain, key)
            .unwrap();
        old.alpn_protocols = new.alpn_protocols;
        old
    };
    assert!(once(&to(&root), &old).is_ok());
    let modern = TargetTlsOptions { minimum_version: Version::Tls13, ..to(&root) };
    assert!(once(&modern, &old).is_err());
}

#[test]
fn a_shard_resumes_its_own_sessions_with_a_target_and_another_does_not() {
    let root = Authority::root("root");
    let target = target(&root.issue(&Wanted::default()), None);
    let peer = peer(&to(&root));
    let name = peer.name(b"").unwrap();
    let kind = |config| connect(config, name, &target).unwrap().0.handshake_kind();
    let (one, other) = (peer.tls().config(), peer.tls().config());
    assert_eq!(kind(&one), Some(HandshakeKind::Full));
    assert_eq!(kind(&one), Some(HandshakeKind::Resumed));
    assert_eq!(kind(&other), Some(HandshakeKind::Full));
    let checks = peer.tls().config_without_sessions();
    assert_eq!(kind(&checks), Some(HandshakeKind::Full));
    assert_eq!(kind(&checks), Some(HandshakeKind::Full), "every check verifies");
}

#[test]
fn connections_are_alike_only_where_everything_that_was_proven_is() {
    let (root, other) = (Authority::root("root"), Authority::root("other"));
    let usage = ExtendedKeyUsagePurpose::ClientAuth;
    let own = root.issue(&Wanted { usage, ..Wanted::default() });
    let own = Certificate::read_of_client(own.pem.as_bytes(), Some(own.key.as_bytes())).unwrap();
    let base = to(&root);
    let differing = [
        TargetTlsOptions { verify: Verify::Chain, ..base.clone() },
        TargetTlsOptions { verify: Verify::None, ..base.clone() },
        TargetTlsOptions { sni: Sni::None, ..base.clone() },
        TargetTlsOptions { sni: Sni::Other(server_name(NAME).unwrap()), ..base.clone() },
        TargetTlsOptions { minimum_version: Version::Tls13, ..base.clone() },
        TargetTlsOptions { authorities: vec![other.der.clone()], ..base.clone() },
        TargetTlsOptions { crls: crls(&root.revoke(&[5], 30)).unwrap(), ..base.clone() },
        TargetTlsOptions { own: Some(Arc::new(own)), ..base.clone() },
        TargetTlsOptions { naming: Naming::Address, ..base.clone() },
        TargetTlsOptions {
            naming: Naming::Fixed(server_name("b.example").unwrap()),
            ..base.clone()
        },
    ];
    let id = |options: &TargetTlsOptions| peer(options).name(b"").unwrap().id;
    assert_eq!(id(&base), id(&base.clone()));
    let mut seen = std::collections::HashSet::from([id(&base), ConnectionId::PLAIN]);
    for options in differing {
        assert!(seen.insert(id(&options)), "{options:?}");
    }
    let by_address = compiled(&TargetTlsOptions { naming: Naming::Address, ..base });
    let at = |address: [u8; 4]| by_address.peer(Some(IpAddr::from(address)));
    let id = |address| at(address).name(b"").unwrap().id;
    assert_ne!(id([10, 0, 0, 1]), id([10, 0, 0, 2]));
}

#[test]
fn a_group_without_authorities_says_so() {
    let root = Authority::root("root");
    let options = TargetTlsOptions { authorities: Vec::new(), ..to(&root) };
    let fault = TargetTls::new(&options, Clock::at(NOW)).err();
    assert_eq!(fault, Some(TargetTlsFault::Authorities(ClientAuthFault::NoAuthority)));
}

#[test]
fn a_name_is_a_dns_name_or_an_address() {
    for good in ["shop.example", "a_b.example", "shop.example.", "127.0.0.1", "::1", "[::1]"] {
        assert!(server_name(good).is_ok(), "{good}");
    }
    for bad in ["", "*.example", "shop example", "shop.example:443", "https://shop.example", "-"] {
        assert!(server_name(bad).is_err(), "{bad}");
    }
}
