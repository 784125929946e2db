//! Notes about rules: rules that no request can reach, and texts whose literal meaning is hardly intended. Never a
//! refusal. Tested beside it.

use super::file::{File, Rewrite, When};
use super::reach;
use crate::routing::actions::normal_path;
use crate::routing::conditions::PathPattern;
use crate::routing::cover::may_begin_with;

/// Most notes about the rules of one file.
const NOTES_MAX: usize = 100;

/// One sentence each.
pub(super) fn notes(file: &File) -> Vec<String> {
    let mut notes = Vec::new();
    for listener in &file.listeners {
        reach::notes(listener, &mut notes);
        for rule in &listener.rules {
            let place = format!("rule {:?} of listener {:?}", rule.effective_name(), listener.name);
            let mut said = Vec::new();
            when(&rule.when, listener.merge_slashes, &mut said);
            if let Some(rewrite) = &rule.rewrite {
                self::rewrite(rewrite, &rule.when, &mut said);
            }
            notes.extend(said.into_iter().map(|what| format!("{place}: {what}")));
        }
    }
    let more = notes.len().saturating_sub(NOTES_MAX);
    if more > 0 {
        notes.truncate(NOTES_MAX);
        notes.push(format!("{more} more notes about rules are left out"));
    }
    notes
}

fn when(when: &When, merge_slashes: bool, said: &mut Vec<String>) {
    let paths = when.path.as_deref().unwrap_or_default();
    for path in paths {
        if let Some(what) = path_note(path, paths) {
            said.push(format!("path {path:?} {what}"));
        }
        if merge_slashes && path.contains("//") {
            said.push(format!(
                "path {path:?} never matches: with merge_slashes, paths have one slash for several"
            ));
        }
    }
    for (name, values) in when.header.iter().flatten() {
        for value in values {
            if let Some(what) = value_note(value) {
                said.push(format!("header {name} {value:?} {what}"));
            }
        }
    }
    for pair in when.query.iter().flatten() {
        for text in pair.key.iter().chain([&pair.value]) {
            if let Some(what) = value_note(text).filter(|_| !text.is_empty()) {
                said.push(format!("query {text:?} {what}"));
            }
        }
    }
}

/// The note about `path`, one of `paths`, if it is hardly intended.
fn path_note(path: &str, paths: &[String]) -> Option<String> {
    let stands = |part: &str, kind: &str| {
        Some(format!(
            "has {part:?}, which is {kind} elsewhere and stands for itself here; write \"*\""
        ))
    };
    for segment in path.split('/') {
        if segment.starts_with('{') && segment.ends_with('}') && segment.len() > 2 {
            return stands(segment, "a variable");
        }
        let name = segment.strip_prefix(':').unwrap_or_default();
        if name.starts_with(|first: char| first.is_ascii_alphabetic()) {
            return stands(segment, "a variable");
        }
        if segment.starts_with('(') && segment.ends_with(')') && segment.contains('|') {
            return Some(format!(
                "has {segment:?}, which stands for itself; write one path for each"
            ));
        }
        let is_class = segment.starts_with('[') && segment.contains('-') && segment.contains(']');
        if is_class || segment.ends_with('+') && segment.len() > 1 {
            return stands(segment, "a regular expression");
        }
    }
    if path.len() > 3 && path.starts_with('/') && path.ends_with("/.*") {
        let meant = path.strip_suffix(".*").unwrap_or(path);
        return Some(format!(
            "matches names that begin with a dot; for all write {:?}",
            format!("{meant}*")
        ));
    }
    let before = path.strip_suffix("?*").or_else(|| path.strip_suffix('?'));
    if let Some(before) = before.filter(|before| !before.ends_with('\\')) {
        let letters =
            before.bytes().rev().take_while(|b| b.is_ascii_alphanumeric() || *b == b'.').count();
        if letters >= 4 || before.ends_with('/') {
            return Some(format!(
                "has a \"?\", which is any one character and never begins a query; without it write {before:?}, \
                 and what is asked for in when.query"
            ));
        }
    }
    let below = format!("{path}*");
    (path.len() > 1 && path.ends_with('/') && !paths.contains(&below))
        .then(|| format!("matches nothing below it; for all that begins so write {below:?}"))
}

/// The note about a field's or a query's value, if it is hardly intended.
fn value_note(value: &str) -> Option<String> {
    if value.is_empty() {
        return Some("matches an empty value; for any value write \"*\"".to_owned());
    }
    if let Some(rest) = value.strip_prefix('!') {
        return Some(format!(
            "begins with \"!\", which stands for itself: nothing is negated; a rule for {rest:?} with a lower \
             priority number takes those first"
        ));
    }
    let is_expression = value.starts_with('^')
        || value.starts_with("~")
        || value.contains(".*")
        || value.contains("[0-9]")
        || (value.starts_with('(') && value.contains('|'));
    is_expression.then(|| {
        "looks like a regular expression; it stands for itself, but for * (any run) and ? (one character)".to_owned()
    })
}

/// Notes a rewrite that changes no path of its rule.
fn rewrite(rewrite: &Rewrite, when: &When, said: &mut Vec<String>) {
    let replaced = rewrite.replace_prefix.as_ref();
    let prefix = rewrite.strip_prefix.as_ref().map(|prefix| ("strip_prefix", prefix));
    let Some((name, prefix)) = prefix.or(replaced.map(|both| ("replace_prefix", &both.prefix)))
    else {
        return;
    };
    if name == "strip_prefix" && prefix == "/" {
        said.push("strip_prefix \"/\" takes nothing away".to_owned());
        return;
    }
    if replaced.is_some_and(|both| both.prefix == both.with) {
        said.push(format!("replace_prefix puts {prefix:?} where it stands already"));
        return;
    }
    let Ok(normal) = normal_path(prefix) else { return };
    let Some(paths) = &when.path else { return };
    let mut patterns = paths.iter().filter_map(|path| PathPattern::parse(path).ok());
    if !patterns.any(|pattern| may_begin_with(&pattern, &normal)) {
        said.push(format!("{name} {prefix:?} never applies: no path of the rule begins with it"));
    }
}

#[cfg(test)]
mod tests {
    use super::super::parse;
    use crate::control::config::rule_notes::*;

    fn said(rules: &str) -> Vec<String> {
        let text = format!(
            "listener = [{{ name = \"w\", address = \"127.0.0.1:0\", forward = \"a\", rule = [{rules}] }}]\n\
             target_group = [{{ name = \"a\", target = [{{ address = \"127.0.0.1:1\" }}] }}]"
        );
        notes(&parse(&text, "x").unwrap_or_else(|problems| panic!("{rules}: {problems}")))
    }

    #[test]
    fn a_rule_behind_one_that_takes_all_is_never_reached() {
        let rules = |earlier: &str, later: &str| {
            said(&format!(
                "{{ priority = 2, forward = \"a\", {later} }}, {{ priority = 1, forward = \"a\", {earlier} }}"
            ))
        };
        for (earlier, later) in [
            ("", "when.path = [\"/a\"]"),
            ("", ""),
            ("when.path = [\"/*\"]", "when.path = [\"/api/*\"]"),
            (
                "when.host = [\"*.example\"]",
                "when = { host = [\"a.example\"], method = [\"GET\"] }",
            ),
            ("when.source = [\"10.0.0.0/8\"]", "when.source = [\"10.1.0.0/16\"]"),
            ("when.header.X = [\"*\"]", "when.header.x = [\"b\"]"),
        ] {
            let said = rules(earlier, later);
            assert_eq!(said.len(), 1, "{earlier} | {later}: {said:?}");
            assert!(
                said[0].contains("rule \"rule-2\" of listener \"w\" is never reached"),
                "{said:?}"
            );
            assert!(said[0].contains("rule \"rule-1\" (priority 1)"), "{said:?}");
        }
        for (earlier, later) in [
            ("when.path = [\"/api/*\"]", "when.path = [\"/*\"]"),
            ("when.path = [\"/a\"]", "when.host = [\"a.example\"]"),
            ("when.method = [\"GET\"]", ""),
        ] {
            assert_eq!(rules(earlier, later), Vec::<String>::new(), "{earlier} | {later}");
        }
    }

    #[test]
    fn among_thousands_the_one_that_takes_all_is_found() {
        let rule = |priority: usize, when: &str| {
            format!("{{ priority = {priority}, forward = \"a\", when.{when} }}")
        };
        let mut rules: Vec<String> = (1..=3000)
            .map(|n| match n % 3 {
                0 => rule(n, &format!("host = [\"h{n}.example\"]")),
                1 => rule(n, &format!("host = [\"*.s{n}.example\"]")),
                _ => rule(n, &format!("path = [\"/p{n}/*\"]")),
            })
            .collect();
        rules.push(rule(4001, "host = [\"H300.example\"]"));
        rules.push(rule(4002, "host = [\"a.b.s301.example\"]"));
        rules.push(rule(4003, "path = [\"/p302/x/*\"]"));
        rules.push(rule(4004, "path = [\"/p3/*\"]"));
        let said = said(&rules.join(", "));
        assert_eq!(said.len(), 3, "{said:?}");
        for (said, by) in said.iter().zip(["rule-300", "rule-301", "rule-302"]) {
            assert!(said.contains(&format!("{by:?}")), "{said}");
        }
    }

    #[test]
    fn texts_that_stand_for_themselves_are_named() {
        for (rest, words) in [
            ("when.path = [\"/users/{id}\"]", "has \"{id}\", which is a variable elsewhere"),
            ("when.path = [\"/users/:id/x\"]", "has \":id\", which is a variable elsewhere"),
            ("when.path = [\"/[a-f]+\"]", "a regular expression elsewhere"),
            ("when.path = [\"/(a|b)/x\"]", "write one path for each"),
            ("when.path = [\"/api/.*\"]", "for all write \"/api/*\""),
            ("when.path = [\"/search?\"]", "never begins a query"),
            ("when.path = [\"/search?*\"]", "never begins a query"),
            ("when.path = [\"/api/?\"]", "never begins a query"),
            ("when.path = [\"/api/\"]", "for all that begins so write \"/api/*\""),
            ("when.path = [\"//api/*\"]", "never matches: with merge_slashes"),
            ("when.header.X = [\"!a\"]", "nothing is negated"),
            ("when.header.X = [\"^a\"]", "looks like a regular expression"),
            ("when.header.X = [\"\"]", "for any value write \"*\""),
            ("when.query = [{ value = \"!a\" }]", "nothing is negated"),
            ("rewrite.strip_prefix = \"/\"", "takes nothing away"),
            (
                "rewrite.replace_prefix = { prefix = \"/a\", with = \"/a\" }",
                "where it stands already",
            ),
            ("when.path = [\"/api/*\"], rewrite.strip_prefix = \"/v1\"", "never applies"),
            (
                "when.path = [\"/a\"], rewrite.replace_prefix = { prefix = \"/b\", with = \"/c\" }",
                "replace_prefix \"/b\" never applies",
            ),
        ] {
            let said = said(&format!("{{ priority = 1, forward = \"a\", {rest} }}"));
            assert_eq!(said.len(), 1, "{rest}: {said:?}");
            assert!(said[0].starts_with("rule \"rule-1\" of listener \"w\": "), "{said:?}");
            assert!(said[0].contains(words), "{words}: {said:?}");
        }
        for rest in [
            "when.path = [\"/v?/status\", \"/v?\"]",
            "when.path = [\"/\", \"/api/*\", \"/api\"]",
            "when.path = [\"/api/\", \"/api/*\"]",
            "when.path = [\"/a|b/*\", \"/.*\", \"*.png\"]",
            "when.header.X = [\"a*\"], when.query = [{ key = \"debug\", value = \"\" }]",
            "when.path = [\"/api/*\", \"/x\"], rewrite.strip_prefix = \"/api\"",
        ] {
            let said = said(&format!("{{ priority = 1, forward = \"a\", {rest} }}"));
            assert_eq!(said, Vec::<String>::new(), "{rest}");
        }
    }
}
