//! Certificates in force: read with a configuration, and anew when their files have changed. Tested with `runtime`.

use std::sync::Arc;

use super::{Control, Running, own};
use crate::control::certificates::{Certificates, Surroundings, now_s};
use crate::control::compile::{self, Before, CompileError, Material};
use crate::control::config::file::{self, File};
use crate::control::events::unix_ms;
use crate::stickiness::keyring::KeyRing;
use crate::tls::listener::TlsListener;

/// How the last reading of certificates went.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LastReading {
    pub unix_ms: u64,
    /// Why the certificates stayed as they were.
    pub fault: Option<String>,
}

impl LastReading {
    pub(super) fn good() -> LastReading {
        LastReading { unix_ms: unix_ms(), fault: None }
    }
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

    /// Reads the certificates of the running configuration anew, and publishes those that differ; a sentence for each
    /// that presents something else now, and for each group of targets.
    ///
    /// # Errors
    /// A line for each fault; all certificates stay as they are.
    pub fn renew_certificates(&self) -> Result<Vec<String>, CompileError> {
        let result = self.renew(&mut self.lock());
        let fault = result.as_ref().err().map(ToString::to_string);
        *own(&self.certificate_reading) = LastReading { unix_ms: unix_ms(), fault };
        result
    }

    fn renew(&self, running: &mut Running) -> Result<Vec<String>, CompileError> {
        let file = &running.parsed.file;
        let certificates = self.read_certificates(running, file, &running.ring)?;
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
        Ok(renewed)
    }

    /// Reads the certificates that `file` names; of unchanged ones nothing is compiled anew. Where no listener, no setting of
    /// the admin API and no file has changed, as with every edit of a group, nothing is read.
    pub(super) fn read_certificates(
        &self,
        running: &Running,
        file: &File,
        ring: &Arc<KeyRing>,
    ) -> Result<Arc<Certificates>, CompileError> {
        let has_same_keys = Arc::ptr_eq(ring, &running.ring);
        let before = &running.parsed.file;
        let is_same = has_same_keys
            && file.listeners == before.listeners
            && file.admin.tls == before.admin.tls
            && of_targets(file).eq(of_targets(before));
        if is_same && running.certificates.are_as_on_disk(file) {
            return Ok(Arc::clone(&running.certificates));
        }
        let surroundings = Surroundings {
            ring,
            process_keys: &self.process_keys,
            challenges: self.acme.challenges(),
            before: has_same_keys.then_some(&*running.certificates),
            now: now_s(),
        };
        Certificates::load(file, &surroundings).map(Arc::new)
    }
}

/// The groups whose targets are spoken to under TLS, and how.
fn of_targets(file: &File) -> impl Iterator<Item = (&str, &file::TargetTls)> {
    file.target_groups.iter().filter_map(|group| Some((group.name.as_str(), group.tls()?)))
}
