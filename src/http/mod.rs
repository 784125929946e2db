//! The parts that all versions of HTTP share: methods, fields, heads, edits, cookies, the client's address.
//!
//! Pure: nothing here knows a socket, a clock, a byte on a wire or another module of limpet. A head is field
//! lines in one contiguous block with a table of ranges; nothing is copied out of it.

pub mod answers;
pub mod client_address;
pub mod connection;
pub mod content_length;
pub mod cookies;
pub mod edits;
pub mod fields;
mod forwarded;
pub mod grpc;
pub mod head;
pub mod host;
pub mod judge;
pub mod max_forwards;
pub mod notes;
pub mod query;
pub mod refusal;
pub mod rewriting;
pub mod trailers;
