//! The rules between the settings of `[listener.tls.acme]` and `[admin.tls.acme]` and the rest of the file, and the
//! notes about them. Reads no file. Tested by `tests/config.rs`.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::path::Path;

use super::checks::listener_address;
use super::file::{Acme, ChallengeName, ExternalAccount, File, Listener};
use super::problems::Report;
use crate::snapshot::Bind;

/// Names in one certificate; public authorities allow as many.
const NAMES_MAX: usize = 100;
/// Where authorities ask (RFC 8555 §8.3, RFC 8737 §3).
const HTTP_PORT: u16 = 80;
const TLS_PORT: u16 = 443;

/// What two tables of one account must have in common.
type Account<'f> = (&'f [String], Option<&'f Path>, Option<&'f ExternalAccount>);

/// Reports all mistakes between the settings of the tables.
pub(super) fn validate(file: &File, report: &mut Report<'_>) {
    let has_plain = file.listeners.iter().any(|listener| listener.tls.is_none());
    let mut accounts: HashMap<(&str, Option<&Path>), (String, Account<'_>)> = HashMap::new();
    for (key, acme) in tables(file) {
        if !report.sound(&key) {
            continue;
        }
        names(acme, &key, report);
        let challenge = format!("{key}.challenge");
        if acme.challenge == ChallengeName::Http01 && !has_plain && report.sound(&challenge) {
            let what = "is answered on plain listeners, and every listener has TLS";
            let allowed = "a listener without [listener.tls], on port 80, or \"tls-alpn-01\"";
            report.at(&challenge, what, Some(allowed.into()));
        }
        let settings =
            ["directory", "shared_directory", "contact", "authority_file", "external_account"];
        if settings.iter().any(|setting| !report.sound(&format!("{key}.{setting}"))) {
            continue;
        }
        let account = (
            acme.contact.as_slice(),
            acme.authority_file.as_deref(),
            acme.external_account.as_ref(),
        );
        let place = (acme.directory.as_str(), acme.shared_directory.as_deref());
        match accounts.get(&place) {
            Some((first, same)) if *same != account => {
                let line = report.line_note(first);
                let what = format!(
                    "has another contact, authority_file or external_account than the first table \
                     of this directory{line}: they share one account"
                );
                report.at(&key, what, Some("the same in both".into()));
            }
            Some(_) => {}
            None => {
                accounts.insert(place, (key, account));
            }
        }
    }
}

/// Every table with its key.
fn tables(file: &File) -> impl Iterator<Item = (String, &Acme)> {
    let of_listeners = file.listeners.iter().enumerate();
    let of_listeners = of_listeners
        .map(|(index, listener)| (format!("listener[{index}].tls.acme"), listener.tls.as_ref()));
    let of_admin = file.admin.tls.as_ref().map(|tls| &tls.presented);
    let all = of_listeners.chain([("admin.tls.acme".to_owned(), of_admin)]);
    all.filter_map(|(key, tls)| Some((key, tls?.acme.as_ref()?)))
}

fn names(acme: &Acme, key: &str, report: &mut Report<'_>) {
    let list = format!("{key}.names");
    if acme.names.len() > NAMES_MAX {
        let what = format!("has {} names", acme.names.len());
        report.at(&list, what, Some(format!("up to {NAMES_MAX}, in one certificate")));
    }
    let mut taken = HashMap::new();
    for (index, name) in acme.names.iter().enumerate() {
        let stated = format!("{list}[{index}]");
        if name.is_empty() || !report.sound(&stated) {
            continue;
        }
        if let Some(first) = taken.insert(name.to_ascii_lowercase(), stated.clone()) {
            let line = report.line_note(&first);
            report.at(&stated, format!("is listed twice{line}"), Some("each name once".into()));
        }
    }
}

/// A sentence for each challenge that no listener answers on the port where the authority asks.
pub(super) fn notes(file: &File) -> Vec<String> {
    let of = |challenge| tables(file).any(|(_, acme)| acme.challenge == challenge);
    let listens = |has_tls: bool, port: u16| {
        let is_there = |listener: &Listener| match listener_address(&listener.address) {
            Ok(Bind::Tcp(address)) => address.port() == port,
            Ok(Bind::Unix(_)) | Err(_) => false,
        };
        let is_admin = |address: SocketAddr| address.port() == port;
        file.listeners.iter().any(|one| one.tls.is_some() == has_tls && is_there(one))
            // The admin API proves by handshakes alone.
            || has_tls && file.admin.tls.is_some() && file.admin.address.is_some_and(is_admin)
    };
    let note = |challenge: &str, kind: &str, port: u16| {
        format!(
            "authorities ask for {challenge} on port {port}, and no {kind} listener has it: \
             something must pass that port on"
        )
    };
    let mut notes = Vec::new();
    if of(ChallengeName::Http01) && !listens(false, HTTP_PORT) {
        notes.push(note("http-01", "plain", HTTP_PORT));
    }
    if of(ChallengeName::TlsAlpn01) && !listens(true, TLS_PORT) {
        notes.push(note("tls-alpn-01", "TLS", TLS_PORT));
    }
    notes
}
