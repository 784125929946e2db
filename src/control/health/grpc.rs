//! The check of a target by a call of gRPC: of `grpc.health.v1.Health/Check`, or of a method whose status tells.
//!
//! The two messages of that method have one field each, and are written and read by hand: a request that names a service,
//! and a response with its health (github.com/grpc/grpc, doc/health-checking.md). Reads 64 KiB of content at most. Tested
//! beside it, the messages byte by byte.

use std::ops::RangeInclusive;
use std::time::Duration;

use bytes::Bytes;
use h2::client::SendRequest;
use h2::{RecvStream, SendStream};
use hyper::http::{HeaderMap, Request, Response, Uri};
use tokio::io::{AsyncRead, AsyncWrite};

use super::check::USER_AGENT;
use super::http2::{over_connection, words};
use crate::http::grpc::{is_type_of_call, name, status};

const CHECK: &str = "/grpc.health.v1.Health/Check";

/// Most bytes of content that are read.
const CONTENT_BYTES_MAX: usize = 64 * 1024;
/// Of a message: whether it is compressed, and its length.
const PREFIX_BYTES: usize = 5;
/// Most characters of a target's words that are passed on.
const WORDS_CHARS_MAX: usize = 200;

/// The settings of a group's checks by gRPC.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GrpcAsk {
    /// The method that is called with an empty message, whose status alone tells; `None` = [`CHECK`].
    pub method: Option<String>,
    /// "" = the server as a whole.
    pub service: String,
    /// "" = the address.
    pub host: String,
    /// Statuses that pass.
    pub codes: Vec<RangeInclusive<u32>>,
    /// The longest response head of the group.
    pub head_bytes: usize,
}

/// How a call has ended.
struct Ended {
    status: u32,
    message: String,
    content: Vec<u8>,
}

impl GrpcAsk {
    /// Calls on a connection of its own and judges the answer; `status` is that of the response.
    ///
    /// # Errors
    /// Why the check has failed, in words.
    pub(super) async fn exchange<S>(
        &self,
        stream: S,
        (scheme, host): (&str, &str),
        (timeout, status): (Duration, &mut Option<u16>),
    ) -> Result<(), String>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send,
    {
        let uri = Uri::builder().scheme(scheme).authority(host).path_and_query(self.path());
        let request = Request::post(uri.build().map_err(|error| error.to_string())?)
            .header("te", "trailers")
            .header("content-type", "application/grpc")
            .header("grpc-timeout", format!("{}m", timeout.as_millis()))
            .header("user-agent", USER_AGENT)
            .body(())
            .map_err(|error| error.to_string())?;
        let ended =
            over_connection(stream, self.head_bytes, |send| self.call(send, request, status));
        let ended = ended.await?;
        self.judge(&ended)
    }

    fn path(&self) -> &str {
        self.method.as_deref().unwrap_or(CHECK)
    }

    async fn call(
        &self,
        send: SendRequest<Bytes>,
        request: Request<()>,
        status: &mut Option<u16>,
    ) -> Result<Ended, String> {
        let mut send = send.ready().await.map_err(words)?;
        let (response, content) = send.send_request(request, false).map_err(words)?;
        let message = match &self.method {
            Some(_) => Vec::new(),
            None => check_request(&self.service),
        };
        // A target may answer before it has read everything: its answer counts.
        let sending = write(content, framed(&message));
        let answered = async {
            let response = response.await.map_err(words)?;
            *status = Some(response.status().as_u16());
            read(response).await
        };
        tokio::pin!(sending, answered);
        tokio::select! {
            biased;
            ended = &mut answered => ended,
            Ok(()) = &mut sending => answered.await,
        }
    }

    fn judge(&self, ended: &Ended) -> Result<(), String> {
        let Ended { status, message, content } = ended;
        if !self.codes.iter().any(|range| range.contains(status)) {
            return Err(self.wrong_status(*status, message));
        }
        if self.method.is_some() || *status != status::OK {
            return Ok(());
        }
        match health(content)? {
            SERVING => Ok(()),
            health => {
                let said = match health {
                    0 => "UNKNOWN".to_owned(),
                    2 => "NOT_SERVING".to_owned(),
                    3 => "SERVICE_UNKNOWN".to_owned(),
                    health => format!("{health}"),
                };
                Err(match self.service.as_str() {
                    "" => format!("the health of the server is {said}"),
                    service => format!("the health of service {service:?} is {said}"),
                })
            }
        }
    }

    fn wrong_status(&self, status: u32, message: &str) -> String {
        let why = match (status, &self.method) {
            (status::UNIMPLEMENTED, None) => "the target has no grpc.health.v1".to_owned(),
            (status::NOT_FOUND, None) => {
                format!("the target knows no service {:?}", self.service)
            }
            (status::UNIMPLEMENTED, Some(method)) => format!("the target has no method {method}"),
            _ => message.to_owned(),
        };
        let colon = if why.is_empty() { "" } else { ": " };
        let one = |range: &RangeInclusive<u32>| match (range.start(), range.end()) {
            (first, last) if first == last => first.to_string(),
            (first, last) => format!("{first}-{last}"),
        };
        let expected = self.codes.iter().map(one).collect::<Vec<_>>().join(" or ");
        format!("grpc-status {status} ({}), expected {expected}{colon}{why}", name(status))
    }
}

/// Sends the content of a request as its window allows.
async fn write(mut content: SendStream<Bytes>, mut message: Bytes) -> Result<(), h2::Error> {
    while !message.is_empty() {
        content.reserve_capacity(message.len());
        let room = std::future::poll_fn(|cx| content.poll_capacity(cx)).await;
        // The stream is over: so its response says why.
        let Some(room) = room.transpose()? else { return Ok(()) };
        let now = message.split_to(room.min(message.len()));
        content.send_data(now, message.is_empty())?;
    }
    Ok(())
}

/// The end of a call: in its trailers, or in a head that is all there is.
async fn read(response: Response<RecvStream>) -> Result<Ended, String> {
    let (head, mut body) = response.into_parts();
    let status = head.status.as_u16();
    let content_type = head.headers.get("content-type").map_or(&b""[..], |value| value.as_bytes());
    if status != 200 || !is_type_of_call(content_type) {
        let shown = String::from_utf8_lossy(content_type);
        let shown = if shown.is_empty() { "none" } else { &*shown };
        return Err(format!(
            "no answer to a call of gRPC: status {status}, content type {}",
            clip(shown)
        ));
    }
    let mut content = Vec::new();
    while let Some(piece) = body.data().await {
        let piece = piece.map_err(words)?;
        if content.len() + piece.len() > CONTENT_BYTES_MAX {
            return Err("the answer is longer than 64 KiB".into());
        }
        content.extend_from_slice(&piece);
        body.flow_control().release_capacity(piece.len()).map_err(words)?;
    }
    let trailers = body.trailers().await.map_err(words)?;
    let end = trailers.as_ref().filter(|fields| fields.contains_key("grpc-status"));
    let end = end.unwrap_or(&head.headers);
    let status = text(end, "grpc-status");
    if status.is_empty() {
        return Err("the answer ended without grpc-status".into());
    }
    let status =
        status.parse().map_err(|_| format!("grpc-status {} is no number", clip(&status)))?;
    let message = percent_encoding::percent_decode_str(&text(end, "grpc-message"))
        .decode_utf8_lossy()
        .into_owned();
    Ok(Ended { status, message: clip(&message), content })
}

fn text(fields: &HeaderMap, name: &str) -> String {
    fields.get(name).map_or_else(String::new, |value| {
        String::from_utf8_lossy(value.as_bytes()).trim().to_owned()
    })
}

/// The beginning of a target's words, on one line.
fn clip(words: &str) -> String {
    let printed = |char: char| if char.is_control() { ' ' } else { char };
    words.chars().take(WORDS_CHARS_MAX).map(printed).collect()
}

/// A message behind its prefix ("gRPC over HTTP/2", Length-Prefixed-Message).
fn framed(message: &[u8]) -> Bytes {
    let length = u32::try_from(message.len()).unwrap_or(u32::MAX).to_be_bytes();
    [&[0][..], &length, message].concat().into()
}

/// `HealthCheckRequest { string service = 1; }`.
fn check_request(service: &str) -> Vec<u8> {
    let mut message = Vec::new();
    if !service.is_empty() {
        // Field 1, of a length.
        message.push(1 << 3 | 2);
        push_varint(service.len() as u64, &mut message);
        message.extend_from_slice(service.as_bytes());
    }
    message
}

fn push_varint(mut number: u64, out: &mut Vec<u8>) {
    while number >= 0x80 {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

/// `ServingStatus.SERVING`.
const SERVING: u64 = 1;

/// The health in the framed `HealthCheckResponse { ServingStatus status = 1; }`; 0 (UNKNOWN) where it names none, and
/// the last one where it names several, as protobuf has it.
fn health(content: &[u8]) -> Result<u64, String> {
    let invalid = || "the answer of grpc.health.v1 is no valid message".to_owned();
    let (prefix, message) = content.split_at_checked(PREFIX_BYTES).ok_or_else(invalid)?;
    let (is_compressed, length) = prefix.split_first().ok_or_else(invalid)?;
    let length = <[u8; 4]>::try_from(length).map(u32::from_be_bytes).map_err(|_| invalid())?;
    if *is_compressed != 0 {
        return Err("the answer of grpc.health.v1 is compressed, which was not asked for".into());
    }
    if usize::try_from(length) != Ok(message.len()) {
        return Err(invalid());
    }
    let (mut health, mut rest) = (0, message);
    while !rest.is_empty() {
        let field = take_varint(&mut rest).ok_or_else(invalid)?;
        let skipped = match field & 7 {
            0 => {
                let value = take_varint(&mut rest).ok_or_else(invalid)?;
                health = if field >> 3 == 1 { value } else { health };
                0
            }
            1 => 8,
            2 => take_varint(&mut rest).ok_or_else(invalid)?,
            5 => 4,
            _ => return Err(invalid()),
        };
        let skipped = usize::try_from(skipped).map_err(|_| invalid())?;
        rest = rest.get(skipped..).ok_or_else(invalid)?;
    }
    Ok(health)
}

/// A number of up to ten bytes, seven bits in each, the lowest first.
fn take_varint(from: &mut &[u8]) -> Option<u64> {
    let mut number = 0_u64;
    for shift in (0..64).step_by(7) {
        let (byte, rest) = from.split_first()?;
        *from = rest;
        number |= u64::from(byte & 0x7f).checked_shl(shift)?;
        if byte & 0x80 == 0 {
            return Some(number);
        }
    }
    None
}

#[cfg(test)]
#[path = "grpc_tests.rs"]
mod tests;
