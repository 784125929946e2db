//! The rules between the settings of `[listener.tls]` and `[admin.tls]`. Reads no file: the certificates themselves are judged where they
//! are loaded. Tested by `tests/config.rs`.

use std::collections::HashMap;

use super::file;
use super::problems::Report;
use crate::tls::client_auth::ClientMode;
use crate::tls::policy::{Policy, PolicyName, PolicyOptions, Version};

/// Reports all mistakes between the settings of the table `key`, whoever presents it.
pub(super) fn validate(tls: &file::Tls, key: &str, report: &mut Report<'_>) {
    if !report.sound(key) {
        return;
    }
    let certificates = format!("{key}.certificates");
    let intends = |setting: &str| report.intends(&format!("{key}.{setting}"));
    let is_intended = ["certificates", "directory", "acme"].into_iter().any(intends);
    let is_empty = tls.certificates.is_empty() && tls.directory.is_none() && tls.acme.is_none();
    if is_empty && !is_intended {
        let files = "certificates = [{ chain = \"/…/shop.pem\", key = \"/…/shop.key\" }], or directory = \"/…\"";
        let issued = ", or acme = { directory = \"https://…\", names = [\"…\"] }";
        let allowed = format!("{files}{issued}");
        report.missing(key, "has no certificate to present", Some(allowed));
    }
    repeated(tls, &certificates, report);
    policy(tls, None, key, report);
    client(&tls.client, &format!("{key}.client"), report);
    for (index, profile) in tls.profiles.iter().enumerate() {
        let key = format!("{key}.profile[{index}]");
        policy(tls, Some(profile), &key, report);
        if let Some(of_profile) = &profile.client {
            client(of_profile, &format!("{key}.client"), report);
        }
    }
    profile_names(tls, key, report);
}

fn repeated(tls: &file::Tls, key: &str, report: &mut Report<'_>) {
    let mut taken = HashMap::new();
    for (index, files) in tls.certificates.iter().enumerate() {
        let chain = format!("{key}[{index}].chain");
        if files.chain.as_os_str().is_empty() || !report.sound(&chain) {
            continue;
        }
        if let Some(first) = taken.insert(&files.chain, index) {
            let line = report.line_note(&format!("{key}[{first}].chain"));
            let what = format!("is listed twice{line}");
            report.at(&chain, what, Some("each certificate once".into()));
        }
    }
}

/// Versions, suites and policy that leave nothing to speak.
fn policy(tls: &file::Tls, profile: Option<&file::TlsProfile>, key: &str, report: &mut Report<'_>) {
    let options = policy_options(tls, profile);
    let stated = format!("{key}.policy");
    let settings = ["minimum_version", "policy", "cipher_suites", "groups"];
    if settings.iter().any(|setting| !report.sound(&format!("{key}.{setting}"))) {
        return;
    }
    // RFC 8446 §4.2.1: a version that the policy leaves out cannot be the oldest.
    let least = format!("{key}.minimum_version");
    if options.name == PolicyName::Modern
        && options.minimum_version == Version::Tls12
        && report.has(&least)
    {
        let allowed = "minimum_version = \"1.3\", or policy = \"intermediate\"";
        report.at(&least, "contradicts \"modern\", which is TLS 1.3 alone", Some(allowed.into()));
    }
    if let Err(fault) = Policy::of(&options) {
        let suites = format!("{key}.cipher_suites");
        let stated = if profile.is_none() { suites } else { stated };
        report.at(&stated, format!("leaves no cipher suite: {fault}"), None);
    }
}

/// The policy of a listener, or of one of its profiles.
pub(in crate::control) fn policy_options(
    tls: &file::Tls,
    profile: Option<&file::TlsProfile>,
) -> PolicyOptions {
    let own = |profile: &file::TlsProfile| profile.minimum_version;
    PolicyOptions {
        name: profile.and_then(|profile| profile.policy).unwrap_or(tls.policy),
        minimum_version: profile.and_then(own).unwrap_or(tls.minimum_version),
        cipher_suites: tls.cipher_suites.clone(),
        groups: tls.groups.clone(),
    }
}

fn client(client: &file::TlsClient, key: &str, report: &mut Report<'_>) {
    let (mode, authorities) = (format!("{key}.mode"), format!("{key}.authorities"));
    if !report.sound(key) || !report.sound(&mode) {
        return;
    }
    let has_authorities = client.authorities.is_some() || report.intends(&authorities);
    match (client.mode, has_authorities) {
        (ClientMode::Optional | ClientMode::Required, false) => {
            let allowed = "authorities = \"/…/clients-ca.pem\" beside it";
            let what = "asks for certificates, and nothing says whose are accepted";
            report.missing(&mode, what, Some(allowed.into()));
        }
        (ClientMode::Off, _) => {
            for setting in ["authorities", "crls", "subjects", "fingerprints"] {
                let stated = format!("{key}.{setting}");
                let is_empty = match setting {
                    "authorities" => client.authorities.is_none(),
                    "crls" => client.crls.is_empty(),
                    "subjects" => client.subjects.is_empty(),
                    _ => client.fingerprints.is_empty(),
                };
                if !is_empty && report.sound(&stated) {
                    let allowed = "mode = \"required\" or \"optional\" beside it";
                    let what = "has no effect: no client is asked for a certificate";
                    report.at(&stated, what, Some(allowed.into()));
                }
            }
        }
        (ClientMode::Optional | ClientMode::Required, true) => {}
    }
}

fn profile_names(tls: &file::Tls, key: &str, report: &mut Report<'_>) {
    let mut taken: HashMap<String, String> = HashMap::new();
    for (index, profile) in tls.profiles.iter().enumerate() {
        for (position, name) in profile.names.iter().enumerate() {
            let stated = format!("{key}.profile[{index}].names[{position}]");
            let folded = name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase();
            if let Some(first) = taken.get(&folded) {
                let line = report.line_note(first);
                let what = format!("has a profile already{line}");
                report.at(&stated, what, Some("each name once".into()));
            } else {
                taken.insert(folded, stated);
            }
        }
    }
}
