//! `loadtest load --tls` against a server of rustls that answers as each test wants: right, and wrong in every way
//! that has to do with TLS.

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::{env, fs, thread};

use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use serde_json::Value;

const HOST: &str = "www.example.com";

/// A folder of a test's own with a certificate in it, gone at its end.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str, algorithm: &str) -> Folder {
        let path = env::temp_dir().join(format!("secure-{name}-{}", std::process::id()));
        fs::create_dir_all(&path).unwrap();
        let made = Command::new(env!("CARGO_BIN_EXE_loadtest"))
            .args(["certificate", "--host", HOST, "--algorithm", algorithm, "--directory"])
            .arg(&path)
            .output()
            .unwrap();
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        Folder(path)
    }

    fn chain(&self) -> PathBuf {
        let chain = |name: &str| self.0.join(name);
        let found = [chain("ecdsa.pem"), chain("rsa.pem")].into_iter().find(|path| path.is_file());
        found.unwrap()
    }

    fn config(&self) -> ServerConfig {
        let chain = CertificateDer::pem_file_iter(self.chain()).unwrap();
        let key = PrivateKeyDer::from_pem_file(self.chain().with_extension("key")).unwrap();
        let mut config =
            ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
                .with_safe_default_protocol_versions()
                .unwrap()
                .with_no_client_auth()
                .with_single_cert(chain.map(Result::unwrap).collect(), key)
                .unwrap();
        config.ticketer = aws_lc_rs::Ticketer::new().unwrap();
        config
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

type Stream = StreamOwned<ServerConnection, TcpStream>;

/// Lets `answer` have each connection, in a thread of its own, as long as the test lives.
fn serve(
    config: ServerConfig,
    answer: impl Fn(&mut Stream) -> std::io::Result<()> + Send + Sync + 'static,
) -> SocketAddr {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let address = listener.local_addr().unwrap();
    let (config, answer) = (Arc::new(config), Arc::new(answer));
    thread::spawn(move || {
        for stream in listener.incoming() {
            let (config, answer) = (Arc::clone(&config), Arc::clone(&answer));
            thread::spawn(move || {
                let connection = ServerConnection::new(config).unwrap();
                // Ends of connections are part of the tests.
                let _ = answer(&mut StreamOwned::new(connection, stream.unwrap()));
            });
        }
    });
    address
}

/// Reads a request; its head, or nothing when there is none.
fn request(stream: &mut Stream) -> std::io::Result<String> {
    let (mut head, mut byte) = (Vec::new(), [0]);
    while !head.ends_with(b"\r\n\r\n") {
        stream.read_exact(&mut byte)?;
        head.extend_from_slice(&byte);
    }
    let head = String::from_utf8(head).unwrap();
    let length = field(&head, "content-length").map_or(0, |text| text.parse().unwrap());
    stream.read_exact(&mut vec![0; length])?;
    Ok(head)
}

fn field<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    let fields = head.lines().filter_map(|line| line.split_once(": "));
    fields.filter(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value).next()
}

/// Answers rightly until the client has had enough.
fn right(stream: &mut Stream) -> std::io::Result<()> {
    loop {
        let head = request(stream)?;
        let (echo, size) = (field(&head, "x-echo").unwrap_or(""), 100_000);
        let content = "x".repeat(size);
        let text = format!(
            "HTTP/1.1 200 OK\r\nX-Target: a\r\nX-Request-Echo: {echo}\r\nContent-Length: {size}\r\n\r\n{content}"
        );
        stream.write_all(text.as_bytes())?;
        if field(&head, "connection") == Some("close") {
            stream.conn.send_close_notify();
            return stream.flush();
        }
    }
}

/// Runs the load; whether it was content, what it printed, and what it said.
fn load(address: SocketAddr, certificate: &Path, arguments: &str) -> (bool, Value, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_loadtest"))
        .args(["load", "--json", "--check", "--warmup", "0ms", "--host", HOST])
        .args(["--address", &address.to_string(), "--tls"])
        .arg(certificate)
        .args(arguments.split_whitespace())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    let text = String::from_utf8(output.stdout).unwrap();
    let json = serde_json::from_str(&text).unwrap_or_else(|_| panic!("{text}{said}"));
    (output.status.success(), json, said)
}

#[test]
fn requests_over_kept_connections_are_answered_and_checked() {
    for algorithm in ["ecdsa", "rsa"] {
        let folder = Folder::new(&format!("kept-{algorithm}"), algorithm);
        let address = serve(folder.config(), right);
        for version in ["1.2", "1.3"] {
            let arguments = format!("--connections 4 --requests 100 --tls-version {version}");
            let (clean, json, said) = load(address, &folder.chain(), &arguments);
            assert!(clean, "{json} {said}");
            assert_eq!((&json["responses"], &json["echoed"]), (&100.into(), &100.into()));
            assert_eq!(json["handshakes"]["full"], 4, "{json}");
            assert!(json["bytes_in"].as_u64() > Some(100 * 100_000));
        }
    }
}

#[test]
fn a_connection_each_is_resumed_by_a_ticket_where_that_is_wanted() {
    let folder = Folder::new("each", "ecdsa");
    let address = serve(folder.config(), right);
    for (arguments, full) in [("--tls-version 1.3", 50), ("--tls-version 1.2", 50)] {
        let arguments = format!("--close --connections 1 --requests 50 {arguments}");
        let (clean, json, said) = load(address, &folder.chain(), &arguments);
        assert!(clean, "{json} {said}");
        assert_eq!(json["handshakes"]["full"], full, "{json}");
        let (clean, json, said) =
            load(address, &folder.chain(), &format!("{arguments} --tls-resume"));
        assert!(clean, "{json} {said}");
        assert_eq!(json["handshakes"]["full"], 1, "{json}");
        assert_eq!(json["handshakes"]["resumed"], 49, "{json}");
    }
}

#[test]
fn uploads_are_sealed_whole() {
    let folder = Folder::new("uploads", "ecdsa");
    let address = serve(folder.config(), right);
    let arguments = "--connections 2 --requests 10 --method POST --body-size 1048576";
    let (clean, json, said) = load(address, &folder.chain(), arguments);
    assert!(clean, "{json} {said}");
    assert!(json["bytes_out"].as_u64() > Some(10 * 1_048_576), "{json}");
}

#[test]
fn a_server_that_is_not_the_expected_one_is_an_error_of_tls() {
    let (folder, other) = (Folder::new("expected", "ecdsa"), Folder::new("other", "ecdsa"));
    let address = serve(other.config(), right);
    let (clean, json, said) =
        load(address, &folder.chain(), "--close --connections 1 --requests 3");
    assert!(!clean);
    assert_eq!(json["errors"]["tls"], 3, "{json}");
    assert!(said.contains("TLS: ") && said.contains("certificate"), "{said}");
}

#[test]
fn a_server_without_tls_is_an_error_of_tls() {
    let folder = Folder::new("without", "ecdsa");
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for stream in listener.incoming() {
            stream.unwrap().write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").unwrap();
        }
    });
    let (clean, json, _) = load(address, &folder.chain(), "--connections 1 --requests 2");
    assert!(!clean);
    assert_eq!(json["errors"]["tls"], 2, "{json}");
}

#[test]
fn a_handshake_that_never_ends_is_a_timeout() {
    let folder = Folder::new("never", "ecdsa");
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || listener.incoming().collect::<Vec<_>>());
    let (clean, json, _) =
        load(address, &folder.chain(), "--connections 1 --requests 1 --timeout 100ms");
    assert!(!clean);
    assert_eq!(json["errors"]["timeout"], 1, "{json}");
}

#[test]
fn content_that_ends_without_tls_saying_so_is_cut_off() {
    let folder = Folder::new("cut", "ecdsa");
    for (says_so, length_errors) in [(true, 0), (false, 1)] {
        let address = serve(folder.config(), move |stream| {
            let head = request(stream)?;
            let echo = field(&head, "x-echo").unwrap_or("");
            let text = format!("HTTP/1.1 200 OK\r\nX-Request-Echo: {echo}\r\n\r\nuntil the end");
            stream.write_all(text.as_bytes())?;
            if says_so {
                stream.conn.send_close_notify();
            }
            stream.flush()
        });
        let (clean, json, _) =
            load(address, &folder.chain(), "--close --connections 1 --requests 1");
        assert_eq!(clean, says_so, "{json}");
        assert_eq!(json["errors"]["length"], length_errors, "{json}");
    }
}

#[test]
fn no_handshake_is_begun_that_no_request_is_left_for() {
    let folder = Folder::new("left", "ecdsa");
    let count = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&count);
    let address = serve(folder.config(), move |stream| {
        counted.fetch_add(1, Ordering::SeqCst);
        right(stream)
    });
    let (clean, json, said) =
        load(address, &folder.chain(), "--close --connections 16 --requests 40");
    assert!(clean, "{json} {said}");
    assert_eq!(json["handshakes"]["full"], 40, "{json}");
    assert_eq!(count.load(Ordering::SeqCst), 40);
}

#[test]
fn hostile_clients_come_beside_the_others_and_are_not_counted_with_them() {
    let folder = Folder::new("hostile", "ecdsa");
    let whole = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&whole);
    let address = serve(folder.config(), move |stream| {
        while stream.conn.is_handshaking() {
            stream.conn.complete_io(&mut stream.sock)?;
        }
        counted.fetch_add(1, Ordering::SeqCst);
        right(stream)
    });
    let arguments = "--connections 2 --duration 1s --hostile 100";
    let (clean, json, said) = load(address, &folder.chain(), arguments);
    assert!(clean, "{json} {said}");
    assert_eq!(whole.load(Ordering::SeqCst), 2);
    let begun = json["hostile"]["begun"].as_u64().unwrap();
    assert!((20..=200).contains(&begun), "{json}");
    // Half of them leave when they have been answered, and a quarter says too little for that.
    let answered = json["hostile"]["answered"].as_u64().unwrap();
    assert!(answered > 0 && answered <= begun * 3 / 4 + 1, "{json}");
    assert_eq!(json["handshakes"]["full"], 2, "{json}");
}

/// Answers each head with status 200 and nothing, over HTTP/2.
fn right_by_frames(stream: &mut Stream) -> std::io::Result<()> {
    let mut preface = [0; 24];
    stream.read_exact(&mut preface)?;
    stream.write_all(&[0, 0, 0, 4, 0, 0, 0, 0, 0])?;
    loop {
        let mut head = [0; 9];
        stream.read_exact(&mut head)?;
        let mut payload = vec![0; usize::from(head[1]) * 256 + usize::from(head[2])];
        stream.read_exact(&mut payload)?;
        if head[3] == 1 {
            let [.., s0, s1, s2, s3] = head;
            stream.write_all(&[0, 0, 1, 1, 5, s0, s1, s2, s3, 0x88])?;
        }
    }
}

#[test]
fn a_server_that_agrees_to_http_2_is_asked_over_it() {
    let folder = Folder::new("h2", "ecdsa");
    let mut config = folder.config();
    config.alpn_protocols = vec![b"h2".to_vec()];
    let address = serve(config, right_by_frames);
    let arguments = "--requests 100 --http2 --connections 2 --streams 5";
    let (clean, json, said) = load(address, &folder.chain(), arguments);
    assert!(clean, "{json} {said}");
    assert_eq!(json["responses"], 100, "{json}");
}

#[test]
fn a_server_that_does_not_agree_to_http_2_is_refused() {
    let folder = Folder::new("alpn", "ecdsa");
    let address = serve(folder.config(), right);
    let arguments = "--requests 3 --http2 --connections 1";
    let (clean, json, said) = load(address, &folder.chain(), arguments);
    assert!(!clean && said.contains("TLS: "), "{said}");
    assert_eq!(json["errors"]["tls"], 3, "{json}");
}
