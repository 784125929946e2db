//! The times in a record are those of what happened on the wire.

use std::time::{Duration, Instant};

use crate::support::kernel::engines;
use crate::support::{Target, config, group, listener, pause};

/// How long a client is silent between two requests; what is logged when it has been silent for a while is logged
/// before that.
const SILENCE: Duration = Duration::from_millis(40);

#[test]
fn the_total_time_has_nothing_of_the_clients_silence_afterwards() {
    let target = Target::answering(|request| {
        let length: usize = request.target.trim_start_matches(['/', 'c']).parse().unwrap();
        let mut response = b"HTTP/1.1 200 OK\r\n".to_vec();
        if request.target.starts_with("/c") {
            response.extend(format!("Transfer-Encoding: chunked\r\n\r\n{length:x}\r\n").bytes());
            response.resize(response.len() + length, b'x');
            response.extend(b"\r\n0\r\n\r\n");
        } else {
            response.extend(format!("Content-Length: {length}\r\n\r\n").bytes());
            response.resize(response.len() + length, b'x');
        }
        response
    });
    for engine in engines() {
        let limpet = config().process("engine", *engine).serving(&target).start();
        let mut client = limpet.client();
        let mut count = 0;
        for path in ["/2", "/c2", "/20000", "/c20000", "/100000", "/c100000", "/3000000"] {
            // Whatever else this machine does makes what the client measures longer too. Only between the last byte
            // and the look at the clock is limpet held up alone: not every time.
            let has_no_silence = (0..50).any(|_| {
                let began = Instant::now();
                client.get(path);
                let took = began.elapsed();
                pause(SILENCE);
                count += 1;
                limpet.record(count).number("total_us") < (took + SILENCE / 2).as_micros() as f64
            });
            assert!(has_no_silence, "{path} on {engine}: {}", limpet.record(count).line);
        }
    }
}

/// How long a target is silent within a response, and a client within a request.
const GAP: Duration = Duration::from_millis(400);
/// What is asked for of it: a shard's clock may be behind by a turn.
const MOST_OF_GAP_US: f64 = 350_000.0;

/// A target that answers every request with these parts, and a silence between two.
fn halting(parts: &'static [&'static str]) -> Target {
    Target::scripted(move |connection| {
        while connection.next_request()?.is_some() {
            for (at, part) in parts.iter().enumerate() {
                if at > 0 {
                    pause(GAP);
                }
                connection.send(part.as_bytes())?;
            }
        }
        Ok(())
    })
}

#[test]
fn the_first_byte_of_a_response_is_there_before_its_head_is_whole() {
    for engine in engines() {
        let target = halting(&["HTTP/1.1 200 OK\r\n", "Content-Length: 2\r\n\r\nok"]);
        let limpet = config().process("engine", *engine).serving(&target).start();
        limpet.get("/");
        let record = limpet.record(1);
        let rest = record.number("total_us") - record.number("first_byte_us");
        assert!(rest >= MOST_OF_GAP_US, "{engine}: {}", record.line);
    }
}

#[test]
fn an_interim_response_is_not_the_first_byte_of_the_response() {
    for engine in engines() {
        let target = halting(&[
            "HTTP/1.1 103 Early Hints\r\n\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
        ]);
        let limpet = config().process("engine", *engine).serving(&target).start();
        let mut client = limpet.client();
        client.send("GET / HTTP/1.1\r\nHost: h\r\n\r\n");
        assert_eq!((client.response().status, client.response().status), (103, 200));
        let record = limpet.record(1);
        assert!(record.number("first_byte_us") >= MOST_OF_GAP_US, "{engine}: {}", record.line);
    }
}

#[test]
fn the_time_of_a_head_that_is_not_whole_in_the_end_is_the_requests() {
    let target = Target::echo("a");
    for (setting, then) in [("400ms", "wait"), ("10s", "close"), ("10s", "spoil")] {
        let web = listener("web").set("timeouts.head", setting);
        let limpet = config().listener(web).group(group("app").target("a", &target)).start();
        let mut client = limpet.client();
        client.send("GET / HTTP/1.1\r\n");
        if then != "wait" {
            pause(GAP);
        }
        match then {
            "spoil" => drop(client.send("Host : h\r\n\r\n").response()),
            "close" => drop(client),
            _ => drop(client.response()),
        }
        let record = limpet.record(1);
        assert!(record.number("request_us") >= MOST_OF_GAP_US, "{then}: {}", record.line);
        assert!(record.number("bytes_in") >= 16.0, "{then}: {}", record.line);
        if then != "close" {
            let first_byte_us = record.number("first_byte_us");
            assert!(first_byte_us < MOST_OF_GAP_US, "{then}: {}", record.line);
        }
    }
}

#[test]
fn the_total_time_of_a_small_response_lasts_until_the_client_has_room_for_it() {
    const COUNT: usize = 1_000;
    for engine in engines() {
        let target = Target::answering(|_| {
            let mut response = b"HTTP/1.1 200 OK\r\nContent-Length: 14000\r\n\r\n".to_vec();
            response.resize(response.len() + 14_000, b'x');
            response
        });
        let limpet = config().process("engine", *engine).serving(&target).start();
        let mut client = limpet.client();
        client.wire.set_receive_buffer(64 << 10).unwrap();
        // More than all buffers hold.
        client.send("GET / HTTP/1.1\r\nHost: h\r\n\r\n".repeat(COUNT));
        pause(4 * GAP);
        for _ in 0..COUNT {
            client.response();
        }
        let log = limpet.access_log(COUNT);
        let most = log.iter().map(|record| record.number("total_us")).fold(0.0, f64::max);
        assert!(most >= MOST_OF_GAP_US, "{engine}: {most}");
    }
}
