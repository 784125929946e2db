//! The settings of a group as JSON, in the file's own vocabulary, with defaults filled in and null for what is
//! not set. Pure; tested with `runtime`.

use std::collections::HashMap;

use serde_json::{Map, Value as Json};
use toml::{Table, Value};

use super::config::schema::{FILE, Kind, Section};

/// Every setting of a group's table but its targets; `complete` comes from `config::parse_complete`.
pub fn group(complete: &Table, name: &str) -> Option<Json> {
    tables(complete).find(|(one, _)| *one == name).and_then(|(_, table)| of_table(table))
}

/// Those of every group, by name.
pub fn groups(complete: &Table) -> HashMap<String, Json> {
    let named = |(name, table): (&str, _)| Some((name.to_owned(), of_table(table)?));
    tables(complete).filter_map(named).collect()
}

fn tables(complete: &Table) -> impl Iterator<Item = (&str, &Table)> {
    let groups = complete.get("target_group").and_then(Value::as_array).into_iter().flatten();
    groups.filter_map(|group| Some((group.get("name")?.as_str()?, group.as_table()?)))
}

fn of_table(table: &Table) -> Option<Json> {
    let section = FILE.setting("target_group")?.kind.section()?;
    let mut attributes = section_to_json(section, table);
    attributes.remove("target");
    Some(Json::Object(attributes))
}

fn section_to_json(section: &'static Section, table: &Table) -> Map<String, Json> {
    let value = |kind: &Kind, value: Option<&Value>| match (kind, value) {
        (_, None) => Json::Null,
        (Kind::Section(inner), Some(Value::Table(table))) => {
            Json::Object(section_to_json(inner, table))
        }
        (_, Some(value)) => to_json(value),
    };
    let pair = |setting: &'static super::config::schema::Setting| {
        (setting.key.to_owned(), value(&setting.kind, table.get(setting.key)))
    };
    section.settings.iter().map(pair).collect()
}

fn to_json(value: &Value) -> Json {
    match value {
        Value::String(text) => text.as_str().into(),
        Value::Integer(number) => (*number).into(),
        Value::Float(number) => (*number).into(),
        Value::Boolean(value) => (*value).into(),
        Value::Datetime(time) => time.to_string().into(),
        Value::Array(values) => values.iter().map(to_json).collect(),
        Value::Table(table) => {
            Json::Object(table.iter().map(|(key, value)| (key.clone(), to_json(value))).collect())
        }
    }
}
