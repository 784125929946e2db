//! Calls pass with their content, their trailers and their status; what limpet itself answers has the form of an answer
//! to a call.

use axum::http::Method;

use super::*;
use crate::support::http2::{both, play};
use crate::support::http2_target::Http2Options;
use crate::support::{Target, config};

#[test]
fn a_call_and_its_status_pass() {
    let target = Http2Target::start(|seen| {
        assert_eq!((seen.method.as_str(), seen.field("te")), ("POST", "trailers"));
        ended(seen.content.clone(), "5")
    });
    for version in ["http2", "grpc"] {
        let app = app().set("protocol_version", version).target_at("a", &target.address(), "");
        let limpet = config().listener(clear("web")).group(app).start();
        play(async {
            let client = Http2::connect(limpet.address()).await;
            let answered = call(&client, "/shop.Cart/Get", &[]).await.unwrap();
            assert_eq!((answered.status, &answered.content), (200, &message(b"abc")));
            assert_eq!(status(&answered), "5");
            let trailers = answered.trailers.unwrap();
            assert_eq!(trailers.get("grpc-message").unwrap(), "no%20such%20thing");
        });
        let record = limpet.record(1);
        assert_eq!((record.number("status"), record.number("grpc_status")), (200.0, 5.0));
        assert_eq!(record.text("target_protocol_version"), version);
    }
}

#[test]
fn calls_pass_under_tls() {
    let options = Http2Options { alpn: Some(b"h2"), ..Http2Options::default() };
    let target = Http2Target::start_with(options, |seen| named("a", seen));
    let app = app().set("protocol", "https").set("tls.verify", "none");
    let limpet = both().group(app.target_at("a", &target.address(), "")).start();
    play(async {
        let client = Http2::connect_tls(limpet.address_of("secure")).await;
        let answered = call(&client, "/shop.Cart/Get", &[]).await.unwrap();
        assert_eq!((status(&answered), &answered.content), ("0", &message(b"abc")));
    });
    let record = limpet.record(1);
    assert_eq!(record.text("target_protocol"), "https");
    assert_eq!(record.text("target_protocol_version"), "grpc");
}

#[test]
fn failures_of_limpets_own_are_statuses_of_grpc() {
    let target = Target::refusing("a");
    let app = group("app").target("a", &target);
    let limpet = config().listener(clear("web")).group(app).with_admin().start();
    play(async {
        let client = Http2::connect(limpet.address()).await;
        let failed = call(&client, "/shop.Cart/Get", &[]).await.unwrap();
        assert_eq!((failed.status, failed.field("grpc-status")), (200, "14"));
        assert_eq!(failed.field("content-type"), "application/grpc");
        assert!(failed.content.is_empty());
        assert_eq!(failed.field("grpc-message"), "limpet: connect_refused");
        let web = client.get("/", &[("content-type", "application/grpc-web")]).await;
        assert!(web.status >= 502 && web.field("grpc-status").is_empty());
    });
    let record = limpet.record_where("the call", |record| record.text("method") == "POST");
    assert_eq!((record.number("status"), record.number("grpc_status")), (200.0, 14.0));
    assert_eq!((record.termination(), record.text("code")), ("TCN", "connect_refused"));
    let metrics = limpet.admin().text("/metrics");
    assert!(metrics.contains("limpet_group_grpc_responses_total{group=\"app\",code=\"14\"} 1"));
}

#[test]
fn an_answer_of_the_file_is_told_by_its_status() {
    let web = clear("web")
        .rule("priority = 1\nwhen.path = [\"/shop.Cart/*\"]\nrespond = { status = 403, body = \"no\" }")
        .rule(
            "priority = 2\nwhen.path = [\"/old.Cart/*\"]\nredirect.to = \"https://else.example/\"",
        );
    let target = echo("a");
    let app = app().target_at("a", &target.address(), "");
    let limpet = config().listener(web).group(app).start();
    play(async {
        let client = Http2::connect(limpet.address()).await;
        for (path, code, said) in [
            ("/shop.Cart/Get", "7", "limpet: HTTP status 403"),
            ("/old.Cart/Get", "2", "limpet: HTTP status 302"),
        ] {
            let answered = call(&client, path, &[]).await.unwrap();
            assert_eq!((answered.status, status(&answered)), (200, code), "{path}");
            assert_eq!(answered.field("grpc-message"), said);
        }
    });
    let record = limpet.record_where("the first", |record| record.text("path").contains("shop"));
    assert_eq!((record.number("status"), record.number("grpc_status")), (200.0, 7.0));
    assert!(target.requests().is_empty());
}

#[test]
fn grpc_web_passes_as_http() {
    // Its status is a frame of its content, which nobody looks at.
    let content = [message(b"abc"), b"\x80\0\0\0\x0fgrpc-status: 5\r\n".to_vec()].concat();
    let second = Http2Target::start({
        let content = content.clone();
        move |seen| {
            assert_eq!(seen.field("content-type"), "application/grpc-web+proto");
            let head = Response::builder().header("content-type", "application/grpc-web+proto");
            Then::Answer(head.body(()).unwrap(), content.clone(), HeaderMap::new())
        }
    });
    let first = Target::answering({
        let content = content.clone();
        move |_| {
            let head = format!(
                "HTTP/1.1 200 OK\r\nContent-Type: application/grpc-web+proto\r\nContent-Length: {}\r\n\r\n",
                content.len()
            );
            [head.as_bytes(), &content].concat()
        }
    });
    for app in [
        group("app").target("a", &first),
        group("app").set("protocol_version", "http2").target_at("a", &second.address(), ""),
    ] {
        let limpet = config().listener(clear("web")).group(app).start();
        play(async {
            let client = Http2::connect(limpet.address()).await;
            let fields = [("content-type", "application/grpc-web+proto"), ("grpc-timeout", "0S")];
            let (response, stream) = client.begin(Method::POST, "/a.B/C", &fields, false).await;
            send(stream, Bytes::from(message(b"abc")), None).await.unwrap();
            let answered = answer(response).await.unwrap();
            assert_eq!((answered.status, &answered.content), (200, &content));
            assert_eq!(answered.field("content-type"), "application/grpc-web+proto");
            assert!(answered.trailers.is_none());
        });
        let record = limpet.record(1);
        assert!(record.lacks("grpc_status"), "it is no call");
        // Over HTTP/1.1, as most browsers do behind a proxy.
        let mut client = limpet.client();
        client.send("POST /a.B/C HTTP/1.1\r\nHost: a\r\nContent-Type: application/grpc-web+proto\r\nContent-Length: 0\r\n\r\n");
        assert_eq!(client.response().content, content);
    }
}
