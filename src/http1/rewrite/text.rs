//! A request's lines as HTTP/1.1 has them.

use super::lines::{CHUNKED_LINE, content_length, field, line, replaced};
use super::runs::Runs;
use crate::http::fields::Field;
use crate::http::head::ContentLength;
use crate::http::rewriting::RequestLines;

/// Lines behind each other; those that go on unchanged are copied in runs.
pub(super) struct Text<'o, 'h, 'b> {
    runs: Runs<'h, 'b>,
    out: &'o mut Vec<u8>,
    /// Where the line begins whose value comes in parts.
    line_at: usize,
}

impl<'o, 'h, 'b> Text<'o, 'h, 'b> {
    #[inline]
    pub fn new(runs: Runs<'h, 'b>, out: &'o mut Vec<u8>) -> Text<'o, 'h, 'b> {
        Text { runs, out, line_at: 0 }
    }
}

impl RequestLines for Text<'_, '_, '_> {
    #[inline]
    fn copy(&mut self, _at: usize, _field: &Field<'_>) {}

    #[inline]
    fn skip(&mut self, at: usize) {
        self.runs.skip(at, self.out);
    }

    #[inline]
    fn copy_framing(&mut self, at: usize) -> bool {
        let is_canonical = self.runs.is_canonical(at);
        if !is_canonical {
            self.runs.skip(at, self.out);
        }
        is_canonical
    }

    #[inline]
    fn end_copies(&mut self) {
        self.runs.finish(self.out);
    }

    #[inline]
    fn framing(&mut self, content: ContentLength) {
        match content {
            ContentLength::None => {}
            ContentLength::Exact(length) => content_length(length, self.out),
            ContentLength::Unknown => self.out.extend_from_slice(CHUNKED_LINE),
        }
    }

    /// `TE: trailers` needs the connection option of RFC 9110 §10.1.4. A kept HTTP/1.1 connection needs none.
    #[inline]
    fn connection(&mut self, te_trailers: bool, upgrade: Option<&[u8]>) {
        let out = &mut *self.out;
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

    #[inline]
    fn websocket_key(&mut self, key: &[u8]) {
        line(b"Sec-WebSocket-Key: ", key, self.out);
    }

    #[inline]
    fn line<const N: usize>(&mut self, start: &[u8; N], value: &[u8]) {
        line(start, value, self.out);
    }

    #[inline(always)]
    fn field(&mut self, name: &[u8], value: &[u8]) {
        field(name, value, self.out);
    }

    #[inline]
    fn replace(&mut self, name: &[u8], value: &[u8]) {
        replaced(name, value, self.out);
    }

    #[inline]
    fn begin<const N: usize>(&mut self, start: &[u8; N]) {
        self.out.extend_from_slice(start);
    }

    #[inline]
    fn begin_field(&mut self, name: &[u8]) {
        self.line_at = self.out.len();
        self.out.extend_from_slice(name);
        self.out.extend_from_slice(b": ");
    }

    #[inline]
    fn part(&mut self, part: &[u8]) {
        self.out.extend_from_slice(part);
    }

    #[inline]
    fn end(&mut self) {
        self.out.extend_from_slice(b"\r\n");
    }

    #[inline]
    fn cancel(&mut self) {
        self.out.truncate(self.line_at);
    }
}
