//! Scenarios: what is asked of the balancers, read from `loadtest/scenarios`.
//!
//! Owns: the form of these files. Never: how they are run, which is `drive`'s. Tested here with the files
//! that are shipped.

use std::fs;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::Failure;
use super::peers::Ability;
use super::render::{HOST, Upstream};
use crate::tls::certificates::Algorithm;
use crate::tls::speech::Version;

const SHIPPED: [(&str, &str); 27] = [
    ("small", include_str!("../../scenarios/small.toml")),
    ("half-load", include_str!("../../scenarios/half-load.toml")),
    ("close", include_str!("../../scenarios/close.toml")),
    ("download", include_str!("../../scenarios/download.toml")),
    ("upload", include_str!("../../scenarios/upload.toml")),
    ("chunked", include_str!("../../scenarios/chunked.toml")),
    ("sticky", include_str!("../../scenarios/sticky.toml")),
    ("targets", include_str!("../../scenarios/targets.toml")),
    ("rules", include_str!("../../scenarios/rules.toml")),
    ("slow-clients", include_str!("../../scenarios/slow-clients.toml")),
    ("idle", include_str!("../../scenarios/idle.toml")),
    ("reload", include_str!("../../scenarios/reload.toml")),
    ("target-death", include_str!("../../scenarios/target-death.toml")),
    ("tls-close", include_str!("../../scenarios/tls-close.toml")),
    ("tls-small", include_str!("../../scenarios/tls-small.toml")),
    ("tls-download", include_str!("../../scenarios/tls-download.toml")),
    ("tls-upload", include_str!("../../scenarios/tls-upload.toml")),
    ("tls-idle", include_str!("../../scenarios/tls-idle.toml")),
    ("tls-hostile", include_str!("../../scenarios/tls-hostile.toml")),
    ("tls-return", include_str!("../../scenarios/tls-return.toml")),
    ("h2-small", include_str!("../../scenarios/h2-small.toml")),
    ("h2-h2", include_str!("../../scenarios/h2-h2.toml")),
    ("grpc-unary", include_str!("../../scenarios/grpc-unary.toml")),
    ("h2-slow-stream", include_str!("../../scenarios/h2-slow-stream.toml")),
    ("h2-idle", include_str!("../../scenarios/h2-idle.toml")),
    ("h2-download", include_str!("../../scenarios/h2-download.toml")),
    ("h2-upload", include_str!("../../scenarios/h2-upload.toml")),
];

/// What happens besides requests.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// Nothing: requests, as fast as they are answered or at a rate.
    #[default]
    Load,
    /// Clients that stay without asking; memory is measured.
    Idle,
    /// The balancer's file is loaded again, twice a run.
    Reload,
    /// A target is killed and comes back.
    TargetDeath,
}

impl Kind {
    /// Whether users are moved to another target, because theirs goes away.
    pub fn is_moving(self) -> bool {
        matches!(self, Kind::Reload | Kind::TargetDeath)
    }
}

/// What processor time is divided by.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Unit {
    /// Microseconds per request.
    #[default]
    Request,
    /// Milliseconds per GiB that passed, both ways together.
    Gibibyte,
}

/// One scenario: what is the same for all its points.
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Scenario {
    /// Name on the command line and in results.
    pub name: String,
    /// A heading.
    pub title: String,
    /// What is done, in a sentence or two.
    pub about: String,
    /// What happens besides requests.
    #[serde(default)]
    pub kind: Kind,
    /// What processor time is divided by.
    #[serde(default)]
    pub unit: Unit,
    /// What a candidate must be able to, to take part.
    #[serde(default)]
    pub needs: Vec<Ability>,
    /// It is only run where it is named.
    #[serde(default)]
    pub by_name: bool,
    /// Most rounds, whatever the command line says.
    #[serde(default = "no_limit")]
    pub rounds_max: usize,
    /// What is run, one after the other.
    #[serde(rename = "point")]
    pub points: Vec<Point>,
}

/// One measurement of a scenario.
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Point {
    /// What tells it from the scenario's other points.
    pub label: String,
    /// Whether `--quick` has it.
    #[serde(default)]
    pub quick: bool,
    /// Connections of the generator.
    pub connections: usize,
    /// Path and query; with rules, below the path of the last.
    #[serde(default = "root")]
    pub path: String,
    /// Method.
    #[serde(default = "get")]
    pub method: String,
    /// Bytes of a request's content.
    #[serde(default)]
    pub body_size: u64,
    /// Content is sent in chunks.
    #[serde(default)]
    pub chunked: bool,
    /// A connection per request.
    #[serde(default)]
    pub close: bool,
    /// At half the rate that the slowest candidate reached at 64 connections.
    #[serde(default)]
    pub half_load: bool,
    /// Users, each with cookies of its own; 0: each connection is one.
    #[serde(default)]
    pub sessions: usize,
    /// How long it takes until everything is as it stays, beyond the usual time to warm up.
    #[serde(default)]
    pub settling_seconds: f64,
    /// Clients that are slow, besides.
    #[serde(default)]
    pub slow_clients: usize,
    /// What those ask for.
    #[serde(default = "root")]
    pub slow_path: String,
    /// Targets.
    #[serde(default = "two")]
    pub targets: usize,
    /// Rules by path.
    #[serde(default)]
    pub rules: usize,
    /// Whether balancers check their targets' health, once a second.
    #[serde(default)]
    pub health: bool,
    /// Clients speak TLS, and the balancer has a certificate with such a key; none: no TLS.
    #[serde(default)]
    pub tls: Option<Algorithm>,
    /// The version of TLS that clients speak.
    #[serde(default)]
    pub tls_version: Version,
    /// Sessions of TLS are resumed by their tickets.
    #[serde(default)]
    pub resume: bool,
    /// Clients besides, so many a second, that begin a handshake of TLS and never finish it.
    #[serde(default)]
    pub hostile_per_second: u32,
    /// Clients speak HTTP/2.
    #[serde(default)]
    pub http2: bool,
    /// Streams at a time on each connection.
    #[serde(default = "one")]
    pub streams: usize,
    /// Streams besides on each connection that take a window of what slow clients ask for, and no more.
    #[serde(default)]
    pub stalled_streams: usize,
    /// What balancers speak to targets. Where that is gRPC, so are requests.
    #[serde(default)]
    pub upstream: Upstream,
    /// Requests of the whole measurement, from the first on; 0: as many as are answered in its time.
    #[serde(default)]
    pub requests: u64,
    /// How long a client waits for anything.
    #[serde(default = "ten")]
    pub timeout_seconds: u32,
}

fn no_limit() -> usize {
    usize::MAX
}

fn two() -> usize {
    2
}

fn one() -> usize {
    1
}

fn ten() -> u32 {
    10
}

fn root() -> String {
    "/".to_owned()
}

fn get() -> String {
    "GET".to_owned()
}

impl Scenario {
    fn read(name: &str, text: &str) -> Result<Scenario, Failure> {
        let wrong = |error| Failure::Scenario { name: name.to_owned(), error };
        let scenario: Scenario = toml::from_str(text).map_err(|error| wrong(error.to_string()))?;
        for point in &scenario.points {
            let is_refusing = scenario.needs.contains(&Ability::Tls);
            let contradiction = point.contradiction(is_refusing);
            if let Some(what) = contradiction.or_else(|| point.contradiction_of_http2(&scenario)) {
                return Err(wrong(format!("{}: {what}", point.label)));
            }
            if point.sessions > 0 && point.sessions < point.connections * point.streams {
                return Err(wrong(format!(
                    "{}: {} sessions cannot keep {} connections going, since a user asks one thing at a time",
                    point.label, point.sessions, point.connections
                )));
            }
            if scenario.kind == Kind::Reload && point.targets < 2 {
                return Err(wrong(format!(
                    "{}: a reload takes a target away, and one has to stay",
                    point.label
                )));
            }
        }
        Ok(scenario)
    }
}

/// The scenarios that are asked for: names of shipped ones or paths of files; none named: all that are not for being
/// named only. With
/// `quick`, only the points that are quick, unless scenarios are named.
///
/// # Errors
/// When a name is unknown or a file is no scenario.
pub fn choose(names: &[String], quick: bool) -> Result<Vec<Scenario>, Failure> {
    let mut chosen = Vec::new();
    if names.is_empty() {
        for (name, text) in SHIPPED {
            chosen.push(Scenario::read(name, text)?);
        }
        chosen.retain(|scenario| !scenario.by_name);
    }
    for name in names {
        let shipped = SHIPPED.iter().find(|(shipped, _)| shipped == name);
        chosen.push(match shipped {
            Some((name, text)) => Scenario::read(name, text)?,
            None => Scenario::read(name, &read_file(name)?)?,
        });
    }
    if quick && names.is_empty() {
        for scenario in &mut chosen {
            scenario.points.retain(|point| point.quick);
        }
        chosen.retain(|scenario| !scenario.points.is_empty());
    }
    Ok(chosen)
}

fn read_file(name: &str) -> Result<String, Failure> {
    let known: Vec<&str> = SHIPPED.iter().map(|(name, _)| *name).collect();
    fs::read_to_string(Path::new(name)).map_err(|error| Failure::Scenario {
        name: name.to_owned(),
        error: format!("no file ({error}), and none of {}", known.join(", ")),
    })
}

impl Point {
    /// Path and query of the requests.
    pub fn request_target(&self) -> String {
        match self.rules {
            0 => self.path.clone(),
            last => format!("/section-{last}{}", self.path),
        }
    }

    /// What does not go together about TLS, if anything. `is_refusing` says that who has none takes no part.
    fn contradiction(&self, is_refusing: bool) -> Option<&'static str> {
        match self.tls {
            Some(_) if !is_refusing => Some("over TLS, the scenario needs = [\"tls\"]"),
            Some(_) if self.slow_clients > 0 => Some("slow clients speak no TLS"),
            None if self.hostile_per_second > 0 => Some("hostile clients speak TLS"),
            None if self.resume => Some("nothing to resume without tls"),
            None if self.tls_version != Version::default() => Some("a tls_version without tls"),
            _ if self.requests > 0 && self.half_load => Some("either requests or half_load"),
            _ => None,
        }
    }

    /// What does not go together about HTTP/2, if anything.
    fn contradiction_of_http2(&self, scenario: &Scenario) -> Option<&'static str> {
        let needs = |ability| scenario.needs.contains(&ability);
        let is_plain = scenario.kind == Kind::Load || scenario.kind == Kind::Idle;
        match self.upstream {
            Upstream::Http2 if !needs(Ability::Http2Targets) => {
                return Some("to targets of HTTP/2, the scenario needs = [\"http2-targets\"]");
            }
            Upstream::Grpc if !needs(Ability::Grpc) => {
                return Some("to targets of gRPC, the scenario needs = [\"grpc\"]");
            }
            Upstream::Grpc if !self.http2 => return Some("gRPC without http2"),
            _ => {}
        }
        match self.http2 {
            true if !needs(Ability::Http2) => Some("over HTTP/2, the scenario needs = [\"http2\"]"),
            true if self.close => Some("a connection for each request, over HTTP/2"),
            true if self.slow_clients > 0 => Some("slow clients speak no HTTP/2"),
            true if self.hostile_per_second > 0 => Some("hostile clients speak no HTTP/2"),
            true if !is_plain => Some("new users, who prove a reload, speak no HTTP/2"),
            false if self.streams != 1 || self.stalled_streams > 0 => Some("streams without http2"),
            _ => None,
        }
    }

    /// The request of somebody without cookies.
    pub fn request(&self) -> String {
        format!("GET {} HTTP/1.1\r\nHost: {HOST}\r\n\r\n", self.request_target())
    }

    /// What balancers and targets must be started with for it.
    pub fn setup(&self) -> Setup {
        Setup {
            targets: self.targets,
            rules: self.rules,
            health: self.health,
            tls: self.tls,
            http2: self.http2,
            upstream: self.upstream,
        }
    }
}

/// What balancers and targets are started with; points that agree share one start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Setup {
    /// Targets.
    pub targets: usize,
    /// Rules by path; 0: everything goes to the targets.
    pub rules: usize,
    /// Whether balancers check their targets.
    pub health: bool,
    /// What certificate they have, if they speak TLS.
    pub tls: Option<Algorithm>,
    /// Whether clients speak HTTP/2.
    pub http2: bool,
    /// What balancers speak to targets.
    pub upstream: Upstream,
}

impl Setup {
    /// What a candidate must be able to for it.
    pub fn needs(&self) -> Vec<Ability> {
        let upstream = match self.upstream {
            Upstream::Http1 => None,
            Upstream::Http2 => Some(Ability::Http2Targets),
            Upstream::Grpc => Some(Ability::Grpc),
        };
        let tls = self.tls.map(|_| Ability::Tls);
        let http2 = self.http2.then_some(Ability::Http2);
        [tls, http2, upstream].into_iter().flatten().collect()
    }

    /// What tells the configurations of some setups from those of others.
    pub fn name(&self) -> String {
        let tls = if self.tls.is_some() { "-tls" } else { "" };
        let version = if self.http2 { "-http2" } else { "" };
        let upstream = match self.upstream {
            Upstream::Http1 => "",
            Upstream::Http2 => "-to-http2",
            Upstream::Grpc => "-to-grpc",
        };
        format!("configurations{version}{tls}{upstream}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_shipped_file_is_a_scenario_of_its_name() {
        for (name, text) in SHIPPED {
            let scenario = Scenario::read(name, text).unwrap();
            assert_eq!(scenario.name, name);
            assert!(!scenario.points.is_empty(), "{name}");
            let mut labels: Vec<_> = scenario.points.iter().map(|point| &point.label).collect();
            labels.dedup();
            assert_eq!(labels.len(), scenario.points.len(), "{name}: labels");
        }
    }

    #[test]
    fn every_file_in_the_folder_is_shipped() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("scenarios");
        assert_eq!(fs::read_dir(folder).unwrap().count(), SHIPPED.len());
    }

    #[test]
    fn quick_is_a_part_of_all() {
        let all: usize = choose(&[], false).unwrap().iter().map(|one| one.points.len()).sum();
        let quick: usize = choose(&[], true).unwrap().iter().map(|one| one.points.len()).sum();
        assert!(quick > 0 && quick < all);
    }

    #[test]
    fn an_unknown_name_is_answered_with_the_known_ones() {
        let error = choose(&["smal".to_owned()], false).unwrap_err().to_string();
        assert!(error.contains("smal") && error.contains("half-load"), "{error}");
    }

    #[test]
    fn an_unknown_key_is_refused() {
        let text = "name='x'\ntitle='x'\nabout='x'\n[[point]]\nlabel='x'\nconnections=1\npaht='/'";
        assert!(Scenario::read("x", text).unwrap_err().to_string().contains("paht"));
    }

    #[test]
    fn fewer_users_than_connections_are_refused() {
        let text = |sessions: usize| {
            format!(
                "name='x'\ntitle='x'\nabout='x'\n[[point]]\nlabel='p'\nconnections=8\nsessions={sessions}"
            )
        };
        assert!(Scenario::read("x", &text(8)).is_ok() && Scenario::read("x", &text(0)).is_ok());
        let error = Scenario::read("x", &text(7)).unwrap_err().to_string();
        assert!(error.contains("7 sessions"), "{error}");
    }

    #[test]
    fn what_contradicts_tls_is_refused() {
        let read = |scenario: &str, point: &str| {
            let text = format!(
                "name='x'\ntitle='x'\nabout='x'\n{scenario}\n[[point]]\nlabel='p'\nconnections=8\n{point}"
            );
            Scenario::read("x", &text).map_err(|error| error.to_string())
        };
        let read_over_tls = |point: &str| read("needs=['tls']", point);
        assert!(read_over_tls("tls='rsa'\ntls_version='1.2'\nresume=true\nclose=true").is_ok());
        for (found, expected) in [
            (read("", "tls='rsa'"), "needs = [\"tls\"]"),
            (read_over_tls("tls='rsa'\nslow_clients=1"), "slow clients"),
            (read_over_tls("resume=true"), "nothing to resume"),
            (read_over_tls("hostile_per_second=1"), "hostile clients speak TLS"),
            (read("", "requests=1\nhalf_load=true"), "either requests or half_load"),
            (read_over_tls("tls_version='1.2'"), "without tls"),
            (read_over_tls("tls='dsa'"), "dsa"),
        ] {
            let error = found.unwrap_err();
            assert!(error.contains(expected), "{expected}: {error}");
        }
    }

    #[test]
    fn what_contradicts_http_2_is_refused() {
        let read = |needs: &str, point: &str| {
            let text = format!(
                "name='x'\ntitle='x'\nabout='x'\nneeds=[{needs}]\n[[point]]\nlabel='p'\nconnections=8\n{point}"
            );
            Scenario::read("x", &text).map_err(|error| error.to_string())
        };
        let both = "'http2','http2-targets'";
        assert!(read(both, "http2=true\nstreams=32\nupstream='http2'").is_ok());
        for (found, expected) in [
            (read("", "http2=true"), "needs = [\"http2\"]"),
            (read("'http2'", "http2=true\nupstream='http2'"), "needs = [\"http2-targets\"]"),
            (read("'http2'", "http2=true\nupstream='grpc'"), "needs = [\"grpc\"]"),
            (read("'grpc'", "upstream='grpc'"), "without http2"),
            (read("", "streams=2"), "streams without http2"),
            (read("'http2'", "http2=true\nclose=true"), "a connection for each"),
            (read("'http2'", "http2=true\nslow_clients=1"), "slow clients"),
            (read("'http2'", "http2=true\nstreams=2\nsessions=15"), "15 sessions"),
        ] {
            let error = found.unwrap_err();
            assert!(error.contains(expected), "{expected}: {error}");
        }
    }

    #[test]
    fn a_reload_without_a_target_to_take_away_is_refused() {
        let text = |targets: usize| {
            format!(
                "name='x'\ntitle='x'\nabout='x'\nkind='reload'\n[[point]]\nlabel='p'\nconnections=8\ntargets={targets}"
            )
        };
        assert!(Scenario::read("x", &text(2)).is_ok());
        let error = Scenario::read("x", &text(1)).unwrap_err().to_string();
        assert!(error.contains("one has to stay"), "{error}");
    }

    #[test]
    fn requests_go_to_the_last_rule() {
        let mut point = choose(&["small".to_owned()], false).unwrap().remove(0).points.remove(0);
        assert_eq!(point.request_target(), "/");
        point.rules = 7;
        assert_eq!(point.request_target(), "/section-7/");
    }
}
