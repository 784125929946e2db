//! Session tickets: sealed under keys that every node of a fleet derives (TLS 1.3), or under keys of this process alone
//! (TLS 1.2).
//!
//! A ticket of TLS 1.3 is of no use to who finds the ring's secrets later, because resumption exchanges new keys
//! (`psk_dhe_ke`, RFC 8446 §2.2). One of TLS 1.2 carries the session's master secret over the wire, so that it is
//! never sealed under a key that lives longer than two epochs. Nothing is stored. Tested beside it.
//!
//! ```text
//! | keys, 1 | key id, 2 | epoch, 4 | nonce, 12 | sealed session | tag, 16 |
//! ```

use std::fmt;
use std::sync::Arc;

use arc_swap::ArcSwap;
use aws_lc_rs::aead::{AES_256_GCM_SIV, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use aws_lc_rs::digest::{Context, SHA256};
use aws_lc_rs::hkdf::{HKDF_SHA256, Prk};
use rustls::server::ProducesTickets;
use rustls::time_provider::TimeProvider;

use super::client_auth::ClientAuthId;

/// How long a key seals. It opens for as long again.
pub const EPOCH_S: u64 = 6 * 3600;
/// What clients are told (RFC 8446 §4.6.1).
const LIFETIME_S: u32 = 6 * 3600;
/// Keeps the keys of tickets apart from whatever else comes from the same roots.
const LABEL: &[u8] = b"limpet tls ticket 1";
const SECRET_SIZE: usize = 32;
const HEADER_SIZE: usize = 7;

/// What a ticket holds for: the listener, the profile that the server name selects, its client authentication.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Binding([u8; 32]);

impl Binding {
    /// `profile` is empty where the server name selects none.
    pub fn new(listener: &str, profile: &[String], client_auth: ClientAuthId) -> Binding {
        let mut context = Context::new(&SHA256);
        let count = profile.len().to_string();
        let texts = [listener, &count].into_iter().chain(profile.iter().map(String::as_str));
        for text in texts {
            // Lengths keep different texts from adding up to the same bytes.
            context.update(&u64::try_from(text.len()).unwrap_or(u64::MAX).to_be_bytes());
            context.update(text.as_bytes());
        }
        context.update(client_auth.as_bytes());
        let mut bytes = [0; 32];
        bytes.copy_from_slice(context.finish().as_ref());
        Binding(bytes)
    }
}

/// The roots that the stickiness key ring derives from its secrets, in the ring's order: the first seals, all open.
pub struct TicketRoots(pub Vec<(u16, Prk)>);

impl fmt::Debug for TicketRoots {
    /// Without the keys.
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_list().entries(self.0.iter().map(|(id, _)| id)).finish()
    }
}

/// Random keys of this process: of the newest epoch in which anybody asked, and of the one before.
pub struct ProcessKeys(ArcSwap<Generations>);

#[derive(Clone, Default)]
struct Generations {
    newest: Option<(u32, Prk)>,
    before: Option<(u32, Prk)>,
}

impl Generations {
    /// The keys with one for `epoch`; `None` without randomness.
    fn renewed(&self, epoch: u32) -> Option<Generations> {
        let mut secret = [0; SECRET_SIZE];
        aws_lc_rs::rand::fill(&mut secret).ok()?;
        let newest = Prk::new_less_safe(HKDF_SHA256, &secret);
        let is_last = |(of, _): &(u32, Prk)| of.checked_add(1) == Some(epoch);
        Some(Generations {
            newest: Some((epoch, newest)),
            before: self.newest.clone().filter(is_last),
        })
    }
}

impl ProcessKeys {
    pub fn new() -> ProcessKeys {
        ProcessKeys(ArcSwap::default())
    }

    /// Forgets keys that are too old, and makes the one of this epoch. Of two threads that do so at once one wins.
    fn at(&self, epoch: u32) -> Arc<Generations> {
        let is_due =
            |keys: &Generations| keys.newest.as_ref().is_none_or(|(newest, _)| *newest < epoch);
        if is_due(&self.0.load()) {
            self.0.rcu(|keys| match keys.renewed(epoch).filter(|_| is_due(keys)) {
                Some(renewed) => Arc::new(renewed),
                None => Arc::clone(keys),
            });
        }
        self.0.load_full()
    }
}

impl Default for ProcessKeys {
    fn default() -> ProcessKeys {
        ProcessKeys::new()
    }
}

impl fmt::Debug for ProcessKeys {
    /// Without the keys.
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("ProcessKeys")
    }
}

/// Whose keys seal a ticket: its first byte.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Keys {
    Ring = 0,
    Process = 1,
}

impl Keys {
    /// By the version of a session, as rustls writes it: the version stands behind the optional server name.
    ///
    /// The version that is spoken decides, not what the ClientHello offers: a client may offer the suites of TLS 1.3
    /// and then speak 1.2. What looks otherwise than expected gets no ticket.
    fn of_session(session: &[u8]) -> Option<Keys> {
        let version: Option<&[u8; 2]> = match session {
            [0, rest @ ..] => rest.first_chunk(),
            [1, size, rest @ ..] => rest.get(usize::from(*size)..).and_then(<[u8]>::first_chunk),
            _ => None,
        };
        match version? {
            [3, 4] => Some(Keys::Ring),
            [3, 3] => Some(Keys::Process),
            _ => None,
        }
    }
}

/// A key, and the part of the ticket that says which it is.
struct Sealing {
    header: [u8; HEADER_SIZE],
    key: LessSafeKey,
}

/// The tickets of one rustls configuration.
#[derive(Debug)]
pub struct Tickets {
    /// For TLS 1.3 and nothing else.
    pub ring: Arc<TicketRoots>,
    /// For TLS 1.2.
    pub process: Arc<ProcessKeys>,
    pub binding: Binding,
    pub clock: Arc<dyn TimeProvider>,
}

impl Tickets {
    fn epoch(&self) -> Option<u32> {
        u32::try_from(self.clock.current_time()?.as_secs() / EPOCH_S).ok()
    }

    fn sealing(&self, keys: Keys, now: u32) -> Option<Sealing> {
        match keys {
            Keys::Ring => {
                let (id, root) = self.ring.0.first()?;
                Some(Sealing { header: header(keys, *id, now), key: self.key(root, now)? })
            }
            Keys::Process => {
                // A clock that was set back goes on with the newest key.
                let generations = self.process.at(now);
                let (epoch, root) = generations.newest.as_ref()?;
                Some(Sealing { header: header(keys, 0, *epoch), key: self.key(root, *epoch)? })
            }
        }
    }

    /// The key that a ticket names, if it may still open.
    fn opening(&self, header: [u8; HEADER_SIZE], now: u32) -> Option<(Keys, LessSafeKey)> {
        let [keys, id_high, id_low, epoch @ ..] = header;
        let (id, epoch) = (u16::from_be_bytes([id_high, id_low]), u32::from_be_bytes(epoch));
        if keys == Keys::Ring as u8 {
            // A node whose clock is ahead may be in the next epoch already.
            if epoch.abs_diff(now) > 1 {
                return None;
            }
            let (_, root) = self.ring.0.iter().find(|(known, _)| *known == id)?;
            Some((Keys::Ring, self.key(root, epoch)?))
        } else if keys == Keys::Process as u8 {
            let generations = self.process.at(now);
            let all = [generations.newest.as_ref(), generations.before.as_ref()];
            let (_, root) = all.into_iter().flatten().find(|(of, _)| *of == epoch)?;
            Some((Keys::Process, self.key(root, epoch)?))
        } else {
            None
        }
    }

    fn key(&self, root: &Prk, epoch: u32) -> Option<LessSafeKey> {
        let mut bytes = [0; SECRET_SIZE];
        let info = [LABEL, &self.binding.0, &epoch.to_be_bytes()];
        root.expand(&info, HKDF_SHA256).ok()?.fill(&mut bytes).ok()?;
        UnboundKey::new(&AES_256_GCM_SIV, &bytes).ok().map(LessSafeKey::new)
    }
}

fn header(keys: Keys, id: u16, epoch: u32) -> [u8; HEADER_SIZE] {
    let ([id_high, id_low], [a, b, c, d]) = (id.to_be_bytes(), epoch.to_be_bytes());
    [keys as u8, id_high, id_low, a, b, c, d]
}

impl ProducesTickets for Tickets {
    fn enabled(&self) -> bool {
        true
    }

    fn lifetime(&self) -> u32 {
        LIFETIME_S
    }

    fn encrypt(&self, plain: &[u8]) -> Option<Vec<u8>> {
        let Sealing { header, key } = self.sealing(Keys::of_session(plain)?, self.epoch()?)?;
        let mut nonce = [0; NONCE_LEN];
        aws_lc_rs::rand::fill(&mut nonce).ok()?;
        let mut sealed = plain.to_vec();
        key.seal_in_place_append_tag(
            Nonce::assume_unique_for_key(nonce),
            Aad::from(header),
            &mut sealed,
        )
        .ok()?;
        Some([&header[..], &nonce, &sealed].concat())
    }

    fn decrypt(&self, cipher: &[u8]) -> Option<Vec<u8>> {
        let (header, rest) = cipher.split_first_chunk::<HEADER_SIZE>()?;
        let (nonce, sealed) = rest.split_first_chunk::<NONCE_LEN>()?;
        let (keys, key) = self.opening(*header, self.epoch()?)?;
        let mut session = sealed.to_vec();
        let nonce = Nonce::assume_unique_for_key(*nonce);
        let size = key.open_in_place(nonce, Aad::from(header), &mut session).ok()?.len();
        session.truncate(size);
        (Keys::of_session(&session) == Some(keys)).then_some(session)
    }
}
