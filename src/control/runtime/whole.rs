//! Whole configurations: reload, apply, and changes that wait for confirmation. Tested with `runtime`.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use super::adopt::{Proposal, Request, notes};
use super::{Control, LoadedFile, PendingChange, Running};
use crate::control::change::{Applied, By, ChangeError, Difference, Keep, Pending, Summary};
use crate::control::confirm::{ErrorCounts, Trial, Verdict};
use crate::control::events::EventKind;
use crate::control::overlay::Overlay;
use crate::control::state::{Base, Built, State, floors};
use crate::control::{diff, document};

/// When the rollback of a change is tried again after a failure.
const RETRY: Duration = Duration::from_secs(5);

impl Control {
    /// Reads the file again; edits of the overlay stay on top of it.
    ///
    /// # Errors
    /// See [`ChangeError`]; nothing was changed.
    pub fn reload(&self, by: &By<'_>) -> Result<Applied, ChangeError> {
        let request = Request { what: "reload", keep: None, edit: None, by, why: None };
        let result = self.change(&request, |running| {
            running.settled()?;
            let proposal = propose(running, None)?;
            self.adopt(running, &request, proposal)
        });
        self.last_reload_successful.store(result.is_ok(), Ordering::Relaxed);
        result
    }

    /// Puts a whole configuration in force: `text`, which also replaces the edits on top of the file, or the file on
    /// disk, under them. With `confirm` it is rolled back unless it is confirmed in that time. With [`Keep::File`] a
    /// text is written to the file, once it is confirmed.
    ///
    /// # Errors
    /// See [`ChangeError`]; nothing was changed.
    pub fn apply(
        &self,
        text: Option<&str>,
        confirm: Option<Duration>,
        keep: Keep,
        by: &By<'_>,
    ) -> Result<Applied, ChangeError> {
        let (what, keep) = ("apply", text.map(|_| keep));
        let request = Request { what, keep, edit: None, by, why: None };
        self.change(&request, |running| {
            running.settled()?;
            let is_kept = keep == Some(Keep::File);
            if is_kept && running.file.is_none() {
                return Err(ChangeError::NoFile);
            }
            let mut proposal = propose(running, text)?;
            proposal.write = is_kept && confirm.is_none();
            proposal.undo = Some(running.restore(proposal.write));
            let back = running.state.clone();
            let version = running.version;
            let counts = self.error_counts();
            let mut applied = self.adopt(running, &request, proposal)?;
            if let Some(time) = confirm
                && running.version != version
            {
                let trial = Trial::new(Instant::now(), time, &running.recent, counts);
                running.pending = Some(PendingChange {
                    change: applied.change,
                    summary: applied.summary.clone(),
                    actor: by.actor.to_owned(),
                    trial,
                    back,
                    write: is_kept,
                });
                applied.notes.push("it goes back by itself unless it is confirmed".to_owned());
            }
            Ok(applied)
        })
    }

    /// Confirms the change that waits for it.
    ///
    /// # Errors
    /// [`ChangeError::NothingPending`], or the file cannot be written: then the change goes on waiting.
    pub fn confirm(&self, by: &By<'_>) -> Result<Applied, ChangeError> {
        let request = Request { what: "confirm", keep: None, edit: None, by, why: None };
        self.change(&request, |running| {
            let pending = running.pending.as_ref().ok_or(ChangeError::NothingPending)?;
            if pending.write {
                running.file = Some(running.write(&running.state.base.text)?);
            }
            let sentences = vec![format!("change {} is confirmed", pending.change)];
            let summary = Summary { sentences, more: 0 };
            running.pending = None;
            self.note(running, &request, &summary, None);
            let (change, version) = (running.history.last(), running.version);
            Ok(Applied { change, version, summary: summary.listed(), notes: Vec::new() })
        })
    }

    /// Rolls back the change that waits for confirmation.
    ///
    /// # Errors
    /// [`ChangeError::NothingPending`], or the earlier configuration cannot be put in force again.
    pub fn rollback(&self, by: &By<'_>) -> Result<Applied, ChangeError> {
        let request = Request { what: "rollback", keep: None, edit: None, by, why: None };
        self.change(&request, |running| self.go_back(running, &request))
    }

    /// The change that waits for confirmation.
    pub fn pending(&self) -> Option<Pending> {
        let running = self.lock();
        let pending = running.pending.as_ref()?;
        Some(Pending {
            change: pending.change,
            summary: pending.summary.clone(),
            actor: pending.actor.clone(),
            remaining: pending.trial.remaining(Instant::now()),
        })
    }

    /// Decides about the change that waits for confirmation; to be called about every 250 ms. While a change is in
    /// progress it does nothing, so that its caller never waits.
    pub fn tick(&self, now: Instant) {
        let counts = self.error_counts();
        let why = {
            let Some(mut running) = self.try_lock() else { return };
            let Some(pending) = running.pending.as_mut() else {
                running.recent.push(now, counts);
                return;
            };
            match pending.trial.judge(now, counts) {
                Verdict::Wait => return,
                Verdict::Expired => "nobody confirmed it in time".to_owned(),
                Verdict::Jumped(ErrorCounts { requests, gateway_errors }) => {
                    format!("{gateway_errors} of {requests} requests were gateway errors")
                }
            }
        };
        let by = By { actor: "limpet", if_version: None };
        let why = format!("taken back: {why}");
        let why = Some(why.as_str());
        let request = Request { what: "rollback", keep: None, edit: None, by: &by, why };
        let result = self.change(&request, |running| {
            let result = self.go_back(running, &request);
            if let (Err(_), Some(pending)) = (&result, running.pending.as_mut()) {
                pending.trial = Trial::new(now, RETRY, &running.recent, counts);
            }
            result
        });
        match result {
            // It was confirmed or rolled back meanwhile.
            Ok(_) | Err(ChangeError::NothingPending) => {}
            Err(error) => {
                let text = format!("the change on trial cannot be taken back: {error}");
                self.events.push(EventKind::Warning, None, None, text);
            }
        }
    }

    /// The changes that `text`, or the file on disk, would make, in words.
    ///
    /// # Errors
    /// It cannot be read, or is refused.
    pub fn diff(&self, text: Option<&str>) -> Result<Vec<Difference>, ChangeError> {
        let running = self.lock();
        let mut proposal = propose(&running, text)?;
        let Built { parsed, dropped, .. } =
            proposal.state.build(&proposal.name, &proposal.floors, true)?;
        let before = &running.parsed.complete;
        let differences = diff::differences(before, &parsed.complete, &self.sessions());
        let mut differences = differences.listed();
        if text.is_some() && !differences.is_empty() {
            let lost = lost(&running, &proposal.state.base)?.into_iter();
            let said = lost.map(|text| Difference { kind: "lost", text, needs_restart: false });
            differences.splice(0..0, said);
        }
        let dropped = dropped.into_iter().chain(notes(&running, &parsed, &[]));
        differences.extend(dropped.map(|text| Difference {
            kind: "note",
            text,
            needs_restart: false,
        }));
        Ok(differences)
    }

    fn go_back(
        &self,
        running: &mut Running,
        request: &Request<'_>,
    ) -> Result<Applied, ChangeError> {
        let pending = running.pending.as_ref().ok_or(ChangeError::NothingPending)?;
        let change = pending.change;
        let proposal = Proposal {
            name: running.name.clone(),
            state: pending.back.clone(),
            floors: floors(&running.parsed.file, None),
            is_lenient: true,
            write: false,
            loaded: None,
            undo: None,
            notes: Vec::new(),
        };
        let applied = self.adopt(running, request, proposal)?;
        running.pending = None;
        running.history.close(change);
        Ok(applied)
    }
}

/// The edits on top of the file that a text replacing everything does not contain: an author who started from the file
/// has not seen them.
fn lost(running: &Running, base: &Base) -> Result<Vec<String>, ChangeError> {
    let overlay = &running.state.overlay;
    if overlay.is_empty() {
        return Ok(Vec::new());
    }
    Ok(overlay.lost_to(base.document(TEXT)?))
}

/// The name in reports of a text that was sent.
const TEXT: &str = "the text";

/// A text that replaces everything, or the file on disk as the new base.
fn propose(running: &Running, text: Option<&str>) -> Result<Proposal, ChangeError> {
    let mut notes = Vec::new();
    let (state, loaded) = match text {
        Some(text) => {
            // The author may have edited a shown text, which has replacements for its secrets.
            let text = document::with_secrets_of(text, &running.parsed.text);
            let base = Base::new(text.into());
            notes = lost(running, &base)?;
            if notes.is_empty() && !running.state.overlay.is_empty() {
                let count = running.state.overlay.edits.len();
                notes.push(format!("the text has the edits on top of the file ({count}) in it"));
            }
            (State { base, overlay: Overlay::default() }, None)
        }
        None => {
            let file = running.file.as_ref().ok_or(ChangeError::NoFile)?;
            let loaded = LoadedFile::read(&file.path)?;
            let base = Base::new(Arc::clone(&loaded.text));
            let mut overlay = running.state.overlay.clone();
            if !overlay.is_empty() {
                overlay.prune(base.document(&running.name)?);
            }
            (State { base, overlay }, Some(loaded))
        }
    };
    let name = text.map_or_else(|| running.name.clone(), |_| TEXT.to_owned());
    Ok(Proposal {
        name,
        state,
        floors: floors(&running.parsed.file, None),
        is_lenient: true,
        write: false,
        undo: Some(running.restore(false)),
        loaded,
        notes,
    })
}
