//! Patterns with `*` (any run of bytes, also none) and `?` (one byte).
//!
//! A match walks the text once and returns only to the last `*`, so its cost is bounded by
//! text × pattern length, and patterns are bounded by [`GLOB_BYTES_MAX`]; nothing backtracks
//! exponentially and nothing allocates. Tested against a recursive model.
use std::fmt;

use super::path::{decode_pair, is_unreserved};

/// Longest pattern that is accepted, in bytes.
pub const GLOB_BYTES_MAX: usize = 1024;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Token {
    Byte(u8),
    /// `?`
    One,
    /// `*`; never twice in a row.
    Run,
}

/// `*` is any run, `?` is one byte, `\*`, `\?` and `\\` are the characters themselves; linear time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Glob {
    tokens: Box<[Token]>,
    case_sensitive: bool,
}

impl Glob {
    /// Parses and checks one value of the file. Without `case_sensitive`, ASCII letters match in any case.
    pub fn parse(text: &str, case_sensitive: bool) -> Result<Self, String> {
        if text.len() > GLOB_BYTES_MAX {
            return Err(format!(
                "the pattern has {} bytes; at most {GLOB_BYTES_MAX} are allowed",
                text.len()
            ));
        }
        let mut tokens = Vec::with_capacity(text.len());
        let mut bytes = text.bytes();
        while let Some(byte) = bytes.next() {
            match byte {
                b'*' if tokens.last() == Some(&Token::Run) => {}
                b'*' => tokens.push(Token::Run),
                b'?' => tokens.push(Token::One),
                b'\\' => match bytes.next() {
                    Some(escaped @ (b'*' | b'?' | b'\\')) => tokens.push(Token::Byte(escaped)),
                    _ => {
                        return Err(format!(
                            "{text:?} has a backslash that does not stand before *, ? or another \
                             backslash"
                        ));
                    }
                },
                byte if byte.is_ascii_control() => {
                    return Err(format!("{text:?} has a control character"));
                }
                byte if case_sensitive => tokens.push(Token::Byte(byte)),
                byte => tokens.push(Token::Byte(byte.to_ascii_lowercase())),
            }
        }
        Ok(Glob { tokens: tokens.into(), case_sensitive })
    }

    /// Whether the whole of `text` matches.
    pub fn matches(&self, text: &[u8]) -> bool {
        self.run(text, |text, at| text.get(at).map(|&byte| (byte, 1)))
    }

    /// Whether the whole of `text` matches when its percent-encoded unreserved characters are read as
    /// themselves (other encodings stay as they are).
    pub fn matches_decoded(&self, text: &[u8]) -> bool {
        if memchr::memchr(b'%', text).is_none() {
            return self.matches(text);
        }
        self.run(text, |text, at| match text.get(at..)? {
            [b'%', high, low, ..] => match decode_pair(*high, *low) {
                Some(decoded) if is_unreserved(decoded) => Some((decoded, 3)),
                _ => Some((b'%', 1)),
            },
            rest => rest.first().map(|&byte| (byte, 1)),
        })
    }

    /// The text that this pattern stands for when it has no wildcard.
    pub(super) fn literal(&self) -> Option<Vec<u8>> {
        let prefix = self.literal_prefix();
        (prefix.len() == self.tokens.len()).then_some(prefix)
    }

    /// What every matching text begins with.
    pub(super) fn literal_prefix(&self) -> Vec<u8> {
        self.tokens.iter().map_while(|token| token.byte()).collect()
    }

    /// What every matching text ends with.
    pub(super) fn literal_suffix(&self) -> Vec<u8> {
        let mut suffix: Vec<u8> =
            self.tokens.iter().rev().map_while(|token| token.byte()).collect();
        suffix.reverse();
        suffix
    }

    /// The literal before a `*` that is the last character and the only wildcard.
    pub(super) fn prefix(&self) -> Option<Vec<u8>> {
        let prefix = self.literal_prefix();
        let end = self.tokens.get(prefix.len()..)?;
        (end == [Token::Run]).then_some(prefix)
    }

    /// The walk. `unit` reads the byte at a position and says how many bytes of text it takes.
    fn run(&self, text: &[u8], unit: impl Fn(&[u8], usize) -> Option<(u8, usize)>) -> bool {
        let (mut token_index, mut at) = (0, 0);
        // After a `*`: the token behind it and the position where that was last tried.
        let mut resume: Option<(usize, usize)> = None;
        loop {
            let read = unit(text, at);
            let step = match (self.tokens.get(token_index), read) {
                (Some(Token::Run), _) => {
                    token_index += 1;
                    resume = Some((token_index, at));
                    continue;
                }
                (None, None) => return true,
                (Some(Token::One), Some((_, taken))) => Some(taken),
                (Some(Token::Byte(wanted)), Some((byte, taken))) => {
                    let byte = if self.case_sensitive { byte } else { byte.to_ascii_lowercase() };
                    (byte == *wanted).then_some(taken)
                }
                (Some(_), None) => return false,
                (None, Some(_)) => None,
            };
            if let Some(taken) = step {
                token_index += 1;
                at += taken;
                continue;
            }
            // The last `*` takes one more unit.
            let Some((behind, tried)) = resume else { return false };
            if behind == self.tokens.len() {
                return true;
            }
            let Some((_, taken)) = unit(text, tried) else { return false };
            (token_index, at) = (behind, tried + taken);
            resume = Some((behind, at));
        }
    }
}

impl Token {
    fn byte(self) -> Option<u8> {
        match self {
            Token::Byte(byte) => Some(byte),
            Token::One | Token::Run => None,
        }
    }
}

impl fmt::Display for Glob {
    /// As it would stand in the file.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = Vec::with_capacity(self.tokens.len());
        for token in &self.tokens {
            match token {
                Token::Run => text.push(b'*'),
                Token::One => text.push(b'?'),
                Token::Byte(byte) => {
                    if matches!(byte, b'*' | b'?' | b'\\') {
                        text.push(b'\\');
                    }
                    text.push(*byte);
                }
            }
        }
        f.write_str(&String::from_utf8_lossy(&text))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn matches(pattern: &str, text: &str) -> bool {
        Glob::parse(pattern, true).expect("valid pattern").matches(text.as_bytes())
    }

    #[test]
    fn star_is_any_run_and_question_mark_one_byte() {
        for (pattern, text, expected) in [
            ("", "", true),
            ("", "a", false),
            ("*", "", true),
            ("*", "abc", true),
            ("?", "", false),
            ("?", "a", true),
            ("a*c", "abbc", true),
            ("a*c", "abcb", false),
            ("a*b*c", "a-b-b-c", true),
            ("*.php", "/x.php.php", true),
            ("/img/*/thumb-?.png", "/img/a/b/thumb-1.png", true),
            ("/img/*/thumb-?.png", "/img/a/thumb-.png", false),
            ("\\*\\?\\\\", "*?\\", true),
            ("\\*", "a", false),
            ("ABC", "abc", false),
        ] {
            assert_eq!(matches(pattern, text), expected, "{pattern} {text}");
        }
    }

    #[test]
    fn case_is_ignored_where_asked() {
        let glob = Glob::parse("Mozilla*Firefox", false).expect("valid");
        assert!(glob.matches(b"MOZILLA/5 fireFOX"));
        assert_eq!(glob.to_string(), "mozilla*firefox");
    }

    #[test]
    fn unreserved_encodings_are_read_as_themselves() {
        let glob = Glob::parse("~a*%2F?", false).expect("valid");
        assert!(glob.matches_decoded(b"%7E%61%2fx"));
        assert!(glob.matches_decoded(b"~a--%2F%78"));
        assert!(!glob.matches_decoded(b"~a--/x"));
        assert!(Glob::parse("100%", true).expect("valid").matches_decoded(b"100%"));
    }

    #[test]
    fn broken_patterns_are_refused_with_words() {
        assert!(Glob::parse("a\\d", true).expect_err("escape").contains("backslash"));
        assert!(Glob::parse("a\\", true).expect_err("escape").contains("backslash"));
        assert!(Glob::parse("a\r\n", true).expect_err("control").contains("control"));
        let long = "a".repeat(GLOB_BYTES_MAX + 1);
        assert!(Glob::parse(&long, true).expect_err("long").contains("1024"));
    }

    #[test]
    fn many_stars_on_a_long_text_stay_linear() {
        let pattern = "*a".repeat(64) + "b";
        let text = "a".repeat(20_000);
        // An exponential matcher would not come back; 20 000 × 129 steps do.
        assert!(!matches(&pattern, &text));
    }

    fn model(pattern: &[u8], text: &[u8]) -> bool {
        match (pattern.split_first(), text.split_first()) {
            (None, None) => true,
            (None, Some(_)) => false,
            (Some((b'*', rest)), _) => {
                model(rest, text) || text.split_first().is_some_and(|(_, t)| model(pattern, t))
            }
            (Some((b'?', rest)), Some((_, t))) => model(rest, t),
            (Some((p, rest)), Some((b, t))) => p == b && model(rest, t),
            (Some(_), None) => false,
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(4096))]
        #[test]
        fn agrees_with_the_recursive_model(pattern in "[ab*?]{0,8}", text in "[ab]{0,10}") {
            prop_assert_eq!(matches(&pattern, &text), model(pattern.as_bytes(), text.as_bytes()));
        }
    }
}
