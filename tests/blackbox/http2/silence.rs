//! Streams that say nothing for long: calls of gRPC, and whatever has a response that has begun.

use std::time::Duration;

use axum::http::Method;
use bytes::Bytes;

use super::{app, clear};
use crate::support::http2::{GOAWAY, Http2, answer, content, play};
use crate::support::http2_by_hand as by_hand;
use crate::support::http2_frames::{Frames, PING};
use crate::support::{Limpet, Target, config, group, listener, pause};

/// Longer than `content_idle`, shorter than `stream_idle`.
const PAUSE: Duration = Duration::from_millis(900);

/// A target that begins its response with the head, and sends chunks of content back; at `/after` its response begins
/// with the first of them, and at `/silent` it never ends.
fn target() -> Target {
    Target::scripted(|connection| {
        let head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
        while let Some(request) = connection.next_head()? {
            let mut is_late = request.target == "/after";
            if !is_late {
                connection.send(head)?;
            }
            if request.target == "/silent" {
                connection.send(b"1\r\na\r\n")?;
            }
            // What it gets is framed as what it sends.
            loop {
                let chunks = connection.read_some()?;
                if chunks.is_empty() {
                    return Ok(());
                }
                if std::mem::take(&mut is_late) {
                    connection.send(head)?;
                }
                connection.send(&chunks)?;
                if chunks.ends_with(b"0\r\n\r\n") {
                    break;
                }
            }
        }
        Ok(())
    })
}

fn start(target: &Target) -> Limpet {
    let web = clear("web")
        .set("timeouts.content_idle", "300ms")
        .set("timeouts.stream_idle", "3s")
        .set("timeouts.content_minimum_rate", "1KiB");
    let app = app()
        .set("timeouts.content_idle", "300ms")
        .set("timeouts.stream_idle", "3s")
        .target("a", target);
    config().listener(web).group(app).start()
}

#[test]
fn a_client_may_pause_once_its_response_has_begun() {
    let target = target();
    let limpet = start(&target);
    play(async {
        let client = Http2::connect(limpet.address()).await;
        let (response, mut send) = client.begin(Method::POST, "/echo", &[], false).await;
        send.send_data(Bytes::from_static(b"one "), false).unwrap();
        let mut receive = response.await.unwrap().into_body();
        tokio::time::sleep(PAUSE).await;
        send.send_data(Bytes::from_static(b"two "), false).unwrap();
        tokio::time::sleep(PAUSE).await;
        send.send_data(Bytes::from_static(b"three"), true).unwrap();
        assert_eq!(content(&mut receive).await.unwrap().0, b"one two three");
    });
}

#[test]
fn a_call_may_pause_before_that_and_another_request_may_not() {
    let target = target();
    let limpet = start(&target);
    play(async {
        let client = Http2::connect(limpet.address()).await;
        let grpc = &[("content-type", "application/grpc")][..];
        for (fields, status) in [(grpc, 200), (&[], 408)] {
            let (response, mut send) = client.begin(Method::POST, "/after", fields, false).await;
            tokio::time::sleep(PAUSE).await;
            // One that was answered already takes no more.
            let _ = send.send_data(Bytes::from_static(b"late"), true);
            let answer = answer(response).await.unwrap();
            assert_eq!(answer.status, status);
            assert!(status != 200 || answer.content == b"late");
        }
    });
}

#[test]
fn an_upload_that_is_no_longer_wanted_is_not_waited_for() {
    // It says so when the client has been silent for nearly as long as it may before that.
    let target = Target::scripted(|connection| {
        connection.next_head()?;
        pause(Duration::from_millis(150));
        connection.send(b"HTTP/1.1 413 Content Too Large\r\nContent-Length: 2\r\n\r\nno")
    });
    let limpet = start(&target);
    play(async {
        let client = Http2::connect(limpet.address()).await;
        let (response, _send) = client.begin(Method::POST, "/early", &[], false).await;
        assert_eq!(answer(response).await.unwrap().status, 413);
    });
    let record = limpet.record_where("the end", |record| record.text("path") == "/early");
    assert!(record.number("total_us") < 2_000_000.0, "{record:?}");
}

#[test]
fn a_target_that_says_nothing_for_stream_idle_is_given_up() {
    let target = target();
    let limpet = start(&target);
    play(async {
        let client = Http2::connect(limpet.address()).await;
        let (response, _) = client.begin(Method::GET, "/silent", &[], true).await;
        let mut receive = response.await.unwrap().into_body();
        assert_eq!(receive.data().await.unwrap().unwrap(), "a");
        let (waited, end) = (std::time::Instant::now(), receive.data().await);
        assert!(end.is_none_or(|data| data.is_err()), "it does not end well");
        assert!(waited.elapsed() > PAUSE);
    });
    let record = limpet.record_where("the end", |record| record.text("path") == "/silent");
    assert_eq!(record.text("code"), "target_content_timeout");
}

#[test]
fn clients_and_targets_that_answer_no_ping_are_given_up() {
    // Asked after 30 s of silence, they have 10 s for the answer.
    let is_silent = || {
        pause(Duration::from_secs(50));
        Ok(())
    };
    let mute = by_hand::target(&[], move |_, _| is_silent());
    let waits = Target::scripted(move |connection| {
        connection.next_head()?;
        is_silent()
    });
    let patient = |name: &str| group(name).set("timeouts.response", "2m");
    let limpet = config()
        .listener(clear("web").set("forward", "waits"))
        .listener(listener("other").set("forward", "mute"))
        .group(patient("waits").target("a", &waits))
        .group(patient("mute").set("protocol_version", "http2").target("a", &mute))
        .start();
    let mut client = Frames::begin(limpet.client(), &[]);
    client.get(1, "/waits");
    let mut other = limpet.client_of("other");
    other.send("GET /mute HTTP/1.1\r\nHost: limpet.test\r\n\r\n");
    waits.wait_for_requests(1);
    pause(Duration::from_secs(35));
    let frames: Vec<u8> = std::iter::from_fn(|| client.next()).map(|frame| frame.kind).collect();
    assert_eq!(
        frames.iter().filter(|kind| matches!(**kind, PING | GOAWAY)).count(),
        2,
        "{frames:?}"
    );
    client.client.assert_closed();
    assert_eq!(other.response().status, 502);
    let by_path = |path| limpet.record_where("the end", |record| record.text("path") == path);
    let (waited, mute) = (by_path("/waits"), by_path("/mute"));
    assert_eq!(waited.text("code"), "client_gone", "{waited:?}");
    assert_eq!(mute.text("code"), "target_reset", "{mute:?}");
}
