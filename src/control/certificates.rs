//! The certificates of TLS listeners, of the admin API, and of target groups that are spoken to under TLS: their files
//! read and judged, and compiled into what is presented and what targets must prove.
//!
//! Everything that is wrong is reported at once, with file and reason; nothing is taken in part. A listener whose
//! settings and files are as before is taken over. Never writes a file, never quotes one. Tested beside it.

mod coverage;
mod files;
mod targets;
#[cfg(test)]
mod tests;
pub mod watch;

use std::collections::HashMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::time_provider::DefaultTimeProvider;

use super::acme::wanted::Wanted;
use super::compile::CompileError;
use super::config::file::{self, ChallengeName, File};
use super::config::{fingerprint, policy_options};
use crate::challenges::Challenges;
use crate::stickiness::keyring::KeyRing;
use crate::tls::certificate::{Certificate, Part, Validity};
use crate::tls::client_auth::{self, ClientAuth, ClientMode};
use crate::tls::listener::{NamedProfile, ProfileOptions, TicketSource, TlsListener, TlsOptions};
use crate::tls::names::{Presented, Source};
use crate::tls::target::TargetTls;
use crate::tls::tickets::{ProcessKeys, TicketRoots};
use crate::tls::x509::{AltName, Facts};
use files::{Place, Reader};
use targets::Groups;
use watch::Seen;

/// Who presents a certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Presenter {
    Listener(String),
    Admin,
    /// To the targets of the group.
    TargetGroup(String),
}

impl Presenter {
    /// The listener's name.
    pub fn listener(&self) -> Option<&str> {
        match self {
            Presenter::Listener(name) => Some(name),
            Presenter::Admin | Presenter::TargetGroup(_) => None,
        }
    }

    /// The group's name.
    pub fn target_group(&self) -> Option<&str> {
        match self {
            Presenter::TargetGroup(name) => Some(name),
            Presenter::Listener(_) | Presenter::Admin => None,
        }
    }
}

impl fmt::Display for Presenter {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Presenter::Listener(name) => write!(out, "listener {name:?}"),
            Presenter::Admin => out.write_str("admin"),
            Presenter::TargetGroup(name) => write!(out, "target group {name:?}"),
        }
    }
}

/// A certificate that is presented, for people.
#[derive(Debug, Clone)]
pub struct Shown {
    pub presenter: Presenter,
    /// Names of profiles that it is presented under.
    pub profiles: Vec<String>,
    pub chain: PathBuf,
    pub source: Source,
    pub certificate: Arc<Certificate>,
}

/// What the TLS listeners of a configuration and its admin API present, and what its targets are spoken to with.
#[derive(Debug, Default)]
pub struct Certificates {
    /// `None` = no authority asks for proofs in requests.
    challenges_of_plain_listeners: Option<Arc<Challenges>>,
    /// As well, in handshakes.
    challenges_of_handshakes: Option<Arc<Challenges>>,
    listeners: HashMap<String, Loaded>,
    admin: Option<Loaded>,
    groups: Groups,
    /// In the order of the file.
    shown: Vec<Shown>,
    notes: Vec<String>,
    /// What was on disk when the reading began.
    seen: Seen,
}

#[derive(Debug)]
struct Loaded {
    settings: file::Tls,
    /// SHA-256 of every byte that was read for them.
    files: [u8; 32],
    /// Whether authorities ask for proofs in handshakes.
    answers_challenges: bool,
    compiled: Arc<TlsListener>,
}

/// What tickets are sealed with, and what ran before.
#[derive(Debug, Clone, Copy)]
pub struct Surroundings<'s> {
    pub ring: &'s KeyRing,
    pub process_keys: &'s Arc<ProcessKeys>,
    pub challenges: &'s Arc<Challenges>,
    /// `None` at the start, and where tickets have other keys.
    pub before: Option<&'s Certificates>,
    /// Seconds since 1970.
    pub now: i64,
}

impl Certificates {
    /// Reads the files that the TLS listeners and the admin API of `file` name.
    ///
    /// A certificate with a wrong date is refused where it is new. At the start it is none: a restart must not turn one
    /// expired certificate into an outage of all.
    ///
    /// # Errors
    /// A line for each fault.
    pub fn load(
        file: &File,
        surroundings: &Surroundings<'_>,
    ) -> Result<Certificates, CompileError> {
        let mut all = Certificates { seen: Seen::of(file), ..Certificates::default() };
        let challenges = |kind| asks(file, kind).then(|| Arc::clone(surroundings.challenges));
        all.challenges_of_plain_listeners = challenges(ChallengeName::Http01);
        all.challenges_of_handshakes = challenges(ChallengeName::TlsAlpn01);
        let mut faults = Vec::new();
        for listener in &file.listeners {
            let Some(tls) = &listener.tls else { continue };
            let presenter = Presenter::Listener(listener.name.clone());
            let first = all.shown.len();
            let same = surroundings.before.and_then(|before| before.listeners.get(&listener.name));
            let issued = issued(tls, file);
            let loaded = all.read(presenter, (tls, issued), same, surroundings);
            let shown = all.shown.get(first..).unwrap_or_default();
            all.notes.extend(coverage::notes(listener, shown));
            match loaded {
                Ok(loaded) => drop(all.listeners.insert(listener.name.clone(), loaded)),
                Err(mut of_listener) => faults.append(&mut of_listener),
            }
        }
        if let Some(tls) = &file.admin.tls {
            let same = surroundings.before.and_then(|before| before.admin.as_ref());
            match all.read(Presenter::Admin, (&tls.presented, None), same, surroundings) {
                Ok(loaded) => all.admin = Some(loaded),
                Err(mut of_admin) => faults.append(&mut of_admin),
            }
        }
        let (groups, mut shown) = Groups::load(file, surroundings, (&mut faults, &mut all.notes));
        all.groups = groups;
        all.shown.append(&mut shown);
        if faults.is_empty() { Ok(all) } else { Err(CompileError(faults.join("\n"))) }
    }

    /// Reads what one presents; `same` is what it presented before, to be taken over where nothing differs.
    fn read(
        &mut self,
        presenter: Presenter,
        (tls, issued): (&file::Tls, Option<PathBuf>),
        same: Option<&Loaded>,
        surroundings: &Surroundings<'_>,
    ) -> Result<Loaded, Vec<String>> {
        let mut reading = Reading::of(presenter);
        let mut options = reading.options(tls, issued);
        options.challenges.clone_from(&self.challenges_of_handshakes);
        let answers_challenges = options.challenges.is_some();
        let files = reading.reader.digest();
        reading.judge_dates(surroundings);
        self.notes.append(&mut reading.notes);
        self.shown.append(&mut reading.shown);
        if !reading.faults.is_empty() {
            return Err(reading.faults);
        }
        let same = same.filter(|same| {
            same.files == files
                && same.settings == *tls
                && same.answers_challenges == answers_challenges
        });
        let compiled = match same {
            Some(same) => Arc::clone(&same.compiled),
            None => match TlsListener::new(options, &surroundings.tickets()) {
                Ok(compiled) => Arc::new(compiled),
                Err(fault) => return Err(vec![format!("{}: tls: {fault}", reading.presenter)]),
            },
        };
        Ok(Loaded { settings: tls.clone(), files, answers_challenges, compiled })
    }

    /// What a listener presents.
    pub fn of(&self, listener: &str) -> Option<&Arc<TlsListener>> {
        self.listeners.get(listener).map(|loaded| &loaded.compiled)
    }

    /// The proofs that plain listeners answer requests with; `None` = nobody asks.
    pub fn challenges_of_plain_listeners(&self) -> Option<&Arc<Challenges>> {
        self.challenges_of_plain_listeners.as_ref()
    }

    /// What the admin API presents.
    pub fn of_admin(&self) -> Option<&Arc<TlsListener>> {
        self.admin.as_ref().map(|loaded| &loaded.compiled)
    }

    /// How the targets of a group are spoken to.
    pub fn of_targets(&self, group: &str) -> Option<&Arc<TargetTls>> {
        self.groups.of(group)
    }

    /// Every certificate, in the order of the file: those of listeners, of the admin API, and of target groups.
    pub fn shown(&self) -> &[Shown] {
        &self.shown
    }

    /// A sentence for each that presents something else than `before` with the same settings, and for each group whose
    /// targets must prove something else.
    pub fn renewed(&self, before: &Certificates) -> Vec<String> {
        let is_renewed = |loaded: &Loaded, before: Option<&Loaded>| {
            before.is_some_and(|before| {
                before.files != loaded.files && before.settings == loaded.settings
            })
        };
        let mut names: Vec<&String> = self
            .listeners
            .iter()
            .filter(|(name, loaded)| is_renewed(loaded, before.listeners.get(*name)))
            .map(|(name, _)| name)
            .collect();
        names.sort();
        let listeners = names.into_iter().cloned().map(Presenter::Listener);
        let admin = self.admin.as_ref().filter(|one| is_renewed(one, before.admin.as_ref()));
        let sentence =
            |presenter: Presenter| format!("{presenter}: its certificates are read anew");
        let presented = listeners.chain(admin.map(|_| Presenter::Admin)).map(sentence);
        presented.chain(self.groups.renewed(&before.groups)).collect()
    }

    /// What is allowed but hardly intended, one sentence each.
    pub fn notes(&self) -> &[String] {
        &self.notes
    }

    /// A sentence for each certificate that is not valid at a time in seconds since 1970, but for those that limpet
    /// itself renews.
    pub fn invalid(&self, now: i64) -> Vec<String> {
        let files = self.shown.iter().filter(|shown| shown.source != Source::Acme);
        files.filter_map(|shown| shown.date_fault(now)).collect()
    }

    /// Whether the files of `file`, which has the same TLS with listeners, the admin API and targets, are those that
    /// were read.
    pub fn are_as_on_disk(&self, file: &File) -> bool {
        self.seen == Seen::of(file)
    }

    fn has(&self, certificate: &Certificate) -> bool {
        let same =
            |shown: &Shown| shown.certificate.facts.fingerprint == certificate.facts.fingerprint;
        self.shown.iter().any(same)
    }
}

impl<'s> Surroundings<'s> {
    /// Those of a process that has just begun.
    pub fn first(
        ring: &'s KeyRing,
        process_keys: &'s Arc<ProcessKeys>,
        challenges: &'s Arc<Challenges>,
    ) -> Surroundings<'s> {
        Surroundings { ring, process_keys, challenges, before: None, now: now_s() }
    }
}

impl Surroundings<'_> {
    fn tickets(&self) -> TicketSource {
        TicketSource {
            ring: Arc::new(TicketRoots(self.ring.roots().to_vec())),
            process: Arc::clone(self.process_keys),
            clock: Arc::new(DefaultTimeProvider),
        }
    }
}

impl Shown {
    /// What is wrong with its dates.
    fn date_fault(&self, now: i64) -> Option<String> {
        let (at, what) = match self.certificate.validity(now) {
            Validity::Valid => return None,
            Validity::Expired => (self.certificate.not_after, "expired on"),
            Validity::NotYet => (self.certificate.facts.not_before, "is not valid before"),
        };
        let (presenter, chain) = (&self.presenter, self.chain.display());
        let date = date(at);
        Some(format!("{presenter}: {chain}: {what} {date}; a valid one is needed"))
    }
}

/// Whether a certificate has a profile's name, which may begin with "*.".
fn is_for(facts: &Facts, name: &str) -> bool {
    let name = name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase();
    facts.covers(&name) || facts.names.contains(&AltName::Dns(name))
}

/// Whether an authority asks this process for proofs of this kind.
fn asks(file: &File, kind: ChallengeName) -> bool {
    let mut tables =
        file.listeners.iter().filter_map(|listener| listener.tls.as_ref()?.acme.as_ref());
    tables.any(|acme| acme.challenge == kind)
}

/// The file of the certificate that an authority issues for a listener.
fn issued(tls: &file::Tls, file: &File) -> Option<PathBuf> {
    let wanted = Wanted::of(tls.acme.as_ref()?, &file.process.state_directory);
    Some(wanted.certificate())
}

/// Seconds since 1970.
pub fn now_s() -> i64 {
    jiff::Timestamp::now().as_second()
}

/// A time as people read it.
pub fn date(seconds: i64) -> String {
    jiff::Timestamp::from_second(seconds)
        .map_or_else(|_| seconds.to_string(), |time| time.to_string())
}

/// The files of one that presents certificates, as far as they were read.
struct Reading {
    presenter: Presenter,
    reader: Reader,
    shown: Vec<Shown>,
    faults: Vec<String>,
    notes: Vec<String>,
}

impl Reading {
    fn of(presenter: Presenter) -> Reading {
        Reading {
            presenter,
            reader: Reader::default(),
            shown: Vec::new(),
            faults: Vec::new(),
            notes: Vec::new(),
        }
    }

    fn options(&mut self, tls: &file::Tls, issued: Option<PathBuf>) -> TlsOptions {
        let places = files::places(tls, issued, &mut self.reader);
        let places = places.unwrap_or_else(|fault| {
            let directory = tls.directory.as_deref().unwrap_or(Path::new(""));
            self.fault(directory, fault);
            Vec::new()
        });
        let certificates: Vec<Presented> =
            places.iter().filter_map(|place| self.certificate(place)).collect();
        for shown in &mut self.shown {
            let names = tls.profiles.iter().flat_map(|profile| &profile.names);
            let facts = &shown.certificate.facts;
            shown.profiles = names.filter(|name| is_for(facts, name)).cloned().collect();
        }
        if certificates.is_empty() && self.faults.is_empty() && tls.acme.is_none() {
            let directory = tls.directory.as_deref().unwrap_or(Path::new(""));
            self.fault(directory, "has no certificate; NAME.pem is read");
        }
        let own = ProfileOptions {
            policy: policy_options(tls, None),
            alpn: tls.alpn.clone(),
            client: self.client(&tls.client),
        };
        let profiles = tls.profiles.iter().map(|profile| NamedProfile {
            names: profile.names.clone(),
            options: ProfileOptions {
                policy: policy_options(tls, Some(profile)),
                alpn: profile.alpn.clone().unwrap_or_else(|| own.alpn.clone()),
                client: match &profile.client {
                    Some(client) => self.client(client),
                    None => own.client.clone(),
                },
            },
        });
        let profiles = profiles.collect();
        TlsOptions {
            listener: match self.presenter.listener() {
                Some(name) => name.to_owned(),
                // No listener has a space in its name: tickets of one are none for the other.
                None => "admin API".to_owned(),
            },
            certificates,
            strict_sni: tls.strict_sni,
            tickets: tls.tickets,
            host_match: tls.host_match,
            small_records: tls.small_records,
            profiles,
            own,
            awaits_certificate: tls.acme.is_some(),
            challenges: None,
        }
    }

    /// One that limpet has obtained, and cannot be read, is no fault of the operator's: another is ordered.
    fn certificate(&mut self, place: &Place) -> Option<Presented> {
        let presented = self.presented(place);
        if place.source == Source::Acme && presented.is_none() {
            let fault = self.faults.pop();
            self.notes.extend(fault.map(|fault| format!("{fault}; another is ordered")));
        }
        presented
    }

    fn presented(&mut self, place: &Place) -> Option<Presented> {
        let chain = self.read(&place.chain)?;
        let key = match &place.key {
            Some(key) => Some(self.read(key)?),
            None => None,
        };
        let key_path = place.key.as_deref().unwrap_or(&place.chain);
        if files::is_readable_by_all(key_path) {
            let path = key_path.display();
            let presenter = &self.presenter;
            self.notes.push(format!(
                "{presenter}: {path} is readable by all, and has a private key; chmod o-r"
            ));
        }
        let mut certificate = match Certificate::read(&chain, key.as_deref()) {
            Ok(certificate) => certificate,
            Err(fault) => {
                let path = match fault.part() {
                    Part::Chain => &place.chain,
                    Part::Key => key_path,
                };
                self.fault(path, fault);
                return None;
            }
        };
        self.staple(place, &mut certificate);
        let (presenter, path) = (&self.presenter, place.chain.display());
        if certificate.lacks_issuer() {
            self.notes.push(format!(
                "{presenter}: {path} has no certificate of {}, which issued it: many \
                 clients will refuse it; append it",
                certificate.facts.issuer
            ));
        }
        if certificate.facts.names.is_empty() {
            self.notes
                .push(format!("{presenter}: {path} has no subjectAltName: no client accepts it"));
        }
        let certificate = Arc::new(certificate);
        self.shown.push(Shown {
            presenter: presenter.clone(),
            profiles: Vec::new(),
            chain: place.chain.clone(),
            source: place.source,
            certificate: Arc::clone(&certificate),
        });
        Some(Presented { source: place.source, certificate })
    }

    fn staple(&mut self, place: &Place, certificate: &mut Certificate) {
        let path = place.chain.with_extension("ocsp");
        if !path.exists() {
            return;
        }
        let stapled = match self.reader.read(&path) {
            Ok(response) => certificate.staple(&response).map_err(|fault| fault.to_string()),
            Err(fault) => Err(fault),
        };
        if let Err(fault) = stapled {
            let (presenter, path) = (&self.presenter, path.display());
            self.notes.push(format!("{presenter}: {path} {fault}; it is not sent"));
        }
    }

    /// Whom a listener or a profile accepts; the answer of a fault is nobody's.
    fn client(&mut self, client: &file::TlsClient) -> ClientAuth {
        let mut auth = ClientAuth {
            mode: client.mode,
            crl_expired: client.crl_expired,
            verify_depth: client.verify_depth,
            subjects: client.subjects.clone(),
            fingerprints: client.fingerprints.iter().filter_map(|text| fingerprint(text)).collect(),
            ..ClientAuth::off()
        };
        if client.mode == ClientMode::Off {
            return ClientAuth::off();
        }
        if let Some(path) = &client.authorities
            && let Some(pem) = self.read(path)
        {
            match client_auth::authorities(&pem) {
                Ok(authorities) => auth.authorities = authorities,
                Err(fault) => self.fault(path, fault),
            }
        }
        for path in &client.crls {
            let Some(bytes) = self.read(path) else { continue };
            match client_auth::crls(&bytes) {
                Ok(mut crls) => auth.crls.append(&mut crls),
                Err(fault) => self.fault(path, fault),
            }
        }
        auth
    }

    /// Refuses new certificates with a wrong date; about others it says so.
    fn judge_dates(&mut self, surroundings: &Surroundings<'_>) {
        for shown in &self.shown {
            let Some(fault) = shown.date_fault(surroundings.now) else { continue };
            match surroundings.before {
                Some(before) if shown.source != Source::Acme && !before.has(&shown.certificate) => {
                    self.faults.push(fault);
                }
                _ => self.notes.push(fault),
            }
        }
    }

    fn read(&mut self, path: &Path) -> Option<Vec<u8>> {
        match self.reader.read(path) {
            Ok(bytes) => Some(bytes),
            Err(fault) => {
                self.fault(path, fault);
                None
            }
        }
    }

    fn fault(&mut self, path: &Path, fault: impl fmt::Display) {
        let (presenter, path) = (&self.presenter, path.display());
        self.faults.push(format!("{presenter}: {path}: {fault}"));
    }
}
