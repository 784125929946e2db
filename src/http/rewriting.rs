//! A request's head on its way to a target: what becomes of each field line, and the lines of limpet's own, for whatever
//! wire the target speaks.
//!
//! ```text
//! Host: a                   rewritten, first
//! Accept: */*               goes on
//! Connection: keep-alive    left out
//! Cookie: a=1; limpet=…     without limpet's own
//! X-Forwarded-For: …        folded, ours appended
//! ```
//! Hop-by-hop fields are left out before ours are added, and framing is told from limpet's own reading, never from the
//! sender's fields. Nothing here judges: a head that reaches it has passed. Tested with the writers of both versions,
//! each of which is the measure of the other.

mod forwarded;
mod lines;

use super::cookies::next_part;
use super::edits::RequestEdits;
use super::fields::{Field, FieldId, folds_alike, trim};
use super::head::{ContentLength, RequestHead, Version};
use super::max_forwards;
pub use lines::RequestLines;

/// Writes the fields of the head for the target, behind Host.
#[inline(always)]
pub fn request<L: RequestLines>(
    head: &RequestHead<'_, '_>,
    edits: &RequestEdits<'_>,
    lines: &mut L,
) {
    let mut framing_is_copied = false;
    for (at, field) in head.fields.iter().enumerate() {
        match request_step(head, edits, (at, field)) {
            Step::Copy => lines.copy(at, field),
            Step::Drop => lines.skip(at),
            Step::CopyFraming => framing_is_copied |= lines.copy_framing(at),
            Step::StripCookies => match first_own(field.value, edits.strip_cookies) {
                None => lines.copy(at, field),
                Some(own) => {
                    lines.skip(at);
                    stripped_cookie(field, own, edits.strip_cookies, lines);
                }
            },
            Step::Replace(value) => {
                lines.skip(at);
                lines.replace(field.name, value);
            }
        }
    }
    lines.end_copies();
    if !framing_is_copied {
        lines.framing(head.content);
    }
    lines.connection(head.te_trailers, edits.upgrade);
    if let Some(key) = edits.websocket_key {
        lines.websocket_key(key);
    }
    forwarded::write(head, edits, lines);
    if let Some(pseudonym) = edits.via {
        lines.begin(b"Via: ");
        lines.part(received_by(head.version));
        lines.part(pseudonym);
        lines.end();
    }
    if let Some(count) = edits.max_forwards {
        lines.line(b"Max-Forwards: ", itoa::Buffer::new().format(count).as_bytes());
    }
    if let Some((name, value)) = edits.request_id {
        lines.field(name, value);
    }
}

/// The version that a message was received in, as Via names it, and a space (RFC 9110 §7.6.3).
pub fn received_by(version: Version) -> &'static [u8] {
    match version {
        Version::Http10 => b"1.0 ",
        Version::Http11 => b"1.1 ",
        Version::Http2 => b"2 ",
        Version::Http3 => b"3 ",
    }
}

/// How one field line is rewritten.
enum Step<'e> {
    Copy,
    Drop,
    /// Copied if its form allows it, else written anew.
    CopyFraming,
    StripCookies,
    Replace(&'e [u8]),
}

#[inline(always)]
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

/// The first of limpet's own cookies in a Cookie value, and the text behind it.
struct Own<'v> {
    before: &'v [u8],
    after: Option<&'v [u8]>,
}

#[inline(always)]
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
fn stripped_cookie<L: RequestLines>(
    cookie: &Field<'_>,
    own: Own<'_>,
    names: &[&[u8]],
    lines: &mut L,
) {
    lines.begin_field(cookie.name);
    let before = own.before.strip_suffix(b";").unwrap_or_default();
    lines.part(trim_start(before));
    let mut left = before.iter().any(|byte| !matches!(byte, b' ' | b'\t' | b';'));
    let mut first = own.before.is_empty();
    let mut rest = own.after;
    while let Some(part) = next_part(&mut rest) {
        if is_own(part, names) {
            continue;
        }
        if first {
            lines.part(trim_start(part));
        } else {
            lines.part(b";");
            lines.part(part);
        }
        first = false;
        left |= !trim(part).is_empty();
    }
    match left {
        true => lines.end(),
        false => lines.cancel(),
    }
}

/// `text` without leading SP and HTAB.
fn trim_start(text: &[u8]) -> &[u8] {
    let blank = text.iter().take_while(|byte| matches!(byte, b' ' | b'\t')).count();
    text.get(blank..).unwrap_or_default()
}
