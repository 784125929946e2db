//! Field names that limpet knows, and the small grammars inside field values.
//!
//! Owns the classification of names and the walk over comma lists. Never copies a byte of the
//! message and never allocates. Tested by tables beside the code and through the heads.

/// Fields limpet reads, sets or strips; everything else is [`FieldId::Other`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FieldId {
    Other,
    Host,
    Connection,
    KeepAlive,
    ProxyConnection,
    Te,
    Trailer,
    TransferEncoding,
    ContentLength,
    Upgrade,
    Expect,
    Cookie,
    SetCookie,
    Authorization,
    CacheControl,
    Date,
    Forwarded,
    XForwardedFor,
    XForwardedProto,
    XForwardedPort,
    XForwardedHost,
    XRealIp,
    Via,
    Referer,
    UserAgent,
    Traceparent,
    /// Sec-WebSocket-Accept that limpet makes in a target's place; one that has come is as any other field.
    WebSocketProof,
}

/// One field line: ranges of the receive buffer, never copies.
#[derive(Debug, Clone, Copy)]
pub struct Field<'b> {
    pub name: &'b [u8],
    pub value: &'b [u8],
    pub id: FieldId,
    /// Must not be forwarded: hop by hop, named by Connection, or an underscore look-alike.
    pub drop: bool,
    /// Its sender forbids every recipient to put it into a table of HPACK (RFC 7541 §7.1.3).
    pub is_never_indexed: bool,
}

impl<'b> Field<'b> {
    /// A field that is forwarded.
    #[inline]
    pub const fn new(name: &'b [u8], value: &'b [u8], id: FieldId) -> Field<'b> {
        Field { name, value, id, drop: false, is_never_indexed: false }
    }
}

/// Most field lines a head can ever have (`field_count` may be set up to this).
pub const FIELD_COUNT_MAX: usize = 256;

/// The fields of one head, on the caller's stack.
pub type Fields<'b> = arrayvec::ArrayVec<Field<'b>, FIELD_COUNT_MAX>;

/// Lower case, and `_` read as `-`: many application servers fold a field name like this.
#[expect(
    clippy::indexing_slicing,
    reason = "the compiler evaluates it, and refuses an index that is out of bounds"
)]
const FOLDED: [u8; 256] = {
    let mut table = [0_u8; 256];
    let mut byte = 0;
    while byte < 256 {
        table[byte] = if byte == b'_' as usize { b'-' } else { (byte as u8).to_ascii_lowercase() };
        byte += 1;
    }
    table
};

/// Letters, digits and the bytes of `others`.
#[expect(
    clippy::indexing_slicing,
    reason = "the compiler evaluates it, and refuses an index that is out of bounds"
)]
pub(crate) const fn alphanumeric_and(others: &[u8]) -> [bool; 256] {
    let mut table = [false; 256];
    let mut byte = 0;
    while byte < 256 {
        table[byte] = (byte as u8).is_ascii_alphanumeric();
        byte += 1;
    }
    let mut at = 0;
    while at < others.len() {
        table[others[at] as usize] = true;
        at += 1;
    }
    table
}

/// `tchar` of RFC 9110 §5.6.2.
const TOKEN: [bool; 256] = alphanumeric_and(b"!#$%&'*+-.^_`|~");

/// Whether `byte` may stand in a token (RFC 9110 §5.6.2).
#[inline]
#[expect(clippy::indexing_slicing, reason = "a byte has 256 values")]
pub fn is_token_byte(byte: u8) -> bool {
    TOKEN[usize::from(byte)]
}

/// Whether `text` is a token: not empty, only `tchar`.
pub fn is_token(text: &[u8]) -> bool {
    !text.is_empty() && text.iter().all(|byte| is_token_byte(*byte))
}

/// Whether `byte` may stand in a field value: HTAB, SP, VCHAR, obs-text (RFC 9110 §5.5).
#[inline]
pub fn is_value_byte(byte: u8) -> bool {
    byte == b'\t' || (byte >= b' ' && byte != 0x7f)
}

/// Whether `name` is `lower_case` when case is ignored and `_` is read as `-`.
#[inline]
#[expect(clippy::indexing_slicing, reason = "a byte has 256 values")]
pub fn folds_to(name: &[u8], lower_case: &[u8]) -> bool {
    name.len() == lower_case.len()
        && name.iter().zip(lower_case).all(|(byte, lower)| FOLDED[usize::from(*byte)] == *lower)
}

/// Whether two field names are the same to a server that reads `_` as `-`.
#[inline]
#[expect(clippy::indexing_slicing, reason = "a byte has 256 values")]
pub fn folds_alike(one: &[u8], other: &[u8]) -> bool {
    one.len() == other.len()
        && one.iter().zip(other).all(|(a, b)| FOLDED[usize::from(*a)] == FOLDED[usize::from(*b)])
}

/// Byte-wise equality that ignores the case of ASCII letters.
#[inline]
pub fn eq_ignore_case(one: &[u8], other: &[u8]) -> bool {
    one.eq_ignore_ascii_case(other)
}

/// The id of a field name in any case. Underscores are not folded: see [`classify_folded`].
#[cfg(any(test, feature = "internals"))]
pub fn classify(name: &[u8]) -> FieldId {
    match classify_folded(name) {
        (id, false) => id,
        (_, true) => FieldId::Other,
    }
}

/// The id of a field name in any case with `_` read as `-`, and whether only that folding found it.
///
/// The length and the first letter leave at most one or two candidates, so that an unknown name
/// costs one jump and rarely a comparison.
#[inline]
pub fn classify_folded(name: &[u8]) -> (FieldId, bool) {
    use FieldId::*;
    let Some(first) = name.first() else { return (Other, false) };
    match (name.len(), first | 0x20) {
        (2, b't') => known(name, b"te", Te),
        (3, b'v') => known(name, b"via", Via),
        (4, b'd') => known(name, b"date", Date),
        (4, b'h') => known(name, b"host", Host),
        (6, b'c') => known(name, b"cookie", Cookie),
        (6, b'e') => known(name, b"expect", Expect),
        (7, b'r') => known(name, b"referer", Referer),
        (7, b't') => known(name, b"trailer", Trailer),
        (7, b'u') => known(name, b"upgrade", Upgrade),
        (9, b'f') => known(name, b"forwarded", Forwarded),
        (9, b'x') => known(name, b"x-real-ip", XRealIp),
        (10, b'c') => known(name, b"connection", Connection),
        (10, b'k') => known(name, b"keep-alive", KeepAlive),
        (10, b's') => known(name, b"set-cookie", SetCookie),
        (10, b'u') => known(name, b"user-agent", UserAgent),
        (11, b't') => known(name, b"traceparent", Traceparent),
        (13, b'a') => known(name, b"authorization", Authorization),
        (13, b'c') => known(name, b"cache-control", CacheControl),
        (14, b'c') => known(name, b"content-length", ContentLength),
        (15, b'x') => known(name, b"x-forwarded-for", XForwardedFor),
        (16, b'p') => known(name, b"proxy-connection", ProxyConnection),
        (16, b'x') => match known(name, b"x-forwarded-port", XForwardedPort) {
            (Other, _) => known(name, b"x-forwarded-host", XForwardedHost),
            port => port,
        },
        (17, b't') => known(name, b"transfer-encoding", TransferEncoding),
        (17, b'x') => known(name, b"x-forwarded-proto", XForwardedProto),
        _ => (Other, false),
    }
}

/// `id` when `name` is `lower_case`, and whether only folding made it so.
#[inline]
fn known<const N: usize>(name: &[u8], lower_case: &[u8; N], id: FieldId) -> (FieldId, bool) {
    let Some(bytes) = name.first_chunk::<N>() else { return (FieldId::Other, false) };
    if is_in_any_case(bytes, lower_case) {
        (id, false)
    } else if folds_to(name, lower_case) {
        (id, true)
    } else {
        (FieldId::Other, false)
    }
}

/// Whether `bytes` is `lower_case` in any case; `lower_case` consists of letters and hyphens. Compared in the widest
/// words that `N` allows, the last of which may overlap the one before.
#[inline]
fn is_in_any_case<const N: usize>(bytes: &[u8; N], lower_case: &[u8; N]) -> bool {
    fn differ<const N: usize, const W: usize>(
        bytes: &[u8; N],
        lower_case: &[u8; N],
        number: impl Fn([u8; W]) -> u64,
    ) -> u64 {
        // Sets 0x20 in `word` where `lower` has a letter: letters have 0x40 set, the hyphen does not.
        let differ = |word: &[u8; W], lower: &[u8; W]| {
            let lower = number(*lower);
            (number(*word) | ((lower >> 1) & 0x2020_2020_2020_2020)) ^ lower
        };
        let words = bytes.as_chunks::<W>().0.iter().zip(lower_case.as_chunks::<W>().0);
        let last = bytes.last_chunk::<W>().zip(lower_case.last_chunk::<W>());
        words.chain(last).fold(0, |all, (word, lower)| all | differ(word, lower))
    }
    0 == match N {
        0..4 => differ::<N, 1>(bytes, lower_case, |word| u64::from(u8::from_le_bytes(word))),
        4..8 => differ::<N, 4>(bytes, lower_case, |word| u64::from(u32::from_le_bytes(word))),
        _ => differ::<N, 8>(bytes, lower_case, u64::from_le_bytes),
    }
}

impl FieldId {
    /// Whether this field frames the message, is hop by hop, or is one that limpet sets or relies on: an underscore
    /// look-alike of it is dropped, and it is forbidden in trailers.
    pub(crate) fn steers(self) -> bool {
        match self {
            FieldId::Other
            | FieldId::UserAgent
            | FieldId::Referer
            | FieldId::CacheControl
            | FieldId::Date => false,
            FieldId::Host
            | FieldId::Connection
            | FieldId::KeepAlive
            | FieldId::ProxyConnection
            | FieldId::Te
            | FieldId::Trailer
            | FieldId::TransferEncoding
            | FieldId::ContentLength
            | FieldId::Upgrade
            | FieldId::Expect
            | FieldId::Cookie
            | FieldId::SetCookie
            | FieldId::Authorization
            | FieldId::Forwarded
            | FieldId::XForwardedFor
            | FieldId::XForwardedProto
            | FieldId::XForwardedPort
            | FieldId::XForwardedHost
            | FieldId::XRealIp
            | FieldId::Via
            | FieldId::Traceparent
            | FieldId::WebSocketProof => true,
        }
    }
}

/// The value of the first field with this id that is not an underscore look-alike.
pub fn find<'b>(fields: &[Field<'b>], id: FieldId) -> Option<&'b [u8]> {
    fields.iter().find(|field| field.id == id).map(|field| field.value)
}

/// The members of all field lines with this id, which are one list (RFC 9110 §5.3).
pub fn list<'f, 'b>(
    fields: &'f [Field<'b>],
    id: FieldId,
) -> impl Iterator<Item = &'b [u8]> + use<'f, 'b> {
    fields.iter().filter(move |field| field.id == id).flat_map(|field| members(field.value))
}

/// `text` without leading and trailing SP and HTAB (OWS, RFC 9110 §5.6.3).
pub fn trim(text: &[u8]) -> &[u8] {
    let mut rest = text;
    while let [b' ' | b'\t', tail @ ..] = rest {
        rest = tail;
    }
    while let [head @ .., b' ' | b'\t'] = rest {
        rest = head;
    }
    rest
}

/// The members of a comma list (RFC 9110 §5.6.1), trimmed; empty members are skipped as §5.6.1.2
/// asks. Not for lists whose members may be quoted strings.
#[derive(Debug, Clone)]
pub struct Members<'v> {
    rest: Option<&'v [u8]>,
}

/// Walks the members of one comma list from either end.
pub fn members(value: &[u8]) -> Members<'_> {
    Members { rest: Some(value) }
}

impl<'v> Iterator for Members<'v> {
    type Item = &'v [u8];

    fn next(&mut self) -> Option<&'v [u8]> {
        while let Some(rest) = self.rest {
            let member = match memchr::memchr(b',', rest) {
                Some(comma) => {
                    let (member, tail) = rest.split_at(comma);
                    self.rest = tail.get(1..);
                    member
                }
                None => {
                    self.rest = None;
                    rest
                }
            };
            let member = trim(member);
            if !member.is_empty() {
                return Some(member);
            }
        }
        None
    }
}

impl<'v> DoubleEndedIterator for Members<'v> {
    fn next_back(&mut self) -> Option<&'v [u8]> {
        while let Some(rest) = self.rest {
            let member = match memchr::memrchr(b',', rest) {
                Some(comma) => {
                    let (head, tail) = rest.split_at(comma);
                    self.rest = Some(head);
                    tail.get(1..).unwrap_or_default()
                }
                None => {
                    self.rest = None;
                    rest
                }
            };
            let member = trim(member);
            if !member.is_empty() {
                return Some(member);
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use crate::http::fields::*;

    const NAMES: &[(&str, FieldId)] = &[
        ("Host", FieldId::Host),
        ("Connection", FieldId::Connection),
        ("Keep-Alive", FieldId::KeepAlive),
        ("Proxy-Connection", FieldId::ProxyConnection),
        ("TE", FieldId::Te),
        ("Trailer", FieldId::Trailer),
        ("Transfer-Encoding", FieldId::TransferEncoding),
        ("Content-Length", FieldId::ContentLength),
        ("Upgrade", FieldId::Upgrade),
        ("Expect", FieldId::Expect),
        ("Cookie", FieldId::Cookie),
        ("Set-Cookie", FieldId::SetCookie),
        ("Authorization", FieldId::Authorization),
        ("Cache-Control", FieldId::CacheControl),
        ("Date", FieldId::Date),
        ("Forwarded", FieldId::Forwarded),
        ("X-Forwarded-For", FieldId::XForwardedFor),
        ("X-Forwarded-Proto", FieldId::XForwardedProto),
        ("X-Forwarded-Port", FieldId::XForwardedPort),
        ("X-Forwarded-Host", FieldId::XForwardedHost),
        ("X-Real-IP", FieldId::XRealIp),
        ("Via", FieldId::Via),
        ("Referer", FieldId::Referer),
        ("User-Agent", FieldId::UserAgent),
        ("Traceparent", FieldId::Traceparent),
    ];

    #[test]
    fn every_known_name_is_found_in_any_case() {
        for (name, id) in NAMES {
            assert_eq!(classify(name.as_bytes()), *id, "{name}");
            assert_eq!(classify(name.to_ascii_lowercase().as_bytes()), *id, "{name}");
            assert_eq!(classify(name.to_ascii_uppercase().as_bytes()), *id, "{name}");
        }
    }

    #[test]
    fn a_name_that_differs_in_one_byte_is_another() {
        for (name, _) in NAMES {
            for at in 0..name.len() {
                let mut other = name.as_bytes().to_vec();
                other[at] = b'!';
                assert_eq!(classify_folded(&other), (FieldId::Other, false), "{name} at {at}");
            }
            let longer = format!("{name}s");
            assert_eq!(classify_folded(longer.as_bytes()).0, FieldId::Other);
        }
        assert_eq!(classify(b""), FieldId::Other);
    }

    #[test]
    fn an_underscore_look_alike_is_told_from_the_name() {
        for (name, id) in NAMES.iter().filter(|(name, _)| name.contains('-')) {
            let look_alike = name.replace('-', "_");
            assert_eq!(classify_folded(look_alike.as_bytes()), (*id, true), "{look_alike}");
            assert_eq!(classify(look_alike.as_bytes()), FieldId::Other, "{look_alike}");
        }
    }

    #[test]
    fn members_are_trimmed_and_empty_ones_skipped_from_both_ends() {
        let cases: &[(&str, &[&str])] = &[
            ("", &[]),
            (",", &[]),
            (" , \t,", &[]),
            ("a", &["a"]),
            (" a ", &["a"]),
            ("a,b", &["a", "b"]),
            ("a ,\tb,, c d ,", &["a", "b", "c d"]),
        ];
        for (list, expected) in cases {
            let expected: Vec<&[u8]> = expected.iter().map(|m| m.as_bytes()).collect();
            assert_eq!(members(list.as_bytes()).collect::<Vec<_>>(), expected, "{list:?}");
            let mut backwards: Vec<&[u8]> = members(list.as_bytes()).rev().collect();
            backwards.reverse();
            assert_eq!(backwards, expected, "{list:?} from the right");
        }
    }

    #[test]
    fn members_can_be_taken_from_both_ends_in_turn() {
        let mut list = members(b"a, b, c");
        assert_eq!(list.next(), Some(&b"a"[..]));
        assert_eq!(list.next_back(), Some(&b"c"[..]));
        assert_eq!(list.next(), Some(&b"b"[..]));
        assert_eq!(list.next(), None);
        assert_eq!(list.next_back(), None);
    }

    #[test]
    fn token_and_value_bytes_are_those_of_rfc_9110() {
        let tokens = (0..=255_u8).filter(|b| is_token_byte(*b)).count();
        assert_eq!(tokens, 26 + 26 + 10 + 15);
        assert!(!is_token(b"") && !is_token(b"a b") && !is_token(b"a:") && is_token(b"x-y_z"));
        for byte in 0..=255_u8 {
            let allowed = byte == 9 || (32..=126).contains(&byte) || byte >= 128;
            assert_eq!(is_value_byte(byte), allowed, "{byte}");
        }
    }
}
