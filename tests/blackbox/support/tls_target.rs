//! Targets that speak TLS by rustls, with certificates made for one test.

use std::fs;
use std::io::{self, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose,
};
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{
    HandshakeKind, RootCertStore, ServerConfig, ServerConnection, SupportedProtocolVersion,
};

use super::wire::DEADLINE;

/// An authority, and the files of what it issues.
pub struct Authority {
    params: CertificateParams,
    key: KeyPair,
    der: CertificateDer<'static>,
    home: tempfile::TempDir,
}

impl Authority {
    /// An authority, whose certificate is in `ca.pem`.
    pub fn new(name: &str) -> Authority {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let key = KeyPair::generate().unwrap();
        let certificate = params.self_signed(&key).unwrap();
        let home = tempfile::tempdir().unwrap();
        fs::write(home.path().join("ca.pem"), certificate.pem()).unwrap();
        Authority { params, key, der: certificate.der().clone(), home }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.home.path().join(name)
    }

    /// The file with its own certificate.
    pub fn file(&self) -> String {
        self.path("ca.pem").display().to_string()
    }

    /// A certificate in `NAME.pem` with its key in `NAME.key`; for a server of this name, or for a client.
    pub fn issue(&self, name: &str, usage: ExtendedKeyUsagePurpose) -> (PathBuf, PathBuf) {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        params.distinguished_name = rcgen::DistinguishedName::new();
        params.extended_key_usages = vec![usage];
        let issuer = Issuer::from_params(&self.params, &self.key);
        let certificate = params.signed_by(&key, &issuer).unwrap();
        let (pem, key_pem) = (format!("{name}.pem"), format!("{name}.key"));
        let (pem, key_pem) = (self.path(&pem), self.path(&key_pem));
        fs::write(&pem, certificate.pem()).unwrap();
        fs::write(&key_pem, key.serialize_pem()).unwrap();
        fs::set_permissions(&key_pem, fs::Permissions::from_mode(0o600)).unwrap();
        (pem, key_pem)
    }

    /// A server of this name; it asks for a certificate of `clients`, if there is such an authority.
    pub fn server(&self, name: &str, clients: Option<&Authority>) -> ServerConfig {
        self.server_of(rustls::DEFAULT_VERSIONS, name, clients)
    }

    /// As [`Self::server`], of these versions.
    pub fn server_of(
        &self,
        versions: &[&'static SupportedProtocolVersion],
        name: &str,
        clients: Option<&Authority>,
    ) -> ServerConfig {
        let (pem, key) = self.issue(name, ExtendedKeyUsagePurpose::ServerAuth);
        let builder = ServerConfig::builder_with_provider(Arc::new(default_provider()))
            .with_protocol_versions(versions)
            .unwrap();
        let builder = match clients {
            None => builder.with_no_client_auth(),
            Some(authority) => {
                let mut roots = RootCertStore::empty();
                roots.add(authority.der.clone()).unwrap();
                let provider = Arc::new(default_provider());
                let verifier = WebPkiClientVerifier::builder_with_provider(roots.into(), provider);
                builder.with_client_cert_verifier(verifier.build().unwrap())
            }
        };
        let mut config = builder.with_single_cert(vec![der_of(&pem)], key_of(&key)).unwrap();
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        config
    }
}

fn der_of(pem: &Path) -> CertificateDer<'static> {
    use rustls::pki_types::pem::PemObject as _;
    CertificateDer::from_pem_file(pem).unwrap()
}

fn key_of(pem: &Path) -> PrivateKeyDer<'static> {
    use rustls::pki_types::pem::PemObject as _;
    PrivatePkcs8KeyDer::from_pem_file(pem).unwrap().into()
}

/// What reached a target on its connections, in the order in which their handshakes ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    pub server_name: Option<String>,
    pub alpn: Option<Vec<u8>>,
    pub is_resumed: bool,
    /// Whether a certificate was presented to it.
    pub is_authenticated: bool,
}

/// A connection of a target, after its handshake.
pub struct Connection {
    pub stream: rustls::StreamOwned<ServerConnection, TcpStream>,
    /// 0 for the first one.
    pub index: usize,
    heads: Arc<Mutex<Vec<String>>>,
}

impl Connection {
    /// The head of the next request, whose content is read as well; `None` at the end.
    pub fn next_request(&mut self) -> io::Result<Option<String>> {
        let mut bytes = Vec::new();
        while !bytes.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            match self.stream.read(&mut byte) {
                Ok(1..) => bytes.extend_from_slice(&byte),
                Ok(0) => return Ok(None),
                Err(error) => return Err(error),
            }
        }
        let head = String::from_utf8(bytes).unwrap();
        let length = head.to_ascii_lowercase();
        let length = length.lines().find_map(|line| line.strip_prefix("content-length: "));
        let length = length.map_or(0, |length| length.parse().unwrap());
        self.stream.read_exact(&mut vec![0; length])?;
        self.heads.lock().unwrap().push(head.clone());
        Ok(Some(head))
    }

    pub fn send(&mut self, text: &str) -> io::Result<()> {
        self.stream.write_all(text.as_bytes())?;
        self.stream.flush()
    }

    /// Answers every request with this word.
    pub fn answer(&mut self, word: &str) -> io::Result<()> {
        while self.next_request()?.is_some() {
            self.send(&response(word))?;
        }
        Ok(())
    }
}

/// A whole response.
pub fn response(word: &str) -> String {
    format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{word}", word.len())
}

/// A target under TLS whose connections each run a script.
pub struct TlsTarget {
    address: SocketAddr,
    seen: Arc<Mutex<Vec<Seen>>>,
    heads: Arc<Mutex<Vec<String>>>,
    /// Connections taken, with or without a handshake that went well.
    taken: Arc<AtomicUsize>,
    is_over: Arc<AtomicBool>,
}

impl TlsTarget {
    pub fn scripted(
        config: ServerConfig,
        script: impl Fn(&mut Connection) -> io::Result<()> + Send + Sync + 'static,
    ) -> TlsTarget {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let target = TlsTarget {
            address: listener.local_addr().unwrap(),
            seen: Arc::default(),
            heads: Arc::default(),
            taken: Arc::default(),
            is_over: Arc::default(),
        };
        let (config, script) = (Arc::new(config), Arc::new(script));
        let (seen, heads) = (Arc::clone(&target.seen), Arc::clone(&target.heads));
        let (taken, is_over) = (Arc::clone(&target.taken), Arc::clone(&target.is_over));
        std::thread::spawn(move || {
            while let Ok((socket, _)) = listener.accept() {
                if is_over.load(Ordering::Relaxed) {
                    return;
                }
                taken.fetch_add(1, Ordering::Relaxed);
                let (config, script) = (Arc::clone(&config), Arc::clone(&script));
                let (seen, heads) = (Arc::clone(&seen), Arc::clone(&heads));
                std::thread::spawn(move || {
                    // A peer that refuses this end, or goes away, ends the script.
                    let _ = serve(socket, config, (&seen, heads), &*script);
                });
            }
        });
        target
    }

    /// A target that answers every request with this word.
    pub fn answering(config: ServerConfig, word: &str) -> TlsTarget {
        let word = word.to_owned();
        TlsTarget::scripted(config, move |connection| connection.answer(&word))
    }

    pub fn address(&self) -> String {
        self.address.to_string()
    }

    pub fn seen(&self) -> Vec<Seen> {
        self.seen.lock().unwrap().clone()
    }

    pub fn heads(&self) -> Vec<String> {
        self.heads.lock().unwrap().clone()
    }

    /// Connections so far.
    pub fn taken(&self) -> usize {
        self.taken.load(Ordering::Relaxed)
    }
}

impl Drop for TlsTarget {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::Relaxed);
        // Wakes the thread that accepts.
        let _ = TcpStream::connect(self.address);
    }
}

fn serve(
    mut socket: TcpStream,
    config: Arc<ServerConfig>,
    (seen, heads): (&Mutex<Vec<Seen>>, Arc<Mutex<Vec<String>>>),
    script: &dyn Fn(&mut Connection) -> io::Result<()>,
) -> io::Result<()> {
    socket.set_read_timeout(Some(DEADLINE))?;
    socket.set_nodelay(true)?;
    let mut session = ServerConnection::new(config).map_err(io::Error::other)?;
    while session.is_handshaking() {
        session.complete_io(&mut socket)?;
    }
    // The tickets go out at once, as openssl sends them.
    while session.wants_write() {
        session.write_tls(&mut socket)?;
    }
    let index = {
        let mut seen = seen.lock().unwrap();
        seen.push(Seen {
            server_name: session.server_name().map(ToOwned::to_owned),
            alpn: session.alpn_protocol().map(<[u8]>::to_vec),
            is_resumed: session.handshake_kind() == Some(HandshakeKind::Resumed),
            is_authenticated: session.peer_certificates().is_some(),
        });
        seen.len() - 1
    };
    let stream = rustls::StreamOwned::new(session, socket);
    let mut connection = Connection { stream, index, heads };
    script(&mut connection)?;
    connection.stream.conn.send_close_notify();
    connection.stream.flush()
}
