//! Replaces the configuration file so that a reader sees the old text or the new one, never a part.
//!
//! Written beside its name, forced to disk, renamed. A symbolic link stays one: the file it leads to is
//! replaced. Permission bits and owner stay. Never creates a file that is not there. Tested below.

use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _, fchown};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// What tells one state of a file from the next without reading it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stamp {
    device: u64,
    inode: u64,
    size: u64,
    modified: Option<SystemTime>,
    changed: (i64, i64),
}

impl Stamp {
    /// # Errors
    /// The file is not there or may not be looked at.
    pub fn of(path: &Path) -> io::Result<Stamp> {
        let metadata = fs::metadata(path)?;
        Ok(Stamp {
            device: metadata.dev(),
            inode: metadata.ino(),
            size: metadata.len(),
            modified: metadata.modified().ok(),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
        })
    }
}

/// Puts `text` in the place of the file's content.
///
/// # Errors
/// The file is read-only or gone, or its directory cannot be written; the file is then as it was.
pub fn replace(path: &Path, text: &str) -> io::Result<()> {
    let path = fs::canonicalize(path)?;
    let metadata = fs::metadata(&path)?;
    let mode = metadata.permissions().mode() & 0o7777;
    if !metadata.is_file() {
        return Err(io::Error::new(ErrorKind::InvalidInput, "it is not a regular file"));
    }
    if mode & 0o222 == 0 {
        let why = format!("it is read-only (mode {mode:04o})");
        return Err(io::Error::new(ErrorKind::PermissionDenied, why));
    }
    let draft = draft_of(&path)?;
    let written = write(&draft, text, &metadata).and_then(|()| fs::rename(&draft, &path));
    if let Err(error) = written {
        // The first error is the one to tell.
        let _ = fs::remove_file(&draft);
        return Err(error);
    }
    // The rename itself survives a power cut only when the directory is on disk.
    directory_of(&path).and_then(File::open).and_then(|directory| directory.sync_all())
}

fn directory_of(path: &Path) -> io::Result<&Path> {
    path.parent().ok_or_else(|| io::Error::new(ErrorKind::InvalidInput, "it has no directory"))
}

fn draft_of(path: &Path) -> io::Result<PathBuf> {
    let mut name = std::ffi::OsString::from(".");
    name.push(path.file_name().unwrap_or_default());
    name.push(format!(".limpet-{}", std::process::id()));
    Ok(directory_of(path)?.join(name))
}

fn write(draft: &Path, text: &str, like: &fs::Metadata) -> io::Result<()> {
    match fs::remove_file(draft) {
        Err(error) if error.kind() != ErrorKind::NotFound => return Err(beside(error)),
        // What a process of the same number left behind, or nothing.
        Ok(()) | Err(_) => {}
    }
    let mut options = OpenOptions::new();
    // Nobody else reads it before it has the right owner.
    let mut file = options.write(true).create_new(true).mode(0o600).open(draft).map_err(beside)?;
    file.write_all(text.as_bytes())?;
    let own = file.metadata()?;
    if (own.uid(), own.gid()) != (like.uid(), like.gid()) {
        let (owner, group) = (like.uid(), like.gid());
        fchown(&file, Some(owner), Some(group)).map_err(|error| {
            let why = format!("its owner {owner}:{group} cannot be kept: {error}");
            io::Error::new(error.kind(), why)
        })?;
    }
    file.set_permissions(like.permissions())?;
    file.sync_all()
}

fn beside(error: io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("nothing can be written beside it: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn directory() -> tempfile::TempDir {
        tempfile::tempdir().unwrap()
    }

    fn names(directory: &Path) -> Vec<String> {
        let name = |entry: io::Result<fs::DirEntry>| entry.unwrap().file_name().into_string();
        let mut names: Vec<_> =
            fs::read_dir(directory).unwrap().map(|entry| name(entry).unwrap()).collect();
        names.sort();
        names
    }

    #[test]
    fn the_text_is_replaced_and_the_mode_stays() {
        let home = directory();
        let path = home.path().join("limpet.toml");
        fs::write(&path, "old").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        let before = Stamp::of(&path).unwrap();
        replace(&path, "new text").unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "new text");
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o7777, 0o640);
        assert_eq!(names(home.path()), ["limpet.toml"]);
        assert_ne!(Stamp::of(&path).unwrap(), before);
    }

    #[test]
    fn a_symbolic_link_stays_one() {
        let home = directory();
        let (real, link) = (home.path().join("real.toml"), home.path().join("link.toml"));
        fs::write(&real, "old").unwrap();
        std::os::unix::fs::symlink("real.toml", &link).unwrap();
        replace(&link, "new").unwrap();
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
        assert_eq!(fs::read_to_string(&real).unwrap(), "new");
        assert_eq!(names(home.path()), ["link.toml", "real.toml"]);
    }

    #[test]
    fn a_read_only_file_is_left_alone_and_the_error_says_so() {
        let home = directory();
        let path = home.path().join("limpet.toml");
        fs::write(&path, "old").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o444)).unwrap();
        let error = replace(&path, "new").unwrap_err();
        assert_eq!(error.to_string(), "it is read-only (mode 0444)");
        assert_eq!(fs::read_to_string(&path).unwrap(), "old");
    }

    #[test]
    fn what_is_not_there_or_no_file_is_not_made_one() {
        let home = directory();
        let path = home.path().join("limpet.toml");
        assert_eq!(replace(&path, "new").unwrap_err().kind(), ErrorKind::NotFound);
        let error = replace(home.path(), "new").unwrap_err();
        assert_eq!(error.to_string(), "it is not a regular file");
        assert!(names(home.path()).is_empty());
    }
}
