//! The metrics: what Prometheus scrapes and what the console draws, both read from the same numbers.
//!
//! Reads what shards count, through the published snapshot, whenever somebody asks; a shard never
//! notices. What can be asked for is the table in [`names`]; how much of it, the limits there. The
//! data plane and the rest of the control plane are met through two small traits. Tested beside it.

mod exposition;
mod family;
pub mod names;
pub mod process;
mod rates;
pub mod sampler;

#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

pub use exposition::{CONTENT_TYPE, exposition};
pub use rates::Overview;
pub use sampler::Sampler;

use crate::shard::Handle;
use crate::snapshot::Published;
pub use crate::telemetry::access_log::LogCounts;
use crate::telemetry::counters::Counters;

/// The running data plane, as far as the metrics ask for it.
pub trait Machine: Send + Sync {
    /// "io_uring" or "epoll".
    fn engine(&self) -> &'static str;
    fn shard_count(&self) -> usize;
    /// Client connections open now.
    fn connections(&self) -> usize;
    /// Of these, those of one shard.
    fn shard_connections(&self, shard: usize) -> usize;
    /// CPU time of the shard's thread since start.
    fn busy(&self, shard: usize) -> Duration;
    fn log(&self) -> LogCounts;
}

impl Machine for Handle {
    fn engine(&self) -> &'static str {
        self.engine().name()
    }

    fn shard_count(&self) -> usize {
        self.shard_count()
    }

    fn connections(&self) -> usize {
        self.connections()
    }

    fn shard_connections(&self, shard: usize) -> usize {
        usize::try_from(self.shard_connections(shard)).unwrap_or(usize::MAX)
    }

    fn busy(&self, shard: usize) -> Duration {
        self.busy(shard)
    }

    fn log(&self) -> LogCounts {
        self.log()
    }
}

/// The running configuration, as far as the metrics ask for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ConfigFacts {
    /// Grows with every change of the configuration.
    pub version: u64,
    /// Whether the last attempt to load a file went well.
    pub last_reload_successful: bool,
    /// When a file was last loaded.
    pub loaded_unix_ms: u64,
}

/// What other parts of the control plane know.
pub trait Plane: Send + Sync {
    fn config(&self) -> ConfigFacts;
    /// Requests to the admin API that were refused for who asks, by reason.
    fn refused_requests(&self) -> [(&'static str, u64); 4];
    /// Live sessions of a group, estimated; `None` where nobody counts them.
    fn group_sessions(&self, group: &str) -> Option<u64>;
    /// Live sessions of a target, estimated; `None` where nobody counts them.
    fn target_sessions(&self, group: &str, target: &str) -> Option<u64>;
}

/// Everything that is read for an exposition or a sample.
pub struct Sources {
    pub published: Arc<Published>,
    pub counters: Arc<Counters>,
    pub machine: Arc<dyn Machine>,
    pub plane: Arc<dyn Plane>,
    /// When the process started.
    pub started_unix_ms: u64,
}

impl std::fmt::Debug for Sources {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("Sources").finish_non_exhaustive()
    }
}
