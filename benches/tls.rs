//! TLS without sockets: both ends in memory, so each figure is what a server and a client cost together.

use std::hint::black_box;
use std::sync::Arc;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use limpet::transport::tls::session::Session;
use limpet::uring::buffers;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::PrivatePkcs8KeyDer;
use rustls::version::{TLS12, TLS13};
use rustls::{ClientConfig, RootCertStore, ServerConfig, SupportedProtocolVersion};

const NAME: &str = "shop.example";

type Configurations = (Arc<ServerConfig>, Arc<ClientConfig>);

fn configurations(version: &'static SupportedProtocolVersion) -> Configurations {
    let made = rcgen::generate_simple_self_signed([NAME.to_owned()]).expect("a certificate");
    let key = PrivatePkcs8KeyDer::from(made.signing_key.serialize_der());
    let mut roots = RootCertStore::empty();
    roots.add(made.cert.der().clone()).expect("an authority");
    let provider = Arc::new(aws_lc_rs::default_provider());
    let mut server = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_protocol_versions(&[version])
        .expect("a version")
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key.into())
        .expect("a key");
    server.ticketer = aws_lc_rs::Ticketer::new().expect("a ticketer");
    server.send_tls13_tickets = 1;
    server.enable_secret_extraction = true;
    let mut client = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[version])
        .expect("a version")
        .with_root_certificates(roots)
        .with_no_client_auth();
    client.enable_secret_extraction = true;
    (Arc::new(server), Arc::new(client))
}

/// Both ends after their handshake.
fn shaken((server, client): &Configurations) -> (Session, Session) {
    let mut server = Session::server(Arc::clone(server)).expect("a server");
    let name = NAME.try_into().expect("a name");
    let mut client = Session::client(Arc::clone(client), name).expect("a client");
    client.begin().expect("a hello");
    while server.has_control() || client.has_control() {
        server.open(&mut client.take_control(), None).expect("a client's records");
        client.open(&mut server.take_control(), None).expect("a server's records");
    }
    for session in [&mut server, &mut client] {
        session.take_over().expect("secrets");
        session.go_on().expect("records");
    }
    (server, client)
}

/// Seals all of `data` at one end and opens it at the other.
fn carry(from: &mut Session, to: &mut Session, data: &[u8]) {
    let mut at = 0;
    while let Some(rest) = data.get(at..).filter(|rest| !rest.is_empty()) {
        let mut out = if rest.len() < 4_000 { buffers::small() } else { buffers::large() };
        at += from.seal(rest, &mut out).expect("records");
        let mut into = if out.len() < 4_000 { buffers::small() } else { buffers::large() };
        to.open(&mut out, Some(&mut into)).expect("data");
        black_box(&into);
        buffers::give_back(out);
        buffers::give_back(into);
    }
}

fn handshake(c: &mut Criterion) {
    for (version, name) in [(&TLS13, "1.3"), (&TLS12, "1.2")] {
        let configurations = configurations(version);
        c.bench_function(&format!("tls/handshake/resumed {name}"), |b| {
            drop(shaken(&configurations));
            b.iter(|| black_box(shaken(&configurations)));
        });
        let (server, client) = &configurations;
        let mut client = ClientConfig::clone(client);
        client.resumption = rustls::client::Resumption::disabled();
        let configurations = (Arc::clone(server), Arc::new(client));
        c.bench_function(&format!("tls/handshake/full {name}"), |b| {
            b.iter(|| black_box(shaken(&configurations)));
        });
    }
}

fn content(c: &mut Criterion) {
    for (version, name) in [(&TLS13, "1.3"), (&TLS12, "1.2")] {
        let (mut server, mut client) = shaken(&configurations(version));
        let (request, response) = ([b'a'; 120], [b'b'; 250]);
        c.bench_function(&format!("tls/request of 120 bytes, response of 250, {name}"), |b| {
            b.iter(|| {
                carry(&mut client, &mut server, &request);
                carry(&mut server, &mut client, &response);
            });
        });
        let data = vec![b'c'; 1024 * 1024];
        let mut group = c.benchmark_group("tls");
        group.throughput(Throughput::Bytes(2 * data.len() as u64));
        group.bench_function(format!("a mebibyte each way, {name}"), |b| {
            b.iter(|| {
                carry(&mut client, &mut server, &data);
                carry(&mut server, &mut client, &data);
            });
        });
        group.finish();
    }
}

criterion_group!(benches, handshake, content);
criterion_main!(benches);
