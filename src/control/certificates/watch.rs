//! Which files of certificates have changed on disk, and which certificates are about to end.
//!
//! Polls instead of using inotify, as the file's own watch does: files are replaced behind links. Tested with
//! `certificates`.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use super::files::{self, Places};
use super::{Certificates, Shown, date, issued};
use crate::control::config::file::{File, TargetGroup, TlsClient};
use crate::control::events::Tone;
use crate::control::write_back::Stamp;
use crate::tls::x509::FINGERPRINT_SIZE;

/// Days before its end on which a certificate is spoken of.
const DAYS: [i64; 4] = [1, 7, 14, 30];
const DAY_S: i64 = 86_400;

/// The state on disk of everything that a configuration's TLS is made of.
#[derive(Debug, Default, PartialEq)]
pub struct Seen(Vec<(PathBuf, Option<Stamp>)>);

impl Seen {
    /// Examines every file, also those that do not exist. Reads none.
    pub fn of(file: &File) -> Seen {
        let mut seen = Seen::default();
        for tls in file.presented() {
            let Places { listed, directory, issued } = files::places(tls, issued(tls, file));
            // A directory that cannot be read has no certificates; reading them tells why.
            let of_directory = directory.unwrap_or_default();
            for place in listed.into_iter().chain(of_directory).chain(issued) {
                seen.look(&place.chain);
                seen.look(&place.chain.with_extension("ocsp"));
                seen.look(&place.key.unwrap_or_else(|| place.chain.with_extension("key")));
            }
            let of_profiles = tls.profiles.iter().filter_map(|profile| profile.client.as_ref());
            for client in of_profiles.chain([&tls.client]) {
                let TlsClient { authorities, crls, .. } = client;
                authorities.iter().chain(crls).for_each(|path| seen.look(path));
            }
        }
        for tls in file.target_groups.iter().filter_map(TargetGroup::tls) {
            let authorities = Some(Path::new(&tls.authorities)).filter(|path| path.is_absolute());
            let own = tls.certificate.iter().chain(&tls.key).chain(&tls.crls);
            own.map(PathBuf::as_path).chain(authorities).for_each(|path| seen.look(path));
        }
        seen
    }

    fn look(&mut self, path: &Path) {
        self.0.push((path.to_owned(), Stamp::of(path).ok()));
    }
}

/// What was said of certificates that are about to end, so that each warning comes once.
#[derive(Debug, Default)]
pub struct Endings(HashMap<[u8; FINGERPRINT_SIZE], i64>);

impl Endings {
    /// A sentence for each certificate that has come closer to its end than 30, 14, 7 or 1 days, or has passed it; at
    /// a time in seconds since 1970.
    pub fn due(&mut self, certificates: &Certificates, now: i64) -> Vec<(Tone, String)> {
        let mut said = Vec::new();
        let mut kept = HashMap::new();
        for shown in certificates.shown() {
            let left = shown.certificate.not_after.saturating_sub(now);
            let step = if left < 0 {
                0
            } else {
                match DAYS.into_iter().find(|days| left <= days * DAY_S) {
                    Some(days) => days,
                    None => continue,
                }
            };
            let fingerprint = shown.certificate.facts.fingerprint;
            // Two listeners may present the same certificate.
            let is_said = |known: &HashMap<_, i64>| known.get(&fingerprint) == Some(&step);
            if !is_said(&self.0) && !is_said(&kept) {
                said.push(sentence(shown, left));
            }
            kept.insert(fingerprint, step);
        }
        self.0 = kept;
        said
    }
}

fn sentence(shown: &Shown, left: i64) -> (Tone, String) {
    let (presenter, chain) = (&shown.presenter, shown.chain.display());
    let end = date(shown.certificate.not_after);
    let (tone, when) = match left / DAY_S {
        _ if left < 0 => (Tone::Bad, format!("has expired on {end}")),
        0 => (Tone::Bad, format!("expires in less than a day, on {end}")),
        days => (Tone::Warn, format!("expires in {days} days, on {end}")),
    };
    (tone, format!("{presenter}: the certificate {chain} {when}"))
}
