//! The judgement of a request, the same for all versions of HTTP.
//!
//! The parser of a wire finds the parts of a head (a request line or pseudo-fields, field lines), gathers in [`Notes`]
//! what the lines contribute, and calls [`request`] to judge them together. The parser itself judges the parts that
//! only its version has (obs-fold, Transfer-Encoding and connection options in HTTP/1, the order of pseudo-fields and
//! the ban of connection fields in HTTP/2).
//!
//! # Modes
//! `strict` refuses everything that the rules name. The others let these pass, and say so in
//! [`RequestHead::anomaly`](super::head::RequestHead::anomaly); none of them touches framing, field syntax or
//! Host:
//!
//! | class | strict | defensive | monitor |
//! |---|---|---|---|
//! | `target_not_ascii`: UTF-8 in the request-target, forwarded as it came | 400 | passes | passes |
//! | `authority_mismatch`: absolute-form wins over Host (RFC 9112 §3.2.2) | 400 | 400 | passes |
//! | `expectation_unknown`: another expectation is ignored and not forwarded (RFC 9110 §10.1.1) | 417 | 417 | passes |
//!
//! Pure. Tested by a table of heads that are given in two forms and judged alike
//! (`http1/head/tests/alike.rs`), and through the parser of HTTP/1.

mod authority;
mod target;

use super::fields::{FieldId, Fields};
use super::head::{ContentLength, Method, Mode, RequestTarget, Version};
use super::notes::Notes;
use super::refusal::Refusal;
pub use target::Target;

/// Longest method: no known method is half as long (RFC 9112 §3).
pub const METHOD_BYTES_MAX: usize = 64;

/// The parts of a request beside its field lines.
#[derive(Debug, Clone, Copy)]
pub struct Asked<'b> {
    pub version: Version,
    /// A token.
    pub method: &'b [u8],
    pub target: Target<'b>,
    /// The method is CONNECT with a protocol to speak in its tunnel (RFC 8441 §4).
    pub extended_connect: bool,
}

/// The meaning of a request, as far as all versions agree.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Judged<'b> {
    pub method: Method,
    pub target: RequestTarget<'b>,
    /// Effective authority (RFC 9110 §7.1); empty only in HTTP/1.0.
    pub host: &'b [u8],
    pub content: ContentLength,
    pub expect_continue: bool,
    pub te_trailers: bool,
    /// Class of the deviation that a relaxed mode let pass.
    pub anomaly: Option<&'static str>,
}

/// Judges a request whose field lines stand in `fields` and in `notes`; marks the fields that must not be forwarded.
/// `content` is the length that the parser of the wire has found, since framing is its own to judge.
///
/// # Errors
/// The reason to refuse it; the first in the order below.
#[inline]
pub fn request<'b>(
    asked: Asked<'b>,
    notes: &Notes<'b>,
    content: impl FnOnce() -> Result<ContentLength, Refusal>,
    mode: Mode,
    fields: &mut Fields<'b>,
) -> Result<Judged<'b>, Refusal> {
    let method = Method::of(asked.method);
    if method == Method::Trace || method == Method::Connect && !asked.extended_connect {
        return Err(Refusal::MethodNotAllowed);
    }
    if method == Method::Other && asked.method.len() > METHOD_BYTES_MAX {
        return Err(Refusal::MethodTooLong);
    }
    let mut anomaly = None;
    let (target, is_https) = target::judge(asked.target, method, mode, &mut anomaly)?;
    let default_port = if is_https { &b"443"[..] } else { &b"80"[..] };
    let host =
        authority::effective(&target, notes, (asked.version, default_port), mode, &mut anomaly)?;
    let content = content()?;
    let expect_continue = expectation(notes, asked.version, content, mode, &mut anomaly)?;
    if notes.expects_only_continue.is_some() && !expect_continue {
        let expectations = fields.iter_mut().filter(|field| field.id == FieldId::Expect);
        expectations.for_each(|field| field.drop = true);
    }
    let te_trailers = notes.te_trailers && asked.version != Version::Http10;
    Ok(Judged { method, target, host, content, expect_continue, te_trailers, anomaly })
}

/// Expect (RFC 9110 §10.1.1): 100-continue counts only where content is to come, and never in HTTP/1.0.
fn expectation(
    notes: &Notes<'_>,
    version: Version,
    content: ContentLength,
    mode: Mode,
    anomaly: &mut Option<&'static str>,
) -> Result<bool, Refusal> {
    let Some(known) = notes.expects_only_continue else { return Ok(false) };
    if version == Version::Http10 {
        return Ok(false);
    }
    if !known {
        if mode != Mode::Monitor {
            return Err(Refusal::ExpectationUnknown);
        }
        *anomaly = anomaly.or(Some("expectation_unknown"));
    }
    Ok(known && !matches!(content, ContentLength::None | ContentLength::Exact(0)))
}
