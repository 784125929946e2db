//! The demo's own authority: it signs one certificate, for the balancer, and is gone with the demo.
//!
//! Owns: the folder with the files that the balancer reads and that a client is told to trust. The authority's key is
//! in none of them, so that nobody can sign by it. Tested below and by `tests/demo.rs`.

use std::fs::{DirBuilder, OpenOptions};
use std::io::{self, Write as _};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DistinguishedName, DnType,
    ExtendedKeyUsagePurpose, IsCa, KeyPair, KeyUsagePurpose,
};
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::{ClientConfig, RootCertStore};

use super::client::Place;

/// How long the certificates hold. A demo that runs for longer is started again.
const LIFETIME: Duration = Duration::from_secs(7 * 86_400);

/// How far a client's clock may be behind.
const LEEWAY: Duration = Duration::from_secs(86_400);

/// Why there is no certificate; reads as the end of a sentence.
#[derive(Debug, thiserror::Error)]
pub enum AuthorityError {
    #[error("the certificate could not be made: {0}")]
    Certificate(#[from] rcgen::Error),
    #[error("the certificate could not be trusted: {0}")]
    Trust(#[from] rustls::Error),
    #[error("the certificate's files could not be written to {0}: {1}")]
    Files(PathBuf, io::Error),
    #[error("the folder for temporary files, {0:?}, has a name that is not UTF-8")]
    Folder(PathBuf),
    #[error("{0}")]
    Random(String),
}

/// The files of a certificate, as a configuration names them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Files {
    pub chain: String,
    pub key: String,
}

impl Files {
    /// Where no demo runs.
    pub fn example() -> Files {
        let file = |end| format!("/etc/limpet/tls/demo.{end}");
        Files { chain: file("pem"), key: file("key") }
    }
}

/// A folder that is removed when it is dropped.
#[derive(Debug)]
struct Folder(PathBuf);

impl Drop for Folder {
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_dir_all(&self.0) {
            tracing::warn!("{} could not be removed: {error}", self.0.display());
        }
    }
}

/// The certificates of one demo.
#[derive(Debug)]
pub struct Authority {
    /// Only its end matters.
    _folder: Folder,
    files: Files,
    /// The authority's certificate, in PEM.
    own_file: String,
    trust: Arc<ClientConfig>,
}

impl Authority {
    /// Signs a certificate for the balancer at `ip`, and for this machine's other names.
    ///
    /// # Errors
    /// See [`AuthorityError`].
    pub fn new(ip: IpAddr) -> Result<Authority, AuthorityError> {
        let issuer = CertifiedIssuer::self_signed(of_authority(), KeyPair::generate()?)?;
        let key = KeyPair::generate()?;
        let certificate = of_balancer(ip)?.signed_by(&key, &issuer)?;

        let folder = folder()?;
        let path = |name: &str| folder.0.join(name);
        let text = |path: PathBuf| {
            path.to_str().map(str::to_owned).ok_or_else(|| AuthorityError::Folder(path.clone()))
        };
        let own_file = text(path("authority.pem"))?;
        let files = Files { chain: text(path("balancer.pem"))?, key: text(path("balancer.key"))? };
        for (path, content) in [
            (&own_file, issuer.pem()),
            (&files.chain, certificate.pem()),
            (&files.key, key.serialize_pem()),
        ] {
            write(Path::new(path), &content)
                .map_err(|error| AuthorityError::Files(PathBuf::from(path), error))?;
        }
        let trust = Arc::new(trust(&issuer)?);
        Ok(Authority { _folder: folder, files, own_file, trust })
    }

    pub fn files(&self) -> &Files {
        &self.files
    }

    /// The file with the authority's own certificate.
    pub fn own_file(&self) -> &str {
        &self.own_file
    }

    /// The balancer at this address, for a client that trusts this authority.
    pub fn place(&self, address: std::net::SocketAddr) -> Place {
        Place::secure(address, Arc::clone(&self.trust))
    }
}

fn of_authority() -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = named("limpet demo, for one run alone");
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    limited(params)
}

fn of_balancer(ip: IpAddr) -> Result<CertificateParams, rcgen::Error> {
    let local = [ip, Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()];
    let mut names = vec!["localhost".to_owned()];
    for ip in local.map(|ip| ip.to_string()) {
        if !names.contains(&ip) {
            names.push(ip);
        }
    }
    let mut params = CertificateParams::new(names)?;
    params.distinguished_name = named("limpet demo");
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    params.use_authority_key_identifier_extension = true;
    Ok(limited(params))
}

fn named(name: &str) -> DistinguishedName {
    let mut subject = DistinguishedName::new();
    subject.push(DnType::CommonName, name);
    subject
}

fn limited(mut params: CertificateParams) -> CertificateParams {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let epoch = rcgen::date_time_ymd(1970, 1, 1);
    params.not_before = epoch + now.saturating_sub(LEEWAY);
    params.not_after = epoch + now + LIFETIME;
    params
}

/// A new folder that nobody else looks into.
fn folder() -> Result<Folder, AuthorityError> {
    let mut random = [0; 8];
    aws_lc_rs::rand::fill(&mut random)
        .map_err(|_| AuthorityError::Random(super::configuration::NO_RANDOM.to_owned()))?;
    let name = format!("limpet-demo-{:016x}", u64::from_be_bytes(random));
    let path = std::env::temp_dir().join(name);
    let path = std::path::absolute(&path).unwrap_or(path);
    let made = DirBuilder::new().mode(0o700).create(&path);
    made.map_err(|error| AuthorityError::Files(path.clone(), error))?;
    Ok(Folder(path))
}

fn write(path: &Path, content: &str) -> io::Result<()> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true).mode(0o600).open(path)?.write_all(content.as_bytes())
}

fn trust(issuer: &CertifiedIssuer<'_, KeyPair>) -> Result<ClientConfig, rustls::Error> {
    let mut roots = RootCertStore::empty();
    roots.add(issuer.der().clone())?;
    let builder = ClientConfig::builder_with_provider(Arc::new(default_provider()));
    let builder = builder.with_safe_default_protocol_versions()?.with_root_certificates(roots);
    Ok(builder.with_no_client_auth())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn the_files_are_the_users_alone_and_end_with_the_demo() {
        let authority = Authority::new(Ipv4Addr::LOCALHOST.into()).unwrap();
        let Files { chain, key } = authority.files().clone();
        let folder = Path::new(&chain).parent().unwrap().to_owned();
        let mode = |path: &Path| path.metadata().unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(&folder), mode(Path::new(&key))), (0o700, 0o600));
        let texts = [&chain, &key, &authority.own_file().to_owned()]
            .map(|path| std::fs::read_to_string(path).unwrap());
        let keys = texts.iter().filter(|text| text.contains("PRIVATE KEY")).count();
        assert_eq!(keys, 1, "the authority's key is in no file");
        drop(authority);
        assert!(!folder.exists());
    }
}
