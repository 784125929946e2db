//! The static table (RFC 7541 Appendix A), by index and by name.
//!
//! Its lines stand in the canonical form of a head, so that a reference to one is copied at once. Tested against the
//! list of the RFC, and by looking up every name.

use super::line::{Line, Name, Pseudo};
use crate::http::fields::FieldId;

/// One line of either table.
#[derive(Debug, Clone, Copy)]
pub(super) struct Entry<'t> {
    /// `name: value CRLF`.
    pub bytes: &'t [u8],
    /// Its parts, and the verdict on it; where it begins is without a meaning.
    pub line: Line,
}

impl<'t> Entry<'t> {
    pub fn name(&self) -> &'t [u8] {
        self.bytes.get(..self.line.name_bytes as usize).unwrap_or_default()
    }
}

macro_rules! entry {
    ($name:expr, $text:literal, $value:literal) => {
        Entry {
            bytes: concat!($text, ": ", $value, "\r\n").as_bytes(),
            line: Line::well_formed($name, $text.len(), $value.len()),
        }
    };
}

/// Count of entries; the dynamic table's indexes begin behind it.
pub(super) const COUNT: u32 = 61;

static ENTRIES: [Entry<'static>; COUNT as usize] = [
    entry!(Name::Pseudo(Pseudo::Authority), ":authority", ""),
    entry!(Name::Pseudo(Pseudo::Method), ":method", "GET"),
    entry!(Name::Pseudo(Pseudo::Method), ":method", "POST"),
    entry!(Name::Pseudo(Pseudo::Path), ":path", "/"),
    entry!(Name::Pseudo(Pseudo::Path), ":path", "/index.html"),
    entry!(Name::Pseudo(Pseudo::Scheme), ":scheme", "http"),
    entry!(Name::Pseudo(Pseudo::Scheme), ":scheme", "https"),
    entry!(Name::Pseudo(Pseudo::Status), ":status", "200"),
    entry!(Name::Pseudo(Pseudo::Status), ":status", "204"),
    entry!(Name::Pseudo(Pseudo::Status), ":status", "206"),
    entry!(Name::Pseudo(Pseudo::Status), ":status", "304"),
    entry!(Name::Pseudo(Pseudo::Status), ":status", "400"),
    entry!(Name::Pseudo(Pseudo::Status), ":status", "404"),
    entry!(Name::Pseudo(Pseudo::Status), ":status", "500"),
    entry!(Name::Field(FieldId::Other), "accept-charset", ""),
    entry!(Name::Field(FieldId::Other), "accept-encoding", "gzip, deflate"),
    entry!(Name::Field(FieldId::Other), "accept-language", ""),
    entry!(Name::Field(FieldId::Other), "accept-ranges", ""),
    entry!(Name::Field(FieldId::Other), "accept", ""),
    entry!(Name::Field(FieldId::Other), "access-control-allow-origin", ""),
    entry!(Name::Field(FieldId::Other), "age", ""),
    entry!(Name::Field(FieldId::Other), "allow", ""),
    entry!(Name::Field(FieldId::Authorization), "authorization", ""),
    entry!(Name::Field(FieldId::CacheControl), "cache-control", ""),
    entry!(Name::Field(FieldId::Other), "content-disposition", ""),
    entry!(Name::Field(FieldId::Other), "content-encoding", ""),
    entry!(Name::Field(FieldId::Other), "content-language", ""),
    entry!(Name::Field(FieldId::ContentLength), "content-length", ""),
    entry!(Name::Field(FieldId::Other), "content-location", ""),
    entry!(Name::Field(FieldId::Other), "content-range", ""),
    entry!(Name::Field(FieldId::Other), "content-type", ""),
    entry!(Name::Field(FieldId::Cookie), "cookie", ""),
    entry!(Name::Field(FieldId::Date), "date", ""),
    entry!(Name::Field(FieldId::Other), "etag", ""),
    entry!(Name::Field(FieldId::Expect), "expect", ""),
    entry!(Name::Field(FieldId::Other), "expires", ""),
    entry!(Name::Field(FieldId::Other), "from", ""),
    entry!(Name::Field(FieldId::Host), "host", ""),
    entry!(Name::Field(FieldId::Other), "if-match", ""),
    entry!(Name::Field(FieldId::Other), "if-modified-since", ""),
    entry!(Name::Field(FieldId::Other), "if-none-match", ""),
    entry!(Name::Field(FieldId::Other), "if-range", ""),
    entry!(Name::Field(FieldId::Other), "if-unmodified-since", ""),
    entry!(Name::Field(FieldId::Other), "last-modified", ""),
    entry!(Name::Field(FieldId::Other), "link", ""),
    entry!(Name::Field(FieldId::Other), "location", ""),
    entry!(Name::Field(FieldId::Other), "max-forwards", ""),
    entry!(Name::Field(FieldId::Other), "proxy-authenticate", ""),
    entry!(Name::Field(FieldId::Other), "proxy-authorization", ""),
    entry!(Name::Field(FieldId::Other), "range", ""),
    entry!(Name::Field(FieldId::Referer), "referer", ""),
    entry!(Name::Field(FieldId::Other), "refresh", ""),
    entry!(Name::Field(FieldId::Other), "retry-after", ""),
    entry!(Name::Field(FieldId::Other), "server", ""),
    entry!(Name::Field(FieldId::SetCookie), "set-cookie", ""),
    entry!(Name::Field(FieldId::Other), "strict-transport-security", ""),
    entry!(Name::Field(FieldId::TransferEncoding), "transfer-encoding", ""),
    entry!(Name::Field(FieldId::UserAgent), "user-agent", ""),
    entry!(Name::Field(FieldId::Other), "vary", ""),
    entry!(Name::Field(FieldId::Via), "via", ""),
    entry!(Name::Field(FieldId::Other), "www-authenticate", ""),
];

/// The entry at `index`, which begins at 1.
#[inline]
pub(super) fn entry(index: u32) -> Option<&'static Entry<'static>> {
    ENTRIES.get((index as usize).checked_sub(1)?)
}

/// Index of the first entry with this name in any case; pseudo-fields are not looked up by name.
#[inline]
pub(super) fn index_of(name: &[u8]) -> Option<u8> {
    let slot = slot(name.len(), *name.first()?, *name.last()?);
    let index = SLOTS.get(slot).copied().filter(|index| *index > 0)?;
    let entry = entry(u32::from(index))?;
    is_in_any_case(name, entry.name()).then_some(index)
}

/// By slot: the index of the one name that may be meant, or 0.
#[expect(
    clippy::indexing_slicing,
    reason = "the compiler evaluates it, and refuses an index that is out of bounds"
)]
static SLOTS: [u8; 128] = {
    let mut slots = [0; 128];
    let mut index = ENTRIES.len();
    while index > 0 {
        let entry = &ENTRIES[index - 1];
        let length = entry.line.name_bytes as usize;
        let slot = slot(length, entry.bytes[0], entry.bytes[length - 1]);
        if entry.bytes[0] != b':' {
            assert!(slots[slot] == 0, "two names share a slot");
            slots[slot] = index as u8;
        }
        index -= 1;
    }
    slots
};

/// The place of a name in [`SLOTS`], by its length and its outermost letters. The factor was searched for.
const fn slot(length: usize, first: u8, last: u8) -> usize {
    let key = (first | 0x20) as u32 | (last as u32 | 0x20) << 8 | (length as u32) << 16;
    (key.wrapping_mul(0x0a8d_da8f) >> 25) as usize
}

/// Whether `name` is `lower_case`, letters and hyphens, in any case.
#[inline]
fn is_in_any_case(name: &[u8], lower_case: &[u8]) -> bool {
    // Sets 0x20 where `lower` has a letter: letters have 0x40 set, the hyphen does not.
    let differ = |word: u64, lower: u64| (word | ((lower >> 1) & 0x2020_2020_2020_2020)) ^ lower;
    if name.len() != lower_case.len() {
        return false;
    }
    let (Some(last), Some(lower_last)) = (name.last_chunk::<8>(), lower_case.last_chunk::<8>())
    else {
        return name.eq_ignore_ascii_case(lower_case);
    };
    let words = name.as_chunks::<8>().0.iter().zip(lower_case.as_chunks::<8>().0);
    let mut all = 0;
    // The last word may overlap the one before.
    for (word, lower) in words.chain(Some((last, lower_last))) {
        all |= differ(u64::from_le_bytes(*word), u64::from_le_bytes(*lower));
    }
    all == 0
}

#[cfg(test)]
mod tests {
    use crate::http2::hpack::static_table::*;

    #[test]
    fn every_entry_has_the_verdict_that_its_line_would_get() {
        for index in 1..=COUNT {
            let entry = entry(index).expect("an entry");
            let value = &entry.bytes[entry.name().len() + 2..entry.bytes.len() - 2];
            assert_eq!(entry.line, Line::of(entry.name(), value), "{index}");
        }
        assert!(entry(0).is_none() && entry(COUNT + 1).is_none());
    }

    #[test]
    fn every_name_of_a_field_is_found_in_any_case_and_no_other() {
        for index in 15..=COUNT as u8 {
            let name = entry(u32::from(index)).expect("an entry").name();
            assert_eq!(index_of(name), Some(index));
            assert_eq!(index_of(&name.to_ascii_uppercase()), Some(index));
            for at in 0..name.len() {
                let mut other = name.to_vec();
                other[at] ^= 0x40;
                assert_eq!(index_of(&other), None, "{other:?}");
                other[at] = b'!';
                assert_eq!(index_of(&other), None, "{other:?}");
            }
            assert_eq!(index_of(&[name, b"s"].concat()), None);
        }
        for name in [&b""[..], b":path", b":status", b"x-forwarded-for", b"a", b"\xff"] {
            assert_eq!(index_of(name), None);
        }
    }

    #[test]
    fn the_table_is_that_of_the_rfc() {
        let text = |index| String::from_utf8_lossy(entry(index).expect("an entry").bytes);
        for (index, line) in [
            (1, ":authority: \r\n"),
            (2, ":method: GET\r\n"),
            (5, ":path: /index.html\r\n"),
            (7, ":scheme: https\r\n"),
            (8, ":status: 200\r\n"),
            (14, ":status: 500\r\n"),
            (15, "accept-charset: \r\n"),
            (16, "accept-encoding: gzip, deflate\r\n"),
            (28, "content-length: \r\n"),
            (32, "cookie: \r\n"),
            (38, "host: \r\n"),
            (50, "range: \r\n"),
            (55, "set-cookie: \r\n"),
            (61, "www-authenticate: \r\n"),
        ] {
            assert_eq!(text(index), line);
        }
    }
}
