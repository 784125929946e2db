//! Targets under TLS: what they must prove, which connections serve again, and what becomes of a request where no
//! handshake comes to an end.

mod changes;
mod checks;
mod connections;

use rustls::ServerConfig;

use crate::support::tls_target::{Authority, TlsTarget};
use crate::support::{Config, Section, Target, config, group, listener};

const NAME: &str = "app.internal";

/// A group whose targets must prove to be [`NAME`] to this authority.
fn trusting(authority: &Authority) -> Section {
    group("app")
        .set("protocol", "https")
        .set("tls.server_name", NAME)
        .set("tls.authorities", authority.file())
}

fn to(target: &TlsTarget, group: Section) -> Config {
    config().group(group.target_at("a", &target.address(), ""))
}

fn server(authority: &Authority) -> ServerConfig {
    authority.server(NAME, None)
}

#[test]
fn a_target_that_proves_itself_serves_over_one_connection() {
    let authority = Authority::new("root");
    let target = TlsTarget::answering(server(&authority), "a");
    let limpet = to(&target, trusting(&authority)).start();
    let mut client = limpet.client();
    for _ in 0..20 {
        assert_eq!(client.post("/", b"content").text(), "a");
    }
    let [seen] = target.seen().try_into().unwrap();
    assert_eq!(seen.server_name.as_deref(), Some(NAME));
    assert_eq!(seen.alpn.as_deref(), Some(&b"http/1.1"[..]));
    assert!(!seen.is_authenticated);
    let record = limpet.record(1);
    assert_eq!(record.text("target_protocol"), "https");
    assert_eq!(record.text("target_protocol_version"), "http1");
}

#[test]
fn a_target_that_proves_nothing_is_a_gateway_error_with_its_reason() {
    let (authority, other) = (Authority::new("root"), Authority::new("other"));
    for (server, code) in [
        (other.server(NAME, None), "certificate_unknown_issuer"),
        (authority.server("else.internal", None), "certificate_wrong_name"),
    ] {
        let target = TlsTarget::answering(server, "never");
        let limpet = to(&target, trusting(&authority)).start();
        assert_eq!(limpet.get("/").status, 502);
        let record = limpet.record(1);
        assert_eq!((record.termination(), record.text("code")), ("TCH", code));
        assert!(target.heads().is_empty(), "it has proven nothing, and is told nothing");
    }
}

#[test]
fn a_failed_handshake_is_retried_on_another_target_like_a_failed_connect() {
    let (authority, other) = (Authority::new("root"), Authority::new("other"));
    let bad = TlsTarget::answering(server(&other), "bad");
    let good = TlsTarget::answering(server(&authority), "good");
    let app = trusting(&authority).target_at("bad", &bad.address(), "").target_at(
        "good",
        &good.address(),
        "",
    );
    let limpet = config().group(app).start();
    // One that is not idempotent: the target has seen nothing of it.
    let mut client = limpet.client();
    for _ in 0..4 {
        assert_eq!(client.post("/", b"content").text(), "good");
    }
    limpet.record_where("a request that was tried twice", |record| record.retries() > 0.0);
}

#[test]
fn a_target_in_clear_is_none_under_tls() {
    let authority = Authority::new("root");
    let target = Target::scripted(|connection| {
        connection.read_some()?;
        connection.send(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")
    });
    let limpet = config().group(trusting(&authority).target("a", &target)).start();
    assert_eq!(limpet.get("/").status, 502);
    let record = limpet.record(1);
    assert_eq!((record.termination(), record.text("code")), ("TCH", "no_tls"));
}

#[test]
fn a_handshake_has_a_time_of_its_own() {
    let authority = Authority::new("root");
    let silent = Target::scripted(|connection| {
        // Nothing is said until limpet gives up.
        connection.read_until_closed().map(drop)
    });
    let app = trusting(&authority).set("timeouts.handshake", "200ms").set("timeouts.connect", "1m");
    let limpet = config().group(app.target("a", &silent)).start();
    assert_eq!(limpet.get("/").status, 504);
    let record = limpet.record(1);
    assert_eq!((record.termination(), record.text("code")), ("TCH", "handshake_timeout"));
}

#[test]
fn a_target_that_asks_for_a_certificate_gets_the_groups() {
    use rcgen::ExtendedKeyUsagePurpose::ClientAuth;
    let (authority, clients) = (Authority::new("root"), Authority::new("clients"));
    let (own, key) = clients.issue("limpet", ClientAuth);
    let target = TlsTarget::answering(authority.server(NAME, Some(&clients)), "a");
    let with = trusting(&authority)
        .set("tls.certificate", own.display().to_string())
        .set("tls.key", key.display().to_string());
    let limpet = to(&target, with).start();
    assert_eq!(limpet.get("/").text(), "a");
    assert!(target.seen()[0].is_authenticated);
    let limpet = to(&target, trusting(&authority)).start();
    assert_eq!(limpet.get("/").status, 502);
}

#[test]
fn names_follow_the_hosts_of_requests_and_no_connection_serves_two_of_them() {
    let authority = Authority::new("root");
    // One certificate for both names is presented by nobody here: what is sent is looked at, not verified.
    let target = TlsTarget::answering(server(&authority), "a");
    let app = trusting(&authority).set("tls.server_name", "{host}").set("tls.verify", "chain");
    let rule = "priority = 1\nwhen.host = [\"a.example\", \"b.example\"]\nforward = \"app\"";
    let limpet =
        to(&target, app).listener(listener("web").set("respond.status", 404).rule(rule)).start();
    let mut client = limpet.client();
    for host in ["a.example", "B.example:80", "a.example"] {
        client.send(format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n"));
        assert_eq!(client.response().text(), "a");
    }
    let names: Vec<_> = target.seen().into_iter().map(|seen| seen.server_name.unwrap()).collect();
    assert_eq!(names, ["a.example", "b.example"]);
}

#[test]
fn an_upgraded_connection_goes_through_tls() {
    let authority = Authority::new("root");
    let target = TlsTarget::scripted(server(&authority), |connection| {
        use std::io::Read as _;
        connection.next_request()?;
        connection.send(
            "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\nhello",
        )?;
        let mut word = [0; 4];
        connection.stream.read_exact(&mut word)?;
        connection.send(std::str::from_utf8(&word).unwrap())
    });
    let limpet = to(&target, trusting(&authority)).start();
    let mut client = limpet.client();
    client.send("GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n");
    assert_eq!(client.response_head().status, 101);
    client.send("ping");
    assert_eq!(client.read_rest(), b"helloping");
}
