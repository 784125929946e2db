//! What targets under TLS must prove, and what limpet presents to them: the files of `[target_group.tls]`. Tested with
//! `certificates`.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::pki_types::CertificateDer;
use rustls::time_provider::DefaultTimeProvider;

use super::files::{self, Reader};
use super::{Fault, Occasion, Presenter, Shown, Surroundings};
use crate::control::config::file::{self, File, ProtocolVersion};
use crate::control::config::{HOST_NAME, SYSTEM, hosts};
use crate::tls::certificate::{Certificate, Part};
use crate::tls::client_auth::{authorities, crls};
use crate::tls::names::Source;
use crate::tls::target::{
    Naming, Sni, TargetTls, TargetTlsFault, TargetTlsOptions, Verify, server_name,
};

/// How the targets of all groups under TLS are spoken to.
#[derive(Debug, Default)]
pub(super) struct Groups(BTreeMap<String, Loaded>);

#[derive(Debug, Clone)]
struct Loaded {
    settings: file::TargetTls,
    /// The names that "{host}" stands for.
    hosts: BTreeSet<String>,
    compiled: Arc<TargetTls>,
    /// What the group presents.
    shown: Option<Shown>,
}

/// What a reading has found so far.
pub(super) struct Loading<'l> {
    pub faults: &'l mut Vec<Fault>,
    /// What is bad and has the old one in its place.
    pub kept: &'l mut Vec<Fault>,
    pub notes: &'l mut Vec<String>,
    /// When something of it is worth another reading, in seconds since 1970.
    pub due: &'l mut Option<i64>,
}

impl Groups {
    /// Reads the files that the groups of `file` name. What is proven as before is taken over, and so is a group whole
    /// of which anything is bad, where the occasion is a renewal: a part of its files would prove something else.
    pub(super) fn load(
        file: &File,
        surroundings: &Surroundings<'_>,
        loading: &mut Loading<'_>,
    ) -> Groups {
        let mut all = Groups::default();
        for group in &file.target_groups {
            let Some(tls) = group.tls() else { continue };
            let presenter = Presenter::TargetGroup(group.name.clone());
            let mut reading = Reading::of(&presenter);
            let hosts = match tls.server_name.as_deref() {
                Some(HOST_NAME) => hosts(file, &group.name).unwrap_or_default(),
                _ => BTreeSet::new(),
            };
            let compiled = reading.compile(group, &hosts, surroundings);
            let Reading { shown, faults, notes, due, .. } = reading;
            let before = surroundings.before.and_then(|before| before.groups.0.get(&group.name));
            let same = before.filter(|same| same.settings == *tls && same.hosts == hosts);
            let old = same.filter(|_| surroundings.occasion == Occasion::Renewal);
            let loaded = match (compiled, old) {
                (Some(compiled), _) => {
                    loading.notes.extend(notes);
                    let same = same.filter(|same| same.compiled.id() == compiled.id());
                    let compiled =
                        same.map_or_else(|| Arc::new(compiled), |same| Arc::clone(&same.compiled));
                    Loaded { settings: tls.clone(), hosts, compiled, shown }
                }
                (None, Some(old)) => {
                    *loading.due = loading.due.iter().copied().chain(due).min();
                    let kept =
                        faults.into_iter().map(|fault| fault.and("the old files stay in use"));
                    loading.kept.extend(kept);
                    let dated = old.shown.as_ref().and_then(|old| old.date_fault(surroundings.now));
                    loading.notes.extend(dated);
                    old.clone()
                }
                (None, None) => {
                    loading.faults.extend(faults);
                    continue;
                }
            };
            all.0.insert(group.name.clone(), loaded);
        }
        all
    }

    /// What the groups of `file` present, in its order.
    pub(super) fn shown(&self, file: &File) -> impl Iterator<Item = Shown> {
        let groups = file.target_groups.iter();
        groups.filter_map(|group| self.0.get(&group.name)?.shown.clone())
    }

    pub(super) fn of(&self, group: &str) -> Option<&Arc<TargetTls>> {
        self.0.get(group).map(|loaded| &loaded.compiled)
    }

    /// A sentence for each group whose files say something else than `before`.
    pub(super) fn renewed(&self, before: &Groups) -> Vec<String> {
        let is_renewed = |(name, loaded): &(&String, &Loaded)| {
            before.0.get(*name).is_some_and(|before| {
                before.compiled.id() != loaded.compiled.id() && before.settings == loaded.settings
            })
        };
        let sentence = |(name, _): (&String, &Loaded)| {
            format!("target group {name:?}: its certificates are read anew")
        };
        self.0.iter().filter(is_renewed).map(sentence).collect()
    }
}

/// The files of one group, as far as they were read.
struct Reading<'f> {
    presenter: &'f Presenter,
    shown: Option<Shown>,
    faults: Vec<Fault>,
    notes: Vec<String>,
    /// When its certificate becomes valid, which came too early; in seconds since 1970.
    due: Option<i64>,
}

impl Reading<'_> {
    fn of(presenter: &Presenter) -> Reading<'_> {
        Reading { presenter, shown: None, faults: Vec::new(), notes: Vec::new(), due: None }
    }

    fn compile(
        &mut self,
        group: &file::TargetGroup,
        hosts: &BTreeSet<String>,
        surroundings: &Surroundings<'_>,
    ) -> Option<TargetTls> {
        let tls = &group.tls;
        let protocol = match group.protocol_version {
            ProtocolVersion::Http1 => "http/1.1",
            ProtocolVersion::Http2 | ProtocolVersion::Grpc => "h2",
        };
        let options = TargetTlsOptions {
            naming: self.naming(tls, hosts)?,
            sni: match tls.sni.as_deref() {
                None => Sni::Same,
                Some("") => Sni::None,
                Some(name) => Sni::Other(self.name(name)?),
            },
            minimum_version: tls.minimum_version,
            verify: tls.verify,
            authorities: self.authorities(tls),
            crls: self.crls(tls),
            own: self.own(tls, surroundings),
            alpn: vec![protocol.into()],
        };
        if !self.faults.is_empty() {
            return None;
        }
        match TargetTls::new(&options, Arc::new(DefaultTimeProvider)) {
            Ok(compiled) => Some(compiled),
            Err(fault) => {
                self.faulty(tls, &fault);
                None
            }
        }
    }

    fn faulty(&mut self, tls: &file::TargetTls, fault: &TargetTlsFault) {
        match fault {
            TargetTlsFault::Authorities(fault) => self.fault(Path::new(&tls.authorities), fault),
            TargetTlsFault::NoHost
            | TargetTlsFault::TooManyHosts(_)
            | TargetTlsFault::Policy(_)
            | TargetTlsFault::Refused(_) => {
                self.fault_of_settings(fault);
            }
        }
    }

    fn naming(&mut self, tls: &file::TargetTls, hosts: &BTreeSet<String>) -> Option<Naming> {
        Some(match tls.server_name.as_deref() {
            None => Naming::Address,
            Some(HOST_NAME) => {
                Naming::Hosts(hosts.iter().map(|host| self.name(host)).collect::<Option<_>>()?)
            }
            Some(name) => Naming::Fixed(self.name(name)?),
        })
    }

    fn name(&mut self, text: &str) -> Option<rustls::pki_types::ServerName<'static>> {
        let name = server_name(text);
        name.map_err(|fault| self.fault_of_settings(fault)).ok()
    }

    fn authorities(&mut self, tls: &file::TargetTls) -> Vec<CertificateDer<'static>> {
        if tls.verify == Verify::None {
            return Vec::new();
        }
        if tls.authorities == SYSTEM {
            return self.of_the_system();
        }
        let path = Path::new(&tls.authorities);
        let Some(pem) = self.read(path) else { return Vec::new() };
        authorities(&pem).unwrap_or_else(|fault| {
            self.fault(path, fault);
            Vec::new()
        })
    }

    /// The authorities that the system trusts; those that are none here are left out, as everybody does.
    fn of_the_system(&mut self) -> Vec<CertificateDer<'static>> {
        let mut found = rustls_native_certs::load_native_certs();
        found.certs.retain(|der| webpki::anchor_from_trusted_cert(der).is_ok());
        if found.certs.is_empty() {
            let reasons = found.errors.iter().map(|error| format!(": {error}"));
            let why = reasons.collect::<String>();
            let text = format!(
                "{}: tls.authorities is \"system\", and the system has none{why}; install its certificates \
                 (ca-certificates), or name a file",
                self.presenter
            );
            self.faults.push(Fault { path: PathBuf::new(), text });
        }
        // Their order on disk means nothing.
        found.certs.sort_by(|one, other| one.as_ref().cmp(other.as_ref()));
        found.certs.dedup();
        found.certs
    }

    fn crls(
        &mut self,
        tls: &file::TargetTls,
    ) -> Vec<rustls::pki_types::CertificateRevocationListDer<'static>> {
        let mut all = Vec::new();
        for path in &tls.crls {
            let Some(bytes) = self.read(path) else { continue };
            match crls(&bytes) {
                Ok(mut lists) => all.append(&mut lists),
                Err(fault) => self.fault(path, fault),
            }
        }
        all
    }

    /// The certificate that limpet presents.
    fn own(
        &mut self,
        tls: &file::TargetTls,
        surroundings: &Surroundings<'_>,
    ) -> Option<Arc<Certificate>> {
        let path = tls.certificate.as_deref()?;
        let chain = self.read(path)?;
        let key_path = tls.key.as_deref().unwrap_or(path);
        let key = match &tls.key {
            Some(key) => Some(self.read(key)?),
            None => None,
        };
        if files::is_readable_by_all(key_path) {
            let (presenter, path) = (self.presenter, key_path.display());
            self.notes.push(format!(
                "{presenter}: {path} is readable by all, and has a private key; chmod o-r"
            ));
        }
        match Certificate::read_of_client(&chain, key.as_deref()) {
            Ok(certificate) => {
                let certificate = Arc::new(certificate);
                let shown = Shown {
                    presenter: self.presenter.clone(),
                    profiles: Vec::new(),
                    chain: path.to_owned(),
                    source: Source::Listed,
                    certificate: Arc::clone(&certificate),
                };
                self.judge_dates(&shown, surroundings);
                self.shown = Some(shown);
                Some(certificate)
            }
            Err(fault) => {
                let at = match fault.part() {
                    Part::Chain => path,
                    Part::Key => key_path,
                };
                self.fault(at, fault);
                None
            }
        }
    }

    /// Refuses a new certificate with a wrong date in a running process; at the start it is told and used, as those of
    /// listeners are.
    fn judge_dates(&mut self, shown: &Shown, surroundings: &Surroundings<'_>) {
        let Some(text) = shown.date_fault(surroundings.now) else { return };
        if surroundings.before.is_none_or(|before| before.has(&shown.certificate)) {
            self.notes.push(text);
            return;
        }
        let begins = shown.certificate.facts.not_before;
        self.due = Some(begins).filter(|begins| *begins > surroundings.now);
        self.faults.push(Fault { path: shown.chain.clone(), text });
    }

    fn read(&mut self, path: &Path) -> Option<Vec<u8>> {
        match Reader::default().read(path) {
            Ok(bytes) => Some(bytes),
            Err(fault) => {
                self.fault(path, fault);
                None
            }
        }
    }

    fn fault(&mut self, path: &Path, fault: impl fmt::Display) {
        self.faults.push(Fault::of(self.presenter, path, fault));
    }

    fn fault_of_settings(&mut self, fault: impl fmt::Display) {
        let text = format!("{}: tls: {fault}", self.presenter);
        self.faults.push(Fault { path: PathBuf::new(), text });
    }
}
