//! Authorities and their certificates, as files of a test's folder.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose,
};

pub const DAY_S: i64 = 86_400;

/// Signs certificates.
pub struct Authority {
    params: CertificateParams,
    key: KeyPair,
    pub pem: String,
}

/// The files of one certificate.
#[derive(Debug, Clone)]
pub struct Issued {
    pub chain: PathBuf,
    pub key: PathBuf,
}

/// A certificate to be issued: its name, for a server one that clients ask for; the days until its end.
pub struct Wanted<'w> {
    pub name: &'w str,
    pub is_client: bool,
    pub days: i64,
}

impl Wanted<'_> {
    pub fn server(name: &str) -> Wanted<'_> {
        Wanted { name, is_client: false, days: 90 }
    }
}

impl Authority {
    pub fn new(name: &str) -> Authority {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let key = KeyPair::generate().unwrap();
        let pem = params.self_signed(&key).unwrap().pem();
        Authority { params, key, pem }
    }

    /// FILE.pem and FILE.key in the folder.
    pub fn issue(&self, folder: &Path, file: &str, wanted: &Wanted<'_>) -> Issued {
        let names = if wanted.is_client { Vec::new() } else { vec![wanted.name.to_owned()] };
        let mut params = CertificateParams::new(names).unwrap();
        params.distinguished_name = rcgen::DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, wanted.name);
        let usage = match wanted.is_client {
            true => ExtendedKeyUsagePurpose::ClientAuth,
            false => ExtendedKeyUsagePurpose::ServerAuth,
        };
        params.extended_key_usages = vec![usage];
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
        let end = now.checked_add_signed(wanted.days * DAY_S).unwrap();
        params.not_after = rcgen::date_time_ymd(1970, 1, 1) + Duration::from_secs(end);
        let key = KeyPair::generate().unwrap();
        let issuer = Issuer::from_params(&self.params, &self.key);
        let pem = params.signed_by(&key, &issuer).unwrap().pem();
        let issued = Issued {
            chain: folder.join(format!("{file}.pem")),
            key: folder.join(format!("{file}.key")),
        };
        // The root behind it makes the chain whole.
        std::fs::write(&issued.chain, format!("{pem}{}", self.pem)).unwrap();
        std::fs::write(&issued.key, key.serialize_pem()).unwrap();
        let private = std::fs::Permissions::from_mode(0o600);
        std::fs::set_permissions(&issued.key, private).unwrap();
        issued
    }
}
