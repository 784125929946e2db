//! The settings of a group as JSON, in the file's own vocabulary, with defaults filled in and null for what is
//! not set. Pure; tested with `runtime`.

use serde_json::{Map, Value as Json};
use toml::{Table, Value};

use super::config::schema::{FILE, Kind, Section};

/// Every setting of a group's table but its targets; `complete` comes from `config::parse_complete`.
pub fn group(complete: &Table, name: &str) -> Option<Json> {
    let section = FILE.setting("target_group")?.kind.section()?;
    let groups = complete.get("target_group")?.as_array()?.iter().filter_map(Value::as_table);
    let mut groups =
        groups.filter(|group| group.get("name").and_then(Value::as_str) == Some(name));
    let mut attributes = section_to_json(section, groups.next()?);
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
