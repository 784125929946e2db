//! A program that the harness started: pinned, measured, and ended by its id.
//!
//! Owns: one program with all the processes it forked, what they have used of the processor and hold of
//! memory. Never: a process that it did not start, or a signal by name. Tested here, with programs that
//! every system has.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use nix::sched::{CpuSet, sched_getaffinity, sched_setaffinity};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::Failure;
use super::ending::{gate, leashed};

/// How long a program may take to end when it is asked to, before it is made to.
const END_PATIENCE: Duration = Duration::from_secs(5);

/// Between two looks at something that is waited for.
const POLL: Duration = Duration::from_millis(5);

/// What a program is to be started with.
#[derive(Debug, Clone)]
pub struct Start {
    /// Name for messages and for the file that takes what it prints.
    pub name: String,
    /// The program's file.
    pub program: PathBuf,
    /// Its arguments.
    pub arguments: Vec<String>,
    /// Added to its environment.
    pub environment: Vec<(String, String)>,
    /// The cores that it, and all that it starts, may run on.
    pub cores: Vec<usize>,
    /// Where it runs, and where what it prints goes.
    pub directory: PathBuf,
}

/// A started program. Ended when dropped.
#[derive(Debug)]
pub struct Process {
    name: String,
    child: Child,
    errors: PathBuf,
}

impl Process {
    /// Starts a program on its cores, with its standard output readable when `piped`.
    ///
    /// # Errors
    /// When the program cannot be started or pinned.
    pub fn start(start: &Start, piped: bool) -> Result<Process, Failure> {
        // Once everything is being ended nothing is written any more either, or a folder that goes would have it.
        let _gate = gate();
        let errors = start.directory.join(format!("{}.stderr", start.name));
        let refused = |error: io::Error| Failure::Start {
            name: start.name.clone(),
            program: start.program.clone(),
            error,
        };
        if !start.program.is_file() {
            // On its leash, it would only say so where nobody looks.
            return Err(refused(io::ErrorKind::NotFound.into()));
        }
        let log = File::options().create(true).append(true).open(&errors).map_err(refused)?;
        let out = match piped {
            true => Stdio::piped(),
            false => Stdio::from(log.try_clone().map_err(refused)?),
        };
        let mut command = leashed(&start.program).map_err(refused)?;
        command
            .args(&start.arguments)
            .envs(start.environment.iter().map(|(key, value)| (key, value)))
            .current_dir(&start.directory)
            .stdin(Stdio::null())
            .stdout(out)
            .stderr(log);
        let child = on_cores(&start.cores, || command.spawn()).map_err(refused)?;
        Ok(Process { name: start.name.clone(), child, errors })
    }

    /// Name given at the start.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Id of the process that was started; its children's are found with [`descendants`].
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Its standard output, once, when it was started with it readable.
    pub fn output(&mut self) -> Option<std::process::ChildStdout> {
        self.child.stdout.take()
    }

    /// Whether it still runs.
    pub fn runs(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// The last lines of what it wrote to its standard error, for messages.
    pub fn last_words(&self) -> String {
        last_lines(&self.errors, 6)
    }

    /// Sends a signal to the process that was started.
    ///
    /// # Errors
    /// When the process is gone.
    pub fn signal(&self, signal: Signal) -> Result<(), Failure> {
        kill(pid(self.id()), signal)
            .map_err(|error| Failure::Signal { name: self.name.clone(), error: error.into() })
    }

    /// Asks it to end and, when it does not in time, makes it and all that it forked.
    pub fn end(&mut self) {
        if !self.runs() {
            return;
        }
        let family = family(self.id());
        let _ = kill(pid(self.id()), Signal::SIGTERM);
        let gone = poll_until(END_PATIENCE, || !self.runs());
        for member in family.iter().filter(|member| member.id() != self.id() && member.lives()) {
            // A child may outlive its parent, and then nobody else ends it.
            member.signal(Signal::SIGKILL);
        }
        if !gone {
            let _ = self.child.kill();
        }
        let _ = self.child.wait();
    }

    /// Ends it at once, as when its machine loses power.
    pub fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.end();
    }
}

fn pid(id: u32) -> Pid {
    // The kernel's ids end at 2^22.
    Pid::from_raw(i32::try_from(id).unwrap_or(i32::MAX))
}

/// Does something while the calling thread, and so what it starts, may run on certain cores only.
///
/// # Errors
/// When the kernel refuses the cores, or what `act` returns.
pub fn on_cores<T>(cores: &[usize], act: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
    let own = Pid::from_raw(0);
    let before = sched_getaffinity(own)?;
    let mut wanted = CpuSet::new();
    for &core in cores {
        wanted.set(core)?;
    }
    sched_setaffinity(own, &wanted)?;
    let done = act();
    sched_setaffinity(own, &before)?;
    done
}

/// Keeps the calling thread, and all that it starts from now on, on certain cores.
///
/// # Errors
/// When the kernel refuses the cores.
pub fn stay_on(cores: &[usize]) -> Result<(), Failure> {
    let mut wanted = CpuSet::new();
    cores
        .iter()
        .try_for_each(|&core| wanted.set(core))
        .and_then(|()| sched_setaffinity(Pid::from_raw(0), &wanted))
        .map_err(|error| Failure::Cores(error.to_string()))
}

/// Looks until something holds or the time is over; says whether it came to hold.
#[expect(clippy::disallowed_methods, reason = "the one place that waits by looking again")]
pub fn poll_until(patience: Duration, mut holds: impl FnMut() -> bool) -> bool {
    let deadline = Instant::now() + patience;
    loop {
        if holds() {
            return true;
        }
        if Instant::now() >= deadline {
            return false;
        }
        std::thread::sleep(POLL);
    }
}

/// A process of a program, which is not taken for a later one with the same id.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Member {
    id: u32,
    parent: u32,
    /// When it began, in the kernel's ticks.
    began: u64,
}

impl Member {
    /// Reads a process and whether it is dead, waiting to be reaped.
    fn read(id: u32) -> Option<(Member, bool)> {
        let stat = fs::read_to_string(format!("/proc/{id}/stat")).ok()?;
        // The name, in parentheses, may itself have spaces and parentheses.
        let (_, rest) = stat.rsplit_once(')')?;
        let fields: Vec<&str> = rest.split_whitespace().collect();
        let is_dead = matches!(*fields.first()?, "Z" | "X");
        let parent = fields.get(1)?.parse().ok()?;
        Some((Member { id, parent, began: fields.get(19)?.parse().ok()? }, is_dead))
    }

    /// Its id.
    pub fn id(&self) -> u32 {
        self.id
    }

    /// Its parent's id, when it was looked at.
    pub fn parent(&self) -> u32 {
        self.parent
    }

    /// Whether it still runs, whoever its parent is by now.
    pub fn lives(&self) -> bool {
        Member::read(self.id).is_some_and(|(now, dead)| now.began == self.began && !dead)
    }

    /// Sends it a signal; one that is gone needs none.
    pub fn signal(&self, signal: Signal) {
        let _ = kill(pid(self.id), signal);
    }
}

/// A process and all that descend from it.
pub fn family(root: u32) -> Vec<Member> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    let all: Vec<Member> = entries
        .filter_map(|entry| Some(Member::read(entry.file_name().to_str()?.parse().ok()?)?.0))
        .collect();
    let mut family: Vec<Member> = all.iter().copied().filter(|one| one.id == root).collect();
    let mut next = 0;
    while let Some(of) = family.get(next).map(Member::id) {
        family.extend(all.iter().filter(|one| one.parent == of && one.id != root));
        next += 1;
    }
    family
}

/// Ids of a process and all that descend from it.
pub fn descendants(root: u32) -> Vec<u32> {
    family(root).iter().map(Member::id).collect()
}

/// Memory that a program's processes hold, in bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize)]
pub struct Memory {
    /// Resident set: pages that two of its processes share count twice.
    pub resident_bytes: u64,
    /// Proportional set: pages that are shared count once among those who share them.
    pub proportional_bytes: u64,
}

impl std::ops::Add for Memory {
    type Output = Memory;

    fn add(self, other: Memory) -> Memory {
        Memory {
            resident_bytes: self.resident_bytes + other.resident_bytes,
            proportional_bytes: self.proportional_bytes + other.proportional_bytes,
        }
    }
}

/// Reads what a program and its descendants hold in memory.
pub fn memory(root: u32) -> Memory {
    let mut sum = Memory::default();
    for id in descendants(root) {
        let Ok(text) = fs::read_to_string(format!("/proc/{id}/smaps_rollup")) else { continue };
        sum.resident_bytes += kibibytes(&text, "Rss:") * 1024;
        sum.proportional_bytes += kibibytes(&text, "Pss:") * 1024;
    }
    sum
}

/// Reads what several programs and their descendants hold together.
pub fn memory_of(roots: &[u32]) -> Memory {
    roots.iter().map(|root| memory(*root)).fold(Memory::default(), |sum, one| sum + one)
}

fn kibibytes(text: &str, key: &str) -> u64 {
    text.lines()
        .find_map(|line| line.strip_prefix(key))
        .and_then(|rest| rest.split_whitespace().next()?.parse().ok())
        .unwrap_or(0)
}

/// The last lines of a file, or nothing when there are none.
pub fn last_lines(path: &Path, count: usize) -> String {
    let text = fs::read(path).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let lines: Vec<&str> = text.lines().filter(|line| !line.trim().is_empty()).collect();
    lines[lines.len().saturating_sub(count)..].join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compare::ending::Folder;

    fn start(folder: &Folder, program: &str, arguments: &[&str]) -> Start {
        Start {
            name: "test".to_owned(),
            program: program.into(),
            arguments: arguments.iter().map(ToString::to_string).collect(),
            environment: Vec::new(),
            cores: vec![0],
            directory: folder.path().to_path_buf(),
        }
    }

    #[test]
    fn a_program_runs_on_its_cores_only_and_the_caller_where_it_did() {
        let folder = Folder::new("process-cores").unwrap();
        let before = sched_getaffinity(Pid::from_raw(0)).unwrap();
        let process = Process::start(&start(&folder, "/bin/sleep", &["60"]), false).unwrap();
        let its = sched_getaffinity(pid(process.id())).unwrap();
        assert!(its.is_set(0).unwrap());
        assert_eq!((1..CpuSet::count()).filter(|&core| its.is_set(core).unwrap()).count(), 0);
        assert_eq!(sched_getaffinity(Pid::from_raw(0)).unwrap(), before);
    }

    #[test]
    fn what_a_program_forked_ends_with_it() {
        let folder = Folder::new("process-forked").unwrap();
        let mut process =
            Process::start(&start(&folder, "/bin/sh", &["-c", "sleep 60 & wait"]), false).unwrap();
        let root = process.id();
        assert!(poll_until(END_PATIENCE, || descendants(root).len() == 2));
        let forked = family(root)[1];
        assert!(forked.lives() && forked.parent() == root);
        process.end();
        assert!(poll_until(END_PATIENCE, || !forked.lives()));
        assert_eq!(family(root), []);
    }

    #[test]
    fn memory_of_a_running_program_is_not_nothing() {
        let folder = Folder::new("process-memory").unwrap();
        let process = Process::start(&start(&folder, "/bin/sleep", &["61"]), false).unwrap();
        assert!(poll_until(END_PATIENCE, || memory(process.id()).resident_bytes > 64 * 1024));
        let held = memory(process.id());
        assert!(held.proportional_bytes <= held.resident_bytes);
    }

    #[test]
    fn a_program_that_is_not_there_is_named() {
        let folder = Folder::new("process-absent").unwrap();
        let Err(error) = Process::start(&start(&folder, "/no/such/program", &[]), false) else {
            panic!("it cannot have started");
        };
        assert!(error.to_string().contains("/no/such/program"), "{error}");
    }
}
