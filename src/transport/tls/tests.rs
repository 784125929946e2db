//! TLS without and over sockets.

pub mod configurations;
mod handshake;
mod loopback;
mod session;
mod stream;
