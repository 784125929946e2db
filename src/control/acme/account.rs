//! The account at an authority: made once, kept with its key, found again. Its key is never shown.
//!
//! Tested beside it and against pebble.

use std::path::Path;

use base64::Engine as _;
use base64::prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD};
use instant_acme::{Account, AccountCredentials, Error, ExternalAccountKey, NewAccount};
use serde::{Deserialize, Serialize};

use super::fault::Fault;
use super::http::Client;
use super::store;
use super::wanted::Wanted;

/// An account as it is kept.
#[derive(Serialize, Deserialize)]
struct Kept {
    contact: Vec<String>,
    credentials: AccountCredentials,
}

/// The account that is kept for a certificate; `None` where there is none.
///
/// # Errors
/// See [`Fault`].
pub async fn find(wanted: &Wanted, client: &Client) -> Result<Option<Account>, Fault> {
    let builder = Account::builder_with_http(Box::new(client.clone()));
    match read(&wanted.account())? {
        Some(kept) => Ok(Some(builder.from_credentials(kept.credentials).await?)),
        None => Ok(None),
    }
}

/// The account for a certificate: the kept one, or a new one, which is kept. Writes the file; call it with the lock.
///
/// # Errors
/// See [`Fault`].
pub async fn open(wanted: &Wanted, client: &Client) -> Result<Account, Fault> {
    let contact = &wanted.acme.contact;
    let path = wanted.account();
    let builder = Account::builder_with_http(Box::new(client.clone()));
    let list: Vec<&str> = contact.iter().map(String::as_str).collect();
    if let Some(kept) = read(&path)? {
        let account = builder.from_credentials(kept.credentials).await?;
        if kept.contact != *contact {
            account.update_contacts(&list).await?;
            // The credentials do not change; the library gives them back to nobody.
            if let Some(Kept { credentials, .. }) = read(&path)? {
                keep(&path, &Kept { contact: contact.clone(), credentials })?;
            }
        }
        return Ok(account);
    }
    let external = match &wanted.acme.external_account {
        Some(external) => Some(ExternalAccountKey::new(
            external.key_id.clone(),
            &external_key(&external.key_file)?,
        )),
        None => None,
    };
    let new =
        NewAccount { contact: &list, terms_of_service_agreed: true, only_return_existing: false };
    let directory = wanted.acme.directory.clone();
    let (account, credentials) = builder.create(&new, directory, external.as_ref()).await?;
    keep(&path, &Kept { contact: contact.clone(), credentials })?;
    Ok(account)
}

/// Forgets an account that the authority does not know any more.
pub fn forget(wanted: &Wanted) {
    store::remove(&wanted.account());
}

/// Whether an error says that the authority does not know the account.
pub fn is_unknown(error: &Error) -> bool {
    let Error::Api(problem) = error else { return false };
    problem.r#type.as_deref() == Some("urn:ietf:params:acme:error:accountDoesNotExist")
}

fn read(path: &Path) -> Result<Option<Kept>, Fault> {
    let Some(kept) = store::read(path)? else { return Ok(None) };
    let shown = path.display();
    // The library's error may quote a part of the key.
    let kept = serde_json::from_slice(&kept).map_err(|_| {
        Fault::of(format!("{shown}: is no account; remove it to have a new one made"))
    })?;
    Ok(Some(kept))
}

fn keep(path: &Path, kept: &Kept) -> Result<(), Fault> {
    let text = serde_json::to_vec(kept).map_err(|_| Fault::of("the account has no text form"))?;
    Ok(store::write(path, &text)?)
}

/// The key of an external account, which authorities give in base64url (RFC 8555 §7.3.4), some of them padded.
fn external_key(path: &Path) -> Result<Vec<u8>, Fault> {
    let shown = path.display();
    let text = store::read(path)?.ok_or_else(|| Fault::of(format!("{shown}: does not exist")))?;
    let text = text.trim_ascii();
    let bare = text.iter().rposition(|byte| *byte != b'=').map_or(0, |last| last + 1);
    let url_safe = BASE64_URL_SAFE_NO_PAD.decode(text.get(..bare).unwrap_or_default());
    let key = url_safe.or_else(|_| BASE64_STANDARD.decode(text));
    let key = key.map_err(|_| Fault::of(format!("{shown}: is not base64url")))?;
    if key.is_empty() { Err(Fault::of(format!("{shown}: has no key"))) } else { Ok(key) }
}

#[cfg(test)]
mod tests {
    use crate::control::acme::account::*;

    #[test]
    fn the_key_of_an_external_account_is_read_as_authorities_give_it() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("key");
        let read = |text: &str| {
            std::fs::write(&path, text).unwrap();
            external_key(&path).map_err(|fault| fault.to_string())
        };
        assert_eq!(read("-_-_AA\n"), Ok(vec![0xfb, 0xff, 0xbf, 0]));
        assert_eq!(read(" -_-_AA== "), Ok(vec![0xfb, 0xff, 0xbf, 0]));
        assert_eq!(read("+/+/AA=="), Ok(vec![0xfb, 0xff, 0xbf, 0]));
        let refused = read("hunter2!").unwrap_err();
        assert!(refused.ends_with("is not base64url") && !refused.contains("hunter2"));
        assert!(read("").unwrap_err().ends_with("has no key"));
    }
}
