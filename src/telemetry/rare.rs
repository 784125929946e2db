//! The facts that the log has of some requests only: of encrypted connections, of connections that carry several
//! requests at a time, and of targets with another protocol than HTTP/1 in clear.
//!
//! A record without them has a null reference, and nothing is copied for it. A record with them carries them to the log
//! thread behind its texts, as one more text:
//!
//! ```text
//! ┌ 14 bytes: numbers and words ┬ 9 × 2 bytes: lengths ┬ version, cipher, server name, subject … ┐
//! ```
//! Never allocates. Tested beside it and with `batch`.
use super::copy::{self, clip};

/// Longest texts, in bytes; longer ones are cut there.
pub const VERSION_BYTES_MAX: usize = 16;
pub const CIPHER_BYTES_MAX: usize = 64;
pub const SERVER_NAME_BYTES_MAX: usize = 255;
pub const SUBJECT_BYTES_MAX: usize = 512;
pub const ISSUER_BYTES_MAX: usize = 512;
pub const NAMES_BYTES_MAX: usize = 512;
pub const SERIAL_BYTES_MAX: usize = 64;
pub const FINGERPRINT_BYTES_MAX: usize = 64;
/// A longer certificate is left out: a part of it is of no use.
pub const CERTIFICATE_BYTES_MAX: usize = 8192;

const NUMBERS_BYTES: usize = 14;
const TEXT_COUNT: usize = 9;
const FIXED_BYTES: usize = NUMBERS_BYTES + 2 * TEXT_COUNT;

/// Most bytes that the facts take in a batch, without a whole certificate.
pub(super) const RARE_BYTES_MAX: usize = FIXED_BYTES
    + VERSION_BYTES_MAX
    + CIPHER_BYTES_MAX
    + SERVER_NAME_BYTES_MAX
    + SUBJECT_BYTES_MAX
    + ISSUER_BYTES_MAX
    + NAMES_BYTES_MAX
    + SERIAL_BYTES_MAX
    + FINGERPRINT_BYTES_MAX;

/// How a batch writes a stream number that is not known.
const NO_STREAM: u64 = u64::MAX;
const NO_STATUS: u32 = u32::MAX;
const NO_WORD: u8 = u8::MAX;

/// The facts that most requests do not have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Rare<'a> {
    /// Number of the request's stream on the client's connection (RFC 9113 §5.1.1, RFC 9000 §2.1).
    pub stream: Option<u64>,
    /// The protocol of the target; `None` for HTTP/1 in clear, or where none was reached.
    pub target: Option<TargetProtocol>,
    /// The `grpc-status` of the response.
    pub grpc_status: Option<u32>,
    /// The encryption of the client's connection.
    pub tls: Option<Tls<'a>>,
}

/// The protocol that a target is spoken to in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TargetProtocol {
    pub version: ProtocolVersion,
    pub encrypted: bool,
}

/// ALB's protocol versions of a target group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum ProtocolVersion {
    Http1,
    Http2,
    Grpc,
}

/// An encrypted connection of a client. Empty texts stand for "none".
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tls<'a> {
    /// As OpenSSL and ALB name it.
    pub version: &'a [u8],
    /// The cipher suite by IANA's name, or as a PROXY header names it.
    pub cipher: &'a [u8],
    /// Whether the session was resumed; `None` where a PROXY header tells of it.
    pub resumed: Option<bool>,
    /// The name that the client asked for (SNI).
    pub server_name: &'a [u8],
    pub client: ClientCertificate<'a>,
}

/// The certificate that a client presented. Empty texts stand for "none".
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ClientCertificate<'a> {
    pub subject: &'a [u8],
    pub issuer: &'a [u8],
    /// Its alternative names.
    pub names: &'a [u8],
    /// In hexadecimal digits, like the SHA-256 fingerprint.
    pub serial: &'a [u8],
    pub fingerprint: &'a [u8],
    /// All of it, as the field Client-Cert has it (RFC 9440 §2.1). Goes to the log thread where somebody asks for it.
    pub whole: &'a [u8],
}

impl ProtocolVersion {
    pub const ALL: [ProtocolVersion; 3] =
        [ProtocolVersion::Http1, ProtocolVersion::Http2, ProtocolVersion::Grpc];

    pub fn word(self) -> &'static str {
        match self {
            ProtocolVersion::Http1 => "http1",
            ProtocolVersion::Http2 => "http2",
            ProtocolVersion::Grpc => "grpc",
        }
    }
}

impl<'a> Rare<'a> {
    /// Without what only few want, and what is longer than all the rest.
    #[cold]
    pub(super) fn without_certificate(mut self) -> Rare<'a> {
        if let Some(tls) = &mut self.tls {
            tls.client.whole = b"";
        }
        self
    }

    /// Copies the facts to the front of `place`, their texts clipped; returns the rest of it, which is empty when they
    /// do not fit.
    #[cold]
    pub(super) fn put<'p>(&self, place: &'p mut [u8]) -> &'p mut [u8] {
        let texts = self.texts();
        let mut rest = copy::put(&self.numbers(), place);
        for text in texts {
            let length = u16::try_from(text.len()).unwrap_or(u16::MAX);
            rest = copy::put(&length.to_le_bytes(), rest);
        }
        for text in texts {
            rest = copy::put(text, rest);
        }
        rest
    }

    /// How many bytes [`Rare::put`] copies.
    #[cold]
    pub(super) fn bytes(&self) -> usize {
        self.texts().iter().fold(FIXED_BYTES, |sum, text| sum + text.len())
    }

    /// Reads the facts that [`Rare::put`] has written.
    #[cold]
    pub(super) fn read(bytes: &'a [u8]) -> Option<Rare<'a>> {
        let (numbers, rest) = bytes.split_first_chunk::<NUMBERS_BYTES>()?;
        let (lengths, mut rest) = rest.split_first_chunk::<{ 2 * TEXT_COUNT }>()?;
        let mut lengths = lengths.as_chunks::<2>().0.iter();
        let mut text = || {
            let length = u16::from_le_bytes(*lengths.next()?);
            let (text, behind) = rest.split_at_checked(length.into())?;
            rest = behind;
            Some(text)
        };
        let (version, cipher, server_name) = (text()?, text()?, text()?);
        let client = ClientCertificate {
            subject: text()?,
            issuer: text()?,
            names: text()?,
            serial: text()?,
            fingerprint: text()?,
            whole: text()?,
        };
        let (stream, numbers) = numbers.split_first_chunk()?;
        let (grpc_status, words) = numbers.split_first_chunk()?;
        let [target, flags] = *words.first_chunk()?;
        let stream = u64::from_le_bytes(*stream);
        let grpc_status = u32::from_le_bytes(*grpc_status);
        let encrypted = flags & TARGET_ENCRYPTED != 0;
        let target = ProtocolVersion::ALL.get(usize::from(target));
        let resumed = (flags & RESUMED_OR_NOT != 0).then_some(flags & RESUMED != 0);
        let tls = Tls { version, cipher, resumed, server_name, client };
        Some(Rare {
            stream: (stream != NO_STREAM).then_some(stream),
            target: target.map(|&version| TargetProtocol { version, encrypted }),
            grpc_status: (grpc_status != NO_STATUS).then_some(grpc_status),
            tls: (flags & CLIENT_ENCRYPTED != 0).then_some(tls),
        })
    }

    fn numbers(&self) -> [u8; NUMBERS_BYTES] {
        let mut numbers = [0; NUMBERS_BYTES];
        let is_encrypted = self.target.is_some_and(|target| target.encrypted);
        let resumed = self.tls.and_then(|tls| tls.resumed);
        let flags = [
            (is_encrypted, TARGET_ENCRYPTED),
            (resumed == Some(true), RESUMED),
            (self.tls.is_some(), CLIENT_ENCRYPTED),
            (resumed.is_some(), RESUMED_OR_NOT),
        ];
        let flags =
            flags.iter().fold(0, |all, (is_set, flag)| if *is_set { all | flag } else { all });
        let mut rest = copy::put(&self.stream.unwrap_or(NO_STREAM).to_le_bytes(), &mut numbers);
        rest = copy::put(&self.grpc_status.unwrap_or(NO_STATUS).to_le_bytes(), rest);
        let target = self.target.map_or(NO_WORD, |target| target.version as u8);
        copy::put(&[target, flags], rest);
        numbers
    }

    fn texts(&self) -> [&'a [u8]; TEXT_COUNT] {
        let Some(Tls { version, cipher, server_name, client, .. }) = self.tls else {
            return [b""; TEXT_COUNT];
        };
        [
            clip(version, VERSION_BYTES_MAX),
            clip(cipher, CIPHER_BYTES_MAX),
            clip(server_name, SERVER_NAME_BYTES_MAX),
            clip(client.subject, SUBJECT_BYTES_MAX),
            clip(client.issuer, ISSUER_BYTES_MAX),
            clip(client.names, NAMES_BYTES_MAX),
            clip(client.serial, SERIAL_BYTES_MAX),
            clip(client.fingerprint, FINGERPRINT_BYTES_MAX),
            if client.whole.len() > CERTIFICATE_BYTES_MAX { b"" } else { client.whole },
        ]
    }
}

const TARGET_ENCRYPTED: u8 = 1;
const RESUMED: u8 = 2;
const CLIENT_ENCRYPTED: u8 = 4;
/// Whether it is known that the session was resumed, or was not.
const RESUMED_OR_NOT: u8 = 8;

#[cfg(test)]
pub(super) mod tests {
    use crate::telemetry::rare::*;

    /// Every fact differs from its default.
    pub(in crate::telemetry) const FULL: Rare<'static> = Rare {
        stream: Some(13),
        target: Some(TargetProtocol { version: ProtocolVersion::Grpc, encrypted: true }),
        grpc_status: Some(14),
        tls: Some(Tls {
            version: b"TLSv1.3",
            cipher: b"TLS13_AES_256_GCM_SHA384",
            resumed: Some(true),
            server_name: b"shop.example.com",
            client: ClientCertificate {
                subject: b"CN=till-7,O=Shop",
                issuer: b"CN=Shop CA",
                names: b"till-7.shop.example.com",
                serial: b"0a1b",
                fingerprint: b"9f86d081",
                whole: b":MIIB:",
            },
        }),
    };

    fn there_and_back(rare: Rare<'_>) {
        let mut memory = vec![0; rare.bytes() + 3];
        assert_eq!(rare.put(&mut memory).len(), 3, "{rare:?}");
        let length = memory.len() - 3;
        assert_eq!(Rare::read(&memory[..length]), Some(rare));
        assert!(length <= RARE_BYTES_MAX);
    }

    #[test]
    fn each_fact_comes_back_alone_and_with_the_others() {
        there_and_back(Rare::default());
        there_and_back(FULL);
        for stream in [Some(0), Some(1), Some((1 << 62) - 1), None] {
            there_and_back(Rare { stream, ..Rare::default() });
        }
        for grpc_status in [Some(0), Some(16), None] {
            there_and_back(Rare { grpc_status, ..Rare::default() });
        }
        for version in ProtocolVersion::ALL {
            for encrypted in [false, true] {
                let target = Some(TargetProtocol { version, encrypted });
                there_and_back(Rare { target, ..Rare::default() });
            }
        }
        for version in [&b""[..], b"TLSv1.2"] {
            for resumed in [None, Some(false), Some(true)] {
                let client = ClientCertificate::default();
                let tls = Tls { version, cipher: b"", resumed, server_name: b"", client };
                there_and_back(Rare { tls: Some(tls), ..Rare::default() });
            }
        }
    }

    #[test]
    fn words_stand_at_their_own_position() {
        let mut of_versions = ProtocolVersion::ALL.iter().enumerate();
        assert!(of_versions.all(|(at, version)| *version as usize == at));
    }

    #[test]
    fn texts_are_cut_at_their_limits() {
        let long = [b'x'; 3000];
        let client = ClientCertificate {
            subject: &long,
            issuer: &long,
            names: &long,
            serial: &long,
            fingerprint: &long,
            whole: &[b'x'; CERTIFICATE_BYTES_MAX + 1],
        };
        let tls = Tls { version: &long, cipher: &long, resumed: None, server_name: &long, client };
        let rare = Rare { tls: Some(tls), ..Rare::default() };
        assert_eq!(rare.bytes(), RARE_BYTES_MAX);
        let mut memory = [0; RARE_BYTES_MAX];
        assert!(rare.put(&mut memory).is_empty());
        let tls = Rare::read(&memory).and_then(|rare| rare.tls).expect("an encrypted connection");
        assert_eq!(tls.server_name.len(), SERVER_NAME_BYTES_MAX);
        assert_eq!(tls.client.fingerprint.len(), FINGERPRINT_BYTES_MAX);
        assert_eq!(tls.client.subject.len(), SUBJECT_BYTES_MAX);
        assert_eq!(tls.client.whole, b"", "no part of a certificate");
    }

    #[test]
    fn a_certificate_goes_along_whole_or_not_at_all() {
        let with = |whole: &'static [u8]| {
            let client = ClientCertificate { whole, ..ClientCertificate::default() };
            Rare { tls: FULL.tls.map(|tls| Tls { client, ..tls }), ..FULL }
        };
        let longest = with(&[b'x'; CERTIFICATE_BYTES_MAX]);
        let mut memory = vec![0; longest.bytes()];
        assert!(longest.put(&mut memory).is_empty());
        assert_eq!(Rare::read(&memory), Some(longest));
        assert_eq!(longest.bytes(), with(b"").bytes() + CERTIFICATE_BYTES_MAX);
        assert_eq!(with(&[b'x'; CERTIFICATE_BYTES_MAX + 1]).bytes(), with(b"").bytes());
        assert_eq!(longest.without_certificate(), with(b""));
    }

    #[test]
    fn what_is_no_such_text_is_nothing() {
        let mut memory = vec![0; FULL.bytes()];
        FULL.put(&mut memory);
        for length in 0..memory.len() {
            assert_eq!(Rare::read(&memory[..length]), None, "{length}");
        }
    }
}
