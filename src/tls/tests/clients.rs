//! Client certificates: who is let in, and what is known of them.

use std::sync::Arc;

use rcgen::{DnType, ExtendedKeyUsagePurpose};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use rustls::{CertificateError, Error};

use crate::tls::client_auth::*;
use crate::tls::tests::pki::*;
use crate::tls::x509::fingerprint;

struct Site {
    /// Of the server's certificate.
    root: Authority,
    server: Issued,
    clients: Authority,
}

const DEVICE: Wanted<'static> = Wanted {
    names: &["device.example"],
    subject: &[(DnType::OrganizationName, "Shop, Inc."), (DnType::CommonName, "device 7")],
    algorithm: Algorithm::Ecdsa,
    days: (-10, 80),
    usage: ExtendedKeyUsagePurpose::ClientAuth,
    serial: 7,
};

impl Site {
    fn new() -> Site {
        let root = Authority::root("root");
        let server = root.issue(&Wanted::default());
        Site { root, server, clients: Authority::root("clients") }
    }

    fn auth(&self, mode: ClientMode) -> ClientAuth {
        ClientAuth {
            mode,
            authorities: authorities(self.clients.pem.as_bytes()).unwrap(),
            verify_depth: 4,
            ..ClientAuth::off()
        }
    }

    /// Shakes hands with a client that has this certificate, or none.
    fn connect(&self, auth: ClientAuth, own: Option<&Issued>) -> Result<Connected, Error> {
        let mut options = options(vec![listed(&self.server)]);
        options.own.client = auth;
        let config = Arc::new(client(&self.root, None, own));
        connect(&listener(options), &config, "shop.example").map_err(|failure| match failure {
            Failure::Server(error) => error,
            other => panic!("{other:?}"),
        })
    }

    #[track_caller]
    fn assert_refused(&self, auth: ClientAuth, own: Option<&Issued>, why: &CertificateError) {
        let error = self.connect(auth, own).err().expect("refused");
        assert_eq!(error, Error::InvalidCertificate(why.clone()));
    }
}

/// The chain of a client whose issuer is not the authority itself.
fn behind(issued: &Issued, chain: &[&Authority]) -> Issued {
    let pem = chain.iter().fold(issued.pem.clone(), |pem, authority| pem + &authority.pem);
    Issued { pem, key: issued.key.clone() }
}

#[test]
fn required_wants_a_certificate_and_optional_lets_pass_who_has_none() {
    let site = Site::new();
    let device = site.clients.issue(&DEVICE);
    let stranger = Authority::root("others").issue(&DEVICE);
    for mode in [ClientMode::Optional, ClientMode::Required] {
        assert!(site.connect(site.auth(mode), Some(&device)).is_ok());
        let refused = site.connect(site.auth(mode), Some(&stranger)).err();
        assert_eq!(refused, Some(Error::InvalidCertificate(CertificateError::UnknownIssuer)));
    }
    assert!(site.connect(site.auth(ClientMode::Optional), None).is_ok());
    let refused = site.connect(site.auth(ClientMode::Required), None).err();
    assert_eq!(refused, Some(Error::NoCertificatesPresented));
    // Nobody asks for it.
    assert!(site.connect(ClientAuth::off(), Some(&stranger)).is_ok());
}

#[test]
fn a_revoked_client_and_a_revoked_issuer_are_refused() {
    let site = Site::new();
    let between = site.clients.under("between");
    let device = behind(&between.issue(&DEVICE), &[&between]);
    let with = |lists: &[Vec<u8>]| {
        let lists = lists.iter().flat_map(|list| crls(list).unwrap());
        ClientAuth { crls: lists.collect(), ..site.auth(ClientMode::Required) }
    };
    // Lists of others, and of only one of the two issuers, say nothing against it.
    assert!(site.connect(with(&[between.revoke(&[8], 40)]), Some(&device)).is_ok());
    assert!(site.connect(with(&[site.clients.revoke(&[7], 40)]), Some(&device)).is_ok());
    let revoked = CertificateError::Revoked;
    site.assert_refused(with(&[between.revoke(&[7], 40)]), Some(&device), &revoked);
    site.assert_refused(with(&[site.clients.revoke(&[77], 40)]), Some(&device), &revoked);
}

#[test]
fn an_expired_list_still_counts_unless_it_is_to_be_refused() {
    let site = Site::new();
    let device = site.clients.issue(&DEVICE);
    let with = |serial, crl_expired| ClientAuth {
        crls: crls(&site.clients.revoke(&[serial], 1)).unwrap(),
        crl_expired,
        ..site.auth(ClientMode::Required)
    };
    assert!(site.connect(with(8, CrlExpired::Accept), Some(&device)).is_ok());
    site.assert_refused(with(7, CrlExpired::Accept), Some(&device), &CertificateError::Revoked);
    let refused = site.connect(with(8, CrlExpired::Refuse), Some(&device)).err();
    let is_expired = |error: &Error| {
        matches!(
            error,
            Error::InvalidCertificate(CertificateError::ExpiredRevocationListContext { .. })
        )
    };
    assert!(refused.as_ref().is_some_and(is_expired), "{refused:?}");
}

#[test]
fn a_chain_that_is_deeper_than_allowed_is_refused() {
    let site = Site::new();
    let one = site.clients.under("one");
    let two = one.under("two");
    let device = behind(&two.issue(&DEVICE), &[&two, &one]);
    let shallow = behind(&one.issue(&DEVICE), &[&one, &two]);
    let depth = |verify_depth| ClientAuth { verify_depth, ..site.auth(ClientMode::Required) };
    assert!(site.connect(depth(2), Some(&device)).is_ok());
    site.assert_refused(depth(1), Some(&device), &CertificateError::UnknownIssuer);
    assert!(site.connect(depth(1), Some(&shallow)).is_ok(), "what nobody needs is not counted");
}

#[test]
fn lists_of_subjects_and_fingerprints_let_pass_who_is_on_either() {
    let site = Site::new();
    let device = site.clients.issue(&DEVICE);
    let other = site.clients.issue(&Wanted { subject: &[], ..DEVICE });
    let der = CertificateDer::from_pem_slice(other.pem.as_bytes()).unwrap();
    let with = |subjects: &[&str], fingerprints: &[[u8; 32]]| ClientAuth {
        subjects: subjects.iter().map(|text| (*text).to_owned()).collect(),
        fingerprints: fingerprints.to_vec(),
        ..site.auth(ClientMode::Required)
    };
    let subject = "CN=device 7,O=Shop\\, Inc.";
    let refused = CertificateError::ApplicationVerificationFailure;
    assert!(site.connect(with(&[subject], &[]), Some(&device)).is_ok());
    site.assert_refused(with(&[subject], &[]), Some(&other), &refused);
    assert!(site.connect(with(&[subject], &[fingerprint(&der)]), Some(&other)).is_ok());
    site.assert_refused(with(&[], &[fingerprint(&der)]), Some(&device), &refused);
}

#[test]
fn what_is_known_of_a_client_is_ready_to_stand_in_a_field() {
    let clients = Authority::root("clients");
    let issued = clients.issue(&Wanted {
        names: &["device.example", "192.0.2.7"],
        subject: &[
            (DnType::OrganizationName, " Shop+\"x\"\r\nInjected: 1"),
            (DnType::CommonName, "#7"),
        ],
        serial: 0x07AB,
        ..DEVICE
    });
    let der = CertificateDer::from_pem_slice(issued.pem.as_bytes()).unwrap();
    let known = ClientCertificate::of(&der).unwrap();
    assert_eq!(known.subject, "CN=\\#7,O=\\ Shop\\+\\\"x\\\"\\0D\\0AInjected: 1");
    assert_eq!(known.issuer, "CN=clients");
    assert_eq!(known.alt_names, "device.example,192.0.2.7");
    assert_eq!(known.serial, "7ab");
    assert_eq!(known.fingerprint.len(), 64);
    // RFC 9440 §2.1: one byte sequence between colons.
    assert!(known.field.starts_with(":MII") && known.field.ends_with(':'), "{}", known.field);
}

#[test]
fn files_without_an_authority_or_a_list_are_refused() {
    let site = Site::new();
    assert_eq!(authorities(b""), Err(ClientAuthFault::NoAuthority));
    let broken = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    let two = [site.clients.pem.as_bytes(), broken.as_bytes()].concat();
    assert!(matches!(authorities(&two), Err(ClientAuthFault::Authority { position: 2, .. })));
    for bytes in [&b""[..], &[0x30, 0], site.clients.pem.as_bytes()] {
        assert!(matches!(crls(bytes), Err(ClientAuthFault::Crl(_))));
    }
    let off = ClientAuthId::of(&ClientAuth::off());
    assert_ne!(ClientAuthId::of(&site.auth(ClientMode::Required)), off);
    let unused = ClientAuth { mode: ClientMode::Off, ..site.auth(ClientMode::Required) };
    assert_eq!(ClientAuthId::of(&unused), off, "what nobody asks makes no difference");
}
