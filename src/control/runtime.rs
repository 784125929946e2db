//! The running configuration: what is published now, and every way in which it may change.
//!
//! Each edit is validated like a file, compiled, and published as one snapshot; what it does not touch
//! (other groups, health, requests in flight, counters) is carried over. An edit that is refused changes
//! nothing. Edits wait for each other; shards wait for nobody. Never touches a connection. Tested beside it.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use arc_swap::ArcSwap;

use super::compile::{self, CompileError, Compiled};
use super::config::file::{self, File};
use super::config::{Problems, edits};
use crate::snapshot::{Published, Snapshot};
use crate::target::keyring::KeyRing;
use crate::target::state::{Health, Registry};
use crate::target::stickiness::StickinessOptions;

/// The one who publishes.
pub struct Control {
    running: Mutex<Running>,
    registry: Registry,
    published: Arc<Published>,
}

/// Sockets of the data plane, opened and closed as snapshots come and go.
pub trait Listeners: Send + Sync {
    /// Opens what `after` needs and nobody has yet. What is returned is called when `after` is published:
    /// it lets the shards accept on the new sockets and take their leave of those that are gone.
    ///
    /// # Errors
    /// A sentence for the operator; nothing has changed.
    fn open(&self, after: &Snapshot) -> Result<Box<dyn FnOnce() + Send>, String>;
}

struct Running {
    file: File,
    ring: Arc<KeyRing>,
    snapshot: Arc<Snapshot>,
}

/// Why an edit was refused. Nothing has changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EditError {
    #[error("there is no target group {group:?}; allowed: {allowed}")]
    NoGroup { group: String, allowed: String },
    #[error("target group {group:?} has no target {id:?}; allowed: {allowed}")]
    NoTarget { group: String, id: String, allowed: String },
    #[error("{0}")]
    Invalid(#[from] Problems),
    #[error(transparent)]
    Compile(#[from] CompileError),
    #[error("health {:?} is not set by hand; take the target out of service instead", .0.code())]
    NotAHealth(Health),
}

impl Control {
    /// Compiles `file` and publishes it for the first time.
    ///
    /// # Errors
    /// See [`CompileError`].
    pub fn new(file: File, ring: Arc<KeyRing>) -> Result<Control, CompileError> {
        let registry = Registry::new();
        let snapshot = Arc::new(compile::compile(&file, &registry, &ring, None, &[])?);
        let published = Arc::new(ArcSwap::new(Arc::clone(&snapshot)));
        Ok(Control { running: Mutex::new(Running { file, ring, snapshot }), registry, published })
    }

    /// The pointer that shards read.
    pub fn published(&self) -> Arc<Published> {
        Arc::clone(&self.published)
    }

    /// What is published now.
    pub fn snapshot(&self) -> Arc<Snapshot> {
        Arc::clone(&self.lock().snapshot)
    }

    /// The configuration as it runs, edits included.
    pub fn file(&self) -> File {
        self.lock().file.clone()
    }

    /// The stickiness attributes of a group.
    ///
    /// # Errors
    /// [`EditError::NoGroup`]
    pub fn stickiness(&self, group: &str) -> Result<StickinessOptions, EditError> {
        let mut running = self.lock();
        Ok(compile::stickiness_options(&group_of(&mut running.file, group)?.stickiness))
    }

    /// Changes the stickiness attributes of a group; in force from the next request on.
    ///
    /// # Errors
    /// The group is unknown, or its attributes would be refused in a file.
    pub fn edit_stickiness(
        &self,
        group: &str,
        edit: impl FnOnce(&mut StickinessOptions),
    ) -> Result<(), EditError> {
        self.edit(|file| {
            let group = group_of(file, group)?;
            let mut options = compile::stickiness_options(&group.stickiness);
            edit(&mut options);
            group.stickiness = edits::stickiness(&options)?;
            Ok(())
        })
    }

    /// Outdates every cookie of a group that was sealed until now.
    ///
    /// # Errors
    /// [`EditError::NoGroup`]
    pub fn flush_stickiness(&self, group: &str) -> Result<(), EditError> {
        self.edit_stickiness(group, |options| {
            options.generation = options.generation.saturating_add(1);
        })
    }

    /// Takes a target into service, or lets it drain: then only what is bound to it still comes.
    ///
    /// # Errors
    /// Unknown group or target.
    pub fn set_target_state(
        &self,
        group: &str,
        id: &str,
        state: file::TargetState,
    ) -> Result<(), EditError> {
        self.edit(|file| {
            target_of(file, group, id)?.state = state;
            Ok(())
        })
    }

    /// Changes a target's share of new requests.
    ///
    /// # Errors
    /// Unknown group or target, or a weight out of range.
    pub fn set_weight(&self, group: &str, id: &str, weight: u32) -> Result<(), EditError> {
        self.edit(|file| {
            let target = target_of(file, group, id)?;
            let changed = file::Target { weight, ..target.clone() };
            *target = edits::target(&changed)?;
            Ok(())
        })
    }

    /// Registers a target.
    ///
    /// # Errors
    /// Unknown group, an id that is taken, or settings that a file could not have.
    pub fn add_target(&self, group: &str, target: &file::Target) -> Result<(), EditError> {
        self.edit(|file| {
            let group = group_of(file, group)?;
            group.targets.push(edits::target(target)?);
            Ok(())
        })
    }

    /// Removes a target at once; what was bound to it fails over. To let it finish, drain it first.
    ///
    /// # Errors
    /// Unknown group or target.
    pub fn remove_target(&self, group: &str, id: &str) -> Result<(), EditError> {
        self.edit(|file| {
            target_of(file, group, id)?;
            group_of(file, group)?.targets.retain(|target| target.effective_id() != id);
            Ok(())
        })
    }

    /// Notes a target's health and publishes who may take requests now.
    ///
    /// # Errors
    /// Unknown group or target, or [`Health::Draining`] and [`Health::Unused`], which follow from
    /// [`Control::set_target_state`].
    pub fn set_target_health(
        &self,
        group: &str,
        id: &str,
        health: Health,
    ) -> Result<(), EditError> {
        if matches!(health, Health::Draining | Health::Unused) {
            return Err(EditError::NotAHealth(health));
        }
        let mut running = self.lock();
        let draining = target_of(&mut running.file, group, id)?.state;
        if draining == file::TargetState::Draining {
            return Err(EditError::NotAHealth(Health::Draining));
        }
        let groups = running.snapshot.groups.iter().filter(|one| &*one.name == group);
        for target in groups.flat_map(|group| &group.targets).filter(|target| &*target.id == id) {
            target.state.set_health(health);
        }
        let file = running.file.clone();
        self.publish(&mut running, file, None, &[group])
    }

    /// Takes the place of the whole configuration. Settings of the process stay until it is started anew.
    ///
    /// # Errors
    /// See [`CompileError`].
    pub fn replace(&self, mut file: File, ring: Arc<KeyRing>) -> Result<(), EditError> {
        let mut running = self.lock();
        // What was flushed while running stays flushed.
        for group in &mut file.target_groups {
            let before = running.file.target_groups.iter().find(|one| one.name == group.name);
            let generation = before.map_or(0, |before| before.stickiness.generation);
            group.stickiness.generation = group.stickiness.generation.max(generation);
        }
        self.publish(&mut running, file, Some(ring), &[])
    }

    fn edit(&self, edit: impl FnOnce(&mut File) -> Result<(), EditError>) -> Result<(), EditError> {
        let mut running = self.lock();
        let mut file = running.file.clone();
        edit(&mut file)?;
        edits::validate(&file)?;
        self.publish(&mut running, file, None, &[])
    }

    fn publish(
        &self,
        running: &mut Running,
        file: File,
        ring: Option<Arc<KeyRing>>,
        changed: &[&str],
    ) -> Result<(), EditError> {
        let ring = ring.unwrap_or_else(|| Arc::clone(&running.ring));
        let before =
            Compiled { file: &running.file, snapshot: &running.snapshot, ring: &running.ring };
        let snapshot = compile::compile(&file, &self.registry, &ring, Some(before), changed)?;
        let snapshot = Arc::new(snapshot);
        self.published.store(Arc::clone(&snapshot));
        *running = Running { file, ring, snapshot };
        Ok(())
    }

    /// A panic inside an edit has changed nothing: `Running` is replaced as a whole.
    fn lock(&self) -> MutexGuard<'_, Running> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Control {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let generation = self.published.load().generation;
        out.debug_struct("Control").field("generation", &generation).finish_non_exhaustive()
    }
}

fn group_of<'f>(file: &'f mut File, name: &str) -> Result<&'f mut file::TargetGroup, EditError> {
    let allowed = list(file.target_groups.iter().map(|group| group.name.as_str()));
    file.target_groups
        .iter_mut()
        .find(|group| group.name == name)
        .ok_or_else(|| EditError::NoGroup { group: name.to_owned(), allowed })
}

fn target_of<'f>(
    file: &'f mut File,
    group: &str,
    id: &str,
) -> Result<&'f mut file::Target, EditError> {
    let targets = &mut group_of(file, group)?.targets;
    let allowed = list(targets.iter().map(file::Target::effective_id));
    targets
        .iter_mut()
        .find(|target| target.effective_id() == id)
        .ok_or_else(|| EditError::NoTarget { group: group.to_owned(), id: id.to_owned(), allowed })
}

fn list<'n>(names: impl Iterator<Item = &'n str>) -> String {
    names.collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
#[path = "runtime_tests.rs"]
mod tests;
