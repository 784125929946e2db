//! The conditions of a rule of the file, in the form of routing.

use super::file::{Query, When};
use super::network;
use crate::routing::conditions::{Condition, HostPattern, PathPattern};

/// The conditions of a rule.
///
/// # Errors
/// A value has been refused.
pub(in crate::control) fn conditions(when: &When) -> Result<Vec<Condition>, String> {
    let mut conditions = Vec::new();
    if let Some(hosts) = &when.host {
        conditions.push(Condition::Host(all(hosts, HostPattern::parse)?));
    }
    if let Some(paths) = &when.path {
        conditions.push(Condition::Path(all(paths, PathPattern::parse)?));
    }
    if let Some(names) = &when.method {
        let names = names.iter().map(|name| name.as_str().into()).collect();
        conditions.push(Condition::Method(names));
    }
    for (name, values) in when.header.iter().flatten() {
        let values: Vec<&str> = values.iter().map(String::as_str).collect();
        conditions.push(Condition::header(name, &values)?);
    }
    if let Some(pairs) = &when.query {
        let pair = |pair: &Query| Condition::query_pair(pair.key.as_deref(), &pair.value);
        let pairs = pairs.iter().map(pair).collect::<Result<_, _>>()?;
        conditions.push(Condition::Query(pairs));
    }
    if let Some(networks) = &when.source {
        conditions.push(Condition::Source(all(networks, network)?));
    }
    if let Some(names) = &when.sni {
        conditions.push(Condition::Sni(all(names, HostPattern::parse)?));
    }
    if let Some(wanted) = when.client_certificate {
        conditions.push(Condition::ClientCertificate(wanted));
    }
    Ok(conditions)
}

fn all<T>(texts: &[String], parse: impl Fn(&str) -> Result<T, String>) -> Result<Vec<T>, String> {
    texts.iter().map(|text| parse(text)).collect()
}
