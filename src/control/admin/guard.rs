//! Access to the API: names, tokens, client certificates, and protection against writes that another site causes.
//!
//! Every request passes here before its handler, and every response on its way out. A page of another site can neither
//! read (no CORS, Host check against DNS rebinding) nor write (a custom field, Origin and Sec-Fetch-Site). Never
//! decides by the content. Tested below and by `tests/admin`.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::extract::{Request, State};
use axum::http::header::{self, HeaderName, HeaderValue};
use axum::http::{HeaderMap, Method};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};

use super::actor::Peer;
use super::problem::{Cause, Problem};
use super::scope::Scope;
use super::throttle::{Kind, Throttle};
use crate::control::config::file::{Admin, Role};
use crate::control::config::fingerprint;
use crate::control::refusals::Refusal;
use crate::control::runtime::Control;
use crate::tls::x509::hex;

/// A field that neither a form nor a simple cross-site request can have.
pub const WRITE_MARK: HeaderName = HeaderName::from_static("x-limpet-request");

/// How long a request may take, its content included.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(30);

/// Most characters of a path in the audit log.
const PATH_CHARS_MAX: usize = 200;

/// The fields of every response. They forbid to load from elsewhere, to frame, and to guess types.
const HEADERS: [(HeaderName, &str); 6] = [
    (
        header::CONTENT_SECURITY_POLICY,
        "default-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; object-src 'none'",
    ),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::X_FRAME_OPTIONS, "DENY"),
    (header::REFERRER_POLICY, "no-referrer"),
    (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
    // Assets of the console set their own value.
    (header::CACHE_CONTROL, "no-store"),
];

/// The names under which the API is reached, and by what a visitor is let in.
#[derive(Debug, Clone, Default)]
pub struct Access {
    /// In lower case, without port.
    hosts: Vec<String>,
    token: Option<Secret>,
    /// Whether client certificates are let in. Decided at the start: an address whose roles are taken away from the file
    /// must not become one that is open to everyone.
    has_roles: bool,
}

/// The checks that every request passes, and the memory of peers that were refused.
#[derive(Debug)]
pub struct Door {
    access: Access,
    throttle: Throttle,
    control: Arc<Control>,
}

impl Door {
    pub fn new(access: Access, control: Arc<Control>) -> Door {
        Door { access, throttle: Throttle::default(), control }
    }

    /// What the visitor's certificate may change, by the configuration that runs now: a role that is taken away is gone
    /// with the next request.
    fn of_certificate(&self, request: &Request) -> Option<Scope> {
        let peer: &Peer = request.extensions().get()?;
        let known = peer.secured()?.certificate.as_ref()?;
        let file = self.control.file();
        let roles = &file.admin.tls.as_ref()?.roles;
        let has_fingerprint = |role: &&Role| {
            role.fingerprints
                .iter()
                .filter_map(|text| fingerprint(text))
                .any(|one| hex(&one) == known.fingerprint)
        };
        let has_subject = |role: &&Role| role.subjects.contains(&known.subject);
        // A fingerprint is one certificate's, a subject that of all that follow it.
        let role = roles.iter().find(has_fingerprint).or_else(|| roles.iter().find(has_subject));
        role.map(|role| role.role.into())
    }

    /// Whether the connection's handshake was for a name that asks something else of clients than this request's.
    fn is_other_profile(&self, request: &Request) -> bool {
        let peer: Option<&Peer> = request.extensions().get();
        let Some(secured) = peer.and_then(Peer::secured) else { return false };
        let Some(tls) = self.control.admin_tls() else { return false };
        let host = authority(request).and_then(host_of);
        tls.is_other_profile(secured.profile, secured.server_name.as_deref(), host)
    }

    /// Counts and logs a refused visitor, and delays one that is refused again and again.
    async fn turn_away(&self, visitor: &Visitor, refusal: Refusal) {
        let (control, entry) = (Arc::clone(&self.control), visitor.clone());
        // Writing to a disk may take time.
        let noted = tokio::task::spawn_blocking(move || {
            control.refuse_request(&entry.actor, refusal, &entry.request);
        });
        // The outcome is reported in limpet's own log.
        let _ = noted.await;
        let is_guess = refusal == Refusal::Unauthorized && visitor.has_token;
        let kind = if is_guess { Kind::Guess } else { Kind::Other };
        tokio::time::sleep(self.throttle.refuse(&visitor.peer, kind, Instant::now())).await;
    }
}

/// The visitor and its request, in words for the audit log.
#[derive(Debug, Clone)]
struct Visitor {
    peer: Peer,
    actor: String,
    /// Method and path, without parts that may be secret.
    request: String,
    has_token: bool,
}

impl Visitor {
    fn of(request: &Request) -> Visitor {
        let peer = request.extensions().get().cloned();
        let peer = peer.unwrap_or(Peer::Unix { uid: None, pid: None });
        let short = |text: &str| text.chars().take(PATH_CHARS_MAX).collect::<String>();
        Visitor {
            actor: peer.actor(request.headers()),
            request: format!(
                "{} {}",
                short(request.method().as_str()),
                short(request.uri().path())
            ),
            has_token: request.headers().contains_key(header::AUTHORIZATION),
            peer,
        }
    }
}

/// The reason why a visitor was refused. Refusals for the content of a change are logged where the change is made.
fn refusal_of(response: &Response) -> Option<Refusal> {
    match response.extensions().get()? {
        Cause::Unauthorized => Some(Refusal::Unauthorized),
        Cause::CrossSite => Some(Refusal::CrossSite),
        Cause::NotTrusted => Some(Refusal::NotTrusted),
        Cause::Misdirected => Some(Refusal::Misdirected),
        _ => None,
    }
}

/// The check in front of every handler of one path.
#[derive(Debug, Clone)]
pub struct Gate {
    pub door: Arc<Door>,
    /// In the router's form.
    pub path: &'static str,
}

#[derive(Clone)]
struct Secret(String);

impl std::fmt::Debug for Secret {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str("…")
    }
}

impl Access {
    pub fn of(admin: &Admin) -> Access {
        Access {
            hosts: admin.hosts.iter().map(|host| host.to_ascii_lowercase()).collect(),
            token: admin.token.clone().map(Secret),
            has_roles: admin.tls.as_ref().is_some_and(|tls| !tls.roles.is_empty()),
        }
    }

    /// A host that was rebound is never `localhost`, an address or a name that the operator chose.
    fn allows_host(&self, authority: &str) -> bool {
        let Some(host) = host_of(authority) else { return false };
        let host = host.strip_suffix('.').unwrap_or(host).to_ascii_lowercase();
        if let Some(inner) = host.strip_prefix('[') {
            let inner = inner.strip_suffix(']');
            return inner.is_some_and(|inner| inner.parse::<std::net::Ipv6Addr>().is_ok());
        }
        host == "localhost"
            || matches!(host.parse(), Ok(IpAddr::V4(_)))
            || self.hosts.contains(&host)
    }

    /// What a visitor may change: by its token, or without one by its certificate. `None` = it is not let in.
    fn scope(&self, request: &Request, of_certificate: Option<Scope>) -> Option<Scope> {
        if !is_tcp(request) {
            return Some(Scope::Everything);
        }
        match &self.token {
            // A wrong token is no way in, whoever brings it.
            Some(token) if request.headers().contains_key(header::AUTHORIZATION) => {
                allows_token(token, request.headers()).then_some(Scope::Everything)
            }
            Some(_) => of_certificate,
            None if self.has_roles => of_certificate,
            None => of_certificate.or(Some(Scope::Attributes)),
        }
    }

    /// The refusal of a visitor who is not let in.
    fn refusal(&self) -> Problem {
        let token = "send the field Authorization: Bearer TOKEN with the token in admin.token";
        let certificate = "show a client certificate that has a role in admin.tls.role";
        Problem::new(
            Cause::Unauthorized,
            match (self.token.is_some(), self.has_roles) {
                (true, true) => format!("{token}, or {certificate}"),
                (true, false) => token.to_owned(),
                (false, _) => certificate.to_owned(),
            },
        )
    }
}

/// Takes the same time whether a token is nearly right or quite wrong.
fn allows_token(Secret(token): &Secret, headers: &HeaderMap) -> bool {
    let mut values = headers.get_all(header::AUTHORIZATION).iter();
    let (Some(value), None) = (values.next(), values.next()) else { return false };
    let Some((scheme, given)) = split_once(value.as_bytes(), b' ') else { return false };
    scheme.eq_ignore_ascii_case(b"bearer")
        && aws_lc_rs::constant_time::verify_slices_are_equal(given, token.as_bytes()).is_ok()
}

fn split_once(bytes: &[u8], at: u8) -> Option<(&[u8], &[u8])> {
    let position = bytes.iter().position(|byte| *byte == at)?;
    let (before, after) = bytes.split_at_checked(position)?;
    Some((before, after.get(1..)?))
}

/// The host of `host[:port]`, brackets of an IPv6 address included.
fn host_of(authority: &str) -> Option<&str> {
    let end = match authority.starts_with('[') {
        true => authority.find(']')?.checked_add(1)?,
        false => authority.find(':').unwrap_or(authority.len()),
    };
    let (host, rest) = authority.split_at_checked(end)?;
    let port_is_fine =
        rest.is_empty() || rest.strip_prefix(':').is_some_and(|port| port.parse::<u16>().is_ok());
    (!host.is_empty() && port_is_fine).then_some(host)
}

/// The only host that the client names; `None` where it names none, or more than one.
fn authority(request: &Request) -> Option<&str> {
    let mut hosts = request.headers().get_all(header::HOST).iter();
    let host = match (hosts.next(), hosts.next()) {
        (Some(host), None) => host.to_str().ok()?,
        _ => return None,
    };
    // A request-target in absolute-form names the host as well (RFC 9112 §3.2.2).
    match request.uri().authority() {
        Some(authority) if authority.as_str() != host => None,
        _ => Some(host),
    }
}

/// Whether a page of another site may have caused this. Browsers tell where a request comes from, and do not let a page
/// of another site set our own field.
fn is_cross_site(request: &Request) -> bool {
    let headers = request.headers();
    if let Some(site) = headers.get("sec-fetch-site")
        && site != "same-origin"
        && site != "none"
    {
        return true;
    }
    let Some(origin) = headers.get(header::ORIGIN) else { return false };
    let origin = origin.to_str().unwrap_or_default();
    let plain = origin.strip_prefix("http://");
    // Over TLS a page without it is one of another site: anybody on the way may have written it. Without TLS there may be
    // a proxy in front that has it.
    let is_secured =
        matches!(request.extensions().get(), Some(peer) if Peer::secured(peer).is_some());
    let named = origin.strip_prefix("https://").or(plain.filter(|_| !is_secured));
    named.is_none() || named != authority(request)
}

/// The outermost layer: judges the request, bounds its time, and seals the response.
pub async fn guard(State(door): State<Arc<Door>>, request: Request, next: Next) -> Response {
    let visitor = Visitor::of(&request);
    let is_asset = !request.uri().path().starts_with("/v1/");
    let mut response = match judge_name(&door, &request) {
        Ok(()) => run(request, next).await,
        Err(problem) => problem.into_response(),
    };
    if let Some(refusal) = refusal_of(&response) {
        door.turn_away(&visitor, refusal).await;
    }
    let headers = response.headers_mut();
    for (name, value) in HEADERS {
        if !(is_asset && headers.contains_key(&name)) {
            headers.insert(name, HeaderValue::from_static(value));
        }
    }
    response
}

/// Refuses a request that names another host.
fn judge_name(door: &Door, request: &Request) -> Result<(), Problem> {
    judge_host(&door.access, request)?;
    if door.is_other_profile(request) {
        let detail =
            "the connection was made for another name than Host: connect anew, for this one";
        return Err(Problem::new(Cause::Misdirected, detail));
    }
    Ok(())
}

fn judge_host(access: &Access, request: &Request) -> Result<(), Problem> {
    if is_tcp(request) && !authority(request).is_some_and(|host| access.allows_host(host)) {
        let detail = "Host must be localhost, an IP address, or a name in admin.hosts";
        return Err(Problem::new(Cause::Misdirected, detail));
    }
    Ok(())
}

/// Refuses a write that may come from a page of another site.
fn judge_write(request: &Request) -> Result<(), Problem> {
    if [Method::GET, Method::HEAD].contains(request.method()) {
        return Ok(());
    }
    if request.headers().get(&WRITE_MARK).is_none_or(|value| value != "1") {
        let detail = "a request that changes something needs the field X-Limpet-Request: 1";
        return Err(Problem::new(Cause::CrossSite, detail));
    }
    if is_cross_site(request) {
        let detail = "Origin or Sec-Fetch-Site says that a page of another site asks for this";
        return Err(Problem::new(Cause::CrossSite, detail));
    }
    Ok(())
}

/// On the Unix socket, permissions take the place of name and token.
fn is_tcp(request: &Request) -> bool {
    !matches!(request.extensions().get(), Some(Peer::Unix { .. }))
}

/// Runs the handler in a task of its own, so that its panic becomes an answer and does not end the connection.
async fn run(request: Request, next: Next) -> Response {
    let task = tokio::spawn(async move { next.run(request).await });
    let abort = task.abort_handle();
    match tokio::time::timeout(REQUEST_TIMEOUT, task).await {
        Ok(Ok(response)) => response,
        Ok(Err(_)) => Problem::new(Cause::Internal, "see the log").into_response(),
        Err(_) => {
            abort.abort();
            let detail = "the request was not answered in time; what it changes may still happen";
            Problem::new(Cause::TooSlow, detail).into_response()
        }
    }
}

/// The layer around every handler of the API: checks the token or the client certificate, and for a write its mark and
/// the right to it.
pub async fn enter(State(gate): State<Gate>, mut request: Request, next: Next) -> Response {
    let Gate { door, .. } = &gate;
    if door.access.token.is_some()
        && is_tcp(&request)
        && let Some(peer) = request.extensions().get::<Peer>()
        && request.headers().contains_key(header::AUTHORIZATION)
    {
        tokio::time::sleep(door.throttle.wait(peer, Instant::now())).await;
    }
    match judge_entry(&gate, &request) {
        Ok(scope) => {
            request.extensions_mut().insert(scope);
            next.run(request).await
        }
        Err(problem) => problem.into_response(),
    }
}

fn judge_entry(gate: &Gate, request: &Request) -> Result<Scope, Problem> {
    let access = &gate.door.access;
    let scope = access.scope(request, gate.door.of_certificate(request));
    let scope = scope.ok_or_else(|| access.refusal())?;
    judge_write(request)?;
    scope.judge(request.method(), gate.path)?;
    Ok(scope)
}

#[cfg(test)]
mod tests {
    use crate::control::admin::guard::*;
    use axum::body::Body;

    fn access() -> Access {
        let token = Some(Secret("s3cret-token".into()));
        Access { hosts: vec!["lb.example".into()], token, has_roles: false }
    }

    #[test]
    fn only_names_that_cannot_be_rebound_are_hosts() {
        let access = access();
        for good in [
            "localhost",
            "localhost:9901",
            "LOCALHOST:1",
            "localhost.",
            "127.0.0.1",
            "127.0.0.1:9901",
            "192.0.2.1:80",
            "[::1]",
            "[::1]:9901",
            "[2001:db8::1]:80",
            "lb.example",
            "LB.Example:9901",
        ] {
            assert!(access.allows_host(good), "{good}");
        }
        for bad in [
            "",
            ":9901",
            "evil.example",
            "evil.localhost",
            "localhost.evil.example",
            "localhost@evil.example",
            "user@localhost",
            "lb.example.evil.example",
            "127.0.0.1.evil.example",
            "127.1",
            "0x7f000001",
            "2130706433",
            "::1",
            "[::1",
            "[::1]x",
            "[::1]:99999",
            "[localhost]",
            "localhost:",
            "localhost:80:80",
            "localhost:http",
            "localhost/x",
        ] {
            assert!(!access.allows_host(bad), "{bad}");
        }
    }

    #[test]
    fn the_token_is_all_of_it_or_nothing() {
        let access = access();
        let allows = |fields: &[&str]| {
            let mut headers = HeaderMap::new();
            for field in fields {
                headers.append(header::AUTHORIZATION, HeaderValue::from_str(field).unwrap());
            }
            allows_token(access.token.as_ref().unwrap(), &headers)
        };
        assert!(allows(&["Bearer s3cret-token"]));
        assert!(allows(&["bearer s3cret-token"]));
        for bad in [
            "Bearer s3cret-toke",
            "Bearer s3cret-token1",
            "Bearer ",
            "Basic s3cret-token",
            "s3cret-token",
        ] {
            assert!(!allows(&[bad]), "{bad}");
        }
        assert!(!allows(&[]));
        assert!(!allows(&["Bearer s3cret-token", "Bearer other"]));
        assert!(!format!("{access:?}").contains("s3cret"), "no log ever has it");
    }

    fn request(fields: &[(&str, &str)]) -> Request {
        let mut request = Request::builder().method("POST").uri("/v1/config/reload");
        for (name, value) in fields {
            request = request.header(*name, *value);
        }
        request.body(Body::empty()).unwrap()
    }

    #[test]
    fn a_page_of_another_site_is_told_by_what_browsers_say() {
        let host = ("host", "127.0.0.1:9901");
        for (fields, wanted) in [
            (&[host][..], false),
            (&[host, ("sec-fetch-site", "same-origin")], false),
            (&[host, ("sec-fetch-site", "none")], false),
            (&[host, ("sec-fetch-site", "same-site")], true),
            (&[host, ("sec-fetch-site", "cross-site")], true),
            (&[host, ("origin", "http://127.0.0.1:9901")], false),
            (&[host, ("origin", "https://127.0.0.1:9901")], false),
            (&[host, ("origin", "http://127.0.0.1:8080")], true),
            (&[host, ("origin", "http://evil.example")], true),
            (&[host, ("origin", "null")], true),
            (&[host, ("origin", "")], true),
            (&[host, ("origin", "http://127.0.0.1:9901"), ("sec-fetch-site", "cross-site")], true),
        ] {
            assert_eq!(is_cross_site(&request(fields)), wanted, "{fields:?}");
        }
    }

    #[test]
    fn a_write_needs_its_mark() {
        let host = ("host", "localhost");
        let judged = |fields: &[(&str, &str)]| {
            let request = request(fields);
            judge_host(&access(), &request).and_then(|()| judge_write(&request))
        };
        assert_eq!(judged(&[host]).unwrap_err().cause, Cause::CrossSite);
        assert_eq!(judged(&[host, ("x-limpet-request", "0")]).unwrap_err().cause, Cause::CrossSite);
        assert!(judged(&[host, ("x-limpet-request", "1")]).is_ok());
        let elsewhere = [("host", "evil.example"), ("x-limpet-request", "1")];
        assert_eq!(judged(&elsewhere).unwrap_err().cause, Cause::Misdirected);
        assert_eq!(judged(&[host, host]).unwrap_err().cause, Cause::Misdirected);
        assert_eq!(judged(&[]).unwrap_err().cause, Cause::Misdirected);
    }
}
