//! Nothing of a run outlasts it: when this program is told to end, or is killed, so is all that it has started.
//!
//! Owns: the signals, the folders for what is temporary, and the leash that every program is started on. Never: a
//! signal to what this program has not started. Tested here, and by `tests/compare.rs` with each signal.
//!
//! ```text
//!   SIGTERM, SIGINT, SIGHUP ─▶ a thread closes the gate, ends all that descend from this program, removes the
//!                              folders, and exits
//!   SIGKILL                 ─▶ the kernel sends SIGTERM to every program on a leash; the next run removes the folders
//! ```

use std::collections::BTreeSet;
use std::fs::{self, DirEntry, File};
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

/// In a folder for what is temporary, the file that its owner holds a lock on as long as it lives.
const OWNED: &str = "owned";

/// A folder for what is temporary; gone when dropped, and when the run is told to end. One whose owner was killed is
/// removed by the next that is made by that name.
#[derive(Debug)]
pub struct Folder {
    path: PathBuf,
    /// Its lock ends with the process, however that ends.
    _owned: File,
}

impl Folder {
    /// Makes a folder of that name and this process's id, which has as many digits in every run: the length of a
    /// path must not tell runs apart.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn new(name: &str) -> Result<Folder, Failure> {
        let temporary = std::env::temp_dir();
        remove_ownerless(&temporary, name);
        let path = temporary.join(format!("{name}-{:08}", process::id()));
        let mut gate = gate();
        let _owned = own(&path).map_err(|error| Failure::File { path: path.clone(), error })?;
        gate.insert(path.clone());
        Ok(Folder { path, _owned })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        gate().remove(&self.path);
        // Left over, it is found in the folder for what is temporary, and harms nobody.
        let _ = fs::remove_dir_all(&self.path);
    }
}

/// Makes a folder and takes its lock.
fn own(path: &Path) -> io::Result<File> {
    fs::create_dir_all(path)?;
    let owned = File::create(path.join(OWNED))?;
    owned.try_lock()?;
    Ok(owned)
}

/// Removes the folders of that name whose owners are gone.
fn remove_ownerless(temporary: &Path, name: &str) {
    for entry in fs::read_dir(temporary).into_iter().flatten().flatten() {
        if is_ownerless(&entry, name) {
            // Somebody else's is not removed, nor is what another run removes just now.
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}

/// Whether it is a folder that [`Folder::new`] has made by that name, and whoever made it is gone: no process has its id,
/// and none, not even one with ids of its own in a container, holds its lock.
fn is_ownerless(entry: &DirEntry, name: &str) -> bool {
    let file_name = entry.file_name();
    let digits = file_name
        .to_str()
        .and_then(|file_name| file_name.strip_prefix(name)?.strip_prefix('-'))
        .filter(|digits| digits.len() == 8);
    let Some(owner) = digits.and_then(|digits| digits.parse::<u32>().ok()) else { return false };
    entry.file_type().is_ok_and(|kind| kind.is_dir())
        && family(owner).is_empty()
        && File::open(entry.path().join(OWNED)).is_ok_and(|owned| owned.try_lock().is_ok())
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
        // Whoever runs on until the gate stops him may write into it just now.
        poll_until(PATIENCE, || fs::remove_dir_all(folder).is_ok() || !folder.exists());
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
    fn folders_are_removed_whose_owners_are_gone_and_no_others() {
        let folder = Folder::new("ending-ownerless").unwrap();
        // Ids end long before these.
        let made = ["run-99999991", "run-99999992", "run-99999993", "run-notes", "runs-99999991"]
            .map(|name| folder.path().join(name));
        let [dead, held, unmarked, unnumbered, another] = &made;
        let own_id = folder.path().join(format!("run-{:08}", process::id()));
        for path in [dead, unnumbered, another, &own_id] {
            drop(own(path).unwrap());
        }
        let lock = own(held).unwrap();
        fs::create_dir(unmarked).unwrap();
        // A program that another test starts just now has a copy of every lock until it begins.
        let is_removed = |path: &Path| {
            poll_until(PATIENCE, || {
                remove_ownerless(folder.path(), "run");
                !path.exists()
            })
        };
        assert!(is_removed(dead));
        for path in [held, unmarked, unnumbered, another, &own_id] {
            assert!(path.is_dir(), "{}", path.display());
        }
        drop(lock);
        assert!(is_removed(held));
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
