//! What was seen: counts, times, and everything that was wrong.
//!
//! Owns: the report and the verdict. Tested below.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io;
use std::time::Duration;

use hdrhistogram::Histogram;

use super::plan::{Kind, Plan};
use crate::wire::Fault;

/// Longest time that is told apart from longer ones.
const TIME_MAX: Duration = Duration::from_secs(600);

/// Everything that can be wrong with an exchange.
#[derive(Debug, thiserror::Error)]
pub enum Problem {
    #[error("the connection was refused: {0}")]
    Connect(io::Error),
    #[error("the request could not be sent: {0}")]
    Send(io::Error),
    #[error(transparent)]
    Wire(#[from] Fault),
    #[error("no whole response in time")]
    Late,
    #[error("the head of the response is not HTTP/1.1")]
    Head,
    #[error("what came is not HTTP/2: {0}")]
    Http2(&'static str),
    #[error("RST_STREAM: {0}")]
    Reset(&'static str),
    #[error("GOAWAY: {0}")]
    Away(&'static str),
    #[error("GOAWAY left the request undone")]
    Unprocessed,
    #[error("status {0}")]
    Status(u16),
    #[error("the response has the id of another request, or none")]
    ForeignId,
    #[error("the content has bytes of another exchange")]
    ForeignBytes,
    #[error("the target did not receive the content as it was sent")]
    UploadDamaged,
    #[error("the response does not name its target")]
    NoTarget,
    #[error("the response has neither a length nor chunks")]
    Unframed,
    #[error("the content has another size than was asked for: {seen} instead of {expected}")]
    Size { expected: u64, seen: u64 },
    #[error("a user without a cookie was not given one")]
    NoCookie,
    #[error("a user bound to {home} was answered by {target}, and no new cookie said so")]
    WrongTarget { home: String, target: String },
}

/// Counts of one client, of one thread, or of all.
#[derive(Debug)]
pub struct Tally {
    times_us: Histogram<u64>,
    kinds: BTreeMap<&'static str, u64>,
    sent_bytes: u64,
    received_bytes: u64,
    pub connections: u64,
    pub moves: u64,
    /// Requests that GOAWAY left undone, and that were asked again.
    pub unprocessed: u64,
    problems: BTreeMap<String, u64>,
}

impl Tally {
    pub fn new() -> Tally {
        let longest = TIME_MAX.as_micros() as u64;
        Tally {
            times_us: Histogram::new_with_bounds(1, longest, 3).expect("the bounds are in order"),
            kinds: BTreeMap::new(),
            sent_bytes: 0,
            received_bytes: 0,
            connections: 0,
            moves: 0,
            unprocessed: 0,
            problems: BTreeMap::new(),
        }
    }

    /// Counts a response that belonged to its request.
    pub fn done(&mut self, plan: &Plan, time: Duration) {
        let time_us = u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
        self.times_us.saturating_record(time_us);
        *self.kinds.entry(name(plan.kind)).or_default() += 1;
        self.sent_bytes += plan.upload_size as u64;
        if plan.kind != Kind::Head {
            self.received_bytes += plan.response_size as u64;
        }
    }

    pub fn problem(&mut self, problem: &Problem) {
        *self.problems.entry(problem.to_string()).or_default() += 1;
    }

    pub fn add(&mut self, part: &Tally) {
        self.times_us.add(&part.times_us).expect("all histograms have the same bounds");
        part.kinds.iter().for_each(|(kind, n)| *self.kinds.entry(kind).or_default() += n);
        for (problem, count) in &part.problems {
            *self.problems.entry(problem.clone()).or_default() += count;
        }
        self.sent_bytes += part.sent_bytes;
        self.received_bytes += part.received_bytes;
        self.connections += part.connections;
        self.moves += part.moves;
        self.unprocessed += part.unprocessed;
    }

    fn problem_count(&self) -> u64 {
        self.problems.values().sum()
    }

    /// Nothing was wrong, and nobody was moved unless that is allowed.
    pub fn is_clean(&self, allow_moves: bool) -> bool {
        self.problems.is_empty() && (allow_moves || self.moves == 0)
    }

    /// The report, several lines.
    pub fn report(&self, elapsed: Duration) -> String {
        let count = self.times_us.len();
        let seconds = elapsed.as_secs_f64().max(f64::MIN_POSITIVE);
        let kinds = self.kinds.iter().map(|(kind, n)| format!("{n} {kind}"));
        let kinds = kinds.collect::<Vec<_>>().join(", ");
        let mut text = format!(
            "requests     {count} in {seconds:.1} s, {:.0} per second: {kinds}\n\
             content      {} bytes sent, {} received\n\
             connections  {}\n",
            count as f64 / seconds,
            self.sent_bytes,
            self.received_bytes,
            self.connections
        );
        text.push_str("time in µs  ");
        for quantile in [0.5, 0.9, 0.99, 0.999, 0.9999] {
            let time_us = self.times_us.value_at_quantile(quantile);
            // Writing into a String cannot fail.
            let _ = write!(text, " p{} {time_us},", quantile * 100.0);
        }
        let _ = writeln!(text, " max {}", self.times_us.max());
        let _ = writeln!(text, "moves        {}", self.moves);
        if self.unprocessed > 0 {
            let _ = writeln!(text, "asked again  {}, which GOAWAY left undone", self.unprocessed);
        }
        let _ = writeln!(text, "problems     {}", self.problem_count());
        for (problem, count) in &self.problems {
            let _ = writeln!(text, "  {count} × {problem}");
        }
        text
    }
}

fn name(kind: Kind) -> &'static str {
    match kind {
        Kind::Get => "GET",
        Kind::Head => "HEAD",
        Kind::Post => "POST",
        Kind::Chunked => "chunked POST",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_problem_or_an_unexpected_move_is_not_clean() {
        let mut tally = Tally::new();
        assert!(tally.is_clean(false));
        tally.moves = 1;
        assert!(!tally.is_clean(false) && tally.is_clean(true));
        tally.problem(&Problem::ForeignId);
        assert!(!tally.is_clean(true));
    }

    #[test]
    fn parts_add_up_in_the_report() {
        let mut all = Tally::new();
        for _ in 0..2 {
            let mut part = Tally::new();
            part.problem(&Problem::Status(502));
            part.connections = 3;
            all.add(&part);
        }
        let report = all.report(Duration::from_secs(1));
        assert!(report.contains("2 × status 502") && report.contains("connections  6"), "{report}");
    }
}
