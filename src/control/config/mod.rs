//! From a file to a configuration: parse, walk along the schema, type, validate.
//!
//! Owns the way from text to [`file::File`] and the error report; never opens a socket, never touches
//! the running table. Nothing is accepted in part: either everything is right, or all that is wrong
//! is said at once. Tested by `tests/config.rs` and the fuzz target `config`.

mod checks;
pub mod file;
mod notes;
pub mod problems;
pub mod schema;
pub mod units;
mod validate;
mod walk;

use std::path::Path;

use serde::Deserialize as _;
use toml::de::DeTable;

pub use checks::status_range;
pub(super) use checks::{answer_status, listener_address, network, target_address, unix_mode};
pub use file::File;
pub use notes::notes;
use problems::Report;
pub use problems::{ConfigError, Problem, Problems};

/// A text that was found right, and what it says.
#[derive(Debug, Clone)]
pub struct Parsed {
    pub text: String,
    pub file: File,
    /// The document with every default filled in, in the file's own vocabulary.
    pub complete: toml::Table,
}

/// Reads and checks a file.
///
/// # Errors
/// The file cannot be read, or everything that is wrong with it.
pub fn load(path: &Path) -> Result<Parsed, ConfigError> {
    let text = std::fs::read_to_string(path)
        .map_err(|source| ConfigError::Unreadable { path: path.to_owned(), source })?;
    Ok(parse_complete(text, &path.display().to_string())?)
}

/// Checks a text; `file` is what the report calls it.
///
/// # Errors
/// Everything that is wrong with it.
pub fn parse(text: &str, file: &str) -> Result<File, Problems> {
    judge(text, file).map(|(typed, _)| typed)
}

/// As [`parse`], with the completed document.
///
/// # Errors
/// As [`parse`].
pub fn parse_complete(text: String, file: &str) -> Result<Parsed, Problems> {
    let (file, complete) = judge(&text, file)?;
    Ok(Parsed { text, file, complete })
}

fn judge(text: &str, file: &str) -> Result<(File, toml::Table), Problems> {
    let mut report = Report::new(file, text);
    let (document, errors) = DeTable::parse_recoverable(text);
    for error in &errors {
        let span = error.span().unwrap_or(0..0);
        report.add(&span, "", format!("is not TOML: {}", one_line(error.message())), None, None);
    }
    // What a text meant that is not TOML cannot be told: its mistakes come first.
    if !report.is_clean() {
        return Err(Problems(report.take()));
    }
    let complete = walk::walk(&schema::FILE, &document, &mut report);
    let typed = File::deserialize(complete.clone());
    match &typed {
        Ok(file) => validate::validate(file, &mut report),
        // The walk has checked what serde would refuse, so this is said only where it found nothing.
        Err(error) if report.is_clean() => {
            report.add(&(0..0), "", one_line(error.message()), None, None);
        }
        Err(_) => {}
    }
    match typed {
        Ok(file) if report.is_clean() => Ok((file, complete)),
        _ => Err(Problems(report.take())),
    }
}

fn one_line(message: &str) -> String {
    message.split_whitespace().collect::<Vec<_>>().join(" ")
}
