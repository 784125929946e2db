//! `loadtest compare`: limpet and every peer that is on this machine, side by side.
//!
//! Owns: the options, and the order of things. Never: a figure of a run with errors, or one that was not
//! measured in the same run as those it stands beside. Tested by its parts and by `tests/compare.rs`.
//!
//! ```text
//!   scenario ─▶ drive ─▶ stage (targets, balancers: render, process) ─▶ generator ─▶ meter
//!                 │                                                                   │
//!                 └──────▶ results (statistics) ─▶ table, report, plots ◀─────────────┘
//! ```

pub mod client;
pub mod cores;
mod drive;
pub mod ending;
mod generator;
mod idle;
mod machine;
pub mod meter;
pub mod peers;
mod plan;
mod plots;
pub mod process;
mod proof;
pub mod render;
mod report;
mod results;
pub mod scenario;
pub mod stage;
mod statistics;
mod table;
pub mod talk;
mod versus;

use std::collections::{BTreeMap, BTreeSet};
use std::env;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

use self::cores::Cores;
use self::drive::Drive;
use self::peers::{FLOOR, LIMPET, PEERS, Peer};
use self::plan::Plan;
use self::scenario::Scenario;
use self::stage::{Candidate, Rig};
use crate::tls::certificates::{self, Algorithm, Certificate};

/// What can go wrong with the harness itself. What goes wrong with a candidate is a result.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// The cores do not suffice, or cannot be pinned to.
    #[error("no fair split of the cores: {0}")]
    Cores(String),
    /// A program could not be started.
    #[error("{name} cannot be started ({}): {error}", program.display())]
    Start {
        /// What it is.
        name: String,
        /// Its file.
        program: PathBuf,
        /// The system's reason.
        error: io::Error,
    },
    /// A program gave no good answer in time.
    #[error("{name} is not ready: {said}")]
    NotReady {
        /// What it is.
        name: String,
        /// What it said last.
        said: String,
    },
    /// A signal could not be sent.
    #[error("{name} cannot be signalled: {error}")]
    Signal {
        /// Whom to.
        name: String,
        /// The system's reason.
        error: io::Error,
    },
    /// A configuration could not be loaded again.
    #[error("{name} does not load its configuration again: {said}")]
    Reload {
        /// Whose.
        name: &'static str,
        /// What its command said.
        said: String,
    },
    /// A template is wrong.
    #[error("the template {name} is wrong: {error}")]
    Template {
        /// Its file.
        name: String,
        /// Why.
        error: String,
    },
    /// A scenario is wrong or unknown.
    #[error("scenario {name}: {error}")]
    Scenario {
        /// Its name.
        name: String,
        /// Why.
        error: String,
    },
    /// A file could not be read or written.
    #[error("{}: {error}", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// The system's reason.
        error: io::Error,
    },
    /// The generator failed.
    #[error("the load generator: {0}")]
    Generator(String),
    /// The options do not go together.
    #[error("{0}")]
    Options(String),
    /// A plot could not be drawn.
    #[error("the plot {name} cannot be drawn: {error}")]
    Plot {
        /// Its name.
        name: String,
        /// Why.
        error: String,
    },
}

/// Options of `loadtest compare`.
#[derive(Debug, Clone, clap::Args)]
pub struct Options {
    /// Peers to compare with, by name; all that are on this machine when absent
    #[arg(long, value_delimiter = ',', value_name = "NAME,…")]
    peers: Option<Vec<String>>,
    /// Scenarios to run, by name or as files; when absent, all but those that are run only where they
    /// are named: tls-idle, tls-hostile, tls-return, and what begins with h2 or grpc
    #[arg(long, value_delimiter = ',', value_name = "NAME,…")]
    scenario: Vec<String>,
    /// The essential points only, in two minutes
    #[arg(long)]
    quick: bool,
    /// How often everything is measured, in turns [default: 3; quick 2; with --self 8]
    #[arg(long, value_parser = clap::value_parser!(u64).range(1..=1000))]
    rounds: Option<u64>,
    /// How long each measurement takes [default: what the time allows, 5 at most]
    #[arg(long, value_name = "SECONDS", value_parser = seconds)]
    seconds: Option<f64>,
    /// Where the report goes
    #[arg(long, value_name = "DIR", default_value = "target/compare")]
    out: PathBuf,
    /// Two limpet binaries, compared with each other instead of with peers
    #[arg(long = "self", num_args = 2, value_names = ["A", "B"], conflicts_with_all = ["peers", "limpet"])]
    versus: Option<Vec<PathBuf>>,
    /// The limpet to compare [default: the one of this working tree, built if need be]
    #[arg(long, value_name = "FILE")]
    limpet: Option<PathBuf>,
    /// Cores for the balancer alone, and its workers
    #[arg(long, value_name = "N", default_value_t = 1)]
    balancer_cores: usize,
    /// Another build of this tool that loads and answers, to judge the tool itself
    #[arg(long, value_name = "FILE", hide = true)]
    tool: Option<PathBuf>,
}

fn seconds(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(seconds) if (0.2..=600.0).contains(&seconds) => Ok(seconds),
        _ => Err("a number of seconds from 0.2 to 600".to_owned()),
    }
}

/// Compares, and writes the report; `false` when a measurement of limpet itself was invalid.
///
/// # Errors
/// When nothing can be compared here: too few cores, no limpet, a wrong option or file.
pub fn run(options: &Options) -> Result<bool, Failure> {
    ending::watch()?;
    let cores = Cores::split(options.balancer_cores)?;
    process::stay_on(&cores.generator)?;
    let descriptors = machine::raise_descriptors();
    let scenarios = scenario::choose(&options.scenario, options.quick || options.versus.is_some())?;
    let tool = tool(options)?;
    let (candidates, absent) = match &options.versus {
        Some(pair) => (versus::candidates(pair)?, Vec::new()),
        None => candidates(options, &tool)?,
    };
    for name in &absent {
        println!("absent: {name} is not on this machine");
    }
    let folder = ending::Folder::new("certificates")?;
    let certificates = certificates(&scenarios, folder.path())?;
    let plan = Plan::new(options, scenarios, candidates.len())?;
    println!("{}", plan.announcement(&candidates));
    let facts = machine::facts(&cores);
    let rig = Rig { cores, tool, descriptors, certificates };
    let drive = Drive::new(&plan, &candidates, &rig, &options.out)?;
    let results = drive.run(facts, absent)?;
    report::write(&results, &options.out)?;
    if options.versus.is_some() {
        println!("{}", versus::verdicts(&results));
    }
    println!("written: {}", options.out.join("RESULTS.md").display());
    let reference =
        |cell: Option<&results::Cell>| cell.is_none_or(|cell| cell.summary.invalid_count == 0);
    let mut points = results.scenarios.iter().flat_map(|scenario| &scenario.points);
    Ok(points.all(|point| reference(point.cells.first())))
}

/// A certificate of each algorithm that a scenario asks for.
fn certificates(
    scenarios: &[Scenario],
    directory: &Path,
) -> Result<BTreeMap<Algorithm, Certificate>, Failure> {
    let points = scenarios.iter().flat_map(|scenario| &scenario.points);
    let algorithms: BTreeSet<Algorithm> = points.filter_map(|point| point.tls).collect();
    let failed = |error| Failure::File { path: directory.to_path_buf(), error };
    let make = |algorithm| {
        let made = certificates::make(algorithm, render::HOST, directory).map_err(failed)?;
        Ok((algorithm, made))
    };
    algorithms.into_iter().map(make).collect()
}

fn tool(options: &Options) -> Result<PathBuf, Failure> {
    match &options.tool {
        Some(tool) => Ok(tool.clone()),
        None => own_program(),
    }
}

/// This program's own file: it generates the load and answers it.
///
/// # Errors
/// When the system does not say.
pub fn own_program() -> Result<PathBuf, Failure> {
    env::current_exe()
        .map_err(|error| Failure::File { path: PathBuf::from("/proc/self/exe"), error })
}

/// limpet first, who is the reference; then peers; the floor last. And the names of the absent.
fn candidates(options: &Options, tool: &Path) -> Result<(Vec<Candidate>, Vec<String>), Failure> {
    let mut found = vec![candidate(&LIMPET, find_limpet(options.limpet.as_deref())?)];
    let mut absent = Vec::new();
    for peer in wanted(options.peers.as_deref())? {
        match peer.find() {
            Some(program) => found.push(candidate(&peer, program)),
            None => absent.push(peer.name.to_owned()),
        }
    }
    found.push(candidate(&FLOOR, tool.to_path_buf()));
    Ok((found, absent))
}

fn wanted(names: Option<&[String]>) -> Result<Vec<Peer>, Failure> {
    let Some(names) = names else { return Ok(PEERS.to_vec()) };
    let known: Vec<&str> = PEERS.iter().map(|peer| peer.name).collect();
    names
        .iter()
        .filter(|name| !["none", "floor", "limpet", ""].contains(&name.as_str()))
        .map(|name| {
            let peer = PEERS.iter().find(|peer| peer.name == name);
            peer.copied().ok_or_else(|| {
                Failure::Options(format!(
                    "no peer is called {name}; there are {}",
                    known.join(", ")
                ))
            })
        })
        .collect()
}

fn candidate(peer: &Peer, program: PathBuf) -> Candidate {
    Candidate { name: peer.name.to_owned(), peer: *peer, version: peer.version(&program), program }
}

/// The limpet that was named, or the working tree's, which cargo builds where `cargo run` runs this.
///
/// # Errors
/// When there is none.
pub fn find_limpet(named: Option<&Path>) -> Result<PathBuf, Failure> {
    if let Some(path) = named {
        let path = path.to_path_buf();
        return path.canonicalize().map_err(|error| Failure::File { path, error });
    }
    if env::var_os("LIMPET_PEER_LIMPET").is_none()
        && let Some(cargo) = env::var_os("CARGO")
    {
        println!("building limpet, if it is not up to date …");
        // Names cost no time, and instructions are counted by them.
        let status = Command::new(cargo)
            .env("CARGO_PROFILE_DIST_STRIP", "none")
            .args([
                "build",
                "--profile",
                "dist",
                "--quiet",
                "--package",
                "limpet",
                "--bin",
                "limpet",
            ])
            .status();
        if !status.is_ok_and(|status| status.success()) {
            return Err(Failure::Options("limpet could not be built; see above".to_owned()));
        }
    }
    LIMPET
        .find()
        .filter(|_| env::var_os("LIMPET_PEER_LIMPET").is_some())
        .or_else(|| env::current_exe().ok().and_then(|own| built_beside(&own)))
        .or_else(|| LIMPET.find())
        .ok_or_else(|| {
            Failure::Options(
                "there is no limpet beside this program; name one with --limpet".to_owned(),
            )
        })
}

/// The limpet that is measured, of profile `dist`, in the target folder of that program; else the one beside it.
fn built_beside(program: &Path) -> Option<PathBuf> {
    let folder = program.parent()?;
    let built = [folder.with_file_name("dist").join("limpet"), folder.join("limpet")];
    built.into_iter().find(|path| path.is_file())
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn the_build_for_measurements_is_preferred_to_the_quick_one() {
        let target = tempfile::tempdir().unwrap();
        let program = target.path().join("release/loadtest");
        let [quick, measured] =
            ["release/limpet", "dist/limpet"].map(|name| target.path().join(name));
        assert_eq!(built_beside(&program), None);
        for path in [&quick, &measured] {
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, "").unwrap();
            assert_eq!(built_beside(&program).as_ref(), Some(path));
        }
    }

    #[test]
    fn unknown_peers_are_answered_with_the_known_ones() {
        let error = wanted(Some(&["ngnix".to_owned()])).unwrap_err().to_string();
        assert!(error.contains("ngnix") && error.contains("nginx"), "{error}");
        assert_eq!(wanted(Some(&["none".to_owned()])).unwrap().len(), 0);
        assert_eq!(wanted(None).unwrap().len(), PEERS.len());
    }

    #[test]
    fn seconds_are_bounded() {
        assert_eq!(seconds("1.5"), Ok(1.5));
        assert!(seconds("0").is_err() && seconds("x").is_err());
    }
}
