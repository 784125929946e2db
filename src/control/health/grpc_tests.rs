use std::sync::Arc;

use h2::server::SendResponse;
use tokio::net::TcpListener;

use crate::control::health::check::{Ask, Endpoint, Kind, Outcome, Probe, Prober, Verdict};
use crate::control::health::grpc::*;
use crate::group::address::Address;

fn ask() -> GrpcAsk {
    GrpcAsk {
        method: None,
        service: String::new(),
        host: String::new(),
        codes: vec![0..=0],
        head_bytes: 64 * 1024,
    }
}

/// What a server says to a call.
#[derive(Clone)]
enum Says {
    /// Status, fields of the head, content, trailers.
    All(u16, Fields, Vec<u8>, Option<Fields>),
    Nothing,
    Reset,
}

type Fields = Vec<(&'static str, &'static str)>;

const TYPE: (&str, &str) = ("content-type", "application/grpc");

/// The framed answer of a health service.
fn answer(health: u8) -> Vec<u8> {
    framed(&[1 << 3, health]).to_vec()
}

/// A call's content, and trailers with this status.
fn said(content: Vec<u8>, status: &'static str) -> Says {
    Says::All(200, vec![TYPE], content, Some(vec![("grpc-status", status)]))
}

/// Trailers only.
fn only(fields: &[(&'static str, &'static str)]) -> Says {
    Says::All(200, [&[TYPE], fields].concat(), Vec::new(), None)
}

fn map(fields: Fields) -> HeaderMap {
    fields
        .into_iter()
        .map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap()))
        .collect()
}

async fn respond(mut respond: SendResponse<Bytes>, says: Says) {
    match says {
        Says::Nothing => std::future::pending().await,
        Says::Reset => respond.send_reset(h2::Reason::INTERNAL_ERROR),
        Says::All(status, fields, content, trailers) => {
            let mut head = Response::builder().status(status).body(()).unwrap();
            *head.headers_mut() = map(fields);
            let ends = content.is_empty() && trailers.is_none();
            let mut stream = respond.send_response(head, ends).unwrap();
            if !content.is_empty() {
                stream.send_data(content.into(), trailers.is_none()).unwrap();
            }
            if let Some(trailers) = trailers {
                stream.send_trailers(map(trailers)).unwrap();
            }
        }
    }
}

/// The method, the path, the fields and the content of a request.
type Asked = (String, String, HeaderMap, Vec<u8>);

/// Checks a server that says this; returns what it was asked, too.
async fn checked(ask: GrpcAsk, says: Says) -> (Outcome, Option<Asked>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = Address::Tcp(listener.local_addr().unwrap());
    let server = tokio::spawn(async move {
        let (stream, _) = listener.accept().await.unwrap();
        let mut connection = h2::server::handshake(stream).await.unwrap();
        let (request, answering) = connection.accept().await.unwrap().unwrap();
        // The connection goes on meanwhile.
        let goes_on = tokio::spawn(async move { while connection.accept().await.is_some() {} });
        let (head, mut body) = request.into_parts();
        let mut content = Vec::new();
        while let Some(Ok(piece)) = body.data().await {
            content.extend_from_slice(&piece);
        }
        respond(answering, says).await;
        goes_on.await.unwrap();
        (head.method.to_string(), head.uri.path().to_owned(), head.headers, content)
    });
    let ask = Ask {
        kind: Kind::Grpc(ask),
        timeout: Duration::from_millis(2000),
        port: None,
        header: None,
        is_http2: true,
    };
    let outcome = Prober.check(Arc::new(ask), Endpoint { address, tls: None }).await;
    let asked = match &outcome.verdict {
        // The server still waits.
        Verdict::Failed(why) if why.contains("within") => None,
        _ => server.await.ok(),
    };
    (outcome, asked)
}

async fn verdict(ask: GrpcAsk, says: Says) -> Result<(), String> {
    match checked(ask, says).await.0.verdict {
        Verdict::Passed => Ok(()),
        Verdict::Failed(why) => Err(why),
        Verdict::NotAsked(why) => panic!("{why}"),
    }
}

#[test]
fn a_request_names_its_service_byte_by_byte() {
    assert_eq!(check_request(""), b"");
    assert_eq!(check_request("a.B"), b"\x0a\x03a.B");
    let long = "x".repeat(200);
    assert_eq!(check_request(&long), [b"\x0a\xc8\x01", long.as_bytes()].concat());
    assert_eq!(&framed(b"\x0a\x03a.B")[..], b"\0\0\0\0\x05\x0a\x03a.B");
    assert_eq!(&framed(b"")[..], [0; 5]);
}

#[test]
fn a_response_is_read_byte_by_byte() {
    for (message, expected) in [
        (&b""[..], Some(0)),
        (b"\x08\x01", Some(1)),
        (b"\x08\x02", Some(2)),
        (b"\x08\x81\x00", Some(1)),
        (b"\x08\x02\x08\x01", Some(1)),
        // Other fields, of each kind, are passed over.
        (b"\x10\x07\x08\x01", Some(1)),
        (b"\x12\x02xy\x08\x01", Some(1)),
        (b"\x0d\0\0\0\0\x08\x01", Some(1)),
        (b"\x11\0\0\0\0\0\0\0\0\x08\x01", Some(1)),
        (b"\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", Some(u64::MAX)),
        (b"\x08", None),
        (b"\x08\x80", None),
        (b"\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", None),
        (b"\x12\x05xy", None),
        (b"\x12\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01xy", None),
        (b"\x0b", None),
        (b"\x0f\x01", None),
    ] {
        let read = health(&framed(message));
        assert_eq!(read.ok(), expected, "{message:?}");
    }
    let whole = answer(1);
    for length in 0..whole.len() {
        assert!(health(&whole[..length]).is_err(), "{length} bytes are not all");
    }
    assert!(health(&[&whole[..], b"\0"].concat()).is_err(), "more than the message");
    assert!(health(b"\x01\0\0\0\x02\x08\x01").unwrap_err().contains("compressed"));
}

#[tokio::test]
async fn a_serving_server_passes_and_is_asked_as_the_protocol_says() {
    let (outcome, asked) = checked(ask(), said(answer(1), "0")).await;
    assert_eq!((outcome.verdict, outcome.status), (Verdict::Passed, Some(200)));
    let (method, path, fields, content) = asked.unwrap();
    assert_eq!((method.as_str(), path.as_str()), ("POST", "/grpc.health.v1.Health/Check"));
    assert_eq!(content, [0; 5]);
    for (name, value) in [TYPE, ("te", "trailers"), ("grpc-timeout", "2000m")] {
        assert_eq!(fields.get(name).unwrap(), value);
    }
    let of_service = GrpcAsk { service: "shop.Cart".into(), ..ask() };
    let (outcome, asked) = checked(of_service, said(answer(1), "0")).await;
    assert_eq!(outcome.verdict, Verdict::Passed);
    assert_eq!(asked.unwrap().3, b"\0\0\0\0\x0b\x0a\x09shop.Cart");
}

#[tokio::test]
async fn every_other_health_fails_by_its_name() {
    for (health, named) in [(0, "UNKNOWN"), (2, "NOT_SERVING"), (3, "SERVICE_UNKNOWN"), (9, "9")] {
        let why = verdict(ask(), said(answer(health), "0")).await.unwrap_err();
        assert_eq!(why, format!("the health of the server is {named}"));
    }
    let of_service = GrpcAsk { service: "shop.Cart".into(), ..ask() };
    let why = verdict(of_service, said(answer(2), "0")).await.unwrap_err();
    assert_eq!(why, "the health of service \"shop.Cart\" is NOT_SERVING");
}

#[tokio::test]
async fn a_status_that_is_not_expected_fails_and_says_what_it_means() {
    let of_service = GrpcAsk { service: "shop.Cart".into(), ..ask() };
    for (ask, says, expected) in [
        (
            ask(),
            only(&[("grpc-status", "12"), ("grpc-message", "Method not found!")]),
            "grpc-status 12 (UNIMPLEMENTED), expected 0: the target has no grpc.health.v1",
        ),
        (
            of_service,
            only(&[("grpc-status", "5")]),
            "grpc-status 5 (NOT_FOUND), expected 0: the target knows no service \"shop.Cart\"",
        ),
        (
            ask(),
            only(&[("grpc-status", "14"), ("grpc-message", "too%20busy%0a%C3%A4")]),
            "grpc-status 14 (UNAVAILABLE), expected 0: too busy ä",
        ),
        (ask(), said(Vec::new(), "99"), "grpc-status 99 (status 99), expected 0"),
    ] {
        assert_eq!(verdict(ask, says).await.unwrap_err(), expected);
    }
}

#[tokio::test]
async fn what_is_no_answer_to_a_call_fails() {
    for (says, expected) in [
        (said(Vec::new(), "x"), "grpc-status x is no number"),
        (only(&[]), "the answer ended without grpc-status"),
        (said(answer(1)[..6].to_vec(), "0"), "the answer of grpc.health.v1 is no valid message"),
        (said(vec![0; 70_000], "0"), "the answer is longer than 64 KiB"),
        (
            Says::All(404, vec![("content-type", "text/html")], Vec::new(), None),
            "no answer to a call of gRPC: status 404, content type text/html",
        ),
        (
            Says::All(200, Vec::new(), Vec::new(), None),
            "no answer to a call of gRPC: status 200, content type none",
        ),
        (Says::Nothing, "no response within 2s"),
    ] {
        assert_eq!(verdict(ask(), says).await.unwrap_err(), expected);
    }
    let reset = verdict(ask(), Says::Reset).await.unwrap_err();
    assert!(reset.ends_with("(target_reset)"), "{reset}");
}

#[tokio::test]
async fn a_method_of_its_own_passes_by_its_status_alone() {
    let ask = GrpcAsk {
        method: Some("/AWS.ALB/healthcheck".into()),
        codes: vec![12..=12, 0..=1],
        ..ask()
    };
    let (outcome, asked) = checked(ask.clone(), only(&[("grpc-status", "12")])).await;
    assert_eq!(outcome.verdict, Verdict::Passed);
    let (_, path, _, content) = asked.unwrap();
    assert_eq!((path.as_str(), content), ("/AWS.ALB/healthcheck", vec![0; 5]));
    assert_eq!(verdict(ask.clone(), said(b"anything".to_vec(), "0")).await, Ok(()));
    let why =
        verdict(ask, only(&[("grpc-status", "2"), ("grpc-message", "no")])).await.unwrap_err();
    assert_eq!(why, "grpc-status 2 (UNKNOWN), expected 12 or 0-1: no");
}
