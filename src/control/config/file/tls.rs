//! `[listener.tls]` and `[admin.tls]`: what is presented to clients, and what is asked of them.

use std::path::PathBuf;

use serde::Deserialize;

use crate::tls::client_auth::{ClientMode, CrlExpired};
use crate::tls::listener::HostMatch;
use crate::tls::policy::{PolicyName, Version};

#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tls {
    pub certificates: Vec<CertificateFiles>,
    pub directory: Option<PathBuf>,
    pub minimum_version: Version,
    pub policy: PolicyName,
    pub cipher_suites: Vec<String>,
    pub groups: Vec<String>,
    pub alpn: Vec<String>,
    pub strict_sni: bool,
    pub tickets: bool,
    pub host_match: HostMatch,
    /// Not for the admin API.
    #[serde(default)]
    pub small_records: bool,
    pub client: TlsClient,
    #[serde(rename = "profile")]
    pub profiles: Vec<TlsProfile>,
    pub acme: Option<Acme>,
}

/// A certificate that an authority issues over ACME.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Acme {
    /// An https URL.
    pub directory: String,
    pub names: Vec<String>,
    /// URLs of the scheme "mailto".
    pub contact: Vec<String>,
    pub challenge: ChallengeName,
    /// `None` = the system's authorities.
    pub authority_file: Option<PathBuf>,
    /// `None` = the authority's default.
    pub profile: Option<String>,
    /// `None` = in the state directory.
    pub shared_directory: Option<PathBuf>,
    pub external_account: Option<ExternalAccount>,
}

/// How a name is proved to be this server's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub enum ChallengeName {
    /// RFC 8737.
    #[serde(rename = "tls-alpn-01")]
    TlsAlpn01,
    /// RFC 8555 §8.3.
    #[serde(rename = "http-01")]
    Http01,
}

/// RFC 8555 §7.3.4.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ExternalAccount {
    pub key_id: String,
    pub key_file: PathBuf,
}

/// `[admin.tls]`: what the admin API presents, and whom it lets in by a certificate.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct AdminTls {
    #[serde(flatten)]
    pub presented: Tls,
    #[serde(rename = "role")]
    pub roles: Vec<Role>,
}

/// Client certificates that are let in without a token.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Role {
    pub role: RoleName,
    #[serde(default)]
    pub subjects: Vec<String>,
    #[serde(default)]
    pub fingerprints: Vec<String>,
}

/// What a client certificate may change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RoleName {
    Everything,
    Attributes,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CertificateFiles {
    pub chain: PathBuf,
    /// `None` = in the chain's file.
    pub key: Option<PathBuf>,
}

#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TlsClient {
    pub mode: ClientMode,
    pub authorities: Option<PathBuf>,
    pub crls: Vec<PathBuf>,
    pub crl_expired: CrlExpired,
    pub verify_depth: usize,
    pub subjects: Vec<String>,
    pub fingerprints: Vec<String>,
}

/// `None` = as the listener.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TlsProfile {
    pub names: Vec<String>,
    pub minimum_version: Option<Version>,
    pub policy: Option<PolicyName>,
    pub alpn: Option<Vec<String>>,
    pub client: Option<TlsClient>,
}
