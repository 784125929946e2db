//! Listeners that speak TLS.

mod client_certificates;
mod failures;
mod names;
mod profiles;
mod reload;
mod resumption;
mod small_records;
mod stickiness;

use std::io::{Read, Write};
use std::sync::Arc;

use crate::support::tls::{self, NAME};
use crate::support::{Config, Limpet, Target, config, listener};

/// One listener under TLS in front of one target.
fn secure(target: &Target) -> Config {
    config().listener(listener("web").tls()).serving(target)
}

#[test]
fn requests_come_through_and_are_told_of_tls() {
    let target = Target::echo("a");
    let limpet = secure(&target).start();
    let mut client = limpet.tls_client(&tls::client(), NAME);
    for _ in 0..3 {
        assert_eq!(client.get("/").status, 200);
    }
    assert_eq!(target.requests()[0].fields.one("x-forwarded-proto"), Some("https"));
    let record = limpet.record(3);
    assert_eq!(record.text("tls_version"), "TLSv1.3");
    assert_eq!(record.text("tls_cipher"), "TLS_AES_256_GCM_SHA384");
    assert_eq!(record.text("sni"), NAME);
    assert!(!record.flag("tls_resumed"));
    assert!(record.lacks("tls_client_subject"));
}

#[test]
fn both_versions_are_spoken_and_a_policy_can_have_one() {
    let target = Target::echo("a");
    let both = secure(&target).start();
    let modern = listener("web").tls().set("tls.policy", "modern");
    let modern = config().listener(modern).serving(&target).start();
    for (version, name) in
        [(&rustls::version::TLS12, "TLSv1.2"), (&rustls::version::TLS13, "TLSv1.3")]
    {
        let client = tls::authority().client_of(&[version], None);
        assert_eq!(both.tls_client(&client, NAME).get("/").status, 200, "{name}");
        let wire = crate::support::wire::Wire::connect_tls(modern.address(), client, NAME);
        assert_eq!(wire.is_ok(), name == "TLSv1.3", "{name}");
    }
    let log = both.access_log(2);
    assert_eq!(log[0].text("tls_version"), "TLSv1.2");
    assert_eq!(log[0].text("tls_cipher"), "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384");
    assert_eq!(log[1].text("tls_version"), "TLSv1.3");
}

#[test]
fn keys_are_exchanged_after_quantum_computers_too() {
    let target = Target::echo("a");
    let limpet = secure(&target).start();
    let client = limpet.tls_client(&tls::client(), NAME);
    let group = client.wire.tls().unwrap().with(|tls| {
        tls.negotiated_key_exchange_group().map(rustls::crypto::SupportedKxGroup::name)
    });
    assert_eq!(group, Some(rustls::NamedGroup::X25519MLKEM768));
}

#[test]
fn the_protocol_is_agreed_upon() {
    let target = Target::echo("a");
    let limpet = secure(&target).start();
    let mut config = tls::authority().client_with(None);
    config.alpn_protocols = vec![b"h3".to_vec(), b"http/1.1".to_vec()];
    let client = limpet.tls_client(&config.into(), NAME);
    let alpn = client.wire.tls().unwrap().with(|tls| tls.alpn_protocol().map(<[u8]>::to_vec));
    assert_eq!(alpn.as_deref(), Some(&b"http/1.1"[..]));
}

#[test]
fn large_content_comes_whole_both_ways() {
    let content = vec![b'x'; 5 << 20];
    let sent = content.clone();
    let target = Target::answering(move |request| {
        assert_eq!(request.content.len(), sent.len());
        let mut response = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", sent.len());
        response.push_str(std::str::from_utf8(&sent).unwrap());
        response.into_bytes()
    });
    let limpet = secure(&target).start();
    let length = content.len();
    for version in [&rustls::version::TLS12, &rustls::version::TLS13] {
        let config = tls::authority().client_of(&[version], None);
        let mut client = limpet.tls_client(&config, NAME);
        let mut writer = client.wire.writer().unwrap();
        let content = content.clone();
        let sending = std::thread::spawn(move || {
            let head =
                format!("POST / HTTP/1.1\r\nHost: {NAME}\r\nContent-Length: {length}\r\n\r\n");
            writer.send(head.as_bytes()).unwrap();
            writer.send(&content).unwrap();
        });
        let response = client.response_to("POST");
        sending.join().unwrap();
        assert_eq!((response.status, response.content.len()), (200, length));
    }
}

#[test]
fn a_proxy_header_comes_before_the_handshake() {
    let target = Target::echo("a");
    let listener =
        listener("web").tls().set("proxy_protocol", "v1").set("proxy_protocol_from", "any");
    let limpet = config().listener(listener).serving(&target).start();
    let socket = std::net::TcpStream::connect(limpet.address()).unwrap();
    (&socket).write_all(b"PROXY TCP4 192.0.2.7 198.51.100.1 4444 443\r\n").unwrap();
    let tls = tls::Tls::connect(socket, tls::client(), NAME).unwrap();
    tls.send(b"GET / HTTP/1.1\r\nHost: limpet.test\r\nConnection: close\r\n\r\n").unwrap();
    assert_eq!(limpet.record(1).client(), "192.0.2.7");
    assert_eq!(limpet.record(1).text("tls_version"), "TLSv1.3");
}

#[test]
fn a_request_is_answered_whose_end_comes_with_the_last_flight_of_the_handshake() {
    let target = Target::echo("a");
    let limpet = secure(&target).start();
    answered_in_last_flight(&limpet, tls::client());
    // In TLS 1.2 the client has the last word where a session is resumed.
    let older = tls::authority().client_of(&[&rustls::version::TLS12], None);
    assert_eq!(limpet.tls_client(&older, NAME).get("/").status, 200);
    answered_in_last_flight(&limpet, older);
    assert!(limpet.record(3).flag("tls_resumed"));
}

fn answered_in_last_flight(limpet: &Limpet, config: Arc<rustls::ClientConfig>) {
    let mut socket = std::net::TcpStream::connect(limpet.address()).unwrap();
    let name = rustls::pki_types::ServerName::try_from(NAME).unwrap();
    let mut client = rustls::ClientConnection::new(config, name).unwrap();
    client.write_tls(&mut socket).unwrap();
    while client.is_handshaking() {
        client.read_tls(&mut socket).unwrap();
        client.process_new_packets().unwrap();
    }
    let request = b"GET / HTTP/1.1\r\nHost: limpet.test\r\nConnection: close\r\n\r\n";
    client.writer().write_all(request).unwrap();
    client.send_close_notify();
    let mut flight = Vec::new();
    while client.wants_write() {
        client.write_tls(&mut flight).unwrap();
    }
    socket.write_all(&flight).unwrap();
    socket.shutdown(std::net::Shutdown::Write).unwrap();
    let mut response = Vec::new();
    rustls::Stream::new(&mut client, &mut socket).read_to_end(&mut response).unwrap();
    assert!(response.starts_with(b"HTTP/1.1 200 "), "{}", String::from_utf8_lossy(&response));
}

#[test]
fn a_stop_ends_idle_connections_with_a_word() {
    let target = Target::echo("a");
    let mut limpet = secure(&target).start();
    let mut client = limpet.tls_client(&tls::client(), NAME);
    assert_eq!(client.get("/").status, 200);
    limpet.signal(libc::SIGTERM);
    // An end without close_notify would be an error.
    assert_eq!(client.wire.read_to_end().unwrap(), b"");
    assert!(limpet.wait().success());
}
