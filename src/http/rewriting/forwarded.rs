//! The fields that tell the target about the client: X-Forwarded-*, X-Real-IP and Forwarded (RFC 7239).

use super::lines::RequestLines;
use crate::http::edits::{ForwardedFor, RequestEdits};
use crate::http::fields::{FieldId, find, is_token_byte, members};
use crate::http::head::RequestHead;

/// Appends all of them. The received X-Forwarded-For lines were left out and are merged here; the other received ones
/// were left out unless the peer is trusted.
#[inline]
pub(super) fn write<L: RequestLines>(
    head: &RequestHead<'_, '_>,
    edits: &RequestEdits<'_>,
    lines: &mut L,
) {
    forwarded_for(head, edits, lines);
    let is_kept = |id| edits.peer_trusted && find(head.fields, id).is_some();
    if !is_kept(FieldId::XForwardedProto) {
        lines.line(b"X-Forwarded-Proto: ", edits.front_scheme);
    }
    if !edits.front_port.is_empty() && !is_kept(FieldId::XForwardedPort) {
        lines.line(b"X-Forwarded-Port: ", edits.front_port);
    }
    if !head.host.is_empty() && !is_kept(FieldId::XForwardedHost) {
        lines.line(b"X-Forwarded-Host: ", head.host);
    }
    if let Some(client) = edits.real_ip {
        lines.line(b"X-Real-IP: ", client);
    }
    if edits.forwarded {
        forwarded(head, edits, lines);
    }
}

/// X-Forwarded-For: several received lines are one list (RFC 9110 §5.3); the entries nearest to
/// limpet are kept when there are too many.
#[inline]
fn forwarded_for<L: RequestLines>(
    head: &RequestHead<'_, '_>,
    edits: &RequestEdits<'_>,
    lines: &mut L,
) {
    let (keeps_received, adds_ours) = match edits.forwarded_for {
        ForwardedFor::Append => (true, true),
        ForwardedFor::Preserve => (true, false),
        ForwardedFor::Replace => (false, true),
        ForwardedFor::Remove => (false, false),
    };
    let received = head
        .fields
        .iter()
        .filter(|field| keeps_received && field.id == FieldId::XForwardedFor)
        .flat_map(|field| members(field.value));
    let room = edits.forwarded_for_entries.max(1).saturating_sub(usize::from(adds_ours));
    let mut has_received = false;
    if keeps_received && find(head.fields, FieldId::XForwardedFor).is_some() {
        let excess = received.clone().count().saturating_sub(room);
        for entry in received.skip(excess) {
            match has_received {
                true => lines.part(b", "),
                false => lines.begin(b"X-Forwarded-For: "),
            }
            lines.part(entry);
            has_received = true;
        }
    }
    if adds_ours {
        match has_received {
            true => lines.part(b", "),
            false => lines.begin(b"X-Forwarded-For: "),
        }
        lines.part(edits.peer);
    }
    if has_received || adds_ours {
        lines.end();
    }
}

/// One element of Forwarded. The elements that a trusted peer sent stand in field lines before it, which are the same
/// list (RFC 7239 §4).
fn forwarded<L: RequestLines>(head: &RequestHead<'_, '_>, edits: &RequestEdits<'_>, lines: &mut L) {
    lines.begin(b"Forwarded: ");
    lines.part(b"for=");
    if edits.peer.contains(&b':') {
        // RFC 7239 §6: an IPv6 address is bracketed and therefore quoted.
        lines.part(b"\"[");
        lines.part(edits.peer);
        lines.part(b"]\"");
    } else {
        lines.part(edits.peer);
    }
    if !head.host.is_empty() {
        lines.part(b";host=");
        // A valid host holds neither a quote nor a backslash, so that quoting needs no escapes.
        let quote: &[u8] = match head.host.iter().all(|byte| is_token_byte(*byte)) {
            true => b"",
            false => b"\"",
        };
        lines.part(quote);
        lines.part(head.host);
        lines.part(quote);
    }
    lines.part(b";proto=");
    lines.part(edits.scheme);
    lines.end();
}
