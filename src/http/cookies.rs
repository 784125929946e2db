//! Cookie values read in place (RFC 6265bis).
//!
//! Never decodes, never judges and never allocates: a part is a slice of the field value.
//! Tested by tables beside the code.

/// Takes the part before the next `;` off `rest`, white space and all.
pub(crate) fn next_part<'v>(rest: &mut Option<&'v [u8]>) -> Option<&'v [u8]> {
    let text = (*rest)?;
    match memchr::memchr(b';', text) {
        Some(semicolon) => {
            let (part, tail) = text.split_at(semicolon);
            *rest = tail.get(1..);
            Some(part)
        }
        None => {
            *rest = None;
            Some(text)
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::http::cookies::*;

    #[test]
    fn parts_are_slices_in_order() {
        let cases: &[(&str, &[&str])] = &[
            ("", &[""]),
            (" ; ;", &[" ", " ", ""]),
            ("a=1", &["a=1"]),
            ("a=1; b=2", &["a=1", " b=2"]),
            ("a=1;b=2;", &["a=1", "b=2", ""]),
            ("a=\"q;b=2\"", &["a=\"q", "b=2\""]),
        ];
        for (value, expected) in cases {
            let mut rest = Some(value.as_bytes());
            let parts: Vec<_> = std::iter::from_fn(|| next_part(&mut rest))
                .map(|part| std::str::from_utf8(part).expect("text"))
                .collect();
            assert_eq!(parts, *expected, "{value:?}");
        }
    }
}
