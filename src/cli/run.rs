//! `limpet run`: balances as a file says.
//!
//! Owns: the order of start and end. Never: a setting that does not come from the file. Tested by the
//! black-box suite.

use std::path::Path;
use std::process::ExitCode;

use super::start;

/// Runs until a signal ends it.
pub fn run(config: &Path) -> ExitCode {
    match start::from_file(config) {
        Ok(_start) => {
            eprintln!("limpet run: the data plane is not part of this build");
            ExitCode::FAILURE
        }
        Err(error) => {
            eprintln!("{error}");
            error.exit_code()
        }
    }
}
