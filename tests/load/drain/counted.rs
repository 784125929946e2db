//! What a drain shows: sessions within the estimate's error, requests in flight, open tunnels; and that
//! these last are not cut when it ends.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::{drain, session_on, shown, sticky, visited};
use crate::support::{Limpet, Target, pause, poll};
use crate::tunnels;

/// The standard error that target and drain state, in percent.
const ERROR_PERCENT: f64 = 3.3;

fn begin_sessions(limpet: &Limpet, count: usize) -> usize {
    let begins = |_: &usize| {
        let mut client = limpet.client();
        let first = client.get("/first");
        // A session counts when its cookie comes back.
        client.get_cookie("/", &super::cookie(&first).expect("a cookie"));
        first.target() == "a"
    };
    (0..count).filter(begins).count()
}

#[test]
fn the_countdowns_sessions_are_right_within_the_stated_error() {
    let (a, b) = (Target::echo("a"), Target::echo("b"));
    let limpet = sticky(&[("a", &a), ("b", &b)], |app| app);
    let mut begun = begin_sessions(&limpet, 10);
    assert_eq!(begun, 5);
    let target = limpet.admin().target("app", "a");
    assert_eq!(target["sessions_error_percent"], ERROR_PERCENT);
    // Two of a handful share a register once in a hundred times.
    let few = target["sessions"].as_u64().unwrap();
    assert!((4..=5).contains(&few), "{few} of 5");
    begun += begin_sessions(&limpet, 990);
    drain(&limpet, "a", r#"{"until":"sessions"}"#);
    let many = shown(&limpet, "a")["sessions"].as_f64().unwrap();
    let off_percent = 100.0 * (many - begun as f64) / begun as f64;
    println!("{begun} sessions, {many} by estimate: {off_percent:+.1} %");
    assert!(off_percent.abs() <= 3.0 * ERROR_PERCENT, "{many} of {begun}");
    // Whoever has come back counts once.
    let (_, cookie) = session_on(&limpet, "b");
    let before = limpet.admin().target("app", "b")["sessions"].clone();
    for _ in 0..20 {
        limpet.client().get_cookie("/", &cookie);
    }
    assert_eq!(limpet.admin().target("app", "b")["sessions"], before);
}

/// Echoes in tunnels, and holds requests for `/held` until it is told to answer.
fn holding(name: &'static str, release: &Arc<AtomicBool>) -> Target {
    let release = Arc::clone(release);
    Target::scripted(move |connection| {
        while let Some(request) = connection.next_request()? {
            if request.fields.has("upgrade") {
                return tunnels::echo(connection);
            }
            while request.target == "/held" && !release.load(Ordering::SeqCst) {
                pause(std::time::Duration::from_millis(3));
            }
            connection.send(&crate::support::target::echo_response(name, &request, ""))?;
        }
        Ok(())
    })
}

#[test]
fn requests_in_flight_and_tunnels_are_shown_and_not_cut_when_the_drain_ends() {
    let release = Arc::new(AtomicBool::new(false));
    let (a, b) = (holding("a", &release), holding("b", &release));
    let limpet = sticky(&[("a", &a), ("b", &b)], |app| app);
    let (mut held, cookie) = session_on(&limpet, "a");
    held.send(format!("GET /held HTTP/1.1\r\nHost: h\r\nCookie: {cookie}\r\n\r\n"));
    let mut tunnel = tunnels::open(limpet.client(), &format!("Cookie: {cookie}\r\n"));
    drain(&limpet, "a", r#"{"until":"idle","deadline":"1s"}"#);
    let view = poll(|| Some(shown(&limpet, "a")).filter(|view| view["in_flight"] == 1))
        .expect("in flight");
    assert_eq!((&view["tunnels"], &view["sessions"]), (&1.into(), &1.into()), "{view}");
    let finished = limpet.admin().until_health("app", "a", "unused");
    let reason = finished["drain"]["reason"].as_str().unwrap();
    assert_eq!(reason, "the deadline has come; left: 1 session, 1 request and 1 tunnel");
    // Its sessions are elsewhere, but what runs goes on.
    assert_eq!(limpet.client().get_cookie("/", &cookie).target(), "b");
    tunnel.send(b"still here?");
    assert_eq!(tunnel.wire.read_exactly(11).unwrap(), b"still here?");
    release.store(true, Ordering::SeqCst);
    assert_eq!(held.response().target(), "a");
}

#[test]
fn a_drain_until_idle_ends_when_the_last_request_and_the_last_tunnel_have_ended() {
    let release = Arc::new(AtomicBool::new(false));
    let (a, b) = (holding("a", &release), holding("b", &release));
    let limpet = sticky(&[("a", &a), ("b", &b)], |app| app);
    let (mut held, cookie) = session_on(&limpet, "a");
    held.send(format!("GET /held HTTP/1.1\r\nHost: h\r\nCookie: {cookie}\r\n\r\n"));
    let tunnel = tunnels::open(limpet.client(), &format!("Cookie: {cookie}\r\n"));
    drain(&limpet, "a", r#"{"until":"idle"}"#);
    assert_eq!(visited(&limpet), ["b"]);
    release.store(true, Ordering::SeqCst);
    assert_eq!(held.response().target(), "a");
    let view =
        poll(|| Some(shown(&limpet, "a")).filter(|view| view["in_flight"] == 0)).expect("answered");
    assert_eq!((&view["finished"], &view["tunnels"]), (&false.into(), &1.into()), "{view}");
    drop(tunnel);
    limpet.admin().until_health("app", "a", "unused");
    assert_eq!(shown(&limpet, "a")["reason"], "no request is in flight and no tunnel is open");
}
