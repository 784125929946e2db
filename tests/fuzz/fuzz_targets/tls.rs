//! Any bytes as a handshake, and any change of records behind one: no panic, no endless loop, a bounded answer; data is
//! given in the order in which it was sealed, whole or up to the fault, and nothing else is.
#![no_main]

use std::sync::{Arc, LazyLock};

use libfuzzer_sys::fuzz_target;
use limpet::transport::tls::session::Session;
use rcgen::{CertificateParams, KeyPair};
use rustls::crypto::CryptoProvider;
use rustls::crypto::aws_lc_rs::{self, kx_group};
use rustls::pki_types::{PrivatePkcs8KeyDer, ServerName};
use rustls::version::{TLS12, TLS13};
use rustls::{CipherSuite, ClientConfig, RootCertStore, ServerConfig, SupportedProtocolVersion};

const NAME: &str = "shop.example";
/// The longest answer to bytes of a stranger: the flight of a server, with one certificate.
const ANSWER_BYTES_MAX: usize = 8192;

/// The configurations of both ends.
struct Pair {
    server: Arc<ServerConfig>,
    client: Arc<ClientConfig>,
}

static NEWER: LazyLock<Pair> = LazyLock::new(|| pair(&[&TLS13, &TLS12], |_| true));
static OLDER: LazyLock<Pair> = LazyLock::new(|| pair(&[&TLS12], |_| true));
/// Of TLS 1.2, with records that have no part of their nonce in them.
static OLDER_CHACHA: LazyLock<Pair> = LazyLock::new(|| {
    pair(&[&TLS12], |suite| {
        suite == CipherSuite::TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256
    })
});

fn pair(
    versions: &[&'static SupportedProtocolVersion],
    is_spoken: impl Fn(CipherSuite) -> bool,
) -> Pair {
    // The quickest exchange of keys: here they are not what is tried.
    let mut provider =
        CryptoProvider { kx_groups: vec![kx_group::X25519], ..aws_lc_rs::default_provider() };
    provider.cipher_suites.retain(|suite| is_spoken(suite.suite()));
    let provider = Arc::new(provider);
    let key = KeyPair::generate().expect("a key");
    let parameters = CertificateParams::new([NAME.to_owned()]).expect("a name");
    let certificate = parameters.self_signed(&key).expect("a certificate").der().clone();
    let mut roots = RootCertStore::empty();
    roots.add(certificate.clone()).expect("an authority");
    let key = PrivatePkcs8KeyDer::from(key.serialize_der());
    let server = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_protocol_versions(versions)
        .expect("versions")
        .with_no_client_auth()
        .with_single_cert(vec![certificate], key.into())
        .expect("a certificate and its key");
    let client = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(versions)
        .expect("versions")
        .with_root_certificates(roots)
        .with_no_client_auth();
    let (mut server, mut client) = (server, client);
    (server.enable_secret_extraction, client.enable_secret_extraction) = (true, true);
    Pair { server: Arc::new(server), client: Arc::new(client) }
}

fn ends(pair: &Pair) -> (Session, Session) {
    let name = ServerName::try_from(NAME).expect("a name");
    let mut client = Session::client(Arc::clone(&pair.client), name).expect("a client");
    client.begin().expect("a hello");
    (Session::server(Arc::clone(&pair.server)).expect("a server"), client)
}

/// Both ends hand each other what they have to say until they have nothing.
fn settle(server: &mut Session, client: &mut Session) {
    while server.has_control() || client.has_control() {
        server.open(&mut client.take_control(), None).expect("of an honest client");
        client.open(&mut server.take_control(), None).expect("of an honest server");
    }
}

/// A stranger's bytes, in two parts.
fn strange(session: &mut Session, bytes: &[u8], split: u8) {
    let (first, second) = bytes.split_at(bytes.len() * usize::from(split) / 256);
    let mut is_faulty = false;
    for part in [first, second] {
        is_faulty |= session.open(&mut part.to_vec(), None).is_err();
        let answer = session.take_control();
        assert!(answer.len() <= ANSWER_BYTES_MAX, "{} bytes", answer.len());
        assert!(!session.has_data(), "data of a stranger");
        if is_faulty {
            return;
        }
    }
}

/// Changes records by instructions of four bytes: what, where (two), with what.
fn change(wire: &mut Vec<u8>, instructions: &[u8]) -> bool {
    let before = wire.clone();
    for &[what, high, low, with] in instructions.as_chunks().0 {
        if wire.is_empty() {
            break;
        }
        let at = usize::from(u16::from_be_bytes([high, low])) % wire.len();
        match what % 5 {
            0 => wire[at] ^= with,
            1 => wire.truncate(at),
            2 => wire.insert(at, with),
            3 => drop(wire.remove(at)),
            _ => {
                let again = wire[at..].iter().take(usize::from(with)).copied().collect::<Vec<_>>();
                wire.extend_from_slice(&again);
            }
        }
        wire.truncate(1 << 17);
    }
    *wire != before
}

fn changed(pair: &Pair, length: u8, instructions: &[u8]) {
    let (mut server, mut client) = ends(pair);
    settle(&mut server, &mut client);
    assert!(!server.is_handshaking() && !client.is_handshaking());
    for session in [&mut server, &mut client] {
        session.take_over().expect("secrets");
        session.go_on().expect("an honest peer");
    }
    let sent: Vec<u8> = (0..usize::from(length) * 9).map(|at| (at * 31 % 251) as u8).collect();
    let mut wire = Vec::new();
    for part in sent.chunks(700) {
        let mut record = Vec::with_capacity(1024);
        assert_eq!(client.seal(part, &mut record), Ok(part.len()));
        wire.extend_from_slice(&record);
    }
    let is_changed = change(&mut wire, instructions);
    let result = server.open(&mut wire, None);
    assert!(is_changed || result.is_ok(), "{result:?}");
    let mut got = Vec::new();
    while server.has_data() {
        let mut part = Vec::new();
        assert!(server.take_data(&mut part) > 0);
        got.extend_from_slice(&part);
    }
    assert!(sent.starts_with(&got), "what was not sent");
    assert!(is_changed || got == sent, "not all that was sent");
    let answer = server.take_control();
    assert!(answer.len() <= 64 * 4, "{} bytes", answer.len());
    assert!(result.is_ok() || !answer.is_empty(), "a fault that the peer is not told of");
}

fuzz_target!(|data: &[u8]| {
    let &[kind, with, ref rest @ ..] = data else { return };
    let pair = match (kind & 1, kind >> 3 & 1) {
        (0, _) => &NEWER,
        (_, 0) => &OLDER,
        (_, _) => &OLDER_CHACHA,
    };
    match kind >> 1 & 3 {
        0 => strange(&mut ends(pair).0, rest, with),
        1 => {
            let mut client = ends(pair).1;
            drop(client.take_control());
            strange(&mut client, rest, with);
        }
        _ => changed(pair, with, rest),
    }
});
