//! A line being written, and the memory that collects lines for the output.
//!
//! ```text
//! Lines: line\nline\nline\n┆ rest: a Line writes here, from the front
//! ```
//! The memory exists before a line is begun, so that an append is one comparison and a copy. A line that does not fit
//! is undone and written again, into memory that was emptied or has grown. Never allocates except for that. Tested
//! beside it, and by the lines of each format.
use crate::telemetry::copy::{copy, copy_ends, copy_few};

/// Every number of two digits.
#[expect(
    clippy::indexing_slicing,
    reason = "the compiler evaluates it, and refuses an index that is out of bounds"
)]
const PAIRS: [[u8; 2]; 100] = {
    let mut pairs = [[b'0'; 2]; 100];
    let mut at = 0_u8;
    while at < 100 {
        pairs[at as usize] = [b'0' + at / 10, b'0' + at % 10];
        at += 1;
    }
    pairs
};

/// One line being written.
#[derive(Debug)]
pub struct Line<'a> {
    rest: &'a mut [u8],
    /// Whether something did not fit; `rest` is empty from then on.
    is_cut: bool,
}

impl<'a> Line<'a> {
    fn new(memory: &'a mut [u8]) -> Line<'a> {
        Line { rest: memory, is_cut: false }
    }

    /// Memory for the next `length` bytes; `None`, and the line is cut, when there is less.
    #[inline(always)]
    fn place(&mut self, length: usize) -> Option<&mut [u8]> {
        // Checked first, so that `rest` need not be restored.
        if self.rest.len() < length {
            self.cut();
            return None;
        }
        let (place, rest) = std::mem::take(&mut self.rest).split_at_mut_checked(length)?;
        self.rest = rest;
        Some(place)
    }

    /// Appends `text`; a constant is stored without a call.
    #[inline(always)]
    pub fn put(&mut self, text: &[u8]) {
        if let Some(place) = self.place(text.len()) {
            place.copy_from_slice(text);
        }
    }

    /// Appends a short text without a call.
    #[inline]
    pub fn put_short(&mut self, text: &[u8]) {
        if let Some(place) = self.place(text.len()) {
            copy(text, place);
        }
    }

    /// Appends one byte.
    #[inline(always)]
    pub fn put_byte(&mut self, byte: u8) {
        self.put(&[byte]);
    }

    /// Appends the first `length` bytes of `text` by storing all of `text`, for which the line needs room.
    #[inline(always)]
    pub fn put_front<const N: usize>(&mut self, text: &[u8; N], length: usize) {
        match self.rest.first_chunk_mut() {
            Some(place) => {
                *place = *text;
                self.place(length);
            }
            None => self.cut(),
        }
    }

    /// Appends `number` in decimal digits.
    #[inline]
    pub fn put_number(&mut self, number: u64) {
        match number {
            0..10 => self.put_byte(digit_of(number)),
            10..10_000 => self.put_up_to_four(number),
            10_000.. => self.put_more(number),
        }
    }

    fn put_up_to_four(&mut self, number: u64) {
        let zeros =
            usize::from(number < 10) + usize::from(number < 100) + usize::from(number < 1000);
        let digits = u32::from_le_bytes(four_digits(number)) >> (8 * zeros);
        self.put_front(&digits.to_le_bytes(), 4 - zeros);
    }

    fn put_more(&mut self, number: u64) {
        self.put_number(number / 10_000);
        self.put(&four_digits(number % 10_000));
    }

    /// Appends the last three digits of `number`.
    #[inline]
    pub fn put_thousandths(&mut self, number: u64) {
        self.put(&[digit_of(number / 100), digit_of(number / 10), digit_of(number)]);
    }

    /// Appends `text` and returns `true` when all of it is plain: visible ASCII from `LOWEST` on, no quote and no
    /// backslash. Else appends nothing.
    #[inline(always)]
    pub fn put_if_plain<const LOWEST: u8>(&mut self, text: &[u8]) -> bool {
        let Some(place) = self.rest.get_mut(..text.len()) else {
            self.cut();
            return true;
        };
        let is_plain = match text.len() {
            0 => true,
            1..4 => copy_few(text, place).is_some_and(|few| {
                let [first, middle, last] = few.map(u64::from);
                let four = first | middle << 8 | last << 16 | last << 24;
                let all = four | four << 32;
                is_plain_pair(all, all, LOWEST)
            }),
            4..8 => copy_ends::<4>(text, place).is_some_and(|(first, last)| {
                let [first, last] = [first, last].map(|end| u64::from(u32::from_le_bytes(*end)));
                let all = first | last << 32;
                is_plain_pair(all, all, LOWEST)
            }),
            8..16 => copy_ends::<8>(text, place).is_some_and(|(first, last)| {
                let [first, last] = [first, last].map(|end| u64::from_le_bytes(*end));
                is_plain_pair(first, last, LOWEST)
            }),
            16.. => copy_blocks::<LOWEST>(text, place),
        };
        if is_plain {
            self.place(text.len());
        }
        is_plain
    }

    #[cold]
    fn cut(&mut self) {
        self.rest = &mut [];
        self.is_cut = true;
    }
}

/// Copies a text of at least 16 bytes; returns whether it is plain.
#[inline(always)]
fn copy_blocks<const LOWEST: u8>(text: &[u8], place: &mut [u8]) -> bool {
    let mut is_plain = true;
    let (blocks, _) = text.as_chunks::<16>();
    let (places, _) = place.as_chunks_mut::<16>();
    for (block, place) in blocks.iter().zip(places) {
        *place = *block;
        is_plain &= is_plain_block(block, LOWEST);
    }
    let ends = copy_ends::<16>(text, place);
    is_plain & ends.is_some_and(|(_, last)| is_plain_block(last, LOWEST))
}

/// Whether a block is plain; a few instructions, since the compiler compares all bytes at once.
#[inline(always)]
fn is_plain_block(block: &[u8; 16], lowest: u8) -> bool {
    let bad = block.map(|byte| {
        u8::from(byte < lowest)
            | u8::from(byte > b'~')
            | u8::from(byte == b'"')
            | u8::from(byte == b'\\')
    });
    u128::from_ne_bytes(bad) == 0
}

#[inline(always)]
fn is_plain_pair(first: u64, last: u64, lowest: u8) -> bool {
    is_plain_block(&(u128::from(first) | u128::from(last) << 64).to_le_bytes(), lowest)
}

/// The last digit of a number.
#[inline(always)]
fn digit_of(number: u64) -> u8 {
    b'0' + u8::try_from(number % 10).unwrap_or(0)
}

/// The four digits of a number, with leading zeros.
#[inline(always)]
fn four_digits(number: u64) -> [u8; 4] {
    let pair = |at: u64| {
        usize::try_from(at).ok().and_then(|at| PAIRS.get(at)).copied().unwrap_or_default()
    };
    let ([a, b], [c, d]) = (pair(number / 100), pair(number % 100));
    [a, b, c, d]
}

/// Whole lines, one after another.
#[derive(Debug)]
pub struct Lines {
    /// All of it is initialised; lines fill it from the front.
    bytes: Vec<u8>,
    used: usize,
    count: u64,
}

impl Lines {
    /// Memory of `size` bytes, which grows when one line alone needs more.
    pub fn new(size: usize) -> Lines {
        Lines { bytes: vec![0; size], used: 0, count: 0 }
    }

    /// Has `write` write a line behind the others; returns `false`, and adds none, when it does not fit. `write`
    /// includes the line feed.
    #[inline]
    pub fn add(&mut self, write: impl FnOnce(&mut Line<'_>)) -> bool {
        let mut line = Line::new(self.bytes.get_mut(self.used..).unwrap_or_default());
        write(&mut line);
        let (is_cut, left) = (line.is_cut, line.rest.len());
        if is_cut {
            return false;
        }
        self.used = self.bytes.len().saturating_sub(left);
        self.count += 1;
        true
    }

    /// Doubles the memory.
    pub fn grow(&mut self) {
        self.bytes.resize(self.bytes.len().max(1).saturating_mul(2), 0);
    }

    /// All lines.
    pub fn as_bytes(&self) -> &[u8] {
        self.bytes.get(..self.used).unwrap_or_default()
    }

    /// How many lines there are.
    pub fn count(&self) -> u64 {
        self.count
    }

    pub fn is_empty(&self) -> bool {
        self.used == 0
    }

    /// Forgets the lines, keeps the memory.
    pub fn clear(&mut self) {
        self.used = 0;
        self.count = 0;
    }
}

#[cfg(test)]
mod tests {
    use crate::telemetry::format::line::*;

    fn written(push: impl FnOnce(&mut Line<'_>)) -> String {
        let mut lines = Lines::new(512);
        assert!(lines.add(push));
        String::from_utf8(lines.as_bytes().to_vec()).expect("UTF-8")
    }

    #[test]
    fn numbers_are_written_as_the_standard_library_does() {
        let mut near = vec![0, u64::MAX];
        for digits in 0..20 {
            let power = 10_u64.pow(digits);
            near.extend([power - 1, power, power + 1, power.saturating_mul(7), power / 10 * 18]);
        }
        for number in near.into_iter().chain(0..20_000) {
            assert_eq!(written(|line| line.put_number(number)), number.to_string());
        }
    }

    #[test]
    fn thousandths_have_all_their_digits() {
        for (number, wanted) in [(0, "000"), (7, "007"), (42, "042"), (999, "999"), (1234, "234")] {
            assert_eq!(written(|line| line.put_thousandths(number)), wanted);
        }
    }

    #[test]
    fn a_byte_that_is_not_plain_is_seen_wherever_it_stands() {
        let is_plain = |byte: u8| matches!(byte, b' '..=b'~') && !matches!(byte, b'"' | b'\\');
        let mut lines = Lines::new(128);
        for length in 1..70 {
            let plain = vec![b'x'; length];
            let all = [3, 7, 15, 33].contains(&length);
            for at in 0..length {
                let near = b"\0\x1f !\"#[\\]~\x7f\x80\xa0\xa2\xdc\xff";
                for byte in (0..=255).filter(|byte| all || near.contains(byte)) {
                    let mut text = plain.clone();
                    text[at] = byte;
                    lines.clear();
                    lines.add(|line| {
                        assert_eq!(line.put_if_plain::<b' '>(&text), is_plain(byte), "{text:?}");
                    });
                    assert_eq!(lines.as_bytes(), if is_plain(byte) { &*text } else { b"" });
                    lines.clear();
                    lines.add(|line| {
                        let is_word = is_plain(byte) && byte != b' ';
                        assert_eq!(line.put_if_plain::<b'!'>(&text), is_word, "{text:?}");
                    });
                }
            }
        }
    }

    #[test]
    fn a_line_that_does_not_fit_is_none_and_fits_when_there_is_more_memory() {
        let write = |line: &mut Line<'_>| {
            line.put(b"12");
            line.put_short(b"345");
            line.put_front(b"6___", 1);
            line.put_number(78);
            assert!(line.put_if_plain::<b' '>(b"9"));
            line.put_byte(b'\n');
        };
        for size in 0..10 {
            let mut lines = Lines::new(size);
            assert!(!lines.add(write), "{size}");
            assert!(lines.is_empty() && lines.count() == 0 && lines.as_bytes().is_empty());
            while !lines.add(write) {
                lines.grow();
            }
            assert_eq!((lines.as_bytes(), lines.count()), (&b"123456789\n"[..], 1));
            lines.clear();
            assert!(lines.is_empty() && lines.add(write));
        }
    }
}
