//! Which snapshot a connection sees after reloads.

use crate::client::clients::tests;
use crate::client::views::*;

/// A snapshot with these listeners, on which clients may sleep for 20 s.
fn snapshot(listeners: &[&str]) -> Arc<Snapshot> {
    const TIMEOUTS: &str = "timeouts = { head = \"5s\", keep_alive = \"20s\" }";
    let lines: Vec<_> = listeners.iter().map(|name| (*name, TIMEOUTS)).collect();
    tests::snapshot(&lines)
}

fn views(listeners: &[&str]) -> (Arc<Published>, Views) {
    let published = Arc::new(Published::new(snapshot(listeners)));
    (Arc::clone(&published), Views::new(published))
}

fn names(view: &Snapshot) -> Vec<&str> {
    view.listeners.iter().map(|listener| &*listener.name).collect()
}

#[test]
fn a_request_sees_what_was_published_last() {
    let (published, views) = views(&["a"]);
    let clock = Clock::start();
    let first = views.latest(&clock);
    assert!(Rc::ptr_eq(&first, &views.latest(&clock)), "nothing has changed");
    published.store(snapshot(&["a", "b"]));
    assert_eq!(names(&views.latest(&clock)), ["a", "b"]);
    assert_eq!(names(&first), ["a"], "who has begun with it keeps it");
}

#[test]
fn a_listener_that_is_gone_is_seen_as_it_was_last() {
    let (published, views) = views(&["a", "b"]);
    let clock = Clock::start();
    assert!(!views.is_retired("b") && views.last_of("b").is_none());
    published.store(snapshot(&["a"]));
    views.latest(&clock);
    assert!(views.is_retired("b") && !views.is_retired("a"));
    assert_eq!(names(&views.last_of("b").unwrap()), ["a", "b"]);
    // A further reload that does not have it either changes nothing.
    published.store(snapshot(&["a", "c"]));
    views.latest(&clock);
    assert_eq!(names(&views.last_of("b").unwrap()), ["a", "b"]);
}

#[test]
fn a_listener_that_has_come_back_is_not_gone() {
    let (published, views) = views(&["a", "b"]);
    let clock = Clock::start();
    for listeners in [&["a"][..], &["a", "b"]] {
        published.store(snapshot(listeners));
        views.latest(&clock);
    }
    assert!(!views.is_retired("b") && views.last_of("b").is_none());
}

#[test]
fn a_snapshot_that_was_replaced_is_let_go_of_without_a_request() {
    let (published, views) = views(&["a"]);
    let before = Arc::downgrade(&published.swap(snapshot(&["a", "b"])));
    assert!(before.upgrade().is_some());
    views.tick(&Clock::start());
    assert!(before.upgrade().is_none());
}

#[test]
fn a_listener_that_is_gone_is_forgotten_when_nobody_can_sleep_on_it_any_more() {
    let (published, views) = views(&["a", "b"]);
    let clock = Clock::start();
    published.store(snapshot(&["a"]));
    views.tick(&clock);
    let until_ms = views.retired.borrow()[0].until_ms;
    let slept_ms =
        Millis::try_from((Duration::from_secs(20) + RETIRED_MARGIN).as_millis()).unwrap();
    assert!(until_ms >= slept_ms && until_ms <= slept_ms + clock.now_ms());
    views.forget(until_ms - 1);
    assert!(views.is_retired("b"));
    views.forget(until_ms);
    assert!(!views.is_retired("b") && views.last_of("b").is_none());
}
