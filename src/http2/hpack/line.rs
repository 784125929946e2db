//! One field line, judged by itself: what its name stands for, and whether name and value are well-formed.
//!
//! The verdict stands beside the line in the dynamic table, so that a line which is sent a hundred times is judged
//! once. Tested by tables beside the code and through the heads.

use crate::http::fields::{FieldId, alphanumeric_and, classify_folded, is_value_byte};

/// A pseudo-field (RFC 9113 §8.3, RFC 8441 §4).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pseudo {
    Method,
    Scheme,
    Authority,
    Path,
    Protocol,
    Status,
}

impl Pseudo {
    /// How many there are.
    pub const COUNT: usize = 6;

    fn of(name: &[u8]) -> Option<Pseudo> {
        match name {
            b":method" => Some(Pseudo::Method),
            b":scheme" => Some(Pseudo::Scheme),
            b":authority" => Some(Pseudo::Authority),
            b":path" => Some(Pseudo::Path),
            b":protocol" => Some(Pseudo::Protocol),
            b":status" => Some(Pseudo::Status),
            _ => None,
        }
    }
}

/// The meaning of a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Name {
    Pseudo(Pseudo),
    /// It begins with a colon, and is none that limpet knows.
    PseudoUnknown,
    Field(FieldId),
    /// It is the name of this field once `_` is read as `-`.
    LookAlike(FieldId),
}

/// One line of a block or of a table: where its parts stand, and the verdict on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Line {
    /// Where it begins, in bytes from the beginning of what it is a line of.
    pub(super) start: u32,
    pub(super) name_bytes: u32,
    pub(super) value_bytes: u32,
    pub name: Name,
    flags: u8,
}

impl Line {
    /// The name is a token without upper-case letters (RFC 9113 §8.2.1), or that of a pseudo-field.
    const NAME_IS_VALID: u8 = 1;
    /// The value is field-content with no white space at either end (RFC 9113 §8.2.1, RFC 9110 §5.5), or that of a
    /// pseudo-field, which is judged with the message.
    const VALUE_IS_VALID: u8 = 2;
    const NEVER_INDEXED: u8 = 4;
    /// It stands in a block where it came: it is neither a pseudo-field nor a crumb of Cookie.
    const IS_PLAIN: u8 = 8;

    /// A line of a name and a value that are well-formed, which the compiler makes.
    pub(super) const fn well_formed(name: Name, name_bytes: usize, value_bytes: usize) -> Line {
        let flags = Line::NAME_IS_VALID | Line::VALUE_IS_VALID | Line::plain(name);
        Line {
            start: 0,
            name_bytes: name_bytes as u32,
            value_bytes: value_bytes as u32,
            name,
            flags,
        }
    }

    /// The judged line of `name` and `value`, which begins at 0.
    pub fn of(name: &[u8], value: &[u8]) -> Line {
        let (meaning, is_valid) = match name {
            [b':', ..] => (Pseudo::of(name).map_or(Name::PseudoUnknown, Name::Pseudo), true),
            name => {
                let meaning = match classify_folded(name) {
                    (FieldId::Other, _) => Name::Field(FieldId::Other),
                    (id, false) => Name::Field(id),
                    (id, true) => Name::LookAlike(id),
                };
                (meaning, name_is_valid(name))
            }
        };
        let flags = if is_valid { Line::NAME_IS_VALID } else { 0 } | Line::plain(meaning);
        let (name_bytes, value_bytes) = (name.len() as u32, 0);
        Line { start: 0, name_bytes, value_bytes, name: meaning, flags }.with_value(value)
    }

    /// This line with another value.
    #[inline]
    pub fn with_value(self, value: &[u8]) -> Line {
        let is_pseudo = matches!(self.name, Name::Pseudo(_));
        let valid = if is_pseudo || value_is_valid(value) { Line::VALUE_IS_VALID } else { 0 };
        let flags = self.flags & !(Line::VALUE_IS_VALID | Line::NEVER_INDEXED) | valid;
        Line { value_bytes: value.len() as u32, flags, ..self }
    }

    #[inline]
    pub(super) fn at(self, start: usize) -> Line {
        Line { start: start as u32, ..self }
    }

    /// This line with a value of another length, of which the same holds.
    pub(super) fn with_length(self, value_bytes: usize) -> Line {
        Line { value_bytes: value_bytes as u32, ..self }
    }

    #[inline]
    pub(super) fn never_indexed_if(self, never: bool) -> Line {
        Line { flags: self.flags | if never { Line::NEVER_INDEXED } else { 0 }, ..self }
    }

    /// This line joined with another of its name: what is wrong with either is wrong with both.
    pub(super) fn joined_with(self, other: Line) -> Line {
        let valid = Line::NAME_IS_VALID | Line::VALUE_IS_VALID;
        Line { flags: (self.flags | other.flags) & (!valid | self.flags & other.flags), ..self }
    }

    /// Length of its name.
    #[inline]
    pub fn name_bytes(self) -> usize {
        self.name_bytes as usize
    }

    #[inline]
    pub fn name_is_valid(self) -> bool {
        self.flags & Line::NAME_IS_VALID != 0
    }

    #[inline]
    pub fn value_is_valid(self) -> bool {
        self.flags & Line::VALUE_IS_VALID != 0
    }

    /// The sender forbids every recipient to put it into a table (RFC 7541 §7.1.3).
    #[inline]
    pub fn is_never_indexed(self) -> bool {
        self.flags & Line::NEVER_INDEXED != 0
    }

    #[inline]
    pub(super) fn is_plain(self) -> bool {
        self.flags & Line::IS_PLAIN != 0
    }

    /// Length of `name: value CRLF`.
    #[inline]
    pub(super) fn line_bytes(self) -> usize {
        self.name_bytes as usize + self.value_bytes as usize + ": \r\n".len()
    }

    /// The size that RFC 7541 §4.1 and RFC 9113 §6.5.2 count.
    #[inline]
    pub(super) fn size(self) -> u32 {
        self.name_bytes + self.value_bytes + OVERHEAD_BYTES
    }

    /// Where its value begins and ends.
    #[inline]
    pub(super) fn value_range(self) -> (usize, usize) {
        let start = self.start as usize + self.name_bytes as usize + ": ".len();
        (start, start + self.value_bytes as usize)
    }

    const fn plain(name: Name) -> u8 {
        match name {
            Name::Field(FieldId::Cookie) | Name::Pseudo(_) | Name::PseudoUnknown => 0,
            Name::Field(_) | Name::LookAlike(_) => Line::IS_PLAIN,
        }
    }
}

/// The bytes that a field counts beyond its name and its value (RFC 7541 §4.1).
const OVERHEAD_BYTES: u32 = 32;

/// `tchar` of RFC 9110 §5.6.2 without upper-case letters.
#[expect(
    clippy::indexing_slicing,
    reason = "the compiler evaluates it, and refuses an index that is out of bounds"
)]
const NAME: [bool; 256] = {
    let mut table = alphanumeric_and(b"!#$%&'*+-.^_`|~");
    let mut letter = b'A';
    while letter <= b'Z' {
        table[letter as usize] = false;
        letter += 1;
    }
    table
};

#[expect(clippy::indexing_slicing, reason = "a byte has 256 values")]
fn name_is_valid(name: &[u8]) -> bool {
    !name.is_empty() && name.iter().all(|byte| NAME[usize::from(*byte)])
}

#[inline]
fn value_is_valid(value: &[u8]) -> bool {
    let (Some(first), Some(last)) = (value.first(), value.last()) else { return true };
    if matches!(first, b' ' | b'\t') || matches!(last, b' ' | b'\t') {
        return false;
    }
    let Some(last) = value.last_chunk::<8>() else {
        return value.iter().all(|byte| is_value_byte(*byte));
    };
    let mut odd = 0;
    // The last word may overlap the one before.
    for word in value.as_chunks::<8>().0.iter().chain(Some(last)) {
        odd |= odd_bytes(u64::from_le_bytes(*word));
    }
    // A tab is odd, and allowed.
    odd == 0 || value.iter().all(|byte| is_value_byte(*byte))
}

/// Not 0 when a byte of `word` is below 0x20 or is 0x7f.
#[inline(always)]
fn odd_bytes(word: u64) -> u64 {
    const ONES: u64 = 0x0101_0101_0101_0101;
    const HIGH: u64 = 0x80 * ONES;
    let below = word.wrapping_sub(0x20 * ONES) & !word;
    let delete = word ^ (0x7f * ONES);
    let delete = delete.wrapping_sub(ONES) & !delete;
    (below | delete) & HIGH
}

#[cfg(test)]
mod tests {
    use crate::http2::hpack::line::*;

    #[test]
    fn a_value_is_judged_alike_whatever_its_length_and_wherever_the_byte() {
        for length in 0..40 {
            let value = vec![b'x'; length];
            assert!(value_is_valid(&value));
            for at in 0..length {
                for byte in 0..=255_u8 {
                    let mut value = value.clone();
                    value[at] = byte;
                    let is_edge = at == 0 || at == length - 1;
                    let allowed = is_value_byte(byte) && !(is_edge && matches!(byte, b' ' | b'\t'));
                    assert_eq!(value_is_valid(&value), allowed, "{byte} at {at} of {length}");
                }
            }
        }
    }

    #[test]
    fn a_name_is_a_token_in_lower_case() {
        for name in ["a", "x-y_z", "0", "!#$%&'*+-.^_`|~"] {
            assert!(Line::of(name.as_bytes(), b"").name_is_valid(), "{name}");
        }
        for name in ["", "A", "content-Type", "a b", "a:", "a\0", "caf\u{e9}", "a\r\nb", "(", "\""]
        {
            assert!(!Line::of(name.as_bytes(), b"").name_is_valid(), "{name:?}");
        }
    }

    #[test]
    fn names_have_meanings() {
        let meaning = |name: &str| Line::of(name.as_bytes(), b"").name;
        assert_eq!(meaning(":path"), Name::Pseudo(Pseudo::Path));
        assert_eq!(meaning(":protocol"), Name::Pseudo(Pseudo::Protocol));
        assert_eq!(meaning(":Path"), Name::PseudoUnknown);
        assert_eq!(meaning(":"), Name::PseudoUnknown);
        assert_eq!(meaning("host"), Name::Field(FieldId::Host));
        assert_eq!(meaning("x-other"), Name::Field(FieldId::Other));
        assert_eq!(meaning("content_length"), Name::LookAlike(FieldId::ContentLength));
    }
}
