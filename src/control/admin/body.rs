//! The parts of a request that handlers take, with refusals as problem details: content, path and query.
//!
//! Content is JSON of at most 4 MiB; no content means `{}`. Tested by `tests/admin`.

use axum::body::Bytes;
use axum::extract::{FromRequest, FromRequestParts, Path, Query, Request};
use axum::http::header::{self, HeaderMap};
use axum::http::request::Parts;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

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
        let content =
            Bytes::from_request(request, state).await.map_err(|rejection| {
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
    let refuse = |error: serde_json::Error| Problem::new(Cause::BadRequest, error.to_string());
    let mut value: Value = serde_json::from_slice(content).map_err(refuse)?;
    // serde would accept a list as the fields of a type in their order, which the API does not offer.
    if !value.is_object() {
        return Err(Problem::new(Cause::BadRequest, "the content is no JSON object"));
    }
    make_whole(&mut value);
    serde_json::from_value(value).map(InBody).map_err(refuse)
}

/// Makes 5.0 the whole number 5, since JSON does not tell the two apart.
fn make_whole(value: &mut Value) {
    match value {
        Value::Number(number) => {
            let whole = number.as_f64().filter(|float| number.is_f64() && float.fract() == 0.0);
            if let Some(float) = whole.filter(|float| float.abs() <= WHOLE_MAX as f64) {
                *number = (float as i64).into();
            }
        }
        Value::Array(values) => values.iter_mut().for_each(make_whole),
        Value::Object(values) => values.values_mut().for_each(make_whole),
        Value::Null | Value::Bool(_) | Value::String(_) => {}
    }
}

/// Up to here every program reads the same number (RFC 7493 §2.2).
const WHOLE_MAX: u64 = (1 << 53) - 1;

/// A whole number that no program rounds.
#[derive(Debug, Clone, Copy, Default, Deserialize)]
#[serde(try_from = "u64")]
pub struct Whole(pub u64);

impl TryFrom<u64> for Whole {
    type Error = String;

    fn try_from(number: u64) -> Result<Whole, String> {
        match number {
            ..=WHOLE_MAX => Ok(Whole(number)),
            _ => Err(format!("{number} is above {WHOLE_MAX}")),
        }
    }
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
        let query =
            query.map_err(|refused| Problem::new(Cause::BadRequest, refused.body_text()))?;
        Ok(InQuery(query.0))
    }
}
