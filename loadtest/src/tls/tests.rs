//! Clients of this tool against servers of rustls, in memory.

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;

use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, ServerConnection};

use super::certificates::{self, Algorithm, Certificate};
use super::session::{Lent, Session};
use super::speech::{Speech, Version};

const HOST: &str = "www.example.com";

struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Folder {
        let path = std::env::temp_dir().join(format!("tls-{name}-{}", std::process::id()));
        fs::create_dir_all(&path).unwrap();
        Folder(path)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn server(certificate: &Certificate) -> Arc<ServerConfig> {
    let chain = CertificateDer::pem_file_iter(&certificate.chain).unwrap();
    let chain: Vec<_> = chain.collect::<Result<_, _>>().unwrap();
    assert_eq!(chain.len(), 2, "the host's and the intermediate authority's");
    let key = PrivateKeyDer::from_pem_file(&certificate.key).unwrap();
    let mut config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .unwrap();
    config.ticketer = aws_lc_rs::Ticketer::new().unwrap();
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Arc::new(config)
}

/// Lets both speak until neither has anything to say; what came to the server and to the client.
fn speak(
    client: &mut Session,
    server: &mut ServerConnection,
    mut out: Vec<u8>,
    piece: usize,
) -> Result<(Vec<u8>, Vec<u8>), rustls::Error> {
    let (mut lent, mut at_server, mut at_client) = (Lent::default(), Vec::new(), Vec::new());
    loop {
        let mut from_client = out.as_slice();
        while !from_client.is_empty() {
            server.read_tls(&mut from_client).unwrap();
            server.process_new_packets()?;
            let mut reader = server.reader();
            // What is not there yet is no end.
            let _ = std::io::Read::read_to_end(&mut reader, &mut at_server);
        }
        out.clear();
        let mut from_server = Vec::new();
        while server.wants_write() {
            server.write_tls(&mut from_server).unwrap();
        }
        if from_server.is_empty() {
            return Ok((at_server, at_client));
        }
        for bytes in from_server.chunks(piece) {
            client.receive(bytes, &mut lent, &mut out)?;
            at_client.extend_from_slice(&lent.data);
        }
    }
}

fn shake(
    speech: &Arc<rustls::ClientConfig>,
    named: &Speech,
    server: &Arc<ServerConfig>,
    piece: usize,
) -> Result<(Session, ServerConnection), rustls::Error> {
    let mut out = Vec::new();
    let mut client = Session::begin(Arc::clone(speech), named.name.clone(), &mut out)?;
    let mut server = ServerConnection::new(Arc::clone(server))?;
    speak(&mut client, &mut server, out, piece)?;
    Ok((client, server))
}

#[test]
fn handshakes_are_made_and_resumed_with_every_algorithm_and_version() {
    let folder = Folder::new("handshakes");
    for algorithm in [Algorithm::Ecdsa, Algorithm::Rsa] {
        let certificate = certificates::make(algorithm, HOST, &folder.0).unwrap();
        let server = server(&certificate);
        for version in [Version::V1_2, Version::V1_3] {
            for resumes in [false, true] {
                let speech = Speech::new(&certificate.chain, HOST, version, resumes).unwrap();
                let config = speech.configuration().unwrap();
                for round in 0..5 {
                    let (client, server) = shake(&config, &speech, &server, 7).unwrap();
                    assert!(!client.is_handshaking() && !server.is_handshaking());
                    assert_eq!(client.is_resumed(), resumes && round > 0, "{version:?} {round}");
                    assert_eq!(server.server_name(), Some(HOST));
                    assert_eq!(server.alpn_protocol(), Some(b"http/1.1".as_slice()));
                }
            }
        }
    }
}

#[test]
fn data_passes_whole_in_whatever_pieces_records_come() {
    let folder = Folder::new("data");
    let certificate = certificates::make(Algorithm::Ecdsa, HOST, &folder.0).unwrap();
    let server = server(&certificate);
    let speech = Speech::new(&certificate.chain, HOST, Version::V1_3, false).unwrap();
    let data: Vec<u8> = (0..100_000_u32).map(|index| index as u8).collect();
    for piece in [1, 1000, 16 * 1024, 1 << 20] {
        let config = speech.configuration().unwrap();
        let (mut client, mut server) = shake(&config, &speech, &server, piece).unwrap();
        server.set_buffer_limit(None);
        let mut out = Vec::new();
        client.seal(&data, &mut out).unwrap();
        std::io::Write::write_all(&mut server.writer(), &data).unwrap();
        let (mut at_server, at_client) = speak(&mut client, &mut server, out, piece).unwrap();
        std::io::Write::write_all(&mut server.writer(), b"the rest").unwrap();
        server.send_close_notify();
        let (more_at_server, rest) = speak(&mut client, &mut server, Vec::new(), piece).unwrap();
        at_server.extend(more_at_server);
        assert!(
            at_server == data && [at_client, rest].concat() == [&data, &b"the rest"[..]].concat()
        );
        assert!(client.is_ended());
    }
}

#[test]
fn a_server_with_another_certificate_is_not_believed() {
    let folder = Folder::new("trust");
    let ours = certificates::make(Algorithm::Ecdsa, HOST, &folder.0).unwrap();
    let speech = Speech::new(&ours.chain, HOST, Version::V1_3, false).unwrap();
    let other = server(&certificates::make(Algorithm::Ecdsa, HOST, &folder.0).unwrap());
    let config = speech.configuration().unwrap();
    let error = shake(&config, &speech, &other, 4096).unwrap_err();
    assert!(error.to_string().contains("certificate"), "{error}");
}

#[test]
fn a_host_with_a_port_or_an_address_is_a_name_too() {
    let folder = Folder::new("names");
    let made = certificates::make(Algorithm::Ecdsa, HOST, &folder.0).unwrap();
    for host in ["www.example.com:443", "127.0.0.1:443", "[::1]:443"] {
        assert!(Speech::new(&made.chain, host, Version::V1_3, false).is_ok(), "{host}");
    }
    let error = Speech::new(&made.chain, "no name", Version::V1_3, false).unwrap_err();
    assert!(error.to_string().contains("no name"), "{error}");
    let error = Speech::new(&made.key, HOST, Version::V1_3, false).unwrap_err();
    assert!(error.to_string().contains("ecdsa.key"), "{error}");
}
