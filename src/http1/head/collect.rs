//! The one pass over the field lines of a head: line endings, limits, and the facts for the judgement. [`notes`] has
//! the rules that all versions of HTTP share; [`connection`](crate::http::connection) marks the fields that Connection names.

use httparse::Header;

use crate::http::fields::{FieldId, Fields};
use crate::http::head::HeadLimits;
use crate::http::notes::{self, Notes};
use crate::http::refusal::LineFault;
use crate::http1::framing::Codings;

/// The facts that the pass has gathered.
#[derive(Debug, Default)]
pub(super) struct Collected<'b> {
    /// Length of the start line without its CRLF.
    pub start_line_bytes: usize,
    pub notes: Notes<'b>,
    pub codings: Codings,
    pub connection_count: u32,
    pub upgrade: bool,
    pub keep_alive: Option<&'b [u8]>,
}

/// The index in `whole` at which its range `part` begins.
#[inline]
pub(in crate::http1) fn offset_in(whole: &[u8], part: &[u8]) -> usize {
    (part.as_ptr() as usize).wrapping_sub(whole.as_ptr() as usize)
}

/// Fills `fields` from the lines that httparse split. `raw` is the whole head.
///
/// httparse accepts a bare LF as a line's end; it refuses every other bare LF or CR. So when each line ends with CRLF,
/// which is checked here, the head has no bare one.
pub(super) fn collect<'b>(
    raw: &'b [u8],
    headers: &[Header<'b>],
    limits: &HeadLimits,
    fields: &mut Fields<'b>,
) -> Result<Collected<'b>, LineFault> {
    let mut collected = Collected::default();
    let Some(head_end) = raw.len().checked_sub(2) else { return Err(LineFault::BareLf) };
    if !raw.ends_with(b"\r\n") {
        return Err(LineFault::BareLf);
    }
    let line_start = |at: usize| match headers.get(at) {
        Some(header) => offset_in(raw, header.name.as_bytes()),
        None => head_end,
    };
    let mut start = line_start(0);
    collected.start_line_bytes = line_bytes(raw, 0, start)?;
    if collected.start_line_bytes > limits.request_line_bytes {
        return Err(LineFault::StartLineTooLong);
    }
    for (at, header) in headers.iter().enumerate() {
        let next = line_start(at.saturating_add(1));
        let line = (header.name.as_bytes(), header.value, line_bytes(raw, start, next)?);
        notes::push(line, limits, fields, |id, value| collected.note(id, value))?;
        start = next;
    }
    if raw.len() > limits.head_bytes {
        return Err(LineFault::HeadTooLong);
    }
    Ok(collected)
}

/// Length of the line from `start` to the next one at `next`, without its CRLF.
#[inline]
fn line_bytes(raw: &[u8], start: usize, next: usize) -> Result<usize, LineFault> {
    match raw.get(start..next) {
        Some([line @ .., b'\r', b'\n']) => Ok(line.len()),
        _ => Err(LineFault::BareLf),
    }
}

impl<'b> Collected<'b> {
    /// Notes one field that limpet knows and returns whether it is hop by hop.
    #[inline]
    fn note(&mut self, id: FieldId, value: &'b [u8]) -> bool {
        match id {
            FieldId::TransferEncoding => self.codings.note(value),
            FieldId::Connection => self.connection_count = self.connection_count.saturating_add(1),
            FieldId::KeepAlive => self.keep_alive = Some(value),
            FieldId::Upgrade => self.upgrade = true,
            _ => {}
        }
        self.notes.note(id, value)
    }
}
