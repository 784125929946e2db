//! A client that is gone ends what is done for it, wherever that is, and gives its place back.

use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use super::target::Blackhole;
use crate::support::kernel::engines;
use crate::support::target::echo_response;
use crate::support::wire::DEADLINE;
use crate::support::{Client, Limpet, Target, config, group, poll};

const GET: &str = "GET /it HTTP/1.1\r\nHost: limpet.test\r\n\r\n";
/// With all of its content, and with content that is never read before a target is there.
const SMALL: &str = "POST /it HTTP/1.1\r\nHost: limpet.test\r\nContent-Length: 5\r\n\r\nhello";
const LARGE_BYTES: usize = 100_000;

/// Requests after which there is different knowledge of the client: a receive in flight, or content that is
/// unread, or more than a request.
fn requests() -> [String; 4] {
    let large = format!(
        "POST /it HTTP/1.1\r\nHost: limpet.test\r\nContent-Length: {LARGE_BYTES}\r\n\r\n{}",
        "x".repeat(LARGE_BYTES)
    );
    [GET.to_owned(), SMALL.to_owned(), large, format!("{GET}GET /next HTTP/1.1\r\n")]
}

/// Each way to go with each kind of request, side by side, on one engine after the other.
fn each(case: impl Fn(&str, &str, fn(Client)) + Sync) {
    let ways: [fn(Client); 2] = [|client| client.wire.reset().unwrap(), drop];
    for engine in engines() {
        std::thread::scope(|scope| {
            for (request, leave) in
                requests().into_iter().flat_map(|r| ways.map(|w| (r.clone(), w)))
            {
                let case = &case;
                scope.spawn(move || case(engine, &request, leave));
            }
        });
    }
}

type Gate = Arc<(Mutex<bool>, Condvar)>;

fn open(gate: &Gate) {
    *gate.0.lock().unwrap() = true;
    gate.1.notify_all();
}

/// Keeps `/hold` until the gate is open.
fn holding(gate: &Gate) -> Target {
    let gate = gate.clone();
    Target::answering(move |request| {
        if request.target == "/hold" {
            let held = gate.0.lock().unwrap();
            drop(gate.1.wait_timeout_while(held, 3 * DEADLINE, |open| !*open).unwrap());
        }
        echo_response("a", request, "")
    })
}

#[track_caller]
fn assert_noticed(limpet: &Limpet, path: &str, ended: &[&str]) {
    let record = limpet.record_where(path, |record| record.text("path") == path);
    assert_eq!(record.number("status"), 499.0, "{}", record.line);
    assert!(ended.contains(&record.termination()), "{ended:?}: {}", record.line);
}

#[test]
fn in_the_queue() {
    each(|engine, request, leave| {
        let gate = Gate::default();
        let target = holding(&gate);
        let app = group("app")
            .set("connection_limit", 1)
            .set("queue", 1)
            .set("queue_timeout", "60s")
            .target("a", &target);
        let limpet = config().process("engine", engine).group(app).start();
        let mut held = limpet.client();
        held.send("GET /hold HTTP/1.1\r\nHost: limpet.test\r\n\r\n");
        target.wait_for_requests(1);
        let mut leaving = limpet.client();
        leaving.send(request);
        // The only place in the line is taken.
        let is_full = || (limpet.get("/full").status == 503).then_some(());
        poll(is_full).expect("the queue is full");
        leave(leaving);
        assert_noticed(&limpet, "/it", &["CQC", "CQR"]);
        let mut next = limpet.client();
        next.send("GET /waited HTTP/1.1\r\nHost: limpet.test\r\n\r\n");
        open(&gate);
        assert_eq!(held.response().status, 200);
        assert_eq!(next.response().echo().path, "/waited");
        assert_eq!(target.request_count(), 2, "nothing was done for the one who left");
    });
}

#[test]
fn in_a_connect() {
    let hole = Blackhole::new();
    each(|engine, request, leave| {
        let app = group("app").set("timeouts.connect", "60s").target_at(
            "hole",
            &hole.address.to_string(),
            "",
        );
        let limpet = config().process("engine", engine).group(app).start();
        let mut client = limpet.client();
        client.send(request);
        leave(client);
        assert_noticed(&limpet, "/it", &["CCC", "CCR"]);
    });
}

#[test]
fn while_the_target_thinks() {
    each(|engine, request, leave| {
        let target = Target::scripted(|connection| {
            connection.next_request()?;
            connection.read_until_closed().map(drop)
        });
        let limpet = config().process("engine", engine).serving(&target).start();
        let mut client = limpet.client();
        client.send(request);
        target.wait_for_requests(1);
        leave(client);
        assert_noticed(&limpet, "/it", &["CHC", "CHR"]);
        target.wait_until_idle();
    });
}

#[test]
fn while_a_stream_is_quiet() {
    each(|engine, request, leave| {
        let target = Target::scripted(|connection| {
            connection.next_request()?;
            connection.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n")?;
            connection.read_until_closed().map(drop)
        });
        let limpet = config().process("engine", engine).serving(&target).start();
        let mut client = limpet.client();
        client.send(request).response_head();
        leave(client);
        let record = limpet.record(1);
        assert!(["CDC", "CDR"].contains(&record.termination()), "{}", record.line);
        target.wait_until_idle();
    });
}

#[test]
fn by_a_reset_while_the_target_takes_no_content() {
    for engine in engines() {
        let target = Target::scripted(|connection| {
            connection.next_head()?;
            crate::support::pause(Duration::from_secs(5));
            connection.read_until_closed().map(drop)
        });
        let limpet = config().process("engine", *engine).serving(&target).start();
        let mut client = limpet.client();
        client.send(format!(
            "POST /it HTTP/1.1\r\nHost: limpet.test\r\nContent-Length: {}\r\n\r\n",
            64 << 20
        ));
        target.wait_for_requests(1);
        let mut writer = client.wire.writer().unwrap();
        let sending = std::thread::spawn(move || while writer.send(&[b'x'; 65536]).is_ok() {});
        // Until nothing more fits anywhere.
        crate::support::pause(Duration::from_millis(500));
        client.wire.cut();
        drop(sending.join());
        client.wire.reset().unwrap();
        assert_noticed(&limpet, "/it", &["CHC", "CHR", "CBC", "CBR"]);
    }
}

#[test]
fn one_that_half_closes_gets_a_quick_response_wherever_it_waited() {
    for engine in engines() {
        for request in requests().into_iter().take(3) {
            let gate = Gate::default();
            let target = holding(&gate);
            let app = group("app").set("connection_limit", 1).target("a", &target);
            let limpet = config().process("engine", *engine).group(app).start();
            let mut held = limpet.client();
            held.send("GET /hold HTTP/1.1\r\nHost: limpet.test\r\n\r\n");
            target.wait_for_requests(1);
            let mut client = limpet.client();
            client.send(request);
            client.wire.finish().unwrap();
            open(&gate);
            assert_eq!(held.response().status, 200);
            assert_eq!(client.response().echo().path, "/it");
        }
    }
}

#[test]
fn one_that_half_closes_behind_content_has_all_of_it_passed_on_however_slowly() {
    for engine in engines() {
        let length = 4 << 20;
        let target = Target::scripted(move |connection| {
            // So that it is limpet that still has to send most of it.
            connection.set_receive_buffer(256 << 10)?;
            connection.next_head()?;
            for _ in 0..5 {
                connection.read_exactly(length / 8)?;
                crate::support::pause(Duration::from_millis(600));
            }
            connection.read_exactly(3 * length / 8)?;
            connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
        });
        let limpet = config().process("engine", *engine).serving(&target).start();
        let mut client = limpet.client();
        client.send(format!(
            "POST / HTTP/1.1\r\nHost: limpet.test\r\nContent-Length: {length}\r\n\r\n"
        ));
        client.send(vec![b'x'; length]);
        client.wire.finish().unwrap();
        assert_eq!(client.response().text(), "ok");
    }
}
