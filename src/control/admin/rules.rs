//! The rules of every listener in words, in the order in which they are tried. Tested below.

use std::collections::HashMap;

use super::operator::{Operator, address};
use super::views::{ListenerRules, Rule, Rules};
use crate::control::config::file::{self, When};
use crate::snapshot::{Listener, Snapshot};

impl Operator {
    pub fn rules(&self) -> Rules {
        let (file, snapshot) = (self.control.file(), self.control.snapshot());
        let bound = (self.addresses)();
        let listeners = snapshot.listeners.iter().map(|listener| {
            let bound = bound.iter().find(|(name, _)| *name == listener.name);
            let settings = file.listeners.iter().find(|one| one.name == *listener.name);
            ListenerRules {
                name: listener.name.to_string(),
                address: address(bound.map_or(&listener.bind, |(_, bind)| bind)),
                http_versions: settings.map(http_versions).unwrap_or_default(),
                rules: self.listener_rules(&snapshot, listener, settings),
            }
        });
        Rules { listeners: listeners.collect() }
    }

    fn listener_rules(
        &self,
        snapshot: &Snapshot,
        listener: &Listener,
        settings: Option<&file::Listener>,
    ) -> Vec<Rule> {
        let group = |index: usize| match snapshot.groups.get(index) {
            Some(group) => group.name.to_string(),
            None => format!("#{index}"),
        };
        let settings: HashMap<u32, &file::Rule, ahash::RandomState> = settings
            .into_iter()
            .flat_map(|listener| listener.rules.iter().map(|rule| (rule.priority, rule)))
            .collect();
        let rules = listener.rules.rules();
        let rules = rules.iter().enumerate().map(|(position, rule)| {
            let is_default = position + 1 == rules.len();
            let numbers = self.sampler.rule(&listener.name, &rule.name).unwrap_or_default();
            let when = settings.get(&rule.priority).filter(|_| !is_default);
            Rule {
                name: rule.name.to_string(),
                priority: (!is_default).then_some(rule.priority),
                conditions: when.map(|rule| conditions(&rule.when)).unwrap_or_default(),
                action: rule.action.describe(&group),
                requests: numbers.requests,
                requests_per_second: numbers.requests_per_second,
            }
        });
        rules.collect()
    }
}

/// The versions of HTTP that clients of a listener may speak, the preferred one first: under TLS those that it offers,
/// its profiles included.
pub(super) fn http_versions(listener: &file::Listener) -> Vec<&'static str> {
    const VERSIONS: [(&str, &str); 2] = [("http/1.1", "HTTP/1.1"), ("h2", "HTTP/2")];
    let Some(tls) = &listener.tls else {
        let all = VERSIONS.iter().map(|(_, version)| *version);
        return all.take(if listener.http2 { 2 } else { 1 }).collect();
    };
    let of_profiles = tls.profiles.iter().filter_map(|profile| profile.alpn.as_ref());
    let mut versions = Vec::new();
    for offered in std::iter::once(&tls.alpn).chain(of_profiles).flatten() {
        let known = VERSIONS.iter().find(|(name, _)| name == offered);
        let version = known.map(|(_, version)| *version);
        versions.extend(version.filter(|version| !versions.contains(version)));
    }
    versions
}

/// One phrase for each condition; all must hold.
fn conditions(when: &When) -> Vec<String> {
    let mut phrases = Vec::new();
    let mut phrase = |subject: &str, values: &Option<Vec<String>>| {
        if let Some(values) = values {
            phrases.push(format!("{subject} {}", any_of(values)));
        }
    };
    phrase("host is", &when.host);
    phrase("path is", &when.path);
    phrase("method is", &when.method);
    phrase("source is in", &when.source);
    phrase("server name asked for is", &when.sni);
    for (name, values) in when.header.iter().flatten() {
        phrases.push(format!("header {name} is {}", any_of(values)));
    }
    if let Some(pairs) = &when.query {
        let pairs: Vec<String> = pairs.iter().map(query).collect();
        phrases.push(format!("query has {}", any_of(&pairs)));
    }
    match when.client_certificate {
        Some(true) => phrases.push("client has a certificate".to_owned()),
        Some(false) => phrases.push("client has no certificate".to_owned()),
        None => {}
    }
    phrases
}

fn query(query: &file::Query) -> String {
    match &query.key {
        Some(key) => format!("{key}={}", query.value),
        None => format!("any key with {}", query.value),
    }
}

/// "a, b or c".
fn any_of(values: &[String]) -> String {
    match values.split_last() {
        Some((last, [])) => last.clone(),
        Some((last, before)) => format!("{} or {last}", before.join(", ")),
        None => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use crate::control::admin::rules::*;

    #[test]
    fn the_versions_of_a_listener_are_those_that_it_offers() {
        let versions = |settings: &str| {
            let text = format!(
                "[[listener]]\nname = \"web\"\naddress = \"127.0.0.1:1\"\nrespond = {{ status = 200 }}\n{settings}"
            );
            http_versions(&crate::control::config::parse(&text, "test").unwrap().listeners[0])
        };
        assert_eq!(versions(""), ["HTTP/1.1"]);
        assert_eq!(versions("http2 = true"), ["HTTP/1.1", "HTTP/2"]);
        let tls = |alpn: &str| format!("tls.directory = \"/tls\"\n{alpn}");
        assert_eq!(versions(&tls("")), ["HTTP/2", "HTTP/1.1"]);
        let alone = "tls.alpn = [\"http/1.1\"]\n";
        assert_eq!(versions(&tls(alone)), ["HTTP/1.1"]);
        let profile = "[[listener.tls.profile]]\nnames = [\"a.example\"]\nalpn = [\"h2\"]";
        assert_eq!(versions(&tls(&format!("{alone}{profile}"))), ["HTTP/1.1", "HTTP/2"]);
    }

    #[test]
    fn conditions_are_phrases() {
        let text = |text: &str| text.to_owned();
        let when = When {
            host: Some(vec![text("a.example"), text("b.example"), text("*.c.example")]),
            path: Some(vec![text("/api/*")]),
            method: Some(vec![text("GET"), text("HEAD")]),
            header: Some([(text("X-Channel"), vec![text("beta*")])].into()),
            query: Some(vec![
                file::Query { key: Some(text("v")), value: text("2*") },
                file::Query { key: None, value: text("debug") },
            ]),
            source: Some(vec![text("10.0.0.0/8")]),
            sni: Some(vec![text("*.shop.example")]),
            client_certificate: Some(true),
        };
        assert_eq!(
            conditions(&when),
            [
                "host is a.example, b.example or *.c.example",
                "path is /api/*",
                "method is GET or HEAD",
                "source is in 10.0.0.0/8",
                "server name asked for is *.shop.example",
                "header X-Channel is beta*",
                "query has v=2* or any key with debug",
                "client has a certificate",
            ]
        );
    }
}
