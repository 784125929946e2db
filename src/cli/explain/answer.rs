//! The answer of `explain`, line by line. Tested by `tests/config.rs`.

use std::fmt::Write as _;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use super::Options;
use crate::control::config::units;
use crate::http1::fields::{FieldId, Fields};
use crate::http1::head::{self, Parsed, RequestHead};
use crate::routing::actions::{Action, Forward};
use crate::routing::conditions::Request;
use crate::routing::path;
use crate::routing::redirect::RedirectParts;
use crate::snapshot::{Bind, Listener, Snapshot};
use crate::target::group::{Algorithm, HashOn, TargetGroup};
use crate::target::stickiness::{Reading, Stickiness, StickinessKind};

/// Width of the first column.
const LABEL_WIDTH: usize = 11;

/// Lines with a label in front.
struct Page(String);

impl Page {
    fn line(&mut self, label: &str, text: &str) {
        // Writing into a String cannot fail.
        let _ = writeln!(self.0, "{label:LABEL_WIDTH$}{text}");
    }
}

/// What would happen to the request.
pub(super) fn answer(options: &Options, snapshot: &Snapshot) -> Result<String, String> {
    let mut page = Page(String::new());
    let listener = listener(options, snapshot, &mut page)?;
    let raw = options.head();
    let mut fields = Fields::new();
    let parsed =
        head::parse_request(raw.as_bytes(), &listener.head_limits, listener.mode, &mut fields);
    let head = match parsed {
        Ok(Parsed::Complete(head)) => head,
        Ok(Parsed::Partial) => return Err("the request is not a whole head".to_owned()),
        Err(refusal) => {
            let (status, code) = (refusal.status(), refusal.code());
            page.line("refused", &format!("{status}, {code}: nothing is forwarded"));
            return Ok(page.0);
        }
    };
    if head.raw.len() < raw.len() {
        return Err("a field line contains an empty line".to_owned());
    }
    if let Some(anomaly) = head.anomaly {
        page.line("anomaly", &format!("{anomaly}, which this listener's mode lets pass"));
    }
    let host = text(head.host);
    page.line(
        "request",
        &format!("{} {}, host {host}", text(head.method_name), text(head.target.raw)),
    );
    let mut normal = Vec::new();
    if let Err(fault) = path::normalize(head.target.path, listener.merge_slashes, &mut normal) {
        page.line(
            "refused",
            &format!("{}, {}: nothing is forwarded", fault.status(), fault.code()),
        );
        return Ok(page.0);
    }
    if normal != head.target.path {
        page.line("path", &format!("matched and forwarded in normal form: {}", text(&normal)));
    }
    let request = Request {
        method: head.method_name,
        host: without_port(head.host),
        path: &normal,
        query: head.target.query,
        source: matches!(listener.bind, Bind::Tcp(_)).then_some(options.source),
        fields: head.fields,
    };
    let rule = rules(listener, &request, &mut page);
    action(&Scene { snapshot, listener, head: &head, path: &normal }, rule, &mut page);
    Ok(page.0)
}

fn listener<'s>(
    options: &Options,
    snapshot: &'s Snapshot,
    page: &mut Page,
) -> Result<&'s Listener, String> {
    let all = || {
        let names: Vec<&str> = snapshot.listeners.iter().map(|listener| &*listener.name).collect();
        names.join(", ")
    };
    let position = match &options.listener {
        Some(name) => snapshot.listeners.iter().position(|listener| *listener.name == **name),
        None => Some(0),
    };
    let Some(listener) = position.and_then(|index| snapshot.listeners.get(index)) else {
        let name = options.listener.as_deref().unwrap_or_default();
        return Err(format!("there is no listener {name:?}; there is {}", all()));
    };
    let bind = match &listener.bind {
        Bind::Tcp(address) => address.to_string(),
        Bind::Unix(path) => format!("unix:{}", path.display()),
    };
    let why = match (&options.listener, snapshot.listeners.len()) {
        (Some(_), _) => "as asked".to_owned(),
        (None, 1) => "the only one".to_owned(),
        (None, _) => format!("the first of {}; --listener chooses another", all()),
    };
    page.line("listener", &format!("{} ({bind}): {why}", listener.name));
    Ok(listener)
}

/// Shows every rule that was looked at, and returns the position of the one that matched.
fn rules(listener: &Listener, request: &Request<'_>, page: &mut Page) -> usize {
    let mut label = "rules";
    for considered in listener.rules.explain(request) {
        let Some(rule) = listener.rules.rules().get(considered.rule) else { continue };
        let is_default = considered.rule + 1 == listener.rules.rules().len();
        let name = match is_default {
            true => "default".to_owned(),
            false => format!("{} (priority {})", rule.name, rule.priority),
        };
        match considered.failed {
            Some(why) => page.line(label, &format!("{name}: no, {why}")),
            None if is_default => page.line(label, &format!("{name}: no rule matched")),
            None if rule.conditions.is_empty() => {
                page.line(label, &format!("{name}: matches, it has no conditions"));
            }
            None => page.line(label, &format!("{name}: matches")),
        }
        label = "";
    }
    listener.rules.find_index(request)
}

/// A request that has found its rule.
struct Scene<'a> {
    snapshot: &'a Snapshot,
    listener: &'a Listener,
    head: &'a RequestHead<'a, 'a>,
    /// In normal form.
    path: &'a [u8],
}

fn action(scene: &Scene<'_>, rule: usize, page: &mut Page) {
    let Some(action) = scene.listener.rules.rules().get(rule).map(|rule| &rule.action) else {
        return;
    };
    let name = |index: usize| match scene.snapshot.groups.get(index) {
        Some(group) => group.name.to_string(),
        None => format!("#{index}"),
    };
    page.line("action", &action.describe(&name));
    match action {
        Action::Forward(forward) => self::forward(scene, forward, rule, page),
        Action::Redirect(redirect) => {
            let port = match scene.listener.bind {
                Bind::Tcp(address) => address.port().to_string(),
                Bind::Unix(_) => String::new(),
            };
            let parts = RedirectParts {
                protocol: b"http",
                host: without_port(scene.head.host),
                port: port.as_bytes(),
                path: scene.path,
                query: scene.head.target.query,
            };
            let mut location = Vec::new();
            redirect.location(&parts, &mut location);
            page.line("location", &text(&location));
        }
        Action::Respond(_) => {}
    }
}

fn forward(scene: &Scene<'_>, forward: &Forward, rule: usize, page: &mut Page) {
    if let Some(rewrite) = &forward.rewrite_path {
        let mut path = Vec::new();
        rewrite.apply(scene.path, &mut path);
        page.line("", &format!("the target sees the path {}", text(&path)));
    }
    if let Some(host) = &forward.rewrite_host {
        page.line("", &format!("the target sees the host {host}"));
    }
    let candidates: Vec<&Arc<TargetGroup>> = forward
        .groups
        .iter()
        .filter(|(_, weight)| *weight > 0)
        .filter_map(|(index, _)| scene.snapshot.groups.get(*index))
        .collect();
    let rule_stickiness = scene.listener.rule_stickiness.get(rule).and_then(Option::as_deref);
    match rule_stickiness {
        Some(stickiness) => {
            groups(&candidates, page);
            verdict(stickiness, &candidates, scene.head, page);
        }
        None => {
            for group in &candidates {
                groups(&[group], page);
                match group.stickiness.as_ref().filter(|stickiness| stickiness.is_enabled()) {
                    Some(stickiness) => verdict(stickiness, &[group], scene.head, page),
                    None => page.line("stickiness", "off: every request is balanced"),
                }
            }
        }
    }
}

fn groups(groups: &[&Arc<TargetGroup>], page: &mut Page) {
    for group in groups {
        page.line("group", &format!("{}: {}", group.name, algorithm(&group.algorithm)));
        for target in &group.targets {
            let health = target.state.health().code();
            let address = match &target.address {
                crate::target::group::Address::Tcp(address) => address.to_string(),
                crate::target::group::Address::Unix(path) => format!("unix:{}", path.display()),
            };
            page.line(
                "",
                &format!("{} ({address}, weight {}, {health})", target.id, target.weight),
            );
        }
        if group.targets.is_empty() {
            page.line("", "no targets: 503");
        }
    }
}

fn algorithm(algorithm: &Algorithm) -> String {
    match algorithm {
        Algorithm::RoundRobin => "round_robin".to_owned(),
        Algorithm::LeastOutstandingRequests => "least_outstanding_requests".to_owned(),
        Algorithm::WeightedRandom => "weighted_random".to_owned(),
        Algorithm::Hash(HashOn::Header(name)) => format!("hash of the field {name}"),
        Algorithm::Hash(HashOn::Cookie(name)) => format!("hash of the cookie {name}"),
        Algorithm::Hash(HashOn::Query(key)) => format!("hash of the query parameter {key}"),
        Algorithm::Hash(HashOn::Source) => "hash of the client's address".to_owned(),
    }
}

/// What the request's cookie would decide, by the table of the documentation.
fn verdict(
    stickiness: &Stickiness,
    groups: &[&Arc<TargetGroup>],
    head: &RequestHead<'_, '_>,
    page: &mut Page,
) {
    let options = stickiness.options();
    let (own, twin) = stickiness.cookie_names();
    let mut line = format!("cookie {}", text(own));
    if let Some(twin) = twin {
        let _ = write!(line, " (twin {})", text(twin));
    }
    if let StickinessKind::AppCookie { name } = &options.kind {
        let _ = write!(line, " beside the application's {name}");
    }
    let _ = write!(
        line,
        ", {} without a request, {} at most",
        units::show_duration(options.duration),
        units::show_duration(options.max_age)
    );
    page.line("stickiness", &line);
    let now_s = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let cookies =
        head.fields.iter().filter(|field| field.id == FieldId::Cookie).map(|field| field.value);
    let reading = stickiness.read(cookies, now_s);
    let said = match reading {
        Reading::Live(plain) => match groups.iter().find(|group| group.key == plain.group) {
            Some(group) => {
                let placed = stickiness.place(&plain, group, &[]);
                let target = placed.target.and_then(|index| group.targets.get(index));
                let target = target.map_or_else(
                    || "nobody in it is usable".to_owned(),
                    |target| format!("target {}", target.id),
                );
                format!("{}: group {}, {target}", placed.reason.code(), group.name)
            }
            None => "removed: the cookie names a group that is not among these; fails over".into(),
        },
        Reading::Absent => "new: no cookie that counts; balanced, a cookie is issued".to_owned(),
        Reading::Invalid => {
            "invalid: the cookie does not open under these keys; balanced, issued anew".to_owned()
        }
        Reading::Flushed => "flushed: the cookie is of an earlier generation; balanced".to_owned(),
        Reading::ExpiredAge => "expired_age: the cookie is too old; balanced".to_owned(),
        Reading::ExpiredIdle => "expired_idle: idle too long; balanced".to_owned(),
    };
    page.line("verdict", &said);
}

fn text(bytes: &[u8]) -> String {
    bytes.escape_ascii().to_string()
}

/// `host` without its port; brackets of an IPv6 address stay.
fn without_port(host: &[u8]) -> &[u8] {
    match host.iter().rposition(|byte| *byte == b':') {
        Some(colon) if !host.iter().skip(colon).any(|byte| *byte == b']') => {
            host.get(..colon).unwrap_or_default()
        }
        _ => host,
    }
}
