//! Secrets in the comments of a configuration: a token that was commented out, an old key kept beside the new one. A
//! word that looks like a secret is hidden; better one word too many than a secret shown.
//!
//! Pure: finds the comments with secrets, and the text to show instead. Tested below.

use std::collections::HashMap;
use std::ops::Range;

/// The text shown in place of a secret.
pub(super) const HIDDEN: &str = "…";

/// Settings with these names are secrets, here and in other programs; a value that a comment gives them is hidden.
const NAMES: [&str; 7] =
    ["token", "secret", "password", "passwd", "passphrase", "credential", "bearer"];
/// Shortest word that is hidden in a comment about secrets: as long as a token must be.
const TOKEN_CHARS_MIN: usize = 16;
/// Shortest word that is hidden anywhere, if it looks random.
const RANDOM_CHARS_MIN: usize = 20;
/// A word of at least this length is a key, not a path or a name.
const KEY_CHARS_MIN: usize = 40;
/// Shortest word that is hidden beside a secret, if it looks random.
const BESIDE_CHARS_MIN: usize = 8;

/// A comment that has a secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Hidden {
    /// Its place, from `#` to before the line's end.
    pub range: Range<usize>,
    /// The text shown in its place.
    pub shown: String,
}

/// Every comment of `text` that has a secret; `secrets` are the values of its settings.
pub(super) fn hidden(text: &str, secrets: &[String]) -> Vec<Hidden> {
    let mut found = Vec::new();
    let mut is_value_next = false;
    for range in comments(text) {
        let comment = text.get(range.clone()).unwrap_or_default();
        let line = text.get(..range.start).and_then(|before| before.rsplit('\n').next());
        let is_beside =
            secrets.iter().any(|secret| line.is_some_and(|line| line.contains(secret.as_str())));
        let is_value = std::mem::take(&mut is_value_next);
        let shown = if is_value && !comment.trim_matches(['#', ' ', '\t']).is_empty() {
            format!("# {HIDDEN}")
        } else {
            let (shown, is_open) = judge(comment, secrets, is_beside);
            is_value_next = is_open;
            shown
        };
        if shown != comment {
            found.push(Hidden { range, shown });
        }
    }
    found
}

/// `text` with each of these comments replaced by its shown text.
pub(super) fn hide(text: &str, found: &[Hidden]) -> String {
    replaced(text, found.iter().map(|one| (one.range.clone(), one.shown.as_str())))
}

/// `text` with the comments of `known` restored where it has their shown texts.
pub(super) fn restored(text: &str, known: &str, secrets: &[String]) -> String {
    let mut originals: HashMap<String, std::collections::VecDeque<&str>> = HashMap::new();
    for one in hidden(known, secrets) {
        let original = known.get(one.range).unwrap_or_default();
        originals.entry(one.shown).or_default().push_back(original);
    }
    let found: Vec<_> = comments(text)
        .into_iter()
        .filter_map(|range| {
            let original = originals.get_mut(text.get(range.clone())?)?.pop_front()?;
            Some((range, original))
        })
        .collect();
    replaced(text, found.into_iter())
}

fn replaced<'t>(text: &str, parts: impl Iterator<Item = (Range<usize>, &'t str)>) -> String {
    let mut whole = String::with_capacity(text.len());
    let mut end = 0;
    for (range, part) in parts {
        whole.push_str(text.get(end..range.start).unwrap_or_default());
        whole.push_str(part);
        end = range.end;
    }
    whole.push_str(text.get(end..).unwrap_or_default());
    whole
}

/// The shown text of a comment, and whether its secret must be in the next comment.
fn judge(comment: &str, secrets: &[String], is_beside: bool) -> (String, bool) {
    let mut shown = comment.to_owned();
    for secret in secrets.iter().filter(|secret| !secret.is_empty()) {
        shown = shown.replace(secret.as_str(), HIDDEN);
    }
    let is_about = is_about_secrets(&shown);
    shown = without_words(&shown, |word| {
        looks_random(word, RANDOM_CHARS_MIN)
            || (is_beside && looks_random(word, BESIDE_CHARS_MIN))
            || ((is_about || is_beside) && may_be_token(word))
    });
    // The value of a setting with such a name is secret, whatever it looks like.
    let Some(from) = assigned(&shown) else { return (shown, false) };
    let value = shown.split_off(from);
    let bare = value.trim().trim_matches(['"', '\'']);
    match bare {
        "" | "[" | "{" => (shown + &value, true),
        HIDDEN => (shown + &value, false),
        _ => (format!("{shown} {HIDDEN}"), false),
    }
}

fn is_about_secrets(comment: &str) -> bool {
    let lower = comment.to_ascii_lowercase();
    lower.contains("key") || NAMES.iter().any(|name| lower.contains(name))
}

/// Where the value begins that the comment gives to a setting with one of the names.
fn assigned(comment: &str) -> Option<usize> {
    // Changes ASCII letters only, so that every position stays valid.
    let lower = comment.to_ascii_lowercase();
    let after = |name: &&str| {
        let ends = lower.match_indices(*name).map(|(start, name)| start.saturating_add(name.len()));
        ends.filter_map(|end| {
            let rest = lower.get(end..)?;
            let sign = rest.trim_start_matches(['s', '"', '\'', ' ', '\t']);
            let is_set = sign.starts_with(['=', ':']);
            let skipped = rest.len().saturating_sub(sign.len()).saturating_add(1);
            is_set.then(|| end.saturating_add(skipped))
        })
        .min()
    };
    NAMES.iter().filter_map(after).min()
}

/// Whether a word is as long as a token, and neither a path nor the name of a setting.
fn may_be_token(word: &str) -> bool {
    let is_of_name = |byte: u8| byte.is_ascii_lowercase() || b"_.".contains(&byte);
    let is_name = word.contains(['_', '.']) && word.bytes().all(is_of_name);
    word.len() >= TOKEN_CHARS_MIN && !word.starts_with('/') && !is_name
}

/// Whether letters and digits are mixed as in no word that people write.
fn looks_random(word: &str, chars_min: usize) -> bool {
    let is_mixed = |part: &str| {
        let has = |test: fn(&u8) -> bool| part.bytes().any(|byte| test(&byte));
        has(u8::is_ascii_digit) && has(u8::is_ascii_alphabetic)
    };
    let is_key = word.len() >= KEY_CHARS_MIN && !word.contains('.') && is_mixed(word);
    let mut parts = word.split(['-', '_', '.', '/']);
    is_key || (word.len() >= chars_min && !word.starts_with(['/', '.']) && parts.any(is_mixed))
}

/// Hides every word of a token's or key's characters for which `is_secret` is true.
fn without_words(comment: &str, is_secret: impl Fn(&str) -> bool) -> String {
    let is_of_word = |c: char| c.is_ascii_alphanumeric() || "+/=_-.~".contains(c);
    let mut shown = String::with_capacity(comment.len());
    let mut rest = comment;
    while let Some(start) = rest.find(is_of_word) {
        let (before, from) = rest.split_at_checked(start).unwrap_or((rest, ""));
        let end = from.find(|c| !is_of_word(c)).unwrap_or(from.len());
        let (word, after) = from.split_at_checked(end).unwrap_or((from, ""));
        shown.push_str(before);
        // A full stop ends a sentence.
        let bare = word.trim_end_matches('.');
        shown.push_str(if is_secret(bare) { HIDDEN } else { word });
        rest = after;
    }
    shown + rest
}

/// The places of the comments in a TOML text; a `#` inside a string begins none.
fn comments(text: &str) -> Vec<Range<usize>> {
    let mut found = Vec::new();
    let mut at = 0;
    while let Some(rest) = text.get(at..).filter(|rest| !rest.is_empty()) {
        let Some(next) = rest.find(['#', '"', '\'']) else { break };
        at = at.saturating_add(next);
        let rest = text.get(at..).unwrap_or_default();
        let length = if rest.starts_with('#') {
            let length = rest.find(['\n', '\r']).unwrap_or(rest.len());
            found.push(at..at.saturating_add(length));
            length
        } else {
            string_length(rest)
        };
        at = at.saturating_add(length.max(1));
    }
    found
}

/// The length of the string that `text` begins with.
fn string_length(text: &str) -> usize {
    let quote = if text.starts_with('"') { '"' } else { '\'' };
    let mut three = [0; 3];
    three.fill(quote as u8);
    let is_long = text.as_bytes().starts_with(&three);
    let opening = if is_long { 3 } else { 1 };
    let mut is_escaped = false;
    let mut quotes = 0_usize;
    for (at, byte) in text.bytes().enumerate().skip(opening) {
        if is_long && quotes >= 3 && byte != quote as u8 {
            // Up to two quotes may precede the three that end it.
            return at;
        }
        if std::mem::take(&mut is_escaped) {
            quotes = 0;
            continue;
        }
        if byte == quote as u8 {
            quotes = quotes.saturating_add(1);
            if !is_long {
                return at.saturating_add(1);
            }
            continue;
        }
        quotes = 0;
        is_escaped = quote == '"' && byte == b'\\';
    }
    text.len()
}

#[cfg(test)]
mod tests {
    use crate::control::document::comments::*;

    fn shown(text: &str, secrets: &[&str]) -> String {
        let secrets: Vec<String> = secrets.iter().map(|secret| (*secret).to_owned()).collect();
        hide(text, &hidden(text, &secrets))
    }

    #[test]
    fn what_looks_like_a_secret_is_hidden_in_every_kind_of_comment() {
        let key = "bGltcGV0cyBmaW5kIHRoZWlyIGhvbWUgc2NhciBhZ2E=";
        for comment in [
            "#token = \"hunter2\"",
            "# token: hunter2",
            "# Token=hunter2",
            "#   secret = 'hunter2' # of key 2",
            "# keys = [{ id = 1, secret = \"hunter2\" }]",
            "# \"token\" = \"hunter2\"",
            "# Authorization: Bearer hunter2-hunter2-hunter2",
            "# the old token was hunter2-hunter-and-hunter",
            "# passwords: hunter2",
            "# it is hunter2 today",
            "# secret =\n#   \"hunter2\"",
            "# secret = \"\"\"\n# hunter2",
            "x = 1 # token = hunter2",
            "x = '''\n#'''# token = hunter2",
            "x = \"\\\"#\" # token = hunter2",
        ] {
            let text = format!("[admin]\n{comment}\nsocket = \"/x\"\n");
            let shown = shown(&text, &["hunter2"]);
            assert!(!shown.contains("hunter2"), "{comment}: {shown}");
            assert!(shown.ends_with("\nsocket = \"/x\"\n"), "{comment}: {shown}");
            let unknown = super::hide(&text, &hidden(&text, &[]));
            assert!(
                comment.contains("today") || !unknown.contains("hunter2"),
                "{comment}: {unknown}"
            );
        }
        for comment in
            [format!("# {key}"), format!("# /{key}"), "# old: 0123456789abcdef0123".into()]
        {
            assert!(shown(&format!("{comment}\n"), &[]).contains('…'), "{comment}");
        }
    }

    #[test]
    fn the_comment_beside_a_secret_is_looked_at_closely() {
        let text = "token = \"0123456789-abcdef\" # ask Bob, was 3ventide\n";
        let shown = shown(text, &["0123456789-abcdef"]);
        assert!(shown.ends_with("# ask Bob, was …\n"), "{shown}");
    }

    #[test]
    fn what_people_write_stays() {
        for comment in [
            "# The file is /etc/limpet/production-2.toml since 2026-11-29.",
            "# See https://wiki.example/limpet for 127.0.0.1:9901",
            "# The token is in the vault.",
            "# stickiness.session_cookies and health_check.interval",
            "# ── The key ring ───",
            "# The keys: id from 0 to 65535; without key: any key.",
            "#[listener.answers.503]",
            "# A key is generated once and kept in state_directory. It is 32 bytes.",
        ] {
            let text = format!("{comment}\nx = \"# token = a\"\ny = '''\n# token = b'''\n");
            assert_eq!(shown(&text, &[]), text);
        }
    }

    #[test]
    fn what_was_hidden_is_put_back() {
        let text = "# token = \"a\"\nx = 1\n# token = \"b\" \r\n# plain\n";
        let seen = shown(text, &[]);
        assert_eq!(restored(&seen, text, &[]), text);
        let moved = "# token = …\n# new\n";
        assert_eq!(restored(moved, text, &[]), "# token = \"a\"\n# new\n");
        assert_eq!(restored("# token = …\n", "# plain\n", &[]), "# token = …\n");
    }

    #[test]
    fn any_text_is_looked_at_without_a_fault() {
        for text in [
            "",
            "#",
            "\"",
            "\"\"\"",
            "'''a",
            "x = \"é#",
            "# ké token = é",
            "\"\\",
            "\"\"\"\"\"\"# token=a",
        ] {
            let _ = shown(text, &["é", ""]);
        }
        assert!(shown("a = \"\"\"x\"\"\"\"\" # token=hunter2", &[]).ends_with("# token= …"));
    }
}
