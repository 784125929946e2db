//! `limpet ctl` over TLS: whom it trusts, what it shows, and what is said when that does not fit.

use std::path::Path;
use std::sync::Arc;

use rustls::crypto::aws_lc_rs::default_provider;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig, SupportedProtocolVersion, version};
use tempfile::TempDir;

use crate::authority::{Authority, Issued, Wanted};
use crate::{Fake, assert_has, ctl, done, failed, limpet, text};

struct Site {
    home: TempDir,
    authority: Authority,
    ca: String,
}

impl Site {
    fn new() -> Site {
        let home = tempfile::tempdir().unwrap();
        let authority = Authority::new("operators");
        let ca = write(&authority, &home.path().join("ca.pem"));
        Site { home, authority, ca }
    }

    /// A server with such a certificate, which asks for one of the same authority where `asks` says so.
    fn serve(
        &self,
        wanted: &Wanted<'_>,
        asks: bool,
        of: &'static SupportedProtocolVersion,
    ) -> Fake {
        let issued = self.authority.issue(self.home.path(), "server", wanted);
        let builder = ServerConfig::builder_with_provider(Arc::new(default_provider()))
            .with_protocol_versions(&[of])
            .unwrap();
        let builder = if asks {
            let mut roots = RootCertStore::empty();
            let der = CertificateDer::from_pem_slice(self.authority.pem.as_bytes()).unwrap();
            roots.add(der).unwrap();
            let provider = Arc::new(default_provider());
            let verifier =
                WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build();
            builder.with_client_cert_verifier(verifier.unwrap())
        } else {
            builder.with_no_client_auth()
        };
        let chain: Result<Vec<_>, _> =
            CertificateDer::pem_file_iter(&issued.chain).unwrap().collect();
        let key = PrivateKeyDer::from_pem_file(&issued.key).unwrap();
        let fake = Fake::with_tls(builder.with_single_cert(chain.unwrap(), key).unwrap());
        fake.answers("GET /v1/log-level", 200, r#"{"level":"info"}"#);
        fake
    }

    fn serve_localhost(&self) -> Fake {
        self.serve(&Wanted::server("localhost"), false, &version::TLS13)
    }

    fn client(&self, authority: &Authority, wanted: &Wanted<'_>) -> Issued {
        authority.issue(self.home.path(), "client", wanted)
    }
}

fn client(name: &str) -> Wanted<'_> {
    Wanted { is_client: true, ..Wanted::server(name) }
}

fn write(authority: &Authority, to: &Path) -> String {
    std::fs::write(to, &authority.pem).unwrap();
    path(to)
}

fn path(path: &Path) -> String {
    path.to_str().unwrap().to_owned()
}

#[test]
fn a_server_of_an_authority_that_is_named_is_asked() {
    let site = Site::new();
    let fake = site.serve_localhost();
    let token = "a-token-that-nobody-may-see";
    done(&ctl(&fake, &["log-level", "--ca", &site.ca, "--token", token]));
    let mut by_environment = limpet(&["ctl", "log-level"]);
    by_environment.envs([("LIMPET_ADMIN", &*fake.admin), ("LIMPET_CA", &site.ca)]);
    done(&by_environment.output().unwrap());
    done(&limpet(&["ctl", "log-level", "--url", &fake.admin, "--ca", &site.ca]).output().unwrap());
    let asked = fake.asked();
    assert_eq!(asked.len(), 3);
    assert_eq!(asked[0].field("authorization"), Some(&*format!("Bearer {token}")));
    assert_eq!(asked[0].field("host"), fake.admin.strip_prefix("https://"));
}

#[test]
fn a_server_of_an_unknown_authority_gets_nothing() {
    let site = Site::new();
    let fake = site.serve_localhost();
    let said = failed(&ctl(&fake, &["log-level"]), 1);
    assert_has(&said, &["https://localhost:", "its certificate is of no authority", "--ca FILE"]);
    let others = write(&Authority::new("others"), &site.home.path().join("others.pem"));
    let said = failed(&ctl(&fake, &["log-level", "--ca", &others]), 1);
    assert_has(&said, &["of no authority that --ca (LIMPET_CA) names"]);
    assert!(fake.asked().is_empty(), "no request, and no token, was sent");
}

#[test]
fn a_certificate_for_another_name_is_refused_and_server_name_says_which_it_has() {
    let site = Site::new();
    let fake = site.serve(&Wanted::server("lb.example"), false, &version::TLS13);
    let said = failed(&ctl(&fake, &["log-level", "--ca", &site.ca]), 1);
    assert_has(&said, &["is not for localhost, but for", "lb.example", "--server-name NAME"]);
    done(&ctl(&fake, &["log-level", "--ca", &site.ca, "--server-name", "lb.example"]));
    let mut by_environment =
        limpet(&["ctl", "--admin", &fake.admin, "--ca", &site.ca, "log-level"]);
    done(&by_environment.env("LIMPET_SERVER_NAME", "lb.example").output().unwrap());
}

#[test]
fn an_expired_certificate_is_called_so() {
    let site = Site::new();
    let expired = Wanted { days: -1, ..Wanted::server("localhost") };
    let fake = site.serve(&expired, false, &version::TLS13);
    let said = failed(&ctl(&fake, &["log-level", "--ca", &site.ca]), 1);
    assert_has(&said, &["its certificate has expired"]);
}

#[test]
fn a_client_certificate_is_asked_for_by_name_and_shown() {
    let site = Site::new();
    for version in [&version::TLS13, &version::TLS12] {
        let fake = site.serve(&Wanted::server("localhost"), true, version);
        let said = failed(&ctl(&fake, &["log-level", "--ca", &site.ca]), 1);
        assert_has(&said, &["client certificate", "--cert FILE", "--key FILE"]);
        let client = site.client(&site.authority, &client("ops"));
        let (cert, key) = (path(&client.chain), path(&client.key));
        done(&ctl(&fake, &["log-level", "--ca", &site.ca, "--cert", &cert, "--key", &key]));
        let mut by_environment = limpet(&["ctl", "--admin", &fake.admin, "log-level"]);
        by_environment.envs([
            ("LIMPET_CA", &site.ca),
            ("LIMPET_CERT", &cert),
            ("LIMPET_KEY", &key),
        ]);
        done(&by_environment.output().unwrap());
        let both = site.home.path().join("both.pem");
        let whole = [&client.chain, &client.key].map(|path| std::fs::read_to_string(path).unwrap());
        std::fs::write(&both, whole.concat()).unwrap();
        done(&ctl(&fake, &["log-level", "--ca", &site.ca, "--cert", &path(&both)]));
    }
}

#[test]
fn a_client_certificate_that_the_server_refuses_is_called_so() {
    let site = Site::new();
    let fake = site.serve(&Wanted::server("localhost"), true, &version::TLS13);
    let others = Authority::new("others");
    let expired = Wanted { days: -1, ..client("ops") };
    for (client, said) in [
        (site.client(&others, &client("ops")), "refuses the client certificate"),
        (site.client(&site.authority, &expired), "client certificate, which has expired"),
    ] {
        let (cert, key) = (path(&client.chain), path(&client.key));
        let output = ctl(&fake, &["log-level", "--ca", &site.ca, "--cert", &cert, "--key", &key]);
        assert_has(&failed(&output, 1), &[said]);
    }
}

#[test]
fn what_does_not_speak_tls_is_called_so() {
    let fake = Fake::on_tcp();
    let site = Site::new();
    let https = fake.admin.replace("http://", "https://");
    let output = limpet(&["ctl", "--admin", &https, "--ca", &site.ca, "status"]).output().unwrap();
    assert_has(&failed(&output, 1), &["does not speak TLS", "http://"]);
}

#[test]
fn files_that_cannot_be_used_are_named_and_never_quoted() {
    let site = Site::new();
    let home = site.home.path();
    let secret = path(&home.join("secret"));
    std::fs::write(&secret, "-----BEGIN PRIVATE KEY----- aHVzaC1odXNo\n").unwrap();
    let ops = site.client(&site.authority, &client("ops"));
    let cert = path(&ops.chain);
    let other = path(&site.authority.issue(home, "other", &client("other")).key);
    let cases: [(&[&str], &str); 6] = [
        (&["--ca", "/nonexistent"], "--ca /nonexistent: cannot be read"),
        (&["--ca", &secret], "--ca "),
        (&["--cert", &cert, "--key", &secret], "has no private key"),
        (&["--cert", &secret], "has no certificate"),
        (&["--cert", &cert, "--key", &other], "does not match"),
        (&["--key", &other], "is a key without its certificate"),
    ];
    for (options, expected) in cases {
        let whole = [&["ctl", "--admin", "https://localhost:1", "log-level"], options].concat();
        let output = limpet(&whole).output().unwrap();
        let said = failed(&output, 2);
        assert_has(&said, &[expected]);
        assert!(!said.contains("aHVzaC1odXNo") && !text(&output.stdout).contains("aHVz"), "{said}");
        // Bytes as numbers are as good as their text.
        assert!(!said.contains("97, 72, 86, 122"), "{said}");
    }
}
