//! Heads decoded: the static table, the dynamic one, and integers and strings as HPACK writes them.
//!
//! Owns: the dynamic table of one direction. Never: more of it than was allowed. Tested below with the examples of RFC
//! 7541, Appendix C.

use std::collections::VecDeque;

use super::huffman;
use super::wrong::Wrong;

/// What the table may hold until somebody says otherwise (RFC 7541 §4.2, RFC 9113 §6.5.2).
pub(super) const TABLE_BYTES: usize = 4096;

/// What an entry counts beside its name and its value (RFC 7541 §4.1).
pub(super) const ENTRY_BYTES: usize = 32;

/// Most bytes of a decoded head.
const HEAD_BYTES_MAX: usize = 256 * 1024;

/// The static table (RFC 7541 Appendix A), from its first entry, which is number 1.
pub(super) const STATIC: [(&str, &str); 61] = [
    (":authority", ""),
    (":method", "GET"),
    (":method", "POST"),
    (":path", "/"),
    (":path", "/index.html"),
    (":scheme", "http"),
    (":scheme", "https"),
    (":status", "200"),
    (":status", "204"),
    (":status", "206"),
    (":status", "304"),
    (":status", "400"),
    (":status", "404"),
    (":status", "500"),
    ("accept-charset", ""),
    ("accept-encoding", "gzip, deflate"),
    ("accept-language", ""),
    ("accept-ranges", ""),
    ("accept", ""),
    ("access-control-allow-origin", ""),
    ("age", ""),
    ("allow", ""),
    ("authorization", ""),
    ("cache-control", ""),
    ("content-disposition", ""),
    ("content-encoding", ""),
    ("content-language", ""),
    ("content-length", ""),
    ("content-location", ""),
    ("content-range", ""),
    ("content-type", ""),
    ("cookie", ""),
    ("date", ""),
    ("etag", ""),
    ("expect", ""),
    ("expires", ""),
    ("from", ""),
    ("host", ""),
    ("if-match", ""),
    ("if-modified-since", ""),
    ("if-none-match", ""),
    ("if-range", ""),
    ("if-unmodified-since", ""),
    ("last-modified", ""),
    ("link", ""),
    ("location", ""),
    ("max-forwards", ""),
    ("proxy-authenticate", ""),
    ("proxy-authorization", ""),
    ("range", ""),
    ("referer", ""),
    ("refresh", ""),
    ("retry-after", ""),
    ("server", ""),
    ("set-cookie", ""),
    ("strict-transport-security", ""),
    ("transfer-encoding", ""),
    ("user-agent", ""),
    ("vary", ""),
    ("via", ""),
    ("www-authenticate", ""),
];

const BROKEN: Wrong = Wrong::compression("a head is not coded as RFC 7541 says");
const TOO_LARGE: Wrong = Wrong::compression("a head is larger than 256 KiB");

/// The fields of one head, in their order.
#[derive(Debug, Default)]
pub struct Fields {
    bytes: Vec<u8>,
    /// Ends of each name and each value in `bytes`.
    ends: Vec<(u32, u32)>,
}

impl Fields {
    /// Names and values.
    pub fn iter(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        let mut start = 0;
        self.ends.iter().map(move |&(name, value)| {
            let (name, value) = (name as usize, value as usize);
            let field = (&self.bytes[start..name], &self.bytes[name..value]);
            start = value;
            field
        })
    }

    /// The value of the first field of that name.
    pub fn get(&self, name: &[u8]) -> Option<&[u8]> {
        self.iter().find(|field| field.0 == name).map(|field| field.1)
    }

    fn clear(&mut self) {
        self.bytes.clear();
        self.ends.clear();
    }

    fn push(&mut self, name: &[u8], value: &[u8]) {
        self.bytes.extend_from_slice(name);
        let name_end = self.bytes.len() as u32;
        self.bytes.extend_from_slice(value);
        self.ends.push((name_end, self.bytes.len() as u32));
    }
}

/// The table of one direction, at the side that reads.
#[derive(Debug)]
pub(super) struct Decoder {
    /// The newest first: name and value, and where the name ends.
    entries: VecDeque<(Box<[u8]>, usize)>,
    size: usize,
    /// What the other side has chosen, below what it may.
    size_max: usize,
}

impl Decoder {
    pub(super) fn new() -> Decoder {
        Decoder { entries: VecDeque::new(), size: 0, size_max: TABLE_BYTES }
    }

    /// Decodes a whole block.
    ///
    /// # Errors
    /// When it is none, or what it stands for is too large.
    pub(super) fn decode(&mut self, block: &[u8], fields: &mut Fields) -> Result<(), Wrong> {
        fields.clear();
        let mut rest = block;
        while let Some(&first) = rest.first() {
            if first & 0x80 != 0 {
                let number = integer(&mut rest, 7)?;
                let (name, value) = self.entry(number)?;
                fields.push(name, value);
            } else if first & 0xe0 == 0x20 {
                // RFC 7541 §4.2: only before the first field.
                let size = integer(&mut rest, 5)?;
                if size > TABLE_BYTES || !fields.ends.is_empty() {
                    return Err(BROKEN);
                }
                self.size_max = size;
                self.evict(0);
            } else {
                let is_kept = first & 0x40 != 0;
                let name = integer(&mut rest, if is_kept { 6 } else { 4 })?;
                self.literal(&mut rest, name, is_kept, fields)?;
            }
            if fields.bytes.len() > HEAD_BYTES_MAX {
                return Err(TOO_LARGE);
            }
        }
        Ok(())
    }

    fn literal(
        &mut self,
        rest: &mut &[u8],
        name: usize,
        is_kept: bool,
        fields: &mut Fields,
    ) -> Result<(), Wrong> {
        let start = fields.bytes.len();
        match name {
            0 => string(rest, &mut fields.bytes)?,
            number => fields.bytes.extend_from_slice(self.entry(number)?.0),
        }
        let name_end = fields.bytes.len();
        string(rest, &mut fields.bytes)?;
        fields.ends.push((name_end as u32, fields.bytes.len() as u32));
        if is_kept {
            let field = &fields.bytes[start..];
            let size = field.len() + ENTRY_BYTES;
            self.evict(size);
            // RFC 7541 §4.4: what does not fit empties the table, and is no error.
            if size <= self.size_max {
                self.entries.push_front((field.into(), name_end - start));
                self.size += size;
            }
        }
        Ok(())
    }

    fn entry(&self, number: usize) -> Result<(&[u8], &[u8]), Wrong> {
        let number = number.checked_sub(1).ok_or(BROKEN)?;
        if let Some((name, value)) = STATIC.get(number) {
            return Ok((name.as_bytes(), value.as_bytes()));
        }
        let (field, name_end) = self.entries.get(number - STATIC.len()).ok_or(BROKEN)?;
        Ok(field.split_at(*name_end))
    }

    /// Makes room for so many bytes.
    fn evict(&mut self, wanted: usize) {
        while self.size + wanted > self.size_max
            && let Some((field, _)) = self.entries.pop_back()
        {
            self.size -= field.len() + ENTRY_BYTES;
        }
    }
}

/// Reads an integer whose first byte has so many bits for it (RFC 7541 §5.1).
fn integer(rest: &mut &[u8], bits: u32) -> Result<usize, Wrong> {
    let mask = (1usize << bits) - 1;
    let (&first, tail) = rest.split_first().ok_or(BROKEN)?;
    *rest = tail;
    let mut value = usize::from(first) & mask;
    if value < mask {
        return Ok(value);
    }
    for shift in [0, 7, 14, 21] {
        let (&byte, tail) = rest.split_first().ok_or(BROKEN)?;
        *rest = tail;
        value += usize::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Ok(value);
        }
    }
    Err(BROKEN)
}

/// Reads a string behind what is in `out` (RFC 7541 §5.2).
fn string(rest: &mut &[u8], out: &mut Vec<u8>) -> Result<(), Wrong> {
    let is_coded = rest.first().is_some_and(|byte| byte & 0x80 != 0);
    let length = integer(rest, 7)?;
    let (text, tail) = rest.split_at_checked(length).ok_or(BROKEN)?;
    *rest = tail;
    if is_coded {
        huffman::decode(text, out).ok_or(BROKEN)
    } else {
        out.extend_from_slice(text);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(hex: &str) -> Vec<u8> {
        let digits: Vec<u8> = hex.bytes().filter(|byte| *byte != b' ').collect();
        let pair = |pair: &[u8]| u8::from_str_radix(str::from_utf8(pair).unwrap(), 16).unwrap();
        digits.chunks(2).map(pair).collect()
    }

    fn told(decoder: &mut Decoder, hex: &str) -> String {
        let mut fields = Fields::default();
        decoder.decode(&bytes(hex), &mut fields).unwrap();
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
        fields.iter().map(|(name, value)| format!("{}={};", text(name), text(value))).collect()
    }

    #[test]
    fn requests_of_the_standard_with_the_code_and_without() {
        let blocks = [
            [
                "8286 8441 0f77 7777 2e65 7861 6d70 6c65 2e63 6f6d",
                "8286 84be 5808 6e6f 2d63 6163 6865",
                "8287 85bf 400a 6375 7374 6f6d 2d6b 6579 0c63 7573 746f 6d2d 7661 6c75 65",
            ],
            [
                "8286 8441 8cf1 e3c2 e5f2 3a6b a0ab 90f4 ff",
                "8286 84be 5886 a8eb 1064 9cbf",
                "8287 85bf 4088 25a8 49e9 5ba9 7d7f 8925 a849 e95b b8e8 b4bf",
            ],
        ];
        for [first, second, third] in blocks {
            let decoder = &mut Decoder::new();
            let common = ":method=GET;:scheme=http;:path=/;:authority=www.example.com;";
            assert_eq!(told(decoder, first), common);
            assert_eq!(told(decoder, second), format!("{common}cache-control=no-cache;"));
            assert_eq!(
                told(decoder, third),
                ":method=GET;:scheme=https;:path=/index.html;:authority=www.example.com;\
                 custom-key=custom-value;"
            );
            assert_eq!(decoder.size, 164);
        }
    }

    #[test]
    fn entries_leave_a_table_that_is_too_small() {
        // Responses of Appendix C.6, whose table holds 256 bytes: a size update of 256, then the first block.
        let decoder = &mut Decoder::new();
        let first = "3fe101 4882 6402 5885 aec3 771a 4b61 96d0 7abe 9410 54d4 44a8 2005 9504 0b81 66e0 82a6 \
                     2d1b ff6e 919d 29ad 1718 63c7 8f0b 97c8 e9ae 82ae 43d3";
        let told_first = told(decoder, first);
        assert!(told_first.starts_with(":status=302;cache-control=private;date=Mon,"));
        assert_eq!(decoder.size, 222);
        let second = told(decoder, "4883 640e ffc1 c0bf");
        assert!(second.starts_with(":status=307;cache-control=private;date=Mon,"), "{second}");
        assert_eq!((decoder.size, decoder.entries.len()), (222, 4));
    }

    #[test]
    fn what_is_no_block_is_refused() {
        for hex in
            ["80", "be", "41", "0f", "40 02 61", "8220", "3fe21f", "ffffffffffff", "00 82 ff ff 00"]
        {
            let mut fields = Fields::default();
            assert!(Decoder::new().decode(&bytes(hex), &mut fields).is_err(), "{hex}");
        }
    }
}
