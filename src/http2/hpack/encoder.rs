//! The encoder of field blocks (RFC 7541 §6), one for each direction of a connection.
//!
//! Fields are written one by one, behind each other. The encoder refers to the static table only and never adds to the
//! dynamic one: a connection to a target carries many users' requests, and a table of their values would tell them
//! apart by its size (RFC 7541 §7.1). Strings are not Huffman-coded: that costs several instructions a byte and saves
//! a quarter of a small head. Tested through the decoder.

use super::decoder::SIZE_DEFAULT;
use super::integer;
use super::static_table;

/// How recipients may represent a field line that they pass on (RFC 7541 §7.1.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Indexing {
    Allowed,
    /// Never in a table; kept from hop to hop.
    Never,
}

/// The pseudo-fields of a request.
#[derive(Debug, Clone, Copy)]
pub struct RequestPseudo<'b> {
    pub method: &'b [u8],
    pub scheme: &'b [u8],
    pub authority: &'b [u8],
    /// In parts: the path, and the query behind its mark.
    pub path: [&'b [u8]; 3],
    /// Of an extended CONNECT (RFC 8441 §4).
    pub protocol: Option<&'b [u8]>,
}

#[derive(Debug)]
pub struct Encoder {
    /// The size of the table that the peer keeps for us, in bytes. It stays empty.
    size: u32,
    /// A smaller size that the next block has to begin with.
    size_owed: Option<u32>,
}

impl Default for Encoder {
    fn default() -> Encoder {
        Encoder { size: SIZE_DEFAULT, size_owed: None }
    }
}

impl Encoder {
    /// The peer's SETTINGS_HEADER_TABLE_SIZE, in bytes. A smaller one must be confirmed (RFC 7541 §4.2); a larger one
    /// is of no use.
    pub fn set_size_limit(&mut self, bytes: u32) {
        if bytes < self.size {
            self.size = bytes;
            self.size_owed = Some(bytes);
        }
    }

    /// Begins a block; to be called before any field of it.
    #[inline]
    pub fn begin(&mut self, out: &mut Vec<u8>) {
        if let Some(size) = self.size_owed.take() {
            integer::write(0x20, 0x1f, size as usize, out);
        }
    }

    /// Appends `:status`, of three digits.
    #[inline]
    pub fn status(&self, status: u16, out: &mut Vec<u8>) {
        let index = match status {
            200 => 8,
            204 => 9,
            206 => 10,
            304 => 11,
            400 => 12,
            404 => 13,
            500 => 14,
            _ => {
                let digit = |unit: u16| b'0' + (status / unit % 10) as u8;
                out.extend_from_slice(&[0x08, 3, digit(100), digit(10), digit(1)]);
                return;
            }
        };
        out.push(0x80 | index);
    }

    /// Appends the pseudo-fields of a request. None enters a table, whoever shares the connection (RFC 7541 §7.1.3).
    pub fn request(&self, pseudo: &RequestPseudo<'_>, out: &mut Vec<u8>) {
        match pseudo.method {
            b"GET" => out.push(0x82),
            b"POST" => out.push(0x83),
            method => literal(2, method, Indexing::Never, out),
        }
        match pseudo.scheme {
            b"http" => out.push(0x86),
            b"https" => out.push(0x87),
            scheme => literal(6, scheme, Indexing::Never, out),
        }
        literal(1, pseudo.authority, Indexing::Never, out);
        match pseudo.path {
            [b"/", b"", b""] => out.push(0x84),
            [b"/index.html", b"", b""] => out.push(0x85),
            parts => {
                integer::write(first_byte(Indexing::Never), INDEX_MASK, 4, out);
                text_of(&parts, out);
            }
        }
        if let Some(protocol) = pseudo.protocol {
            self.field(b":protocol", protocol, Indexing::Never, out);
        }
    }

    /// Appends one field line, its name in lower case (RFC 9113 §8.2.1).
    #[inline]
    pub fn field(&self, name: &[u8], value: &[u8], indexing: Indexing, out: &mut Vec<u8>) {
        match static_table::index_of(name) {
            Some(index) => literal(index, value, indexing, out),
            None => {
                match short_length(name) {
                    Some(length) => out.extend_from_slice(&[first_byte(indexing), length]),
                    None => {
                        out.push(first_byte(indexing));
                        integer::write(0, 0x7f, name.len(), out);
                    }
                }
                lower_case(name, out);
                text(value, out);
            }
        }
    }

    /// Appends one field line whose value stands in parts.
    pub fn field_of(
        &self,
        (name, value): (&[u8], &[&[u8]]),
        indexing: Indexing,
        out: &mut Vec<u8>,
    ) {
        self.name(name, indexing, out);
        text_of(value, out);
    }

    /// Begins a field line whose value comes in parts, to be appended behind this: where it begins, for
    /// [`Encoder::end_value`].
    #[inline]
    pub fn begin_value(&self, name: &[u8], indexing: Indexing, out: &mut Vec<u8>) -> usize {
        self.name(name, indexing, out);
        // The length of most values.
        out.push(0);
        out.len()
    }

    /// Ends the field line whose value began at `value_at`.
    #[inline]
    pub fn end_value(&self, value_at: usize, out: &mut Vec<u8>) {
        let (place, value) = (value_at.saturating_sub(1), out.get(value_at..).unwrap_or_default());
        let (length, short) = (value.len(), short_length(value));
        match (short, out.get_mut(place)) {
            (Some(short), Some(place)) => *place = short,
            (_, _) => {
                let end = out.len();
                integer::write(0, 0x7f, length, out);
                let length_bytes = out.len() - end;
                out.remove(place);
                out.get_mut(place..).unwrap_or_default().rotate_right(length_bytes);
            }
        }
    }

    /// Appends the name of a literal, in lower case.
    #[inline]
    fn name(&self, name: &[u8], indexing: Indexing, out: &mut Vec<u8>) {
        let index = static_table::index_of(name).unwrap_or_default();
        integer::write(first_byte(indexing), INDEX_MASK, usize::from(index), out);
        if index == 0 {
            integer::write(0, 0x7f, name.len(), out);
            lower_case(name, out);
        }
    }
}

/// A literal field line without indexing, or never indexed (RFC 7541 §6.2.2, §6.2.3).
const fn first_byte(indexing: Indexing) -> u8 {
    match indexing {
        Indexing::Allowed => 0x00,
        Indexing::Never => 0x10,
    }
}

/// Prefix of an index in a literal that is not added to a table.
const INDEX_MASK: u8 = 0x0f;

/// A literal with the name at `index` of the static table.
#[inline]
fn literal(index: u8, value: &[u8], indexing: Indexing, out: &mut Vec<u8>) {
    let first = first_byte(indexing);
    match (index.checked_sub(INDEX_MASK), short_length(value)) {
        (Some(rest), Some(length)) => {
            out.extend_from_slice(&[first | INDEX_MASK, rest, length]);
            out.extend_from_slice(value);
        }
        (_, _) => {
            integer::write(first, INDEX_MASK, usize::from(index), out);
            text(value, out);
        }
    }
}

fn text_of(parts: &[&[u8]], out: &mut Vec<u8>) {
    integer::write(0, 0x7f, parts.iter().map(|part| part.len()).sum(), out);
    parts.iter().for_each(|part| out.extend_from_slice(part));
}

#[inline]
fn lower_case(name: &[u8], out: &mut Vec<u8>) {
    let start = out.len();
    out.extend_from_slice(name);
    out.get_mut(start..).unwrap_or_default().make_ascii_lowercase();
}

#[inline]
fn text(text: &[u8], out: &mut Vec<u8>) {
    integer::write(0, 0x7f, text.len(), out);
    out.extend_from_slice(text);
}

/// The length of a string that one byte tells.
#[inline]
fn short_length(text: &[u8]) -> Option<u8> {
    u8::try_from(text.len()).ok().filter(|length| *length < 0x7f)
}
