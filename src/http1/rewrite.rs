//! Heads written anew: unchanged runs copied as runs, edits applied on the way, one contiguous result.
//!
//! ```text
//! GET http://a/x HTTP/1.1   rewritten: origin-form, HTTP/1.1
//! Host: a                   rewritten, first
//! Accept: */*            \  one run,
//! User-Agent: curl       /  copied at once
//! Connection: keep-alive    dropped
//! X-Forwarded-For: …        folded, ours appended
//! ```
//!
//! What becomes of a request's fields is decided in [`rewriting`]. Framing is written from limpet's own reading, never
//! from the sender's fields. Nothing here judges: a head that reaches it has passed [`super::head`]. Never allocates
//! beyond the growth of `out`. Tested by examples for each edit and by fuzzing: every written head must parse again,
//! with the same framing.

mod lines;
mod runs;
mod text;

use super::framing::ResponseFraming;
use crate::http::edits::{RequestEdits, ResponseEdits};
use crate::http::fields::FieldId;
use crate::http::head::{ContentLength, RequestHead, ResponseHead, Version};
use crate::http::rewriting;
use lines::{CHUNKED_LINE, content_length, line};
use runs::Runs;
use text::Text;

/// Appends the head for the target: origin-form, HTTP/1.1, Host first.
pub fn request(head: &RequestHead<'_, '_>, edits: &RequestEdits<'_>, out: &mut Vec<u8>) {
    out.reserve(head.raw.len().saturating_add(512));
    out.extend_from_slice(head.method_name);
    out.push(b' ');
    out.extend_from_slice(edits.path.unwrap_or(head.target.path));
    if let Some(query) = head.target.query {
        out.push(b'?');
        out.extend_from_slice(query);
    }
    out.extend_from_slice(b" HTTP/1.1\r\n");
    line(b"Host: ", edits.host.unwrap_or(head.host), out);
    rewriting::request(head, edits, &mut Text::new(Runs::of_fields(head.raw, head.fields), out));
    out.extend_from_slice(b"\r\n");
}

/// How the connection to the client carries a response.
#[derive(Debug, Clone, Copy)]
pub struct ToClient {
    pub version: Version,
    /// How the content goes to the client (chunked when a close-delimited response is re-framed).
    pub framing: ResponseFraming,
    /// Whether the client's connection stays open: decides the Connection field for its version.
    pub keep: bool,
    pub upgrade: bool,
}

/// Appends the head for the client, always as HTTP/1.1 (RFC 9110 §6.2). Interim responses pass
/// without framing, cookies and connection options of ours.
pub fn response(
    head: &ResponseHead<'_, '_>,
    edits: &ResponseEdits<'_>,
    to: &ToClient,
    out: &mut Vec<u8>,
) {
    out.reserve(head.raw.len().saturating_add(512));
    status_line(head, out);
    let keeps_length = keeps_content_length(head, to);
    let mut runs = Runs::of_fields(head.raw, head.fields);
    let mut framing_is_copied = false;
    let mut is_dated = false;
    for (at, field) in head.fields.iter().enumerate() {
        match field.id {
            _ if field.drop => runs.skip(at, out),
            FieldId::ContentLength if keeps_length && runs.is_canonical(at) => {
                framing_is_copied = true;
            }
            FieldId::TransferEncoding
                if to.framing == ResponseFraming::Chunked
                    && field.value == b"chunked"
                    && runs.is_canonical(at) =>
            {
                framing_is_copied = true;
            }
            FieldId::ContentLength if keeps_length && to.framing == ResponseFraming::None => {
                runs.skip(at, out);
                line(b"Content-Length: ", without_leading_zeros(field.value), out);
            }
            FieldId::ContentLength | FieldId::TransferEncoding => runs.skip(at, out),
            FieldId::Date => is_dated = true,
            FieldId::Other if at == edits.session_field.at => {
                runs.skip(at, out);
                lines::replaced(field.name, edits.session_field.value, out);
            }
            _ => {}
        }
    }
    runs.finish(out);

    if !framing_is_copied {
        match to.framing {
            ResponseFraming::None | ResponseFraming::UntilClose => {}
            ResponseFraming::Length(length) => content_length(length, out),
            ResponseFraming::Chunked => out.extend_from_slice(CHUNKED_LINE),
        }
    }
    let interim = matches!(head.status, 100 | 102..=199);
    if !interim {
        response_connection(head, to, out);
        if edits.protect_cookie && !head.has_cache_control {
            out.extend_from_slice(b"Cache-Control: private\r\n");
        }
        if let Some(date) = edits.date.filter(|_| !is_dated) {
            line(b"Date: ", date, out);
        }
        edits.set_cookies.iter().for_each(|cookie| line(b"Set-Cookie: ", cookie, out));
    }
    if let Some(pseudonym) = edits.via {
        out.extend_from_slice(b"Via: ");
        out.extend_from_slice(rewriting::received_by(head.version));
        out.extend_from_slice(pseudonym);
        out.extend_from_slice(b"\r\n");
    }
    out.extend_from_slice(b"\r\n");
}

fn status_line(head: &ResponseHead<'_, '_>, out: &mut Vec<u8>) {
    out.extend_from_slice(b"HTTP/1.1 ");
    out.extend_from_slice(itoa::Buffer::new().format(head.status).as_bytes());
    out.push(b' ');
    out.extend_from_slice(head.reason);
    out.extend_from_slice(b"\r\n");
}

/// Whether the target's own Content-Length is forwarded: as the framing that stays, or as information about content
/// that is not sent (HEAD, 304), which RFC 9110 §8.6 forbids for 1xx and 204.
fn keeps_content_length(head: &ResponseHead<'_, '_>, to: &ToClient) -> bool {
    match to.framing {
        ResponseFraming::None => !matches!(head.status, 100..=199 | 204),
        ResponseFraming::Length(length) => head.content == ContentLength::Exact(length),
        ResponseFraming::Chunked | ResponseFraming::UntilClose => false,
    }
}

/// RFC 9112 §9.3 and §9.6 for the client's version; a 426 must name its protocols (RFC 9110 §15.5.22).
fn response_connection(head: &ResponseHead<'_, '_>, to: &ToClient, out: &mut Vec<u8>) {
    let upgrade = head.upgrade && (to.upgrade || head.status == 426);
    let options: &[u8] = match (upgrade, to.keep, to.version) {
        (true, _, _) if to.upgrade => b"Connection: upgrade\r\n",
        (true, false, _) => b"Connection: close, upgrade\r\n",
        (true, true, _) => b"Connection: upgrade\r\n",
        (false, false, _) => b"Connection: close\r\n",
        (false, true, Version::Http10) => b"Connection: keep-alive\r\n",
        (false, true, Version::Http11 | Version::Http2 | Version::Http3) => b"",
    };
    out.extend_from_slice(options);
    if upgrade {
        head.fields.iter().for_each(|field| match field.id {
            FieldId::Upgrade => line(b"Upgrade: ", field.value, out),
            FieldId::WebSocketProof => line(b"Sec-WebSocket-Accept: ", field.value, out),
            _ => {}
        });
    }
}

/// A valid Content-Length value as limpet would write it.
fn without_leading_zeros(digits: &[u8]) -> &[u8] {
    let mut rest = digits;
    while let [b'0', tail @ ..] = rest
        && !tail.is_empty()
    {
        rest = tail;
    }
    rest
}

#[cfg(test)]
mod tests;
