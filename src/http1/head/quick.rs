//! The quick way through a head: one pass over one that is whole and written as nearly all are.
//!
//! Takes a part of what httparse and [`super::collect`] take together, and reads it as they do; refuses
//! nothing: whatever is unusual (an incomplete head, a byte out of place, a limit passed, another
//! version) is `None`, and the thorough way says what it is. Tested against that way by the tables of
//! `tests` and by turning each byte of many heads (`quick_tests`).

use super::collect::Collected;
use super::{HeadLimits, RequestLine, StatusLine, Version};
use crate::http1::fields::{FieldId, Fields, is_token, is_token_byte, trim};
use crate::http1::words;

/// Reads a request head at the start of `buf`; what `fields` and `collected` hold counts only if it did.
#[inline]
pub(super) fn request<'b>(
    buf: &'b [u8],
    limits: &HeadLimits,
    fields: &mut Fields<'b>,
    collected: &mut Collected<'b>,
) -> Option<RequestLine<'b>> {
    let method = token(buf);
    if method.is_empty() {
        return None;
    }
    let after_method = buf.get(method.len()..)?.strip_prefix(b" ")?;
    let target_bytes = words::before_invisible(after_method);
    let (target, rest) = after_method.split_at_checked(target_bytes)?;
    if target.is_empty() {
        return None;
    }
    let (version, rest) = match rest {
        [b' ', b'H', b'T', b'T', b'P', b'/', b'1', b'.', minor, b'\r', b'\n', rest @ ..] => {
            (version(*minor)?, rest)
        }
        _ => return None,
    };
    collected.start_line_bytes = buf.len().checked_sub(rest.len())?.checked_sub(2)?;
    let raw = field_lines(buf, rest, limits, fields, collected)?;
    Some(RequestLine { raw, method, target, version })
}

/// Reads a response head likewise.
#[inline]
pub(super) fn response<'b>(
    buf: &'b [u8],
    limits: &HeadLimits,
    fields: &mut Fields<'b>,
    collected: &mut Collected<'b>,
) -> Option<StatusLine<'b>> {
    let [b'H', b'T', b'T', b'P', b'/', b'1', b'.', minor, b' ', a, b, c, after_status @ ..] = buf
    else {
        return None;
    };
    let version = version(*minor)?;
    let status = [a, b, c].into_iter().try_fold(0_u16, |status, digit| {
        let digit = digit.wrapping_sub(b'0');
        (digit <= 9).then(|| status * 10 + u16::from(digit))
    })?;
    let rest = match after_status {
        [b'\r', b'\n', rest @ ..] => rest,
        [b' ', reason @ ..] => reason.get(value_bytes(reason)..)?.strip_prefix(b"\r\n")?,
        _ => return None,
    };
    collected.start_line_bytes = buf.len().checked_sub(rest.len())?.checked_sub(2)?;
    let raw = field_lines(buf, rest, limits, fields, collected)?;
    Some(StatusLine { raw, status, version })
}

#[inline]
fn version(minor: u8) -> Option<Version> {
    match minor {
        b'0' => Some(Version::Http10),
        b'1' => Some(Version::Http11),
        _ => None,
    }
}

/// Reads the field lines, which `rest` of `buf` begins with, and the empty line; gives the whole head.
#[inline]
fn field_lines<'b>(
    buf: &'b [u8],
    mut rest: &'b [u8],
    limits: &HeadLimits,
    fields: &mut Fields<'b>,
    collected: &mut Collected<'b>,
) -> Option<&'b [u8]> {
    if collected.start_line_bytes > limits.request_line_bytes {
        return None;
    }
    loop {
        if let [b'\r', b'\n', after @ ..] = rest {
            rest = after;
            break;
        }
        let (name, after_name) = rest.split_at_checked(words::find(b':', rest)?)?;
        let after_colon = after_name.get(1..)?;
        let value = match after_colon {
            [b' ', value @ ..] => value,
            value => value,
        };
        let (value, after_value) = value.split_at_checked(value_bytes(value))?;
        let [b'\r', b'\n', after @ ..] = after_value else { return None };
        let line_bytes = rest.len() - after_value.len();
        let field = collected.field(name, trimmed(value));
        // A name that is known is a token.
        if (field.id == FieldId::Other && !is_token(name))
            || line_bytes > limits.field_line_bytes
            || fields.len() >= limits.field_count
        {
            return None;
        }
        fields.try_push(field).ok()?;
        rest = after;
    }
    let head_bytes = buf.len().checked_sub(rest.len())?;
    if head_bytes > limits.head_bytes {
        return None;
    }
    buf.get(..head_bytes)
}

/// A field value without the white space around it; nearly none has any.
#[inline]
fn trimmed(value: &[u8]) -> &[u8] {
    match value {
        [b' ' | b'\t', ..] | [.., b' ' | b'\t'] => trim(value),
        _ => value,
    }
}

/// The token that `text` begins with; empty when it begins with none.
#[inline]
fn token(text: &[u8]) -> &[u8] {
    let length = text.iter().position(|byte| !is_token_byte(*byte)).unwrap_or(text.len());
    text.get(..length).unwrap_or_default()
}

/// Count of bytes before the first that no field value may have (RFC 9110 §5.5).
#[inline]
fn value_bytes(text: &[u8]) -> usize {
    let mut count = 0;
    loop {
        count += words::before_control(text.get(count..).unwrap_or_default());
        match text.get(count) {
            // The only control that a value may have.
            Some(b'\t') => count += 1,
            _ => return count,
        }
    }
}

#[cfg(test)]
#[path = "quick_tests.rs"]
mod tests;
