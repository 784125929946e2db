//! A large configuration that is looked at all the time: clients of the data plane do not feel it.

use std::fmt::Write;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crate::support::{Limpet, Target, config, group};

const GROUPS: usize = 2;
const TARGETS_PER_GROUP: usize = 5000;
const REQUESTS: usize = 300;

/// What requests take, in order, while `meanwhile` says that they shall go on.
fn latencies(limpet: &Limpet, meanwhile: impl Fn(usize) -> bool) -> Vec<Duration> {
    let mut client = limpet.client();
    let mut all = Vec::new();
    while meanwhile(all.len()) {
        let began = Instant::now();
        assert_eq!(client.get("/").status, 200);
        all.push(began.elapsed());
        // A client that asks now and then, so that a stall is one slow request and not the whole run.
        crate::support::pause(Duration::from_millis(2));
    }
    all.sort_unstable();
    all
}

fn at(sorted: &[Duration], percent: usize) -> Duration {
    sorted[(sorted.len() - 1) * percent / 100]
}

#[test]
fn the_data_plane_does_not_wait_for_answers_about_ten_thousand_targets() {
    let target = Target::echo("a");
    let mut text = config().with_admin().group(group("app").target("a", &target)).text();
    for group in 0..GROUPS {
        write!(text, "[[target_group]]\nname = \"many-{group}\"\n").expect("a String takes all");
        for number in 0..TARGETS_PER_GROUP {
            let (high, low) = (number / 250, number % 250 + 1);
            write!(text, "[[target_group.target]]\naddress = \"127.{group}.{high}.{low}:9\"\n")
                .expect("a String takes all");
        }
    }
    let limpet = Limpet::start(&text);
    let quiet = latencies(&limpet, |count| count < REQUESTS);
    let done = AtomicBool::new(false);
    let (busy, answers) = std::thread::scope(|scope| {
        let asking = scope.spawn(|| {
            let mut answers = Vec::new();
            for round in 0..6 {
                for (path, tells) in
                    [("/v1/groups", "127.1.19.250:9"), ("/metrics", "target=\"127.0.0.9:9\"")]
                {
                    let began = Instant::now();
                    let (status, content) = limpet.admin().ask("GET", path, "", "");
                    answers.push((path, began.elapsed(), content.len()));
                    assert_eq!(status, 200, "{path} {round}");
                    assert!(content.contains(tells), "{path} does not tell of {tells}");
                }
            }
            done.store(true, Ordering::Relaxed);
            answers
        });
        let busy = latencies(&limpet, |_| !done.load(Ordering::Relaxed));
        (busy, asking.join().expect("answers"))
    });
    println!(
        "quiet: p50 {:?}, p99 {:?}, worst {:?}",
        at(&quiet, 50),
        at(&quiet, 99),
        at(&quiet, 100)
    );
    println!("busy:  p50 {:?}, p99 {:?}, worst {:?}", at(&busy, 50), at(&busy, 99), at(&busy, 100));
    let slowest = answers.iter().map(|(_, took, _)| *took).max().expect("answers");
    println!(
        "answers: slowest {slowest:?}, of {} bytes",
        answers.iter().map(|one| one.2).max().unwrap_or(0)
    );
    // Who waited for an answer would wait as long as it takes. A machine that has other work is forgiven a pause.
    let limit = (at(&quiet, 99) * 10).max(Duration::from_millis(50));
    assert!(at(&busy, 90) < limit, "requests take {:?} while the API is asked", at(&busy, 90));
    assert!(busy.len() > 20, "only {} requests went through meanwhile", busy.len());
}
