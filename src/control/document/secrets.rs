//! Secrets in a configuration's text: removed from a text that is shown, and restored in one that is sent back.
//!
//! The schema tells which settings are secret; [`super::comments`] finds secrets in comments. Never logs. Tested with
//! `document`.

use toml_edit::{DocumentMut, Item, TableLike, Value};

use super::comments::{self, HIDDEN};
use crate::control::config::schema::{FILE, Kind, Section};

/// The text with every secret replaced.
pub fn redacted(text: &str) -> String {
    let Ok(mut document) = text.parse::<DocumentMut>() else {
        // A text that is not TOML may have been cut anywhere, so no part of it is shown.
        return String::new();
    };
    let secrets = values(&mut document);
    let found = comments::hidden(text, &secrets);
    let text = comments::hide(text, &found);
    // Only comments have changed, so it is still TOML.
    let Ok(mut document) = text.parse::<DocumentMut>() else { return String::new() };
    each_secret(&FILE, document.as_table_mut(), "", &mut |_, _, value| hide(value));
    document.to_string()
}

/// Every secret that is set.
fn values(document: &mut DocumentMut) -> Vec<String> {
    let mut secrets = Vec::new();
    each_secret(&FILE, document.as_table_mut(), "", &mut |_, _, value| {
        secrets.extend(value.as_str().filter(|text| !text.is_empty()).map(str::to_owned));
    });
    secrets
}

/// `text` with the secrets of `known` restored where it has the replacement of [`redacted`]. A key of the ring is
/// identified by its id.
pub fn with_secrets_of(text: &str, known: &str) -> String {
    let Ok(mut known_document) = known.parse::<DocumentMut>() else { return text.to_owned() };
    let text = &comments::restored(text, known, &values(&mut known_document));
    let (Ok(mut document), mut known) = (text.parse::<DocumentMut>(), known_document) else {
        return text.to_owned();
    };
    let mut secrets: Vec<(String, Value)> = Vec::new();
    each_secret(&FILE, known.as_table_mut(), "", &mut |path, id, value| {
        secrets.push((format!("{path} {id}"), value.clone()));
    });
    let mut is_hidden = false;
    each_secret(&FILE, document.as_table_mut(), "", &mut |path, id, value| {
        let name = format!("{path} {id}");
        let secret = secrets.iter().find(|(one, _)| *one == name);
        if let (Some(HIDDEN), Some((_, secret))) = (value.as_str(), secret) {
            let decor = value.decor().clone();
            *value = secret.clone();
            *value.decor_mut() = decor;
            is_hidden = true;
        }
    });
    if is_hidden { document.to_string() } else { text.to_owned() }
}

fn hide(value: &mut Value) {
    let decor = value.decor().clone();
    *value = HIDDEN.into();
    *value.decor_mut() = decor;
}

/// Called with the path of a secret, the id of the table it is in, and its value.
type Visit<'v> = &'v mut dyn FnMut(&str, i64, &mut Value);

fn each_secret(section: &'static Section, table: &mut dyn TableLike, path: &str, visit: Visit<'_>) {
    let id = table.get("id").and_then(Item::as_integer).unwrap_or_default();
    for (key, item) in table.iter_mut() {
        let Some(setting) = section.setting(key.get()) else { continue };
        let path = format!("{path}.{}", setting.key);
        if let (Kind::Text(check), Item::Value(value)) = (&setting.kind, &mut *item) {
            if check.secret {
                visit(&path, id, value);
            }
            continue;
        }
        let Some(inner) = setting.kind.section() else { continue };
        if let Some(table) = item.as_table_like_mut() {
            each_secret(inner, table, &path, visit);
        } else if let Item::ArrayOfTables(tables) = item {
            for table in tables.iter_mut() {
                each_secret(inner, table, &path, visit);
            }
        } else if let Item::Value(Value::Array(array)) = item {
            for table in array.iter_mut().filter_map(Value::as_inline_table_mut) {
                each_secret(inner, table, &path, visit);
            }
        }
    }
}
