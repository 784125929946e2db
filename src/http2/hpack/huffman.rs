//! The Huffman code of HPACK (RFC 7541 §5.2, Appendix B).
//!
//! The code is canonical: codes of one length are consecutive numbers in the order of their symbols, and the shorter
//! come first. So the lengths alone give all tables, which the compiler makes. Decoding looks up [`STEP_BITS`] at a
//! time, which are one or two symbols. Tested by the examples of RFC 7541, by round trips and by every wrong padding.

#![expect(
    clippy::indexing_slicing,
    reason = "tables are made by the compiler, which refuses an index out of bounds; a lookup uses as many bits or \
              symbols as its table has entries"
)]

/// Length of each symbol's code in bits (RFC 7541 Appendix B); the last symbol is EOS.
const LENGTHS: [u8; SYMBOL_COUNT] = [
    13, 23, 28, 28, 28, 28, 28, 28, 28, 24, 30, 28, 28, 30, 28, 28, // 0
    28, 28, 28, 28, 28, 28, 30, 28, 28, 28, 28, 28, 28, 28, 28, 28, // 16
    6, 10, 10, 12, 13, 6, 8, 11, 10, 10, 8, 11, 8, 6, 6, 6, // " !\"#$%&'()*+,-./"
    5, 5, 5, 6, 6, 6, 6, 6, 6, 6, 7, 8, 15, 6, 12, 10, // "0123456789:;<=>?"
    13, 6, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, // "@ABCDEFGHIJKLMNO"
    7, 7, 7, 7, 7, 7, 7, 7, 8, 7, 8, 13, 19, 13, 14, 6, // "PQRSTUVWXYZ[\\]^_"
    15, 5, 6, 5, 6, 5, 6, 6, 6, 5, 7, 7, 6, 6, 6, 5, // "`abcdefghijklmno"
    6, 7, 6, 5, 5, 6, 7, 7, 7, 7, 7, 15, 11, 14, 13, 28, // "pqrstuvwxyz{|}~", 127
    20, 22, 20, 20, 22, 22, 22, 23, 22, 23, 23, 23, 23, 23, 24, 23, // 128
    24, 24, 22, 23, 24, 23, 23, 23, 23, 21, 22, 23, 22, 23, 23, 24, // 144
    22, 21, 20, 22, 22, 23, 23, 21, 23, 22, 22, 24, 21, 22, 23, 23, // 160
    21, 21, 22, 21, 23, 22, 23, 23, 20, 22, 22, 22, 23, 22, 22, 23, // 176
    26, 26, 20, 19, 22, 23, 22, 25, 26, 26, 26, 27, 27, 26, 24, 25, // 192
    19, 21, 26, 27, 27, 26, 27, 24, 21, 21, 26, 26, 28, 27, 27, 27, // 208
    20, 24, 20, 21, 22, 21, 21, 23, 22, 22, 25, 25, 24, 24, 26, 23, // 224
    26, 27, 26, 26, 27, 27, 27, 27, 27, 28, 27, 27, 27, 27, 27, 26, // 240
    30, // EOS
];

const SYMBOL_COUNT: usize = 257;
const EOS: u16 = 256;
const LENGTH_MIN: usize = 5;
const LENGTH_MAX: usize = 30;

/// Bits that one lookup consumes at most. 12 of them hold every code of up to 12 bits and nearly every pair of frequent
/// symbols; the table has 16 KiB. With 11 a browser's User-Agent takes a fourth more instructions.
const STEP_BITS: usize = 12;

/// The code by length: where its codes begin, and which symbols they stand for.
struct Canonical {
    /// Symbols in the order of their codes.
    symbols: [u16; SYMBOL_COUNT],
    /// By length: the first code, and where its symbol stands in `symbols`.
    first: [(u32, u16); LENGTH_MAX + 1],
    /// By length: the least 32 bits that begin with no code of this length or a shorter one.
    limit: [u64; LENGTH_MAX + 1],
}

const CANONICAL: Canonical = {
    let mut made = Canonical {
        symbols: [0; SYMBOL_COUNT],
        first: [(0, 0); LENGTH_MAX + 1],
        limit: [0; LENGTH_MAX + 1],
    };
    let (mut code, mut at, mut length) = (0_u32, 0_usize, 1_usize);
    while length <= LENGTH_MAX {
        made.first[length] = (code, at as u16);
        let mut symbol = 0;
        while symbol < SYMBOL_COUNT {
            if LENGTHS[symbol] as usize == length {
                made.symbols[at] = symbol as u16;
                at += 1;
                code += 1;
            }
            symbol += 1;
        }
        made.limit[length] = (code as u64) << (32 - length);
        code <<= 1;
        length += 1;
    }
    made
};

/// By symbol: the code, in its lowest bits.
static CODES: [u32; SYMBOL_COUNT] = {
    let mut codes = [0; SYMBOL_COUNT];
    let mut at = 0;
    while at < SYMBOL_COUNT {
        let symbol = CANONICAL.symbols[at] as usize;
        let (first, first_at) = CANONICAL.first[LENGTHS[symbol] as usize];
        codes[symbol] = first + (at as u32 - first_at as u32);
        at += 1;
    }
    codes
};

/// The symbols that the next bits begin with.
///
/// ```text
/// 31              24             16        8       0
/// | second symbol | first symbol | 8 · count | bits |
/// ```
/// `bits` is the length of all their codes; the count is 0 when the first code is longer than a step. So the low halves
/// of four steps can be added up without an overflow of either byte.
#[derive(Clone, Copy)]
struct Step(u32);

impl Step {
    const LONG: Step = Step(0);

    const fn new(first: (u16, usize), second: Option<(u16, usize)>) -> Step {
        let (symbols, count, bits) = match second {
            None => (first.0 as u32, 1, first.1),
            Some(second) => (first.0 as u32 | (second.0 as u32) << 8, 2, first.1 + second.1),
        };
        Step(symbols << 16 | count << 11 | bits as u32)
    }
}

static STEPS: [Step; 1 << STEP_BITS] = {
    let mut steps = [Step::LONG; 1 << STEP_BITS];
    let mut bits = 0_usize;
    while bits < 1 << STEP_BITS {
        if let Some(first) = short_code(bits, STEP_BITS) {
            let rest = STEP_BITS - first.1;
            let second = short_code(bits & ((1 << rest) - 1), rest);
            steps[bits] = Step::new(first, second);
        }
        bits += 1;
    }
    steps
};

/// The symbol whose code the `count` lowest bits begin with, and its length; `None` when the code is longer.
const fn short_code(bits: usize, count: usize) -> Option<(u16, usize)> {
    let window = (bits as u64) << (32 - count);
    let mut length = LENGTH_MIN;
    while length <= count {
        if window < CANONICAL.limit[length] {
            let (first, at) = CANONICAL.first[length];
            let code = (window >> (32 - length)) as u32;
            return Some((CANONICAL.symbols[at as usize + (code - first) as usize], length));
        }
        length += 1;
    }
    None
}

/// Why a string is not a Huffman-coded one (RFC 7541 §5.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HuffmanFault {
    /// The string holds the whole code of EOS.
    Eos,
    /// The padding is longer than seven bits, or is not the beginning of EOS's code.
    Padding,
}

/// A coded string, whose bits are read in words from any place on. Behind its end all bits are 1, as in EOS's code.
struct Coded<'c> {
    bytes: &'c [u8],
    /// The eight bytes from `last_from` on, which include the string's last ones.
    last: u64,
    last_from: usize,
}

impl<'c> Coded<'c> {
    #[inline]
    fn new(bytes: &'c [u8]) -> Coded<'c> {
        let last = match bytes.last_chunk::<8>() {
            Some(last) => u64::from_be_bytes(*last),
            None => {
                bytes.iter().rev().fold(u64::MAX, |word, byte| word >> 8 | u64::from(*byte) << 56)
            }
        };
        Coded { bytes, last, last_from: bytes.len().saturating_sub(8) }
    }

    /// The bits from `bit` on, the next one in the highest place; 57 of them are valid.
    #[inline(always)]
    fn window(&self, bit: usize) -> u64 {
        let byte = bit / 8;
        let word = match self.bytes.get(byte..).and_then(<[u8]>::first_chunk::<8>) {
            Some(word) => u64::from_be_bytes(*word),
            None => {
                let behind = 8 * byte.saturating_sub(self.last_from) as u32;
                !(!self.last).checked_shl(behind).unwrap_or(0)
            }
        };
        word << (bit % 8)
    }
}

/// The symbol at the beginning of `window`, whose code is longer than a step and no longer than `left`, and the length
/// of the code.
#[cold]
fn long_symbol(window: u64, left: usize) -> Result<(u8, usize), HuffmanFault> {
    let window = window >> 32;
    let length = (LENGTH_MIN..LENGTH_MAX).find(|length| window < CANONICAL.limit[*length]);
    let length = length.unwrap_or(LENGTH_MAX);
    if length > left {
        return Err(HuffmanFault::Padding);
    }
    let (first, at) = CANONICAL.first[length];
    let code = (window >> (32 - length)) as usize - first as usize;
    match CANONICAL.symbols[usize::from(at) + code] {
        EOS => Err(HuffmanFault::Eos),
        symbol => Ok((symbol as u8, length)),
    }
}

/// Appends the string that `coded` stands for to `out`.
///
/// # Errors
/// When `coded` holds EOS or ends in a padding that RFC 7541 §5.2 forbids; the bytes behind the former end of `out` are
/// then without a meaning.
pub fn decode(coded: &[u8], out: &mut Vec<u8>) -> Result<(), HuffmanFault> {
    let bit_count = coded.len().saturating_mul(8);
    let coded = Coded::new(coded);
    let (mut bit, mut end) = (0_usize, out.len());
    loop {
        let mut window = coded.window(bit);
        let (mut symbols, mut sum, mut last) = (0_u64, 0_u32, Step::LONG);
        // Four steps need at most 48 bits of 57, and give at most eight symbols.
        for _ in 0..4 {
            last = STEPS[(window >> (64 - STEP_BITS)) as usize];
            symbols |= u64::from(last.0 >> 16) << (sum >> 8);
            sum += last.0 & 0xffff;
            window <<= last.0 & 0x3f;
        }
        bit += (sum & 0xff) as usize;
        // The bits behind the string's end are all ones, and no code that short is: only where the padding is wrong a
        // symbol takes some of both.
        let Some(left) = bit_count.checked_sub(bit) else { return Err(HuffmanFault::Padding) };
        out.extend_from_slice(&symbols.to_le_bytes());
        end += (sum >> 11) as usize;
        out.truncate(end);
        if left < 8 && window >> 56 == 0xff {
            return Ok(());
        }
        // A long code consumes nothing, so that the steps behind it are the same.
        if last.0 == Step::LONG.0 {
            let (symbol, length) = long_symbol(coded.window(bit), left)?;
            out.push(symbol);
            end += 1;
            bit += length;
        }
    }
}

/// Length of `text` when it is coded, in bytes.
pub fn coded_bytes(text: &[u8]) -> usize {
    let bits: usize = text.iter().map(|byte| usize::from(LENGTHS[usize::from(*byte)])).sum();
    bits.div_ceil(8)
}

/// Appends `text`, coded.
pub fn encode(text: &[u8], out: &mut Vec<u8>) {
    // The lowest `filled` bits wait to be written; they are fewer than 32.
    let (mut window, mut filled) = (0_u64, 0_u32);
    for byte in text {
        let symbol = usize::from(*byte);
        let length = u32::from(LENGTHS[symbol]);
        window = window << length | u64::from(CODES[symbol]);
        filled += length;
        if filled >= 32 {
            filled -= 32;
            out.extend_from_slice(&((window >> filled) as u32).to_be_bytes());
        }
    }
    if filled > 0 {
        let padded = window << 32 | u64::from(u32::MAX);
        let word = (padded >> filled) as u32;
        out.extend_from_slice(
            word.to_be_bytes().get(..filled.div_ceil(8) as usize).unwrap_or_default(),
        );
    }
}

#[cfg(test)]
#[path = "huffman_tests.rs"]
mod tests;
