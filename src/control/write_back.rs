//! Replaces the configuration file so that a reader sees the old text or the new one, never a part.
//!
//! Written beside the file, forced to disk, renamed. A symbolic link stays: the file that it points to is replaced.
//! Permission bits and owner stay. Never creates a missing file. Tested below.

use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _, fchown};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use nix::errno::Errno;
use nix::unistd::{self, AccessFlags};

/// Distinguishes two states of a file without reading it.
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
    /// The file does not exist or cannot be examined.
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

/// Replaces the file's content with `text`.
///
/// # Errors
/// The file is read-only or gone, or its directory cannot be written; the file then stays unchanged.
pub fn replace(path: &Path, text: &str) -> io::Result<()> {
    let (path, metadata) = replaceable(path)?;
    clear_drafts(&path);
    let draft = draft_of(&path)?;
    let written = write(&draft, text, &metadata).and_then(|file| {
        let renamed = fs::rename(&draft, &path);
        // Until here the lock marked the draft as in use.
        drop(file);
        renamed
    });
    if let Err(error) = written {
        // The first error is the one to report.
        let _ = fs::remove_file(&draft);
        return Err(error);
    }
    // The rename survives a power cut only when the directory is on disk.
    directory_of(&path).and_then(File::open).and_then(|directory| directory.sync_all())
}

/// Why [`replace`] would be refused, as far as that shows without trying; cheap enough to be called every second.
pub fn obstacle(path: &Path) -> Option<String> {
    let (path, metadata) = match replaceable(path) {
        Ok(found) => found,
        Err(error) => return Some(error.to_string()),
    };
    let directory = directory_of(&path).ok()?;
    if let Err(errno) = unistd::access(directory, AccessFlags::W_OK | AccessFlags::X_OK) {
        let directory = directory.display();
        return Some(match errno {
            Errno::EROFS => format!("{directory} is read-only for limpet"),
            _ => format!("limpet may not write to {directory}"),
        });
    }
    let (owner, own) = (metadata.uid(), unistd::geteuid());
    let keeps_owner = owner == own.as_raw() || own.is_root();
    (!keeps_owner).then(|| format!("it belongs to user {owner}, and limpet runs as user {own}"))
}

/// The file that a name leads to, if it may be replaced.
fn replaceable(path: &Path) -> io::Result<(PathBuf, fs::Metadata)> {
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
    Ok((path, metadata))
}

fn directory_of(path: &Path) -> io::Result<&Path> {
    path.parent().ok_or_else(|| io::Error::new(ErrorKind::InvalidInput, "it has no directory"))
}

/// Removes the drafts that killed processes have left beside a file. A draft that cannot be removed only takes room.
pub fn clear_drafts(path: &Path) {
    let Ok(path) = fs::canonicalize(path) else { return };
    let Ok(entries) = directory_of(&path).and_then(fs::read_dir) else { return };
    let prefix = draft_prefix(&path);
    for entry in entries.filter_map(Result::ok) {
        let name = entry.file_name();
        let number = name.as_encoded_bytes().strip_prefix(prefix.as_encoded_bytes());
        let is_draft = number
            .is_some_and(|number| !number.is_empty() && number.iter().all(u8::is_ascii_digit));
        // limpet makes no links of that name.
        if is_draft && entry.file_type().is_ok_and(|kind| kind.is_file()) && is_left(&entry.path())
        {
            // Another process may have removed it meanwhile.
            let _ = fs::remove_file(entry.path());
        }
    }
}

/// Whether a draft is abandoned: a process that writes one holds its lock. A lock ends with its process, and unlike a
/// process number it means the same in every container.
fn is_left(draft: &Path) -> bool {
    File::open(draft).is_ok_and(|file| file.try_lock().is_ok())
}

fn draft_prefix(path: &Path) -> std::ffi::OsString {
    let mut name = std::ffi::OsString::from(".");
    name.push(path.file_name().unwrap_or_default());
    name.push(".limpet-");
    name
}

fn draft_of(path: &Path) -> io::Result<PathBuf> {
    let mut name = draft_prefix(path);
    name.push(std::process::id().to_string());
    Ok(directory_of(path)?.join(name))
}

/// Writes the draft to disk, whole and locked.
fn write(draft: &Path, text: &str, like: &fs::Metadata) -> io::Result<File> {
    match fs::remove_file(draft) {
        Err(error) if error.kind() != ErrorKind::NotFound => return Err(beside(error)),
        // Removes a draft that a process of the same number may have left behind.
        Ok(()) | Err(_) => {}
    }
    let mut options = OpenOptions::new();
    // No other user may read it before it has the right owner.
    let mut file = options.write(true).create_new(true).mode(0o600).open(draft).map_err(beside)?;
    file.lock().map_err(beside)?;
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
    file.sync_all()?;
    Ok(file)
}

fn beside(error: io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("nothing can be written beside it: {error}"))
}

#[cfg(test)]
mod tests {
    use crate::control::write_back::*;

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
    fn what_stands_against_it_is_told_without_trying() {
        let home = directory();
        let path = home.path().join("limpet.toml");
        assert!(obstacle(&path).is_some_and(|why| why.contains("No such file")));
        fs::write(&path, "old").unwrap();
        assert_eq!(obstacle(&path), None);
        fs::set_permissions(&path, fs::Permissions::from_mode(0o444)).unwrap();
        assert_eq!(obstacle(&path).as_deref(), Some("it is read-only (mode 0444)"));
        assert!(obstacle(home.path()).is_some_and(|why| why.contains("not a regular file")));
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        fs::set_permissions(home.path(), fs::Permissions::from_mode(0o555)).unwrap();
        // Root can write wherever the file system is not read-only.
        let is_kept_out = !unistd::geteuid().is_root();
        assert_eq!(obstacle(&path).is_some(), is_kept_out);
        fs::set_permissions(home.path(), fs::Permissions::from_mode(0o755)).unwrap();
        assert_eq!(names(home.path()), ["limpet.toml"], "nothing was tried");
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
    fn drafts_of_killed_write_backs_go_and_nothing_else_does() {
        let home = directory();
        let path = home.path().join("limpet.toml");
        fs::write(&path, "old").unwrap();
        for left in [".limpet.toml.limpet-1", ".limpet.toml.limpet-4000000"] {
            fs::write(home.path().join(left), "half").unwrap();
        }
        let others = [
            ".limpet.toml.limpet-",
            ".limpet.toml.limpet-7a",
            ".limpet.toml.swp",
            ".other.toml.limpet-1",
            "limpet.toml.limpet-1",
        ];
        for other in others {
            fs::write(home.path().join(other), "stays").unwrap();
        }
        std::os::unix::fs::symlink("limpet.toml", home.path().join(".limpet.toml.limpet-2"))
            .unwrap();
        let busy = File::create(home.path().join(".limpet.toml.limpet-3")).unwrap();
        busy.lock().unwrap();
        clear_drafts(&path);
        let mut stay = others.to_vec();
        stay.extend([".limpet.toml.limpet-2", ".limpet.toml.limpet-3", "limpet.toml"]);
        stay.sort_unstable();
        assert_eq!(names(home.path()), stay);
        drop(busy);
        replace(&path, "new").unwrap();
        assert!(!names(home.path()).contains(&".limpet.toml.limpet-3".to_owned()));
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
