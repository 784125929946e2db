//! Every setting of the file: key, kind, default, range, a sentence. One table that drives the walk over a file, the
//! filling in of defaults, `limpet settings`, and the test of `config/limpet.toml`.
//!
//! Nothing else in the tree states a default of the file. Does not define the effect of a setting. Tested by
//! `tests/config.rs` against `config/limpet.toml`.

mod admin;
mod health;
mod listener;
mod process;
mod target_group;
mod target_tls;
mod tls;

use std::time::Duration;

use super::units;

pub use target_group::STICKINESS;

/// A table of the file.
#[derive(Debug)]
pub struct Section {
    pub settings: &'static [Setting],
}

/// One key of a table.
#[derive(Debug)]
pub struct Setting {
    pub key: &'static str,
    pub kind: Kind,
    pub default: Default,
    /// Limits the default when the file has the other setting and not this one.
    pub bound: Option<Bound>,
    pub about: &'static str,
}

/// A default that adapts to another setting of the same table, so that it never contradicts the file.
#[derive(Debug, Clone, Copy)]
pub enum Bound {
    AtMost(&'static str),
    AtLeast(&'static str),
}

/// The default of a key.
#[derive(Debug, Clone, Copy)]
pub enum Default {
    /// None: the file must have the key.
    Needed,
    /// None: the setting is off, or follows from others as its sentence says.
    Absent,
    /// This value, in TOML.
    Is(&'static str),
    /// The table with all of its own defaults.
    Filled,
}

/// The values that a setting may have.
#[derive(Debug)]
pub enum Kind {
    Bool,
    Count {
        min: u64,
        max: u64,
    },
    PowerOfTwo {
        min: u64,
        max: u64,
    },
    /// One word, such as "auto", or a number.
    WordOrCount {
        word: &'static str,
        min: u64,
        max: u64,
    },
    /// `off`: 0 is allowed as well and means off.
    Duration {
        min: Duration,
        max: Duration,
        off: bool,
    },
    /// In bytes.
    Size {
        min: u64,
        max: u64,
        off: bool,
    },
    OneOf(&'static [&'static str]),
    OneOfNumbers(&'static [u64]),
    Text(&'static Check),
    Texts(&'static Check),
    /// At least one, because an empty list would be read as "any", or could never match.
    SomeTexts(&'static Check),
    /// At least one, which may stand without a list.
    TextOrTexts(&'static Check),
    /// A table from at least one name to at least one value each.
    TextsByName {
        name: &'static Check,
        values: &'static Check,
    },
    Section(&'static Section),
    Sections(&'static Section),
    /// At least one.
    SomeSections(&'static Section),
    SectionByName {
        name: &'static Check,
        section: &'static Section,
    },
    TextOrSection(&'static Check, &'static Section),
}

/// The rule for a text.
#[derive(Debug)]
pub struct Check {
    pub allowed: &'static str,
    /// The error is the predicate of a sentence; empty when `allowed` says it all.
    pub test: fn(&str) -> Result<(), String>,
    /// Never to be quoted.
    pub secret: bool,
}

impl Check {
    pub(super) const fn new(allowed: &'static str, test: fn(&str) -> Result<(), String>) -> Check {
        Check { allowed, test, secret: false }
    }
}

pub(super) const fn setting(
    key: &'static str,
    kind: Kind,
    default: Default,
    about: &'static str,
) -> Setting {
    Setting { key, kind, default, bound: None, about }
}

impl Setting {
    /// The default is that of `key` where that is less.
    const fn at_most(mut self, key: &'static str) -> Setting {
        self.bound = Some(Bound::AtMost(key));
        self
    }

    /// The default is that of `key` where that is more.
    const fn at_least(mut self, key: &'static str) -> Setting {
        self.bound = Some(Bound::AtLeast(key));
        self
    }
}

const fn seconds(min_s: u64, max_s: u64) -> Kind {
    let (min, max) = (Duration::from_secs(min_s), Duration::from_secs(max_s));
    Kind::Duration { min, max, off: false }
}

const fn milliseconds_to_seconds(min_ms: u64, max_s: u64) -> Kind {
    let (min, max) = (Duration::from_millis(min_ms), Duration::from_secs(max_s));
    Kind::Duration { min, max, off: false }
}

const fn seconds_or_off(min_s: u64, max_s: u64) -> Kind {
    let (min, max) = (Duration::from_secs(min_s), Duration::from_secs(max_s));
    Kind::Duration { min, max, off: true }
}

const DAY_S: u64 = 86_400;
const KIB: u64 = 1 << 10;
const MIB: u64 = 1 << 20;
const GIB: u64 = 1 << 30;

/// The whole file.
pub static FILE: Section = Section {
    settings: &[
        setting(
            "process",
            Kind::Section(&process::PROCESS),
            Default::Filled,
            "The process: read once, at start.",
        ),
        setting(
            "access_log",
            Kind::Section(&process::ACCESS_LOG),
            Default::Filled,
            "One line per request.",
        ),
        setting(
            "admin",
            Kind::Section(&admin::ADMIN),
            Default::Filled,
            "The admin API and the console; off until it has an address or a socket.",
        ),
        setting(
            "stickiness_keys",
            Kind::Section(&process::STICKINESS_KEYS),
            Default::Filled,
            "The key ring that seals stickiness cookies.",
        ),
        setting(
            "listener",
            Kind::SomeSections(&listener::LISTENER),
            Default::Needed,
            "Where clients connect; at least one.",
        ),
        setting(
            "target_group",
            Kind::Sections(&target_group::TARGET_GROUP),
            Default::Is("[]"),
            "Servers that can answer for each other.",
        ),
    ],
};

impl Section {
    pub fn setting(&self, key: &str) -> Option<&'static Setting> {
        self.settings.iter().find(|setting| setting.key == key)
    }
}

impl Kind {
    /// The table inside a value of this kind.
    pub fn section(&self) -> Option<&'static Section> {
        match self {
            Kind::Section(section)
            | Kind::Sections(section)
            | Kind::SomeSections(section)
            | Kind::SectionByName { section, .. }
            | Kind::TextOrSection(_, section) => Some(section),
            Kind::Bool
            | Kind::Count { .. }
            | Kind::PowerOfTwo { .. }
            | Kind::WordOrCount { .. }
            | Kind::Duration { .. }
            | Kind::Size { .. }
            | Kind::OneOf(_)
            | Kind::OneOfNumbers(_)
            | Kind::Text(_)
            | Kind::Texts(_)
            | Kind::SomeTexts(_)
            | Kind::TextOrTexts(_)
            | Kind::TextsByName { .. } => None,
        }
    }

    /// The allowed values, as the end of a message.
    pub fn allowed(&self) -> String {
        match self {
            Kind::Bool => "true or false".into(),
            Kind::Count { min, max } => format!("a whole number from {min} to {max}"),
            Kind::PowerOfTwo { min, max } => format!("a power of two from {min} to {max}"),
            Kind::WordOrCount { word, min, max } => {
                format!("{word:?} or a whole number from {min} to {max}")
            }
            Kind::Duration { min, max, off } => format!(
                "a duration from {:?} to {:?}{}",
                units::show_duration(*min),
                units::show_duration(*max),
                if *off { ", or 0 = off" } else { "" }
            ),
            Kind::Size { min, max, off } => format!(
                "a size from {:?} to {:?}{}",
                units::show_size(*min),
                units::show_size(*max),
                if *off { ", or 0 = off" } else { "" }
            ),
            Kind::OneOf(words) => one_of(words.iter().map(|word| format!("{word:?}"))),
            Kind::OneOfNumbers(numbers) => one_of(numbers.iter().map(u64::to_string)),
            Kind::Text(check) => check.allowed.into(),
            Kind::Texts(check) => format!("a list of texts, each {}", check.allowed),
            Kind::SomeTexts(check) => some_texts(check),
            Kind::TextOrTexts(check) => format!("{}; or a list of such texts", check.allowed),
            Kind::TextsByName { name, values } => {
                format!("a table from {} to {}", name.allowed, some_texts(values))
            }
            Kind::Section(section) => format!("a table with {}", section.keys()),
            Kind::Sections(section) => format!("a list of tables with {}", section.keys()),
            Kind::SomeSections(section) => {
                format!("a list of one or more tables with {}", section.keys())
            }
            Kind::SectionByName { name, section } => {
                format!("a table from {} to a table with {}", name.allowed, section.keys())
            }
            Kind::TextOrSection(check, section) => {
                format!("{}, or a table with {}", check.allowed, section.keys())
            }
        }
    }
}

/// The allowed values of a list that must not be empty.
pub(super) fn some_texts(each: &Check) -> String {
    format!("a list of one or more texts, each {}", each.allowed)
}

/// "a, b or c".
fn one_of(words: impl Iterator<Item = String>) -> String {
    let mut words: Vec<String> = words.collect();
    match words.pop() {
        Some(last) if words.is_empty() => last,
        Some(last) => format!("{} or {last}", words.join(", ")),
        None => String::new(),
    }
}

impl Section {
    /// The section's keys, for a message.
    pub fn keys(&self) -> String {
        self.settings.iter().map(|setting| setting.key).collect::<Vec<_>>().join(", ")
    }
}

/// One line of [`listing`].
#[derive(Debug, Clone)]
pub struct Listed {
    /// "listener.timeouts.head"; in a table by name, "*" replaces the name.
    pub path: String,
    pub setting: &'static Setting,
}

/// Every setting of the file, each table before its own settings.
pub fn listing() -> Vec<Listed> {
    let mut listed = Vec::new();
    list(&FILE, "", &mut listed);
    listed
}

fn list(section: &'static Section, prefix: &str, listed: &mut Vec<Listed>) {
    for setting in section.settings {
        let path = format!("{prefix}{}", setting.key);
        listed.push(Listed { path: path.clone(), setting });
        if let Some(inner) = setting.kind.section() {
            let by_name = matches!(setting.kind, Kind::SectionByName { .. });
            let inner_prefix = if by_name { format!("{path}.*.") } else { format!("{path}.") };
            list(inner, &inner_prefix, listed);
        }
    }
}
