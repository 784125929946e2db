//! What handlers take from a request, with refusals as problem details: content, path and query.
//!
//! Content is JSON of at most 4 MiB; none at all stands for `{}`. Tested by `tests/admin`.

use axum::body::Bytes;
use axum::extract::{FromRequest, FromRequestParts, Path, Query, Request};
use axum::http::header::{self, HeaderMap};
use axum::http::request::Parts;
use serde::de::DeserializeOwned;

use super::problem::{Cause, Problem};

/// Largest content of a request.
pub const CONTENT_BYTES_MAX: usize = 4 * 1024 * 1024;

/// The content of a request.
#[derive(Debug)]
pub struct InBody<T>(pub T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for InBody<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<InBody<T>, Problem> {
        let is_json = is_json(request.headers());
        let content = Bytes::from_request(request, state).await.map_err(|rejection| {
            match rejection.status().as_u16() {
                413 => Problem::new(Cause::TooLarge, "the content is larger than 4 MiB"),
                _ => Problem::new(Cause::BadRequest, rejection.body_text()),
            }
        })?;
        if content.is_empty() {
            return parse(b"{}");
        }
        if !is_json {
            let detail = "content needs the field Content-Type: application/json";
            return Err(Problem::new(Cause::UnsupportedMediaType, detail));
        }
        parse(&content)
    }
}

fn parse<T: DeserializeOwned>(content: &[u8]) -> Result<InBody<T>, Problem> {
    serde_json::from_slice(content)
        .map(InBody)
        .map_err(|error| Problem::new(Cause::BadRequest, error.to_string()))
}

/// `application/json`, whatever its parameters.
fn is_json(headers: &HeaderMap) -> bool {
    let value = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let essence = value.and_then(|value| value.split(';').next()).unwrap_or_default();
    essence.trim().eq_ignore_ascii_case("application/json")
}

/// The variable parts of a path.
#[derive(Debug)]
pub struct InPath<T>(pub T);

impl<T: DeserializeOwned + Send, S: Send + Sync> FromRequestParts<S> for InPath<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<InPath<T>, Problem> {
        let path = Path::from_request_parts(parts, state).await;
        let path = path.map_err(|refused| Problem::new(Cause::BadRequest, refused.body_text()))?;
        Ok(InPath(path.0))
    }
}

/// The query of a request.
#[derive(Debug)]
pub struct InQuery<T>(pub T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequestParts<S> for InQuery<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<InQuery<T>, Problem> {
        let query = Query::from_request_parts(parts, state).await;
        let query = query.map_err(|refused| Problem::new(Cause::BadRequest, refused.body_text()))?;
        Ok(InQuery(query.0))
    }
}
