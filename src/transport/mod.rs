//! Byte streams: a connection as all modules above see it.

pub mod connect;
pub mod pace;
pub mod pending;
pub mod sending;
pub mod stream;
#[cfg_attr(
    not(any(test, feature = "internals")),
    allow(dead_code, reason = "no listener and no target group names a certificate yet")
)]
pub mod tls;
