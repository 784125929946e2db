//! Heads written as field blocks: every field line encoded or left out in one pass, with the edits on the way.
//!
//! Fields of a connection are left out, names become lower case, and the framing's fields are written from limpet's own
//! reading (RFC 9113 §8.2.2, RFC 9110 §7.6.1). Nothing here judges: a head that reaches it has passed. Tested through
//! the decoder, beside the writer of HTTP/1.

use super::hpack::encoder::{Encoder, Indexing};
use crate::http::edits::ResponseEdits;
use crate::http::fields::{Field, FieldId};
use crate::http::head::{ContentLength, ResponseHead, Version};

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
            | FieldId::Upgrade => continue,
            FieldId::Date => is_dated = true,
            _ => {}
        }
        encoder.field(field.name, value_of(field), Indexing::Allowed, out);
    }
    if head.status >= 200 {
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
