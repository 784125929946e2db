//! The figures that are shown are those of what was sent.

use crate::server;
use crate::stage::Stage;

const REQUESTS: usize = 60;
const USERS: usize = 24;
/// The estimate's error is a few percent; among so few sessions that is hardly ever more than two.
const USERS_OFF_MAX: usize = 3;

/// The value that stands below a name, in a tile or among attributes.
fn value_of(name: &str) -> String {
    format!(
        "[...document.querySelectorAll('main dt')].findLast((dt) => dt.textContent === '{name}')?.nextSibling.textContent"
    )
}

#[tokio::test]
async fn the_overview_and_the_group_count_what_was_sent() {
    let Some(stage) = Stage::demo().await else { return };
    let console = &stage.tab;
    let page = stage.session_page().await;
    let address = page.trim_start_matches("http://").trim_end_matches('/').parse().unwrap();
    for _ in 0..REQUESTS {
        assert!(server::get(address, "/").contains(" 200 "));
    }
    let shows = |name: &str, value: usize| format!("{} === '{value}'", value_of(name));
    console.wait(&shows("Responses 2xx", REQUESTS), "every response is counted").await;
    console.wait(&shows("Requests", REQUESTS), "every request is counted").await;
    console.wait(&shows("Connections accepted", REQUESTS), "so are connections").await;
    let highest = "Number(document.querySelector('[aria-label^=\"Requests per second\"]')\
        .getAttribute('aria-label').match(/2xx: now .*?, highest ([0-9.]+)/)[1])";
    console.wait(&format!("{highest} > 0 && {highest} <= {REQUESTS} * 1.2"), "the peak").await;
    stage.show("#/rules").await;
    let taken =
        "document.querySelector('tr[data-key=default] td[data-label=Requests]').textContent";
    assert_eq!(console.evaluate::<String>(taken).await, REQUESTS.to_string());
    stage.close().await;
}

#[tokio::test]
async fn the_sessions_of_a_sticky_group_are_estimated_for_each_target() {
    let Some(stage) = Stage::demo().await else { return };
    let console = &stage.tab;
    let page = stage.session_page().await;
    let address = page.trim_start_matches("http://").trim_end_matches('/').parse().unwrap();
    stage.show("#/groups/demo/edit").await;
    console.click("input[name='stickiness.enabled']").await;
    console.click("#save").await;
    console.wait("document.querySelector('#saved') !== null", "the edit is in force").await;
    for _ in 0..USERS {
        // A session counts when its cookie comes back.
        let first = server::get(address, "/");
        let cookie = first.split("Set-Cookie: ").find(|line| line.starts_with("limpet_demo="));
        let cookie = cookie.and_then(|line| line.split(';').next()).expect("a cookie");
        assert!(server::get_with(address, "/", cookie).starts_with("HTTP/1.1 200"));
    }
    let about = |place: &str, users: usize| {
        let (least, most) = (users - USERS_OFF_MAX, users + USERS_OFF_MAX);
        format!("((seen) => seen >= {least} && seen <= {most})(parseInt({place}))")
    };
    console.wait(&about(&value_of("Sessions"), USERS), "the group's sessions").await;
    for target in ["a", "b"] {
        let cell = format!(
            "document.querySelector('tr[data-key={target}] td[data-label=Sessions]').textContent"
        );
        console.wait(&about(&cell, USERS / 2), "the sessions of each target").await;
    }
    console.wait(&format!("{} === '{USERS}'", value_of("new: no session yet")), "verdicts").await;
    console.picture("figures-sessions").await;
    stage.close().await;
}
