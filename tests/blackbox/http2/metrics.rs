//! What is counted of connections and streams, with clients and with targets: everything once, and nothing stays open.

use axum::http::{HeaderMap, HeaderValue, Method, Response};
use h2::Reason;

use super::clear;
use crate::support::http2::{
    END_HEADERS, END_STREAM, GOAWAY, HEADERS, Http2, RST_STREAM, SETTINGS, answer as answer_of,
    block, frame, play,
};
use crate::support::http2_frames::{Frames, get, request};
use crate::support::http2_target::{Http2Target, Seen, Then, answer};
use crate::support::{Client, Config, Limpet, Section, Target, config, group, http2_by_hand, poll};

fn app() -> Section {
    group("app").set("protocol_version", "http2")
}

fn one(address: &str) -> Config {
    config().with_admin().listener(clear("web")).group(app().target_at("a", address, ""))
}

/// Waits until the metrics have these lines.
#[track_caller]
fn until_told(limpet: &Limpet, lines: &[&str]) {
    let mut text = String::new();
    let told = poll(|| {
        text = limpet.admin().text("/metrics");
        lines.iter().all(|line| text.lines().any(|told| told == *line)).then_some(())
    });
    let of_http2: Vec<&str> = text
        .lines()
        .filter(|line| {
            line.contains("http2_") || line.contains("errors_total") || line.contains("grpc")
        })
        .collect();
    assert!(told.is_some(), "not all of {lines:#?}:\n{}", of_http2.join("\n"));
}

/// The value of every series of a metric, summed up.
fn sum(limpet: &Limpet, name: &str) -> f64 {
    let text = limpet.admin().text("/metrics");
    let lines = text.lines().filter_map(|line| line.strip_prefix(name));
    lines.map(|line| line.rsplit(' ').next().unwrap().parse::<f64>().unwrap()).sum()
}

/// A client by hand that has begun a connection.
fn by_hand(limpet: &Limpet) -> Client {
    Frames::begin(limpet.client(), &[]).client
}

/// A target by hand: it sends these frames behind the first request.
fn target_by_hand(frames: Vec<u8>) -> Target {
    http2_by_hand::target(&[], move |connection, _| {
        connection.send(&frames)?;
        connection.read_to_end().map(drop)
    })
}

#[test]
fn streams_and_resets_are_counted_once_on_either_side_and_none_stays_open() {
    let target = Http2Target::start(|seen| match seen.path.as_str() {
        "/held" => Then::Nothing,
        "/reset" => Then::Reset(Reason::INTERNAL_ERROR),
        _ => answer(200, "a"),
    });
    let limpet = one(&target.address()).start();
    play(async {
        let client = Http2::connect(limpet.address()).await;
        for _ in 0..3 {
            assert_eq!(client.get("/", &[]).await.status, 200);
        }
        let (response, _) = client.begin(Method::POST, "/reset", &[], true).await;
        assert_eq!(answer_of(response).await.unwrap().status, 502);
        let (response, mut stream) = client.begin(Method::GET, "/held", &[], true).await;
        assert!(poll(|| (target.requests().len() == 5).then_some(())).is_some());
        until_told(
            &limpet,
            &[
                r#"limpet_http2_connections{side="client"} 1"#,
                r#"limpet_http2_connections{side="target"} 1"#,
                r#"limpet_http2_streams_open{side="client"} 1"#,
                r#"limpet_http2_streams_open{side="target"} 1"#,
            ],
        );
        stream.send_reset(Reason::CANCEL);
        drop(response);
        until_told(&limpet, &[r#"limpet_http2_streams_open{side="target"} 0"#]);
    });
    until_told(
        &limpet,
        &[
            r#"limpet_http2_connections{side="client"} 0"#,
            r#"limpet_http2_connections{side="target"} 1"#,
            r#"limpet_http2_streams_total{side="client"} 5"#,
            r#"limpet_http2_streams_total{side="target"} 5"#,
            r#"limpet_http2_streams_open{side="client"} 0"#,
            r#"limpet_http2_streams_open{side="target"} 0"#,
            r#"limpet_http2_resets_total{side="client",by="peer",cause="cancel"} 1"#,
            r#"limpet_http2_resets_total{side="target",by="peer",cause="internal"} 1"#,
            r#"limpet_http2_resets_total{side="target",by="limpet",cause="cancel"} 1"#,
        ],
    );
    assert_eq!(sum(&limpet, "limpet_http2_resets_total"), 3.0);
    assert_eq!(sum(&limpet, "limpet_http2_refused_streams_total"), 0.0);
    drop(target);
    until_told(&limpet, &[r#"limpet_http2_connections{side="target"} 0"#]);
}

#[test]
fn a_client_of_http_1_adds_nothing() {
    let target = Target::echo("a");
    let limpet = config().with_admin().listener(clear("web")).serving(&target).start();
    assert_eq!(limpet.get("/").status, 200);
    until_told(&limpet, &[r#"limpet_requests_total{listener="web",method="GET",status="2xx"} 1"#]);
    assert_eq!(sum(&limpet, "limpet_http2_"), 0.0);
}

#[test]
fn an_early_response_and_a_malformed_request_are_resets_of_limpets() {
    let target = Target::scripted(|connection| {
        connection.next_head()?;
        connection.send(b"HTTP/1.1 413 Content Too Large\r\nContent-Length: 2\r\n\r\nno")
    });
    let limpet = config().with_admin().listener(clear("web")).serving(&target).start();
    play(async {
        let client = Http2::connect(limpet.address()).await;
        // Its content never ends.
        let (response, _stream) = client.begin(Method::POST, "/early", &[], false).await;
        assert_eq!(answer_of(response).await.unwrap().status, 413);
        until_told(
            &limpet,
            &[r#"limpet_http2_resets_total{side="client",by="limpet",cause="early"} 1"#],
        );
    });
    let mut client = by_hand(&limpet);
    let fields = [(":method", "GET"), (":scheme", "http"), (":path", "/"), ("Upper", "case")];
    client.send(frame(HEADERS, END_STREAM | END_HEADERS, 1, &block(&fields)));
    until_told(
        &limpet,
        &[r#"limpet_http2_resets_total{side="client",by="limpet",cause="malformed"} 1"#],
    );
    assert_eq!(sum(&limpet, "limpet_http2_resets_total"), 2.0);
}

#[test]
fn a_goaway_is_counted_in_the_direction_that_it_goes() {
    let limpet = config().with_admin().listener(clear("web")).serving(&Target::echo("a")).start();
    let mut client = by_hand(&limpet);
    client.send(frame(GOAWAY, 0, 0, &[0; 8]));
    client.read_rest();
    until_told(
        &limpet,
        &[
            r#"limpet_http2_goaways_total{side="client",direction="received"} 1"#,
            r#"limpet_http2_goaways_total{side="client",direction="sent"} 0"#,
            r#"limpet_http2_connections{side="client"} 0"#,
        ],
    );
    let mut client = by_hand(&limpet);
    client.send(frame(RST_STREAM, 0, 1, &[0; 4]));
    assert!(client.read_rest().chunks(9).count() > 0);
    until_told(
        &limpet,
        &[
            r#"limpet_http2_goaways_total{side="client",direction="received"} 1"#,
            r#"limpet_http2_goaways_total{side="client",direction="sent"} 1"#,
            r#"limpet_errors_total{code="stream_idle"} 1"#,
        ],
    );
}

#[test]
fn a_budget_that_a_client_or_a_target_has_used_up_is_counted_by_its_reason() {
    let flood = frame(SETTINGS, 0, 0, b"").repeat(20);
    let target = target_by_hand(flood.clone());
    let limpet = one(&target.address()).start();
    let mut client = by_hand(&limpet);
    client.send(&flood);
    client.read_rest();
    until_told(
        &limpet,
        &[
            r#"limpet_errors_total{code="settings_flood"} 1"#,
            r#"limpet_http2_goaways_total{side="client",direction="sent"} 1"#,
        ],
    );
    assert_eq!(limpet.get("/").status, 502);
    until_told(
        &limpet,
        &[
            r#"limpet_errors_total{code="settings_flood"} 2"#,
            r#"limpet_http2_goaways_total{side="target",direction="sent"} 1"#,
            r#"limpet_http2_connections{side="target"} 0"#,
            r#"limpet_http2_streams_open{side="target"} 0"#,
        ],
    );
}

#[test]
fn a_target_that_says_goodbye_is_counted() {
    let goodbye = [0, 0, 0, 1, 0, 0, 0, 0];
    // `:status: 200` of the static table.
    let response = frame(HEADERS, END_STREAM | END_HEADERS, 1, &[0x88]);
    let target = target_by_hand([frame(GOAWAY, 0, 0, &goodbye), response].concat());
    let limpet = one(&target.address()).start();
    assert_eq!(limpet.get("/").status, 200);
    until_told(
        &limpet,
        &[
            r#"limpet_http2_goaways_total{side="target",direction="received"} 1"#,
            r#"limpet_http2_connections{side="target"} 0"#,
        ],
    );
    assert_eq!(sum(&limpet, "limpet_http2_resets_total"), 0.0);
}

#[test]
fn streams_beyond_the_limit_are_refused_and_are_no_streams() {
    let target = Http2Target::start(|_| Then::Nothing);
    let app = app().set("pool.streams_per_connection", 100);
    let config = config().with_admin().listener(clear("web"));
    let limpet = config.group(app.target_at("a", &target.address(), "")).start();
    let mut client = by_hand(&limpet);
    for number in 0..131 {
        client.send(request(2 * number + 1, &get("/held"), true));
    }
    until_told(
        &limpet,
        &[
            "limpet_http2_refused_streams_total 3",
            r#"limpet_http2_streams_total{side="client"} 128"#,
            r#"limpet_http2_streams_open{side="client"} 128"#,
        ],
    );
    drop(client);
    until_told(
        &limpet,
        &[
            r#"limpet_http2_streams_open{side="client"} 0"#,
            r#"limpet_http2_connections{side="client"} 0"#,
        ],
    );
}

/// A target of calls: the last member of the path is the status.
fn calls(seen: &Seen) -> Then {
    let (kind, status) = seen.path.trim_start_matches('/').split_once('/').unwrap();
    let response = Response::builder();
    let of = |kind: &str| response.header("content-type", format!("application/{kind}"));
    let mut trailers = HeaderMap::new();
    trailers.insert("grpc-status", HeaderValue::from_str(status).unwrap());
    match kind {
        "only" => {
            let head = of("grpc").header("grpc-status", status).body(()).unwrap();
            Then::Answer(head, Vec::new(), HeaderMap::new())
        }
        "call" => Then::Answer(of("grpc+proto").body(()).unwrap(), vec![0; 5], trailers),
        "large" => Then::Answer(of("grpc").body(()).unwrap(), vec![0; 500_000], trailers),
        _ => Then::Answer(of("grpc-web").body(()).unwrap(), vec![0; 5], trailers),
    }
}

#[test]
fn the_status_of_a_call_is_logged_and_counted_and_of_nothing_else() {
    let target = Http2Target::start(calls);
    let limpet = one(&target.address()).start();
    let all = [
        ("/call/0", Some(0.0)),
        ("/large/0", Some(0.0)),
        ("/call/13", Some(13.0)),
        ("/only/14", Some(14.0)),
        ("/call/99", Some(99.0)),
        ("/call/none", None),
        ("/web/3", None),
    ];
    play(async {
        let client = Http2::connect(limpet.address()).await;
        for (path, _) in all {
            let answered = client.get(path, &[("te", "trailers")]).await;
            let status = path.rsplit('/').next().unwrap();
            let in_trailers = answered.trailers.as_ref().and_then(|lines| lines.get("grpc-status"));
            let in_head = answered.fields.get("grpc-status");
            assert_eq!(in_trailers.or(in_head).unwrap(), status);
        }
    });
    // A client of the other version sees trailers as well.
    let response = limpet.client().get_with("/call/5", "TE: trailers\r\nConnection: TE\r\n");
    assert_eq!(response.trailers.one("grpc-status"), Some("5"));
    for (path, expected) in all.into_iter().chain([("/call/5", Some(5.0))]) {
        let record = limpet.record_where(path, |record| record.text("path") == path);
        let logged = (!record.lacks("grpc_status")).then(|| record.number("grpc_status"));
        assert_eq!(logged, expected, "{path}");
        assert_eq!(record.text("target_protocol_version"), "http2");
    }
    until_told(
        &limpet,
        &[
            r#"limpet_group_grpc_responses_total{group="app",code="0"} 2"#,
            r#"limpet_group_grpc_responses_total{group="app",code="5"} 1"#,
            r#"limpet_group_grpc_responses_total{group="app",code="13"} 1"#,
            r#"limpet_group_grpc_responses_total{group="app",code="14"} 1"#,
            r#"limpet_group_grpc_responses_total{group="app",code="unknown"} 1"#,
        ],
    );
    assert_eq!(sum(&limpet, "limpet_group_grpc_responses_total"), 6.0);
}
