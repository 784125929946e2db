//! Which certificate a client gets.

use std::sync::Arc;

use rustls::{ServerConfig, SignatureScheme};

use crate::tls::certificate::Certificate;
use crate::tls::listener::Refused;
use crate::tls::names::{Names, Presented, Source};
use crate::tls::tests::pki::*;

const BOTH: [SignatureScheme; 2] =
    [SignatureScheme::RSA_PSS_SHA256, SignatureScheme::ECDSA_NISTP256_SHA256];
const RSA: [SignatureScheme; 1] = [SignatureScheme::RSA_PSS_SHA256];

fn issue(root: &Authority, names: &[&str], algorithm: Algorithm, days: i64) -> Presented {
    listed(&root.issue(&Wanted { names, algorithm, days: (-1, days), ..Wanted::default() }))
}

#[track_caller]
fn assert_gets(
    names: &Names,
    server_name: Option<&str>,
    schemes: &[SignatureScheme],
    of: &Presented,
) {
    let chosen: &Arc<Certificate> = names.choose(server_name, schemes).expect("a certificate");
    assert_eq!(chosen.facts.fingerprint, of.certificate.facts.fingerprint);
}

#[test]
fn an_exact_name_comes_before_a_wildcard_and_that_before_the_default() {
    let root = Authority::root("root");
    let first = issue(&root, &["first.example"], Algorithm::Ecdsa, 30);
    let wildcard = issue(&root, &["*.shop.example"], Algorithm::Ecdsa, 90);
    let exact = issue(&root, &["a.shop.example"], Algorithm::Ecdsa, 30);
    let all = vec![first.clone(), wildcard.clone(), exact.clone()];
    let names = Names::new(all, Clock::at(NOW));
    assert_gets(&names, Some("A.shop.example"), &BOTH, &exact);
    assert_gets(&names, Some("b.shop.example"), &BOTH, &wildcard);
    for other in [None, Some("shop.example"), Some("a.b.shop.example"), Some("x"), Some("")] {
        assert_gets(&names, other, &BOTH, &first);
    }
}

#[test]
fn ecdsa_comes_before_rsa_where_the_client_can() {
    let root = Authority::root("root");
    let rsa = issue(&root, &["shop.example"], Algorithm::Rsa, 90);
    let ecdsa = issue(&root, &["shop.example"], Algorithm::Ecdsa, 30);
    let names = Names::new(vec![rsa.clone(), ecdsa.clone()], Clock::at(NOW));
    for name in [Some("shop.example"), None] {
        assert_gets(&names, name, &BOTH, &ecdsa);
        assert_gets(&names, name, &RSA, &rsa);
        // What is told of a signature's time is told of the certificate that the client gets.
        assert!(!names.sign_slowly(name, &BOTH));
        assert!(names.sign_slowly(name, &RSA));
        assert!(!names.sign_slowly(name, &[]), "it gets none that it could verify");
    }
    let fast = Names::new(vec![ecdsa], Clock::at(NOW));
    assert!(!fast.sign_slowly(Some("shop.example"), &RSA));
}

#[test]
fn a_wildcard_that_the_client_can_verify_serves_where_the_exact_name_cannot() {
    let root = Authority::root("root");
    let exact = issue(&root, &["a.shop.example"], Algorithm::Ecdsa, 90);
    let wildcard = issue(&root, &["*.shop.example"], Algorithm::Rsa, 90);
    let names = Names::new(vec![exact, wildcard.clone()], Clock::at(NOW));
    assert_gets(&names, Some("a.shop.example"), &RSA, &wildcard);
    assert!(names.choose(Some("other.example"), &RSA).is_none());
}

#[test]
fn of_one_name_a_listed_certificate_comes_first_and_then_the_one_that_is_valid_longest() {
    let root = Authority::root("root");
    let short = issue(&root, &["shop.example"], Algorithm::Ecdsa, 30);
    let long = issue(&root, &["shop.example"], Algorithm::Ecdsa, 60);
    let mut found = issue(&root, &["shop.example"], Algorithm::Ecdsa, 90);
    found.source = Source::Directory;
    let names = Names::new(vec![found.clone(), short.clone(), long.clone()], Clock::at(NOW));
    assert_gets(&names, Some("shop.example"), &BOTH, &long);
    let names = Names::new(vec![found.clone()], Clock::at(NOW));
    assert_gets(&names, Some("shop.example"), &BOTH, &found);
}

#[test]
fn with_strict_sni_an_unknown_name_and_none_are_refused() {
    let root = Authority::root("root");
    let issued = root.issue(&Wanted { names: &["shop.example", "192.0.2.1"], ..Wanted::default() });
    let mut strict = options(vec![listed(&issued)]);
    strict.strict_sni = true;
    let (strict, open) = (listener(strict), listener(options(vec![listed(&issued)])));
    let config = Arc::new(client(&root, None, None));
    connect(&strict, &config, "shop.example").unwrap_or_else(|failure| panic!("{failure:?}"));
    let refused = |name| match connect(&strict, &config, name) {
        Err(Failure::Refused(refused)) => refused,
        _ => panic!("{name} is not refused"),
    };
    assert_eq!(refused("other.example"), Refused::UnknownName);
    assert_eq!(refused("192.0.2.1"), Refused::NoName);
    assert!(connect(&open, &config, "192.0.2.1").is_ok());
}

#[test]
fn nothing_is_stored_and_no_early_data_taken() {
    let root = Authority::root("root");
    let listener = listener(options(vec![listed(&root.issue(&Wanted::default()))]));
    for version in [rustls::ProtocolVersion::TLSv1_2, rustls::ProtocolVersion::TLSv1_3] {
        let config = Arc::new(client(&root, Some(version), None));
        connect(&listener, &config, "shop.example").unwrap_or_else(|failure| panic!("{failure:?}"));
        let chosen: Arc<ServerConfig> = chosen(&listener, &config);
        assert!(!chosen.session_storage.can_cache());
        assert_eq!(chosen.max_early_data_size, 0);
    }
}

/// The configuration that this client gets.
fn chosen(
    listener: &crate::tls::listener::TlsListener,
    config: &Arc<rustls::ClientConfig>,
) -> Arc<ServerConfig> {
    let name = "shop.example".try_into().unwrap();
    let mut client = rustls::ClientConnection::new(Arc::clone(config), name).unwrap();
    let mut flight = Vec::new();
    client.write_tls(&mut flight).unwrap();
    let mut acceptor = rustls::server::Acceptor::default();
    acceptor.read_tls(&mut flight.as_slice()).unwrap();
    let accepted = acceptor.accept().ok().flatten().unwrap();
    listener.choose(&accepted.client_hello()).unwrap()
}
