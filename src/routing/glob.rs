//! Patterns with `*` (any run, also none) and `?` (one character).
//!
//! A match walks the text once and returns only to the last `*`, so its cost is bounded by
//! text × pattern length, and patterns are bounded by [`GLOB_BYTES_MAX`]; nothing backtracks
//! exponentially and nothing allocates. Tested against a recursive model.
use std::fmt;

use super::path::{encoded, has_one_meaning, is_unreserved, must_be_encoded};
use crate::http1::query::{first_octet, octet};

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

/// What a pattern is compared with, and how the two are brought into one form.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reading {
    /// Byte by byte, letters of ASCII in any case: hosts and field values.
    Text,
    /// A path as it is compared (see `path`), with regard to case; an encoded octet is one character.
    Path,
    /// A key or a value of a query, decoded (see `http1::query`), letters of ASCII in any case. A `+` that
    /// is not encoded counts as the space of a form and as itself, because targets read it in both ways.
    Query,
}

/// `*` is any run, `?` is one character, `\*`, `\?` and `\\` are the characters themselves; linear time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Glob {
    tokens: Box<[Token]>,
    reading: Reading,
}

/// What stands at a place of a text.
struct Unit {
    byte: u8,
    /// Another byte that it can be read as; most often the same.
    also: u8,
    /// Bytes of text that it takes.
    length: usize,
    /// Bytes of text that the whole character takes.
    character_length: usize,
}

impl Glob {
    /// Parses and checks one value of the file.
    ///
    /// # Errors
    /// What is wrong with it, as a sentence.
    pub fn parse(text: &str, reading: Reading) -> Result<Self, String> {
        if text.len() > GLOB_BYTES_MAX {
            return Err(format!(
                "the pattern has {} bytes; at most {GLOB_BYTES_MAX} are allowed",
                text.len()
            ));
        }
        let tokens = tokens(text)?;
        let octets = match reading {
            Reading::Text => Some(tokens),
            Reading::Path => read_encodings(&tokens, push_compared),
            Reading::Query => read_encodings(&tokens, push_decoded),
        };
        let mut tokens = octets.ok_or_else(|| {
            format!("{text:?} has a % without two hexadecimal digits (write %25)")
        })?;
        if reading != Reading::Path {
            for token in &mut tokens {
                if let Token::Byte(byte) = token {
                    byte.make_ascii_lowercase();
                }
            }
        }
        Ok(Glob { tokens: tokens.into(), reading })
    }

    /// Whether the whole of `text` matches.
    pub fn matches(&self, text: &[u8]) -> bool {
        match self.reading {
            Reading::Text => self.run(text, |text, at| {
                let byte = text.get(at)?.to_ascii_lowercase();
                Some(Unit { byte, also: byte, length: 1, character_length: 1 })
            }),
            Reading::Path => self.run(text, |text, at| {
                let byte = *text.get(at)?;
                let character_length = if byte == b'%' { 3 } else { 1 };
                Some(Unit { byte, also: byte, length: 1, character_length })
            }),
            Reading::Query => self.run(text, |text, at| {
                let rest = text.get(at..)?;
                let (octet, length) = first_octet(rest)?;
                let byte = octet.to_ascii_lowercase();
                let also = if rest.first() == Some(&b'+') { b'+' } else { byte };
                Some(Unit { byte, also, length, character_length: length })
            }),
        }
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

    /// The walk. `unit` reads what stands at a position.
    fn run(&self, text: &[u8], unit: impl Fn(&[u8], usize) -> Option<Unit>) -> bool {
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
                (Some(Token::One), Some(read)) => Some(read.character_length),
                (Some(Token::Byte(wanted)), Some(read)) => {
                    (read.byte == *wanted || read.also == *wanted).then_some(read.length)
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
            let Some(skipped) = unit(text, tried) else { return false };
            (token_index, at) = (behind, tried + skipped.character_length);
            resume = Some((behind, at));
        }
    }
}

/// The tokens of `text`, its bytes as they stand there.
fn tokens(text: &str) -> Result<Vec<Token>, String> {
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
            byte => tokens.push(Token::Byte(byte)),
        }
    }
    Ok(tokens)
}

/// `tokens` with each byte written by `push`, which learns whether it was percent-encoded. `None` where a
/// "%" has no two hexadecimal digits behind it.
fn read_encodings(
    tokens: &[Token],
    push: impl Fn(u8, bool, &mut Vec<Token>),
) -> Option<Vec<Token>> {
    let mut out = Vec::with_capacity(tokens.len());
    let mut rest = tokens;
    while let Some((token, after)) = rest.split_first() {
        rest = after;
        match (token, after) {
            (Token::Byte(b'%'), [Token::Byte(high), Token::Byte(low), behind @ ..]) => {
                push(octet(*high, *low)?, true, &mut out);
                rest = behind;
            }
            (Token::Byte(b'%'), _) => return None,
            (Token::Byte(byte), _) => push(*byte, false, &mut out),
            (Token::One | Token::Run, _) => out.push(*token),
        }
    }
    Some(out)
}

/// As a path is compared: characters that mean the same either way as themselves, what divides when it is not
/// encoded, and what has to be encoded, as an encoding in upper case.
fn push_compared(byte: u8, was_encoded: bool, out: &mut Vec<Token>) {
    let is_plain = is_unreserved(byte) || has_one_meaning(byte);
    if must_be_encoded(byte) || (was_encoded && !is_plain) {
        out.extend(encoded(byte).map(Token::Byte));
    } else {
        out.push(Token::Byte(byte));
    }
}

fn push_decoded(byte: u8, _was_encoded: bool, out: &mut Vec<Token>) {
    out.push(Token::Byte(byte));
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
            match *token {
                Token::Run => text.push(b'*'),
                Token::One => text.push(b'?'),
                Token::Byte(byte @ (b'*' | b'?' | b'\\')) => text.extend([b'\\', byte]),
                Token::Byte(byte)
                    if self.reading == Reading::Query
                        && (byte == b'%' || byte.is_ascii_control()) =>
                {
                    text.extend(encoded(byte));
                }
                Token::Byte(byte) => text.push(byte),
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
        Glob::parse(pattern, Reading::Text).expect("valid pattern").matches(text.as_bytes())
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
            ("ABC", "abc", true),
        ] {
            assert_eq!(matches(pattern, text), expected, "{pattern} {text}");
        }
    }

    #[test]
    fn case_is_ignored_where_asked() {
        let glob = Glob::parse("Mozilla*Firefox", Reading::Text).expect("valid");
        assert!(glob.matches(b"MOZILLA/5 fireFOX"));
        assert_eq!(glob.to_string(), "mozilla*firefox");
    }

    #[test]
    fn paths_and_their_patterns_have_one_form() {
        for (pattern, form) in [
            ("/a|b/*", "/a%7Cb/*"),
            ("/a%7cb/*", "/a%7Cb/*"),
            ("/{id}", "/%7Bid%7D"),
            ("/a\\\\b", "/a%5Cb"),
            ("/a%5Cb", "/a%5Cb"),
            ("/caf\u{e9}?", "/caf%C3%A9?"),
            ("/%7euser/%2f*", "/~user/%2F*"),
            ("/a\\*b@c", "/a\\*b@c"),
            ("/a%2Ab%40c%3b%5b", "/a\\*b@c;["),
            ("/a%257Cb%23", "/a%257Cb%23"),
        ] {
            let glob = Glob::parse(pattern, Reading::Path).expect(pattern);
            assert_eq!(glob.to_string(), form, "{pattern}");
            let again = Glob::parse(form, Reading::Path);
            assert_eq!(again.as_ref(), Ok(&glob), "{form} is the same pattern");
        }
    }

    #[test]
    fn an_encoded_octet_of_a_path_is_one_character() {
        let matches = |pattern, text: &str| {
            Glob::parse(pattern, Reading::Path).expect("valid").matches(text.as_bytes())
        };
        assert!(matches("/a?b", "/a%7Cb"));
        assert!(matches("/*?", "/%7C"));
        assert!(!matches("/??", "/%7C"));
        assert!(!matches("/*C", "/A%7Cb"), "case");
        assert!(!matches("/A", "/a"));
    }

    #[test]
    fn queries_and_their_patterns_are_compared_decoded() {
        for (pattern, text, expected) in [
            ("a b", "a+b", true),
            ("a b", "A%20B", true),
            ("a%20b", "a+b", true),
            ("a+b", "a+b", true),
            ("a+b", "a%2Bb", true),
            ("a+b", "a%20b", false),
            ("a%2bb", "a+b", true),
            ("a b", "a%2Bb", false),
            ("~a*/?", "%7E%61--%2fx", true),
            ("\u{fc}*", "%C3%BC", true),
            ("?", "%7C", true),
            ("%2a", "%2A", true),
            ("%2a", "x", false),
            ("100%25", "100%", true),
            ("100%25", "100%25", true),
            ("%2520", "%20", false),
        ] {
            let glob = Glob::parse(pattern, Reading::Query).expect(pattern);
            assert_eq!(glob.matches(text.as_bytes()), expected, "{pattern} {text}");
            let again = Glob::parse(&glob.to_string(), Reading::Query);
            assert_eq!(again.as_ref(), Ok(&glob), "{glob} is the same pattern");
        }
    }

    #[test]
    fn broken_patterns_are_refused_with_words() {
        assert!(Glob::parse("a\\d", Reading::Text).expect_err("escape").contains("backslash"));
        assert!(Glob::parse("a\\", Reading::Text).expect_err("escape").contains("backslash"));
        assert!(Glob::parse("a\r\n", Reading::Text).expect_err("control").contains("control"));
        for text in ["100%", "%4", "%2*", "%zz"] {
            for reading in [Reading::Path, Reading::Query] {
                assert!(Glob::parse(text, reading).expect_err(text).contains("hexadecimal"));
            }
        }
        let long = "a".repeat(GLOB_BYTES_MAX + 1);
        assert!(Glob::parse(&long, Reading::Text).expect_err("long").contains("1024"));
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
