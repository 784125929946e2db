//! TLS for tests: an authority and its certificates, a client's end of a connection, and the switch that has the whole
//! suite speak it.

use std::collections::VecDeque;
use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::path::Path;
use std::sync::{Arc, LazyLock, Mutex, MutexGuard};

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa,
    KeyPair, KeyUsagePurpose,
};
use rustls::client::Resumption;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, ServerName, UnixTime};
use rustls::{
    ClientConfig, ClientConnection, DigitallySignedStruct, RootCertStore, ServerConfig,
    SignatureScheme, SupportedProtocolVersion,
};

/// The variable that has listeners and clients of every test speak TLS.
const SWITCH: &str = "LIMPET_TEST_TLS";
/// The name that tests' requests are for.
pub const NAME: &str = "limpet.test";

/// Whether every test is to speak TLS.
pub fn is_everywhere() -> bool {
    std::env::var_os(SWITCH).is_some()
}

/// An authority that signs certificates for tests.
pub struct Authority(CertifiedIssuer<'static, KeyPair>);

/// A certificate with its key.
#[derive(Debug, Clone)]
pub struct Identity {
    /// The certificate, in PEM.
    pub chain: String,
    pub key: String,
    der: (Vec<u8>, Vec<u8>),
}

impl Authority {
    pub fn new(name: &str) -> Authority {
        let mut parameters = CertificateParams::default();
        parameters.distinguished_name.push(DnType::CommonName, name);
        parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        parameters.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let key = KeyPair::generate().expect("a key");
        Authority(CertifiedIssuer::self_signed(parameters, key).expect("an authority"))
    }

    /// Its certificate, in PEM.
    pub fn pem(&self) -> String {
        self.0.pem()
    }

    /// A certificate for these names, of a server or a client.
    pub fn sign(&self, names: &[&str]) -> Identity {
        self.sign_with(names, |_| {})
    }

    /// As [`Authority::sign`]; `change` may change what is signed.
    pub fn sign_with(
        &self,
        names: &[&str],
        change: impl FnOnce(&mut CertificateParams),
    ) -> Identity {
        let names: Vec<String> = names.iter().map(|&name| name.to_owned()).collect();
        let mut parameters = CertificateParams::new(names.clone()).expect("names");
        parameters.distinguished_name.push(DnType::CommonName, names.join("+"));
        parameters.extended_key_usages =
            vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        change(&mut parameters);
        let key = KeyPair::generate().expect("a key");
        let certificate = parameters.signed_by(&key, &self.0).expect("a certificate");
        let der = (certificate.der().to_vec(), key.serialize_der());
        Identity { chain: certificate.pem(), key: key.serialize_pem(), der }
    }

    /// A client that trusts this authority.
    pub fn client(&self) -> Arc<ClientConfig> {
        Arc::new(self.client_with(None))
    }

    /// A client that trusts this authority and shows its own certificate.
    pub fn client_as(&self, identity: &Identity) -> Arc<ClientConfig> {
        Arc::new(self.client_with(Some(identity)))
    }

    /// A client that speaks these versions.
    pub fn client_of(
        &self,
        versions: &[&'static SupportedProtocolVersion],
        identity: Option<&Identity>,
    ) -> Arc<ClientConfig> {
        Arc::new(self.configure(versions, identity))
    }

    pub fn client_with(&self, identity: Option<&Identity>) -> ClientConfig {
        self.configure(rustls::DEFAULT_VERSIONS, identity)
    }

    fn configure(
        &self,
        versions: &[&'static SupportedProtocolVersion],
        identity: Option<&Identity>,
    ) -> ClientConfig {
        let mut roots = RootCertStore::empty();
        roots.add(self.0.der().clone()).expect("an authority");
        let builder = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_protocol_versions(versions)
            .expect("versions")
            .with_root_certificates(roots);
        match identity {
            None => builder.with_no_client_auth(),
            Some(Identity { der: (chain, key), .. }) => builder
                .with_client_auth_cert(
                    vec![CertificateDer::from(chain.clone())],
                    PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.clone())),
                )
                .expect("a certificate"),
        }
    }
}

/// The common name of a certificate's subject.
pub fn common_name(der: &[u8]) -> String {
    // The last value of the type 2.5.4.3: the issuer's stands in front of the subject's.
    let at = memchr::memmem::rfind(der, &[0x06, 0x03, 0x55, 0x04, 0x03]).expect("a common name");
    let length = usize::from(der[at + 6]);
    String::from_utf8_lossy(&der[at + 7..at + 7 + length]).into_owned()
}

/// Takes any certificate.
pub fn anybody() -> Arc<dyn ServerCertVerifier> {
    Arc::new(Anybody)
}

#[derive(Debug)]
struct Anybody;

impl ServerCertVerifier for Anybody {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        aws_lc_rs::default_provider().signature_verification_algorithms.supported_schemes()
    }
}

impl Identity {
    /// The configuration of a server that presents it.
    pub fn server(&self) -> ServerConfig {
        let (certificate, key) = &self.der;
        let chain = vec![CertificateDer::from(certificate.clone())];
        let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.clone()));
        let provider = Arc::new(aws_lc_rs::default_provider());
        let config = ServerConfig::builder_with_provider(provider);
        let config = config.with_safe_default_protocol_versions().expect("versions");
        config.with_no_client_auth().with_single_cert(chain, key).expect("that they fit")
    }

    /// Writes `NAME.pem` and `NAME.key`.
    pub fn write(&self, directory: &Path, name: &str) {
        let files = [(format!("{name}.pem"), &self.chain), (format!("{name}.key"), &self.key)];
        for (file, text) in files {
            // In one step, as tools that renew certificates do.
            let part = directory.join(format!(".{file}.part"));
            std::fs::write(&part, text).expect("write a certificate");
            std::fs::rename(&part, directory.join(file)).expect("put it in place");
        }
    }
}

/// The authority and the certificate of tests that do not care whose they are.
static COMMON: LazyLock<(Authority, Identity)> = LazyLock::new(|| {
    let authority = Authority::new("limpet tests");
    let identity = authority.sign(&[NAME, "localhost", "127.0.0.1", "::1"]);
    (authority, identity)
});

/// The authority that signs for every test.
pub fn authority() -> &'static Authority {
    &COMMON.0
}

/// The certificate for [`NAME`].
pub fn identity() -> &'static Identity {
    &COMMON.1
}

/// A client of the common authority. It resumes no session: tests of one process share it.
pub fn client() -> Arc<ClientConfig> {
    static CLIENT: LazyLock<Arc<ClientConfig>> = LazyLock::new(|| {
        let mut config = authority().client_with(None);
        config.resumption = Resumption::disabled();
        Arc::new(config)
    });
    Arc::clone(&CLIENT)
}

/// A client's end of a connection; may be read and written at the same time.
#[derive(Debug)]
pub struct Tls {
    socket: TcpStream,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    connection: ClientConnection,
    /// Ciphertext that the socket has not taken.
    unsent: Vec<u8>,
    /// Data that nobody has taken.
    data: VecDeque<u8>,
    /// The peer has told its end.
    is_over: bool,
}

fn invalid(error: rustls::Error) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, error)
}

impl State {
    /// Takes the data that was opened.
    fn take_data(&mut self) -> io::Result<()> {
        let mut room = [0; 16 * 1024];
        loop {
            match self.connection.reader().read(&mut room) {
                Ok(0) => {
                    self.is_over = true;
                    return Ok(());
                }
                Ok(count) => self.data.extend(&room[..count]),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error),
            }
        }
    }

    /// Sends the records that there are.
    fn flush(&mut self, mut socket: &TcpStream) -> io::Result<()> {
        while self.connection.wants_write() {
            self.connection.write_tls(&mut self.unsent)?;
        }
        while !self.unsent.is_empty() {
            let count = socket.write(&self.unsent)?;
            self.unsent.drain(..count);
        }
        Ok(())
    }
}

impl Tls {
    pub fn connect(socket: TcpStream, config: Arc<ClientConfig>, name: &str) -> io::Result<Tls> {
        let name = ServerName::try_from(name.to_owned()).expect("a server name");
        let connection = ClientConnection::new(config, name).map_err(invalid)?;
        let tls = Tls {
            socket,
            state: Mutex::new(State {
                connection,
                unsent: Vec::new(),
                data: VecDeque::new(),
                is_over: false,
            }),
        };
        tls.state().flush(&tls.socket)?;
        while tls.state().connection.is_handshaking() {
            if tls.read_records()? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
        Ok(tls)
    }

    pub fn socket(&self) -> &TcpStream {
        &self.socket
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// Looks at the connection.
    pub fn with<T>(&self, look: impl FnOnce(&ClientConnection) -> T) -> T {
        look(&self.state().connection)
    }

    /// Receives some bytes and opens their records; 0 is the end of the socket.
    fn read_records(&self) -> io::Result<usize> {
        let mut room = [0; 32 * 1024];
        // Not under the lock: who sends need not wait for who reads.
        let count = (&self.socket).read(&mut room)?;
        let mut state = self.state();
        let mut bytes = &room[..count];
        loop {
            state.connection.read_tls(&mut bytes)?;
            let processed = state.connection.process_new_packets();
            state.take_data()?;
            // An alert, an answer to a key update.
            let flushed = state.flush(&self.socket);
            processed.map_err(invalid)?;
            if bytes.is_empty() {
                return flushed.map(|()| count).or(Ok(count));
            }
        }
    }

    /// Data, as it comes; 0 is the end that the peer has told, and an end without a word is an error.
    pub fn receive(&self, room: &mut [u8]) -> io::Result<usize> {
        loop {
            let mut state = self.state();
            if state.is_over || !state.data.is_empty() {
                return state.data.read(room);
            }
            drop(state);
            if self.read_records()? == 0 {
                let state = self.state();
                let is_cut = !state.is_over && state.data.is_empty();
                return if is_cut { Err(io::ErrorKind::UnexpectedEof.into()) } else { Ok(0) };
            }
        }
    }

    pub fn send(&self, bytes: &[u8]) -> io::Result<()> {
        let mut state = self.state();
        // What the socket did not take before goes first.
        state.flush(&self.socket)?;
        for part in bytes.chunks(16 * 1024) {
            state.connection.writer().write_all(part)?;
            state.flush(&self.socket)?;
        }
        Ok(())
    }

    /// Tells the end of this side's data, and ends the socket's side.
    pub fn finish(&self) -> io::Result<()> {
        let mut state = self.state();
        state.connection.send_close_notify();
        state.flush(&self.socket)?;
        match self.socket.shutdown(Shutdown::Write) {
            // The peer has reset the connection when it was told of the end.
            Err(error) if error.kind() == io::ErrorKind::NotConnected => Ok(()),
            done => done,
        }
    }
}
