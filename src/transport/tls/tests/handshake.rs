//! Handshakes on the simulated engine: what is agreed, and each fault.

use std::sync::Arc;
use std::time::Duration;

use rustls::version::{TLS12, TLS13};
use rustls::{AlertDescription, ProtocolVersion};

use super::configurations::{self, NAME, accept, name};
use super::stream::both;
use crate::transport::tls::fault::{CertificateFault, HandshakeFault};
use crate::transport::tls::handshake::{Facts, Unchosen, connect};
use crate::uring::Socket;
use crate::uring::simulated::{Knobs, pair, run, wait};

const PATIENCE: Duration = Duration::from_secs(10);

fn play<F: Future>(main: impl FnOnce(Socket, Socket) -> F) -> F::Output {
    let (output, left) = run(1, Knobs::default(), async {
        let (near, far) = pair();
        let output = main(near, far).await;
        wait(Duration::from_secs(2)).await;
        output
    });
    assert!(left.broken.is_empty(), "{:?}", left.broken);
    assert_eq!((left.operations, left.ends), (0, 0));
    output
}

/// The fault of a server that is sent these bytes, and what it answers.
fn fault_of(bytes: &'static [u8]) -> (HandshakeFault, Vec<u8>) {
    play(|near, far| async move {
        let (server, _) = configurations::pair(&TLS13);
        let client = async {
            far.send(bytes.to_vec(), 0, true).await.0.unwrap();
            far.shutdown(crate::uring::Shutdown::Write);
            let (_, answer) = far.recv(Vec::with_capacity(4_000)).await;
            answer
        };
        let (accepted, answer) =
            both(accept(near, Vec::new(), |_| Ok(server), PATIENCE), client).await;
        (accepted.err().unwrap(), answer)
    })
}

#[test]
fn both_sides_know_what_they_have_agreed_upon() {
    for (version, number) in
        [(&TLS13, ProtocolVersion::TLSv1_3), (&TLS12, ProtocolVersion::TLSv1_2)]
    {
        let facts: Vec<Facts> = play(|near, far| async move {
            let (server, client) = configurations::pair_speaking(version, &[b"h2", b"http/1.1"]);
            let (near, far) = both(
                accept(
                    near,
                    Vec::new(),
                    |hello| {
                        assert_eq!(hello.server_name(), Some(NAME));
                        Ok(server)
                    },
                    PATIENCE,
                ),
                connect(far, client, name(), PATIENCE),
            )
            .await;
            vec![near.unwrap().1, far.unwrap().1]
        });
        for facts in &facts {
            assert_eq!(facts.version, number);
            assert_eq!(facts.alpn.as_deref(), Some(&b"h2"[..]));
            assert!(facts.group.is_some() && !facts.is_resumed);
        }
        assert_eq!(facts[0].cipher_suite, facts[1].cipher_suite);
        assert_eq!(facts[0].server_name.as_deref(), Some(NAME));
        assert_eq!(facts[0].peer_certificates.len(), 0);
        assert_eq!(facts[1].peer_certificates.len(), 1);
    }
}

#[test]
fn a_second_connection_resumes_the_session_of_the_first() {
    for version in [&TLS13, &TLS12] {
        play(|near, far| async move {
            let (server, client) = configurations::pair(version);
            let first = both(
                accept(near, Vec::new(), |_| Ok(Arc::clone(&server)), PATIENCE),
                connect(far, Arc::clone(&client), name(), PATIENCE),
            );
            let (near, far) = first.await;
            let (near, far) = (near.unwrap().0, far.unwrap().0);
            // The ticket comes with the next receive.
            near.send(b"hello".to_vec(), 0, true).await.0.unwrap();
            assert_eq!(far.recv_any().await.unwrap(), b"hello");
            let (next_near, next_far) = pair();
            let second = both(
                accept(next_near, Vec::new(), |_| Ok(server), PATIENCE),
                connect(next_far, client, name(), PATIENCE),
            );
            let (near, far) = second.await;
            assert!(near.unwrap().1.is_resumed && far.unwrap().1.is_resumed);
        });
    }
}

#[test]
fn a_request_in_plain_http_is_told_so() {
    let (fault, answer) = fault_of(b"GET / HTTP/1.1\r\nHost: shop.example\r\n\r\n");
    assert_eq!(fault, HandshakeFault::PlainHttp);
    let answer = String::from_utf8(answer).unwrap();
    let (head, text) = answer.split_once("\r\n\r\n").unwrap();
    assert!(head.starts_with("HTTP/1.1 400 "), "{head}");
    assert!(head.contains(&format!("Content-Length: {}\r\n", text.len())), "{head}");
    assert!(text.contains("HTTPS"), "{text}");
}

#[test]
fn what_is_no_tls_is_a_fault_of_its_own_without_an_answer() {
    assert_eq!(fault_of(&[0x80, 0x2e, 1, 0, 2]), (HandshakeFault::NotTls, vec![]));
    assert_eq!(fault_of(b"\0\0\0\0"), (HandshakeFault::NotTls, vec![]));
}

#[test]
fn a_hello_that_cannot_be_read_is_answered_with_an_alert() {
    let (fault, answer) = fault_of(&[22, 3, 1, 0, 6, 1, 0, 0, 2, 3, 3]);
    assert_eq!(fault, HandshakeFault::Malformed);
    assert_eq!(answer, [21, 3, 3, 0, 2, 2, u8::from(AlertDescription::DecodeError)]);
}

#[test]
fn a_client_that_goes_away_is_gone() {
    assert_eq!(fault_of(&[22, 3, 1]).0, HandshakeFault::Gone);
}

#[test]
fn bytes_that_were_received_before_begin_the_hello() {
    for size in [1, 7, 4_000] {
        play(|near, far| async move {
            let (server, client) = configurations::pair(&TLS13);
            let server = async {
                let (_, mut early) = near.recv(Vec::with_capacity(size + 16)).await;
                early.shrink_to_fit();
                accept(near, early, |_| Ok(server), PATIENCE).await
            };
            let (near, far) = both(server, connect(far, client, name(), PATIENCE)).await;
            assert_eq!(near.unwrap().1.version, far.unwrap().1.version);
        });
    }
}

#[test]
fn a_client_that_says_nothing_is_waited_for_no_longer_than_allowed() {
    play(|near, far| async move {
        let (server, _) = configurations::pair(&TLS13);
        let accepted = accept(near, Vec::new(), |_| Ok(server), PATIENCE).await;
        assert_eq!(accepted.err(), Some(HandshakeFault::Timeout));
        drop(far);
    });
}

#[test]
fn a_name_without_a_certificate_is_refused_by_the_chooser() {
    play(|near, far| async move {
        let (_, client) = configurations::pair(&TLS13);
        let unchosen = Unchosen {
            fault: HandshakeFault::UnknownName,
            alert: AlertDescription::UnrecognisedName,
        };
        let (near, far) = both(
            accept(near, Vec::new(), |_| Err(unchosen), PATIENCE),
            connect(far, client, name(), PATIENCE),
        )
        .await;
        assert_eq!(near.err(), Some(HandshakeFault::UnknownName));
        assert_eq!(far.err(), Some(HandshakeFault::Alert(AlertDescription::UnrecognisedName)));
    });
}

#[test]
fn a_certificate_that_is_not_trusted_or_for_another_name_is_told_apart() {
    let play = |is_trusted: bool, name: &'static str| {
        play(|near, far| async move {
            let (server, mut client) = configurations::pair(&TLS13);
            if !is_trusted {
                client = configurations::pair(&TLS13).1;
            }
            let (near, far) = both(
                accept(near, Vec::new(), |_| Ok(server), PATIENCE),
                connect(far, client, name.try_into().unwrap(), PATIENCE),
            )
            .await;
            assert!(matches!(near.err(), Some(HandshakeFault::Alert(_))));
            far.err().unwrap()
        })
    };
    let fault = HandshakeFault::Certificate;
    assert_eq!(play(false, NAME), fault(CertificateFault::UnknownIssuer));
    assert_eq!(play(true, "other.example"), fault(CertificateFault::WrongName));
}

#[test]
fn versions_that_do_not_meet_are_a_fault_of_both() {
    play(|near, far| async move {
        let (server, _) = configurations::pair(&TLS13);
        let (_, client) = configurations::pair(&TLS12);
        let (near, far) = both(
            accept(near, Vec::new(), |_| Ok(server), PATIENCE),
            connect(far, client, name(), PATIENCE),
        )
        .await;
        assert_eq!(near.err(), Some(HandshakeFault::NothingShared));
        assert_eq!(far.err(), Some(HandshakeFault::Alert(AlertDescription::ProtocolVersion)));
    });
}
