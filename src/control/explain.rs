//! Why a request goes to its target: every step from the listener to the target, in words.
//!
//! Decides nothing itself: it calls the functions that serve requests, and words their results. Counts nothing and
//! takes no place, so that an explanation never changes what it explains. Never connects anywhere. Tested beside it,
//! and by `tests/config_commands.rs` through the command line.

mod forward;
mod question;

use std::fmt;
use std::net::{IpAddr, Ipv4Addr};
use std::time::{SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

use crate::exchange::failure::Failure;
use crate::group::address::Address;
use crate::http::fields::Fields;
use crate::http::head::RequestHead;
use crate::http::host::without_port;
use crate::http1::head::{self, Parsed};
use crate::routing::actions::Action;
use crate::routing::conditions::{Request, Tls};
use crate::routing::path;
use crate::routing::redirect::RedirectParts;
use crate::routing::table::TooCostly;
use crate::snapshot::{Bind, Listener, Snapshot};

/// Width of the first column.
const LABEL_WIDTH: usize = 11;

/// A request in the words of its author.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Question {
    /// "GET /path?query"; a version and pasted field lines may follow. A cookie alone ("limpet_app=AQ…") or a field
    /// line alone ("Mcp-Session-Id: 6f…") means "GET /" with it.
    pub request: String,
    /// Field lines, as in "Host: www.example.com". Without Host, it is "localhost".
    #[serde(default)]
    pub headers: Vec<String>,
    /// The listener that takes the request; `None` = the first one.
    #[serde(default)]
    pub listener: Option<String>,
    /// The client's address, for rules with a condition on it.
    #[serde(default = "loopback", deserialize_with = "source")]
    pub source: IpAddr,
    /// The server name of the TLS handshake; `None` = the host.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sni: Option<String>,
    /// Whether the client presents a certificate, one that is accepted.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub client_certificate: bool,
}

/// Reads an address; a text that is none is quoted in the refusal.
fn source<'de, D: serde::Deserializer<'de>>(from: D) -> Result<IpAddr, D::Error> {
    let text = String::deserialize(from)?;
    let refused = |_| serde::de::Error::custom(format!("source \"{text}\" is no IP address"));
    text.parse().map_err(refused)
}

fn loopback() -> IpAddr {
    IpAddr::V4(Ipv4Addr::LOCALHOST)
}

/// What would happen to a request, and why. Displayed as a page of two columns.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Explanation {
    /// In the order in which they are taken.
    pub steps: Vec<Step>,
    pub outcome: Outcome,
}

/// One line of an explanation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Step {
    /// "listener", "rules", "group", "verdict", …; empty where the line continues the step before.
    pub label: String,
    pub text: String,
}

/// The final outcome of the request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Outcome {
    pub kind: OutcomeKind,
    pub listener: String,
    /// `None` when the request is refused before any rule is tried.
    pub rule: Option<String>,
    /// `None` when the rule forwards to several groups and no cookie decides among them.
    pub group: Option<String>,
    /// Only when a cookie leads to it; otherwise it is balanced.
    pub target: Option<String>,
    /// The verdict on the cookie, as in the access log; `None` when nothing is sticky.
    pub sticky_reason: Option<String>,
    /// The status of limpet's own answer; `None` when the target answers.
    pub status: Option<u16>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OutcomeKind {
    Forward,
    Redirect,
    Respond,
    /// The request itself is refused; no rule is tried.
    Refused,
}

impl fmt::Display for Explanation {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        for Step { label, text } in &self.steps {
            writeln!(out, "{label:LABEL_WIDTH$}{text}")?;
        }
        Ok(())
    }
}

impl Explanation {
    fn line(&mut self, label: &str, text: impl Into<String>) {
        self.steps.push(Step { label: label.to_owned(), text: text.into() });
    }

    fn refuse(&mut self, status: u16, code: &str) {
        self.line("refused", format!("{status}, {code}: nothing is forwarded"));
        self.outcome.status = Some(status);
    }
}

/// The handshake of the question, where the listener speaks TLS; `None` when the host has another profile, and the
/// request is refused.
fn handshake<'q>(
    listener: &Listener,
    question: &'q Question,
    host: &'q [u8],
    page: &mut Explanation,
) -> Option<Option<Tls<'q>>> {
    let Some(presented) = &listener.tls else { return Some(announced(listener, question, page)) };
    let server_name = question.sni.as_deref().map_or(host, str::as_bytes);
    let server_name = Some(server_name).filter(|name| !name.is_empty());
    let certificate = if question.client_certificate { "a" } else { "no" };
    let asked = server_name.map_or("none".into(), text);
    page.line("tls", format!("server name {asked}, {certificate} client certificate"));
    let [asked, host] = [server_name, Some(host).filter(|host| !host.is_empty())]
        .map(|name| name.and_then(|name| std::str::from_utf8(name).ok()));
    if presented.is_other_profile(presented.handshake_profile(asked), asked, host) {
        page.line("profile", "the host asks for other client certificates than that name");
        page.refuse(Failure::Misdirected.status(), Failure::Misdirected.code());
        return None;
    }
    Some(Some(Tls { server_name, has_client_certificate: question.client_certificate }))
}

/// The client's handshake with a balancer in front, as its PROXY header would tell of it.
fn announced<'q>(
    listener: &Listener,
    question: &'q Question,
    page: &mut Explanation,
) -> Option<Tls<'q>> {
    let is_told = question.sni.is_some() || question.client_certificate;
    if !listener.knows_handshakes || !is_told {
        return None;
    }
    let server_name = question.sni.as_deref().map(str::as_bytes).filter(|name| !name.is_empty());
    let certificate = if question.client_certificate { "a" } else { "no" };
    let asked = server_name.map_or("none".into(), text);
    let told = format!("server name {asked}, {certificate} client certificate, by a PROXY header");
    page.line("tls", told);
    Some(Tls { server_name, has_client_certificate: question.client_certificate })
}

/// What would happen to the request now.
///
/// # Errors
/// A sentence about the question: an unknown listener, or a text that is no request.
pub fn explain(snapshot: &Snapshot, question: &Question) -> Result<Explanation, String> {
    let now_s = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    explain_at(snapshot, question, now_s)
}

impl Explanation {
    /// For a request to `listener`, with the words that say why it was chosen; the outcome is still open.
    fn begin(listener: &Listener, chosen: String) -> Explanation {
        let outcome = Outcome {
            kind: OutcomeKind::Refused,
            listener: listener.name.to_string(),
            rule: None,
            group: None,
            target: None,
            sticky_reason: None,
            status: None,
        };
        let mut page = Explanation { steps: Vec::new(), outcome };
        page.line("listener", chosen);
        page
    }
}

/// Like [`explain`]; `now_s` is the time in seconds since the epoch, for judging cookies.
///
/// # Errors
/// As [`explain`].
pub fn explain_at(
    snapshot: &Snapshot,
    question: &Question,
    now_s: u64,
) -> Result<Explanation, String> {
    let (listener, chosen) = listener(snapshot, question.listener.as_deref())?;
    let mut page = Explanation::begin(listener, chosen);
    let raw = question::head(question)?;
    let mut fields = Fields::new();
    let parsed =
        head::parse_request(raw.as_bytes(), &listener.head_limits, listener.mode, &mut fields);
    let head = match parsed {
        Ok(Parsed::Complete(head)) => head,
        Ok(Parsed::Partial) => return Err("the request is not a whole head".to_owned()),
        Err(refusal) => {
            page.refuse(refusal.status(), refusal.code());
            return Ok(page);
        }
    };
    if head.raw.len() < raw.len() {
        return Err("a field line contains an empty line".to_owned());
    }
    if let Some(anomaly) = head.anomaly {
        page.line("anomaly", format!("{anomaly}, which this listener's mode lets pass"));
    }
    page.line(
        "request",
        format!("{} {}, host {}", text(head.method_name), text(head.target.raw), text(head.host)),
    );
    let Some(tls) = handshake(listener, question, without_port(head.host), &mut page) else {
        return Ok(page);
    };
    let mut normal = Vec::new();
    if let Err(fault) = path::normalize(head.target.path, listener.merge_slashes, &mut normal) {
        page.refuse(fault.status(), fault.code());
        return Ok(page);
    }
    if normal != head.target.path {
        page.line("path", format!("matched and forwarded in normal form: {}", text(&normal)));
    }
    let mut compared = Vec::new();
    path::push_compared(&normal, &mut compared);
    if compared != normal {
        page.line("path", format!("compared with rules as {}", text(&compared)));
    }
    let request = Request {
        method: head.method_name,
        host: without_port(head.host),
        path: &compared,
        query: head.target.query,
        source: matches!(listener.bind, Bind::Tcp(_)).then_some(question.source),
        fields: head.fields,
        tls,
    };
    let rule = match listener.rules.find_index(&request) {
        Ok(rule) => rule,
        Err(TooCostly { rule }) => {
            let name = listener.rules.rules().get(rule).map(|rule| &*rule.name);
            page.line("rules", format!("looked at as far as {}", name.unwrap_or("the default")));
            page.refuse(TooCostly::STATUS, TooCostly::CODE);
            return Ok(page);
        }
    };
    rules(listener, &request, &mut page);
    let is_encrypted = request.tls.is_some();
    let scene = Scene { snapshot, listener, head: &head, path: &normal, is_encrypted, now_s };
    action(&scene, rule, &mut page);
    Ok(page)
}

/// The listener of the question, and the words that say why it was chosen.
fn listener<'s>(
    snapshot: &'s Snapshot,
    asked: Option<&str>,
) -> Result<(&'s Listener, String), String> {
    let all = || {
        let names: Vec<&str> = snapshot.listeners.iter().map(|listener| &*listener.name).collect();
        names.join(", ")
    };
    let found = match asked {
        Some(name) => snapshot.listeners.iter().find(|listener| *listener.name == *name),
        None => snapshot.listeners.first(),
    };
    let Some(listener) = found else {
        let name = asked.unwrap_or_default();
        return Err(format!("there is no listener {name:?}; there is {}", all()));
    };
    let bind = match &listener.bind {
        Bind::Tcp(address) if address.port() == 0 => format!("{}, a free port", address.ip()),
        Bind::Tcp(address) => address.to_string(),
        Bind::Unix(path) => format!("unix:{}", path.display()),
    };
    let why = match (asked, snapshot.listeners.len()) {
        (Some(_), _) => "as asked".to_owned(),
        (None, 1) => "the only one".to_owned(),
        (None, _) => format!("the first of {}; --listener chooses another", all()),
    };
    Ok((listener, format!("{} ({bind}): {why}", listener.name)))
}

/// Shows every rule that was tried.
fn rules(listener: &Listener, request: &Request<'_>, page: &mut Explanation) {
    let mut label = "rules";
    for considered in listener.rules.explain(request) {
        let Some(rule) = listener.rules.rules().get(considered.rule) else { continue };
        let is_default = considered.rule + 1 == listener.rules.rules().len();
        let name = match is_default {
            true => "default".to_owned(),
            false => format!("{} (priority {})", rule.name, rule.priority),
        };
        let said = match considered.failed {
            Some(why) => format!("no, {why}"),
            None if is_default => "no rule matched".to_owned(),
            None if rule.conditions.is_empty() => "matches, it has no conditions".to_owned(),
            None => "matches".to_owned(),
        };
        page.line(label, format!("{name}: {said}"));
        label = "";
    }
}

/// A request whose rule was found.
struct Scene<'a> {
    snapshot: &'a Snapshot,
    listener: &'a Listener,
    head: &'a RequestHead<'a, 'a>,
    /// In normal form.
    path: &'a [u8],
    /// Whether the client comes by TLS, to limpet or to a balancer in front.
    is_encrypted: bool,
    now_s: u64,
}

fn action(scene: &Scene<'_>, rule: usize, page: &mut Explanation) {
    let Some(found) = scene.listener.rules.rules().get(rule) else { return };
    page.outcome.rule = Some(found.name.to_string());
    let name = |index: usize| match scene.snapshot.groups.get(index) {
        Some(group) => group.name.to_string(),
        None => format!("#{index}"),
    };
    page.line("action", found.action.describe(&name));
    match &found.action {
        Action::Forward(forward) => {
            page.outcome.kind = OutcomeKind::Forward;
            forward::forward(scene, forward, rule, page);
        }
        Action::Redirect(redirect) => {
            page.outcome.kind = OutcomeKind::Redirect;
            page.outcome.status = Some(redirect.status);
            let port = match scene.listener.bind {
                // The system chooses the port later.
                Bind::Tcp(address) if address.port() > 0 => address.port().to_string(),
                Bind::Tcp(_) | Bind::Unix(_) => String::new(),
            };
            let parts = RedirectParts {
                protocol: if scene.is_encrypted { b"https" } else { b"http" },
                host: without_port(scene.head.host),
                port: port.as_bytes(),
                path: scene.path,
                query: scene.head.target.query,
            };
            let mut location = Vec::new();
            redirect.location(&parts, &mut location);
            page.line("location", text(&location));
        }
        Action::Respond(respond) => {
            page.outcome.kind = OutcomeKind::Respond;
            page.outcome.status = Some(respond.status);
        }
    }
}

fn address(address: &Address) -> String {
    match address {
        Address::Tcp(address) => address.to_string(),
        Address::Unix(path) => format!("unix:{}", path.display()),
    }
}

fn text(bytes: &[u8]) -> String {
    bytes.escape_ascii().to_string()
}

#[cfg(test)]
mod tests;
