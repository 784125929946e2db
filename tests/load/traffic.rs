//! Clients that ask on many kept connections, and tunnels that exchange data, for as long as something else goes on.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use crate::support::{Client, Limpet, Target};
use crate::tunnels;

const THREADS: usize = 4;
const CONNECTIONS_PER_THREAD: usize = 64;
const TUNNELS: usize = 20;

/// Answers requests with its name, and echoes in tunnels.
pub fn target(name: &'static str) -> Target {
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

/// A new connection.
type Connect = fn(&Limpet) -> Client;

/// What the clients saw.
#[derive(Default)]
struct Seen {
    stop: AtomicBool,
    requests: AtomicU64,
    /// What went through tunnels and back.
    echoes: AtomicU64,
    failures: Mutex<Vec<String>>,
}

impl Seen {
    fn fail(&self, what: String) {
        self.failures.lock().unwrap().push(what);
    }
}

/// 256 connections and 20 tunnels at work.
pub struct Traffic {
    seen: Arc<Seen>,
    threads: Vec<JoinHandle<()>>,
}

/// What became of it.
#[derive(Debug)]
pub struct Outcome {
    pub requests: u64,
    pub echoes: u64,
    pub failures: Vec<String>,
}

impl Traffic {
    pub fn start(limpet: &Arc<Limpet>, connect: Connect) -> Traffic {
        let seen = Arc::new(Seen::default());
        let work = |work: fn(&Limpet, Connect, &Seen)| {
            let (limpet, seen) = (Arc::clone(limpet), Arc::clone(&seen));
            std::thread::spawn(move || work(&limpet, connect, &seen))
        };
        let mut threads: Vec<_> = (0..THREADS).map(|_| work(ask_all)).collect();
        threads.push(work(echo_all));
        Traffic { seen, threads }
    }

    /// How many requests were answered, and how much came back through tunnels, so far.
    pub fn so_far(&self) -> (u64, u64) {
        let [requests, echoes] =
            [&self.seen.requests, &self.seen.echoes].map(|count| count.load(Ordering::Relaxed));
        (requests, echoes)
    }

    /// Lets everybody finish what he is at.
    pub fn finish(self) -> Outcome {
        self.seen.stop.store(true, Ordering::Relaxed);
        for thread in self.threads {
            thread.join().unwrap();
        }
        let failures = std::mem::take(&mut *self.seen.failures.lock().unwrap());
        let [requests, echoes] = [&self.seen.requests, &self.seen.echoes];
        Outcome {
            requests: requests.load(Ordering::Relaxed),
            echoes: echoes.load(Ordering::Relaxed),
            failures,
        }
    }
}

fn ask_all(limpet: &Limpet, connect: Connect, seen: &Seen) {
    let mut clients: Vec<(Client, Option<String>)> =
        (0..CONNECTIONS_PER_THREAD).map(|_| (connect(limpet), None)).collect();
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

fn echo_all(limpet: &Limpet, connect: Connect, seen: &Seen) {
    let mut tunnels: Vec<Client> =
        (0..TUNNELS).map(|_| tunnels::open(connect(limpet), "")).collect();
    while !seen.stop.load(Ordering::Relaxed) {
        for tunnel in &mut tunnels {
            tunnel.send(b"still here?");
        }
        for (number, tunnel) in tunnels.iter_mut().enumerate() {
            match tunnel.wire.read_exactly(11) {
                Ok(bytes) if bytes == b"still here?" => {
                    seen.echoes.fetch_add(1, Ordering::Relaxed);
                }
                other => seen.fail(format!("tunnel {number}: {other:?}")),
            }
        }
    }
}

/// User memory of a limpet.
pub fn resident_kib(limpet: &Limpet) -> u64 {
    let text = std::fs::read_to_string(format!("/proc/{}/status", limpet.id())).unwrap();
    let line = text.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

/// How many reloads by signal limpet says it has made.
pub fn reloads(limpet: &Limpet) -> usize {
    limpet.stderr().lines().filter(|line| line.contains("reload by SIGHUP")).count()
}
