//! Every user comes back to the server that knows them: the cookie, each row of the verdict table,
//! fail-over that all shards and nodes agree on, and the application's own cookie as the guide.

mod app_cookie;
mod app_header;
mod coherence;
mod cookie;
mod counted;
mod expiry;
mod failover;
mod full;
mod keys;
mod refresh;
mod room;
mod session_match;
mod stripping;
mod verdict;
mod weighted;

use crate::support::config::{Config, Section};
use crate::support::{Cookie, Limpet, Response, Target, config, group};

pub const COOKIE: &str = "limpet_app";

/// Echo targets named a, b, c …
fn targets<const N: usize>() -> [Target; N] {
    std::array::from_fn(|i| Target::echo(name(i)))
}

fn name(index: usize) -> &'static str {
    ["a", "b", "c", "d", "e", "f"][index]
}

/// The sticky group `app` over the targets.
fn sticky_group(targets: &[Target]) -> Section {
    let mut section = group("app").sticky();
    for (index, target) in targets.iter().enumerate() {
        section = section.target(name(index), target);
    }
    section
}

/// A file with the sticky group `app` over the targets.
fn sticky(targets: &[Target]) -> Config {
    config().group(sticky_group(targets))
}

/// The stickiness cookie that a response sets.
#[track_caller]
fn issued(response: &Response) -> Cookie {
    response.set_cookie(COOKIE).unwrap_or_else(|| panic!("no cookie is issued: {}", response.head))
}

/// A first visit: the target that served it and the cookie to come back with.
#[track_caller]
fn first_visit(limpet: &Limpet) -> (String, Cookie) {
    let response = limpet.get("/first");
    (response.target(), issued(&response))
}

/// A visit on a connection of its own with a cookie.
#[track_caller]
fn visit(limpet: &Limpet, cookie: &Cookie) -> Response {
    limpet.client().get_cookie("/visit", &cookie.pair())
}

/// First visits until one is bound to the target of that name.
#[track_caller]
fn bound_to(limpet: &Limpet, target: &str) -> Cookie {
    for _ in 0..200 {
        let (at, cookie) = first_visit(limpet);
        if at == target {
            return cookie;
        }
    }
    panic!("no first visit ever goes to {target}");
}

/// The target of the index that [`name`] gives.
fn position(name_of: &str) -> usize {
    (0..6).find(|&i| name(i) == name_of).expect("a target's name")
}
