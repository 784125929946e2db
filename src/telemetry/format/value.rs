//! What stands in a field of a line, whichever way it is written.

use std::net::{IpAddr, SocketAddr};

/// What a field holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Value<'a> {
    /// Does not apply, or is not known.
    None,
    /// The time of arrival, in milliseconds since the Unix epoch.
    Time(u64),
    Text(&'a [u8]),
    /// A word of limpet's own, which is plain.
    Word(&'static str),
    /// Three letters of a termination.
    Code([u8; 3]),
    Number(u64),
    Flag(bool),
    Ip(IpAddr),
    Address(SocketAddr),
}

/// How JSON begins a field: the comma before the key, or the brace before the first, the key, and what
/// is certain of a value of its kind.
#[derive(Debug, Clone, Copy)]
pub(super) struct Key {
    pub bare: &'static str,
    pub null: &'static str,
    pub quote: &'static str,
}
