//! The files that the process must be able to write when it is no longer root: made beforehand, and given away.
//!
//! Gives away only files that it has made itself, and a state directory that was root's until now: in another user's
//! folder, a name may be a link to anything. Tested by the black-box suite as root.
use std::fs::{self, DirBuilder, OpenOptions};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{
    DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _, chown, fchown, lchown,
};
use std::path::{Path, PathBuf};

use super::account::Account;

/// Files and folders that the process's new user must own.
#[derive(Debug, Default)]
pub struct Belongings {
    pub state_directory: PathBuf,
    /// Folders of sockets and logs.
    pub directories: Vec<PathBuf>,
    /// Logs.
    pub files: Vec<PathBuf>,
}

impl Belongings {
    /// Makes the missing ones and gives them to `account`.
    ///
    /// # Errors
    /// The path that could not be made or given away, and why.
    pub(super) fn hand_over(&self, account: &Account) -> Result<(), (PathBuf, io::Error)> {
        let named = |path: &Path| {
            let path = path.to_owned();
            move |error| (path, error)
        };
        for directory in &self.directories {
            make_directory(directory, 0o755, account).map_err(named(directory))?;
        }
        for file in &self.files {
            make_file(file, account).map_err(named(file))?;
        }
        let state = &self.state_directory;
        make_directory(state, 0o700, account)
            .and_then(|()| take_from_root(state, account))
            .map_err(named(state))
    }
}

fn give(path: &Path, account: &Account) -> io::Result<()> {
    chown(path, Some(account.uid.as_raw()), Some(account.gid.as_raw()))
}

/// An existing folder stays unchanged.
fn make_directory(path: &Path, mode: u32, account: &Account) -> io::Result<()> {
    if path.exists() {
        return Ok(());
    }
    DirBuilder::new().recursive(true).mode(mode).create(path)?;
    give(path, account)
}

/// An existing file stays unchanged: opening it later shows whether it can be written.
fn make_file(path: &Path, account: &Account) -> io::Result<()> {
    match OpenOptions::new().append(true).create_new(true).mode(0o640).open(path) {
        Ok(file) => fchown(&file, Some(account.uid.as_raw()), Some(account.gid.as_raw())),
        Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(error),
    }
}

/// Gives away a state directory from a time when the process stayed root, whose files are still needed.
fn take_from_root(directory: &Path, account: &Account) -> io::Result<()> {
    let metadata = fs::symlink_metadata(directory)?;
    if !metadata.is_dir() || metadata.uid() != 0 || metadata.mode() & 0o022 != 0 {
        // Another user's, or one in which another user may have put links.
        return Ok(());
    }
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        // A link is neither, and stays root's.
        let kind = entry.file_type()?;
        if kind.is_file() {
            lchown(entry.path(), Some(account.uid.as_raw()), Some(account.gid.as_raw()))?;
        } else if kind.is_dir() {
            take_from_root(&entry.path(), account)?;
        }
    }
    give(directory, account)
}
