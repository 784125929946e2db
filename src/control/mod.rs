//! The control plane: configuration, and the publication of what it compiles to.
//!
//! May allocate, lock and block. Talks to the data plane by publishing snapshots only; never touches
//! a connection. Tested in process and by `tests/config.rs`.

pub mod config;
