//! The control plane: configuration, compilation, publication, health, drains, metrics, the admin API and the console.
//! [`plane`] joins them; only [`runtime`] publishes.
//!
//! May allocate, lock and block. Talks to the data plane by snapshots, by orders about listeners and by atomics of
//! targets; never touches a client's connection. Tested beside each part, and by the black-box suite.

pub mod acme;
pub mod admin;
pub mod attributes;
pub mod audit;
pub mod certificate_watch;
pub mod certificates;
pub mod change;
pub mod compile;
pub mod config;
pub mod confirm;
pub mod console;
pub mod diff;
pub mod document;
pub mod drain;
pub mod events;
pub mod explain;
pub mod handshakes;
pub mod health;
pub mod history;
pub mod key_watch;
pub mod keys;
pub mod log_level;
pub mod metrics;
pub mod newcomers;
pub mod overlay;
pub mod plane;
mod publication;
pub mod refusals;
pub mod runtime;
pub mod session_watch;
pub mod state;
pub mod write_back;
