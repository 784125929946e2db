//! What is of TLS 1.2 alone: nonces in records, warnings, handshakes that are refused, keys that nothing follows.

use std::sync::Arc;

use rustls::version::TLS12;
use rustls::{HandshakeKind, InvalidMessage};

use super::*;

const AES: CipherSuite = CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384;
const CHACHA: CipherSuite = CipherSuite::TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256;
const NO_RENEGOTIATION: [u8; 2] = [1, 100];
/// The messages by which a client and a server ask for another handshake.
const CLIENT_HELLO: [u8; 5] = [1, 0, 0, 1, 0];
const HELLO_REQUEST: [u8; 4] = [0; 4];

fn judged(contents: &[Content<'_>]) -> Judged {
    judged_in(Ends::ready(&TLS12), contents)
}

/// One record of any content.
fn record(from: &mut Session, kind: u8, content: &[u8]) -> Vec<u8> {
    let mut wire = Vec::new();
    from.records().unwrap().append(ContentType::from(kind), content, &mut wire).unwrap();
    wire
}

#[test]
fn no_nonce_is_in_two_records_and_none_is_where_it_need_not_be() {
    let mut ends = Ends::ready_in(AES);
    let mut seen: Vec<Vec<u8>> = Vec::new();
    for _ in 0..300 {
        let record = sealed(&mut ends.client, b"data");
        assert_eq!(record.len(), 5 + 8 + 4 + 16);
        seen.push(record[5..13].to_vec());
    }
    seen.sort();
    seen.dedup();
    assert_eq!(seen.len(), 300);
    let mut ends = Ends::ready_in(CHACHA);
    assert_eq!(sealed(&mut ends.client, b"data").len(), 5 + 4 + 16);
}

#[test]
fn what_may_not_be_in_a_record_is_told_to_the_peer() {
    use AlertDescription::{DecodeError, IllegalParameter, RecordOverflow, UnexpectedMessage};
    let long = pattern(RECORD_DATA_MAX + 1);
    let cases: &[(&str, &[Content<'_>], AlertDescription)] = &[
        ("too much data", &[(DATA, &long)], RecordOverflow),
        ("a change of the cipher", &[(20, &[1])], UnexpectedMessage),
        ("a heartbeat", &[(24, &[1])], UnexpectedMessage),
        ("another type", &[(99, &[1])], UnexpectedMessage),
        ("no alert", &[(ALERT, &[])], DecodeError),
        ("half an alert", &[(ALERT, &[1])], DecodeError),
        ("an alert and a half", &[(ALERT, &[1, 0, 1])], DecodeError),
        ("an alert of another level", &[(ALERT, &[3, 90])], IllegalParameter),
        ("no message", &[(HANDSHAKE, &[])], UnexpectedMessage),
        ("a server's wish of a client", &[(HANDSHAKE, &HELLO_REQUEST)], UnexpectedMessage),
        ("a ticket for a server", &[(HANDSHAKE, &[4, 0, 0, 1, 0])], UnexpectedMessage),
        ("another end of the handshake", &[(HANDSHAKE, &[20, 0, 0, 1, 0])], UnexpectedMessage),
        ("keys of TLS 1.3", &[(HANDSHAKE, &[24, 0, 0, 1, 0])], UnexpectedMessage),
        ("a message without end", &[(HANDSHAKE, &[1, 1, 0, 1])], DecodeError),
        ("data in a message", &[(HANDSHAKE, &[1, 0]), (DATA, b"x")], UnexpectedMessage),
        ("no data in a message", &[(HANDSHAKE, &[1, 0]), (DATA, b"")], UnexpectedMessage),
        ("an end in a message", &[(HANDSHAKE, &[1, 0]), (ALERT, &[1, 0])], UnexpectedMessage),
    ];
    for (what, contents, alert) in cases {
        let (result, told, data) = judged(contents);
        assert!(result.is_err(), "{what}");
        assert_eq!(told, Some(*alert), "{what}");
        assert!(data.is_empty(), "{what}");
    }
}

#[test]
fn what_may_be_in_a_record_is_taken() {
    let longest = pattern(RECORD_DATA_MAX);
    let cases: &[(&str, &[Content<'_>], &[u8])] = &[
        ("the longest", &[(DATA, &longest)], &longest),
        ("zeros, which are no padding", &[(DATA, &[0; 3])], &[0; 3]),
        ("a cancelling user", &[(ALERT, &[1, 90]), (DATA, b"x")], b"x"),
        ("a refusal", &[(ALERT, &NO_RENEGOTIATION), (DATA, b"x")], b"x"),
        ("a fatal end", &[(DATA, b"x"), (ALERT, &[2, 0])], b"x"),
    ];
    for (what, contents, expected) in cases {
        let (result, told, data) = judged(contents);
        assert_eq!((result, told), (Ok(()), None), "{what}");
        assert_eq!(data, *expected, "{what}");
    }
}

#[test]
fn a_fatal_alert_of_the_peer_is_not_answered() {
    let alert = u8::from(AlertDescription::InternalError);
    let (result, told, _) = judged(&[(ALERT, &[2, alert])]);
    assert_eq!(result, Err(Error::AlertReceived(AlertDescription::InternalError)));
    assert_eq!(told, None);
}

#[test]
fn warnings_are_counted_as_long_as_a_connection_lasts() {
    let warning: Content<'_> = (ALERT, &[1, 90]);
    let data: Content<'_> = (DATA, b"x");
    assert_eq!(judged(&[warning; 4]).0, Ok(()));
    for contents in [&[warning; 5][..], &[warning, data, warning, warning, data, warning, warning]]
    {
        let (result, told, _) = judged(contents);
        assert_eq!(result, Err(PeerMisbehaved::TooManyWarningAlertsReceived.into()));
        assert_eq!(told, Some(AlertDescription::UnexpectedMessage));
    }
}

#[test]
fn another_handshake_is_refused_by_a_warning_once_and_then_ends_the_connection() {
    for is_server in [true, false] {
        let Ends { server, client } = Ends::ready(&TLS12);
        let (mut near, mut far) = if is_server { (server, client) } else { (client, server) };
        let wish: &[u8] = if is_server { &CLIENT_HELLO } else { &HELLO_REQUEST };
        // It comes in parts, and data comes before and behind it.
        let mut wire = record(&mut far, DATA, b"one ");
        for byte in wish {
            wire.extend(record(&mut far, HANDSHAKE, &[*byte]));
        }
        wire.extend(record(&mut far, DATA, b"two"));
        near.open(&mut wire, None).unwrap();
        assert_eq!(taken(&mut near), b"one two");
        let mut refusal = near.take_control();
        assert_eq!(refusal.first(), Some(&ALERT));
        assert_eq!(refusal.len(), 5 + 8 + 2 + 16);
        assert_eq!(far.open(&mut refusal, None), Ok(()));
        // Both go on.
        let mut data = sealed(&mut near, b"three");
        far.open(&mut data, None).unwrap();
        assert_eq!(taken(&mut far), b"three");
        let mut again = record(&mut far, HANDSHAKE, wish);
        let fault = Error::from(PeerMisbehaved::TooManyRenegotiationRequests);
        assert_eq!(near.open(&mut again, None), Err(fault));
        let told = far.open(&mut near.take_control(), None);
        assert_eq!(told, Err(Error::AlertReceived(AlertDescription::UnexpectedMessage)));
    }
}

#[test]
fn a_wish_for_a_handshake_has_no_content() {
    let mut ends = Ends::ready(&TLS12);
    let mut wish = record(&mut ends.server, HANDSHAKE, &[0, 0, 0, 1, 0]);
    let fault = InvalidMessage::TrailingData("HelloRequest");
    assert_eq!(ends.client.open(&mut wish, None), Err(fault.into()));
    let mut ticket = record(&mut Ends::ready(&TLS12).server, HANDSHAKE, &[4, 0, 0, 1, 0]);
    assert!(ends.client.open(&mut ticket, None).is_err());
}

#[test]
fn a_refusal_is_one_that_rustls_understands_and_makes_itself() {
    for is_server in [true, false] {
        let (mut session, mut far) = with_rustls(AES, is_server);
        let wire = record(&mut session, ALERT, &NO_RENEGOTIATION);
        assert!(hear(&mut far, &wire).is_empty());
    }
    let (mut session, mut far) = with_rustls(AES, true);
    let wish = record(&mut session, HANDSHAKE, &HELLO_REQUEST);
    assert!(hear(&mut far, &wish).is_empty());
    assert!(far.wants_write());
    hand_over(&mut session, &mut far);
}

#[test]
fn the_head_of_a_record_is_judged_before_the_rest_has_come() {
    use AlertDescription::{BadRecordMac, ProtocolVersion, RecordOverflow, UnexpectedMessage};
    let [.., high, low] = (RECORD_DATA_MAX + 2048).to_be_bytes();
    for suite in [AES, CHACHA] {
        for (bytes, alert) in [
            (&[20][..], UnexpectedMessage),
            (&[20, 3, 3, 0, 1, 1], UnexpectedMessage),
            (&[24], UnexpectedMessage),
            (b"GET / HTTP/1.1", UnexpectedMessage),
            (&[23, 3, 1], ProtocolVersion),
            (&[23, 3, 4], ProtocolVersion),
            (&[21, 2, 3, 0, 2, 1, 0], ProtocolVersion),
            (&[23, 3, 3, high, low + 1], RecordOverflow),
            (&[23, 3, 3, 0, 0], BadRecordMac),
            (&[21, 3, 3, 0, 2, 1, 0], BadRecordMac),
        ] {
            let mut ends = Ends::ready_in(suite);
            assert!(ends.server.open(&mut bytes.to_vec(), None).is_err(), "{bytes:?}");
            assert_eq!(told(&mut ends), Some(alert), "{bytes:?}");
        }
        let mut ends = Ends::ready_in(suite);
        assert_eq!(ends.server.open(&mut [23, 3, 3, high, low], None), Ok(()));
        assert_eq!(ends.server.missing_bytes(), RECORD_DATA_MAX + 2048);
    }
}

#[test]
fn a_record_that_has_no_room_for_nonce_and_tag_is_a_forgery() {
    for suite in [AES, CHACHA] {
        for length in 0..24_u8 {
            let mut ends = Ends::ready_in(suite);
            let mut bytes = vec![7; 5 + usize::from(length)];
            bytes[..5].copy_from_slice(&[23, 3, 3, 0, length]);
            assert_eq!(ends.server.open(&mut bytes, None), Err(Error::DecryptError), "{length}");
            assert_eq!(told(&mut ends), Some(AlertDescription::BadRecordMac));
        }
    }
}

#[test]
fn a_key_seals_no_more_than_it_may_and_its_last_record_is_the_end() {
    let (mut session, mut far) = with_rustls(AES, true);
    session.records().unwrap().exhaust();
    let mut out = Vec::with_capacity(200);
    assert_eq!(session.seal(b"more", &mut out), Err(Error::EncryptError));
    assert_eq!(out.len(), 5 + 8 + 2 + 16);
    far.read_tls(&mut &out[..]).unwrap();
    let told = far.process_new_packets();
    assert_eq!(told.unwrap_err(), Error::AlertReceived(AlertDescription::InternalError));
    // Neither data, nor an end, nor an alert.
    out.clear();
    assert_eq!(session.seal(b"more", &mut out), Err(Error::EncryptError));
    assert_eq!(session.close(&mut out), Err(Error::EncryptError));
    assert!(session.open(&mut [99], None).is_err());
    assert!(out.is_empty() && !session.has_control());
}

#[test]
fn what_was_sealed_before_a_key_was_at_its_end_is_sent_before_the_end() {
    let (mut session, mut far) = with_rustls(CHACHA, false);
    let mut out = Vec::with_capacity(40_000);
    session.seal(b"first", &mut out).unwrap();
    session.records().unwrap().exhaust();
    assert!(session.seal(b"second", &mut out).is_err());
    far.read_tls(&mut &out[..]).unwrap();
    assert!(far.process_new_packets().is_err(), "its end is no clean one");
    let mut data = [0; 16];
    assert_eq!(far.reader().read(&mut data).unwrap(), 5);
    assert!(data.starts_with(b"first"));
}

/// A configuration whose sessions are resumed by tickets.
fn with_tickets() -> (Arc<rustls::ServerConfig>, Arc<rustls::ClientConfig>) {
    let (server, client) = pair_in(AES);
    let mut server = Arc::unwrap_or_clone(server);
    server.session_storage = Arc::new(rustls::server::NoServerSessionStorage {});
    server.ticketer = rustls::crypto::aws_lc_rs::Ticketer::new().unwrap();
    (Arc::new(server), client)
}

#[test]
fn data_that_came_with_the_end_of_a_handshake_is_kept_however_it_was_split() {
    let (server, client) = with_tickets();
    for at in 0..400 {
        let mut server = Session::server(Arc::clone(&server)).unwrap();
        let mut near = Session::client(Arc::clone(&client), name()).unwrap();
        near.begin().unwrap();
        server.open(&mut near.take_control(), None).unwrap();
        near.open(&mut server.take_control(), None).unwrap();
        let is_resumed = !near.is_handshaking();
        assert_eq!(is_resumed, at > 0, "split at {at}: the first leaves a ticket");
        // Who says the last word of the handshake goes on with data, and with its end.
        let (mut from, mut to) = if is_resumed { (near, server) } else { (server, near) };
        if !is_resumed {
            from.open(&mut to.take_control(), None).unwrap();
        }
        let kind = from.state().unwrap().handshake_kind();
        assert_eq!(kind == Some(HandshakeKind::Resumed), is_resumed);
        from.take_over().unwrap();
        let mut last = from.take_control();
        last.extend_from_slice(&sealed(&mut from, b"early"));
        last.extend_from_slice(&closed(&mut from));
        let at = at.min(last.len());
        let (first, rest) = last.split_at_mut(at);
        to.open(first, None).unwrap();
        if !to.is_handshaking() {
            assert!(!to.has_data());
            to.take_over().unwrap();
        }
        to.open(rest, None).unwrap();
        if to.state().is_some() {
            to.take_over().unwrap();
        }
        to.go_on().unwrap();
        assert_eq!(taken(&mut to), b"early", "split at {at}");
        assert!(to.is_closed());
    }
}
