//! What proves a name: a content for http-01, a handshake for tls-alpn-01, and their files in a shared directory.
//!
//! A file has the key authorization (RFC 8555 §8.1), which every node makes its own proof of. Tested beside it.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use aws_lc_rs::digest::{SHA256, digest};
use bytes::Bytes;
use rcgen::{CertificateParams, CustomExtension, DistinguishedName, KeyPair};
use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::crypto::aws_lc_rs::sign::any_supported_type;
use rustls::pki_types::PrivatePkcs8KeyDer;
use rustls::server::NoServerSessionStorage;
use rustls::sign::{CertifiedKey, SingleCertAndKey};

use super::store::{self, StoreError};
use crate::challenges::{ACME_TLS, Challenges, Key, Proof, is_name, is_token};

/// Longest key authorization: a token, a dot and a thumbprint.
const AUTHORIZATION_BYTES_MAX: usize = 256;

/// The directory of the proofs of one kind.
fn directory(base: &Path, key: &Key) -> PathBuf {
    base.join("challenges").join(match key {
        Key::Token(_) => "http-01",
        Key::Name(_) => "tls-alpn-01",
    })
}

/// The file of a proof; `None` for what is no name of a file.
fn file(base: &Path, key: &Key) -> Option<PathBuf> {
    let name = match key {
        Key::Token(token) => Some(token).filter(|token| is_token(token)),
        Key::Name(name) => Some(name).filter(|name| is_name(name)),
    }?;
    Some(directory(base, key).join(&**name))
}

/// The proof of `key` with this key authorization.
///
/// # Errors
/// A sentence.
pub fn of(key: &Key, authorization: &str) -> Result<Proof, String> {
    match key {
        Key::Token(_) => Ok(Proof::Content(Bytes::from(authorization.to_owned()))),
        Key::Name(name) => handshake(name, authorization).map(Proof::Handshake),
    }
}

/// The configuration of a handshake that proves `name` (RFC 8737 §3): a certificate that signs itself and carries the
/// digest, for this protocol alone. It asks for no certificate, and is never resumed.
fn handshake(name: &str, authorization: &str) -> Result<Arc<ServerConfig>, String> {
    let digest = digest(&SHA256, authorization.as_bytes());
    let fault = |error: rcgen::Error| format!("the proof of {name} cannot be made: {error}");
    let key = KeyPair::generate().map_err(fault)?;
    let mut params = CertificateParams::new([name.to_owned()]).map_err(fault)?;
    params.distinguished_name = DistinguishedName::new();
    params.custom_extensions = vec![CustomExtension::new_acme_identifier(digest.as_ref())];
    let certificate = params.self_signed(&key).map_err(fault)?;
    let refused = |error: rustls::Error| format!("the proof of {name} cannot be made: {error}");
    let key = PrivatePkcs8KeyDer::from(key.serialize_der());
    let key = any_supported_type(&key.into()).map_err(refused)?;
    // The extension is critical (RFC 8737 §3), and unknown to rustls' own judgement of a certificate.
    let shown = CertifiedKey::new(vec![certificate.der().clone()], key);
    let mut config = ServerConfig::builder_with_provider(Arc::new(default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(refused)?
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(SingleCertAndKey::from(shown)));
    config.alpn_protocols = vec![ACME_TLS.to_vec()];
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    // The stream of the connection takes its records over.
    config.enable_secret_extraction = true;
    Ok(Arc::new(config))
}

/// Reads the proof of `key` from the first of these directories that has it.
pub fn look(bases: &[PathBuf], key: &Key) -> Option<Proof> {
    bases.iter().find_map(|base| {
        let content = store::read(&file(base, key)?).ok()??;
        let authorization = String::from_utf8(content).ok()?;
        let is_good = authorization.len() <= AUTHORIZATION_BYTES_MAX;
        of(key, &authorization).ok().filter(|_| is_good)
    })
}

/// The proofs of one order, which end with it.
#[derive(Debug)]
pub struct Proofs {
    challenges: Arc<Challenges>,
    /// `None` = no other node may be asked.
    shared: Option<PathBuf>,
    given: Vec<(Key, Proof)>,
}

impl Proofs {
    pub fn new(challenges: &Arc<Challenges>, shared: Option<PathBuf>) -> Proofs {
        Proofs { challenges: Arc::clone(challenges), shared, given: Vec::new() }
    }

    /// Gives a proof, on every node, before this returns. Writes a file, where the directory is shared.
    ///
    /// # Errors
    /// A sentence.
    pub fn give(&mut self, key: Key, authorization: &str) -> Result<(), String> {
        if let Some(base) = &self.shared {
            let what = || "the authority's token is no name of a file".to_owned();
            let path = file(base, &key).ok_or_else(what)?;
            store::write(&path, authorization.as_bytes())
                .map_err(|error: StoreError| error.to_string())?;
        }
        let proof = of(&key, authorization)?;
        self.challenges.insert(&key, &proof);
        self.given.push((key, proof));
        Ok(())
    }

    /// Clears away what orders that were cut off have left in a shared directory.
    pub fn clear_old(&self) {
        for key in [Key::Token("".into()), Key::Name("".into())] {
            if let Some(base) = &self.shared {
                store::remove_old(&directory(base, &key));
            }
        }
    }
}

impl Drop for Proofs {
    fn drop(&mut self) {
        for (key, proof) in self.given.drain(..) {
            self.challenges.remove(&key, &proof);
            if let Some(path) = self.shared.as_deref().and_then(|base| file(base, &key)) {
                store::remove(&path);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use x509_parser::prelude::{FromDer as _, X509Certificate};

    use crate::challenges::Found;
    use crate::control::acme::proof::*;
    use crate::tls::x509::{AltName, Facts};

    const TOKEN: &str = "LoqXcYV8q5ONbJQxbmR7SCTNo3tiAXDfowyjxAjEuX0";

    #[test]
    fn a_proof_by_a_handshake_is_as_rfc_8737_describes_it() {
        let proof = of(&Key::Name("a.example".into()), "token.thumb").unwrap();
        let Proof::Handshake(config) = proof else { panic!("no handshake") };
        assert_eq!(config.alpn_protocols, [b"acme-tls/1"]);
        assert_eq!(config.send_tls13_tickets, 0);
        let der = shown(&config, "a.example");
        let facts = Facts::read(&der).unwrap();
        assert_eq!(facts.names, [AltName::Dns("a.example".into())]);
        let (_, certificate) = X509Certificate::from_der(&der).unwrap();
        let oid = x509_parser::oid_registry::Oid::from(&[1, 3, 6, 1, 5, 5, 7, 1, 31]).unwrap();
        let extension = certificate.extensions().iter().find(|one| one.oid == oid).unwrap();
        assert!(extension.critical);
        let expected = digest(&SHA256, b"token.thumb");
        assert_eq!(extension.value, [&[4, 32], expected.as_ref()].concat());
    }

    /// The certificate that a handshake for this protocol shows.
    fn shown(config: &Arc<ServerConfig>, name: &'static str) -> Vec<u8> {
        use crate::control::acme::test_client::Anyone;
        let mut client = Anyone::client(name, &[ACME_TLS]);
        let mut server = rustls::ServerConnection::new(Arc::clone(config)).unwrap();
        while client.is_handshaking() || server.is_handshaking() {
            let mut wire = Vec::new();
            client.write_tls(&mut wire).unwrap();
            server.read_tls(&mut &wire[..]).unwrap();
            server.process_new_packets().unwrap();
            wire.clear();
            server.write_tls(&mut wire).unwrap();
            client.read_tls(&mut &wire[..]).unwrap();
            client.process_new_packets().unwrap();
        }
        assert!(server.dangerous_extract_secrets().is_ok(), "no stream has its records");
        client.peer_certificates().unwrap()[0].to_vec()
    }

    #[test]
    fn another_node_finds_a_proof_in_the_shared_directory_as_long_as_its_order_is_open() {
        let home = tempfile::tempdir().unwrap();
        let bases = [home.path().join("other"), home.path().to_owned()];
        let challenges = Arc::new(Challenges::default());
        let mut proofs = Proofs::new(&challenges, Some(home.path().to_owned()));
        let (token, name) = (Key::Token(TOKEN.into()), Key::Name("a.example".into()));
        proofs.give(token.clone(), "token.thumb").unwrap();
        proofs.give(name.clone(), "token.thumb").unwrap();
        assert!(matches!(challenges.find(token.clone(), false), Found::Proof(_)));
        let Some(Proof::Content(content)) = look(&bases, &token) else { panic!("not found") };
        assert_eq!(content, "token.thumb");
        assert!(matches!(look(&bases, &name), Some(Proof::Handshake(_))));
        drop(proofs);
        assert!(matches!(challenges.find(token.clone(), false), Found::Nothing));
        assert!(look(&bases, &token).is_none() && look(&bases, &name).is_none());
    }

    #[test]
    fn no_question_leads_out_of_the_directory() {
        let home = tempfile::tempdir().unwrap();
        store::write(&home.path().join("secret"), b"x").unwrap();
        store::make_directory(&home.path().join("challenges/http-01")).unwrap();
        store::make_directory(&home.path().join("challenges/tls-alpn-01")).unwrap();
        let bases = [home.path().to_owned()];
        assert!(look(&bases, &Key::Token("../../secret".into())).is_none());
        assert!(look(&bases, &Key::Name("../../secret".into())).is_none());
        let mut proofs = Proofs::new(&Arc::default(), Some(home.path().to_owned()));
        assert!(proofs.give(Key::Token("../../a".into()), "x").is_err());
    }
}
