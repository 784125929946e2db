//! `limpet settings`: what a file can set. The same table judges files. Tested by `tests/config_commands.rs`.

use std::fmt::Write as _;
use std::io::{self, Write as _};
use std::process::ExitCode;

use crate::control::config::schema::{self, Default, Listed};

/// Prints all settings, or those under a key.
pub fn run(under: Option<&str>) -> ExitCode {
    let mut text = String::new();
    let is_under = |listed: &Listed| {
        under.is_none_or(|key| {
            listed
                .path
                .strip_prefix(key)
                .is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
        })
    };
    for listed in schema::listing().iter().filter(|listed| is_under(listed)) {
        show(listed, &mut text);
    }
    if text.is_empty() {
        eprintln!("limpet settings: there is no setting {:?}", under.unwrap_or_default());
        return ExitCode::FAILURE;
    }
    // Whoever closes the pipe has read enough.
    let _ = io::stdout().write_all(text.as_bytes());
    ExitCode::SUCCESS
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
