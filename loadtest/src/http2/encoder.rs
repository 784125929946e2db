//! Heads encoded: fields that come again are indexed, as browsers do, others are written as they are.
//!
//! Owns: the dynamic table of one direction, at the side that writes. Never: Huffman's code, which a reader must know
//! anyway and would only cost us. Tested below against the decoder.

use std::collections::VecDeque;

use super::hpack::{ENTRY_BYTES, STATIC, TABLE_BYTES};

/// Whether a field goes into the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Keep {
    /// It comes again.
    Yes,
    /// It differs each time.
    No,
}

/// The table of one direction, at the side that writes.
#[derive(Debug)]
pub struct Encoder {
    /// The newest first: name and value, and where the name ends.
    entries: VecDeque<(Box<[u8]>, usize)>,
    size: usize,
    size_max: usize,
    /// The table has become smaller, which the next head has to say.
    has_shrunk: bool,
}

impl Encoder {
    pub fn new() -> Encoder {
        Encoder { entries: VecDeque::new(), size: 0, size_max: TABLE_BYTES, has_shrunk: false }
    }

    /// The other side allows a table of so many bytes.
    pub fn allow(&mut self, size: u32) {
        let size = (size as usize).min(TABLE_BYTES);
        // A larger one than before is allowed, and not used.
        if size < self.size_max {
            (self.size_max, self.has_shrunk) = (size, true);
            self.evict(0);
        }
    }

    /// Begins a head.
    pub fn begin(&mut self, out: &mut Vec<u8>) {
        if std::mem::take(&mut self.has_shrunk) {
            write_integer(self.size_max, 5, 0x20, out);
        }
    }

    /// Writes one field, whose name is in small letters.
    pub fn field(&mut self, name: &[u8], value: &[u8], keep: Keep, out: &mut Vec<u8>) {
        if keep == Keep::Yes {
            let is_it = |(field, end): &(Box<[u8]>, usize)| {
                *end == name.len() && field.len() == name.len() + value.len() && {
                    let (known, its) = field.split_at(*end);
                    known == name && its == value
                }
            };
            if let Some(place) = self.entries.iter().position(is_it) {
                return write_integer(STATIC.len() + 1 + place, 7, 0x80, out);
            }
        }
        let of_name = |entry: &(&str, &str)| entry.0.as_bytes() == name;
        let named = STATIC.iter().position(of_name).map_or(0, |place| place + 1);
        let whole = STATIC[named.saturating_sub(1)..].iter().take_while(|entry| of_name(entry));
        let whole = whole.into_iter().position(|entry| entry.1.as_bytes() == value);
        if let (1.., Some(place)) = (named, whole)
            && !value.is_empty()
        {
            return write_integer(named + place, 7, 0x80, out);
        }
        match keep {
            Keep::Yes => write_integer(named, 6, 0x40, out),
            Keep::No => write_integer(named, 4, 0, out),
        }
        if named == 0 {
            write_string(name, out);
        }
        write_string(value, out);
        if keep == Keep::Yes {
            self.keep(name, value);
        }
    }

    fn keep(&mut self, name: &[u8], value: &[u8]) {
        let size = name.len() + value.len() + ENTRY_BYTES;
        self.evict(size);
        if size <= self.size_max {
            self.entries.push_front(([name, value].concat().into(), name.len()));
            self.size += size;
        }
    }

    fn evict(&mut self, wanted: usize) {
        while self.size + wanted > self.size_max
            && let Some((field, _)) = self.entries.pop_back()
        {
            self.size -= field.len() + ENTRY_BYTES;
        }
    }
}

/// Writes an integer whose first byte has so many bits for it (RFC 7541 §5.1).
fn write_integer(mut value: usize, bits: u32, first: u8, out: &mut Vec<u8>) {
    let mask = (1usize << bits) - 1;
    if value < mask {
        return out.push(first | value as u8);
    }
    out.push(first | mask as u8);
    value -= mask;
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

fn write_string(text: &[u8], out: &mut Vec<u8>) {
    write_integer(text.len(), 7, 0, out);
    out.extend_from_slice(text);
}

#[cfg(test)]
mod tests {
    use super::super::hpack::{Decoder, Fields};
    use super::*;

    /// Writes fields, and tells what a decoder makes of them, and of how many bytes.
    fn through(
        encoder: &mut Encoder,
        decoder: &mut Decoder,
        fields: &[(&str, &str, Keep)],
    ) -> (String, usize) {
        let (mut out, mut found) = (Vec::new(), Fields::default());
        encoder.begin(&mut out);
        for (name, value, keep) in fields {
            encoder.field(name.as_bytes(), value.as_bytes(), *keep, &mut out);
        }
        decoder.decode(&out, &mut found).unwrap();
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
        let told = found.iter().map(|(name, value)| format!("{}={};", text(name), text(value)));
        (told.collect(), out.len())
    }

    #[test]
    fn fields_that_come_again_take_a_byte() {
        let (mut encoder, mut decoder) = (Encoder::new(), Decoder::new());
        let fields = [
            (":method", "GET", Keep::Yes),
            (":path", "/some/path", Keep::Yes),
            ("cookie", "a=b", Keep::Yes),
            ("x-echo", "1", Keep::No),
        ];
        let told = ":method=GET;:path=/some/path;cookie=a=b;x-echo=1;";
        let first = through(&mut encoder, &mut decoder, &fields);
        assert_eq!(first, (told.to_owned(), 1 + 12 + 5 + 10));
        assert_eq!(through(&mut encoder, &mut decoder, &fields), (told.to_owned(), 3 + 10));
    }

    #[test]
    fn a_table_stays_as_small_as_is_allowed() {
        let (mut encoder, mut decoder) = (Encoder::new(), Decoder::new());
        let long = "x".repeat(1500);
        for round in 0..20 {
            if round == 7 {
                encoder.allow(0);
            }
            let name = format!("n{}", round % 5);
            let fields = [(name.as_str(), long.as_str(), Keep::Yes), ("host", "", Keep::Yes)];
            let told = through(&mut encoder, &mut decoder, &fields).0;
            assert_eq!(told, format!("{name}={long};host=;"));
            assert!(encoder.size <= encoder.size_max);
        }
        assert_eq!(encoder.entries.len(), 0);
    }

    #[test]
    fn static_entries_are_found_whole_and_by_name() {
        let (mut encoder, mut decoder) = (Encoder::new(), Decoder::new());
        for (name, value) in STATIC {
            let (told, bytes) = through(&mut encoder, &mut decoder, &[(name, value, Keep::No)]);
            assert_eq!(told, format!("{name}={value};"));
            assert!(bytes <= 3, "{name}: {bytes}");
        }
        let other = through(&mut encoder, &mut decoder, &[(":status", "418", Keep::No)]);
        assert_eq!(other, (":status=418;".to_owned(), 1 + 4));
    }
}
