//! Patterns with `*` (any run, also none) and `?` (one character).
//!
//! A match walks the text once and returns only to the last `*`, so its cost is bounded by text × pattern length, and
//! patterns are bounded by [`GLOB_BYTES_MAX`]; nothing backtracks exponentially and nothing allocates. Behind a `*` the
//! walk jumps to the next byte that may match. Each step is paid for. Tested against a recursive model.
use std::fmt;

use super::budget::Budget;
use super::path::{encoded, has_one_meaning, is_unreserved, must_be_encoded};
use crate::http::query::{first_octet, octet};

/// Longest pattern that is accepted, in bytes.
pub const GLOB_BYTES_MAX: usize = 1024;

/// Costs in instructions: calling a pattern, starting a walk, and each step of it.
const ASK: usize = 64;
const WALK: usize = 180;
const STEP: usize = 40;
/// The factor for a step where texts are decoded.
const DECODING: usize = 2;
/// How many steps it costs to go back to a `*`.
const RETURN_STEPS: usize = 2;
/// So many bytes are compared one by one; the others are searched, and starting a search costs `SEARCH_STEPS`.
const NEAR_BYTES: usize = 16;
const SEARCH_STEPS: usize = 4;
/// How many bytes a step compares one by one, and how many it searches.
const NEAR_BYTES_PER_STEP: usize = 4;
const BYTES_PER_STEP: usize = 48;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Token {
    Byte(u8),
    /// `?`
    One,
    /// `*`; never twice in a row.
    Run,
}

/// The kind of text that a pattern is compared with, and the form in which the two are compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reading {
    /// Byte by byte, letters of ASCII in any case: hosts and field values.
    Text,
    /// A path as it is compared (see `path`), with regard to case; an encoded octet is one character.
    Path,
    /// A key or a value of a query, decoded (see `http::query`), letters of ASCII in any case. A `+` that
    /// is not encoded counts as the space of a form and as itself, because targets read it in both ways.
    Query,
}

/// `*` is any run, `?` is one character, `\*`, `\?` and `\\` are the characters themselves; linear time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Glob {
    tokens: Box<[Token]>,
    /// Length of the shortest text that can match, in bytes; and its first and last byte where the pattern fixes them.
    least: usize,
    begin: Option<u8>,
    end: Option<u8>,
    reading: Reading,
}

/// One byte of a text as it is compared.
struct Unit {
    byte: u8,
    /// Another reading of it; most often the same byte.
    also: u8,
    /// How many bytes of text encode it.
    length: usize,
    /// How many bytes of text its whole character takes.
    character_length: usize,
}

impl Glob {
    /// Parses and checks one value of the file.
    ///
    /// # Errors
    /// A sentence that says what is wrong with it.
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
        let least = tokens.iter().filter(|token| **token != Token::Run).count();
        let begin = tokens.first().and_then(|token| token.byte());
        let end = tokens.last().and_then(|token| token.byte());
        Ok(Glob { tokens: tokens.into(), least, begin, end, reading })
    }

    /// Whether the whole of `text` matches; `false` when the budget ends first.
    pub fn matches(&self, text: &[u8], budget: &Budget) -> bool {
        if !budget.spend(ASK) || self.differs_at_an_end(text) {
            return false;
        }
        match self.reading {
            Reading::Text => self.paid(text, (budget, STEP), plain_unit),
            Reading::Path => self.paid(text, (budget, STEP), |text, at| {
                let byte = *text.get(at)?;
                let character_length = if byte == b'%' { 3 } else { 1 };
                Some(Unit { byte, also: byte, length: 1, character_length })
            }),
            Reading::Query => {
                let is_scanned = budget.spend(text.len() * STEP / BYTES_PER_STEP);
                if is_scanned && memchr::memchr2(b'%', b'+', text).is_none() {
                    return self.paid(text, (budget, STEP), plain_unit);
                }
                self.paid(text, (budget, STEP * DECODING), |text, at| {
                    let rest = text.get(at..)?;
                    let (octet, length) = first_octet(rest)?;
                    let byte = octet.to_ascii_lowercase();
                    let also = if rest.first() == Some(&b'+') { b'+' } else { byte };
                    Some(Unit { byte, also, length, character_length: length })
                })
            }
        }
    }

    /// Whether the ends of `text` show that it does not match, which they do for most texts.
    #[inline]
    fn differs_at_an_end(&self, text: &[u8]) -> bool {
        let differs = |wanted: Option<u8>, found: Option<&u8>| match (wanted, found) {
            (Some(wanted), Some(byte)) => match self.reading {
                Reading::Path => *byte != wanted,
                Reading::Text => byte.to_ascii_lowercase() != wanted,
                Reading::Query => *byte != b'+' && byte.to_ascii_lowercase() != wanted,
            },
            (Some(_), None) => true,
            (None, _) => false,
        };
        // An end that may be part of an encoding does not show which byte it encodes.
        let is_plain = |at: Option<usize>| {
            self.reading != Reading::Query
                || at.and_then(|at| text.get(at)).is_none_or(|&byte| byte != b'%')
        };
        text.len() < self.least
            || (differs(self.begin, text.first()) && is_plain(Some(0)))
            || (differs(self.end, text.last()) && is_plain(text.len().checked_sub(3)))
    }

    /// Walks, and pays this price for each step.
    #[inline]
    fn paid(
        &self,
        text: &[u8],
        (budget, price): (&Budget, usize),
        unit: impl Fn(&[u8], usize) -> Option<Unit>,
    ) -> bool {
        if !budget.spend(WALK) {
            return false;
        }
        let affordable = budget.steps(price);
        let mut steps = affordable;
        match self.walk(text, &mut steps, unit) {
            Some(matched) => budget.spend((affordable - steps) * price) && matched,
            None => {
                budget.exhaust();
                false
            }
        }
    }

    /// The text that this pattern matches when it has no wildcard.
    pub(super) fn literal(&self) -> Option<Vec<u8>> {
        let prefix = self.literal_prefix();
        (prefix.len() == self.tokens.len()).then_some(prefix)
    }

    /// The beginning that every matching text has.
    pub(super) fn literal_prefix(&self) -> Vec<u8> {
        self.tokens.iter().map_while(|token| token.byte()).collect()
    }

    /// The end that every matching text has.
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

    /// The walk. `unit` reads the byte at a position. Subtracts its steps from `steps`; `None` when they do not
    /// suffice.
    fn walk(
        &self,
        text: &[u8],
        steps: &mut usize,
        unit: impl Fn(&[u8], usize) -> Option<Unit>,
    ) -> Option<bool> {
        let (mut token_index, mut at) = (0, 0);
        // After a `*`: the token behind it and the position where that was last tried.
        let mut resume: Option<(usize, usize)> = None;
        loop {
            *steps = steps.checked_sub(1)?;
            let read = unit(text, at);
            let step = match (self.tokens.get(token_index), read) {
                (Some(Token::Run), _) => {
                    token_index += 1;
                    if token_index == self.tokens.len() {
                        return Some(true);
                    }
                    let (found, taken) = self.seek(token_index, text, at);
                    *steps = steps.checked_sub(taken)?;
                    let Some(found) = found else { return Some(false) };
                    at = found;
                    resume = Some((token_index, at));
                    continue;
                }
                (None, None) => return Some(true),
                (Some(Token::One), Some(read)) => Some(read.character_length),
                (Some(Token::Byte(wanted)), Some(read)) => {
                    (read.byte == *wanted || read.also == *wanted).then_some(read.length)
                }
                (Some(_), None) => return Some(false),
                (None, Some(_)) => None,
            };
            if let Some(taken) = step {
                token_index += 1;
                at += taken;
                continue;
            }
            // The last `*` takes one more character, and those behind which the walk cannot go on.
            let Some((behind, tried)) = resume else { return Some(false) };
            let Some(skipped) = unit(text, tried) else { return Some(false) };
            let (found, taken) = self.seek(behind, text, tried + skipped.character_length);
            *steps = steps.checked_sub(RETURN_STEPS + taken)?;
            let Some(found) = found else { return Some(false) };
            (token_index, at) = (behind, found);
            resume = Some((behind, at));
        }
    }

    /// The first position from `at` on, at the beginning of a character, where the token behind a `*` may match; and
    /// the steps that the search took.
    #[inline]
    fn seek(&self, token: usize, text: &[u8], at: usize) -> (Option<usize>, usize) {
        let wanted = match self.tokens.get(token) {
            Some(Token::Byte(wanted)) => *wanted,
            Some(Token::One | Token::Run) | None => return (Some(at), 0),
        };
        // An encoding is found by its "%": it may stand for the wanted byte, and is skipped as a whole.
        let [one, two, three] = match (self.reading, wanted) {
            (Reading::Text, _) => [wanted, wanted.to_ascii_uppercase(), wanted],
            (Reading::Path, _) => [wanted, b'%', wanted],
            (Reading::Query, b' ') => [b' ', b'+', b'%'],
            (Reading::Query, _) => [wanted, wanted.to_ascii_uppercase(), b'%'],
        };
        let rest = text.get(at..).unwrap_or_default();
        let (near, far) = rest.split_at(rest.len().min(NEAR_BYTES));
        let may_hold = |&byte: &u8| byte == one || byte == two || byte == three;
        if let Some(skipped) = near.iter().position(may_hold) {
            return (Some(at + skipped), skipped / NEAR_BYTES_PER_STEP);
        }
        let near_steps = near.len() / NEAR_BYTES_PER_STEP;
        if far.is_empty() {
            return (None, near_steps);
        }
        let found = memchr::memchr3(one, two, three, far);
        let searched = found.unwrap_or(far.len()) / BYTES_PER_STEP;
        (found.map(|skipped| at + near.len() + skipped), near_steps + SEARCH_STEPS + searched)
    }
}

fn plain_unit(text: &[u8], at: usize) -> Option<Unit> {
    let byte = text.get(at)?.to_ascii_lowercase();
    Some(Unit { byte, also: byte, length: 1, character_length: 1 })
}

/// The tokens of `text`, its bytes unchanged.
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

/// The tokens of `text`; `push` writes each byte and is told whether it was percent-encoded. `None` where a "%" has no
/// two hexadecimal digits behind it.
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

/// Writes a byte as paths are compared: a character that means the same encoded or not, as itself; an encoded
/// delimiter, and a byte that must be encoded, as an encoding in upper case.
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
    /// In the file's notation.
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
    use crate::routing::glob::*;
    use proptest::prelude::*;

    fn matches(pattern: &str, text: &str) -> bool {
        let glob = Glob::parse(pattern, Reading::Text).expect("valid pattern");
        glob.matches(text.as_bytes(), &Budget::unlimited())
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
        assert!(glob.matches(b"MOZILLA/5 fireFOX", &Budget::unlimited()));
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
            let glob = Glob::parse(pattern, Reading::Path).expect("valid");
            glob.matches(text.as_bytes(), &Budget::unlimited())
        };
        assert!(matches("/a?b", "/a%7Cb"));
        assert!(matches("/*?", "/%7C"));
        assert!(matches("*7", "/%7C7") && matches("*%7C", "/a%7C") && matches("*|7", "/7%7C%7C7"));
        assert!(!matches("*7*", "/%7C"), "what is encoded is passed as a whole");
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
            ("* *x", "aaaaaaaaaaaaaaaaaaaaaaaa+x", true),
            ("*+*x", "aaaaaaaaaaaaaaaaaaaaaaaa%2Bx", true),
            ("*+x", "a+b+x", true),
            ("*4*", "%41", false),
            ("*4*", "%41%34", true),
            ("*b", "%41%42%41%42", true),
            ("100%25", "100%", true),
            ("100%25", "100%25", true),
            ("%2520", "%20", false),
        ] {
            let glob = Glob::parse(pattern, Reading::Query).expect(pattern);
            let matched = glob.matches(text.as_bytes(), &Budget::unlimited());
            assert_eq!(matched, expected, "{pattern} {text}");
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
        // An exponential matcher would not return; 20 000 × 129 steps do.
        assert!(!matches(&pattern, &text));
    }

    #[test]
    fn a_walk_that_cannot_be_paid_for_ends_and_matches_nothing() {
        let text = "a".repeat(1_000_000) + "b";
        for reading in [Reading::Text, Reading::Path, Reading::Query] {
            let glob = Glob::parse("*aab", reading).expect("valid");
            let budget = Budget::of_request();
            assert!(!glob.matches(text.as_bytes(), &budget));
            assert!(budget.is_spent());
            assert!(glob.matches(text.as_bytes(), &Budget::unlimited()));
            // Nor does a walk that the budget would have allowed at first.
            assert!(!glob.matches(b"aab", &budget));
        }
    }

    #[test]
    fn what_cannot_go_on_behind_a_star_is_skipped_at_once() {
        let glob = Glob::parse("*needle*", Reading::Query).expect("valid");
        let budget = Budget::of_request();
        assert!(!glob.matches("x".repeat(16_384).as_bytes(), &budget));
        assert!(budget.spent() < 2 * 16_384, "{}", budget.spent());
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

        #[test]
        fn reads_a_query_as_if_it_had_been_decoded_before(
            pattern in "[ab4*? ]{0,8}",
            text in "(a|b|4|%61|%62|%34|%20|\\+|%2F){0,10}",
        ) {
            let decoded: Vec<u8> = crate::http::query::decoded(text.as_bytes()).collect();
            let glob = Glob::parse(&pattern, Reading::Query).expect("valid");
            let matched = glob.matches(text.as_bytes(), &Budget::unlimited());
            prop_assert_eq!(matched, model(pattern.as_bytes(), &decoded));
        }
    }
}
