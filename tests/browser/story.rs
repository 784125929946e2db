//! The heart of the product, done by hand: a session gets lost, stickiness is turned on, the session stays.

use crate::stage::Stage;
use crate::tab::Tab;

/// Reloads that must all find the session again.
const RELOADS: usize = 20;

struct Visit {
    instance: String,
    session: String,
}

async fn look(page: &Tab) -> Visit {
    let instance = page.text_of("document.querySelector('#instance')?.textContent").await;
    let session = page.text_of("document.querySelector('#session')?.dataset.session").await;
    Visit { instance, session }
}

async fn again(page: &Tab) -> Visit {
    page.reload().await;
    look(page).await
}

async fn log_in(page: &Tab) {
    page.fill("#name", "Ada").await;
    page.click_text("Log in").await;
    page.wait(
        "document.querySelector('#session')?.dataset.session === 'created'",
        "the session is created",
    )
    .await;
}

#[tokio::test]
async fn a_session_is_lost_until_the_operator_turns_stickiness_on() {
    let Some(stage) = Stage::demo().await else { return };
    story(stage, "http").await;
}

#[tokio::test]
async fn a_session_is_lost_over_https_too_until_the_operator_turns_stickiness_on() {
    let Some(stage) = Stage::demo_over_tls().await else { return };
    story(stage, "https").await;
}

async fn story(stage: Stage, scheme: &str) {
    let address = stage.session_page().await;
    assert!(address.starts_with(&format!("{scheme}://")), "{address}");
    stage.tab.picture(&format!("story-{scheme}-1-overview")).await;
    let page = stage.second_tab().await;

    page.goto(&address).await;
    let spoken = page.text_of("performance.getEntriesByType('navigation')[0].nextHopProtocol");
    assert_eq!(spoken.await, if scheme == "https" { "h2" } else { "http/1.1" });
    let first = look(&page).await;
    let second = again(&page).await;
    assert_ne!(first.instance, second.instance, "the instances take turns");
    log_in(&page).await;
    let lost = again(&page).await;
    assert_eq!(lost.session, "unknown", "the other instance does not know the session");
    page.picture(&format!("story-{scheme}-2-session-lost")).await;

    let console = &stage.tab;
    console.front().await;
    console.click_text("Target groups").await;
    console.click_text("demo").await;
    console.wait_text("Attributes").await;
    console.picture(&format!("story-{scheme}-3-group")).await;
    console.click("#edit").await;
    console.click("input[name='stickiness.enabled']").await;
    console.picture(&format!("story-{scheme}-4-edit")).await;
    console.click("#save").await;
    console.wait("document.querySelector('#saved') !== null", "the edit is in force").await;
    let said = console.text_of("document.querySelector('#saved').innerText").await;
    assert!(said.contains("In force since") && said.contains("stickiness"), "{said}");
    console.picture(&format!("story-{scheme}-5-in-force")).await;

    page.front().await;
    page.goto(&address).await;
    // The first visit may have met the instance that still knows the session; then it stays there.
    if look(&page).await.session != "known" {
        log_in(&page).await;
    }
    let home = look(&page).await.instance;
    for number in 1..=RELOADS {
        let visit = again(&page).await;
        assert_eq!((&*visit.instance, &*visit.session), (&*home, "known"), "reload {number}");
    }
    page.picture(&format!("story-{scheme}-6-session-kept")).await;

    console.front().await;
    console.click_text("Undo").await;
    console.wait("document.querySelector('#saved') === null", "the edit is taken back").await;
    page.front().await;
    let (one, other) = (again(&page).await, again(&page).await);
    assert_ne!(one.instance, other.instance, "the instances take turns again");
    stage.close().await;
}
