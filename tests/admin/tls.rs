//! The service over TLS, with real handshakes: tokens, client certificates and their roles, reloads.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use limpet::control::admin::serve::Sockets;
use limpet::control::change::By;
use limpet::control::config;
use limpet::telemetry::handshakes::Handshakes;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use tempfile::TempDir;

use super::authority::{Authority, Issued, Wanted};
use super::support::{Api, CONFIG};

const TOKEN: &str = "0123456789-abcdef";
const BY: By<'_> = By { actor: "test", if_version: None };

/// An admin API with a certificate for localhost, and what its clients need.
struct Site {
    home: TempDir,
    servers: Authority,
    clients: Authority,
    api: Api,
    address: SocketAddr,
    end: Option<tokio::sync::oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

/// Client certificates with a role each, and none for others.
const ROLES: &str = "client = { mode = \"optional\", authorities = \"HOME/clients.pem\" }\n\
    [[admin.tls.role]]\nrole = \"everything\"\nsubjects = [\"CN=ops\"]\n\
    [[admin.tls.role]]\nrole = \"attributes\"\nsubjects = [\"CN=deploy\"]\n";

impl Site {
    /// `token`, and settings of `[admin.tls]` beside the certificate; HOME is the folder.
    fn new(token: &str, settings: &str) -> Site {
        let home = tempfile::tempdir().unwrap();
        let (servers, clients) = (Authority::new("servers"), Authority::new("clients"));
        std::fs::write(home.path().join("clients.pem"), &clients.pem).unwrap();
        std::fs::write(home.path().join("servers.pem"), &servers.pem).unwrap();
        servers.issue(home.path(), "admin", &Wanted::server("localhost"));
        let path = home.path().join("limpet.toml");
        let text = text(home.path(), token, settings);
        std::fs::write(&path, &text).unwrap();
        let api = Api::of(&text, Some(&path));
        let sockets = Sockets::open(&config::parse(&text, "x").unwrap().admin).unwrap();
        let address = sockets.address().unwrap();
        let (end, ended) = tokio::sync::oneshot::channel::<()>();
        let (router, control) = (api.router.clone(), Arc::clone(&api.control));
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            let serve = sockets.serve(router, control, async { ended.await.unwrap_or_default() });
            runtime.unwrap().block_on(serve).unwrap();
        });
        Site { home, servers, clients, api, address, end: Some(end), thread: Some(thread) }
    }

    fn reload_with(&self, token: &str, settings: &str) {
        let text = text(self.home.path(), token, settings);
        std::fs::write(self.home.path().join("limpet.toml"), text).unwrap();
        self.api.control.reload(&BY).unwrap();
    }

    fn client(&self, name: &str) -> Issued {
        self.clients.issue(self.home.path(), name, &client(name))
    }

    fn tcp(&self) -> TcpStream {
        let stream = TcpStream::connect(self.address).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        stream
    }

    /// A connection that trusts the servers' authority, for this name.
    fn connect_as(&self, name: &str, certificate: Option<&Issued>) -> Secured {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(self.servers.pem.as_bytes()).unwrap()).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let builder = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots);
        let config = match certificate {
            Some(issued) => {
                let leaf = CertificateDer::from_pem_file(&issued.chain).unwrap();
                let key = PrivateKeyDer::from_pem_file(&issued.key).unwrap();
                builder.with_client_auth_cert(vec![leaf], key).unwrap()
            }
            None => builder.with_no_client_auth(),
        };
        let name = name.to_owned().try_into().unwrap();
        let session = ClientConnection::new(Arc::new(config), name).unwrap();
        Secured(StreamOwned::new(session, self.tcp()))
    }

    fn connect(&self, certificate: Option<&Issued>) -> Secured {
        self.connect_as("localhost", certificate)
    }

    /// What is counted once so many kinds of failures are: some moments after the client has seen the last one.
    #[expect(clippy::disallowed_methods, reason = "the one place that polls, until a deadline")]
    fn handshakes_with_failures(&self, kinds: usize) -> Handshakes {
        let end = Instant::now() + Duration::from_secs(20);
        loop {
            let sum = self.api.control.admin_handshakes().sum();
            if sum.failures.len() >= kinds {
                return sum;
            }
            assert!(Instant::now() < end, "{sum:?}");
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        drop(self.end.take());
        self.thread.take().map(JoinHandle::join);
    }
}

fn client(name: &str) -> Wanted<'_> {
    Wanted { is_client: true, ..Wanted::server(name) }
}

fn text(home: &Path, token: &str, settings: &str) -> String {
    let home = home.display().to_string();
    let token = if token.is_empty() { String::new() } else { format!("token = {token:?}\n") };
    let admin = format!(
        "[admin]\n{token}[admin.tls]\n\
         certificates = [{{ chain = \"HOME/admin.pem\", key = \"HOME/admin.key\" }}]\n{settings}"
    );
    let first = "[admin]\naddress = \"127.0.0.1:0\"\n";
    let admin = admin.replacen("[admin]\n", first, 1).replace("HOME", &home);
    CONFIG.replace(first, &admin)
}

struct Secured(StreamOwned<ClientConnection, TcpStream>);

impl Secured {
    /// One request on a connection that stays; its head and content.
    fn ask(&mut self, request: &str) -> std::io::Result<String> {
        self.0.write_all(request.as_bytes())?;
        let (mut answer, mut bytes) = (Vec::new(), [0; 4096]);
        loop {
            let text = String::from_utf8_lossy(&answer);
            if let Some((head, content)) = text.split_once("\r\n\r\n") {
                let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
                if content.len() >= length.and_then(|text| text.parse().ok()).unwrap_or(0) {
                    return Ok(text.into_owned());
                }
            }
            match self.0.read(&mut bytes)? {
                0 => return Err(std::io::ErrorKind::UnexpectedEof.into()),
                count => answer.extend_from_slice(&bytes[..count]),
            }
        }
    }

    #[track_caller]
    fn status(&mut self, request: &str) -> u16 {
        let answer = self.ask(request).unwrap();
        answer.split(' ').nth(1).unwrap().parse().unwrap()
    }

    /// The fingerprint of what the server has presented.
    fn presented(&self) -> Vec<u8> {
        self.0.conn.peer_certificates().unwrap()[0].to_vec()
    }
}

fn request(line: &str, fields: &str, body: &str) -> String {
    let length = body.len();
    format!(
        "{line} HTTP/1.1\r\nHost: localhost\r\nX-Limpet-Request: 1\r\n\
         Content-Type: application/json\r\nContent-Length: {length}\r\n{fields}\r\n{body}"
    )
}

fn get(fields: &str) -> String {
    request("GET /v1/status", fields, "")
}

fn with_token() -> String {
    format!("Authorization: Bearer {TOKEN}\r\n")
}

#[test]
fn the_token_is_asked_for_over_tls_as_well() {
    let site = Site::new(TOKEN, "");
    let mut client = site.connect(None);
    assert_eq!(client.status(&get("")), 401);
    assert_eq!(client.status(&get("Authorization: Bearer 0123456789-abcdeX\r\n")), 401);
    assert_eq!(client.status(&get(&with_token())), 200);
    assert_eq!(client.0.conn.alpn_protocol(), None, "nothing was offered");
}

#[test]
fn a_client_certificate_has_its_role_and_nothing_more() {
    let site = Site::new(TOKEN, ROLES);
    let add =
        request("POST /v1/groups/app/targets", "", "{\"settings\":{\"address\":\"127.0.0.1:9\"}}");
    let weight = request(
        "PATCH /v1/groups/app/targets/b",
        "",
        "{\"set\":{\"weight\":4},\"keep\":\"overlay\"}",
    );
    for (name, role, added) in [("ops", "everything", 201), ("deploy", "attributes", 403)] {
        let mut client = site.connect(Some(&site.client(name)));
        let status = client.ask(&get("")).unwrap();
        assert!(status.contains(&format!("\"may_change\":\"{role}\"")), "{name}: {status}");
        let changed = client.ask(&weight).unwrap();
        assert!(changed.starts_with("HTTP/1.1 200 "), "{name}: {changed}");
        let answer = client.ask(&add).unwrap();
        assert!(answer.starts_with(&format!("HTTP/1.1 {added} ")), "{name}: {answer}");
    }
    let actors: Vec<String> =
        site.api.control.history().iter().map(|entry| entry.actor.clone()).collect();
    assert!(actors.contains(&"api 127.0.0.1 (CN=ops)".to_owned()), "{actors:?}");
}

#[test]
fn a_certificate_without_a_role_is_no_way_in_and_does_no_harm_to_a_token() {
    let site = Site::new(TOKEN, ROLES);
    let nobody = site.client("nobody");
    let mut client = site.connect(Some(&nobody));
    assert_eq!(client.status(&get("")), 401);
    assert_eq!(client.status(&get(&with_token())), 200);
    let mut operator = site.connect(Some(&site.client("ops")));
    assert_eq!(operator.status(&get("Authorization: Bearer 0123456789-abcdeX\r\n")), 401);
    assert_eq!(operator.status(&get("")), 200);
    assert_eq!(site.connect(None).status(&get("")), 401);
}

#[test]
fn with_roles_and_no_token_who_shows_no_certificate_is_refused_on_loopback_too() {
    let site = Site::new("", ROLES);
    let answer = site.connect(None).ask(&get("")).unwrap();
    assert!(answer.starts_with("HTTP/1.1 401 "), "{answer}");
    assert!(answer.contains("admin.tls.role") && !answer.contains("Bearer TOKEN"), "{answer}");
    assert_eq!(site.connect(Some(&site.client("ops"))).status(&get("")), 200);
}

#[test]
fn a_certificate_of_another_authority_gets_no_connection() {
    let site = Site::new(TOKEN, ROLES);
    let others = Authority::new("others");
    let forged = others.issue(site.home.path(), "forged", &client("ops"));
    assert!(site.connect(Some(&forged)).ask(&get(&with_token())).is_err());
    let required = ROLES.replace("optional", "required");
    let site = Site::new(TOKEN, &required);
    assert!(site.connect(None).ask(&get(&with_token())).is_err());
    assert_eq!(site.connect(Some(&site.client("ops"))).status(&get("")), 200);
}

#[test]
fn a_fingerprint_comes_before_a_subject() {
    let site = Site::new(TOKEN, ROLES);
    let ops = site.client("ops");
    let der = CertificateDer::from_pem_file(&ops.chain).unwrap();
    let fingerprint = limpet::tls::x509::hex(&limpet::tls::x509::fingerprint(&der));
    let both = format!(
        "{ROLES}[[admin.tls.role]]\nrole = \"attributes\"\nfingerprints = [\"{fingerprint}\"]\n"
    );
    let mut client = site.connect(Some(&ops));
    assert!(client.ask(&get("")).unwrap().contains("\"may_change\":\"everything\""));
    site.reload_with(TOKEN, &both);
    assert!(client.ask(&get("")).unwrap().contains("\"may_change\":\"attributes\""));
}

#[test]
fn a_role_that_is_taken_away_is_gone_with_the_next_request() {
    let site = Site::new("", ROLES);
    let mut client = site.connect(Some(&site.client("ops")));
    assert_eq!(client.status(&get("")), 200);
    site.reload_with("", &ROLES.replace("CN=ops", "CN=others"));
    assert_eq!(client.status(&get("")), 401);
    // Without any role the address is not open to everyone; it was not at the start.
    site.reload_with("", "");
    assert_eq!(client.status(&get("")), 421, "clients are asked for something else now");
    assert_eq!(site.connect(None).status(&get("")), 401);
}

#[test]
fn a_certificate_is_replaced_under_a_connection_that_stays() {
    let site = Site::new(TOKEN, "");
    let mut kept = site.connect(None);
    assert_eq!(kept.status(&get(&with_token())), 200);
    let first = kept.presented();
    site.servers.issue(site.home.path(), "admin", &Wanted::server("localhost"));
    let said = site.api.control.renew_certificates().unwrap();
    assert_eq!(said.renewed, ["admin: its certificates are read anew"]);
    let mut later = site.connect(None);
    assert_eq!(later.status(&get(&with_token())), 200);
    assert_ne!(later.presented(), first);
    assert_eq!(kept.status(&get(&with_token())), 200);
    std::fs::write(site.home.path().join("admin.key"), "no key, hush-hush").unwrap();
    let said = site.api.control.renew_certificates().unwrap();
    let kept = &said.kept[0].text;
    assert!(kept.starts_with("admin: ") && kept.contains("admin.key"), "{kept}");
    assert!(said.renewed.is_empty() && !kept.contains("hush"), "{kept}");
    let mut last = site.connect(None);
    assert_eq!(last.status(&get(&with_token())), 200);
    assert_eq!(last.presented(), later.presented());
}

#[test]
fn a_reload_changes_what_is_presented_and_never_takes_tls_away() {
    let site = Site::new(TOKEN, "");
    site.reload_with(TOKEN, "minimum_version = \"1.3\"\n");
    let mut client = site.connect(None);
    assert_eq!(client.status(&get(&with_token())), 200);
    let path = site.home.path().join("limpet.toml");
    let plain = CONFIG.replace("[admin]\n", &format!("[admin]\ntoken = {TOKEN:?}\n"));
    std::fs::write(path, plain).unwrap();
    let notes = site.api.control.reload(&BY).unwrap().notes;
    assert!(notes.iter().any(|note| note.contains("after a restart: admin: tls")), "{notes:?}");
    assert_eq!(site.connect(None).status(&get(&with_token())), 200);
}

#[test]
fn plain_http_is_told_what_the_port_speaks() {
    let site = Site::new(TOKEN, "");
    let mut stream = site.tcp();
    let body = "x".repeat(1000);
    stream.write_all(request("POST /v1/config/reload", "", &body).as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 400 "), "{answer}");
    assert!(answer.contains("application/problem+json"), "{answer}");
    assert!(answer.contains("this port speaks HTTPS"), "{answer}");
}

#[test]
fn bytes_that_are_no_tls_end_the_connection() {
    let site = Site::new(TOKEN, "");
    let mut stream = site.tcp();
    stream.write_all(&[0; 64]).unwrap();
    let mut answer = Vec::new();
    // An alert may come first.
    let _ = stream.read_to_end(&mut answer);
    assert!(answer.len() < 16, "{answer:?}");
    assert_eq!(site.connect(None).status(&get(&with_token())), 200);
}

#[test]
fn half_open_handshakes_give_way_to_later_ones_oldest_first() {
    let site = Site::new(TOKEN, "");
    let mut silent: Vec<TcpStream> = (0..65).map(|_| site.tcp()).collect();
    let mut byte = [0];
    assert_eq!(silent[0].read(&mut byte).unwrap(), 0, "the first of too many is closed");
    silent[64].set_nonblocking(true).unwrap();
    let error = silent[64].read(&mut byte).unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::WouldBlock, "the last one is not");
    assert_eq!(site.connect(None).status(&get(&with_token())), 200);
}

#[test]
fn handshakes_are_counted_as_those_of_listeners_are() {
    let site = Site::new(TOKEN, ROLES);
    assert_eq!(site.connect(Some(&site.client("ops"))).status(&get("")), 200);
    let stranger = Authority::new("others").issue(site.home.path(), "stranger", &client("x"));
    assert!(site.connect(Some(&stranger)).ask(&get("")).is_err());
    for bytes in [&b"GET / HTTP/1.1\r\n\r\n"[..], &[0; 64], &[22, 3, 1, 0, 4, 1, 0, 0, 0]] {
        let mut stream = site.tcp();
        stream.write_all(bytes).unwrap();
        let _ = stream.read_to_end(&mut Vec::new());
    }
    // Who closes without a word, as a probe does, is not counted.
    drop(site.tcp());
    let mut stream = site.tcp();
    stream.write_all(&[22, 3]).unwrap();
    drop(stream);
    let expected = [
        ("certificate_unknown_issuer", 1),
        ("closed_in_handshake", 1),
        ("malformed_handshake", 1),
        ("no_tls", 1),
        ("plain_http", 1),
    ];
    let sum = site.handshakes_with_failures(expected.len());
    assert!(sum.failures.into_iter().eq(expected));
    assert_eq!(sum.done, [[0, 0], [1, 0]]);
    assert_eq!(sum.ciphers.len(), 1);
}

#[test]
fn a_connection_for_one_profile_is_misdirected_for_another() {
    let machines = "host_match = \"client_auth\"\n\
        profile = [{ names = [\"machines.example\"], client = { mode = \"required\", \
        authorities = \"HOME/clients.pem\" } }]\n\
        role = [{ role = \"attributes\", subjects = [\"CN=deploy\"] }]\n";
    let site = Site::new(TOKEN, machines);
    site.servers.issue(site.home.path(), "admin", &Wanted::server("machines.example"));
    site.api.control.renew_certificates().unwrap();
    // The Host of these requests is localhost, which asks no client for a certificate.
    let mut client = site.connect_as("machines.example", Some(&site.client("deploy")));
    let answer = client.ask(&get(&with_token())).unwrap();
    assert!(answer.starts_with("HTTP/1.1 421 "), "{answer}");
    assert!(answer.contains("connect anew"), "{answer}");
}

#[test]
fn over_tls_a_page_without_it_is_one_of_another_site() {
    let site = Site::new(TOKEN, "");
    let undo = |origin: &str| {
        let fields = format!("Origin: {origin}\r\n{}", with_token());
        request("POST /v1/config/reload", &fields, "{}")
    };
    let mut client = site.connect(None);
    assert_eq!(client.status(&undo("http://localhost")), 403);
    assert_eq!(client.status(&undo("https://localhost")), 200);
}

#[test]
fn curl_is_served_with_token_and_with_certificate() {
    let site = Site::new(TOKEN, ROLES);
    let ops = site.client("ops");
    let home = site.home.path();
    let url = format!("https://localhost:{}/v1/status", site.address.port());
    let curl = |arguments: &[&str]| {
        let asked = Command::new("curl")
            .args(["-sS", "--ipv4", "--max-time", "20", "-o", "/dev/null", "-w", "%{http_code}"])
            .arg("--cacert")
            .arg(home.join("servers.pem"))
            .args(arguments)
            .arg(&url)
            .output();
        let Ok(asked) = asked else { return None };
        Some(String::from_utf8_lossy(&asked.stdout).into_owned())
    };
    let Some(without) = curl(&[]) else {
        eprintln!("curl is not installed: nothing was tested");
        return;
    };
    assert_eq!(without, "401");
    let token = format!("Authorization: Bearer {TOKEN}");
    assert_eq!(curl(&["-H", &token]).unwrap(), "200");
    let (chain, key) = (ops.chain.to_str().unwrap(), ops.key.to_str().unwrap());
    assert_eq!(curl(&["--cert", chain, "--key", key]).unwrap(), "200");
}

#[tokio::test]
async fn certificates_of_the_admin_api_are_listed_without_a_listener() {
    let profile = "profile = [{ names = [\"localhost\", \"other.example\"] }]\n";
    let site = Site::new(TOKEN, profile);
    let token = format!("Bearer {TOKEN}");
    let fields = [("host", "localhost"), ("authorization", token.as_str())];
    let reply = site.api.raw("GET", "/v1/certificates", &fields, "").await.json();
    let one = &reply["certificates"][0];
    assert!(one["listener"].is_null(), "{one}");
    assert_eq!(one["profiles"], serde_json::json!(["localhost"]));
    assert_eq!(one["key"], "ECDSA P-256");
    assert_eq!(one["names"], serde_json::json!(["localhost"]));
}
