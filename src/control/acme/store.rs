//! Files of accounts, certificates and proofs: for their owner alone, and whole whenever they are read.
//!
//! What is written stands beside its place first and is renamed, so that no node reads a part of it. Errors name no
//! content. Tested beside it.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

/// Longest file that is read.
const FILE_BYTES_MAX: u64 = 1 << 20;
/// Proofs that an order has left behind are removed when they are older than every order may be.
const PROOF_AGE_MAX: Duration = Duration::from_secs(3600);

/// An error of a file, with its name.
#[derive(Debug, thiserror::Error)]
#[error("{}: {cause}", path.display())]
pub struct StoreError {
    path: PathBuf,
    cause: io::Error,
}

/// The content of a file; `None` where there is none.
///
/// # Errors
/// It cannot be read, or is too long.
pub fn read(path: &Path) -> Result<Option<Vec<u8>>, StoreError> {
    let fault = |cause| StoreError { path: path.to_owned(), cause };
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(fault(error)),
    };
    let mut content = Vec::new();
    file.take(FILE_BYTES_MAX + 1).read_to_end(&mut content).map_err(fault)?;
    if content.len() as u64 > FILE_BYTES_MAX {
        return Err(fault(io::Error::new(io::ErrorKind::InvalidData, "is longer than 1 MiB")));
    }
    Ok(Some(content))
}

/// Writes a file whole, for its owner alone; it is on disk when this returns.
///
/// # Errors
/// It cannot be written; what was there before stays.
pub fn write(path: &Path, content: &[u8]) -> Result<(), StoreError> {
    write_beside(path, content).map_err(|cause| StoreError { path: path.to_owned(), cause })
}

fn write_beside(path: &Path, content: &[u8]) -> io::Result<()> {
    let (Some(directory), Some(name)) = (path.parent(), path.file_name()) else {
        return Err(io::ErrorKind::InvalidInput.into());
    };
    make_directory(directory)?;
    // Hidden files are taken for no certificate.
    let draft = directory.join(format!(".{}.{}", name.to_string_lossy(), std::process::id()));
    let _ = fs::remove_file(&draft);
    let written = (|| {
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&draft)?;
        file.write_all(content)?;
        file.sync_all()?;
        fs::rename(&draft, path)?;
        File::open(directory)?.sync_all()
    })();
    if written.is_err() {
        let _ = fs::remove_file(&draft);
    }
    written
}

/// Makes a directory for its owner alone, with those around it.
///
/// # Errors
/// It cannot be made.
pub fn make_directory(path: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(path)
}

/// Removes a file, if it is there.
pub fn remove(path: &Path) {
    // What cannot be removed is replaced by the next writing, or stays without effect.
    let _ = fs::remove_file(path);
}

/// Removes the files of a directory that are older than any order may be.
pub fn remove_old(directory: &Path) {
    let Ok(entries) = fs::read_dir(directory) else { return };
    for entry in entries.flatten() {
        let age = entry.metadata().and_then(|metadata| metadata.modified());
        let age = age.ok().and_then(|modified| SystemTime::now().duration_since(modified).ok());
        if age.is_some_and(|age| age > PROOF_AGE_MAX) {
            remove(&entry.path());
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use crate::control::acme::store::*;

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().permissions().mode() & 0o777
    }

    #[test]
    fn what_is_written_is_for_its_owner_alone_and_leaves_no_draft() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("acme/certificates/a.pem");
        assert!(read(&path).unwrap().is_none());
        write(&path, b"one").unwrap();
        write(&path, b"two").unwrap();
        assert_eq!(read(&path).unwrap().unwrap(), b"two");
        assert_eq!(mode(&path), 0o600);
        assert_eq!(mode(path.parent().unwrap()), 0o700);
        assert_eq!(fs::read_dir(path.parent().unwrap()).unwrap().count(), 1);
    }

    #[test]
    fn a_failed_writing_leaves_what_was_there() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("a");
        fs::create_dir(&path).unwrap();
        let error = write(&path, b"one").unwrap_err().to_string();
        assert!(error.contains(&*path.to_string_lossy()), "{error}");
        assert_eq!(fs::read_dir(home.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_file_that_is_far_too_long_is_not_read() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("a");
        File::create(&path).unwrap().set_len(FILE_BYTES_MAX + 1).unwrap();
        assert!(read(&path).is_err());
    }

    #[test]
    fn only_what_is_old_is_cleared_away() {
        let home = tempfile::tempdir().unwrap();
        let (old, new) = (home.path().join("old"), home.path().join("new"));
        write(&old, b"").unwrap();
        write(&new, b"").unwrap();
        let before = SystemTime::now() - PROOF_AGE_MAX - Duration::from_secs(60);
        File::options().write(true).open(&old).unwrap().set_modified(before).unwrap();
        remove_old(home.path());
        assert!(!old.exists() && new.exists());
    }
}
