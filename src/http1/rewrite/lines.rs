//! Field lines of limpet's own.

/// One field line of ours; `start` is its name, the colon and the space.
#[inline]
pub(super) fn line<const N: usize>(start: &[u8; N], value: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(start);
    out.extend_from_slice(value);
    out.extend_from_slice(b"\r\n");
}

/// One field line with a name from the configuration.
#[inline(always)]
pub(super) fn field(name: &[u8], value: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(name);
    out.extend_from_slice(b": ");
    out.extend_from_slice(value);
    out.extend_from_slice(b"\r\n");
}

/// A field line in the place of another one, with its name. Not inlined, so that [`field`] is where every request meets
/// it.
#[inline(never)]
pub(super) fn replaced(name: &[u8], value: &[u8], out: &mut Vec<u8>) {
    field(name, value, out);
}

pub(super) const CHUNKED_LINE: &[u8] = b"Transfer-Encoding: chunked\r\n";

pub(super) fn content_length(length: u64, out: &mut Vec<u8>) {
    line(b"Content-Length: ", itoa::Buffer::new().format(length).as_bytes(), out);
}
