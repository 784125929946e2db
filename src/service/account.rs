//! The account of `process.user`: "USER" or "USER:GROUP", each by name or number.
//!
//! Only looks things up. Tested with the accounts that every system has.
use std::fmt;

use nix::errno::Errno;
use nix::unistd::{Gid, Group, Uid, User};

/// The user and group to change to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Account {
    /// The text of the file.
    pub text: String,
    /// Its name, for its supplementary groups; `None` for a number that has no name.
    pub name: Option<String>,
    pub uid: Uid,
    pub gid: Gid,
}

/// Why there is no such account.
#[derive(Debug, thiserror::Error)]
pub enum AccountFault {
    #[error("process.user = {text:?}: this system has no user {user:?}")]
    NoUser { text: String, user: String },
    #[error("process.user = {text:?}: this system has no group {group:?}")]
    NoGroup { text: String, group: String },
    #[error(
        "process.user = {text:?}: the number has no entry in the user database; write {text}:GROUP"
    )]
    GroupUnknown { text: String },
    #[error("process.user = {text:?}: the user database cannot be read: {cause}")]
    Database { text: String, cause: Errno },
}

impl Account {
    /// Looks the account up.
    ///
    /// # Errors
    /// No such user or group, or a number without a group.
    pub fn find(text: &str) -> Result<Account, AccountFault> {
        let (user, group) = match text.split_once(':') {
            Some((user, group)) => (user, Some(group)),
            None => (text, None),
        };
        let entry = entry_of(user, text)?;
        let uid = match (&entry, user.parse()) {
            (Some(entry), _) => entry.uid,
            (None, Ok(number)) => Uid::from_raw(number),
            (None, Err(_)) => {
                let (text, user) = (text.to_owned(), user.to_owned());
                return Err(AccountFault::NoUser { text, user });
            }
        };
        let gid = match (group, &entry) {
            (Some(group), _) => gid_of(group, text)?,
            (None, Some(entry)) => entry.gid,
            (None, None) => return Err(AccountFault::GroupUnknown { text: text.to_owned() }),
        };
        Ok(Account { text: text.to_owned(), name: entry.map(|entry| entry.name), uid, gid })
    }
}

impl fmt::Display for Account {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// A name is tried before a number: names may consist of digits.
fn entry_of(user: &str, text: &str) -> Result<Option<User>, AccountFault> {
    let database = |cause| AccountFault::Database { text: text.to_owned(), cause };
    if let Some(entry) = User::from_name(user).map_err(database)? {
        return Ok(Some(entry));
    }
    match user.parse() {
        Ok(number) => User::from_uid(Uid::from_raw(number)).map_err(database),
        Err(_) => Ok(None),
    }
}

fn gid_of(group: &str, text: &str) -> Result<Gid, AccountFault> {
    let found = Group::from_name(group)
        .map_err(|cause| AccountFault::Database { text: text.to_owned(), cause })?;
    match (found, group.parse()) {
        (Some(found), _) => Ok(found.gid),
        (None, Ok(number)) => Ok(Gid::from_raw(number)),
        (None, Err(_)) => {
            Err(AccountFault::NoGroup { text: text.to_owned(), group: group.to_owned() })
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::service::account::*;

    #[test]
    fn users_and_groups_are_found_by_name_and_by_number() {
        for (text, name, uid, gid) in [
            ("root", Some("root"), 0, 0),
            ("0", Some("root"), 0, 0),
            ("root:0", Some("root"), 0, 0),
            ("root:4711", Some("root"), 0, 4711),
            ("471100:root", None, 471_100, 0),
        ] {
            let account = Account::find(text).unwrap_or_else(|fault| panic!("{fault}"));
            assert_eq!(account.name.as_deref(), name, "{text}");
            assert_eq!((account.uid.as_raw(), account.gid.as_raw()), (uid, gid), "{text}");
            assert_eq!(account.to_string(), text);
        }
    }

    #[test]
    fn what_is_not_there_is_named() {
        for (text, says) in [
            ("no.such.user", "has no user \"no.such.user\""),
            ("root:no.such.group", "has no group \"no.such.group\""),
            ("471100", "write 471100:GROUP"),
        ] {
            let fault = Account::find(text).expect_err(text).to_string();
            assert!(fault.contains(says) && fault.contains("process.user"), "{fault}");
        }
    }
}
