//! New values, keys and tables, in the style of their neighbours. Pure; tested with `document`.

use serde_json::{Map, Value as Json};
use toml_edit::{Array, ArrayOfTables, InlineTable, Item, RawString, Table, TableLike, Value};

use super::values;
use crate::control::change::ChangeError;

/// Order of a new target's settings.
const TARGET_KEYS: [&str; 4] = ["id", "address", "weight", "state"];

/// Sets one key; a new value keeps the spaces and comments around the old one.
pub(super) fn value(table: &mut dyn TableLike, key: &str, mut value: Value) {
    if let Some(Item::Value(old)) = table.get_mut(key) {
        *value.decor_mut() = old.decor().clone();
        *old = value;
        return;
    }
    let indent = indent(table);
    table.insert(key, Item::Value(value));
    set_indent(table, key, &indent);
}

/// A table that is written as the first part of dotted keys.
pub(super) fn dotted() -> Item {
    let mut table = Table::new();
    table.set_dotted(true);
    table.set_implicit(true);
    Item::Table(table)
}

/// The white space before the keys of a table.
pub(super) fn indent(table: &dyn TableLike) -> String {
    let first = table.iter().find(|(_, item)| item.is_value()).map(|(key, _)| key);
    let prefix = first.and_then(|key| table.key(key)?.leaf_decor().prefix()?.as_str());
    blank_after_newline(prefix.unwrap_or_default())
}

pub(super) fn set_indent(table: &mut dyn TableLike, key: &str, indent: &str) {
    if !indent.is_empty()
        && let Some(mut key) = table.key_mut(key)
    {
        key.leaf_decor_mut().set_prefix(indent);
    }
}

fn blank_after_newline(prefix: &str) -> String {
    let last = prefix.rsplit('\n').next().unwrap_or_default();
    if last.trim().is_empty() { last.to_owned() } else { String::new() }
}

/// Appends a target to a group's list, in the form of the list; a new list has the form of the groups' list.
pub(super) fn target(
    group: &mut dyn TableLike,
    is_inline: bool,
    settings: &Map<String, Json>,
) -> Result<(), ChangeError> {
    let mut pairs = Vec::with_capacity(settings.len());
    for (key, setting) in settings.iter().filter(|(_, setting)| !setting.is_null()) {
        pairs.push((key.as_str(), values::to_toml(setting).map_err(ChangeError::Refused)?));
    }
    pairs.sort_by_key(|(key, _)| {
        TARGET_KEYS.iter().position(|one| one == key).unwrap_or(TARGET_KEYS.len())
    });
    match group.get_mut("target") {
        Some(Item::ArrayOfTables(tables)) => push_table(tables, pairs),
        Some(Item::Value(Value::Array(array))) => push_inline(array, pairs),
        Some(_) => return Err(super::gone()),
        None if !is_inline => {
            let mut tables = ArrayOfTables::new();
            push_table(&mut tables, pairs);
            group.insert("target", Item::ArrayOfTables(tables));
        }
        None => {
            let mut array = Array::new();
            push_inline(&mut array, pairs);
            group.insert("target", Item::Value(Value::Array(array)));
        }
    }
    Ok(())
}

fn push_table(tables: &mut ArrayOfTables, pairs: Vec<(&str, Value)>) {
    let mut table = Table::new();
    let mut key_indent = String::new();
    if let Some(last) = tables.iter().last() {
        key_indent = indent(last);
        let prefix = last.decor().prefix().and_then(RawString::as_str).unwrap_or("\n");
        let blank = if prefix.starts_with(['\n', '\r']) { "\n" } else { "" };
        table.decor_mut().set_prefix(format!("{blank}{}", blank_after_newline(prefix)));
    }
    for (key, value) in pairs {
        table.insert(key, Item::Value(value));
        set_indent(&mut table, key, &key_indent);
    }
    tables.push(table);
}

fn push_inline(array: &mut Array, pairs: Vec<(&str, Value)>) {
    let mut table = InlineTable::new();
    for (key, value) in pairs {
        table.insert(key, value);
    }
    let prefix = |index: usize| {
        let decor = array.get(index)?.decor();
        decor.prefix()?.as_str().map(str::to_owned)
    };
    // A list with one target per line is continued in that form.
    let prefix = match (array.len().checked_sub(1).and_then(prefix), array.len()) {
        (Some(prefix), _) if prefix.contains('\n') => format!("\n{}", blank_after_newline(&prefix)),
        (_, 0) => String::new(),
        _ => " ".to_owned(),
    };
    let mut value = Value::InlineTable(table);
    value.decor_mut().set_prefix(prefix);
    array.push_formatted(value);
}
