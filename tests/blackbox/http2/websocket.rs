//! WebSocket on a stream of HTTP/2 (RFC 8441), in front of targets of HTTP/1.1.

use aws_lc_rs::digest::{SHA1_FOR_LEGACY_USE_ONLY, digest};
use axum::http::{Method, Request, Version};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use h2::ext::Protocol;
use h2::{RecvStream, SendStream};

use super::{app, both, clear};
use crate::support::http2::{Http2, play};
use crate::support::{Config, Target, config};

/// What a target makes of a handshake.
#[derive(Clone, Copy)]
enum Does {
    Switch,
    /// With a proof that belongs to another key.
    SwitchWrongly,
    /// As if it did not know upgrades.
    Answer(u16),
}

/// The proof of RFC 6455 §4.2.2.
fn accept(key: &str) -> String {
    let text = format!("{key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11");
    STANDARD.encode(digest(&SHA1_FOR_LEGACY_USE_ONLY, text.as_bytes()))
}

/// A target that echoes what comes behind its handshake, in capitals.
fn target(does: Does) -> Target {
    Target::scripted(move |connection| {
        while let Some(request) = connection.next_head()? {
            let key = request.fields.one("sec-websocket-key").unwrap_or_default().to_owned();
            let proof = match does {
                Does::Switch => accept(&key),
                Does::SwitchWrongly => accept("another"),
                Does::Answer(status) => {
                    let answer = format!("HTTP/1.1 {status} X\r\nContent-Length: 2\r\n\r\nno");
                    connection.send(answer.as_bytes())?;
                    continue;
                }
            };
            let head = format!(
                "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\
                 Sec-WebSocket-Accept: {proof}\r\nSec-WebSocket-Protocol: chat\r\n\r\nhello "
            );
            connection.send(head.as_bytes())?;
            loop {
                let bytes = connection.read_some()?;
                if bytes.is_empty() {
                    return Ok(());
                }
                connection.send(&bytes.to_ascii_uppercase())?;
            }
        }
        Ok(())
    })
}

/// Asks for a tunnel; the status, and both directions.
async fn open(client: &Http2) -> (u16, RecvStream, SendStream<Bytes>) {
    let mut request = Request::builder()
        .method(Method::CONNECT)
        .uri("http://limpet.test/chat?room=1")
        .version(Version::HTTP_2)
        .header("sec-websocket-version", "13")
        // Means nothing here: the target is asked with limpet's own.
        .header("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ==")
        .header("sec-websocket-protocol", "chat")
        .body(())
        .unwrap();
    request.extensions_mut().insert(Protocol::from_static("websocket"));
    let mut send = client.send.clone().ready().await.unwrap();
    let (response, stream) = send.send_request(request, false).unwrap();
    let response = response.await.unwrap();
    assert!(response.headers().get("sec-websocket-accept").is_none());
    let is_open = response.status() == 200;
    assert_eq!(response.headers().contains_key("sec-websocket-protocol"), is_open);
    (response.status().as_u16(), response.into_body(), stream)
}

fn serving(target: &Target) -> Config {
    config().listener(clear("web")).group(app().sticky().target("a", target))
}

#[test]
fn bytes_go_both_ways_until_either_side_ends() {
    let target = target(Does::Switch);
    let limpet = both().group(app().sticky().target("a", &target)).start();
    play(async {
        for name in ["clear", "secure"] {
            let client = match name {
                "clear" => Http2::connect(limpet.address_of(name)).await,
                _ => Http2::connect_tls(limpet.address_of(name)).await,
            };
            let (status, mut receive, mut send) = open(&client).await;
            assert_eq!(status, 200);
            let mut all = Vec::new();
            for word in ["one ", "two ", "three"] {
                send.send_data(Bytes::from(word), false).unwrap();
                while !all.ends_with(word.to_ascii_uppercase().as_bytes()) {
                    let bytes = receive.data().await.unwrap().unwrap();
                    receive.flow_control().release_capacity(bytes.len()).unwrap();
                    all.extend_from_slice(&bytes);
                }
            }
            assert_eq!(all, b"hello ONE TWO THREE");
            send.send_data(Bytes::new(), true).unwrap();
            while let Some(bytes) = receive.data().await {
                assert!(bytes.expect("a clean end").is_empty(), "its end comes back");
            }
            assert_eq!(
                client.get("/still", &[]).await.status,
                502,
                "the target serves tunnels only"
            );
        }
    });
    let request = target.requests().into_iter().next().unwrap();
    assert_eq!((request.method.as_str(), request.target.as_str()), ("GET", "/chat?room=1"));
    assert_eq!(request.fields.one("upgrade"), Some("websocket"));
    assert_eq!(request.fields.one("sec-websocket-version"), Some("13"));
    let keys = request.fields.all("sec-websocket-key");
    assert!(keys.len() == 1 && keys[0] != "dGhlIHNhbXBsZSBub25jZQ==", "{keys:?}");
    let record =
        limpet.record_where("the tunnel", |record| record.text("path").starts_with("/chat"));
    assert!(record.flag("upgraded") && record.text("version") == "HTTP/2.0");
}

#[test]
fn a_tunnel_that_is_not_opened_is_no_success() {
    for (does, status) in
        [(Does::SwitchWrongly, 502), (Does::Answer(200), 502), (Does::Answer(403), 403)]
    {
        let target = target(does);
        let limpet = serving(&target).start();
        play(async {
            let client = Http2::connect(limpet.address()).await;
            assert_eq!(open(&client).await.0, status);
        });
    }
}

#[test]
fn a_group_that_allows_no_upgrades_opens_no_tunnel() {
    let target = target(Does::Switch);
    let limpet = config()
        .listener(clear("web"))
        .group(app().set("upgrades", false).target("a", &target))
        .start();
    play(async {
        let client = Http2::connect(limpet.address()).await;
        assert_eq!(open(&client).await.0, 501);
    });
    assert_eq!(target.request_count(), 0);
}
