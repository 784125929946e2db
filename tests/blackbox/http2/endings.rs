//! How streams and connections end.

use std::time::Duration;

use axum::http::Method;
use h2::Reason;

use super::clear;
use crate::support::http2::{
    ACK, END_HEADERS, END_STREAM, HEADERS, Http2, PREFACE, SETTINGS, answer, block, frame, play,
};
use crate::support::{Target, config, pause};

#[test]
fn an_early_response_ends_its_stream_and_the_connection_goes_on() {
    let target = Target::scripted(|connection| {
        while let Some(request) = connection.next_head()? {
            let is_early = request.target == "/early";
            let status = if is_early { "413 Content Too Large" } else { "200 OK" };
            let head = format!("HTTP/1.1 {status}\r\nContent-Length: 2\r\n\r\nno");
            connection.send(head.as_bytes())?;
            if is_early {
                return Ok(());
            }
        }
        Ok(())
    });
    let limpet = config().listener(clear("web")).serving(&target).start();
    play(async {
        let client = Http2::connect(limpet.address()).await;
        // Its content never ends.
        let (response, stream) = client.begin(Method::POST, "/early", &[], false).await;
        let early = answer(response).await.unwrap();
        assert_eq!((early.status, &*early.content), (413, &b"no"[..]));
        drop(stream);
        assert_eq!(client.get("/", &[]).await.status, 200);
    });
}

#[test]
fn a_stream_that_its_client_resets_gives_its_place_back() {
    let target = Target::scripted(|connection| {
        while let Some(request) = connection.next_request()? {
            if request.target != "/never" {
                connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")?;
            }
        }
        Ok(())
    });
    let limpet = config().listener(clear("web")).serving(&target).start();
    play(async {
        let client = Http2::connect(limpet.address()).await;
        let (response, mut stream) = client.begin(Method::GET, "/never", &[], true).await;
        target.wait_for_requests(1);
        stream.send_reset(Reason::CANCEL);
        drop(response);
        assert_eq!(client.get("/", &[]).await.status, 200);
    });
    let record = limpet.record_where("the reset one", |record| record.text("path") == "/never");
    assert_eq!(record.text("code"), "client_gone");
}

#[test]
fn a_client_that_ends_what_it_sends_gets_what_its_window_takes_and_is_not_waited_for() {
    let target = Target::answering(|request| match &*request.target {
        "/large" => {
            let head = b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n";
            [&head[..], &[b'x'; 100_000]].concat()
        }
        _ => b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nsmall".to_vec(),
    });
    let limpet = config().listener(clear("web")).serving(&target).start();
    for (path, termination) in [("/small", "---"), ("/large", "CDC")] {
        let fields =
            [(":method", "GET"), (":scheme", "http"), (":path", path), (":authority", "a")];
        let mut client = limpet.client();
        client.send(PREFACE).send(frame(SETTINGS, 0, 0, b"")).send(frame(SETTINGS, ACK, 0, b""));
        client.send(frame(HEADERS, END_STREAM | END_HEADERS, 1, &block(&fields)));
        client.wire.finish().unwrap();
        // Nobody would open a window after that.
        let received = client.read_rest();
        assert!(received.ends_with(b"small") || received.len() > 65_535, "{path}");
        let record = limpet.record_where(path, |record| record.text("path") == path);
        assert_eq!(record.termination(), termination);
    }
}

#[test]
fn a_connection_that_is_silent_for_long_is_told_goodbye() {
    let target = Target::echo("a");
    let web = clear("web").set("timeouts.keep_alive", "1s");
    let limpet = config().listener(web).serving(&target).start();
    play(async {
        let client = Http2::connect(limpet.address()).await;
        assert_eq!(client.get("/", &[]).await.status, 200);
        client.connection.await.unwrap().expect("a clean end");
    });
}

#[test]
fn a_stop_lets_streams_end_and_says_goodbye() {
    let target = Target::scripted(|connection| {
        while connection.next_request()?.is_some() {
            pause(Duration::from_millis(500));
            connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nlate")?;
        }
        Ok(())
    });
    let mut limpet = config().listener(clear("web")).serving(&target).start();
    play(async {
        let client = Http2::connect(limpet.address()).await;
        let (response, _) = client.begin(Method::GET, "/", &[], true).await;
        target.wait_for_requests(1);
        limpet.signal(libc::SIGTERM);
        assert_eq!(answer(response).await.unwrap().content, b"late");
        client.connection.await.unwrap().expect("a clean end");
    });
    assert!(limpet.wait().success());
}

#[test]
fn content_beyond_the_listeners_limit_is_refused() {
    let target = Target::echo("a");
    let web = clear("web").set("limits.content", "10B");
    let limpet = config().listener(web).serving(&target).start();
    play(async {
        let client = Http2::connect(limpet.address()).await;
        assert_eq!(client.post("/", b"0123456789".to_vec()).await.status, 200);
        assert_eq!(client.post("/", b"0123456789a".to_vec()).await.status, 413);
        assert_eq!(client.get("/", &[]).await.status, 200);
    });
}

#[test]
fn a_response_that_its_target_cuts_off_ends_in_an_error() {
    let target = Target::scripted(|connection| {
        if connection.next_request()?.is_some() {
            connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf")?;
        }
        Ok(())
    });
    let limpet = config().listener(clear("web")).serving(&target).start();
    play(async {
        let client = Http2::connect(limpet.address()).await;
        let (response, _) = client.begin(Method::GET, "/", &[], true).await;
        let error = answer(response).await.unwrap_err();
        assert_eq!(error.reason(), Some(Reason::INTERNAL_ERROR), "{error}");
    });
}
