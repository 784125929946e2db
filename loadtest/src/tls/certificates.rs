//! Certificates for the servers that are loaded, made when they are needed.
//!
//! Owns: an authority, an intermediate one, and the certificate of one host, of one algorithm. Never: a key that lives
//! longer than the folder it was written into. Tested in `tests.rs`.

use std::error::Error;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa,
    KeyPair, KeyUsagePurpose, PKCS_ECDSA_P256_SHA256, PKCS_RSA_SHA256, RsaKeySize,
};
use serde::{Deserialize, Serialize};

/// How long they hold, from an hour ago.
const LIFETIME: Duration = Duration::from_secs(30 * 24 * 60 * 60);

const HOUR: Duration = Duration::from_secs(60 * 60);

/// What a certificate's key is.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    Hash,
    PartialOrd,
    Ord,
    Deserialize,
    Serialize,
    clap::ValueEnum,
)]
#[serde(rename_all = "kebab-case")]
pub enum Algorithm {
    /// ECDSA on P-256.
    Ecdsa,
    /// RSA of 2048 bits.
    Rsa,
}

/// Options of `loadtest certificate`.
#[derive(Debug, Clone, clap::Args)]
pub struct Options {
    /// Whose it is
    #[arg(long, value_name = "NAME", default_value = "www.example.com")]
    host: String,
    /// What its key is
    #[arg(long, value_enum, default_value = "ecdsa")]
    algorithm: Algorithm,
    /// Where the files go: ecdsa.pem, ecdsa.key and ecdsa-combined.pem, or the same for rsa
    #[arg(long, value_name = "DIR")]
    directory: PathBuf,
}

/// Makes one, and says where it is.
///
/// # Errors
/// As [`make`].
pub fn run(options: &Options) -> Result<(), Box<dyn Error>> {
    let made = make(options.algorithm, &options.host, &options.directory)?;
    println!("chain {}\nkey {}", made.chain.display(), made.key.display());
    Ok(())
}

/// A host's certificate, in files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Certificate {
    /// The host's certificate and behind it the intermediate authority's, in PEM.
    pub chain: PathBuf,
    /// Its key, in PKCS#8 and PEM.
    pub key: PathBuf,
    /// Both in one file, as some servers want it.
    pub combined: PathBuf,
}

/// Makes the certificate of a host, and writes it into a folder.
///
/// # Errors
/// When a file cannot be written, or the host is no name.
pub fn make(algorithm: Algorithm, host: &str, directory: &Path) -> io::Result<Certificate> {
    let (chain, key) = issue(algorithm, host).map_err(io::Error::other)?;
    let name = match algorithm {
        Algorithm::Ecdsa => "ecdsa",
        Algorithm::Rsa => "rsa",
    };
    let path = |end: &str| directory.join(format!("{name}{end}"));
    let made =
        Certificate { chain: path(".pem"), key: path(".key"), combined: path("-combined.pem") };
    fs::write(&made.chain, &chain)?;
    fs::write(&made.key, &key)?;
    fs::write(&made.combined, chain + &key)?;
    Ok(made)
}

/// Chain and key in PEM.
fn issue(algorithm: Algorithm, host: &str) -> Result<(String, String), rcgen::Error> {
    let authority = |name: &str| {
        let mut params = params(name, Vec::new())?;
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        Ok::<_, rcgen::Error>(params)
    };
    let root = CertifiedIssuer::self_signed(authority("loadtest root")?, key(algorithm)?)?;
    let between =
        CertifiedIssuer::signed_by(authority("loadtest authority")?, key(algorithm)?, &root)?;
    let mut params = params(host, vec![host.to_owned()])?;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    params.use_authority_key_identifier_extension = true;
    let key = key(algorithm)?;
    let leaf = params.signed_by(&key, &between)?;
    Ok((leaf.pem() + &between.as_ref().pem(), key.serialize_pem()))
}

fn params(name: &str, hosts: Vec<String>) -> Result<CertificateParams, rcgen::Error> {
    let mut params = CertificateParams::new(hosts)?;
    params.distinguished_name.push(DnType::CommonName, name);
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let epoch = rcgen::date_time_ymd(1970, 1, 1);
    params.not_before = epoch + now.saturating_sub(HOUR);
    params.not_after = epoch + (now + LIFETIME);
    Ok(params)
}

fn key(algorithm: Algorithm) -> Result<KeyPair, rcgen::Error> {
    match algorithm {
        Algorithm::Ecdsa => KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256),
        Algorithm::Rsa => KeyPair::generate_rsa_for(&PKCS_RSA_SHA256, RsaKeySize::_2048),
    }
}
