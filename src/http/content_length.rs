//! The Content-Length fields of a head (RFC 9110 §8.6), and what they mean together.
//!
//! Never guesses: a value that two recipients could read in two ways is refused. Tested with the framing of HTTP/1.

use super::head::ContentLength;
use super::refusal::{Refusal, ResponseFault};

/// The Content-Length fields of a head, taken together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum LengthField {
    #[default]
    Absent,
    Valid(u64),
    Invalid,
    List,
    Overflow,
    Repeated,
}

impl LengthField {
    /// Takes in one field line.
    #[inline]
    pub fn note(&mut self, value: &[u8]) {
        *self = match self {
            LengthField::Absent => parse(value),
            _ => LengthField::Repeated,
        };
    }

    /// The length of a request that is not framed in another way.
    ///
    /// # Errors
    /// When the fields are not one number.
    #[inline]
    pub fn request(self) -> Result<ContentLength, Refusal> {
        match self {
            LengthField::Valid(length) => Ok(ContentLength::Exact(length)),
            LengthField::Invalid => Err(Refusal::ContentLengthInvalid),
            LengthField::List => Err(Refusal::ContentLengthList),
            LengthField::Overflow => Err(Refusal::ContentLengthOverflow),
            LengthField::Repeated => Err(Refusal::ContentLengthRepeated),
            LengthField::Absent => Ok(ContentLength::None),
        }
    }

    /// The length that a response names, if it names one.
    ///
    /// # Errors
    /// When the fields are not one number.
    #[inline]
    pub fn response(self) -> Result<Option<u64>, ResponseFault> {
        match self {
            LengthField::Absent => Ok(None),
            LengthField::Valid(length) => Ok(Some(length)),
            LengthField::Invalid | LengthField::List => Err(ResponseFault::ContentLengthInvalid),
            LengthField::Overflow => Err(ResponseFault::ContentLengthOverflow),
            LengthField::Repeated => Err(ResponseFault::ContentLengthRepeated),
        }
    }
}

/// 1*DIGIT that fits 64 bits; leading zeros are digits like any other.
fn parse(value: &[u8]) -> LengthField {
    if value.is_empty() {
        return LengthField::Invalid;
    }
    let mut length = 0_u64;
    for byte in value {
        if !byte.is_ascii_digit() {
            return if value.contains(&b',') { LengthField::List } else { LengthField::Invalid };
        }
        let digit = u64::from(byte.wrapping_sub(b'0'));
        match length.checked_mul(10).and_then(|tens| tens.checked_add(digit)) {
            Some(sum) => length = sum,
            None if value.iter().all(u8::is_ascii_digit) => return LengthField::Overflow,
            None => return LengthField::Invalid,
        }
    }
    LengthField::Valid(length)
}
