//! Content and trailers in both directions, and messages without any.

use axum::http::{HeaderMap, HeaderValue, Method};
use bytes::Bytes;

use super::{both, clear};
use crate::support::http2::{Http2, answer, content, play, send};
use crate::support::{Framing, Target, config};

/// Bytes that differ from place to place.
fn pattern(length: usize) -> Vec<u8> {
    (0..length).map(|at| (at * 31 % 251) as u8).collect()
}

/// A target that sends back what it is sent.
fn mirror() -> Target {
    Target::answering(|request| {
        let length = request.content.len();
        let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n");
        [head.as_bytes(), &request.content].concat()
    })
}

#[test]
fn megabytes_go_both_ways_unchanged() {
    let target = mirror();
    let limpet = both().serving(&target).start();
    play(async {
        for (name, is_secure) in [("clear", false), ("secure", true)] {
            let client = match is_secure {
                false => Http2::connect(limpet.address_of(name)).await,
                true => Http2::connect_tls(limpet.address_of(name)).await,
            };
            for length in [1, 16_384, 65_536, 3_000_000] {
                let answer = client.post("/", pattern(length)).await;
                assert!(answer.content == pattern(length), "{name} {length}");
            }
        }
    });
    assert!(target.requests().iter().all(|request| request.framing == Framing::Chunked));
}

#[test]
fn content_of_a_known_length_keeps_it() {
    let target = mirror();
    let limpet = config().listener(clear("web")).serving(&target).start();
    play(async {
        let client = Http2::connect(limpet.address()).await;
        let fields = [("content-length", "5")];
        let (response, stream) = client.begin(Method::PUT, "/", &fields, false).await;
        send(stream, Bytes::from_static(b"12345"), None).await.unwrap();
        assert_eq!(answer(response).await.unwrap().content, b"12345");
    });
    assert_eq!(target.last_request().framing, Framing::Length);
}

#[test]
fn trailers_go_both_ways() {
    let target = Target::scripted(|connection| {
        while let Some(request) = connection.next_request()? {
            let sum = request.trailers.one("x-sum").unwrap_or("none").to_owned();
            let response = format!(
                "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nX-Back: {sum}\r\n\r\n"
            );
            connection.send(response.as_bytes())?;
        }
        Ok(())
    });
    let limpet = config().listener(clear("web")).serving(&target).start();
    play(async {
        let client = Http2::connect(limpet.address()).await;
        let (response, stream) =
            client.begin(Method::POST, "/", &[("te", "trailers")], false).await;
        let mut trailers = HeaderMap::new();
        trailers.insert("x-sum", HeaderValue::from_static("42"));
        send(stream, Bytes::from_static(b"content"), Some(trailers)).await.unwrap();
        let answer = answer(response).await.unwrap();
        assert_eq!(answer.content, b"abc");
        assert_eq!(answer.trailers.unwrap().get("x-back").unwrap(), "42");
        assert!(answer.fields.get("transfer-encoding").is_none());
    });
}

#[test]
fn messages_without_content_have_none() {
    let target = Target::answering(|request| match &*request.target {
        "/204" => b"HTTP/1.1 204 No Content\r\n\r\n".to_vec(),
        "/304" => b"HTTP/1.1 304 Not Modified\r\nETag: \"x\"\r\nContent-Length: 7\r\n\r\n".to_vec(),
        "/empty" => b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n".to_vec(),
        _ => b"HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\n".to_vec(),
    });
    let limpet = config().listener(clear("web")).serving(&target).start();
    play(async {
        let client = Http2::connect(limpet.address()).await;
        for (method, path, status, length) in [
            (Method::GET, "/204", 204, ""),
            (Method::GET, "/304", 304, "7"),
            (Method::GET, "/empty", 200, "0"),
            (Method::HEAD, "/head", 200, "7"),
        ] {
            let (response, _) = client.begin(method, path, &[], true).await;
            let answer = answer(response).await.unwrap();
            assert_eq!((answer.status, answer.field("content-length")), (status, length), "{path}");
            assert_eq!(answer.content, b"");
        }
    });
    assert!(target.requests().iter().all(|request| request.framing == Framing::None));
}

#[test]
fn interim_responses_come_before_the_final_one() {
    let target = Target::answering(|_| {
        b"HTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
            .to_vec()
    });
    let limpet = config().listener(clear("web")).serving(&target).start();
    play(async {
        let client = Http2::connect(limpet.address()).await;
        assert_eq!(client.get("/", &[]).await.content, b"ok");
    });
}

#[test]
fn a_stream_that_is_not_read_holds_up_no_other() {
    let large = pattern(1 << 20);
    let body = large.clone();
    let target = Target::answering(move |request| {
        let content = if request.target == "/large" { &body[..] } else { b"small" };
        let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", content.len());
        [head.as_bytes(), content].concat()
    });
    let limpet = config().listener(clear("web")).serving(&target).start();
    play(async {
        let client = Http2::connect(limpet.address()).await;
        let (response, _) = client.begin(Method::GET, "/large", &[], true).await;
        let mut slow = response.await.unwrap().into_body();
        for _ in 0..50 {
            assert_eq!(client.get("/small", &[]).await.content, b"small");
        }
        assert!(content(&mut slow).await.unwrap().0 == large);
    });
}
