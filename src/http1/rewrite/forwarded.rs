//! The fields that tell the target about the client: X-Forwarded-*, X-Real-IP and Forwarded (RFC 7239).

use super::lines::line;
use crate::http::edits::{ForwardedFor, RequestEdits};
use crate::http::fields::{FieldId, find, is_token_byte, members};
use crate::http::head::RequestHead;

/// Appends all of them. The received X-Forwarded-For lines were left out and are merged here; the other received ones
/// were left out unless the peer is trusted.
pub(super) fn write(head: &RequestHead<'_, '_>, edits: &RequestEdits<'_>, out: &mut Vec<u8>) {
    forwarded_for(head, edits, out);
    let is_kept = |id| edits.peer_trusted && find(head.fields, id).is_some();
    if !is_kept(FieldId::XForwardedProto) {
        line(b"X-Forwarded-Proto: ", edits.front_scheme, out);
    }
    if !edits.front_port.is_empty() && !is_kept(FieldId::XForwardedPort) {
        line(b"X-Forwarded-Port: ", edits.front_port, out);
    }
    if !head.host.is_empty() && !is_kept(FieldId::XForwardedHost) {
        line(b"X-Forwarded-Host: ", head.host, out);
    }
    if let Some(client) = edits.real_ip {
        line(b"X-Real-IP: ", client, out);
    }
    if edits.forwarded {
        forwarded(head, edits, out);
    }
}

/// X-Forwarded-For: several received lines are one list (RFC 9110 §5.3); the entries nearest to
/// limpet are kept when there are too many.
fn forwarded_for(head: &RequestHead<'_, '_>, edits: &RequestEdits<'_>, out: &mut Vec<u8>) {
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
            out.extend_from_slice(if has_received { b", " } else { b"X-Forwarded-For: " });
            out.extend_from_slice(entry);
            has_received = true;
        }
    }
    if adds_ours {
        out.extend_from_slice(if has_received { b", " } else { b"X-Forwarded-For: " });
        out.extend_from_slice(edits.peer);
    }
    if has_received || adds_ours {
        out.extend_from_slice(b"\r\n");
    }
}

/// One element of Forwarded. The elements that a trusted peer sent stand in field lines before it, which are the same
/// list (RFC 7239 §4).
fn forwarded(head: &RequestHead<'_, '_>, edits: &RequestEdits<'_>, out: &mut Vec<u8>) {
    out.extend_from_slice(b"Forwarded: for=");
    if edits.peer.contains(&b':') {
        // RFC 7239 §6: an IPv6 address is bracketed and therefore quoted.
        out.extend_from_slice(b"\"[");
        out.extend_from_slice(edits.peer);
        out.extend_from_slice(b"]\"");
    } else {
        out.extend_from_slice(edits.peer);
    }
    if !head.host.is_empty() {
        out.extend_from_slice(b";host=");
        // A valid host holds neither a quote nor a backslash, so that quoting needs no escapes.
        if head.host.iter().all(|byte| is_token_byte(*byte)) {
            out.extend_from_slice(head.host);
        } else {
            out.push(b'"');
            out.extend_from_slice(head.host);
            out.push(b'"');
        }
    }
    out.extend_from_slice(b";proto=");
    out.extend_from_slice(edits.scheme);
    out.extend_from_slice(b"\r\n");
}
