//! Walks a parsed document along the schema: finds every unknown key, wrong type and impossible value, and returns the
//! document with refused values replaced and all defaults filled in.
//!
//! Does not know single settings. Never stops at the first mistake. Tested by `tests/config.rs`.

use std::collections::HashMap;
use std::ops::{Range, RangeInclusive};
use std::sync::LazyLock;

use toml::Spanned;
use toml::de::{DeArray, DeInteger, DeTable, DeValue};

use super::habits;
use super::meant;
use super::places::Path;
use super::problems::Report;
use super::schema::{self, Bound, Check, Default, Kind, Section, Setting};
use super::units;

/// Walks `document` along `section`.
pub(super) fn walk(
    section: &'static Section,
    document: &Spanned<DeTable<'_>>,
    report: &mut Report<'_>,
) -> toml::Table {
    Walker { report }.section(section, document.get_ref(), 0..0, &Path::Root)
}

/// The fault of an empty list that must have a value.
const EMPTY: &str = "is empty";

struct Walker<'r, 's> {
    report: &'r mut Report<'s>,
}

impl Walker<'_, '_> {
    fn section(
        &mut self,
        section: &'static Section,
        table: &DeTable<'_>,
        span: Range<usize>,
        path: &Path<'_>,
    ) -> toml::Table {
        let mut walked = toml::Table::new();
        for (key, value) in table {
            let Some(setting) = section.setting(key.get_ref()) else {
                self.unknown(section, key, value.get_ref(), path);
                continue;
            };
            let is_left_over = is_left_over(section, setting, table, path);
            let path = path.child(setting.key);
            let value = if is_left_over { None } else { self.value(&setting.kind, value, &path) };
            match value.or_else(|| self.replacement(setting, &path)) {
                Some(value) => walked.insert(setting.key.to_owned(), value),
                None => continue,
            };
        }
        for setting in section.settings {
            if table.contains_key(setting.key) {
                continue;
            }
            if matches!(setting.default, Default::Needed) {
                self.missing(setting, &span, &path.child(setting.key));
            }
            if let Some(value) = bounded_default(setting, &walked) {
                walked.insert(setting.key.to_owned(), value);
            }
        }
        walked
    }

    /// Reports a required setting that is missing, unless it stands under a name that was reported.
    fn missing(&mut self, setting: &'static Setting, span: &Range<usize>, path: &Path<'_>) {
        let key = path.key();
        if self.report.sound(&key) {
            let allowed = Some(setting.kind.allowed());
            self.report.add_unquoted(span, &path.shown(), "is missing", allowed);
            self.report.refuse(key);
        }
    }

    /// The replacement of a refused value; the refusal is remembered.
    fn replacement(&mut self, setting: &'static Setting, path: &Path<'_>) -> Option<toml::Value> {
        self.report.refuse(path.key());
        default_value(setting)
    }

    fn unknown(
        &mut self,
        section: &'static Section,
        key: &Spanned<std::borrow::Cow<'_, str>>,
        value: &DeValue<'_>,
        path: &Path<'_>,
    ) {
        let name = key.get_ref();
        // A near miss of a required setting that is missing is not another balancer's word.
        let is_needed = meant::needed(section, name)
            .is_some_and(|near| !self.report.has(&path.child(near).key()));
        let word = habits::key(name).filter(|_| !is_needed);
        let what = match (meant::misplaced(name, value, path), word) {
            (Some(outer), _) => {
                self.report.meant(&outer.key(), name, value);
                match outer {
                    Path::Root => {
                        format!("is in {}; it belongs to the top of the file", path.head())
                    }
                    _ => format!(
                        "is a setting of {}, not of {}; write it above {}",
                        outer.shown(),
                        path.shown(),
                        path.head()
                    ),
                }
            }
            (None, Some(word)) => {
                for setting in meant::answered(section, word, path) {
                    self.report.meant(&path.key(), setting, value);
                }
                format!("is an unknown key; limpet's word for it is {word}")
            }
            (None, None) => match (meant::suggestion(section, name), meant::elsewhere(name)) {
                (Some(near), _) => {
                    self.report.meant(&path.key(), &near, value);
                    format!("is an unknown key, did you mean {near:?}?")
                }
                (None, Some(place)) => format!("is an unknown key here; did you mean {place}?"),
                (None, None) => "is an unknown key".into(),
            },
        };
        let shown = path.child(&name.escape_debug().to_string()).shown();
        self.report.add(&key.span(), &shown, what, Some(section.keys()));
    }

    fn value(
        &mut self,
        kind: &'static Kind,
        value: &Spanned<DeValue<'_>>,
        path: &Path<'_>,
    ) -> Option<toml::Value> {
        let span = value.span();
        let refused = match (kind, value.get_ref()) {
            (kind, value) if lacks_a_value(kind, value) => EMPTY.into(),
            (Kind::Section(section) | Kind::TextOrSection(_, section), DeValue::Table(table)) => {
                return Some(self.section(section, table, span, path).into());
            }
            (Kind::Sections(section) | Kind::SomeSections(section), DeValue::Array(array)) => {
                return Some(self.sections(section, array, path));
            }
            (Kind::SectionByName { name, section }, DeValue::Table(table)) => {
                return Some(self.section_by_name(name, section, table, path));
            }
            (
                Kind::Texts(check) | Kind::SomeTexts(check) | Kind::TextOrTexts(check),
                DeValue::Array(array),
            ) => {
                return Some(self.texts(check, array, path));
            }
            (Kind::TextOrTexts(check), DeValue::String(text)) => {
                return self.text(check, text, &span, path).map(|text| vec![text].into());
            }
            (Kind::TextsByName { name, values }, DeValue::Table(table)) => {
                return Some(self.texts_by_name(name, values, table, path));
            }
            (Kind::Text(check) | Kind::TextOrSection(check, _), DeValue::String(text)) => {
                return self.text(check, text, &span, path);
            }
            (Kind::Sections(_) | Kind::SomeSections(_), DeValue::Table(_)) => {
                format!("is one table, not a list of tables; write [[…{}]]", path.name())
            }
            (kind, value) => match scalar(kind, value) {
                Ok(value) => return Some(value),
                Err(what) => match (habits::table(path.name(), value), value) {
                    (Some(table), _)
                        if matches!(kind, Kind::Section(_) | Kind::TextOrSection(..)) =>
                    {
                        format!("{what}; write {table}")
                    }
                    (Some(table), _) => format!("{what}; write [{table}]"),
                    (None, DeValue::String(text))
                        if matches!(kind, Kind::OneOf(_) | Kind::WordOrCount { .. }) =>
                    {
                        match habits::value(path.name(), text) {
                            Some(word) => {
                                format!("is none of these; limpet's word for it is {word}")
                            }
                            None => what,
                        }
                    }
                    (None, _) => what,
                },
            },
        };
        let (shown, allowed) = (path.shown(), Some(kind.allowed()));
        match kind {
            Kind::Text(check) if check.secret => {
                self.report.add_unquoted(&span, &shown, refused, allowed);
            }
            _ => self.report.add(&span, &shown, refused, allowed),
        }
        None
    }

    fn text(
        &mut self,
        check: &'static Check,
        text: &str,
        span: &Range<usize>,
        path: &Path<'_>,
    ) -> Option<toml::Value> {
        match (check.test)(text) {
            Ok(()) => Some(text.into()),
            Err(what) => {
                let what = match habits::value(path.name(), text) {
                    Some(word) => format!("is none of these; limpet's word for it is {word}"),
                    None => what,
                };
                let (shown, allowed) = (path.shown(), Some(check.allowed.into()));
                match check.secret {
                    true => self.report.add_unquoted(span, &shown, what, allowed),
                    false => self.report.add(span, &shown, what, allowed),
                }
                None
            }
        }
    }

    fn texts(
        &mut self,
        check: &'static Check,
        array: &DeArray<'_>,
        path: &Path<'_>,
    ) -> toml::Value {
        let mut texts = toml::value::Array::new();
        for (index, value) in array.iter().enumerate() {
            let path = path.element(index, value.get_ref());
            match value.get_ref() {
                DeValue::String(text) => {
                    texts.extend(self.text(check, text, &value.span(), &path));
                }
                other => {
                    let mut what = format!("is {}, not a text", article(other));
                    if let DeValue::Integer(number) = other
                        && (check.test)(number.as_str()).is_ok()
                    {
                        what.push_str(&format!("; write \"{number}\""));
                    }
                    let allowed = Some(check.allowed.into());
                    self.report.add(&value.span(), &path.shown(), what, allowed);
                }
            }
        }
        toml::Value::Array(texts)
    }

    fn texts_by_name(
        &mut self,
        name: &'static Check,
        values: &'static Check,
        table: &DeTable<'_>,
        path: &Path<'_>,
    ) -> toml::Value {
        let mut walked = toml::Table::new();
        for (key, value) in table {
            let path = path.child(key.get_ref());
            if self.text(name, key.get_ref(), &key.span(), &path).is_none() {
                continue;
            }
            let what = match value.get_ref() {
                DeValue::Array(array) if !array.is_empty() => {
                    let texts = self.texts(values, array, &path);
                    walked.insert(key.get_ref().to_string(), texts);
                    continue;
                }
                DeValue::Array(_) => EMPTY.to_owned(),
                DeValue::String(text) => {
                    format!("is a text, not a list of texts; write [{text:?}]")
                }
                other => format!("is {}, not a list", article(other)),
            };
            let allowed = Some(schema::some_texts(values));
            self.report.add(&value.span(), &path.shown(), what, allowed);
        }
        walked.into()
    }

    fn sections(
        &mut self,
        section: &'static Section,
        array: &DeArray<'_>,
        path: &Path<'_>,
    ) -> toml::Value {
        let mut walked = toml::value::Array::new();
        for (index, value) in array.iter().enumerate() {
            let path = path.element(index, value.get_ref());
            // Every element gets a value, so that positions stay those of the file.
            walked.push(match value.get_ref() {
                DeValue::Table(table) => self.section(section, table, value.span(), &path).into(),
                other => {
                    let table = habits::table(path.name(), other);
                    let written = table.map_or(String::new(), |table| format!("; write {table}"));
                    let what = format!("is {}, not a table{written}", article(other));
                    let allowed = Some(format!("a table with {}", section.keys()));
                    self.report.add(&value.span(), &path.shown(), what, allowed);
                    self.report.refuse(path.key());
                    defaults(section).into()
                }
            });
        }
        toml::Value::Array(walked)
    }

    fn section_by_name(
        &mut self,
        name: &'static Check,
        section: &'static Section,
        table: &DeTable<'_>,
        path: &Path<'_>,
    ) -> toml::Value {
        let mut walked = toml::Table::new();
        for (key, value) in table {
            let path = path.child(key.get_ref());
            let named = self.text(name, key.get_ref(), &key.span(), &path).is_some();
            match value.get_ref() {
                DeValue::Table(inner) => {
                    let inner = self.section(section, inner, value.span(), &path);
                    if named {
                        walked.insert(key.get_ref().to_string(), inner.into());
                    }
                }
                other => {
                    let what = format!("is {}, not a table", article(other));
                    let allowed = Some(format!("a table with {}", section.keys()));
                    self.report.add(&value.span(), &path.shown(), what, allowed);
                }
            }
        }
        walked.into()
    }
}

/// Whether the list `setting` exists only because of tables that belong to its elements, which stand under a wrong
/// name: `[[listener.rule]]` after `[[listeners]]`.
fn is_left_over(
    section: &'static Section,
    setting: &'static Setting,
    table: &DeTable<'_>,
    path: &Path<'_>,
) -> bool {
    let is_list = matches!(setting.kind, Kind::Sections(_) | Kind::SomeSections(_));
    let Some(DeValue::Table(inner)) = table.get(setting.key).map(Spanned::get_ref) else {
        return false;
    };
    let is_head =
        |value: &Spanned<DeValue<'_>>| value.get_ref().is_table() || value.get_ref().is_array();
    is_list
        && inner.values().all(is_head)
        && table.keys().any(|key| {
            let key = key.get_ref();
            section.setting(key).is_none() && meant::stands_for(section, key, setting.key, path)
        })
}

/// Whether a list or table is empty that must have a value.
fn lacks_a_value(kind: &Kind, value: &DeValue<'_>) -> bool {
    match (kind, value) {
        (
            Kind::SomeTexts(_) | Kind::TextOrTexts(_) | Kind::SomeSections(_),
            DeValue::Array(array),
        ) => array.is_empty(),
        (Kind::TextsByName { .. }, DeValue::Table(table)) => table.is_empty(),
        _ => false,
    }
}

/// A value without inner values, or the predicate that names its fault.
fn scalar(kind: &Kind, value: &DeValue<'_>) -> Result<toml::Value, String> {
    match (kind, value) {
        (Kind::Bool, DeValue::Boolean(value)) => Ok((*value).into()),
        (Kind::Count { min, max }, DeValue::Integer(number)) => {
            ranged(number, *min, *max).map(toml::Value::from)
        }
        (Kind::PowerOfTwo { min, max }, DeValue::Integer(number)) => {
            let number = ranged(number, *min, *max)?;
            let power = u64::try_from(number).is_ok_and(u64::is_power_of_two);
            if power { Ok(number.into()) } else { Err("is not a power of two".into()) }
        }
        (Kind::WordOrCount { min, max, .. }, DeValue::Integer(number)) => {
            ranged(number, *min, *max).map(toml::Value::from)
        }
        (Kind::WordOrCount { word, .. }, DeValue::String(text)) => match text == word {
            true => Ok((*word).into()),
            false => Err(format!("is not {word:?}")),
        },
        (Kind::Duration { min, max, off }, DeValue::String(text)) => {
            let duration = units::parse_duration(text)?;
            if !(*off && duration.is_zero()) {
                in_range(duration, &(*min..=*max), "short", "long")?;
            }
            Ok(text.as_ref().into())
        }
        (Kind::Size { min, max, off }, DeValue::String(text)) => {
            let size = units::parse_size(text)?;
            if !(*off && size == 0) {
                in_range(size, &(*min..=*max), "small", "large")?;
            }
            Ok(text.as_ref().into())
        }
        (Kind::Duration { min, off, .. }, DeValue::Integer(number))
            if integer(number) == Some(0) && (*off || min.is_zero()) =>
        {
            Ok(0.into())
        }
        (Kind::Size { off: true, .. }, DeValue::Integer(number)) if integer(number) == Some(0) => {
            Ok(0.into())
        }
        (Kind::Duration { .. }, DeValue::Integer(number)) => Err(format!(
            "is a number without a unit; for seconds write \"{number}s\", {}",
            units::DURATION_UNITS_TEXT
        )),
        (Kind::Size { .. }, DeValue::Integer(number)) => Err(format!(
            "is a number without a unit; for bytes write \"{number}B\", {}",
            units::SIZE_UNITS_TEXT
        )),
        (Kind::OneOf(words), DeValue::String(text)) => {
            if words.contains(&text.as_ref()) {
                return Ok(text.as_ref().into());
            }
            Err(match meant::nearest(words.iter().copied(), text) {
                Some(near) => format!("is none of these, did you mean {near:?}?"),
                None => "is none of these".into(),
            })
        }
        (Kind::OneOfNumbers(numbers), DeValue::Integer(number)) => match integer(number) {
            Some(value) if numbers.iter().any(|one| i64::try_from(*one) == Ok(value)) => {
                Ok(value.into())
            }
            _ => Err("is none of these".into()),
        },
        (_, other) => Err(mistyped(kind, other)),
    }
}

/// The message that `value` has another type, and how to write it where its meaning is clear.
fn mistyped(kind: &Kind, value: &DeValue<'_>) -> String {
    let what = format!("is {}, not {}", article(value), wanted(kind));
    if matches!(kind, Kind::Text(check) if check.secret) {
        return what;
    }
    let meant = match (kind, value) {
        (Kind::Bool, DeValue::String(text)) => match text.to_ascii_lowercase().as_str() {
            "true" | "on" | "yes" | "1" => Some("true".to_owned()),
            "false" | "off" | "no" | "0" => Some("false".to_owned()),
            _ => None,
        },
        (Kind::Bool, DeValue::Integer(number)) => match number.as_str() {
            "1" => Some("true".to_owned()),
            "0" => Some("false".to_owned()),
            _ => None,
        },
        (
            Kind::Count { .. } | Kind::PowerOfTwo { .. } | Kind::OneOfNumbers(_),
            DeValue::String(text),
        ) => text.parse::<u64>().ok().map(|number| number.to_string()),
        (Kind::Texts(_) | Kind::SomeTexts(_), DeValue::String(text)) => Some(format!("[{text:?}]")),
        (Kind::Text(check), DeValue::Integer(number)) if (check.test)(number.as_str()).is_ok() => {
            Some(format!("\"{number}\""))
        }
        (Kind::Text(check), DeValue::Array(texts)) => match texts.first().map(Spanned::get_ref) {
            Some(DeValue::String(text)) if texts.len() == 1 && (check.test)(text).is_ok() => {
                Some(format!("{text:?}"))
            }
            _ => None,
        },
        _ => None,
    };
    meant.map_or(what.clone(), |meant| format!("{what}; write {meant}"))
}

fn integer(number: &DeInteger<'_>) -> Option<i64> {
    i64::from_str_radix(number.as_str(), number.radix()).ok()
}

fn ranged(number: &DeInteger<'_>, min: u64, max: u64) -> Result<i64, String> {
    let Some(value) = integer(number) else { return Err("is out of range".into()) };
    let within = u64::try_from(value).map_err(|_| "is negative".to_owned())?;
    in_range(within, &(min..=max), "small", "large")?;
    Ok(value)
}

/// `below` and `above`: the words for a value below or above `range`.
fn in_range<T: PartialOrd>(
    value: T,
    range: &RangeInclusive<T>,
    below: &str,
    above: &str,
) -> Result<(), String> {
    if range.contains(&value) {
        return Ok(());
    }
    Err(format!("is too {}", if value < *range.start() { below } else { above }))
}

fn article(value: &DeValue<'_>) -> &'static str {
    match value {
        DeValue::String(_) => "a text",
        DeValue::Integer(_) => "a whole number",
        DeValue::Float(_) => "a number with a fraction",
        DeValue::Boolean(_) => "true or false",
        DeValue::Datetime(_) => "a date",
        DeValue::Array(_) => "a list",
        DeValue::Table(_) => "a table",
    }
}

fn wanted(kind: &Kind) -> &'static str {
    match kind {
        Kind::Bool => "true or false",
        Kind::Count { .. } | Kind::PowerOfTwo { .. } | Kind::OneOfNumbers(_) => "a whole number",
        Kind::WordOrCount { .. } => "a word or a whole number",
        Kind::Duration { .. } => "a duration",
        Kind::Size { .. } => "a size",
        Kind::OneOf(_) | Kind::Text(_) => "a text",
        Kind::Texts(_) | Kind::SomeTexts(_) => "a list of texts",
        Kind::TextOrTexts(_) => "a text or a list of texts",
        Kind::TextsByName { .. } | Kind::Section(_) | Kind::SectionByName { .. } => "a table",
        Kind::Sections(_) | Kind::SomeSections(_) => "a list of tables",
        Kind::TextOrSection(..) => "a text or a table",
    }
}

/// The value for a missing key. For a required key it only keeps the shape: its absence has been reported, and no
/// conclusion is drawn from an empty text, an empty list or 0.
fn default_value(setting: &'static Setting) -> Option<toml::Value> {
    match setting.default {
        Default::Absent => None,
        Default::Filled => setting.kind.section().map(|section| defaults(section).into()),
        Default::Is(text) => DEFAULTS.get(text).cloned(),
        Default::Needed => Some(match &setting.kind {
            Kind::Sections(_) | Kind::SomeSections(_) | Kind::Texts(_) | Kind::SomeTexts(_) => {
                toml::value::Array::new().into()
            }
            Kind::Count { .. } => 0.into(),
            _ => "".into(),
        }),
    }
}

/// The default, unless another setting in `beside` limits it.
fn bounded_default(setting: &'static Setting, beside: &toml::Table) -> Option<toml::Value> {
    let default = default_value(setting)?;
    let duration = |value: &toml::Value| units::parse_duration(value.as_str()?).ok();
    let other = match setting.bound {
        None => None,
        Some(Bound::AtMost(key)) => {
            beside.get(key).filter(|other| duration(other) < duration(&default))
        }
        Some(Bound::AtLeast(key)) => {
            beside.get(key).filter(|other| duration(other) > duration(&default))
        }
    };
    let other = other.filter(|other| duration(other).is_some()).cloned();
    Some(other.unwrap_or(default))
}

/// A table of nothing but defaults.
pub(super) fn defaults(section: &'static Section) -> toml::Table {
    let filled =
        |setting: &'static Setting| Some((setting.key.to_owned(), default_value(setting)?));
    section.settings.iter().filter_map(filled).collect()
}

/// The values of all defaults that are written in TOML, by their text.
static DEFAULTS: LazyLock<HashMap<&str, toml::Value>> = LazyLock::new(|| {
    let texts = schema::listing().into_iter().filter_map(|listed| match listed.setting.default {
        Default::Is(text) => Some(text),
        Default::Needed | Default::Absent | Default::Filled => None,
    });
    texts.filter_map(|text| Some((text, toml_value(text)?))).collect()
});

fn toml_value(text: &str) -> Option<toml::Value> {
    let table: toml::Table = toml::from_str(&format!("value = {text}")).ok()?;
    table.get("value").cloned()
}
