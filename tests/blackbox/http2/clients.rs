//! What a client of HTTP/2 has in common with one of HTTP/1.1.

use axum::http::Method;

use super::{app, both, clear};
use crate::support::http2::{Http2, PREFACE, SETTINGS, answer, frame, play};
use crate::support::{Limpet, Target, config, listener};

async fn each(limpet: &Limpet) -> [Http2; 2] {
    let clear = Http2::connect(limpet.address_of("clear")).await;
    [clear, Http2::connect_tls(limpet.address_of("secure")).await]
}

#[test]
fn a_session_stays_with_its_target_in_clear_and_under_tls() {
    let targets = ["a", "b", "c"].map(Target::echo);
    let mut sticky = app().sticky();
    for (id, target) in ["a", "b", "c"].into_iter().zip(&targets) {
        sticky = sticky.target(id, target);
    }
    let limpet = both().group(sticky).start();
    play(async {
        for client in each(&limpet).await {
            let first = client.get("/first?x=1", &[("x-own", "1")]).await;
            assert_eq!(first.status, 200);
            let cookie = first.field("set-cookie").split(';').next().unwrap().to_owned();
            let seen: serde_json::Value = serde_json::from_slice(&first.content).unwrap();
            assert_eq!(
                (seen["method"].as_str(), seen["path"].as_str()),
                (Some("GET"), Some("/first?x=1"))
            );
            for _ in 0..6 {
                let next = client.get("/next", &[("cookie", &cookie)]).await;
                let next: serde_json::Value = serde_json::from_slice(&next.content).unwrap();
                assert_eq!(next["target"], seen["target"]);
            }
        }
    });
    let record =
        limpet.record_where("a first visit", |record| record.text("path").starts_with("/first"));
    assert_eq!((record.text("version"), record.text("method")), ("HTTP/2.0", "GET"));
}

#[test]
fn a_hundred_streams_are_served_side_by_side_and_each_has_its_own_answer() {
    let target = Target::echo("a");
    let limpet = both().serving(&target).start();
    play(async {
        for client in each(&limpet).await {
            let mut responses = Vec::new();
            for number in 0..100 {
                let path = format!("/{number}");
                responses.push(client.begin(Method::GET, &path, &[], true).await.0);
            }
            for (number, response) in responses.into_iter().enumerate() {
                let answer = answer(response).await.unwrap();
                let seen: serde_json::Value = serde_json::from_slice(&answer.content).unwrap();
                assert_eq!(seen["path"].as_str(), Some(&*format!("/{number}")));
            }
        }
    });
    assert_eq!(limpet.access_log(200).len(), 200);
}

#[test]
fn http_1_is_served_on_the_same_port() {
    let target = Target::echo("a");
    let limpet = config().listener(clear("web")).serving(&target).start();
    assert_eq!(limpet.get("/one").status, 200);
    play(async {
        let client = Http2::connect(limpet.address()).await;
        assert_eq!(client.get("/two", &[]).await.status, 200);
    });
    assert_eq!(limpet.get("/three").status, 200);
}

#[test]
fn a_listener_that_takes_no_http_2_refuses_its_preface() {
    let target = Target::echo("a");
    let limpet = config().listener(listener("web")).serving(&target).start();
    let mut client = limpet.client();
    client.send(PREFACE);
    assert!(matches!(client.response().status, 400 | 405 | 505));
    assert_eq!(target.request_count(), 0);
}

#[test]
fn cookie_crumbs_reach_the_target_as_one_field() {
    let target = Target::echo("a");
    let limpet = config().listener(clear("web")).serving(&target).start();
    play(async {
        let client = Http2::connect(limpet.address()).await;
        client.get("/", &[("cookie", "a=1"), ("cookie", "b=2"), ("x", "y")]).await;
    });
    assert_eq!(target.last_request().fields.all("cookie"), ["a=1; b=2"]);
}

#[test]
fn answers_of_limpets_own_have_their_content_and_say_when() {
    let target = Target::refusing("a");
    let web =
        clear("web").rule("priority = 1\nwhen.path = [\"/old\"]\nredirect = { to = \"/new\" }");
    let limpet = config().listener(web).serving(&target).start();
    play(async {
        let client = Http2::connect(limpet.address()).await;
        let moved = client.get("/old", &[]).await;
        assert_eq!((moved.status, moved.field("location").ends_with("/new")), (302, true));
        assert!(!moved.field("date").is_empty());
        let none = client.get("/", &[]).await;
        assert!(matches!(none.status, 502 | 503), "{none:?}");
        assert_eq!(none.field("content-length"), none.content.len().to_string());
    });
}

#[test]
fn the_first_bytes_tell_the_version_however_they_are_split() {
    let target = Target::echo("a");
    let limpet = config().listener(clear("web")).serving(&target).start();
    let mut second = limpet.client();
    // Settings of a stream end the connection.
    second.send_byte_by_byte(PREFACE).send(frame(SETTINGS, 0, 1, &[]));
    assert_eq!(second.read_rest().get(3), Some(&SETTINGS));
    for whole in ["POST /p HTTP/1.1", "PRIVATE /p HTTP/1.1", "PUT /p HTTP/1.1"] {
        let mut first = limpet.client();
        first.send_byte_by_byte(format!("{whole}\r\nHost: a\r\nContent-Length: 0\r\n\r\n"));
        assert_eq!(first.response().status, 200, "{whole}");
    }
}

#[test]
fn a_preface_behind_a_request_is_none() {
    let target = Target::echo("a");
    let limpet = config().listener(clear("web")).serving(&target).start();
    let mut client = limpet.client();
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(client.response().status, 200);
    client.send(PREFACE);
    assert!(matches!(client.response().status, 400 | 405 | 505));
}

#[test]
fn a_part_of_a_preface_is_not_waited_for_longer_than_for_a_head() {
    let target = Target::echo("a");
    let web = clear("web").set("timeouts.head", "200ms");
    let limpet = config().listener(web).serving(&target).start();
    for part in [&PREFACE[..1], &PREFACE[..3], &PREFACE[..23]] {
        let mut client = limpet.client();
        client.send(part);
        client.read_rest();
    }
}
