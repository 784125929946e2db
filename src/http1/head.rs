//! Request and response heads over the receive buffer.
//!
//! httparse splits the lines; what it accepts and limpet does not is refused here or in the files beside: bare LF
//! (`collect`), connection options ([`connection`]), framing ([`super::framing`]); [`judge`] applies the rules that all
//! versions of HTTP share. A head is never copied: every part is a range of the buffer. `diagnose` finds the exact
//! reason of a refusal, off the fast path.
//!
//! Tested whole, at every split, byte by byte and with trailing data, by the vectors of others
//! (`tests/corpora.rs`) and by the fuzz target `head`.

mod collect;
mod diagnose;
mod scan;

use std::mem::MaybeUninit;

use httparse::{EMPTY_HEADER, Status};

use super::framing::ResponseFraming;
use crate::http::connection;
use crate::http::fields::{FIELD_COUNT_MAX, Fields, eq_ignore_case, members};
use crate::http::head::{HeadLimits, Method, Mode, RequestHead, ResponseHead, Version, protocols};
use crate::http::judge::{self, Asked, Target};
use crate::http::refusal::{Refusal, ResponseFault};
use collect::Collected;
pub(super) use collect::offset_in;
pub(super) use diagnose::{line_fault, line_is_field};
pub use scan::HeadScan;

/// Either the head is not complete yet, or it is and `raw.len()` bytes belong to it.
#[derive(Debug, Clone, Copy)]
pub enum Parsed<T> {
    Partial,
    Complete(T),
}

/// The part of a response's head that concerns its wire and connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OnWire {
    pub framing: ResponseFraming,
    /// Whether the target keeps its connection (RFC 9112 §9.3); never when the connection's end is the content's.
    pub persistent: bool,
    /// `Keep-Alive: timeout=N`, in seconds.
    pub keep_alive_s: Option<u32>,
}

/// A response's head, and the part that only the reader of its connection needs.
pub type Response<'h, 'b> = (ResponseHead<'h, 'b>, OnWire);

/// Parses and judges a request head at the start of `buf` (leading empty lines already skipped by
/// [`skip_empty_lines`]). All reasons to refuse one, of RFC 9112 and of limpet's own rules, are found here.
pub fn parse_request<'h, 'b>(
    buf: &'b [u8],
    limits: &HeadLimits,
    mode: Mode,
    fields: &'h mut Fields<'b>,
) -> Result<Parsed<RequestHead<'h, 'b>>, Refusal> {
    fields.clear();
    if let Some(b'\r' | b'\n') = buf.first() {
        return diagnose::leading_line(buf).map(|()| Parsed::Partial);
    }
    let mut storage = [const { MaybeUninit::uninit() }; FIELD_COUNT_MAX];
    let room = storage.get_mut(..limits.field_count.min(FIELD_COUNT_MAX)).unwrap_or_default();
    let mut parsed = httparse::Request::new(&mut []);
    match parsed.parse_with_uninit_headers(buf, room) {
        Ok(Status::Complete(length)) => {
            let (Some(method), Some(target), Some(minor)) =
                (parsed.method, parsed.path, parsed.version)
            else {
                return Err(Refusal::BadRequestLine);
            };
            let line = RequestLine {
                raw: buf.get(..length).unwrap_or_default(),
                method: method.as_bytes(),
                target: target.as_bytes(),
                version: if minor == 0 { Version::Http10 } else { Version::Http11 },
            };
            let collected = collect::collect(line.raw, parsed.headers, limits, fields)
                .map_err(|fault| diagnose::refusal(buf, fault))?;
            judge_request(line, &collected, mode, fields).map(Parsed::Complete)
        }
        Ok(Status::Partial) => unfinished_request(buf, limits),
        Err(httparse::Error::Version) => newer_minor_request(buf, limits, mode, fields),
        Err(error) => Err(diagnose::request(buf, limits, error)),
    }
}

/// Parses and judges a response head; `request_method` decides framing (HEAD), RFC 9112 §6.3.
pub fn parse_response<'h, 'b>(
    buf: &'b [u8],
    limits: &HeadLimits,
    request_method: Method,
    fields: &'h mut Fields<'b>,
) -> Result<Parsed<Response<'h, 'b>>, ResponseFault> {
    fields.clear();
    if let Some(b'\r' | b'\n') = buf.first() {
        return Err(ResponseFault::BadStatusLine);
    }
    let mut storage = [const { MaybeUninit::uninit() }; FIELD_COUNT_MAX];
    let room = storage.get_mut(..limits.field_count.min(FIELD_COUNT_MAX)).unwrap_or_default();
    let mut parsed = httparse::Response::new(&mut []);
    let config = httparse::ParserConfig::default();
    match config.parse_response_with_uninit_headers(&mut parsed, buf, room) {
        Ok(Status::Complete(length)) => {
            let (Some(minor), Some(status)) = (parsed.version, parsed.code) else {
                return Err(ResponseFault::BadStatusLine);
            };
            let line = StatusLine {
                raw: buf.get(..length).unwrap_or_default(),
                status,
                version: if minor == 0 { Version::Http10 } else { Version::Http11 },
            };
            let collected = collect::collect(line.raw, parsed.headers, limits, fields)?;
            judge_response(line, &collected, request_method, fields).map(Parsed::Complete)
        }
        Ok(Status::Partial) => unfinished_response(buf, limits),
        Err(httparse::Error::Version) => newer_minor_response(buf, limits, request_method, fields),
        Err(error) => Err(diagnose::response(buf, limits, error)),
    }
}

/// Count of bytes of empty lines (CRLF only, at most a few) before a request line, RFC 9112 §2.2.
pub fn skip_empty_lines(buf: &[u8]) -> usize {
    const LINES_MAX: usize = 4;
    let lines = buf.chunks_exact(2).take(LINES_MAX).take_while(|line| *line == b"\r\n").count();
    lines.saturating_mul(2)
}

/// A request line, split by httparse or by [`newer_minor_request`], with the head that it begins.
struct RequestLine<'b> {
    raw: &'b [u8],
    method: &'b [u8],
    target: &'b [u8],
    version: Version,
}

struct StatusLine<'b> {
    raw: &'b [u8],
    status: u16,
    version: Version,
}

/// Judges the split lines of a request head together.
#[inline]
fn judge_request<'h, 'b>(
    line: RequestLine<'b>,
    collected: &Collected<'b>,
    mode: Mode,
    fields: &'h mut Fields<'b>,
) -> Result<RequestHead<'h, 'b>, Refusal> {
    let version = line.version;
    let asked = Asked {
        version,
        method: line.method,
        target: Target::Line(line.target),
        extended_connect: false,
    };
    let notes = &collected.notes;
    let content = || collected.codings.request(notes.content_length, version);
    let judged = judge::request(asked, notes, content, mode, fields)?;
    let options = match collected.connection_count {
        0 => connection::Options::default(),
        _ => connection::apply(fields).ok_or(Refusal::TooManyConnectionOptions)?,
    };
    Ok(RequestHead {
        raw: line.raw,
        method: judged.method,
        method_name: line.method,
        target: judged.target,
        version,
        host: judged.host,
        content: judged.content,
        persistent: options.persistent(version),
        expect_continue: judged.expect_continue,
        upgrade: collected.upgrade
            && options.upgrade
            && version == Version::Http11
            && protocols(fields).next().is_some(),
        extended_connect: false,
        te_trailers: judged.te_trailers,
        anomaly: judged.anomaly,
        fields,
    })
}

/// Judges the split lines of a response head together.
#[inline]
fn judge_response<'h, 'b>(
    line: StatusLine<'b>,
    collected: &Collected<'b>,
    request_method: Method,
    fields: &'h mut Fields<'b>,
) -> Result<Response<'h, 'b>, ResponseFault> {
    if !matches!(line.status, 100..=599) {
        return Err(ResponseFault::BadStatus);
    }
    let length = collected.notes.content_length;
    let framing = collected.codings.response(length, line.version, request_method, line.status)?;
    let options = match collected.connection_count {
        0 => connection::Options::default(),
        _ => connection::apply(fields).ok_or(ResponseFault::TooManyConnectionOptions)?,
    };
    // `HTTP/1.1 200` is twelve bytes; SP and the reason may follow.
    let status_line = line.raw.get(..collected.start_line_bytes).unwrap_or_default();
    let on_wire = OnWire {
        framing,
        persistent: framing != ResponseFraming::UntilClose && options.persistent(line.version),
        keep_alive_s: collected.keep_alive.and_then(keep_alive_timeout_s),
    };
    let head = ResponseHead {
        raw: line.raw,
        status: line.status,
        reason: status_line.get(13..).unwrap_or_default(),
        version: line.version,
        content: framing.content(),
        upgrade: collected.upgrade && options.upgrade,
        has_cache_control: collected.notes.has_cache_control,
        has_set_cookie: collected.notes.has_set_cookie,
        fields,
    };
    Ok((head, on_wire))
}

/// `timeout=N` of a Keep-Alive value.
fn keep_alive_timeout_s(value: &[u8]) -> Option<u32> {
    members(value).find_map(|parameter| {
        let (name, seconds) = parameter.split_at_checked(8)?;
        if !eq_ignore_case(name, b"timeout=") {
            return None;
        }
        std::str::from_utf8(seconds).ok()?.parse().ok()
    })
}

/// For a head that is not complete: more is awaited unless the bytes so far already refuse it.
#[cold]
fn unfinished_request<T>(buf: &[u8], limits: &HeadLimits) -> Result<Parsed<T>, Refusal> {
    match diagnose::unfinished(buf, limits) {
        Some(fault) => Err(diagnose::refusal(buf, fault)),
        None => Ok(Parsed::Partial),
    }
}

/// The same for a response.
#[cold]
fn unfinished_response<T>(buf: &[u8], limits: &HeadLimits) -> Result<Parsed<T>, ResponseFault> {
    match diagnose::unfinished(buf, limits) {
        Some(fault) => Err(fault.into()),
        None => Ok(Parsed::Partial),
    }
}

/// A request whose version httparse does not know: a newer minor version is read as 1.1 (RFC 9110
/// §2.5), another major version is refused.
#[cold]
#[inline(never)]
fn newer_minor_request<'h, 'b>(
    buf: &'b [u8],
    limits: &HeadLimits,
    mode: Mode,
    fields: &'h mut Fields<'b>,
) -> Result<Parsed<RequestHead<'h, 'b>>, Refusal> {
    let Some(line) = diagnose::request_line(buf)? else { return unfinished_request(buf, limits) };
    let mut storage = [EMPTY_HEADER; FIELD_COUNT_MAX];
    let room = storage.get_mut(..limits.field_count.min(FIELD_COUNT_MAX)).unwrap_or_default();
    match httparse::parse_headers(buf.get(line.length..).unwrap_or_default(), room) {
        Ok(Status::Complete((length, headers))) => {
            let line = RequestLine {
                raw: buf.get(..line.length.saturating_add(length)).unwrap_or_default(),
                method: line.method,
                target: line.target,
                version: Version::Http11,
            };
            let collected = collect::collect(line.raw, headers, limits, fields)
                .map_err(|fault| diagnose::refusal(buf, fault))?;
            judge_request(line, &collected, mode, fields).map(Parsed::Complete)
        }
        Ok(Status::Partial) => unfinished_request(buf, limits),
        Err(error) => Err(diagnose::request(buf, limits, error)),
    }
}

/// The same for a response.
#[cold]
#[inline(never)]
fn newer_minor_response<'h, 'b>(
    buf: &'b [u8],
    limits: &HeadLimits,
    request_method: Method,
    fields: &'h mut Fields<'b>,
) -> Result<Parsed<Response<'h, 'b>>, ResponseFault> {
    let Some((line_length, status)) = diagnose::newer_status_line(buf)? else {
        return unfinished_response(buf, limits);
    };
    let mut storage = [EMPTY_HEADER; FIELD_COUNT_MAX];
    let room = storage.get_mut(..limits.field_count.min(FIELD_COUNT_MAX)).unwrap_or_default();
    match httparse::parse_headers(buf.get(line_length..).unwrap_or_default(), room) {
        Ok(Status::Complete((length, headers))) => {
            let line = StatusLine {
                raw: buf.get(..line_length.saturating_add(length)).unwrap_or_default(),
                status,
                version: Version::Http11,
            };
            let collected = collect::collect(line.raw, headers, limits, fields)?;
            judge_response(line, &collected, request_method, fields).map(Parsed::Complete)
        }
        Ok(Status::Partial) => unfinished_response(buf, limits),
        Err(error) => Err(diagnose::response(buf, limits, error)),
    }
}

#[cfg(test)]
mod tests;
