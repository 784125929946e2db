//! Why a head or a content is refused: small `Copy` enums with total mappings to status and log code.
//!
//! One variant per cause, so that the log names exactly one rule. Nothing here carries data of the
//! message: a refusal is safe to log. The mappings are tested as tables.

/// Declares a refusal enum whose status and code stand beside each variant.
macro_rules! causes {
    (
        $(#[$meta:meta])*
        $name:ident {
            $($(#[$doc:meta])* $variant:ident = $status:literal $code:literal,)*
        }
    ) => {
        $(#[$meta])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum $name {
            $($(#[$doc])* $variant,)*
        }

        impl $name {
            /// Every variant, in the order of declaration: for counters and for tables.
            #[cfg(any(test, feature = "internals"))]
            pub const ALL: &'static [$name] = &[$($name::$variant,)*];

            /// The status with which limpet answers the client.
            #[cfg_attr(
                not(feature = "internals"),
                allow(dead_code, reason = "asked of those that a client is told")
            )]
            pub fn status(self) -> u16 {
                match self {
                    $($name::$variant => $status,)*
                }
            }

            /// Stable snake_case word for the log and the counters.
            pub fn code(self) -> &'static str {
                match self {
                    $($name::$variant => $code,)*
                }
            }
        }
    };
}

causes! {
    /// Why a request is refused before anything is forwarded; the connection then closes.
    Refusal {
        /// Not `method SP request-target SP version CRLF` (RFC 9112 §3), an HTTP/0.9 line among them.
        BadRequestLine = 400 "bad_request_line",
        /// The method is not a token (RFC 9110 §9.1).
        BadMethod = 400 "bad_method",
        /// CR without LF (RFC 9112 §2.2).
        BareCr = 400 "bare_cr",
        /// LF without CR (RFC 9112 §2.2 lets a recipient accept it; limpet does not).
        BareLf = 400 "bare_lf",
        /// A line that begins with white space (RFC 9112 §5.2, §2.2).
        ObsFold = 400 "obs_fold",
        /// White space between a field name and its colon (RFC 9112 §5.1).
        SpaceBeforeColon = 400 "space_before_colon",
        /// A field name that is empty or not a token, or, in HTTP/2, not in lower case (RFC 9113 §8.2.1).
        BadFieldName = 400 "bad_field_name",
        /// NUL or another control in a field value (RFC 9110 §5.5), or, in HTTP/2, white space around it
        /// (RFC 9113 §8.2.1).
        BadFieldValue = 400 "bad_field_value",
        /// A fragment, a control, a space or a non-ASCII byte in the request-target.
        BadRequestTarget = 400 "bad_request_target",
        /// asterisk-form without OPTIONS, or a target in no form at all (RFC 9112 §3.2).
        BadRequestTargetForm = 400 "bad_request_target_form",
        /// `user@host` in the authority (RFC 9110 §4.2.4).
        UserInfo = 400 "user_info",
        /// HTTP/1.1 without Host (RFC 9112 §3.2).
        HostMissing = 400 "host_missing",
        /// More than one Host field line (RFC 9112 §3.2).
        HostRepeated = 400 "host_repeated",
        /// Host, or the authority of absolute-form, is not `uri-host [ ":" port ]`.
        HostInvalid = 400 "host_invalid",
        /// The authority of absolute-form is not that of Host.
        AuthorityMismatch = 400 "authority_mismatch",
        /// Content-Length is not 1*DIGIT.
        ContentLengthInvalid = 400 "content_length_invalid",
        /// Content-Length does not fit 64 bits.
        ContentLengthOverflow = 400 "content_length_overflow",
        /// More than one Content-Length field line, even if equal.
        ContentLengthRepeated = 400 "content_length_repeated",
        /// A list in Content-Length, even of equal members.
        ContentLengthList = 400 "content_length_list",
        /// Content-Length and Transfer-Encoding in one message (RFC 9112 §6.3 rule 3).
        ContentLengthAndTransferEncoding = 400 "content_length_and_transfer_encoding",
        /// Transfer-Encoding in HTTP/1.0 (RFC 9112 §6.1).
        TransferEncodingInHttp10 = 400 "transfer_encoding_in_http10",
        /// Transfer-Encoding without a coding.
        TransferEncodingEmpty = 400 "transfer_encoding_empty",
        /// Transfer-Encoding is not a list of tokens, or `chunked` has parameters.
        TransferEncodingInvalid = 400 "transfer_encoding_invalid",
        /// `chunked` more than once (RFC 9112 §6.1).
        ChunkedRepeated = 400 "chunked_repeated",
        /// `chunked` is not the final coding (RFC 9112 §6.3 rule 4).
        ChunkedNotFinal = 400 "chunked_not_final",
        /// More connection options than any sender needs.
        TooManyConnectionOptions = 400 "too_many_connection_options",
        /// No `:method`, `:scheme` or `:path`, or `:authority` beside CONNECT (RFC 9113 §8.3.1).
        PseudoFieldMissing = 400 "pseudo_field_missing",
        /// A pseudo-field that is there twice (RFC 9113 §8.3).
        PseudoFieldRepeated = 400 "pseudo_field_repeated",
        /// A pseudo-field that is unknown, or does not belong to this request (RFC 9113 §8.3).
        PseudoFieldUnknown = 400 "pseudo_field_unknown",
        /// A pseudo-field behind a field line (RFC 9113 §8.3).
        PseudoFieldLate = 400 "pseudo_field_late",
        /// A field of HTTP/1 connections, Transfer-Encoding among them (RFC 9113 §8.2.2).
        ConnectionField = 400 "connection_field",
        /// TE other than `trailers` in HTTP/2 (RFC 9113 §8.2.2).
        TeNotTrailers = 400 "te_not_trailers",
        /// Content-Length is not the sum of the content (RFC 9113 §8.1.1).
        ContentLengthMismatch = 400 "content_length_mismatch",
        /// TRACE or CONNECT.
        MethodNotAllowed = 405 "method_not_allowed",
        /// The head did not arrive in time.
        HeadTimeout = 408 "head_timeout",
        /// The request line is longer than the listener allows.
        RequestLineTooLong = 414 "request_line_too_long",
        /// An expectation other than 100-continue (RFC 9110 §10.1.1).
        ExpectationUnknown = 417 "expectation_unknown",
        /// One field line is longer than the listener allows.
        FieldLineTooLong = 431 "field_line_too_long",
        /// The whole head is longer than the listener allows.
        HeadTooLong = 431 "head_too_long",
        /// More field lines than the listener allows.
        TooManyFields = 431 "too_many_fields",
        /// A method longer than any that is in use (RFC 9112 §3).
        MethodTooLong = 501 "method_too_long",
        /// An extended CONNECT to another protocol than `websocket` (RFC 8441 §4).
        ProtocolUnknown = 501 "protocol_unknown",
        /// A transfer coding that limpet does not know (RFC 9112 §6.1).
        TransferCodingUnknown = 501 "transfer_coding_unknown",
        /// A major version other than 1, the preface of HTTP/2 among them (RFC 9110 §15.6.6).
        VersionNotSupported = 505 "version_not_supported",
    }
}

causes! {
    /// Why a target's response head is invalid; the client gets a 502 and the target connection closes.
    ResponseFault {
        /// Not `version SP status SP [ reason ] CRLF` (RFC 9112 §4).
        BadStatusLine = 502 "response_bad_status_line",
        /// Not three digits from 100 to 599 (RFC 9110 §15).
        BadStatus = 502 "response_bad_status",
        /// A major version other than 1.
        VersionNotSupported = 502 "response_version_not_supported",
        /// CR without LF.
        BareCr = 502 "response_bare_cr",
        /// LF without CR.
        BareLf = 502 "response_bare_lf",
        /// A line that begins with white space.
        ObsFold = 502 "response_obs_fold",
        /// White space between a field name and its colon.
        SpaceBeforeColon = 502 "response_space_before_colon",
        /// A field name that is empty or not a token.
        BadFieldName = 502 "response_bad_field_name",
        /// NUL or another control in a field value.
        BadFieldValue = 502 "response_bad_field_value",
        /// One field line, or the status line, is longer than allowed.
        FieldLineTooLong = 502 "response_field_line_too_long",
        /// The whole head is longer than allowed.
        HeadTooLong = 502 "response_head_too_long",
        /// More field lines than allowed.
        TooManyFields = 502 "response_too_many_fields",
        /// More connection options than any sender needs.
        TooManyConnectionOptions = 502 "response_too_many_connection_options",
        /// Content-Length is a list or not 1*DIGIT.
        ContentLengthInvalid = 502 "response_content_length_invalid",
        /// Content-Length does not fit 64 bits.
        ContentLengthOverflow = 502 "response_content_length_overflow",
        /// More than one Content-Length field line, even if equal.
        ContentLengthRepeated = 502 "response_content_length_repeated",
        /// Content-Length and Transfer-Encoding in one message.
        ContentLengthAndTransferEncoding = 502 "response_content_length_and_transfer_encoding",
        /// Transfer-Encoding in HTTP/1.0.
        TransferEncodingInHttp10 = 502 "response_transfer_encoding_in_http10",
        /// Transfer-Encoding is anything but exactly one `chunked`.
        TransferEncodingInvalid = 502 "response_transfer_encoding_invalid",
        /// No `:status`, or another pseudo-field (RFC 9113 §8.3.2).
        PseudoField = 502 "response_pseudo_field",
        /// Content, or the end of the stream, before a final head (RFC 9113 §8.1).
        HeadMissing = 502 "response_head_missing",
        /// 101 in HTTP/2, which has no upgrade (RFC 9113 §8.6).
        SwitchingProtocols = 502 "response_switching_protocols",
        /// An interim response that ends its stream (RFC 9113 §8.1).
        InterimEndsStream = 502 "response_interim_ends_stream",
        /// Content-Length is not the sum of the content (RFC 9113 §8.1.1).
        ContentLengthMismatch = 502 "response_content_length_mismatch",
        /// More interim heads before the final one than any sender needs, or more bytes of them.
        TooManyInterim = 502 "response_too_many_interim",
    }
}

causes! {
    /// Why chunked content is invalid. `status` is for the content of a request; a fault in a target's content is a 502
    /// before the response has begun and an aborted connection after.
    ChunkFault {
        /// A chunk line without a digit.
        SizeEmpty = 400 "chunk_size_empty",
        /// A sign, a prefix, white space that no extension follows, or anything else that is not a hex digit.
        SizeInvalid = 400 "chunk_size_invalid",
        /// More than sixteen hex digits.
        SizeOverflow = 400 "chunk_size_overflow",
        /// CR without LF in chunk framing.
        BareCr = 400 "chunk_bare_cr",
        /// LF without CR in chunk framing.
        BareLf = 400 "chunk_bare_lf",
        /// The content of a chunk is not followed by CRLF: it is longer than its size says.
        ContentOverrun = 400 "chunk_content_overrun",
        /// Content of HTTP/2 that is not as long as its head says (RFC 9113 §8.1.1).
        LengthWrong = 400 "content_length_wrong",
        /// A chunk extension that is not `;name[=value]` (RFC 9112 §7.1.1).
        ExtensionInvalid = 400 "chunk_extension_invalid",
        /// Chunk extensions beyond the limit of a chunk or of the message.
        ExtensionTooLong = 400 "chunk_extension_too_long",
        /// A trailer field line that would be refused in a head.
        TrailerInvalid = 400 "trailer_invalid",
        /// A trailer field that frames, routes, authenticates or describes the message (RFC 9110 §6.5.1).
        TrailerForbidden = 400 "trailer_forbidden",
        /// The trailer section is longer than allowed.
        TrailersTooLong = 400 "trailers_too_long",
        /// More trailer fields than allowed.
        TooManyTrailers = 400 "too_many_trailers",
    }
}

/// The fault in the lines of a head, in either direction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum LineFault {
    BareCr,
    BareLf,
    ObsFold,
    SpaceBeforeColon,
    FieldName,
    FieldValue,
    StartLineTooLong,
    FieldLineTooLong,
    HeadTooLong,
    TooManyFields,
}

impl From<LineFault> for Refusal {
    fn from(fault: LineFault) -> Refusal {
        match fault {
            LineFault::BareCr => Refusal::BareCr,
            LineFault::BareLf => Refusal::BareLf,
            LineFault::ObsFold => Refusal::ObsFold,
            LineFault::SpaceBeforeColon => Refusal::SpaceBeforeColon,
            LineFault::FieldName => Refusal::BadFieldName,
            LineFault::FieldValue => Refusal::BadFieldValue,
            LineFault::StartLineTooLong => Refusal::RequestLineTooLong,
            LineFault::FieldLineTooLong => Refusal::FieldLineTooLong,
            LineFault::HeadTooLong => Refusal::HeadTooLong,
            LineFault::TooManyFields => Refusal::TooManyFields,
        }
    }
}

impl From<LineFault> for ResponseFault {
    fn from(fault: LineFault) -> ResponseFault {
        match fault {
            LineFault::BareCr => ResponseFault::BareCr,
            LineFault::BareLf => ResponseFault::BareLf,
            LineFault::ObsFold => ResponseFault::ObsFold,
            LineFault::SpaceBeforeColon => ResponseFault::SpaceBeforeColon,
            LineFault::FieldName => ResponseFault::BadFieldName,
            LineFault::FieldValue => ResponseFault::BadFieldValue,
            LineFault::StartLineTooLong => ResponseFault::FieldLineTooLong,
            LineFault::FieldLineTooLong => ResponseFault::FieldLineTooLong,
            LineFault::HeadTooLong => ResponseFault::HeadTooLong,
            LineFault::TooManyFields => ResponseFault::TooManyFields,
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::http::refusal::*;

    fn is_word(code: &str) -> bool {
        !code.is_empty()
            && code.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
    }

    #[test]
    fn codes_are_snake_case_words_and_unique() {
        let mut codes: Vec<&str> = Refusal::ALL.iter().map(|r| r.code()).collect();
        codes.extend(ResponseFault::ALL.iter().map(|r| r.code()));
        codes.extend(ChunkFault::ALL.iter().map(|r| r.code()));
        assert!(codes.iter().all(|code| is_word(code)));
        let count = codes.len();
        codes.sort_unstable();
        codes.dedup();
        assert_eq!(codes.len(), count);
    }

    #[test]
    fn statuses_other_than_400_are_exactly_these() {
        let others: Vec<(Refusal, u16)> = Refusal::ALL
            .iter()
            .map(|refusal| (*refusal, refusal.status()))
            .filter(|(_, status)| *status != 400)
            .collect();
        assert_eq!(
            others,
            [
                (Refusal::MethodNotAllowed, 405),
                (Refusal::HeadTimeout, 408),
                (Refusal::RequestLineTooLong, 414),
                (Refusal::ExpectationUnknown, 417),
                (Refusal::FieldLineTooLong, 431),
                (Refusal::HeadTooLong, 431),
                (Refusal::TooManyFields, 431),
                (Refusal::MethodTooLong, 501),
                (Refusal::ProtocolUnknown, 501),
                (Refusal::TransferCodingUnknown, 501),
                (Refusal::VersionNotSupported, 505),
            ]
        );
    }

    #[test]
    fn every_response_fault_is_a_502_and_every_chunk_fault_a_400() {
        assert!(ResponseFault::ALL.iter().all(|fault| fault.status() == 502));
        assert!(ChunkFault::ALL.iter().all(|fault| fault.status() == 400));
    }
}
