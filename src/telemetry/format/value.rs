//! The value of a field of a line, independent of how it is written.

use std::net::{IpAddr, SocketAddr};

/// The value of a field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Value<'a> {
    /// Does not apply, or is not known.
    None,
    /// The time of arrival, in milliseconds since the Unix epoch.
    Time(u64),
    Text(&'a [u8]),
    /// A word of limpet's own, which needs no escapes.
    Word(&'static str),
    /// The three letters of a termination.
    Code([u8; 3]),
    Number(u64),
    Flag(bool),
    Ip(IpAddr),
    Address(SocketAddr),
}

/// The beginning of a field in JSON: the comma, or the brace for the first field, the key, and any opening that all
/// values of its kind share.
#[derive(Debug, Clone, Copy)]
pub(super) struct Key {
    pub bare: &'static str,
    pub null: &'static str,
    pub quote: &'static str,
}
