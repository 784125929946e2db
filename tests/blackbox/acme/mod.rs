//! Certificates that limpet obtains from an authority and renews: against pebble, which asks for the proofs.

mod pebble;

use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::time::{Duration, Instant};

use rustls::ClientConnection;

use crate::support::{Client, Config, Limpet, Section, config, listener, pause};
use pebble::{Options, Pebble, anyone, free_port};

/// A certificate takes some handshakes and signatures, on a machine that may be loaded.
const PATIENCE: Duration = Duration::from_secs(60);

/// Looks until it finds something, with more patience than other tests have.
#[track_caller]
fn until<T>(what: &str, limpet: &Limpet, mut look: impl FnMut() -> Option<T>) -> T {
    let end = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < end, "{what} has not happened:\n{}", limpet.stderr());
        pause(Duration::from_millis(50));
    }
}

/// A listener whose certificate for these names comes from an authority.
fn secure(name: &str, port: u16, names: &[&str], pebble: &Pebble) -> Section {
    let names: Vec<toml::Value> = names.iter().map(|name| (*name).into()).collect();
    listener(name)
        .set("address", format!("127.0.0.1:{port}"))
        .set("respond.status", 200)
        .set("tls.acme.directory", pebble.url())
        .set("tls.acme.names", names)
        .set("tls.acme.authority_file", pebble.authority_file().display().to_string())
}

fn limpet(listeners: &[Section]) -> Config {
    listeners.iter().cloned().fold(config().with_admin(), Config::listener)
}

/// The certificate that a client of this name is shown; `None` where the handshake fails.
fn shown(
    limpet: &Limpet,
    listener: &str,
    name: &'static str,
    protocols: &[&str],
) -> Option<Vec<u8>> {
    shown_at(limpet.address_of(listener), name, protocols)
}

fn shown_at(address: SocketAddr, name: &'static str, protocols: &[&str]) -> Option<Vec<u8>> {
    let mut socket = TcpStream::connect(address).ok()?;
    socket.set_read_timeout(Some(PATIENCE)).expect("a time limit");
    let name = name.try_into().expect("a name");
    let mut client = ClientConnection::new(anyone::config(protocols), name).expect("a client");
    while client.is_handshaking() {
        client.complete_io(&mut socket).ok()?;
    }
    Some(client.peer_certificates()?.first()?.to_vec())
}

/// The first certificate that a client of this name is shown.
#[track_caller]
fn first_shown(limpet: &Limpet, listener: &str, name: &'static str) -> Vec<u8> {
    until("a certificate", limpet, || shown(limpet, listener, name, &["http/1.1"]))
}

/// What the admin API says of the only order.
fn order(limpet: &Limpet) -> serde_json::Value {
    limpet.admin().get("/v1/certificates")["orders"][0].clone()
}

/// The files below a directory, with their modes.
fn files(directory: &Path) -> Vec<(String, u32)> {
    let mut found = Vec::new();
    let mut folders = vec![directory.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).expect("a directory").flatten() {
            let metadata = entry.metadata().expect("its metadata");
            if metadata.is_dir() {
                folders.push(entry.path());
            } else {
                let mode = metadata.permissions().mode() & 0o777;
                found.push((entry.path().display().to_string(), mode));
            }
        }
    }
    found
}

#[test]
fn a_certificate_is_issued_for_a_proof_by_handshake_and_presented_at_once() {
    if !pebble::is_there() {
        return;
    }
    let port = free_port();
    let pebble = Pebble::start(Options::tls(port));
    let listener = secure("secure", port, &["a.example", "B.example"], &pebble)
        .set("tls.strict_sni", true)
        .set("tls.acme.contact", vec!["mailto:ops@a.example"]);
    let limpet = limpet(&[listener]).start();
    let der = first_shown(&limpet, "secure", "b.example");
    let certificates = limpet.admin().get("/v1/certificates");
    let one = &certificates["certificates"][0];
    assert_eq!(one["source"], "acme", "{certificates:#}");
    assert_eq!(one["names"], serde_json::json!(["a.example", "b.example"]));
    assert_eq!(one["state"], "valid");
    assert_eq!(first_shown(&limpet, "secure", "a.example"), der, "one certificate has both names");
    let order = until("the order's end", &limpet, || {
        Some(order(&limpet)).filter(|order| order["obtained"] == true)
    });
    assert_eq!((&order["failures"], &order["fault"]), (&0.into(), &serde_json::Value::Null));
    limpet.admin().event("reload", "has issued a certificate for a.example, b.example");
    assert!(
        shown(&limpet, "secure", "a.example", &["acme-tls/1"]).is_none(),
        "the protocol of proofs is spoken only while an order is open"
    );
    let kept = files(&limpet.path("state").join("acme"));
    assert_eq!(kept.len(), 3, "account, certificate, what was tried: {kept:?}");
    assert!(kept.iter().all(|(_, mode)| *mode == 0o600), "{kept:?}");
}

#[test]
fn a_certificate_is_issued_for_a_proof_in_a_response_before_any_rule() {
    if !pebble::is_there() {
        return;
    }
    let port = free_port();
    let pebble = Pebble::start(Options { http_port: port, ..Options::tls(1) });
    let plain =
        listener("plain").set("address", format!("127.0.0.1:{port}")).set("respond.status", 404);
    let secure = secure("secure", 0, &["a.example"], &pebble).set("tls.acme.challenge", "http-01");
    let limpet = limpet(&[plain, secure]).start();
    first_shown(&limpet, "secure", "a.example");
    let proof = limpet.record_where("of a proof", |record| record.text("code") == "acme_challenge");
    assert_eq!(proof.number("status") as u16, 200);
    let mut client = Client::connect(limpet.address_of("plain"));
    assert_eq!(client.get("/.well-known/acme-challenge/unknown").status, 404, "a rule's answer");
}

/// limpet with an admin API at this port, whose certificate comes from an authority.
fn with_secure_admin(port: u16, pebble: &Pebble) -> Config {
    config()
        .with_admin()
        .admin("address", format!("127.0.0.1:{port}"))
        .admin("tls.acme.directory", pebble.url())
        .admin("tls.acme.names", vec!["lb.example"])
        .admin("tls.acme.authority_file", pebble.authority_file().display().to_string())
}

/// Waits for the certificate of the admin API, which fails every handshake until then.
#[track_caller]
fn assert_admin_is_secured(limpet: &Limpet, port: u16) {
    let address = (Ipv4Addr::LOCALHOST, port).into();
    let shown = || shown_at(address, "lb.example", &["http/1.1"]);
    until("a certificate of the admin API", limpet, shown);
    let certificates = limpet.admin().get("/v1/certificates");
    let all = certificates["certificates"].as_array().expect("a list");
    // Those of listeners come first.
    let one = all.last().expect("a certificate");
    assert_eq!((&one["source"], &one["listener"]), (&"acme".into(), &serde_json::Value::Null));
    assert_eq!(one["names"], serde_json::json!(["lb.example"]), "{certificates:#}");
    limpet.admin().event("reload", "has issued a certificate for lb.example");
    limpet.admin().event("reload", "admin: its certificates are read anew");
    assert!(
        shown_at(address, "lb.example", &["acme-tls/1"]).is_none(),
        "the protocol of proofs is spoken only while an order is open"
    );
}

#[test]
fn the_admin_api_proves_its_name_itself_and_presents_what_is_issued() {
    if !pebble::is_there() {
        return;
    }
    let port = free_port();
    let pebble = Pebble::start(Options::tls(port));
    let plain = listener("plain").set("respond.status", 200);
    let limpet = with_secure_admin(port, &pebble).listener(plain).start();
    assert_admin_is_secured(&limpet, port);
}

#[test]
fn listeners_prove_the_name_of_the_admin_api_by_either_challenge() {
    if !pebble::is_there() {
        return;
    }
    for challenge in ["tls-alpn-01", "http-01"] {
        let (asked, port) = (free_port(), free_port());
        let pebble = Pebble::start(Options { http_port: asked, ..Options::tls(asked) });
        let answering =
            listener("web").set("address", format!("127.0.0.1:{asked}")).set("respond.status", 200);
        let answering = if challenge == "http-01" { answering } else { answering.tls() };
        let config = with_secure_admin(port, &pebble).admin("tls.acme.challenge", challenge);
        let limpet = config.listener(answering).start();
        assert_admin_is_secured(&limpet, port);
    }
}

#[test]
fn a_certificate_is_renewed_before_its_end_without_touching_a_connection() {
    if !pebble::is_there() {
        return;
    }
    let port = free_port();
    let pebble = Pebble::start(Options { life_s: 20, ..Options::tls(port) });
    let limpet = limpet(&[secure("secure", port, &["a.example"], &pebble)]).start();
    let first = first_shown(&limpet, "secure", "a.example");
    let mut socket = TcpStream::connect(limpet.address_of("secure")).expect("connect");
    let name = "a.example".try_into().expect("a name");
    let mut client = ClientConnection::new(anyone::config(&["http/1.1"]), name).expect("a client");
    let mut stream = rustls::Stream::new(&mut client, &mut socket);
    let mut ask = || {
        use std::io::{Read as _, Write as _};
        stream.write_all(b"GET / HTTP/1.1\r\nHost: a.example\r\n\r\n").expect("send");
        let mut start = [0; 12];
        stream.read_exact(&mut start).expect("receive");
        assert_eq!(&start, b"HTTP/1.1 200");
        let mut rest = vec![0; 4096];
        let _ = stream.read(&mut rest).expect("the rest of the head");
    };
    ask();
    let second = until("a renewal", &limpet, || {
        shown(&limpet, "secure", "a.example", &[]).filter(|der| *der != first)
    });
    assert_ne!(first, second);
    ask();
    assert_eq!(order(&limpet)["failures"], 0);
}

#[test]
fn nodes_that_share_a_directory_have_one_certificate_and_answer_for_each_other() {
    if !pebble::is_there() {
        return;
    }
    let port = free_port();
    let pebble = Pebble::start(Options::tls(port));
    let home = tempfile::tempdir().expect("a temporary directory");
    let shared = |section: Section| {
        section.set("tls.acme.shared_directory", home.path().display().to_string())
    };
    // Only this node is ever asked for proofs.
    let asked = limpet(&[shared(secure("secure", port, &["both.example"], &pebble))]).start();
    let both = first_shown(&asked, "secure", "both.example");
    let other = limpet(&[
        shared(secure("secure", 0, &["both.example"], &pebble)),
        shared(secure("more", 0, &["a.example"], &pebble)),
    ])
    .start();
    assert_eq!(first_shown(&other, "secure", "both.example"), both, "it is not ordered again");
    first_shown(&other, "more", "a.example");
    let accounts = files(&home.path().join("accounts"));
    assert_eq!(accounts.len(), 1, "{accounts:?}");
    let left = until("the end of the proofs", &other, || {
        Some(files(&home.path().join("challenges"))).filter(Vec::is_empty)
    });
    assert!(left.is_empty() && !home.path().join("lock").exists());
}

#[test]
fn nodes_answer_each_others_proofs_by_request() {
    if !pebble::is_there() {
        return;
    }
    let port = free_port();
    let pebble = Pebble::start(Options { http_port: port, ..Options::tls(1) });
    let home = tempfile::tempdir().expect("a temporary directory");
    let by_request = |name: &str, names: &[&str]| {
        secure(name, 0, names, &pebble)
            .set("tls.acme.challenge", "http-01")
            .set("tls.acme.shared_directory", home.path().display().to_string())
    };
    let plain = |port: u16| {
        listener("plain").set("address", format!("127.0.0.1:{port}")).set("respond.status", 404)
    };
    let asked = limpet(&[plain(port), by_request("secure", &["both.example"])]).start();
    first_shown(&asked, "secure", "both.example");
    let other = limpet(&[plain(0), by_request("secure", &["a.example"])]).start();
    first_shown(&other, "secure", "a.example");
    let mut client = Client::connect(asked.address_of("plain"));
    assert_eq!(client.get("/.well-known/acme-challenge/unknown").status, 404, "no node has it");
}

#[test]
fn a_failed_order_is_told_and_not_repeated_by_a_restart() {
    if !pebble::is_there() {
        return;
    }
    let pebble = Pebble::start(Options::tls(free_port()));
    let config = limpet(&[secure("secure", 0, &["a.example"], &pebble)]);
    let mut limpet = config.start();
    let failed =
        until("a failure", &limpet, || Some(order(&limpet)).filter(|order| order["failures"] == 1));
    let fault = failed["fault"].as_str().expect("a reason");
    assert!(fault.contains("could not verify a.example: "), "{fault}");
    limpet.admin().event("warning", "no new certificate for a.example: the authority could not");
    assert!(shown(&limpet, "secure", "a.example", &["http/1.1"]).is_none());
    limpet.stop();
    let state = limpet.path("state");
    let text = config.text().replace("{dir}/state", &state.display().to_string());
    let again = Limpet::start(&text);
    let known = until("what was tried before", &again, || {
        Some(order(&again)).filter(|order| order["failures"] == 1)
    });
    let (next, again_at) = (&failed["next_unix_s"], &known["next_unix_s"]);
    // Each process has a chance of its own: a fourth of five minutes apart at most.
    let apart = next.as_i64().expect("a time") - again_at.as_i64().expect("a time");
    assert!(apart.abs() <= 75, "{known}");
    let (_, metrics) = again.admin().ask("GET", "/metrics", "", "");
    assert!(metrics.contains("limpet_certificate_orders_total{result=\"failed\"} 0"), "{metrics}");
}

#[test]
fn an_account_is_bound_to_an_external_one_and_its_authority_is_asked_for_no_certificate() {
    if !pebble::is_there() {
        return;
    }
    const KEY: &str = "zWNDZM6eQGHWpSRTPal5eIUYFTu7EajVIoguysqZ9wG44nMEtx3MUAsUDkMTQ12W";
    let port = free_port();
    let external = Options { external_account: Some(("kid-1", KEY)), ..Options::tls(port) };
    let pebble = Pebble::start(external);
    let home = tempfile::tempdir().expect("a temporary directory");
    std::fs::write(home.path().join("key"), KEY).expect("write the key");
    let listener = secure("secure", port, &["a.example"], &pebble)
        .set("tls.client.mode", "required")
        .set("tls.client.authorities", pebble.authority_file().display().to_string())
        .set("tls.acme.external_account.key_id", "kid-1")
        .set("tls.acme.external_account.key_file", home.path().join("key").display().to_string());
    let limpet = limpet(&[listener]).start();
    first_shown(&limpet, "secure", "a.example");
}
