//! Values of the file between TOML and JSON. Pure; tested with `document`.

use serde_json::{Map, Value as Json};
use toml_edit::{Array, InlineTable, Item, TableLike, Value};

/// A JSON value in the file's notation.
///
/// # Errors
/// A null inside a list or a table, or a number that no setting could have.
pub(super) fn to_toml(json: &Json) -> Result<Value, String> {
    Ok(match json {
        Json::Null => return Err("null is no value of the file".to_owned()),
        Json::Bool(value) => (*value).into(),
        Json::String(text) => text.as_str().into(),
        Json::Number(number) => match (number.as_i64(), number.as_f64()) {
            (Some(whole), _) => whole.into(),
            (None, Some(fraction)) => fraction.into(),
            (None, None) => return Err(format!("{number} is no value of the file")),
        },
        Json::Array(values) => {
            let values: Result<Array, String> = values.iter().map(to_toml).collect();
            values?.into()
        }
        Json::Object(values) => {
            let mut table = InlineTable::new();
            for (key, value) in values {
                table.insert(key.as_str(), to_toml(value)?);
            }
            table.into()
        }
    })
}

/// An item as JSON; `None` for a missing one.
pub(super) fn to_json(item: &Item) -> Option<Json> {
    Some(match item {
        Item::None => return None,
        Item::Value(value) => value_to_json(value),
        Item::Table(table) => Json::Object(settings(table)),
        Item::ArrayOfTables(tables) => {
            tables.iter().map(|table| Json::Object(settings(table))).collect()
        }
    })
}

/// A table as JSON.
pub(super) fn settings(table: &dyn TableLike) -> Map<String, Json> {
    let pair = |(key, item): (&str, &Item)| Some((key.to_owned(), to_json(item)?));
    table.iter().filter_map(pair).collect()
}

fn value_to_json(value: &Value) -> Json {
    match value {
        Value::String(text) => text.value().as_str().into(),
        Value::Integer(number) => (*number.value()).into(),
        Value::Float(number) => (*number.value()).into(),
        Value::Boolean(value) => (*value.value()).into(),
        Value::Datetime(time) => time.value().to_string().into(),
        Value::Array(values) => values.iter().map(value_to_json).collect(),
        Value::InlineTable(table) => Json::Object(settings(table)),
    }
}
