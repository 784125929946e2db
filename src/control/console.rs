//! The console: a web page and what it is made of, embedded in the program.
//!
//! Owns: which files there are, and the fields that go out with them. Never: data of the running
//! process, which the page asks the admin API for, and nothing from another host: the policy sent
//! with the page forbids it. Tested beside it, and in a browser by `tests/browser`.

use std::sync::Arc;

use aws_lc_rs::digest;
use axum::Router;
use axum::body::Body;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode, header};
use axum::routing::get;

/// One embedded file.
#[derive(Debug)]
struct Asset {
    path: &'static str,
    content_type: &'static str,
    content: &'static [u8],
}

const HTML: &str = "text/html; charset=utf-8";
const CSS: &str = "text/css; charset=utf-8";
const SCRIPT: &str = "text/javascript; charset=utf-8";
const SVG: &str = "image/svg+xml";

macro_rules! assets {
    ($($content_type:ident $name:literal,)+) => {
        [$(Asset {
            path: concat!("/console/", $name),
            content_type: $content_type,
            content: include_bytes!(concat!("console/assets/", $name)),
        },)+]
    };
}

/// The page; its own script reads the rest of the address, which follows a `#`.
static PAGE: Asset =
    Asset { path: "/", content_type: HTML, content: include_bytes!("console/assets/index.html") };

static ASSETS: [Asset; 25] = assets![
    CSS "style.css",
    SVG "icon.svg",
    SCRIPT "theme.js",
    SCRIPT "api.js",
    SCRIPT "app.js",
    SCRIPT "apply.js",
    SCRIPT "certificates.js",
    SCRIPT "charts.js",
    SCRIPT "config.js",
    SCRIPT "dom.js",
    SCRIPT "edit.js",
    SCRIPT "events.js",
    SCRIPT "explain.js",
    SCRIPT "fields.js",
    SCRIPT "format.js",
    SCRIPT "group.js",
    SCRIPT "groups.js",
    SCRIPT "match.js",
    SCRIPT "overview.js",
    SCRIPT "router.js",
    SCRIPT "rules.js",
    SCRIPT "state.js",
    SCRIPT "targets.js",
    SCRIPT "ui.js",
    SCRIPT "unsaved.js",
];

/// Sent with every file. The policy lets the page load from, talk to and be shown in nothing but its
/// own origin; no script and no style stands in the page itself.
const FIELDS: [(HeaderName, &str); 7] = [
    (
        header::CONTENT_SECURITY_POLICY,
        "default-src 'self'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; \
         object-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    ),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::X_FRAME_OPTIONS, "DENY"),
    (header::REFERRER_POLICY, "no-referrer"),
    (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
    (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
    // Asked for each time, so that a new program is never shown with an old page; mostly 304.
    (header::CACHE_CONTROL, "no-cache"),
];

/// Routes of the page and its files. They hold no secret and ask for no token: the page asks its reader.
pub fn router<S: Clone + Send + Sync + 'static>() -> Router<S> {
    std::iter::once(&PAGE).chain(&ASSETS).fold(Router::new(), |router, asset| {
        let etag = etag(asset.content);
        let answer = move |headers: HeaderMap| async move { answer(asset, &etag, &headers) };
        router.route(asset.path, get(answer))
    })
}

/// Whether a path is the console's own, and so served without a token.
#[cfg(any(test, feature = "internals"))]
pub fn is_console(path: &str) -> bool {
    path == PAGE.path || ASSETS.iter().any(|asset| asset.path == path)
}

/// A strong entity tag (RFC 9110 §8.8.3): the same content has the same one in every build.
fn etag(content: &[u8]) -> Arc<str> {
    let digest = digest::digest(&digest::SHA256, content);
    let hex: String = digest.as_ref().iter().take(12).map(|byte| format!("{byte:02x}")).collect();
    format!("\"{hex}\"").into()
}

fn answer(asset: &'static Asset, etag: &str, request: &HeaderMap) -> Response<Body> {
    let known = request.get_all(header::IF_NONE_MATCH).iter().any(|value| names(value, etag));
    let content = if known { Body::empty() } else { Body::from(asset.content) };
    let mut response = Response::new(content);
    if known {
        *response.status_mut() = StatusCode::NOT_MODIFIED;
    }
    let headers = response.headers_mut();
    for (name, value) in FIELDS {
        headers.insert(name, HeaderValue::from_static(value));
    }
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(asset.content_type));
    if let Ok(value) = HeaderValue::from_str(etag) {
        headers.insert(header::ETAG, value);
    }
    response
}

/// Whether a list of entity tags has this one (RFC 9110 §13.1.2, weak comparison).
fn names(list: &HeaderValue, etag: &str) -> bool {
    let Ok(list) = list.to_str() else { return false };
    list.split(',').map(str::trim).any(|one| one == "*" || one.trim_start_matches("W/") == etag)
}

#[cfg(test)]
#[path = "console_tests.rs"]
mod tests;
