//! The story without a mouse: Tab, Enter, Space and Escape are all that it takes.

use crate::stage::Stage;

#[tokio::test]
async fn stickiness_is_turned_on_and_taken_back_with_the_keyboard_alone() {
    let Some(stage) = Stage::demo().await else { return };
    let console = &stage.tab;
    stage.show("#/").await;
    console.tab_to("it.textContent === 'Skip to the content'").await;
    console.press("Enter").await;
    console.wait("document.activeElement?.tagName === 'H1'", "the content has the focus").await;
    console.tab_to("it.textContent.startsWith('Stickiness of demo')").await;
    console.press("Enter").await;
    console.wait("document.activeElement?.tagName === 'H1' && document.querySelector('form.edit') !== null", "the form is there").await;
    console.tab_to("it.name === 'stickiness.enabled'").await;
    console.press(" ").await;
    let is_on = "document.querySelector(\"[name='stickiness.enabled']\").checked";
    assert!(console.evaluate::<bool>(is_on).await, "Space turns the switch");
    console.tab_to("it.name === 'stickiness.duration'").await;
    console.press("Enter").await;
    console.wait("document.querySelector('#saved') !== null", "Enter in a field saves").await;
    console.tab_to("it.textContent === 'Undo'").await;
    // The page is renewed meanwhile, and what has the focus keeps it.
    console.press("Enter").await;
    console.wait("document.querySelector('#saved') === null", "the edit is taken back").await;
    stage.close().await;
}

#[tokio::test]
async fn a_dialog_takes_the_focus_and_gives_it_back() {
    let Some(stage) = Stage::demo().await else { return };
    let console = &stage.tab;
    stage.show("#/groups/demo").await;
    console.tab_to("it.getAttribute('aria-label') === 'Drain a'").await;
    console.press("Enter").await;
    let inside =
        "document.querySelector('dialog[open]')?.contains(document.activeElement) === true";
    console.wait(inside, "the dialog has the focus").await;
    console.press("Escape").await;
    console.wait("document.querySelector('dialog') === null", "Escape closes the dialog").await;
    let back = "document.activeElement?.getAttribute('aria-label') === 'Drain a'";
    console.wait(back, "the button that opened it has the focus again").await;
    stage.close().await;
}
