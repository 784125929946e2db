//! limpet under callgrind, whose counts are taken between requests.
//!
//! Owns: starting it, dumps on demand, reading them. Never: instructions of the start, or of other
//! threads than the shard's. Tested here with a dump as callgrind writes it.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::pace::Pace;
use crate::compare::Failure;
use crate::compare::client::Client;
use crate::compare::ending::said;
use crate::compare::peers::in_path;
use crate::compare::process::{Process, Start, poll_until};
use crate::compare::render::HOST;

/// Under valgrind a start takes its time.
const PATIENCE: Duration = Duration::from_secs(60);

/// Name of the thread that is counted.
const SHARD: &str = "shard-0";

/// What limpet's shard calls once in each of its ticks, and nowhere else once it runs.
const TICK: &str = "limpet::shard::follow";

/// The C library copies with what is quickest on the processor it finds. What every x86-64 has is counted instead, so
/// that another machine counts the same. Unknown names, which some versions have, are passed over.
const TUNABLES: (&str, &str) = (
    "GLIBC_TUNABLES",
    "glibc.cpu.hwcaps=-AVX512F,-AVX512VL,-AVX512BW,-AVX2,-AVX2_Usable,-AVX,-AVX_Fast_Unaligned_Load,\
     -AVX_Usable,-BMI1,-BMI2,-ERMS,-FSRM,-LZCNT,-MOVBE,-RTM,-SSSE3,-SSE4_1,-SSE4_2,-Fast_Unaligned_Copy,\
     -Prefer_ERMS,-Prefer_FSRM",
);

/// A limpet whose instructions are counted.
#[derive(Debug)]
pub struct Counted {
    process: Process,
    pace: Pace,
    /// Callgrind's number of the shard's thread.
    thread: u32,
    vgdb: PathBuf,
    directory: PathBuf,
    dumps: usize,
    /// The dump that was taken last.
    last: Option<PathBuf>,
}

impl Counted {
    /// Starts limpet with a file and waits until it answers.
    ///
    /// # Errors
    /// When there is no valgrind, or limpet does not answer.
    pub fn start(
        limpet: &Path,
        core: usize,
        directory: &Path,
        address: SocketAddr,
    ) -> Result<Counted, Failure> {
        let start = Start {
            name: "limpet".to_owned(),
            program: tool("valgrind")?,
            arguments: [
                "--tool=callgrind",
                "--separate-threads=yes",
                "--instr-atstart=no",
                // It looks for commands by itself, soon. Made to by ptrace, a thread now and then never comes back.
                "--vgdb-poll=500",
                &format!("--callgrind-out-file={}", directory.join("out").display()),
                &limpet.display().to_string(),
                "run",
                "--config",
                "limpet.toml",
            ]
            .map(str::to_owned)
            .to_vec(),
            environment: vec![(TUNABLES.0.to_owned(), TUNABLES.1.to_owned())],
            cores: vec![core],
            directory: directory.to_path_buf(),
        };
        let vgdb = tool("vgdb")?;
        let mut process = Process::start(&start, false)?;
        let request = format!("GET / HTTP/1.1\r\nHost: {HOST}\r\n\r\n");
        let ready = poll_until(PATIENCE, || {
            let asked =
                Client::connect(address).and_then(|mut client| client.ask(request.as_bytes()));
            asked.is_ok_and(|answer| answer.status == 200) || !process.runs()
        });
        if !ready || !process.runs() {
            let said = process.last_words();
            return Err(Failure::NotReady { name: "limpet under valgrind".to_owned(), said });
        }
        let pace = Pace::of(process.id(), SHARD)?;
        let directory = directory.to_path_buf();
        let mut counted =
            Counted { process, pace, thread: 0, vgdb, directory, dumps: 0, last: None };
        counted.tell(&["instrumentation", "on"])?;
        let threads = counted.tell(&["v.info", "scheduler"])?;
        counted.thread =
            number_of(&threads, counted.pace.thread()).ok_or_else(|| Failure::NotReady {
                name: "callgrind".to_owned(),
                said: format!("it knows no thread {}:\n{threads}", counted.pace.thread()),
            })?;
        Ok(counted)
    }

    /// The pace of its shard.
    pub fn pace(&self) -> &Pace {
        &self.pace
    }

    fn tell(&self, command: &[&str]) -> Result<String, Failure> {
        let process = format!("--pid={}", self.process.id());
        let said =
            said(&self.vgdb, |vgdb| vgdb.arg(process).arg("--max-invoke-ms=0").args(command));
        match said {
            Ok(said) if said.status.success() => {
                Ok(String::from_utf8_lossy(&said.stdout).into_owned())
            }
            Ok(said) => Err(Failure::NotReady {
                name: "callgrind".to_owned(),
                said: String::from_utf8_lossy(&said.stderr).into_owned(),
            }),
            Err(error) => Err(Failure::File { path: self.vgdb.clone(), error }),
        }
    }

    /// Instructions of the shard's thread since the last time this was asked, and the ticks in them.
    ///
    /// # Errors
    /// When callgrind does not answer.
    pub fn take(&mut self) -> Result<(u64, u64), Failure> {
        self.tell(&["dump"])?;
        self.dumps += 1;
        let prefix = format!("out.{}-", self.dumps);
        let mut count = None;
        for entry in fs::read_dir(&self.directory).into_iter().flatten().flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            let Some(thread) = name.strip_prefix(&prefix) else { continue };
            if thread.parse() == Ok(self.thread) {
                let text = fs::read_to_string(entry.path()).unwrap_or_default();
                count = Some((totals(&text), calls(&text, TICK)));
                self.forget_last();
                self.last = Some(entry.path());
            } else {
                // Dumps are large, and nothing is wanted of the other threads'.
                let _ = fs::remove_file(entry.path());
            }
        }
        count.ok_or_else(|| Failure::NotReady {
            name: "callgrind".to_owned(),
            said: format!("no dump {prefix}{:02} in {}", self.thread, self.directory.display()),
        })
    }

    /// Copies the dump that was taken last.
    ///
    /// # Errors
    /// When it cannot be copied.
    pub fn keep(&self, path: &Path) -> Result<(), Failure> {
        let Some(last) = &self.last else { return Ok(()) };
        let failed = |error| Failure::File { path: path.to_path_buf(), error };
        fs::copy(last, path).map(|_| ()).map_err(failed)
    }

    fn forget_last(&mut self) {
        if let Some(last) = self.last.take() {
            let _ = fs::remove_file(last);
        }
    }
}

fn tool(name: &str) -> Result<PathBuf, Failure> {
    in_path(name).ok_or_else(|| {
        Failure::Options(format!("counting instructions needs {name}, which comes with valgrind"))
    })
}

/// Valgrind's number of a thread that the kernel knows by an id, in what `v.info scheduler` says.
fn number_of(threads: &str, id: u32) -> Option<u32> {
    let line = threads.lines().find(|line| line.ends_with(&format!("(lwpid {id})")))?;
    line.strip_prefix("Thread ")?.split(':').next()?.parse().ok()
}

/// The sum that a dump ends with.
fn totals(text: &str) -> u64 {
    text.lines()
        .rev()
        .find_map(|line| line.strip_prefix("totals:").or_else(|| line.strip_prefix("summary:")))
        .and_then(|sum| sum.trim().parse().ok())
        .unwrap_or(0)
}

/// How often a function was called, in a dump.
fn calls(text: &str, function: &str) -> u64 {
    // A name stands behind its number once, and the number alone from then on.
    let named = text.lines().find_map(|line| {
        let named = line.strip_prefix("fn=").or_else(|| line.strip_prefix("cfn="))?;
        named.strip_suffix(function)?.strip_suffix(' ')
    });
    let Some(number) = named else { return 0 };
    let is_it = |line: &str| line.strip_prefix("cfn=").is_some_and(|it| it.starts_with(number));
    let counted = text.lines().zip(text.lines().skip(1)).filter(|(line, _)| is_it(line));
    counted
        .filter_map(|(_, next)| next.strip_prefix("calls=")?.split(' ').next()?.parse::<u64>().ok())
        .sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sum_of_a_dump_is_found() {
        assert_eq!(totals("events: Ir\nfn=(1) main\n12 30\n\ntotals: 1234\n"), 1234);
        assert_eq!(totals("events: Ir\nsummary: 77\nfn=(1)\n"), 77);
        assert_eq!(totals(""), 0);
    }

    #[test]
    fn calls_of_a_function_are_added_up() {
        let text = "fn=(1) main\n3 4\ncfn=(12) limpet::shard::follow\ncalls=3 +97\n* 99\n\
                    cfn=(1)\ncalls=50 1\n* 5\n\nfn=(12)\n7 7\n\nfn=(2) x\ncfn=(12)\ncalls=4 -2\n* 9\n";
        assert_eq!(calls(text, "limpet::shard::follow"), 7);
        assert_eq!(calls(text, "shard::follow"), 0);
        assert_eq!(calls(text, "main"), 50);
    }

    #[test]
    fn a_thread_is_known_by_the_kernels_id() {
        let threads = "sched status:\n  running_tid=0\n\nThread 1: status = VgTs_WaitSys syscall 230 (lwpid 14657)\n\
                       ==14657==    at 0x4914503: x\n\nThread 12: status = VgTs_WaitSys syscall 281 (lwpid 657)\n";
        assert_eq!(number_of(threads, 657), Some(12));
        assert_eq!(number_of(threads, 14657), Some(1));
        assert_eq!(number_of(threads, 7), None);
    }
}
