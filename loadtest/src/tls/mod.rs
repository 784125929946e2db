//! TLS on the client's side, and certificates for the servers that are loaded.
//!
//! Owns: what all clients of this tool say and believe. Never: the balancer's own sessions, so that no mistake is made
//! on both sides; more work at a client than its server has. Tested below each part, and by `tests/load.rs`.
//!
//! ```text
//!   certificates ─▶ files ─▶ servers
//!        └───────▶ speech (one configuration: trust, tickets) ─▶ session, one for each connection
//! ```
//!
//! One cipher suite is offered, and before every other group one, so that every server does the same: AES-256-GCM and
//! X25519.

pub mod certificates;
pub mod session;
pub mod speech;
#[cfg(test)]
mod tests;
mod tickets;
mod trust;
