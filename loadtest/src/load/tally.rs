//! What was seen: counts, times, and everything that was wrong.
//!
//! Owns: the numbers of a thread, their sum, and the verdict. Tested below.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hdrhistogram::Histogram;
use hdrhistogram::serialization::{Serializer as _, V2Serializer};
use serde_json::{Map, Value, json};

use super::sessions::Target;

/// Longest time that is told apart from longer ones, in microseconds.
const TIME_MAX_US: u64 = 600_000_000;

/// Most targets that are told apart; what comes after counts as the last.
const TARGETS_MAX: usize = 4096;

/// Kinds of errors. One exchange has one at most.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Problem {
    /// No connection could be had.
    Connect,
    /// The handshake of TLS failed, or a record was none.
    Tls,
    /// The connection ended before the response had begun.
    Closed,
    /// No whole response in time.
    Timeout,
    /// Another status than expected.
    Status,
    /// Another length than expected, or content that ended before its length.
    Length,
    /// X-Request-Echo is that of another request.
    Echo,
    /// No response as RFC 9112 or RFC 9113 says, or bytes that no request asked for.
    Garbage,
    /// RST_STREAM instead of a response or of its end.
    Reset,
    /// GOAWAY that leaves a request unanswered, or says that something is wrong.
    Away,
}

impl Problem {
    const ALL: [(Problem, &str); 10] = [
        (Problem::Connect, "connect"),
        (Problem::Tls, "tls"),
        (Problem::Closed, "closed"),
        (Problem::Timeout, "timeout"),
        (Problem::Status, "status"),
        (Problem::Length, "length"),
        (Problem::Echo, "echo"),
        (Problem::Garbage, "garbage"),
        (Problem::Reset, "reset"),
        (Problem::Away, "goaway"),
    ];
}

/// What slow clients, and streams that are to stall, saw; they are not part of anything else.
#[derive(Debug, Default, Clone, Copy)]
pub struct Slow {
    pub clients: u64,
    pub responses: u64,
    pub bytes: u64,
    /// Connections that were ended by the other side, or could not be had.
    pub ended: u64,
}

impl Slow {
    pub fn add(&mut self, part: Slow) {
        self.clients += part.clients;
        self.responses += part.responses;
        self.bytes += part.bytes;
        self.ended += part.ended;
    }
}

/// What hostile clients saw; they are not part of anything else.
#[derive(Debug, Default, Clone, Copy)]
pub struct Hostile {
    /// Connections that were begun.
    pub begun: u64,
    /// Times that a server said something.
    pub answered: u64,
    /// Connections that were ended by the other side, or could not be had.
    pub ended: u64,
}

/// The numbers of one thread, or of all.
#[derive(Debug)]
pub struct Tally {
    times_us: Histogram<u64>,
    /// Measured requests that were sent.
    pub requests: u64,
    /// Responses that came before the end of the measured time.
    pub in_time: u64,
    /// Arrivals of an open loop that were due and never sent.
    pub unsent: u64,
    pub bytes_in: u64,
    pub bytes_out: u64,
    /// Responses that echoed their request's id.
    pub echoed: u64,
    pub reconnects: u64,
    /// Handshakes of TLS in the measured time: whole ones, and resumed ones.
    pub handshakes: u64,
    pub resumed: u64,
    /// Requests that GOAWAY left undone, and that were asked again.
    pub unprocessed: u64,
    pub wrong_target: u64,
    pub moves: u64,
    pub slow: Slow,
    pub hostile: Hostile,
    /// What RST_STREAM and GOAWAY gave as reasons.
    pub codes: BTreeMap<&'static str, u64>,
    /// Processor time of the measured time, in nanoseconds.
    pub cpu_ns: u64,
    /// Length of the measured time, in nanoseconds.
    pub measured_ns: u64,
    /// Why the first connection that could not be had was refused, for people.
    pub first_refusal: Option<String>,
    errors: [u64; Problem::ALL.len()],
    status: Vec<u64>,
    targets: Vec<(Vec<u8>, u64)>,
}

impl Tally {
    pub fn new() -> Tally {
        Tally {
            times_us: Histogram::new_with_bounds(1, TIME_MAX_US, 3)
                .expect("the bounds are in order"),
            requests: 0,
            in_time: 0,
            unsent: 0,
            bytes_in: 0,
            bytes_out: 0,
            echoed: 0,
            reconnects: 0,
            handshakes: 0,
            resumed: 0,
            unprocessed: 0,
            wrong_target: 0,
            moves: 0,
            slow: Slow::default(),
            hostile: Hostile::default(),
            codes: BTreeMap::new(),
            cpu_ns: 0,
            measured_ns: 0,
            first_refusal: None,
            errors: [0; Problem::ALL.len()],
            status: vec![0; 1000],
            targets: Vec::new(),
        }
    }

    /// Counts a whole response, right or not.
    pub fn response(&mut self, status: u16, target: Option<Target>, time_ns: u64) {
        self.times_us.saturating_record(time_ns / 1000);
        self.status[usize::from(status) % 1000] += 1;
        if let Some(known) = target.and_then(|target| self.targets.get_mut(usize::from(target))) {
            known.1 += 1;
        }
    }

    pub fn problem(&mut self, problem: Problem) {
        self.errors[problem as usize] += 1;
    }

    /// The number of the target of that name.
    pub fn target(&mut self, name: &[u8]) -> Target {
        let known = self.targets.iter().position(|target| target.0 == name);
        let position = known.unwrap_or_else(|| {
            if self.targets.len() < TARGETS_MAX {
                self.targets.push((name.to_vec(), 0));
            }
            self.targets.len() - 1
        });
        position as Target
    }

    pub fn responses(&self) -> u64 {
        self.times_us.len()
    }

    pub fn error_count(&self) -> u64 {
        self.errors.iter().sum()
    }

    /// Nothing was wrong.
    pub fn is_clean(&self) -> bool {
        self.error_count() == 0 && self.wrong_target == 0
    }

    pub fn add(&mut self, part: &Tally) {
        self.times_us.add(&part.times_us).expect("all histograms have the same bounds");
        self.requests += part.requests;
        self.in_time += part.in_time;
        self.unsent += part.unsent;
        self.bytes_in += part.bytes_in;
        self.bytes_out += part.bytes_out;
        self.echoed += part.echoed;
        self.reconnects += part.reconnects;
        self.handshakes += part.handshakes;
        self.resumed += part.resumed;
        self.unprocessed += part.unprocessed;
        self.wrong_target += part.wrong_target;
        self.moves += part.moves;
        self.slow.add(part.slow);
        self.hostile.begun += part.hostile.begun;
        self.hostile.answered += part.hostile.answered;
        self.hostile.ended += part.hostile.ended;
        part.codes.iter().for_each(|(name, n)| *self.codes.entry(name).or_default() += n);
        self.cpu_ns += part.cpu_ns;
        self.measured_ns = self.measured_ns.max(part.measured_ns);
        if self.first_refusal.is_none() {
            self.first_refusal.clone_from(&part.first_refusal);
        }
        self.errors.iter_mut().zip(part.errors).for_each(|(sum, count)| *sum += count);
        self.status.iter_mut().zip(&part.status).for_each(|(sum, count)| *sum += count);
        for (name, count) in &part.targets {
            let target = self.target(name);
            self.targets[usize::from(target)].1 += count;
        }
    }

    fn requests_per_second(&self) -> f64 {
        self.in_time as f64 / self.seconds().max(f64::MIN_POSITIVE)
    }

    fn seconds(&self) -> f64 {
        self.measured_ns as f64 / 1e9
    }

    fn cpu_us_per_request(&self) -> f64 {
        self.cpu_ns as f64 / 1e3 / self.in_time.max(1) as f64
    }

    /// The result as one JSON object.
    pub fn json(&self, sessions: usize) -> Value {
        let times = &self.times_us;
        let at = |quantile: f64| times.value_at_quantile(quantile);
        let mut histogram = Vec::new();
        // Writing into a Vec cannot fail, and the histogram is far below the largest that is allowed.
        let _ = V2Serializer::new().serialize(times, &mut histogram);
        let mut errors = Map::new();
        for (problem, name) in Problem::ALL {
            errors.insert(name.to_owned(), self.errors[problem as usize].into());
        }
        let counted = self.status.iter().enumerate().filter(|(_, count)| **count > 0);
        let status: Map<_, _> =
            counted.map(|(status, count)| (format!("{status:03}"), (*count).into())).collect();
        let name = |name: &[u8]| String::from_utf8_lossy(name).into_owned();
        let by_target: Map<_, _> =
            self.targets.iter().map(|target| (name(&target.0), target.1.into())).collect();
        json!({
            "requests": self.requests,
            "responses": self.responses(),
            "errors": errors,
            "wrong_target": self.wrong_target,
            "moves": self.moves,
            "sessions": sessions,
            "seconds": self.seconds(),
            "requests_per_second": self.requests_per_second(),
            "bytes_in": self.bytes_in,
            "bytes_out": self.bytes_out,
            "status": status,
            "latency_us": {
                "p50": at(0.5), "p90": at(0.9), "p99": at(0.99), "p999": at(0.999),
                "p9999": at(0.9999), "max": times.max(), "mean": times.mean(),
            },
            "histogram": STANDARD.encode(histogram),
            "by_target": by_target,
            "cpu_us_per_request": self.cpu_us_per_request(),
            "echoed": self.echoed,
            "unsent": self.unsent,
            "unprocessed": self.unprocessed,
            "reconnects": self.reconnects,
            "handshakes": { "full": self.handshakes, "resumed": self.resumed },
            "codes": self.codes,
            "slow": {
                "clients": self.slow.clients, "responses": self.slow.responses,
                "bytes": self.slow.bytes, "ended": self.slow.ended,
            },
            "hostile": {
                "begun": self.hostile.begun, "answered": self.hostile.answered,
                "ended": self.hostile.ended,
            },
        })
    }

    /// The result for people, several lines.
    pub fn text(&self) -> String {
        let at = |quantile: f64| self.times_us.value_at_quantile(quantile);
        let mut text = format!(
            "{} requests, {} responses in {:.2} s: {:.0} per second\n\
             time in µs: p50 {}, p90 {}, p99 {}, p99.9 {}, p99.99 {}, max {}\n\
             {} bytes in, {} bytes out; {:.2} µs of processor time of this tool for a response\n",
            self.requests,
            self.responses(),
            self.seconds(),
            self.requests_per_second(),
            at(0.5),
            at(0.9),
            at(0.99),
            at(0.999),
            at(0.9999),
            self.times_us.max(),
            self.bytes_in,
            self.bytes_out,
            self.cpu_us_per_request(),
        );
        for (problem, name) in Problem::ALL {
            let count = self.errors[problem as usize];
            if count > 0 {
                text += &format!("errors ({name}): {count}\n");
            }
        }
        for (name, count) in &self.codes {
            text += &format!("{name} as the reason of RST_STREAM or GOAWAY: {count}\n");
        }
        for (name, count) in [
            ("responses from the wrong target", self.wrong_target),
            ("moves", self.moves),
            ("arrivals never sent", self.unsent),
            ("requests that GOAWAY left undone, asked again", self.unprocessed),
            ("reconnects", self.reconnects),
            ("whole handshakes of TLS", self.handshakes),
            ("resumed sessions of TLS", self.resumed),
        ] {
            if count > 0 {
                text += &format!("{name}: {count}\n");
            }
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use hdrhistogram::serialization::Deserializer;

    use super::*;

    #[test]
    fn parts_add_up_and_any_problem_is_not_clean() {
        let mut all = Tally::new();
        for (name, other) in [("a", "b"), ("b", "a")] {
            let mut part = Tally::new();
            let (first, second) = (part.target(name.as_bytes()), part.target(other.as_bytes()));
            part.response(200, Some(first), 1_000_000);
            part.response(200, Some(first), 2_000_000);
            part.response(503, Some(second), 3_000_000);
            part.in_time = 3;
            part.measured_ns = 2_000_000_000;
            part.cpu_ns = 30_000;
            assert!(part.is_clean());
            part.problem(Problem::Status);
            assert!(!part.is_clean());
            all.add(&part);
        }
        let json = all.json(7);
        assert_eq!(json["by_target"], json!({"a": 3, "b": 3}));
        assert_eq!(json["status"], json!({"200": 4, "503": 2}));
        assert_eq!(json["errors"]["status"], 2);
        assert_eq!((json["responses"].as_u64(), json["sessions"].as_u64()), (Some(6), Some(7)));
        assert_eq!(json["requests_per_second"], 3.0);
        assert_eq!(json["cpu_us_per_request"], 10.0);
        let bytes = STANDARD.decode(json["histogram"].as_str().unwrap()).unwrap();
        let back: Histogram<u64> = Deserializer::new().deserialize(&mut &bytes[..]).unwrap();
        assert_eq!((back.len(), back.max()), (6, all.times_us.max()));
        let mut wrong = Tally::new();
        wrong.wrong_target = 1;
        assert!(!wrong.is_clean());
    }
}
