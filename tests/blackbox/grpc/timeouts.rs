//! `grpc-timeout` is the deadline of a whole call.

use std::time::{Duration, Instant};

use h2::Reason;

use super::*;
use crate::support::http2::play;
use crate::support::http2_target::Http2Options;
use crate::support::{Limpet, config, poll};

/// A target that never answers `/never/…`, and half of `/half/…`.
fn slow() -> Http2Target {
    Http2Target::start(|seen| match seen.path.as_str() {
        "/never/x" => Then::Nothing,
        "/half/x" => Then::Half,
        _ => named("a", seen),
    })
}

fn before(target: &Http2Target, settings: &[(&str, toml::Value)]) -> Limpet {
    let mut app = app().target_at("a", &target.address(), "");
    for (key, value) in settings {
        app = app.set(key, value.clone());
    }
    config().listener(clear("web")).group(app).start()
}

/// A call that must be told that its time is up.
async fn late(client: &Http2, path: &str, timeout: &str) -> Duration {
    let began = Instant::now();
    let answered = call(client, path, &[("grpc-timeout", timeout)]).await.unwrap();
    assert_eq!((answered.status, answered.field("grpc-status")), (200, "4"), "{path}");
    assert_eq!(answered.field("grpc-message"), "limpet: grpc_timeout");
    began.elapsed()
}

#[test]
fn a_call_whose_time_passes_is_told_so_and_its_targets_stream_is_reset() {
    let target = slow();
    let limpet = before(&target, &[]);
    play(async {
        let client = Http2::connect(limpet.address()).await;
        let took = late(&client, "/never/x", "200m").await;
        assert!(took >= Duration::from_millis(200), "{took:?}");
        // Connection and target go on.
        let answered = call(&client, "/a.B/C", &[("grpc-timeout", "1H")]).await.unwrap();
        assert_eq!(status(&answered), "0");
    });
    let [never, other] = target.requests().try_into().unwrap();
    assert_eq!((never.field("grpc-timeout"), other.field("grpc-timeout")), ("200m", "1H"));
    assert_eq!(never.connection, other.connection);
    let resets = poll(|| Some(target.resets()).filter(|resets| !resets.is_empty()));
    assert_eq!(resets.unwrap(), [Reason::CANCEL]);
    let record = limpet.record_where("the late one", |record| record.text("path") == "/never/x");
    assert_eq!((record.number("status"), record.number("grpc_status")), (200.0, 4.0));
    assert_eq!((record.termination(), record.text("code")), ("CHT", "grpc_timeout"));
    assert_eq!(record.number("retries"), 0.0);
}

#[test]
fn the_time_passes_while_a_call_waits_for_a_place() {
    let target = slow();
    let settings = [("connection_limit", 1.into()), ("queue_timeout", "30s".into())];
    let limpet = before(&target, &settings);
    play(async {
        let client = Http2::connect(limpet.address()).await;
        let fields = [TYPE, TRAILERS];
        let (_response, _stream) = client.begin(Method::POST, "/never/x", &fields, true).await;
        let is_there = || (target.requests().len() == 1).then_some(());
        tokio::task::block_in_place(|| poll(is_there)).expect("it is at its target");
        late(&client, "/queued/x", "200m").await;
    });
    let record = limpet.record_where("the one", |record| record.text("path") == "/queued/x");
    assert_eq!((record.termination(), record.text("code")), ("CQT", "grpc_timeout"));
    assert_eq!(target.requests().len(), 1, "it never got there");
}

#[test]
fn the_time_passes_while_a_connection_is_made() {
    // It takes connections and shakes no hand.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let app = app()
        .set("protocol", "https")
        .set("tls.verify", "none")
        .set("timeouts.handshake", "30s")
        .target_at("a", &silent.local_addr().unwrap().to_string(), "");
    let limpet = config().listener(clear("web")).group(app).start();
    play(async {
        let client = Http2::connect(limpet.address()).await;
        late(&client, "/a.B/C", "200m").await;
    });
    let record = limpet.record(1);
    assert_eq!((record.termination(), record.text("code")), ("CCT", "grpc_timeout"));
}

#[test]
fn a_response_that_has_begun_is_reset() {
    let options = Http2Options { mirrors: true, ..Http2Options::default() };
    let target = Http2Target::start_with(options, |_| Then::Nothing);
    let limpet = before(&target, &[]);
    play(async {
        let client = Http2::connect(limpet.address()).await;
        let fields = [TYPE, TRAILERS, ("grpc-timeout", "300m")];
        let (response, mut stream) = client.begin(Method::POST, "/mirror/x", &fields, false).await;
        stream.send_data(Bytes::from(message(b"abc")), false).unwrap();
        let mut body = response.await.unwrap().into_body();
        assert_eq!(body.data().await.unwrap().unwrap(), message(b"abc"));
        let reset = body.data().await.unwrap().unwrap_err();
        assert_eq!(reset.reason(), Some(Reason::CANCEL));
        assert_eq!(status(&call(&client, "/mirror/y", &[]).await.unwrap()), "0");
    });
    let record = limpet.record_where("the late one", |record| record.text("path") == "/mirror/x");
    assert_eq!((record.termination(), record.text("code")), ("CDT", "grpc_timeout"));
    assert_eq!(record.number("status"), 200.0);
}

#[test]
fn the_time_passes_while_the_client_takes_nothing() {
    let target = Http2Target::start(|_| ended(vec![7; 4_000_000], "0"));
    let limpet = before(&target, &[]);
    play(async {
        let client = Http2::connect(limpet.address()).await;
        let fields = [TYPE, TRAILERS, ("grpc-timeout", "300m")];
        let (response, _stream) = client.begin(Method::POST, "/large/x", &fields, true).await;
        // Nobody opens a window for its content.
        let _body = response.await.unwrap().into_body();
        let record = tokio::task::block_in_place(|| limpet.record(1));
        assert_eq!((record.termination(), record.text("code")), ("CDT", "grpc_timeout"));
        assert!(record.number("content_bytes_out") > 0.0);
    });
}

#[test]
fn a_timeout_that_is_none_is_refused_and_one_that_has_passed_is_late_at_once() {
    let target = slow();
    let limpet = before(&target, &[]);
    play(async {
        let client = Http2::connect(limpet.address()).await;
        for timeout in ["1", "S", "1s", "-1S", "123456789S", "1.5S", ""] {
            let answered = call(&client, "/bad/x", &[("grpc-timeout", timeout)]).await.unwrap();
            assert_eq!((answered.status, status(&answered)), (200, "13"), "{timeout}");
            assert_eq!(answered.field("grpc-message"), "limpet: bad_grpc_timeout");
        }
        let twice = [("grpc-timeout", "1S"), ("grpc-timeout", "2S")];
        assert_eq!(status(&call(&client, "/bad/x", &twice).await.unwrap()), "13");
        late(&client, "/never/x", "0n").await;
    });
    let record = limpet.record_where("a bad one", |record| record.text("path") == "/bad/x");
    assert_eq!((record.termination(), record.text("code")), ("CBI", "bad_grpc_timeout"));
    assert!(target.requests().is_empty(), "no target has seen any of it");
}

#[test]
fn a_call_to_targets_of_http1_ends_in_time_as_well() {
    let target = crate::support::Target::scripted(|connection| {
        connection.next_request()?;
        // Until limpet closes it.
        connection.next_request().map(drop)
    });
    let app = group("app").target("a", &target);
    let limpet = config().listener(clear("web")).group(app).start();
    play(async {
        let client = Http2::connect(limpet.address()).await;
        late(&client, "/never/x", "200m").await;
    });
}
