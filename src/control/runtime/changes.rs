//! Edits, their undoing, and their writing to the file. Tested with `runtime`.

use std::sync::Arc;

use super::adopt::{Proposal, Request};
use super::{Control, LoadedFile, Running};
use crate::control::change::{Applied, By, ChangeError, Edit, Keep};
use crate::control::document::Document;
use crate::control::history::Undo;
use crate::control::overlay::{self, Overlaid, Overlay};
use crate::control::state::{Base, State, floors};

impl Control {
    /// Makes one change.
    ///
    /// # Errors
    /// See [`ChangeError`]; nothing was changed.
    pub fn edit(&self, edit: &Edit, keep: Keep, by: &By<'_>) -> Result<Applied, ChangeError> {
        let request = Request { what: "edit", keep: Some(keep), edit: Some(edit), by, why: None };
        self.change(&request, |running| {
            running.settled()?;
            let proposal = propose_edit(running, edit, keep, by)?;
            self.adopt(running, &request, proposal)
        })
    }

    /// The edit that undoes one change; `None` where that is a whole configuration. The kind of a change never changes,
    /// so this may be called before the undo.
    ///
    /// # Errors
    /// The change is unknown, or cannot be undone.
    pub fn inverse_of(&self, change: u64) -> Result<Option<Edit>, ChangeError> {
        Ok(match self.lock().history.undo_of(change)? {
            Undo::Edit { inverse, .. } => Some(inverse),
            Undo::Restore { .. } => None,
        })
    }

    /// Undoes one change of the history.
    ///
    /// # Errors
    /// See [`ChangeError`]; nothing was changed.
    pub fn undo(&self, change: u64, by: &By<'_>) -> Result<Applied, ChangeError> {
        let undo = self.lock().history.undo_of(change);
        let (keep, edit) = match &undo {
            Ok(Undo::Edit { inverse, keep, .. }) => (Some(*keep), Some(inverse)),
            Ok(Undo::Restore { .. }) | Err(_) => (None, None),
        };
        let request = Request { what: "undo", keep, edit, by, why: None };
        self.change(&request, |running| {
            running.settled()?;
            let proposal = match running.history.undo_of(change)? {
                Undo::Edit { inverse, keep, exact } => {
                    let mut proposal = propose_edit(running, &inverse, keep, by)?;
                    if let Some(text) = exact {
                        proposal.state.base = Base::new(text);
                    }
                    proposal
                }
                Undo::Restore { state, write } => Proposal {
                    name: running.name.clone(),
                    floors: floors(&running.parsed.file, None),
                    is_lenient: true,
                    write,
                    loaded: None,
                    undo: Some(running.restore(write)),
                    notes: Vec::new(),
                    state: *state,
                },
            };
            let applied = self.adopt(running, &request, proposal)?;
            running.history.close(change);
            Ok(applied)
        })
    }

    /// Writes every edit of the overlay into the file.
    ///
    /// # Errors
    /// See [`ChangeError`]; nothing was changed.
    pub fn write_overlay(&self, by: &By<'_>) -> Result<Applied, ChangeError> {
        let (what, keep) = ("write", Some(Keep::File));
        let request = Request { what, keep, edit: None, by, why: None };
        self.change(&request, |running| {
            running.settled()?;
            let base = running.whole.clone();
            let proposal = Proposal {
                name: running.name.clone(),
                state: State { base, overlay: Overlay::default() },
                floors: floors(&running.parsed.file, None),
                is_lenient: false,
                write: true,
                loaded: None,
                undo: Some(running.restore(true)),
                notes: Vec::new(),
            };
            self.adopt(running, &request, proposal)
        })
    }

    /// Undoes every edit of the overlay.
    ///
    /// # Errors
    /// See [`ChangeError`]; nothing was changed.
    pub fn discard_overlay(&self, by: &By<'_>) -> Result<Applied, ChangeError> {
        let (what, keep) = ("discard", Some(Keep::Overlay));
        let request = Request { what, keep, edit: None, by, why: None };
        self.change(&request, |running| {
            running.settled()?;
            let state = State { base: running.state.base.clone(), overlay: Overlay::default() };
            let proposal = Proposal {
                name: running.name.clone(),
                state,
                floors: floors(&running.parsed.file, None),
                is_lenient: false,
                write: false,
                loaded: None,
                undo: Some(running.restore(false)),
                notes: Vec::new(),
            };
            self.adopt(running, &request, proposal)
        })
    }
}

impl Running {
    /// How to restore the present state.
    pub(super) fn restore(&self, write: bool) -> Undo {
        Undo::Restore { state: Box::new(self.state.clone()), write }
    }
}

/// The state that `edit` leads to.
fn propose_edit(
    running: &Running,
    edit: &Edit,
    keep: Keep,
    by: &By<'_>,
) -> Result<Proposal, ChangeError> {
    let mut state = running.state.clone();
    let mut exact = None;
    // Applied to the running document, so that the inverse restores the running values.
    let mut running_document = Document::clone(running.whole.document(&running.name)?);
    let mut inverse = running_document.apply(edit)?;
    match keep {
        Keep::Overlay => {
            let change = running.history.last().saturating_add(1);
            let entry = overlay::entry(change, running.version.saturating_add(1), by.actor);
            let document = state.base.document(&running.name)?;
            state.overlay.push(Overlaid { edit: edit.clone(), entry }, document)?;
        }
        Keep::File => {
            running.base_is_file()?;
            let mut document = Document::clone(state.base.document(&running.name)?);
            // An undo must bring the file's own values back into it.
            inverse = document.apply(edit).map_err(only_on_top)?;
            if let Edit::FlushStickiness { group } = edit {
                let flushed = floors(&running.parsed.file, Some(edit));
                let next = flushed.iter().find(|(name, _)| name == group);
                document.raise_generation(group, next.map_or(0, |(_, next)| *next));
                // The overlay's entry adds nothing to the file now.
                state.overlay.edits.retain(|one| one.edit != *edit);
            }
            exact = Some(Arc::clone(&state.base.text));
            state.base = Base::edited(document);
            state.overlay.supersede(edit);
        }
    }
    let undo = inverse.map(|inverse| Undo::Edit { inverse, keep, exact });
    Ok(Proposal {
        name: running.name.clone(),
        state,
        floors: floors(&running.parsed.file, Some(edit)),
        is_lenient: false,
        write: keep == Keep::File,
        loaded: None::<LoadedFile>,
        undo,
        notes: Vec::new(),
    })
}

/// Rewords the error: the group and the target are running, only the file does not have them.
fn only_on_top(error: ChangeError) -> ChangeError {
    match error {
        ChangeError::NoGroup { .. } | ChangeError::NoTarget { .. } => ChangeError::Refused(
            "the file does not have it: it is among the edits on top of the file; write those into the file first"
                .to_owned(),
        ),
        other => other,
    }
}
