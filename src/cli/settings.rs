//! `limpet settings`: the settings of a file, from the table that judges files. Tested by `tests/config_commands.rs`.

use std::fmt::Write as _;
use std::io::{self, Write as _};
use std::process::ExitCode;

use super::CONFIG_REFUSED;
use crate::control::config::schema::{self, Default, Listed};
use crate::control::config::suggestion;

/// Prints all settings, or those under a key.
pub fn run(under: Option<&str>) -> ExitCode {
    let mut text = String::new();
    let key = under.map(general);
    let is_asked = |listed: &&Listed| key.as_deref().is_none_or(|key| is_under(listed, key));
    for listed in schema::listing().iter().filter(is_asked) {
        show(listed, &mut text);
    }
    if text.is_empty() {
        eprint!("{}", unknown(under.unwrap_or_default()));
        return ExitCode::from(CONFIG_REFUSED);
    }
    // The write fails only when the reader has closed the pipe.
    let _ = io::stdout().write_all(text.as_bytes());
    ExitCode::SUCCESS
}

/// A key of a report in the form of the listing: without the elements of lists.
fn general(key: &str) -> String {
    let parts = key.trim_end_matches('.').split('.');
    parts.map(|part| part.split('[').next().unwrap_or(part)).collect::<Vec<_>>().join(".")
}

/// Whether a setting is `key` or stands below it. "*" stands for any name.
fn is_under(listed: &Listed, key: &str) -> bool {
    let mut parts = listed.path.split('.');
    key.split('.').all(|part| parts.next().is_some_and(|one| one == part || one == "*"))
}

/// The message for an unknown key, with the keys of its nearest known table.
fn unknown(key: &str) -> String {
    let general = general(key);
    let listing = schema::listing();
    let (mut table, mut section) = ("", &schema::FILE);
    // The longest part of the key that is a table.
    for (end, _) in general.match_indices('.') {
        let Some(prefix) = general.get(..end) else { break };
        let found = listing.iter().find(|one| one.path == prefix);
        let Some(inner) = found.and_then(|one| one.setting.kind.section()) else { break };
        (table, section) = (prefix, inner);
    }
    let missing = general.get(table.len()..).unwrap_or_default().trim_start_matches('.');
    let meant = match suggestion(section, missing) {
        Some(near) if table.is_empty() => format!(", did you mean {near}?"),
        Some(near) => format!(", did you mean {table}.{near}?"),
        None => String::new(),
    };
    let (place, keys) = (if table.is_empty() { "the file" } else { table }, section.keys());
    format!("limpet settings: there is no setting {key:?}{meant}\n  {place} has:  {keys}\n")
}

fn show(listed: &Listed, out: &mut String) {
    let setting = listed.setting;
    let is_table = setting.kind.section().is_some();
    let default = match setting.default {
        Default::Needed => "  (needed)".to_owned(),
        Default::Is(text) if !is_table => format!(" = {text}"),
        Default::Absent => "  (no default)".to_owned(),
        Default::Is(_) | Default::Filled => String::new(),
    };
    // Writing into a String cannot fail.
    let _ = writeln!(out, "{}{default}\n    {}", listed.path, setting.about);
    if !is_table {
        let _ = writeln!(out, "    {}", setting.kind.allowed());
    }
}
