//! Max-Forwards, RFC 9110 §7.6.2: how many further hops an OPTIONS request may take.
//!
//! TRACE, the other method with this field, is not forwarded at all. Pure; tested beside the code.

use super::fields::{Field, eq_ignore_case};
use super::head::Method;

/// The received count; the smallest of several. `None` for other methods, and for a value that is no number, which
/// passes unchanged.
pub fn count(method: Method, fields: &[Field<'_>]) -> Option<u64> {
    if method != Method::Options {
        return None;
    }
    let named = fields.iter().filter(|field| is_named(field.name));
    named.filter_map(|field| number(field.value)).min()
}

/// Whether this is the field's name.
pub(crate) fn is_named(name: &[u8]) -> bool {
    eq_ignore_case(name, b"max-forwards")
}

/// 1*DIGIT; a number that does not fit counts as the largest.
fn number(digits: &[u8]) -> Option<u64> {
    if digits.is_empty() {
        return None;
    }
    digits.iter().try_fold(0_u64, |number, digit| {
        let digit = digit.is_ascii_digit().then(|| u64::from(digit.wrapping_sub(b'0')))?;
        Some(number.saturating_mul(10).saturating_add(digit))
    })
}

#[cfg(test)]
mod tests {
    use crate::http::fields::FieldId;
    use crate::http::max_forwards::*;

    #[test]
    fn the_smallest_number_counts_and_only_for_options() {
        let count_of = |method, values: &[&'static str]| {
            let field = |value: &&'static str| {
                Field::new(b"max-Forwards", value.as_bytes(), FieldId::Other)
            };
            count(method, &values.iter().map(field).collect::<Vec<_>>())
        };
        for (values, expected) in [
            (&[][..], None),
            (&["0"], Some(0)),
            (&["10"], Some(10)),
            (&["007"], Some(7)),
            (&["5", "3"], Some(3)),
            (&["x", "3"], Some(3)),
            (&["99999999999999999999999"], Some(u64::MAX)),
            (&[""], None),
            (&["-1"], None),
            (&["1, 0"], None),
        ] {
            assert_eq!(count_of(Method::Options, values), expected, "{values:?}");
            assert_eq!(count_of(Method::Get, values), None, "{values:?}");
        }
    }
}
