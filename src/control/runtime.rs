//! The running configuration: the published one, and every way in which it may change.
//!
//! Each edit is validated like a file, compiled, and published as one snapshot; the parts that it does not touch (other
//! groups, health, requests in flight, counters) are carried over. An edit that is refused changes nothing. Edits wait
//! for each other; shards never wait. Never touches a connection. Tested beside it.
//!
//! ```text
//!   base (the file, or a text applied)  +  overlay (edits, in order)  =  what runs
//!   Keep::File edits the base and writes it back; Keep::Overlay edits what lies on top.
//! ```

mod adopt;
mod changes;
mod renewal;
mod whole;

use std::collections::HashMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, TryLockError};

use arc_swap::{ArcSwap, ArcSwapOption};

use super::audit::{self, AuditLog, Entry};
use super::certificates::{Certificates, Surroundings};
use super::change::{By, ChangeError, HistoryEntry};
use super::compile::{self, Before, CompileError, Material};
use super::config::Parsed;
use super::config::file::File;
pub use super::confirm::ErrorCounts;
use super::confirm::{Recent, Trial};
use super::drain::Leaving;
use super::events::{EventKind, Events, unix_ms};
use super::handshakes::AdminHandshakes;
use super::history::History;
use super::overlay::Overlay;
use super::publication::Publication;
use super::refusals::{Refusal, Refusals};
use super::state::{Base, State};
use super::write_back::{self, Stamp};
use super::{acme, attributes, document};
use crate::group::state::Registry;
use crate::snapshot::{Published, Snapshot};
use crate::stickiness::keyring::KeyRing;
use crate::stickiness::options::StickinessOptions;
use crate::telemetry::options::AccessLogOptions;
use crate::tls::listener::TlsListener;
use crate::tls::tickets::ProcessKeys;
use crate::uring::Courtesy;
pub use renewal::{LastReading, Renewal};

/// Holds the running configuration and publishes it.
pub struct Control {
    running: Mutex<Running>,
    /// As in `running`, for callers that must not wait for a change in progress.
    version: AtomicU64,
    /// As in `running`, for the same callers.
    file: ArcSwap<File>,
    /// Of the file, if there is one.
    path: Option<PathBuf>,
    registry: Registry,
    /// Of the tickets that no other process opens.
    process_keys: Arc<ProcessKeys>,
    acme: acme::Desk,
    publication: Publication,
    events: Arc<Events>,
    audit_log: Mutex<Option<AuditLog>>,
    refusals: Refusals,
    admin_handshakes: AdminHandshakes,
    error_source: Mutex<Option<Arc<ErrorSource>>>,
    session_estimate: Mutex<Option<Arc<SessionEstimate>>>,
    log_change: Mutex<Option<Arc<LogChange>>>,
    last_reload_successful: AtomicBool,
    certificate_reading: Mutex<LastReading>,
    /// What the admin API presents. Stays where a later configuration has none: the API is plain from the start, or never.
    admin_tls: ArcSwapOption<TlsListener>,
}

/// Sockets of the data plane, opened and closed as snapshots come and go.
pub trait Listeners: Send + Sync {
    /// Opens the addresses that `after` needs and that are not open yet. The returned function is called when `after`
    /// is published: it makes the shards accept on the new sockets and retires listeners that are gone. It is dropped
    /// without a call if nothing is published.
    ///
    /// # Errors
    /// A sentence for the operator; nothing was changed.
    fn open(&self, after: &Snapshot) -> Result<Box<dyn FnOnce() + Send>, String>;
}

/// The source of [`ErrorCounts`]. It must not call the [`Control`] for anything but its snapshot.
pub type ErrorSource = dyn Fn() -> ErrorCounts + Send + Sync;

/// Applies these options to the access log, at once.
pub type LogChange = dyn Fn(&AccessLogOptions) + Send + Sync;

/// An estimate of the live sessions bound to a target of a group; `None` = not known. It must not call the [`Control`]
/// for anything but its snapshot.
pub type SessionEstimate = dyn Fn(&str, &str) -> Option<u64> + Send + Sync;

struct Running {
    /// The name of the base in reports: the file's path, where there is one.
    name: String,
    state: State,
    parsed: Parsed,
    /// The text in `parsed`.
    whole: Base,
    ring: Arc<KeyRing>,
    certificates: Arc<Certificates>,
    snapshot: Arc<Snapshot>,
    version: u64,
    file: Option<LoadedFile>,
    loaded_unix_ms: u64,
    history: History,
    pending: Option<PendingChange>,
    /// The recent counts, while nothing is on trial.
    recent: Recent,
    leaving: Vec<Leaving>,
    listeners: Option<Arc<dyn Listeners>>,
}

/// The file at its last reading or writing.
#[derive(Debug, Clone)]
struct LoadedFile {
    path: PathBuf,
    text: Arc<str>,
    /// `None` when the file changed while it was read.
    stamp: Option<Stamp>,
    /// A later state of the file whose text was found to differ.
    other: Option<Stamp>,
    unix_ms: u64,
}

struct PendingChange {
    change: u64,
    summary: Vec<String>,
    actor: String,
    trial: Trial,
    back: State,
    /// Whether the base is written to the file when it is confirmed.
    write: bool,
}

impl Running {
    /// What the published snapshot was compiled with.
    fn material(&self) -> Material<'_> {
        Material { ring: &self.ring, certificates: Some(&self.certificates) }
    }
}

impl Control {
    /// Compiles a configuration and publishes it for the first time; `path` is the file it was read from.
    ///
    /// # Errors
    /// See [`CompileError`].
    pub fn new(
        parsed: Parsed,
        path: Option<&Path>,
        ring: Arc<KeyRing>,
    ) -> Result<Control, CompileError> {
        let registry = Registry::new();
        let (process_keys, acme) = (Arc::new(ProcessKeys::new()), acme::Desk::default());
        let certificates = Certificates::load(
            &parsed.file,
            &Surroundings::first(&ring, &process_keys, acme.challenges()),
        )?;
        let material = Material { ring: &ring, certificates: Some(&certificates) };
        let snapshot = compile::compile(&parsed.file, &registry, material, None, &[])?;
        let snapshot = Arc::new(snapshot);
        let publication = Publication::new(Arc::clone(&snapshot));
        let base = Base::new(Arc::clone(&parsed.text));
        let loaded_unix_ms = unix_ms();
        let file = path.map(|path| LoadedFile {
            path: path.to_owned(),
            text: Arc::clone(&base.text),
            // The stamp would be later than the reading, so the first question reads the file once more.
            stamp: None,
            other: None,
            unix_ms: loaded_unix_ms,
        });
        let name = path.map_or("the configuration".to_owned(), |path| path.display().to_string());
        let mut history = History::default();
        let nothing_before = Err("there was nothing before the start");
        history.note(start_entry(&parsed.file, &name), nothing_before);
        let admin_tls = ArcSwapOption::new(certificates.of_admin().cloned());
        let certificate_reading = Mutex::new(LastReading::of(&certificates));
        let running = Running {
            name,
            whole: base.clone(),
            state: State { base, overlay: Overlay::default() },
            parsed,
            ring,
            certificates: Arc::new(certificates),
            snapshot,
            version: 1,
            file,
            loaded_unix_ms,
            history,
            pending: None,
            recent: Recent::default(),
            leaving: Vec::new(),
            listeners: None,
        };
        Ok(Control {
            version: AtomicU64::new(1),
            file: ArcSwap::new(Arc::clone(&running.parsed.file)),
            running: Mutex::new(running),
            path: path.map(Path::to_owned),
            registry,
            process_keys,
            acme,
            publication,
            events: Arc::new(Events::default()),
            audit_log: Mutex::new(None),
            refusals: Refusals::default(),
            admin_handshakes: AdminHandshakes::default(),
            error_source: Mutex::new(None),
            session_estimate: Mutex::new(None),
            log_change: Mutex::new(None),
            last_reload_successful: AtomicBool::new(true),
            certificate_reading,
            admin_tls,
        })
    }

    /// The pointer that shards read.
    pub fn published(&self) -> Arc<Published> {
        Arc::clone(self.publication.pointer())
    }

    /// The published snapshot. Never waits.
    pub fn snapshot(&self) -> Arc<Snapshot> {
        self.publication.pointer().load_full()
    }

    /// Replaced snapshots that no shard holds any more, for the caller to free; to be called every 250 ms. Never waits.
    pub fn unused_snapshots(&self) -> Vec<Arc<Snapshot>> {
        self.publication.take_unused()
    }

    /// The running configuration, edits included. Never waits.
    pub fn file(&self) -> Arc<File> {
        self.file.load_full()
    }

    /// Incremented with every accepted change of the configuration; health does not count. Never waits.
    pub fn version(&self) -> u64 {
        self.version.load(Ordering::Acquire)
    }

    /// How orders of certificates stand, and the proofs for authorities.
    pub fn acme(&self) -> &acme::Desk {
        &self.acme
    }

    /// The recent events.
    pub fn events(&self) -> &Arc<Events> {
        &self.events
    }

    /// Connects the data plane's sockets with this configuration.
    pub fn attach(&self, listeners: Arc<dyn Listeners>) {
        self.lock().listeners = Some(listeners);
    }

    /// Sets the source of the counts that decide about a change on trial.
    pub fn set_error_source(&self, source: Arc<ErrorSource>) {
        *own(&self.error_source) = Some(source);
    }

    /// Sets the source of the live sessions in summaries.
    pub fn set_session_estimate(&self, estimate: Arc<SessionEstimate>) {
        *own(&self.session_estimate) = Some(estimate);
    }

    /// Sets the function that is called before a configuration with other settings of the access log is published.
    pub fn set_log_change(&self, change: Arc<LogChange>) {
        *own(&self.log_change) = Some(change);
    }

    /// Sets the file that records changes; `None` = limpet's own log.
    pub fn set_audit(&self, log: Option<AuditLog>) {
        *own(&self.audit_log) = log;
    }

    /// Opens the audit log's file again, after it was moved away.
    ///
    /// # Errors
    /// The file cannot be opened; the old one stays in use.
    pub fn reopen_audit(&self) -> std::io::Result<()> {
        own(&self.audit_log).as_mut().map_or(Ok(()), AuditLog::reopen)
    }

    /// The stickiness attributes of a group.
    ///
    /// # Errors
    /// [`ChangeError::NoGroup`]
    pub fn stickiness(&self, group: &str) -> Result<StickinessOptions, ChangeError> {
        let running = self.lock();
        let groups = &running.parsed.file.target_groups;
        match groups.iter().find(|one| one.name == group) {
            Some(group) => Ok(compile::stickiness_options(&group.stickiness)),
            None => Err(ChangeError::NoGroup {
                group: group.to_owned(),
                allowed: document::listed(groups.iter().map(|group| group.name.as_str())),
            }),
        }
    }

    /// Every setting of a group but its targets, as in the file, with defaults filled in and null for a setting without
    /// a value.
    pub fn group_attributes(&self, group: &str) -> Option<serde_json::Value> {
        attributes::group(&self.lock().parsed.complete, group)
    }

    /// The attributes of every group, by name.
    pub fn all_group_attributes(&self) -> HashMap<String, serde_json::Value> {
        attributes::groups(&self.lock().parsed.complete)
    }

    /// The changes, newest last.
    pub fn history(&self) -> Vec<HistoryEntry> {
        self.lock().history.entries()
    }

    /// The edits on top of the file, oldest first.
    pub fn overlay(&self) -> Vec<HistoryEntry> {
        let running = self.lock();
        let mut entries = running.state.overlay.entries();
        for entry in &mut entries {
            entry.can_undo = running.history.undo_of(entry.change).is_ok();
        }
        entries
    }

    /// The running configuration, as a text without secrets.
    pub fn running_text(&self) -> String {
        let text = Arc::clone(&self.lock().parsed.text);
        document::redacted(&text)
    }

    /// The file as it was loaded, without secrets.
    pub fn file_text(&self) -> Option<String> {
        let text = Arc::clone(&self.lock().file.as_ref()?.text);
        Some(document::redacted(&text))
    }

    /// The file that the configuration was read from.
    pub fn path(&self) -> Option<PathBuf> {
        self.path.clone()
    }

    /// When the configuration was last loaded from its file, or written to it.
    pub fn loaded_unix_ms(&self) -> u64 {
        let running = self.lock();
        running.file.as_ref().map_or(running.loaded_unix_ms, |file| file.unix_ms)
    }

    /// Whether the file on disk differs from the base that runs; cheap enough to be called every second. A file that
    /// was refused or rolled back goes on differing: to load a file whenever it changes, watch [`Control::file_stamp`].
    pub fn file_differs(&self) -> bool {
        let mut running = self.lock();
        let base = Arc::clone(&running.state.base.text);
        running.file.as_mut().is_some_and(|file| file.text != base || file.differs())
    }

    /// Whether the last attempt to load the file succeeded.
    pub fn last_reload_successful(&self) -> bool {
        self.last_reload_successful.load(Ordering::Relaxed)
    }

    /// Whether the file is to be loaded again whenever it changes. Never waits.
    pub fn is_watching(&self) -> bool {
        self.file.load().process.watch_config
    }

    /// A value that changes whenever the file on disk does; `None` without a file, or when it is gone.
    pub fn file_stamp(&self) -> Option<Stamp> {
        Stamp::of(&self.path()?).ok()
    }

    /// Compiles these groups anew from the states of their targets, and publishes.
    pub fn republish(&self, groups: &[&str]) {
        let _courtesy = Courtesy::begin();
        self.republish_with(&mut self.lock(), groups);
    }

    /// Targets that are no longer configured and still drain.
    pub fn leaving(&self) -> Vec<Leaving> {
        self.lock().leaving.clone()
    }

    /// Ends the leave of a target: the next snapshot, published at once, does not have it.
    pub fn forget_leaving(&self, group: &str, id: &str) {
        let mut running = self.lock();
        let count = running.leaving.len();
        running.leaving.retain(|one| one.group != group || one.target.effective_id() != id);
        if running.leaving.len() < count {
            self.republish_with(&mut running, &[group]);
        }
    }

    fn republish_with(&self, running: &mut Running, groups: &[&str]) {
        let (file, ring) = (&running.parsed.file, &running.ring);
        let before = Before { file, snapshot: &running.snapshot, ring, changed: groups };
        let material = running.material();
        match compile::compile(file, &self.registry, material, Some(before), &running.leaving) {
            Ok(snapshot) => {
                let snapshot = Arc::new(snapshot);
                self.publication.replace(Arc::clone(&snapshot));
                running.snapshot = snapshot;
            }
            Err(error) => self.events.push(EventKind::Warning, None, None, error.to_string()),
        }
    }

    /// Records an operator's action outside of the configuration: a log level, the options of a drain.
    pub fn audit_deed(&self, by: &By<'_>, what: &'static str, summary: &[String]) {
        self.audit(&Entry {
            actor: by.actor,
            what,
            keep: None,
            edit: None,
            change: None,
            version: self.version(),
            summary,
            outcome: "accepted",
            why: None,
        });
    }

    /// Counts and records a request that was refused because of the visitor.
    pub fn refuse_request(&self, actor: &str, refusal: Refusal, request: &str) {
        self.refusals.count(refusal);
        self.audit(&Entry {
            actor,
            what: "request",
            keep: None,
            edit: None,
            change: None,
            version: self.version(),
            summary: &[],
            outcome: "refused",
            why: Some(&format!("{}: {request}", refusal.word())),
        });
    }

    /// The TLS handshakes with operators.
    pub fn admin_handshakes(&self) -> &AdminHandshakes {
        &self.admin_handshakes
    }

    /// Requests that were refused because of the visitor, by reason.
    pub fn refused_requests(&self) -> [(&'static str, u64); 4] {
        self.refusals.counts()
    }

    fn audit(&self, entry: &Entry<'_>) {
        audit::note(own(&self.audit_log).as_mut(), entry);
    }

    fn error_counts(&self) -> ErrorCounts {
        let source = own(&self.error_source).clone();
        source.map_or(ErrorCounts::default(), |source| source())
    }

    /// The estimate of live sessions, if there is one.
    fn sessions(&self) -> impl Fn(&str, &str) -> Option<u64> {
        let estimate = own(&self.session_estimate).clone();
        move |group: &str, target: &str| estimate.as_ref().and_then(|known| known(group, target))
    }

    /// A panic inside an edit has changed nothing that is published, so a poisoned lock can be used.
    fn lock(&self) -> MutexGuard<'_, Running> {
        own(&self.running)
    }

    /// `None` while a change is in progress.
    fn try_lock(&self) -> Option<MutexGuard<'_, Running>> {
        match self.running.try_lock() {
            Ok(running) => Some(running),
            Err(TryLockError::Poisoned(error)) => Some(error.into_inner()),
            Err(TryLockError::WouldBlock) => None,
        }
    }
}

impl Running {
    /// Refuses other changes while one is on trial.
    fn settled(&self) -> Result<(), ChangeError> {
        if self.pending.is_some() { Err(ChangeError::Pending) } else { Ok(()) }
    }

    /// Refuses an edit of the file while the running base did not come from it.
    fn base_is_file(&self) -> Result<(), ChangeError> {
        let file = self.file.as_ref().ok_or(ChangeError::NoFile)?;
        if file.text == self.state.base.text {
            return Ok(());
        }
        Err(ChangeError::Refused(
            "what runs was applied and is not in the file; write it there first, or keep the change on top"
                .to_owned(),
        ))
    }

    /// Writes the file, if it is still the one that was loaded.
    fn write(&self, text: &Arc<str>) -> Result<LoadedFile, ChangeError> {
        let file = self.file.as_ref().ok_or(ChangeError::NoFile)?;
        let on_disk = LoadedFile::read(&file.path)?;
        if on_disk.text != file.text {
            return Err(ChangeError::FileChanged);
        }
        if on_disk.text != *text {
            write_back::replace(&file.path, text)
                .map_err(|source| ChangeError::File { doing: "written", source })?;
        }
        let stamp = Stamp::of(&file.path).ok();
        Ok(LoadedFile {
            path: file.path.clone(),
            text: Arc::clone(text),
            stamp,
            other: None,
            unix_ms: unix_ms(),
        })
    }
}

impl LoadedFile {
    fn read(path: &Path) -> Result<LoadedFile, ChangeError> {
        let unreadable = |source| ChangeError::File { doing: "read", source };
        let before = Stamp::of(path).map_err(unreadable)?;
        let text = std::fs::read_to_string(path).map_err(unreadable)?;
        let stamp = Stamp::of(path).ok().filter(|after| *after == before);
        let path = path.to_owned();
        Ok(LoadedFile { path, text: text.into(), stamp, other: None, unix_ms: unix_ms() })
    }

    /// Reads the content only if the file was touched since.
    fn differs(&mut self) -> bool {
        let Ok(now) = Stamp::of(&self.path) else { return true };
        if self.stamp.as_ref() == Some(&now) || self.other.as_ref() == Some(&now) {
            return self.stamp.as_ref() != Some(&now);
        }
        match LoadedFile::read(&self.path) {
            Ok(now) if now.text == self.text => {
                self.stamp = now.stamp;
                false
            }
            Ok(now) => {
                self.other = now.stamp;
                true
            }
            Err(_) => true,
        }
    }
}

impl fmt::Debug for Control {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let generation = self.publication.pointer().load().generation;
        out.debug_struct("Control").field("generation", &generation).finish_non_exhaustive()
    }
}

fn start_entry(file: &File, name: &str) -> HistoryEntry {
    let (listeners, groups) = (file.listeners.len(), file.target_groups.len());
    HistoryEntry {
        change: 0,
        version: 1,
        unix_ms: unix_ms(),
        actor: "limpet".to_owned(),
        what: "start",
        keep: None,
        summary: vec![format!("{name}: listeners {listeners}, target groups {groups}")],
        can_undo: false,
    }
}

/// Data behind these locks is never left half changed, so a poisoned lock can be used.
fn own<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
#[path = "runtime_tests.rs"]
mod tests;
