//! What targets under TLS must prove, and what limpet presents to them: the files of `[target_group.tls]`. Tested with
//! `certificates`.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::Path;
use std::sync::Arc;

use rustls::pki_types::CertificateDer;
use rustls::time_provider::DefaultTimeProvider;

use super::files::{self, Reader};
use super::{Presenter, Shown, Surroundings};
use crate::control::config::file::{self, File};
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

#[derive(Debug)]
struct Loaded {
    settings: file::TargetTls,
    /// The names that "{host}" stands for.
    hosts: BTreeSet<String>,
    compiled: Arc<TargetTls>,
}

impl Groups {
    /// Reads the files that the groups of `file` name; appends to the faults and the notes a line for each. What is
    /// proven as before is taken over. Returns what groups present as well.
    pub(super) fn load(
        file: &File,
        surroundings: &Surroundings<'_>,
        (faults, notes): (&mut Vec<String>, &mut Vec<String>),
    ) -> (Groups, Vec<Shown>) {
        let (mut all, mut shown) = (Groups::default(), Vec::new());
        for group in &file.target_groups {
            let Some(tls) = group.tls() else { continue };
            let mut reading = Reading::of(&group.name);
            let hosts = match tls.server_name.as_deref() {
                Some(HOST_NAME) => hosts(file, &group.name).unwrap_or_default(),
                _ => BTreeSet::new(),
            };
            let compiled = reading.compile(tls, &hosts, surroundings);
            notes.append(&mut reading.notes);
            faults.append(&mut reading.faults);
            shown.extend(reading.shown);
            let Some(compiled) = compiled else { continue };
            let before = surroundings.before.and_then(|before| before.groups.0.get(&group.name));
            let same = before.filter(|same| {
                same.compiled.id() == compiled.id() && same.settings == *tls && same.hosts == hosts
            });
            let compiled = match same {
                Some(same) => Arc::clone(&same.compiled),
                None => Arc::new(compiled),
            };
            let loaded = Loaded { settings: tls.clone(), hosts, compiled };
            all.0.insert(group.name.clone(), loaded);
        }
        (all, shown)
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
    group: &'f str,
    shown: Option<Shown>,
    faults: Vec<String>,
    notes: Vec<String>,
}

impl Reading<'_> {
    fn of(group: &str) -> Reading<'_> {
        Reading { group, shown: None, faults: Vec::new(), notes: Vec::new() }
    }

    fn compile(
        &mut self,
        tls: &file::TargetTls,
        hosts: &BTreeSet<String>,
        surroundings: &Surroundings<'_>,
    ) -> Option<TargetTls> {
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
            alpn: vec!["http/1.1".into()],
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
                self.faults.push(format!("target group {:?}: tls: {fault}", self.group));
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
        name.map_err(|fault| {
            self.faults.push(format!("target group {:?}: tls: {fault}", self.group));
        })
        .ok()
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
            self.faults.push(format!(
                "target group {:?}: tls.authorities is \"system\", and the system has none{why}; install its \
                 certificates (ca-certificates), or name a file",
                self.group
            ));
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
            let (group, path) = (self.group, key_path.display());
            self.notes.push(format!(
                "target group {group:?}: {path} is readable by all, and has a private key; chmod o-r"
            ));
        }
        match Certificate::read_of_client(&chain, key.as_deref()) {
            Ok(certificate) => {
                let certificate = Arc::new(certificate);
                let shown = Shown {
                    presenter: Presenter::TargetGroup(self.group.to_owned()),
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

    /// Refuses a certificate with a wrong date in a running process; at the start it is told and used, as those of
    /// listeners are.
    fn judge_dates(&mut self, shown: &Shown, surroundings: &Surroundings<'_>) {
        let Some(said) = shown.date_fault(surroundings.now) else { return };
        let group = self.group;
        let is_known = surroundings.before.is_none_or(|before| before.groups.0.contains_key(group));
        if is_known { self.notes.push(said) } else { self.faults.push(said) }
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
        let (group, path) = (self.group, path.display());
        self.faults.push(format!("target group {group:?}: {path}: {fault}"));
    }
}
