//! Runs of unchanged field lines, each copied from the received head in one piece.

use crate::http::fields::Field;
use crate::http1::head::offset_in;

/// Copies the stretches between the field lines that are left out.
pub(super) struct Runs<'h, 'b> {
    raw: &'b [u8],
    fields: &'h [Field<'b>],
    /// Where the run begins that is not copied yet.
    start: usize,
}

impl<'h, 'b> Runs<'h, 'b> {
    /// For the field lines of the head `raw`; `fields` are ranges of it.
    pub fn of_fields(raw: &'b [u8], fields: &'h [Field<'b>]) -> Self {
        let mut runs = Runs { raw, fields, start: 0 };
        runs.start = runs.line_start(0);
        runs
    }

    /// Where line `at` begins; behind the last line, where the empty line begins.
    #[inline]
    fn line_start(&self, at: usize) -> usize {
        match self.fields.get(at) {
            Some(field) => offset_in(self.raw, field.name),
            None => self.raw.len().saturating_sub(2),
        }
    }

    /// Leaves line `at` out, copying the run before it.
    #[inline]
    pub fn skip(&mut self, at: usize, out: &mut Vec<u8>) {
        let line = self.line_start(at);
        out.extend_from_slice(self.raw.get(self.start..line).unwrap_or_default());
        self.start = self.line_start(at.saturating_add(1));
    }

    /// Copies the last run.
    pub fn finish(&self, out: &mut Vec<u8>) {
        let end = self.raw.len().saturating_sub(2);
        out.extend_from_slice(self.raw.get(self.start..end).unwrap_or_default());
    }

    /// Whether line `at` is `name: value` with exactly one space, and without leading zeros if the value is a number,
    /// so that every recipient reads it alike.
    pub fn is_canonical(&self, at: usize) -> bool {
        let Some(field) = self.fields.get(at) else { return false };
        let start = self.line_start(at);
        let value_at = offset_in(self.raw, field.value);
        let end = self.line_start(at.saturating_add(1));
        value_at == start.saturating_add(field.name.len()).saturating_add(2)
            && end == value_at.saturating_add(field.value.len()).saturating_add(2)
            && self.raw.get(value_at.saturating_sub(1)) == Some(&b' ')
            && !matches!(field.value, [b'0', _, ..])
    }
}
