//! The certificates that a file asks authorities for, and where they are kept. Reads nothing. Tested beside it.

use std::path::{Path, PathBuf};

use aws_lc_rs::digest::{SHA256, digest};

use crate::control::config::file::{Acme, File};
use crate::tls::x509::hex;

/// Kept in the state directory, where no directory is shared.
const DIRECTORY: &str = "acme";
/// Characters of a name that begin a file's name, which has 255 at most.
const NAME_CHARS: usize = 100;
/// Digits of a hash in a file's name.
const HASH_DIGITS: usize = 12;

/// A certificate that an authority is to issue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    /// The first name, and a hash of all that makes it another certificate: a part of files' names.
    pub id: String,
    /// In lower case, sorted.
    pub names: Vec<String>,
    /// The directory that everything is kept in.
    pub base: PathBuf,
    /// Whether other nodes use `base`.
    pub is_shared: bool,
    pub acme: Acme,
}

impl Wanted {
    pub fn of(acme: &Acme, state_directory: &Path) -> Wanted {
        let mut names: Vec<String> =
            acme.names.iter().map(|name| name.to_ascii_lowercase()).collect();
        let first: String = names.iter().flat_map(|name| name.chars()).take(NAME_CHARS).collect();
        let first = names
            .first()
            .map_or(String::new(), |name| first.get(..name.len()).unwrap_or(&first).to_owned());
        names.sort();
        let profile = acme.profile.as_deref().unwrap_or_default();
        let whole = [acme.directory.as_str(), profile, &names.join(",")].join("\n");
        Wanted {
            id: format!("{first}-{}", hash(&whole)),
            names,
            base: acme.shared_directory.clone().unwrap_or_else(|| state_directory.join(DIRECTORY)),
            is_shared: acme.shared_directory.is_some(),
            acme: acme.clone(),
        }
    }

    /// The file of chain and key.
    pub fn certificate(&self) -> PathBuf {
        self.base.join("certificates").join(format!("{}.pem", self.id))
    }

    /// The file with what is remembered of its orders.
    pub fn attempts(&self) -> PathBuf {
        self.base.join("orders").join(format!("{}.json", self.id))
    }

    /// The file of the account, which all certificates of a directory share.
    pub fn account(&self) -> PathBuf {
        self.base.join("accounts").join(format!("{}.json", hash(&self.acme.directory)))
    }
}

/// Every certificate of a file once; two listeners, or one and the admin API, may present the same.
pub fn all(file: &File) -> Vec<Wanted> {
    let mut all: Vec<Wanted> = Vec::new();
    for acme in file.presented().filter_map(|tls| tls.acme.as_ref()) {
        let wanted = Wanted::of(acme, &file.process.state_directory);
        if all.iter().all(|known| known.certificate() != wanted.certificate()) {
            all.push(wanted);
        }
    }
    all
}

fn hash(text: &str) -> String {
    let mut digits = hex(digest(&SHA256, text.as_bytes()).as_ref());
    digits.truncate(HASH_DIGITS);
    digits
}

#[cfg(test)]
mod tests {
    use crate::control::acme::wanted::*;
    use crate::control::config::file::ChallengeName;

    fn acme(names: &[&str]) -> Acme {
        Acme {
            directory: "https://ca.example/dir".into(),
            names: names.iter().map(ToString::to_string).collect(),
            contact: Vec::new(),
            challenge: ChallengeName::TlsAlpn01,
            authority_file: None,
            profile: None,
            shared_directory: None,
            external_account: None,
        }
    }

    fn id(acme: &Acme) -> String {
        Wanted::of(acme, Path::new("/state")).id
    }

    #[test]
    fn the_file_of_a_certificate_begins_with_its_first_name_and_differs_with_what_is_ordered() {
        let one = acme(&["b.example", "A.example"]);
        assert!(id(&one).starts_with("b.example-"), "{}", id(&one));
        let hash = |acme: &Acme| id(acme).rsplit_once('-').unwrap().1.to_owned();
        assert_eq!(hash(&one), hash(&acme(&["a.example", "B.example"])), "the order is no matter");
        assert_ne!(hash(&one), hash(&acme(&["b.example"])));
        let profile = Acme { profile: Some("shortlived".into()), ..one.clone() };
        assert_ne!(hash(&one), hash(&profile));
        let elsewhere = Acme { directory: "https://other.example".into(), ..one.clone() };
        assert_ne!(hash(&one), hash(&elsewhere));
        let contact = Acme { contact: vec!["mailto:o@a.example".into()], ..one.clone() };
        assert_eq!(id(&one), id(&contact), "who is written to makes no other certificate");
    }

    #[test]
    fn a_long_name_fits_into_a_files() {
        let label = "a".repeat(63);
        let name = [label.as_str(); 3].join(".");
        assert!(id(&acme(&[&name])).len() < 200);
    }

    #[test]
    fn what_is_kept_is_in_the_state_directory_or_in_the_shared_one() {
        let one = Wanted::of(&acme(&["a.example"]), Path::new("/state"));
        assert!(one.certificate().starts_with("/state/acme/certificates"));
        let shared = Acme { shared_directory: Some("/shared".into()), ..acme(&["a.example"]) };
        let shared = Wanted::of(&shared, Path::new("/state"));
        assert!(shared.is_shared && shared.account().starts_with("/shared/accounts"));
    }
}
