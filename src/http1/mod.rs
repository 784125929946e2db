//! HTTP/1.1 as pure functions: heads, framing, chunked content, rewriting, answers.
//!
//! Nothing here knows a socket, a clock or another module of limpet than `http`. Input is `&[u8]`, output is
//! appended to a `Vec<u8>` that the caller owns and reuses. Tested whole, byte by byte, at every
//! split and with trailing data, by the vectors of others and by fuzzing.

pub mod answers;
pub mod chunked;
pub mod frame;
pub mod framing;
pub mod head;
pub mod rest;
pub mod rewrite;
