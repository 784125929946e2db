//! Runs `loadtest load` and reads what it found, while the processor time of what it loads is measured.
//!
//! Owns: the generator's command line and the form of its answer. Never: load of its own. Tested here
//! with a made-up generator.

use std::collections::BTreeMap;
use std::io::Read as _;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use super::Failure;
use super::meter::Meter;
use super::process::{Process, Start, poll_until};
use super::render::{HOST, Upstream};
use super::scenario::Point;
use crate::tls::speech::Version;

/// How long it may take at most where it counts requests.
const REQUESTS_PATIENCE: Duration = Duration::from_secs(180);

/// How much longer than asked a generator may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// Where sessions are to be resumed, one whole handshake for so many of these at most.
const WHOLE_IN_RESUMED: u64 = 50;

/// The part of the hostile clients that must have come.
const HOSTILE_SHARE_MIN: f64 = 0.9;

/// What is to be sent, where, and for how long.
#[derive(Debug, Clone)]
pub struct Load<'a> {
    /// The load tool.
    pub tool: &'a Path,
    /// Where the balancer listens.
    pub address: SocketAddr,
    /// What is sent.
    pub point: &'a Point,
    /// How long is measured.
    pub seconds: f64,
    /// How long before, so that everything is connected and warm.
    pub warmup_seconds: f64,
    /// Requests per second; as many as are answered when absent.
    pub rate: Option<f64>,
    /// Whether users may be moved to another target, because theirs goes away.
    pub moving: bool,
    /// Where the generator runs.
    pub cores: &'a [usize],
    /// Where what it prints goes.
    pub directory: PathBuf,
    /// What the balancer presents, when TLS is spoken.
    pub certificate: Option<&'a Path>,
}

/// What the generator found, as `loadtest load --json` says it.
#[derive(Debug, Clone, Default, PartialEq, Deserialize, Serialize)]
#[serde(default)]
pub struct Found {
    /// Requests sent.
    pub requests: u64,
    /// Responses that came whole.
    pub responses: u64,
    /// What went wrong, by kind.
    pub errors: BTreeMap<String, u64>,
    /// Responses to a session from a target that is not its own.
    pub wrong_target: u64,
    /// Sessions that were moved, where that is allowed.
    pub moves: u64,
    /// How long was measured.
    pub seconds: f64,
    /// Responses by second.
    pub requests_per_second: f64,
    /// Bytes received.
    pub bytes_in: u64,
    /// Bytes sent.
    pub bytes_out: u64,
    /// Responses by status.
    pub status: BTreeMap<String, u64>,
    /// Latencies in microseconds, by percentile.
    pub latency_us: Latency,
    /// All latencies: an HDR histogram, V2, in base64.
    #[serde(skip_serializing)]
    pub histogram: String,
    /// Responses by target.
    pub by_target: BTreeMap<String, u64>,
    /// What the generator itself used, per request.
    pub cpu_us_per_request: f64,
    /// Responses that echoed their request's id.
    pub echoed: u64,
    /// Arrivals of an open loop that were due and never sent.
    pub unsent: u64,
    /// Connections that were opened again.
    pub reconnects: u64,
    /// Handshakes of TLS.
    pub handshakes: Handshakes,
    /// What slow clients saw.
    pub slow: Slow,
    /// What hostile clients saw.
    pub hostile: Hostile,
}

/// What hostile clients saw.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default)]
pub struct Hostile {
    /// Handshakes that they began.
    pub begun: u64,
    /// How often they were answered.
    pub answered: u64,
    /// Connections that the other side ended, or that could not be had.
    pub ended: u64,
}

/// Handshakes of TLS in the measured time.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default)]
pub struct Handshakes {
    /// Whole ones.
    pub full: u64,
    /// Sessions that were resumed.
    pub resumed: u64,
}

/// What slow clients saw.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default)]
pub struct Slow {
    /// How many there were.
    pub clients: u64,
    /// Bytes that they took.
    pub bytes: u64,
    /// Connections that the other side ended, or that could not be had.
    pub ended: u64,
}

/// Latencies in microseconds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Deserialize, Serialize)]
#[serde(default)]
pub struct Latency {
    /// Half are faster.
    pub p50: f64,
    /// 90 of 100 are faster.
    pub p90: f64,
    /// 99 of 100 are faster.
    pub p99: f64,
    /// 999 of 1000 are faster.
    pub p999: f64,
    /// 9999 of 10000 are faster.
    pub p9999: f64,
    /// The slowest.
    pub max: f64,
    /// The mean.
    pub mean: f64,
}

impl Found {
    /// Everything that went wrong, added up.
    pub fn failed(&self) -> u64 {
        self.errors.values().sum()
    }

    /// Why a run in which sessions are to be resumed does not count, if too few were.
    pub fn unresumed(&self) -> Option<String> {
        let Handshakes { full, resumed } = self.handshakes;
        let is_little = full * WHOLE_IN_RESUMED <= resumed;
        (!is_little).then(|| format!("{full} of {} handshakes resumed nothing", full + resumed))
    }

    /// Why a run beside so many hostile clients a second does not count, if they were far fewer.
    pub fn too_peaceful(&self, per_second: u32) -> Option<String> {
        let wanted = f64::from(per_second) * self.seconds;
        let is_short = (self.hostile.begun as f64) < wanted * HOSTILE_SHARE_MIN;
        is_short.then(|| format!("{} hostile clients came, not {wanted:.0}", self.hostile.begun))
    }

    /// Why the run does not count, if it does not. With `may_move`, because their target goes away, a response from
    /// another target is none.
    pub fn fault(&self, may_move: bool) -> Option<String> {
        let mut faults: Vec<String> = self
            .errors
            .iter()
            .filter(|(_, count)| **count > 0)
            .map(|(kind, count)| format!("{count} {kind}"))
            .collect();
        if self.wrong_target > 0 && !may_move {
            faults.push(format!("{} from the wrong target", self.wrong_target));
        }
        if self.responses == 0 {
            faults.push("no response".to_owned());
        } else if self.requests_per_second <= 0.0 {
            faults.push("no response in the measured time".to_owned());
        }
        // Where an error says why an echo is missing, it has been said.
        let errors = |kind: &str| self.errors.get(kind).copied().unwrap_or(0);
        let explained = errors("status") + errors("length") + errors("echo");
        let silent = self.responses.saturating_sub(self.echoed).saturating_sub(explained);
        if silent > 0 {
            faults.push(format!("{silent} without the echo of their request"));
        }
        if self.slow.ended > 0 {
            faults.push(format!("{} slow clients sent away", self.slow.ended));
        }
        if self.slow.clients > 0 && self.slow.bytes == 0 {
            faults.push("nothing for slow clients".to_owned());
        }
        (!faults.is_empty()).then(|| faults.join(", "))
    }
}

/// What the generator found and what the balancer used meanwhile.
#[derive(Debug, Clone, PartialEq)]
pub struct Measured {
    /// What the generator found.
    pub found: Found,
    /// Processor seconds of the balancer, per second.
    pub processors: f64,
}

impl Load<'_> {
    /// The arguments for the load tool.
    pub fn arguments(&self) -> Vec<String> {
        let point = self.point;
        let cores: Vec<String> = self.cores.iter().map(ToString::to_string).collect();
        let mut arguments = vec!["load".to_owned(), "--json".to_owned(), "--check".to_owned()];
        let mut option = |name: &str, value: String| arguments.extend([format!("--{name}"), value]);
        option("address", self.address.to_string());
        option("connections", point.connections.to_string());
        option("timeout", format!("{}s", point.timeout_seconds));
        match point.requests {
            0 => option("duration", format!("{}ms", milliseconds(self.seconds))),
            requests => option("requests", requests.to_string()),
        }
        option("warmup", format!("{}ms", self.warmup().as_millis()));
        option("threads", self.cores.len().min(point.connections).to_string());
        option("core", cores.join(","));
        option("host", HOST.to_owned());
        option("path", point.request_target());
        if point.upstream != Upstream::Grpc {
            option("method", point.method.clone());
        }
        if let Some(rate) = self.rate {
            option("rate", format!("{rate:.0}"));
        }
        if point.body_size > 0 {
            option("body-size", point.body_size.to_string());
        }
        if point.slow_clients > 0 {
            option("slow-clients", point.slow_clients.to_string());
            option("slow-path", point.slow_path.clone());
        }
        if let Some(certificate) = self.certificate {
            option("tls", certificate.display().to_string());
            let version = if point.tls_version == Version::V1_2 { "1.2" } else { "1.3" };
            option("tls-version", version.to_owned());
        }
        if point.http2 {
            option("streams", point.streams.to_string());
        }
        if point.stalled_streams > 0 {
            option("stalled-streams", point.stalled_streams.to_string());
            option("slow-path", point.slow_path.clone());
        }
        if point.hostile_per_second > 0 {
            option("hostile", point.hostile_per_second.to_string());
        }
        if point.sessions > 0 {
            option("cookie-jar", "per-session".to_owned());
            option("sessions", point.sessions.to_string());
        } else if !point.close {
            option("cookie-jar", "per-connection".to_owned());
        }
        let moving = self.moving && !point.close;
        for (wanted, name) in [
            (point.chunked, "--chunked"),
            (point.close, "--close"),
            (moving, "--allow-moves"),
            (point.resume, "--tls-resume"),
            (point.http2, "--http2"),
            (point.upstream == Upstream::Grpc, "--grpc"),
        ] {
            if wanted {
                arguments.push(name.to_owned());
            }
        }
        arguments
    }

    /// How long before measuring. The very first request of a certain number is measured.
    fn warmup(&self) -> Duration {
        match self.point.requests {
            0 => Duration::from_secs_f64(self.warmup_seconds),
            _ => Duration::ZERO,
        }
    }

    /// Runs the generator; `meanwhile` is called with the time since measuring began, again and again.
    ///
    /// # Errors
    /// When the generator cannot be run, takes much too long, or says nothing that can be read.
    pub fn run(
        &self,
        measured: &[u32],
        mut meanwhile: impl FnMut(Duration) -> Result<(), Failure>,
    ) -> Result<Measured, Failure> {
        let start = Start {
            name: "load".to_owned(),
            program: self.tool.to_path_buf(),
            arguments: self.arguments(),
            environment: Vec::new(),
            cores: self.cores.to_vec(),
            directory: self.directory.clone(),
        };
        let mut process = Process::start(&start, true)?;
        let mut output =
            process.output().ok_or_else(|| Failure::Generator("no output".to_owned()))?;
        let said = thread::spawn(move || {
            let mut text = String::new();
            output.read_to_string(&mut text).map(|_| text)
        });
        poll_until(self.warmup(), || said.is_finished());
        let meter = Meter::start(measured);
        let began = Instant::now();
        let length = match self.point.requests {
            0 => Duration::from_secs_f64(self.seconds),
            _ => REQUESTS_PATIENCE,
        };
        let mut outcome = Ok(());
        poll_until(length, || {
            outcome = meanwhile(began.elapsed());
            outcome.is_err() || said.is_finished()
        });
        let processors = meter.stop() as f64 / 1e9 / began.elapsed().as_secs_f64();
        outcome?;
        if !poll_until(PATIENCE, || said.is_finished()) {
            process.kill();
            return Err(Failure::Generator(format!("it did not end {PATIENCE:?} after its time")));
        }
        let text = said
            .join()
            .ok()
            .and_then(Result::ok)
            .ok_or_else(|| Failure::Generator("its output cannot be read".to_owned()))?;
        let found = read(&text)
            .map_err(|error| Failure::Generator(format!("{error}\n{}", process.last_words())))?;
        Ok(Measured { found, processors })
    }
}

fn milliseconds(seconds: f64) -> u128 {
    Duration::from_secs_f64(seconds).as_millis()
}

/// Reads the one object: the last line that is one.
fn read(text: &str) -> Result<Found, String> {
    let line = text.lines().rev().find(|line| line.starts_with('{'));
    serde_json::from_str(line.unwrap_or(text))
        .map_err(|error| format!("its answer is not understood: {error}"))
}

#[cfg(test)]
mod tests {
    use super::super::scenario::choose;
    use super::*;

    const ANSWER: &str = r#"{"requests":10,"responses":9,"errors":{"connect":0,"closed":1},"wrong_target":0,
        "moves":0,"sessions":0,"seconds":1.5,"requests_per_second":6.0,"bytes_in":1,"bytes_out":2,"status":{"200":9},
        "latency_us":{"p50":1,"p90":2,"p99":3,"p999":4,"p9999":5,"max":6,"mean":1.5},"histogram":"","by_target":{"a":9},
        "cpu_us_per_request":0.5,"echoed":9,"unsent":3,"reconnects":0,"slow":{"clients":2,"responses":0,"bytes":7,
        "ended":0}}"#;

    fn point(scenario: &str) -> Point {
        choose(&[scenario.to_owned()], false).unwrap().remove(0).points.remove(0)
    }

    fn load<'a>(tool: &'a Path, point: &'a Point, rate: Option<f64>) -> Load<'a> {
        Load {
            tool,
            address: "127.0.0.1:8080".parse().unwrap(),
            point,
            seconds: 0.05,
            warmup_seconds: 0.01,
            rate,
            moving: false,
            cores: &[0],
            directory: std::env::temp_dir(),
            certificate: None,
        }
    }

    #[test]
    fn an_answer_is_read_and_its_errors_are_a_fault() {
        let found = read(&ANSWER.replace('\n', " ")).unwrap();
        assert_eq!((found.failed(), found.fault(false)), (1, Some("1 closed".to_owned())));
        assert_eq!(found.latency_us.p999, 4.0);
        assert_eq!((found.unsent, found.slow.bytes), (3, 7));
        assert_eq!(good().fault(false), None);
        let strayed = Found { wrong_target: 2, ..good() };
        assert_eq!(strayed.fault(true), None);
        assert_eq!(strayed.fault(false).unwrap(), "2 from the wrong target");
    }

    /// A run with nothing wrong in it.
    fn good() -> Found {
        Found { responses: 5, echoed: 5, requests_per_second: 5.0, ..Found::default() }
    }

    #[test]
    fn a_run_that_measured_nothing_does_not_count() {
        let fault = |found: Found| found.fault(false).unwrap_or_default();
        assert_eq!(fault(Found { responses: 0, echoed: 0, ..good() }), "no response");
        // All of them came when the time was over.
        let late = Found { requests_per_second: 0.0, ..good() };
        assert_eq!(fault(late), "no response in the measured time");
    }

    #[test]
    fn every_response_must_echo_its_request_unless_an_error_says_why() {
        let silent = Found { echoed: 3, ..good() };
        assert_eq!(silent.fault(false).unwrap(), "2 without the echo of their request");
        let refused = Found { errors: [("status".to_owned(), 2)].into(), ..silent };
        assert_eq!(refused.fault(false).unwrap(), "2 status");
    }

    #[test]
    fn sessions_that_are_to_be_resumed_must_be() {
        let found = |full, resumed| Found { handshakes: Handshakes { full, resumed }, ..good() };
        assert_eq!(found(2, 100).unresumed(), None);
        let said = found(30, 70).unresumed().unwrap();
        assert_eq!(said, "30 of 100 handshakes resumed nothing");
    }

    #[test]
    fn hostile_clients_must_have_come() {
        let hostile = Hostile { begun: 1900, ..Hostile::default() };
        let found = Found { seconds: 2.0, hostile, ..good() };
        assert_eq!(found.too_peaceful(1000), None);
        let said = found.too_peaceful(2000).unwrap();
        assert_eq!(said, "1900 hostile clients came, not 4000");
    }

    #[test]
    fn a_certain_number_of_requests_has_no_time_and_is_not_warmed_up() {
        let mut point = point("close");
        (point.requests, point.timeout_seconds, point.hostile_per_second) = (7, 60, 9);
        let arguments = load(Path::new("tool"), &point, None).arguments().join(" ");
        for part in ["--timeout 60s --requests 7 --warmup 0ms", "--hostile 9"] {
            assert!(arguments.contains(part), "{part}: {arguments}");
        }
        assert!(!arguments.contains("--duration"), "{arguments}");
    }

    #[test]
    fn slow_clients_must_be_served_too() {
        let slow = |bytes, ended| Found { slow: Slow { clients: 9, bytes, ended }, ..good() };
        assert_eq!(slow(1, 0).fault(false), None);
        assert_eq!(slow(1, 4).fault(false).unwrap(), "4 slow clients sent away");
        assert_eq!(slow(0, 0).fault(false).unwrap(), "nothing for slow clients");
    }

    #[test]
    fn a_point_becomes_arguments() {
        let tool = Path::new("tool");
        let chunked = load(tool, &point("chunked"), Some(1000.4)).arguments().join(" ");
        for part in
            ["--chunked", "--method POST", "--body-size 65536", "--rate 1000", "per-connection"]
        {
            assert!(chunked.contains(part), "{part}: {chunked}");
        }
        let sticky = load(tool, &point("sticky"), None).arguments().join(" ");
        assert!(sticky.contains("--cookie-jar per-session --sessions 10000"), "{sticky}");
        let resumed = choose(&["tls-close".to_owned()], false).unwrap().remove(0).points;
        let resumed = resumed.into_iter().find(|point| point.resume).unwrap();
        let load_of = load(tool, &resumed, None);
        let resumed = Load { certificate: Some(Path::new("/c.pem")), ..load_of };
        let resumed = resumed.arguments().join(" ");
        for part in ["--tls /c.pem --tls-version 1.3", "--tls-resume", "--close"] {
            assert!(resumed.contains(part), "{part}: {resumed}");
        }
        let streams = load(tool, &point("h2-slow-stream"), None).arguments().join(" ");
        assert!(streams.contains("--streams 31") && streams.contains("--http2"), "{streams}");
        let grpc = load(tool, &point("grpc-unary"), None).arguments().join(" ");
        assert!(grpc.contains("--grpc") && !grpc.contains("--method"), "{grpc}");
        let close = load(tool, &point("close"), None).arguments().join(" ");
        assert!(close.contains("--close") && !close.contains("cookie-jar"), "{close}");
    }

    #[test]
    fn a_generator_that_says_nothing_is_a_failure_and_names_no_figure() {
        let point = point("small");
        let error = load(Path::new("/bin/true"), &point, None).run(&[], |_| Ok(())).unwrap_err();
        assert!(error.to_string().contains("not understood"), "{error}");
    }
}
