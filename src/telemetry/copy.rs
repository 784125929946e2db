//! Copies of texts, which are mostly short: a few loads and stores, because a call of the library's copy would cost
//! more than the copy itself.
//!
//! Tested beside it, and by the tests of the log.

/// The front of `text`, of at most this many bytes.
#[inline]
pub fn clip(text: &[u8], limit: usize) -> &[u8] {
    text.get(..limit).unwrap_or(text)
}

/// Copies `text` to the front of `place`, and returns the rest of it; copies nothing and returns an empty rest when it
/// does not fit.
#[inline(never)]
pub fn put<'a>(text: &[u8], place: &'a mut [u8]) -> &'a mut [u8] {
    let Some((to, rest)) = place.split_at_mut_checked(text.len()) else { return &mut [] };
    copy(text, to);
    rest
}

/// Copies `text` to a place of its length.
#[inline(always)]
pub fn copy(text: &[u8], to: &mut [u8]) {
    match text.len() {
        0 => {}
        1..4 => drop(copy_few(text, to)),
        4..8 => drop(copy_ends::<4>(text, to)),
        8..16 => drop(copy_ends::<8>(text, to)),
        16..=32 => drop(copy_ends::<16>(text, to)),
        _ => to.copy_from_slice(text),
    }
}

/// Copies a text of one to three bytes; returns its first, one of its middle, and its last.
#[inline(always)]
pub fn copy_few(text: &[u8], to: &mut [u8]) -> Option<[u8; 3]> {
    let middle = text.len() / 2;
    let bytes = [*text.first()?, *text.get(middle)?, *text.last()?];
    *to.get_mut(middle)? = bytes[1];
    *to.first_mut()? = bytes[0];
    *to.last_mut()? = bytes[2];
    Some(bytes)
}

/// Copies a text of `N` to `2 * N` bytes as two blocks that may overlap; returns them.
#[inline(always)]
pub fn copy_ends<'a, const N: usize>(
    text: &'a [u8],
    to: &mut [u8],
) -> Option<(&'a [u8; N], &'a [u8; N])> {
    let (first, last) = (text.first_chunk()?, text.last_chunk()?);
    *to.first_chunk_mut()? = *first;
    *to.last_chunk_mut()? = *last;
    Some((first, last))
}

#[cfg(test)]
mod tests {
    use crate::telemetry::copy::*;

    #[test]
    fn a_text_of_any_length_is_copied_and_nothing_behind_it_touched() {
        let text: Vec<u8> = (1..=200).collect();
        for length in 0..text.len() {
            let text = &text[..length];
            let mut memory = vec![0; length + 3];
            let rest = put(text, &mut memory);
            assert_eq!(rest, [0; 3], "{length}");
            assert_eq!(&memory[..length], text);
        }
    }

    #[test]
    fn what_does_not_fit_is_not_begun() {
        let mut memory = [0; 3];
        assert!(put(b"four", &mut memory).is_empty());
        assert_eq!(memory, [0; 3]);
    }
}
