//! The trailer section, RFC 9112 §7.1.2: gathered line by line, each judged like a line of a head,
//! and against the list of fields that may not come late (RFC 9110 §6.5.1).

use crate::http::refusal::ChunkFault;
use crate::http::trailers::{BYTES_MAX, FIELDS_MAX, is_forbidden};
use crate::http1::head::{line_fault, line_is_field};

#[derive(Debug, Default)]
pub(super) struct Trailers {
    /// The judged lines, then the one that is coming in. Allocates only when there is one.
    bytes: Vec<u8>,
    /// Where the line that is coming in begins.
    line_start: usize,
    field_count: usize,
}

impl Trailers {
    /// Reads bytes of the section; returns how many were used, and whether it ended.
    pub fn take_in(&mut self, input: &[u8]) -> Result<(usize, bool), ChunkFault> {
        // The usual end, an empty section, needs no search and no allocation.
        if self.line_start == self.bytes.len() && input.starts_with(b"\r\n") {
            return Ok((2, true));
        }
        let mut used = 0_usize;
        while let Some(rest) = input.get(used..).filter(|rest| !rest.is_empty()) {
            let lf = memchr::memchr(b'\n', rest);
            let piece_bytes = lf.map_or(rest.len(), |at| at.saturating_add(1));
            let piece = rest.get(..piece_bytes).unwrap_or_default();
            // The end behind trailer fields.
            if self.line_start == self.bytes.len() && piece == b"\r\n" {
                return Ok((used.saturating_add(piece_bytes), true));
            }
            if self.bytes.len().saturating_add(piece_bytes) > BYTES_MAX {
                return Err(ChunkFault::TrailersTooLong);
            }
            self.bytes.extend_from_slice(piece);
            used = used.saturating_add(piece_bytes);
            if lf.is_some() && self.line_ends()? {
                return Ok((used, true));
            }
        }
        Ok((used, false))
    }

    /// Judges a line that has come in whole; `true` for the empty one, which is removed.
    fn line_ends(&mut self) -> Result<bool, ChunkFault> {
        let Some([line @ .., b'\r', b'\n']) = self.bytes.get(self.line_start..) else {
            return Err(ChunkFault::BareLf);
        };
        if line.is_empty() {
            self.bytes.truncate(self.line_start);
            return Ok(true);
        }
        if line.contains(&b'\r') {
            return Err(ChunkFault::BareCr);
        }
        if line_fault(line).is_some() || !line_is_field(line) {
            return Err(ChunkFault::TrailerInvalid);
        }
        let name = line.split(|byte| *byte == b':').next().unwrap_or_default();
        if is_forbidden(name) {
            return Err(ChunkFault::TrailerForbidden);
        }
        self.field_count = self.field_count.saturating_add(1);
        if self.field_count > FIELDS_MAX {
            return Err(ChunkFault::TooManyTrailers);
        }
        self.line_start = self.bytes.len();
        Ok(false)
    }

    /// The judged lines.
    pub fn lines(&self) -> &[u8] {
        self.bytes.get(..self.line_start).unwrap_or_default()
    }
}
