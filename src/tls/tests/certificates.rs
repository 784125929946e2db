//! Chains, keys and staples: what is read, and what is refused with which words.

use crate::tls::certificate::{Certificate, CertificateFault, Part, Validity};
use crate::tls::staple::StapleFault;
use crate::tls::tests::pki::{Authority, Issued, NOW, Wanted};
use crate::tls::x509::AltName;

macro_rules! fixture {
    ($name:literal) => {
        include_bytes!(concat!("fixtures/", $name)).as_slice()
    };
}

fn fault(chain: &str, key: &str) -> CertificateFault {
    Certificate::read(chain.as_bytes(), Some(key.as_bytes())).unwrap_err()
}

fn issued() -> (Authority, Authority, Issued) {
    let root = Authority::root("root");
    let between = root.under("between");
    let leaf = between.issue(&Wanted::default());
    (root, between, leaf)
}

#[test]
fn names_come_from_the_alternative_names_alone() {
    let root = Authority::root("root");
    let issued = root.issue(&Wanted {
        names: &["Shop.Example", "*.shop.example", "192.0.2.1", "2001:db8::1"],
        subject: &[(rcgen::DnType::CommonName, "other.example")],
        serial: 0xABCD,
        ..Wanted::default()
    });
    let read = Certificate::read(issued.pem.as_bytes(), Some(issued.key.as_bytes())).unwrap();
    let names: Vec<String> = read.facts.names.iter().map(ToString::to_string).collect();
    assert_eq!(names, ["shop.example", "*.shop.example", "192.0.2.1", "2001:db8::1"]);
    assert_eq!(read.facts.serial, "abcd");
    assert_eq!(read.facts.subject, "CN=other.example");
    assert_eq!(read.facts.issuer, "CN=root");
    for host in ["SHOP.example", "shop.example.", "a.shop.example", "192.0.2.1", "[2001:db8::1]"] {
        assert!(read.facts.covers(host), "{host}");
    }
    for host in ["other.example", "a.b.shop.example", ".shop.example", "192.0.2.2", ""] {
        assert!(!read.facts.covers(host), "{host}");
    }
}

#[test]
fn keys_are_read_in_every_form_and_from_the_chains_own_file() {
    for key in [fixture!("rsa.key"), fixture!("rsa.pkcs1.key")] {
        Certificate::read(fixture!("rsa.pem"), Some(key)).unwrap();
        let combined = [fixture!("rsa.pem"), key].concat();
        Certificate::read(&combined, None).unwrap();
    }
    for key in [fixture!("ec.key"), fixture!("ec.sec1.key")] {
        let read = Certificate::read(fixture!("ec.pem"), Some(key)).unwrap();
        assert_eq!(read.facts.names, [AltName::Dns("shop.example".into())]);
    }
}

#[test]
fn an_encrypted_key_is_refused_by_name() {
    for key in [fixture!("rsa.pkcs1.encrypted.key"), fixture!("rsa.pkcs8.encrypted.key")] {
        let fault = Certificate::read(fixture!("rsa.pem"), Some(key)).unwrap_err();
        assert_eq!(fault, CertificateFault::EncryptedKey);
        assert_eq!(fault.part(), Part::Key);
    }
}

#[test]
fn a_key_that_is_missing_of_another_certificate_or_one_of_two_is_refused() {
    let (.., leaf) = issued();
    let (.., other) = issued();
    assert_eq!(fault(&leaf.pem, &other.key), CertificateFault::OtherKey);
    assert_eq!(fault(&leaf.pem, ""), CertificateFault::NoKey);
    assert_eq!(fault(&leaf.pem, &(leaf.key.clone() + &leaf.key)), CertificateFault::ManyKeys(2));
    assert_eq!(Certificate::read(leaf.pem.as_bytes(), None).unwrap_err(), CertificateFault::NoKey);
    let damaged = "-----BEGIN PRIVATE KEY-----\nc2VjcmV0\n-----END PRIVATE KEY-----\n";
    let fault = fault(&leaf.pem, damaged);
    assert_eq!(fault, CertificateFault::UnusableKey);
    assert!(!fault.to_string().contains("c2Vjc"));
}

#[test]
fn a_chain_is_whole_and_in_order() {
    let (root, between, leaf) = issued();
    let read =
        |chain: &[&str]| Certificate::read(chain.concat().as_bytes(), Some(leaf.key.as_bytes()));
    read(&[&leaf.pem, &between.pem]).unwrap();
    read(&[&leaf.pem, &between.pem, &root.pem]).unwrap();
    assert_eq!(
        read(&[&leaf.pem, &root.pem, &between.pem]).unwrap_err(),
        CertificateFault::WrongOrder {
            position: 2,
            subject: "CN=root".into(),
            before: 1,
            issuer: "CN=between".into(),
            found: 3,
        }
    );
    assert_eq!(
        read(&[&leaf.pem, &root.pem]).unwrap_err(),
        CertificateFault::Incomplete { before: 1, issuer: "CN=between".into() }
    );
    let authority_first = read(&[&between.pem, &leaf.pem]).unwrap_err();
    assert_eq!(authority_first.part(), Part::Chain);
    assert_eq!(read(&[]).unwrap_err(), CertificateFault::NoCertificate);
    assert_eq!(read(&[leaf.pem.as_str(); 11]).unwrap_err(), CertificateFault::TooMany);
}

#[test]
fn weak_keys_and_digests_are_refused() {
    let weak = Certificate::read(fixture!("weak.pem"), Some(fixture!("weak.key")));
    assert_eq!(weak.unwrap_err(), CertificateFault::WeakKey { position: 1, bits: 1024 });
    let old = Certificate::read(fixture!("sha1.pem"), Some(fixture!("sha1.key")));
    assert_eq!(old.unwrap_err(), CertificateFault::WeakDigest { position: 1, digest: "SHA-1" });
}

#[test]
fn a_certificate_for_clients_is_refused() {
    let usage = rcgen::ExtendedKeyUsagePurpose::ClientAuth;
    let leaf = Authority::root("root").issue(&Wanted { usage, ..Wanted::default() });
    assert_eq!(fault(&leaf.pem, &leaf.key), CertificateFault::NotForServers);
}

#[test]
fn dates_are_compared_with_a_time() {
    let (.., leaf) = issued();
    let read = Certificate::read(leaf.pem.as_bytes(), Some(leaf.key.as_bytes())).unwrap();
    let (before, after) = (read.facts.not_before, read.facts.not_after);
    assert_eq!(read.validity(before), Validity::Valid);
    assert_eq!(read.validity(before - 1), Validity::NotYet);
    assert_eq!(read.validity(after), Validity::Valid);
    assert_eq!(read.validity(after + 1), Validity::Expired);
    assert_eq!(after, i64::try_from(NOW).unwrap() + 80 * 86_400);
}

#[test]
fn a_staple_is_sent_until_its_next_update() {
    let mut read = Certificate::read(fixture!("ec.pem"), Some(fixture!("ec.key"))).unwrap();
    assert_eq!(read.presented(NOW.try_into().unwrap()).ocsp, None);
    read.staple(fixture!("ec.ocsp")).unwrap();
    let until = read.staple_until().unwrap();
    assert_eq!(read.presented(until).ocsp.as_deref(), Some(fixture!("ec.ocsp")));
    assert_eq!(read.presented(until + 1).ocsp, None);
}

#[test]
fn a_staple_that_does_not_hold_is_refused() {
    let mut of_ec = Certificate::read(fixture!("ec.pem"), Some(fixture!("ec.key"))).unwrap();
    let mut of_rsa = Certificate::read(fixture!("rsa.pem"), Some(fixture!("rsa.key"))).unwrap();
    assert_eq!(of_rsa.staple(fixture!("ec.ocsp")), Err(StapleFault::OtherCertificate));
    assert_eq!(of_rsa.staple(fixture!("rsa.revoked.ocsp")), Err(StapleFault::NotGood));
    assert_eq!(of_ec.staple(fixture!("ec.endless.ocsp")), Err(StapleFault::NoNextUpdate));
    assert_eq!(of_ec.staple(b"no ocsp"), Err(StapleFault::NotOcsp));
    let whole = fixture!("ec.ocsp");
    for size in 0..whole.len() {
        // A response that was cut anywhere is none; its last part is the signature, which nobody reads.
        let cut = of_ec.staple(&whole[..size]);
        assert_eq!(cut, Err(StapleFault::NotOcsp), "{size} bytes");
    }
    assert_eq!(of_ec.staple_until(), None);
}

/// As an editor or a copy through a terminal leaves it: the library would quote the line, byte by byte.
#[test]
fn a_key_whose_newlines_were_lost_is_not_quoted() {
    let (_, _, leaf) = issued();
    let joined = leaf.key.replace('\n', " ");
    let secret = leaf.key.lines().nth(1).unwrap();
    let numbers = format!("{:?}", &secret.as_bytes()[..8]);
    let numbers = numbers.trim_matches(['[', ']']);
    let whole = format!("{}{joined}\n", leaf.pem);
    let combined = Certificate::read(whole.as_bytes(), None).unwrap_err().to_string();
    let authorities =
        crate::tls::client_auth::authorities(whole.as_bytes()).unwrap_err().to_string();
    let crls = crate::tls::client_auth::crls(joined.as_bytes()).unwrap_err().to_string();
    let alone = fault(&leaf.pem, &joined).to_string();
    for said in [combined, authorities, crls, alone] {
        assert!(!said.contains(&secret[..8]) && !said.contains(numbers), "{said}");
    }
}

#[test]
fn keys_are_named_as_people_know_them() {
    for (chain, key, name) in [
        (fixture!("rsa.pem"), fixture!("rsa.key"), "RSA 2048"),
        (fixture!("ec.pem"), fixture!("ec.key"), "ECDSA P-256"),
    ] {
        assert_eq!(Certificate::read(chain, Some(key)).unwrap().facts.key.to_string(), name);
    }
}
