//! Heads written anew: unchanged runs copied as runs, edits applied on the way, one contiguous result.
use super::framing::ResponseFraming;
use super::head::{RequestHead, ResponseHead, Version};

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ForwardedFor {
    #[default]
    Append,
    Preserve,
    Replace,
    Remove,
}

/// What changes in a request's head on its way to the target.
pub struct RequestEdits<'e> {
    pub forwarded_for: ForwardedFor,
    /// At most so many entries are kept, the nearest ones (right-most); ours included.
    pub forwarded_for_entries: usize,
    /// The peer's address as text, without port, no brackets for IPv6; "unknown" on Unix sockets.
    pub peer: &'e [u8],
    /// The peer is a trusted hop: its X-Forwarded-Proto, -Port, -Host and Forwarded are kept; else replaced by ours.
    pub peer_trusted: bool,
    /// "http" or "https".
    pub scheme: &'e [u8],
    /// The listener's port as text; empty on Unix sockets (then no X-Forwarded-Port).
    pub port: &'e [u8],
    /// Write RFC 7239 Forwarded.
    pub forwarded: bool,
    /// Write Via with this pseudonym.
    pub via: Option<&'e [u8]>,
    /// Name and value of the request id field to set; an incoming field of that name is dropped.
    /// `None` when off, or when the peer is trusted and sent one (it then passes).
    pub request_id: Option<(&'e [u8], &'e [u8])>,
    /// Path to send in place of the request's (normalised or rewritten), query appended unchanged.
    pub path: Option<&'e [u8]>,
    /// Host to send in place of the request's.
    pub host: Option<&'e [u8]>,
    /// Names of cookies that limpet keeps to itself.
    pub strip_cookies: &'e [&'e [u8]],
    /// Forward `Connection: upgrade` and `Upgrade`.
    pub upgrade: bool,
}

/// Appends the head for the target: origin-form, HTTP/1.1, Host first.
pub fn request(_head: &RequestHead<'_, '_>, _edits: &RequestEdits<'_>, _out: &mut Vec<u8>) {
    todo!()
}

/// What changes in a response's head on its way to the client.
pub struct ResponseEdits<'e> {
    pub client_version: Version,
    /// How the content goes to the client (chunked when a close-delimited response is re-framed).
    pub framing: ResponseFraming,
    /// Whether the client's connection stays: decides the Connection field for its version.
    pub keep: bool,
    /// Whole `Set-Cookie` values of ours, one field each.
    pub set_cookies: &'e [&'e [u8]],
    /// Add `Cache-Control: private, no-cache="Set-Cookie"`-like protection when the target sent no Cache-Control.
    pub protect_cookie: bool,
    pub upgrade: bool,
    pub via: Option<&'e [u8]>,
}

pub fn response(_head: &ResponseHead<'_, '_>, _edits: &ResponseEdits<'_>, _out: &mut Vec<u8>) {
    todo!()
}
