//! The fields that may not come late, in whatever version of HTTP (RFC 9110 §6.5.1).
//!
//! Pure. Tested with the trailers of HTTP/1 and of HTTP/2.

use super::fields::{FieldId, classify_folded, folds_to};

/// Most bytes of a trailer section, line ends included.
pub(crate) const BYTES_MAX: usize = 16 * 1024;
/// Most fields of a trailer section.
pub(crate) const FIELDS_MAX: usize = 64;

/// Fields that frame, route, authenticate, control or describe the message: RFC 9110 §6.5.1 forbids them in trailers,
/// because a recipient that merges them would be steered. Case and underscores do not hide one.
pub(crate) fn is_forbidden(name: &[u8]) -> bool {
    const OTHERS: &[&[u8]] = &[
        b"proxy-authorization",
        b"proxy-authenticate",
        b"www-authenticate",
        b"proxy-authentication-info",
        b"authentication-info",
        b"max-forwards",
        b"pragma",
        b"range",
        b"if-match",
        b"if-none-match",
        b"if-modified-since",
        b"if-unmodified-since",
        b"if-range",
        b"age",
        b"expires",
        b"date",
        b"location",
        b"retry-after",
        b"vary",
        b"http2-settings",
    ];
    // RFC 9530 §2 and RFC 1864 allow these two in trailers.
    const DIGESTS: &[&[u8]] = &[b"content-digest", b"content-md5"];
    let any_of = |names: &[&[u8]]| names.iter().any(|other| folds_to(name, other));
    let has_prefix =
        |prefix: &[u8]| name.get(..prefix.len()).is_some_and(|start| folds_to(start, prefix));
    match classify_folded(name).0 {
        FieldId::Other => {
            any_of(OTHERS)
                || has_prefix(b"x-forwarded-")
                || (has_prefix(b"content-") && !any_of(DIGESTS))
        }
        FieldId::CacheControl | FieldId::Date => true,
        id => id.steers(),
    }
}
