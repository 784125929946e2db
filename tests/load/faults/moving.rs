//! The sessions of a dead target: each moves to one and the same new target, whoever asks, on all shards,
//! and stays or returns as the settings say.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Barrier;

use super::checked;
use crate::support::config::Section;
use crate::support::{Client, Limpet, Target, config, group, poll};

const SHARDS: usize = 4;
const NAMES: [&str; 5] = ["a", "b", "c", "d", "e"];
const SESSIONS: usize = 40;
/// Connections that each ask for every session.
const ASKERS: usize = 48;
/// How often each asker asks for each session.
const TIMES: usize = 3;

struct Stage {
    limpet: Limpet,
    targets: Vec<Target>,
}

impl Stage {
    fn new(settings: impl FnOnce(Section) -> Section) -> Stage {
        let targets: Vec<Target> = NAMES.iter().map(|name| Target::echo(name)).collect();
        let mut app = settings(group("app").sticky());
        for (name, target) in NAMES.iter().zip(&targets) {
            app = app.target(name, target);
        }
        let limpet = config().with_admin().process("shards", SHARDS as i64).group(app).start();
        Stage { limpet, targets }
    }

    /// The cookies of the sessions that `target` got of `SESSIONS` new ones.
    fn sessions_of(&self, target: &str) -> Vec<String> {
        let all = (0..SESSIONS).map(|_| self.limpet.get("/first"));
        let of = all.filter(|response| response.target() == target);
        of.map(|response| response.set_cookie("limpet_app").unwrap().pair()).collect()
    }

    /// Asks for every session over many connections at once, on every shard; who served it, and the newest
    /// cookie of each.
    fn ask(&self, cookies: &[String]) -> Vec<(BTreeSet<String>, String)> {
        let clients: Vec<Client> = (0..ASKERS).map(|_| self.limpet.client()).collect();
        self.assert_every_shard_has_connections();
        let start = Barrier::new(ASKERS);
        let answers: Vec<Vec<(usize, String, Option<String>)>> = std::thread::scope(|scope| {
            let threads: Vec<_> = clients
                .into_iter()
                .enumerate()
                .map(|(asker, mut client)| {
                    let start = &start;
                    scope.spawn(move || {
                        start.wait();
                        let turns =
                            (0..TIMES * cookies.len()).map(|turn| (turn + asker) % cookies.len());
                        turns
                            .map(|session| {
                                let response = client.get_cookie("/", &cookies[session]);
                                let new = response.set_cookie("limpet_app").map(|new| new.pair());
                                (session, response.target(), new)
                            })
                            .collect()
                    })
                })
                .collect();
            threads.into_iter().map(|thread| thread.join().expect("an asker")).collect()
        });
        let mut seen: Vec<(BTreeSet<String>, String)> =
            cookies.iter().map(|cookie| (BTreeSet::new(), cookie.clone())).collect();
        for (session, target, cookie) in answers.into_iter().flatten() {
            seen[session].0.insert(target);
            if let Some(cookie) = cookie {
                seen[session].1 = cookie;
            }
        }
        seen
    }

    fn assert_every_shard_has_connections(&self) {
        let all_have = || {
            let overview = self.limpet.admin().get("/v1/overview");
            let shards = overview["shards"].as_array()?.clone();
            let has = |shard: &serde_json::Value| shard["connections"].as_u64() > Some(0);
            (shards.len() == SHARDS && shards.iter().all(has)).then_some(())
        };
        poll(all_have).expect("connections on every shard");
    }

    /// One target for each session, with the cookies to come back with.
    #[track_caller]
    fn homes(&self, cookies: &[String]) -> (Vec<String>, Vec<String>) {
        let seen = self.ask(cookies);
        for (targets, _) in &seen {
            assert_eq!(targets.len(), 1, "a session at several targets: {targets:?}");
        }
        seen.into_iter()
            .map(|(targets, cookie)| (targets.into_iter().next().unwrap(), cookie))
            .unzip()
    }
}

/// Lets `b` die and return: where its sessions live meanwhile and afterwards.
fn dies_and_returns(
    what: &str,
    settings: impl FnOnce(Section) -> Section,
    is_checked: bool,
) -> [Vec<String>; 2] {
    let mut stage = Stage::new(settings);
    let cookies = stage.sessions_of("b");
    assert_eq!(cookies.len(), SESSIONS / NAMES.len(), "round robin placed them");
    let (before, cookies) = stage.homes(&cookies);
    assert!(before.iter().all(|home| home == "b"), "{before:?}");
    stage.targets[1].down();
    // At once, when it is refused, and the same when checks know it.
    let (moved, new_cookies) = stage.homes(&cookies);
    if is_checked {
        stage.limpet.admin().until_health("app", "b", "unhealthy");
        assert_eq!(stage.homes(&cookies).0, moved, "with the old cookies");
    }
    assert_eq!(stage.homes(&new_cookies).0, moved, "with the new cookies");
    assert!(moved.iter().all(|home| home != "b"), "{moved:?}");
    let mut spread: BTreeMap<&str, usize> = BTreeMap::new();
    for home in &moved {
        *spread.entry(home).or_default() += 1;
    }
    println!(
        "{what}: {} sessions of b, {} requests each, now at {spread:?}",
        moved.len(),
        ASKERS * TIMES
    );
    stage.targets[1].up();
    if is_checked {
        stage.limpet.admin().until_health("app", "b", "healthy");
    }
    let (after, _) = stage.homes(&new_cookies);
    [moved, after]
}

#[test]
fn all_requests_of_a_dead_targets_session_agree_on_one_new_target_and_stay() {
    let [moved, after] = dies_and_returns("unwatched, never", |app| app, false);
    assert_eq!(after, moved);
    let [moved, after] = dies_and_returns("checked, never", checked, true);
    assert_eq!(after, moved);
}

#[test]
fn they_return_together_where_failback_says_so() {
    let healthy = |app: Section| app.set("stickiness.failback", "healthy");
    for (what, is_checked) in [("unwatched, healthy", false), ("checked, healthy", true)] {
        let settings = |app| if is_checked { healthy(checked(app)) } else { healthy(app) };
        let [_, after] = dies_and_returns(what, settings, is_checked);
        assert!(after.iter().all(|home| home == "b"), "{after:?}");
    }
}
