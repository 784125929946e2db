//! Keys and values as typed: `stickiness.duration=12h` becomes a key and a JSON value.
//!
//! Pure. Tested below.

use serde_json::{Map, Value};

/// One `KEY=VALUE` of the command line.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Setting {
    key: String,
    value: Value,
}

impl std::str::FromStr for Setting {
    type Err = String;

    /// A value that is TOML (`true`, `5`, `["a"]`, `"x"`) is read as such, any other as text. Nothing after the sign
    /// removes the key.
    fn from_str(text: &str) -> Result<Setting, String> {
        let Some((key, value)) = text.split_once('=') else {
            return Err("has no \"=\"; write KEY=VALUE".to_owned());
        };
        let key = key.trim();
        let is_key = |part: &str| {
            !part.is_empty() && part.chars().all(|c| c.is_ascii_alphanumeric() || "_-".contains(c))
        };
        if !key.split('.').all(is_key) {
            return Err(format!("has no key before \"=\": {key:?}; write one as the file has it"));
        }
        Ok(Setting { key: key.to_owned(), value: value_of(value.trim())? })
    }
}

fn value_of(text: &str) -> Result<Value, String> {
    if text.is_empty() {
        return Ok(Value::Null);
    }
    // A date is TOML, but no setting takes one; it stays text like any word.
    let read = format!("value = {text}").parse::<toml::Table>().ok();
    let read = read.filter(|table| table.len() == 1).and_then(|mut table| table.remove("value"));
    match read {
        Some(toml::Value::Datetime(_)) | None => Ok(Value::String(text.to_owned())),
        Some(value) => serde_json::to_value(value).map_err(|error| error.to_string()),
    }
}

/// The `set` object of a request.
///
/// # Errors
/// A key that is given twice.
pub(super) fn object(settings: &[Setting]) -> Result<Map<String, Value>, String> {
    let mut map = Map::new();
    for Setting { key, value } in settings {
        if map.insert(key.clone(), value.clone()).is_some() {
            return Err(format!("{key} is given twice"));
        }
    }
    Ok(map)
}

/// A value in the file's notation, without quotes around text; an empty value is shown as a sign.
pub(super) fn show(value: &Value) -> String {
    match value {
        Value::String(text) if !text.is_empty() => text.clone(),
        Value::Null | Value::String(_) => super::words::UNKNOWN.to_owned(),
        Value::Array(list) if list.is_empty() => super::words::UNKNOWN.to_owned(),
        Value::Array(list) => list.iter().map(show).collect::<Vec<_>>().join(", "),
        Value::Bool(_) | Value::Number(_) | Value::Object(_) => value.to_string(),
    }
}

/// Every setting of a table with its dotted key, in order.
pub(super) fn flat(table: &Map<String, Value>) -> Vec<(String, String)> {
    let mut lines = Vec::new();
    for (key, value) in table {
        match value {
            Value::Object(inner) => {
                let inner = flat(inner).into_iter();
                lines.extend(inner.map(|(below, value)| (format!("{key}.{below}"), value)));
            }
            Value::Null
            | Value::Bool(_)
            | Value::Number(_)
            | Value::String(_)
            | Value::Array(_) => lines.push((key.clone(), show(value))),
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use crate::cli::ctl::values::*;
    use serde_json::json;

    #[test]
    fn a_value_is_toml_where_it_is_toml_and_else_text() {
        let cases = [
            ("enabled=true", "enabled", json!(true)),
            ("weight=5", "weight", json!(5)),
            ("connection_limit=1_000", "connection_limit", json!(1000)),
            ("stickiness.duration=12h", "stickiness.duration", json!("12h")),
            ("stickiness.duration=\"12h\"", "stickiness.duration", json!("12h")),
            ("algorithm=round_robin", "algorithm", json!("round_robin")),
            ("hash_on=header:X-User", "hash_on", json!("header:X-User")),
            ("expected=[\"200-299\", \"404\"]", "expected", json!(["200-299", "404"])),
            ("session_cookies=[sid]", "session_cookies", json!("[sid]")),
            ("cookie_name=a=b", "cookie_name", json!("a=b")),
            ("day=2026-01-01", "day", json!("2026-01-01")),
            ("text=", "text", json!(null)),
            ("text=\"\"", "text", json!("")),
            (" path = /health ", "path", json!("/health")),
            ("several=1\nother = 2", "several", json!("1\nother = 2")),
        ];
        for (text, key, value) in cases {
            let expected = Setting { key: key.to_owned(), value };
            assert_eq!(text.parse::<Setting>(), Ok(expected), "{text}");
        }
    }

    #[test]
    fn what_is_no_key_and_value_is_refused() {
        for text in ["enabled", "=true", "a..b=1", "a b=1", ".=1"] {
            assert!(text.parse::<Setting>().is_err(), "{text}");
        }
        let twice = ["a=1".parse().unwrap(), "a=2".parse().unwrap()];
        assert_eq!(object(&twice).unwrap_err(), "a is given twice");
    }

    #[test]
    fn a_table_is_shown_by_dotted_keys() {
        let table = json!({"a": true, "b": {"c": "x", "d": ["y", 1]}, "e": null, "f": "", "g": []});
        let lines = flat(table.as_object().unwrap());
        let expected =
            [("a", "true"), ("b.c", "x"), ("b.d", "y, 1"), ("e", "-"), ("f", "-"), ("g", "-")];
        assert_eq!(lines, expected.map(|(key, value)| (key.to_owned(), value.to_owned())));
    }
}
