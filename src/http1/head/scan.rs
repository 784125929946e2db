//! How far an incomplete head was searched, so that one that arrives in small pieces costs linear time.

use crate::http::head::HeadLimits;
use crate::http::refusal::LineFault;

/// Remembers how far an incomplete head was searched: [`HeadScan::worth_parsing`] is `true` when `buf` may hold a whole
/// head, a byte that refuses it, or more than a limit allows.
///
/// ```text
/// GET / HTTP/1.1\r\nHost: a\r\nCoo|
///                              ^line_start
///                                 ^scanned
/// ```
#[derive(Debug, Clone, Copy, Default)]
pub struct HeadScan {
    /// Bytes that need not be looked at again.
    pub scanned: usize,
    /// Where the unfinished line begins.
    line_start: usize,
    /// Finished lines, the start line among them.
    line_count: usize,
}

/// The knowledge of a head so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Found {
    Unfinished,
    /// The empty line has come, or stands first.
    Whole,
    Fault(LineFault),
}

impl HeadScan {
    /// Whether a parse of `buf` is worth its cost. `buf` is the same head as in the last call, grown.
    pub fn worth_parsing(&mut self, buf: &[u8], limits: &HeadLimits) -> bool {
        // Nearly every head comes whole and alone.
        (self.scanned == 0 && buf.ends_with(b"\r\n\r\n"))
            || self.advance(buf, limits) != Found::Unfinished
    }

    /// Searches the new bytes.
    pub(super) fn advance(&mut self, buf: &[u8], limits: &HeadLimits) -> Found {
        if buf.len() < self.scanned {
            *self = HeadScan::default();
        }
        while let Some(rest) = buf.get(self.scanned..) {
            let Some(distance) = memchr::memchr3(b'\r', b'\n', 0, rest) else {
                self.scanned = buf.len();
                break;
            };
            let at = self.scanned.saturating_add(distance);
            self.scanned = at;
            match rest.get(distance..).unwrap_or_default() {
                [b'\r', b'\n', ..] => {}
                [b'\r'] => break,
                [b'\r', ..] => return Found::Fault(LineFault::BareCr),
                [b'\n', ..] => return Found::Fault(LineFault::BareLf),
                _ => return Found::Fault(LineFault::FieldValue),
            }
            let next = at.saturating_add(2);
            if at == self.line_start {
                return match next > limits.head_bytes {
                    true => Found::Fault(LineFault::HeadTooLong),
                    false => Found::Whole,
                };
            }
            if let Some(fault) = self.line_fault(at, limits) {
                return Found::Fault(fault);
            }
            self.line_count = self.line_count.saturating_add(1);
            self.line_start = next;
            self.scanned = next;
        }
        match self.line_fault(self.scanned, limits) {
            Some(fault) => Found::Fault(fault),
            None if buf.len() > limits.head_bytes => Found::Fault(LineFault::HeadTooLong),
            None => Found::Unfinished,
        }
    }

    /// The fault when the line that ends at `end` is one too many or too long.
    fn line_fault(&self, end: usize, limits: &HeadLimits) -> Option<LineFault> {
        let line_bytes = end.saturating_sub(self.line_start);
        if self.line_count == 0 {
            return (line_bytes > limits.request_line_bytes).then_some(LineFault::StartLineTooLong);
        }
        if line_bytes > limits.field_line_bytes {
            return Some(LineFault::FieldLineTooLong);
        }
        (line_bytes > 0 && self.line_count > limits.field_count).then_some(LineFault::TooManyFields)
    }
}
