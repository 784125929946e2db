//! Heads written as field blocks: every field line encoded or left out in one pass, with the edits on the way.
//!
//! Fields of a connection are left out, names become lower case, and the framing's fields are written from limpet's own
//! reading (RFC 9113 §8.2.2, RFC 9110 §7.6.1). Nothing here judges: a head that reaches it has passed. Tested through
//! the decoder, beside the writer of HTTP/1.

use super::hpack::encoder::{Encoder, Indexing, RequestPseudo};
use crate::http::edits::ResponseEdits;
use crate::http::fields::{Field, FieldId, eq_ignore_case};
use crate::http::head::{ContentLength, ResponseHead, Version};

/// Appends the field block of a request whose head is written for HTTP/1.1 already, by limpet: its edits are made. Every
/// field stays out of tables, since those who share the connection could learn from a table what others have sent (RFC
/// 7541 §7.1.3), and one that came so must go on so. `protocol`: that of the tunnel which is asked for (RFC 8441 §4), in
/// the place of the upgrade that is written.
pub fn request(written: &[u8], (scheme, protocol): (&[u8], Option<&[u8]>), out: &mut Vec<u8>) {
    out.reserve(written.len());
    let encoder = Encoder::default();
    let mut lines = lines_of(written);
    let mut words = lines.next().unwrap_or_default().split(|byte| *byte == b' ');
    let (method, path) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    let method = if protocol.is_some() { &b"CONNECT"[..] } else { method };
    // It has Host first.
    let authority = lines.next().and_then(parts).map_or(&[][..], |(_, host)| host);
    encoder.request(&RequestPseudo { method, scheme, authority, path, protocol }, out);
    for (name, value) in lines.filter_map(parts) {
        match name {
            b"Connection" | b"Upgrade" => {}
            name if protocol.is_some() && is_of_handshake(name) => {}
            b"TE" => encoder.field(b"te", b"trailers", Indexing::Allowed, out),
            name if is_transfer_encoding(name) => {}
            name => encoder.field(name, value, Indexing::Never, out),
        }
    }
}

/// Fields of a handshake of HTTP/1.1, and of content, that a tunnel has no use for (RFC 8441 §5).
fn is_of_handshake(name: &[u8]) -> bool {
    eq_ignore_case(name, b"sec-websocket-key") || eq_ignore_case(name, b"content-length")
}

fn is_transfer_encoding(name: &[u8]) -> bool {
    eq_ignore_case(name, b"transfer-encoding")
}

/// The lines of a head, without their ends.
fn lines_of(mut written: &[u8]) -> impl Iterator<Item = &[u8]> {
    std::iter::from_fn(move || {
        let end = memchr::memchr(b'\n', written)?;
        let (line, rest) = written.split_at_checked(end)?;
        written = rest.get(1..)?;
        Some(line.strip_suffix(b"\r").unwrap_or(line))
    })
}

/// Name and value of a field line.
fn parts(line: &[u8]) -> Option<(&[u8], &[u8])> {
    let colon = memchr::memchr(b':', line)?;
    let (name, value) = line.split_at_checked(colon)?;
    Some((name, value.get(1..)?.trim_ascii()))
}

/// Appends the fields of a response, behind its `:status`.
pub fn response(
    head: &ResponseHead<'_, '_>,
    edits: &ResponseEdits<'_>,
    encoder: &Encoder,
    out: &mut Vec<u8>,
) {
    out.reserve(head.raw.len().saturating_add(256));
    let mut is_dated = false;
    for (at, field) in head.fields.iter().enumerate() {
        match field.id {
            _ if field.drop => continue,
            FieldId::Other if at == edits.session_field.at => {
                let value = edits.session_field.value;
                encoder.field(field.name, value, Indexing::Never, out);
                continue;
            }
            FieldId::ContentLength if !keeps_length(head) => continue,
            FieldId::TransferEncoding
            | FieldId::Connection
            | FieldId::KeepAlive
            | FieldId::ProxyConnection
            | FieldId::Upgrade
            | FieldId::WebSocketProof => continue,
            FieldId::Date => is_dated = true,
            _ => {}
        }
        // What proves a handshake of HTTP/1.1 means nothing here (RFC 8441 §5).
        if head.status == 101 && eq_ignore_case(field.name, b"sec-websocket-accept") {
            continue;
        }
        let indexing = match field.is_never_indexed || field.id == FieldId::SetCookie {
            true => Indexing::Never,
            false => Indexing::Allowed,
        };
        encoder.field(field.name, value_of(field), indexing, out);
    }
    if head.status >= 200 || head.status == 101 {
        if edits.protect_cookie && !head.has_cache_control {
            encoder.field(b"cache-control", b"private", Indexing::Allowed, out);
        }
        if let Some(date) = edits.date.filter(|_| !is_dated) {
            encoder.field(b"date", date, Indexing::Allowed, out);
        }
        for cookie in edits.set_cookies {
            encoder.field(b"set-cookie", cookie, Indexing::Never, out);
        }
    }
    if let Some(pseudonym) = edits.via {
        via(head.version, pseudonym, encoder, out);
    }
}

/// Whether the length that was named is passed on: RFC 9110 §8.6 forbids it for 1xx and 204, and a response whose
/// length limpet does not know has none.
fn keeps_length(head: &ResponseHead<'_, '_>) -> bool {
    match head.content {
        ContentLength::None => !matches!(head.status, 100..=199 | 204),
        ContentLength::Exact(_) => true,
        ContentLength::Unknown => false,
    }
}

/// Leading zeros of a length are left out, so that every recipient reads it alike.
#[inline]
fn value_of<'b>(field: &Field<'b>) -> &'b [u8] {
    let mut value = field.value;
    if field.id == FieldId::ContentLength {
        while let [b'0', rest @ ..] = value
            && !rest.is_empty()
        {
            value = rest;
        }
    }
    value
}

/// RFC 9110 §7.6.3: the version that the message was received in, and the pseudonym of the recipient.
fn via(received: Version, pseudonym: &[u8], encoder: &Encoder, out: &mut Vec<u8>) {
    let version: &[u8] = match received {
        Version::Http10 => b"1.0 ",
        Version::Http11 => b"1.1 ",
        Version::Http2 => b"2 ",
        Version::Http3 => b"3 ",
    };
    encoder.field_of((b"via", &[version, pseudonym]), Indexing::Allowed, out);
}

#[cfg(test)]
#[path = "rewrite_tests.rs"]
mod tests;
