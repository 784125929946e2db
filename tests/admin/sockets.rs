//! The service over a real address and a real Unix socket.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use limpet::control::admin::serve::{BindError, Sockets};
use limpet::control::config;
use limpet::control::config::file::Admin;

use super::support::Api;

fn settings(address: Option<&str>, socket: Option<&Path>) -> Admin {
    Admin {
        address: address.map(|address| address.parse().unwrap()),
        socket: socket.map(Path::to_owned),
        socket_mode: "0600".to_owned(),
        token: None,
        hosts: Vec::new(),
        tls: None,
        audit_log: None,
    }
}

/// A service on a thread of its own.
struct Served {
    api: Api,
    address: SocketAddr,
    end: Option<tokio::sync::oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Served {
    fn start(socket: &Path) -> Served {
        let api = Api::new();
        let sockets = Sockets::open(&settings(Some("127.0.0.1:0"), Some(socket))).unwrap();
        let address = sockets.address().unwrap();
        let (end, ended) = tokio::sync::oneshot::channel::<()>();
        let (router, control) = (api.router.clone(), Arc::clone(&api.control));
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            let serve = sockets.serve(router, control, async { ended.await.unwrap_or_default() });
            runtime.unwrap().block_on(serve).unwrap();
        });
        Served { api, address, end: Some(end), thread: Some(thread) }
    }

    fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(self.address).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        stream
    }

    fn stop(&mut self) {
        drop(self.end.take());
        self.thread.take().unwrap().join().unwrap();
    }
}

/// Sends a request on a connection that is closed after it, and reads to the end.
fn exchange(mut stream: impl Read + Write, request: &str) -> String {
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

const GET: &str = "GET /v1/log-level HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
const FLUSH: &str = "POST /v1/groups/app/stickiness/flush HTTP/1.1\r\nHost: localhost\r\n\
    X-Limpet-Request: 1\r\nX-Limpet-Actor: ctl tester\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";

#[test]
fn both_sockets_serve_the_same_and_know_who_asks() {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("admin.sock");
    let mut served = Served::start(&socket);
    assert!(exchange(served.connect(), GET).starts_with("HTTP/1.1 200 OK\r\n"));
    assert!(
        exchange(UnixStream::connect(&socket).unwrap(), GET).starts_with("HTTP/1.1 200 OK\r\n")
    );
    assert!(exchange(served.connect(), FLUSH).starts_with("HTTP/1.1 200 OK\r\n"));
    assert!(
        exchange(UnixStream::connect(&socket).unwrap(), FLUSH).starts_with("HTTP/1.1 200 OK\r\n")
    );
    let history = served.api.control.history();
    let uid = std::os::unix::fs::MetadataExt::uid(&std::fs::metadata(folder.path()).unwrap());
    let by_pid = format!("ctl tester (uid {uid}, pid {})", std::process::id());
    let actors: Vec<&str> = history.iter().map(|entry| entry.actor.as_str()).collect();
    assert!(actors.ends_with(&["ctl tester 127.0.0.1", &by_pid]), "{actors:?}");
    served.stop();
    assert!(!socket.exists(), "the socket file goes with the service");
}

#[test]
fn silent_clients_do_not_keep_anybody_waiting() {
    let folder = tempfile::tempdir().unwrap();
    let served = Served::start(&folder.path().join("admin.sock"));
    let mut silent: Vec<TcpStream> = (0..100).map(|_| served.connect()).collect();
    for stream in &mut silent {
        stream
            .write_all(b"POST /v1/config/diff HTTP/1.1\r\nHost: localhost\r\nContent-Le")
            .unwrap();
    }
    assert!(exchange(served.connect(), GET).starts_with("HTTP/1.1 200 OK\r\n"));
}

#[test]
fn a_head_has_limits() {
    let folder = tempfile::tempdir().unwrap();
    let served = Served::start(&folder.path().join("admin.sock"));
    let mut stream = served.connect();
    let long = format!("GET / HTTP/1.1\r\nHost: localhost\r\nX: {}\r\n\r\n", "x".repeat(1_000_000));
    // The answer may come, and the connection close, before all of it is sent.
    let _ = stream.write_all(long.as_bytes());
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    let answer = String::from_utf8_lossy(&answer);
    assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 431 "), "{answer}");
}

#[test]
fn a_stale_socket_file_is_replaced_and_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("admin.sock");
    let open = || Sockets::open(&settings(None, Some(&path)));
    drop(UnixListener::bind(&path).unwrap());
    let first = open().expect("nobody listens on it");
    let mode = std::fs::metadata(&path).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let error = open().unwrap_err();
    assert!(matches!(error, BindError::SocketInUse(_)));
    assert!(error.to_string().contains("admin.sock"), "{error}");
    drop(first);
    assert!(!path.exists());
    std::fs::write(&path, "not a socket").unwrap();
    assert!(open().is_err());
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "not a socket");
}

#[test]
fn without_token_and_tls_only_loopback_is_served() {
    let mut admin = settings(Some("0.0.0.0:0"), None);
    assert!(matches!(Sockets::open(&admin), Err(BindError::NoToken(_))));
    admin.token = Some("0123456789-abcdef".to_owned());
    assert!(matches!(Sockets::open(&admin), Err(BindError::NoTls(_))));
    let secured = "[admin]\naddress = \"0.0.0.0:0\"\ntoken = \"0123456789-abcdef\"\n\
         tls.directory = \"/tls\"\n\
         [[listener]]\nname = \"web\"\naddress = \"127.0.0.1:0\"\nrespond = {}";
    assert!(Sockets::open(&config::parse(secured, "x").unwrap().admin).is_ok());
    let error = {
        let first = Sockets::open(&settings(Some("127.0.0.1:0"), None)).unwrap();
        let address = first.address().unwrap().to_string();
        Sockets::open(&settings(Some(&address), None)).unwrap_err()
    };
    assert!(matches!(error, BindError::Address { .. }), "{error}");
}
