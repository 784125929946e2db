//! Headers that targets are sent.

use std::collections::BTreeSet;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener};
use std::sync::{Arc, Mutex};

use rustls::ServerConnection;

use super::{tls, tlv, v2};
use crate::support::target::Connection;
use crate::support::tls_target::{Authority, response};
use crate::support::wire::Wire;
use crate::support::{
    Client, Config, Section, Target, config, group, listener, poll, tls as identity,
};

const LOCAL: &[u8] = b"\r\n\r\n\0\r\nQUIT\n\x20\0\0\0";

/// The header at the start of a connection.
fn header(wire: &mut Wire) -> std::io::Result<Vec<u8>> {
    let mut header = wire.read_exactly(6)?;
    if header == b"PROXY " {
        header.extend(wire.read_line()?.bytes());
        return Ok(header);
    }
    header.extend(wire.read_exactly(10)?);
    let length = u16::from_be_bytes([header[14], header[15]]);
    header.extend(wire.read_exactly(length.into())?);
    Ok(header)
}

/// A target that answers each request with the header of its connection, escaped.
fn telling() -> Target {
    Target::scripted(tell)
}

fn tell(connection: &mut Connection) -> std::io::Result<()> {
    let header = header(connection)?.escape_ascii().to_string();
    while connection.next_request()?.is_some() {
        connection.send(response(&header).as_bytes())?;
    }
    Ok(())
}

fn sending(version: &str) -> Section {
    group("app").set("send_proxy_protocol", version)
}

fn to(target: &Target, version: &str) -> Config {
    config().group(sending(version).target("a", target))
}

/// A header of version 2 as the target tells it.
fn told_v2(from: SocketAddr, to: SocketAddr, fields: &[u8]) -> String {
    let (SocketAddr::V4(from), SocketAddr::V4(to)) = (from, to) else { panic!("IPv6") };
    let mut header = b"\r\n\r\n\0\r\nQUIT\n\x21\x11".to_vec();
    header.extend(u16::try_from(12 + fields.len()).unwrap().to_be_bytes());
    header.extend(from.ip().octets().iter().chain(&to.ip().octets()));
    header.extend(from.port().to_be_bytes().iter().chain(&to.port().to_be_bytes()));
    header.extend(fields);
    header.escape_ascii().to_string()
}

fn from(client: &Client) -> SocketAddr {
    ([127, 0, 0, 1], client.wire.local_port()).into()
}

#[test]
fn a_target_is_told_of_the_client_before_its_first_request() {
    let target = telling();
    let limpet = to(&target, "v1").start();
    let mut client = limpet.client();
    let (from, to) = (from(&client), limpet.address());
    let expected = format!("PROXY TCP4 127.0.0.1 127.0.0.1 {} {}", from.port(), to.port());
    assert_eq!(client.get_with("/", "X-Forwarded-For: 203.0.113.9\r\n").text(), expected);
    let target = telling();
    let limpet = self::to(&target, "v2").start();
    let mut client = limpet.client();
    let from = self::from(&client);
    assert_eq!(client.post("/", b"content").text(), told_v2(from, limpet.address(), b""));
}

#[test]
fn a_connection_serves_its_client_alone_and_closes_with_it() {
    let target = telling();
    let limpet = to(&target, "v2").start();
    let mut clients: Vec<Client> = (0..5).map(|_| limpet.client()).collect();
    for _ in 0..3 {
        for client in &mut clients {
            let expected = told_v2(from(client), limpet.address(), b"");
            assert_eq!(client.get("/").text(), expected);
        }
    }
    assert_eq!(target.connection_count(), 5, "one for each");
    drop(clients.split_off(2));
    target.wait_for_open(2);
    for client in &mut clients {
        let expected = told_v2(from(client), limpet.address(), b"");
        assert_eq!(client.get("/").text(), expected);
    }
    assert_eq!(target.connection_count(), 5);
}

#[test]
fn a_connection_that_is_idle_too_long_is_closed_while_its_client_stays() {
    let target = telling();
    let app = sending("v1").set("timeouts.idle", "100ms").target("a", &target);
    let limpet = config().group(app).start();
    let mut client = limpet.client();
    let told = client.get("/").text();
    target.wait_until_idle();
    assert_eq!(client.get("/").text(), told, "the same client, on a new connection");
    assert_eq!(target.connection_count(), 2);
}

#[test]
fn a_client_that_was_announced_is_announced_with_its_tls() {
    let target = telling();
    let web = listener("web").set("proxy_protocol", "any").set("proxy_protocol_from", "any");
    let limpet = config().listener(web).group(sending("v2").target("a", &target)).start();
    let (from, to) = (([192, 0, 2, 33], 4444).into(), ([198, 51, 100, 1], 443).into());
    for certificate in [None, Some("till-7")] {
        let fields = tls("shop.test", certificate);
        let told = limpet.client().send(v2(&fields)).get("/").text();
        // Without a certificate nothing was verified.
        let mut expected = fields;
        if certificate.is_none() {
            let ssl = tlv(0x02, b"shop.test").len() + tlv(0x01, b"http/1.1").len() + 3;
            expected[ssl + 4] = 1;
        }
        assert_eq!(told, told_v2(from, to, &expected));
    }
    let v1 = "PROXY TCP4 192.0.2.33 198.51.100.1 4444 443\r\n";
    assert_eq!(limpet.client().send(v1).get("/").text(), told_v2(from, to, b""));
    let unknown = limpet.client().send("PROXY UNKNOWN\r\n").get("/").text();
    assert!(unknown.contains("\\x7f\\x00\\x00\\x01"), "the peer itself: {unknown}");
}

#[test]
fn a_client_that_came_to_limpet_by_tls_is_announced_with_it() {
    let target = telling();
    let limpet =
        config().listener(listener("web").tls()).group(sending("v2").target("a", &target)).start();
    let mut client = limpet.tls_client(&identity::client(), "limpet.test");
    let told = client.get("/").text();
    for field in ["\\x02\\x00\\x0blimpet.test", "\\x01\\x00\\x00\\x00\\x01!\\x00\\x07TLSv1.3"] {
        assert!(told.contains(field), "{field} in {told}");
    }
}

#[test]
fn clients_of_unix_sockets_are_nobody() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("web");
    for (version, expected) in
        [("v1", "PROXY UNKNOWN".to_owned()), ("v2", LOCAL.escape_ascii().to_string())]
    {
        let target = telling();
        let web = listener("web").set("address", format!("unix:{}", path.display()));
        let limpet = config().listener(web).group(sending(version).target("a", &target)).start();
        assert_eq!(Client::connect_unix(&path).get("/").text(), expected);
        assert_eq!(Client::connect_unix(&path).get("/").text(), expected);
        assert_eq!(target.connection_count(), 2, "as of any other client");
        drop(limpet);
    }
}

#[test]
fn checks_say_that_they_are_limpets_own() {
    for (version, expected) in [("v1", &b"PROXY UNKNOWN"[..]), ("v2", LOCAL)] {
        for kind in ["http", "tcp"] {
            let seen = Arc::new(Mutex::new(BTreeSet::new()));
            let kept = Arc::clone(&seen);
            let target = Target::scripted(move |connection| {
                let header = header(connection)?;
                kept.lock().unwrap().insert(header);
                while connection.next_request()?.is_some() {
                    connection.send(response("a").as_bytes())?;
                }
                Ok(())
            });
            let app = sending(version)
                .set("health_check.type", kind)
                .set("health_check.interval", "100ms")
                .set("health_check.timeout", "100ms");
            let limpet = config().with_admin().group(app.target("a", &target)).start();
            limpet.admin().until_health("app", "a", "healthy");
            let is_seen = poll(|| (!seen.lock().unwrap().is_empty()).then_some(()));
            assert!(is_seen.is_some());
            assert_eq!(*seen.lock().unwrap(), BTreeSet::from([expected.to_vec()]), "{kind}");
        }
    }
}

#[test]
fn the_header_comes_before_a_targets_handshake() {
    let authority = Authority::new("root");
    let server = Arc::new(authority.server("app.internal", None));
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    std::thread::spawn(move || {
        while let Ok((mut socket, _)) = listener.accept() {
            let mut header = [0; 28];
            socket.read_exact(&mut header).unwrap();
            let session = ServerConnection::new(Arc::clone(&server)).unwrap();
            let mut stream = rustls::StreamOwned::new(session, socket);
            let mut head = Vec::new();
            let mut byte = [0];
            while let Ok(1) = stream.read(&mut byte) {
                head.push(byte[0]);
                if head.ends_with(b"\r\n\r\n") {
                    let told = header.escape_ascii().to_string();
                    stream.write_all(response(&told).as_bytes()).unwrap();
                    head.clear();
                }
            }
        }
    });
    let app = sending("v2")
        .set("protocol", "https")
        .set("tls.server_name", "app.internal")
        .set("tls.authorities", authority.file())
        .target_at("a", &address, "");
    let limpet = config().group(app).start();
    for _ in 0..2 {
        let mut client = limpet.client();
        let expected = told_v2(from(&client), limpet.address(), b"");
        assert_eq!(client.get("/").text(), expected);
        assert_eq!(client.get("/").text(), expected);
    }
}

#[test]
fn a_target_that_closes_at_the_header_is_a_gateway_error() {
    let target = Target::scripted(|connection| {
        header(connection)?;
        Ok(())
    });
    let limpet = to(&target, "v2").start();
    assert_eq!(limpet.get("/").status, 502);
}

#[test]
fn who_sends_headers_is_told_that_nothing_is_shared() {
    let target = telling();
    let limpet = to(&target, "v2").start();
    let note = "connections to the targets of target group \"app\" are never shared";
    assert!(limpet.stderr().contains(note), "{}", limpet.stderr());
}
