//! TLS as a listener presents it and as targets are spoken to, from the bytes of files to rustls' configurations.
//!
//! Holds certificates, policies, tickets and the rules for clients' certificates. Reads no file, opens no socket and
//! speaks no record: the control plane reads, `transport` speaks. A new rule about what a client is shown belongs here.

pub mod certificate;
pub mod client_auth;
pub mod listener;
mod name_map;
pub mod names;
pub mod policy;
pub mod staple;
pub mod target;
pub mod tickets;
pub mod x509;

#[cfg(test)]
mod tests;
