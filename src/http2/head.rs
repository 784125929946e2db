//! Heads and trailers of HTTP/2: a decoded block judged as a message (RFC 9113 §8.1 to §8.3, RFC 8441 §4).
//!
//! The rules that only HTTP/2 has stand here: pseudo-fields, names in lower case, no fields of a connection,
//! END_STREAM. All others are those of [`judge`], the same for every version. What is refused here is malformed: an
//! error of the stream, and a 400 where an answer can still be sent. Tested by a table with every rule, and against
//! the judgement of HTTP/1.

use super::hpack::block::{Block, Line, PseudoFault, TooLarge};
use super::hpack::line::Name;
pub use super::hpack::line::Pseudo;
use crate::http::connection;
use crate::http::fields::{Field, FieldId, Fields, eq_ignore_case, is_token};
use crate::http::head::{
    ContentLength, HeadLimits, Method, Mode, RequestHead, ResponseHead, Version, WEBSOCKET,
};
use crate::http::judge::{self, Asked, Judged, Target};
use crate::http::notes::{self, Notes};
use crate::http::refusal::{ChunkFault, LineFault, Refusal, ResponseFault};
use crate::http::trailers;

/// A request and the part of it that its head has no place for.
#[derive(Debug, Clone, Copy)]
pub struct Request<'h, 'b> {
    pub head: RequestHead<'h, 'b>,
    /// The protocol of an extended CONNECT (RFC 8441 §4).
    pub protocol: Option<&'b [u8]>,
}

/// Judges the head of a request; `end_stream` when nothing follows it. `fields` gets the block's lines, in their order.
///
/// # Errors
/// The first reason to refuse it.
pub fn request<'h, 'b>(
    block: &'b Block,
    end_stream: bool,
    limits: &HeadLimits,
    mode: Mode,
    fields: &'h mut Fields<'b>,
) -> Result<Request<'h, 'b>, Refusal> {
    fields.clear();
    match too_large(block, limits) {
        Some(TooLarge::Bytes) => return Err(Refusal::HeadTooLong),
        Some(TooLarge::Fields) => return Err(Refusal::TooManyFields),
        None => {}
    }
    let (asked, protocol) = asked(block, limits)?;
    let mut notes = Notes::default();
    for line in block.lines() {
        well_formed(*line)?;
        let (name, value) = block.parts(line);
        let mut fault = None;
        let line_bytes = name.len() + ": ".len() + value.len();
        let classified = classified(line.name);
        notes::push_classified(
            (name, value, line_bytes),
            classified,
            limits,
            fields,
            |id, value| {
                fault = request_field_fault(id, value);
                notes.note(id, value)
            },
        )?;
        if let Some(refusal) = fault {
            return Err(refusal);
        }
    }
    if asked.extended_connect {
        // What proves a handshake of HTTP/1.1 means nothing here (RFC 8441 §5).
        let is_key = |name: &[u8]| eq_ignore_case(name, b"sec-websocket-key");
        fields.iter_mut().for_each(|field| field.drop |= is_key(field.name));
    }
    let length = notes.content_length.request();
    let content = || request_content(length?, end_stream, asked.extended_connect);
    let judged = judge::request(asked, &notes, content, mode, fields)?;
    Ok(Request { head: request_head(block, asked, judged, fields), protocol })
}

/// Whether the head is larger than what was decoded of it, or than the limits of now: those of its connection are what
/// they were when it began.
fn too_large(block: &Block, limits: &HeadLimits) -> Option<TooLarge> {
    let has = |is_beyond: bool, reason| is_beyond.then_some(reason);
    block
        .too_large()
        .or_else(|| has(block.list_bytes() > limits.head_bytes, TooLarge::Bytes))
        .or_else(|| has(block.lines().len() > limits.field_count, TooLarge::Fields))
}

/// The pseudo-fields of a request (RFC 9113 §8.3.1, §8.5, RFC 8441 §4).
fn asked<'b>(
    block: &'b Block,
    limits: &HeadLimits,
) -> Result<(Asked<'b>, Option<&'b [u8]>), Refusal> {
    match block.pseudo_fault() {
        Some(PseudoFault::Unknown) => return Err(Refusal::PseudoFieldUnknown),
        Some(PseudoFault::Repeated) => return Err(Refusal::PseudoFieldRepeated),
        Some(PseudoFault::Late) => return Err(Refusal::PseudoFieldLate),
        None => {}
    }
    if block.pseudo(Pseudo::Status).is_some() {
        return Err(Refusal::PseudoFieldUnknown);
    }
    let method = block.pseudo(Pseudo::Method).ok_or(Refusal::PseudoFieldMissing)?;
    if !is_token(method) {
        return Err(Refusal::BadMethod);
    }
    let (scheme, path) = (block.pseudo(Pseudo::Scheme), block.pseudo(Pseudo::Path));
    let authority = block.pseudo(Pseudo::Authority);
    let protocol = block.pseudo(Pseudo::Protocol);
    let is_connect = method == b"CONNECT";
    let (scheme, path) = match (is_connect, protocol, scheme, path) {
        (true, None, None, None) if authority.is_some() => (&b""[..], &b""[..]),
        (true, None, None, None) => return Err(Refusal::PseudoFieldMissing),
        (true, None, _, _) | (false, Some(_), _, _) => return Err(Refusal::PseudoFieldUnknown),
        (_, _, Some(scheme), Some(path)) => (scheme, path),
        (_, _, _, _) => return Err(Refusal::PseudoFieldMissing),
    };
    // As long as `method SP path SP HTTP/1.1`, to which the limit applies in HTTP/1.
    if method.len() + path.len() + "  HTTP/1.1".len() > limits.request_line_bytes {
        return Err(Refusal::RequestLineTooLong);
    }
    if protocol.is_some_and(|protocol| protocol != WEBSOCKET) {
        return Err(Refusal::ProtocolUnknown);
    }
    let asked = Asked {
        version: Version::Http2,
        method,
        target: Target::Parts { scheme, authority, path },
        extended_connect: protocol.is_some(),
    };
    Ok((asked, protocol))
}

/// RFC 9113 §8.2.1.
#[inline]
fn well_formed(line: Line) -> Result<(), LineFault> {
    if !line.name_is_valid() {
        Err(LineFault::FieldName)
    } else if !line.value_is_valid() {
        Err(LineFault::FieldValue)
    } else {
        Ok(())
    }
}

/// The id of a field line's name, and whether only folding found it.
#[inline]
fn classified(name: Name) -> (FieldId, bool) {
    match name {
        Name::Field(id) => (id, false),
        Name::LookAlike(id) => (id, true),
        // No field line has such a name.
        Name::Pseudo(_) | Name::PseudoUnknown => (FieldId::Other, false),
    }
}

/// RFC 9113 §8.2.2.
#[inline]
fn request_field_fault(id: FieldId, value: &[u8]) -> Option<Refusal> {
    match id {
        FieldId::Connection
        | FieldId::KeepAlive
        | FieldId::ProxyConnection
        | FieldId::TransferEncoding
        | FieldId::Upgrade => Some(Refusal::ConnectionField),
        FieldId::Te if !value.eq_ignore_ascii_case(b"trailers") => Some(Refusal::TeNotTrailers),
        FieldId::Te
        | FieldId::Other
        | FieldId::Host
        | FieldId::Trailer
        | FieldId::ContentLength
        | FieldId::Expect
        | FieldId::Cookie
        | FieldId::SetCookie
        | FieldId::Authorization
        | FieldId::CacheControl
        | FieldId::Date
        | FieldId::Forwarded
        | FieldId::XForwardedFor
        | FieldId::XForwardedProto
        | FieldId::XForwardedPort
        | FieldId::XForwardedHost
        | FieldId::XRealIp
        | FieldId::Via
        | FieldId::Referer
        | FieldId::UserAgent
        | FieldId::Traceparent
        | FieldId::WebSocketProof => None,
    }
}

/// RFC 9113 §8.1.1: the length that was named, as far as END_STREAM does not contradict it. The bytes of a tunnel are
/// not content (RFC 9110 §9.3.6).
fn request_content(
    named: ContentLength,
    end_stream: bool,
    is_tunnel: bool,
) -> Result<ContentLength, Refusal> {
    match (named, end_stream || is_tunnel) {
        (ContentLength::Exact(1..), true) => Err(Refusal::ContentLengthMismatch),
        (named, true) => Ok(named),
        (ContentLength::None, false) => Ok(ContentLength::Unknown),
        (named, false) => Ok(named),
    }
}

fn request_head<'h, 'b>(
    block: &'b Block,
    asked: Asked<'b>,
    judged: Judged<'b>,
    fields: &'h Fields<'b>,
) -> RequestHead<'h, 'b> {
    let (method, method_name) = match asked.extended_connect {
        true => (Method::Get, &b"GET"[..]),
        false => (judged.method, asked.method),
    };
    RequestHead {
        raw: block.raw(),
        method,
        method_name,
        target: judged.target,
        version: Version::Http2,
        fields,
        host: judged.host,
        content: judged.content,
        persistent: true,
        expect_continue: judged.expect_continue,
        upgrade: asked.extended_connect,
        extended_connect: asked.extended_connect,
        te_trailers: judged.te_trailers,
        anomaly: judged.anomaly,
    }
}

/// Judges the head of a response, interim or final, to a request of `method`. Fields of a connection are not forwarded,
/// nor those that Connection names.
///
/// # Errors
/// The first reason to refuse it.
pub fn response<'h, 'b>(
    block: &'b Block,
    end_stream: bool,
    limits: &HeadLimits,
    method: Method,
    fields: &'h mut Fields<'b>,
) -> Result<ResponseHead<'h, 'b>, ResponseFault> {
    fields.clear();
    match too_large(block, limits) {
        Some(TooLarge::Bytes) => return Err(ResponseFault::HeadTooLong),
        Some(TooLarge::Fields) => return Err(ResponseFault::TooManyFields),
        None => {}
    }
    let status = status(block)?;
    let mut notes = Notes::default();
    let mut has_connection = false;
    for line in block.lines() {
        well_formed(*line)?;
        let (name, value) = block.parts(line);
        let line_bytes = name.len() + ": ".len() + value.len();
        let classified = classified(line.name);
        has_connection |= classified.0 == FieldId::Connection;
        notes::push_classified(
            (name, value, line_bytes),
            classified,
            limits,
            fields,
            |id, value| notes.note(id, value) || id == FieldId::TransferEncoding,
        )?;
        if line.is_never_indexed()
            && let Some(field) = fields.last_mut()
        {
            field.is_never_indexed = true;
        }
    }
    if has_connection {
        connection::apply(fields).ok_or(ResponseFault::TooManyConnectionOptions)?;
    }
    let content = response_content(notes.content_length.response()?, end_stream, method, status)?;
    Ok(ResponseHead {
        raw: block.raw(),
        status,
        reason: b"",
        version: Version::Http2,
        fields,
        content,
        upgrade: false,
        has_cache_control: notes.has_cache_control,
        has_set_cookie: notes.has_set_cookie,
    })
}

/// Judges the head of the response to an extended CONNECT. A success opens the tunnel (RFC 8441 §5), and is told here as
/// the 101 that HTTP/1.1 has for that, with the `proof` that its client waits for; whatever else comes is a response.
///
/// # Errors
/// The first reason to refuse it.
pub fn tunnel_response<'h, 'b>(
    block: &'b Block,
    end_stream: bool,
    limits: &HeadLimits,
    proof: Option<&'b [u8]>,
    fields: &'h mut Fields<'b>,
) -> Result<ResponseHead<'h, 'b>, ResponseFault> {
    if !matches!(status(block)?, 200..=299) {
        return response(block, end_stream, limits, Method::Get, fields);
    }
    let head = response(block, end_stream, limits, Method::Get, &mut *fields)?;
    let ResponseHead { raw, version, has_cache_control, has_set_cookie, .. } = head;
    // A length means nothing here (RFC 9110 §9.3.6), and a target of HTTP/2 neither upgrades nor proves anything.
    for field in fields.iter_mut() {
        match field.id {
            FieldId::ContentLength => field.drop = true,
            FieldId::Upgrade => (field.id, field.drop) = (FieldId::Other, true),
            _ => field.drop |= eq_ignore_case(field.name, b"sec-websocket-accept"),
        }
    }
    let upgrade = (&b"upgrade"[..], WEBSOCKET, FieldId::Upgrade);
    let proof = proof.map(|proof| (&b"sec-websocket-accept"[..], proof, FieldId::WebSocketProof));
    for (name, value, id) in [Some(upgrade), proof].into_iter().flatten() {
        let field = Field::new(name, value, id);
        fields.try_push(field).map_err(|_| ResponseFault::TooManyFields)?;
    }
    Ok(ResponseHead {
        raw,
        status: 101,
        reason: b"Switching Protocols",
        version,
        fields,
        content: ContentLength::None,
        upgrade: true,
        has_cache_control,
        has_set_cookie,
    })
}

/// RFC 9113 §8.3.2, RFC 9110 §15.
fn status(block: &Block) -> Result<u16, ResponseFault> {
    const OTHERS: [Pseudo; 5] =
        [Pseudo::Method, Pseudo::Scheme, Pseudo::Authority, Pseudo::Path, Pseudo::Protocol];
    let is_malformed = block.pseudo_fault().is_some()
        || OTHERS.iter().any(|pseudo| block.pseudo(*pseudo).is_some());
    let digits = block.pseudo(Pseudo::Status).filter(|_| !is_malformed);
    match *digits.ok_or(ResponseFault::PseudoField)? {
        [hundreds @ b'1'..=b'5', tens @ b'0'..=b'9', ones @ b'0'..=b'9'] => {
            let digit = |byte: u8| u16::from(byte.wrapping_sub(b'0'));
            match digit(hundreds) * 100 + digit(tens) * 10 + digit(ones) {
                101 => Err(ResponseFault::SwitchingProtocols),
                status => Ok(status),
            }
        }
        _ => Err(ResponseFault::BadStatus),
    }
}

/// RFC 9113 §8.1, §8.1.1, RFC 9110 §6.4.1: how much content a response has, as far as END_STREAM does not contradict
/// the length that it names.
fn response_content(
    named: Option<u64>,
    end_stream: bool,
    method: Method,
    status: u16,
) -> Result<ContentLength, ResponseFault> {
    if status < 200 {
        let ends = end_stream.then_some(ResponseFault::InterimEndsStream);
        return ends.map_or(Ok(ContentLength::None), Err);
    }
    if method == Method::Head || matches!(status, 204 | 304) {
        return Ok(ContentLength::None);
    }
    match (named, end_stream) {
        (Some(1..), true) => Err(ResponseFault::ContentLengthMismatch),
        (Some(0) | None, true) => Ok(ContentLength::Exact(0)),
        (Some(length), false) => Ok(ContentLength::Exact(length)),
        (None, false) => Ok(ContentLength::Unknown),
    }
}

/// Judges a trailer section (RFC 9113 §8.1); returns its lines. It is the last of its stream: the caller has seen
/// `end_stream` with it.
///
/// # Errors
/// The first reason to refuse it; the words are those of chunked content.
pub fn trailers(block: &Block, end_stream: bool) -> Result<&[u8], ChunkFault> {
    let lines = block.field_lines();
    match block.too_large() {
        Some(TooLarge::Fields) => return Err(ChunkFault::TooManyTrailers),
        _ if block.lines().len() > trailers::FIELDS_MAX => return Err(ChunkFault::TooManyTrailers),
        Some(TooLarge::Bytes) => return Err(ChunkFault::TrailersTooLong),
        _ if lines.len() > trailers::BYTES_MAX => return Err(ChunkFault::TrailersTooLong),
        None => {}
    }
    if block.has_pseudo() || !end_stream {
        return Err(ChunkFault::TrailerInvalid);
    }
    for line in block.lines() {
        well_formed(*line).map_err(|_| ChunkFault::TrailerInvalid)?;
        if trailers::is_forbidden(block.parts(line).0) {
            return Err(ChunkFault::TrailerForbidden);
        }
    }
    Ok(lines)
}

#[cfg(test)]
#[path = "head_tests.rs"]
mod tests;
