//! The decoder of field blocks (RFC 7541 §3.2, §6), one for each direction of a connection.
//!
//! A block may come in any number of fragments, cut anywhere: the decoder keeps the bytes of a representation that is
//! not complete, and decodes nothing of it before it is. Every line is written to the end of the block, and from there
//! to the dynamic table when it is to be indexed; a reference is copied as a whole line. Tested by the examples of
//! RFC 7541 Appendix C at every split, by round trips, by malformed blocks, by the stories of others
//! (`tests/hpack_stories.rs`) and by the fuzz target `hpack`.

use super::block::{Block, Limits};
use super::dynamic::DynamicTable;
pub use super::dynamic::SIZE_MAX;
use super::fault::HpackFault;
use super::huffman;
use super::integer::{self, Stop};
use super::line::Line;
use super::static_table::{self, Entry};

/// SETTINGS_HEADER_TABLE_SIZE before anyone has set it (RFC 9113 §6.5.2).
pub const SIZE_DEFAULT: u32 = 4096;

#[derive(Debug)]
pub struct Decoder {
    table: DynamicTable,
    /// The most that the peer may choose.
    size_limit: u32,
    /// The least limit since the last block began, when the peer has to say that its table is no larger.
    size_owed: Option<u32>,
    /// No field of the block has come yet, so that the table's size may be updated.
    is_at_start: bool,
    /// The beginning of a representation whose rest has not come.
    carry: Vec<u8>,
}

impl Default for Decoder {
    fn default() -> Decoder {
        Decoder {
            table: DynamicTable::new(SIZE_DEFAULT),
            size_limit: SIZE_DEFAULT,
            size_owed: None,
            is_at_start: true,
            carry: Vec::new(),
        }
    }
}

impl Decoder {
    /// Sets the largest table that the peer may use, in bytes, at most [`SIZE_MAX`]; to be called when the peer has
    /// acknowledged it. A peer whose table is larger has to begin its next block with an update (RFC 9113 §4.3.1).
    pub fn set_size_limit(&mut self, bytes: u32) {
        self.size_limit = bytes.min(SIZE_MAX);
        if self.table.size_max() > self.size_limit {
            let owed = self.size_owed.unwrap_or(self.size_limit);
            self.size_owed = Some(owed.min(self.size_limit));
        }
    }

    /// Decodes one fragment of a block into `block`, which is empty before the first one; `is_last` with the last.
    ///
    /// # Errors
    /// Those that end the connection; neither the decoder nor the block may be used again.
    pub fn decode(
        &mut self,
        fragment: &[u8],
        is_last: bool,
        limits: &Limits,
        block: &mut Block,
    ) -> Result<(), HpackFault> {
        if self.carry.is_empty() {
            let rest = self.representations(fragment, limits, block)?;
            self.carry.extend_from_slice(rest);
        } else {
            let mut carry = std::mem::take(&mut self.carry);
            carry.extend_from_slice(fragment);
            let rest = self.representations(&carry, limits, block)?.len();
            carry.drain(..carry.len().saturating_sub(rest));
            self.carry = carry;
        }
        if is_last {
            if !self.carry.is_empty() {
                return Err(HpackFault::Truncated);
            }
            self.begin_fields()?;
            self.is_at_start = true;
            block.finish(limits);
        }
        Ok(())
    }

    /// Gives back the memory that the table's entries do not need; for a connection that has nothing to do.
    pub fn shrink(&mut self) {
        self.table.shrink();
        self.carry.shrink_to_fit();
    }

    /// Memory in use, in bytes.
    pub fn capacity_bytes(&self) -> usize {
        self.table.capacity_bytes() + self.carry.capacity()
    }

    /// Decodes whole representations; returns the beginning of one that is not.
    fn representations<'i>(
        &mut self,
        input: &'i [u8],
        limits: &Limits,
        block: &mut Block,
    ) -> Result<&'i [u8], HpackFault> {
        let mut rest = input;
        while let Some((first, after)) = rest.split_first() {
            // Nearly all fields of a connection's later requests: a table has them, and one byte says where.
            if let (0x80..=0xfe, false) = (*first, self.is_at_start) {
                self.indexed(u32::from(first & 0x7f), limits, block)?;
                rest = after;
                continue;
            }
            let mut after = after;
            match self.representation(*first, &mut after, limits, block) {
                Ok(()) => rest = after,
                Err(Stop::Incomplete) => return Ok(rest),
                Err(Stop::Fault(fault)) => return Err(fault),
            }
        }
        Ok(rest)
    }

    /// Decodes the representation that `first` begins and takes its other bytes off `rest` (RFC 7541 §6). Changes
    /// nothing when it is not complete.
    #[inline(never)]
    fn representation(
        &mut self,
        first: u8,
        rest: &mut &[u8],
        limits: &Limits,
        block: &mut Block,
    ) -> Result<(), Stop> {
        match first {
            0x80.. => {
                let index = integer::read(first, 0x7f, rest)?;
                self.begin_fields()?;
                self.indexed(index, limits, block)?;
            }
            0x40..0x80 => {
                let literal = Literal::read(integer::read(first, 0x3f, rest)?, rest, limits)?;
                self.begin_fields()?;
                let line = self.write(&literal, block)?;
                let bytes = block.bytes.get(line.start as usize..).unwrap_or_default();
                self.table.insert(Entry { bytes, line });
                block.take(line, limits)?;
            }
            0x20..0x40 => {
                let size = integer::read(first, 0x1f, rest)?;
                self.update_size(size)?;
            }
            0x00..0x20 => {
                let literal = Literal::read(integer::read(first, 0x0f, rest)?, rest, limits)?;
                self.begin_fields()?;
                let line = self.write(&literal, block)?;
                block.take(line.never_indexed_if(first & 0x10 != 0), limits)?;
            }
        }
        Ok(())
    }

    /// A field, or the end of the block: sizes may not be updated any more, and the one that was owed must have been.
    #[inline]
    fn begin_fields(&mut self) -> Result<(), HpackFault> {
        self.is_at_start = false;
        if self.size_owed.is_some() { Err(HpackFault::SizeUpdateMissing) } else { Ok(()) }
    }

    /// RFC 7541 §6.3.
    #[cold]
    fn update_size(&mut self, size: u32) -> Result<(), HpackFault> {
        if !self.is_at_start {
            return Err(HpackFault::SizeUpdateLate);
        }
        if size > self.size_limit {
            return Err(HpackFault::SizeUpdateTooLarge);
        }
        self.size_owed = self.size_owed.filter(|owed| size > *owed);
        self.table.resize(size);
        Ok(())
    }

    /// RFC 7541 §6.1.
    #[inline(always)]
    fn indexed(&self, index: u32, limits: &Limits, block: &mut Block) -> Result<(), HpackFault> {
        match index.checked_sub(static_table::COUNT + 1) {
            Some(index) => {
                let Some(entry) = self.table.entry(index) else {
                    return Err(HpackFault::IndexUnknown);
                };
                block.append(entry, limits)
            }
            None => {
                let Some(entry) = static_table::entry(index) else {
                    return Err(HpackFault::IndexUnknown);
                };
                block.append(*entry, limits)
            }
        }
    }

    /// The entry of either table (RFC 7541 §2.3.3).
    #[inline]
    fn entry(&self, index: u32) -> Result<Entry<'_>, HpackFault> {
        let entry = match index.checked_sub(static_table::COUNT + 1) {
            Some(index) => self.table.entry(index),
            None => static_table::entry(index).copied(),
        };
        entry.ok_or(HpackFault::IndexUnknown)
    }

    /// Writes a literal's line to the end of `block`.
    #[inline]
    fn write(&self, literal: &Literal<'_>, block: &mut Block) -> Result<Line, HpackFault> {
        let bytes = &mut block.bytes;
        let start = bytes.len();
        let named = match &literal.name {
            LiteralName::Index(index) => {
                let entry = self.entry(*index)?;
                bytes.extend_from_slice(entry.name());
                Some(entry.line)
            }
            LiteralName::Text(name) => {
                name.write(bytes)?;
                None
            }
        };
        let name_end = bytes.len();
        bytes.extend_from_slice(b": ");
        let value_start = bytes.len();
        literal.value.write(bytes)?;
        let value = bytes.get(value_start..).unwrap_or_default();
        let line = match named {
            Some(named) => named.with_value(value),
            None => Line::of(bytes.get(start..name_end).unwrap_or_default(), value),
        };
        bytes.extend_from_slice(b"\r\n");
        Ok(line.at(start))
    }
}

/// A literal field line as it stands in the input (RFC 7541 §6.2).
struct Literal<'i> {
    name: LiteralName<'i>,
    value: Text<'i>,
}

enum LiteralName<'i> {
    Index(u32),
    Text(Text<'i>),
}

impl<'i> Literal<'i> {
    #[inline(always)]
    fn read(index: u32, rest: &mut &'i [u8], limits: &Limits) -> Result<Literal<'i>, Stop> {
        let name = match index {
            0 => LiteralName::Text(Text::read(rest, limits)?),
            index => LiteralName::Index(index),
        };
        Ok(Literal { name, value: Text::read(rest, limits)? })
    }
}

/// A string literal (RFC 7541 §5.2).
struct Text<'i> {
    is_coded: bool,
    bytes: &'i [u8],
}

impl<'i> Text<'i> {
    /// A string that could not be decoded within the limits is refused before it has come.
    #[inline(always)]
    fn read(rest: &mut &'i [u8], limits: &Limits) -> Result<Text<'i>, Stop> {
        let (first, after) = rest.split_first().ok_or(Stop::Incomplete)?;
        let mut after = after;
        let length = integer::read(*first, 0x7f, &mut after)?;
        if length > limits.list_bytes_max {
            return Err(HpackFault::TooLarge.into());
        }
        let (bytes, after) = after.split_at_checked(length as usize).ok_or(Stop::Incomplete)?;
        *rest = after;
        Ok(Text { is_coded: first & 0x80 != 0, bytes })
    }

    #[inline(always)]
    fn write(&self, out: &mut Vec<u8>) -> Result<(), HpackFault> {
        if self.is_coded {
            huffman::decode(self.bytes, out)?;
        } else {
            out.extend_from_slice(self.bytes);
        }
        Ok(())
    }
}
