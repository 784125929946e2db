//! Handlers that change nothing. An answer from the configuration carries its version as ETag, taken before the
//! reading, so that a change in between is noticed. Tested by `tests/admin`.

use axum::extract::{Extension, State};
use axum::http::header::{self, HeaderValue};
use axum::response::{IntoResponse as _, Response};
use serde::{Deserialize, Serialize};

use super::body::{InBody, InPath, InQuery, Whole};
use super::operator::{Operator, refuse};
use super::problem::Problem;
use super::scope::Scope;
use super::{Answer, App, OPENAPI, ask};
use crate::control::explain::{self, Question};
use crate::control::metrics;

type Result<T> = std::result::Result<T, Problem>;

/// Events in an answer when the question sets no number.
const EVENTS: usize = 200;

/// An answer about the running state.
async fn look<T: Serialize + Send + 'static>(
    app: App,
    view: impl FnOnce(&Operator) -> Result<T> + Send + 'static,
) -> Result<Response> {
    let view = ask(app, view).await?;
    Ok(Answer { view, version: None }.into_response())
}

/// An answer about the configuration.
async fn look_at_config<T: Serialize + Send + 'static>(
    app: App,
    view: impl FnOnce(&Operator) -> Result<T> + Send + 'static,
) -> Result<Response> {
    let asked = ask(app, move |operator| {
        let version = Some(operator.version());
        Ok(Answer { version, view: view(operator)? })
    });
    Ok(asked.await?.into_response())
}

pub async fn status(
    State(app): State<App>,
    Extension(scope): Extension<Scope>,
) -> Result<Response> {
    look_at_config(app, move |operator| Ok(operator.status(scope))).await
}

pub async fn overview(State(app): State<App>) -> Result<Response> {
    look(app, |operator| Ok(operator.overview())).await
}

pub async fn groups(State(app): State<App>) -> Result<Response> {
    look_at_config(app, |operator| Ok(operator.groups())).await
}

pub async fn group(State(app): State<App>, InPath(group): InPath<String>) -> Result<Response> {
    look_at_config(app, move |operator| operator.group(&group)).await
}

pub async fn stickiness(State(app): State<App>, InPath(group): InPath<String>) -> Result<Response> {
    look_at_config(app, move |operator| operator.stickiness(&group)).await
}

pub async fn target(
    State(app): State<App>,
    InPath((group, target)): InPath<(String, String)>,
) -> Result<Response> {
    look_at_config(app, move |operator| operator.target(&group, &target)).await
}

pub async fn sessions(State(app): State<App>) -> Result<Response> {
    look(app, |operator| Ok(operator.sessions())).await
}

pub async fn rules(State(app): State<App>) -> Result<Response> {
    look_at_config(app, |operator| Ok(operator.rules())).await
}

pub async fn certificates(State(app): State<App>) -> Result<Response> {
    look(app, |operator| Ok(operator.certificates())).await
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WhichEvents {
    #[serde(default)]
    after: Whole,
    count: Option<Whole>,
}

pub async fn events(
    State(app): State<App>,
    InQuery(which): InQuery<WhichEvents>,
) -> Result<Response> {
    let count = which.count.and_then(|count| usize::try_from(count.0).ok()).unwrap_or(EVENTS);
    look(app, move |operator| Ok(operator.events(which.after.0, count))).await
}

pub async fn config(State(app): State<App>) -> Result<Response> {
    look_at_config(app, |operator| Ok(operator.config())).await
}

pub async fn history(State(app): State<App>) -> Result<Response> {
    look_at_config(app, |operator| Ok(operator.history())).await
}

pub async fn diff(State(app): State<App>) -> Result<Response> {
    look_at_config(app, |operator| operator.diff(None)).await
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Text {
    text: String,
}

/// A POST because it has content; it changes nothing.
pub async fn diff_with(State(app): State<App>, InBody(text): InBody<Text>) -> Result<Response> {
    look_at_config(app, move |operator| operator.diff(Some(&text.text))).await
}

pub async fn explain(State(app): State<App>, InBody(asked): InBody<Question>) -> Result<Response> {
    look(app, move |operator| {
        explain::explain(&operator.control.snapshot(), &asked).map_err(refuse)
    })
    .await
}

pub async fn log_level(State(app): State<App>) -> Result<Response> {
    look(app, |operator| Ok(operator.log_level())).await
}

pub async fn settings(State(app): State<App>) -> Result<Response> {
    look(app, |operator| Ok(operator.settings())).await
}

pub async fn openapi() -> Response {
    let json = HeaderValue::from_static("application/json");
    ([(header::CONTENT_TYPE, json)], OPENAPI).into_response()
}

pub async fn metrics(State(app): State<App>) -> Result<Response> {
    let text = ask(app, |operator| Ok(metrics::exposition(&operator.sources))).await?;
    let kind = HeaderValue::from_static(metrics::CONTENT_TYPE);
    Ok(([(header::CONTENT_TYPE, kind)], text).into_response())
}
