//! A server of the Model Context Protocol over Streamable HTTP, with its sessions in its own memory.
//!
//! Owns: the routes of the endpoint and what each method answers, as revisions 2025-06-18 and
//! 2025-11-25 say. Never: anything of the balancer, nor more of the protocol than a session needs to
//! be seen. Tested in `tests.rs` through its own socket, and behind the balancer by `tests/demo.rs`.

mod events;
pub mod guide;
mod message;
pub mod walkthrough;

use std::sync::Arc;

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::header::{ACCEPT, CONTENT_TYPE};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use jiff::Timestamp;
use serde_json::{Value, json};

use super::instance::{Shared, random_id};
use super::sessions::{Session, clean_name};
use message::{Error, Message};

/// Where the endpoint is.
pub const PATH: &str = "/mcp";

/// The field in which a session's id travels.
pub const SESSION_FIELD: HeaderName = HeaderName::from_static("mcp-session-id");

/// The revisions that are spoken; who asks for another one is offered the latest.
const REVISIONS: [&str; 2] = ["2025-06-18", LATEST];
const LATEST: &str = "2025-11-25";

const JSON: &str = "application/json";
const EVENTS: &str = "text/event-stream";

/// The endpoint.
pub fn routes() -> Router<Arc<Shared>> {
    Router::new().route(PATH, post(receive).get(listen).delete(end))
}

/// One message of the client (2025-11-25, Transports, "Sending Messages to the Server").
async fn receive(
    State(shared): State<Arc<Shared>>,
    fields: HeaderMap,
    content: Bytes,
) -> Result<Response, Error> {
    if !(accepts(&fields, JSON) && accepts(&fields, EVENTS)) {
        return Err(Error::NotAcceptable("application/json and text/event-stream"));
    }
    if !names(&fields, &CONTENT_TYPE, JSON) {
        return Err(Error::NotJson);
    }
    let message = Message::read(&content)?;
    if message.method == "initialize" {
        return initialize(&shared, &message);
    }
    let (id, _) = session(&shared, &fields)?;
    let Some(request) = &message.id else {
        // A notification, or the answer to a request that this server never sends.
        return Ok(with_session(StatusCode::ACCEPTED.into_response(), id));
    };
    let answer = match message.method.as_str() {
        "ping" => Ok(json!({})),
        "tools/list" => Ok(tools()),
        "tools/call" => call(&shared, id, message.text("/name")),
        _ => Err(message::METHOD_NOT_FOUND),
    };
    Ok(with_session(message::answer(request, answer), id))
}

fn initialize(shared: &Shared, message: &Message) -> Result<Response, Error> {
    let request = message.id.as_ref().ok_or(Error::InvalidRequest)?;
    let asked = message.text("/protocolVersion");
    let revision = REVISIONS.into_iter().find(|revision| *revision == asked).unwrap_or(LATEST);
    let name = clean_name(message.text("/clientInfo/name"));
    let id = random_id().map_err(|_| Error::NoRandomBytes)?;
    let now = Timestamp::now();
    shared.table(|sessions| sessions.create(id.clone(), name.unwrap_or_default(), now));
    let result = json!({
        "protocolVersion": revision,
        "capabilities": { "tools": {}, "logging": {} },
        "serverInfo": { "name": format!("limpet-demo-{}", shared.id), "version": env!("CARGO_PKG_VERSION") },
    });
    Ok(with_session(message::answer(request, Ok(result)), &id))
}

fn tools() -> Value {
    json!({ "tools": [{
        "name": "count",
        "description": "Counts its calls in this session, in the memory of one instance",
        "inputSchema": { "type": "object" },
    }] })
}

fn call(shared: &Shared, id: &str, tool: &str) -> Result<Value, message::Refusal> {
    if tool != "count" {
        return Err(message::UNKNOWN_TOOL);
    }
    let session = shared.table(|sessions| sessions.visit(id, Timestamp::now()));
    // The session's first visit is the request that created it.
    let calls = session.map_or(0, |session| session.visits - 1);
    let text = format!("instance {}: call {calls} of this session", shared.id);
    Ok(json!({ "content": [{ "type": "text", "text": text }] }))
}

/// A stream of events ("Listening for Messages from the Server").
async fn listen(State(shared): State<Arc<Shared>>, fields: HeaderMap) -> Result<Response, Error> {
    if !accepts(&fields, EVENTS) {
        return Err(Error::NotAcceptable("text/event-stream"));
    }
    let (id, session) = session(&shared, &fields)?;
    let last_seen = fields.get("last-event-id").and_then(|value| value.to_str().ok()?.parse().ok());
    let events = events::stream(shared.clone(), id.to_owned(), session.created, last_seen);
    Ok(with_session(([(CONTENT_TYPE, EVENTS)], events).into_response(), id))
}

/// The end of a session ("Session Management", 5).
async fn end(State(shared): State<Arc<Shared>>, fields: HeaderMap) -> Result<StatusCode, Error> {
    let (id, _) = session(&shared, &fields)?;
    shared.table(|sessions| sessions.end(id));
    Ok(StatusCode::NO_CONTENT)
}

/// The session that the request belongs to; only `initialize` comes without one.
fn session<'f>(shared: &Shared, fields: &'f HeaderMap) -> Result<(&'f str, Session), Error> {
    let id = fields.get(SESSION_FIELD).ok_or(Error::NoSession)?;
    let id = id.to_str().map_err(|_| Error::UnknownSession)?;
    let session = shared.table(|sessions| sessions.get(id, Timestamp::now()).cloned());
    Ok((id, session.ok_or(Error::UnknownSession)?))
}

/// Names the session, as the official servers do in every answer and not in the first alone.
fn with_session(mut response: Response, id: &str) -> Response {
    if let Ok(id) = HeaderValue::try_from(id) {
        response.headers_mut().insert(SESSION_FIELD, id);
    }
    response
}

fn accepts(fields: &HeaderMap, kind: &str) -> bool {
    names(fields, &ACCEPT, kind)
}

/// Whether one of the field's members is this media type, whatever its parameters.
fn names(fields: &HeaderMap, field: &HeaderName, kind: &str) -> bool {
    fields
        .get_all(field)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .filter_map(|member| member.split(';').next())
        .any(|member| member.trim().eq_ignore_ascii_case(kind))
}

#[cfg(test)]
mod tests;
