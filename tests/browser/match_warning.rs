//! The session-match warning stands beside the attribute, and its button puts what fits in force.

use crate::stage::Stage;

const WARNING: &str = "document.querySelector('#stickiness .match')";

#[tokio::test]
async fn the_warnings_button_applies_the_duration_that_fits() {
    let Some(stage) = Stage::mismatch().await else { return };
    let console = &stage.tab;
    stage.show("#/groups/app").await;
    let warning = console.text_of(&format!("{WARNING}?.innerText")).await;
    assert!(warning.contains("PHPSESSID"), "{warning}");
    console.picture("match-1-warning").await;

    console.click("#stickiness .apply-match").await;
    console.wait("document.querySelector('#saved') !== null", "the suggestion is in force").await;
    console.wait(&format!("{WARNING} === null"), "the warning is gone").await;
    let duration = "[...document.querySelectorAll('#stickiness dt')]\
        .find((name) => name.textContent === 'Stickiness duration').nextSibling.textContent";
    assert_eq!(console.evaluate::<String>(duration).await, "12h");
    console.picture("match-2-applied").await;

    console.click_text("Undo").await;
    console.wait(&format!("{WARNING} !== null"), "undone, the warning is back").await;

    // In the form the same button fills in what fits, for the operator to see before saving.
    console.click("#edit").await;
    console.click("form.edit .apply-match").await;
    let value = "document.querySelector(\"[name='stickiness.duration']\").value";
    assert_eq!(console.evaluate::<String>(value).await, "12h");
    stage.close().await;
}
