//! What runs, as texts: the base (the file as loaded, or what was applied in its place) and the edits on top of it.
//!
//! Makes a configuration of them: document, edits, validation as for any file. Changes nothing that runs. Tested
//! with `runtime`.

use std::sync::Arc;

use super::change::{ChangeError, Edit};
use super::config::file::File;
use super::config::{self, Parsed};
use super::document::Document;
use super::overlay::Overlay;

/// A whole text and the document made of it.
#[derive(Debug, Clone)]
pub struct Base {
    pub text: Arc<str>,
    pub document: Arc<Document>,
}

impl Base {
    /// # Errors
    /// The text is not TOML.
    pub fn new(text: &str) -> Result<Base, ChangeError> {
        Ok(Base { document: Arc::new(Document::parse(text)?), text: text.into() })
    }

    /// The same for a text from outside: what is not TOML is reported like everything that is wrong with a file.
    ///
    /// # Errors
    /// Everything that is wrong with it.
    pub fn parsed(text: &str, name: &str) -> Result<Base, ChangeError> {
        Base::new(text).or_else(|error| match config::parse(text, name) {
            Err(problems) => Err(problems.into()),
            Ok(_) => Err(error),
        })
    }
}

/// Everything that the running configuration follows from.
#[derive(Debug, Clone)]
pub struct State {
    pub base: Base,
    pub overlay: Overlay,
}

/// Generations of stickiness below which no group may fall: what was flushed while running stays flushed.
pub type Floors = Vec<(String, u32)>;

/// The floors that follow from what runs, but for the group whose generation `edit` sets itself.
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
        let flushed = matches!(edit, Some(Edit::FlushStickiness { group: one }) if *one == group.name);
        let generation = group.stickiness.generation.saturating_add(u32::from(flushed));
        if generation > 0 && !states_itself(&group.name) {
            floors.push((group.name.clone(), generation));
        }
    }
    floors
}

impl State {
    /// The configuration that follows. Edits of the overlay whose group or target is gone are dropped and named;
    /// with `is_lenient` also those that are refused together with a base that is right by itself.
    ///
    /// # Errors
    /// Everything that is wrong with it.
    pub fn build(
        &mut self,
        name: &str,
        floors: &Floors,
        is_lenient: bool,
    ) -> Result<(Parsed, Vec<String>), ChangeError> {
        let (parsed, mut dropped) = self.attempt(name, floors);
        match parsed {
            Ok(parsed) => return Ok((parsed, dropped)),
            Err(error) if !is_lenient || self.overlay.is_empty() => return Err(error),
            Err(_) => {}
        }
        // A base that is wrong by itself is reported in the places of its own text.
        self.with_first(0).attempt(name, floors).0?;
        loop {
            let Some((culprit, why)) = self.culprit(name, floors) else { break };
            dropped.push(self.overlay.drop_at(culprit, &why));
        }
        let (parsed, more) = self.attempt(name, floors);
        dropped.extend(more);
        Ok((parsed?, dropped))
    }

    fn attempt(
        &mut self,
        name: &str,
        floors: &Floors,
    ) -> (Result<Parsed, ChangeError>, Vec<String>) {
        if self.overlay.is_empty() && floors.is_empty() {
            let parsed = config::parse_complete(self.base.text.to_string(), name);
            return (parsed.map_err(ChangeError::from), Vec::new());
        }
        let (mut document, dropped) = self.overlay.apply_to(&self.base.document);
        let mut is_raised = false;
        for (group, generation) in floors {
            is_raised |= document.raise_generation(group, *generation);
        }
        let text = match self.overlay.is_empty() && !is_raised {
            true => self.base.text.to_string(),
            false => document.text(),
        };
        (config::parse_complete(text, name).map_err(ChangeError::from), dropped)
    }

    /// The base with its first edits only.
    fn with_first(&self, count: usize) -> State {
        let mut state = self.clone();
        state.overlay.edits.truncate(count);
        state
    }

    /// The first edit that makes a right configuration a wrong one, by halving.
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
