//! The certificates of TLS listeners, of the admin API and of target groups, for people. Tested by `tests/admin` and
//! with `certificates`.

use super::operator::Operator;
use super::views::{Certificate, CertificateOrder, CertificateReading, Certificates};
use crate::control::acme::Standing;
use crate::control::certificates::{Shown, now_s};
use crate::tls::certificate::Validity;
use crate::tls::names::Source;
use crate::tls::x509::hex;

impl Operator {
    pub fn certificates(&self) -> Certificates {
        let (certificates, now) = (self.control.certificates(), now_s());
        let reading = self.control.last_certificate_reading();
        Certificates {
            certificates: certificates.shown().iter().map(|shown| view(shown, now)).collect(),
            orders: self.control.acme().standing().into_iter().map(order).collect(),
            last_reading: CertificateReading { unix_ms: reading.unix_ms, fault: reading.fault },
            notes: certificates.notes().to_vec(),
        }
    }
}

fn order(standing: Standing) -> CertificateOrder {
    let Standing { names, directory, order_at, failures, fault, is_obtained } = standing;
    CertificateOrder {
        names,
        directory,
        obtained: is_obtained,
        // What is due at once has no time.
        next_unix_s: Some(order_at).filter(|at| *at > 0),
        failures,
        fault,
    }
}

fn view(shown: &Shown, now: i64) -> Certificate {
    let certificate = &shown.certificate;
    let facts = &certificate.facts;
    Certificate {
        listener: shown.presenter.listener().map(str::to_owned),
        target_group: shown.presenter.target_group().map(str::to_owned),
        profiles: shown.profiles.clone(),
        chain: shown.chain.display().to_string(),
        source: match shown.source {
            Source::Listed => "listed",
            Source::Directory => "directory",
            Source::Acme => "acme",
        },
        names: facts.names.iter().map(ToString::to_string).collect(),
        subject: facts.subject.clone(),
        issuer: facts.issuer.clone(),
        serial: facts.serial.clone(),
        key: facts.key.to_string(),
        sha256: hex(&facts.fingerprint),
        not_before_unix_s: facts.not_before,
        not_after_unix_s: certificate.not_after,
        state: match certificate.validity(now) {
            Validity::Valid => "valid",
            Validity::NotYet => "not_yet_valid",
            Validity::Expired => "expired",
        },
        stapled_until_unix_s: certificate.staple_until().filter(|until| *until >= now),
    }
}
