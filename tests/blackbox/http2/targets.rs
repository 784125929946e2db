//! Targets that speak HTTP/2, asked by clients of either version.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use axum::http::{HeaderMap, HeaderValue, Method, Response};
use bytes::Bytes;
use h2::Reason;

use crate::support::http2::{Http2, answer as answer_of, both, clear, play, send};
use crate::support::http2_target::{Http2Options, Http2Target, Seen, Then, answer};
use crate::support::{Config, Limpet, Section, Target, config, group, poll};

/// A target that tells what it has seen, and sends content back.
fn echo(id: &'static str, seen: &Seen) -> Then {
    match seen.path.as_str() {
        "/204" => answer(204, ""),
        "/304" => answer(304, ""),
        "/mirror" => {
            let mut trailers = HeaderMap::new();
            if let Some(sum) = seen.trailers.get("x-sum") {
                trailers.insert("x-back", sum.clone());
            }
            let head = Response::builder().status(200).body(()).unwrap();
            Then::Answer(head, seen.content.clone(), trailers)
        }
        _ if seen.method == "HEAD" => {
            let head = Response::builder().header("content-length", "7").body(()).unwrap();
            Then::Answer(head, Vec::new(), HeaderMap::new())
        }
        _ => answer(200, id),
    }
}

fn app() -> Section {
    group("app").set("protocol_version", "http2")
}

fn one(target: &Http2Target) -> Config {
    config().listener(clear("web")).group(app().target_at("a", &target.address(), ""))
}

/// Bytes that differ from place to place.
fn pattern(length: usize) -> Vec<u8> {
    (0..length).map(|at| (at * 31 % 251) as u8).collect()
}

/// What both versions of clients must get from such a target.
fn exchange(limpet: &Limpet, target: &Http2Target, scheme: &str) {
    let mut first = limpet.client_of("clear");
    let response = first.get_with("/a?b=c", "Cookie: x=1\r\nX-Own: 2\r\n");
    assert_eq!((response.status, response.text()), (200, "a".into()));
    let seen = target.last_request();
    assert_eq!((seen.method.as_str(), seen.path.as_str()), ("GET", "/a?b=c"));
    assert_eq!(
        (seen.scheme.as_str(), seen.field("x-own"), seen.field("cookie")),
        (scheme, "2", "x=1")
    );
    assert!(seen.fields.get("host").is_none() && seen.fields.get("connection").is_none());
    assert!(!seen.field("x-forwarded-for").is_empty());
    for (path, status) in [("/204", 204), ("/304", 304)] {
        assert_eq!(first.get(path).status, status);
    }
    first.send("HEAD / HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(first.response_to("HEAD").fields.one("content-length"), Some("7"));
    let large = pattern(1_000_000);
    assert_eq!(first.post("/mirror", &large).content, large);
    first.send(
        "POST /mirror HTTP/1.1\r\nHost: a\r\nTE: trailers\r\nConnection: TE\r\n\
         Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nX-Sum: 9\r\n\r\n",
    );
    let response = first.response();
    assert_eq!((response.text(), response.trailers.one("x-back")), ("abc".into(), Some("9")));
    play(async {
        let second = Http2::connect(limpet.address_of("clear")).await;
        let answered = second.get("/a", &[("x-own", "3"), ("te", "trailers")]).await;
        assert_eq!((answered.status, answered.content.as_slice()), (200, &b"a"[..]));
        assert_eq!(target.last_request().field("te"), "trailers");
        assert!(second.post("/mirror", large.clone()).await.content == large);
        let (response, stream) = second.begin(Method::POST, "/mirror", &[], false).await;
        let mut trailers = HeaderMap::new();
        trailers.insert("x-sum", HeaderValue::from_static("42"));
        send(stream, Bytes::from_static(b"content"), Some(trailers)).await.unwrap();
        let answered = answer_of(response).await.unwrap();
        assert_eq!(answered.content, b"content");
        assert_eq!(answered.trailers.unwrap().get("x-back").unwrap(), "42");
    });
}

#[test]
fn clients_of_either_version_are_served_in_clear() {
    let target = Http2Target::start(|seen| echo("a", seen));
    let limpet = both().group(app().target_at("a", &target.address(), "")).start();
    exchange(&limpet, &target, "http");
    assert_eq!(target.connections(), 1, "one connection carries all of it");
    let record = limpet.record_where("of a stream", |record| record.text("version") == "HTTP/2.0");
    assert_eq!(record.text("target_protocol_version"), "http2");
    assert!(record.number("stream") >= 1.0);
}

#[test]
fn clients_of_either_version_are_served_under_tls() {
    let options = Http2Options { alpn: Some(b"h2"), ..Http2Options::default() };
    let target = Http2Target::start_with(options, |seen| echo("a", seen));
    let app = app().set("protocol", "https").set("tls.verify", "none");
    let limpet = both().group(app.target_at("a", &target.address(), "")).start();
    exchange(&limpet, &target, "https");
}

#[test]
fn a_session_stays_with_its_target() {
    let targets = ["a", "b", "c"].map(|id| Http2Target::start(move |seen| echo(id, seen)));
    let mut app = app().sticky();
    for (id, target) in ["a", "b", "c"].into_iter().zip(&targets) {
        app = app.target_at(id, &target.address(), "");
    }
    let limpet = config().listener(clear("web")).group(app).start();
    play(async {
        let client = Http2::connect(limpet.address()).await;
        for _ in 0..5 {
            let first = client.get("/", &[]).await;
            let cookie = first.field("set-cookie").split(';').next().unwrap().to_owned();
            for _ in 0..4 {
                let next = client.get("/", &[("cookie", &cookie)]).await;
                assert_eq!(next.content, first.content);
            }
        }
    });
}

#[test]
fn parallel_requests_share_a_connection_and_open_others_when_it_is_full() {
    let target =
        Http2Target::start(
            |seen| {
                if seen.path == "/held" { Then::Nothing } else { answer(200, "a") }
            },
        );
    let app = app().set("pool.streams_per_connection", 2).set("pool.connections_max", 3);
    let app = app.set("timeouts.connect", "300ms").set("ejection.errors", 2);
    let config = config().process("shards", 1).listener(clear("web"));
    let limpet = config.group(app.target_at("a", &target.address(), "")).start();
    play(async {
        let client = Http2::connect(limpet.address()).await;
        let mut held = Vec::new();
        for _ in 0..6 {
            held.push(client.begin(Method::GET, "/held", &[], true).await);
        }
        assert!(poll(|| (target.requests().len() == 6).then_some(())).is_some());
        assert_eq!(target.connections(), 3);
        for _ in 0..6 {
            let full = client.get("/", &[]).await.status;
            assert_eq!(full, 503, "no stream within connect's time, which is limpet's limit");
        }
        let (response, mut stream) = held.pop().unwrap();
        stream.send_reset(Reason::CANCEL);
        drop(response);
        assert_eq!(client.get("/", &[]).await.status, 200, "a place is free again");
        assert_eq!(target.connections(), 3);
    });
    let record = limpet.record_where("of a full target", |record| record.number("status") == 503.0);
    assert_eq!(record.text("code"), "queue_timeout");
}

#[test]
fn a_target_that_ends_its_connections_loses_no_request() {
    let options = Http2Options { requests: 7, ..Http2Options::default() };
    let target = Http2Target::start_with(options, |_| answer(200, "a"));
    let limpet = one(&target).start();
    play(async {
        let client = Http2::connect(limpet.address()).await;
        for _ in 0..20 {
            let mut responses = Vec::new();
            for _ in 0..10 {
                responses.push(client.begin(Method::POST, "/", &[], true).await.0);
            }
            for response in responses {
                assert_eq!(answer_of(response).await.unwrap().status, 200);
            }
        }
    });
    assert!(target.connections() > 3, "{}", target.connections());
}

#[test]
fn a_refused_stream_is_asked_for_again_whatever_its_method() {
    let count = Arc::new(AtomicUsize::new(0));
    let refusals = Arc::clone(&count);
    let target = Http2Target::start(move |seen| {
        let is_first = refusals.fetch_add(1, Ordering::SeqCst) == 0;
        match seen.path.as_str() {
            "/once" if is_first => Then::Reset(Reason::REFUSED_STREAM),
            "/always" => Then::Reset(Reason::REFUSED_STREAM),
            _ => answer(200, "a"),
        }
    });
    let limpet = one(&target).start();
    play(async {
        let client = Http2::connect(limpet.address()).await;
        let (response, _) = client.begin(Method::POST, "/once", &[], true).await;
        assert_eq!(answer_of(response).await.unwrap().status, 200);
        assert_eq!(client.get("/always", &[]).await.status, 502);
    });
    let record = limpet.record_where("the refused one", |record| record.text("path") == "/always");
    assert_eq!(record.text("code"), "target_unprocessed");
}

#[test]
fn a_response_that_is_reset_is_a_failure_and_the_connection_goes_on() {
    let target = Http2Target::start(|seen| match seen.path.as_str() {
        "/reset" => Then::Reset(Reason::INTERNAL_ERROR),
        "/half" => Then::Half,
        _ => answer(200, "a"),
    });
    let limpet = one(&target).start();
    play(async {
        let client = Http2::connect(limpet.address()).await;
        let (response, _) = client.begin(Method::POST, "/reset", &[], true).await;
        assert_eq!(answer_of(response).await.unwrap().status, 502);
        let (response, _) = client.begin(Method::GET, "/half", &[], true).await;
        assert!(answer_of(response).await.is_err());
        assert_eq!(client.get("/", &[]).await.status, 200);
    });
    let code = |path: &str| {
        let record = limpet.record_where(path, |record| record.text("path") == path);
        record.text("code").to_owned()
    };
    assert_eq!(
        (code("/reset"), code("/half")),
        ("target_reset".into(), "target_content_reset".into())
    );
    assert_eq!(target.connections(), 1);
}

#[test]
fn a_client_that_goes_away_resets_its_stream_alone() {
    let target =
        Http2Target::start(
            |seen| {
                if seen.path == "/held" { Then::Nothing } else { answer(200, "a") }
            },
        );
    let limpet = one(&target).start();
    let mut gone = limpet.client();
    gone.send("GET /held HTTP/1.1\r\nHost: a\r\n\r\n");
    assert!(poll(|| (target.requests().len() == 1).then_some(())).is_some());
    drop(gone);
    let record = limpet.record_where("it", |record| record.text("path") == "/held");
    assert_eq!(record.text("code"), "client_gone");
    assert_eq!(limpet.get("/").status, 200);
    assert_eq!(target.connections(), 1);
}

#[test]
fn a_target_that_does_not_speak_it_is_a_failure() {
    let first = Target::echo("a");
    let limpet = config().listener(clear("web")).group(app().target("a", &first)).start();
    assert_eq!(limpet.get("/").status, 502);

    let options = Http2Options { alpn: Some(b"http/1.1"), ..Http2Options::default() };
    let second = Http2Target::start_with(options, |_| answer(200, "a"));
    let app = app().set("protocol", "https").set("tls.verify", "none");
    let limpet =
        config().listener(clear("web")).group(app.target_at("a", &second.address(), "")).start();
    assert_eq!(limpet.get("/").status, 502);
    let record = limpet.record_where("it", |_| true);
    assert!(matches!(record.text("code"), "no_protocol" | "alert_received"), "{record:?}");
}

#[test]
fn checks_speak_it_as_well() {
    let target = Http2Target::start(|seen| match seen.path.as_str() {
        "/health" => answer(200, "up and well"),
        _ => answer(200, "a"),
    });
    let app = app()
        .set("health_check.type", "http")
        .set("health_check.path", "/health")
        .set("health_check.body", "well")
        .set("health_check.interval", "1s");
    let limpet =
        config().listener(clear("web")).group(app.target_at("a", &target.address(), "")).start();
    let is_check = |seen: &Seen| seen.path == "/health";
    let check = poll(|| target.requests().into_iter().find(is_check)).expect("a check");
    assert!(poll(|| (limpet.get("/").status == 200).then_some(())).is_some());
    assert_eq!(check.field("user-agent"), "limpet-health-check");
}
