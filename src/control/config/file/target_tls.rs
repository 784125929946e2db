//! `[target_group.tls]`: what targets must prove, and what limpet proves to them.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::TargetGroup;
use crate::tls::policy::Version;
use crate::tls::target::Verify;

/// How the targets of a group are spoken to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum TargetProtocol {
    Http,
    Https,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TargetTls {
    pub server_name: Option<String>,
    /// "" = none.
    pub sni: Option<String>,
    pub minimum_version: Version,
    pub verify: Verify,
    /// "system", or a path.
    pub authorities: String,
    pub crls: Vec<PathBuf>,
    pub certificate: Option<PathBuf>,
    /// `None` = in the certificate's file.
    pub key: Option<PathBuf>,
}

impl TargetGroup {
    /// Its TLS, where its targets are spoken to under TLS.
    pub fn tls(&self) -> Option<&TargetTls> {
        match self.protocol {
            TargetProtocol::Http => None,
            TargetProtocol::Https => Some(&self.tls),
        }
    }
}
