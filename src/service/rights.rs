//! From root to an ordinary user that may bind ports below 1024, and nothing else.
//!
//! Must be called while the process has one thread: capabilities belong to threads, and are inherited by those that are
//! started afterwards. Everything that follows (sockets, logs, keys, io_uring) is then done with the rights that a
//! reload will have, so that a missing right shows at the start already. Tested by the black-box suite as root, through
//! /proc.
use std::ffi::CString;
use std::io;
use std::path::PathBuf;

use caps::{CapSet, Capability, CapsHashSet};
use nix::sys::prctl;
use nix::unistd::{self, Uid};

use super::account::{Account, AccountFault};
use super::belongings::Belongings;

/// The capability that is kept: ports below 1024, at the start and at a reload.
const KEPT: Capability = Capability::CAP_NET_BIND_SERVICE;

/// Why the process keeps its user.
#[derive(Debug, thiserror::Error)]
pub enum BecomeError {
    #[error(transparent)]
    Account(#[from] AccountFault),
    #[error("process.user = {user:?}: only root can become another user; this is user {uid}")]
    NotRoot { user: String, uid: u32 },
    #[error("process.user = {user:?}: {} cannot be made and given to that user: {cause}", path.display())]
    Belongings { user: String, path: PathBuf, cause: io::Error },
    #[error("process.user = {user:?}: {what}: {cause}")]
    Refused { user: String, what: &'static str, cause: String },
}

/// Changes to the user that `text` names ("USER" or "USER:GROUP"), for good. `belongings` are made and given to that
/// user first. Does nothing when the process has that user already; root may stay root.
///
/// # Errors
/// An unknown account, a process that is not root, a step that the system refuses: it names user and
/// cause, and the process must not go on.
pub fn become_user(text: &str, belongings: &Belongings) -> Result<(), BecomeError> {
    let account = Account::find(text)?;
    let current = unistd::geteuid();
    if account.uid == current {
        return Ok(());
    }
    if !current.is_root() {
        return Err(BecomeError::NotRoot { user: account.text, uid: current.as_raw() });
    }
    belongings.hand_over(&account).map_err(|(path, cause)| BecomeError::Belongings {
        user: account.text.clone(),
        path,
        cause,
    })?;
    change(&account).map_err(|(what, cause)| BecomeError::Refused {
        user: account.text.clone(),
        what,
        cause,
    })
}

/// Whether the process has all of root's rights now.
pub fn is_root() -> bool {
    unistd::geteuid().is_root()
}

type Step = Result<(), (&'static str, String)>;

fn step<T, E: ToString>(
    what: &'static str,
    result: Result<T, E>,
) -> Result<T, (&'static str, String)> {
    result.map_err(|error| (what, error.to_string()))
}

fn change(account: &Account) -> Step {
    let owned = step("capabilities", caps::read(None, CapSet::Permitted))?;
    let kept: CapsHashSet = owned.into_iter().filter(|&capability| capability == KEPT).collect();
    drop_bounding()?;
    step("keeping capabilities", prctl::set_keepcaps(true))?;
    change_ids(account)?;
    // The change of user has emptied the effective set; of the permitted set only this much may stay.
    step("capabilities", caps::set(None, CapSet::Effective, &kept))?;
    step("capabilities", caps::set(None, CapSet::Permitted, &kept))?;
    step("capabilities", caps::clear(None, CapSet::Inheritable))?;
    step("keeping capabilities", prctl::set_keepcaps(false))?;
    step("no new privileges", prctl::set_no_new_privs())?;
    // Makes its own /proc readable for its metrics, as in a process that was started by that user.
    step("reading its own state", prctl::set_dumpable(true))?;
    check(account)
}

/// No program that this process might start gets more capabilities.
fn drop_bounding() -> Step {
    for capability in caps::all() {
        let is_there = caps::has_cap(None, CapSet::Bounding, capability).unwrap_or(false);
        if is_there && capability != KEPT {
            step("the bounding set", caps::drop(None, CapSet::Bounding, capability))?;
        }
    }
    Ok(())
}

/// Groups first: afterwards the right to change them is gone.
fn change_ids(account: &Account) -> Step {
    match &account.name {
        Some(name) => {
            let name = step("its name", CString::new(name.as_str()))?;
            step("its supplementary groups", unistd::initgroups(&name, account.gid))?;
        }
        None => step("its supplementary groups", unistd::setgroups(&[account.gid]))?,
    }
    let (uid, gid) = (account.uid, account.gid);
    step("its group", unistd::setresgid(gid, gid, gid))?;
    step("its user", unistd::setresuid(uid, uid, uid))
}

/// Verifies that the change is final: root must be out of reach now.
fn check(account: &Account) -> Step {
    let ids = step("its user", unistd::getresuid())?;
    let is_changed = [ids.real, ids.effective, ids.saved].iter().all(|&id| id == account.uid);
    if !is_changed || unistd::setuid(Uid::from_raw(0)).is_ok() {
        return Err(("its user", "root is still within reach".to_owned()));
    }
    Ok(())
}
