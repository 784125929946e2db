//! Interim heads neither put a response off nor come without end.

use std::time::Duration;

use super::with;
use crate::support::{Target, config, group};

/// Sends interim heads `every` so often for as long as they are taken, then says `at_last`.
fn hesitating(
    head: &'static [u8],
    every: Duration,
    heads: usize,
    at_last: &'static [u8],
) -> Target {
    Target::scripted(move |connection| {
        while connection.next_request()?.is_some() {
            for _ in 0..heads {
                connection.send(head)?;
                crate::support::pause(every);
            }
            connection.send(at_last)?;
        }
        Ok(())
    })
}

/// The status of the final response, and how many interim ones came before it.
fn final_status(client: &mut crate::support::Client) -> (u16, usize) {
    let mut interim = 0;
    loop {
        match client.response().status {
            100..=199 => interim += 1,
            status => return (status, interim),
        }
    }
}

const PROCESSING: &[u8] = b"HTTP/1.1 102 Processing\r\n\r\n";
const HINTS: &[u8] = b"HTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\n\r\n";
const OK: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";

#[test]
fn interim_heads_do_not_put_the_response_off() {
    for head in [PROCESSING, HINTS] {
        let target = hesitating(head, Duration::from_millis(100), 90, OK);
        let limpet = with(&target, &[], &[("timeouts.response", "500ms")]);
        for version in ["1.1", "1.0"] {
            let mut client = limpet.client();
            client.send(format!("GET / HTTP/{version}\r\nHost: limpet.test\r\n\r\n"));
            assert_eq!(final_status(&mut client).0, 504);
        }
    }
}

#[test]
fn interim_heads_that_come_without_pause_are_a_502_at_once() {
    let target = hesitating(HINTS, Duration::ZERO, 1_000_000, OK);
    let limpet = with(&target, &[], &[]);
    let mut client = limpet.client();
    client.send("GET / HTTP/1.1\r\nHost: limpet.test\r\n\r\n");
    let (status, interim) = final_status(&mut client);
    assert_eq!(status, 502);
    assert!((100..1000).contains(&interim), "{interim} interim responses were passed on");
    assert_eq!(limpet.record(1).text("code"), "response_too_many_interim");
}

#[test]
fn interim_heads_without_pause_are_a_502_also_while_the_content_is_still_coming() {
    let target = Target::scripted(|connection| {
        connection.next_head()?;
        while connection.send(HINTS).is_ok() {}
        Ok(())
    });
    let limpet = with(&target, &[], &[]);
    let mut client = limpet.client();
    client.send("POST / HTTP/1.1\r\nHost: limpet.test\r\nContent-Length: 4\r\n\r\n");
    assert_eq!(final_status(&mut client).0, 502);
}

#[test]
fn a_response_behind_many_interim_heads_is_delivered() {
    let target = hesitating(HINTS, Duration::ZERO, 60, OK);
    let limpet = with(&target, &[], &[]);
    let mut client = limpet.client();
    for _ in 0..2 {
        client.send("GET / HTTP/1.1\r\nHost: limpet.test\r\n\r\n");
        assert_eq!(final_status(&mut client), (200, 60));
    }
}

#[test]
fn a_102_renews_the_deadline_where_the_group_says_so_and_a_103_does_not() {
    for (head, expected) in [(PROCESSING, 200), (HINTS, 504)] {
        let target = hesitating(head, Duration::from_millis(200), 15, OK);
        let app = group("app")
            .set("timeouts.response", "1500ms")
            .set("timeouts.response_renewed_by_102", true)
            .target("a", &target);
        let limpet = config().group(app).start();
        let mut client = limpet.client();
        client.send("GET / HTTP/1.1\r\nHost: limpet.test\r\n\r\n");
        assert_eq!(final_status(&mut client).0, expected);
    }
}

#[test]
fn a_102_renews_the_deadline_and_silence_after_it_is_still_a_504() {
    let target = hesitating(PROCESSING, Duration::from_secs(20), 1, OK);
    let app = group("app")
        .set("timeouts.response", "500ms")
        .set("timeouts.response_renewed_by_102", true)
        .target("a", &target);
    let limpet = config().group(app).start();
    let mut client = limpet.client();
    client.send("GET / HTTP/1.1\r\nHost: limpet.test\r\n\r\n");
    assert_eq!(final_status(&mut client), (504, 1));
}
