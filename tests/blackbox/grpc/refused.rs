//! What a group of gRPC does not pass on.

use super::*;
use crate::support::http2::play;
use crate::support::{config, poll};

#[test]
fn a_group_of_grpc_answers_what_is_no_call_itself() {
    let target = echo("a");
    let app = app().target_at("a", &target.address(), "");
    let limpet = config().listener(clear("web")).group(app).start();
    play(async {
        let client = Http2::connect(limpet.address()).await;
        let get = client.get("/", &[]).await;
        assert_eq!((get.status, get.field("allow")), (405, "POST"));
        for content_type in ["application/json", "application/grpc-web", "application/grpcs", ""] {
            let fields = [("content-type", content_type)];
            let (response, _stream) = client.begin(Method::POST, "/", &fields, true).await;
            let answered = answer(response).await.unwrap();
            assert_eq!(answered.status, 415, "{content_type}");
            assert!(answered.field("grpc-status").is_empty(), "it is no client of gRPC");
        }
        // The connection goes on.
        assert_eq!(status(&call(&client, "/a.B/C", &[]).await.unwrap()), "0");
    });
    let mut first = limpet.client();
    first.send("POST /a.B/C HTTP/1.1\r\nHost: a\r\nContent-Type: application/grpc\r\nContent-Length: 0\r\n\r\n");
    assert_eq!(first.response().status, 505);
    for (status, count) in [(405.0, 1), (415.0, 4), (505.0, 1)] {
        let records = limpet.access_log(7);
        let of = records.iter().filter(|record| record.number("status") == status);
        let codes: Vec<_> = of.map(|record| (record.text("code"), record.termination())).collect();
        assert_eq!(codes, vec![("not_grpc", "CRI"); count], "{status}");
    }
    assert_eq!(target.requests().len(), 1, "nothing but the call has come to it");
}

#[test]
fn a_refused_request_does_not_stand_in_the_line() {
    let target = echo("a");
    let app = app()
        .set("connection_limit", 1)
        .set("queue", 1)
        .set("queue_timeout", "30s")
        .target_at("a", &target.address(), "");
    let limpet = config().listener(clear("web")).group(app).start();
    play(async {
        let client = Http2::connect(limpet.address()).await;
        // A call that goes on has the place.
        let fields = [("content-type", "application/grpc")];
        let (_response, _stream) = client.begin(Method::POST, "/a.B/C", &fields, false).await;
        assert!(poll(|| (target.connections() > 0).then_some(())).is_some());
        assert_eq!(client.get("/", &[]).await.status, 405);
    });
}

#[test]
fn a_refused_request_holds_no_place() {
    let target = echo("a");
    let app = app().set("connection_limit", 1).target_at("a", &target.address(), "");
    let limpet = config().listener(clear("web")).group(app).start();
    play(async {
        let client = Http2::connect(limpet.address()).await;
        for _ in 0..5 {
            assert_eq!(client.get("/", &[]).await.status, 405);
            assert_eq!(status(&call(&client, "/a.B/C", &[]).await.unwrap()), "0");
        }
    });
}
