//! Heads as every version of HTTP has them: the request or the status, and the fields.
//!
//! A head is never copied: every part is a range of the block that its field lines stand in. The parser of a wire fills
//! it ([`crate::http1::head`]), all other code reads it.

use super::fields::{self, Field, FieldId, Fields, eq_ignore_case, is_token};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Version {
    Http10,
    Http11,
    Http2,
    #[cfg_attr(
        not(feature = "internals"),
        allow(dead_code, reason = "what is shared by all versions knows it; nobody speaks it yet")
    )]
    Http3,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Method {
    Get,
    Head,
    Post,
    Put,
    Delete,
    Options,
    Patch,
    Trace,
    Connect,
    /// One of the others that IANA's registry of methods calls idempotent.
    OtherIdempotent,
    Other,
}

impl Method {
    /// Methods are case-sensitive (RFC 9110 §9.1): `get` is [`Method::Other`].
    pub fn of(name: &[u8]) -> Method {
        match name {
            b"GET" => Method::Get,
            b"HEAD" => Method::Head,
            b"POST" => Method::Post,
            b"PUT" => Method::Put,
            b"DELETE" => Method::Delete,
            b"OPTIONS" => Method::Options,
            b"PATCH" => Method::Patch,
            b"TRACE" => Method::Trace,
            b"CONNECT" => Method::Connect,
            _ => Method::of_registered(name),
        }
    }

    /// The other methods of IANA's registry (RFC 9110 §16.1.1), mostly those of WebDAV and its relatives, by the
    /// registry's column for idempotence. LOCK, like PATCH, is not idempotent.
    fn of_registered(name: &[u8]) -> Method {
        match name {
            b"ACL" | b"BASELINE-CONTROL" | b"BIND" | b"CHECKIN" | b"CHECKOUT" | b"COPY"
            | b"LABEL" | b"LINK" | b"MERGE" | b"MKACTIVITY" | b"MKCALENDAR" | b"MKCOL"
            | b"MKREDIRECTREF" | b"MKWORKSPACE" | b"MOVE" | b"ORDERPATCH" | b"PRI"
            | b"PROPFIND" | b"PROPPATCH" | b"QUERY" | b"REBIND" | b"REPORT" | b"SEARCH"
            | b"UNBIND" | b"UNCHECKOUT" | b"UNLINK" | b"UNLOCK" | b"UPDATE"
            | b"UPDATEREDIRECTREF" | b"VERSION-CONTROL" => Method::OtherIdempotent,
            _ => Method::Other,
        }
    }

    /// Whether a repeated request has the effect of a single one (RFC 9110 §9.2.2).
    pub fn is_idempotent(self) -> bool {
        match self {
            Method::Get
            | Method::Head
            | Method::Put
            | Method::Delete
            | Method::Options
            | Method::Trace
            | Method::OtherIdempotent => true,
            Method::Post | Method::Patch | Method::Connect | Method::Other => false,
        }
    }
}

/// How much content belongs to a message, as far as its head tells. How a wire marks its end is left to the readers and
/// writers of that wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ContentLength {
    /// None at all, whatever the fields say (to HEAD, with 204, …).
    None,
    /// So many bytes; 0 is content of no bytes.
    Exact(u64),
    /// Until its end comes.
    Unknown,
}

/// Limits on one head, in bytes and fields; exceeding `request_line` is 414, the others 431.
///
/// Lines are counted without their CRLF, the head with its empty line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HeadLimits {
    pub request_line_bytes: usize,
    pub field_line_bytes: usize,
    pub head_bytes: usize,
    pub field_count: usize,
}

/// How strictly a listener parses. Never relaxes framing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Mode {
    #[default]
    Strict,
    Defensive,
    Monitor,
}

/// A request-target (RFC 9112 §3.2), split in place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RequestTarget<'b> {
    /// As on the request line, or in `:path`.
    pub raw: &'b [u8],
    /// The authority of absolute-form, or of `:authority`.
    pub authority: Option<&'b [u8]>,
    /// "/" for an empty path in absolute-form, "*" for asterisk-form.
    pub path: &'b [u8],
    /// Without the "?".
    pub query: Option<&'b [u8]>,
}

/// A request's head after its judgement. `fields` is borrowed from the caller's storage.
#[derive(Debug, Clone, Copy)]
pub struct RequestHead<'h, 'b> {
    /// The whole head, from the first byte of the method to the empty line's LF.
    pub raw: &'b [u8],
    pub method: Method,
    pub method_name: &'b [u8],
    pub target: RequestTarget<'b>,
    pub version: Version,
    pub fields: &'h Fields<'b>,
    /// Effective authority (absolute-form's, else Host) as sent, port included; empty only in HTTP/1.0.
    pub host: &'b [u8],
    pub content: ContentLength,
    /// RFC 9112 §9.3: whether the client wants the connection kept.
    pub persistent: bool,
    /// The client waits for a 100 before it sends the content; never without content to come.
    #[cfg_attr(
        not(feature = "internals"),
        allow(dead_code, reason = "the target answers it; tests see that it was understood")
    )]
    pub expect_continue: bool,
    /// Connection names Upgrade, and there are [protocols](RequestHead::protocols) in it; or the request is an extended
    /// CONNECT.
    pub upgrade: bool,
    /// It asks for WebSocket by extended CONNECT (RFC 8441 §4), and is told here as the GET that HTTP/1.1 has for that.
    pub extended_connect: bool,
    /// The client takes trailers (`TE: trailers`, RFC 9110 §10.1.4).
    pub te_trailers: bool,
    /// Class of the deviation that a relaxed `Mode` let pass, for the log.
    pub anomaly: Option<&'static str>,
}

/// A response's head after its judgement.
#[derive(Debug, Clone, Copy)]
pub struct ResponseHead<'h, 'b> {
    pub raw: &'b [u8],
    pub status: u16,
    pub reason: &'b [u8],
    pub version: Version,
    pub fields: &'h Fields<'b>,
    pub content: ContentLength,
    /// Connection names Upgrade, and it is there.
    pub upgrade: bool,
    pub has_cache_control: bool,
    pub has_set_cookie: bool,
}

/// The protocol of a WebSocket (RFC 6455 §4.1).
pub const WEBSOCKET: &[u8] = b"websocket";

impl<'b> RequestHead<'_, 'b> {
    /// The protocols in Upgrade that a target may choose from (RFC 9110 §7.8), in the client's order of preference.
    pub fn protocols(&self) -> impl Iterator<Item = &'b [u8]> {
        let extended = self.extended_connect.then_some(WEBSOCKET);
        extended.into_iter().chain(protocols(self.fields))
    }
}

/// Leaves out HTTP/2, which would carry requests that limpet does not see.
pub fn protocols<'f, 'b>(fields: &'f [Field<'b>]) -> impl Iterator<Item = &'b [u8]> + use<'f, 'b> {
    fields::list(fields, FieldId::Upgrade).filter(|protocol| {
        let mut parts = protocol.splitn(2, |byte| *byte == b'/');
        let name = parts.next().unwrap_or_default();
        let is_http2 = [&b"h2c"[..], b"h2"].iter().any(|other| eq_ignore_case(name, other));
        is_token(name) && parts.next().is_none_or(is_token) && !is_http2
    })
}
