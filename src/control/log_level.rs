//! The level of limpet's own log on standard error, and how it is changed at run time.
//!
//! Nothing here runs per request. Belongs to the process: its first caller sets it up. Tested below and by the
//! black-box suite.

use std::io::{self, IsTerminal as _};
use std::sync::{Mutex, OnceLock, PoisonError};

use tracing::level_filters::LevelFilter;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::reload::{self, Handle};
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{Registry, fmt};

use super::config::file::LogLevel;

/// The filter of the process; absent where another subscriber logs, as in a test.
static FILTER: OnceLock<Handle<LevelFilter, Registry>> = OnceLock::new();
static LEVEL: Mutex<LogLevel> = Mutex::new(LogLevel::Info);

/// Begins to show events of `level` and above; once per process, later calls only change the level.
pub fn begin(level: LogLevel) {
    let (filter, handle) = reload::Layer::new(filter_of(level));
    let lines = fmt::layer()
        .with_writer(io::stderr)
        .with_ansi(io::stderr().is_terminal())
        .with_target(false);
    // An existing subscriber stays.
    if tracing_subscriber::registry().with(filter).with(lines).try_init().is_ok() {
        let _ = FILTER.set(handle);
    }
    set(level);
}

/// The current level.
pub fn level() -> LogLevel {
    *LEVEL.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Shows events of `level` and above from now on, and returns the level before.
pub fn set(level: LogLevel) -> LogLevel {
    let mut now = LEVEL.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(handle) = FILTER.get() {
        // Fails only when the subscriber is gone, and then nothing is logged.
        let _ = handle.reload(filter_of(level));
    }
    std::mem::replace(&mut *now, level)
}

fn filter_of(level: LogLevel) -> LevelFilter {
    match level {
        LogLevel::Error => LevelFilter::ERROR,
        LogLevel::Warn => LevelFilter::WARN,
        LogLevel::Info => LevelFilter::INFO,
        LogLevel::Debug => LevelFilter::DEBUG,
        LogLevel::Trace => LevelFilter::TRACE,
    }
}

#[cfg(test)]
mod tests {
    use crate::control::log_level::*;

    #[test]
    fn the_level_is_what_was_set_last() {
        begin(LogLevel::Warn);
        assert_eq!(level(), LogLevel::Warn);
        assert_eq!(set(LogLevel::Debug), LogLevel::Warn);
        assert_eq!(LevelFilter::current(), LevelFilter::DEBUG);
        assert_eq!(set(LogLevel::Error), LogLevel::Debug);
        assert_eq!(LevelFilter::current(), LevelFilter::ERROR);
    }
}
