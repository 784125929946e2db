//! Handlers that change something: each with its author, and, for the configuration, with the version that it was made
//! for. Tested by `tests/admin`.

use std::time::Duration;

use axum::extract::{FromRequestParts, State};
use axum::http::StatusCode;
use axum::http::request::Parts;
use axum::response::Response;
use serde::Deserialize;
use serde_json::{Map, Value};

use super::actor::Peer;
use super::body::{InBody, InPath, InQuery, Whole};
use super::etag::Condition;
use super::operator::Operator;
use super::problem::{Cause, Problem};
use super::scope::Scope;
use super::{Answer, App, ask};
use crate::control::change::{Applied, By, Edit, Keep};
use crate::control::config::file::LogLevel;
use crate::control::config::units;
use crate::control::drain::{DrainOptions, DrainOrder, Until};

type Result<T> = std::result::Result<T, Problem>;

/// The author of a change, and its condition.
#[derive(Debug)]
pub struct Author {
    actor: String,
    condition: Condition,
    scope: Scope,
}

impl<S: Send + Sync> FromRequestParts<S> for Author {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Author> {
        let peer = parts.extensions.get::<Peer>();
        let unknown = Peer::Unix { uid: None, pid: None };
        let actor = peer.unwrap_or(&unknown).actor(&parts.headers);
        let condition = Condition::of(&parts.headers).map_err(|_| {
            Problem::new(Cause::BadRequest, "If-Match is no list of entity tags, as in \"3\"")
        })?;
        let scope = parts.extensions.get().copied().unwrap_or(Scope::Attributes);
        Ok(Author { actor, condition, scope })
    }
}

/// Makes a change of the configuration.
async fn change(
    app: App,
    author: Author,
    change: impl FnOnce(&Operator, &By<'_>) -> Result<Applied> + Send + 'static,
) -> Result<Response> {
    let applied = ask(app, move |operator| {
        let if_version = author.condition.version(operator.version());
        change(operator, &By { actor: &author.actor, if_version })
    });
    let view = applied.await?;
    let version = Some(view.version);
    Ok(Answer { view, version }.into_response())
}

/// Makes one edit, if its author may make it.
async fn edit(app: App, author: Author, edit: Edit, keep: Keep) -> Result<Response> {
    author.scope.judge_edit(&edit)?;
    change(app, author, move |operator, by| operator.edit(&edit, keep, by)).await
}

/// Drops the condition, for a change that does not depend on a version.
fn unconditional(author: Author) -> Author {
    Author { condition: Condition::None, ..author }
}

/// Settings to change; `null` resets one to its default.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Set {
    set: Map<String, Value>,
    #[serde(default)]
    keep: Keep,
}

/// Content that says only where a change is kept.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Kept {
    #[serde(default)]
    keep: Keep,
}

/// No content, or `{}`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Nothing {}

pub async fn set_group(
    State(app): State<App>,
    InPath(group): InPath<String>,
    author: Author,
    InBody(Set { set, keep }): InBody<Set>,
) -> Result<Response> {
    let asked = Edit::SetGroup { group, set };
    edit(app, author, asked, keep).await
}

pub async fn set_stickiness(
    State(app): State<App>,
    InPath(group): InPath<String>,
    author: Author,
    InBody(Set { set, keep }): InBody<Set>,
) -> Result<Response> {
    let set = set.into_iter().map(|(key, value)| (format!("stickiness.{key}"), value)).collect();
    let asked = Edit::SetGroup { group, set };
    edit(app, author, asked, keep).await
}

pub async fn flush(
    State(app): State<App>,
    InPath(group): InPath<String>,
    author: Author,
    InBody(Kept { keep }): InBody<Kept>,
) -> Result<Response> {
    let asked = Edit::FlushStickiness { group };
    edit(app, author, asked, keep).await
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NewTarget {
    settings: Map<String, Value>,
    #[serde(default)]
    keep: Keep,
}

pub async fn add_target(
    State(app): State<App>,
    InPath(group): InPath<String>,
    author: Author,
    InBody(NewTarget { settings, keep }): InBody<NewTarget>,
) -> Result<Response> {
    let asked = Edit::AddTarget { group, settings };
    let mut response = edit(app, author, asked, keep).await?;
    *response.status_mut() = StatusCode::CREATED;
    Ok(response)
}

pub async fn set_target(
    State(app): State<App>,
    InPath((group, target)): InPath<(String, String)>,
    author: Author,
    InBody(Set { set, keep }): InBody<Set>,
) -> Result<Response> {
    let asked = Edit::SetTarget { group, target, set };
    edit(app, author, asked, keep).await
}

pub async fn remove_target(
    State(app): State<App>,
    InPath((group, target)): InPath<(String, String)>,
    author: Author,
    InQuery(Kept { keep }): InQuery<Kept>,
) -> Result<Response> {
    let asked = Edit::RemoveTarget { group, target };
    edit(app, author, asked, keep).await
}

#[derive(Debug, Clone, Copy, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
enum UntilWord {
    #[default]
    Delay,
    Idle,
    Sessions,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DrainRequest {
    #[serde(default)]
    until: UntilWord,
    #[serde(default)]
    sessions_at_most: Whole,
    deadline: Option<String>,
    #[serde(default)]
    keep: Keep,
}

pub async fn drain(
    State(app): State<App>,
    InPath((group, target)): InPath<(String, String)>,
    author: Author,
    InBody(asked): InBody<DrainRequest>,
) -> Result<Response> {
    let DrainRequest { until, sessions_at_most, deadline, keep } = asked;
    let until = match until {
        UntilWord::Delay => Until::Delay,
        UntilWord::Idle => Until::Idle,
        UntilWord::Sessions => Until::Sessions { at_most: sessions_at_most.0 },
    };
    let options = DrainOptions { until, deadline: duration("deadline", deadline)? };
    change(app, unconditional(author), move |operator, by| {
        operator.drain(&DrainOrder { group: &group, target: &target, options }, keep, by)
    })
    .await
}

pub async fn enable(
    State(app): State<App>,
    InPath((group, target)): InPath<(String, String)>,
    author: Author,
    InBody(Kept { keep }): InBody<Kept>,
) -> Result<Response> {
    change(app, unconditional(author), move |operator, by| {
        operator.enable(&group, &target, keep, by)
    })
    .await
}

/// A drain that ends at once.
pub async fn disable(
    State(app): State<App>,
    InPath((group, target)): InPath<(String, String)>,
    author: Author,
    InBody(Kept { keep }): InBody<Kept>,
) -> Result<Response> {
    let options = DrainOptions::DISABLE;
    change(app, unconditional(author), move |operator, by| {
        operator.drain(&DrainOrder { group: &group, target: &target, options }, keep, by)
    })
    .await
}

pub async fn reload(
    State(app): State<App>,
    author: Author,
    InBody(Nothing {}): InBody<Nothing>,
) -> Result<Response> {
    change(app, author, |operator, by| Ok(operator.control.reload(by)?)).await
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Apply {
    text: Option<String>,
    confirm: Option<String>,
    #[serde(default)]
    keep: Keep,
}

pub async fn apply(
    State(app): State<App>,
    author: Author,
    InBody(Apply { text, confirm, keep }): InBody<Apply>,
) -> Result<Response> {
    let confirm = duration("confirm", confirm)?;
    change(app, author, move |operator, by| {
        Ok(operator.control.apply(text.as_deref(), confirm, keep, by)?)
    })
    .await
}

pub async fn confirm(
    State(app): State<App>,
    author: Author,
    InBody(Nothing {}): InBody<Nothing>,
) -> Result<Response> {
    change(app, unconditional(author), |operator, by| Ok(operator.control.confirm(by)?)).await
}

pub async fn rollback(
    State(app): State<App>,
    author: Author,
    InBody(Nothing {}): InBody<Nothing>,
) -> Result<Response> {
    change(app, unconditional(author), |operator, by| Ok(operator.control.rollback(by)?)).await
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Undo {
    change: Whole,
}

pub async fn undo(
    State(app): State<App>,
    author: Author,
    InBody(Undo { change: number }): InBody<Undo>,
) -> Result<Response> {
    let scope = author.scope;
    change(app, author, move |operator, by| {
        // A change that cannot be undone at all is refused and logged by `undo` itself.
        if let Ok(inverse) = operator.control.inverse_of(number.0) {
            scope.judge_undo(inverse.as_ref())?;
        }
        Ok(operator.control.undo(number.0, by)?)
    })
    .await
}

pub async fn write_overlay(
    State(app): State<App>,
    author: Author,
    InBody(Nothing {}): InBody<Nothing>,
) -> Result<Response> {
    change(app, author, |operator, by| Ok(operator.control.write_overlay(by)?)).await
}

pub async fn discard_overlay(State(app): State<App>, author: Author) -> Result<Response> {
    change(app, author, |operator, by| Ok(operator.control.discard_overlay(by)?)).await
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WhichLevel {
    level: LogLevel,
}

pub async fn set_log_level(
    State(app): State<App>,
    author: Author,
    InBody(WhichLevel { level }): InBody<WhichLevel>,
) -> Result<Response> {
    let set = move |operator: &Operator| Ok(operator.set_log_level(level, &author.actor));
    let view = ask(app, set).await?;
    Ok(Answer { view, version: None }.into_response())
}

/// Reads a duration as a file has it.
fn duration(key: &str, text: Option<String>) -> Result<Option<Duration>> {
    let read = |text: String| {
        units::parse_duration(&text).map_err(|what| {
            let found = format!("{text:?}");
            Problem::invalid(key, what, &found, "a duration, as in \"250ms\", \"10m\" or \"1h30m\"")
        })
    };
    text.map(read).transpose()
}
