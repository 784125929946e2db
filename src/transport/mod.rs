//! Byte streams: what a connection is to everybody above it.

pub mod connect;
pub mod pace;
pub mod pending;
pub mod sending;
pub mod stream;
