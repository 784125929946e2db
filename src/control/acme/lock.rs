//! The lock that lets one node at a time ask an authority: a file that only one can create, with owner and expiry.
//!
//! A node that has died with it blocks the others until it expires. To take an expired one away, a node must first
//! create a second file, so that two that find it expired do not both take it, the later one from the earlier. Orders
//! end long before their lock does. Tested beside it.

use std::fs::{self, OpenOptions};
use std::io::{self, ErrorKind, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::store;

const FILE: &str = "lock";
/// Held while an expired lock is taken away.
const BREAK_FILE: &str = "lock.break";
/// How long a lock is good for.
pub const LIFE_S: i64 = 600;
/// By so much the clocks of two nodes may differ.
const SKEW_S: i64 = 60;

#[derive(Debug, Serialize, Deserialize)]
struct Holder {
    owner: String,
    expires_unix_s: i64,
}

/// The lock of a directory, held until it is dropped.
#[derive(Debug)]
pub struct Lock {
    path: PathBuf,
    owner: String,
}

impl Lock {
    /// Takes the lock of `base` for `owner`, whose name no other process has; `None` while another has it. `now` in
    /// seconds since 1970.
    ///
    /// # Errors
    /// The directory cannot be written.
    pub fn take(base: &Path, owner: &str, now: i64) -> io::Result<Option<Lock>> {
        store::make_directory(base)?;
        let path = base.join(FILE);
        if create(&path, owner, now)? {
            return Ok(Some(Lock { path, owner: owner.to_owned() }));
        }
        if !is_expired(&path, now) {
            return Ok(None);
        }
        let guard = base.join(BREAK_FILE);
        if !create(&guard, owner, now)? {
            if is_expired(&guard, now) {
                // Whoever took the lock away has died at it; the next attempt finds the way free.
                store::remove(&guard);
            }
            return Ok(None);
        }
        // Another may have taken it since it was read.
        let is_taken = if is_expired(&path, now) {
            store::remove(&path);
            create(&path, owner, now)
        } else {
            Ok(false)
        };
        store::remove(&guard);
        Ok(is_taken?.then(|| Lock { path, owner: owner.to_owned() }))
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        // One that has expired may be another's now.
        if holder(&self.path).is_some_and(|holder| holder.owner == self.owner) {
            store::remove(&self.path);
        }
    }
}

/// Creates a lock's file; `false` where there is one.
fn create(path: &Path, owner: &str, now: i64) -> io::Result<bool> {
    let opened = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
    let mut file = match opened {
        Ok(file) => file,
        Err(error) if error.kind() == ErrorKind::AlreadyExists => return Ok(false),
        Err(error) => return Err(error),
    };
    let holder = Holder { owner: owner.to_owned(), expires_unix_s: now.saturating_add(LIFE_S) };
    let written = file.write_all(&serde_json::to_vec(&holder)?).and_then(|()| file.sync_all());
    if written.is_err() {
        store::remove(path);
    }
    written.map(|()| true)
}

fn holder(path: &Path) -> Option<Holder> {
    serde_json::from_slice(&store::read(path).ok()??).ok()
}

/// Whether a lock's time is over. One without content, whose owner died while writing it, is as old as its file.
fn is_expired(path: &Path, now: i64) -> bool {
    let expires = match holder(path) {
        Some(holder) => holder.expires_unix_s,
        None => {
            let modified = fs::metadata(path).and_then(|metadata| metadata.modified());
            let since = modified.ok().and_then(|at| at.duration_since(std::time::UNIX_EPOCH).ok());
            // One that is gone is not expired: the next attempt creates it.
            let Some(since) = since else { return false };
            i64::try_from(since.as_secs()).unwrap_or(i64::MAX).saturating_add(LIFE_S)
        }
    };
    now > expires.saturating_add(SKEW_S)
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use crate::control::acme::lock::*;

    const NOW: i64 = 1_800_000_000;
    const LATER: i64 = NOW + LIFE_S + SKEW_S + 1;

    fn take(base: &Path, owner: &str, now: i64) -> Option<Lock> {
        Lock::take(base, owner, now).unwrap()
    }

    #[test]
    fn one_node_has_the_lock_until_it_gives_it_back() {
        let home = tempfile::tempdir().unwrap();
        let held = take(home.path(), "a", NOW).unwrap();
        assert!(take(home.path(), "b", NOW).is_none());
        assert!(take(home.path(), "b", LATER - 1).is_none(), "clocks differ");
        drop(held);
        assert!(take(home.path(), "b", NOW).is_some());
        assert_eq!(fs::read_dir(home.path()).unwrap().count(), 0);
    }

    #[test]
    fn an_expired_lock_is_taken_away_and_its_owner_leaves_the_new_one() {
        let home = tempfile::tempdir().unwrap();
        let held = take(home.path(), "a", NOW).unwrap();
        let taken = take(home.path(), "b", LATER).unwrap();
        drop(held);
        assert!(take(home.path(), "c", LATER).is_none(), "b's is still there");
        drop(taken);
        assert_eq!(fs::read_dir(home.path()).unwrap().count(), 0);
    }

    #[test]
    fn a_lock_without_content_is_as_old_as_its_file() {
        let home = tempfile::tempdir().unwrap();
        let file = fs::File::create(home.path().join(FILE)).unwrap();
        file.set_modified(UNIX_EPOCH + Duration::from_secs(NOW.unsigned_abs())).unwrap();
        assert!(take(home.path(), "b", NOW + LIFE_S).is_none());
        assert!(take(home.path(), "b", LATER).is_some());
    }

    #[test]
    fn a_node_that_died_while_it_took_a_lock_away_blocks_nobody_for_ever() {
        let home = tempfile::tempdir().unwrap();
        assert!(create(&home.path().join(FILE), "a", NOW).unwrap());
        assert!(create(&home.path().join(BREAK_FILE), "dead", NOW).unwrap());
        assert!(take(home.path(), "b", LATER).is_none());
        assert!(take(home.path(), "b", LATER).is_some());
    }

    #[test]
    fn of_many_at_once_one_takes_an_expired_lock() {
        let home = tempfile::tempdir().unwrap();
        assert!(create(&home.path().join(FILE), "dead", NOW).unwrap());
        let taken: Vec<Lock> = std::thread::scope(|scope| {
            let takers: Vec<_> = (0..8)
                .map(|number| {
                    let base = home.path();
                    scope.spawn(move || take(base, &format!("node {number}"), LATER))
                })
                .collect();
            takers.into_iter().filter_map(|taker| taker.join().unwrap()).collect()
        });
        assert!(taken.len() <= 1, "{taken:?}");
        assert!(taken.len() == 1 || take(home.path(), "late", LATER).is_some());
    }
}
