//! TLS without and over sockets.

pub mod configurations;
mod handshake;
mod loopback;
mod records;
pub mod session;
mod stream;
