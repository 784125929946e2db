//! Debian's pebble: an authority whose ports, and the time of whose certificates, are free to choose.

use std::fs::File;
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};

use super::PATIENCE;
use crate::support::{kernel, pause};

/// Set where pebble must be there.
const REQUIRED: &str = "LIMPET_REQUIRE_PEBBLE";

/// Whether it is installed; if not, the test has not been made, and says so.
pub fn is_there() -> bool {
    let answers = |program: &str| {
        let mut command = Command::new(program);
        command.arg("-h").stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok()
    };
    let is_there = answers("pebble") && answers("pebble-challtestsrv");
    assert!(
        is_there || std::env::var_os(REQUIRED).is_none(),
        "{REQUIRED} is set: apt install pebble"
    );
    if !is_there {
        eprintln!("NOT RUN: pebble is not installed (apt install pebble)");
    }
    is_there
}

/// A port of loopback that nobody has at this moment.
pub fn free_port() -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
    listener.local_addr().expect("its address").port()
}

/// What an authority is like.
#[derive(Debug, Clone, Copy)]
pub struct Options {
    /// Where it asks for proofs.
    pub http_port: u16,
    pub tls_port: u16,
    /// Of its certificates.
    pub life_s: u64,
    /// Id and key in base64url; `None` = every account is good.
    pub external_account: Option<(&'static str, &'static str)>,
}

impl Options {
    /// Asks for handshakes at this port.
    pub fn tls(tls_port: u16) -> Options {
        Options { http_port: 1, tls_port, life_s: 90 * 86_400, external_account: None }
    }
}

/// A running authority, with its resolver of names, all of which are loopback.
pub struct Pebble {
    directory: tempfile::TempDir,
    port: u16,
    _programs: Vec<Program>,
}

/// A program that ends with its test.
struct Program(Child);

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Pebble {
    #[track_caller]
    pub fn start(options: Options) -> Pebble {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let path = |name: &str| directory.path().join(name);
        own_certificate(&directory);
        let (port, management, names, names_management) =
            (free_port(), free_port(), free_port(), free_port());
        let mut settings = serde_json::json!({
            "listenAddress": format!("127.0.0.1:{port}"),
            "managementListenAddress": format!("127.0.0.1:{management}"),
            "certificate": path("pebble.pem"), "privateKey": path("pebble.key"),
            "httpPort": options.http_port, "tlsPort": options.tls_port, "ocspResponderURL": "",
            "externalAccountBindingRequired": options.external_account.is_some(),
            "certificateValidityPeriod": options.life_s,
        });
        if let Some((id, key)) = options.external_account {
            settings["externalAccountMACKeys"] = serde_json::json!({ (id): key });
        }
        let text = serde_json::json!({ "pebble": settings }).to_string();
        std::fs::write(path("pebble.json"), text).expect("write pebble's settings");
        let spawn = |program: &str, arguments: &[String]| {
            let output = || File::options().append(true).create(true).open(path("output"));
            let mut command = Command::new(program);
            command
                .args(arguments)
                .env("PEBBLE_VA_NOSLEEP", "1")
                // It refuses one good nonce in twenty, and now and then three in a row, after which an order fails.
                .env("PEBBLE_WFE_NONCEREJECT", "0")
                .env("PEBBLE_AUTHZREUSE", "0")
                .stdin(Stdio::null())
                .stdout(output().expect("the output"))
                .stderr(output().expect("the output"));
            kernel::die_with_parent(&mut command);
            Program(command.spawn().expect("spawn it"))
        };
        let arguments = |list: &[&str]| list.iter().map(ToString::to_string).collect::<Vec<_>>();
        let resolver = [
            arguments(&["-defaultIPv4", "127.0.0.1", "-defaultIPv6", "", "-http01", ""]),
            arguments(&["-https01", "", "-tlsalpn01", ""]),
            vec!["-dns01".to_owned(), format!("127.0.0.1:{names}")],
            vec!["-management".to_owned(), format!("127.0.0.1:{names_management}")],
        ]
        .concat();
        let authority = vec![
            "-config".to_owned(),
            path("pebble.json").display().to_string(),
            "-dnsserver".to_owned(),
            format!("127.0.0.1:{names}"),
        ];
        let programs = vec![spawn("pebble-challtestsrv", &resolver), spawn("pebble", &authority)];
        let pebble = Pebble { directory, port, _programs: programs };
        // Its authority's keys are RSA, which takes a while to make.
        let end = Instant::now() + PATIENCE;
        for port in [port, names_management] {
            while TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_err() {
                assert!(Instant::now() < end, "it does not listen:\n{}", pebble.output());
                pause(Duration::from_millis(20));
            }
        }
        pebble
    }

    /// The URL of its directory.
    pub fn url(&self) -> String {
        format!("https://localhost:{}/dir", self.port)
    }

    /// The authority of its own certificate.
    pub fn authority_file(&self) -> PathBuf {
        self.directory.path().join("authority.pem")
    }

    pub fn output(&self) -> String {
        std::fs::read_to_string(self.directory.path().join("output")).unwrap_or_default()
    }
}

impl Drop for Pebble {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("--- pebble's output\n{}---", self.output());
        }
    }
}

/// Certificate and key of pebble's own server, and of who has signed it.
fn own_certificate(directory: &tempfile::TempDir) {
    let write = |name: &str, text: String| {
        std::fs::write(directory.path().join(name), text).expect("write a certificate");
    };
    let authority_key = KeyPair::generate().expect("a key");
    let mut authority = CertificateParams::new(Vec::new()).expect("no names");
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    write("authority.pem", authority.self_signed(&authority_key).expect("an authority").pem());
    let issuer = Issuer::from_params(&authority, &authority_key);
    let key = KeyPair::generate().expect("a key");
    let server = CertificateParams::new(["localhost".to_owned()]).expect("a name");
    write("pebble.pem", server.signed_by(&key, &issuer).expect("a certificate").pem());
    write("pebble.key", key.serialize_pem());
}

/// A client that takes any certificate.
pub mod anyone {
    use super::Arc;
    use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
    use rustls::crypto::aws_lc_rs::default_provider;
    use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
    use rustls::{ClientConfig, DigitallySignedStruct, Error, SignatureScheme};

    #[derive(Debug)]
    struct Anyone;

    pub fn config(protocols: &[&str]) -> Arc<ClientConfig> {
        let mut config = ClientConfig::builder_with_provider(Arc::new(default_provider()))
            .with_safe_default_protocol_versions()
            .expect("versions")
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(Anyone))
            .with_no_client_auth();
        config.alpn_protocols = protocols.iter().map(|name| name.as_bytes().to_vec()).collect();
        Arc::new(config)
    }

    impl ServerCertVerifier for Anyone {
        fn verify_server_cert(
            &self,
            _: &CertificateDer<'_>,
            _: &[CertificateDer<'_>],
            _: &ServerName<'_>,
            _: &[u8],
            _: UnixTime,
        ) -> Result<ServerCertVerified, Error> {
            Ok(ServerCertVerified::assertion())
        }

        fn verify_tls12_signature(
            &self,
            _: &[u8],
            _: &CertificateDer<'_>,
            _: &DigitallySignedStruct,
        ) -> Result<HandshakeSignatureValid, Error> {
            Ok(HandshakeSignatureValid::assertion())
        }

        fn verify_tls13_signature(
            &self,
            _: &[u8],
            _: &CertificateDer<'_>,
            _: &DigitallySignedStruct,
        ) -> Result<HandshakeSignatureValid, Error> {
            Ok(HandshakeSignatureValid::assertion())
        }

        fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
            default_provider().signature_verification_algorithms.supported_schemes()
        }
    }
}
