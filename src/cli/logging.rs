//! What limpet says about itself, on standard error; nothing of it is per request. Tested as part of
//! the black-box suite.

use std::io::{self, IsTerminal as _};

use tracing::level_filters::LevelFilter;

use crate::control::config::file::LogLevel;

/// Begins to show events of `level` and above; once per process, later calls change nothing.
pub fn begin(level: LogLevel) {
    let level = match level {
        LogLevel::Error => LevelFilter::ERROR,
        LogLevel::Warn => LevelFilter::WARN,
        LogLevel::Info => LevelFilter::INFO,
        LogLevel::Debug => LevelFilter::DEBUG,
        LogLevel::Trace => LevelFilter::TRACE,
    };
    let subscriber = tracing_subscriber::fmt()
        .with_writer(io::stderr)
        .with_ansi(io::stderr().is_terminal())
        .with_target(false)
        .with_max_level(level);
    // Somebody else's subscriber, as in a test, stays.
    let _ = subscriber.try_init();
}
