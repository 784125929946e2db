//! Byte streams: a connection as all modules above see it.

pub mod connect;
pub mod pace;
pub mod pending;
pub mod sending;
pub mod stream;
pub mod tls;

// Streams within a stream have tasks of their own.
#[cfg(feature = "internals")]
pub use crate::uring::spawn;
