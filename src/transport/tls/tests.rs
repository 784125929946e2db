//! TLS without and over sockets.

pub mod configurations;
mod handshake;
mod loopback;
pub mod session;
mod stream;
