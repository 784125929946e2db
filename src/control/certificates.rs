//! The certificates of TLS listeners, of the admin API, and of target groups that are spoken to under TLS: their files
//! read and judged, and compiled into what is presented and what targets must prove.
//!
//! Everything that is wrong is reported at once, with file and reason. Of a new configuration nothing is taken in part;
//! where files change under one that runs, each part that is bad keeps its old one. A listener whose settings and files
//! are as before is taken over. Never writes a file, never quotes one. Tested beside it.

mod coverage;
mod files;
mod reading;
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
use crate::challenges::Challenges;
use crate::stickiness::keyring::KeyRing;
use crate::tls::certificate::{Certificate, Validity};
use crate::tls::listener::{TicketSource, TlsFault, TlsListener};
use crate::tls::names::Source;
use crate::tls::target::TargetTls;
use crate::tls::tickets::{ProcessKeys, TicketRoots};
use reading::{Measures, Parts, Reading};
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
    /// What is bad and has the old one in its place.
    kept: Vec<Fault>,
    /// When something of it is worth another reading, in seconds since 1970.
    due: Option<i64>,
    /// What was on disk when the reading began.
    seen: Seen,
}

/// What is wrong with a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// Empty where no single file is at fault.
    pub path: PathBuf,
    /// A sentence with who presents it, path and reason.
    pub text: String,
}

impl Fault {
    fn of(presenter: &Presenter, path: &Path, fault: impl fmt::Display) -> Fault {
        let text = format!("{presenter}: {}: {fault}", path.display());
        Fault { path: path.to_owned(), text }
    }

    /// As well, what comes of it.
    fn and(self, outcome: &str) -> Fault {
        Fault { text: format!("{}; {outcome}", self.text), ..self }
    }
}

/// Why certificates are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Occasion {
    /// An operator puts a configuration in force: anything bad refuses the whole.
    Configuration,
    /// Files may have changed under one that runs: what is bad keeps the old one, where its settings are the same.
    Renewal,
}

#[derive(Debug)]
struct Loaded {
    settings: file::Tls,
    parts: Parts,
    /// Whether authorities ask for proofs in handshakes.
    answers_challenges: bool,
    compiled: Arc<TlsListener>,
}

/// What tickets are sealed with, what ran before, and what the reading is for.
#[derive(Debug, Clone, Copy)]
pub struct Surroundings<'s> {
    pub occasion: Occasion,
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
    /// A line for each fault that [`Occasion`] does not forgive.
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
            let loaded = all.read(&presenter, (tls, issued), same, surroundings);
            let shown = all.shown.get(first..).unwrap_or_default();
            all.notes.extend(coverage::notes(listener, shown));
            match loaded {
                Ok(loaded) => drop(all.listeners.insert(listener.name.clone(), loaded)),
                Err(mut of_listener) => faults.append(&mut of_listener),
            }
        }
        if let Some(tls) = &file.admin.tls {
            let same = surroundings.before.and_then(|before| before.admin.as_ref());
            let issued = issued(&tls.presented, file);
            match all.read(&Presenter::Admin, (&tls.presented, issued), same, surroundings) {
                Ok(loaded) => all.admin = Some(loaded),
                Err(mut of_admin) => faults.append(&mut of_admin),
            }
        }
        all.read_groups(file, surroundings, &mut faults);
        let lines: Vec<String> = faults.into_iter().map(|fault| fault.text).collect();
        if lines.is_empty() { Ok(all) } else { Err(CompileError(lines.join("\n"))) }
    }

    /// Reads what one presents; `same` is what it presented before, to be taken over where nothing differs.
    fn read(
        &mut self,
        presenter: &Presenter,
        (tls, issued): (&file::Tls, Option<PathBuf>),
        same: Option<&Loaded>,
        surroundings: &Surroundings<'_>,
    ) -> Result<Loaded, Vec<Fault>> {
        let same = same.filter(|same| same.settings == *tls);
        let old = same.filter(|_| surroundings.occasion == Occasion::Renewal);
        let old = old.map(|old| &old.parts);
        let measures = Measures { old, known: surroundings.before, now: surroundings.now };
        let mut reading = Reading::new(presenter, tls, measures);
        let mut parts = reading.read(issued);
        self.notes.append(&mut reading.notes);
        self.kept.append(&mut reading.kept);
        self.due = self.due.into_iter().chain(reading.due).min();
        self.shown.extend(parts.shown(presenter, tls));
        if !reading.faults.is_empty() {
            return Err(reading.faults);
        }
        let answers_challenges = self.challenges_of_handshakes.is_some();
        let same = same.filter(|same| {
            same.parts.are_same(&parts) && same.answers_challenges == answers_challenges
        });
        let compiled = match same {
            Some(same) => Arc::clone(&same.compiled),
            None => self.compile((presenter, tls), &mut parts, old, surroundings)?,
        };
        Ok(Loaded { settings: tls.clone(), parts, answers_challenges, compiled })
    }

    /// Where the authorities of clients make no verifier, those of `old` stay.
    fn compile(
        &mut self,
        (presenter, tls): (&Presenter, &file::Tls),
        parts: &mut Parts,
        old: Option<&Parts>,
        surroundings: &Surroundings<'_>,
    ) -> Result<Arc<TlsListener>, Vec<Fault>> {
        let compiled = |parts: &Parts| {
            let mut options = parts.options(presenter, tls);
            options.challenges.clone_from(&self.challenges_of_handshakes);
            TlsListener::new(options, &surroundings.tickets()).map(Arc::new)
        };
        let fault = |fault: TlsFault| Fault {
            path: PathBuf::new(),
            text: format!("{presenter}: tls: {fault}"),
        };
        match (compiled(parts), old) {
            (Err(error @ TlsFault::ClientAuth(_)), Some(old)) => {
                parts.accept_as(old);
                let again = compiled(parts).map_err(|error| vec![fault(error)]);
                self.kept.push(fault(error).and("whom it lets in stays as it was"));
                again
            }
            (result, _) => result.map_err(|error| vec![fault(error)]),
        }
    }

    fn read_groups(
        &mut self,
        file: &File,
        surroundings: &Surroundings<'_>,
        faults: &mut Vec<Fault>,
    ) {
        let mut loading = targets::Loading {
            faults,
            kept: &mut self.kept,
            notes: &mut self.notes,
            due: &mut self.due,
        };
        self.groups = Groups::load(file, surroundings, &mut loading);
        self.shown.extend(self.groups.shown(file));
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
                before.settings == loaded.settings && !before.parts.are_same(&loaded.parts)
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

    /// What is bad and has the old one in its place, in the order of the file.
    pub fn kept(&self) -> &[Fault] {
        &self.kept
    }

    /// Whether the file at `path` is bad, and what is presented is from before.
    pub fn is_kept(&self, path: &Path) -> bool {
        self.kept.iter().any(|fault| fault.path == path)
    }

    /// Whether something that came too early is worth another reading at a time in seconds since 1970.
    pub fn are_due(&self, now: i64) -> bool {
        self.due.is_some_and(|due| due <= now)
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
        let occasion = Occasion::Configuration;
        Surroundings { occasion, ring, process_keys, challenges, before: None, now: now_s() }
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
        date_fault(&self.presenter, &self.chain, &self.certificate, now)
    }
}

/// What is wrong with the dates of a certificate, at a time in seconds since 1970.
fn date_fault(
    presenter: &Presenter,
    chain: &Path,
    certificate: &Certificate,
    now: i64,
) -> Option<String> {
    let (at, what) = match certificate.validity(now) {
        Validity::Valid => return None,
        Validity::Expired => (certificate.not_after, "expired on"),
        Validity::NotYet => (certificate.facts.not_before, "is not valid before"),
    };
    let (chain, date) = (chain.display(), date(at));
    Some(format!("{presenter}: {chain}: {what} {date}; a valid one is needed"))
}

/// Whether an authority asks this process for proofs of this kind.
fn asks(file: &File, kind: ChallengeName) -> bool {
    let mut tables = file.presented().filter_map(|tls| tls.acme.as_ref());
    tables.any(|acme| acme.challenge == kind)
}

/// The file of the certificate that an authority issues for a listener, or for the admin API.
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
