//! Bytes looked for eight at a time, for texts that are too short for a vector search to pay.
//!
//! A head's names, targets and values have some ten or a hundred bytes: a call of `memchr` costs as much
//! as its search. Pure, and tested against the search byte by byte.

const ONES: u64 = 0x0101_0101_0101_0101;
const HIGHS: u64 = ONES * 0x80;

/// Bytes of `word` that are zero, each marked by its high bit: the lowest mark is exact, and there is one
/// if there is such a byte; a mark above it may be borrowed.
#[inline]
fn zeros(word: u64) -> u64 {
    word.wrapping_sub(ONES) & !word & HIGHS
}

/// Position of the first byte that `marks` (by its high bit, as in [`zeros`]) and `is_it` mark alike.
#[inline]
fn position(text: &[u8], marks: impl Fn(u64) -> u64, is_it: impl Fn(u8) -> bool) -> Option<usize> {
    let (words, tail) = text.as_chunks::<8>();
    for (at, word) in words.iter().enumerate() {
        let marks = marks(u64::from_le_bytes(*word));
        if marks != 0 {
            return Some(at * 8 + (marks.trailing_zeros() / 8) as usize);
        }
    }
    let at = tail.iter().position(|byte| is_it(*byte))?;
    Some(words.len() * 8 + at)
}

/// Position of the first `byte`.
#[inline]
pub(super) fn find(byte: u8, text: &[u8]) -> Option<usize> {
    let all = ONES * u64::from(byte);
    position(text, |word| zeros(word ^ all), |other| other == byte)
}

/// Position of the first of two bytes.
#[inline]
pub(super) fn find_either(one: u8, other: u8, text: &[u8]) -> Option<usize> {
    let (ones, others) = (ONES * u64::from(one), ONES * u64::from(other));
    let marks = |word: u64| zeros(word ^ ones) | zeros(word ^ others);
    position(text, marks, |byte| byte == one || byte == other)
}

/// Count of bytes before the first control: a byte below SP, or DEL. Sixteen at a time, which the compiler
/// compares at once: values are longer than names.
#[inline]
pub(super) fn before_control(text: &[u8]) -> usize {
    let (blocks, tail) = text.as_chunks::<16>();
    for (at, block) in blocks.iter().enumerate() {
        if has_control(block) {
            let mut marks = block.as_chunks::<8>().0.iter().copied().map(controls).enumerate();
            if let Some((word, marks)) = marks.find(|(_, marks)| *marks != 0) {
                return at * 16 + word * 8 + (marks.trailing_zeros() / 8) as usize;
            }
        }
    }
    let in_tail = tail.iter().position(u8::is_ascii_control);
    blocks.len() * 16 + in_tail.unwrap_or(tail.len())
}

#[inline]
fn has_control(block: &[u8; 16]) -> bool {
    block.iter().fold(false, |found, byte| found | byte.is_ascii_control())
}

/// Controls among eight bytes, marked as in [`zeros`].
#[inline]
fn controls(word: [u8; 8]) -> u64 {
    let word = u64::from_le_bytes(word);
    (word.wrapping_sub(ONES * 0x20) & !word & HIGHS) | zeros(word ^ (ONES * 0x7f))
}

/// Count of visible ASCII bytes before the first other byte.
#[inline]
pub(super) fn before_invisible(text: &[u8]) -> usize {
    let marks =
        |word: u64| (word.wrapping_sub(ONES * 0x21) | zeros(word ^ (ONES * 0x7f)) | word) & HIGHS;
    position(text, marks, |byte| !byte.is_ascii_graphic()).unwrap_or(text.len())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Mostly of bytes at the borders of what is looked for.
    fn texts() -> impl Strategy<Value = Vec<u8>> {
        let bytes = prop_oneof![
            4 => any::<u8>(),
            8 => prop_oneof![Just(b'a'), Just(b' '), Just(b'~'), Just(0x80), Just(0xff)],
            1 => prop_oneof![Just(b'?'), Just(b'#'), Just(b'>'), Just(b'@'), Just(b'"')],
            1 => prop_oneof![Just(0x1f), Just(0x7f), Just(0), Just(b'\t'), Just(b'!')],
        ];
        proptest::collection::vec(bytes, 0..70)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(4_000))]

        #[test]
        fn all_find_what_a_search_byte_by_byte_finds(text in texts()) {
            let first = |is_it: &dyn Fn(u8) -> bool| text.iter().position(|byte| is_it(*byte));
            prop_assert_eq!(find(b'?', &text), first(&|byte| byte == b'?'));
            prop_assert_eq!(find(0, &text), first(&|byte| byte == 0));
            let either = first(&|byte| byte == b'?' || byte == b'#');
            prop_assert_eq!(find_either(b'?', b'#', &text), either);
            let control = first(&|byte| byte < b' ' || byte == 0x7f);
            prop_assert_eq!(before_control(&text), control.unwrap_or(text.len()));
            let invisible = first(&|byte| !(b'!'..=b'~').contains(&byte));
            prop_assert_eq!(before_invisible(&text), invisible.unwrap_or(text.len()));
        }
    }

    #[test]
    fn every_byte_is_judged_alike_in_a_word_and_behind_it() {
        for byte in 0..=255_u8 {
            for (before, after) in [(0, 20), (3, 20), (7, 20), (19, 20), (0, 0), (5, 0)] {
                let mut text = vec![b'a'; before];
                text.push(byte);
                text.extend(vec![b'a'; after]);
                let at = |is_it: bool| if is_it { before } else { text.len() };
                assert_eq!(before_control(&text), at(byte.is_ascii_control()), "{byte}");
                assert_eq!(before_invisible(&text), at(!byte.is_ascii_graphic()), "{byte}");
                let first = text.iter().position(|other| *other == byte);
                assert_eq!(find(byte, &text), first, "{byte}");
            }
        }
    }
}
