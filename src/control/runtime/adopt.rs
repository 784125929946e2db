//! The only way to put a configuration in force: build, compare, compile, open, write, publish, note.
//!
//! Everything that can fail comes before the publication, so that a refusal changes nothing. Tested with
//! `runtime`.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use super::{Control, LastReading, LoadedFile, Running, own};
use crate::control::audit::Entry;
use crate::control::certificates::{Certificates, Occasion};
use crate::control::change::{
    Applied, By, ChangeError, Difference, Edit, HistoryEntry, Keep, Summary,
};
use crate::control::compile::{self, Before, Material};
use crate::control::config::file::File;
use crate::control::config::{self, Parsed};
use crate::control::drain::{self, Leaving};
use crate::control::events::{EventKind, unix_ms};
use crate::control::history::Undo;
use crate::control::state::{Built, Floors, State};
use crate::control::{diff, keys};
use crate::snapshot::Snapshot;
use crate::stickiness::keyring::KeyRing;

/// Most sentences of a change in its event; more are counted.
const EVENT_SENTENCES_MAX: usize = 3;

/// The request, in the terms of history and audit log.
#[derive(Debug, Clone, Copy)]
pub(super) struct Request<'r> {
    /// As in `HistoryEntry::what`.
    pub what: &'static str,
    pub keep: Option<Keep>,
    pub edit: Option<&'r Edit>,
    pub by: &'r By<'r>,
    /// Why it happens without an operator.
    pub why: Option<&'r str>,
}

impl Request<'_> {
    /// Whoever brings a configuration is told of every bad certificate in it; an edit, or the way back, must not fail
    /// for one that it does not touch.
    fn occasion(&self) -> Occasion {
        match self.what {
            "reload" | "apply" => Occasion::Configuration,
            _ => Occasion::Renewal,
        }
    }
}

/// A configuration to be put in force.
pub(super) struct Proposal {
    /// The name of the base in reports.
    pub name: String,
    pub state: State,
    pub floors: Floors,
    /// Whether edits of the overlay that are refused are dropped instead of refusing the whole.
    pub is_lenient: bool,
    /// Whether the base's text is written to the file.
    pub write: bool,
    /// Set when the base was just read from the file.
    pub loaded: Option<LoadedFile>,
    pub undo: Option<Undo>,
    pub notes: Vec<String>,
}

/// A compiled configuration that is not published yet.
struct Ready {
    parsed: Parsed,
    ring: Arc<KeyRing>,
    certificates: Arc<Certificates>,
    snapshot: Arc<Snapshot>,
    leaving: Vec<Leaving>,
    commit: Option<Box<dyn FnOnce() + Send>>,
}

impl Control {
    /// Carries out a change on the running state, alone; a refusal goes to the audit log.
    pub(super) fn change(
        &self,
        request: &Request<'_>,
        change: impl FnOnce(&mut Running) -> Result<Applied, ChangeError>,
    ) -> Result<Applied, ChangeError> {
        let mut running = self.lock();
        let current = running.version;
        let expected = request.by.if_version.filter(|expected| *expected != current);
        let result = match expected {
            Some(expected) => Err(ChangeError::Conflict { current, expected }),
            None => change(&mut running),
        };
        if let Err(error) = &result {
            let why = error.to_string();
            self.audit(&Entry {
                actor: request.by.actor,
                what: request.what,
                keep: request.keep,
                edit: request.edit,
                change: None,
                version: current,
                summary: &[],
                outcome: "refused",
                why: Some(&why),
            });
        }
        result
    }

    /// Puts a proposal in force.
    pub(super) fn adopt(
        &self,
        running: &mut Running,
        request: &Request<'_>,
        mut proposal: Proposal,
    ) -> Result<Applied, ChangeError> {
        let Built { parsed, whole, dropped } =
            proposal.state.build(&proposal.name, &proposal.floors, proposal.is_lenient)?;
        let differences =
            diff::differences(&running.parsed.complete, &parsed.complete, &self.sessions());
        let notes = self::notes(running, &parsed, &differences.said);
        proposal.notes.extend(dropped.into_iter().chain(notes));
        let ready = self.ready(running, parsed, request.occasion())?;
        let known = running.certificates.notes();
        let notes = ready.certificates.notes().iter().filter(|note| !known.contains(note));
        proposal.notes.extend(notes.cloned());
        let renewed = ready.certificates.renewed(&running.certificates);
        if proposal.write {
            proposal.loaded = Some(running.write(&proposal.state.base.text)?);
        }
        let is_other_text = proposal.state.base.text != running.state.base.text;
        let is_other_overlay = !proposal.state.overlay.says_the_same(&running.state.overlay);
        let is_edit_on_top = request.edit.is_some() && request.keep == Some(Keep::Overlay);
        // A text with another form of the same configuration is taken over silently, and an edit on top that changes
        // nothing is not kept.
        let is_noted = !differences.is_empty()
            || !renewed.is_empty()
            || is_other_overlay && !is_edit_on_top
            || (proposal.loaded.is_none() || proposal.write) && is_other_text;
        self.publish(running, ready);
        running.file = proposal.loaded.or_else(|| running.file.take());
        running.state.base = proposal.state.base;
        running.whole = whole;
        let mut summary = Summary::from(differences);
        summary.sentences.extend(renewed);
        if is_noted {
            if summary.sentences.is_empty() {
                summary.sentences.push(unseen(proposal.write, is_other_overlay).to_owned());
            }
            running.state.overlay = proposal.state.overlay;
            running.version = running.version.saturating_add(1);
            self.version.store(running.version, Ordering::Release);
            summary.sentences.splice(..0, request.why.map(str::to_owned));
            self.note(running, request, &summary, proposal.undo);
        } else {
            proposal.notes.push("nothing differs".to_owned());
        }
        let (change, version) = (running.history.last(), running.version);
        Ok(Applied { change, version, summary: summary.listed(), notes: proposal.notes })
    }

    /// Compiles, and opens the sockets that the data plane needs for it.
    fn ready(
        &self,
        running: &Running,
        parsed: Parsed,
        occasion: Occasion,
    ) -> Result<Ready, ChangeError> {
        let keys = |parsed: &Parsed| parsed.complete.get("stickiness_keys").cloned();
        let ring = match keys(&parsed) == keys(&running.parsed) {
            true => Arc::clone(&running.ring),
            false => {
                keys::load(&parsed.file)
                    .map_err(|error| ChangeError::Refused(error.to_string()))?
                    .ring
            }
        };
        let (one, other) = (&running.parsed.file, &parsed.file);
        let leaving = drain::leaving_after(one, other, &running.leaving, Instant::now());
        // The group of a target that begins or ceases to leave must be compiled anew, though its table may be equal.
        let moved: Vec<&str> = moved(&running.leaving, &leaving)
            .chain(moved(&leaving, &running.leaving))
            .map(|one| one.group.as_str())
            .collect();
        let before =
            Before { file: one, snapshot: &running.snapshot, ring: &running.ring, changed: &moved };
        let certificates = self.read_certificates(running, other, &ring, occasion)?;
        let material = Material { ring: &ring, certificates: Some(&certificates) };
        let snapshot = compile::compile(other, &self.registry, material, Some(before), &leaving)?;
        let snapshot = Arc::new(snapshot);
        let commit = match &running.listeners {
            Some(listeners) => Some(listeners.open(&snapshot).map_err(ChangeError::Refused)?),
            None => None,
        };
        Ok(Ready { parsed, ring, certificates, snapshot, leaving, commit })
    }

    fn publish(&self, running: &mut Running, ready: Ready) {
        self.change_log(&running.parsed.file, &ready.parsed.file);
        self.publication.replace(Arc::clone(&ready.snapshot));
        if let Some(commit) = ready.commit {
            commit();
        }
        self.file.store(Arc::clone(&ready.parsed.file));
        running.parsed = ready.parsed;
        running.ring = ready.ring;
        self.present_to_operators(&ready.certificates);
        // What was taken over is no reading.
        if !Arc::ptr_eq(&running.certificates, &ready.certificates) {
            *own(&self.certificate_reading) = LastReading::of(&ready.certificates);
        }
        running.certificates = ready.certificates;
        running.snapshot = ready.snapshot;
        running.leaving = ready.leaving;
    }

    /// Done before the rest is published, so that no request served by the new configuration is logged by the old one.
    fn change_log(&self, before: &File, after: &File) {
        let options = compile::process(after).access_log;
        if options == compile::process(before).access_log {
            return;
        }
        let change = own(&self.log_change).clone();
        if let Some(change) = change {
            change(&options);
        }
    }

    /// Writes a change into the history, the events and the audit log.
    pub(super) fn note(
        &self,
        running: &mut Running,
        request: &Request<'_>,
        summary: &Summary,
        undo: Option<Undo>,
    ) {
        let listed = summary.listed();
        let change = running.history.last().saturating_add(1);
        let entry = HistoryEntry {
            change,
            version: running.version,
            unix_ms: unix_ms(),
            actor: request.by.actor.to_owned(),
            what: request.what,
            keep: request.keep,
            summary: listed.clone(),
            can_undo: undo.is_some(),
        };
        if let Some(last) = running.state.overlay.edits.last_mut()
            && last.entry.change == change
        {
            last.entry.summary.clone_from(&listed);
        }
        running.history.push(entry, undo.ok_or(irrevocable(request.edit)));
        self.audit(&Entry {
            actor: request.by.actor,
            what: request.what,
            keep: request.keep,
            edit: request.edit,
            change: Some(change),
            version: running.version,
            summary: &listed,
            outcome: "accepted",
            why: request.why,
        });
        let kind = match request.what {
            "edit" | "undo" => EventKind::Edit,
            _ => EventKind::Reload,
        };
        let (group, target) = request.edit.map(subject).unwrap_or_default();
        let said = summary.line(EVENT_SENTENCES_MAX);
        let text = format!("{} by {}: {said}", request.what, request.by.actor);
        self.events.push(kind, group, target, text);
    }
}

/// The entries of `after` that are not equal in `before`.
fn moved<'l>(before: &'l [Leaving], after: &'l [Leaving]) -> impl Iterator<Item = &'l Leaving> {
    let key = |one: &'l Leaving| (one.group.as_str(), one.target.effective_id());
    let before: HashMap<_, _, ahash::RandomState> =
        before.iter().map(|one| (key(one), one)).collect();
    after.iter().filter(move |one| before.get(&key(one)) != Some(one))
}

/// Settings that need a restart, and new notes about settings that are hardly intended.
pub(super) fn notes(running: &Running, parsed: &Parsed, differences: &[Difference]) -> Vec<String> {
    let restart = differences.iter().filter(|one| one.needs_restart);
    let mut notes: Vec<String> =
        restart.map(|one| format!("in force after a restart: {}", one.text)).collect();
    let before: HashSet<String> = config::notes(&running.parsed.file).into_iter().collect();
    notes.extend(config::notes(&parsed.file).into_iter().filter(|note| !before.contains(note)));
    notes
}

/// The sentence for a change that does not affect what runs.
fn unseen(is_written: bool, is_other_overlay: bool) -> &'static str {
    match (is_written, is_other_overlay) {
        (true, true) => "what runs stays as it is; what was on top of the file is in it now",
        (true, false) => "what runs stays as it is; the file says it in other words now",
        (false, true) => "what runs stays as it is; the file says now what was on top of it",
        (false, false) => "what runs stays as it is; it is written in other words",
    }
}

/// Why a change without an inverse cannot be undone.
fn irrevocable(edit: Option<&Edit>) -> &'static str {
    match edit {
        Some(Edit::FlushStickiness { .. }) => "cookies that a flush has outdated stay outdated",
        _ => "it changed nothing that could be taken back",
    }
}

fn subject(edit: &Edit) -> (Option<&str>, Option<&str>) {
    match edit {
        Edit::SetGroup { group, .. }
        | Edit::FlushStickiness { group }
        | Edit::AddTarget { group, .. } => (Some(group), None),
        Edit::SetTarget { group, target, .. } | Edit::RemoveTarget { group, target } => {
            (Some(group), Some(target))
        }
    }
}
