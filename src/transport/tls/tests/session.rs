//! The session in memory: a server against a client, every byte in the test's hands.

use std::sync::Arc;

use proptest::prelude::*;
use rustls::version::{TLS12, TLS13};
use rustls::{
    AlertDescription, CipherSuite, ClientConfig, Error, ServerConfig, SupportedProtocolVersion,
};

use super::configurations::{self, name};
use crate::transport::tls::session::{RECORD_DATA_MAX, Session};
use crate::uring::buffers;

pub const VERSIONS: [&SupportedProtocolVersion; 2] = [&TLS13, &TLS12];

pub struct Ends {
    pub server: Session,
    pub client: Session,
}

impl Ends {
    fn new(version: &'static SupportedProtocolVersion) -> Ends {
        Ends::of(configurations::pair(version))
    }

    fn of((server, client): (Arc<ServerConfig>, Arc<ClientConfig>)) -> Ends {
        let mut client = Session::client(client, name()).unwrap();
        client.begin().unwrap();
        Ends { server: Session::server(server).unwrap(), client }
    }

    /// Both ends after the handshake, as streams have them.
    pub fn ready(version: &'static SupportedProtocolVersion) -> Ends {
        Ends::new(version).shaken(usize::MAX)
    }

    /// As [`Self::ready`], with a cipher suite.
    pub fn ready_in(suite: CipherSuite) -> Ends {
        Ends::of(configurations::pair_in(suite)).shaken(usize::MAX)
    }

    /// Makes the handshake, its bytes in parts of `size`.
    fn shaken(mut self, size: usize) -> Ends {
        self.settle(size).unwrap();
        for session in [&mut self.server, &mut self.client] {
            assert!(!session.is_handshaking());
            session.take_over().unwrap();
            session.go_on().unwrap();
        }
        self
    }

    /// Hands control records over, in parts of `size` bytes, until there are none.
    fn settle(&mut self, size: usize) -> Result<(), Error> {
        while self.server.has_control() || self.client.has_control() {
            give(&mut self.server, &self.client.take_control(), size, None)?;
            give(&mut self.client, &self.server.take_control(), size, None)?;
        }
        Ok(())
    }
}

pub fn give(
    to: &mut Session,
    bytes: &[u8],
    size: usize,
    mut into: Option<&mut Vec<u8>>,
) -> Result<(), Error> {
    for part in bytes.chunks(size.min(bytes.len().max(1))) {
        to.open(&mut part.to_vec(), into.as_deref_mut())?;
    }
    Ok(())
}

/// All of `data` as records.
pub fn sealed(from: &mut Session, data: &[u8]) -> Vec<u8> {
    let (mut all, mut at) = (Vec::new(), 0);
    while at < data.len() {
        let mut out = buffers::large();
        let count = from.seal(&data[at..], &mut out).unwrap();
        assert!(count > 0);
        at += count;
        all.extend_from_slice(&out);
        buffers::give_back(out);
    }
    all
}

pub fn closed(from: &mut Session) -> Vec<u8> {
    let mut out = Vec::new();
    from.close(&mut out).unwrap();
    out
}

pub fn pattern(length: usize) -> Vec<u8> {
    (0..length).map(|at| (at * 31 % 251) as u8).collect()
}

/// All data that the session has.
pub fn taken(from: &mut Session) -> Vec<u8> {
    let mut all = Vec::new();
    while from.has_data() {
        let mut part = Vec::new();
        assert!(from.take_data(&mut part) > 0);
        all.extend_from_slice(&part);
    }
    all
}

#[test]
fn a_handshake_ends_however_its_bytes_are_split() {
    for version in VERSIONS {
        for size in [1, 2, 5, 6, 100, 1_000, usize::MAX] {
            let mut ends = Ends::new(version).shaken(size);
            let record = sealed(&mut ends.client, b"GET /");
            give(&mut ends.server, &record, size, None).unwrap();
            assert_eq!(taken(&mut ends.server), b"GET /");
        }
    }
}

#[test]
fn data_is_opened_however_its_records_are_split() {
    for version in VERSIONS {
        let mut ends = Ends::ready(version);
        let data = pattern(300);
        let length = sealed(&mut ends.client, &data).len();
        let mut ends = Ends::ready(version);
        for at in 0..=length {
            let record = sealed(&mut ends.client, &data);
            let mut into = Vec::with_capacity(1_000);
            give(&mut ends.server, &record[..at], usize::MAX, Some(&mut into)).unwrap();
            assert_eq!(into.is_empty(), at < length);
            give(&mut ends.server, &record[at..], usize::MAX, Some(&mut into)).unwrap();
            assert_eq!(into, data);
            assert!(!ends.server.has_data());
        }
    }
}

#[test]
fn many_records_that_come_together_are_opened_together() {
    for version in VERSIONS {
        let mut ends = Ends::ready(version);
        let data = pattern(5 * RECORD_DATA_MAX + 77);
        let mut records = sealed(&mut ends.server, &data);
        records.extend(closed(&mut ends.server));
        ends.client.open(&mut records, None).unwrap();
        assert_eq!(taken(&mut ends.client), data);
        assert!(ends.client.is_closed());
    }
}

#[test]
fn data_without_room_is_kept_for_the_next_receive() {
    for version in VERSIONS {
        let mut ends = Ends::ready(version);
        let mut records = sealed(&mut ends.client, b"one two ");
        records.extend(sealed(&mut ends.client, b"three"));
        let mut into = Vec::with_capacity(buffers::TAIL_BYTES + 4);
        ends.server.open(&mut records, Some(&mut into)).unwrap();
        assert_eq!(into, b"one ");
        assert_eq!(taken(&mut ends.server), b"two three");
    }
}

#[test]
fn what_has_room_in_no_buffer_is_sealed_next_and_no_record_is_longer_than_allowed() {
    for version in VERSIONS {
        let mut ends = Ends::ready(version);
        let data = pattern(100_000);
        let mut out = Vec::with_capacity(40_000);
        let count = ends.client.seal(&data, &mut out).unwrap();
        assert!((39_000..40_000).contains(&count) && out.len() <= 40_000);
        assert_eq!(out.capacity(), 40_000);
        let lengths = record_lengths(&out);
        assert!(lengths.iter().all(|length| *length <= RECORD_DATA_MAX + 256), "{lengths:?}");
        assert_eq!(lengths.len(), 3);
    }
}

fn record_lengths(mut bytes: &[u8]) -> Vec<usize> {
    let mut lengths = Vec::new();
    while let &[_, _, _, high, low, ref rest @ ..] = bytes {
        let length = usize::from(u16::from_be_bytes([high, low]));
        lengths.push(length);
        bytes = &rest[length..];
    }
    lengths
}

#[test]
fn the_end_of_the_data_is_heard_and_the_other_direction_goes_on() {
    for version in VERSIONS {
        let mut ends = Ends::ready(version);
        let mut bytes = closed(&mut ends.client);
        ends.server.open(&mut bytes, None).unwrap();
        assert!(ends.server.is_closed() && !ends.client.is_closed());
        let record = sealed(&mut ends.server, b"late");
        give(&mut ends.client, &record, usize::MAX, None).unwrap();
        assert_eq!(taken(&mut ends.client), b"late");
        let mut bytes = closed(&mut ends.server);
        ends.client.open(&mut bytes, None).unwrap();
        assert!(ends.client.is_closed());
    }
}

#[test]
fn a_record_that_was_touched_is_a_fault_that_the_peer_is_told_of() {
    for version in VERSIONS {
        let mut ends = Ends::ready(version);
        let mut record = sealed(&mut ends.client, b"GET /");
        *record.last_mut().unwrap() ^= 1;
        assert_eq!(ends.server.open(&mut record, None), Err(Error::DecryptError));
        let mut alert = ends.server.take_control();
        let told = ends.client.open(&mut alert, None);
        assert_eq!(told, Err(Error::AlertReceived(AlertDescription::BadRecordMac)));
    }
}

#[test]
fn data_before_a_fault_is_kept() {
    for version in VERSIONS {
        let mut ends = Ends::ready(version);
        let mut records = sealed(&mut ends.client, b"GET /");
        let mut other = sealed(&mut ends.client, b"more");
        *other.last_mut().unwrap() ^= 1;
        records.extend(other);
        let mut into = Vec::new();
        assert!(ends.server.open(&mut records, Some(&mut into)).is_err());
        assert_eq!(into, b"GET /");
    }
}

#[test]
fn bytes_that_are_no_records_are_a_fault() {
    for bytes in [&b"GET / HTTP/1.1\r\n\r\n"[..], &[0x16, 3, 1, 0, 2, 1, 0xff], &[0x80, 0x2e, 1]] {
        let mut ends = Ends::new(&TLS13);
        let opened = give(&mut ends.server, bytes, usize::MAX, None)
            .and_then(|()| give(&mut ends.server, &[0xff; 70_000], usize::MAX, None));
        assert!(opened.is_err(), "{bytes:?}");
    }
}

#[test]
fn a_server_whose_certificate_is_not_trusted_is_told() {
    let (server, _) = configurations::pair(&TLS13);
    let (_, client) = configurations::pair(&TLS13);
    let mut client = Session::client(client, name()).unwrap();
    client.begin().unwrap();
    let mut ends = Ends { server: Session::server(server).unwrap(), client };
    let error = ends.settle(usize::MAX).unwrap_err();
    assert!(matches!(error, Error::InvalidCertificate(_)), "{error}");
    let error = give(&mut ends.server, &ends.client.take_control(), usize::MAX, None).unwrap_err();
    assert!(matches!(error, Error::AlertReceived(_)), "{error}");
}

/// Records of rustls' buffered client that asks for new keys.
fn key_updates(count: usize) -> (Session, rustls::ClientConnection, Vec<u8>) {
    let (server, client) = configurations::pair(&TLS13);
    let mut server = Session::server(server).unwrap();
    let mut client = rustls::ClientConnection::new(client, name()).unwrap();
    let mut bytes = Vec::new();
    while client.is_handshaking() || client.wants_write() {
        client.write_tls(&mut bytes).unwrap();
        server.open(&mut bytes, None).unwrap();
        bytes.clear();
        client.read_tls(&mut &server.take_control()[..]).unwrap();
        client.process_new_packets().unwrap();
    }
    server.take_over().unwrap();
    for _ in 0..count {
        client.refresh_traffic_keys().unwrap();
        client.write_tls(&mut bytes).unwrap();
    }
    (server, client, bytes)
}

#[test]
fn a_key_update_is_no_data_and_is_answered_before_the_next_data() {
    let (mut server, mut client, mut bytes) = key_updates(3);
    server.open(&mut bytes, None).unwrap();
    assert!(!server.has_data() && !server.is_closed());
    let records = sealed(&mut server, b"hello");
    assert!(record_lengths(&records).len() > 1);
    client.read_tls(&mut &records[..]).unwrap();
    assert_eq!(client.process_new_packets().unwrap().plaintext_bytes_to_read(), 5);
}

#[test]
fn an_answer_to_a_key_update_grows_a_buffer_that_has_no_room_for_it() {
    let (mut server, _client, mut bytes) = key_updates(1);
    server.open(&mut bytes, None).unwrap();
    let mut out = Vec::with_capacity(80);
    assert_eq!(server.seal(b"0123456789", &mut out).unwrap(), 10);
    assert_eq!(record_lengths(&out).len(), 2);
}

#[test]
fn a_flood_of_key_updates_ends_the_session() {
    let (mut server, _client, mut bytes) = key_updates(40);
    let error = server.open(&mut bytes, None).unwrap_err();
    assert!(matches!(error, Error::PeerMisbehaved(_)), "{error}");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    /// Both directions at once: whatever is sent in whatever pieces comes whole and in order.
    #[test]
    fn every_split_of_any_data_comes_whole(
        sends in prop::collection::vec((any::<bool>(), 1_usize..40_000, 1_usize..20_000), 1..12),
        is_13 in any::<bool>(),
        room in 17_usize..9_000,
    ) {
        let mut ends = Ends::ready(if is_13 { &TLS13 } else { &TLS12 });
        for (is_up, length, size) in sends {
            let data = pattern(length);
            let Ends { server, client } = &mut ends;
            let (from, to) = if is_up { (client, server) } else { (server, client) };
            let records = sealed(from, &data);
            let mut heard = Vec::new();
            for part in records.chunks(size) {
                let mut into = Vec::with_capacity(room);
                to.open(&mut part.to_vec(), Some(&mut into)).unwrap();
                heard.extend(into);
                heard.extend(taken(to));
            }
            prop_assert_eq!(heard, data);
        }
    }
}
