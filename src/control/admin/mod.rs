//! The admin API, version 1: HTTP and JSON on an address and a Unix socket.
//!
//! [`Operator`] answers and acts; [`read`] and [`mod@write`] are its HTTP; [`guard`] controls access; [`problem`] words
//! every refusal; [`serve`] has the sockets, and [`handshake`] their TLS. Every call of the operator runs on the blocking pool, so that no client
//! holds up the control loop. Never decides about the configuration. `openapi.json` describes every path, and
//! `tests/admin` holds both to it.

pub mod actor;
mod body;
mod certificates;
mod etag;
mod groups;
pub mod guard;
pub mod handshake;
pub mod operator;
mod overview;
pub mod problem;
mod read;
mod rules;
pub mod scope;
pub mod serve;
pub(in crate::control) mod session_match;
mod throttle;
pub mod views;
mod write;

use std::sync::Arc;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::http::Method;
use axum::http::header::{self, HeaderValue};
use axum::middleware;
use axum::response::{IntoResponse as _, Response};
use axum::routing::{MethodRouter, delete, get, post};
use serde::Serialize;

use super::console;
use crate::uring::Courtesy;
use guard::Access;
pub use operator::Operator;
use problem::{Cause, Problem};

/// The description of the API that is served.
pub const OPENAPI: &str = include_str!("openapi.json");

type App = Arc<Operator>;

/// Every path of the API and its handlers; `tests/admin` compares it with [`OPENAPI`].
fn paths() -> [(&'static str, MethodRouter<App>); 30] {
    [
        ("/metrics", get(read::metrics)),
        ("/v1/status", get(read::status)),
        ("/v1/overview", get(read::overview)),
        ("/v1/groups", get(read::groups)),
        ("/v1/groups/{group}", get(read::group).patch(write::set_group)),
        ("/v1/groups/{group}/stickiness", get(read::stickiness).patch(write::set_stickiness)),
        ("/v1/groups/{group}/stickiness/flush", post(write::flush)),
        ("/v1/groups/{group}/targets", post(write::add_target)),
        (
            "/v1/groups/{group}/targets/{target}",
            get(read::target).patch(write::set_target).delete(write::remove_target),
        ),
        ("/v1/groups/{group}/targets/{target}/drain", post(write::drain)),
        ("/v1/groups/{group}/targets/{target}/enable", post(write::enable)),
        ("/v1/groups/{group}/targets/{target}/disable", post(write::disable)),
        ("/v1/sessions", get(read::sessions)),
        ("/v1/rules", get(read::rules)),
        ("/v1/certificates", get(read::certificates)),
        ("/v1/events", get(read::events)),
        ("/v1/config", get(read::config)),
        ("/v1/config/history", get(read::history)),
        ("/v1/config/diff", get(read::diff).post(read::diff_with)),
        ("/v1/config/reload", post(write::reload)),
        ("/v1/config/apply", post(write::apply)),
        ("/v1/config/confirm", post(write::confirm)),
        ("/v1/config/rollback", post(write::rollback)),
        ("/v1/config/undo", post(write::undo)),
        ("/v1/config/overlay", delete(write::discard_overlay)),
        ("/v1/config/overlay/write", post(write::write_overlay)),
        ("/v1/explain", post(read::explain)),
        ("/v1/log-level", get(read::log_level).put(write::set_log_level)),
        ("/v1/settings", get(read::settings)),
        ("/v1/openapi.json", get(read::openapi)),
    ]
}

/// Every path that needs the token, if one is set.
#[cfg(any(test, feature = "internals"))]
pub fn path_names() -> [&'static str; 30] {
    paths().map(|(path, _)| path)
}

/// The whole service. The console's assets and `/healthz` need no token; the API does.
pub fn router(operator: App, access: Access) -> Router {
    let door = Arc::new(guard::Door::new(access, Arc::clone(&operator.control)));
    let mut api = Router::new();
    for (path, methods) in paths() {
        let gate = guard::Gate { door: Arc::clone(&door), path };
        let enter = middleware::from_fn_with_state(gate, guard::enter);
        api = api.route(path, methods.route_layer(enter));
    }
    api.merge(console::router())
        .route("/healthz", get(|| async { "ok" }))
        .fallback(|| async {
            Problem::new(Cause::NoSuchPath, "GET /v1/openapi.json has all paths")
        })
        .method_not_allowed_fallback(method_not_allowed)
        .layer(DefaultBodyLimit::max(body::CONTENT_BYTES_MAX))
        .layer(middleware::from_fn_with_state(door, guard::guard))
        .with_state(operator)
}

/// The router adds the Allow field, because it knows the methods.
async fn method_not_allowed(method: Method) -> Problem {
    Problem::new(Cause::MethodNotAllowed, format!("{method} means nothing here; see Allow"))
}

/// Asks the operator on the blocking pool, so that a slow answer does not hold up the control loop.
async fn ask<T: Send + 'static>(
    app: App,
    question: impl FnOnce(&Operator) -> Result<T, Problem> + Send + 'static,
) -> Result<T, Problem> {
    let answer = move || {
        let _courtesy = Courtesy::begin();
        question(&app)
    };
    match tokio::task::spawn_blocking(answer).await {
        Ok(answer) => answer,
        // The panic was logged where it happened.
        Err(_) => Err(Problem::new(Cause::Internal, "see the log")),
    }
}

/// A JSON answer, with the configuration version that it belongs to.
struct Answer<T> {
    view: T,
    version: Option<u64>,
}

impl<T: Serialize> Answer<T> {
    fn into_response(self) -> Response {
        let Ok(text) = serde_json::to_vec(&self.view) else {
            return Problem::new(Cause::Internal, "the answer cannot be written").into_response();
        };
        let json = HeaderValue::from_static("application/json");
        let mut response = ([(header::CONTENT_TYPE, json)], text).into_response();
        if let Some(tag) = self.version.and_then(etag::tag) {
            response.headers_mut().insert(header::ETAG, tag);
        }
        response
    }
}
