//! The mistakes of a file, each with its place, the value found and the values allowed.
//!
//! Owns the report and its wording; does not know single settings. Never shows a secret. Tested by the golden report in
//! `tests/config.rs`.

use std::collections::BTreeSet;
use std::fmt;
use std::ops::Range;
use std::path::PathBuf;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::places::{self, Place};

/// Longest piece of a file that is quoted in a message, in characters.
const QUOTE_CHARS_MAX: usize = 60;

/// One mistake. Shown as `file:line:column: key.path: what; found VALUE; allowed: …`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    pub file: String,
    /// From 1.
    pub line: usize,
    /// From 1, in characters.
    pub column: usize,
    /// `target_group[app].stickiness.duration`; empty for a mistake of the whole file.
    pub path: String,
    pub what: String,
    pub found: Option<String>,
    pub allowed: Option<String>,
}

impl fmt::Display for Problem {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}:{}:{}: ", self.file, self.line, self.column)?;
        if !self.path.is_empty() {
            write!(out, "{}: ", self.path)?;
        }
        write!(out, "{}", self.what)?;
        if let Some(found) = &self.found {
            write!(out, "; found {found}")?;
        }
        if let Some(allowed) = &self.allowed {
            write!(out, "; allowed: {allowed}")?;
        }
        Ok(())
    }
}

/// All mistakes of one file, in the order of their places. Never empty.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problems(pub Vec<Problem>);

impl fmt::Display for Problems {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        for problem in &self.0 {
            writeln!(out, "{problem}")?;
        }
        match self.0.len() {
            1 => write!(out, "1 problem"),
            count => write!(out, "{count} problems"),
        }
    }
}

impl std::error::Error for Problems {}

/// Why there is no configuration.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    #[error("{}: cannot be read: {source}", path.display())]
    Unreadable { path: PathBuf, source: std::io::Error },
    #[error(transparent)]
    Invalid(#[from] Problems),
}

/// Collects the mistakes of one text. Values are identified by their key (`listener[0].rule[2].priority`).
#[derive(Debug)]
pub(super) struct Report<'s> {
    file: &'s str,
    source: &'s str,
    document: &'s DeTable<'s>,
    /// Keys whose value was refused and replaced, so that no conclusion is drawn from them.
    refused: BTreeSet<String>,
    /// Lists and the names of elements under a misspelt or misplaced key.
    meant_elements: BTreeSet<(String, String)>,
    problems: Vec<(usize, Problem)>,
}

impl<'s> Report<'s> {
    /// `document` is the parsed `source`.
    pub(super) fn new(file: &'s str, source: &'s str, document: &'s DeTable<'s>) -> Self {
        Report {
            file,
            source,
            document,
            refused: BTreeSet::new(),
            meant_elements: BTreeSet::new(),
            problems: Vec::new(),
        }
    }

    /// Marks the value of `key` as refused.
    pub(super) fn refuse(&mut self, key: String) {
        self.refused.insert(key);
    }

    /// Marks `key` of the table `table` as the probable meaning of an unknown key with this value: no conclusion is
    /// drawn from its absence, nor from that of the table around it, nor from that of the elements that the value
    /// names.
    pub(super) fn meant(&mut self, table: &str, key: &str, value: &DeValue<'_>) {
        let mut whole = table.to_owned();
        for part in key.split('.') {
            let dot = if whole.is_empty() { "" } else { "." };
            whole = format!("{whole}{dot}{part}");
            if !self.has(&whole) {
                self.refuse(whole.clone());
            }
        }
        for element in value.as_array().into_iter().flatten().map(Spanned::get_ref).chain([value]) {
            let name = element.as_table().and_then(|table| table.get("name"));
            if let Some(name) = name.and_then(|name| name.get_ref().as_str()) {
                self.meant_elements.insert((whole.clone(), name.to_owned()));
            }
        }
    }

    /// Whether the list `key` is sound, and has no element of that name under a misspelt name of the list.
    pub(super) fn sound_element(&self, key: &str, name: &str) -> bool {
        self.sound(key) && !self.meant_elements.contains(&(key.to_owned(), name.to_owned()))
    }

    /// Whether the file has a value for `key`, good or bad.
    pub(super) fn has(&self, key: &str) -> bool {
        places::find(self.document, key).is_some()
    }

    /// Whether the file was meant to have a value for `key`: it has one, good or bad, or one under a wrong name.
    pub(super) fn intends(&self, key: &str) -> bool {
        self.has(key) || !self.sound(key)
    }

    /// Whether conclusions may be drawn from the value of `key`, or from its absence.
    pub(super) fn sound(&self, key: &str) -> bool {
        !self.refused.contains(key)
    }

    /// The file's own text at `span`, short enough for a message.
    pub(super) fn quote(&self, span: &Range<usize>) -> String {
        let text = self.source.get(span.clone()).unwrap_or_default().trim();
        let first_line = text.lines().next().unwrap_or_default();
        let short: String = first_line.chars().take(QUOTE_CHARS_MAX).collect();
        if short.len() < text.len() { format!("{short}…") } else { short }
    }

    /// Adds a mistake at a place of the text, and quotes the text.
    pub(super) fn add(
        &mut self,
        span: &Range<usize>,
        path: &str,
        what: impl Into<String>,
        allowed: Option<String>,
    ) {
        let found = Some(self.quote(span)).filter(|quoted| !quoted.is_empty());
        let problem = Problem { found, ..self.problem(span, path, what.into(), allowed) };
        self.problems.push((span.start, problem));
    }

    /// Adds a mistake at a place of the text without quoting it: something is absent there, or secret.
    pub(super) fn add_unquoted(
        &mut self,
        span: &Range<usize>,
        path: &str,
        what: impl Into<String>,
        allowed: Option<String>,
    ) {
        let problem = self.problem(span, path, what.into(), allowed);
        self.problems.push((span.start, problem));
    }

    fn problem(
        &self,
        span: &Range<usize>,
        path: &str,
        what: String,
        allowed: Option<String>,
    ) -> Problem {
        let (line, column) = self.line_and_column(span.start);
        let (file, path) = (self.file.to_owned(), path.to_owned());
        Problem { file, line, column, path, what, found: None, allowed }
    }

    /// Adds a mistake of the value of `key`; where the file has no such value, at the part around it.
    pub(super) fn at(&mut self, key: &str, what: impl Into<String>, allowed: Option<String>) {
        let (span, shown) = self.nearest(key);
        match self.has(key) {
            true => self.add(&span, &shown, what, allowed),
            false => self.add_unquoted(&span, &shown, what, allowed),
        }
    }

    /// Adds a mistake for a setting that is missing in the table `key`.
    pub(super) fn missing(&mut self, key: &str, what: &str, allowed: Option<String>) {
        let (span, shown) = self.nearest(key);
        self.add_unquoted(&span, &shown, what, allowed);
    }

    /// " (line 14)" for the value of `key`; empty where the file has none.
    pub(super) fn line_note(&self, key: &str) -> String {
        if self.source.is_empty() {
            return String::new();
        }
        format!(" (line {})", self.line_and_column(self.nearest(key).0.start).0)
    }

    /// The number of the line at `offset`.
    pub(super) fn line(&self, offset: usize) -> usize {
        self.line_and_column(offset).0
    }

    /// The text before `offset`.
    pub(super) fn before(&self, offset: usize) -> &'s str {
        self.source.get(..offset).unwrap_or_default()
    }

    fn nearest(&self, key: &str) -> (Range<usize>, String) {
        let mut enclosing = key;
        loop {
            if let Some(Place { span, shown }) = places::find(self.document, enclosing) {
                return (span, format!("{shown}{}", &key[enclosing.len()..]));
            }
            match enclosing.rfind(['.', '[']) {
                Some(end) => enclosing = &enclosing[..end],
                None => return (0..0, key.to_owned()),
            }
        }
    }

    fn line_and_column(&self, offset: usize) -> (usize, usize) {
        let before = self.source.get(..offset).unwrap_or(self.source);
        let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
        (before.matches('\n').count() + 1, before[line_start..].chars().count() + 1)
    }

    pub(super) fn is_clean(&self) -> bool {
        self.problems.is_empty()
    }

    /// The mistakes since the start, in the order of the text.
    pub(super) fn take(&mut self) -> Vec<Problem> {
        let mut problems = std::mem::take(&mut self.problems);
        problems.sort_by_key(|(offset, _)| *offset);
        problems.dedup();
        problems.into_iter().map(|(_, problem)| problem).collect()
    }
}
