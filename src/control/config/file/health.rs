//! How it is found out whether the targets of a group work, and what follows from it.

use std::time::Duration;

use serde::Deserialize;

use crate::control::config::units::duration;

#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HealthCheck {
    #[serde(rename = "type")]
    pub kind: HealthCheckType,
    pub path: String,
    pub method: String,
    /// "" = the target's address.
    pub host: String,
    pub port: Option<u16>,
    /// "200" or "200-399".
    pub expect: Vec<String>,
    /// "" = not checked.
    pub body: String,
    /// "" = the server as a whole.
    pub grpc_service: String,
    /// "0" or "0-99".
    pub grpc_codes: Vec<String>,
    #[serde(deserialize_with = "duration")]
    pub interval: Duration,
    #[serde(deserialize_with = "duration")]
    pub timeout: Duration,
    pub rise: u32,
    pub fall: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HealthCheckType {
    Off,
    Http,
    Tcp,
    Grpc,
}

#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FailOpen {
    pub count: u32,
    pub percent: u32,
}

#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ejection {
    /// In a row; 0 = off.
    pub errors: u32,
    #[serde(deserialize_with = "duration")]
    pub time: Duration,
    #[serde(deserialize_with = "duration")]
    pub time_max: Duration,
    pub percent_max: u32,
}
