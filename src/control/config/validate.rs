//! The rules between settings: names that are taken, references to nothing, listeners that collide, rules without an
//! action, settings that contradict each other.
//!
//! Works on the completed file even when single values were refused, so that everything is reported at once; draws no
//! conclusions from a refused value. Never changes anything. Tested by `tests/config.rs`.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};
use std::time::Duration;

use arrayvec::ArrayVec;

use super::file::{self, AlgorithmName, DEFAULT_RULE, File, Forward, StickinessType};
use super::problems::Report;
use super::{acme, checks, collisions, session_fields};
use crate::proxy_protocol::ProxyProtocol;
use crate::telemetry::options::LogFormat;

/// The suffix that a cross-site twin's name adds to its cookie's.
const TWIN_SUFFIX: &str = "_cors";

/// Reports all mistakes between the settings of `file`.
pub(super) fn validate(file: &File, report: &mut Report<'_>) {
    keys(file, report);
    access_log(file, report);
    super::admin::validate(&file.admin, report);
    unique(report, file.listeners.iter().map(|listener| listener.name.as_str().into()), |index| {
        format!("listener[{index}].name")
    });
    unique(report, file.target_groups.iter().map(|group| group.name.as_str().into()), |index| {
        format!("target_group[{index}].name")
    });
    let groups = Groups::of(file);
    for (index, listener) in file.listeners.iter().enumerate() {
        listener_alone(&groups, listener, &format!("listener[{index}]"), report);
    }
    acme::validate(file, report);
    collisions::collisions(file, report);
    for (index, group) in file.target_groups.iter().enumerate() {
        let key = format!("target_group[{index}]");
        group_alone(group, &key, report);
        super::target_tls::validate(file, group, &key, report);
        super::grpc::validate(group, &key, report);
    }
    cookie_names(file, report);
    session_fields::validate(file, report);
}

fn access_log(file: &File, report: &mut Report<'_>) {
    let (format, template) = ("access_log.format", "access_log.template");
    if !report.sound(format) {
        return;
    }
    match (file.access_log.format, file.access_log.template.is_some() || report.intends(template)) {
        (LogFormat::Template, false) => {
            let allowed = Some("template = \"…\" beside it, a line with {fields}".into());
            report.missing(format, "is \"template\", and there is no template", allowed);
        }
        (LogFormat::Json | LogFormat::Combined | LogFormat::Alb, true) => {
            let allowed = Some("template with format = \"template\"".into());
            report.at(template, "has no meaning with this format", allowed);
        }
        _ => {}
    }
}

fn keys(file: &File, report: &mut Report<'_>) {
    let key = |index| format!("stickiness_keys.keys[{index}].id");
    // A refused or missing id is 0 here, from which no conclusion may be drawn.
    let ids = file.stickiness_keys.keys.iter().enumerate().map(|(index, one)| {
        let stated = report.has(&key(index)) && report.sound(&key(index));
        if stated { one.id.to_string().into() } else { Cow::from("") }
    });
    let ids: Vec<Cow<'_, str>> = ids.collect();
    unique(report, ids.into_iter(), key);
}

/// Reports every name that an earlier one has taken. Empty names have been reported as missing.
fn unique<'n>(
    report: &mut Report<'_>,
    names: impl Iterator<Item = Cow<'n, str>>,
    key: impl Fn(usize) -> String,
) {
    let mut first: HashMap<Cow<'n, str>, usize, ahash::RandomState> = HashMap::default();
    for (index, name) in names.enumerate() {
        if name.is_empty() {
            continue;
        }
        if let Some(earlier) = first.get(&name) {
            let line = report.line_note(&key(*earlier));
            report.at(&key(index), format!("is taken already{line}"), Some("a unique one".into()));
        } else {
            first.insert(name, index);
        }
    }
}

fn listener_alone(
    groups: &Groups<'_>,
    listener: &file::Listener,
    key: &str,
    report: &mut Report<'_>,
) {
    if !report.sound(key) {
        return;
    }
    let actions = [
        ("forward", listener.forward.is_some()),
        ("redirect", listener.redirect.is_some()),
        ("respond", listener.respond.is_some()),
    ];
    one_action(&actions, "the default", key, report);
    forward(groups, listener.forward.as_ref(), key, report);
    respond(listener.respond.as_ref(), key, report);
    let limits = &listener.limits;
    for (name, bytes) in
        [("request_line", limits.request_line_bytes), ("field_line", limits.field_line_bytes)]
    {
        let (one, head) = (format!("{key}.limits.{name}"), format!("{key}.limits.head"));
        // A longer default never takes effect, so it is no mistake.
        let stated = report.has(&one) && report.has(&head);
        if bytes > limits.head_bytes && stated && report.sound(&one) && report.sound(&head) {
            report.at(
                &one,
                "is longer than the whole head may be",
                Some("up to limits.head".into()),
            );
        }
    }
    proxy_protocol(listener, key, report);
    if let Some(tls) = &listener.tls {
        super::tls::validate(tls, &format!("{key}.tls"), report);
    }
    rules(groups, listener, key, report);
}

/// A header can make of its sender whatever client it names, so that the senders must be named.
fn proxy_protocol(listener: &file::Listener, key: &str, report: &mut Report<'_>) {
    let (protocol, from) = (format!("{key}.proxy_protocol"), format!("{key}.proxy_protocol_from"));
    if !report.sound(&protocol) || !report.sound(&from) {
        return;
    }
    let is_on = listener.proxy_protocol != ProxyProtocol::Off;
    let is_given = listener.proxy_protocol_from.is_some();
    if is_on && !is_given && !report.intends(&from) {
        let what = "is on, and nothing says whose headers are taken";
        let allowed = "proxy_protocol_from = [\"10.0.0.0/8\"] beside it, the addresses of the balancers in front; \
                       or proxy_protocol_from = \"any\", which lets everybody who connects name any client";
        report.missing(&protocol, what, Some(allowed.into()));
    } else if !is_on && is_given {
        let allowed = "proxy_protocol = \"v1\", \"v2\" or \"any\" beside it";
        report.at(&from, "has no effect: no headers are taken", Some(allowed.into()));
    }
}

fn rules(groups: &Groups<'_>, listener: &file::Listener, key: &str, report: &mut Report<'_>) {
    unique(
        report,
        listener.rules.iter().map(|rule| match rule.priority {
            0 => Cow::from(""),
            priority => priority.to_string().into(),
        }),
        |index| format!("{key}.rule[{index}].priority"),
    );
    // Names derived from priorities are unique when priorities are.
    unique(
        report,
        listener.rules.iter().map(|rule| rule.name.as_deref().unwrap_or_default().into()),
        |index| format!("{key}.rule[{index}].name"),
    );
    for (index, rule) in listener.rules.iter().enumerate() {
        let key = format!("{key}.rule[{index}]");
        if !report.sound(&key) {
            continue;
        }
        if rule.name.as_deref() == Some(DEFAULT_RULE) {
            let what = "is the name of what a listener does when no rule matches";
            report.at(&format!("{key}.name"), what, Some("another name".into()));
        }
        let actions = [
            ("forward", rule.forward.is_some()),
            ("redirect", rule.redirect.is_some()),
            ("respond", rule.respond.is_some()),
        ];
        one_action(&actions, "the", &key, report);
        forward(groups, rule.forward.as_ref(), &key, report);
        respond(rule.respond.as_ref(), &key, report);
        if let Some(rewrite) = &rule.rewrite {
            self::rewrite(rule, rewrite, &key, report);
        }
    }
}

/// Exactly one of several actions; a refused one counts as given.
fn one_action(actions: &[(&str, bool)], which: &str, key: &str, report: &mut Report<'_>) {
    let allowed = Some("exactly one of forward, redirect and respond".to_owned());
    let given: Vec<&str> = actions
        .iter()
        .filter(|(name, given)| *given || report.has(&format!("{key}.{name}")))
        .map(|(name, _)| *name)
        .collect();
    match given.as_slice() {
        [_] => {}
        // A missing action has no value to show, so the place is the element as a whole.
        [] if actions.iter().any(|(name, _)| report.intends(&format!("{key}.{name}"))) => {}
        [] => report.missing(key, &format!("has nothing for {which} action"), allowed),
        [first, more @ ..] => {
            for name in more {
                let what = format!("is one action too many beside {first}");
                report.at(&format!("{key}.{name}"), what, allowed.clone());
            }
        }
    }
}

fn forward(known: &Groups<'_>, forward: Option<&Forward>, key: &str, report: &mut Report<'_>) {
    let key = format!("{key}.forward");
    match forward {
        None => {}
        Some(Forward::One(group)) => reference(known, group, &key, report),
        Some(Forward::Weighted(weighted)) => {
            for (index, one) in weighted.groups.iter().enumerate() {
                reference(known, &one.group, &format!("{key}.groups[{index}].group"), report);
            }
            unique(report, weighted.groups.iter().map(|one| one.group.as_str().into()), |index| {
                format!("{key}.groups[{index}].group")
            });
            let groups = format!("{key}.groups");
            if weighted.groups.iter().all(|one| one.weight == 0) && report.sound(&groups) {
                let allowed = Some("at least one group with a weight above 0".into());
                report.at(&groups, "sends requests nowhere", allowed);
            }
            if let Some(sticky) = &weighted.sticky {
                let common = CommonStickiness {
                    duration: sticky.duration,
                    max_age: sticky.max_age,
                    cookie_name: sticky.cookie_name.as_deref(),
                    domain: &sticky.domain,
                    path: &sticky.path,
                };
                let key = format!("{key}.sticky");
                common.validate(&key, report);
                if report.sound(&format!("{key}.type")) {
                    let of_header = (StickinessType::AppHeader, sticky.app_header.is_some());
                    needs_its_own(sticky.kind, of_header, &key, report);
                }
            }
        }
    }
}

/// The groups that the file may refer to.
struct Groups<'f> {
    file: &'f File,
    names: HashSet<&'f str, ahash::RandomState>,
}

impl Groups<'_> {
    fn of(file: &File) -> Groups<'_> {
        let names = file.target_groups.iter().map(|group| group.name.as_str()).collect();
        Groups { file, names }
    }
}

fn reference(known: &Groups<'_>, group: &str, key: &str, report: &mut Report<'_>) {
    // A group whose own name was refused or is missing may be the intended one.
    let all_named = !known.names.contains("");
    let all_read = report.sound_element("target_group", group);
    if group.is_empty() || known.names.contains(group) || !all_named || !all_read {
        return;
    }
    let names: Vec<&str> =
        known.file.target_groups.iter().map(|group| group.name.as_str()).collect();
    let allowed = match names.len() {
        0 => "a [[target_group]] of this file, which has none".to_owned(),
        1..=12 => format!("a target group of this file: {}", names.join(", ")),
        count => format!("one of the {count} target groups of this file"),
    };
    let what = match super::meant::nearest(names.iter().copied(), group) {
        Some(near) => format!("is no target group, did you mean {near:?}?"),
        None => "is no target group".into(),
    };
    report.at(key, what, Some(allowed));
}

fn respond(respond: Option<&file::Respond>, key: &str, report: &mut Report<'_>) {
    let Some(respond) = respond else { return };
    // RFC 9110 §15.4: a client follows Location, and a fixed response has none.
    if matches!(respond.status, 301 | 302 | 303 | 307 | 308) {
        let what = "is a redirect without a Location";
        let allowed =
            format!("redirect = {{ status = {}, to = \"…\" }} in its place", respond.status);
        report.at(&format!("{key}.respond.status"), what, Some(allowed));
    }
    // RFC 9110 §15.3.5, §15.4.5: these have no content.
    if matches!(respond.status, 204 | 205 | 304) && !respond.body.is_empty() {
        let what = format!("is a content, which {} never has", respond.status);
        report.at(&format!("{key}.respond.body"), what, Some("no body".into()));
    }
}

fn rewrite(rule: &file::Rule, rewrite: &file::Rewrite, key: &str, report: &mut Report<'_>) {
    // A rule without any action is reported as such.
    let answers = rule.redirect.is_some() || rule.respond.is_some();
    if answers && rule.forward.is_none() && !report.intends(&format!("{key}.forward")) {
        let what = "rewrites a request that is not forwarded";
        report.at(&format!("{key}.rewrite"), what, Some("rewrite beside forward".into()));
    }
    let paths = [
        ("strip_prefix", rewrite.strip_prefix.is_some()),
        ("replace_prefix", rewrite.replace_prefix.is_some()),
        ("path", rewrite.path.is_some()),
    ];
    let given: Vec<&str> =
        paths.iter().filter(|(_, given)| *given).map(|(name, _)| *name).collect();
    let [first, more @ ..] = given.as_slice() else { return };
    for name in more {
        let allowed = Some("at most one of strip_prefix, replace_prefix and path".into());
        let what = format!("is one path rewrite too many beside {first}");
        report.at(&format!("{key}.rewrite.{name}"), what, allowed);
    }
}

fn group_alone(group: &file::TargetGroup, key: &str, report: &mut Report<'_>) {
    let ids = group.targets.iter().enumerate().map(|(index, target)| {
        // A refused id is missing here, and the address would be used in its place.
        let sound = report.sound(&format!("{key}.target[{index}].id"));
        if sound { target.effective_id().into() } else { Cow::from("") }
    });
    let ids: Vec<Cow<'_, str>> = ids.collect();
    unique(report, ids.into_iter(), |index| {
        match group.targets.get(index).and_then(|target| target.id.as_ref()) {
            Some(_) => format!("{key}.target[{index}].id"),
            None => format!("{key}.target[{index}].address"),
        }
    });
    let (algorithm, hash_on) = (format!("{key}.algorithm"), format!("{key}.hash_on"));
    if report.sound(&algorithm) {
        match (group.algorithm, group.hash_on.is_some() || report.intends(&hash_on)) {
            (AlgorithmName::Hash, false) => {
                let allowed = Some(format!("hash_on = {} beside it", checks::HASH_ON.allowed));
                report.missing(&algorithm, "is \"hash\", and no hash_on says of what", allowed);
            }
            (
                AlgorithmName::RoundRobin
                | AlgorithmName::LeastOutstandingRequests
                | AlgorithmName::WeightedRandom,
                true,
            ) => {
                let allowed = Some("hash_on with algorithm = \"hash\"".into());
                report.at(&hash_on, "has no meaning with this algorithm", allowed);
            }
            _ => {}
        }
    }
    health(group, key, report);
    stickiness(group, &format!("{key}.stickiness"), report);
}

/// The rules between the settings of checks, and of ejection.
fn health(group: &file::TargetGroup, key: &str, report: &mut Report<'_>) {
    let check = &group.health_check;
    let (interval, timeout) =
        (format!("{key}.health_check.interval"), format!("{key}.health_check.timeout"));
    if check.timeout > check.interval && report.sound(&interval) && report.sound(&timeout) {
        let stated = if report.has(&timeout) { &timeout } else { &interval };
        let allowed = Some("timeout up to interval".into());
        report.at(stated, "lets a check take longer than the time until the next", allowed);
    }
    let (time, time_max) = (format!("{key}.ejection.time"), format!("{key}.ejection.time_max"));
    if group.ejection.time > group.ejection.time_max
        && report.sound(&time)
        && report.sound(&time_max)
    {
        let stated = if report.has(&time_max) { &time_max } else { &time };
        let allowed = Some("time up to time_max".into());
        report.at(stated, "contradicts the other of time and time_max", allowed);
    }
}

/// The rules between the settings of one `stickiness` table.
fn stickiness(group: &file::TargetGroup, key: &str, report: &mut Report<'_>) {
    let stickiness = &group.stickiness;
    let common = CommonStickiness {
        duration: stickiness.duration,
        max_age: stickiness.max_age,
        cookie_name: stickiness.cookie_name.as_deref(),
        domain: &stickiness.domain,
        path: &stickiness.path,
    };
    common.validate(key, report);
    if !report.sound(&format!("{key}.type")) {
        return;
    }
    let kind = stickiness.kind;
    needs_its_own(kind, (StickinessType::AppCookie, stickiness.app_cookie.is_some()), key, report);
    needs_its_own(kind, (StickinessType::AppHeader, stickiness.app_header.is_some()), key, report);
    if kind == StickinessType::AppCookie && report.sound(&format!("{key}.cookie_name")) {
        let own = group_cookie_name(group);
        let theirs = stickiness.app_cookie.as_deref().unwrap_or_default();
        if theirs == own || theirs.strip_suffix(TWIN_SUFFIX) == Some(&own) {
            let what = "is also the name of limpet's own cookie, or of its twin";
            let allowed = Some("another name than limpet's".into());
            report.at(&format!("{key}.app_cookie"), what, allowed);
        }
    }
}

/// The setting that only the type `of` has, and which it needs; `is_given` says that it is there.
fn needs_its_own(
    kind: StickinessType,
    (of, is_given): (StickinessType, bool),
    key: &str,
    report: &mut Report<'_>,
) {
    let (setting, what) = match of {
        StickinessType::LbCookie => return,
        StickinessType::AppCookie => ("app_cookie", "the application's own cookie"),
        StickinessType::AppHeader => ("app_header", "the field with the application's session id"),
    };
    let stated = format!("{key}.{setting}");
    let is_given = is_given || report.intends(&stated);
    if kind == of && !is_given {
        report.missing(
            &format!("{key}.type"),
            &format!("is {setting:?}, and no {setting} names one"),
            Some(format!("{setting} = \"NAME\" beside it, {what}")),
        );
    } else if kind != of && is_given {
        let allowed = Some(format!("{setting} with type = {setting:?}"));
        report.at(&stated, format!("has no meaning with type {:?}", kind.code()), allowed);
    }
}

/// The settings that a group's stickiness and a rule's share.
struct CommonStickiness<'f> {
    duration: Duration,
    max_age: Duration,
    cookie_name: Option<&'f str>,
    domain: &'f str,
    path: &'f str,
}

impl CommonStickiness<'_> {
    fn validate(&self, key: &str, report: &mut Report<'_>) {
        let (duration_key, age_key) = (format!("{key}.duration"), format!("{key}.max_age"));
        if self.duration > self.max_age && report.sound(&duration_key) && report.sound(&age_key) {
            let stated = if report.has(&age_key) { age_key } else { duration_key };
            let shown = super::units::show_duration;
            let what = format!("lets duration ({}) outlast max_age", shown(self.duration));
            let allowed = Some(format!("duration up to max_age ({})", shown(self.max_age)));
            report.at(&stated, what, allowed);
        }
        // RFC 6265bis §4.1.3.2; browsers compare the prefix in any case.
        let has_host_prefix = self
            .cookie_name
            .and_then(|name| name.get(..7))
            .is_some_and(|prefix| prefix.eq_ignore_ascii_case("__Host-"));
        if has_host_prefix && (!self.domain.is_empty() || self.path != "/") {
            let allowed = Some("with the prefix __Host-: no domain, and path = \"/\"".into());
            report.at(&format!("{key}.cookie_name"), "would be refused by browsers", allowed);
        }
    }
}

/// Reports cookies that would overwrite each other in the browser, because they have the same name.
fn cookie_names(file: &File, report: &mut Report<'_>) {
    let mut cookies = group_cookies(file);
    cookies.extend(rule_cookies(file, report));
    // Drops cookies for which a default stands in place of a refused setting.
    cookies.retain(|cookie| {
        let table = cookie.key.trim_end_matches("cookie_name");
        ["cookie_name", "domain", "path", "cross_site_twin"]
            .iter()
            .all(|name| report.sound(&format!("{table}{name}")))
    });
    // By all properties that distinguish cookies in a browser; the first cookie keeps its name.
    let mut taken: HashMap<(&str, &str, Cow<'_, str>), usize, ahash::RandomState> =
        HashMap::default();
    for (index, cookie) in cookies.iter().enumerate() {
        let (domain, path) = &cookie.place;
        let names = cookie.names();
        let meets = names.iter().filter_map(|name| taken.get(&(&**domain, &**path, name.clone())));
        let Some(first) = meets.min().and_then(|first| cookies.get(*first)) else {
            taken.extend(names.into_iter().map(|name| ((&**domain, &**path, name), index)));
            continue;
        };
        // The same rule on two listeners is one scope and shares its cookie, if its groups are the same.
        if first.scope == cookie.scope && first.groups == cookie.groups {
            continue;
        }
        let line = report.line_note(&first.key);
        let what = if first.scope == cookie.scope {
            format!("is also that of {}{line}, which has other groups", first.scope)
        } else {
            format!("({:?}) is also that of {}{line}", cookie.name, first.scope)
        };
        report.at(&cookie.key, what, Some("a cookie_name of its own".into()));
    }
}

/// One stickiness cookie of the file.
struct Cookie {
    name: String,
    twin: bool,
    /// Domain and path: cookies of different places do not meet.
    place: (String, String),
    /// The group or rule that sets it.
    scope: String,
    /// For a rule: the groups it remembers.
    groups: Vec<String>,
    /// Key of its name in the file.
    key: String,
}

impl Cookie {
    /// Its own name and, if it has a twin, the twin's.
    fn names(&self) -> ArrayVec<Cow<'_, str>, 2> {
        let mut names = ArrayVec::new();
        names.push(Cow::from(self.name.as_str()));
        if self.twin {
            names.push(format!("{}{TWIN_SUFFIX}", self.name).into());
        }
        names
    }
}

/// The given name, or the one derived from the group's.
fn group_cookie_name(group: &file::TargetGroup) -> String {
    let given = group.stickiness.cookie_name.clone();
    given.unwrap_or_else(|| format!("limpet_{}", group.name))
}

fn group_cookies(file: &File) -> Vec<Cookie> {
    let sticky = |(index, group): (usize, &file::TargetGroup)| {
        let stickiness = &group.stickiness;
        (stickiness.enabled && !group.name.is_empty()).then(|| Cookie {
            name: group_cookie_name(group),
            twin: stickiness.cross_site_twin,
            place: (stickiness.domain.clone(), stickiness.path.clone()),
            scope: format!("target group {:?}", group.name),
            groups: Vec::new(),
            key: format!("target_group[{index}].stickiness.cookie_name"),
        })
    };
    file.target_groups.iter().enumerate().filter_map(sticky).collect()
}

fn rule_cookies(file: &File, report: &Report<'_>) -> Vec<Cookie> {
    let mut cookies = Vec::new();
    for (at, listener) in file.listeners.iter().enumerate() {
        let default = (DEFAULT_RULE.to_owned(), listener.forward.as_ref(), String::new());
        let rules = listener.rules.iter().enumerate().filter_map(|(index, rule)| {
            let key = format!(".rule[{index}]");
            // A refused name, or one derived from a refused priority, does not distinguish rules.
            let is_named = report.sound(&format!("listener[{at}]{key}.name"))
                && (rule.name.is_some() || rule.priority != 0);
            is_named.then(|| (rule.effective_name(), rule.forward.as_ref(), key))
        });
        for (rule, forward, key) in rules.chain([default]) {
            let Some(Forward::Weighted(weighted)) = forward else { continue };
            let Some(sticky) = weighted.sticky.as_ref().filter(|sticky| sticky.enabled) else {
                continue;
            };
            let mut groups: Vec<_> = weighted.groups.iter().map(|one| one.group.clone()).collect();
            groups.sort();
            // The smallest name is empty where one was refused.
            if groups.first().is_none_or(String::is_empty) {
                continue;
            }
            cookies.push(Cookie {
                name: sticky.cookie_name.clone().unwrap_or_else(|| format!("limpet_{rule}")),
                twin: sticky.cross_site_twin,
                place: (sticky.domain.clone(), sticky.path.clone()),
                scope: format!("rule {rule:?}"),
                groups,
                key: format!("listener[{at}]{key}.forward.sticky.cookie_name"),
            });
        }
    }
    cookies
}
