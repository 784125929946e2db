//! Where the access log goes: standard output, a file, or nowhere.
//!
//! Tested with the log.
use std::fs::OpenOptions;
use std::io::{self, Write};
use std::os::fd::AsFd;

use crate::telemetry::options::LogOutput;

/// An open output; `None` = off.
pub type Output = Option<Box<dyn Write + Send>>;

/// Opens an output; a file is created if it does not exist, and appended to.
///
/// # Errors
/// The file that could not be opened, named in the error.
pub fn open(output: &LogOutput) -> io::Result<Output> {
    match output {
        LogOutput::Off => Ok(None),
        // Bypasses the standard library's own buffer and lock: lines are already collected.
        LogOutput::Stdout => {
            let stdout = io::stdout().as_fd().try_clone_to_owned()?;
            Ok(Some(Box::new(std::fs::File::from(stdout))))
        }
        LogOutput::File(path) => {
            let file = OpenOptions::new().append(true).create(true).open(path);
            let file = file.map_err(|error| {
                let text = format!("cannot open the access log {}: {error}", path.display());
                io::Error::new(error.kind(), text)
            })?;
            Ok(Some(Box::new(file)))
        }
    }
}
