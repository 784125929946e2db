//! The control plane: configuration, what it compiles to, and its publication.
//!
//! May allocate, lock and block. Talks to the data plane by publishing snapshots only; never touches
//! a connection. Tested in process and by `tests/config.rs`.

pub mod change;
pub mod compile;
pub mod config;
pub mod console;
pub mod events;
pub mod keys;
pub mod runtime;
pub mod session_watch;
