//! TLS without and over sockets.

mod configurations;
mod session;
