//! `app_cookie`: stickiness begins, lives and ends with the application's own cookie.

use std::collections::HashSet;

use super::{COOKIE, issued};
use crate::support::{Limpet, Request, Target, config, group};

const SESSION: &str = "JSESSIONID=abc123";

/// Sets a session at /login, ends it at /logout and at /expire.
fn application(request: &Request) -> String {
    match request.target.as_str() {
        "/login" => format!("Set-Cookie: {SESSION}; Path=/\r\n"),
        "/logout" => "Set-Cookie: JSESSIONID=; Max-Age=0; Path=/\r\n".to_owned(),
        "/expire" => {
            "Set-Cookie: JSESSIONID=x; Expires=Thu, 01 Jan 1970 00:00:00 GMT\r\n".to_owned()
        }
        "/other" => "Set-Cookie: JSESSIONIDX=1\r\nSet-Cookie: theme=dark\r\n".to_owned(),
        _ => String::new(),
    }
}

fn start() -> (Limpet, [Target; 3]) {
    let targets = ["a", "b", "c"].map(|id| Target::echo_with(id, application));
    let app = group("app")
        .sticky()
        .set("stickiness.type", "app_cookie")
        .set("stickiness.app_cookie", "JSESSIONID")
        .target("a", &targets[0])
        .target("b", &targets[1])
        .target("c", &targets[2]);
    (config().group(app).start(), targets)
}

fn spread(limpet: &Limpet, cookies: &str) -> HashSet<String> {
    (0..6).map(|_| limpet.client().get_cookie("/page", cookies).target()).collect()
}

#[test]
fn nobody_is_bound_before_the_application_has_a_session() {
    let (limpet, _targets) = start();
    let response = limpet.get("/page");
    assert!(!response.fields.has("set-cookie"));
    assert!(limpet.get("/other").set_cookie(COOKIE).is_none(), "another cookie is not the session");
    assert_eq!(spread(&limpet, "").len(), 3);
}

#[test]
fn the_applications_session_begins_the_stickiness() {
    let (limpet, _targets) = start();
    let login = limpet.get("/login");
    let home = login.target();
    assert_eq!(login.set_cookie("JSESSIONID").unwrap().pair(), SESSION);
    let both = format!("{SESSION}; {}", issued(&login).pair());
    assert_eq!(spread(&limpet, &both), HashSet::from([home.clone()]));
    let reversed = format!("{}; x=1; {SESSION}", issued(&login).pair());
    assert_eq!(spread(&limpet, &reversed), HashSet::from([home]));
}

#[test]
fn without_the_applications_cookie_the_request_is_balanced() {
    let (limpet, _targets) = start();
    let login = limpet.get("/login");
    assert_eq!(spread(&limpet, &issued(&login).pair()).len(), 3);
}

#[test]
fn without_limpets_cookie_the_request_is_balanced() {
    let (limpet, _targets) = start();
    limpet.get("/login");
    assert_eq!(spread(&limpet, SESSION).len(), 3);
}

#[test]
fn the_applications_cookie_reaches_the_target_and_limpets_does_not() {
    let (limpet, _targets) = start();
    let login = limpet.get("/login");
    let both = format!("{SESSION}; {}", issued(&login).pair());
    let echo = limpet.client().get_cookie("/page", &both).echo();
    assert_eq!(echo.fields.one("cookie"), Some(SESSION));
}

#[test]
fn the_end_of_the_applications_session_ends_the_stickiness() {
    for path in ["/logout", "/expire"] {
        let (limpet, _targets) = start();
        let login = limpet.get("/login");
        let both = format!("{SESSION}; {}", issued(&login).pair());
        let logout = limpet.client().get_cookie(path, &both);
        assert_eq!(logout.target(), login.target());
        let ended = issued(&logout);
        assert!(ended.deletes(), "{path}: {}", logout.head);
        // A deletion only takes effect with the path of what it deletes.
        assert_eq!(ended.attribute("path"), issued(&login).attribute("path"));
    }
}
