//! `loadtest instructions`: what one request of each kind costs limpet, in instructions.
//!
//! Owns: `loadtest/instructions.json`, and the judgement of a change against it. Never: time, which
//! differs from run to run where instructions do not. Tested here with made-up counts.
//!
//! A count is of many requests less a count of few, so that what is not a request's falls away.

mod callgrind;
mod kinds;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use self::callgrind::Counted;
use self::kinds::{KINDS, Kind};
use crate::compare::Failure;
use crate::compare::client::Client;
use crate::compare::cores::Cores;
use crate::compare::process::stay_on;
use crate::compare::render::Words;
use crate::compare::stage::{Targets, free_port};
use crate::compare::{find_limpet, own_program};

/// Requests before anything is counted.
const WARM: usize = 100;

/// How often each is counted. A busy machine makes the shard wake up more often than it would have to,
/// which only ever adds: the least is nearest to what a request costs.
const REPEATS: usize = 5;

/// Options of `loadtest instructions`.
#[derive(Debug, Clone, clap::Args)]
pub struct Options {
    /// The limpet to count [default: the one of this working tree, built if need be]
    #[arg(long, value_name = "FILE")]
    limpet: Option<PathBuf>,
    /// Where counts are kept
    #[arg(long, value_name = "FILE", default_value = concat!(env!("CARGO_MANIFEST_DIR"), "/instructions.json"))]
    file: PathBuf,
    /// Compare with the file, and fail when a kind has grown by more than the tolerance
    #[arg(long, conflicts_with = "write")]
    check: bool,
    /// Write the counts to the file
    #[arg(long)]
    write: bool,
    /// What a count may grow by, in percent
    #[arg(long, value_name = "PERCENT", default_value_t = 2.0)]
    tolerance: f64,
    /// Count these kinds only
    #[arg(long, value_delimiter = ',', value_name = "NAME,…")]
    kind: Vec<String>,
}

/// The file.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, Serialize)]
struct Kept {
    /// What it is.
    about: String,
    /// Instructions of one request, by kind.
    instructions: BTreeMap<String, u64>,
}

/// Counts, and writes or compares; `false` when something has grown.
///
/// # Errors
/// When it cannot be counted here, or the file cannot be read or written.
pub fn run(options: &Options) -> Result<bool, Failure> {
    let kinds: Vec<Kind> = KINDS
        .into_iter()
        .filter(|kind| options.kind.is_empty() || options.kind.iter().any(|name| name == kind.name))
        .collect();
    if kinds.is_empty() {
        let known: Vec<&str> = KINDS.iter().map(|kind| kind.name).collect();
        return Err(Failure::Options(format!("no such kind; there are {}", known.join(", "))));
    }
    let counts = count(&find_limpet(options.limpet.as_deref())?, &kinds)?;
    for (name, count) in &counts {
        println!("{name:20} {count:>10} instructions");
    }
    if options.write {
        return write(&options.file, counts).map(|()| true);
    }
    if options.check {
        let kept = read(&options.file)?;
        let findings = judge(&kept.instructions, &counts, options.tolerance);
        for finding in &findings {
            println!("{finding}");
        }
        return Ok(!findings
            .iter()
            .any(|finding| matches!(finding, Finding::Grown { .. } | Finding::New(_))));
    }
    Ok(true)
}

fn count(limpet: &Path, kinds: &[Kind]) -> Result<BTreeMap<String, u64>, Failure> {
    let cores = Cores::split(1)?;
    stay_on(&cores.generator)?;
    let directory = std::env::temp_dir().join(format!("instructions-{}", std::process::id()));
    let in_directory = |error| Failure::File { path: directory.clone(), error };
    fs::create_dir_all(&directory).map_err(in_directory)?;
    let counts = count_in(&directory, limpet, kinds, &cores);
    fs::remove_dir_all(&directory).map_err(in_directory)?;
    counts
}

fn count_in(
    directory: &Path,
    limpet: &Path,
    kinds: &[Kind],
    cores: &Cores,
) -> Result<BTreeMap<String, u64>, Failure> {
    let targets = Targets::start(&own_program()?, 2, &cores.targets, directory)?;
    let (address, admin) = (free_port()?, free_port()?);
    let mut words = Words::new(address, admin.port(), directory);
    words.targets = targets.list().to_vec();
    let path = directory.join("limpet.toml");
    fs::write(&path, words.render("limpet.toml", include_str!("limpet.toml"))?)
        .map_err(|error| Failure::File { path, error })?;
    let mut counted = Counted::start(limpet, cores.balancer[0], directory, address)?;
    let mut counts = BTreeMap::new();
    for kind in kinds {
        let mut user = User::new(address, kind)?;
        user.ask(WARM.min(kind.count))?;
        counted.take()?;
        let mut least = u64::MAX;
        for _ in 0..REPEATS {
            least = least.min(once(&mut user, &mut counted)?);
        }
        counts.insert(kind.name.to_owned(), least);
    }
    Ok(counts)
}

/// Instructions of one request. Few and many: what the taking itself costs is in both.
fn once(user: &mut User, counted: &mut Counted) -> Result<u64, Failure> {
    let count = user.kind.count;
    let few = count / 4;
    user.ask(few)?;
    let base = counted.take()?;
    user.ask(few + count)?;
    let all = counted.take()?;
    Ok(all.saturating_sub(base) / count as u64)
}

/// A client that sends one kind of request.
struct User {
    address: std::net::SocketAddr,
    client: Client,
    request: Vec<u8>,
    kind: Kind,
}

impl User {
    fn new(address: std::net::SocketAddr, kind: &Kind) -> Result<User, Failure> {
        let failed = |error| Failure::File { path: PathBuf::from(address.to_string()), error };
        let mut client = Client::connect(address).map_err(failed)?;
        let visit = Kind { returning: false, method: "GET", body_size: 0, path: "/", ..*kind };
        let cookies = client.ask(&visit.request("")).map_err(failed)?.cookies;
        let request = kind.request(&cookies.join("; "));
        Ok(User { address, client, request, kind: *kind })
    }

    fn ask(&mut self, count: usize) -> Result<(), Failure> {
        for _ in 0..count {
            let answer = self.once().map_err(|error| Failure::File {
                path: PathBuf::from(format!("{} at {}", self.kind.name, self.address)),
                error,
            })?;
            if answer != self.kind.status {
                let said = format!("{} was answered with {answer}", self.kind.name);
                return Err(Failure::Options(said));
            }
        }
        Ok(())
    }

    fn once(&mut self) -> std::io::Result<u16> {
        if self.kind.close {
            self.client = Client::connect(self.address)?;
        }
        self.client.ask(&self.request).map(|answer| answer.status)
    }
}

fn read(path: &Path) -> Result<Kept, Failure> {
    let failed = |error| Failure::File { path: path.to_path_buf(), error };
    let text = fs::read_to_string(path).map_err(failed)?;
    serde_json::from_str(&text).map_err(|error| failed(error.into()))
}

/// Writes counts over those of the same kinds; others stay.
fn write(path: &Path, counts: BTreeMap<String, u64>) -> Result<(), Failure> {
    let mut kept = if path.is_file() { read(path)? } else { Kept::default() };
    kept.about = "Instructions of limpet's shard for one request, under callgrind on epoll. Written by: cargo run \
                  --release -p loadtest -- instructions --write"
        .to_owned();
    kept.instructions.extend(counts);
    let failed = |error| Failure::File { path: path.to_path_buf(), error };
    let text = serde_json::to_string_pretty(&kept).map_err(|error| failed(error.into()))?;
    fs::write(path, text + "\n").map_err(failed)
}

/// What a comparison found.
#[derive(Debug, Clone, PartialEq)]
enum Finding {
    /// More instructions than are tolerated.
    Grown { name: String, before: u64, now: u64 },
    /// Fewer, so that the file should be written anew.
    Shrunk { name: String, before: u64, now: u64 },
    /// A kind that the file does not have.
    New(String),
}

impl std::fmt::Display for Finding {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let percent = |before: u64, now: u64| (now as f64 / before as f64 - 1.0) * 100.0;
        match self {
            Finding::Grown { name, before, now } => {
                write!(
                    out,
                    "GROWN: {name}: {before} to {now} instructions, {:+.1} %",
                    percent(*before, *now)
                )
            }
            Finding::Shrunk { name, before, now } => write!(
                out,
                "less: {name}: {before} to {now} instructions, {:+.1} %; keep it with --write",
                percent(*before, *now)
            ),
            Finding::New(name) => {
                write!(out, "NEW: {name} is not in the file; add it with --write")
            }
        }
    }
}

fn judge(
    kept: &BTreeMap<String, u64>,
    counts: &BTreeMap<String, u64>,
    tolerance: f64,
) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (name, &now) in counts {
        let Some(&before) = kept.get(name) else {
            findings.push(Finding::New(name.clone()));
            continue;
        };
        let name = name.clone();
        let change = (now as f64 / before as f64 - 1.0) * 100.0;
        if change > tolerance {
            findings.push(Finding::Grown { name, before, now });
        } else if change < -tolerance {
            findings.push(Finding::Shrunk { name, before, now });
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(pairs: &[(&str, u64)]) -> BTreeMap<String, u64> {
        pairs.iter().map(|(name, count)| ((*name).to_owned(), *count)).collect()
    }

    #[test]
    fn growth_beyond_the_tolerance_is_named() {
        let kept = counts(&[("get", 10_000), ("head", 10_000), ("post", 10_000)]);
        let now = counts(&[("get", 10_201), ("head", 10_199), ("post", 9_000), ("new", 1)]);
        let found: Vec<String> = judge(&kept, &now, 2.0).iter().map(ToString::to_string).collect();
        assert_eq!(
            found,
            [
                "GROWN: get: 10000 to 10201 instructions, +2.0 %",
                "NEW: new is not in the file; add it with --write",
                "less: post: 10000 to 9000 instructions, -10.0 %; keep it with --write",
            ]
        );
    }

    #[test]
    fn the_file_is_read_as_it_was_written_and_other_kinds_stay() {
        let path = std::env::temp_dir().join(format!("instructions-{}.json", std::process::id()));
        write(&path, counts(&[("get", 1), ("head", 2)])).unwrap();
        write(&path, counts(&[("head", 3)])).unwrap();
        assert_eq!(read(&path).unwrap().instructions, counts(&[("get", 1), ("head", 3)]));
        fs::remove_file(path).unwrap();
    }

    #[test]
    fn every_kind_is_in_the_file_that_is_shipped() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("instructions.json");
        let kept = read(&path).unwrap().instructions;
        for kind in KINDS {
            assert!(kept.contains_key(kind.name), "{}", kind.name);
        }
        assert_eq!(kept.len(), KINDS.len());
    }

    #[test]
    fn a_request_is_one() {
        for kind in KINDS {
            let bytes = kind.request("a=b");
            let mut storage = [httparse::EMPTY_HEADER; 16];
            let mut request = httparse::Request::new(&mut storage);
            let head = request.parse(&bytes).unwrap().unwrap();
            assert_eq!(bytes.len() - head, kind.body_size, "{}", kind.name);
        }
    }
}
