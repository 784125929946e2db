//! Messages of JSON-RPC 2.0, as far as a client's side of the protocol needs them.
//!
//! Owns: reading a message, answers and refusals. Never: sessions. Tested through `tests.rs`.

use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use serde_json::{Value, json};

/// A request, a notification (without an id), or the answer to a request (without a method).
#[derive(Debug, Deserialize)]
pub struct Message {
    jsonrpc: String,
    pub id: Option<Value>,
    #[serde(default)]
    pub method: String,
    #[serde(default)]
    params: Value,
}

impl Message {
    /// Reads one message; batches ended with revision 2025-06-18.
    ///
    /// # Errors
    /// When the content is not JSON, or no message.
    pub fn read(content: &[u8]) -> Result<Message, Error> {
        let value: Value = serde_json::from_slice(content).map_err(|_| Error::Parse)?;
        let mut message: Message =
            serde_json::from_value(value).map_err(|_| Error::InvalidRequest)?;
        if message.jsonrpc != "2.0" {
            return Err(Error::InvalidRequest);
        }
        if message.method.is_empty() {
            // An answer's id names a request of this side.
            message.id = None;
        }
        Ok(message)
    }

    /// The text at this place in the parameters, a JSON pointer; empty when there is none.
    pub fn text(&self, pointer: &str) -> &str {
        self.params.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
    }
}

/// What a method says against a request: code and words.
pub type Refusal = (i32, &'static str);

pub const METHOD_NOT_FOUND: Refusal = (-32601, "Method not found");
pub const UNKNOWN_TOOL: Refusal = (-32602, "Unknown tool: allowed is count");

/// The answer to the request with this id.
pub fn answer(id: &Value, answer: Result<Value, Refusal>) -> Response {
    content(&match answer {
        Ok(result) => json!({ "jsonrpc": "2.0", "id": id, "result": result }),
        Err((code, message)) => {
            json!({ "jsonrpc": "2.0", "id": id, "error": { "code": code, "message": message } })
        }
    })
}

fn content(envelope: &Value) -> Response {
    ([(CONTENT_TYPE, "application/json")], envelope.to_string()).into_response()
}

/// Why a message is refused before its method is looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    #[error("Parse error")]
    Parse,
    #[error("Invalid request")]
    InvalidRequest,
    #[error("Not acceptable: the client must accept {0}")]
    NotAcceptable(&'static str),
    #[error("Unsupported media type: Content-Type must be application/json")]
    NotJson,
    #[error("Bad request: Mcp-Session-Id is required")]
    NoSession,
    #[error("Session not found")]
    UnknownSession,
    #[error("The system has no random bytes to give")]
    NoRandomBytes,
}

impl Error {
    /// The status, and the code inside the error.
    fn codes(self) -> (StatusCode, i32) {
        match self {
            Error::Parse => (StatusCode::BAD_REQUEST, -32700),
            Error::InvalidRequest => (StatusCode::BAD_REQUEST, -32600),
            Error::NotAcceptable(_) => (StatusCode::NOT_ACCEPTABLE, -32000),
            Error::NotJson => (StatusCode::UNSUPPORTED_MEDIA_TYPE, -32000),
            Error::NoSession => (StatusCode::BAD_REQUEST, -32000),
            // Both official servers say it in these words.
            Error::UnknownSession => (StatusCode::NOT_FOUND, -32001),
            Error::NoRandomBytes => (StatusCode::INTERNAL_SERVER_ERROR, -32603),
        }
    }
}

impl IntoResponse for Error {
    fn into_response(self) -> Response {
        let (status, code) = self.codes();
        let error = json!({ "code": code, "message": self.to_string() });
        let response = content(&json!({ "jsonrpc": "2.0", "id": null, "error": error }));
        (status, response).into_response()
    }
}
