//! The rules between the settings of `[target_group.tls]`, and the names that hosts of rules give to targets. Reads no
//! file: certificates are judged where they are loaded. Tested by `tests/config.rs`.

use std::collections::BTreeSet;

use super::file::{self, File, Forward, TargetProtocol};
use super::problems::Report;
use super::tls_checks::{HOST_NAME, SYSTEM};
use crate::routing::conditions::HostPattern;
use crate::tls::target::{HOSTS_MAX, Verify, server_name};

/// Reports all mistakes between the settings of the group at `key`.
pub(super) fn validate(file: &File, group: &file::TargetGroup, key: &str, report: &mut Report<'_>) {
    let (protocol, table) = (format!("{key}.protocol"), format!("{key}.tls"));
    if !report.sound(&protocol) || !report.sound(&table) {
        return;
    }
    let tls = &group.tls;
    if group.protocol == TargetProtocol::Http {
        return in_clear(key, report);
    }
    let (name, verify) = (format!("{table}.server_name"), format!("{table}.verify"));
    let has_name = tls.server_name.is_some() || report.intends(&name);
    if tls.verify == Verify::Full && !has_name && report.sound(&verify) {
        let what = "is \"https\", and nothing names whom the targets must prove to be: they have addresses, and \
                    tls.verify is \"full\"";
        let allowed = "tls.server_name = \"shop.internal\" beside it, or tls.verify = \"chain\"";
        report.missing(&protocol, what, Some(allowed.into()));
    }
    if tls.verify == Verify::None {
        let has_authorities = tls.authorities != SYSTEM;
        for (setting, is_given) in
            [("authorities", has_authorities), ("crls", !tls.crls.is_empty())]
        {
            without_effect(
                (&table, setting, is_given),
                ("nobody is verified", "verify = \"full\" or \"chain\" beside it"),
                report,
            );
        }
    }
    if tls.certificate.is_none() && !report.intends(&format!("{table}.certificate")) {
        let why = ("there is no certificate", "certificate = \"/…\" beside it");
        without_effect((&table, "key", tls.key.is_some()), why, report);
    }
    if tls.server_name.as_deref() == Some(HOST_NAME) && report.sound(&name) {
        follows_hosts(file, group, &table, report);
    }
}

fn in_clear(key: &str, report: &mut Report<'_>) {
    let why = ("targets are spoken to in clear", "protocol = \"https\" beside it");
    let tls = [
        "server_name",
        "sni",
        "minimum_version",
        "verify",
        "authorities",
        "crls",
        "certificate",
        "key",
    ];
    let table = format!("{key}.tls");
    for setting in tls {
        let is_given = report.has(&format!("{table}.{setting}"));
        without_effect((&table, setting, is_given), why, report);
    }
    let is_given = report.has(&format!("{key}.timeouts.handshake"));
    without_effect((&format!("{key}.timeouts"), "handshake", is_given), why, report);
}

fn without_effect(
    (table, setting, is_given): (&str, &str, bool),
    (why, allowed): (&str, &str),
    report: &mut Report<'_>,
) {
    let stated = format!("{table}.{setting}");
    if is_given && report.sound(&stated) {
        report.at(&stated, format!("has no effect: {why}"), Some(allowed.into()));
    }
}

fn follows_hosts(file: &File, group: &file::TargetGroup, table: &str, report: &mut Report<'_>) {
    let (name, sni) = (format!("{table}.server_name"), format!("{table}.sni"));
    if group.tls.sni.as_deref().is_some_and(|sni| !sni.is_empty()) && report.sound(&sni) {
        let what = "is one name, and server_name is that of each request";
        report.at(&sni, what, Some("no sni, or sni = \"\"".into()));
    }
    match hosts(file, &group.name) {
        Err(fault) => {
            let allowed = "rules that forward to the group by when.host, by exact names";
            report.at(&name, fault, Some(allowed.into()));
        }
        Ok(hosts) if hosts.is_empty() => {
            let what = "stands for no name: no rule forwards to the group";
            let allowed = "a rule with when.host = [\"shop.example\"]";
            report.at(&name, what, Some(allowed.into()));
        }
        Ok(hosts) if hosts.len() > HOSTS_MAX => {
            let what = format!("stands for {} names", hosts.len());
            report.at(&name, what, Some(format!("at most {HOSTS_MAX} names of one group")));
        }
        Ok(_) => {}
    }
}

/// The names that "{host}" stands for in a group: the hosts of all rules that forward to it, in lower case.
///
/// # Errors
/// The predicate of a sentence: a request may come to the group whose host is none that is listed.
pub(in crate::control) fn hosts(file: &File, group: &str) -> Result<BTreeSet<String>, String> {
    let mut hosts = BTreeSet::new();
    for listener in &file.listeners {
        let owner = &listener.name;
        if leads_to(listener.forward.as_ref(), group) {
            return Err(format!(
                "follows hosts that nobody lists: listener {owner:?} forwards to the group whatever the host"
            ));
        }
        for rule in listener.rules.iter().filter(|rule| leads_to(rule.forward.as_ref(), group)) {
            let which = rule.effective_name();
            if rule.rewrite.as_ref().is_some_and(|rewrite| rewrite.host.is_some()) {
                return Err(format!(
                    "follows the client's host, which rule {which:?} of listener {owner:?} replaces"
                ));
            }
            let Some(patterns) = &rule.when.host else {
                return Err(format!(
                    "follows hosts that nobody lists: rule {which:?} of listener {owner:?} has no when.host"
                ));
            };
            for pattern in patterns {
                match HostPattern::parse(pattern) {
                    Ok(HostPattern::Exact(host)) if server_name(&host).is_ok() => {
                        hosts.insert(host.to_ascii_lowercase());
                    }
                    _ => {
                        return Err(format!(
                            "stands for names one by one, and {pattern:?} of rule {which:?} of listener {owner:?} is \
                             not one name"
                        ));
                    }
                }
            }
        }
    }
    Ok(hosts)
}

fn leads_to(forward: Option<&Forward>, group: &str) -> bool {
    match forward {
        None => false,
        Some(Forward::One(name)) => name == group,
        Some(Forward::Weighted(weighted)) => weighted.groups.iter().any(|one| one.group == group),
    }
}
