//! From a file to a configuration: parse, walk along the schema, type, validate.
//!
//! Owns the way from text to [`file::File`] and the error report; never opens a socket, never touches the running
//! table. Nothing is accepted in part: either everything is right, or all mistakes are reported at once. Tested by
//! `tests/config.rs` and the fuzz target `config`.

mod acme;
mod acme_checks;
mod admin;
mod check_notes;
mod checks;
mod collisions;
mod conditions;
pub mod file;
pub(super) mod grpc;
mod habits;
mod loops;
mod meant;
mod notes;
mod places;
pub mod problems;
mod reach;
mod rule_notes;
pub mod schema;
mod session_fields;
mod sticky_notes;
mod strays;
mod syntax;
mod target_tls;
mod tls;
mod tls_checks;
mod typed;
pub mod units;
mod validate;
mod walk;

use std::path::Path;
use std::sync::Arc;

use toml::de::DeTable;

pub use checks::status_range;
pub(super) use checks::{
    ANYBODY, answer_status, listener_address, network, target_address, trusted_proxy, unix_mode,
};
pub(super) use conditions::conditions;
pub use file::File;
pub use meant::suggestion;
pub use notes::{amiss, notes};
use problems::Report;
pub use problems::{ConfigError, Problem, Problems};
pub(super) use target_tls::hosts;
pub(super) use tls::policy_options;
pub(super) use tls_checks::{HOST_NAME, SYSTEM, fingerprint};

/// A correct text, and its configuration.
#[derive(Debug, Clone)]
pub struct Parsed {
    pub text: Arc<str>,
    pub file: Arc<File>,
    /// The document with every default filled in, in the file's own vocabulary.
    pub complete: toml::Table,
}

/// Reads and checks a file.
///
/// # Errors
/// The file cannot be read, or all of its mistakes.
pub fn load(path: &Path) -> Result<Parsed, ConfigError> {
    let text = std::fs::read_to_string(path)
        .map_err(|source| ConfigError::Unreadable { path: path.to_owned(), source })?;
    Ok(parse_complete(text, &path.display().to_string())?)
}

/// Checks a text; `file` is its name in the report.
///
/// # Errors
/// All of its mistakes.
pub fn parse(text: &str, file: &str) -> Result<File, Problems> {
    judge(text, file).map(|(typed, _)| typed)
}

/// As [`parse`], with the completed document.
///
/// # Errors
/// As [`parse`].
pub fn parse_complete(text: impl Into<Arc<str>>, file: &str) -> Result<Parsed, Problems> {
    let text = text.into();
    let (file, complete) = judge(&text, file)?;
    Ok(Parsed { text, file: Arc::new(file), complete })
}

fn judge(text: &str, file: &str) -> Result<(File, toml::Table), Problems> {
    let (document, errors) = DeTable::parse_recoverable(text);
    let mut report = Report::new(file, text, document.get_ref());
    for error in &errors {
        syntax::report(error, document.get_ref(), &mut report);
    }
    // A text that is not TOML has no reliable meaning, so only its syntax errors are reported.
    if !report.is_clean() {
        return Err(Problems(report.take()));
    }
    let complete = walk::walk(&schema::FILE, &document, &mut report);
    let typed = typed::file(&complete);
    match &typed {
        Ok(file) => validate::validate(file, &mut report),
        // The walk has found everything that serde refuses, so serde's error is reported only if the walk found
        // nothing.
        Err(error) if report.is_clean() => {
            report.add(&(0..0), "", syntax::one_line(&error.to_string()), None);
        }
        Err(_) => {}
    }
    match typed {
        Ok(file) if report.is_clean() => Ok((file, complete)),
        _ => Err(Problems(report.take())),
    }
}
