//! Reloading by SIGHUP: another configuration from one request to the next, and nothing that was open
//! ends by it; listeners come and go; a bad file changes nothing and says why.

mod watch;

use std::net::SocketAddr;

use crate::support::wire::Wire;
use crate::support::{Client, Config, Limpet, Target, config, group, listener, poll};

/// Writes the file anew and sends SIGHUP.
fn reload(limpet: &Limpet, config: &Config) {
    limpet.write_config(&config.text());
    limpet.signal(libc::SIGHUP);
}

/// Where a listener accepts after a reload that added or moved it.
#[track_caller]
fn address_after(limpet: &Limpet, name: &str, before: Option<SocketAddr>) -> SocketAddr {
    let found = poll(|| {
        let text = std::fs::read_to_string(limpet.path("ready")).ok()?;
        let address = text.lines().find_map(|line| line.strip_prefix(&format!("{name} ")))?;
        address.parse().ok().filter(|address| Some(*address) != before)
    });
    found.unwrap_or_else(|| panic!("listener {name} was not opened:\n{}", limpet.stderr()))
}

fn answering(body: &str) -> Config {
    config().listener(listener("web").set("respond.body", body))
}

/// Asks on the same connection until the answer is the wanted one.
#[track_caller]
fn wait_for(client: &mut Client, body: &str) {
    let seen = poll(|| (client.get("/").text() == body).then_some(()));
    assert!(seen.is_some(), "the answer never became {body:?}");
}

#[test]
fn the_next_request_of_an_open_connection_meets_the_new_configuration() {
    let limpet = answering("before").start();
    let mut client = limpet.client();
    assert_eq!(client.get("/").text(), "before");
    reload(&limpet, &answering("after"));
    wait_for(&mut client, "after");
}

#[test]
fn a_bad_file_changes_nothing_and_says_everything_that_is_wrong() {
    let limpet = answering("before").start();
    let mut client = limpet.client();
    let bad =
        answering("after").text().replace("[[listener]]", "[[listener]]\nadress = 5\nmode = 7\n");
    limpet.write_config(&bad);
    limpet.signal(libc::SIGHUP);
    let said = poll(|| {
        let stderr = limpet.stderr();
        (stderr.contains("did you mean \"address\"") && stderr.contains("mode")).then_some(())
    });
    assert!(said.is_some(), "{}", limpet.stderr());
    assert_eq!(client.get("/").text(), "before");
    reload(&limpet, &answering("later"));
    wait_for(&mut client, "later");
}

#[test]
fn a_file_that_is_gone_changes_nothing() {
    let limpet = answering("before").start();
    std::fs::remove_file(limpet.path("limpet.toml")).unwrap();
    limpet.signal(libc::SIGHUP);
    let said = poll(|| limpet.stderr().contains("limpet.toml").then_some(()));
    assert!(said.is_some(), "{}", limpet.stderr());
    assert_eq!(limpet.get("/").text(), "before");
}

#[test]
fn a_listener_that_is_added_accepts() {
    let limpet = answering("one").start();
    let two = answering("one").listener(listener("more").set("respond.body", "two"));
    reload(&limpet, &two);
    let address = address_after(&limpet, "more", None);
    let answer = poll(|| Client::try_connect(address)).expect("a connection").get("/").text();
    assert_eq!(answer, "two");
}

#[test]
fn a_listener_that_is_taken_away_finishes_what_it_has() {
    let two = answering("one").listener(listener("more").set("respond.body", "two"));
    let limpet = two.start();
    let mut idle = limpet.client_of("more");
    assert_eq!(idle.get("/").text(), "two");
    reload(&limpet, &answering("one"));
    let address = limpet.address_of("more");
    assert!(poll(|| Wire::connect(address).err()).is_some(), "it still accepts");
    // An idle connection gets one more answer, which says that it is the last.
    let last = idle.get("/");
    assert_eq!((last.text().as_str(), last.field("connection")), ("two", Some("close")));
    idle.assert_closed();
    assert_eq!(limpet.get("/").text(), "one");
}

#[test]
fn a_listener_that_moves_leaves_its_old_address() {
    let limpet = answering("here").start();
    let before = limpet.address();
    let mut client = limpet.client();
    assert_eq!(client.get("/").text(), "here");
    let elsewhere = config()
        .listener(listener("web").set("address", "127.0.0.2:0").set("respond.body", "there"));
    reload(&limpet, &elsewhere);
    let after = address_after(&limpet, "web", Some(before));
    assert_eq!(Client::connect(after).get("/").text(), "there");
    assert!(poll(|| Wire::connect(before).err()).is_some(), "the old address still accepts");
    // The listener is the same, so its connections stay.
    wait_for(&mut client, "there");
}

#[test]
fn a_listener_that_gets_another_name_keeps_its_address() {
    let limpet = answering("old").start();
    let address = limpet.address();
    let renamed = config().listener(listener("public").set("respond.body", "new"));
    reload(&limpet, &renamed);
    assert_eq!(address_after(&limpet, "public", None), address);
    let seen = poll(|| (Client::try_connect(address)?.get("/").text() == "new").then_some(()));
    assert!(seen.is_some(), "the renamed listener does not serve");
}

#[test]
fn an_address_that_is_taken_is_refused_and_nothing_changes() {
    let limpet = answering("before").start();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let both = answering("after")
        .listener(listener("more").set("address", address).set("respond.body", ""));
    reload(&limpet, &both);
    let said = poll(|| limpet.stderr().contains("another process listens there").then_some(()));
    assert!(said.is_some(), "{}", limpet.stderr());
    assert_eq!(limpet.get("/").text(), "before");
}

#[test]
fn listeners_in_another_order_keep_their_names_in_the_log() {
    let one = listener("one").set("respond.body", "one");
    let two = listener("two").set("respond.body", "two");
    let limpet = config().listener(one.clone()).listener(two.clone()).start();
    let (mut first, mut second) = (limpet.client_of("one"), limpet.client_of("two"));
    first.get("/");
    second.get("/");
    let changed = two.set("respond.body", "changed");
    reload(&limpet, &config().listener(changed).listener(one));
    wait_for(&mut second, "changed");
    assert_eq!(first.get("/last").text(), "one");
    let record =
        limpet.record_where("of the last request", |record| record.text("path") == "/last");
    assert_eq!(record.text("listener"), "one");
}

fn sticky_pair(a: &Target, b: &Target) -> Config {
    config().group(group("app").target("a", a).target("b", b).sticky())
}

/// A second listener, whose opening shows that the file was loaded.
fn with_another_listener(config: Config) -> Config {
    config
        .listener(listener("web").set("forward", "app"))
        .listener(listener("more").set("respond.body", ""))
}

#[test]
fn affinity_survives_a_reload_that_touches_its_group() {
    let (a, b) = (Target::echo("a"), Target::echo("b"));
    let limpet = sticky_pair(&a, &b).start();
    let first = limpet.get("/");
    let (home, cookie) = (first.target(), first.set_cookie("limpet_app").unwrap().pair());
    let other = config()
        .group(group("app").target("b", &b).target("a", &a).sticky().set("retries.count", 3));
    reload(&limpet, &with_another_listener(other));
    address_after(&limpet, "more", None);
    for _ in 0..8 {
        assert_eq!(limpet.client().get_cookie("/", &cookie).target(), home);
    }
}

#[test]
fn stickiness_that_is_switched_on_holds_from_the_next_request_of_an_open_connection() {
    let (a, b) = (Target::echo("a"), Target::echo("b"));
    let off = config().group(group("app").target("a", &a).target("b", &b));
    let limpet = off.start();
    let mut client = limpet.client();
    assert_ne!(client.get("/").target(), client.get("/").target());
    reload(&limpet, &sticky_pair(&a, &b));
    let cookie = poll(|| client.get("/").set_cookie("limpet_app")).expect("a cookie").pair();
    let home = client.get_cookie("/", &cookie).target();
    for _ in 0..8 {
        assert_eq!(client.get_cookie("/", &cookie).target(), home);
    }
}

#[test]
fn a_target_that_is_taken_out_of_the_file_keeps_its_sessions_and_gets_no_new_ones() {
    let (a, b) = (Target::echo("a"), Target::echo("b"));
    let limpet = sticky_pair(&a, &b).start();
    let cookie = poll(|| {
        let response = limpet.get("/");
        (response.target() == "a").then(|| response.set_cookie("limpet_app").unwrap().pair())
    });
    let cookie = cookie.expect("a session on a");
    let left = config().group(group("app").target("b", &b).sticky());
    reload(&limpet, &with_another_listener(left));
    address_after(&limpet, "more", None);
    for _ in 0..8 {
        assert_eq!(limpet.get("/").target(), "b");
        assert_eq!(limpet.client().get_cookie("/", &cookie).target(), "a");
    }
}

#[test]
fn without_a_deregistration_delay_a_removed_target_is_left_at_once() {
    let (a, b) = (Target::echo("a"), Target::echo("b"));
    let app = |app: crate::support::Section| app.sticky().set("deregistration_delay", "0s");
    let limpet = config().group(app(group("app").target("a", &a).target("b", &b))).start();
    let cookie = poll(|| {
        let response = limpet.get("/");
        (response.target() == "a").then(|| response.set_cookie("limpet_app").unwrap().pair())
    });
    let cookie = cookie.expect("a session on a");
    reload(&limpet, &config().group(app(group("app").target("b", &b))));
    let moved = poll(|| (limpet.client().get_cookie("/", &cookie).target() == "b").then_some(()));
    assert!(moved.is_some(), "the session stays with a target that is gone");
}
