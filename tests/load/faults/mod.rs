//! Targets that fail under load: the share of failures that clients see is what the settings predict, and
//! the sessions of a dead target move together.
//!
//! Sixty-four users with sessions, GETs and POSTs, four targets and four shards. Each prediction is derived
//! from the settings beside it; what was seen is printed.

mod hung;
mod killed;
mod moving;
mod statuses;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::Duration;

use crate::support::config::Section;
use crate::support::load::{Asked, Load};
use crate::support::target::echo_response;
use crate::support::{Limpet, Target, config, group, pause};

const USERS: usize = 64;
const NAMES: [&str; 4] = ["a", "b", "c", "d"];
/// Who fails.
const SICK: usize = 1;

/// What each user waits before asking again.
const PACE: Duration = Duration::from_millis(5);

/// From an event of the control plane to when every shard has the new snapshot, with a loaded machine.
const PUBLISHED_MS: u64 = 500;

/// How a target behaves; any other number is the status it answers with.
const WELL: u16 = 0;
const HUNG: u16 = 1;
const SLOW: u16 = 2;

/// How long a request takes at a target that is well, so that some are always in flight …
const WORK: Duration = Duration::from_millis(20);
/// … and at a slow one.
const SLOW_WORK: Duration = Duration::from_millis(250);

/// Four targets, one of which can be made to fail, behind limpet.
struct Stage {
    limpet: Limpet,
    targets: Vec<Target>,
    mode: Arc<AtomicU16>,
}

impl Stage {
    /// With the group `app` as `settings` make it.
    fn new(settings: impl FnOnce(Section) -> Section) -> Stage {
        let mode = Arc::new(AtomicU16::new(WELL));
        let targets: Vec<Target> = NAMES
            .iter()
            .enumerate()
            .map(|(index, name)| {
                let mode = if index == SICK { Arc::clone(&mode) } else { Arc::default() };
                behaving(name, mode)
            })
            .collect();
        let mut app = settings(group("app").sticky());
        for (name, target) in NAMES.iter().zip(&targets) {
            app = app.target(name, target);
        }
        let limpet = config().with_admin().process("shards", 4).group(app).start();
        Stage { limpet, targets, mode }
    }

    /// All users at work, each with its session.
    fn load(&self) -> Load {
        let load = Load::start(&self.limpet, USERS, PACE);
        // Enough that a fifth of it, the retry budget, is more than can be in flight at one target.
        load.more(10 * USERS);
        load
    }

    fn set(&self, mode: u16) {
        self.mode.store(mode, Ordering::SeqCst);
    }

    fn sick(&mut self) -> &mut Target {
        &mut self.targets[SICK]
    }
}

/// Checked at `/up` twice a second; two failed checks decide.
fn checked(app: Section) -> Section {
    app.set("health_check.type", "http")
        .set("health_check.path", "/up")
        .set("health_check.interval", "500ms")
        .set("health_check.timeout", "500ms")
        .set("health_check.rise", 1)
        .set("health_check.fall", 2)
}

/// Ejected for long after so many gateway errors in a row.
const ERRORS: usize = 3;

fn ejecting(app: Section) -> Section {
    app.set("ejection.errors", ERRORS as i64)
        .set("ejection.time", "10m")
        .set("ejection.time_max", "10m")
}

/// An echo target that does as `mode` says; statuses are not for checks.
fn behaving(name: &'static str, mode: Arc<AtomicU16>) -> Target {
    Target::scripted(move |connection| {
        while let Some(request) = connection.next_request()? {
            match mode.load(Ordering::SeqCst) {
                // Until limpet has had enough.
                HUNG => return connection.read_some().map(drop),
                SLOW => pause(SLOW_WORK),
                _ => pause(WORK),
            }
            let status = mode.load(Ordering::SeqCst);
            let answer = match status {
                WELL | SLOW => echo_response(name, &request, ""),
                _ if request.target == "/up" => echo_response(name, &request, ""),
                HUNG => return connection.read_some().map(drop),
                _ => format!(
                    "HTTP/1.1 {status} Sorry\r\nX-Target: {name}\r\nContent-Length: 0\r\n\r\n"
                )
                .into_bytes(),
            };
            connection.send(&answer)?;
        }
        Ok(())
    })
}

/// The requests that failed.
fn failures(asked: &[Asked]) -> Vec<&Asked> {
    asked.iter().filter(|one| one.has_failed()).collect()
}

/// Users that were ever served by the target that fails.
fn users_of_the_sick(asked: &[Asked]) -> BTreeSet<usize> {
    asked.iter().filter(|one| one.target == NAMES[SICK]).map(|one| one.client).collect()
}

/// Prints what was seen, for the note.
fn tell(what: &str, asked: &[Asked]) {
    let failed = failures(asked);
    let of = |method: &str| failed.iter().filter(|one| one.method == method).count();
    let statuses: BTreeSet<u16> = failed.iter().map(|one| one.status).collect();
    println!(
        "{what}: {} requests, {} failed ({:.3} %; GET {}, POST {}), statuses {statuses:?}, {} users at the sick target",
        asked.len(),
        failed.len(),
        100.0 * failed.len() as f64 / asked.len() as f64,
        of("GET"),
        of("POST"),
        users_of_the_sick(asked).len(),
    );
}

/// Every user was served by one target before `moved` and, if it was the sick one, by one other since.
#[track_caller]
fn assert_each_user_moved_once_at_most(asked: &[Asked]) {
    for user in 0..USERS {
        let mut seen: Vec<&str> = asked
            .iter()
            .filter(|one| one.client == user && !one.target.is_empty())
            .map(|one| one.target.as_str())
            .collect();
        seen.dedup();
        match seen.as_slice() {
            [_] => {}
            [first, second] => assert!(*first == NAMES[SICK] && *second != NAMES[SICK], "{seen:?}"),
            _ => panic!("user {user} was sent about: {seen:?}"),
        }
    }
}
