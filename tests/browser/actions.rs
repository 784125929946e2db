//! What the operator does besides: drains with a countdown, asks why, makes a mistake, is overtaken by another.

use crate::stage::Stage;

/// Another operator's edit of the demo's group; its value is the answer's status.
fn patch(set: &str) -> String {
    format!(
        "fetch('/v1/groups/demo', {{method: 'PATCH', body: JSON.stringify({{set: {set}}}), \
         headers: {{'Content-Type': 'application/json', 'X-Limpet-Request': '1'}}}}).then((answer) => answer.status)"
    )
}

#[tokio::test]
async fn a_drain_counts_down_until_the_target_is_enabled_again() {
    let Some(stage) = Stage::demo().await else { return };
    let console = &stage.tab;
    stage.show("#/groups/demo").await;
    // Bound users are what a drain waits for: without stickiness it would be over at once.
    assert_eq!(console.evaluate::<u16>(&patch("{'stickiness.enabled': true}")).await, 200);
    console.click("button[aria-label='Drain a']").await;
    console.wait("document.querySelector('dialog[open]') !== null", "the dialog is open").await;
    console.picture("drain-1-dialog").await;
    console.fill("dialog #drain-deadline", "10m").await;
    console.click("dialog .end button.first").await;
    let remaining = "document.querySelector('.drain .remaining')?.textContent";
    let before = console.text_of(remaining).await;
    console.wait(&format!("{remaining} !== '{before}'"), "the countdown goes on").await;
    console.wait_text("draining").await;
    let sentence = console.text_of("document.querySelector('.drain')?.innerText").await;
    assert!(sentence.contains("in flight") && sentence.contains("upgrade"), "{sentence}");
    console.picture("drain-2-countdown").await;

    console.click("button[aria-label='Enable a']").await;
    console.click("dialog .end button.first").await;
    console.wait("document.querySelector('.drain') === null", "the drain is over").await;
    console.click("button[aria-label='Weight a']").await;
    console.fill("dialog #weight", "3").await;
    console.click("dialog .end button.first").await;
    console.wait_text("weight").await;
    let weight = "[...document.querySelectorAll('tr[data-key=\"a\"] td[data-label=\"Weight\"]')].some((cell) => cell.textContent.startsWith('3'))";
    console.wait(weight, "the weight is shown").await;
    stage.close().await;
}

#[tokio::test]
async fn explain_shows_every_step_for_a_request_and_for_a_cookie_alone() {
    let Some(stage) = Stage::demo().await else { return };
    let console = &stage.tab;
    stage.show("#/explain").await;
    console.fill("#request", "GET /account HTTP/1.1\nHost: localhost").await;
    console.click("main button.first").await;
    let outcome =
        console.text_of("document.querySelector('#explained')?.closest('section').innerText").await;
    assert!(outcome.contains("GET /account") && outcome.contains("demo"), "{outcome}");
    let steps: usize = console.evaluate("document.querySelectorAll('.steps li').length").await;
    assert!(steps >= 2, "{steps} steps");
    console.picture("explain-request").await;

    console.fill("#request", "limpet_demo=forged").await;
    console.click("main button.first").await;
    console.wait_text("with 1 field line").await;
    console.picture("explain-cookie").await;

    console.fill("#request", "GET / HTTP/1.1\nBad name: x").await;
    console.click("main button.first").await;
    console.wait_text("bad_field_name").await;

    console.fill("#source", "nowhere").await;
    console.click("main button.first").await;
    console.wait_text("source \"nowhere\" is no IP address").await;
    stage.close().await;
}

#[tokio::test]
async fn a_bad_edit_is_refused_with_its_reason_beside_the_field() {
    let Some(stage) = Stage::demo().await else { return };
    let console = &stage.tab;
    stage.show("#/groups/demo/edit").await;
    console.fill("[name='stickiness.duration']", "8d").await;
    console.click("#save").await;
    let place =
        "document.querySelector(\"[data-field='stickiness.duration'] .wrong\")?.textContent";
    let reason = console.text_of(place).await;
    assert!(reason.contains("8d") && reason.contains("allowed"), "{reason}");
    let focused: String = console.evaluate("document.activeElement.name").await;
    assert_eq!(focused, "stickiness.duration", "the field to correct has the focus");
    console.picture("edit-refused").await;
    stage.close().await;
}

#[tokio::test]
async fn the_second_of_two_operators_is_told_and_sees_the_values_in_force() {
    let Some(stage) = Stage::demo().await else { return };
    let console = &stage.tab;
    stage.show("#/groups/demo/edit").await;
    assert_eq!(console.evaluate::<u16>(&patch("{queue: 77}")).await, 200);
    console.fill("[name='stickiness.duration']", "2h").await;
    console.click("#save").await;
    console.wait("document.querySelector('[name=queue]')?.value === '77'", "loaded anew").await;
    let told = console.text_of("document.querySelector('#refusal')?.innerText").await;
    assert!(told.contains("Nothing was saved. The configuration") && told.contains("2h"), "{told}");
    console.picture("edit-conflict").await;
    stage.close().await;
}

#[tokio::test]
async fn a_new_configuration_goes_back_by_itself_or_is_confirmed_from_any_page() {
    let Some(stage) = Stage::trusted().await else { return };
    let console = &stage.tab;
    stage.show("#/config/apply").await;
    // Its secrets are not shown; they stay as they are.
    console.click_text("Start from what runs").await;
    let edit = "(() => { const text = document.querySelector('#new-text'); \
        text.value = text.value.replace('name = \"app\"', 'name = \"app\"\\nalgorithm = \"weighted_random\"'); return text.value.includes('…'); })()";
    assert!(console.evaluate::<bool>(edit).await, "the text has secrets");
    console.click_text("Show what would change").await;
    console.wait_text("weighted_random").await;
    console.picture("apply-differences").await;
    console.click("#apply").await;
    console.wait("document.querySelector('#pending') !== null", "it waits to be confirmed").await;
    console.click_text("Events").await;
    let waits = console.text_of("document.querySelector('#pending')?.innerText").await;
    assert!(waits.contains("algorithm") && !waits.contains("keys"), "{waits}");
    let remaining = "document.querySelector('#pending-remaining')?.textContent";
    let before = console.text_of(remaining).await;
    console.wait(&format!("{remaining} !== '{before}'"), "the countdown goes on").await;
    console.picture("apply-pending").await;
    console.click_text("Roll back").await;
    console.wait("document.querySelector('#pending') === null", "it went back").await;
    stage.close().await;
}

#[tokio::test]
async fn an_address_without_a_token_offers_what_it_allows_and_says_why() {
    let Some(stage) = Stage::mismatch().await else { return };
    let console = &stage.tab;
    stage.show("#/groups/app").await;
    console.wait_text("Weight").await;
    let offered = "document.querySelectorAll('#add-target, [aria-label^=Remove]').length";
    assert_eq!(console.evaluate::<u32>(offered).await, 0);
    stage.show("#/config/apply").await;
    console.wait_text("Attributes of groups and targets are changed here").await;
    stage.close().await;
}
