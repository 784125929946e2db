//! The key ring: from the file, or generated once and kept in the state directory.
//!
//! Never shows a secret, and never overwrites an existing one: a lost key ends every session's affinity. Tested beside
//! it.

use std::fs::{self, OpenOptions};
use std::io::{self, ErrorKind, Write as _};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::config::file::{File, Key};
use crate::stickiness::keyring::{self, KeyRing, KeyRingFault, SECRET_SIZE};

/// Name of the kept key in the state directory.
pub const KEY_FILE: &str = "stickiness.key";

/// Number of a generated key.
const GENERATED_ID: u16 = 0;

/// A key ring, and a message about its origin.
#[derive(Debug)]
pub struct Keys {
    pub ring: Arc<KeyRing>,
    pub origin: Origin,
}

#[derive(Debug)]
pub enum Origin {
    /// `[stickiness_keys]` of the file.
    Configured,
    /// Kept in the state directory; other nodes do not have it.
    Kept(PathBuf),
    /// In memory only, for the reason given: affinity ends with the process.
    Memory(String),
}

#[derive(Debug, thiserror::Error)]
pub enum KeysError {
    #[error(transparent)]
    Ring(#[from] KeyRingFault),
    #[error("stickiness_keys: {0}")]
    Secret(String),
    #[error("{}: {what}; restore it, or remove it to have a new key generated", path.display())]
    Kept { path: PathBuf, what: String },
    #[error("the system has no random bytes to give")]
    NoRandomness,
}

/// The ring of the file; without one, the kept one; without that, a new one, which is kept.
///
/// # Errors
/// An existing key that cannot be used, or a system without randomness.
pub fn load(file: &File) -> Result<Keys, KeysError> {
    if let Some(ring) = configured(&file.stickiness_keys.keys)? {
        return Ok(Keys { ring, origin: Origin::Configured });
    }
    let directory = &file.process.state_directory;
    let path = directory.join(KEY_FILE);
    let (secret, origin) = match read(&path) {
        Ok(secret) => (secret, Origin::Kept(path)),
        Err(ReadError::Absent) => generate(directory, path)?,
        // Another user's key, which this process may not read.
        Err(ReadError::Denied(error)) => {
            (new_secret()?, Origin::Memory(format!("{}: {error}", path.display())))
        }
        Err(ReadError::Unusable(what)) => return Err(KeysError::Kept { path, what }),
    };
    Ok(Keys { ring: Arc::new(KeyRing::from_secrets(&[(GENERATED_ID, secret)])?), origin })
}

/// A ring for inspecting a configuration without running it: the file's, else a temporary one.
///
/// # Errors
/// As [`load`].
pub fn for_inspection(file: &File) -> Result<Arc<KeyRing>, KeysError> {
    match configured(&file.stickiness_keys.keys)? {
        Some(ring) => Ok(ring),
        None => {
            let path = file.process.state_directory.join(KEY_FILE);
            let secret = read(&path).or_else(|_| new_secret())?;
            Ok(Arc::new(KeyRing::from_secrets(&[(GENERATED_ID, secret)])?))
        }
    }
}

fn configured(keys: &[Key]) -> Result<Option<Arc<KeyRing>>, KeysError> {
    if keys.is_empty() {
        return Ok(None);
    }
    let mut secrets = Vec::with_capacity(keys.len());
    for key in keys {
        let secret = keyring::parse_secret(&key.secret);
        secrets.push((key.id, secret.map_err(|fault| KeysError::Secret(fault.to_string()))?));
    }
    Ok(Some(Arc::new(KeyRing::from_secrets(&secrets)?)))
}

fn new_secret() -> Result<[u8; SECRET_SIZE], KeysError> {
    keyring::generate_secret().ok_or(KeysError::NoRandomness)
}

#[derive(Debug)]
enum ReadError {
    Absent,
    Denied(io::Error),
    Unusable(String),
}

fn read(path: &Path) -> Result<[u8; SECRET_SIZE], ReadError> {
    let text = match fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) => {
            return Err(match error.kind() {
                ErrorKind::NotFound | ErrorKind::NotADirectory => ReadError::Absent,
                ErrorKind::PermissionDenied => ReadError::Denied(error),
                _ => ReadError::Unusable(error.to_string()),
            });
        }
    };
    let metadata = fs::metadata(path).map_err(|error| ReadError::Unusable(error.to_string()))?;
    let mode = metadata.permissions().mode() & 0o777;
    if mode & 0o077 != 0 {
        return Err(ReadError::Unusable(format!(
            "others may read it (mode {mode:04o}); chmod 600"
        )));
    }
    keyring::parse_secret(&text).map_err(|fault| ReadError::Unusable(fault.to_string()))
}

/// Generates a key and keeps it. If two processes do so at once, the first wins and the other uses its key.
fn generate(directory: &Path, path: PathBuf) -> Result<([u8; SECRET_SIZE], Origin), KeysError> {
    let secret = new_secret()?;
    match keep(directory, &path, &secret) {
        Ok(()) => Ok((secret, Origin::Kept(path))),
        Err(error) if error.kind() == ErrorKind::AlreadyExists => match read(&path) {
            Ok(secret) => Ok((secret, Origin::Kept(path))),
            Err(ReadError::Unusable(what)) => Err(KeysError::Kept { path, what }),
            Err(ReadError::Absent | ReadError::Denied(_)) => {
                Ok((secret, Origin::Memory(format!("{}: is not readable", path.display()))))
            }
        },
        Err(error) => Ok((secret, Origin::Memory(format!("{}: {error}", path.display())))),
    }
}

/// Writes the whole key under another name first, so that no reader ever sees a part of it.
fn keep(directory: &Path, path: &Path, secret: &[u8; SECRET_SIZE]) -> io::Result<()> {
    fs::create_dir_all(directory)?;
    let draft = directory.join(format!("{KEY_FILE}.{}", std::process::id()));
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&draft)?;
    let text = format!("{}\n", keyring::format_secret(secret));
    let written = file.write_all(text.as_bytes()).and_then(|()| file.sync_all());
    // A hard link fails where the name exists; a rename would replace the file.
    let linked = written.and_then(|()| fs::hard_link(&draft, path));
    let removed = fs::remove_file(&draft);
    linked.and(removed)
}

#[cfg(test)]
mod tests {
    use crate::control::config;
    use crate::control::keys::*;

    fn file_with(directory: &Path) -> File {
        let text = format!(
            "process.state_directory = {directory:?}\n\
             [[listener]]\nname = \"a\"\naddress = \"127.0.0.1:0\"\nrespond = {{}}\n"
        );
        config::parse(&text, "test.toml").unwrap()
    }

    fn kept_text(directory: &Path) -> String {
        fs::read_to_string(directory.join(KEY_FILE)).unwrap()
    }

    #[test]
    fn a_generated_key_is_kept_for_its_owner_alone_and_found_again() {
        let home = tempfile::tempdir().unwrap();
        let directory = home.path().join("state");
        let first = load(&file_with(&directory)).unwrap();
        assert!(matches!(first.origin, Origin::Kept(_)));
        let text = kept_text(&directory);
        let mode = fs::metadata(directory.join(KEY_FILE)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        load(&file_with(&directory)).unwrap();
        assert_eq!(kept_text(&directory), text);
        let names: Vec<_> = fs::read_dir(&directory).unwrap().collect();
        assert_eq!(names.len(), 1, "the draft is gone");
    }

    #[test]
    fn a_kept_key_that_is_damaged_or_open_to_others_is_refused_not_replaced() {
        let home = tempfile::tempdir().unwrap();
        let file = file_with(home.path());
        load(&file).unwrap();
        let path = home.path().join(KEY_FILE);
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        assert!(load(&file).unwrap_err().to_string().contains("others may read it"));
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        fs::write(&path, "garbage").unwrap();
        assert!(matches!(load(&file), Err(KeysError::Kept { .. })));
        assert_eq!(fs::read_to_string(&path).unwrap(), "garbage");
    }

    #[test]
    fn without_a_place_to_keep_it_the_key_lives_in_memory_and_that_is_said() {
        let home = tempfile::tempdir().unwrap();
        let in_the_way = home.path().join("file");
        fs::write(&in_the_way, "").unwrap();
        let keys = load(&file_with(&in_the_way)).unwrap();
        assert!(matches!(keys.origin, Origin::Memory(_)));
    }

    #[test]
    fn keys_of_the_file_come_first_and_touch_no_disk() {
        let home = tempfile::tempdir().unwrap();
        let directory = home.path().join("state");
        let mut file = file_with(&directory);
        let secret = keyring::format_secret(&[7; SECRET_SIZE]);
        file.stickiness_keys.keys = vec![Key { id: 5, secret }];
        let keys = load(&file).unwrap();
        assert!(matches!(keys.origin, Origin::Configured));
        assert_eq!(keys.ring.ids().collect::<Vec<_>>(), [5]);
        assert!(!directory.exists());
    }

    #[test]
    fn looking_at_a_configuration_keeps_nothing() {
        let home = tempfile::tempdir().unwrap();
        let directory = home.path().join("state");
        for_inspection(&file_with(&directory)).unwrap();
        assert!(!directory.exists());
    }
}
