//! Interim heads neither put a response off nor come without end.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use super::with;
use crate::support::{Target, config, group, poll};

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

/// Says 102 so often, each time only when the client has seen the one before, then 200. What both know of it.
#[derive(Default)]
struct Renewals {
    sent: Mutex<Vec<Instant>>,
    seen: AtomicUsize,
}

fn renewing(renewals: &Arc<Renewals>, every: Duration, heads: usize) -> Target {
    let renewals = Arc::clone(renewals);
    Target::scripted(move |connection| {
        if connection.next_request()?.is_none() {
            return Ok(());
        }
        for head in 0..heads {
            renewals.sent.lock().unwrap().push(Instant::now());
            connection.send(PROCESSING)?;
            let is_seen = || (renewals.seen.load(Ordering::SeqCst) > head).then_some(());
            if poll(is_seen).is_none() {
                return Ok(());
            }
            crate::support::pause(every);
        }
        connection.send(OK)
    })
}

/// The final status, and how long before it the last 102 was sent that the client has seen.
fn renewed(deadline: Duration, every: Duration, heads: usize) -> (u16, Duration) {
    let renewals = Arc::<Renewals>::default();
    let target = renewing(&renewals, every, heads);
    let app = group("app")
        .set("timeouts.response", format!("{}ms", deadline.as_millis()))
        .set("timeouts.response_renewed_by_102", true)
        .target("a", &target);
    let limpet = config().group(app).start();
    let mut client = limpet.client();
    client.send("GET / HTTP/1.1\r\nHost: limpet.test\r\n\r\n");
    loop {
        let status = client.response().status;
        if status != 102 {
            let seen = renewals.seen.fetch_add(heads, Ordering::SeqCst);
            let sent = renewals.sent.lock().unwrap();
            return (status, sent[seen.saturating_sub(1)].elapsed());
        }
        renewals.seen.fetch_add(1, Ordering::SeqCst);
    }
}

#[test]
fn a_102_renews_the_deadline_where_the_group_says_so() {
    let (deadline, every, heads) = (Duration::from_millis(1500), Duration::from_millis(200), 10);
    // Together they take longer than the deadline. A machine that is held up may let it pass between two of them; then
    // it has at least passed, and another request will tell.
    let is_delivered = (0..10).any(|_| {
        let (status, since_renewal) = renewed(deadline, every, heads);
        assert!(status == 200 || since_renewal > deadline / 2, "{status} after {since_renewal:?}");
        status == 200
    });
    assert!(is_delivered, "no response in ten");
}

#[test]
fn a_103_does_not_renew_the_deadline() {
    let target = Target::scripted(|connection| {
        connection.next_request()?;
        while connection.send(HINTS).is_ok() {
            crate::support::pause(Duration::from_millis(200));
        }
        Ok(())
    });
    let app = group("app")
        .set("timeouts.response", "1500ms")
        .set("timeouts.response_renewed_by_102", true)
        .target("a", &target);
    let limpet = config().group(app).start();
    let mut client = limpet.client();
    client.send("GET / HTTP/1.1\r\nHost: limpet.test\r\n\r\n");
    assert_eq!(final_status(&mut client).0, 504);
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
