//! Edits of a running configuration, held to the same rules as a file.
//!
//! An edit is written as the TOML it stands for and walked along the same schema, so that nothing is
//! allowed here that a file could not say, and the messages are the same. Tested by `control::runtime`.

use serde::de::DeserializeOwned;
use toml::de::DeTable;

use super::problems::{Problems, Report};
use super::schema::{STICKINESS, Section, TARGET};
use super::{File, file, units, validate, walk};
use crate::target::stickiness::{Failback, SameSite, StickinessKind, StickinessOptions};

/// The `stickiness` table that `options` stand for.
///
/// # Errors
/// Everything that a file with this table would be refused for.
pub fn stickiness(options: &StickinessOptions) -> Result<file::Stickiness, Problems> {
    let mut table = toml::Table::new();
    let mut set = |key: &str, value: toml::Value| drop(table.insert(key.to_owned(), value));
    set("enabled", options.enabled.into());
    match &options.kind {
        StickinessKind::LbCookie => set("type", "lb_cookie".into()),
        StickinessKind::AppCookie { name } => {
            set("type", "app_cookie".into());
            set("app_cookie", name.as_ref().into());
        }
    }
    set("duration", units::show_duration(options.duration).into());
    set("max_age", units::show_duration(options.max_age).into());
    if let Some(name) = &options.cookie_name {
        set("cookie_name", name.as_ref().into());
    }
    set("domain", options.domain.as_deref().unwrap_or_default().into());
    set("path", options.path.as_ref().into());
    let same_site = match options.same_site {
        SameSite::Lax => "lax",
        SameSite::Strict => "strict",
        SameSite::None => "none",
    };
    set("same_site", same_site.into());
    set("partitioned", options.partitioned.into());
    set("cross_site_twin", options.cross_site_twin.into());
    set("forward_cookie", options.forward_cookie.into());
    let failback = match options.failback {
        Failback::Never => "never",
        Failback::Healthy => "healthy",
    };
    set("failback", failback.into());
    set("generation", i64::from(options.generation).into());
    let names = options.session_cookies.iter().map(|name| name.as_ref().into()).collect();
    set("session_cookies", toml::Value::Array(names));
    checked(&STICKINESS, &table)
}

/// The `target` table that `target` stands for.
///
/// # Errors
/// Everything that a file with this table would be refused for.
pub fn target(target: &file::Target) -> Result<file::Target, Problems> {
    let mut table = toml::Table::new();
    if let Some(id) = &target.id {
        table.insert("id".to_owned(), id.as_str().into());
    }
    table.insert("address".to_owned(), target.address.as_str().into());
    table.insert("weight".to_owned(), i64::from(target.weight).into());
    let state = match target.state {
        file::TargetState::InService => "in_service",
        file::TargetState::Draining => "draining",
    };
    table.insert("state".to_owned(), state.into());
    checked(&TARGET, &table)
}

/// Holds a changed configuration to the rules between settings.
///
/// # Errors
/// As a file that says the same.
pub fn validate(file: &File) -> Result<(), Problems> {
    let mut report = Report::new("the running configuration", "");
    // Keys are shown by name, as in a file's report.
    for (index, group) in file.target_groups.iter().enumerate() {
        let (key, shown) =
            (format!("target_group[{index}]"), format!("target_group[{}]", group.name));
        report.place(&key, &shown, 0..0);
    }
    validate::validate(file, &mut report);
    if report.is_clean() { Ok(()) } else { Err(Problems(report.take())) }
}

fn checked<T: DeserializeOwned>(
    section: &'static Section,
    table: &toml::Table,
) -> Result<T, Problems> {
    let text = table.to_string();
    let mut report = Report::new("edit", &text);
    match DeTable::parse(&text) {
        Ok(document) => {
            let complete = walk::walk(section, &document, &mut report);
            match complete.try_into() {
                Ok(value) if report.is_clean() => return Ok(value),
                Ok(_) => {}
                Err(error) => fault(&mut report, &error),
            }
        }
        Err(error) => fault(&mut report, &error),
    }
    Err(Problems(report.take()))
}

/// What the walk has not said already.
fn fault(report: &mut Report<'_>, error: &toml::de::Error) {
    if report.is_clean() {
        report.add(&(0..0), "", super::one_line(error.message()), None, None);
    }
}
