//! Clients that ask all the time, each on a connection and with a session of its own, and write down what
//! they saw.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::client::Client;
use super::limpet::{Limpet, pause, poll};

/// One request and what came of it.
#[derive(Debug, Clone)]
pub struct Asked {
    /// Who asked.
    pub client: usize,
    pub method: &'static str,
    /// Of no other request.
    pub path: String,
    pub sent_unix_ms: u64,
    pub took_ms: u64,
    /// 0 when the connection ended in place of a response.
    pub status: u16,
    /// Who answered; "" when it was limpet itself.
    pub target: String,
}

impl Asked {
    pub fn has_failed(&self) -> bool {
        self.status != 200
    }
}

/// Closed loops: each client asks again a while after its answer, GET and POST in turns.
pub struct Load {
    stop: Arc<AtomicBool>,
    answered: Arc<AtomicUsize>,
    threads: Vec<JoinHandle<Vec<Asked>>>,
}

impl Load {
    /// Starts `clients`; each keeps its `limpet_app` cookie and waits for `pace` between two requests.
    pub fn start(limpet: &Limpet, clients: usize, pace: Duration) -> Load {
        let address = limpet.address();
        let stop = Arc::new(AtomicBool::new(false));
        let answered = Arc::new(AtomicUsize::new(0));
        let threads = (0..clients)
            .map(|client| {
                let (stop, answered) = (Arc::clone(&stop), Arc::clone(&answered));
                std::thread::spawn(move || {
                    let mut user = User::new(client, address);
                    while !stop.load(Ordering::Relaxed) {
                        user.ask();
                        answered.fetch_add(1, Ordering::Relaxed);
                        pause(pace);
                    }
                    user.asked
                })
            })
            .collect();
        Load { stop, answered, threads }
    }

    /// Waits until `count` more requests have been answered.
    #[track_caller]
    pub fn more(&self, count: usize) {
        let wanted = self.answered.load(Ordering::Relaxed) + count;
        let enough = || (self.answered.load(Ordering::Relaxed) >= wanted).then_some(());
        poll(enough).expect("the clients are answered in time");
    }

    /// Goes on until then.
    #[track_caller]
    pub fn until(&self, at_unix_ms: u64) {
        poll(|| (unix_ms() >= at_unix_ms).then_some(())).expect("a time that comes soon");
    }

    /// Lets every client finish what it is at; everything, in the order of each client.
    pub fn finish(self) -> Vec<Asked> {
        self.stop.store(true, Ordering::Relaxed);
        let all = self.threads.into_iter().map(|thread| thread.join().expect("a client"));
        all.flatten().collect()
    }
}

pub fn unix_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).expect("a clock after 1970");
    u64::try_from(since.as_millis()).expect("a clock before the end")
}

struct User {
    client: usize,
    address: SocketAddr,
    connection: Option<Client>,
    cookie: String,
    asked: Vec<Asked>,
}

impl User {
    fn new(client: usize, address: SocketAddr) -> User {
        User { client, address, connection: None, cookie: String::new(), asked: Vec::new() }
    }

    fn ask(&mut self) {
        let number = self.asked.len();
        let method = if (self.client + number).is_multiple_of(2) { "GET" } else { "POST" };
        let content = if method == "POST" { "once" } else { "" };
        let path = format!("/{}/{number}", self.client);
        let request = format!(
            "{method} {path} HTTP/1.1\r\nHost: limpet.test\r\n{}Content-Length: {}\r\n\r\n{content}",
            self.cookie,
            content.len()
        );
        let address = self.address;
        let connection = self.connection.get_or_insert_with(|| Client::connect(address));
        let sent_unix_ms = unix_ms();
        connection.send(request);
        let response = connection.wire.read_response(method);
        let took_ms = unix_ms().saturating_sub(sent_unix_ms);
        let (mut status, mut target) = (0, String::new());
        if let Ok(response) = &response {
            status = response.status;
            target = response.fields.all("x-target").concat();
            if let Some(cookie) = response.set_cookie("limpet_app") {
                self.cookie = format!("Cookie: {}\r\n", cookie.pair());
            }
        }
        if !response.is_ok_and(|response| response.field("connection") != Some("close")) {
            self.connection = None;
        }
        let client = self.client;
        self.asked.push(Asked { client, method, path, sent_unix_ms, took_ms, status, target });
    }
}
