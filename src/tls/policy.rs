//! Versions, cipher suites and groups by the names of Mozilla's policies, or listed one by one.
//!
//! Knows no certificate and no client. Tested beside it.

use rustls::crypto::aws_lc_rs::{ALL_KX_GROUPS, DEFAULT_CIPHER_SUITES, default_provider};
use rustls::crypto::{CryptoProvider, SupportedKxGroup};
use rustls::version::{TLS12, TLS13};
use rustls::{NamedGroup, SupportedCipherSuite, SupportedProtocolVersion};

/// Groups in the order in which they are preferred: the post-quantum one first.
const GROUPS: [NamedGroup; 4] =
    [NamedGroup::X25519MLKEM768, NamedGroup::X25519, NamedGroup::secp256r1, NamedGroup::secp384r1];

/// Mozilla's names (wiki.mozilla.org/Security/Server_Side_TLS).
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Deserialize, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum PolicyName {
    /// TLS 1.3 only.
    Modern,
    /// TLS 1.3, and TLS 1.2 with forward secrecy and AEAD.
    Intermediate,
}

#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, serde::Deserialize, serde::Serialize,
)]
pub enum Version {
    #[serde(rename = "1.2")]
    Tls12,
    #[serde(rename = "1.3")]
    Tls13,
}

/// What a listener offers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PolicyOptions {
    pub name: PolicyName,
    pub minimum_version: Version,
    /// IANA's names; empty = the policy's.
    pub cipher_suites: Vec<String>,
    /// IANA's names; empty = all that are known, the post-quantum one first.
    pub groups: Vec<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PolicyFault {
    #[error(
        "has no cipher suite of TLS 1.3, which {0} needs; name one, such as \"TLS_AES_128_GCM_SHA256\""
    )]
    NoTls13Suite(&'static str),
    #[error("{0:?} is no cipher suite; {list} are", list = suite_names().join(", "))]
    Suite(String),
    #[error("{0:?} is no group; {list} are", list = GROUPS.map(group_name).join(", "))]
    Group(String),
}

/// Versions, suites and groups in rustls' form.
#[derive(Debug, Clone)]
pub struct Policy {
    pub versions: Vec<&'static SupportedProtocolVersion>,
    pub provider: CryptoProvider,
}

impl Policy {
    /// # Errors
    /// See [`PolicyFault`].
    pub fn of(options: &PolicyOptions) -> Result<Policy, PolicyFault> {
        let minimum = match options.name {
            PolicyName::Modern => Version::Tls13,
            PolicyName::Intermediate => options.minimum_version,
        };
        let mut suites = if options.cipher_suites.is_empty() {
            DEFAULT_CIPHER_SUITES.to_vec()
        } else {
            options.cipher_suites.iter().map(|name| suite(name)).collect::<Result<_, _>>()?
        };
        if minimum == Version::Tls13 {
            suites.retain(|suite| suite.tls13().is_some());
        }
        let has_tls13 = suites.iter().any(|suite| suite.tls13().is_some());
        if suites.is_empty() {
            return Err(PolicyFault::NoTls13Suite(match options.name {
                PolicyName::Modern => "policy = \"modern\"",
                PolicyName::Intermediate => "minimum_version = \"1.3\"",
            }));
        }
        let mut versions = Vec::new();
        if has_tls13 {
            versions.push(&TLS13);
        }
        if suites.iter().any(|suite| suite.tls13().is_none()) {
            versions.push(&TLS12);
        }
        let groups = if options.groups.is_empty() {
            GROUPS.iter().filter_map(|group| kx_group(*group)).collect()
        } else {
            options.groups.iter().map(|name| group(name)).collect::<Result<_, _>>()?
        };
        let provider =
            CryptoProvider { cipher_suites: suites, kx_groups: groups, ..default_provider() };
        Ok(Policy { versions, provider })
    }
}

/// The name that IANA gives to a suite.
pub fn suite_name(suite: &SupportedCipherSuite) -> String {
    let name = suite.suite().as_str().unwrap_or_default();
    // rustls sets its own prefix before the suites of TLS 1.3 (RFC 8446 §B.4).
    name.replacen("TLS13_", "TLS_", 1)
}

/// Whether a suite has this name.
pub fn is_suite(name: &str) -> bool {
    suite(name).is_ok()
}

/// Whether a group has this name.
pub fn is_group(name: &str) -> bool {
    group(name).is_ok()
}

/// The names of all suites, in the order in which they are preferred.
pub fn suite_names() -> Vec<String> {
    DEFAULT_CIPHER_SUITES.iter().map(suite_name).collect()
}

fn suite(name: &str) -> Result<SupportedCipherSuite, PolicyFault> {
    let is_it = |suite: &&SupportedCipherSuite| suite_name(suite) == name;
    DEFAULT_CIPHER_SUITES.iter().find(is_it).copied().ok_or_else(|| PolicyFault::Suite(name.into()))
}

/// The name that IANA gives to a group.
pub fn group_name(group: NamedGroup) -> &'static str {
    match group {
        NamedGroup::X25519MLKEM768 => "X25519MLKEM768",
        NamedGroup::X25519 => "x25519",
        NamedGroup::secp256r1 => "secp256r1",
        NamedGroup::secp384r1 => "secp384r1",
        _ => "",
    }
}

fn group(name: &str) -> Result<&'static dyn SupportedKxGroup, PolicyFault> {
    let named = GROUPS.into_iter().find(|group| group_name(*group).eq_ignore_ascii_case(name));
    named.and_then(kx_group).ok_or_else(|| PolicyFault::Group(name.into()))
}

fn kx_group(name: NamedGroup) -> Option<&'static dyn SupportedKxGroup> {
    ALL_KX_GROUPS.iter().copied().find(|group| group.name() == name)
}
