//! The running configuration: what is published now, and every way in which it may change.
//!
//! Each edit is validated like a file, compiled, and published as one snapshot; what it does not touch
//! (other groups, health, requests in flight, counters) is carried over. An edit that is refused changes
//! nothing. Edits wait for each other; shards wait for nobody. Never touches a connection. Tested beside it.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;

use super::change::{Applied, By, ChangeError, Difference, Edit, HistoryEntry, Keep, Pending};
use super::compile::{self, CompileError, Compiled};
use super::config::Parsed;
use super::config::file::File;
use super::drain::Leaving;
use super::events::{EventKind, Events};
use crate::snapshot::{Published, Snapshot};
use crate::target::keyring::KeyRing;
use crate::target::state::Registry;
use crate::target::stickiness::StickinessOptions;

/// The one who publishes.
pub struct Control {
    running: Mutex<Running>,
    registry: Registry,
    published: Arc<Published>,
    events: Arc<Events>,
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

/// Requests and gateway errors since the start, to tell whether a change did harm.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ErrorCounts {
    pub requests: u64,
    pub gateway_errors: u64,
}

/// Where [`ErrorCounts`] come from.
pub type ErrorSource = Box<dyn Fn() -> ErrorCounts + Send + Sync>;

/// About how many live sessions are bound to a target of a group; `None` = not known.
pub type SessionEstimate = Box<dyn Fn(&str, &str) -> Option<u64> + Send + Sync>;

struct Running {
    parsed: Parsed,
    ring: Arc<KeyRing>,
    snapshot: Arc<Snapshot>,
    version: u64,
    leaving: Vec<Leaving>,
    listeners: Option<Arc<dyn Listeners>>,
}

impl Control {
    /// Compiles a configuration and publishes it for the first time; `path` is the file it was read from.
    ///
    /// # Errors
    /// See [`CompileError`].
    pub fn new(
        parsed: Parsed,
        _path: Option<&Path>,
        ring: Arc<KeyRing>,
    ) -> Result<Control, CompileError> {
        let registry = Registry::new();
        let snapshot = compile::compile(&parsed.file, &registry, &ring, None, &[], &[])?;
        let snapshot = Arc::new(snapshot);
        let published = Arc::new(ArcSwap::new(Arc::clone(&snapshot)));
        let running =
            Running { parsed, ring, snapshot, version: 1, leaving: Vec::new(), listeners: None };
        Ok(Control {
            running: Mutex::new(running),
            registry,
            published,
            events: Arc::new(Events::default()),
        })
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
        self.lock().parsed.file.clone()
    }

    /// Grows by one with every accepted change of the configuration; health does not count.
    pub fn version(&self) -> u64 {
        self.lock().version
    }

    /// What happened lately.
    pub fn events(&self) -> &Arc<Events> {
        &self.events
    }

    /// Takes the data plane's sockets into the care of this configuration.
    pub fn attach(&self, listeners: Arc<dyn Listeners>) {
        self.lock().listeners = Some(listeners);
    }

    /// Where the counts come from that decide about an unconfirmed change.
    pub fn set_error_source(&self, _source: ErrorSource) {
        todo!()
    }

    /// Where summaries take the number of live sessions from.
    pub fn set_session_estimate(&self, _estimate: SessionEstimate) {
        todo!()
    }

    /// The stickiness attributes of a group.
    ///
    /// # Errors
    /// [`ChangeError::NoGroup`]
    pub fn stickiness(&self, _group: &str) -> Result<StickinessOptions, ChangeError> {
        todo!()
    }

    /// Every setting of a group but its targets, as in the file, with defaults filled in.
    pub fn group_attributes(&self, _group: &str) -> Option<serde_json::Value> {
        todo!()
    }

    /// Makes one change.
    ///
    /// # Errors
    /// See [`ChangeError`]; nothing has changed.
    pub fn edit(&self, _edit: &Edit, _keep: Keep, _by: &By<'_>) -> Result<Applied, ChangeError> {
        todo!()
    }

    /// Takes one change of the history back.
    ///
    /// # Errors
    /// See [`ChangeError`]; nothing has changed.
    pub fn undo(&self, _change: u64, _by: &By<'_>) -> Result<Applied, ChangeError> {
        todo!()
    }

    /// Reads the file again; edits of the overlay stay on top of it.
    ///
    /// # Errors
    /// See [`ChangeError`]; nothing has changed.
    pub fn reload(&self, _by: &By<'_>) -> Result<Applied, ChangeError> {
        todo!()
    }

    /// Puts a whole configuration in force: `text`, or the file on disk. With `confirm` it goes back by itself
    /// unless it is confirmed in that time.
    ///
    /// # Errors
    /// See [`ChangeError`]; nothing has changed.
    pub fn apply(
        &self,
        _text: Option<&str>,
        _confirm: Option<Duration>,
        _keep: Keep,
        _by: &By<'_>,
    ) -> Result<Applied, ChangeError> {
        todo!()
    }

    /// Keeps what waits to be confirmed.
    ///
    /// # Errors
    /// [`ChangeError::NothingPending`], or the file cannot be written.
    pub fn confirm(&self, _by: &By<'_>) -> Result<Applied, ChangeError> {
        todo!()
    }

    /// Takes back what waits to be confirmed.
    ///
    /// # Errors
    /// [`ChangeError::NothingPending`]
    pub fn rollback(&self, _by: &By<'_>) -> Result<Applied, ChangeError> {
        todo!()
    }

    /// Writes every edit of the overlay into the file.
    ///
    /// # Errors
    /// See [`ChangeError`]; nothing has changed.
    pub fn write_overlay(&self, _by: &By<'_>) -> Result<Applied, ChangeError> {
        todo!()
    }

    /// Takes every edit of the overlay back.
    ///
    /// # Errors
    /// See [`ChangeError`]; nothing has changed.
    pub fn discard_overlay(&self, _by: &By<'_>) -> Result<Applied, ChangeError> {
        todo!()
    }

    /// What `text`, or the file on disk, would change, in words.
    ///
    /// # Errors
    /// It cannot be read, or is refused.
    pub fn diff(&self, _text: Option<&str>) -> Result<Vec<Difference>, ChangeError> {
        todo!()
    }

    /// The change that waits to be confirmed.
    pub fn pending(&self) -> Option<Pending> {
        todo!()
    }

    /// Decides about the change that waits to be confirmed; to be called about every 250 ms.
    pub fn tick(&self, _now: Instant) {
        todo!()
    }

    /// What changed, newest last.
    pub fn history(&self) -> Vec<HistoryEntry> {
        todo!()
    }

    /// The edits on top of the file, oldest first.
    pub fn overlay(&self) -> Vec<HistoryEntry> {
        todo!()
    }

    /// The configuration as it runs, as a text without secrets.
    pub fn running_text(&self) -> String {
        todo!()
    }

    /// The file as it was loaded, without secrets.
    pub fn file_text(&self) -> Option<String> {
        todo!()
    }

    /// The file that the configuration was read from.
    pub fn path(&self) -> Option<PathBuf> {
        todo!()
    }

    /// When the file was loaded last.
    pub fn loaded_unix_ms(&self) -> u64 {
        todo!()
    }

    /// Whether the file on disk is another one than was loaded; cheap enough to be asked every second.
    pub fn file_differs(&self) -> bool {
        todo!()
    }

    /// Compiles these groups anew from the states of their targets, and publishes.
    pub fn republish(&self, groups: &[&str]) {
        let mut running = self.lock();
        let before = Compiled {
            file: &running.parsed.file,
            snapshot: &running.snapshot,
            ring: &running.ring,
        };
        let (file, leaving) = (&running.parsed.file, &running.leaving);
        match compile::compile(file, &self.registry, &running.ring, Some(before), groups, leaving) {
            Ok(snapshot) => {
                let snapshot = Arc::new(snapshot);
                self.published.store(Arc::clone(&snapshot));
                running.snapshot = snapshot;
            }
            Err(error) => self.events.push(EventKind::Warning, None, None, error.to_string()),
        }
    }

    /// Targets that left the configuration and still drain.
    pub fn leaving(&self) -> Vec<Leaving> {
        self.lock().leaving.clone()
    }

    /// Ends the leave of a target: it is gone with the next snapshot, which is published at once.
    pub fn forget_leaving(&self, _group: &str, _id: &str) {
        todo!()
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
