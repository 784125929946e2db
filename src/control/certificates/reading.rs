//! What one presenter's TLS is made of: its certificates and the authorities of its clients, each read from its files
//! and judged by itself.
//!
//! Where `old` is given, a part that is bad is taken from there, so that it keeps nobody else's renewal up. Tested with
//! `certificates`.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::files::{self, Place, Reader};
use super::{Certificates, Fault, Presenter, Shown, date_fault};
use crate::control::config::file::{self, TlsProfile};
use crate::control::config::{fingerprint, policy_options};
use crate::tls::certificate::{Certificate, Part};
use crate::tls::client_auth::{self, ClientAuth, ClientMode};
use crate::tls::listener::{NamedProfile, ProfileOptions, TlsOptions};
use crate::tls::names::{Presented, Source};
use crate::tls::staple::StapleFault;
use crate::tls::x509::{AltName, Facts};

/// What comes of a bad file that limpet itself has written.
const ORDERED: &str = "the old certificate stays, and another is ordered";

/// A certificate that is presented.
#[derive(Debug, Clone)]
struct Held {
    place: Place,
    /// SHA-256 of every byte that was read for it.
    files: [u8; 32],
    certificate: Arc<Certificate>,
}

/// Whom a listener or a profile accepts.
#[derive(Debug, Clone)]
struct Clients {
    /// SHA-256 of every byte that was read for them.
    files: [u8; 32],
    auth: Arc<ClientAuth>,
}

/// The parts of one presenter, in the order of its settings.
#[derive(Debug, Clone, Default)]
pub(super) struct Parts {
    certificates: Vec<Held>,
    /// The presenter's own come first, then those of the profiles that have any.
    clients: Vec<Clients>,
}

impl Parts {
    /// Whether they were read from the same bytes.
    pub(super) fn are_same(&self, other: &Parts) -> bool {
        let held = |one: &Held, other: &Held| {
            one.files == other.files
                && one.place.source == other.place.source
                && one.place.chain == other.place.chain
        };
        self.certificates.len() == other.certificates.len()
            && self.certificates.iter().zip(&other.certificates).all(|(one, two)| held(one, two))
            && self.clients.iter().map(|one| one.files).eq(other.clients.iter().map(|o| o.files))
    }

    /// Takes over whom others accept, who have the same settings.
    pub(super) fn accept_as(&mut self, other: &Parts) {
        self.clients.clone_from(&other.clients);
    }

    /// The certificates, for people.
    pub(super) fn shown<'p>(
        &'p self,
        presenter: &'p Presenter,
        tls: &'p file::Tls,
    ) -> impl Iterator<Item = Shown> + 'p {
        self.certificates.iter().map(move |held| {
            let names = tls.profiles.iter().flat_map(|profile| &profile.names);
            let facts = &held.certificate.facts;
            Shown {
                presenter: presenter.clone(),
                profiles: names.filter(|name| is_for(facts, name)).cloned().collect(),
                chain: held.place.chain.clone(),
                source: held.place.source,
                certificate: Arc::clone(&held.certificate),
            }
        })
    }

    /// What a listener is compiled from.
    pub(super) fn options(&self, presenter: &Presenter, tls: &file::Tls) -> TlsOptions {
        let mut clients = self.clients.iter().map(|clients| ClientAuth::clone(&clients.auth));
        let own = ProfileOptions {
            policy: policy_options(tls, None),
            alpn: tls.alpn.clone(),
            client: clients.next().unwrap_or_else(ClientAuth::off),
        };
        let profiles = tls.profiles.iter().map(|profile| NamedProfile {
            names: profile.names.clone(),
            options: ProfileOptions {
                policy: policy_options(tls, Some(profile)),
                alpn: profile.alpn.clone().unwrap_or_else(|| own.alpn.clone()),
                client: match &profile.client {
                    Some(_) => clients.next().unwrap_or_else(|| own.client.clone()),
                    None => own.client.clone(),
                },
            },
        });
        let profiles = profiles.collect();
        let certificates = self.certificates.iter().map(|held| Presented {
            source: held.place.source,
            certificate: Arc::clone(&held.certificate),
        });
        TlsOptions {
            listener: match presenter.listener() {
                Some(name) => name.to_owned(),
                // No listener has a space in its name: tickets of one are none for the other.
                None => "admin API".to_owned(),
            },
            certificates: certificates.collect(),
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
}

/// What parts are judged by.
#[derive(Clone, Copy)]
pub(super) struct Measures<'m> {
    /// The parts that stand in for bad ones, of the same settings; `None` = what is bad is a fault.
    pub old: Option<&'m Parts>,
    /// Certificates with a wrong date are refused unless they are among these; `None` = they are taken.
    pub known: Option<&'m Certificates>,
    /// Seconds since 1970.
    pub now: i64,
}

/// The reading of one presenter's files.
pub(super) struct Reading<'r> {
    presenter: &'r Presenter,
    tls: &'r file::Tls,
    measures: Measures<'r>,
    pub faults: Vec<Fault>,
    /// What is bad and has something else in its place, one sentence each.
    pub kept: Vec<Fault>,
    pub notes: Vec<String>,
    /// When the first of those certificates becomes valid that came too early, in seconds since 1970.
    pub due: Option<i64>,
}

impl<'r> Reading<'r> {
    pub(super) fn new(
        presenter: &'r Presenter,
        tls: &'r file::Tls,
        measures: Measures<'r>,
    ) -> Reading<'r> {
        let (faults, kept, notes) = (Vec::new(), Vec::new(), Vec::new());
        Reading { presenter, tls, measures, faults, kept, notes, due: None }
    }

    /// Reads everything; `issued` is the file of the certificate that an authority issues.
    pub(super) fn read(&mut self, issued: Option<PathBuf>) -> Parts {
        let certificates = self.certificates(issued);
        for held in &certificates {
            self.remark(held);
        }
        let of_profile = |profile: &'r TlsProfile| profile.client.as_ref();
        let of_profiles = self.tls.profiles.iter().filter_map(of_profile);
        let all: Vec<&file::TlsClient> =
            [&self.tls.client].into_iter().chain(of_profiles).collect();
        let clients = all.into_iter().enumerate();
        let clients = clients.map(|(index, client)| self.clients(index, client)).collect();
        Parts { certificates, clients }
    }

    fn certificates(&mut self, issued: Option<PathBuf>) -> Vec<Held> {
        let path = issued.clone();
        let files::Places { listed, directory, issued } = files::places(self.tls, issued);
        let mut all: Vec<Held> = listed.into_iter().filter_map(|place| self.held(place)).collect();
        match directory {
            Ok(places) => all.extend(places.into_iter().filter_map(|place| self.held(place))),
            Err(fault) => {
                let fault = self.fault_of(self.directory(), fault);
                all.extend(self.old_of_directory(fault));
            }
        }
        all.extend(match issued {
            Some(place) => self.held(place),
            None => path.and_then(|path| self.old_issued(&path)),
        });
        if all.is_empty() && self.faults.is_empty() {
            all = self.old_of_all();
        }
        all
    }

    fn directory(&self) -> &'r Path {
        self.tls.directory.as_deref().unwrap_or(Path::new(""))
    }

    fn old_of_directory(&mut self, fault: Fault) -> Vec<Held> {
        let Some(old) = self.measures.old else {
            self.faults.push(fault);
            return Vec::new();
        };
        self.kept.push(fault.and("its old certificates stay"));
        let of_directory = |held: &&Held| held.place.source == Source::Directory;
        old.certificates.iter().filter(of_directory).cloned().collect()
    }

    /// The one from before, where the file of an authority's is gone.
    fn old_issued(&mut self, path: &Path) -> Option<Held> {
        let old = self.measures.old?.certificates.iter();
        let old = old.into_iter().find(|held| held.place.chain == path)?;
        self.kept.push(self.fault_of(path, "does not exist").and(ORDERED));
        Some(old.clone())
    }

    /// Those from before, where all are gone: a listener without any serves nobody.
    fn old_of_all(&mut self) -> Vec<Held> {
        let old = self.measures.old.map(|old| old.certificates.clone()).unwrap_or_default();
        if old.is_empty() && self.tls.acme.is_some() {
            return old;
        }
        let fault = self.fault_of(self.directory(), "has no certificate; NAME.pem is read");
        match old.is_empty() {
            true => self.faults.push(fault),
            false => self.kept.push(fault.and("the old ones stay")),
        }
        old
    }

    /// The certificate of a place, or what stands in for it.
    fn held(&mut self, place: Place) -> Option<Held> {
        let fault = match self.judged(place.clone()) {
            Ok(held) => return Some(held),
            Err(fault) => fault,
        };
        let old = self.measures.old.map(|_| self.old_held(&place));
        match (old, place.source) {
            (Some(Some(old)), source) => {
                let outcome = match source {
                    Source::Acme => ORDERED,
                    Source::Listed | Source::Directory => "the old certificate stays",
                };
                self.kept.push(fault.and(outcome));
                return Some(old.clone());
            }
            // One that limpet has obtained is no fault of the operator's.
            (_, Source::Acme) => self.notes.push(fault.and("another is ordered").text),
            (Some(None), Source::Directory) => self.kept.push(fault.and("it is not presented")),
            (Some(None) | None, _) => self.faults.push(fault),
        }
        None
    }

    fn judged(&mut self, place: Place) -> Result<Held, Fault> {
        let mut reader = Reader::default();
        let mut read = |path: &Path| reader.read(path).map_err(|fault| self.fault_of(path, fault));
        let chain = read(&place.chain)?;
        let key = place.key.as_deref().map(&mut read).transpose()?;
        let key_path = place.key.as_deref().unwrap_or(&place.chain);
        let mut certificate = Certificate::read(&chain, key.as_deref()).map_err(|fault| {
            let path = match fault.part() {
                Part::Chain => &place.chain,
                Part::Key => key_path,
            };
            self.fault_of(path, fault)
        })?;
        if files::is_readable_by_all(key_path) {
            let (presenter, path) = (self.presenter, key_path.display());
            self.notes.push(format!(
                "{presenter}: {path} is readable by all, and has a private key; chmod o-r"
            ));
        }
        self.staple(&place, &mut certificate, &mut reader);
        if place.source != Source::Acme {
            self.judge_dates(&place, &certificate)?;
        }
        Ok(Held { place, files: reader.digest(), certificate: Arc::new(certificate) })
    }

    /// Staples the response in the file beside the chain, or the one from before where that is bad.
    fn staple(&mut self, place: &Place, certificate: &mut Certificate, reader: &mut Reader) {
        let path = place.chain.with_extension("ocsp");
        if !path.exists() {
            return;
        }
        let fault = match reader.read(&path) {
            Ok(response) => match certificate.staple(&response) {
                Ok(()) => return,
                // Whoever is told that a certificate is revoked must not be told by an older one that it is good.
                Err(fault @ StapleFault::NotGood) => Err(fault.to_string()),
                Err(fault) => Ok(fault.to_string()),
            },
            Err(fault) => Ok(fault),
        };
        let old = self.old_held(place).map(|old| Arc::clone(&old.certificate));
        match (fault, old) {
            (Ok(fault), Some(old)) if certificate.staple_as(&old, self.measures.now) => {
                self.kept.push(self.fault_of(&path, fault).and("the old response is still sent"));
            }
            (Ok(fault) | Err(fault), _) => {
                let (presenter, path) = (self.presenter, path.display());
                self.notes.push(format!("{presenter}: {path} {fault}; it is not sent"));
            }
        }
    }

    /// What a place had before, where that may stand in.
    fn old_held(&self, place: &Place) -> Option<&'r Held> {
        let is_same =
            |held: &&Held| held.place.source == place.source && held.place.chain == place.chain;
        self.measures.old?.certificates.iter().find(is_same)
    }

    /// Refuses a new certificate with a wrong date.
    fn judge_dates(&mut self, place: &Place, certificate: &Certificate) -> Result<(), Fault> {
        let Measures { known, now, .. } = self.measures;
        let Some(text) = date_fault(self.presenter, &place.chain, certificate, now) else {
            return Ok(());
        };
        if known.is_none_or(|known| known.has(certificate)) {
            return Ok(());
        }
        let begins = Some(certificate.facts.not_before).filter(|begins| *begins > now);
        self.due = self.due.into_iter().chain(begins).min();
        Err(Fault { path: place.chain.clone(), text })
    }

    /// Says what is hardly intended with a certificate that is presented.
    fn remark(&mut self, held: &Held) {
        let (presenter, path) = (self.presenter, held.place.chain.display());
        let facts = &held.certificate.facts;
        if held.certificate.lacks_issuer() {
            self.notes.push(format!(
                "{presenter}: {path} has no certificate of {}, which issued it: many \
                 clients will refuse it; append it",
                facts.issuer
            ));
        }
        if facts.names.is_empty() {
            self.notes
                .push(format!("{presenter}: {path} has no subjectAltName: no client accepts it"));
        }
        let (chain, now) = (&held.place.chain, self.measures.now);
        self.notes.extend(date_fault(presenter, chain, &held.certificate, now));
    }

    /// Whom the settings at this position accept. A part of their files alone would accept others than anyone meant.
    fn clients(&mut self, index: usize, client: &file::TlsClient) -> Clients {
        let mut reader = Reader::default();
        let (auth, mut faults) = self.auth(client, &mut reader);
        let old = self.measures.old.and_then(|old| old.clients.get(index));
        if let Some(old) = old.filter(|_| !faults.is_empty()) {
            let kept = faults.into_iter().map(|fault| fault.and("whom it lets in stays as it was"));
            self.kept.extend(kept);
            return old.clone();
        }
        self.faults.append(&mut faults);
        Clients { files: reader.digest(), auth: Arc::new(auth) }
    }

    fn auth(&self, client: &file::TlsClient, reader: &mut Reader) -> (ClientAuth, Vec<Fault>) {
        if client.mode == ClientMode::Off {
            return (ClientAuth::off(), Vec::new());
        }
        let mut auth = ClientAuth {
            mode: client.mode,
            crl_expired: client.crl_expired,
            verify_depth: client.verify_depth,
            subjects: client.subjects.clone(),
            fingerprints: client.fingerprints.iter().filter_map(|text| fingerprint(text)).collect(),
            ..ClientAuth::off()
        };
        let mut faults = Vec::new();
        let mut fault = |path: &Path, fault: String| faults.push(self.fault_of(path, fault));
        if let Some(path) = &client.authorities {
            let read = reader.read(path);
            let read = read
                .and_then(|pem| client_auth::authorities(&pem).map_err(|fault| fault.to_string()));
            match read {
                Ok(authorities) => auth.authorities = authorities,
                Err(what) => fault(path, what),
            }
        }
        for path in &client.crls {
            let read = reader.read(path);
            let read =
                read.and_then(|bytes| client_auth::crls(&bytes).map_err(|fault| fault.to_string()));
            match read {
                Ok(mut crls) => auth.crls.append(&mut crls),
                Err(what) => fault(path, what),
            }
        }
        (auth, faults)
    }

    fn fault_of(&self, path: &Path, fault: impl fmt::Display) -> Fault {
        Fault::of(self.presenter, path, fault)
    }
}

/// Whether a certificate has a profile's name, which may begin with "*.".
fn is_for(facts: &Facts, name: &str) -> bool {
    let name = name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase();
    facts.covers(&name) || facts.names.contains(&AltName::Dns(name))
}
