//! The control plane at work: one thread that joins its parts and drives their periodic work.
//!
//! ```text
//!   prepare: admin sockets, audit log, first round of checks      nothing accepts yet
//!   run:     admin API · health · drains · samples · trials · session watch · newcomers · the file · certificates · ACME
//! ```
//! Owns the order of these, and the effects of a change outside of snapshots (the access log, the level of limpet's own
//! log). Makes no decision that belongs to one of the parts, and touches no client's connection. Tested by the
//! black-box suite.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::admin::guard::Access;
use super::admin::serve::{BindError, Sockets};
use super::admin::{self, Operator};
use super::audit::AuditLog;
use super::change::By;
use super::config::file::LogLevel;
use super::drain::Drains;
use super::events::{EventKind, unix_ms};
use super::health::{HealthBoard, Supervisor};
use super::key_watch::KeyWatch;
use super::metrics::{CertificateEnd, CertificateFacts, ConfigFacts, Sampler, Sources};
use super::runtime::{Control, ErrorCounts, Listeners};
use super::{
    acme, certificate_watch, drain, log_level, metrics, newcomers, session_watch, write_back,
};
use crate::service;
use crate::shard::Handle;
use crate::snapshot::Snapshot;
use crate::telemetry::counters::Counter;
use crate::telemetry::handshakes::Handshakes;
use crate::uring::Courtesy;

/// How often a change on trial is judged, and the effects of a change are applied.
const TICK: Duration = Duration::from_millis(250);
/// How often rates are sampled.
const SAMPLE: Duration = Duration::from_secs(1);
/// How often the file is checked, if it is watched.
const WATCH: Duration = Duration::from_millis(500);
/// For how many checks the file must stay unchanged before it is read: it may be half written.
const QUIET_LOOKS: u32 = 2;

/// Why the control plane cannot start.
#[derive(Debug, thiserror::Error)]
pub enum PlaneError {
    #[error(transparent)]
    Admin(#[from] BindError),
    #[error("the audit log {} cannot be opened: {cause}", path.display())]
    Audit { path: PathBuf, cause: io::Error },
}

/// Called after every change of the configuration, when it is in force.
pub type AfterChange = Box<dyn Fn(&Handle) + Send + Sync>;

/// A control plane that is ready to serve, before any shard is.
#[derive(Debug)]
pub struct ControlPlane {
    control: Arc<Control>,
    board: Arc<HealthBoard>,
    health: Supervisor,
    sockets: Sockets,
    access: Access,
}

impl ControlPlane {
    /// Opens the sockets for operators, and checks every target once, so that the first requests go to targets that
    /// work.
    ///
    /// # Errors
    /// See [`PlaneError`].
    pub async fn prepare(control: Arc<Control>) -> Result<ControlPlane, PlaneError> {
        let file = control.file();
        if let Some(path) = &file.admin.audit_log {
            let fault = |cause| PlaneError::Audit { path: path.clone(), cause };
            // Opening may block, on a pipe without a reader; meanwhile signals are still handled.
            let named = path.clone();
            let opened = tokio::task::spawn_blocking(move || AuditLog::open(&named)).await;
            let opened = opened.map_err(io::Error::other).map_err(fault)?;
            control.set_audit(Some(opened.map_err(fault)?));
        }
        if let Some(path) = control.path() {
            write_back::clear_drafts(&path);
        }
        let sockets = Sockets::open(&file.admin)?;
        let board = Arc::new(HealthBoard::default());
        let started = format!("limpet {} starts", env!("CARGO_PKG_VERSION"));
        control.events().push(EventKind::Start, None, None, started);
        warn_of_open_door(&control, service::is_root());
        let mut health = Supervisor::new(Arc::clone(&control), Arc::clone(&board));
        health.first_round().await;
        let access = Access::of(&file.admin);
        Ok(ControlPlane { control, board, health, sockets, access })
    }

    /// The TCP address of the admin API.
    pub fn admin_address(&self) -> Option<SocketAddr> {
        self.sockets.address()
    }

    /// Works until `end` is ready. `demo_urls`: the URLs of the demo's pages.
    pub async fn run(
        self,
        handle: Handle,
        demo_urls: Vec<String>,
        after_change: AfterChange,
        end: impl Future<Output = ()>,
    ) {
        let ControlPlane { control, board, health, sockets, access } = self;
        attach(&control, &handle);
        let drains = Arc::new(Drains::new(Arc::clone(&control)));
        let sources = Arc::new(sources(&control, &handle));
        let sampler = Arc::new(Sampler::new(Arc::clone(&sources)));
        let addresses = handle.clone();
        let operator = Arc::new(Operator {
            control: Arc::clone(&control),
            board,
            drains: Arc::clone(&drains),
            sampler: Arc::clone(&sampler),
            sources,
            addresses: Box::new(move || addresses.addresses()),
            demo_urls,
            started: Instant::now(),
        });
        let follower = Follower::new(Arc::clone(&control), handle, after_change);
        let work = async {
            tokio::join!(
                health.run(),
                drains.run(),
                sample(&sampler),
                watch_sessions(&control),
                newcomers::run(&control),
                watch_file(&control),
                certificate_watch::run(&control),
                acme::run(&control),
                follower.run(),
            );
        };
        let (ended, is_ended) = tokio::sync::oneshot::channel::<()>();
        let of_tls = Arc::clone(&control);
        let serve = async {
            let end = async { drop(is_ended.await) };
            if let Err(error) = sockets.serve(admin::router(operator, access), of_tls, end).await {
                tracing::error!(%error, "the admin API cannot be served");
            }
        };
        let until_end = async {
            tokio::select! {
                () = work => {}
                () = end => {}
            }
            drop(ended);
        };
        tokio::join!(serve, until_end);
    }
}

/// Warns when every user of the machine can reach the API of a process with root's rights.
fn warn_of_open_door(control: &Control, is_root: bool) {
    let admin = &control.file().admin;
    let has_roles = admin.tls.as_ref().is_some_and(|tls| !tls.roles.is_empty());
    let is_open = admin.token.is_none() && !has_roles;
    let Some(address) = admin.address.filter(|_| is_root && is_open) else { return };
    let text = format!(
        "limpet runs as root, and admin.address = \"{address}\" has no token: every user of this machine may change \
         attributes of groups and targets; set admin.token, or process.user, or use admin.socket alone"
    );
    control.events().push(EventKind::Warning, None, None, text);
}

/// Joins the running configuration with the data plane that follows it.
fn attach(control: &Arc<Control>, handle: &Handle) {
    control.attach(Arc::new(ShardListeners(handle.clone())));
    let counted = handle.clone();
    control.set_error_source(Arc::new(move || {
        let counters = counted.counters().snapshot();
        ErrorCounts {
            requests: counters.requests(),
            gateway_errors: counters.get(Counter::GatewayErrors),
        }
    }));
    let (logged, events) = (handle.clone(), Arc::clone(control.events()));
    control.set_log_change(Arc::new(move |options| {
        if let Err(error) = logged.reconfigure_log(options) {
            let text = format!("the access log stays as it is: {error}");
            events.push(EventKind::Warning, None, None, text);
        }
    }));
    let sessions = drain::sessions::Sessions::new(control.published());
    control.set_session_estimate(Arc::new(move |group, target| {
        sessions.of_target_named(group, target, unix_ms() / 1000)
    }));
}

/// The shards' sockets, which follow each publication.
struct ShardListeners(Handle);

impl Listeners for ShardListeners {
    fn open(&self, after: &Snapshot) -> Result<Box<dyn FnOnce() + Send>, String> {
        let plan = self.0.open(after)?;
        let handle = self.0.clone();
        Ok(Box::new(move || handle.follow(plan)))
    }
}

fn sources(control: &Arc<Control>, handle: &Handle) -> Sources {
    Sources {
        published: control.published(),
        counters: Arc::clone(handle.counters()),
        machine: Arc::new(handle.clone()),
        plane: Arc::new(Facts {
            control: Arc::clone(control),
            sessions: drain::sessions::Sessions::new(control.published()),
        }),
        started_unix_ms: unix_ms(),
    }
}

/// The facts about the control plane for the metrics.
struct Facts {
    control: Arc<Control>,
    sessions: drain::sessions::Sessions,
}

impl metrics::Plane for Facts {
    fn config(&self) -> ConfigFacts {
        ConfigFacts {
            version: self.control.version(),
            last_reload_successful: self.control.last_reload_successful(),
            loaded_unix_ms: self.control.loaded_unix_ms(),
        }
    }

    fn refused_requests(&self) -> [(&'static str, u64); 4] {
        self.control.refused_requests()
    }

    fn admin_handshakes(&self) -> Handshakes {
        self.control.admin_handshakes().sum()
    }

    fn certificates(&self) -> CertificateFacts {
        let shown = self.control.certificates();
        let ends = shown.shown().iter().map(|one| CertificateEnd {
            listener: one.presenter.listener().unwrap_or_default().to_owned(),
            target_group: one.presenter.target_group().unwrap_or_default().to_owned(),
            chain: one.chain.display().to_string(),
            not_after: one.certificate.not_after,
        });
        CertificateFacts {
            ends: ends.collect(),
            last_reading_successful: self.control.last_certificate_reading().fault.is_none(),
            orders: self.control.acme().orders(),
        }
    }

    fn group_sessions(&self, group: &str) -> Option<u64> {
        self.sessions.of_group_named(group, unix_ms() / 1000)
    }

    fn target_sessions(&self, group: &str, target: &str) -> Option<u64> {
        self.sessions.of_target_named(group, target, unix_ms() / 1000)
    }
}

async fn sample(sampler: &Sampler) {
    let mut ticks = interval(SAMPLE);
    loop {
        ticks.tick().await;
        sampler.tick(Instant::now(), unix_ms());
    }
}

async fn watch_sessions(control: &Control) {
    let mut ticks = interval(session_watch::EVERY);
    let (begun, mut keys) = (Instant::now(), KeyWatch::default());
    loop {
        ticks.tick().await;
        let snapshot = control.snapshot();
        session_watch::log_new(&snapshot, control.events());
        keys.look(&snapshot, begun.elapsed(), control.events());
    }
}

/// Loads the file again when it has changed and has then stayed unchanged for a moment, if `process.watch_config` is
/// set. Polls instead of using inotify: polling also sees files that are replaced behind a link, as Kubernetes does it,
/// and files on network file systems.
async fn watch_file(control: &Arc<Control>) {
    let mut ticks = interval(WATCH);
    // The first tick comes at once.
    ticks.tick().await;
    let mut quiet_looks = 0;
    let mut seen = control.file_stamp();
    // A change of the file while the first checks ran is not loaded yet.
    let mut loaded = if file_differs(control).await { None } else { seen.clone() };
    loop {
        ticks.tick().await;
        let stamp = control.file_stamp();
        quiet_looks = if stamp == seen { quiet_looks + 1 } else { 0 };
        seen.clone_from(&stamp);
        if stamp == loaded || quiet_looks < QUIET_LOOKS || stamp.is_none() {
            continue;
        }
        loaded = stamp;
        if control.is_watching() && file_differs(control).await {
            reload(control, "the file has changed").await;
        }
    }
}

/// Whether the file's text differs from the loaded one. Read on another thread: a file system may not answer.
async fn file_differs(control: &Arc<Control>) -> bool {
    let control = Arc::clone(control);
    tokio::task::spawn_blocking(move || control.file_differs()).await.unwrap_or(false)
}

/// Reads the file again; the result goes to limpet's log, to the events, and to the service manager.
pub async fn reload(control: &Arc<Control>, actor: &'static str) {
    service::reloading();
    let reloaded = Arc::clone(control);
    // A file with many targets takes a while, in which checks and the admin API must go on.
    let result = tokio::task::spawn_blocking(move || {
        let _courtesy = Courtesy::begin();
        reloaded.reload(&By { actor, if_version: None })
    });
    match result.await {
        Ok(Ok(applied)) => {
            if applied.summary.is_empty() {
                tracing::info!(actor, "the file was read again: nothing differs");
            }
            for note in applied.notes.iter().filter(|_| !applied.summary.is_empty()) {
                tracing::warn!("{note}");
            }
            service::ready("balancing");
        }
        Ok(Err(error)) => {
            let path = control.path().unwrap_or_default();
            let path = path.display();
            let text = format!("{path} was not loaded, the configuration stays as it is: {error}");
            control.events().push(EventKind::Warning, None, None, text);
            service::ready("balancing; the last reload was refused");
        }
        Err(error) => tracing::error!(%error, "the reload ended by a panic"),
    }
}

/// Applies the effects of a configuration change outside of snapshots.
struct Follower {
    control: Arc<Control>,
    handle: Handle,
    after_change: AfterChange,
    log_level: LogLevel,
}

impl Follower {
    fn new(control: Arc<Control>, handle: Handle, after_change: AfterChange) -> Follower {
        let file = control.file();
        let log_level = file.process.log_level;
        Follower { control, handle, after_change, log_level }
    }

    async fn run(mut self) {
        let mut ticks = interval(TICK);
        let mut version = self.control.version();
        loop {
            ticks.tick().await;
            self.control.tick(Instant::now());
            free(self.control.unused_snapshots());
            let now = self.control.version();
            if std::mem::replace(&mut version, now) != now {
                self.follow();
            }
        }
    }

    fn follow(&mut self) {
        let file = self.control.file();
        if file.process.log_level != self.log_level {
            self.log_level = file.process.log_level;
            log_level::set(self.log_level);
        }
        (self.after_change)(&self.handle);
    }
}

/// Frees snapshots on a thread that nothing waits for: a large one takes a while.
fn free(unused: Vec<Arc<Snapshot>>) {
    if !unused.is_empty() {
        tokio::task::spawn_blocking(move || {
            let _courtesy = Courtesy::begin();
            drop(unused);
        });
    }
}

fn interval(period: Duration) -> tokio::time::Interval {
    let mut ticks = tokio::time::interval(period);
    // A loop that was held up does not catch up on missed ticks.
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    ticks
}
