//! The trailer section, RFC 9112 §7.1.2: gathered line by line, each judged like a line of a head,
//! and against the list of fields that may not come late (RFC 9110 §6.5.1).

use crate::http::fields::{FieldId, classify_folded, folds_to};
use crate::http::refusal::ChunkFault;
use crate::http1::head::{line_fault, line_is_field};

/// Most bytes of the section, line ends included.
const BYTES_MAX: usize = 16 * 1024;
/// Most fields.
const FIELDS_MAX: usize = 64;

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
        let mut used = 0_usize;
        while let Some(rest) = input.get(used..).filter(|rest| !rest.is_empty()) {
            let lf = memchr::memchr(b'\n', rest);
            let piece_bytes = lf.map_or(rest.len(), |at| at.saturating_add(1));
            let piece = rest.get(..piece_bytes).unwrap_or_default();
            // The usual end, an empty section, needs no allocation.
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

/// Fields that frame, route, authenticate, control or describe the message: RFC 9110 §6.5.1 forbids them in trailers,
/// because a recipient that merges them would be steered. Case and underscores do not hide one.
fn is_forbidden(name: &[u8]) -> bool {
    const OTHERS: &[&[u8]] = &[
        b"proxy-authorization",
        b"proxy-authenticate",
        b"www-authenticate",
        b"proxy-authentication-info",
        b"authentication-info",
        b"max-forwards",
        b"pragma",
        b"range",
        b"if-match",
        b"if-none-match",
        b"if-modified-since",
        b"if-unmodified-since",
        b"if-range",
        b"age",
        b"expires",
        b"date",
        b"location",
        b"retry-after",
        b"vary",
        b"http2-settings",
    ];
    // RFC 9530 §2 and RFC 1864 allow these two in trailers.
    const DIGESTS: &[&[u8]] = &[b"content-digest", b"content-md5"];
    let any_of = |names: &[&[u8]]| names.iter().any(|other| folds_to(name, other));
    let has_prefix =
        |prefix: &[u8]| name.get(..prefix.len()).is_some_and(|start| folds_to(start, prefix));
    match classify_folded(name).0 {
        FieldId::Other => {
            any_of(OTHERS)
                || has_prefix(b"x-forwarded-")
                || (has_prefix(b"content-") && !any_of(DIGESTS))
        }
        FieldId::CacheControl | FieldId::Date => true,
        id => id.steers(),
    }
}
