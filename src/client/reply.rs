//! Answers of limpet's own, as a client of HTTP/1 gets them.

use crate::exchange::answer::Reply;
use crate::http1::answers::OwnResponse;
use crate::snapshot::Listener;

/// Appends the whole response. `date` is the time as the Date field tells it.
pub fn write(reply: &mut Reply, listener: Option<&Listener>, date: &str, out: &mut Vec<u8>) {
    reply.extra.extend_from_slice(b"Date: ");
    reply.extra.extend_from_slice(date.as_bytes());
    reply.extra.extend_from_slice(b"\r\n");
    let answer = &reply.answer(listener);
    let Reply { status, ref extra, keep, head_only, http10, .. } = *reply;
    OwnResponse { status, answer, extra, keep, head_only, http10 }.write(out);
}
