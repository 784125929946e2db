//! Message framing, RFC 9112 §6.3, one numbered function per direction.
//!
//! [`Codings`] and [`LengthField`] gather the fields during the one pass over a head; their meaning is decided here and
//! nowhere else. Never guesses: a head that two recipients could read in two ways is refused. Tested by tables for each
//! direction.

use crate::http::content_length::LengthField;
use crate::http::fields::{eq_ignore_case, is_token, trim};
use crate::http::head::{ContentLength, Method, Version};
use crate::http::refusal::{Refusal, ResponseFault};

/// How the end of a response's content is found in HTTP/1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ResponseFraming {
    None,
    Length(u64),
    Chunked,
    UntilClose,
}

impl ResponseFraming {
    /// The content's length, without how the wire marks its end.
    #[inline]
    pub fn content(self) -> ContentLength {
        match self {
            ResponseFraming::None => ContentLength::None,
            ResponseFraming::Length(length) => ContentLength::Exact(length),
            ResponseFraming::Chunked | ResponseFraming::UntilClose => ContentLength::Unknown,
        }
    }
}

/// The Transfer-Encoding fields of a head, taken together as one list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum TransferEncoding {
    #[default]
    Absent,
    /// Exactly one `chunked`.
    Chunked,
    Empty,
    Invalid,
    ChunkedRepeated,
    /// Something follows `chunked`.
    ChunkedNotFinal,
    /// A list of tokens without `chunked`.
    Unknown,
    /// Unknown codings with `chunked` as the final one.
    UnknownThenChunked,
}

/// The Transfer-Encoding fields of one head, gathered field by field.
#[derive(Debug, Clone, Copy, Default)]
pub struct Codings {
    list: TransferEncoding,
}

impl Codings {
    /// Notes one Transfer-Encoding field line; several are one list (RFC 9110 §5.3).
    pub fn note(&mut self, value: &[u8]) {
        if self.list == TransferEncoding::Absent && eq_ignore_case(value, b"chunked") {
            self.list = TransferEncoding::Chunked;
            return;
        }
        if trim(value).is_empty() {
            self.list = match self.list {
                TransferEncoding::Absent => TransferEncoding::Empty,
                _ => TransferEncoding::Invalid,
            };
            return;
        }
        for coding in value.split(|byte| *byte == b',') {
            self.list = after_coding(self.list, trim(coding));
        }
    }

    /// RFC 9112 §6.3 for a request: without Content-Length its content is chunked or absent, and never ends with the
    /// connection.
    pub fn request(self, length: LengthField, version: Version) -> Result<ContentLength, Refusal> {
        use TransferEncoding as Te;
        // 3. Both fields: an attempt at smuggling, whatever their values.
        if self.list != Te::Absent && length != LengthField::Absent {
            return Err(Refusal::ContentLengthAndTransferEncoding);
        }
        // 4. Transfer-Encoding: exactly one final `chunked`, never in HTTP/1.0 (§6.1).
        if self.list != Te::Absent && version == Version::Http10 {
            return Err(Refusal::TransferEncodingInHttp10);
        }
        match self.list {
            Te::Absent => {}
            Te::Chunked => return Ok(ContentLength::Unknown),
            Te::Empty => return Err(Refusal::TransferEncodingEmpty),
            Te::Invalid => return Err(Refusal::TransferEncodingInvalid),
            Te::ChunkedRepeated => return Err(Refusal::ChunkedRepeated),
            Te::ChunkedNotFinal => return Err(Refusal::ChunkedNotFinal),
            Te::Unknown | Te::UnknownThenChunked => return Err(Refusal::TransferCodingUnknown),
        }
        // 5. and 6. Content-Length; 7. neither: no content.
        length.request()
    }

    /// RFC 9112 §6.3 for a response. Invalid fields are faults even where there is no content,
    /// because they would be forwarded as information (RFC 9110 §8.6).
    pub fn response(
        self,
        length: LengthField,
        version: Version,
        request_method: Method,
        status: u16,
    ) -> Result<ResponseFraming, ResponseFault> {
        use TransferEncoding as Te;
        // 3. Both fields.
        if self.list != Te::Absent && length != LengthField::Absent {
            return Err(ResponseFault::ContentLengthAndTransferEncoding);
        }
        // 4. Transfer-Encoding: limpet offers no coding but `chunked`, so a target must not use another.
        match self.list {
            Te::Absent => {}
            _ if version == Version::Http10 => return Err(ResponseFault::TransferEncodingInHttp10),
            Te::Chunked => {}
            Te::Empty
            | Te::Invalid
            | Te::ChunkedRepeated
            | Te::ChunkedNotFinal
            | Te::Unknown
            | Te::UnknownThenChunked => return Err(ResponseFault::TransferEncodingInvalid),
        }
        // 5. Invalid Content-Length.
        let length = length.response()?;
        // 1. No content whatever the fields' values. (2. CONNECT is never forwarded.)
        if request_method == Method::Head || matches!(status, 100..=199 | 204 | 304) {
            return Ok(ResponseFraming::None);
        }
        if self.list == Te::Chunked {
            return Ok(ResponseFraming::Chunked);
        }
        // 6. Content-Length; 8. neither: everything until the connection closes.
        Ok(length.map_or(ResponseFraming::UntilClose, ResponseFraming::Length))
    }
}

/// The list with one more coding appended.
fn after_coding(list: TransferEncoding, coding: &[u8]) -> TransferEncoding {
    use TransferEncoding as Te;
    let name = coding.split(|byte| *byte == b';').next().unwrap_or_default();
    let is_chunked = eq_ignore_case(trim(name), b"chunked");
    // An empty member, a name that is no token, or a parameter of `chunked` (RFC 9112 §7.1 has none).
    if !is_token(trim(name)) || (is_chunked && name.len() != coding.len()) {
        return Te::Invalid;
    }
    match (list, is_chunked) {
        (Te::Absent, true) => Te::Chunked,
        (Te::Absent | Te::Unknown, false) => Te::Unknown,
        (Te::Unknown, true) => Te::UnknownThenChunked,
        (Te::Chunked | Te::UnknownThenChunked | Te::ChunkedNotFinal, true) => Te::ChunkedRepeated,
        (Te::Chunked | Te::UnknownThenChunked | Te::ChunkedNotFinal, false) => Te::ChunkedNotFinal,
        (Te::ChunkedRepeated, _) => Te::ChunkedRepeated,
        (Te::Empty | Te::Invalid, _) => Te::Invalid,
    }
}

#[cfg(test)]
mod tests {
    use crate::http1::framing::*;

    struct Gathered(LengthField, Codings);

    impl Gathered {
        fn request(&self, version: Version) -> Result<ContentLength, Refusal> {
            self.1.request(self.0, version)
        }

        fn response(
            &self,
            version: Version,
            method: Method,
            status: u16,
        ) -> Result<ResponseFraming, ResponseFault> {
            self.1.response(self.0, version, method, status)
        }
    }

    fn gathered(lengths: &[&str], codings: &[&str]) -> Gathered {
        let mut gathered = Gathered(LengthField::default(), Codings::default());
        lengths.iter().for_each(|value| gathered.0.note(value.as_bytes()));
        codings.iter().for_each(|value| gathered.1.note(value.as_bytes()));
        gathered
    }

    #[test]
    fn request_content_length_is_one_number() {
        let cases: &[(&[&str], Result<ContentLength, Refusal>)] = &[
            (&[], Ok(ContentLength::None)),
            (&["0"], Ok(ContentLength::Exact(0))),
            (&["42"], Ok(ContentLength::Exact(42))),
            (&["0042"], Ok(ContentLength::Exact(42))),
            (&["18446744073709551615"], Ok(ContentLength::Exact(u64::MAX))),
            (&["18446744073709551616"], Err(Refusal::ContentLengthOverflow)),
            (&["99999999999999999999999"], Err(Refusal::ContentLengthOverflow)),
            (&["99999999999999999999999x"], Err(Refusal::ContentLengthInvalid)),
            (&[""], Err(Refusal::ContentLengthInvalid)),
            (&["+1"], Err(Refusal::ContentLengthInvalid)),
            (&["-1"], Err(Refusal::ContentLengthInvalid)),
            (&["0x10"], Err(Refusal::ContentLengthInvalid)),
            (&["1 1"], Err(Refusal::ContentLengthInvalid)),
            (&["1.0"], Err(Refusal::ContentLengthInvalid)),
            (&["1,1"], Err(Refusal::ContentLengthList)),
            (&["1, 2"], Err(Refusal::ContentLengthList)),
            (&["1", "1"], Err(Refusal::ContentLengthRepeated)),
            (&["1", "2"], Err(Refusal::ContentLengthRepeated)),
            (&["", ""], Err(Refusal::ContentLengthRepeated)),
        ];
        for (lengths, expected) in cases {
            assert_eq!(gathered(lengths, &[]).request(Version::Http11), *expected, "{lengths:?}");
        }
    }

    #[test]
    fn request_transfer_encoding_is_one_final_chunked() {
        let cases: &[(&[&str], Result<ContentLength, Refusal>)] = &[
            (&["chunked"], Ok(ContentLength::Unknown)),
            (&["Chunked"], Ok(ContentLength::Unknown)),
            (&[""], Err(Refusal::TransferEncodingEmpty)),
            (&["", "chunked"], Err(Refusal::TransferEncodingInvalid)),
            (&["chunked", ""], Err(Refusal::TransferEncodingInvalid)),
            (&[","], Err(Refusal::TransferEncodingInvalid)),
            (&["chunked,"], Err(Refusal::TransferEncodingInvalid)),
            (&["chunked;x=1"], Err(Refusal::TransferEncodingInvalid)),
            (&["\"chunked\""], Err(Refusal::TransferEncodingInvalid)),
            (&["chun ked"], Err(Refusal::TransferEncodingInvalid)),
            (&["chunked\u{b}"], Err(Refusal::TransferEncodingInvalid)),
            (&["chunked, chunked"], Err(Refusal::ChunkedRepeated)),
            (&["chunked", "chunked"], Err(Refusal::ChunkedRepeated)),
            (&["chunked", "gzip", "chunked"], Err(Refusal::ChunkedRepeated)),
            (&["chunked, gzip"], Err(Refusal::ChunkedNotFinal)),
            (&["chunked", "identity"], Err(Refusal::ChunkedNotFinal)),
            (&["gzip, chunked"], Err(Refusal::TransferCodingUnknown)),
            (&["gzip", "chunked"], Err(Refusal::TransferCodingUnknown)),
            (&["gzip"], Err(Refusal::TransferCodingUnknown)),
            (&["xchunked"], Err(Refusal::TransferCodingUnknown)),
            (&["gzip;q=1"], Err(Refusal::TransferCodingUnknown)),
        ];
        for (codings, expected) in cases {
            assert_eq!(gathered(&[], codings).request(Version::Http11), *expected, "{codings:?}");
            let old = gathered(&[], codings).request(Version::Http10);
            assert_eq!(old, Err(Refusal::TransferEncodingInHttp10), "{codings:?}");
            let both = gathered(&["1"], codings).request(Version::Http11);
            assert_eq!(both, Err(Refusal::ContentLengthAndTransferEncoding), "{codings:?}");
        }
    }

    #[test]
    fn response_framing_follows_the_numbered_rules() {
        use ResponseFault as Fault;
        use ResponseFraming as Framing;
        type Case<'c> = (&'c [&'c str], &'c [&'c str], Result<Framing, Fault>);
        let cases: &[Case<'_>] = &[
            (&[], &[], Ok(Framing::UntilClose)),
            (&["5"], &[], Ok(Framing::Length(5))),
            (&[], &["chunked"], Ok(Framing::Chunked)),
            (&["5"], &["chunked"], Err(Fault::ContentLengthAndTransferEncoding)),
            (&["5", "5"], &[], Err(Fault::ContentLengthRepeated)),
            (&["5, 5"], &[], Err(Fault::ContentLengthInvalid)),
            (&["-5"], &[], Err(Fault::ContentLengthInvalid)),
            (&["18446744073709551616"], &[], Err(Fault::ContentLengthOverflow)),
            (&[], &["gzip"], Err(Fault::TransferEncodingInvalid)),
            (&[], &["gzip, chunked"], Err(Fault::TransferEncodingInvalid)),
            (&[], &["chunked, chunked"], Err(Fault::TransferEncodingInvalid)),
            (&[], &["identity"], Err(Fault::TransferEncodingInvalid)),
            (&[], &[""], Err(Fault::TransferEncodingInvalid)),
        ];
        for (lengths, codings, expected) in cases {
            let fields = gathered(lengths, codings);
            let found = fields.response(Version::Http11, Method::Get, 200);
            assert_eq!(found, *expected, "{lengths:?} {codings:?}");
            let to_head = fields.response(Version::Http11, Method::Head, 200);
            assert_eq!(to_head, expected.map(|_| Framing::None), "HEAD {lengths:?} {codings:?}");
            for status in [100, 101, 103, 204, 304] {
                let found = fields.response(Version::Http11, Method::Get, status);
                assert_eq!(
                    found,
                    expected.map(|_| Framing::None),
                    "{status} {lengths:?} {codings:?}"
                );
            }
        }
        let old = gathered(&[], &["chunked"]).response(Version::Http10, Method::Get, 200);
        assert_eq!(old, Err(Fault::TransferEncodingInHttp10));
    }
}
