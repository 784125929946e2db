//! Draining by the admin API: who still comes, what is shown meanwhile, how it ends, and that nobody is
//! logged out and nothing is cut before its time.

mod bound;
mod counted;
mod leaving;

use std::time::Duration;

use serde_json::Value;

use crate::support::config::Section;
use crate::support::{Client, Limpet, Response, Target, config, group};

/// What each user waits before asking again.
const PACE: Duration = Duration::from_millis(20);

/// A drain is looked at four times a second; and a loaded machine may be late.
const LOOK_MS: u64 = 250;
const LATE_MS: u64 = 1500;

/// The sticky group `app`.
fn sticky(targets: &[(&str, &Target)], settings: impl FnOnce(Section) -> Section) -> Limpet {
    let mut app = settings(group("app").sticky());
    for (name, target) in targets {
        app = app.target(name, target);
    }
    config().with_admin().process("shards", 2).group(app).start()
}

/// Drains `target` of `app` as `options` say.
#[track_caller]
fn drain(limpet: &Limpet, target: &str, options: &str) -> Value {
    limpet.admin().change("POST", &format!("/v1/groups/app/targets/{target}/drain"), options)
}

/// The drain of `target` of `app` as it is shown.
#[track_caller]
fn shown(limpet: &Limpet, target: &str) -> Value {
    limpet.admin().target("app", target)["drain"].clone()
}

/// A connection whose session is at `target`, and the session's cookie. It counts as a session, since the cookie has
/// come back: a drain that waits for sessions is held by it.
#[track_caller]
fn session_on(limpet: &Limpet, target: &str) -> (Client, String) {
    for _ in 0..50 {
        let mut client = limpet.client();
        let response = client.get("/first");
        if response.target() == target {
            let cookie = cookie(&response).expect("a cookie");
            assert_eq!(client.get_cookie("/back", &cookie).target(), target);
            return (client, cookie);
        }
    }
    panic!("nobody is sent to {target}");
}

fn cookie(response: &Response) -> Option<String> {
    response.set_cookie("limpet_app").map(|cookie| cookie.pair())
}

/// Who serves new visitors.
fn visited(limpet: &Limpet) -> Vec<String> {
    let mut names: Vec<String> = (0..12).map(|_| limpet.get("/new").target()).collect();
    names.sort();
    names.dedup();
    names
}
