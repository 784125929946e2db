//! The probable meaning of an unknown key or word: a near miss, or a setting of another table.
//!
//! Used only for text that is refused. Pure. Tested by `tests/config.rs`.

use toml::de::DeValue;

use super::habits;
use super::places::Path;
use super::schema::{self, Default, Section};

/// Longest text that is compared with known words.
const SUGGESTION_BYTES_MAX: usize = 64;

/// Most places that are named for one key.
const PLACES_MAX: usize = 2;

/// The probable key: a near miss, or one that stands in a table inside this one.
pub fn suggestion(section: &'static Section, key: &str) -> Option<String> {
    if let Some(near) = nearest(section.settings.iter().map(|setting| setting.key), key) {
        return Some(near.to_owned());
    }
    section.settings.iter().find_map(|setting| {
        let inner = setting.kind.section()?.setting(key)?;
        Some(format!("{}.{}", setting.key, inner.key))
    })
}

/// The table around `path` whose setting `name` is: settings behind `[[target_group.target]]` belong to the target,
/// however far away the group's own lines are.
pub(super) fn misplaced<'p>(
    name: &str,
    value: &DeValue<'_>,
    path: &Path<'p>,
) -> Option<&'p Path<'p>> {
    let mut around = path.parent();
    while let Some(outer) = around {
        // The file itself has only tables; a text with such a name means something else.
        let may_be = match outer {
            Path::Root => value.is_table() || value.is_array(),
            Path::Element(..) => true,
            Path::Key(..) => false,
        };
        if may_be && section_at(outer).is_some_and(|section| section.setting(name).is_some()) {
            return Some(outer);
        }
        around = outer.parent();
    }
    None
}

/// The settings of `section`, the table at `path`, that an answer of [`habits::key`] names; a setting in an inner table
/// follows a ".".
pub(super) fn answered<'a>(
    section: &'static Section,
    answer: &'a str,
    path: &'a Path<'_>,
) -> impl Iterator<Item = &'a str> {
    let table = path.name();
    let words = answer.replace("target group", "target_group");
    let mut words = words.split(|c: char| c != '_' && !c.is_ascii_alphanumeric());
    let tables = ["listener", "rule", "target", "target_group"];
    let is_here =
        words.clone().any(|word| word == table) || !words.any(|word| tables.contains(&word));
    let quoted = answer.split('"').skip(1).step_by(2);
    let heads = answer.split("[[").skip(1).filter_map(|head| Some(head.split_once("]]")?.0));
    let inner = quoted.filter(move |_| is_here).map(move |key| {
        key.strip_prefix(table).and_then(|rest| rest.strip_prefix('.')).unwrap_or(key)
    });
    // Only at the top of the file does an answer name lists of tables by their whole path.
    inner
        .chain(heads.filter(move |_| table.is_empty()))
        .filter(|key| section.setting(key.split('.').next().unwrap_or(key)).is_some())
}

/// The required setting of `section` of which `key` is a near miss.
pub(super) fn needed(section: &'static Section, key: &str) -> Option<&'static str> {
    let near = nearest(section.settings.iter().map(|setting| setting.key), key)?;
    let setting = section.setting(near)?;
    matches!(setting.default, Default::Needed).then_some(setting.key)
}

/// Whether `key`, which `section` does not have, is reported as another word for `setting`.
pub(super) fn stands_for(
    section: &'static Section,
    key: &str,
    setting: &str,
    path: &Path<'_>,
) -> bool {
    match habits::key(key) {
        Some(answer) => answered(section, answer, path).any(|meant| meant == setting),
        None => suggestion(section, key).is_some_and(|meant| meant == setting),
    }
}

/// The section of the table at `path`; `None` for a table by name.
fn section_at(path: &Path<'_>) -> Option<&'static Section> {
    match path {
        Path::Root => Some(&schema::FILE),
        Path::Element(parent, _, _) => section_at(parent),
        Path::Key(parent, key) => section_at(parent)?.setting(key)?.kind.section(),
    }
}

/// Where in the file there is a setting with this name.
pub(super) fn elsewhere(name: &str) -> Option<String> {
    let lower = name.to_ascii_lowercase().replace('-', "_");
    let places = schema::listing()
        .into_iter()
        .map(|listed| listed.path)
        .filter(|path| path.rsplit('.').next() == Some(&lower) && !path.contains(".*."));
    let places: Vec<String> = places.take(PLACES_MAX).map(|path| format!("{path:?}")).collect();
    (!places.is_empty()).then(|| places.join(" or "))
}

/// The known word that `text` probably means.
pub(super) fn nearest<'w>(words: impl Iterator<Item = &'w str>, text: &str) -> Option<&'w str> {
    if text.len() > SUGGESTION_BYTES_MAX {
        return None;
    }
    // A word that is more than a third wrong is hardly the one.
    let distance_max = (text.chars().count() / 3).clamp(1, 4);
    let lower = text.to_ascii_lowercase().replace('-', "_");
    words
        .map(|word| (strsim::osa_distance(word, &lower), word))
        .filter(|(distance, _)| *distance <= distance_max)
        .min()
        .map(|(_, word)| word)
}
