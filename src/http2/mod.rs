//! HTTP/2 as pure functions and small machines: HPACK, frames, heads, settings, windows, priorities, and the
//! machine of a connection that is made of them.
//!
//! Nothing here knows a socket, a clock or another module of limpet than `http`. Input is `&[u8]`, output is appended
//! to a `Vec<u8>` that the caller owns and reuses. Tested whole, byte by byte and at every split, by the examples of
//! the RFCs, by the vectors of others and by fuzzing.

pub mod flow;
pub mod frame;
pub mod head;
pub mod hpack;
pub mod machine;
pub mod priority;
pub mod rewrite;
pub mod settings;
