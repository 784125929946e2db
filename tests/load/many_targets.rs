//! A large configuration that is looked at all the time: clients of the data plane do not feel it.

use std::fmt::Write;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crate::support::{Client, Limpet, Target, config, group, listener, pause};

const GROUPS: usize = 2;
const TARGETS_PER_GROUP: usize = 5000;
const ROUNDS: usize = 3;

/// How long the API may take for an answer. That is as long as the machine's other work lets it; what is asked for is
/// that nobody waits for it.
const PATIENCE: Duration = Duration::from_secs(300);

/// Whoever waits until an answer has been made waits for more than one part in so many of the time until it has come;
/// making it is a fifth of that at least.
const SHARE_MOST: u32 = 6;
/// What any machine makes a request wait for now and then.
const PAUSE: Duration = Duration::from_millis(20);

/// From when to when something took.
#[derive(Debug, Clone, Copy)]
struct Span {
    began: Instant,
    ended: Instant,
}

impl Span {
    fn of<T>(what: impl FnOnce() -> T) -> (Span, T) {
        let began = Instant::now();
        let result = what();
        (Span { began, ended: Instant::now() }, result)
    }

    fn took(&self) -> Duration {
        self.ended.duration_since(self.began)
    }

    /// How long both were at the same time.
    fn beside(&self, other: &Span) -> Duration {
        let began = self.began.max(other.began);
        self.ended.min(other.ended).saturating_duration_since(began)
    }
}

/// Tells that there is no more to come, however it came to an end.
struct Done<'a>(&'a AtomicBool);

impl Drop for Done<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Requests one after the other, until it is done.
fn requests(limpet: &Limpet, done: &AtomicBool) -> Vec<Span> {
    let mut client = limpet.client();
    let mut all = Vec::new();
    while !done.load(Ordering::Relaxed) {
        let (span, response) = Span::of(|| client.get("/"));
        assert_eq!(response.status, 200);
        all.push(span);
        // A client that asks now and then, so that a stall is one slow request and not the whole run.
        pause(Duration::from_millis(2));
    }
    all
}

/// Asks for all that tells of every target, again and again.
fn answers(limpet: &Limpet) -> Vec<Span> {
    let paths = [("/v1/groups", "127.1.19.250:9"), ("/metrics", "target=\"127.0.0.9:9\"")];
    let asked = (0..ROUNDS).flat_map(|_| paths);
    let answer = |(path, tells): (&str, &str)| {
        let mut client = Client::connect_unix(&limpet.admin().socket);
        client.wire.set_patience(PATIENCE).expect("a deadline");
        let request =
            format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
        let (span, response) = Span::of(|| client.send(request).response());
        assert_eq!(response.status, 200, "{path}");
        assert!(response.text().contains(tells), "{path} does not tell of {tells}");
        span
    };
    asked.map(answer).collect()
}

#[test]
fn the_data_plane_does_not_wait_for_answers_about_ten_thousand_targets() {
    let target = Target::echo("a");
    // As many requests as there are while the answers are made.
    let web = listener("web").set("limits.requests_per_connection", 0);
    let app = group("app").target("a", &target);
    let mut text = config().with_admin().listener(web).group(app).text();
    for group in 0..GROUPS {
        write!(text, "[[target_group]]\nname = \"many-{group}\"\n").expect("a String takes all");
        for number in 0..TARGETS_PER_GROUP {
            let (high, low) = (number / 250, number % 250 + 1);
            write!(text, "[[target_group.target]]\naddress = \"127.{group}.{high}.{low}:9\"\n")
                .expect("a String takes all");
        }
    }
    let limpet = Limpet::start(&text);
    let done = AtomicBool::new(false);
    let (requests, answers) = std::thread::scope(|scope| {
        let asking = scope.spawn(|| {
            let _done = Done(&done);
            answers(&limpet)
        });
        (requests(&limpet, &done), asking.join().expect("answers"))
    });
    // However busy the machine is, an answer takes the longer for it as well. A pause that hits one request alone does
    // not hit one during most answers.
    let longest = |answer: &Span| requests.iter().map(|request| request.beside(answer)).max();
    let waits = answers.iter().map(|answer| (longest(answer).unwrap_or_default(), answer.took()));
    let waits: Vec<(Duration, Duration)> = waits.collect();
    println!(
        "{} requests; the longest during each answer, and the answer: {waits:?}",
        requests.len()
    );
    let waited =
        waits.iter().filter(|(longest, took)| *longest > (*took / SHARE_MOST).max(PAUSE)).count();
    assert!(waited * 2 < waits.len(), "requests wait for answers: {waits:?}");
}
