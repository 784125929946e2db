//! Byte streams: a connection as all modules above see it.

pub mod connect;
pub mod pace;
pub mod pending;
pub mod sending;
pub mod stream;
#[cfg_attr(
    not(any(test, feature = "internals")),
    allow(dead_code, reason = "no target is spoken to under TLS yet")
)]
pub mod tls;
