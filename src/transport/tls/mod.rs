//! TLS under a stream: rustls without its buffers, driven by the ring's owned-buffer operations.
//!
//! ```text
//!   socket ─ receive ─▶ Session: records ─▶ data ─▶ receive of the stream
//!   socket ◀─ one send ─ Session: records ◀─ data ◀─ send of the stream
//! ```
//! An idle stream has no buffer: its receive waits with one that the kernel finds when bytes arrive. Must never end a
//! direction cleanly that was cut: the end of the data is the peer's `close_notify` (RFC 8446 §6.1), and a socket that
//! ends without it is a fault. Tested beside it: the session in memory, the stream on the simulated engine.

pub mod fault;
pub mod handshake;
mod helper;
mod line;
mod others;
pub mod places;
mod reading;
mod records;
pub mod session;
mod small_records;
pub mod stream;
#[cfg(test)]
pub mod tests;
mod turns;
mod writing;
