//! Finds the exact fault of a head that httparse refused or could not finish.
//!
//! Off the fast path: walks the lines from the top and names the first fault, so that a refusal does not depend on how
//! the head was cut into segments. Also reads the start lines of newer minor versions.

use super::scan::{Found, HeadScan};
use crate::http::fields::{is_token, is_token_byte, is_value_byte};
use crate::http::head::HeadLimits;
use crate::http::judge::METHOD_BYTES_MAX;
use crate::http::refusal::{LineFault, Refusal, ResponseFault};

/// A request line with its CRLF, split.
pub(super) struct Line<'b> {
    pub method: &'b [u8],
    pub target: &'b [u8],
    /// Its length, CRLF included.
    pub length: usize,
}

/// A head that begins with CR or LF: one empty line too many, or, which is no fault yet, half an empty line.
#[cold]
pub(super) fn leading_line(buf: &[u8]) -> Result<(), Refusal> {
    match buf {
        b"\r" => Ok(()),
        [b'\r', b'\n', ..] => Err(Refusal::BadRequestLine),
        [b'\r', ..] => Err(Refusal::BareCr),
        _ => Err(Refusal::BareLf),
    }
}

/// The fault that already refuses an incomplete head: its rest cannot change the outcome.
#[cold]
pub(super) fn unfinished(buf: &[u8], limits: &HeadLimits) -> Option<LineFault> {
    match HeadScan::default().advance(buf, limits) {
        Found::Unfinished => None,
        Found::Fault(fault) => Some(fault),
        // Impossible: httparse would still be inside a line that ended with CRLF CRLF.
        Found::Whole => None,
    }
}

/// The refusal for a fault of the lines of a request: when the method alone makes the line too long, the target is not
/// to blame.
#[cold]
pub(super) fn refusal(buf: &[u8], fault: LineFault) -> Refusal {
    if fault != LineFault::StartLineTooLong {
        return fault.into();
    }
    match buf.iter().position(|byte| matches!(byte, b' ' | b'\r')) {
        Some(method_end) if method_end <= METHOD_BYTES_MAX => Refusal::RequestLineTooLong,
        Some(_) | None => Refusal::MethodTooLong,
    }
}

/// The refusal of a request head on which httparse failed with `error`.
#[cold]
pub(super) fn request(buf: &[u8], limits: &HeadLimits, error: httparse::Error) -> Refusal {
    match request_line(buf) {
        Err(refusal) => return refusal,
        Ok(None) => {}
        Ok(Some(line)) => {
            if let Some(fault) = field_lines(buf.get(line.length..).unwrap_or_default(), limits) {
                return fault.into();
            }
        }
    }
    match unfinished(buf, limits) {
        Some(fault) => refusal(buf, fault),
        None => match error {
            httparse::Error::HeaderName => Refusal::BadFieldName,
            httparse::Error::HeaderValue => Refusal::BadFieldValue,
            httparse::Error::NewLine => Refusal::BareCr,
            httparse::Error::TooManyHeaders => Refusal::TooManyFields,
            httparse::Error::Status | httparse::Error::Token | httparse::Error::Version => {
                Refusal::BadRequestLine
            }
        },
    }
}

/// The fault of a response head on which httparse failed with `error`.
#[cold]
pub(super) fn response(buf: &[u8], limits: &HeadLimits, error: httparse::Error) -> ResponseFault {
    let line = match start_line(buf) {
        Err(fault) => return fault.into(),
        Ok(Some((line, length))) => {
            if let Some(status) = line.get(9..12)
                && line.starts_with(b"HTTP/1.")
                && !status.iter().all(u8::is_ascii_digit)
            {
                return ResponseFault::BadStatus;
            }
            field_lines(buf.get(length..).unwrap_or_default(), limits)
        }
        Ok(None) => None,
    };
    match line.or_else(|| unfinished(buf, limits)) {
        Some(fault) => fault.into(),
        None => match error {
            httparse::Error::HeaderName => ResponseFault::BadFieldName,
            httparse::Error::HeaderValue => ResponseFault::BadFieldValue,
            httparse::Error::NewLine => ResponseFault::BareCr,
            httparse::Error::TooManyHeaders => ResponseFault::TooManyFields,
            httparse::Error::Status => ResponseFault::BadStatus,
            httparse::Error::Token | httparse::Error::Version => ResponseFault::BadStatusLine,
        },
    }
}

/// The first line without its CRLF, and its length with it; `None` while it is unfinished.
fn start_line(buf: &[u8]) -> Result<Option<(&[u8], usize)>, LineFault> {
    match memchr::memchr2(b'\r', b'\n', buf).and_then(|at| buf.split_at_checked(at)) {
        None => Ok(None),
        Some((line, [b'\r', b'\n', ..])) => Ok(Some((line, line.len().saturating_add(2)))),
        Some((_, [b'\r'])) => Ok(None),
        Some((_, [b'\r', ..])) => Err(LineFault::BareCr),
        Some(_) => Err(LineFault::BareLf),
    }
}

/// Splits and judges the request line (RFC 9112 §3); `None` while it is unfinished and without fault.
#[cold]
pub(super) fn request_line(buf: &[u8]) -> Result<Option<Line<'_>>, Refusal> {
    let (line, length) = match start_line(buf)? {
        Some((line, length)) => (line, Some(length)),
        None => (buf.strip_suffix(b"\r").unwrap_or(buf), None),
    };
    let mut parts = line.splitn(3, |byte| *byte == b' ');
    let method = parts.next().unwrap_or_default();
    if !is_token(method) {
        return Err(Refusal::BadMethod);
    }
    let (target, version) = match (parts.next(), parts.next(), length) {
        (Some(target), Some(version), _) => (target, version),
        (_, _, Some(_)) => return Err(Refusal::BadRequestLine),
        (target, None, None) => (target.unwrap_or_default(), &b""[..]),
        (None, Some(version), None) => (&b""[..], version),
    };
    let is_control = |byte: &u8| *byte < b' ' || *byte == 0x7f;
    if target.iter().any(is_control) || (!target.is_ascii() && std::str::from_utf8(target).is_err())
    {
        return Err(Refusal::BadRequestTarget);
    }
    let Some(length) = length else {
        return match version_of(version) {
            None if version.len() >= 8 => Err(Refusal::BadRequestLine),
            Some((major, _)) if major != b'1' => Err(Refusal::VersionNotSupported),
            None | Some(_) => Ok(None),
        };
    };
    match version_of(version) {
        None => Err(Refusal::BadRequestLine),
        Some((major, _)) if major != b'1' => Err(Refusal::VersionNotSupported),
        Some(_) if target.is_empty() => Err(Refusal::BadRequestLine),
        Some(_) => Ok(Some(Line { method, target, length })),
    }
}

/// Major and minor digit of `HTTP/d.d`.
fn version_of(text: &[u8]) -> Option<(u8, u8)> {
    match text {
        [b'H', b'T', b'T', b'P', b'/', major, b'.', minor]
            if major.is_ascii_digit() && minor.is_ascii_digit() =>
        {
            Some((*major, *minor))
        }
        _ => None,
    }
}

/// Length with CRLF and status of a status line in a newer minor version; `None` while unfinished.
#[cold]
pub(super) fn newer_status_line(buf: &[u8]) -> Result<Option<(usize, u16)>, ResponseFault> {
    match buf.first_chunk::<8>().map(|text| version_of(text)) {
        None => return Err(ResponseFault::BadStatusLine),
        Some(None) => return Err(ResponseFault::BadStatusLine),
        Some(Some((major, _))) if major != b'1' => return Err(ResponseFault::VersionNotSupported),
        Some(Some(_)) => {}
    }
    let Some((line, length)) = start_line(buf)? else { return Ok(None) };
    let status = match line.get(8..) {
        Some([b' ', a, b, c] | [b' ', a, b, c, b' ', ..]) => [*a, *b, *c],
        _ => return Err(ResponseFault::BadStatusLine),
    };
    if !status.iter().all(u8::is_ascii_digit) {
        return Err(ResponseFault::BadStatus);
    }
    if line.iter().any(|byte| !is_value_byte(*byte)) {
        return Err(ResponseFault::BadStatusLine);
    }
    let number = status.iter().fold(0_u16, |sum, digit| {
        sum.saturating_mul(10).saturating_add(u16::from(digit.wrapping_sub(b'0')))
    });
    Ok(Some((length, number)))
}

/// The first fault among the field lines, finished or not.
fn field_lines(text: &[u8], limits: &HeadLimits) -> Option<LineFault> {
    let mut rest = text;
    let mut count = 0_usize;
    loop {
        let (line, length) = match start_line(rest) {
            Err(fault) => return line_fault(until_line_end(rest)).or(Some(fault)),
            Ok(None) => return line_fault(rest.strip_suffix(b"\r").unwrap_or(rest)),
            Ok(Some((line, length))) => (line, length),
        };
        if line.is_empty() {
            return None;
        }
        count = count.saturating_add(1);
        if let Some(fault) = line_fault(line) {
            return Some(fault);
        }
        if !line_is_field(line) {
            return Some(LineFault::FieldName);
        }
        if line.len() > limits.field_line_bytes {
            return Some(LineFault::FieldLineTooLong);
        }
        if count > limits.field_count {
            return Some(LineFault::TooManyFields);
        }
        rest = rest.get(length..).unwrap_or_default();
    }
}

/// The bytes before the first CR or LF.
fn until_line_end(text: &[u8]) -> &[u8] {
    let end = memchr::memchr2(b'\r', b'\n', text).unwrap_or(text.len());
    text.get(..end).unwrap_or_default()
}

/// Whether a finished line without a fault has a colon, and so is a field line at all.
pub(in crate::http1) fn line_is_field(line: &[u8]) -> bool {
    memchr::memchr(b':', line).is_some()
}

/// The fault of one field line, as far as it has come.
pub(in crate::http1) fn line_fault(line: &[u8]) -> Option<LineFault> {
    let name_end = line.iter().position(|byte| !is_token_byte(*byte)).unwrap_or(line.len());
    match (name_end, line.get(name_end..).unwrap_or_default()) {
        (0, [b' ' | b'\t', ..]) => Some(LineFault::ObsFold),
        (_, []) => None,
        (0, _) => Some(LineFault::FieldName),
        (_, [b':', value @ ..]) => {
            value.iter().any(|byte| !is_value_byte(*byte)).then_some(LineFault::FieldValue)
        }
        (_, rest) => {
            let blank = rest.iter().take_while(|byte| matches!(byte, b' ' | b'\t')).count();
            let colon_follows = rest.get(blank..).is_some_and(|after| after.starts_with(b":"));
            Some(match blank > 0 && colon_follows {
                true => LineFault::SpaceBeforeColon,
                false => LineFault::FieldName,
            })
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::http1::head::diagnose::*;

    #[test]
    fn versions_are_eight_bytes_exactly() {
        assert_eq!(version_of(b"HTTP/1.7"), Some((b'1', b'7')));
        for bad in
            [&b"HTTP/1.1 "[..], b"http/1.1", b"HTTP/11", b"HTTP/1", b"HTTP/1.x", b"HTTP/01.1", b""]
        {
            assert_eq!(version_of(bad), None);
        }
    }
}
