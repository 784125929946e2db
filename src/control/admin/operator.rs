//! Everything that an operator can ask and do, as methods: the admin API without HTTP.
//!
//! Holds the parts of the control plane together and calls them; leaves all their decisions to them. May block, so its
//! callers must keep it away from the control loop. Tested by `tests/admin`.

use std::sync::Arc;
use std::time::Instant;

use super::problem::{Cause, Problem};
use super::rules::http_versions;
use super::scope::Scope;
use super::views::{
    ClientConnections, Config, ConfigStatus, Differences, Events, History, ListenerAddress,
    LogLevelView, LogStatus, OpenConnections, OpenHttp2, Setting, Settings, Status,
};
use crate::control::change::{Applied, By, Edit, Keep};
use crate::control::config::amiss;
use crate::control::config::file::LogLevel;
use crate::control::config::schema::{self, Default};
use crate::control::drain::{DrainOrder, Drains};
use crate::control::events::EventKind;
use crate::control::health::HealthBoard;
use crate::control::log_level;
use crate::control::metrics::{self, Sampler, process};
use crate::control::runtime::Control;
use crate::control::write_back;
use crate::group::target_group::{TargetGroup, UNCHECKED};
use crate::snapshot::{Bind, Snapshot};
use crate::telemetry::counters::Counter;
use crate::telemetry::http2::Side;

/// Most events in one answer.
const EVENTS_MAX: usize = 1000;

/// Every listener and its actual address.
pub type Addresses = Box<dyn Fn() -> Vec<(Arc<str>, Bind)> + Send + Sync>;

/// The parts that the API shows and changes.
pub struct Operator {
    pub control: Arc<Control>,
    pub board: Arc<HealthBoard>,
    pub drains: Arc<Drains>,
    pub sampler: Arc<Sampler>,
    pub sources: Arc<metrics::Sources>,
    pub addresses: Addresses,
    /// The URLs of the demo's pages; empty outside of the demo.
    pub demo_urls: Vec<String>,
    /// The start of [`Status::uptime_s`].
    pub started: Instant,
}

impl std::fmt::Debug for Operator {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("Operator").field("control", &self.control).finish_non_exhaustive()
    }
}

impl Operator {
    pub fn status(&self, scope: Scope) -> Status {
        let machine = &self.sources.machine;
        let (counters, lines) = (self.sources.counters.snapshot(), machine.log());
        Status {
            version: env!("CARGO_PKG_VERSION"),
            pid: std::process::id(),
            started_unix_ms: self.sources.started_unix_ms,
            uptime_s: self.started.elapsed().as_secs_f64(),
            engine: machine.engine(),
            shards: machine.shard_count(),
            config: self.config_status(),
            listeners: self.listeners(),
            connections: ClientConnections {
                open: machine.connections(),
                accepted: counters.get(Counter::ConnectionsAccepted),
                refused: counters.get(Counter::ConnectionsRefused),
                http2: self.open_http2(Side::Client),
            },
            target_connections: OpenConnections {
                open: counters.target_connections_open(),
                http2: self.open_http2(Side::Target),
            },
            memory_bytes: Some(process::usage().resident_bytes).filter(|bytes| *bytes > 0),
            log: LogStatus {
                lines_written: lines.lines_written,
                lines_dropped: lines.lines_dropped,
                lines_failed: lines.lines_failed,
                level: log_level::level(),
            },
            warnings: self.warnings(),
            unchecked_count: unchecked_count(&self.control.snapshot()),
            may_change: scope.word(),
            demo: !self.demo_urls.is_empty(),
            demo_urls: self.demo_urls.clone(),
        }
    }

    fn open_http2(&self, side: Side) -> OpenHttp2 {
        let sums = self.sources.counters.http2(side);
        OpenHttp2 { open: sums.connections, streams: sums.streams_open }
    }

    fn config_status(&self) -> ConfigStatus {
        ConfigStatus {
            version: self.control.version(),
            generation: self.control.snapshot().generation,
            path: self.path(),
            loaded_unix_ms: self.control.loaded_unix_ms(),
            overlay_edits: self.control.overlay().len(),
            file_differs: self.control.file_differs(),
            file_obstacle: match self.control.path() {
                Some(path) => write_back::obstacle(&path),
                None => Some("the configuration was not read from a file".to_owned()),
            },
            pending: self.control.pending(),
        }
    }

    fn path(&self) -> Option<String> {
        self.control.path().map(|path| path.display().to_string())
    }

    fn listeners(&self) -> Vec<ListenerAddress> {
        let (bound, file) = ((self.addresses)(), self.control.file());
        bound
            .iter()
            .map(|(name, bind)| {
                let settings = file.listeners.iter().find(|one| one.name == **name);
                let http_versions = settings.map(http_versions).unwrap_or_default();
                ListenerAddress { name: name.to_string(), address: address(bind), http_versions }
            })
            .collect()
    }

    fn warnings(&self) -> Vec<String> {
        let mut warnings = amiss(&self.control.file());
        if self.control.file_differs() {
            warnings.push("the file on disk is not what was loaded".to_owned());
        }
        for group in &self.control.snapshot().groups {
            if group.fails_open() {
                warnings.push(format!(
                    "target group {:?} uses unhealthy targets: too few are healthy",
                    group.name
                ));
            }
        }
        warnings
    }

    pub fn events(&self, after: u64, count: usize) -> Events {
        Events { events: self.control.events().after(after, count.min(EVENTS_MAX)) }
    }

    pub fn config(&self) -> Config {
        Config {
            version: self.control.version(),
            path: self.path(),
            running: self.control.running_text(),
            file: self.control.file_text(),
            file_differs: self.control.file_differs(),
            overlay: self.control.overlay().into_iter().map(Into::into).collect(),
            pending: self.control.pending(),
        }
    }

    pub fn history(&self) -> History {
        History { entries: self.control.history() }
    }

    /// The changes that `text`, or the file on disk, would make.
    ///
    /// # Errors
    /// It cannot be read, or is refused.
    pub fn diff(&self, text: Option<&str>) -> Result<Differences, Problem> {
        Ok(Differences { differences: self.control.diff(text)? })
    }

    pub fn settings(&self) -> Settings {
        let settings = schema::listing().into_iter().map(|listed| Setting {
            default: match listed.setting.default {
                Default::Is(text) => Some(text),
                Default::Needed | Default::Absent | Default::Filled => None,
            },
            allowed: listed.setting.kind.allowed(),
            about: listed.setting.about,
            key: listed.path,
        });
        Settings { settings: settings.collect() }
    }

    pub fn log_level(&self) -> LogLevelView {
        LogLevelView { level: log_level::level() }
    }

    /// Lasts until limpet ends or the level is set again.
    pub fn set_log_level(&self, level: LogLevel, actor: &str) -> LogLevelView {
        let before = log_level::set(level);
        if before != level {
            let change = format!("log level {} → {}", word(before), word(level));
            let by = By { actor, if_version: None };
            self.control.audit_deed(&by, "log_level", std::slice::from_ref(&change));
            let text = format!("{change} by {actor}");
            self.control.events().push(EventKind::Edit, None, None, text);
        }
        LogLevelView { level }
    }

    /// One change of the configuration.
    ///
    /// # Errors
    /// See [`crate::control::change::ChangeError`].
    pub fn edit(&self, edit: &Edit, keep: Keep, by: &By<'_>) -> Result<Applied, Problem> {
        Ok(self.control.edit(edit, keep, by)?)
    }

    /// Makes a target drain.
    ///
    /// # Errors
    /// See [`crate::control::change::ChangeError`].
    pub fn drain(
        &self,
        order: &DrainOrder<'_>,
        keep: Keep,
        by: &By<'_>,
    ) -> Result<Applied, Problem> {
        Ok(self.drains.start(order, keep, by)?)
    }

    /// Takes a target back into service: ends its drain and its ejection.
    ///
    /// # Errors
    /// See [`crate::control::change::ChangeError`].
    pub fn enable(
        &self,
        group: &str,
        target: &str,
        keep: Keep,
        by: &By<'_>,
    ) -> Result<Applied, Problem> {
        // Removes the attribute: a target without a state is in service.
        let set = [("state".to_owned(), serde_json::Value::Null)].into_iter().collect();
        let edit = Edit::SetTarget { group: group.to_owned(), target: target.to_owned(), set };
        let mut applied = self.control.edit(&edit, keep, by)?;
        if self.board.enable(group, target) {
            let ends = format!("the ejection of target {target} of {group} ends");
            self.control.audit_deed(by, "enable", std::slice::from_ref(&ends));
            applied.notes.push(ends);
        }
        Ok(applied)
    }

    /// The version of the running configuration, for conditions that name one.
    pub fn version(&self) -> u64 {
        self.control.version()
    }

    /// The refusal for a group that does not exist.
    pub(super) fn no_group(&self, group: &str) -> Problem {
        let snapshot = self.control.snapshot();
        let names: Vec<&str> = snapshot.groups.iter().map(|group| &*group.name).collect();
        Problem::no_group(group, names.join(", "))
    }
}

/// Turns a sentence about a bad question into a refusal.
pub fn refuse(sentence: String) -> Problem {
    let mut problem = Problem::new(Cause::Invalid, sentence);
    problem.problems = Some(Vec::new());
    problem
}

fn word(level: LogLevel) -> &'static str {
    match level {
        LogLevel::Error => "error",
        LogLevel::Warn => "warn",
        LogLevel::Info => "info",
        LogLevel::Debug => "debug",
        LogLevel::Trace => "trace",
    }
}

/// In the file's form.
pub fn address(bind: &Bind) -> String {
    match bind {
        Bind::Tcp(address) => address.to_string(),
        Bind::Unix(path) => format!("unix:{}", path.display()),
    }
}

/// The number of groups with targets in service that are not checked.
pub(super) fn unchecked_count(snapshot: &Snapshot) -> usize {
    let has_unchecked = |group: &TargetGroup| {
        group.targets.iter().any(|target| group.health_code(target) == UNCHECKED)
    };
    snapshot.groups.iter().filter(|group| has_unchecked(group)).count()
}
