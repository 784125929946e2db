//! Notes about names of certificates that no rule of their listener is about. Tested with `certificates`.

use super::Shown;
use crate::control::config::file::Listener;
use crate::routing::budget::Budget;
use crate::routing::conditions::HostPattern;
use crate::tls::x509::AltName;

/// Names of one certificate that are said; more are counted.
const NAMES_MAX: usize = 4;

/// A sentence for each certificate of a listener whose rules choose by host, and have no rule for its names.
pub(super) fn notes(listener: &Listener, shown: &[Shown]) -> Vec<String> {
    // A rule without a host is for every host.
    if listener.rules.is_empty() || listener.rules.iter().any(|rule| rule.when.host.is_none()) {
        return Vec::new();
    }
    let hosts = listener.rules.iter().flat_map(|rule| rule.when.host.iter().flatten());
    let patterns: Vec<HostPattern> =
        hosts.filter_map(|host| HostPattern::parse(host).ok()).collect();
    shown.iter().filter_map(|shown| note(shown, &patterns)).collect()
}

fn note(shown: &Shown, patterns: &[HostPattern]) -> Option<String> {
    let is_met = |name: &str| {
        // Of a wildcard's names one stands for all.
        let host = name.replacen("*.", "any.", 1);
        patterns.iter().any(|pattern| pattern.matches(host.as_bytes(), &Budget::of_request()))
    };
    let names = shown.certificate.facts.names.iter().filter_map(|name| match name {
        AltName::Dns(name) if !is_met(name) => Some(name.as_str()),
        _ => None,
    });
    let names: Vec<&str> = names.collect();
    let said = names.get(..NAMES_MAX).unwrap_or(&names).join(", ");
    let more = match names.len().saturating_sub(NAMES_MAX) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    let (presenter, chain) = (&shown.presenter, shown.chain.display());
    (!names.is_empty())
        .then(|| format!("{presenter}: no rule is about {said}{more}, which {chain} is for"))
}
