//! Responses of limpet's own: small, framed by Content-Length, no version banner.

/// Body and content type of a status, settable per status in the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    pub content_type: Box<str>,
    pub body: bytes::Bytes,
}

/// Appends a whole response. `body_omitted` for HEAD (Content-Length stays). `extra` is whole field lines (each with CRLF), e.g. Location or Allow.
pub fn write(
    _status: u16,
    _answer: &Answer,
    _extra: &[u8],
    _keep: bool,
    _body_omitted: bool,
    _http10: bool,
    _out: &mut Vec<u8>,
) {
    todo!()
}

/// The standard reason phrase.
pub fn reason(_status: u16) -> &'static str {
    todo!()
}
/// The body used where the file sets none: "503 Service Unavailable\n" as text/plain.
pub fn standard(_status: u16) -> Answer {
    todo!()
}
