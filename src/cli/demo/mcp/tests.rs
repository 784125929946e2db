//! One server of the protocol through its own socket.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use crate::cli::demo::configuration::Application;
use crate::cli::demo::instance::tests::raw;
use crate::cli::demo::instances::Instances;

const BOTH: &str = "application/json, text/event-stream";

fn start() -> (Instances, SocketAddr) {
    let instances = Instances::start(Application::Mcp).unwrap();
    let address = instances.addresses[0].1;
    (instances, address)
}

fn head(method: &str, fields: &str) -> String {
    format!("{method} /mcp HTTP/1.1\r\nHost: demo\r\nConnection: close\r\n{fields}")
}

/// Sends a message as curl would; `fields` come on top.
fn post(address: SocketAddr, fields: &str, content: &str) -> String {
    let fields = format!(
        "Accept: {BOTH}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n{fields}\r\n",
        content.len()
    );
    raw(address, &format!("{}{content}", head("POST", &fields)))
}

fn request(method: &str, params: &str) -> String {
    format!(r#"{{"jsonrpc":"2.0","id":7,"method":"{method}","params":{params}}}"#)
}

/// Begins a session; the field that names it.
fn begin(address: SocketAddr) -> String {
    let response = post(address, "", &request("initialize", r#"{"protocolVersion":"2025-06-18"}"#));
    assert!(response.starts_with("HTTP/1.1 200 "), "{response}");
    let line = response.lines().find(|line| line.starts_with("mcp-session-id: "));
    format!("{}\r\n", line.unwrap_or_else(|| panic!("{response}")))
}

fn count(address: SocketAddr, session: &str) -> String {
    post(address, session, &request("tools/call", r#"{"name":"count"}"#))
}

#[test]
fn a_session_begins_in_the_revision_that_was_asked_for_or_in_the_latest_one() {
    let (_instances, address) = start();
    for (asked, answered) in [("2025-06-18", "2025-06-18"), ("1999-01-01", "2025-11-25")] {
        let params = format!(r#"{{"protocolVersion":"{asked}"}}"#);
        let response = post(address, "", &request("initialize", &params));
        assert!(response.contains(&format!(r#""protocolVersion":"{answered}""#)), "{response}");
    }
}

#[test]
fn calls_are_counted_in_their_session_and_by_its_instance_alone() {
    let (instances, address) = start();
    let (one, two) = (begin(address), begin(address));
    assert!(count(address, &one).contains("instance a: call 1 of this session"));
    assert!(count(address, &one).contains("instance a: call 2 of this session"));
    assert!(count(address, &two).contains("instance a: call 1 of this session"));
    let elsewhere = count(instances.addresses[1].1, &one);
    assert!(elsewhere.starts_with("HTTP/1.1 404 "), "{elsewhere}");
    assert!(elsewhere.contains(r#""message":"Session not found""#), "{elsewhere}");
}

#[test]
fn every_method_is_answered_and_the_session_named_in_each_answer() {
    let (_instances, address) = start();
    let session = begin(address);
    let notification = r#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#;
    for (content, status, phrase) in [
        (notification.to_owned(), 202, ""),
        (r#"{"jsonrpc":"2.0","id":1,"result":{}}"#.to_owned(), 202, ""),
        (request("ping", "{}"), 200, r#"{"id":7,"jsonrpc":"2.0","result":{}}"#),
        (request("tools/list", "{}"), 200, r#""name":"count""#),
        (request("tools/call", r#"{"name":"other"}"#), 200, r#""code":-32602"#),
        (request("resources/list", "{}"), 200, r#""code":-32601"#),
    ] {
        let response = post(address, &session, &content);
        assert!(response.starts_with(&format!("HTTP/1.1 {status} ")), "{content}: {response}");
        assert!(response.contains(&session) && response.contains(phrase), "{content}: {response}");
    }
}

#[test]
fn what_is_no_message_of_a_session_is_refused_by_a_status_and_an_error() {
    let (_instances, address) = start();
    let ping = request("ping", "{}");
    let unknown = "Mcp-Session-Id: nobody\r\n";
    for (fields, content, status) in [
        ("", ping.as_str(), "400 Bad Request"),
        (unknown, ping.as_str(), "404 Not Found"),
        (unknown, "{", "400 Bad Request"),
        (unknown, "[]", "400 Bad Request"),
        (unknown, r#"{"jsonrpc":"1.0","id":1,"method":"ping"}"#, "400 Bad Request"),
        ("", r#"{"jsonrpc":"2.0","method":"initialize"}"#, "400 Bad Request"),
    ] {
        let response = post(address, fields, content);
        assert!(response.starts_with(&format!("HTTP/1.1 {status}\r\n")), "{content}: {response}");
        assert!(response.contains(r#""error":{"code":-32"#), "{content}: {response}");
    }
}

#[test]
fn a_client_must_accept_both_kinds_of_answer_and_send_json() {
    let (_instances, address) = start();
    for (fields, status) in [
        ("Accept: application/json\r\nContent-Type: application/json\r\n", 406),
        ("Accept: text/event-stream\r\nContent-Type: application/json\r\n", 406),
        ("Content-Type: application/json\r\n", 406),
        ("Accept: application/json;q=1, Text/Event-Stream\r\nContent-Type: text/plain\r\n", 415),
    ] {
        let fields = format!("{fields}Content-Length: 2\r\n\r\n{{}}");
        let response = raw(address, &head("POST", &fields));
        assert!(response.starts_with(&format!("HTTP/1.1 {status} ")), "{fields}: {response}");
    }
    let response = raw(address, &head("GET", "Accept: */*\r\n\r\n"));
    assert!(response.starts_with("HTTP/1.1 406 "), "{response}");
}

/// The first ids that a stream sends.
fn event_ids(address: SocketAddr, fields: &str, number: usize) -> Vec<String> {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    let fields = format!("Accept: text/event-stream\r\n{fields}\r\n");
    stream.write_all(head("GET", &fields).as_bytes()).unwrap();
    let lines = BufReader::new(stream).lines().map(Result::unwrap);
    lines.filter_map(|line| line.strip_prefix("id: ").map(str::to_owned)).take(number).collect()
}

#[test]
fn a_stream_brings_an_event_at_once_and_a_resumed_one_misses_none() {
    let (_instances, address) = start();
    let session = begin(address);
    let ids: Vec<u64> = event_ids(address, &session, 3).iter().flat_map(|id| id.parse()).collect();
    assert_eq!(ids, [ids[0], ids[0] + 1, ids[0] + 2]);
    let resumed = format!("{session}Last-Event-ID: 1\r\n");
    assert_eq!(event_ids(address, &resumed, 3), ["2", "3", "4"]);
}

#[test]
fn a_session_that_is_ended_is_unknown_and_its_stream_ends() {
    let (_instances, address) = start();
    let session = begin(address);
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    let fields = format!("Accept: text/event-stream\r\n{session}\r\n");
    stream.write_all(head("GET", &fields).as_bytes()).unwrap();
    let mut lines = BufReader::new(stream).lines().map(Result::unwrap);
    assert!(lines.any(|line| line.starts_with("id: ")));

    let ended = raw(address, &head("DELETE", &format!("{session}\r\n")));
    assert!(ended.starts_with("HTTP/1.1 204 "), "{ended}");
    assert!(count(address, &session).starts_with("HTTP/1.1 404 "));
    // The lines end with the connection.
    lines.for_each(drop);
    let again = raw(address, &head("DELETE", &format!("{session}\r\n")));
    assert!(again.starts_with("HTTP/1.1 404 "), "{again}");
}
