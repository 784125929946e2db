//! Notes about settings that are allowed but hardly intended: shown by `limpet check`, at start and with a change,
//! never a refusal. Tested beside it.

use std::collections::HashMap;

use super::file::{
    DEFAULT_RULE, File, Forward, HealthCheckType, Listener, StickinessType, Sticky, TargetGroup,
};
use super::{acme, check_notes, grpc, loops, rule_notes, sticky_notes};
use crate::proxy_protocol::ProxyProtocol;
use crate::stickiness::options::SameSite;
use crate::tls::target::Verify;

/// With more unchecked groups than this, one sentence covers all of them.
const UNCHECKED_MAX: usize = 5;

/// One sentence each, those of [`amiss`] first.
pub fn notes(file: &File) -> Vec<String> {
    let mut notes = amiss(file);
    notes.extend(unchecked(file));
    notes.extend(unshared(file));
    notes
}

/// Groups whose targets learn of clients by connections, which therefore nobody shares.
fn unshared(file: &File) -> impl Iterator<Item = String> {
    let groups = file.target_groups.iter();
    let announced = groups.filter(|group| group.send_proxy_protocol.version().is_some());
    announced.map(|group| {
        format!(
            "connections to the targets of target group {:?} are never shared: each begins with the PROXY header of \
             one client (send_proxy_protocol), serves that client's connection only and closes with it",
            group.name
        )
    })
}

/// Groups whose targets are not checked. That may be intended: the word for their health tells the operator.
fn unchecked(file: &File) -> Vec<String> {
    let is_unchecked = |group: &&TargetGroup| {
        let check = &group.health_check;
        check.kind == HealthCheckType::Off
            && !check_notes::is_check_forgotten(check)
            && !group.targets.is_empty()
    };
    let names = file.target_groups.iter().filter(is_unchecked).map(|group| group.name.as_str());
    let names: Vec<&str> = names.collect();
    let end = "health_check.type is \"off\": only requests that fail tell that a target is down";
    if let Some((first, others)) = names.split_first().filter(|_| names.len() > UNCHECKED_MAX) {
        let others = others.len();
        return vec![format!(
            "nobody checks the targets of target group {first:?} and {others} other groups, whose {end}"
        )];
    }
    let sentence =
        |name| format!("nobody checks the targets of target group {name:?}, whose {end}");
    names.into_iter().map(sentence).collect()
}

/// Settings that should be changed, one sentence each.
pub fn amiss(file: &File) -> Vec<String> {
    let mut notes = rule_notes::notes(file);
    notes.extend(loops::notes(file));
    notes.extend(sticky_notes::notes(file));
    notes.extend(acme::notes(file));
    notes.extend(grpc::notes(file));
    let without_tls = without_tls(file);
    let bypassed = bypassed(file);
    for group in &file.target_groups {
        let name = &group.name;
        let is_bypassed = bypassed.get(name.as_str()).copied();
        if is_bypassed.is_none() {
            notes.push(format!("nothing forwards to target group {name:?}"));
        } else if group.targets.is_empty() {
            notes.push(format!(
                "target group {name:?} has no targets: requests to it are answered 503"
            ));
        } else if group.targets.iter().all(|target| target.weight == 0) {
            notes
                .push(format!("all targets of {name:?} have weight 0: new users are answered 503"));
        }
        if group.tls().is_some_and(|tls| tls.verify == Verify::None) {
            notes.push(format!(
                "whoever answers at an address of target group {name:?} is taken for the target: tls.verify is \"none\""
            ));
        }
        notes.extend(check_notes::note(group));
        if group.stickiness.enabled && is_bypassed == Some(true) {
            notes.push(format!(
                "the stickiness of target group {name:?} has no effect: all that forwards to it is \
                 sticky itself"
            ));
        }
        let sets_cookies = sets_cookies(group.stickiness.enabled, group.stickiness.kind);
        if sets_cookies && group.stickiness.cross_site_twin {
            notes.push(format!(
                "target group {name:?} issues a cross-site twin, which browsers take over TLS only"
            ));
        }
        let listener = without_tls.get(name.as_str());
        if sets_cookies
            && group.stickiness.same_site == SameSite::None
            && let Some(listener) = listener
        {
            notes.push(refused_cookie(&format!("target group {name:?}"), listener));
        }
    }
    for (listener, rule, sticky) in sticky_rules(file) {
        let sets_cookies = sets_cookies(sticky.enabled, sticky.kind);
        if sets_cookies && sticky.same_site == SameSite::None && !may_have_tls(listener) {
            notes.push(refused_cookie(&format!("rule {rule:?}"), &listener.name));
        }
    }
    notes
}

fn sets_cookies(is_enabled: bool, kind: StickinessType) -> bool {
    is_enabled && kind != StickinessType::AppHeader
}

fn refused_cookie(whose: &str, listener: &str) -> String {
    format!(
        "the cookie of {whose} has same_site = \"none\", which browsers take over TLS only; listener {listener:?} has \
         no TLS, and names no proxy that has in trusted_proxies"
    )
}

/// Whether a client may have used TLS, with the listener or, according to it, with a proxy in front.
fn may_have_tls(listener: &Listener) -> bool {
    listener.tls.is_some()
        || !listener.trusted_proxies.is_empty()
        || listener.proxy_protocol != ProxyProtocol::Off
}

/// The groups that a listener without TLS forwards to, each with one such listener.
fn without_tls(file: &File) -> HashMap<&str, &str, ahash::RandomState> {
    let mut found = HashMap::default();
    for listener in file.listeners.iter().filter(|listener| !may_have_tls(listener)) {
        for forward in forwards(listener) {
            match forward {
                Forward::One(name) => {
                    found.entry(name.as_str()).or_insert(listener.name.as_str());
                }
                Forward::Weighted(weighted) => {
                    for one in &weighted.groups {
                        found.entry(one.group.as_str()).or_insert(listener.name.as_str());
                    }
                }
            }
        }
    }
    found
}

pub(super) fn forwards(listener: &Listener) -> impl Iterator<Item = &Forward> {
    let rules = listener.rules.iter().map(|rule| rule.forward.as_ref());
    rules.chain([listener.forward.as_ref()]).flatten()
}

/// Every rule or default action that remembers a group by itself, with its name.
pub(super) fn sticky_rules(file: &File) -> impl Iterator<Item = (&Listener, String, &Sticky)> {
    file.listeners.iter().flat_map(|listener| {
        let rules =
            listener.rules.iter().map(|rule| (rule.effective_name(), rule.forward.as_ref()));
        let all = rules.chain([(DEFAULT_RULE.to_owned(), listener.forward.as_ref())]);
        all.filter_map(move |(rule, forward)| match forward? {
            Forward::One(_) => None,
            Forward::Weighted(weighted) => {
                let sticky = weighted.sticky.as_ref().filter(|sticky| sticky.enabled)?;
                Some((listener, rule, sticky))
            }
        })
    })
}

/// Whether a setting is given that only a check uses, while checks are off.
/// Every group that receives requests, and whether only sticky forwards lead to it: their cookie names the target, and
/// the group's own cookie is never used.
fn bypassed(file: &File) -> HashMap<&str, bool, ahash::RandomState> {
    let mut bypassed = HashMap::default();
    let mut lead = |group, is_sticky| *bypassed.entry(group).or_insert(true) &= is_sticky;
    for forward in file.listeners.iter().flat_map(forwards) {
        match forward {
            Forward::One(name) => lead(name.as_str(), false),
            Forward::Weighted(weighted) => {
                let is_sticky = weighted.sticky.as_ref().is_some_and(|one| one.enabled);
                weighted.groups.iter().for_each(|one| lead(one.group.as_str(), is_sticky));
            }
        }
    }
    bypassed
}

#[cfg(test)]
mod tests {
    use super::super::parse;
    use crate::control::config::notes::*;

    #[test]
    fn what_is_hardly_meant_is_said() {
        let text = r#"
            listener = [{ name = "w", address = "127.0.0.1:0", forward = "empty", rule = [
                { priority = 1, forward = { groups = [{ group = "idle" }, { group = "doubly" }], sticky.enabled = true } }
            ] }]
            target_group = [
                { name = "empty" },
                { name = "unused", target = [{ address = "127.0.0.1:1" }] },
                { name = "doubly", stickiness.enabled = true, target = [{ address = "127.0.0.1:1" }] },
                { name = "idle", health_check.path = "/up", target = [{ address = "127.0.0.1:1", weight = 0 }] },
            ]
        "#;
        let notes = notes(&parse(text, "x").unwrap());
        assert_eq!(notes.len(), 7);
        assert!(notes[0].contains("\"empty\" has no targets"));
        assert!(notes[1].contains("nothing forwards to target group \"unused\""));
        assert!(notes[2].contains("the stickiness of target group \"doubly\" has no effect"));
        assert!(notes[3].contains("all targets of \"idle\" have weight 0"));
        assert!(notes[4].contains("target group \"idle\" says how it is checked and is not"));
        assert!(notes[5].contains("nobody checks the targets of target group \"unused\""));
        assert!(notes[6].contains("nobody checks the targets of target group \"doubly\""));
    }

    #[test]
    fn a_group_that_nobody_checks_is_noted_and_very_many_are_in_one_sentence() {
        let notes_of = |unchecked: usize| {
            let mut text = String::from(
                "listener = [{ name = \"w\", address = \"127.0.0.1:0\", forward = \"tcp\" }]\n",
            );
            let target = "target = [{ address = \"127.0.0.1:1\" }]";
            for (name, kind) in [("tcp", "tcp"), ("http", "http")] {
                text += &format!(
                    "[[target_group]]\nname = \"{name}\"\nhealth_check.type = \"{kind}\"\n{target}\n"
                );
            }
            for number in 0..unchecked {
                text += &format!("[[target_group]]\nname = \"g{number}\"\n{target}\n");
            }
            let notes = notes(&parse(&text, "x").unwrap());
            notes.into_iter().filter(|note| note.contains("nobody checks")).collect::<Vec<_>>()
        };
        assert!(notes_of(0).is_empty());
        assert!(notes_of(1)[0].contains("group \"g0\"") && notes_of(1)[0].contains("\"off\""));
        assert_eq!(notes_of(UNCHECKED_MAX).len(), UNCHECKED_MAX);
        let one = notes_of(300);
        assert_eq!(one.len(), 1);
        assert!(one[0].contains("\"g0\" and 299 other groups"), "{one:?}");
    }

    #[test]
    fn a_cookie_that_browsers_refuse_without_tls_is_named_with_the_listener() {
        let said = |listener: &str, group: &str, forward: &str| {
            let text = format!(
                "listener = [{{ name = \"w\", address = \"127.0.0.1:0\", {listener} forward = {forward} }}]\n\
                 target_group = [{{ name = \"a\", {group} target = [{{ address = \"127.0.0.1:1\" }}] }}]"
            );
            amiss(&parse(&text, "x").unwrap())
        };
        let group = "stickiness = { enabled = true, same_site = \"none\" },";
        let rule =
            "{ groups = [{ group = \"a\" }], sticky = { enabled = true, same_site = \"none\" } }";
        for (group, forward) in [(group, "\"a\""), ("", rule)] {
            let none = said("", group, forward);
            assert_eq!(none.len(), 1, "{none:?}");
            assert!(none[0].contains("listener \"w\" has no TLS"), "{none:?}");
            let proxy = "trusted_proxies = [\"10.0.0.1\"],";
            assert_eq!(said(proxy, group, forward), Vec::<String>::new());
        }
    }
}
