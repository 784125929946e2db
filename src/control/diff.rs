//! What differs between two configurations, in words.
//!
//! Compares completed documents key by key, so that no setting can be forgotten; a few things (targets, rules,
//! keys of the ring) have sentences of their own. The order of listeners, rules, groups and targets is no
//! difference. Never shows a secret. Pure; tested beside it.

use std::borrow::Cow;
use std::collections::HashMap;
use std::fmt;

use toml::{Table, Value};

use super::change::{Difference, Differences};
use super::config::schema::{FILE, Kind, Section};

/// Longest value that is shown whole, in characters.
const VALUE_CHARS_MAX: usize = 60;

/// Settings that are followed at once in sections that are otherwise read at start.
const LIVE: [(&str, &str); 8] = [
    ("process", "grace_period"),
    ("process", "watch_config"),
    ("process", "log_level"),
    ("access_log", "output"),
    ("access_log", "format"),
    ("access_log", "template"),
    ("access_log", "sample"),
    ("access_log", "query"),
];

/// Differences that are put into words; more are counted. Those of the process, of which some wait for a restart,
/// come first and are fewer.
const DIFFERENCES_MAX: usize = 100;

/// Targets that are named one by one; more are counted.
const NAMES_MAX: usize = 8;

/// About how many live sessions are bound to a target of a group; `None` = not known.
pub type Sessions<'s> = &'s dyn Fn(&str, &str) -> Option<u64>;

/// The differences from `before` to `after`, both completed by `config::parse_complete`, in the order of the
/// file.
pub fn differences(before: &Table, after: &Table, sessions: Sessions<'_>) -> Differences {
    let mut found = Found { differences: Differences::default(), sessions };
    for (section, needs_restart) in
        [("process", true), ("access_log", true), ("admin", true), ("stickiness_keys", false)]
    {
        let (one, other) = (table(before, section), table(after, section));
        if section == "stickiness_keys" {
            found.keys(one, other);
        } else if let Some(settings) = FILE.setting(section).and_then(|one| one.kind.section()) {
            let about = About { kind: section, label: section.to_owned(), needs_restart };
            found.settings(&about, settings, "", (one, other), &[]);
        }
    }
    found.listeners(list(before, "listener"), list(after, "listener"));
    found.groups(list(before, "target_group"), list(after, "target_group"));
    found.differences
}

/// Whose settings are compared.
struct About {
    kind: &'static str,
    label: String,
    needs_restart: bool,
}

struct Found<'s> {
    differences: Differences,
    sessions: Sessions<'s>,
}

impl Found<'_> {
    fn add(&mut self, kind: &'static str, text: fmt::Arguments<'_>) {
        if self.has_room() {
            let text = text.to_string();
            self.differences.said.push(Difference { kind, text, needs_restart: false });
        }
    }

    /// Whether another difference is put into words; otherwise it is counted.
    fn has_room(&mut self) -> bool {
        let has_room = self.differences.said.len() < DIFFERENCES_MAX;
        self.differences.more += usize::from(!has_room);
        has_room
    }

    /// Every setting of a table that differs, but those in `apart`.
    fn settings(
        &mut self,
        about: &About,
        section: &'static Section,
        prefix: &str,
        (before, after): (&Table, &Table),
        apart: &[&str],
    ) {
        if before == after {
            return;
        }
        for setting in section.settings.iter().filter(|one| !apart.contains(&one.key)) {
            let (one, other) = (before.get(setting.key), after.get(setting.key));
            if one == other {
                continue;
            }
            let key = format!("{prefix}{}", setting.key);
            match (&setting.kind, one, other) {
                (Kind::Section(inner), Some(Value::Table(one)), Some(Value::Table(other))) => {
                    self.settings(about, inner, &format!("{key}."), (one, other), &[]);
                }
                (Kind::SectionByName { section: inner, .. }, one, other) => {
                    let named = |value| Option::and_then(value, Value::as_table).unwrap_or(empty());
                    self.by_name(about, inner, &key, (named(one), named(other)));
                }
                (kind, one, other) => {
                    let is_secret = matches!(kind, Kind::Text(check) if check.secret);
                    self.setting(about, &key, is_secret, (one, other));
                }
            }
        }
    }

    fn by_name(
        &mut self,
        about: &About,
        section: &'static Section,
        key: &str,
        (before, after): (&Table, &Table),
    ) {
        let names = before.keys().chain(after.keys().filter(|name| !before.contains_key(*name)));
        for name in names {
            let key = format!("{key}.{name}");
            match (before.get(name), after.get(name)) {
                (Some(Value::Table(one)), Some(Value::Table(other))) => {
                    self.settings(about, section, &format!("{key}."), (one, other), &[]);
                }
                (one, other) => self.setting(about, &key, false, (one, other)),
            }
        }
    }

    fn setting(
        &mut self,
        about: &About,
        key: &str,
        is_secret: bool,
        (before, after): (Option<&Value>, Option<&Value>),
    ) {
        if !self.has_room() {
            return;
        }
        let label = &about.label;
        let text = match (before, after) {
            (None, Some(_)) if is_secret => format!("{label}: {key} is set"),
            (Some(_), None) if is_secret => format!("{label}: {key} is no longer set"),
            _ if is_secret => format!("{label}: {key} is another one"),
            (None, Some(after)) => format!("{label}: {key} not set → {}", shown(after)),
            (Some(before), None) => format!("{label}: {key} {} → not set", shown(before)),
            (before, after) => {
                let shown = |value: Option<&Value>| value.map(shown).unwrap_or_default();
                format!("{label}: {key} {} → {}", shown(before), shown(after))
            }
        };
        let kind = if key.starts_with("stickiness.") { "stickiness" } else { about.kind };
        let needs_restart = about.needs_restart && !LIVE.contains(&(about.kind, key));
        self.differences.said.push(Difference { kind, text, needs_restart });
    }

    /// The key ring, of which only ids are ever shown.
    fn keys(&mut self, before: &Table, after: &Table) {
        let ring = |table: &Table| -> Vec<(i64, String)> {
            let key = |key: &&Table| {
                let id = key.get("id").and_then(Value::as_integer).unwrap_or_default();
                (id, name(key, "secret").to_owned())
            };
            list(table, "keys").iter().map(key).collect()
        };
        let (before, after) = (ring(before), ring(after));
        let ids = |ring: &[(i64, String)]| match ring {
            [] => "none".to_owned(),
            ring => ring.iter().map(|(id, _)| id.to_string()).collect::<Vec<_>>().join(", "),
        };
        let (one, other) = (ids(&before), ids(&after));
        if one != other {
            self.add("stickiness_keys", format_args!("stickiness keys: {one} → {other}"));
        }
        for (id, secret) in &after {
            if before.iter().any(|(one, old)| one == id && old != secret) {
                self.add(
                    "stickiness_keys",
                    format_args!("stickiness keys: the secret of key {id} is another one"),
                );
            }
        }
    }

    fn listeners(&mut self, before: Vec<&Table>, after: Vec<&Table>) {
        let Some(section) = FILE.setting("listener").and_then(|one| one.kind.section()) else {
            return;
        };
        for pair in pairs(before, after, |listener| name(listener, "name").into()) {
            match pair {
                Pair::Removed(listener) => {
                    let (name, address) = (name(listener, "name"), name(listener, "address"));
                    self.add("listener", format_args!("listener {name} removed, with {address}"));
                }
                Pair::Added(listener) => {
                    let (name, address) = (name(listener, "name"), name(listener, "address"));
                    self.add("listener", format_args!("listener {name} added, on {address}"));
                }
                Pair::Both(one, other) => {
                    let label = format!("listener {}", name(one, "name"));
                    let about = About { kind: "listener", label, needs_restart: false };
                    self.settings(&about, section, "", (one, other), &["rule"]);
                    self.rules(name(one, "name"), list(one, "rule"), list(other, "rule"), section);
                }
            }
        }
    }

    fn rules(
        &mut self,
        listener: &str,
        before: Vec<&Table>,
        after: Vec<&Table>,
        section: &'static Section,
    ) {
        let Some(section) = section.setting("rule").and_then(|one| one.kind.section()) else {
            return;
        };
        for pair in pairs(before, after, rule_name) {
            match pair {
                Pair::Removed(rule) => {
                    let name = rule_name(rule);
                    self.add("rule", format_args!("rule {name} of listener {listener} removed"));
                }
                Pair::Added(rule) => {
                    let name = rule_name(rule);
                    self.add("rule", format_args!("rule {name} of listener {listener} added"));
                }
                Pair::Both(one, other) => {
                    let label = format!("rule {} of listener {listener}", rule_name(one));
                    let about = About { kind: "rule", label, needs_restart: false };
                    self.settings(&about, section, "", (one, other), &["name"]);
                }
            }
        }
    }

    fn groups(&mut self, before: Vec<&Table>, after: Vec<&Table>) {
        let Some(section) = FILE.setting("target_group").and_then(|one| one.kind.section()) else {
            return;
        };
        for pair in pairs(before, after, |group| name(group, "name").into()) {
            match pair {
                Pair::Removed(group) => {
                    if !self.has_room() {
                        continue;
                    }
                    let name = name(group, "name");
                    let targets = list(group, "target");
                    let bound = self.bound(name, &targets);
                    let count = counted(targets.len(), "target");
                    let text = format!("target group {name} removed, with {count}{bound}");
                    let kind = "group";
                    self.differences.said.push(Difference { kind, text, needs_restart: false });
                }
                Pair::Added(group) => {
                    let count = counted(list(group, "target").len(), "target");
                    let name = name(group, "name");
                    self.add("group", format_args!("target group {name} added, with {count}"));
                }
                Pair::Both(one, other) => {
                    let group = name(one, "name");
                    let label = format!("target group {group}");
                    let about = About { kind: "group", label, needs_restart: false };
                    self.settings(&about, section, "", (one, other), &["target"]);
                    self.targets(group, list(one, "target"), list(other, "target"), section);
                }
            }
        }
    }

    fn targets(
        &mut self,
        group: &str,
        before: Vec<&Table>,
        after: Vec<&Table>,
        section: &'static Section,
    ) {
        let Some(section) = section.setting("target").and_then(|one| one.kind.section()) else {
            return;
        };
        let (mut removed, mut added) = (Vec::new(), Vec::new());
        for pair in pairs(before, after, |target| target_id(target).into()) {
            match pair {
                Pair::Removed(target) => removed.push(target),
                Pair::Added(target) => added.push(target),
                Pair::Both(one, other) => {
                    let label = format!("target {} of {group}", target_id(one));
                    let about = About { kind: "target", label, needs_restart: false };
                    // The id may be given or follow from the address; here it is the same.
                    self.settings(&about, section, "", (one, other), &["id"]);
                }
            }
        }
        if !removed.is_empty() && self.has_room() {
            let bound = self.bound(group, &removed);
            let text = match removed.as_slice() {
                [one] => format!("target {} removed from {group}{bound}", target_id(one)),
                many => {
                    let count = many.len();
                    format!("{count} targets removed from {group}{bound}: {}", names(many))
                }
            };
            let kind = "target";
            self.differences.said.push(Difference { kind, text, needs_restart: false });
        }
        match added.as_slice() {
            [] => {}
            [one] => self.add("target", format_args!("target {} added to {group}", target_id(one))),
            many => {
                let count = many.len();
                self.add(
                    "target",
                    format_args!("{count} targets added to {group}: {}", names(many)),
                );
            }
        }
    }

    /// ", about 410 live sessions bound to them", where that is known and not nothing.
    fn bound(&self, group: &str, targets: &[&Table]) -> String {
        let known = targets.iter().filter_map(|target| (self.sessions)(group, target_id(target)));
        match (known.fold(0, u64::saturating_add), targets.len()) {
            (0, _) => String::new(),
            (1, 1) => ", about 1 live session bound to it".to_owned(),
            (sessions, 1) => format!(", about {sessions} live sessions bound to it"),
            (1, _) => ", about 1 live session bound to them".to_owned(),
            (sessions, _) => format!(", about {sessions} live sessions bound to them"),
        }
    }
}

/// One thing of two lists.
enum Pair<'t> {
    Removed(&'t Table),
    Added(&'t Table),
    Both(&'t Table, &'t Table),
}

/// Pairs tables of one name; first what was there before, then what is new.
fn pairs<'t>(
    before: Vec<&'t Table>,
    after: Vec<&'t Table>,
    name: impl Fn(&'t Table) -> Cow<'t, str>,
) -> Vec<Pair<'t>> {
    let mut left: HashMap<Cow<'t, str>, &Table, ahash::RandomState> =
        after.iter().map(|table| (name(table), *table)).collect();
    let mut pairs: Vec<Pair<'_>> = Vec::with_capacity(before.len());
    for table in before {
        pairs.push(match left.remove(&name(table)) {
            Some(other) => Pair::Both(table, other),
            None => Pair::Removed(table),
        });
    }
    let new = after.into_iter().filter(|table| left.contains_key(&name(table)));
    pairs.extend(new.map(Pair::Added));
    pairs
}

fn table<'t>(of: &'t Table, key: &str) -> &'t Table {
    of.get(key).and_then(Value::as_table).unwrap_or(empty())
}

fn empty() -> &'static Table {
    static EMPTY: std::sync::LazyLock<Table> = std::sync::LazyLock::new(Table::new);
    &EMPTY
}

fn list<'t>(of: &'t Table, key: &str) -> Vec<&'t Table> {
    let array = of.get(key).and_then(Value::as_array);
    array.map(|array| array.iter().filter_map(Value::as_table).collect()).unwrap_or_default()
}

fn name<'t>(of: &'t Table, key: &str) -> &'t str {
    of.get(key).and_then(Value::as_str).unwrap_or_default()
}

fn target_id(target: &Table) -> &str {
    match name(target, "id") {
        "" => name(target, "address"),
        id => id,
    }
}

/// The name given, or the one that follows from the priority.
fn rule_name(rule: &Table) -> Cow<'_, str> {
    let priority = rule.get("priority").and_then(Value::as_integer).unwrap_or_default();
    match name(rule, "name") {
        "" => format!("rule-{priority}").into(),
        name => name.into(),
    }
}

fn names(targets: &[&Table]) -> String {
    let shown: Vec<&str> = targets.iter().take(NAMES_MAX).map(|one| target_id(one)).collect();
    let more = targets.len().saturating_sub(NAMES_MAX);
    let shown = shown.join(", ");
    if more == 0 { shown } else { format!("{shown} and {more} more") }
}

fn counted(count: usize, of: &str) -> String {
    let plural = if count == 1 { "" } else { "s" };
    format!("{count} {of}{plural}")
}

/// A value as the file has it, cut where it is long.
fn shown(value: &Value) -> String {
    let whole = inline(value);
    let short: String = whole.chars().take(VALUE_CHARS_MAX).collect();
    if short.len() < whole.len() { format!("{short}…") } else { whole }
}

fn inline(value: &Value) -> String {
    match value {
        Value::Array(values) => {
            format!("[{}]", values.iter().map(inline).collect::<Vec<_>>().join(", "))
        }
        Value::Table(table) => {
            let pairs = table.iter().map(|(key, value)| format!("{key} = {}", inline(value)));
            format!("{{ {} }}", pairs.collect::<Vec<_>>().join(", "))
        }
        Value::String(_)
        | Value::Integer(_)
        | Value::Float(_)
        | Value::Boolean(_)
        | Value::Datetime(_) => value.to_string(),
    }
}

#[cfg(test)]
#[path = "diff_tests.rs"]
mod tests;
