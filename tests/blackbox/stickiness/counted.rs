//! Sessions are what people believe them to be: counted when their cookie comes back, where they live, until they end.

use serde_json::Value;

use super::{COOKIE, bound_to, issued, sticky, targets, visit};
use crate::support::{Cookie, Limpet, Request, Target, config, group};

/// Sessions of the group, and of each of its targets.
fn counted(limpet: &Limpet) -> (u64, Vec<u64>) {
    let group = limpet.admin().get("/v1/groups/app");
    let sessions = |of: &Value| of["sessions"].as_u64().expect("a number");
    let targets = group["targets"].as_array().expect("targets");
    (sessions(&group), targets.iter().map(sessions).collect())
}

/// Users who are bound to the target of this name and have come back to it.
fn users(limpet: &Limpet, target: &str, count: usize) -> Vec<Cookie> {
    let users: Vec<Cookie> = (0..count).map(|_| bound_to(limpet, target)).collect();
    for cookie in &users {
        assert_eq!(visit(limpet, cookie).target(), target);
    }
    users
}

#[test]
fn a_client_that_keeps_no_cookies_is_no_session() {
    let targets = targets::<2>();
    let limpet = sticky(&targets).with_admin().start();
    let mut client = limpet.client();
    for _ in 0..30 {
        limpet.get("/");
        client.get("/");
    }
    assert_eq!(counted(&limpet), (0, vec![0, 0]));
    let users = users(&limpet, "a", 3);
    assert_eq!(counted(&limpet), (3, vec![3, 0]), "their first visits began nothing");
    users.iter().for_each(|cookie| drop(visit(&limpet, cookie)));
    assert_eq!(counted(&limpet), (3, vec![3, 0]), "each counts once");
}

#[test]
fn a_session_that_fails_over_counts_where_it_lives_only() {
    let mut targets = targets::<2>();
    let limpet = sticky(&targets).with_admin().start();
    let users = users(&limpet, "a", 4);
    targets[0].down();
    let moved: Vec<Cookie> = users
        .iter()
        .map(|cookie| {
            let response = visit(&limpet, cookie);
            assert_eq!(response.target(), "b");
            issued(&response)
        })
        .collect();
    assert_eq!(counted(&limpet), (4, vec![0, 4]));
    targets[0].up();
    moved.iter().for_each(|cookie| assert_eq!(visit(&limpet, cookie).target(), "b"));
    assert_eq!(counted(&limpet), (4, vec![0, 4]));
}

#[test]
fn a_drain_until_no_session_is_left_does_not_wait_for_those_that_have_moved_away() {
    let mut targets = targets::<2>();
    let limpet = sticky(&targets).with_admin().start();
    let users = users(&limpet, "a", 3);
    targets[0].down();
    users.iter().for_each(|cookie| assert_eq!(visit(&limpet, cookie).target(), "b"));
    targets[0].up();
    let admin = limpet.admin();
    admin.change("POST", "/v1/groups/app/targets/a/drain", r#"{"until": "sessions"}"#);
    admin.event("drain", "the target has drained: it has 0 sessions");
}

#[test]
fn what_is_flushed_counts_no_more() {
    let targets = targets::<2>();
    let limpet = sticky(&targets).with_admin().start();
    let users = users(&limpet, "a", 3);
    limpet.admin().change("POST", "/v1/groups/app/stickiness/flush", "{}");
    assert_eq!(counted(&limpet), (0, vec![0, 0]));
    let anew: Vec<Cookie> = users.iter().map(|cookie| issued(&visit(&limpet, cookie))).collect();
    assert_eq!(counted(&limpet).0, 0, "new cookies have not come back");
    anew.iter().for_each(|cookie| drop(visit(&limpet, cookie)));
    assert_eq!(counted(&limpet).0, 3);
}

#[test]
fn a_session_that_its_application_ends_counts_no_more() {
    let application = |request: &Request| match request.target.as_str() {
        "/login" => "Set-Cookie: JSESSIONID=abc; Path=/\r\n".to_owned(),
        "/logout" => "Set-Cookie: JSESSIONID=; Max-Age=0; Path=/\r\n".to_owned(),
        _ => String::new(),
    };
    let target = Target::echo_with("a", application);
    let app = group("app")
        .sticky()
        .set("stickiness.type", "app_cookie")
        .set("stickiness.app_cookie", "JSESSIONID")
        .target("a", &target);
    let limpet = config().with_admin().group(app).start();
    let login = limpet.get("/login");
    let own = login.set_cookie(COOKIE).expect("stickiness begins").pair();
    assert_eq!(counted(&limpet).0, 0);
    let both = format!("JSESSIONID=abc; {own}");
    limpet.client().get_cookie("/page", &both);
    assert_eq!(counted(&limpet).0, 1);
    limpet.client().get_cookie("/logout", &both);
    assert_eq!(counted(&limpet).0, 0);
}
