//! Who ended an exchange, in which phase, and why.

use super::serving;
use crate::support::{Limpet, Target, config, group, listener};

const GET: &str = "GET / HTTP/1.1\r\nHost: limpet.test\r\n\r\n";

/// Status, termination code and code word of the first record.
#[track_caller]
fn assert_ended(limpet: &Limpet, status: u16, ended: &[&str]) {
    let record = limpet.record(1);
    assert_eq!(record.number("status"), f64::from(status), "{}", record.line);
    assert!(ended.contains(&record.termination()), "{ended:?}: {}", record.line);
    if !matches!(record.termination(), "---" | "L-A") {
        assert!(!record.lacks("code"), "no word says why: {}", record.line);
    }
}

#[test]
fn an_exchange_that_went_well_was_ended_by_nobody() {
    let (limpet, _target) = serving();
    limpet.get("/");
    assert_ended(&limpet, 200, &["---"]);
}

#[test]
fn an_answer_of_a_rule_was_ended_by_limpet() {
    for (action, status) in
        [("respond = { body = \"x\" }", 200), ("redirect = { to = \"https://new.test/\" }", 302)]
    {
        let target = Target::echo("a");
        let web = listener("web").rule(&format!("priority = 1\nwhen.path = [\"/*\"]\n{action}"));
        let limpet = config().listener(web).group(group("app").target("a", &target)).start();
        limpet.get("/");
        assert_ended(&limpet, status, &["L-A"]);
    }
}

#[test]
fn an_invalid_head_was_ended_by_the_client() {
    let (limpet, _target) = serving();
    limpet.client().send("GET / HTTP/1.1\r\nHost : x\r\n\r\n").response();
    assert_ended(&limpet, 400, &["CRI"]);
    assert_eq!(limpet.record(1).text("code"), "space_before_colon");
}

#[test]
fn a_head_that_is_too_long_met_a_limit() {
    let (limpet, _target) = serving();
    let path = "x".repeat(20_000);
    limpet.client().send(format!("GET /{path} HTTP/1.1\r\nHost: h\r\n\r\n")).response();
    assert_ended(&limpet, 414, &["CRL"]);
}

#[test]
fn a_head_that_came_too_late_is_a_deadline_of_the_client() {
    let target = Target::echo("a");
    let web = listener("web").set("timeouts.head", "200ms");
    let limpet = config().listener(web).group(group("app").target("a", &target)).start();
    limpet.client().send("GET / HTTP/1.1\r\n").response();
    assert_ended(&limpet, 408, &["CRT"]);
}

#[test]
fn content_that_stopped_is_a_deadline_of_the_client() {
    let target = Target::echo("a");
    let web = listener("web").set("timeouts.content_idle", "200ms");
    let limpet = config().listener(web).group(group("app").target("a", &target)).start();
    let mut client = limpet.client();
    client.send("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 9\r\n\r\nx").response();
    assert_ended(&limpet, 408, &["CBT"]);
}

#[test]
fn invalid_chunks_were_ended_by_the_client() {
    let (limpet, _target) = serving();
    let mut client = limpet.client();
    client
        .send("POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n")
        .response();
    assert_ended(&limpet, 400, &["CBI", "CRI"]);
}

#[test]
fn a_client_that_went_away_while_the_target_thought_is_a_499() {
    let target = Target::scripted(|connection| {
        connection.next_request()?;
        connection.read_until_closed().map(drop)
    });
    let limpet = config().serving(&target).start();
    let mut client = limpet.client();
    client.send(GET);
    target.wait_for_requests(1);
    client.wire.reset().unwrap();
    assert_ended(&limpet, 499, &["CHR", "CHC"]);
    target.wait_until_idle();
}

#[test]
fn a_client_that_closes_is_noticed_while_the_target_thinks() {
    for close in ["", "Connection: close\r\n"] {
        let target = Target::scripted(|connection| {
            connection.next_request()?;
            connection.read_until_closed().map(drop)
        });
        let limpet = config().serving(&target).start();
        let mut client = limpet.client();
        client.send(format!("GET / HTTP/1.1\r\nHost: limpet.test\r\n{close}\r\n"));
        target.wait_for_requests(1);
        drop(client);
        assert_ended(&limpet, 499, &["CHC"]);
        target.wait_until_idle();
    }
}

#[test]
fn a_client_that_closes_is_noticed_while_a_stream_is_quiet() {
    let target = Target::scripted(|connection| {
        connection.next_request()?;
        connection.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n")?;
        connection.read_until_closed().map(drop)
    });
    let limpet = config().serving(&target).start();
    let mut client = limpet.client();
    client.send(GET).response_head();
    drop(client);
    assert_ended(&limpet, 200, &["CDC"]);
    target.wait_until_idle();
}

#[test]
fn a_client_that_only_half_closed_gets_its_response() {
    let (limpet, _target) = serving();
    let mut client = limpet.client();
    client.send(GET);
    client.wire.finish().unwrap();
    assert_eq!(client.response().status, 200);
    assert_ended(&limpet, 200, &["---"]);
}

#[test]
fn a_client_that_went_away_inside_the_content_is_the_clients_doing() {
    let target = Target::scripted(|connection| {
        connection.next_request()?;
        connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n")?;
        let piece = [b'x'; 64 << 10];
        while connection.send(&piece).is_ok() {}
        Ok(())
    });
    let limpet = config().serving(&target).start();
    let mut client = limpet.client();
    client.send(GET).response_head();
    client.wire.reset().unwrap();
    assert_ended(&limpet, 200, &["CDR", "CDC"]);
    target.wait_until_idle();
}

#[test]
fn a_client_that_went_away_inside_its_head_is_the_clients_doing() {
    let (limpet, _target) = serving();
    let mut client = limpet.client();
    client.send("GET / HTTP/1.1\r\nHost: h\r\n");
    drop(client);
    assert_ended(&limpet, 499, &["CRC"]);
}

#[test]
fn a_client_that_went_away_inside_its_own_content_is_the_clients_doing() {
    let (limpet, target) = serving();
    let mut client = limpet.client();
    client.send("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 9\r\n\r\nx");
    target.wait_for_connections(1);
    client.wire.reset().unwrap();
    assert_ended(&limpet, 499, &["CBR", "CBC"]);
}

#[test]
fn a_refused_connect_was_ended_by_the_target() {
    let target = Target::refusing("a");
    let app = group("app").set("retries.count", 0).target("a", &target);
    let limpet = config().group(app).start();
    limpet.get("/");
    assert_ended(&limpet, 502, &["TCN"]);
}

#[test]
fn a_target_that_closed_or_reset_without_a_response_is_told_apart() {
    for (reset, ended) in [(false, ["THC"]), (true, ["THR"])] {
        let target = Target::scripted(move |connection| {
            connection.next_request()?;
            if reset { connection.reset_at_end() } else { Ok(()) }
        });
        let limpet = config().serving(&target).start();
        limpet.get("/");
        assert_ended(&limpet, 502, &ended);
    }
}

#[test]
fn an_invalid_response_was_ended_by_the_target() {
    let target = Target::fixed("HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n");
    let limpet = config().serving(&target).start();
    limpet.get("/");
    assert_ended(&limpet, 502, &["THI"]);
}

#[test]
fn a_response_past_its_deadline_is_the_targets() {
    let target = Target::scripted(|connection| {
        connection.next_request()?;
        connection.read_until_closed().map(drop)
    });
    let app = group("app").set("timeouts.response", "200ms").target("a", &target);
    let limpet = config().group(app).start();
    limpet.get("/");
    assert_ended(&limpet, 504, &["THT"]);
}

#[test]
fn a_response_that_broke_off_is_the_targets_with_its_status() {
    for (reset, ended) in [(false, ["TDC", "TDC"]), (true, ["TDR", "THR"])] {
        let target = Target::scripted(move |connection| {
            connection.next_request()?;
            connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello")?;
            if reset { connection.reset_at_end() } else { Ok(()) }
        });
        let limpet = config().serving(&target).start();
        let mut client = limpet.client();
        let status = client.send(GET).response_head().status;
        let _ = client.read_rest();
        // A reset may overtake the head; then it is a 502 and said so.
        assert!(status == 200 || reset);
        assert_ended(&limpet, status, &ended);
    }
}

#[test]
fn a_full_queue_was_ended_by_limpet() {
    let target = Target::scripted(|connection| {
        connection.next_request()?;
        connection.read_until_closed().map(drop)
    });
    let app = group("app").set("connection_limit", 1).set("queue", 0).target("a", &target);
    let limpet = config().group(app).start();
    let mut held = limpet.client();
    held.send(GET);
    target.wait_for_requests(1);
    assert_eq!(limpet.get("/").status, 503);
    assert_ended(&limpet, 503, &["LQF"]);
}

#[test]
fn no_usable_target_was_ended_by_limpet() {
    let target = Target::echo("a");
    let app = group("app").target_with("a", &target, "state = \"draining\"");
    let limpet = config().group(app).start();
    assert_eq!(limpet.get("/").status, 503);
    let record = limpet.record(1);
    assert!(
        record.termination().starts_with('L') && record.termination().ends_with('U'),
        "{}",
        record.line
    );
}

#[test]
fn an_idle_connection_that_closes_writes_no_record() {
    let (limpet, _target) = serving();
    limpet.get("/one");
    drop(limpet.client());
    limpet.get("/two");
    let log = limpet.access_log(2);
    assert_eq!((log[0].text("path"), log[1].text("path")), ("/one", "/two"));
}

/// A target that answers a request's head at once and reads no further.
fn hasty() -> Target {
    Target::scripted(|connection| {
        if connection.next_head()?.is_some() {
            connection.send(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno")?;
            connection.read_until_closed()?;
        }
        Ok(())
    })
}

const CUT_UPLOADS: [&str; 2] =
    ["Content-Length: 100\r\n\r\nsome", "Transfer-Encoding: chunked\r\n\r\n4\r\nsome\r\n"];

#[test]
fn a_response_before_the_content_was_whole_is_the_targets_doing() {
    for upload in CUT_UPLOADS {
        let target = hasty();
        let limpet = config().serving(&target).start();
        let mut client = limpet.client();
        client.send(format!("POST / HTTP/1.1\r\nHost: h\r\n{upload}"));
        assert_eq!(client.response().status, 403);
        assert_ended(&limpet, 403, &["TBC"]);
        assert_eq!(limpet.record(1).text("code"), "early_response");
    }
}

#[test]
fn a_client_that_cuts_its_content_off_behind_an_early_response_is_told_apart() {
    for upload in CUT_UPLOADS {
        let target = Target::scripted(|connection| {
            if connection.next_head()?.is_some() {
                connection.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")?;
                connection.read_until_closed()?;
            }
            Ok(())
        });
        let limpet = config().serving(&target).start();
        let mut client = limpet.client();
        client.send(format!("POST / HTTP/1.1\r\nHost: h\r\n{upload}")).response_head();
        drop(client);
        assert_ended(&limpet, 200, &["CBC"]);
    }
}
