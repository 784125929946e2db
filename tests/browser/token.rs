//! A console that has to say who asks.

use crate::server::TOKEN;
use crate::stage::Stage;

#[tokio::test]
async fn the_token_is_asked_for_once_and_a_wrong_one_is_refused() {
    let Some(stage) = Stage::guarded().await else { return };
    let console = &stage.tab;
    console.goto(&format!("{}/#/groups/app", stage.console)).await;
    console.fill("#token", "wrong").await;
    console.picture("token-1-prompt").await;
    console.press("Enter").await;
    console.wait("document.querySelector('dialog .notice.bad') !== null", "it is refused").await;
    console.picture("token-2-refused").await;
    console.fill("#token", TOKEN).await;
    console.press("Enter").await;
    console.wait_text("Attributes").await;
    console.click("button[aria-label='Weight a']").await;
    console.fill("dialog #weight", "7").await;
    console.press("Enter").await;
    let weight = "[...document.querySelectorAll('td[data-label=Weight]')].some((cell) => cell.textContent.startsWith('7'))";
    console.wait(weight, "the write was taken, with the token").await;
    console.reload().await;
    console.wait_text("Attributes").await;
    stage.close().await;
}
