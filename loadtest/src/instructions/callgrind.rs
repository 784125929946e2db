//! limpet under callgrind, whose counts are taken between requests.
//!
//! Owns: starting it, dumps on demand, reading them. Never: instructions of the start, or of other
//! threads than the shard's. Tested here with a dump as callgrind writes it.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use crate::compare::Failure;
use crate::compare::client::Client;
use crate::compare::peers::in_path;
use crate::compare::process::{Process, Start, poll_until};
use crate::compare::render::HOST;

/// Under valgrind a start takes its time.
const PATIENCE: Duration = Duration::from_secs(60);

/// A limpet whose instructions are counted.
#[derive(Debug)]
pub struct Counted {
    process: Process,
    vgdb: PathBuf,
    directory: PathBuf,
    dumps: usize,
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
        let tool = |name: &str| {
            in_path(name).ok_or_else(|| {
                Failure::Options(format!(
                    "counting instructions needs {name}, which comes with valgrind"
                ))
            })
        };
        let start = Start {
            name: "limpet".to_owned(),
            program: tool("valgrind")?,
            arguments: [
                "--tool=callgrind",
                "--separate-threads=yes",
                "--instr-atstart=no",
                &format!("--callgrind-out-file={}", directory.join("out").display()),
                &limpet.display().to_string(),
                "run",
                "--config",
                "limpet.toml",
            ]
            .map(str::to_owned)
            .to_vec(),
            environment: Vec::new(),
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
        let mut counted = Counted { process, vgdb, directory: directory.to_path_buf(), dumps: 0 };
        counted.tell(&["instrumentation", "on"])?;
        Ok(counted)
    }

    fn tell(&mut self, command: &[&str]) -> Result<(), Failure> {
        let said = Command::new(&self.vgdb)
            .arg(format!("--pid={}", self.process.id()))
            .args(command)
            .stdin(Stdio::null())
            .output();
        match said {
            Ok(said) if said.status.success() => Ok(()),
            Ok(said) => Err(Failure::NotReady {
                name: "callgrind".to_owned(),
                said: String::from_utf8_lossy(&said.stderr).into_owned(),
            }),
            Err(error) => Err(Failure::File { path: self.vgdb.clone(), error }),
        }
    }

    /// Instructions of the busiest thread, the shard, since the last time this was asked.
    ///
    /// # Errors
    /// When callgrind does not answer.
    pub fn take(&mut self) -> Result<u64, Failure> {
        self.tell(&["dump"])?;
        self.dumps += 1;
        let prefix = format!("out.{}-", self.dumps);
        let mut most = 0;
        for entry in fs::read_dir(&self.directory).into_iter().flatten().flatten() {
            if entry.file_name().to_string_lossy().starts_with(&prefix) {
                let text = fs::read_to_string(entry.path()).unwrap_or_default();
                most = most.max(totals(&text));
                // Dumps are large, and what is wanted of them is one number.
                let _ = fs::remove_file(entry.path());
            }
        }
        match most {
            0 => Err(Failure::NotReady {
                name: "callgrind".to_owned(),
                said: format!("no dump {prefix}* in {}", self.directory.display()),
            }),
            most => Ok(most),
        }
    }
}

/// The sum that a dump ends with.
fn totals(text: &str) -> u64 {
    text.lines()
        .rev()
        .find_map(|line| line.strip_prefix("totals:").or_else(|| line.strip_prefix("summary:")))
        .and_then(|sum| sum.trim().parse().ok())
        .unwrap_or(0)
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
}
