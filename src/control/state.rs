//! The running configuration as texts: the base (the loaded file, or an applied text in its place) and the edits on
//! top.
//!
//! Builds a configuration from them: document, edits, validation as for any file. Changes nothing that runs. Tested
//! with `runtime`.

use std::sync::{Arc, OnceLock};

use super::change::{ChangeError, Edit};
use super::config::file::File;
use super::config::{self, Parsed};
use super::document::Document;
use super::overlay::Overlay;

/// A whole text, and its document once it is edited: the document is as large as ten texts.
#[derive(Debug, Clone)]
pub struct Base {
    pub text: Arc<str>,
    document: Arc<OnceLock<Document>>,
}

impl Base {
    pub fn new(text: Arc<str>) -> Base {
        Base { text, document: Arc::default() }
    }

    /// The result of an edit of another base.
    pub fn edited(document: Document) -> Base {
        Base { text: document.text().into(), document: Arc::new(document.into()) }
    }

    /// The text, ready to be edited; `name` is its name in reports.
    ///
    /// # Errors
    /// All mistakes of a text that is not TOML.
    pub fn document(&self, name: &str) -> Result<&Document, ChangeError> {
        if let Some(document) = self.document.get() {
            return Ok(document);
        }
        match Document::parse(&self.text) {
            Ok(document) => Ok(self.document.get_or_init(|| document)),
            // Reported like any mistake of a file.
            Err(error) => Err(config::parse(&self.text, name).err().map_or(error, Into::into)),
        }
    }
}

/// The sources of the running configuration.
#[derive(Debug, Clone)]
pub struct State {
    pub base: Base,
    pub overlay: Overlay,
}

/// A configuration and its sources.
#[derive(Debug)]
pub struct Built {
    pub parsed: Parsed,
    /// The text in `parsed`.
    pub whole: Base,
    /// Edits of the overlay that no longer fitted, and why.
    pub dropped: Vec<String>,
}

/// A configuration and its text.
type Made = (Parsed, Base);

/// The lowest allowed generations of groups' stickiness: a flush at run time stays in force.
pub type Floors = Vec<(String, u32)>;

/// The floors that follow from the running file, except for a group whose generation `edit` sets itself.
pub fn floors(running: &File, edit: Option<&Edit>) -> Floors {
    let states_itself = |name: &str| match edit {
        Some(Edit::SetGroup { group, set }) => {
            group == name
                && (set.contains_key("stickiness") || set.contains_key("stickiness.generation"))
        }
        Some(
            Edit::FlushStickiness { .. }
            | Edit::SetTarget { .. }
            | Edit::AddTarget { .. }
            | Edit::RemoveTarget { .. },
        )
        | None => false,
    };
    let mut floors = Floors::new();
    for group in &running.target_groups {
        let flushed =
            matches!(edit, Some(Edit::FlushStickiness { group: one }) if *one == group.name);
        let generation = group.stickiness.generation.saturating_add(u32::from(flushed));
        if generation > 0 && !states_itself(&group.name) {
            floors.push((group.name.clone(), generation));
        }
    }
    floors
}

impl State {
    /// The configuration that follows. Edits of the overlay whose group or target is gone are dropped and named; with
    /// `is_lenient` also edits that are refused together with a base that is correct by itself.
    ///
    /// # Errors
    /// All of its mistakes.
    pub fn build(
        &mut self,
        name: &str,
        floors: &Floors,
        is_lenient: bool,
    ) -> Result<Built, ChangeError> {
        let (built, mut dropped) = self.attempt(name, floors);
        match built {
            Ok((parsed, whole)) => return Ok(Built { parsed, whole, dropped }),
            Err(error) if !is_lenient || self.overlay.is_empty() => return Err(error),
            Err(_) => {}
        }
        // The mistakes of the base itself are reported with their places in its own text.
        self.with_first(0).attempt(name, floors).0?;
        while let Some((culprit, why)) = self.culprit(name, floors) {
            dropped.push(self.overlay.drop_at(culprit, &why));
        }
        let (built, more) = self.attempt(name, floors);
        dropped.extend(more);
        let (parsed, whole) = built?;
        Ok(Built { parsed, whole, dropped })
    }

    fn attempt(&mut self, name: &str, floors: &Floors) -> (Result<Made, ChangeError>, Vec<String>) {
        let name = match self.overlay.is_empty() {
            true => name.to_owned(),
            false => format!("{name} with the edits on top of it"),
        };
        let made = |whole: Base| {
            let parsed = config::parse_complete(Arc::clone(&whole.text), &name)?;
            Ok((parsed, whole))
        };
        if self.overlay.is_empty() && floors.is_empty() {
            return (made(self.base.clone()), Vec::new());
        }
        let (mut document, dropped) = match self.base.document(&name) {
            Ok(document) => self.overlay.apply_to(document),
            Err(error) => return (Err(error), Vec::new()),
        };
        let mut is_raised = false;
        for (group, generation) in floors {
            is_raised |= document.raise_generation(group, *generation);
        }
        if self.overlay.is_empty() && !is_raised {
            return (made(self.base.clone()), dropped);
        }
        (made(Base::edited(document)), dropped)
    }

    /// The base with its first edits only.
    fn with_first(&self, count: usize) -> State {
        let mut state = self.clone();
        state.overlay.edits.truncate(count);
        state
    }

    /// The first edit that makes a correct configuration wrong, found by halving.
    fn culprit(&self, name: &str, floors: &Floors) -> Option<(usize, String)> {
        let refusal = |count: usize| self.with_first(count).attempt(name, floors).0.err();
        let (mut right, mut wrong) = (0, self.overlay.edits.len());
        let mut why = refusal(wrong)?.to_string();
        while wrong - right > 1 {
            let middle = right + (wrong - right) / 2;
            match refusal(middle) {
                None => right = middle,
                Some(error) => (wrong, why) = (middle, error.to_string()),
            }
        }
        Some((right, why))
    }
}
