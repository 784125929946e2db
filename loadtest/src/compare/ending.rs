//! Nothing of a run outlasts it: when this program is told to end, or is killed, so is all that it has started.
//!
//! Owns: the signals, the folders for what is temporary, and the leash that every program is started on. Never: a
//! signal to what this program has not started. Tested here, and by `tests/compare.rs` with each signal.
//!
//! ```text
//!   SIGTERM, SIGINT, SIGHUP ─▶ a thread closes the gate, ends all that descend from this program, removes the
//!                              folders, and exits
//!   SIGKILL                 ─▶ the kernel sends SIGTERM to every program on a leash
//! ```

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::os::unix::process::{CommandExt as _, parent_id};
use std::path::{Path, PathBuf};
use std::process::{self, Command, Output, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use nix::sys::prctl::set_pdeathsig;
use nix::sys::signal::Signal;
use tokio::runtime::Builder;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc::unbounded_channel;

use super::Failure;
use super::process::{Member, family, poll_until};

/// How long all of it may take to end when it is asked to, before it is made to.
const PATIENCE: Duration = Duration::from_secs(5);

/// Folders to remove. Whoever holds it may start a program; a run that ends never lets go of it again.
static GATE: Mutex<BTreeSet<PathBuf>> = Mutex::new(BTreeSet::new());

/// To be held while a program is started.
pub fn gate() -> MutexGuard<'static, BTreeSet<PathBuf>> {
    GATE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A folder for what is temporary; gone when dropped, and when the run is told to end.
#[derive(Debug)]
pub struct Folder(PathBuf);

impl Folder {
    /// Makes a folder of that name and this process's id, which has as many digits in every run: the length of a
    /// path must not tell runs apart.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn new(name: &str) -> Result<Folder, Failure> {
        let path = std::env::temp_dir().join(format!("{name}-{:08}", process::id()));
        let mut gate = gate();
        fs::create_dir_all(&path).map_err(|error| Failure::File { path: path.clone(), error })?;
        gate.insert(path.clone());
        Ok(Folder(path))
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        gate().remove(&self.0);
        // Left over, it is found in the folder for what is temporary, and harms nobody.
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// From now on, SIGTERM, SIGINT and SIGHUP end the run and all that it has started.
///
/// # Errors
/// When the signals cannot be waited for.
pub fn watch() -> Result<(), Failure> {
    let failed = |error| Failure::File { path: PathBuf::from("signals"), error };
    let runtime = Builder::new_current_thread().enable_all().build().map_err(failed)?;
    let ignored = ignored(&fs::read_to_string("/proc/self/status").unwrap_or_default());
    let streams = {
        let _inside = runtime.enter();
        [Signal::SIGTERM, Signal::SIGINT, Signal::SIGHUP]
            .into_iter()
            // `nohup` means it: who is told not to hear a signal does not.
            .filter(|one| ignored & (1 << (*one as u64 - 1)) == 0)
            .map(|one| Ok((one, signal(SignalKind::from_raw(one as i32))?)))
            .collect::<io::Result<Vec<_>>>()
            .map_err(failed)?
    };
    thread::Builder::new()
        .name("ending".to_owned())
        .spawn(move || {
            runtime.block_on(async move {
                let (sender, mut receiver) = unbounded_channel();
                for (one, mut stream) in streams {
                    let sender = sender.clone();
                    tokio::spawn(async move {
                        if stream.recv().await.is_some() {
                            // Whoever listens ends the process.
                            let _ = sender.send(one);
                        }
                    });
                }
                // Its own sender is there as long as it listens: nothing but a signal ends the wait.
                if let Some(one) = receiver.recv().await {
                    end(one);
                }
            });
        })
        .map(|_| ())
        .map_err(failed)
}

/// The mask of ignored signals in a `/proc/PID/status`.
fn ignored(status: &str) -> u64 {
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or(0)
}

fn end(signal: Signal) -> ! {
    let folders = gate();
    eprintln!("\nloadtest: {signal}: ending what was started");
    let own = process::id();
    // All of it is known before the first of it ends: what a program forked has another parent after it.
    let mut all = family(own);
    all.retain(|member| member.id() != own);
    for member in all.iter().filter(|member| member.parent() == own) {
        member.signal(Signal::SIGTERM);
    }
    if !poll_until(PATIENCE, || !all.iter().any(Member::lives)) {
        all.iter().filter(|member| member.lives()).for_each(|member| {
            member.signal(Signal::SIGKILL);
        });
        poll_until(PATIENCE, || !all.iter().any(Member::lives));
    }
    for folder in &*folders {
        let _ = fs::remove_dir_all(folder);
    }
    process::exit(128 + signal as i32);
}

/// Options of `loadtest leash`, which every program is started with.
#[derive(Debug, Clone, clap::Args)]
pub struct Leash {
    /// Who starts it
    holder: u32,
    /// The program and its arguments
    #[arg(last = true, required = true)]
    program: Vec<PathBuf>,
}

/// Becomes a program that the kernel ends when this process's parent ends.
///
/// # Errors
/// When it cannot be tied, when the parent is gone already, or when there is no such program.
pub fn leash(options: &Leash) -> io::Error {
    if let Err(error) = set_pdeathsig(Signal::SIGTERM) {
        return error.into();
    }
    // A parent that ended before the line above would never be noticed.
    if parent_id() != options.holder {
        return io::Error::other("whoever started this is gone");
    }
    match options.program.as_slice() {
        [program, arguments @ ..] => Command::new(program).args(arguments).exec(),
        [] => io::ErrorKind::NotFound.into(),
    }
}

/// A command that runs a program on a leash. In this tool's own unit tests, whose program has no commands, without.
///
/// # Errors
/// When the system does not say which program this is.
pub fn leashed(program: &Path) -> io::Result<Command> {
    if cfg!(test) {
        return Ok(Command::new(program));
    }
    let mut command = Command::new(std::env::current_exe()?);
    command.args(["leash", &process::id().to_string(), "--"]).arg(program);
    Ok(command)
}

/// Runs a program on a leash to its end; what it said.
///
/// # Errors
/// When it cannot be started.
pub fn said(
    program: &Path,
    prepare: impl FnOnce(&mut Command) -> &mut Command,
) -> io::Result<Output> {
    let mut command = leashed(program)?;
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    prepare(&mut command);
    let child = {
        let _gate = gate();
        command.spawn()?
    };
    child.wait_with_output()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_is_there_until_it_is_dropped_and_its_path_is_always_as_long() {
        let folder = Folder::new("ending-test").unwrap();
        let path = folder.path().to_path_buf();
        assert!(path.is_dir() && gate().contains(&path));
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        assert_eq!(name.len(), "ending-test-00000000".len());
        fs::write(path.join("x"), "x").unwrap();
        drop(folder);
        assert!(!path.exists() && !gate().contains(&path));
    }

    #[test]
    fn signals_that_are_ignored_are_known() {
        let status = "Name:\tx\nSigBlk:\t0000000000000000\nSigIgn:\t0000000000001001\n";
        assert_eq!(ignored(status) & 1, 1);
        assert_eq!(ignored(status) & 2, 0);
        assert_eq!(ignored(""), 0);
    }

    #[test]
    fn who_has_no_parent_of_that_id_does_not_begin() {
        // This test would become the program otherwise.
        let options = Leash { holder: 0, program: vec!["/bin/true".into()] };
        assert!(leash(&options).to_string().contains("gone"));
        set_pdeathsig(None).unwrap();
    }
}
