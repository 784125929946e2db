//! Connections to targets under TLS that are kept: what disturbs none of them, and what ends one.

use std::io::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use rustls::version::{TLS12, TLS13};

use super::*;
use crate::support::poll;
use crate::support::tls_target::response;

#[test]
fn tickets_and_new_keys_between_requests_disturb_no_connection() {
    let authority = Authority::new("root");
    let target = TlsTarget::scripted(server(&authority), |connection| {
        while connection.next_request()?.is_some() {
            connection.send(&response("a"))?;
            // Behind the response, when nobody receives any more. Data would carry them, so none is sent.
            connection.stream.conn.refresh_traffic_keys().map_err(std::io::Error::other)?;
            connection.stream.flush()?;
        }
        Ok(())
    });
    let limpet = to(&target, trusting(&authority)).start();
    let mut client = limpet.client();
    // Fewer than what rustls takes for a flood of them.
    for _ in 0..16 {
        assert_eq!(client.post("/", b"content").text(), "a");
    }
    assert_eq!(target.taken(), 1);
}

#[test]
fn what_a_target_says_unasked_is_nobodys_response() {
    let authority = Authority::new("root");
    let sent = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&sent);
    let target = TlsTarget::scripted(server(&authority), move |connection| {
        while connection.next_request()?.is_some() {
            connection.send(&response("asked"))?;
            connection.send(&response("unasked"))?;
            count.fetch_add(1, Ordering::SeqCst);
        }
        Ok(())
    });
    let limpet = to(&target, trusting(&authority)).start();
    let mut client = limpet.client();
    for (number, method) in ["GET", "POST"].repeat(10).into_iter().enumerate() {
        client.send(format!("{method} / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n"));
        assert_eq!(client.response().text(), "asked");
        // What comes behind the next request cannot be told from its response.
        let is_sent = poll(|| (sent.load(Ordering::SeqCst) > number).then_some(()));
        assert!(is_sent.is_some());
    }
}

#[test]
fn a_target_that_ends_its_connection_is_connected_to_anew_and_the_session_is_resumed() {
    let authority = Authority::new("root");
    let target = TlsTarget::scripted(server(&authority), |connection| {
        connection.next_request()?;
        connection.send(&response("a"))
    });
    let limpet = to(&target, trusting(&authority)).start();
    let mut client = limpet.client();
    for _ in 0..5 {
        // Whether or not the end is seen first: the request goes to a new connection.
        assert_eq!(client.get("/").text(), "a");
    }
    let resumed: Vec<bool> = target.seen().iter().map(|seen| seen.is_resumed).collect();
    assert_eq!(resumed, [false, true, true, true, true]);
}

#[test]
fn content_that_ends_without_a_word_is_cut_and_never_whole() {
    let authority = Authority::new("root");
    let cut = TlsTarget::scripted(server(&authority), |connection| {
        connection.next_request()?;
        connection.send("HTTP/1.1 200 OK\r\n\r\nhalf")?;
        connection.stream.sock.shutdown(std::net::Shutdown::Both)
    });
    let limpet = to(&cut, trusting(&authority)).start();
    let mut client = limpet.client();
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    let rest = client.read_rest();
    let text = String::from_utf8_lossy(&rest);
    assert!(!text.ends_with("0\r\n\r\n"), "its last chunk says that it is whole: {text:?}");
    let record = limpet.record(1);
    assert_eq!((record.termination(), record.text("code")), ("TDC", "target_content_short"));

    let whole = TlsTarget::scripted(server(&authority), |connection| {
        connection.next_request()?;
        connection.send("HTTP/1.1 200 OK\r\n\r\nwhole")
    });
    let limpet = to(&whole, trusting(&authority)).start();
    assert_eq!(limpet.get("/").text(), "whole");
    assert_eq!(limpet.record(1).termination(), "---");
}

#[test]
fn content_of_any_length_comes_whole_in_both_directions_and_versions() {
    for version in [&TLS13, &TLS12] {
        let authority = Authority::new("root");
        let content = "0123456789abcdef".repeat(64 * 1024);
        let answered = content.clone();
        let server = authority.server_of(&[version], NAME, None);
        let target = TlsTarget::scripted(server, move |connection| {
            while connection.next_request()?.is_some() {
                connection.send(&response(&answered))?;
            }
            Ok(())
        });
        let limpet = to(&target, trusting(&authority)).start();
        let mut client = limpet.client();
        for _ in 0..3 {
            assert!(client.post("/", content.as_bytes()).text() == content);
        }
        assert_eq!(target.taken(), 1);
    }
}
