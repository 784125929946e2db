//! Request and response heads over the receive buffer.
use super::fields::Fields;
use super::framing::{RequestFraming, ResponseFraming};
use super::refusal::{Refusal, ResponseFault};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Version {
    Http10,
    Http11,
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
    Other,
}

/// Limits on one head, in bytes and fields; exceeding `request_line` is 414, the others 431.
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

/// RFC 9112 §3.2, split in place.
#[derive(Debug, Clone, Copy)]
pub struct RequestTarget<'b> {
    /// As on the request line.
    pub raw: &'b [u8],
    /// The authority of absolute-form.
    pub authority: Option<&'b [u8]>,
    /// "/" for an empty path in absolute-form, "*" for asterisk-form.
    pub path: &'b [u8],
    /// Without the "?".
    pub query: Option<&'b [u8]>,
}

/// What the request's head says, judged. `fields` is borrowed from the caller's storage.
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
    pub framing: RequestFraming,
    /// RFC 9112 §9.3: whether the client wants the connection kept.
    pub persistent: bool,
    pub expect_continue: bool,
    /// Value of Upgrade when Connection names it and it is not h2c.
    pub upgrade: Option<&'b [u8]>,
    /// Class of what a relaxed `Mode` let pass, for the log.
    pub anomaly: Option<&'static str>,
}

pub struct ResponseHead<'h, 'b> {
    pub raw: &'b [u8],
    pub status: u16,
    pub reason: &'b [u8],
    pub version: Version,
    pub fields: &'h Fields<'b>,
    pub framing: ResponseFraming,
    /// Whether the target keeps its connection (RFC 9112 §9.3).
    pub persistent: bool,
    /// `Keep-Alive: timeout=N`, in seconds.
    pub keep_alive_s: Option<u32>,
    pub upgrade: Option<&'b [u8]>,
    pub has_cache_control: bool,
}

/// Either the head is not complete yet, or it is and `raw.len()` bytes belong to it.
pub enum Parsed<T> {
    Partial,
    Complete(T),
}

/// Parses and judges a request head at the start of `buf` (leading empty lines already skipped by
/// [`skip_empty_lines`]). Every refusal of RFC 9112 and of limpet's own rules is found here.
pub fn parse_request<'h, 'b>(
    _buf: &'b [u8],
    _limits: &HeadLimits,
    _mode: Mode,
    _fields: &'h mut Fields<'b>,
) -> Result<Parsed<RequestHead<'h, 'b>>, Refusal> {
    todo!()
}

/// Parses and judges a response head; `request_method` decides framing (HEAD), RFC 9112 §6.3.
pub fn parse_response<'h, 'b>(
    _buf: &'b [u8],
    _limits: &HeadLimits,
    _request_method: Method,
    _fields: &'h mut Fields<'b>,
) -> Result<Parsed<ResponseHead<'h, 'b>>, ResponseFault> {
    todo!()
}

/// Count of bytes of empty lines (CRLF only, at most a few) before a request line, RFC 9112 §2.2.
pub fn skip_empty_lines(_buf: &[u8]) -> usize {
    todo!()
}

/// Remembers how far an incomplete head was searched, so that a head that drips in costs linear time:
/// `true` when `buf` may hold a whole head (or a byte that refuses it) and a parse is worth its cost.
#[derive(Debug, Clone, Copy, Default)]
pub struct HeadScan {
    pub scanned: usize,
}
impl HeadScan {
    pub fn worth_parsing(&mut self, _buf: &[u8]) -> bool {
        todo!()
    }
}
