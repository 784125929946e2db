//! What a record says about an exchange that went well.

use std::net::Ipv4Addr;

use super::serving;
use crate::support::{Target, config, group, listener};

#[test]
fn a_record_names_everyone_who_took_part() {
    let target = Target::echo("a");
    let web = listener("edge")
        .rule("name = \"api\"\npriority = 1\nwhen.path = [\"/api/*\"]\nforward = \"app\"");
    let limpet = config().listener(web).group(group("app").target("app-1", &target)).start();
    let mut client = limpet.client();
    let port = client.wire.local_port();
    client.get_with("/api/x?y=1", "User-Agent: t/1\r\nReferer: http://r.test/\r\n");
    let record = limpet.record(1);
    for (field, value) in [
        ("listener", "edge"),
        ("rule", "api"),
        ("group", "app"),
        ("target", "app-1"),
        ("client", "127.0.0.1"),
        ("method", "GET"),
        ("host", "limpet.test"),
        ("path", "/api/x?y=***"),
        ("version", "HTTP/1.1"),
        ("user_agent", "t/1"),
        ("referer", "http://r.test/"),
    ] {
        assert_eq!(record.text(field), value, "{field}");
    }
    assert_eq!(record.number("client_port"), f64::from(port));
    assert_eq!((record.number("status"), record.number("target_status")), (200.0, 200.0));
    assert_eq!(record.retries(), 0.0);
    assert_eq!(record.termination(), "---");
    assert!(record.lacks("sticky") && record.lacks("code"));
    assert!(!record.flag("upgraded"));
    assert_eq!(target.last_request().fields.one("x-request-id"), Some(record.text("request_id")));
}

#[test]
fn bytes_are_counted_both_ways() {
    let target = Target::fixed(
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
    );
    let limpet = config().serving(&target).start();
    let mut client = limpet.client();
    let request = "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n4\r\ndefg\r\n0\r\n\r\n";
    let response = client.send(request).response();
    let record = limpet.record(1);
    assert_eq!(record.number("content_bytes_in"), 7.0);
    assert_eq!(record.number("content_bytes_out"), 5.0);
    assert_eq!(record.number("bytes_in"), request.len() as f64);
    let sent = response.head.len() + "5\r\nhello\r\n0\r\n\r\n".len();
    assert_eq!(record.number("bytes_out"), sent as f64);
}

#[test]
fn timings_are_plausible() {
    let target = Target::answering(|_| {
        crate::support::pause(std::time::Duration::from_millis(50));
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok".to_vec()
    });
    let limpet = config().serving(&target).start();
    let started = std::time::Instant::now();
    limpet.get("/");
    let most = started.elapsed().as_micros() as f64;
    let record = limpet.record(1);
    let (first, total) = (record.number("first_byte_us"), record.number("total_us"));
    // The clock of a shard is read once a turn: a few milliseconds are its grain.
    assert!(first >= 45_000.0, "{}", record.line);
    assert!(total >= first && total <= most + 10_000.0, "{}", record.line);
    assert!(record.number("request_us") <= total && record.number("connect_us") <= total);
}

#[test]
fn the_time_of_arrival_is_in_utc_with_milliseconds() {
    let (limpet, _target) = serving();
    limpet.get("/");
    let time = limpet.record(1).text("time").to_owned();
    let time: jiff::Timestamp = time.parse().unwrap_or_else(|error| panic!("{time}: {error}"));
    let age = jiff::Timestamp::now().as_second() - time.as_second();
    assert!((0..30).contains(&age), "{age} s old");
}

#[test]
fn reuse_of_target_connections_is_told() {
    let (limpet, _target) = serving();
    let mut client = limpet.client();
    client.get("/");
    client.get("/");
    let log = limpet.access_log(2);
    assert!(!log[0].flag("target_reused") && log[1].flag("target_reused"));
    assert!(log[1].lacks("connect_us"), "nothing was connected: {}", log[1].line);
}

#[test]
fn a_sticky_reason_is_told() {
    let target = Target::echo("a");
    let limpet = config().group(group("app").sticky().target("a", &target)).start();
    let cookie = limpet.get("/").set_cookie("limpet_app").expect("the cookie").pair();
    limpet.client().get_cookie("/", &cookie);
    limpet.client().get_cookie("/", "limpet_app=x");
    let reasons: Vec<String> =
        limpet.access_log(3).iter().map(|record| record.reason().to_owned()).collect();
    assert_eq!(reasons, ["new", "valid", "invalid"]);
}

#[test]
fn a_client_behind_a_trusted_proxy_is_named_beside_its_peer() {
    let target = Target::echo("a");
    let web = listener("web").set("trusted_proxies", vec!["127.0.0.1/32"]);
    let limpet = config().listener(web).group(group("app").target("a", &target)).start();
    limpet.client().get_with("/", "X-Forwarded-For: 192.0.2.9\r\n");
    let record = limpet.record(1);
    assert_eq!(record.client(), "192.0.2.9");
    assert_eq!(record.text("peer"), Ipv4Addr::LOCALHOST.to_string());
}

#[test]
fn what_a_client_sends_cannot_forge_a_line() {
    let (limpet, _target) = serving();
    let mut client = limpet.client();
    client.get_with("/\"},{%0a", "User-Agent: \"}\\,\u{7b}\"status\":999\r\n");
    client.get("/next");
    let log = limpet.access_log(2);
    assert_eq!(log[0].number("status"), 200.0);
    assert_eq!(log[0].text("user_agent"), "\"}\\,{\"status\":999");
    assert_eq!(log[1].text("path"), "/next");
}

#[test]
fn an_upgrade_is_one_record_at_its_end() {
    let target = Target::scripted(|connection| {
        connection.next_request()?;
        connection.send(
            b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n",
        )?;
        connection.send(b"hello")?;
        connection.read_to_end().map(drop)
    });
    let limpet = config().serving(&target).start();
    let mut client = limpet.client();
    assert_eq!(client.get_with("/", "Connection: Upgrade\r\nUpgrade: x\r\n").status, 101);
    client.send("ping");
    assert_eq!(client.wire.read_exactly(5).unwrap(), b"hello");
    client.wire.finish().unwrap();
    let _ = client.read_rest();
    let record = limpet.record(1);
    assert!(record.flag("upgraded"));
    assert_eq!(record.number("status"), 101.0);
    assert_eq!(record.termination(), "---");
}

#[test]
fn the_combined_format_is_apaches() {
    let target = Target::fixed("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello");
    let limpet = config().access_log("format", "combined").serving(&target).start();
    limpet.client().get_with("/x?y", "User-Agent: t/1\r\nReferer: http://r.test/\r\n");
    let line = limpet.log_lines(1).remove(0);
    let (before, after) = line.split_once('[').expect("a time in brackets");
    let (time, after) = after.split_once(']').expect("a time in brackets");
    assert_eq!(before, "127.0.0.1 - - ");
    assert_eq!(after, " \"GET /x?*** HTTP/1.1\" 200 5 \"http://r.test/\" \"t/1\"");
    let shape: String = time.chars().map(|c| if c.is_ascii_digit() { '0' } else { c }).collect();
    assert!(shape.starts_with("00/") && shape.ends_with("/0000:00:00:00 +0000"), "{time}");
}

#[test]
fn the_log_goes_to_standard_output_or_nowhere() {
    let target = Target::echo("a");
    let mut limpet = config().access_log("output", "stdout").serving(&target).start();
    limpet.get("/on-stdout");
    limpet.stop();
    assert!(limpet.stdout().contains("/on-stdout"), "{}", limpet.stdout());
    let mut limpet = config().access_log("output", "off").serving(&target).start();
    limpet.get("/nowhere");
    limpet.stop();
    assert!(!limpet.stdout().contains("/nowhere"));
    assert!(!limpet.path("access.log").exists());
}

#[test]
fn a_log_that_cannot_be_opened_is_a_clear_error() {
    let target = Target::echo("a");
    let text = config().access_log("output", "/nowhere/access.log").serving(&target).text();
    let refused = crate::support::Limpet::refused(&text, |_| {});
    assert!(!refused.status.success());
    assert!(refused.stderr.contains("/nowhere/access.log"), "{}", refused.stderr);
}
