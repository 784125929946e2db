//! The rules between the settings of `[admin]`: who may reach it, and by what a visitor is known.
//!
//! Reads no file. Tested by `tests/config.rs`.

use std::collections::HashMap;

use super::file::{Admin, AdminTls, Role};
use super::problems::Report;
use super::{fingerprint, tls};
use crate::tls::client_auth::ClientMode;
use crate::tls::x509::hex;

const ADDRESS: &str = "admin.address";
const TLS: &str = "admin.tls";

/// Reports all mistakes between the settings of the admin API.
pub(super) fn validate(admin: &Admin, report: &mut Report<'_>) {
    reach(admin, report);
    let Some(of_tls) = &admin.tls else { return };
    if !report.sound(TLS) {
        return;
    }
    tls::validate(&of_tls.presented, TLS, report);
    if admin.address.is_none() && !report.intends(ADDRESS) {
        let what = "has no effect: there is no address, and the Unix socket has no TLS";
        report.missing(TLS, what, Some("address = \"127.0.0.1:9901\" in [admin] as well".into()));
    }
    roles(of_tls, report);
}

/// Beyond loopback nobody is let in unseen, and no token crosses a network in the clear.
fn reach(admin: &Admin, report: &mut Report<'_>) {
    let Some(bound) = admin.address else { return };
    if bound.ip().to_canonical().is_loopback() {
        return;
    }
    let has_tls = admin.tls.is_some() || report.intends(TLS);
    let has_roles = admin.tls.as_ref().is_some_and(|tls| !tls.roles.is_empty())
        || report.intends("admin.tls.role");
    let has_token = admin.token.is_some() || report.intends("admin.token");
    let (what, allowed) = match (has_token || has_roles, has_tls) {
        (true, true) => return,
        (true, false) => (
            "is reachable by others, and there is no TLS: the token would cross the network in the clear",
            "a loopback address such as 127.0.0.1:9901, or [admin.tls] with a certificate as well",
        ),
        (false, true) => (
            "is reachable by others, but there is no token",
            "a loopback address such as 127.0.0.1:9901, or [admin] token as well, or an \
             [[admin.tls.role]] for client certificates",
        ),
        (false, false) => (
            "is reachable by others, but there is no token",
            "a loopback address such as 127.0.0.1:9901, or [admin] token and [admin.tls] as well",
        ),
    };
    report.at(ADDRESS, what, Some(allowed.into()));
}

/// A role is given to certificates that are named, never to all of an authority.
fn roles(tls: &AdminTls, report: &mut Report<'_>) {
    let list = "admin.tls.role";
    if tls.roles.is_empty() || !report.sound(list) {
        return;
    }
    let of_profiles = tls.presented.profiles.iter().filter_map(|profile| profile.client.as_ref());
    let mut clients = of_profiles.chain([&tls.presented.client]);
    let is_asked = clients.any(|client| client.mode != ClientMode::Off);
    if !is_asked && report.sound("admin.tls.client") && report.sound("admin.tls.profile") {
        let what = "has no effect: no client is asked for a certificate";
        let allowed =
            "[admin.tls.client] with mode = \"optional\" or \"required\", and authorities";
        report.at(list, what, Some(allowed.into()));
    }
    let mut taken: HashMap<String, String> = HashMap::new();
    for (index, role) in tls.roles.iter().enumerate() {
        let key = format!("{list}[{index}]");
        if !report.sound(&key) {
            continue;
        }
        let lists = ["subjects", "fingerprints"].map(|name| format!("{key}.{name}"));
        if role.subjects.is_empty()
            && role.fingerprints.is_empty()
            && lists.iter().all(|list| !report.intends(list))
        {
            let what = "names no certificate: any of the authorities' would have the role";
            let allowed = "subjects = [\"CN=…\"], or fingerprints = [\"…\"], or both";
            report.missing(&key, what, Some(allowed.into()));
        }
        for (place, name) in names(role, &key) {
            if let Some(first) = taken.get(&name) {
                let line = report.line_note(first);
                let what = format!("has a role already{line}");
                report.at(&place, what, Some("each certificate once".into()));
            } else {
                taken.insert(name, place);
            }
        }
    }
}

/// What a role names, each with its key; one form for every way to write a fingerprint.
fn names(role: &Role, key: &str) -> Vec<(String, String)> {
    let subjects = role.subjects.iter().enumerate();
    let subjects = subjects
        .map(|(index, subject)| (format!("{key}.subjects[{index}]"), format!("subject {subject}")));
    let fingerprints = role.fingerprints.iter().enumerate().filter_map(|(index, text)| {
        let digits = hex(&fingerprint(text)?);
        Some((format!("{key}.fingerprints[{index}]"), format!("fingerprint {digits}")))
    });
    subjects.chain(fingerprints).collect()
}
