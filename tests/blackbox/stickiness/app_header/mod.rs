//! `app_header`: an application hands out session ids in a field, and its clients come back with them to the target
//! that knows them, though they keep no cookies.

mod ends;
mod forged;
mod lost;
mod scopes;

use std::collections::HashSet;

use crate::support::config::{Config, Section};
use crate::support::{Limpet, Request, Response, Target, config, group};

const FIELD: &str = "Mcp-Session-Id";

/// An application that begins the session V at `/begin/V`, or where `X-Begin` says V, and names the session of a
/// request at `/echo`.
fn application(request: &Request) -> String {
    let named = |session_id: &str| format!("mcp-session-ID: {session_id}\r\n");
    let begun = request.target.strip_prefix("/begin/").or(request.fields.one("x-begin"));
    match (begun, request.fields.all(FIELD).first()) {
        (Some(session_id), _) => named(session_id),
        (None, Some(session_id)) if request.target == "/echo" => named(session_id),
        (None, _) => String::new(),
    }
}

fn targets<const N: usize>() -> [Target; N] {
    std::array::from_fn(|at| Target::echo_with(super::name(at), application))
}

/// The sticky group `app` over the targets.
fn sticky_group(targets: &[Target]) -> Section {
    let section = super::sticky_group(targets);
    section.set("stickiness.type", "app_header").set("stickiness.app_header", FIELD)
}

fn sticky(targets: &[Target]) -> Config {
    config().group(sticky_group(targets))
}

/// The same, where a lost session is answered with this status.
fn telling(targets: &[Target], status: i64) -> Config {
    config().group(sticky_group(targets).set("stickiness.on_lost", status))
}

/// Begins a session: who keeps it, and the value to come back with.
#[track_caller]
fn begin(limpet: &Limpet, session_id: &str) -> (String, String) {
    let response = limpet.get(&format!("/begin/{session_id}"));
    (response.target(), value(&response))
}

/// A session at the target of this name.
#[track_caller]
fn begin_at(limpet: &Limpet, target: &str) -> String {
    for at in 0..200 {
        let (kept_by, value) = begin(limpet, &format!("session-{at}"));
        if kept_by == target {
            return value;
        }
    }
    panic!("no session ever begins at {target}");
}

#[track_caller]
fn value(response: &Response) -> String {
    let value = response.field(FIELD);
    value.unwrap_or_else(|| panic!("no session id: {}", response.head)).to_owned()
}

/// A visit on a connection of its own.
#[track_caller]
fn visit(limpet: &Limpet, path: &str, value: &str) -> Response {
    limpet.client().get_with(path, &format!("{FIELD}: {value}\r\n"))
}

fn spread(limpet: &Limpet, value: &str) -> HashSet<String> {
    (0..6).map(|_| visit(limpet, "/page", value).target()).collect()
}

#[test]
fn a_session_comes_back_to_the_target_that_began_it() {
    let targets = targets::<3>();
    let limpet = sticky(&targets).start();
    for at in 0..6 {
        let (kept_by, value) = begin(&limpet, &format!("id-{at}"));
        assert_eq!(spread(&limpet, &value), HashSet::from([kept_by]));
    }
    let record = limpet.record_where("a bound request", |record| record.reason() == "valid");
    assert_eq!(record.reason(), "valid");
}

#[test]
fn the_target_sees_its_own_session_id_and_the_client_the_sealed_one() {
    let targets = targets::<2>();
    let limpet = sticky(&targets).start();
    let (_, value) = begin(&limpet, "abc.def");
    assert!(value.starts_with("abc.def.") && value.len() == "abc.def.".len() + 115, "{value}");
    let echo = visit(&limpet, "/echo", &value);
    assert_eq!(echo.echo().fields.all(FIELD), ["abc.def"]);
    assert_eq!(self::value(&echo), value, "as the client has it");
    assert!(echo.set_cookie(super::COOKIE).is_none(), "{}", echo.head);
}

#[test]
fn sessions_that_begin_on_one_connection_are_spread() {
    let targets = targets::<3>();
    let limpet = sticky(&targets).start();
    let mut client = limpet.client();
    let kept_by: HashSet<String> =
        (0..6).map(|at| client.get(&format!("/begin/{at}")).target()).collect();
    assert_eq!(kept_by.len(), 3);
    let unbound: HashSet<String> = (0..6).map(|_| client.get("/page").target()).collect();
    assert_eq!(unbound.len(), 3, "requests without a session are balanced");
}

#[test]
fn two_nodes_with_one_key_ring_agree_through_reloads() {
    let targets = targets::<3>();
    let nodes = [0, 1].map(|_| sticky(&targets).with_admin().start());
    for at in 0..12 {
        let (kept_by, value) = begin(&nodes[at % 2], &format!("id-{at}"));
        for node in &nodes {
            assert_eq!(visit(node, "/page", &value).target(), kept_by);
            node.admin().change("POST", "/v1/config/reload", "");
            assert_eq!(visit(node, "/page", &value).target(), kept_by);
        }
    }
}

/// Whatever the application calls its session, it is what the target gets back.
#[test]
fn ten_thousand_session_ids_reach_their_targets_byte_for_byte() {
    let targets = targets::<2>();
    let limpet = sticky(&targets).start();
    let mut client = limpet.client();
    let mut state = 0x2545_F491_4F6C_DD1D_u64;
    let mut random = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    };
    for at in 0..10_000 {
        if at % 1_000 == 0 {
            client = limpet.client();
        }
        let size = 1 + random() % 40;
        let id: String = (0..size).map(|_| char::from(b'!' + (random() % 94) as u8)).collect();
        let begun = client.get_with("/begin", &format!("X-Begin: {id}\r\n"));
        let value = value(&begun);
        assert_eq!(value.get(..id.len()), Some(&*id));
        let back = client.get_with("/page", &format!("{FIELD}: {value}\r\n")).echo();
        assert_eq!((back.fields.all(FIELD), back.target), (vec![&*id], begun.target()));
    }
}
