//! Reloads and edits while 256 connections and 20 tunnels are at work: nothing fails, nothing closes.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use crate::support::{Client, Config, Limpet, Target, config, group, listener, poll};
use crate::tunnels;

const THREADS: usize = 4;
const CONNECTIONS_PER_THREAD: usize = 64;
const TUNNELS: usize = 20;
const RELOADS: u32 = 200;
const EDITS: u32 = 50;

/// Answers requests with its name, and echoes in tunnels.
fn target(name: &'static str) -> Target {
    Target::scripted(move |connection| {
        while let Some(request) = connection.next_request()? {
            if request.fields.has("upgrade") {
                return tunnels::echo(connection);
            }
            connection
                .send(format!("HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n{name}").as_bytes())?;
        }
        Ok(())
    })
}

/// The configuration of one round: what differs does not touch where requests go.
fn round(a: &Target, b: &Target, number: u32) -> Config {
    let app = group("app")
        .target("a", a)
        .target_with("b", b, &format!("weight = {}", 1 + number % 3))
        .set("retries.count", i64::from(number % 4))
        .set("stickiness.enabled", number % 4 >= 2)
        .set("stickiness.duration", format!("{}m", 10 + number));
    let web = listener("web").set("forward", "app").set("timeouts.keep_alive", "60s");
    let config = config().process("shards", 2).listener(web).group(app);
    match number % 2 {
        0 => config,
        _ => config.listener(listener("now-and-then").set("respond.body", "here")),
    }
}

/// What the clients saw.
#[derive(Default)]
struct Seen {
    stop: AtomicBool,
    requests: AtomicU64,
    failures: Mutex<Vec<String>>,
}

impl Seen {
    fn fail(&self, what: String) {
        self.failures.lock().unwrap().push(what);
    }
}

fn ask_all(limpet: &Limpet, seen: &Seen) {
    let mut clients: Vec<(Client, Option<String>)> =
        (0..CONNECTIONS_PER_THREAD).map(|_| (limpet.client(), None)).collect();
    while !seen.stop.load(Ordering::Relaxed) {
        for (client, cookie) in &mut clients {
            let line = cookie.as_ref().map_or(String::new(), |pair| format!("Cookie: {pair}\r\n"));
            client.send(format!("GET / HTTP/1.1\r\nHost: limpet.test\r\n{line}\r\n"));
        }
        for (client, cookie) in &mut clients {
            let response = client.response();
            if response.status != 200 || response.field("connection") == Some("close") {
                seen.fail(response.head.clone());
            }
            if let Some(set) = response.set_cookie("limpet_app") {
                *cookie = Some(set.pair());
            }
            seen.requests.fetch_add(1, Ordering::Relaxed);
        }
    }
}

fn echo_all(limpet: &Limpet, seen: &Seen) {
    let mut tunnels: Vec<Client> =
        (0..TUNNELS).map(|_| tunnels::open(limpet.client(), "")).collect();
    while !seen.stop.load(Ordering::Relaxed) {
        for tunnel in &mut tunnels {
            tunnel.send(b"still here?");
        }
        for (number, tunnel) in tunnels.iter_mut().enumerate() {
            match tunnel.wire.read_exactly(11) {
                Ok(bytes) if bytes == b"still here?" => {}
                other => seen.fail(format!("tunnel {number}: {other:?}")),
            }
        }
    }
}

fn resident_kib(limpet: &Limpet) -> u64 {
    let text = std::fs::read_to_string(format!("/proc/{}/status", limpet.id())).unwrap();
    let line = text.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

/// How many reloads limpet says it has made.
fn reloads(limpet: &Limpet) -> usize {
    limpet.stderr().lines().filter(|line| line.contains("reload by SIGHUP")).count()
}

#[test]
fn two_hundred_reloads_and_fifty_edits_under_load_fail_nothing_and_close_nothing() {
    let (a, b) = (target("a"), target("b"));
    let with_admin = |number| round(&a, &b, number).with_admin();
    let limpet = Arc::new(with_admin(0).start());
    let seen = Arc::new(Seen::default());
    let work = |work: fn(&Limpet, &Seen)| {
        let (limpet, seen) = (Arc::clone(&limpet), Arc::clone(&seen));
        std::thread::spawn(move || work(&limpet, &seen))
    };
    let mut threads: Vec<_> = (0..THREADS).map(|_| work(ask_all)).collect();
    threads.push(work(echo_all));
    let mut resident = 0;
    for number in 1..=RELOADS {
        limpet.write_config(&with_admin(number).text());
        limpet.signal(libc::SIGHUP);
        let wanted = number as usize;
        assert!(
            poll(|| (reloads(&limpet) >= wanted).then_some(())).is_some(),
            "{}",
            limpet.stderr()
        );
        if number % (RELOADS / EDITS) == 0 {
            let enabled = number % 8 == 0;
            let (status, body) = limpet.admin().patch(
                "/v1/groups/app/stickiness",
                &format!("{{\"set\":{{\"enabled\":{enabled}}}}}"),
            );
            assert_eq!(status, 200, "{body}");
        }
        if number == RELOADS / 2 {
            resident = resident_kib(&limpet);
        }
    }
    seen.stop.store(true, Ordering::Relaxed);
    for thread in threads {
        thread.join().unwrap();
    }
    let grown = resident_kib(&limpet).saturating_sub(resident);
    println!(
        "{} requests, {} KiB resident at half time, {grown} KiB more at the end",
        seen.requests.load(Ordering::Relaxed),
        resident
    );
    assert_eq!(*seen.failures.lock().unwrap(), Vec::<String>::new());
    assert!(seen.requests.load(Ordering::Relaxed) > 1000);
    assert!(grown < 4096, "{grown} KiB more after {RELOADS} reloads");
}
