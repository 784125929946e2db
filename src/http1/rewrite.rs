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
//! Hop-by-hop fields are removed before ours are added, and framing is written from limpet's own reading, never from
//! the sender's fields. Nothing here judges: a head that reaches it has passed [`super::head`]. Never allocates beyond
//! the growth of `out`. Tested by examples for each edit and by fuzzing: every written head must parse again, with the
//! same framing.

mod forwarded;
mod lines;
mod runs;

use super::framing::ResponseFraming;
use crate::http::cookies::next_part;
use crate::http::edits::{RequestEdits, ResponseEdits};
use crate::http::fields::{Field, FieldId, folds_alike, trim};
use crate::http::head::{ContentLength, RequestHead, ResponseHead, Version};
use crate::http::max_forwards;
use lines::{field, line};
use runs::Runs;

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

    let mut runs = Runs::of_fields(head.raw, head.fields);
    let mut framing_is_copied = false;
    for (at, field) in head.fields.iter().enumerate() {
        match request_step(head, edits, (at, field)) {
            Step::Copy => {}
            Step::Drop => runs.skip(at, out),
            Step::CopyFraming if runs.is_canonical(at) => framing_is_copied = true,
            Step::CopyFraming => runs.skip(at, out),
            Step::StripCookies => {
                if let Some(own) = first_own(field.value, edits.strip_cookies) {
                    runs.skip(at, out);
                    stripped_cookie(field, own, edits.strip_cookies, out);
                }
            }
            Step::Replace(value) => {
                runs.skip(at, out);
                lines::replaced(field.name, value, out);
            }
        }
    }
    runs.finish(out);

    if !framing_is_copied {
        match head.content {
            ContentLength::None => {}
            ContentLength::Exact(length) => content_length(length, out),
            ContentLength::Unknown => out.extend_from_slice(CHUNKED_LINE),
        }
    }
    request_connection(head.te_trailers, edits.upgrade, out);
    if let Some(key) = edits.websocket_key {
        line(b"Sec-WebSocket-Key: ", key, out);
    }
    forwarded::write(head, edits, out);
    if let Some(pseudonym) = edits.via {
        via(head.version, pseudonym, out);
    }
    if let Some(count) = edits.max_forwards {
        line(b"Max-Forwards: ", itoa::Buffer::new().format(count).as_bytes(), out);
    }
    if let Some((name, value)) = edits.request_id {
        field(name, value, out);
    }
    out.extend_from_slice(b"\r\n");
}

/// How one field line is rewritten.
enum Step<'e> {
    Copy,
    Drop,
    /// Copied if it is canonical, else written anew.
    CopyFraming,
    StripCookies,
    Replace(&'e [u8]),
}

#[inline]
fn request_step<'e>(
    head: &RequestHead<'_, '_>,
    edits: &RequestEdits<'e>,
    (at, field): (usize, &Field<'_>),
) -> Step<'e> {
    if field.drop {
        return Step::Drop;
    }
    if let Some((name, _)) = edits.request_id
        && folds_alike(field.name, name)
    {
        return Step::Drop;
    }
    if edits.max_forwards.is_some() && max_forwards::is_named(field.name) {
        return Step::Drop;
    }
    let kept_if = |kept: bool| if kept { Step::Copy } else { Step::Drop };
    match field.id {
        FieldId::Host | FieldId::XForwardedFor => Step::Drop,
        FieldId::ContentLength => match head.content {
            ContentLength::Exact(_) => Step::CopyFraming,
            ContentLength::None | ContentLength::Unknown => Step::Drop,
        },
        FieldId::TransferEncoding => match head.content {
            ContentLength::Unknown if field.value == b"chunked" => Step::CopyFraming,
            _ => Step::Drop,
        },
        FieldId::Cookie if !edits.strip_cookies.is_empty() => Step::StripCookies,
        FieldId::XForwardedProto
        | FieldId::XForwardedPort
        | FieldId::XForwardedHost
        | FieldId::Forwarded => kept_if(edits.peer_trusted),
        FieldId::XRealIp => kept_if(edits.keep_real_ip),
        FieldId::Connection
        | FieldId::KeepAlive
        | FieldId::ProxyConnection
        | FieldId::Te
        | FieldId::Upgrade
        | FieldId::WebSocketProof => Step::Drop,
        FieldId::Other if at == edits.session_field.at => Step::Replace(edits.session_field.value),
        FieldId::Other
        | FieldId::Trailer
        | FieldId::Expect
        | FieldId::Cookie
        | FieldId::SetCookie
        | FieldId::Authorization
        | FieldId::CacheControl
        | FieldId::Date
        | FieldId::Via
        | FieldId::Referer
        | FieldId::UserAgent
        | FieldId::Traceparent => Step::Copy,
    }
}

/// Our own hop-by-hop fields: an upgrade that the rule allows, and `TE: trailers` with the connection
/// option that RFC 9110 §10.1.4 asks for. A kept HTTP/1.1 connection needs none.
fn request_connection(te_trailers: bool, upgrade: Option<&[u8]>, out: &mut Vec<u8>) {
    match (upgrade, te_trailers) {
        (None, false) => {}
        (None, true) => out.extend_from_slice(b"Connection: TE\r\nTE: trailers\r\n"),
        (Some(protocols), false) => {
            out.extend_from_slice(b"Connection: upgrade\r\n");
            line(b"Upgrade: ", protocols, out);
        }
        (Some(protocols), true) => {
            out.extend_from_slice(b"Connection: upgrade, TE\r\nTE: trailers\r\n");
            line(b"Upgrade: ", protocols, out);
        }
    }
}

/// The first of limpet's own cookies in a Cookie value, and the text behind it.
struct Own<'v> {
    before: &'v [u8],
    after: Option<&'v [u8]>,
}

fn first_own<'v>(value: &'v [u8], names: &[&[u8]]) -> Option<Own<'v>> {
    let mut rest = Some(value);
    loop {
        let start = value.len() - rest?.len();
        if is_own(next_part(&mut rest)?, names) {
            return Some(Own { before: value.get(..start)?, after: rest });
        }
    }
}

/// Whether a part of a Cookie value is a pair with one of these names, none of which is empty.
#[inline]
fn is_own(part: &[u8], names: &[&[u8]]) -> bool {
    let pair = trim_start(part);
    let is_named = |name: &&[u8]| {
        pair.strip_prefix(*name).is_some_and(|rest| trim_start(rest).first() == Some(&b'='))
    };
    names.iter().any(is_named)
}

/// Writes a Cookie field without the named cookies, of which `own` is the first, and leaves every other byte unchanged;
/// writes nothing when no cookie is left.
fn stripped_cookie(cookie: &Field<'_>, own: Own<'_>, names: &[&[u8]], out: &mut Vec<u8>) {
    let line = out.len();
    out.extend_from_slice(cookie.name);
    out.extend_from_slice(b": ");
    let before = own.before.strip_suffix(b";").unwrap_or_default();
    out.extend_from_slice(trim_start(before));
    let mut left = before.iter().any(|byte| !matches!(byte, b' ' | b'\t' | b';'));
    let mut first = own.before.is_empty();
    let mut rest = own.after;
    while let Some(part) = next_part(&mut rest) {
        if is_own(part, names) {
            continue;
        }
        if first {
            out.extend_from_slice(trim_start(part));
        } else {
            out.push(b';');
            out.extend_from_slice(part);
        }
        first = false;
        left |= !trim(part).is_empty();
    }
    match left {
        true => out.extend_from_slice(b"\r\n"),
        false => out.truncate(line),
    }
}

/// `text` without leading SP and HTAB.
fn trim_start(text: &[u8]) -> &[u8] {
    let blank = text.iter().take_while(|byte| matches!(byte, b' ' | b'\t')).count();
    text.get(blank..).unwrap_or_default()
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
        via(head.version, pseudonym, out);
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

const CHUNKED_LINE: &[u8] = b"Transfer-Encoding: chunked\r\n";

fn content_length(length: u64, out: &mut Vec<u8>) {
    line(b"Content-Length: ", itoa::Buffer::new().format(length).as_bytes(), out);
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

/// RFC 9110 §7.6.3: the version that the message was received in, and the pseudonym of the recipient.
fn via(received: Version, pseudonym: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(match received {
        Version::Http10 => b"Via: 1.0 ",
        Version::Http11 => b"Via: 1.1 ",
        Version::Http2 => b"Via: 2 ",
        Version::Http3 => b"Via: 3 ",
    });
    out.extend_from_slice(pseudonym);
    out.extend_from_slice(b"\r\n");
}

#[cfg(test)]
mod tests;
