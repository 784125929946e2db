//! gRPC in the terms of HTTP: the content type that makes a request a call, the time that a call may take, and the names
//! of its statuses ("gRPC over HTTP/2", Requests; "Status codes and their use in gRPC"). Pure. Tested below.

/// Most digits of a timeout.
const DIGITS_MAX: usize = 8;

/// The statuses by their numbers, in the words of the file.
pub const STATUSES: [&str; 17] = [
    "ok",
    "cancelled",
    "unknown",
    "invalid_argument",
    "deadline_exceeded",
    "not_found",
    "already_exists",
    "permission_denied",
    "resource_exhausted",
    "failed_precondition",
    "aborted",
    "out_of_range",
    "unimplemented",
    "internal",
    "unavailable",
    "data_loss",
    "unauthenticated",
];

/// The numbers of the statuses that limpet itself gives or looks for.
pub mod status {
    pub const OK: u32 = 0;
    pub const UNKNOWN: u32 = 2;
    pub const DEADLINE_EXCEEDED: u32 = 4;
    pub const NOT_FOUND: u32 = 5;
    pub const PERMISSION_DENIED: u32 = 7;
    pub const RESOURCE_EXHAUSTED: u32 = 8;
    pub const UNIMPLEMENTED: u32 = 12;
    pub const INTERNAL: u32 = 13;
    pub const UNAVAILABLE: u32 = 14;
    pub const UNAUTHENTICATED: u32 = 16;
}

/// The number of a status, by its word.
pub fn status_of(word: &str) -> Option<u32> {
    let position = STATUSES.iter().position(|status| *status == word)?;
    u32::try_from(position).ok()
}

/// "UNAVAILABLE", as gRPC writes it; a number that has no name is "status 99".
pub fn name(status: u32) -> String {
    let word = usize::try_from(status).ok().and_then(|at| STATUSES.get(at));
    word.map_or_else(|| format!("status {status}"), |word| word.to_uppercase())
}

/// Whether this is the content type of a call, or of the response to one: `application/grpc`, or `application/grpc+…`.
/// That of gRPC-Web is none, which has its status in its content.
pub fn is_type_of_call(value: &[u8]) -> bool {
    const TYPE: &[u8] = b"application/grpc";
    let Some((start, rest)) = value.split_at_checked(TYPE.len()) else { return false };
    start.eq_ignore_ascii_case(TYPE) && matches!(rest, [] | [b'+' | b';' | b' ', ..])
}

/// The value of `grpc-timeout` in milliseconds, a part of one counting as a whole: one to eight digits and a unit, `H`,
/// `M`, `S`, `m`, `u` or `n`. `None` where it is anything else. 0 is taken, though the grammar wants more: clients whose
/// time is up send it.
pub fn timeout_ms(value: &[u8]) -> Option<u64> {
    let (unit, digits) = value.split_last()?;
    if !(1..=DIGITS_MAX).contains(&digits.len()) || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    // Eight digits, and hours in milliseconds: far from the largest number.
    let number = digits.iter().fold(0_u64, |sum, digit| sum * 10 + u64::from(digit - b'0'));
    match unit {
        b'H' => Some(number * 3_600_000),
        b'M' => Some(number * 60_000),
        b'S' => Some(number * 1000),
        b'm' => Some(number),
        b'u' => Some(number.div_ceil(1000)),
        b'n' => Some(number.div_ceil(1_000_000)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use crate::http::grpc::*;

    #[test]
    fn a_call_is_known_by_its_type() {
        for (value, expected) in [
            ("application/grpc", true),
            ("application/grpc+proto", true),
            ("application/grpc+x", true),
            ("Application/GRPC; charset=utf-8", true),
            ("application/grpc-web", false),
            ("application/grpc-web+proto", false),
            ("application/grpcs", false),
            ("application/json", false),
            ("application/grp", false),
            ("", false),
        ] {
            assert_eq!(is_type_of_call(value.as_bytes()), expected, "{value}");
        }
    }

    #[test]
    fn a_timeout_is_digits_and_a_unit() {
        for (value, expected) in [
            ("1H", 3_600_000),
            ("2M", 120_000),
            ("3S", 3000),
            ("4m", 4),
            ("5u", 1),
            ("1001u", 2),
            ("1000000n", 1),
            ("1000001n", 2),
            ("0n", 0),
            ("00000001S", 1000),
            ("99999999H", 359_999_996_400_000),
        ] {
            assert_eq!(timeout_ms(value.as_bytes()), Some(expected), "{value}");
        }
        for value in [
            "",
            "S",
            "1",
            "123456789S",
            "1s",
            "1h",
            "-1S",
            "+1S",
            "1.5S",
            "1 S",
            " 1S",
            "1S ",
            "1SS",
            "0x1S",
        ] {
            assert_eq!(timeout_ms(value.as_bytes()), None, "{value}");
        }
    }

    #[test]
    fn statuses_have_words_and_numbers() {
        assert_eq!((status_of("ok"), status_of("unavailable")), (Some(0), Some(14)));
        assert_eq!((status_of("UNAVAILABLE"), status_of("")), (None, None));
        assert_eq!((name(12).as_str(), name(99).as_str()), ("UNIMPLEMENTED", "status 99"));
        for (at, word) in STATUSES.iter().enumerate() {
            assert_eq!(status_of(word), u32::try_from(at).ok());
        }
    }
}
