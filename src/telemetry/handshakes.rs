//! The TLS handshakes of a listener on one shard, or of the admin API: by version, resumption and group, and failures
//! by word.
//!
//! Only one thread counts at a time; any thread reads. Tested below and with the exposition.

use std::collections::BTreeMap;
use std::sync::OnceLock;

use rustls::{CipherSuite, NamedGroup, ProtocolVersion};

use super::number::Number;

/// Versions, by position in `TlsVersion`'s order.
pub const VERSION_COUNT: usize = 2;

/// Versions that are spoken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum TlsVersion {
    Tls12,
    Tls13,
}

impl TlsVersion {
    pub const ALL: [TlsVersion; 2] = [TlsVersion::Tls12, TlsVersion::Tls13];

    /// The name that OpenSSL and ALB use.
    pub fn word(self) -> &'static str {
        match self {
            TlsVersion::Tls12 => "TLSv1.2",
            TlsVersion::Tls13 => "TLSv1.3",
        }
    }
}

/// Groups of the key exchange that are counted apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Group {
    /// A resumed session of TLS 1.2 exchanges no keys.
    None,
    X25519MlKem768,
    X25519,
    Secp256r1,
    Secp384r1,
    Other,
}

impl Group {
    pub const ALL: [Group; 6] = [
        Group::None,
        Group::X25519MlKem768,
        Group::X25519,
        Group::Secp256r1,
        Group::Secp384r1,
        Group::Other,
    ];

    /// Its name in IANA's registry of TLS supported groups.
    pub fn word(self) -> &'static str {
        match self {
            Group::None => "none",
            Group::X25519MlKem768 => "X25519MLKEM768",
            Group::X25519 => "x25519",
            Group::Secp256r1 => "secp256r1",
            Group::Secp384r1 => "secp384r1",
            Group::Other => "other",
        }
    }
}

/// Most words of one kind: of failures, of cipher suites.
const WORD_COUNT: usize = 40;

/// Numbers by word; the places are taken in the order in which words come.
#[derive(Debug)]
pub struct Words([(OnceLock<&'static str>, Number); WORD_COUNT]);

impl Default for Words {
    fn default() -> Words {
        Words(std::array::from_fn(|_| Default::default()))
    }
}

impl Words {
    fn add(&self, word: &'static str) {
        // The only writer is this thread, so an empty place is empty until it is filled here.
        let place = self.0.iter().find(|(taken, _)| *taken.get_or_init(|| word) == word);
        if let Some((_, number)) = place {
            number.add(1);
        }
    }

    pub fn iter(&self) -> impl Iterator<Item = (&'static str, u64)> {
        self.0.iter().map_while(|(word, number)| Some((*word.get()?, number.get())))
    }
}

/// The numbers of one shard.
#[derive(Debug, Default)]
pub struct HandshakeBlock {
    /// By version and by whether a session was resumed.
    pub done: [[Number; 2]; VERSION_COUNT],
    /// By [`Group::ALL`].
    pub groups: [Number; Group::ALL.len()],
    /// By IANA's name.
    pub ciphers: Words,
    pub failures: Words,
}

impl HandshakeBlock {
    pub fn succeed(&self, encrypted: &Encrypted) {
        let Encrypted { version, is_resumed, group, cipher } = *encrypted;
        if let Some(of_version) = self.done.get(version as usize)
            && let Some(number) = of_version.get(usize::from(is_resumed))
        {
            number.add(1);
        }
        if let Some(number) = self.groups.get(group as usize) {
            number.add(1);
        }
        self.ciphers.add(cipher);
    }

    pub fn fail(&self, word: &'static str) {
        self.failures.add(word);
    }
}

/// The numbers of a listener, summed over all shards.
#[derive(Debug, Default)]
pub struct Handshakes {
    pub done: [[u64; 2]; VERSION_COUNT],
    pub groups: [u64; Group::ALL.len()],
    pub ciphers: BTreeMap<&'static str, u64>,
    pub failures: BTreeMap<&'static str, u64>,
}

impl Handshakes {
    pub fn of<'b>(blocks: impl Iterator<Item = &'b HandshakeBlock>) -> Handshakes {
        let mut sum = Handshakes::default();
        for block in blocks {
            let done = sum.done.iter_mut().flatten().zip(block.done.iter().flatten());
            let groups = sum.groups.iter_mut().zip(&block.groups);
            done.chain(groups).for_each(|(sum, number)| *sum = sum.wrapping_add(number.get()));
            for (words, sums) in
                [(&block.ciphers, &mut sum.ciphers), (&block.failures, &mut sum.failures)]
            {
                words.iter().for_each(|(word, count)| *sums.entry(word).or_default() += count);
            }
        }
        sum
    }

    /// Whether nobody has spoken TLS.
    pub fn is_empty(&self) -> bool {
        self.ciphers.is_empty() && self.failures.is_empty()
    }
}

/// What a handshake has agreed upon.
#[derive(Debug, Clone, Copy)]
pub struct Encrypted {
    pub version: TlsVersion,
    pub is_resumed: bool,
    pub group: Group,
    /// By IANA's name.
    pub cipher: &'static str,
}

impl Encrypted {
    /// `group`: `None` where no keys were exchanged.
    pub fn of(
        version: ProtocolVersion,
        suite: CipherSuite,
        group: Option<NamedGroup>,
        is_resumed: bool,
    ) -> Encrypted {
        let version = match version {
            ProtocolVersion::TLSv1_3 => TlsVersion::Tls13,
            // rustls speaks no other version.
            _ => TlsVersion::Tls12,
        };
        let group = match group {
            None => Group::None,
            Some(NamedGroup::X25519MLKEM768) => Group::X25519MlKem768,
            Some(NamedGroup::X25519) => Group::X25519,
            Some(NamedGroup::secp256r1) => Group::Secp256r1,
            Some(NamedGroup::secp384r1) => Group::Secp384r1,
            Some(_) => Group::Other,
        };
        Encrypted { version, is_resumed, group, cipher: cipher(suite) }
    }
}

/// The name in IANA's registry, which has no version in those of TLS 1.3.
fn cipher(suite: CipherSuite) -> &'static str {
    match suite {
        CipherSuite::TLS13_AES_128_GCM_SHA256 => "TLS_AES_128_GCM_SHA256",
        CipherSuite::TLS13_AES_256_GCM_SHA384 => "TLS_AES_256_GCM_SHA384",
        CipherSuite::TLS13_CHACHA20_POLY1305_SHA256 => "TLS_CHACHA20_POLY1305_SHA256",
        suite => suite.as_str().unwrap_or_default(),
    }
}

#[cfg(test)]
mod tests {
    use crate::telemetry::handshakes::*;

    #[test]
    fn a_handshake_is_counted_where_it_belongs() {
        let block = HandshakeBlock::default();
        let cipher = "TLS_AES_128_GCM_SHA256";
        for (version, is_resumed, group) in
            [(TlsVersion::Tls13, true, Group::X25519), (TlsVersion::Tls12, false, Group::Secp384r1)]
        {
            block.succeed(&Encrypted { version, is_resumed, group, cipher });
        }
        for word in ["no_tls", "closed_in_handshake", "no_tls"] {
            block.fail(word);
        }
        let done = block.done.each_ref().map(|of| of.each_ref().map(Number::get));
        assert_eq!(done, [[1, 0], [0, 1]]);
        assert_eq!(block.groups.each_ref().map(Number::get), [0, 0, 1, 0, 1, 0]);
        assert!(block.ciphers.iter().eq([(cipher, 2)]));
        let failures: Vec<_> = block.failures.iter().collect();
        assert_eq!(failures, [("no_tls", 2), ("closed_in_handshake", 1)]);
    }

    #[test]
    fn groups_stand_at_their_own_position() {
        assert!(Group::ALL.iter().enumerate().all(|(at, group)| *group as usize == at));
    }
}
