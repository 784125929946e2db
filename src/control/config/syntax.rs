//! The fault of a text that is not TOML, in words that name the place.
//!
//! The parser tells what it expected; this file finds which key stands twice, and where it stood first. Does not know
//! settings. Tested beside it and by `tests/config.rs`.

use std::ops::Range;

use toml::de::{DeTable, DeValue, Error};

use super::problems::Report;
use super::schema::{self, Kind};

/// Reports `error`, which came from parsing the text into `document`.
pub(super) fn report(error: &Error, document: &DeTable<'_>, report: &mut Report<'_>) {
    let span = error.span().unwrap_or(0..0);
    let message = one_line(error.message());
    let found = report.quote(&span);
    if message == "duplicate key" {
        let (what, allowed) = duplicate(&found, &span, document, report);
        let what = format!("is not TOML: duplicate key {found}{what}");
        report.add_unquoted(&span, "", what, allowed);
        return;
    }
    let is_bare = message.contains("must be quoted") && !is_secret(report.before(span.start));
    let allowed = is_bare.then(|| match found.as_str() {
        "on" | "yes" | "On" | "Yes" | "True" | "TRUE" => "true, or a text in quotes".to_owned(),
        "off" | "no" | "Off" | "No" | "False" | "FALSE" => "false, or a text in quotes".to_owned(),
        text => format!("\"{text}\""),
    });
    let what = format!("is not TOML: {message}");
    match is_bare {
        true => report.add(&span, "", what, allowed),
        false => report.add_unquoted(&span, "", what, allowed),
    }
}

/// Whether the last line of `before` sets a secret.
fn is_secret(before: &str) -> bool {
    let line = before.lines().next_back().unwrap_or_default();
    schema::listing().iter().any(|listed| {
        let key = listed.path.rsplit('.').next().unwrap_or_default();
        matches!(listed.setting.kind, Kind::Text(check) if check.secret) && line.contains(key)
    })
}

/// The text behind "duplicate key NAME", and how to correct it.
fn duplicate(
    name: &str,
    span: &Range<usize>,
    document: &DeTable<'_>,
    report: &Report<'_>,
) -> (String, Option<String>) {
    let name = name.trim_matches(['"', '\'']);
    let mut first = None;
    nearest(document, name, span.start, &mut first);
    let before = report.before(span.start);
    let Some(first) = first else { return same_head(before, name) };
    let line = report.line(first.key.start);
    let is_list = before.trim_end().ends_with("[[");
    match (first.is_table, is_list) {
        (true, true) => {
            let what = format!(
                ", because a table of {name} (line {line}) stands before the first [[…{name}]] that it could be part of"
            );
            (what, Some(format!("[[…{name}]] first, and what is in it behind it")))
        }
        (_, true) => (format!(", which stands already in line {line}, not as [[…{name}]]"), None),
        (_, false) => {
            (format!(", which stands already in line {line}"), Some("each key once".to_owned()))
        }
    }
}

/// For a table whose head stands twice: the parser keeps only the second place of its key.
fn same_head(before: &str, name: &str) -> (String, Option<String>) {
    let open = before.lines().next_back().unwrap_or_default().trim_start();
    let head = format!("{open}{name}]");
    let line = before.lines().position(|line| line.trim_start().starts_with(&head));
    match line.filter(|_| open.starts_with('[')) {
        Some(line) => {
            let what = format!(", which stands already in line {}", line.saturating_add(1));
            (what, Some(format!("{head} once, with all that is in it")))
        }
        None => (String::new(), None),
    }
}

/// Where a key stood first.
struct First {
    key: Range<usize>,
    is_table: bool,
    /// The last key before the second one in the same table.
    last: usize,
}

/// Finds, among the tables that have `name` before `end`, the one that was written to last.
fn nearest(table: &DeTable<'_>, name: &str, end: usize, found: &mut Option<First>) {
    let starts = table.keys().map(|key| key.span().start).filter(|start| *start < end);
    if let Some((key, value)) = table.get_key_value(name)
        && key.span().start < end
        && let Some(last) = starts.max()
        && found.as_ref().is_none_or(|first| first.last < last)
    {
        *found = Some(First { key: key.span(), is_table: value.get_ref().is_table(), last });
    }
    for value in table.values() {
        inside(value.get_ref(), name, end, found);
    }
}

fn inside(value: &DeValue<'_>, name: &str, end: usize, found: &mut Option<First>) {
    match value {
        DeValue::Table(table) => nearest(table, name, end, found),
        DeValue::Array(values) => {
            values.iter().for_each(|value| inside(value.get_ref(), name, end, found));
        }
        _ => {}
    }
}

pub(super) fn one_line(message: &str) -> String {
    message.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::super::parse;

    #[test]
    fn a_key_that_stands_twice_is_named_with_its_first_line() {
        for (text, expected) in [
            (
                "[process]\nshards = 1\nshards = 2",
                "3:1: is not TOML: duplicate key shards, which stands already in line 2",
            ),
            (
                "[process]\n[admin]\n[process]",
                "3:2: is not TOML: duplicate key process, which stands already in line 1",
            ),
            (
                "[[listener]]\nname = \"a\"\n[[listener]]\nname = \"b\"\nwhen.x = 1\nname = \"c\"",
                "6:1: is not TOML: duplicate key name, which stands already in line 4",
            ),
            (
                "a = { b = 1, b = 2 }",
                "1:14: is not TOML: duplicate key b, which stands already in line 1",
            ),
            (
                "\"a\" = 1\n\"a\" = 2",
                "2:1: is not TOML: duplicate key \"a\", which stands already in line 1",
            ),
            (
                "[[listener.rule]]\npriority = 1\n[[listener]]\nname = \"a\"",
                "3:3: is not TOML: duplicate key listener, because a table of listener (line 1) stands before the first [[…listener]]",
            ),
            (
                "[target_group.timeouts]\n[[target_group]]\nname = \"a\"",
                "2:3: is not TOML: duplicate key target_group, because a table of target_group (line 1) stands before",
            ),
            (
                "listener = []\n[[listener]]",
                "2:3: is not TOML: duplicate key listener, which stands already in line 1, not as",
            ),
        ] {
            let problems = parse(text, "x").expect_err(text).to_string();
            assert!(problems.starts_with(&format!("x:{expected}")), "{expected} is not {problems}");
        }
    }

    #[test]
    fn a_text_without_quotes_is_shown_with_them() {
        for (text, expected) in [
            ("a = 5s", "found 5s; allowed: \"5s\""),
            ("a = on", "found on; allowed: true, or a text in quotes"),
            ("a = off", "found off; allowed: false, or a text in quotes"),
        ] {
            let problems = parse(text, "x").expect_err(text).to_string();
            assert!(problems.contains(expected), "{expected} is not in {problems}");
        }
        let secret = parse("[admin]\ntoken = hush-hush", "x").expect_err("bare").to_string();
        assert!(!secret.contains("hush"), "{secret}");
    }
}
