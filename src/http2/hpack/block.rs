//! A decoded field block: lines in the canonical form of a head, and the ranges of their parts.
//!
//! ```text
//! | :method: GET CRLF | … | accept: */* CRLF | … | cookie: a=1; b=2 CRLF | CRLF |
//!   pseudo-fields           field lines            Cookie, joined, last    the head's end
//! ```
//!
//! The block is the caller's, and is used again for head after head. Nothing in it is judged as a part of a message;
//! it keeps the first reason why its pseudo-fields cannot belong to one. Over the limits it takes nothing more, so that
//! decoding can go on for the sake of the dynamic table. Tested through the decoder.

use super::fault::HpackFault;
pub use super::line::Line;
use super::line::{Name, Pseudo};
use super::static_table::Entry;

/// Limits on a decoded block. Its size is the sum of its fields' names and values and of 32 bytes a field
/// (RFC 9113 §6.5.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Most bytes of a head that is not refused.
    pub list_bytes: u32,
    /// Most field lines of a head that is not refused; a Cookie counts once, however many crumbs it came in.
    pub field_count: usize,
    /// Most bytes that are decoded at all; at most 2^24.
    pub list_bytes_max: u32,
}

impl Limits {
    /// Beyond these a head is refused; four times as much of it, or 256 KiB, is decoded for the sake of the table.
    pub fn new(list_bytes: u32, field_count: usize) -> Limits {
        let list_bytes_max = list_bytes.saturating_mul(4).max(256 * 1024);
        Limits { list_bytes, field_count, list_bytes_max }
    }
}

/// Why the block is not complete, although it was decoded whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TooLarge {
    Bytes,
    Fields,
}

/// Why the pseudo-fields are malformed, in whatever message (RFC 9113 §8.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PseudoFault {
    Unknown,
    Repeated,
    /// Behind a field line.
    Late,
}

/// Capacity that a block keeps for the next head.
const KEPT_BYTES: usize = 16 * 1024;

#[derive(Debug, Default)]
pub struct Block {
    pub(super) bytes: Vec<u8>,
    lines: Vec<Line>,
    pseudo: [Option<Line>; Pseudo::COUNT],
    pseudo_fault: Option<PseudoFault>,
    /// The crumbs of Cookie so far.
    cookies: Vec<u8>,
    /// The line that they will be.
    cookie: Option<Line>,
    list_bytes: u32,
    too_large: Option<TooLarge>,
}

/// Room of a new block, for a head as most are.
const ROOM: (usize, usize) = (1024, 16);

impl Block {
    /// An empty block with room for the bytes and the lines of most heads.
    pub fn with_room() -> Block {
        let (bytes, lines) = ROOM;
        Block {
            bytes: Vec::with_capacity(bytes),
            lines: Vec::with_capacity(lines),
            ..Block::default()
        }
    }

    /// Empties the block for the next head, and gives back what an unusual one has taken.
    pub fn clear(&mut self) {
        for buffer in [&mut self.bytes, &mut self.cookies] {
            buffer.clear();
            buffer.shrink_to(KEPT_BYTES);
        }
        self.lines.clear();
        self.pseudo = [None; Pseudo::COUNT];
        self.pseudo_fault = None;
        self.cookie = None;
        self.list_bytes = 0;
        self.too_large = None;
    }

    /// Memory in use, in bytes.
    pub fn capacity_bytes(&self) -> usize {
        let lines = self.lines.capacity() * size_of::<Line>();
        self.bytes.capacity() + self.cookies.capacity() + lines
    }

    /// The whole head, from the first pseudo-field to the empty line's LF.
    pub fn raw(&self) -> &[u8] {
        &self.bytes
    }

    /// The value of a pseudo-field.
    pub fn pseudo(&self, pseudo: Pseudo) -> Option<&[u8]> {
        let line = self.pseudo.get(pseudo as usize)?.as_ref()?;
        let (start, end) = line.value_range();
        self.bytes.get(start..end)
    }

    pub fn has_pseudo(&self) -> bool {
        self.pseudo_fault.is_some() || self.pseudo.iter().any(Option::is_some)
    }

    pub fn pseudo_fault(&self) -> Option<PseudoFault> {
        self.pseudo_fault
    }

    pub fn too_large(&self) -> Option<TooLarge> {
        self.too_large
    }

    /// Its size, as [`Limits`] count.
    pub fn list_bytes(&self) -> usize {
        self.list_bytes as usize
    }

    /// The field lines; those of Cookie are one, the last.
    pub fn lines(&self) -> &[Line] {
        &self.lines
    }

    /// Name and value of one of the [lines](Block::lines).
    #[inline]
    pub fn parts(&self, line: &Line) -> (&[u8], &[u8]) {
        let (start, end) = line.value_range();
        let name = self.bytes.get(line.start as usize..start.saturating_sub(": ".len()));
        (name.unwrap_or_default(), self.bytes.get(start..end).unwrap_or_default())
    }

    /// The bytes of the field lines, without the empty line.
    pub fn field_lines(&self) -> &[u8] {
        let end = self.bytes.len().saturating_sub("\r\n".len());
        let start = self.lines.first().map_or(end, |line| line.start as usize);
        self.bytes.get(start..end).unwrap_or_default()
    }

    /// Takes in `line`, which stands at the end of `bytes`, or takes it off when it belongs elsewhere or nowhere.
    #[inline(always)]
    pub(super) fn take(&mut self, line: Line, limits: &Limits) -> Result<(), HpackFault> {
        self.list_bytes += line.size();
        let is_within =
            self.list_bytes <= limits.list_bytes && self.lines.len() < limits.field_count;
        if is_within && line.is_plain() {
            self.lines.push(line);
            return Ok(());
        }
        self.take_other(line, limits)
    }

    /// Appends a line of a table.
    #[inline(always)]
    pub(super) fn append(&mut self, entry: Entry<'_>, limits: &Limits) -> Result<(), HpackFault> {
        let line = entry.line.at(self.bytes.len());
        self.bytes.extend_from_slice(entry.bytes);
        self.take(line, limits)
    }

    /// Takes in what is no field line, or too much.
    #[inline(never)]
    fn take_other(&mut self, line: Line, limits: &Limits) -> Result<(), HpackFault> {
        if self.list_bytes > limits.list_bytes {
            self.bytes.truncate(line.start as usize);
            if self.list_bytes > limits.list_bytes_max {
                return Err(HpackFault::TooLarge);
            }
            self.too_large = self.too_large.or(Some(TooLarge::Bytes));
            return Ok(());
        }
        match line.name {
            Name::Pseudo(pseudo) => self.take_pseudo(line, pseudo),
            Name::PseudoUnknown => self.refuse_pseudo(PseudoFault::Unknown),
            // A crumb, or one line more than there may be.
            Name::Field(_) | Name::LookAlike(_) if line.is_plain() => self.push(line, limits),
            Name::Field(_) | Name::LookAlike(_) => self.take_crumb(line),
        }
        Ok(())
    }

    fn push(&mut self, line: Line, limits: &Limits) {
        if self.lines.len() < limits.field_count {
            self.lines.push(line);
        } else {
            self.bytes.truncate(line.start as usize);
            self.too_large = self.too_large.or(Some(TooLarge::Fields));
        }
    }

    fn take_pseudo(&mut self, line: Line, pseudo: Pseudo) {
        if !self.lines.is_empty() || self.cookie.is_some() {
            return self.refuse_pseudo(PseudoFault::Late);
        }
        match self.pseudo.get_mut(pseudo as usize) {
            Some(place @ None) => *place = Some(line),
            Some(Some(_)) | None => self.refuse_pseudo(PseudoFault::Repeated),
        }
    }

    fn refuse_pseudo(&mut self, fault: PseudoFault) {
        self.pseudo_fault = self.pseudo_fault.or(Some(fault));
    }

    /// RFC 9113 §8.2.3: crumbs are joined by "; ".
    fn take_crumb(&mut self, line: Line) {
        let (start, end) = line.value_range();
        if self.cookie.is_some() {
            self.cookies.extend_from_slice(b"; ");
        }
        self.cookie = Some(self.cookie.map_or(line, |whole| whole.joined_with(line)));
        self.cookies.extend_from_slice(self.bytes.get(start..end).unwrap_or_default());
        self.bytes.truncate(line.start as usize);
    }

    /// Ends the head: appends the joined Cookie and the empty line.
    pub(super) fn finish(&mut self, limits: &Limits) {
        if let Some(cookie) = self.cookie {
            let line = cookie.at(self.bytes.len()).with_length(self.cookies.len());
            self.bytes.extend_from_slice(b"cookie: ");
            self.bytes.extend_from_slice(&self.cookies);
            self.bytes.extend_from_slice(b"\r\n");
            self.push(line, limits);
        }
        self.bytes.extend_from_slice(b"\r\n");
    }
}
