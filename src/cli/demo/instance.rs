//! One instance: an ordinary web application with its sessions in its own memory, and what every
//! application of the demo shares.
//!
//! Owns: the listener, the routes and the session table of one instance. Never: anything of the
//! balancer; it is a target like any other and is reached over TCP alone. Tested below through its
//! own socket, and behind the balancer by `tests/demo.rs`.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};

use axum::extract::{DefaultBodyLimit, Form, Request, State};
use axum::http::header::{
    ACCEPT, CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, COOKIE, SET_COOKIE, VARY,
};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use jiff::Timestamp;
use tokio::net::TcpListener;

use super::configuration::{Application, HEALTH_PATH};
use super::mcp;
use super::page::{self, Visitor};
use super::sessions::{SESSION_COUNT_MAX, Sessions, clean_name};

/// Name of the application's own session cookie, which the balancer knows nothing of.
pub const SESSION_COOKIE: &str = "demo_session";

/// Most bytes of a request's content that are read.
const CONTENT_BYTES_MAX: usize = 4 * 1024;

/// What all requests of one instance share.
#[derive(Debug)]
pub struct Shared {
    pub id: &'static str,
    /// Position among the instances; chooses the page's colour.
    number: usize,
    sessions: Mutex<Sessions>,
}

/// Serves the application on a free port of 127.0.0.1, whose address is returned, for as long as
/// the current runtime runs.
///
/// # Errors
/// When no port can be bound.
pub async fn start(
    application: Application,
    id: &'static str,
    number: usize,
) -> io::Result<SocketAddr> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    let address = listener.local_addr()?;
    let sessions = Mutex::new(Sessions::new(SESSION_COUNT_MAX));
    let shared = Arc::new(Shared { id, number, sessions });
    let routes = match application {
        Application::Pages => pages(),
        Application::Mcp => mcp::routes(),
    };
    let router = routes
        .route(HEALTH_PATH, get(|| async { "ok\n" }))
        .layer(DefaultBodyLimit::max(CONTENT_BYTES_MAX))
        .layer(from_fn_with_state(shared.clone(), name_instance))
        .with_state(shared);
    // Accepting never ends by itself: the server waits and goes on where accept fails.
    tokio::spawn(async move { axum::serve(listener, router).await });
    Ok(address)
}

/// The session page.
fn pages() -> axum::Router<Arc<Shared>> {
    axum::Router::new()
        .route("/", get(visit))
        .route("/session", post(create))
        .route("/session/end", post(end))
}

/// Every response, errors too, says which instance gave it and must not be kept by a cache.
async fn name_instance(
    State(shared): State<Arc<Shared>>,
    request: Request,
    next: Next,
) -> Response {
    let mut response = next.run(request).await;
    let fields = response.headers_mut();
    fields.insert("x-instance", HeaderValue::from_static(shared.id));
    fields.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

async fn visit(State(shared): State<Arc<Shared>>, fields: HeaderMap) -> Response {
    let now = Timestamp::now();
    let visitor = match session_id(&fields) {
        None => Visitor::Stranger,
        Some(id) => shared.table(|sessions| match sessions.visit(id, now) {
            Some(session) => Visitor::Known(session),
            None => Visitor::Unknown,
        }),
    };
    answer(&shared, &fields, &visitor, now, None)
}

#[derive(serde::Deserialize)]
struct Login {
    #[serde(default)]
    name: String,
}

async fn create(
    State(shared): State<Arc<Shared>>,
    fields: HeaderMap,
    Form(login): Form<Login>,
) -> Response {
    let now = Timestamp::now();
    let Some(name) = clean_name(&login.name) else {
        return answer(&shared, &fields, &Visitor::Nameless, now, None);
    };
    let Ok(id) = random_id() else {
        return StatusCode::INTERNAL_SERVER_ERROR.into_response();
    };
    let cookie = format!("{SESSION_COOKIE}={id}; Path=/; HttpOnly; SameSite=Lax");
    let visitor = Visitor::Created(shared.table(|sessions| sessions.create(id, name, now)));
    answer(&shared, &fields, &visitor, now, Some(&cookie))
}

async fn end(State(shared): State<Arc<Shared>>, fields: HeaderMap) -> Response {
    if let Some(id) = session_id(&fields) {
        shared.table(|sessions| sessions.end(id));
    }
    let cookie = format!("{SESSION_COOKIE}=; Path=/; HttpOnly; SameSite=Lax; Max-Age=0");
    let now = Timestamp::now();
    answer(&shared, &fields, &Visitor::LoggedOut, now, Some(&cookie))
}

impl Shared {
    /// Runs `change` on the table. A panic elsewhere cannot leave the table half changed, so a
    /// poisoned lock is used as it is.
    pub fn table<T>(&self, change: impl FnOnce(&mut Sessions) -> T) -> T {
        change(&mut self.sessions.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// The page in the form that the client asked for: browsers name text/html, curl does not.
fn answer(
    shared: &Shared,
    request_fields: &HeaderMap,
    visitor: &Visitor,
    now: Timestamp,
    cookie: Option<&str>,
) -> Response {
    let (kind, body) = if wants_html(request_fields) {
        ("text/html; charset=utf-8", page::html(shared.id, shared.number, visitor, now))
    } else {
        ("text/plain; charset=utf-8", page::text(shared.id, visitor, now))
    };
    let mut response = (status(visitor), body).into_response();
    let fields = response.headers_mut();
    fields.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    fields.insert(VARY, HeaderValue::from_static("accept, cookie"));
    fields.insert("x-session", HeaderValue::from_static(visitor.code()));
    if let Ok(policy) = HeaderValue::try_from(page::policy()) {
        fields.insert(CONTENT_SECURITY_POLICY, policy);
    }
    if let Some(cookie) = cookie.and_then(|cookie| HeaderValue::try_from(cookie).ok()) {
        fields.insert(SET_COOKIE, cookie);
    }
    response
}

fn status(visitor: &Visitor) -> StatusCode {
    match visitor {
        Visitor::Nameless => StatusCode::UNPROCESSABLE_ENTITY,
        Visitor::Stranger
        | Visitor::Unknown
        | Visitor::Created(_)
        | Visitor::Known(_)
        | Visitor::LoggedOut => StatusCode::OK,
    }
}

fn wants_html(fields: &HeaderMap) -> bool {
    fields
        .get_all(ACCEPT)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .any(|value| value.to_ascii_lowercase().contains("text/html"))
}

/// The session id that came with the request, if any.
fn session_id(fields: &HeaderMap) -> Option<&str> {
    fields
        .get_all(COOKIE)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(';'))
        .filter_map(|pair| pair.trim().split_once('='))
        .find_map(|(name, value)| (name == SESSION_COOKIE).then_some(value))
}

/// 128 random bits as hexadecimal digits.
pub fn random_id() -> Result<String, aws_lc_rs::error::Unspecified> {
    let mut bits = [0; 16];
    aws_lc_rs::rand::fill(&mut bits)?;
    Ok(format!("{:032x}", u128::from_be_bytes(bits)))
}

#[cfg(test)]
#[path = "instance_tests.rs"]
pub mod tests;
