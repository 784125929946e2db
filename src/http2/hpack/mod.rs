//! HPACK (RFC 7541): field blocks to heads and back.
//!
//! [`decoder::Decoder`] writes field lines in the canonical form of a head into a [`block::Block`], without an
//! allocation per field; [`encoder::Encoder`] writes the representations of single fields. Never judges a message: that
//! is left to [`super::head`]. Tested by Appendix C, at every split, by round trips, by a list of malformed blocks and
//! by fuzzing.

pub mod block;
pub mod decoder;
mod dynamic;
pub mod encoder;
pub mod fault;
pub mod huffman;
mod integer;
pub mod line;
pub mod spare;
mod static_table;

#[cfg(test)]
mod tests;
