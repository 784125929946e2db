//! Heads written as field blocks: every field line encoded or left out in one pass, with the edits on the way.
//!
//! Fields of a connection are left out, names become lower case, and the framing's fields are written from limpet's own
//! reading (RFC 9113 §8.2.2, RFC 9110 §7.6.1). Nothing here judges: a head that reaches it has passed. Tested through
//! the decoder, beside the writer of HTTP/1.

use super::hpack::encoder::{Encoder, Indexing, RequestPseudo};
use crate::http::edits::{RequestEdits, ResponseEdits};
use crate::http::fields::{Field, FieldId, eq_ignore_case};
use crate::http::head::{ContentLength, RequestHead, ResponseHead};
use crate::http::rewriting::{self, RequestLines};

/// Appends the field block of a request to a target of `scheme`. Every field stays out of tables, since those who share
/// the connection could learn from a table what others have sent (RFC 7541 §7.1.3), and one that came so must go on so.
/// `protocol`: that of the tunnel which is asked for (RFC 8441 §4), in the place of an upgrade.
pub fn request(
    head: &RequestHead<'_, '_>,
    edits: &RequestEdits<'_>,
    (scheme, protocol): (&[u8], Option<&[u8]>),
    out: &mut Vec<u8>,
) {
    out.reserve(head.raw.len().saturating_add(512));
    let encoder = Encoder::default();
    let method = if protocol.is_some() { b"CONNECT" } else { head.method_name };
    let authority = edits.host.unwrap_or(head.host);
    let path = edits.path.unwrap_or(head.target.path);
    let path = match head.target.query {
        None => [path, b"", b""],
        Some(query) => [path, b"?", query],
    };
    encoder.request(&RequestPseudo { method, scheme, authority, path, protocol }, out);
    let lines = &mut Coded { encoder, out, is_tunnel: protocol.is_some(), line_at: 0, value_at: 0 };
    rewriting::request(head, edits, lines);
}

/// A request's lines as field representations, one behind the other.
struct Coded<'o> {
    encoder: Encoder,
    out: &'o mut Vec<u8>,
    is_tunnel: bool,
    /// Where the line begins whose value comes in parts, and where the value does.
    line_at: usize,
    value_at: usize,
}

impl RequestLines for Coded<'_> {
    #[inline]
    fn copy(&mut self, _at: usize, field: &Field<'_>) {
        if !(self.is_tunnel && is_of_handshake(field.name)) {
            self.field(field.name, field.value);
        }
    }

    #[inline]
    fn skip(&mut self, _at: usize) {}

    #[inline]
    fn copy_framing(&mut self, _at: usize) -> bool {
        false
    }

    #[inline]
    fn end_copies(&mut self) {}

    /// A length that is known; what frames the content are its DATA. The bytes of a tunnel are no content.
    #[inline]
    fn framing(&mut self, content: ContentLength) {
        if let (ContentLength::Exact(length), false) = (content, self.is_tunnel) {
            self.field(b"content-length", itoa::Buffer::new().format(length).as_bytes());
        }
    }

    /// The one field of a connection that a request of HTTP/2 may have (RFC 9113 §8.2.2).
    #[inline]
    fn connection(&mut self, te_trailers: bool, _upgrade: Option<&[u8]>) {
        if te_trailers {
            self.encoder.field(b"te", b"trailers", Indexing::Allowed, self.out);
        }
    }

    fn websocket_key(&mut self, _key: &[u8]) {}

    #[inline]
    fn line<const N: usize>(&mut self, start: &[u8; N], value: &[u8]) {
        self.field(name_of(start), value);
    }

    #[inline]
    fn field(&mut self, name: &[u8], value: &[u8]) {
        self.encoder.field(name, value, Indexing::Never, self.out);
    }

    #[inline]
    fn replace(&mut self, name: &[u8], value: &[u8]) {
        self.field(name, value);
    }

    #[inline]
    fn begin<const N: usize>(&mut self, start: &[u8; N]) {
        self.begin_field(name_of(start));
    }

    #[inline]
    fn begin_field(&mut self, name: &[u8]) {
        self.line_at = self.out.len();
        self.value_at = self.encoder.begin_value(name, Indexing::Never, self.out);
    }

    #[inline]
    fn part(&mut self, part: &[u8]) {
        self.out.extend_from_slice(part);
    }

    #[inline]
    fn end(&mut self) {
        self.encoder.end_value(self.value_at, self.out);
    }

    #[inline]
    fn cancel(&mut self) {
        self.out.truncate(self.line_at);
    }
}

/// The name at the start of a line of ours.
#[inline]
fn name_of(start: &[u8]) -> &[u8] {
    start.strip_suffix(b": ").unwrap_or(start)
}

/// A field of a handshake of HTTP/1.1 that a tunnel has no use for (RFC 8441 §5).
fn is_of_handshake(name: &[u8]) -> bool {
    eq_ignore_case(name, b"sec-websocket-key")
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
        let value = [rewriting::received_by(head.version), pseudonym];
        encoder.field_of((b"via", &value), Indexing::Allowed, out);
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

#[cfg(test)]
#[path = "rewrite_tests.rs"]
mod tests;
