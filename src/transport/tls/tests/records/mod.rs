//! Records behind a handshake, against rustls and against a peer that seals what nobody may: here what both versions
//! share.

mod tls12;
mod tls13;

use std::io::{Read as _, Write as _};

use rustls::{
    AlertDescription, CipherSuite, ClientConnection, ContentType, Error, PeerMisbehaved,
    ServerConnection,
};

use super::configurations::{name, pair_in};
use super::session::{Ends, VERSIONS, closed, pattern, sealed, taken};
use crate::transport::tls::records::{RECORD_DATA_MAX, Records};
use crate::transport::tls::session::Session;

const SUITES: [CipherSuite; 6] = [
    CipherSuite::TLS13_AES_128_GCM_SHA256,
    CipherSuite::TLS13_AES_256_GCM_SHA384,
    CipherSuite::TLS13_CHACHA20_POLY1305_SHA256,
    CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
    CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,
    CipherSuite::TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256,
];
const LENGTHS: [usize; 7] = [1, 15, 16, 17, 1_000, RECORD_DATA_MAX, 3 * RECORD_DATA_MAX + 5];

/// rustls' buffered end of either side.
type Buffered = rustls::Connection;

/// A session that has taken its records over, and rustls' end of the same connection.
fn with_rustls(suite: CipherSuite, is_server: bool) -> (Session, Buffered) {
    let (server, client) = pair_in(suite);
    let (mut session, mut far): (_, Buffered) = match is_server {
        true => {
            let far = ClientConnection::new(client, name()).unwrap();
            (Session::server(server).unwrap(), far.into())
        }
        false => {
            let far = ServerConnection::new(server).unwrap();
            (Session::client(client, name()).unwrap(), far.into())
        }
    };
    if !is_server {
        session.begin().unwrap();
    }
    while session.is_handshaking() || far.is_handshaking() {
        hand_over(&mut session, &mut far);
    }
    session.take_over().unwrap();
    assert!(session.records().is_some());
    // What is left of the handshake, its ticket, is a record of the other kind for one of the two.
    hand_over(&mut session, &mut far);
    (session, far)
}

/// Each hears what the other has to say by now.
fn hand_over(session: &mut Session, far: &mut Buffered) {
    let mut bytes = Vec::new();
    while far.wants_write() {
        far.write_tls(&mut bytes).unwrap();
    }
    session.open(&mut bytes, None).unwrap();
    hear(far, &session.take_control());
}

fn hear(far: &mut Buffered, mut records: &[u8]) -> Vec<u8> {
    let mut all = Vec::new();
    loop {
        if !records.is_empty() {
            far.read_tls(&mut records).unwrap();
        }
        far.process_new_packets().unwrap();
        let mut part = vec![0; 1 << 16];
        while let Ok(count @ 1..) = far.reader().read(&mut part) {
            all.extend_from_slice(&part[..count]);
        }
        if records.is_empty() {
            return all;
        }
    }
}

#[test]
fn what_either_seals_the_other_opens_in_every_suite() {
    for suite in SUITES {
        for is_server in [true, false] {
            let (mut session, mut far) = with_rustls(suite, is_server);
            for length in LENGTHS {
                let data = pattern(length);
                let records = sealed(&mut session, &data);
                assert_eq!(hear(&mut far, &records), data, "{suite:?}, {length} bytes sent");
                let mut at = 0;
                while at < length {
                    at += far.writer().write(&data[at..]).unwrap();
                    hand_over(&mut session, &mut far);
                }
                assert_eq!(taken(&mut session), data, "{suite:?}, {length} bytes received");
                // The next ones are sealed with keys that are expanded anew.
                session.rest();
            }
            let end = closed(&mut session);
            assert!(hear(&mut far, &end).is_empty());
            far.send_close_notify();
            hand_over(&mut session, &mut far);
            assert!(session.is_closed());
        }
    }
}

/// Content that is sealed as one record: its type, its bytes.
type Content<'c> = (u8, &'c [u8]);

const DATA: u8 = 23;
const ALERT: u8 = 21;
const HANDSHAKE: u8 = 22;

/// What a server finds wrong with records of its client, what the client is told, and the server's data.
type Judged = (Result<(), Error>, Option<AlertDescription>, Vec<u8>);

fn judged_in(mut ends: Ends, contents: &[Content<'_>]) -> Judged {
    let mut wire = Vec::new();
    for (kind, content) in contents {
        let client = ends.client.records().unwrap();
        client.append(ContentType::from(*kind), content, &mut wire).unwrap();
    }
    let result = ends.server.open(&mut wire, None);
    let data = taken(&mut ends.server);
    (result, told(&mut ends), data)
}

fn told(ends: &mut Ends) -> Option<AlertDescription> {
    let mut control = ends.server.take_control();
    match ends.client.open(&mut control, None) {
        Ok(()) => None,
        Err(Error::AlertReceived(alert)) => Some(alert),
        Err(other) => panic!("{other}"),
    }
}

#[test]
fn a_record_that_comes_again_is_a_forgery() {
    for suite in SUITES {
        let mut ends = Ends::ready_in(suite);
        let record = sealed(&mut ends.client, b"pay");
        let mut twice = [&record[..], &record[..]].concat();
        assert_eq!(ends.server.open(&mut twice, None), Err(Error::DecryptError));
        assert_eq!(taken(&mut ends.server), b"pay");
        assert_eq!(told(&mut ends), Some(AlertDescription::BadRecordMac));
    }
}

#[test]
fn a_record_of_which_any_byte_was_changed_is_refused_and_the_peer_is_told() {
    for suite in SUITES {
        let length = sealed(&mut Ends::ready_in(suite).client, b"pay 10").len();
        for at in 0..length {
            let mut ends = Ends::ready_in(suite);
            let mut record = sealed(&mut ends.client, b"pay 10");
            record[at] ^= 1;
            // A length that has grown is that of a record that has not come whole.
            record.resize(length + 256, 0);
            // In TLS 1.3 nobody looks at the version.
            let is_idle =
                matches!(at, 1 | 2) && suite.as_str().is_some_and(|name| name.starts_with("TLS13"));
            let result = ends.server.open(&mut record, None);
            assert!(result.is_err(), "{suite:?}, byte {at}");
            assert!(told(&mut ends).is_some(), "{suite:?}, byte {at}");
            assert_eq!(taken(&mut ends.server) == b"pay 10", is_idle, "{suite:?}, byte {at}");
        }
    }
}

#[test]
fn records_that_come_in_another_order_are_refused() {
    for suite in SUITES {
        let mut ends = Ends::ready_in(suite);
        let first = sealed(&mut ends.client, b"one");
        let second = sealed(&mut ends.client, b"two");
        let mut turned = [second, first].concat();
        assert_eq!(ends.server.open(&mut turned, None), Err(Error::DecryptError));
        assert!(!ends.server.has_data());
    }
}

#[test]
fn records_without_data_are_limited_in_a_row() {
    let empty: Content<'_> = (DATA, b"");
    for version in VERSIONS {
        let (result, told, _) = judged_in(Ends::ready(version), &[empty; 33]);
        assert_eq!(result, Err(PeerMisbehaved::TooManyEmptyFragments.into()));
        assert_eq!(told, Some(AlertDescription::UnexpectedMessage));
        let mut some = [empty; 65].to_vec();
        some[32] = (DATA, b"x");
        assert_eq!(judged_in(Ends::ready(version), &some).0, Ok(()));
    }
}

#[test]
fn an_end_in_one_flight_with_data_is_heard_behind_it_and_nothing_behind_the_end_is() {
    for version in VERSIONS {
        let contents: &[Content<'_>] = &[(DATA, b"x"), (ALERT, &[1, 0]), (99, b"y")];
        assert_eq!(judged_in(Ends::ready(version), contents), (Ok(()), None, b"x".to_vec()));
    }
}

#[test]
fn keys_that_are_at_rest_open_and_seal_the_next_record() {
    for suite in SUITES {
        let mut ends = Ends::ready_in(suite);
        for length in LENGTHS {
            let data = pattern(length);
            let mut records = sealed(&mut ends.client, &data);
            ends.client.rest();
            ends.server.rest();
            ends.server.open(&mut records, None).unwrap();
            assert_eq!(taken(&mut ends.server), data);
        }
    }
}

#[test]
fn a_connection_at_rest_takes_so_much_beside_its_certificates() {
    let sizes = (size_of::<Session>(), size_of::<Records>());
    assert!(sizes.0 <= 104 && sizes.1 <= 232, "{sizes:?} bytes");
}
