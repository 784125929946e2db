//! The query of a request-target, split as a browser's form joins it.
//!
//! Pairs are split before anything is decoded, so that an encoded `&` or `=` never divides; then `+` is a space and an
//! encoded octet is itself, so that two spellings of a value are equal. The forwarded query stays unchanged. Nothing
//! here allocates or fails. Tested beside it.

/// Keys and values as they are sent; a pair without "=" has an empty value, empty pairs are skipped.
pub fn pairs(query: &[u8]) -> impl Iterator<Item = (&[u8], &[u8])> {
    pieces(query).filter_map(pair)
}

/// The pieces between the "&" of a query, empty ones included.
pub fn pieces(query: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = Some(query);
    std::iter::from_fn(move || {
        let text = rest?;
        let (piece, behind) = text.split_at_checked(find(b'&', text))?;
        rest = behind.strip_prefix(b"&");
        Some(piece)
    })
}

/// Key and value of one piece; an empty piece is no pair.
#[inline]
pub fn pair(piece: &[u8]) -> Option<(&[u8], &[u8])> {
    let (key, value) = piece.split_at_checked(find(b'=', piece))?;
    (!piece.is_empty()).then(|| (key, value.strip_prefix(b"=").unwrap_or(value)))
}

/// How many bytes are compared one by one first: starting a vector search costs more than finding a byte among them.
pub const NEAR_BYTES: usize = 16;

/// The index of the first such byte; the length of `text` where there is none.
#[inline]
fn find(byte: u8, text: &[u8]) -> usize {
    let (near, far) = text.split_at(text.len().min(NEAR_BYTES));
    match near.iter().position(|&one| one == byte) {
        Some(at) => at,
        None if far.is_empty() => text.len(),
        None => near.len() + memchr::memchr(byte, far).unwrap_or(far.len()),
    }
}

/// The decoded octets of a key or a value.
pub fn decoded(text: &[u8]) -> impl Iterator<Item = u8> + Clone {
    let mut rest = text;
    std::iter::from_fn(move || {
        let (octet, length) = first_octet(rest)?;
        rest = rest.get(length..).unwrap_or_default();
        Some(octet)
    })
}

/// The octet that `text` begins with, and how many bytes encode it. A "%" without two hexadecimal digits stands for
/// itself.
#[inline]
pub fn first_octet(text: &[u8]) -> Option<(u8, usize)> {
    match text {
        [] => None,
        [b'+', ..] => Some((b' ', 1)),
        [b'%', high, low, ..] => Some(octet(*high, *low).map_or((b'%', 1), |octet| (octet, 3))),
        [byte, ..] => Some((*byte, 1)),
    }
}

/// The octet of two hexadecimal digits in any case.
#[inline]
pub fn octet(high: u8, low: u8) -> Option<u8> {
    let high = char::from(high).to_digit(16)?;
    let low = char::from(low).to_digit(16)?;
    u8::try_from(high << 4 | low).ok()
}

#[cfg(test)]
mod tests {
    use crate::http::query::*;

    #[test]
    fn pairs_are_split_before_they_are_decoded() {
        let query = b"a=1&&b&c=d=e&=f&g%26h=i%3Dj";
        let found: Vec<(&[u8], &[u8])> = pairs(query).collect();
        let expected: [(&[u8], &[u8]); 5] =
            [(b"a", b"1"), (b"b", b""), (b"c", b"d=e"), (b"", b"f"), (b"g%26h", b"i%3Dj")];
        assert_eq!(found, expected);
        assert_eq!(pairs(b"").count(), 0);
        let (key, value) = ("k".repeat(40), "v".repeat(50));
        let query = format!("{key}={value}&&{key}&=");
        let expected = [(&*key, &*value), (&*key, ""), ("", "")];
        let expected = expected.map(|(key, value)| (key.as_bytes(), value.as_bytes()));
        assert_eq!(pairs(query.as_bytes()).collect::<Vec<_>>(), expected);
    }

    #[test]
    fn a_plus_is_a_space_and_an_encoded_octet_is_itself() {
        for (text, expected) in [
            ("a+b", "a b"),
            ("a%20b", "a b"),
            ("%61%2b%2B", "a++"),
            ("%25%32%30", "%20"),
            ("%c3%BC", "ü"),
            ("100%", "100%"),
            ("%4g%", "%4g%"),
            ("", ""),
        ] {
            assert_eq!(decoded(text.as_bytes()).collect::<Vec<_>>(), expected.as_bytes(), "{text}");
        }
    }
}
