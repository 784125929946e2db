//! The differences between two configurations, in words.
//!
//! Compares completed documents key by key, so that no setting can be forgotten; a few things (targets, rules, keys of
//! the ring) have sentences of their own. The order of listeners, rules, groups and targets does not count. Never shows
//! a secret. Pure; tested beside it.

use std::borrow::Cow;
use std::collections::HashMap;
use std::fmt;

use toml::{Table, Value};

use super::change::{Difference, Differences};
use super::config::schema::{FILE, Kind, Section};

/// Longest value that is shown whole, in characters.
const VALUE_CHARS_MAX: usize = 60;

/// Settings that take effect at once in sections that are otherwise read at start.
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

/// Most differences that are put into words; more are counted. Those of the process, some of which need a restart, come
/// first and are fewer.
const DIFFERENCES_MAX: usize = 100;

/// Most targets that are named; more are counted.
const NAMES_MAX: usize = 8;

/// About how many live sessions are bound to a target of a group; `None` = not known.
pub type Sessions<'s> = &'s dyn Fn(&str, &str) -> Option<u64>;

/// The differences from `before` to `after`, both completed by `config::parse_complete`, in the order of the
/// file.
pub fn differences(before: &Table, after: &Table, sessions: Sessions<'_>) -> Differences {
    let whole = Sides { before, after };
    let mut found = Found { differences: Differences::default(), sessions };
    for (section, needs_restart) in
        [("process", true), ("access_log", true), ("admin", true), ("stickiness_keys", false)]
    {
        let tables = whole.get(section).tables();
        if section == "stickiness_keys" {
            found.keys(tables);
        } else if let Some(settings) = FILE.setting(section).and_then(|one| one.kind.section()) {
            let label = section.to_owned();
            let about = About { kind: section, label, needs_restart, apart: &[] };
            found.settings(&about, settings, "", tables);
        }
    }
    found.listeners(whole.lists("listener"));
    found.groups(whole.lists("target_group"));
    found.differences
}

/// The owner of the compared settings.
struct About {
    kind: &'static str,
    label: String,
    needs_restart: bool,
    /// Keys that have sentences of their own.
    apart: &'static [&'static str],
}

impl About {
    /// A thing of which there may be several; its settings take effect at once.
    fn thing(kind: &'static str, label: String, apart: &'static [&'static str]) -> About {
        About { kind, label, needs_restart: false, apart }
    }
}

/// The same thing in both configurations.
#[derive(Debug, Clone, Copy)]
struct Sides<T> {
    before: T,
    after: T,
}

impl<'t> Sides<&'t Table> {
    fn get(self, key: &str) -> Sides<Option<&'t Value>> {
        Sides { before: self.before.get(key), after: self.after.get(key) }
    }

    /// The tables of a list.
    fn lists(self, key: &str) -> Sides<Vec<&'t Table>> {
        Sides { before: list(self.before, key), after: list(self.after, key) }
    }
}

impl<'t> Sides<Option<&'t Value>> {
    /// As tables; a missing one counts as empty.
    fn tables(self) -> Sides<&'t Table> {
        let table = |value: Option<&'t Value>| value.and_then(Value::as_table).unwrap_or(empty());
        Sides { before: table(self.before), after: table(self.after) }
    }
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

    /// Whether another difference may be put into words; otherwise it is counted.
    fn has_room(&mut self) -> bool {
        let has_room = self.differences.said.len() < DIFFERENCES_MAX;
        self.differences.more += usize::from(!has_room);
        has_room
    }

    /// Compares every setting of a table; `prefix` stands before its keys.
    fn settings(
        &mut self,
        about: &About,
        section: &'static Section,
        prefix: &str,
        tables: Sides<&Table>,
    ) {
        if tables.before == tables.after {
            return;
        }
        for setting in section.settings {
            let values = tables.get(setting.key);
            if values.before == values.after {
                continue;
            }
            let key = format!("{prefix}{}", setting.key);
            if about.apart.contains(&&*key) {
                continue;
            }
            match (&setting.kind, values.before, values.after) {
                (Kind::Section(inner), Some(Value::Table(_)), Some(Value::Table(_))) => {
                    self.settings(about, inner, &format!("{key}."), values.tables());
                }
                (Kind::SectionByName { section: inner, .. }, ..) => {
                    self.by_name(about, inner, &key, values.tables());
                }
                (kind, ..) => {
                    let is_secret = matches!(kind, Kind::Text(check) if check.secret);
                    self.setting(about, &key, is_secret, values);
                }
            }
        }
    }

    fn by_name(
        &mut self,
        about: &About,
        section: &'static Section,
        key: &str,
        tables: Sides<&Table>,
    ) {
        let Sides { before, after } = tables;
        let names = before.keys().chain(after.keys().filter(|name| !before.contains_key(*name)));
        for name in names {
            let (key, values) = (format!("{key}.{name}"), tables.get(name));
            match (values.before, values.after) {
                (Some(Value::Table(_)), Some(Value::Table(_))) => {
                    self.settings(about, section, &format!("{key}."), values.tables());
                }
                _ => self.setting(about, &key, false, values),
            }
        }
    }

    fn setting(
        &mut self,
        about: &About,
        key: &str,
        is_secret: bool,
        values: Sides<Option<&Value>>,
    ) {
        if !self.has_room() {
            return;
        }
        let label = &about.label;
        let text = match (values.before, values.after) {
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
        // Whether there is TLS is decided at the start; how it is, at each handshake.
        let is_live =
            LIVE.contains(&(about.kind, key)) || about.kind == "admin" && key.starts_with("tls.");
        let needs_restart = about.needs_restart && !is_live;
        self.differences.said.push(Difference { kind, text, needs_restart });
    }

    /// Compares the key ring, of which only ids are shown.
    fn keys(&mut self, tables: Sides<&Table>) {
        let ring = |table: &Table| -> Vec<(i64, String)> {
            let key = |key: &&Table| {
                let id = key.get("id").and_then(Value::as_integer).unwrap_or_default();
                (id, name(key, "secret").to_owned())
            };
            list(table, "keys").iter().map(key).collect()
        };
        let (before, after) = (ring(tables.before), ring(tables.after));
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

    fn listeners(&mut self, listeners: Sides<Vec<&Table>>) {
        let Some(section) = FILE.setting("listener").and_then(|one| one.kind.section()) else {
            return;
        };
        for pair in pairs(listeners, |listener| name(listener, "name").into()) {
            match pair {
                Pair::Removed(listener) => {
                    let (name, address) = (name(listener, "name"), name(listener, "address"));
                    self.add("listener", format_args!("listener {name} removed, with {address}"));
                }
                Pair::Added(listener) => {
                    let (name, address) = (name(listener, "name"), name(listener, "address"));
                    self.add("listener", format_args!("listener {name} added, on {address}"));
                }
                Pair::Both(both) => {
                    let listener = name(both.before, "name");
                    let label = format!("listener {listener}");
                    let about = About::thing("listener", label, &["rule"]);
                    self.settings(&about, section, "", both);
                    self.rules(listener, both.lists("rule"), section);
                }
            }
        }
    }

    fn rules(&mut self, listener: &str, rules: Sides<Vec<&Table>>, section: &'static Section) {
        let Some(section) = section.setting("rule").and_then(|one| one.kind.section()) else {
            return;
        };
        for pair in pairs(rules, rule_name) {
            match pair {
                Pair::Removed(rule) => {
                    let name = rule_name(rule);
                    self.add("rule", format_args!("rule {name} of listener {listener} removed"));
                }
                Pair::Added(rule) => {
                    let name = rule_name(rule);
                    self.add("rule", format_args!("rule {name} of listener {listener} added"));
                }
                Pair::Both(both) => {
                    let label = format!("rule {} of listener {listener}", rule_name(both.before));
                    let about = About::thing("rule", label, &["name"]);
                    self.settings(&about, section, "", both);
                }
            }
        }
    }

    fn groups(&mut self, groups: Sides<Vec<&Table>>) {
        let Some(section) = FILE.setting("target_group").and_then(|one| one.kind.section()) else {
            return;
        };
        for pair in pairs(groups, |group| name(group, "name").into()) {
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
                Pair::Both(both) => {
                    let group = name(both.before, "name");
                    let label = format!("target group {group}");
                    let about = About::thing("group", label, &["target"]);
                    self.settings(&about, section, "", both);
                    self.targets(group, both.lists("target"), section);
                }
            }
        }
    }

    fn targets(&mut self, group: &str, targets: Sides<Vec<&Table>>, section: &'static Section) {
        let Some(section) = section.setting("target").and_then(|one| one.kind.section()) else {
            return;
        };
        let (mut removed, mut added) = (Vec::new(), Vec::new());
        for pair in pairs(targets, |target| target_id(target).into()) {
            match pair {
                Pair::Removed(target) => removed.push(target),
                Pair::Added(target) => added.push(target),
                Pair::Both(both) => {
                    let label = format!("target {} of {group}", target_id(both.before));
                    // The id may be given or derived from the address; here it is the same.
                    let about = About::thing("target", label, &["id"]);
                    self.settings(&about, section, "", both);
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

    /// ", about 410 live sessions bound to them", if the number is known and not 0.
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
    Both(Sides<&'t Table>),
}

/// Pairs tables by name; the earlier ones first, then the new ones.
fn pairs<'t>(
    lists: Sides<Vec<&'t Table>>,
    name: impl Fn(&'t Table) -> Cow<'t, str>,
) -> Vec<Pair<'t>> {
    let Sides { before, after } = lists;
    let mut left: HashMap<Cow<'t, str>, &Table, ahash::RandomState> =
        after.iter().map(|table| (name(table), *table)).collect();
    let mut pairs: Vec<Pair<'_>> = Vec::with_capacity(before.len());
    for table in before {
        pairs.push(match left.remove(&name(table)) {
            Some(after) => Pair::Both(Sides { before: table, after }),
            None => Pair::Removed(table),
        });
    }
    let new = after.into_iter().filter(|table| left.contains_key(&name(table)));
    pairs.extend(new.map(Pair::Added));
    pairs
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

/// The given name, or the one derived from the priority.
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

/// A value in the file's form, cut if it is long.
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
