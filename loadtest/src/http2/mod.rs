//! HTTP/2 as both ends of a load test need it: frames, heads, and what each side owes the other.
//!
//! Owns: the bytes of a connection (RFC 9113) and of its heads (RFC 7541). Never: anything of the balancer's own HTTP/2,
//! so that no mistake is made on both sides; a socket or a clock; tolerance. Tested below each part.
//!
//! ```text
//!   bytes ─▶ wire ─▶ events (heads decoded by hpack and huffman)
//!             └───▶ acknowledgements and credit, behind what goes out anyway
//!   heads ─▶ encoder ─▶ bytes
//! ```

pub mod content;
pub mod encoder;
pub mod frame;
mod hpack;
mod huffman;
pub mod wire;
mod wrong;

pub use hpack::Fields;
