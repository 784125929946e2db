//! What a TLS listener presents: certificates by name, and a rustls configuration for each of its profiles.
//!
//! Compiled once by the control plane, shared by all shards, never changed. Knows no socket: the stream shows it a
//! ClientHello and is given a configuration. Tested beside it, with both ends in memory.

use std::sync::Arc;

use rustls::crypto::CryptoProvider;
use rustls::server::{ClientHello, NoServerSessionStorage, WantsServerCert};
use rustls::time_provider::TimeProvider;
use rustls::{AlertDescription, ConfigBuilder, ServerConfig};

use super::client_auth::{self, ClientAuth, ClientAuthFault, ClientAuthId, ClientMode};
use super::name_map::NameMap;
use super::names::{Names, Presented};
use super::policy::{Policy, PolicyFault, PolicyOptions};
use super::tickets::{Binding, ProcessKeys, TicketRoots, Tickets};
use crate::challenges::{ACME_TLS, Challenges, Key};

/// What is asked of a request's Host on a connection that was made for another name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Deserialize, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum HostMatch {
    /// The client authentication that Host selects is that of the handshake.
    ClientAuth,
    /// As well, the certificate of the handshake covers Host.
    Certificate,
    Off,
}

/// Settings that a profile may have of its own.
#[derive(Debug, Clone)]
pub struct ProfileOptions {
    pub policy: PolicyOptions,
    /// Protocols in the order in which they are preferred.
    pub alpn: Vec<String>,
    pub client: ClientAuth,
}

/// Settings of the names that a profile is for.
#[derive(Debug, Clone)]
pub struct NamedProfile {
    /// Exact, or with "*." in front.
    pub names: Vec<String>,
    pub options: ProfileOptions,
}

/// Everything that a listener presents, read from files.
#[derive(Debug)]
pub struct TlsOptions {
    pub listener: String,
    /// The first one is the default.
    pub certificates: Vec<Presented>,
    /// Refuse clients that name nobody, or nobody who is known.
    pub strict_sni: bool,
    pub tickets: bool,
    pub host_match: HostMatch,
    /// Data to clients begins in small records.
    pub small_records: bool,
    pub own: ProfileOptions,
    pub profiles: Vec<NamedProfile>,
    /// Whether an authority is to issue a certificate, so that there may be none yet.
    pub awaits_certificate: bool,
    /// The proofs that are asked for by handshakes; `None` = nobody asks.
    pub challenges: Option<Arc<Challenges>>,
}

/// The keys of tickets, and the clock that says which are in use.
#[derive(Debug, Clone)]
pub struct TicketSource {
    pub ring: Arc<TicketRoots>,
    pub process: Arc<ProcessKeys>,
    pub clock: Arc<dyn TimeProvider>,
}

/// Why a listener's settings make no configuration.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TlsFault {
    #[error("has no certificate")]
    NoCertificate,
    #[error(transparent)]
    Policy(#[from] PolicyFault),
    #[error(transparent)]
    ClientAuth(#[from] ClientAuthFault),
    #[error("rustls refuses the settings: {0}")]
    Refused(String),
}

/// Why a client gets no configuration.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refused {
    /// `strict_sni`, and no certificate has the name that the client gave.
    UnknownName,
    /// `strict_sni`, and the client gave no name.
    NoName,
    /// No authority has issued a certificate yet.
    NoCertificate,
}

impl Refused {
    /// RFC 6066 §3, and RFC 8446 §6.2.
    pub fn alert(self) -> AlertDescription {
        match self {
            Refused::UnknownName | Refused::NoName => AlertDescription::UnrecognisedName,
            Refused::NoCertificate => AlertDescription::HandshakeFailure,
        }
    }
}

/// The profile of a handshake, to be kept with its connection; comparable with those of later configurations.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HandshakeProfile {
    client_auth: ClientAuthId,
}

/// A compiled listener.
#[derive(Debug)]
pub struct TlsListener {
    names: Arc<Names>,
    own: Profile,
    profiles: Vec<Profile>,
    /// Positions in `profiles`.
    by_name: NameMap<usize>,
    strict_sni: bool,
    host_match: HostMatch,
    small_records: bool,
    challenges: Option<Arc<Challenges>>,
}

#[derive(Debug)]
struct Profile {
    client_auth: ClientAuthId,
    config: Arc<ServerConfig>,
}

impl TlsListener {
    /// # Errors
    /// See [`TlsFault`].
    pub fn new(options: TlsOptions, tickets: &TicketSource) -> Result<TlsListener, TlsFault> {
        if options.certificates.is_empty() && !options.awaits_certificate {
            return Err(TlsFault::NoCertificate);
        }
        let names = Arc::new(Names::new(options.certificates, Arc::clone(&tickets.clock)));
        let builder = Builder {
            listener: &options.listener,
            names: &names,
            tickets: options.tickets.then_some(tickets),
            clock: &tickets.clock,
        };
        let own = builder.profile(&[], &options.own)?;
        let mut by_name = NameMap::default();
        let mut profiles = Vec::with_capacity(options.profiles.len());
        for (index, profile) in options.profiles.iter().enumerate() {
            for name in &profile.names {
                by_name.entry(name, || index);
            }
            profiles.push(builder.profile(&profile.names, &profile.options)?);
        }
        let TlsOptions { strict_sni, host_match, small_records, challenges, .. } = options;
        Ok(TlsListener {
            names,
            own,
            profiles,
            by_name,
            strict_sni,
            host_match,
            small_records,
            challenges,
        })
    }

    /// What a handshake is to prove, and where the proof is: for a ClientHello of an authority, which names one server
    /// and offers one protocol (RFC 8737 §3). `None` for everybody else.
    pub fn challenge(&self, hello: &ClientHello<'_>) -> Option<(&Arc<Challenges>, Key)> {
        let challenges = self.challenges.as_ref()?;
        let mut protocols = hello.alpn()?;
        if protocols.next() != Some(ACME_TLS) || protocols.next().is_some() {
            return None;
        }
        Some((challenges, Key::Name(hello.server_name()?.to_ascii_lowercase().into())))
    }

    /// The configuration for a client, by the ClientHello that it sent.
    ///
    /// # Errors
    /// The client is to be sent [`Refused::alert`].
    pub fn choose(&self, hello: &ClientHello<'_>) -> Result<Arc<ServerConfig>, Refused> {
        let server_name = hello.server_name();
        if self.names.is_empty() {
            return Err(Refused::NoCertificate);
        }
        if self.strict_sni {
            match server_name {
                None => return Err(Refused::NoName),
                Some(name) if !self.names.know(name) => return Err(Refused::UnknownName),
                Some(_) => {}
            }
        }
        Ok(Arc::clone(&self.profile(server_name).config))
    }

    /// Whether the handshake that follows this ClientHello is signed by a key that takes long, as RSA does: about a
    /// millisecond of 2 048 bits, where ECDSA takes a twentieth.
    pub fn signs_slowly(&self, hello: &ClientHello<'_>) -> bool {
        self.names.sign_slowly(hello.server_name(), hello.signature_schemes())
    }

    /// The profile of a handshake with this server name.
    pub fn handshake_profile(&self, server_name: Option<&str>) -> HandshakeProfile {
        HandshakeProfile { client_auth: self.profile(server_name).client_auth }
    }

    /// Whether a request for `host` (without a port; `None` = it names none) must not be answered on a connection whose
    /// handshake, with `server_name`, had this profile: the answer is 421 (RFC 9110 §15.5.20).
    pub fn is_other_profile(
        &self,
        handshake: HandshakeProfile,
        server_name: Option<&str>,
        host: Option<&str>,
    ) -> bool {
        let is_other_auth = || self.profile(host).client_auth != handshake.client_auth;
        match self.host_match {
            HostMatch::Off => false,
            HostMatch::ClientAuth => is_other_auth(),
            HostMatch::Certificate => {
                let is_covered = |host| self.names.cover(server_name, host);
                is_other_auth() || !host.is_none_or(is_covered)
            }
        }
    }

    /// Whether a handshake with this server name may agree upon HTTP/2.
    pub fn offers_http2(&self, server_name: Option<&str>) -> bool {
        self.profile(server_name).config.alpn_protocols.iter().any(|name| name == b"h2")
    }

    /// Whether data to clients begins in small records.
    pub fn has_small_records(&self) -> bool {
        self.small_records
    }

    fn profile(&self, name: Option<&str>) -> &Profile {
        // Most listeners have none, and pay nothing.
        if self.profiles.is_empty() {
            return &self.own;
        }
        let index = name.and_then(|name| self.by_name.get(name).next());
        index.and_then(|index| self.profiles.get(*index)).unwrap_or(&self.own)
    }
}

/// What the profiles of a listener have in common.
struct Builder<'o> {
    listener: &'o str,
    names: &'o Arc<Names>,
    /// `None` = no tickets.
    tickets: Option<&'o TicketSource>,
    clock: &'o Arc<dyn TimeProvider>,
}

impl Builder<'_> {
    fn profile(&self, names: &[String], options: &ProfileOptions) -> Result<Profile, TlsFault> {
        let policy = Policy::of(&options.policy)?;
        let client_auth = ClientAuthId::of(&options.client);
        let provider = Arc::new(policy.provider.clone());
        let mut config = self
            .authenticated(&policy, &provider, &options.client)?
            .with_cert_resolver(Arc::clone(self.names) as _);
        config.alpn_protocols = options.alpn.iter().map(|name| name.clone().into_bytes()).collect();
        // rustls would keep 256 sessions in memory.
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.max_early_data_size = 0;
        // The streams of connections take their records over.
        config.enable_secret_extraction = true;
        // A resumed session is not verified again: a client that was revoked since would come back.
        match self.tickets.filter(|_| options.client.mode == ClientMode::Off) {
            Some(source) => {
                config.send_tls13_tickets = 1;
                config.ticketer = Arc::new(Tickets {
                    ring: Arc::clone(&source.ring),
                    process: Arc::clone(&source.process),
                    binding: Binding::new(self.listener, names, client_auth),
                    clock: Arc::clone(self.clock),
                });
            }
            // rustls' own ticketer is none.
            None => config.send_tls13_tickets = 0,
        }
        Ok(Profile { client_auth, config: Arc::new(config) })
    }

    fn authenticated(
        &self,
        policy: &Policy,
        provider: &Arc<CryptoProvider>,
        client: &ClientAuth,
    ) -> Result<ConfigBuilder<ServerConfig, WantsServerCert>, TlsFault> {
        let builder =
            ServerConfig::builder_with_details(Arc::clone(provider), Arc::clone(self.clock))
                .with_protocol_versions(&policy.versions)
                .map_err(|error| TlsFault::Refused(error.to_string()))?;
        Ok(match client_auth::verifier(client, provider)? {
            Some(verifier) => builder.with_client_cert_verifier(verifier),
            None => builder.with_no_client_auth(),
        })
    }
}
