//! Certificates in force: read with a configuration, and anew when their files have changed. Tested with `runtime`.

use std::sync::Arc;

use super::{Control, Running, own};
use crate::control::certificates::{Certificates, Fault, Occasion, Surroundings, now_s};
use crate::control::compile::{self, Before, CompileError, Material};
use crate::control::config::file::{self, File};
use crate::control::events::unix_ms;
use crate::stickiness::keyring::KeyRing;
use crate::tls::listener::TlsListener;

/// How the last reading of certificates went.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LastReading {
    pub unix_ms: u64,
    /// A line for each file that is bad and has the old one in its place.
    pub fault: Option<String>,
}

impl LastReading {
    pub(super) fn of(certificates: &Certificates) -> LastReading {
        let lines: Vec<&str> = certificates.kept().iter().map(|fault| &*fault.text).collect();
        let fault = Some(lines.join("\n")).filter(|lines| !lines.is_empty());
        LastReading { unix_ms: unix_ms(), fault }
    }
}

/// What came of reading certificates anew.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Renewal {
    /// A sentence for each that presents something else now, and for each group whose targets must prove something
    /// else.
    pub renewed: Vec<String>,
    /// What is bad and has the old one in its place.
    pub kept: Vec<Fault>,
}

impl Control {
    /// The certificates of the running configuration.
    pub fn certificates(&self) -> Arc<Certificates> {
        Arc::clone(&self.lock().certificates)
    }

    /// What the admin API presents. Never waits.
    pub fn admin_tls(&self) -> Option<Arc<TlsListener>> {
        self.admin_tls.load_full()
    }

    /// Puts certificates in force that no snapshot has.
    pub(super) fn present_to_operators(&self, certificates: &Certificates) {
        if let Some(tls) = certificates.of_admin() {
            self.admin_tls.store(Some(Arc::clone(tls)));
        }
    }

    /// How the last reading of certificates went.
    pub fn last_certificate_reading(&self) -> LastReading {
        own(&self.certificate_reading).clone()
    }

    /// Reads the certificates of the running configuration anew, and publishes those that differ. Each that is bad
    /// keeps its own old one.
    ///
    /// # Errors
    /// What was read makes no snapshot; all certificates stay as they are.
    pub fn renew_certificates(&self) -> Result<Renewal, CompileError> {
        let running = &mut *self.lock();
        let result = self.renew(running);
        *own(&self.certificate_reading) = match &result {
            Ok(_) => LastReading::of(&running.certificates),
            Err(error) => LastReading { unix_ms: unix_ms(), fault: Some(error.to_string()) },
        };
        result
    }

    fn renew(&self, running: &mut Running) -> Result<Renewal, CompileError> {
        let file = &running.parsed.file;
        let certificates =
            self.read_certificates(running, file, &running.ring, Occasion::Renewal)?;
        let renewed = certificates.renewed(&running.certificates);
        let (snapshot, ring) = (&running.snapshot, &running.ring);
        let material = Material { ring, certificates: Some(&certificates) };
        let before = Before { file, snapshot, ring, changed: &[] };
        if !renewed.is_empty() {
            let leaving = &running.leaving;
            let registry = &self.registry;
            let snapshot = compile::compile(file, registry, material, Some(before), leaving)?;
            running.snapshot = Arc::new(snapshot);
            self.publication.replace(Arc::clone(&running.snapshot));
        }
        self.present_to_operators(&certificates);
        running.certificates = certificates;
        Ok(Renewal { renewed, kept: running.certificates.kept().to_vec() })
    }

    /// Reads the certificates that `file` names; of unchanged ones nothing is compiled anew. Where no listener, no
    /// setting of the admin API and no file has changed, as with every edit of a group, nothing is read; but a
    /// configuration that an operator puts in force is told what is bad.
    pub(super) fn read_certificates(
        &self,
        running: &Running,
        file: &File,
        ring: &Arc<KeyRing>,
        occasion: Occasion,
    ) -> Result<Arc<Certificates>, CompileError> {
        let has_same_keys = Arc::ptr_eq(ring, &running.ring);
        let before = &running.parsed.file;
        let is_same = has_same_keys
            && file.listeners == before.listeners
            && file.admin.tls == before.admin.tls
            && of_targets(file).eq(of_targets(before));
        let (now, known) = (now_s(), &running.certificates);
        let is_good = match occasion {
            Occasion::Configuration => known.kept().is_empty(),
            Occasion::Renewal => !known.are_due(now),
        };
        if is_same && is_good && known.are_as_on_disk(file) {
            return Ok(Arc::clone(known));
        }
        let surroundings = Surroundings {
            occasion,
            ring,
            process_keys: &self.process_keys,
            challenges: self.acme.challenges(),
            before: has_same_keys.then_some(&**known),
            now,
        };
        Certificates::load(file, &surroundings).map(Arc::new)
    }
}

/// The groups whose targets are spoken to under TLS, and how.
fn of_targets(file: &File) -> impl Iterator<Item = (&str, &file::TargetTls)> {
    file.target_groups.iter().filter_map(|group| Some((group.name.as_str(), group.tls()?)))
}
