//! `loadtest instructions`: what one request of each kind costs limpet, in instructions.
//!
//! Owns: `loadtest/instructions.json`, and the judgement of a change against it. Never: time, which
//! differs from run to run where instructions do not. Tested here with made-up counts, and by
//! `tests/compare.rs` with a limpet.
//!
//! A count is of many requests, less what taking it costs and less the shard's ticks meanwhile: see `idle`. Requests, responses and their pieces come one at a time, each when
//! the shard sleeps: see `pace`.

mod bench;
mod callgrind;
mod idle;
mod kinds;
mod pace;
mod targets;
mod user;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde::{Deserialize, Serialize};

use self::bench::Bench;
use self::kinds::{KINDS, Kind};
use crate::compare::Failure;
use crate::compare::cores::Cores;
use crate::compare::ending;
use crate::compare::find_limpet;
use crate::compare::process::stay_on;

/// How often a kind may be tried.
const TRIES: usize = 3;

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
    /// Keep a profile of each kind there, for callgrind_annotate
    #[arg(long, value_name = "DIR")]
    keep: Option<PathBuf>,
}

/// The file.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, Serialize)]
struct Kept {
    /// What it is.
    about: String,
    /// What else a count depends on.
    #[serde(default)]
    counted_with: BTreeMap<String, String>,
    /// Instructions of one request, by kind.
    instructions: BTreeMap<String, u64>,
}

/// Counts, and writes or compares; `false` when something has grown.
///
/// # Errors
/// When it cannot be counted here, or the file cannot be read or written.
pub fn run(options: &Options) -> Result<bool, Failure> {
    ending::watch()?;
    let kinds: Vec<Kind> = KINDS
        .into_iter()
        .filter(|kind| options.kind.is_empty() || options.kind.iter().any(|name| name == kind.name))
        .collect();
    if kinds.len() < options.kind.len().max(1) {
        let known: Vec<&str> = KINDS.iter().map(|kind| kind.name).collect();
        return Err(Failure::Options(format!("no such kind; there are {}", known.join(", "))));
    }
    if let Some(path) = &options.keep {
        fs::create_dir_all(path).map_err(|error| Failure::File { path: path.clone(), error })?;
    }
    let limpet = find_limpet(options.limpet.as_deref())?;
    let counts = count(&limpet, &kinds, options.keep.as_deref())?;
    if options.write {
        return write(&options.file, counts).map(|()| true);
    }
    if options.check {
        return check(&options.file, &counts, options.tolerance);
    }
    Ok(true)
}

/// Says what differs from the file; `false` when something has grown. Counts that were made with another
/// compiler or on other vectors are told, and not judged.
fn check(path: &Path, counts: &BTreeMap<String, u64>, tolerance: f64) -> Result<bool, Failure> {
    let kept = read(path)?;
    let findings = judge(&kept.instructions, counts, tolerance);
    for finding in &findings {
        println!("{finding}");
    }
    let held = !findings.iter().any(|one| matches!(one, Finding::Grown { .. } | Finding::New(_)));
    let mut is_comparable = true;
    for (what, now) in counted_with() {
        let before = kept.counted_with.get(&what).map_or("unknown", String::as_str);
        if before != now {
            is_comparable = false;
            println!("{what} was {before} when the file was written, and is {now} here");
        }
    }
    if held {
        println!("nothing has grown by more than {tolerance} %");
    } else if !is_comparable {
        println!("NOT JUDGED: the file was written with other tools than are here");
    }
    Ok(held || !is_comparable)
}

fn count(
    limpet: &Path,
    kinds: &[Kind],
    keep: Option<&Path>,
) -> Result<BTreeMap<String, u64>, Failure> {
    let cores = Cores::split(1)?;
    stay_on(&cores.generator)?;
    let mut bench = Bench::start(limpet, cores.balancer[0])?;
    let mut counts = BTreeMap::new();
    for kind in kinds {
        let mut tries = 1;
        let mut costs = loop {
            match bench.count(kind) {
                Ok(costs) => break costs,
                Err(error) if tries < TRIES => {
                    // Rarely, and not by limpet's fault, valgrind does not come back from handing over a count.
                    println!("{:20} once more, with another limpet: {error}", kind.name);
                    tries += 1;
                    drop(bench);
                    bench = Bench::start(limpet, cores.balancer[0])?;
                }
                Err(error) => return Err(error),
            }
        };
        let (cost, percent) = middle(&mut costs);
        println!("{:20} {cost:>10.0} instructions, repeated within {percent:.2} %", kind.name);
        counts.insert(kind.name.to_owned(), cost.round() as u64);
        if let Some(folder) = keep {
            let path = folder.join(format!("{}.callgrind", kind.name));
            bench.keep(&path)?;
            println!("    {} requests: callgrind_annotate {}", kind.count, path.display());
        }
    }
    Ok(counts)
}

/// The mean without the least and the greatest, and in percent how far those are apart.
fn middle(costs: &mut [f64]) -> (f64, f64) {
    costs.sort_by(f64::total_cmp);
    let [least, inner @ .., most] = costs else { return (f64::NAN, f64::NAN) };
    let mean = inner.iter().sum::<f64>() / inner.len() as f64;
    (mean, (*most - *least) / mean * 100.0)
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
    kept.counted_with = counted_with();
    kept.instructions.extend(counts);
    let failed = |error| Failure::File { path: path.to_path_buf(), error };
    let text = serde_json::to_string_pretty(&kept).map_err(|error| failed(error.into()))?;
    fs::write(path, text + "\n").map_err(failed)
}

/// What a count depends on besides limpet: the C library's choice of copies is tied down, but crates choose by the
/// processor's vectors too, and compilers differ.
fn counted_with() -> BTreeMap<String, String> {
    let said = |program: &str, arguments: &[&str]| {
        let said = Command::new(program).args(arguments).output();
        let text = said.map(|said| String::from_utf8_lossy(&said.stdout).into_owned());
        text.ok()
            .and_then(|text| Some(text.lines().next()?.trim().to_owned()))
            .filter(|line| !line.is_empty())
            .unwrap_or_else(|| "unknown".to_owned())
    };
    let processor = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let flags = processor.lines().find(|line| line.starts_with("flags")).unwrap_or_default();
    let has = |flag: &str| flags.split_whitespace().any(|one| one == flag);
    // What valgrind shows of a processor to the program.
    let vectors: Vec<&str> =
        ["sse4_2", "aes", "pclmulqdq", "avx2"].into_iter().filter(|flag| has(flag)).collect();
    [
        ("architecture", std::env::consts::ARCH.to_owned()),
        ("vectors", vectors.join(" ")),
        ("C library", said("ldd", &["--version"])),
        ("valgrind", said("valgrind", &["--version"])),
        ("compiler", said("rustc", &["--version"])),
    ]
    .map(|(what, value)| (what.to_owned(), value))
    .into()
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
    fn the_ends_of_repeated_counts_are_left_out() {
        let mut costs = [1000.0, 100.0, 102.0, 104.0, 1.0];
        assert_eq!(middle(&mut costs).0, 102.0);
        assert!((middle(&mut costs).1 - 979.4).abs() < 0.1);
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
}
