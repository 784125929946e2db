//! Calls of gRPC: how they pass, how long they may take, when they are tried again, and how their targets are checked.

mod calls;
mod checks;
mod refused;
mod retries;
mod streams;
mod timeouts;

use axum::http::{HeaderMap, HeaderValue, Method, Response};
use bytes::Bytes;

use crate::support::Section;
use crate::support::group;
use crate::support::http2::{Answer, Http2, answer, clear, send};
use crate::support::http2_target::{Http2Target, Seen, Then};

const TYPE: (&str, &str) = ("content-type", "application/grpc+proto");
const TRAILERS: (&str, &str) = ("te", "trailers");

/// A group whose targets answer calls only.
fn app() -> Section {
    group("app").set("protocol_version", "grpc")
}

/// A message of gRPC with its prefix.
fn message(content: &[u8]) -> Vec<u8> {
    let length = u32::try_from(content.len()).unwrap().to_be_bytes();
    [&[0][..], &length, content].concat()
}

fn head() -> Response<()> {
    Response::builder().header("content-type", "application/grpc+proto").body(()).unwrap()
}

/// The content, and a status behind it.
fn ended(content: Vec<u8>, status: &'static str) -> Then {
    let mut trailers = HeaderMap::new();
    trailers.insert("grpc-status", HeaderValue::from_static(status));
    trailers.insert("grpc-message", HeaderValue::from_static("no%20such%20thing"));
    Then::Answer(head(), content, trailers)
}

/// An answer of trailers only.
fn refused(status: &'static str, message: &'static str) -> Then {
    let mut head = head();
    head.headers_mut().insert("grpc-status", HeaderValue::from_static(status));
    head.headers_mut().insert("grpc-message", HeaderValue::from_static(message));
    Then::Answer(head, Vec::new(), HeaderMap::new())
}

/// A target that sends back what each call has, and says who it is.
fn echo(id: &'static str) -> Http2Target {
    Http2Target::start(move |seen| named(id, seen))
}

fn named(id: &'static str, seen: &Seen) -> Then {
    match ended(seen.content.clone(), "0") {
        Then::Answer(mut head, content, trailers) => {
            head.headers_mut().insert("x-target", HeaderValue::from_static(id));
            Then::Answer(head, content, trailers)
        }
        other => other,
    }
}

/// A unary call.
async fn call(
    client: &Http2,
    path: &str,
    fields: &[(&'static str, &str)],
) -> Result<Answer, h2::Error> {
    let fields = [&[TYPE, TRAILERS], fields].concat();
    let (response, stream) = client.begin(Method::POST, path, &fields, false).await;
    // A call that is refused early is not sent to its end.
    let _ = send(stream, Bytes::from(message(b"abc")), None).await;
    answer(response).await
}

/// The status of a call, wherever it stands.
fn status(answer: &Answer) -> &str {
    let trailer = answer.trailers.as_ref().and_then(|trailers| trailers.get("grpc-status"));
    trailer.map_or_else(|| answer.field("grpc-status"), |status| status.to_str().unwrap())
}
