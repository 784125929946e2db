//! The normal form in which paths are matched and forwarded (RFC 3986 §6.2.2): unreserved characters decoded, remaining
//! percent-encodings in upper case, dot segments removed, repeated slashes merged (a setting).

/// Whether `path` needs no change (the common case, one pass, no copy).
pub fn is_normal(_path: &[u8], _merge_slashes: bool) -> bool {
    todo!()
}
/// Writes the normal form into `out` (cleared first). Errors: bad percent-encoding, encoded NUL, a path that climbs above "/".
pub fn normalize(_path: &[u8], _merge_slashes: bool, _out: &mut Vec<u8>) -> Result<(), PathFault> {
    todo!()
}
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PathFault {
    BadPercentEncoding,
    EncodedNul,
    AboveRoot,
}
impl PathFault {
    pub fn code(self) -> &'static str {
        todo!()
    }
}
