//! The place of a value: from the parts of a key path to a value of the document, and to the path as it is shown.
//!
//! Searched only for values that are reported, so that a file without mistakes costs nothing here. Pure. Tested by the
//! golden report in `tests/config.rs`.

use std::borrow::Cow;
use std::fmt::Write as _;
use std::ops::Range;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// Longest name of a list's element in a path, in bytes.
const LABEL_BYTES_MAX: usize = 63;

/// A key path, from its last part up; each part borrows the one above.
#[derive(Debug, Clone, Copy)]
pub(super) enum Path<'p> {
    Root,
    Key(&'p Path<'p>, &'p str),
    Element(&'p Path<'p>, usize, &'p DeValue<'p>),
}

impl<'p> Path<'p> {
    pub(super) fn child(&'p self, key: &'p str) -> Path<'p> {
        Path::Key(self, key)
    }

    pub(super) fn element(&'p self, index: usize, element: &'p DeValue<'p>) -> Path<'p> {
        Path::Element(self, index, element)
    }

    /// The part above; the root has none.
    pub(super) fn parent(&self) -> Option<&'p Path<'p>> {
        match self {
            Path::Root => None,
            Path::Key(parent, _) | Path::Element(parent, ..) => Some(parent),
        }
    }

    /// As the head of its table is written: `[[listener.rule]]`
    pub(super) fn head(&self) -> String {
        let (keys, is_element) = self.keys();
        if is_element { format!("[[{keys}]]") } else { format!("[{keys}]") }
    }

    fn keys(&self) -> (String, bool) {
        match self {
            Path::Root => (String::new(), false),
            Path::Key(Path::Root, key) => ((*key).to_owned(), false),
            Path::Key(parent, key) => (format!("{}.{key}", parent.keys().0), false),
            Path::Element(parent, ..) => (parent.keys().0, true),
        }
    }

    /// In the form for searching: `listener[0].name`
    pub(super) fn key(&self) -> String {
        self.written(&|index, _| index.to_string().into())
    }

    /// In the form for people: `listener[web].name`
    pub(super) fn shown(&self) -> String {
        self.written(&label)
    }

    fn written<'v>(&self, element: &dyn Fn(usize, &'p DeValue<'p>) -> Cow<'v, str>) -> String
    where
        'p: 'v,
    {
        match self {
            Path::Root => String::new(),
            Path::Key(Path::Root, key) => (*key).to_owned(),
            Path::Key(parent, key) => format!("{}.{key}", parent.written(element)),
            Path::Element(parent, index, value) => {
                format!("{}[{}]", parent.written(element), element(*index, value))
            }
        }
    }

    /// The last part.
    pub(super) fn name(&self) -> &'p str {
        match self {
            Path::Root => "",
            Path::Key(_, key) => key,
            Path::Element(parent, ..) => parent.name(),
        }
    }
}

/// The text that replaces an element's index.
fn label<'v>(index: usize, element: &'v DeValue<'_>) -> Cow<'v, str> {
    let name = element.as_table().and_then(|table| {
        ["name", "id"].iter().find_map(|key| table.get(*key)?.get_ref().as_str())
    });
    let fits = |label: &&str| label.len() <= LABEL_BYTES_MAX && !label.contains(char::is_control);
    match name.filter(fits) {
        Some(label) => label.into(),
        None => format!("#{}", index.saturating_add(1)).into(),
    }
}

/// A value of the document.
#[derive(Debug)]
pub(super) struct Place {
    pub span: Range<usize>,
    pub shown: String,
}

/// The value of `key`, such as `listener[0].rule[2].priority`.
pub(super) fn find(document: &DeTable<'_>, key: &str) -> Option<Place> {
    let mut shown = String::new();
    let mut table = Some(document);
    let mut found: Option<&Spanned<DeValue<'_>>> = None;
    for part in key.split('.') {
        let (name, index) = match part.split_once('[') {
            Some((name, index)) => (name, Some(index.strip_suffix(']')?.parse::<usize>().ok()?)),
            None => (part, None),
        };
        let mut value = table?.get(name)?;
        let dot = if shown.is_empty() { "" } else { "." };
        let _ = write!(shown, "{dot}{name}");
        if let Some(index) = index {
            value = value.get_ref().as_array()?.get(index)?;
            let _ = write!(shown, "[{}]", label(index, value.get_ref()));
        }
        table = value.get_ref().as_table();
        found = Some(value);
    }
    found.map(|value| Place { span: value.span(), shown })
}
