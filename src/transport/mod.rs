//! Byte streams: a connection as all modules above see it.

pub mod connect;
pub mod pace;
pub mod pending;
pub mod sending;
pub mod stream;
pub mod tls;

// Who serves several requests of a connection at once has a task for each.
pub use crate::uring::spawn;
