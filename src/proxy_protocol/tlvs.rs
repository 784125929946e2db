//! The fields (TLVs) behind the addresses of a header of version 2.
//!
//! ```text
//!   kind 1 | length 2 | value …      SSL's value:  client 1 | verify 4 | fields in the same form …
//! ```
//! Of several fields of one kind the first counts. Kinds that are not listed here are skipped.

use super::AnnouncedTls;

pub const ALPN: u8 = 0x01;
pub const AUTHORITY: u8 = 0x02;
pub const CRC32C: u8 = 0x03;
pub const SSL: u8 = 0x20;
pub const SSL_VERSION: u8 = 0x21;
pub const SSL_CN: u8 = 0x22;
pub const SSL_CIPHER: u8 = 0x23;
/// The bit of an SSL field that says that the client came by TLS (PP2_CLIENT_SSL).
pub const CLIENT_SSL: u8 = 0x01;
/// It has presented a certificate on this connection.
pub const CLIENT_CERT_CONN: u8 = 0x02;
/// It has presented a certificate in this session, perhaps on an earlier connection.
pub const CLIENT_CERT_SESS: u8 = 0x04;

/// Longest name of a server (RFC 1035 §2.3.4).
const NAME_BYTES_MAX: usize = 255;
/// Longest name of a protocol (RFC 7301 §3.1).
const ALPN_BYTES_MAX: usize = 255;
/// Longest names of versions and cipher suites.
const WORD_BYTES_MAX: usize = 64;
/// Longest common name: X.520's limit is 64 characters, which some authorities exceed.
const COMMON_NAME_BYTES_MAX: usize = 256;

/// A field that does not fit into the header, or has no possible content.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Misshapen;

/// The content of the fields that limpet reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Fields<'a> {
    pub tls: Option<AnnouncedTls<'a>>,
    /// The checksum of the header, and where among the fields' bytes it stands.
    pub checksum: Option<(u32, usize)>,
}

/// The fields of a header of which nothing but fields is left.
///
/// # Errors
/// A field exceeds the header, or its content has the wrong length or is no text.
pub fn read(bytes: &[u8]) -> Result<Fields<'_>, Misshapen> {
    let mut fields = Fields::default();
    let (mut ssl, mut authority, mut alpn) = (None, None, None);
    let mut rest = bytes;
    while let Some(Field { kind, value, following }) = next(rest)? {
        match kind {
            CRC32C if fields.checksum.is_none() => {
                let sum = *value.as_array::<4>().ok_or(Misshapen)?;
                let at = bytes.len() - following.len() - sum.len();
                fields.checksum = Some((u32::from_be_bytes(sum), at));
            }
            AUTHORITY if authority.is_none() => authority = Some(text(value, NAME_BYTES_MAX)?),
            ALPN if alpn.is_none() => {
                alpn = Some(Some(value).filter(|v| v.len() <= ALPN_BYTES_MAX).ok_or(Misshapen)?);
            }
            SSL if ssl.is_none() => ssl = Some(read_ssl(value)?),
            _ => {}
        }
        rest = following;
    }
    // Without TLS these two are words of the sender's that nothing is to be concluded from.
    fields.tls = ssl.flatten().map(|tls| AnnouncedTls {
        server_name: authority.unwrap_or_default(),
        alpn: alpn.unwrap_or_default(),
        ..tls
    });
    Ok(fields)
}

/// One field, and the bytes that follow it.
struct Field<'a> {
    kind: u8,
    value: &'a [u8],
    following: &'a [u8],
}

/// The first field; `None` behind the last.
fn next(bytes: &[u8]) -> Result<Option<Field<'_>>, Misshapen> {
    if bytes.is_empty() {
        return Ok(None);
    }
    let (&[kind, high, low], rest) = bytes.split_first_chunk().ok_or(Misshapen)?;
    let length = usize::from(u16::from_be_bytes([high, low]));
    let (value, following) = rest.split_at_checked(length).ok_or(Misshapen)?;
    Ok(Some(Field { kind, value, following }))
}

/// `None` where the client did not come by TLS.
fn read_ssl(value: &[u8]) -> Result<Option<AnnouncedTls<'_>>, Misshapen> {
    let (&[client, verify @ ..], mut rest) = value.split_first_chunk::<5>().ok_or(Misshapen)?;
    let (mut version, mut cipher, mut common_name) = (None, None, None);
    while let Some(Field { kind, value, following }) = next(rest)? {
        match kind {
            SSL_VERSION if version.is_none() => version = Some(text(value, WORD_BYTES_MAX)?),
            SSL_CIPHER if cipher.is_none() => cipher = Some(text(value, WORD_BYTES_MAX)?),
            SSL_CN if common_name.is_none() => {
                common_name = Some(text(value, COMMON_NAME_BYTES_MAX)?);
            }
            _ => {}
        }
        rest = following;
    }
    if client & CLIENT_SSL == 0 {
        return Ok(None);
    }
    let has_certificate = client & (CLIENT_CERT_CONN | CLIENT_CERT_SESS) != 0;
    // Zero: the sender has verified it.
    let is_proven = has_certificate && verify == [0; 4];
    Ok(Some(AnnouncedTls {
        version: version.unwrap_or_default(),
        cipher: cipher.unwrap_or_default(),
        client: is_proven.then(|| common_name.unwrap_or_default()),
        ..AnnouncedTls::default()
    }))
}

/// A text without control characters.
fn text(value: &[u8], bytes_max: usize) -> Result<&str, Misshapen> {
    let text = std::str::from_utf8(value).map_err(|_| Misshapen)?;
    let is_good = text.len() <= bytes_max && !text.contains(char::is_control);
    if is_good { Ok(text) } else { Err(Misshapen) }
}

#[cfg(test)]
#[path = "tlvs_tests.rs"]
mod tests;
