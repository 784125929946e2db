//! What is of TLS 1.3 alone: new keys, tickets, padding.

use rustls::version::TLS13;

use super::*;

const AES: CipherSuite = CipherSuite::TLS13_AES_256_GCM_SHA384;

#[test]
fn each_side_changes_its_keys_as_often_as_the_other_asks() {
    for is_server in [true, false] {
        let (mut session, mut far) = with_rustls(AES, is_server);
        for round in 0..100_u8 {
            match round % 3 {
                0 => far.refresh_traffic_keys().unwrap(),
                1 => session.update_keys(),
                _ => {}
            }
            far.writer().write_all(&[round]).unwrap();
            hand_over(&mut session, &mut far);
            assert_eq!(taken(&mut session), [round]);
            let records = sealed(&mut session, &[round, round]);
            assert_eq!(hear(&mut far, &records), [round, round]);
        }
    }
}

#[test]
fn a_key_that_has_sealed_as_much_as_it_may_is_followed_by_the_next() {
    let (mut session, mut far) = with_rustls(AES, true);
    session.records().unwrap().exhaust();
    let mut out = Vec::with_capacity(200);
    assert_eq!(session.seal(b"more", &mut out), Ok(4));
    // KeyUpdate (RFC 8446 §4.6.3), 5 bytes, then data: each with head, type and tag.
    assert_eq!(out.len(), (5 + 5 + 17) + (5 + 4 + 17));
    assert_eq!(hear(&mut far, &out), b"more");
}

#[test]
fn a_ticket_that_came_with_the_handshake_is_kept_however_it_was_split() {
    let (server, client) = pair_in(AES);
    for at in 0..300 {
        let mut server = Session::server(server.clone()).unwrap();
        let mut near = Session::client(client.clone(), name()).unwrap();
        near.begin().unwrap();
        server.open(&mut near.take_control(), None).unwrap();
        near.open(&mut server.take_control(), None).unwrap();
        server.open(&mut near.take_control(), None).unwrap();
        server.take_over().unwrap();
        let mut last = server.take_control();
        last.extend_from_slice(&sealed(&mut server, b"early"));
        // Some of it comes while rustls has the records, and the rest behind.
        let at = at.min(last.len());
        let (first, rest) = last.split_at_mut(at);
        near.open(first, None).unwrap();
        near.take_over().unwrap();
        near.open(rest, None).unwrap();
        near.go_on().unwrap();
        assert_eq!(taken(&mut near), b"early", "split at {at}");
    }
    let mut again = Session::client(client, name()).unwrap();
    again.begin().unwrap();
    let mut server = Session::server(server).unwrap();
    server.open(&mut again.take_control(), None).unwrap();
    again.open(&mut server.take_control(), None).unwrap();
    let kind = again.state().unwrap().handshake_kind();
    assert_eq!(kind, Some(rustls::HandshakeKind::Resumed));
}

/// A server that pauses behind the handshake, and rustls' client, whose last flight is followed by what it likes.
fn with_all_at_once(has_tickets: bool, behind: impl FnOnce(&mut Buffered)) -> (Session, Buffered) {
    let (server, client) = pair_in(AES);
    let mut server = std::sync::Arc::unwrap_or_clone(server);
    server.send_tls13_tickets = usize::from(has_tickets);
    let mut far: Buffered = ClientConnection::new(client, name()).unwrap().into();
    let mut session = Session::server(server.into()).unwrap();
    hand_over(&mut session, &mut far);
    // The client has finished, and has not said so yet.
    assert!(session.is_handshaking() && !far.is_handshaking());
    behind(&mut far);
    hand_over(&mut session, &mut far);
    assert!(!session.is_handshaking() && !session.has_data());
    session.take_over().unwrap();
    assert!(session.records().is_some());
    (session, far)
}

#[test]
fn what_comes_in_one_flight_with_the_end_of_the_handshake_is_opened_behind_it() {
    for has_tickets in [true, false] {
        let (mut session, mut far) = with_all_at_once(has_tickets, |far| {
            far.writer().write_all(b"early").unwrap();
            far.refresh_traffic_keys().unwrap();
            far.writer().write_all(b" and late").unwrap();
        });
        session.go_on().unwrap();
        assert_eq!(taken(&mut session), b"early and late");
        // The client has asked for new keys, and hears of them before the data.
        let records = sealed(&mut session, b"answer");
        assert_eq!(hear(&mut far, &records), b"answer");
    }
}

#[test]
fn an_end_in_one_flight_with_the_end_of_the_handshake_is_heard_behind_it() {
    let (mut session, _far) = with_all_at_once(true, |far| {
        far.writer().write_all(b"GET /").unwrap();
        far.send_close_notify();
    });
    session.go_on().unwrap();
    assert!(session.is_closed());
    assert_eq!(taken(&mut session), b"GET /");
}

fn judged(contents: &[Content<'_>]) -> Judged {
    judged_in(Ends::ready(&TLS13), contents)
}

#[test]
fn what_may_not_be_in_a_record_is_told_to_the_peer() {
    use AlertDescription::{DecodeError, IllegalParameter, RecordOverflow, UnexpectedMessage};
    let long = pattern(RECORD_DATA_MAX + 1);
    let cases: &[(&str, &[Content<'_>], AlertDescription)] = &[
        ("no type", &[(0, b"")], UnexpectedMessage),
        ("nothing but padding", &[(0, &[0; 100])], UnexpectedMessage),
        ("too much data", &[(DATA, &long)], RecordOverflow),
        (
            "too much padding",
            &[(0, &[&[DATA][..], &[0; RECORD_DATA_MAX]].concat())],
            RecordOverflow,
        ),
        ("a change of the cipher", &[(20, &[1])], UnexpectedMessage),
        ("a heartbeat", &[(24, &[1])], UnexpectedMessage),
        ("another type", &[(99, &[1])], UnexpectedMessage),
        ("no alert", &[(ALERT, &[])], DecodeError),
        ("half an alert", &[(ALERT, &[1])], DecodeError),
        ("an alert and a half", &[(ALERT, &[1, 0, 1])], DecodeError),
        ("no message", &[(HANDSHAKE, &[])], UnexpectedMessage),
        ("another hello", &[(HANDSHAKE, &[1, 0, 0, 1, 0])], UnexpectedMessage),
        ("a wish for a hello", &[(HANDSHAKE, &[0, 0, 0, 0])], UnexpectedMessage),
        ("a ticket for a server", &[(HANDSHAKE, &[4, 0, 0, 1, 0])], UnexpectedMessage),
        ("a message without end", &[(HANDSHAKE, &[24, 1, 0, 1])], DecodeError),
        ("keys without a wish", &[(HANDSHAKE, &[24, 0, 0, 0])], DecodeError),
        ("keys with two wishes", &[(HANDSHAKE, &[24, 0, 0, 2, 0, 0])], DecodeError),
        ("keys with another wish", &[(HANDSHAKE, &[24, 0, 0, 1, 2])], IllegalParameter),
        ("a message behind keys", &[(HANDSHAKE, &[24, 0, 0, 1, 0, 24])], UnexpectedMessage),
        ("data in a message", &[(HANDSHAKE, &[24, 0]), (DATA, b"x")], UnexpectedMessage),
        ("no data in a message", &[(HANDSHAKE, &[24, 0]), (DATA, b"")], UnexpectedMessage),
        ("an end in a message", &[(HANDSHAKE, &[24, 0]), (ALERT, &[1, 0])], UnexpectedMessage),
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
    let padded = [&b"hello"[..], &[DATA], &[0; 300]].concat();
    let longest = [&pattern(RECORD_DATA_MAX - 1)[..], &[DATA]].concat();
    let cases: &[(&str, &[Content<'_>], &[u8])] = &[
        ("padding", &[(0, &padded)], b"hello"),
        ("the longest with padding", &[(0, &longest)], &longest[..RECORD_DATA_MAX - 1]),
        ("a cancelling user", &[(ALERT, &[1, 90]), (DATA, b"x")], b"x"),
        ("a fatal end", &[(DATA, b"x"), (ALERT, &[2, 0])], b"x"),
    ];
    for (what, contents, expected) in cases {
        let (result, told, data) = judged(contents);
        assert_eq!((result, told), (Ok(()), None), "{what}");
        assert_eq!(data, *expected, "{what}");
    }
}

#[test]
fn an_alert_of_the_peer_is_not_answered() {
    let alert = u8::from(AlertDescription::InternalError);
    let (result, told, _) = judged(&[(ALERT, &[1, alert])]);
    assert_eq!(result, Err(Error::AlertReceived(AlertDescription::InternalError)));
    assert_eq!(told, None);
}

#[test]
fn warnings_and_new_keys_are_limited_in_a_row() {
    let cancel: Content<'_> = (ALERT, &[1, 90]);
    let (result, told, _) = judged(&[cancel; 33]);
    assert_eq!(result, Err(PeerMisbehaved::TooManyEmptyFragments.into()));
    assert_eq!(told, Some(AlertDescription::UnexpectedMessage));
    let mut some = [cancel; 65].to_vec();
    some[32] = (DATA, b"x");
    assert_eq!(judged(&some).0, Ok(()));
    let mut ends = Ends::ready(&TLS13);
    let mut last = Ok(());
    for count in 0..33 {
        assert_eq!(last, Ok(()), "{count}");
        let mut wire = Vec::new();
        ends.client.records().unwrap().update_keys(&mut wire).unwrap();
        last = ends.server.open(&mut wire, None);
    }
    assert_eq!(last, Err(PeerMisbehaved::TooManyKeyUpdateRequests.into()));
}

#[test]
fn the_head_of_a_record_is_judged_before_the_rest_has_come() {
    use AlertDescription::{BadRecordMac, RecordOverflow, UnexpectedMessage};
    let longest = (RECORD_DATA_MAX + 256).to_be_bytes();
    let [.., high, low] = longest;
    for (bytes, alert) in [
        (&[20][..], UnexpectedMessage),
        (&[21, 3, 3], UnexpectedMessage),
        (&[22, 3, 3, 0, 1, 0], UnexpectedMessage),
        (b"GET / HTTP/1.1", UnexpectedMessage),
        (&[23, 3, 3, high, low + 1], RecordOverflow),
        (&[23, 3, 3, 0, 0], BadRecordMac),
        (&[23, 3, 3, 0, 3, 1, 2, 3], BadRecordMac),
    ] {
        let mut ends = Ends::ready(&TLS13);
        assert!(ends.server.open(&mut bytes.to_vec(), None).is_err(), "{bytes:?}");
        assert_eq!(told(&mut ends), Some(alert), "{bytes:?}");
    }
    let mut ends = Ends::ready(&TLS13);
    assert_eq!(ends.server.open(&mut [23, 3, 3, high, low], None), Ok(()));
    assert_eq!(ends.server.missing_bytes(), RECORD_DATA_MAX + 256);
}

#[test]
fn a_client_refuses_what_only_servers_receive_and_bad_tickets() {
    for (message, expected) in [
        (&[4, 0, 0, 1, 0][..], AlertDescription::DecodeError),
        // CertificateRequest: nobody has offered to authenticate later.
        (&[13, 0, 0, 3, 0, 0, 0], AlertDescription::UnexpectedMessage),
        (&[0, 0, 0, 0], AlertDescription::UnexpectedMessage),
    ] {
        let mut ends = Ends::ready(&TLS13);
        let mut wire = Vec::new();
        let server = ends.server.records().unwrap();
        server.append(ContentType::Handshake, message, &mut wire).unwrap();
        assert!(ends.client.open(&mut wire, None).is_err());
        let mut control = ends.client.take_control();
        let told = ends.server.open(&mut control, None);
        assert_eq!(told, Err(Error::AlertReceived(expected)), "{message:?}");
    }
}
