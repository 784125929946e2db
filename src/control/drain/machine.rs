//! The drain of one target as a pure decision: what it waits for, and when it ends.
//!
//! ```text
//!   until     is over when …                                           at the latest after
//!   delay     no request, no tunnel and no session is left             the deregistration delay
//!   idle      no request and no tunnel is left, whatever sessions do   its own deadline, if it has one
//!   sessions  at most so many sessions are left                        its own deadline, if it has one
//! ```
//!
//! A deadline also ends a drain of the first kind, if it comes before the delay. The end concerns bound sessions: they
//! fail over with their next request. Requests and tunnels go on. Reads no clock, no target. Tested as a table.

use std::fmt::Write;
use std::time::{Duration, Instant};

use crate::control::config::units::show_remaining;

/// What a drain waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Until {
    /// The group's deregistration delay; ends early when there is nothing left to wait for.
    #[default]
    Delay,
    /// No request in flight and no open tunnel.
    Idle,
    /// At most so many live sessions, by estimate.
    Sessions { at_most: u64 },
}

impl Until {
    /// The word of the admin API.
    pub fn code(self) -> &'static str {
        match self {
            Until::Delay => "delay",
            Until::Idle => "idle",
            Until::Sessions { .. } => "sessions",
        }
    }
}

/// How an operator wants a target drained.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct DrainOptions {
    pub until: Until,
    /// The longest time that it may take, from the command on. Without one, a drain until idle, or until so many
    /// sessions, has no end by time.
    pub deadline: Option<Duration>,
}

impl DrainOptions {
    /// Out of use at once: bound sessions fail over with their next request.
    pub const DISABLE: DrainOptions =
        DrainOptions { until: Until::Delay, deadline: Some(Duration::ZERO) };
}

/// A drain that an operator requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DrainOrder<'a> {
    pub group: &'a str,
    pub target: &'a str,
    pub options: DrainOptions,
}

/// A drain that has begun.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Drain {
    pub options: DrainOptions,
    /// The start of the deregistration delay.
    pub started: Instant,
    /// The start of the deadline.
    pub asked: Instant,
}

/// The load that a target still has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Load {
    /// Requests in flight, without tunnels.
    pub requests: u32,
    pub tunnels: u32,
    /// An estimate of the sessions bound to it; `None` when nothing about it is sticky.
    pub sessions: Option<u64>,
    /// Whether sessions have been watched for a whole stickiness duration, so that none is unknown.
    pub knows_all_sessions: bool,
}

/// The state of a drain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Progress {
    Waiting {
        /// `None` = no end by time.
        remaining: Option<Duration>,
        /// What it waits for: "waits for 12 sessions".
        reason: String,
    },
    /// Why it has ended: "no request is in flight and no tunnel is open".
    Finished { reason: String },
}

/// The limit that ends a drain by time.
#[derive(Debug, Clone, Copy)]
enum Limit {
    Delay,
    Deadline,
}

impl Drain {
    pub fn new(options: DrainOptions, started: Instant) -> Drain {
        Drain { options, started, asked: started }
    }

    /// Decides at `now`; `delay` is the group's deregistration delay.
    pub fn judge(&self, delay: Duration, now: Instant, load: &Load) -> Progress {
        if let Some(reason) = self.reached(load) {
            return Progress::Finished { reason };
        }
        let limit = self.limit(delay, now);
        if let Some((limit, _)) = limit.filter(|(_, remaining)| remaining.is_zero()) {
            return Progress::Finished { reason: limit.reached(load) };
        }
        let reason = match (self.options.until, limit) {
            (Until::Delay, Some((limit, remaining))) => limit.announced(remaining),
            (Until::Delay, None) | (Until::Idle, _) => {
                format!("waits for {}", words(load.requests, load.tunnels, None))
            }
            (Until::Sessions { at_most }, _) => {
                let mut reason = format!("waits for {}", words(0, 0, load.sessions));
                if at_most > 0 {
                    let _ = write!(reason, " to become {at_most}");
                }
                reason
            }
        };
        Progress::Waiting { remaining: limit.map(|(_, remaining)| remaining), reason }
    }

    /// Why there is nothing left to wait for, if so.
    fn reached(&self, load: &Load) -> Option<String> {
        let is_idle = load.requests == 0 && load.tunnels == 0;
        match (self.options.until, load.sessions) {
            (Until::Delay, None) | (Until::Idle, _) => {
                is_idle.then(|| "no request is in flight and no tunnel is open".to_owned())
            }
            (Until::Delay, Some(sessions)) => {
                let is_left = is_idle && sessions == 0 && load.knows_all_sessions;
                is_left.then(|| "no request, no tunnel and no session is left".to_owned())
            }
            (Until::Sessions { .. }, None) => Some("its group is not sticky".to_owned()),
            (Until::Sessions { at_most }, Some(sessions)) => {
                (sessions <= at_most).then(|| format!("it has {}", words(0, 0, Some(sessions))))
            }
        }
    }

    /// The limit that ends it by time, and the time until then.
    fn limit(&self, delay: Duration, now: Instant) -> Option<(Limit, Duration)> {
        let left =
            |whole: Duration, from| whole.saturating_sub(now.saturating_duration_since(from));
        let deadline =
            self.options.deadline.map(|whole| (Limit::Deadline, left(whole, self.asked)));
        let delay = match self.options.until {
            Until::Delay => Some((Limit::Delay, left(delay, self.started))),
            Until::Idle | Until::Sessions { .. } => None,
        };
        deadline.into_iter().chain(delay).min_by_key(|(_, remaining)| *remaining)
    }
}

impl Limit {
    fn announced(self, remaining: Duration) -> String {
        let left = show_remaining(remaining);
        match self {
            Limit::Delay => format!("the deregistration delay ends in {left}"),
            Limit::Deadline => format!("the deadline comes in {left}"),
        }
    }

    fn reached(self, load: &Load) -> String {
        let what = match self {
            Limit::Delay => "the deregistration delay is over",
            Limit::Deadline => "the deadline has come",
        };
        let sessions = load.sessions.filter(|count| *count > 0);
        if load.requests == 0 && load.tunnels == 0 && sessions.is_none() {
            return format!("{what}; nothing was left");
        }
        format!("{what}; left: {}", words(load.requests, load.tunnels, sessions))
    }
}

/// "12 sessions, 3 requests and 1 tunnel"; counts of 0 are left out, except for sessions.
fn words(requests: u32, tunnels: u32, sessions: Option<u64>) -> String {
    let counted = [
        (sessions, "session"),
        ((requests > 0).then_some(u64::from(requests)), "request"),
        ((tunnels > 0).then_some(u64::from(tunnels)), "tunnel"),
    ];
    let parts = counted.into_iter().filter_map(|(count, noun)| Some((count?, noun)));
    let parts: Vec<String> = parts
        .map(|(count, noun)| format!("{count} {noun}{}", if count == 1 { "" } else { "s" }))
        .collect();
    match parts.split_last() {
        Some((last, [])) => last.clone(),
        Some((last, others)) => format!("{} and {last}", others.join(", ")),
        None => "nothing".to_owned(),
    }
}

#[cfg(test)]
#[path = "machine_tests.rs"]
mod tests;
