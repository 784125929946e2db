//! Content framed in place for an HTTP/1 wire.

use super::chunked::{self, SIZE_LINE_BYTES_MAX};

/// Makes a chunk of `buffer[from..]`, in place, unless it is empty, and appends the end of the chunked content when
/// `end` gives its trailer lines. At least [`SIZE_LINE_BYTES_MAX`] bytes before `from` are free. Returns the index of
/// the first byte to send.
pub fn close_chunk(buffer: &mut Vec<u8>, mut from: usize, end: Option<&[u8]>) -> usize {
    let length = buffer.len().saturating_sub(from);
    if length > 0 {
        let mut line = [0; SIZE_LINE_BYTES_MAX];
        let line_length = chunked::write_size(length, &mut line);
        let start = from.saturating_sub(line_length);
        if let (Some(room), Some(line)) =
            (buffer.get_mut(start..from), line.get(SIZE_LINE_BYTES_MAX - line_length..))
        {
            room.copy_from_slice(line);
        }
        from = start;
        buffer.extend_from_slice(b"\r\n");
    }
    if let Some(trailers) = end {
        chunked::write_end(trailers, buffer);
    }
    from
}

/// Appends `content` as one chunk, and the end behind it when `end` gives its trailer lines.
pub fn append_chunk(content: &[u8], end: Option<&[u8]>, out: &mut Vec<u8>) {
    if !content.is_empty() {
        let mut line = [0; SIZE_LINE_BYTES_MAX];
        let length = chunked::write_size(content.len(), &mut line);
        out.extend_from_slice(line.get(SIZE_LINE_BYTES_MAX - length..).unwrap_or_default());
        out.extend_from_slice(content);
        out.extend_from_slice(b"\r\n");
    }
    if let Some(trailers) = end {
        chunked::write_end(trailers, out);
    }
}
