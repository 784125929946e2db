//! WebSocket to targets that speak HTTP/2 (RFC 8441), from clients of either version.

use axum::http::{HeaderMap, Method, Request, Response, Version};
use bytes::Bytes;
use h2::ext::Protocol;
use h2::{RecvStream, SendStream};

use super::{app, both};
use crate::support::http2::{Http2, content, play, send_some};
use crate::support::http2_target::{Http2Options, Http2Target, Then, answer};
use crate::support::{Client, Limpet, Section, tls};

const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";

/// A target that opens tunnels at `/chat`.
fn target(options: Http2Options) -> Http2Target {
    Http2Target::start_with(options, |seen| match (seen.path.as_str(), seen.method.as_str()) {
        ("/chat?room=1", "CONNECT") => {
            let head = Response::builder()
                .header("sec-websocket-protocol", "chat")
                // Proves nothing: nobody has asked it.
                .header("sec-websocket-accept", "wrong");
            Then::Answer(head.body(()).unwrap(), Vec::new(), HeaderMap::new())
        }
        ("/closed", "CONNECT") => answer(403, "not for you"),
        _ => answer(200, "plain"),
    })
}

fn to(target: &Http2Target) -> Section {
    app().set("protocol_version", "http2").target_at("a", &target.address(), "")
}

fn start(target: &Http2Target) -> Limpet {
    both().group(to(target)).start()
}

/// The handshake of HTTP/1.1.
fn ask(path: &str) -> String {
    format!(
        "GET {path} HTTP/1.1\r\nHost: limpet.test\r\nConnection: Upgrade\r\nUpgrade: WebSocket\r\n\
         Sec-WebSocket-Key: {KEY}\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Protocol: chat\r\n\r\n"
    )
}

/// The handshake of HTTP/2: the status, and both directions.
async fn open(client: &Http2, path: &str) -> (u16, HeaderMap, RecvStream, SendStream<Bytes>) {
    let mut request = Request::builder()
        .method(Method::CONNECT)
        .uri(format!("http://limpet.test{path}"))
        .version(Version::HTTP_2)
        .header("sec-websocket-version", "13")
        .header("sec-websocket-protocol", "chat")
        .body(())
        .unwrap();
    request.extensions_mut().insert(Protocol::from_static("websocket"));
    let mut send = client.send.clone().ready().await.unwrap();
    let (response, stream) = send.send_request(request, false).unwrap();
    let response = response.await.unwrap();
    let (status, fields) = (response.status().as_u16(), response.headers().clone());
    (status, fields, response.into_body(), stream)
}

/// A client of HTTP/1.1 of one of the listeners.
fn client_of(limpet: &Limpet, name: &str) -> Client {
    match name {
        "clear" => limpet.client_of(name),
        _ => Client::connect_tls(limpet.address_of(name), tls::client(), "localhost"),
    }
}

/// What a target of HTTP/2 must have seen of a handshake.
fn assert_asked(target: &Http2Target) {
    let seen = target.last_request();
    assert_eq!((seen.method.as_str(), seen.protocol.as_str()), ("CONNECT", "websocket"));
    assert_eq!((seen.path.as_str(), seen.authority.as_str()), ("/chat?room=1", "limpet.test"));
    assert_eq!(seen.field("sec-websocket-version"), "13");
    assert_eq!(seen.field("sec-websocket-protocol"), "chat");
    for absent in ["sec-websocket-key", "upgrade", "connection", "content-length"] {
        assert!(!seen.fields.contains_key(absent), "{absent}");
    }
}

#[test]
fn a_client_of_http1_gets_the_proof_that_its_target_knows_nothing_of() {
    for alpn in [None, Some(&b"h2"[..])] {
        let target = target(Http2Options { alpn, ..Http2Options::default() });
        let section = match alpn {
            None => to(&target),
            Some(_) => to(&target).set("protocol", "https").set("tls.verify", "none"),
        };
        let limpet = both().group(section).start();
        for name in ["clear", "secure"] {
            let mut client = client_of(&limpet, name);
            let response = client.send(ask("/chat?room=1")).response();
            assert_eq!(response.status, 101, "{}", response.head);
            assert_eq!(response.field("upgrade"), Some("websocket"));
            assert_eq!(response.field("connection"), Some("upgrade"));
            assert_eq!(
                response.field("sec-websocket-accept"),
                Some("s3pPLMBiTxaQ9kYGzzhZRbK+xOo=")
            );
            assert_eq!(response.field("sec-websocket-protocol"), Some("chat"));
            let head = response.head.to_ascii_lowercase();
            for once in ["sec-websocket-accept:", "upgrade:", "connection:"] {
                assert_eq!(head.matches(&format!("\n{once}")).count(), 1, "{head}");
            }
            assert_asked(&target);
            let large = vec![b'x'; 300_000];
            let mut writer = client.wire.writer().unwrap();
            let (sent, expected) = (large.clone(), large.to_ascii_uppercase());
            let sending = std::thread::spawn(move || writer.send(&sent));
            assert_eq!(client.wire.read_exactly(expected.len()).unwrap(), expected);
            sending.join().unwrap().unwrap();
            client.send("more");
            assert_eq!(client.wire.read_exactly(4).unwrap(), b"MORE");
            client.wire.finish().unwrap();
            assert_eq!(client.read_rest(), b"", "its end comes back");
            let record =
                limpet.record_where("the tunnel", |record| record.text("listener") == name);
            assert_eq!((record.number("status"), record.number("target_status")), (101.0, 200.0));
            assert!(record.flag("upgraded"));
        }
    }
}

#[test]
fn a_client_of_http2_is_asked_for_by_the_same_words() {
    let target = target(Http2Options::default());
    let limpet = start(&target);
    play(async {
        for name in ["clear", "secure"] {
            let client = match name {
                "clear" => Http2::connect(limpet.address_of(name)).await,
                _ => Http2::connect_tls(limpet.address_of(name)).await,
            };
            let (status, fields, mut receive, mut send) = open(&client, "/chat?room=1").await;
            assert_eq!(status, 200);
            assert_eq!(fields["sec-websocket-protocol"], "chat");
            for absent in ["sec-websocket-accept", "upgrade", "connection"] {
                assert!(!fields.contains_key(absent), "{absent}");
            }
            assert_asked(&target);
            let large = vec![b'x'; 300_000];
            let sending = send_some(&mut send, Bytes::from(large.clone()), true);
            let (sent, received) = tokio::join!(sending, content(&mut receive));
            sent.unwrap();
            assert!(received.unwrap().0 == large.to_ascii_uppercase());
            let record =
                limpet.record_where("the tunnel", |record| record.text("listener") == name);
            assert_eq!((record.number("status"), record.number("target_status")), (200.0, 200.0));
            assert!(record.flag("upgraded"));
        }
    });
}

#[test]
fn what_a_target_refuses_is_a_response() {
    let target = target(Http2Options::default());
    let limpet = start(&target);
    let mut client = limpet.client_of("clear");
    let response = client.send(ask("/closed")).response();
    assert_eq!((response.status, response.text()), (403, "not for you".into()));
    assert_eq!(client.get("/next").text(), "plain");
    play(async {
        let client = Http2::connect(limpet.address_of("clear")).await;
        let (status, _, mut receive, _send) = open(&client, "/closed").await;
        assert_eq!(status, 403);
        assert_eq!(content(&mut receive).await.unwrap().0, b"not for you");
        assert_eq!(client.get("/next", &[]).await.content, b"plain");
    });
}

#[test]
fn a_target_that_opens_no_tunnels_is_asked_for_none() {
    let target = target(Http2Options { tunnels: false, ..Http2Options::default() });
    let limpet = start(&target);
    // The first comes before the target's SETTINGS.
    for _ in 0..2 {
        let mut client = limpet.client_of("clear");
        assert_eq!(client.send(ask("/chat?room=1")).response().status, 502);
        let record = limpet.record_where("a refusal", |record| record.number("status") == 502.0);
        assert_eq!(record.text("code"), "no_tunnels");
        assert_eq!(client.get("/next").text(), "plain");
    }
    play(async {
        let client = Http2::connect(limpet.address_of("clear")).await;
        assert_eq!(open(&client, "/chat?room=1").await.0, 502);
        assert_eq!(client.get("/next", &[]).await.content, b"plain");
    });
    assert!(target.requests().iter().all(|seen| seen.method == "GET"));
}

#[test]
fn what_is_no_handshake_goes_on_as_a_request() {
    let target = target(Http2Options::default());
    let limpet = start(&target);
    let whole = ask("/chat?room=1");
    for other in [
        whole.replace("WebSocket\r\nSec", "h3\r\nSec"),
        whole.replace(KEY, "dGhlIHNhbXBsZSBub25jZQ"),
        whole.replace(KEY, "****************========"),
        whole.replace(&format!("Sec-WebSocket-Key: {KEY}\r\n"), ""),
        whole.replace("Version: 13", &format!("Key: {KEY}")),
        whole.replace("GET", "POST").replace("\r\n\r\n", "\r\nContent-Length: 1\r\n\r\nx"),
    ] {
        let mut client = limpet.client_of("clear");
        let response = client.send(&other).response();
        assert_eq!((response.status, response.text()), (200, "plain".into()), "{other}");
        assert_eq!(target.last_request().protocol, "");
    }
}
