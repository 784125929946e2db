//! The configuration as a text that is edited in place: comments, order and everything that an edit does not name stay
//! unchanged byte for byte.
//!
//! Knows where groups and targets stand, and only the few settings that name them. `config::parse` judges an edited
//! document like any file; nothing is validated here. Never touches a disk. Tested beside it.

mod comments;
mod insert;
mod secrets;
mod values;

use serde_json::{Map, Value as Json};
use toml_edit::{DocumentMut, Item, TableLike, Value};

pub use secrets::{redacted, with_secrets_of};

use super::change::{ChangeError, Edit};

/// Most names that a refusal lists; more are counted.
const NAMES_LISTED_MAX: usize = 12;

/// A configuration's text, ready to be edited.
#[derive(Debug, Clone)]
pub struct Document {
    toml: DocumentMut,
}

/// Position of a group's table, or of a target's table in it.
#[derive(Debug, Clone, Copy)]
struct Place {
    group: usize,
    target: Option<usize>,
}

impl Document {
    /// # Errors
    /// The text is not TOML.
    pub fn parse(text: &str) -> Result<Document, ChangeError> {
        let toml = text.parse().map_err(|error: toml_edit::TomlError| {
            ChangeError::Refused(format!("is not TOML: {}", error.message()))
        })?;
        Ok(Document { toml })
    }

    /// The whole text.
    pub fn text(&self) -> String {
        self.toml.to_string()
    }

    /// Makes one edit and returns the edit that undoes it; a flush cannot be undone.
    ///
    /// # Errors
    /// The group or the target is unknown, or the edit is not allowed. The document may then be half changed: edit a
    /// copy.
    pub fn apply(&mut self, edit: &Edit) -> Result<Option<Edit>, ChangeError> {
        match edit {
            Edit::SetGroup { group, set } => {
                for key in ["name", "target"] {
                    if set.contains_key(key) {
                        let why = format!("{key:?} is not set here: it has edits of its own");
                        return Err(ChangeError::Refused(why));
                    }
                }
                let old = self.set(self.group(group)?, set)?;
                Ok(Some(Edit::SetGroup { group: group.clone(), set: old }))
            }
            Edit::FlushStickiness { group } => {
                let place = self.group(group)?;
                let next = self.generation(place).saturating_add(1);
                self.set_generation(place, next)?;
                Ok(None)
            }
            Edit::SetTarget { group, target, set } => {
                let place = self.target(group, target)?;
                if set.contains_key("id") {
                    let why = "a target with another id is another one: add that and remove this";
                    return Err(ChangeError::Refused(why.to_owned()));
                }
                let old = self.set(place, set)?;
                let renamed = self.table(place).and_then(effective_id).map(str::to_owned);
                let target = renamed.unwrap_or_else(|| target.clone());
                Ok(Some(Edit::SetTarget { group: group.clone(), target, set: old }))
            }
            Edit::AddTarget { group, settings } => {
                let place = self.group(group)?;
                let target = ["id", "address"].iter().find_map(|key| settings.get(*key)?.as_str());
                let target = target.unwrap_or_default().to_owned();
                let is_inline = self.toml.get("target_group").is_some_and(Item::is_value);
                let table = self.table_mut(place).ok_or_else(gone)?;
                insert::target(table, is_inline, settings)?;
                Ok(Some(Edit::RemoveTarget { group: group.clone(), target }))
            }
            Edit::RemoveTarget { group, target } => {
                let place = self.target(group, target)?;
                let settings = self.table(place).map(values::settings).unwrap_or_default();
                self.remove_target(place)?;
                Ok(Some(Edit::AddTarget { group: group.clone(), settings }))
            }
        }
    }

    /// The document's own values for the keys of `set`; null where it has none.
    ///
    /// # Errors
    /// The group or the target is unknown.
    pub fn stated(
        &self,
        group: &str,
        target: Option<&str>,
        set: &Map<String, Json>,
    ) -> Result<Map<String, Json>, ChangeError> {
        let place = match target {
            Some(target) => self.target(group, target)?,
            None => self.group(group)?,
        };
        let value = |key: &String| (key.clone(), self.value(place, key));
        Ok(set.keys().map(value).collect())
    }

    /// The settings of a target's table.
    pub fn target_settings(&self, group: &str, target: &str) -> Option<Map<String, Json>> {
        let place = self.target(group, target).ok()?;
        self.table(place).map(values::settings)
    }

    /// Raises a group's `stickiness.generation` to at least `generation`. Returns whether that changed it.
    pub fn raise_generation(&mut self, group: &str, generation: u32) -> bool {
        let Ok(place) = self.group(group) else { return false };
        self.generation(place) < i64::from(generation)
            && self.set_generation(place, i64::from(generation)).is_ok()
    }

    fn generation(&self, place: Place) -> i64 {
        self.value(place, "stickiness.generation").as_i64().unwrap_or(0)
    }

    fn set_generation(&mut self, place: Place, generation: i64) -> Result<(), ChangeError> {
        let table = self.table_mut(place).ok_or_else(gone)?;
        put(table, "stickiness.generation", generation.into())
    }

    /// Sets dotted keys below a table; returns the values before.
    fn set(
        &mut self,
        place: Place,
        set: &Map<String, Json>,
    ) -> Result<Map<String, Json>, ChangeError> {
        let mut old = Map::new();
        for (key, value) in set {
            if key.split('.').any(str::is_empty) {
                return Err(ChangeError::Refused(format!("{key:?} is not the name of a setting")));
            }
            old.insert(key.clone(), self.value(place, key));
            if value.is_null() {
                self.take_out(place, key)?;
            } else {
                let value = values::to_toml(value).map_err(ChangeError::Refused)?;
                put(self.table_mut(place).ok_or_else(gone)?, key, value)?;
            }
        }
        Ok(old)
    }

    fn value(&self, place: Place, key: &str) -> Json {
        let item = self.table(place).and_then(|table| lookup(table, key));
        item.and_then(values::to_json).unwrap_or(Json::Null)
    }

    /// Removes a key. If it stands on a line of its own, only that line is removed: comments above it stay.
    fn take_out(&mut self, place: Place, key: &str) -> Result<(), ChangeError> {
        let text = self.text();
        if let Some(range) = line_of(&text, place, key) {
            let mut rest = text;
            rest.replace_range(range, "");
            *self = Document::parse(&rest)?;
        } else if let Some(table) = self.table_mut(place) {
            let (parent, last) = match key.rsplit_once('.') {
                Some((path, last)) => (descend_mut(table, path), last),
                None => (Some(table), key),
            };
            if let Some(parent) = parent {
                parent.remove(last);
            }
        }
        Ok(())
    }

    fn remove_target(&mut self, place: Place) -> Result<(), ChangeError> {
        let group = Place { target: None, ..place };
        let index = place.target.ok_or_else(gone)?;
        let list = self.table_mut(group).and_then(|table| table.get_mut("target"));
        match list.ok_or_else(gone)? {
            Item::ArrayOfTables(tables) if index < tables.len() => {
                tables.remove(index);
            }
            Item::Value(Value::Array(array)) if index < array.len() => {
                array.remove(index);
            }
            _ => return Err(gone()),
        }
        Ok(())
    }

    fn group(&self, name: &str) -> Result<Place, ChangeError> {
        let groups = self.toml.get("target_group").map(elements).unwrap_or_default();
        let names = || groups.iter().filter_map(|table| text(*table, "name"));
        let group = groups.iter().position(|table| text(*table, "name") == Some(name));
        match group {
            Some(group) => Ok(Place { group, target: None }),
            None => Err(ChangeError::NoGroup { group: name.to_owned(), allowed: listed(names()) }),
        }
    }

    fn target(&self, group: &str, id: &str) -> Result<Place, ChangeError> {
        let place = self.group(group)?;
        let list = self.table(place).and_then(|table| table.get("target"));
        let targets = list.map(elements).unwrap_or_default();
        match targets.iter().position(|table| effective_id(*table) == Some(id)) {
            Some(target) => Ok(Place { target: Some(target), ..place }),
            None => Err(ChangeError::NoTarget {
                group: group.to_owned(),
                target: id.to_owned(),
                allowed: listed(targets.iter().filter_map(|table| effective_id(*table))),
            }),
        }
    }

    fn table(&self, place: Place) -> Option<&dyn TableLike> {
        resolve(self.toml.as_table(), place)
    }

    fn table_mut(&mut self, place: Place) -> Option<&mut dyn TableLike> {
        let group = element_mut(self.toml.get_mut("target_group")?, place.group)?;
        match place.target {
            None => Some(group),
            Some(target) => element_mut(group.get_mut("target")?, target),
        }
    }
}

fn resolve(root: &toml_edit::Table, place: Place) -> Option<&dyn TableLike> {
    let group = *elements(root.get("target_group")?).get(place.group)?;
    match place.target {
        None => Some(group),
        Some(target) => elements(group.get("target")?).get(target).copied(),
    }
}

/// The tables of a list, whether they are written as `[[…]]` or inline.
fn elements(list: &Item) -> Vec<&dyn TableLike> {
    match list {
        Item::ArrayOfTables(tables) => tables.iter().map(|one| one as &dyn TableLike).collect(),
        Item::Value(Value::Array(array)) => array
            .iter()
            .filter_map(|value| value.as_inline_table().map(|one| one as &dyn TableLike))
            .collect(),
        Item::None | Item::Value(_) | Item::Table(_) => Vec::new(),
    }
}

fn element_mut(list: &mut Item, index: usize) -> Option<&mut dyn TableLike> {
    match list {
        Item::ArrayOfTables(tables) => tables.get_mut(index).map(|one| one as &mut dyn TableLike),
        Item::Value(Value::Array(array)) => {
            let table = array.get_mut(index)?.as_inline_table_mut()?;
            Some(table as &mut dyn TableLike)
        }
        Item::None | Item::Value(_) | Item::Table(_) => None,
    }
}

fn text<'t>(table: &'t dyn TableLike, key: &str) -> Option<&'t str> {
    table.get(key)?.as_str()
}

fn effective_id(target: &dyn TableLike) -> Option<&str> {
    text(target, "id").or_else(|| text(target, "address"))
}

fn lookup<'t>(table: &'t dyn TableLike, key: &str) -> Option<&'t Item> {
    match key.split_once('.') {
        None => table.get(key),
        Some((first, rest)) => lookup(table.get(first)?.as_table_like()?, rest),
    }
}

fn descend_mut<'t>(table: &'t mut dyn TableLike, path: &str) -> Option<&'t mut dyn TableLike> {
    let (first, rest) = path.split_once('.').map_or((path, None), |(one, rest)| (one, Some(rest)));
    let inner = table.get_mut(first)?.as_table_like_mut()?;
    match rest {
        None => Some(inner),
        Some(rest) => descend_mut(inner, rest),
    }
}

/// Sets a dotted key. Missing tables on its way are written as dotted keys, `stickiness.enabled = true`.
fn put(table: &mut dyn TableLike, key: &str, value: Value) -> Result<(), ChangeError> {
    let Some((first, rest)) = key.split_once('.') else {
        insert::value(table, key, value);
        return Ok(());
    };
    if !table.contains_key(first) {
        table.insert(first, insert::dotted());
    }
    let indent = insert::indent(table);
    let inner = table.get_mut(first).and_then(Item::as_table_like_mut);
    let Some(inner) = inner else {
        return Err(ChangeError::Refused(format!(
            "{first:?} is not a table: {key:?} is not in it"
        )));
    };
    let is_new = lookup(inner, rest).is_none();
    put(inner, rest, value)?;
    if is_new && inner.is_dotted() && !rest.contains('.') {
        insert::set_indent(inner, rest, &indent);
    }
    Ok(())
}

/// The line, or lines, of a key that stands alone on them.
fn line_of(text: &str, place: Place, key: &str) -> Option<std::ops::Range<usize>> {
    let document = toml_edit::Document::parse(text).ok()?;
    let table = resolve(document.as_table(), place)?;
    let (parent, last) = match key.rsplit_once('.') {
        Some((path, last)) => (lookup(table, path)?.as_table_like()?, last),
        None => (table, key),
    };
    let key_start = parent.key(last)?.span()?.start;
    let value_end = parent.get(last)?.as_value()?.span()?.end;
    let start = text.get(..key_start)?.rfind('\n').map_or(0, |newline| newline + 1);
    let end = text.get(value_end..)?.find('\n').map_or(text.len(), |at| value_end + at + 1);
    // Inside braces other values stand on the line as well.
    let stands_alone = !text.get(start..key_start)?.contains(['{', ',', '=']) && {
        let after = text.get(value_end..end)?.trim();
        after.is_empty() || after.starts_with('#')
    };
    stands_alone.then_some(start..end)
}

fn gone() -> ChangeError {
    ChangeError::Refused("the edit does not fit the configuration any more".to_owned())
}

/// "a, b, c", and the number of further names.
pub(super) fn listed<'n>(names: impl Iterator<Item = &'n str>) -> String {
    let names: Vec<&str> = names.collect();
    let more = names.len().saturating_sub(NAMES_LISTED_MAX);
    let shown = names.get(..names.len() - more).unwrap_or_default().join(", ");
    if more == 0 { shown } else { format!("{shown} and {more} more") }
}

#[cfg(test)]
#[path = "document_tests.rs"]
mod tests;
