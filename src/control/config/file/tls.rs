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
    pub client: TlsClient,
    #[serde(rename = "profile")]
    pub profiles: Vec<TlsProfile>,
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
