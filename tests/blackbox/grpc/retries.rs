//! Which calls are tried again: those that a target has refused in trailers only, by a status that the group names.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::*;
use crate::support::http2::{
    DATA, END_HEADERS, END_STREAM, HEADERS, PREFACE, SETTINGS, block, frame, play,
};
use crate::support::{Limpet, config, poll};

fn before(targets: &[(&str, &Http2Target)], settings: &[(&str, toml::Value)]) -> Limpet {
    let mut app = app();
    for (key, value) in settings {
        app = app.set(key, value.clone());
    }
    for (id, target) in targets {
        app = app.target_at(id, &target.address(), "");
    }
    config().listener(clear("web")).group(app).with_admin().start()
}

fn on(statuses: &[&str]) -> (&'static str, toml::Value) {
    let words: Vec<toml::Value> =
        statuses.iter().map(|status| format!("grpc:{status}").into()).collect();
    ("retries.on", words.into())
}

/// A call that comes whole with its head.
async fn whole(client: &Http2, path: &str) -> Answer {
    let (response, _) = client.begin(Method::POST, path, &[TYPE, TRAILERS], true).await;
    answer(response).await.unwrap()
}

#[test]
fn content_that_came_along_is_sent_once_more() {
    let (busy, free) = (Http2Target::start(|_| refused("14", "busy")), echo("free"));
    let limpet = before(&[("busy", &busy), ("free", &free)], &[on(&["unavailable"])]);
    let fields =
        [(":method", "POST"), (":scheme", "http"), (":path", "/a.B/C"), (":authority", "a"), TYPE];
    let mut client = limpet.client();
    let head = frame(HEADERS, END_HEADERS, 1, &block(&fields));
    let content = frame(DATA, END_STREAM, 1, &message(b"abc"));
    client.send([PREFACE, &frame(SETTINGS, 0, 0, b""), &head, &content].concat());
    let seen = poll(|| free.requests().pop()).expect("it comes there");
    assert_eq!(seen.content, message(b"abc"));
    assert_eq!(busy.requests().pop().map(|seen| seen.content), Some(message(b"abc")));
    assert_eq!(limpet.record(1).number("retries"), 1.0);
}

#[test]
fn a_refused_call_goes_to_another_target() {
    let (busy, free) = (Http2Target::start(|_| refused("14", "busy")), echo("free"));
    let limpet = before(&[("busy", &busy), ("free", &free)], &[on(&["aborted", "unavailable"])]);
    play(async {
        let client = Http2::connect(limpet.address()).await;
        for _ in 0..4 {
            let answered = whole(&client, "/a.B/C").await;
            assert_eq!((status(&answered), answered.field("x-target")), ("0", "free"));
        }
    });
    let refusals = busy.requests().len();
    assert!(refusals > 0 && free.requests().len() == 4);
    let records = limpet.access_log(4);
    let retries: f64 = records.iter().map(|record| record.number("retries")).sum();
    assert_eq!(retries, refusals as f64);
    assert!(records.iter().all(|record| record.number("grpc_status") == 0.0));
    let metrics = limpet.admin().text("/metrics");
    let counted = format!("limpet_group_retries_total{{group=\"app\"}} {refusals}\n");
    assert!(metrics.contains(&counted), "{metrics}");
    assert!(metrics.contains("limpet_group_grpc_responses_total{group=\"app\",code=\"0\"} 4"));
}

#[test]
fn whatever_is_not_named_passes_as_it_came() {
    let busy = Http2Target::start(|_| refused("14", "busy"));
    let other = echo("other");
    for settings in
        [&[on(&["aborted"])][..], &[], &[on(&["unavailable"]), ("retries.count", 0.into())]]
    {
        let limpet = before(&[("busy", &busy)], settings);
        play(async {
            let client = Http2::connect(limpet.address()).await;
            let answered = whole(&client, "/a.B/C").await;
            assert_eq!((status(&answered), answered.field("grpc-message")), ("14", "busy"));
        });
        let record = limpet.record(1);
        assert_eq!((record.number("grpc_status"), record.number("retries")), (14.0, 0.0));
    }
    assert!(other.requests().is_empty());
}

#[test]
fn who_has_nobody_else_is_asked_once_more_and_then_its_answer_passes() {
    let count = Arc::new(AtomicUsize::new(0));
    let target = Http2Target::start({
        let count = Arc::clone(&count);
        move |seen| match (count.fetch_add(1, Ordering::SeqCst), seen.path.as_str()) {
            (0, _) | (_, "/down/x") => refused("14", "busy"),
            _ => named("a", seen),
        }
    });
    let limpet = before(&[("a", &target)], &[on(&["unavailable"]), ("retries.count", 5.into())]);
    play(async {
        let client = Http2::connect(limpet.address()).await;
        assert_eq!(status(&whole(&client, "/a.B/C").await), "0");
        assert_eq!(target.requests().len(), 2);
        let down = whole(&client, "/down/x").await;
        assert_eq!((status(&down), down.field("grpc-message")), ("14", "busy"));
        assert_eq!(target.requests().len(), 4);
    });
    let record = limpet.record_where("the second", |record| record.text("path") == "/down/x");
    assert_eq!((record.number("grpc_status"), record.number("retries")), (14.0, 1.0));
    assert_eq!(record.number("target_status"), 200.0);
}

#[test]
fn an_answer_that_has_begun_is_not_taken_back() {
    let busy = Http2Target::start(|_| ended(Vec::new(), "14"));
    let free = echo("free");
    let limpet = before(&[("busy", &busy), ("free", &free)], &[on(&["unavailable"])]);
    play(async {
        let client = Http2::connect(limpet.address()).await;
        let mut statuses = Vec::new();
        for _ in 0..2 {
            statuses.push(status(&whole(&client, "/a.B/C").await).to_owned());
        }
        statuses.sort();
        assert_eq!(statuses, ["0", "14"]);
    });
}

#[test]
fn a_call_that_still_streams_is_not_sent_again() {
    let busy = Http2Target::start(|_| refused("14", "busy"));
    let limpet = before(&[("busy", &busy), ("too", &busy)], &[on(&["unavailable"])]);
    play(async {
        let client = Http2::connect(limpet.address()).await;
        let (response, stream) = client.begin(Method::POST, "/a.B/C", &[TYPE], false).await;
        // More than what comes along with a head.
        send(stream, Bytes::from(message(&[7; 300_000])), None).await.unwrap();
        assert_eq!(status(&answer(response).await.unwrap()), "14");
    });
    assert_eq!(busy.requests().len(), 1);
}

#[test]
fn retries_stay_within_the_groups_budget() {
    let busy = Http2Target::start(|_| refused("14", "busy"));
    let settings = [
        on(&["unavailable"]),
        ("retries.budget_percent", 0.into()),
        ("retries.budget_minimum", 0.into()),
    ];
    let limpet = before(&[("a", &busy), ("b", &busy)], &settings);
    play(async {
        let client = Http2::connect(limpet.address()).await;
        let answered = whole(&client, "/a.B/C").await;
        assert_eq!((status(&answered), answered.field("grpc-message")), ("14", "busy"));
    });
    assert_eq!(busy.requests().len(), 1);
}
