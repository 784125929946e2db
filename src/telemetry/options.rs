//! The settings of the access log.

use std::path::PathBuf;

#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LogFormat {
    Json,
    Combined,
    /// Field for field as AWS ALB writes it.
    Alb,
    /// By `AccessLogOptions::template`.
    Template,
}

/// How queries appear in the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LogQuery {
    /// Names stay, values are replaced.
    Redact,
    Keep,
    Remove,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LogOutput {
    Off,
    Stdout,
    File(PathBuf),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccessLogOptions {
    pub output: LogOutput,
    pub format: LogFormat,
    /// The line of [`LogFormat::Template`].
    pub template: Option<Box<str>>,
    /// One of so many requests is logged, and every one that failed; 1 = all.
    pub sample: u32,
    pub query: LogQuery,
    /// Bytes of records that a shard may have waiting for the log thread; records that do not fit are dropped and
    /// counted.
    pub buffer_bytes: usize,
}
