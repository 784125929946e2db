//! The control plane's view of the running data plane, and the only thing that it can change there: where the shards
//! listen. Cheap to clone. Never touches a connection. Tested through the server.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use super::admission::Admission;
use super::life::{Ended, FirstEnded};
use super::listeners::{Listeners, Plan};
use crate::snapshot::{Bind, Snapshot};
use crate::telemetry::access_log::{AccessLog, LogCounts};
use crate::telemetry::counters::Counters;
use crate::telemetry::options::AccessLogOptions;
use crate::time::stop::Stop;
use crate::uring::Engine;

/// The data plane as the control plane sees it.
#[derive(Clone)]
pub struct Handle {
    pub(super) listeners: Arc<Listeners>,
    pub(super) admission: Arc<Admission>,
    pub(super) counters: Arc<Counters>,
    pub(super) access_log: Arc<AccessLog>,
    pub(super) engine: Engine,
    /// Threads of the shards, below /proc.
    pub(super) threads: Arc<[String]>,
    pub(super) first_ended: FirstEnded,
    pub(super) stop: Arc<Stop>,
}

/// How often it checks that every shard's thread still exists.
const LOOK_EVERY: Duration = Duration::from_secs(1);

impl Handle {
    pub fn engine(&self) -> Engine {
        self.engine
    }

    pub fn shard_count(&self) -> usize {
        self.threads.len()
    }

    /// Every listener's name and actual address.
    pub fn addresses(&self) -> Vec<(Arc<str>, Bind)> {
        self.listeners.addresses()
    }

    /// Client connections open now.
    pub fn connections(&self) -> usize {
        self.admission.open()
    }

    /// Client connections open now on one shard.
    pub fn shard_connections(&self, shard: usize) -> u64 {
        self.counters.shard(shard).map_or(0, |counters| counters.snapshot().connections_open())
    }

    /// Waits until a shard ends without having been told to; as a rule, for ever.
    pub async fn shard_ended(&self) -> Ended {
        let mut first_ended = self.first_ended.clone();
        let told = async {
            let ended =
                first_ended.wait_for(Option::is_some).await.ok().and_then(|ended| ended.clone());
            match ended {
                Some(ended) => ended,
                // All shards have ended as they were told to.
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            ended = told => ended,
            ended = self.thread_gone() => ended,
        }
    }

    /// Waits until a shard's thread no longer exists: a thread that the kernel has killed reports nothing.
    async fn thread_gone(&self) -> Ended {
        loop {
            tokio::time::sleep(LOOK_EVERY).await;
            let gone = (0..self.threads.len()).find(|shard| self.is_gone(*shard));
            if let Some(shard) = gone.filter(|_| !self.stop.has_begun()) {
                // A cause that the shard has reported itself says more.
                let told = self.first_ended.borrow().clone();
                let cause = "its thread is gone".to_owned();
                return told.unwrap_or(Ended { shard, cause });
            }
        }
    }

    /// Whether the shard's thread no longer exists, according to /proc.
    pub(super) fn is_gone(&self, shard: usize) -> bool {
        let proc = Path::new("/proc");
        self.threads.get(shard).is_some_and(|thread| {
            !thread.is_empty() && !proc.join(thread).exists() && proc.join("self").exists()
        })
    }

    pub fn counters(&self) -> &Arc<Counters> {
        &self.counters
    }

    /// How many lines of the access log were written and lost so far.
    pub fn log(&self) -> LogCounts {
        self.access_log.handle().counts()
    }

    /// Opens the access log's file anew.
    ///
    /// # Errors
    /// See [`LogHandle::reopen`].
    ///
    /// [`LogHandle::reopen`]: crate::telemetry::access_log::LogHandle::reopen
    pub fn reopen_log(&self) -> io::Result<()> {
        self.access_log.handle().reopen()
    }

    /// Changes the access log while it runs.
    ///
    /// # Errors
    /// See [`LogHandle::reconfigure`].
    ///
    /// [`LogHandle::reconfigure`]: crate::telemetry::access_log::LogHandle::reconfigure
    pub fn reconfigure_log(&self, options: &AccessLogOptions) -> io::Result<()> {
        self.access_log.handle().reconfigure(options)
    }

    /// CPU time of a shard's thread since its start; zero where /proc does not tell.
    pub fn busy(&self, shard: usize) -> Duration {
        let Some(thread) = self.threads.get(shard) else { return Duration::ZERO };
        let text = std::fs::read_to_string(format!("/proc/{thread}/schedstat")).unwrap_or_default();
        let on_cpu_ns = text.split_ascii_whitespace().next().and_then(|text| text.parse().ok());
        Duration::from_nanos(on_cpu_ns.unwrap_or(0))
    }

    /// Opens the addresses that `after` needs and that are not open yet. The plan goes to [`Self::follow`] when `after`
    /// is published.
    ///
    /// # Errors
    /// A sentence for the operator; nothing was changed.
    pub fn open(&self, after: &Snapshot) -> Result<Plan, String> {
        let plan = self.listeners.plan(after).map_err(|error| error.to_string())?;
        if !self.listeners.has_room(&plan) {
            return Err("the shards have not followed the change before this one; try again".into());
        }
        Ok(plan)
    }

    /// Makes the shards accept where the plan says, and retires the listeners that are gone.
    pub fn follow(&self, plan: Plan) {
        self.listeners.commit(plan);
    }
}
