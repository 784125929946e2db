//! What a listener does for authorities, and while it waits for them.

use std::sync::Arc;

use rustls::client::Resumption;
use rustls::pki_types::ServerName;
use rustls::server::Acceptor;
use rustls::{AlertDescription, ClientConnection};

use crate::challenges::{ACME_TLS, Challenges, Key};
use crate::tls::listener::*;
use crate::tls::tests::pki::*;

/// What the hello of a client with these protocols asks to be proved.
fn asked(listener: &TlsListener, name: &str, protocols: &[&[u8]]) -> Option<Key> {
    let root = Authority::root("root");
    let mut config = client(&root, None, None);
    config.alpn_protocols = protocols.iter().map(|name| name.to_vec()).collect();
    config.resumption = Resumption::disabled();
    let name = ServerName::try_from(name.to_owned()).unwrap();
    let mut client = ClientConnection::new(Arc::new(config), name).unwrap();
    let mut flight = Vec::new();
    client.write_tls(&mut flight).unwrap();
    let mut acceptor = Acceptor::default();
    acceptor.read_tls(&mut flight.as_slice()).unwrap();
    let accepted = acceptor.accept().map_err(|(error, _)| error).unwrap().unwrap();
    listener.challenge(&accepted.client_hello()).map(|(_, key)| key)
}

#[test]
fn only_a_hello_for_one_name_and_the_one_protocol_of_proofs_asks_for_a_proof() {
    let options = TlsOptions { awaits_certificate: true, ..options(Vec::new()) };
    let plain = listener(options);
    assert_eq!(asked(&plain, "a.example", &[ACME_TLS]), None, "nobody orders");
    let options = TlsOptions {
        awaits_certificate: true,
        challenges: Some(Arc::new(Challenges::default())),
        strict_sni: true,
        ..self::options(Vec::new())
    };
    let listener = listener(options);
    let key = Key::Name("a.example".into());
    assert_eq!(asked(&listener, "A.example", &[ACME_TLS]), Some(key));
    assert_eq!(asked(&listener, "a.example", &[b"http/1.1", ACME_TLS]), None);
    assert_eq!(asked(&listener, "a.example", &[ACME_TLS, b"http/1.1"]), None);
    assert_eq!(asked(&listener, "a.example", &[]), None);
    assert_eq!(asked(&listener, "127.0.0.1", &[ACME_TLS]), None, "an address is no server name");
}

#[test]
fn a_listener_without_a_certificate_refuses_clients_until_one_is_issued() {
    let root = Authority::root("root");
    let none = TlsOptions { awaits_certificate: true, ..options(Vec::new()) };
    let refused = connect(&listener(none), &Arc::new(client(&root, None, None)), "a.example");
    assert!(matches!(refused, Err(Failure::Refused(Refused::NoCertificate))));
    assert_eq!(Refused::NoCertificate.alert(), AlertDescription::HandshakeFailure);
}
