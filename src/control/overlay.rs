//! Edits on top of the file, in order; bounded. An edit that a later one makes void is dropped, so that the list is
//! exactly the difference between the running configuration and the file.
//!
//! Pure. Tested with `runtime`.

use serde_json::{Map, Value as Json};

use super::change::{ChangeError, Edit, HistoryEntry, Keep};
use super::document::Document;

/// Most edits that are kept.
pub const EDITS_MAX: usize = 1000;

/// One edit and its author.
#[derive(Debug, Clone, PartialEq)]
pub struct Overlaid {
    pub edit: Edit,
    pub entry: HistoryEntry,
}

/// The edits, oldest first.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Overlay {
    pub edits: Vec<Overlaid>,
}

/// The subject of an edit of settings: a group, or a target of it.
type Subject<'e> = (&'e str, Option<&'e str>);

impl Overlay {
    pub fn is_empty(&self) -> bool {
        self.edits.is_empty()
    }

    /// Whether both have the same effect on any file.
    pub fn says_the_same(&self, other: &Overlay) -> bool {
        let edits = |overlay: &Overlay| -> Vec<Edit> {
            overlay.edits.iter().map(|one| one.edit.clone()).collect()
        };
        edits(self) == edits(other)
    }

    /// For [`super::runtime::Control::overlay`].
    pub fn entries(&self) -> Vec<HistoryEntry> {
        self.edits.iter().map(|one| one.entry.clone()).collect()
    }

    /// Puts an edit on top of the others over `base`.
    ///
    /// # Errors
    /// There are too many.
    pub fn push(&mut self, new: Overlaid, base: &Document) -> Result<(), ChangeError> {
        self.supersede(&new.edit);
        let is_cancelled = match &new.edit {
            Edit::SetGroup { .. } | Edit::SetTarget { .. } => false,
            Edit::FlushStickiness { .. } => {
                // One entry stands for all: the number itself is carried over by the caller of `build`.
                self.edits.iter().any(|one| one.edit == new.edit)
            }
            Edit::AddTarget { group, settings } => self.cancel_removal(group, settings, base),
            Edit::RemoveTarget { group, target } => self.cancel_addition(group, target),
        };
        if !is_cancelled {
            if self.edits.len() >= EDITS_MAX {
                return Err(ChangeError::Refused(format!(
                    "there are {EDITS_MAX} edits on top of the file; write them into it or discard them"
                )));
            }
            self.edits.push(new);
        }
        self.prune(base);
        Ok(())
    }

    /// Drops edits that `edit`, which comes later, makes void.
    pub fn supersede(&mut self, edit: &Edit) {
        match edit {
            Edit::SetGroup { set, .. } | Edit::SetTarget { set, .. } => {
                let subject = subject(edit);
                self.retain_keys(|other, key| {
                    other != subject || !set.keys().any(|new| is_within(key, new))
                });
            }
            Edit::RemoveTarget { group, target } => {
                self.retain_keys(|other, _| other != Some((group, Some(target))));
            }
            Edit::FlushStickiness { .. } | Edit::AddTarget { .. } => {}
        }
    }

    /// Drops settings that `base` has anyway.
    pub fn prune(&mut self, base: &Document) {
        let others = self.edits.clone();
        let overlaps = |subject: Subject<'_>, key: &str| {
            let same = others.iter().filter(|one| self::subject(&one.edit) == Some(subject));
            let keys = same.filter_map(|one| settings(&one.edit)).flat_map(Map::keys);
            keys.filter(|other| is_within(other, key) || is_within(key, other)).count() > 1
        };
        let is_moved = |subject: Subject<'_>| {
            others.iter().any(|one| match &one.edit {
                Edit::AddTarget { group, .. } => *group == subject.0 && subject.1.is_some(),
                Edit::RemoveTarget { group, target } => subject == (group, Some(target)),
                Edit::SetGroup { .. } | Edit::SetTarget { .. } | Edit::FlushStickiness { .. } => {
                    false
                }
            })
        };
        for one in &mut self.edits {
            let Some(subject) = self::subject(&one.edit) else { continue };
            let (group, target) = (subject.0.to_owned(), subject.1.map(str::to_owned));
            let subject = (group.as_str(), target.as_deref());
            let (Edit::SetGroup { set, .. } | Edit::SetTarget { set, .. }) = &mut one.edit else {
                continue;
            };
            let Ok(stated) = base.stated(subject.0, subject.1, set) else { continue };
            if !is_moved(subject) {
                set.retain(|key, value| stated.get(key) != Some(value) || overlaps(subject, key));
            }
        }
        self.drop_empty();
    }

    /// Applies every edit to `document`. Edits that no longer fit are dropped and named.
    pub fn apply_to(&mut self, base: &Document) -> (Document, Vec<String>) {
        let mut dropped = Vec::new();
        'anew: loop {
            let mut document = base.clone();
            let mut index = 0;
            while let Some(one) = self.edits.get(index) {
                let Err(error) = document.apply(&one.edit) else {
                    index += 1;
                    continue;
                };
                dropped.push(self.drop_at(index, &error.to_string()));
                // Only these errors are found before anything was changed.
                if !matches!(error, ChangeError::NoGroup { .. } | ChangeError::NoTarget { .. }) {
                    continue 'anew;
                }
            }
            return (document, dropped);
        }
    }

    /// The edits that are lost when `base` replaces the file and all edits, because it does not contain them.
    pub fn lost_to(&self, base: &Document) -> Vec<String> {
        let lost = self.edits.iter().filter(|one| is_lost(&one.edit, base));
        let said = lost.map(|one| {
            let HistoryEntry { change, actor, summary, .. } = &one.entry;
            format!("change {change} by {actor} is lost: {}", summary.join("; "))
        });
        said.collect()
    }

    /// Drops one edit, and returns a sentence about it.
    pub fn drop_at(&mut self, index: usize, why: &str) -> String {
        let one = self.edits.remove(index);
        let what = match one.entry.summary.first() {
            Some(first) => format!("change {} ({first})", one.entry.change),
            None => format!("change {}", one.entry.change),
        };
        format!("{what} was dropped: {why}")
    }

    /// A removed target that is added again as in the file was never removed.
    fn cancel_removal(
        &mut self,
        group: &str,
        settings: &Map<String, Json>,
        base: &Document,
    ) -> bool {
        let Some(id) = id_of(settings) else { return false };
        if base.target_settings(group, id).as_ref() != Some(settings) {
            return false;
        }
        let removal = Edit::RemoveTarget { group: group.to_owned(), target: id.to_owned() };
        let count = self.edits.len();
        self.edits.retain(|one| one.edit != removal);
        self.edits.len() < count
    }

    /// When a target that only the overlay has is removed, all edits about it are dropped.
    fn cancel_addition(&mut self, group: &str, target: &str) -> bool {
        let is_addition = |one: &Overlaid| match &one.edit {
            Edit::AddTarget { group: other, settings } => {
                other == group && id_of(settings) == Some(target)
            }
            Edit::SetGroup { .. }
            | Edit::SetTarget { .. }
            | Edit::RemoveTarget { .. }
            | Edit::FlushStickiness { .. } => false,
        };
        match self.edits.iter().rposition(is_addition) {
            Some(index) => {
                self.edits.remove(index);
                true
            }
            None => false,
        }
    }

    fn retain_keys(&mut self, keep: impl Fn(Option<Subject<'_>>, &str) -> bool) {
        for one in &mut self.edits {
            match &mut one.edit {
                Edit::SetGroup { group, set } => {
                    set.retain(|key, _| keep(Some((group, None)), key));
                }
                Edit::SetTarget { group, target, set } => {
                    set.retain(|key, _| keep(Some((group, Some(target))), key));
                }
                Edit::FlushStickiness { .. }
                | Edit::AddTarget { .. }
                | Edit::RemoveTarget { .. } => {}
            }
        }
        self.drop_empty();
    }

    fn drop_empty(&mut self) {
        self.edits.retain(|one| settings(&one.edit).is_none_or(|set| !set.is_empty()));
    }
}

/// The id of an added target: its address if it has none.
fn id_of(settings: &Map<String, Json>) -> Option<&str> {
    ["id", "address"].iter().find_map(|key| settings.get(*key)?.as_str())
}

/// Whether `base` lacks the values of an edit, although it has the edit's group or target.
fn is_lost(edit: &Edit, base: &Document) -> bool {
    let has_group = |group: &str| base.stated(group, None, &Map::new()).is_ok();
    let has_target = |group: &str, id: &str| base.target_settings(group, id).is_some();
    match edit {
        Edit::SetGroup { group, set } => {
            base.stated(group, None, set).is_ok_and(|stated| stated != *set)
        }
        Edit::SetTarget { group, target, set } => {
            base.stated(group, Some(target), set).is_ok_and(|stated| stated != *set)
        }
        Edit::AddTarget { group, settings } => {
            has_group(group) && id_of(settings).is_some_and(|id| !has_target(group, id))
        }
        Edit::RemoveTarget { group, target } => has_target(group, target),
        // The generation is carried over by the caller of `build`.
        Edit::FlushStickiness { .. } => false,
    }
}

/// An entry of the overlay for an edit that is about to be made.
pub fn entry(change: u64, version: u64, actor: &str) -> HistoryEntry {
    HistoryEntry {
        change,
        version,
        unix_ms: super::events::unix_ms(),
        actor: actor.to_owned(),
        what: "edit",
        keep: Some(Keep::Overlay),
        summary: Vec::new(),
        can_undo: true,
    }
}

fn subject(edit: &Edit) -> Option<Subject<'_>> {
    match edit {
        Edit::SetGroup { group, .. } => Some((group, None)),
        Edit::SetTarget { group, target, .. } => Some((group, Some(target))),
        Edit::FlushStickiness { .. } | Edit::AddTarget { .. } | Edit::RemoveTarget { .. } => None,
    }
}

fn settings(edit: &Edit) -> Option<&Map<String, Json>> {
    match edit {
        Edit::SetGroup { set, .. } | Edit::SetTarget { set, .. } => Some(set),
        Edit::FlushStickiness { .. } | Edit::AddTarget { .. } | Edit::RemoveTarget { .. } => None,
    }
}

/// Whether `key` is `outer`, or a key below it.
fn is_within(key: &str, outer: &str) -> bool {
    key.strip_prefix(outer).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
}
