//! The dates and the status in an OCSP response (RFC 6960), which a listener staples to its certificate.
//!
//! Its signature is the client's to verify; what is read here keeps back responses about another certificate, and old
//! ones. Never reads beyond its input. Tested with `certificate`.

use jiff::civil::DateTime;
use jiff::tz::TimeZone;

/// An OCSP response that may be stapled.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Staple {
    pub der: Vec<u8>,
    /// Seconds since 1970; a response without one says that a newer one is always there, and is not stapled.
    pub next_update: i64,
}

/// Why a response is not stapled.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum StapleFault {
    #[error("is no OCSP response in DER (RFC 6960)")]
    NotOcsp,
    #[error("says that the responder has failed; fetch it again")]
    Failed,
    #[error("is about another certificate; fetch it for this chain")]
    OtherCertificate,
    #[error("says that the certificate is not good: it is revoked, or not known to its issuer")]
    NotGood,
    #[error("has no nextUpdate, so that nobody knows until when it holds")]
    NoNextUpdate,
}

const SEQUENCE: u8 = 0x30;
const INTEGER: u8 = 0x02;
const OCTET_STRING: u8 = 0x04;
const ENUMERATED: u8 = 0x0A;
const GENERALIZED_TIME: u8 = 0x18;
/// `[0]` with its content inside.
const CONTEXT_0: u8 = 0xA0;

/// A response for the certificate with this serial number, as it is encoded.
///
/// # Errors
/// See [`StapleFault`].
pub fn read(der: &[u8], serial: &[u8]) -> Result<Staple, StapleFault> {
    let mut outer = Reader(Reader(der).take(SEQUENCE).ok_or(StapleFault::NotOcsp)?);
    if outer.take(ENUMERATED).ok_or(StapleFault::NotOcsp)? != [0] {
        return Err(StapleFault::Failed);
    }
    let mut single = Reader(single_response(outer).ok_or(StapleFault::NotOcsp)?);
    let mut id = Reader(single.take(SEQUENCE).ok_or(StapleFault::NotOcsp)?);
    let of = (|| {
        id.take(SEQUENCE)?;
        id.take(OCTET_STRING)?;
        id.take(OCTET_STRING)?;
        id.take(INTEGER)
    })();
    if of.ok_or(StapleFault::NotOcsp)? != serial {
        return Err(StapleFault::OtherCertificate);
    }
    // CertStatus: `good` is [0], `revoked` [1], `unknown` [2].
    let (status, _) = single.any().ok_or(StapleFault::NotOcsp)?;
    if status & 0x1F != 0 {
        return Err(StapleFault::NotGood);
    }
    single.take(GENERALIZED_TIME).ok_or(StapleFault::NotOcsp)?;
    let next = single.take(CONTEXT_0).ok_or(StapleFault::NoNextUpdate)?;
    let next = Reader(next).take(GENERALIZED_TIME).and_then(seconds);
    Ok(Staple { der: der.to_vec(), next_update: next.ok_or(StapleFault::NotOcsp)? })
}

/// The first SingleResponse behind the status of an OCSPResponse.
fn single_response(mut outer: Reader<'_>) -> Option<&[u8]> {
    let mut bytes = Reader(Reader(outer.take(CONTEXT_0)?).take(SEQUENCE)?);
    bytes.any()?;
    let mut basic = Reader(Reader(bytes.take(OCTET_STRING)?).take(SEQUENCE)?);
    let mut data = Reader(basic.take(SEQUENCE)?);
    // The version, which stands only where it is not the first.
    if data.0.first() == Some(&CONTEXT_0) {
        data.any()?;
    }
    data.any()?;
    data.take(GENERALIZED_TIME)?;
    let mut responses = Reader(data.take(SEQUENCE)?);
    responses.take(SEQUENCE)
}

/// A GeneralizedTime as DER has it (RFC 5280 §4.1.2.5.2): "20260131235959Z".
fn seconds(text: &[u8]) -> Option<i64> {
    let text = std::str::from_utf8(text).ok()?.strip_suffix('Z')?;
    let time = DateTime::strptime("%Y%m%d%H%M%S", text).ok()?;
    Some(TimeZone::UTC.to_timestamp(time).ok()?.as_second())
}

/// Reads one value of DER after the other.
struct Reader<'d>(&'d [u8]);

impl<'d> Reader<'d> {
    /// The next value and its tag.
    fn any(&mut self) -> Option<(u8, &'d [u8])> {
        let [tag, length, rest @ ..] = self.0 else { return None };
        let (size, rest) = match *length {
            short @ ..=0x7F => (usize::from(short), rest),
            long @ 0x81..=0x84 => {
                let (digits, rest) = rest.split_at_checked(usize::from(long & 0x7F))?;
                (digits.iter().fold(0, |size, digit| (size << 8) | usize::from(*digit)), rest)
            }
            // Without an end (0x80), which DER does not have, or longer than any response.
            0x80 | 0x85.. => return None,
        };
        let (value, rest) = rest.split_at_checked(size)?;
        self.0 = rest;
        Some((*tag, value))
    }

    fn take(&mut self, tag: u8) -> Option<&'d [u8]> {
        if self.0.first() != Some(&tag) {
            return None;
        }
        self.any().map(|(_, value)| value)
    }
}
