//! Byte streams: a connection as all modules above see it.

pub mod connect;
pub mod pace;
pub mod pending;
pub mod sending;
pub mod stream;
pub mod tls;
