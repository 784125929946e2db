//! From a path to a control plane that is ready to publish: the common start of `run` and `demo`.
//!
//! Prints only through its errors and `tracing`. Never binds a socket. Tested by `tests/config.rs`.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use super::CONFIG_REFUSED;
use crate::control::compile::{self, CompileError};
use crate::control::config::file::File;
use crate::control::config::{self, ConfigError, Parsed, Problems, notes};
use crate::control::keys::{self, KeysError, Origin};
use crate::control::log_level;
use crate::control::runtime::Control;
use crate::service::{self, BecomeError, Belongings};
use crate::snapshot::ProcessOptions;
use crate::telemetry::options::LogOutput;
use crate::uring;

/// A configuration that is compiled and published.
#[derive(Debug)]
pub struct Start {
    pub process: ProcessOptions,
    pub control: Arc<Control>,
}

/// Why the start failed.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error(transparent)]
    Config(#[from] ConfigError),
    #[error(transparent)]
    Compile(#[from] CompileError),
    #[error(transparent)]
    User(#[from] BecomeError),
    #[error(transparent)]
    Keys(#[from] KeysError),
}

impl From<Problems> for StartError {
    fn from(problems: Problems) -> StartError {
        StartError::Config(problems.into())
    }
}

impl StartError {
    /// The exit code for this error.
    pub fn exit_code(&self) -> ExitCode {
        match self {
            StartError::Config(_) | StartError::Compile(_) => ExitCode::from(CONFIG_REFUSED),
            StartError::Keys(_) | StartError::User(_) => ExitCode::FAILURE,
        }
    }
}

/// Loads, validates and compiles a file, and begins to log as it says. Changes to `process.user` before anything else
/// is opened, which requires that the process still has one thread.
///
/// # Errors
/// See [`StartError`]; the text of an invalid file's error is its whole report.
pub fn from_file(path: &Path) -> Result<Start, StartError> {
    let parsed = config::load(path)?;
    let file = &parsed.file;
    log_level::begin(file.process.log_level);
    if let Some(user) = &file.process.user {
        // Before the limit is used, and while the process still has all its rights.
        uring::raise_descriptor_limit();
        service::become_user(user, &belongings(file))?;
        if let Err(error) = std::fs::File::open(path) {
            let path = path.display();
            tracing::warn!("{user} cannot read {path}, so it cannot be reloaded: {error}");
        }
    }
    start(parsed, Some(path))
}

/// The same from a text, without logging; `name` is its name in reports.
///
/// # Errors
/// As [`from_file`].
pub fn from_text(text: &str, name: &str) -> Result<Start, StartError> {
    start(config::parse_complete(text.to_owned(), name)?, None)
}

/// The files and folders that the configuration names for writing.
fn belongings(file: &File) -> Belongings {
    let mut files = Vec::from_iter(file.admin.audit_log.clone());
    if let LogOutput::File(path) = compile::process(file).access_log.output {
        files.push(path);
    }
    let listeners = file.listeners.iter();
    let sockets = listeners.filter_map(|listener| listener.address.strip_prefix("unix:"));
    let sockets = sockets.map(Path::new).chain(file.admin.socket.as_deref());
    let beside = sockets.chain(files.iter().map(PathBuf::as_path)).filter_map(Path::parent);
    Belongings {
        state_directory: file.process.state_directory.clone(),
        directories: beside.map(Path::to_owned).collect(),
        files,
    }
}

fn start(parsed: Parsed, path: Option<&Path>) -> Result<Start, StartError> {
    let file = &parsed.file;
    let keys = keys::load(file)?;
    let is_sticky = file.target_groups.iter().any(|group| group.stickiness.enabled);
    match &keys.origin {
        Origin::Configured => {}
        Origin::Kept(path) => {
            let path = path.display();
            tracing::info!("the stickiness key is {path}; several nodes need [stickiness_keys]");
        }
        Origin::Memory(why) if is_sticky => tracing::warn!(
            "the stickiness key is not kept ({why}): users lose their targets with this process; \
             set process.state_directory or [stickiness_keys]"
        ),
        Origin::Memory(why) => tracing::info!("the stickiness key is not kept ({why})"),
    }
    for note in notes(file) {
        tracing::warn!("{note}");
    }
    let process = compile::process(file);
    let control = Arc::new(Control::new(parsed, path, keys.ring)?);
    for note in control.certificates().notes() {
        tracing::warn!("{note}");
    }
    Ok(Start { process, control })
}
