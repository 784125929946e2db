//! Going from page to page: what is on its way, what was said and what was entered on the page before.

use crate::stage::Stage;
use crate::tab::Tab;

/// Holds answers to a path back until `window.release()`.
fn hold(path: &str) -> String {
    format!(
        "(() => {{ const real = window.fetch; window.held = 0; \
         window.fetch = async (url, ...more) => {{ const answer = await real(url, ...more); \
           if (String(url) === '{path}' && !window.released) {{ window.held += 1; \
             await new Promise((done) => {{ const before = window.release; \
               window.release = () => {{ window.released = true; before?.(); done(); }}; }}); }} \
           return answer; }}; return true; }})()"
    )
}

async fn open(console: &Tab, name: &str) {
    let link = format!(
        "[...document.querySelectorAll('#nav a')].find((a) => a.textContent === '{name}').click()"
    );
    console.run(&link).await;
}

async fn title(console: &Tab, text: &str) {
    let shown = format!("document.querySelector('main h1')?.textContent === '{text}'");
    console.wait(&shown, &format!("{text} is shown")).await;
}

#[tokio::test]
async fn an_answer_for_the_page_before_is_not_shown_on_the_next() {
    let Some(stage) = Stage::demo().await else { return };
    let console = &stage.tab;
    stage.show("#/groups").await;
    assert!(console.evaluate::<bool>(&hold("/v1/groups")).await);
    console.wait("window.held > 0", "a poll of the first page is on its way").await;
    open(console, "Configuration").await;
    title(console, "Configuration").await;
    console.run("window.release()").await;
    // Whatever the late answer does, it does before the page has been loaded twice more.
    let loads = "performance.getEntriesByType('resource').filter((one) => one.name.endsWith('/v1/config')).length";
    let before: usize = console.evaluate(loads).await;
    console.wait(&format!("{loads} >= {before} + 2"), "the page goes on").await;
    title(console, "Configuration").await;
    let state = "document.querySelector('#connection').textContent";
    assert_eq!(console.evaluate::<String>(state).await, "Live");
    stage.close().await;
}

#[tokio::test]
async fn a_message_covers_nothing_and_does_not_follow_to_other_pages() {
    let Some(stage) = Stage::mismatch().await else { return };
    let console = &stage.tab;
    for width in [1280, 400] {
        console.width(width).await;
        stage.show("#/groups/app").await;
        console.click("button[aria-label='Weight a']").await;
        console.fill("dialog #weight", &width.to_string()[..1]).await;
        console.click("dialog .end button.first").await;
        console.wait("document.querySelector('#toasts .notice') !== null", "a message").await;
        // Whatever comes into sight by itself, by the keyboard as well, is not below the message.
        let covered = "[...document.querySelectorAll('main button, main a.button')].filter((one) => { \
            one.scrollIntoView({block: 'nearest', behavior: 'instant'}); \
            const box = one.getBoundingClientRect(); \
            const at = document.elementFromPoint(box.x + box.width / 2, box.y + box.height / 2); \
            return !one.contains(at); }).map((one) => one.innerText)";
        assert_eq!(console.evaluate::<Vec<String>>(covered).await, [""; 0], "{width}");
        console.picture(&format!("message-{width}")).await;
        open(console, "Events").await;
        title(console, "Events").await;
        let left = "document.querySelectorAll('#toasts .notice').length";
        assert_eq!(console.evaluate::<usize>(left).await, 0, "{width}: it follows");
    }
    stage.close().await;
}

#[tokio::test]
async fn a_form_with_unsaved_input_is_not_left_without_asking() {
    let Some(stage) = Stage::demo().await else { return };
    let console = &stage.tab;
    let asks = "document.querySelector('#leave') !== null";
    // Nothing was entered: nothing is asked.
    stage.show("#/groups/demo/edit").await;
    open(console, "Events").await;
    title(console, "Events").await;

    stage.show("#/groups/demo/edit").await;
    console.fill("[name='slow_start']", "77s").await;
    open(console, "Events").await;
    console.wait(asks, "it asks").await;
    console.picture("leave").await;
    console.click_text("Stay").await;
    title(console, "Edit the attributes of demo").await;
    let value = "document.querySelector(\"[name='slow_start']\").value";
    assert_eq!(console.evaluate::<String>(value).await, "77s");
    assert_eq!(console.evaluate::<String>("location.hash").await, "#/groups/demo/edit");

    // Going back asks as well.
    console.run("history.back()").await;
    open(console, "Rules").await;
    console.wait(asks, "it asks again").await;
    console.click_text("Leave").await;
    title(console, "Rules").await;
    assert_eq!(console.evaluate::<String>("location.hash").await, "#/rules");

    // So does Cancel, which is a way to leave like any other.
    stage.show("#/groups/demo/edit").await;
    console.fill("[name='slow_start']", "79s").await;
    console.click_text("Cancel").await;
    console.wait(asks, "Cancel asks").await;
    console.click_text("Stay").await;
    title(console, "Edit the attributes of demo").await;
    assert_eq!(console.evaluate::<String>(value).await, "79s");
    console.click_text("Cancel").await;
    console.wait(asks, "Cancel asks again").await;
    console.click_text("Leave").await;
    title(console, "demo").await;

    // A form as it was, also after something was typed and taken back, is cancelled at once.
    for typed in [None, Some("80s")] {
        stage.show("#/groups/demo/edit").await;
        if let Some(typed) = typed {
            let before: String = console.evaluate(value).await;
            console.fill("[name='slow_start']", typed).await;
            console.fill("[name='slow_start']", &before).await;
        }
        console.click_text("Cancel").await;
        title(console, "demo").await;
        assert!(!console.evaluate::<bool>(asks).await);
    }

    // What is saved is not asked about.
    stage.show("#/groups/demo/edit").await;
    console.fill("[name='slow_start']", "78s").await;
    console.click("#save").await;
    title(console, "demo").await;
    assert!(!console.evaluate::<bool>(asks).await);

    stage.show("#/config/apply").await;
    console.fill("#new-text", "[[listener]]").await;
    open(console, "Overview").await;
    console.wait(asks, "it asks about a pasted text").await;
    stage.close().await;
}
