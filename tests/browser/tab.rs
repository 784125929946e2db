//! One tab: clicks, typing, waiting with a deadline, pictures, and every request that it made.

use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use chromiumoxide::browser::Browser;
use chromiumoxide::cdp::browser_protocol::emulation::{
    MediaFeature, SetDeviceMetricsOverrideParams,
};
use chromiumoxide::cdp::browser_protocol::input::InsertTextParams;
use chromiumoxide::cdp::browser_protocol::log::{
    EventEntryAdded, LogEntry, LogEntryLevel, LogEntrySource,
};
use chromiumoxide::cdp::browser_protocol::network::EventRequestWillBeSent;
use chromiumoxide::cdp::browser_protocol::page::{
    EventJavascriptDialogOpening, HandleJavaScriptDialogParams,
};
use chromiumoxide::cdp::js_protocol::runtime::{
    ConsoleApiCalledType, EventConsoleApiCalled, EventExceptionThrown,
};
use chromiumoxide::layout::Point;
use chromiumoxide::page::{Page, ScreenshotParams};
use futures_util::StreamExt as _;
use serde::de::DeserializeOwned;

/// Longest wait for anything that should happen.
pub const WAIT_MAX: Duration = Duration::from_secs(30);

/// Most steps with the Tab key to anything on a page.
const TABS_MAX: usize = 80;

const POLL: Duration = Duration::from_millis(50);

pub struct Tab {
    page: Page,
    requests: Arc<Mutex<Vec<String>>>,
    complaints: Arc<Mutex<Vec<String>>>,
}

/// Whether an entry of the browser's log is a fault of the console. A request that the API refuses is none: the
/// console shows its reader why.
fn is_fault(entry: &LogEntry) -> bool {
    let is_refusal = entry.source == LogEntrySource::Network
        && entry.url.as_ref().is_some_and(|url| url.contains("/v1/"));
    entry.level != LogEntryLevel::Verbose && entry.level != LogEntryLevel::Info && !is_refusal
}

impl Tab {
    pub async fn open(browser: &Browser) -> Tab {
        let page = browser.new_page("about:blank").await.expect("a tab opens");
        let requests = Arc::new(Mutex::new(Vec::new()));
        let complaints = Arc::new(Mutex::new(Vec::new()));
        let mut sent = page.event_listener::<EventRequestWillBeSent>().await.unwrap();
        let mut thrown = page.event_listener::<EventExceptionThrown>().await.unwrap();
        let mut called = page.event_listener::<EventConsoleApiCalled>().await.unwrap();
        let mut logged = page.event_listener::<EventEntryAdded>().await.unwrap();
        let (asked, said) = (Arc::clone(&requests), Arc::clone(&complaints));
        // A page with an unsaved form asks before it is left; a test that leaves it means it.
        let mut dialogs = page.event_listener::<EventJavascriptDialogOpening>().await.unwrap();
        let leaving = page.clone();
        tokio::spawn(async move {
            while dialogs.next().await.is_some() {
                let _ = leaving.execute(HandleJavaScriptDialogParams::new(true)).await;
            }
        });
        tokio::spawn(async move {
            loop {
                let complaint = tokio::select! {
                    Some(event) = sent.next() => {
                        asked.lock().unwrap().push(event.request.url.clone());
                        None
                    }
                    Some(event) = thrown.next() => Some(format!("{:?}", event.exception_details)),
                    Some(event) = called.next() => (event.r#type == ConsoleApiCalledType::Error)
                        .then(|| format!("console.error: {:?}", event.args)),
                    Some(event) = logged.next() => is_fault(&event.entry)
                        .then(|| format!("{:?}: {} ({:?})", event.entry.source, event.entry.text, event.entry.url)),
                    else => return,
                };
                said.lock().unwrap().extend(complaint);
            }
        });
        Tab { page, requests, complaints }
    }

    /// Loads an address anew, also where only what follows `#` differs.
    pub async fn goto(&self, address: &str) {
        self.page.goto("about:blank").await.unwrap();
        self.page.goto(address).await.unwrap_or_else(|error| panic!("{address}: {error}"));
    }

    pub async fn reload(&self) {
        self.page.reload().await.unwrap();
    }

    /// The value of a JavaScript expression; a promise is waited for.
    pub async fn evaluate<T: DeserializeOwned>(&self, expression: &str) -> T {
        let value = self.page.evaluate_expression(expression).await;
        let value = value.unwrap_or_else(|error| panic!("{expression}: {error}"));
        value.into_value().unwrap_or_else(|error| panic!("{expression}: {error}"))
    }

    /// A text that may not be there yet.
    pub async fn text_of(&self, expression: &str) -> String {
        self.wait(&format!("Boolean({expression})"), expression).await;
        self.evaluate::<String>(&format!("String({expression})")).await
    }

    /// Waits until an expression is true; `what` says what was waited for.
    pub async fn wait(&self, expression: &str, what: &str) {
        let deadline = Instant::now() + WAIT_MAX;
        loop {
            // While a page is being replaced there is nothing to ask.
            let value = self.page.evaluate_expression(expression).await;
            if value.is_ok_and(|value| value.into_value::<bool>().is_ok_and(|is_true| is_true)) {
                return;
            }
            if Instant::now() > deadline {
                self.picture("failed").await;
                let shown: String = self.evaluate("document.body.innerText").await;
                panic!("not within {WAIT_MAX:?}: {what}; the page shows:\n{shown}");
            }
            tokio::time::sleep(POLL).await;
        }
    }

    /// Waits until the content has a text.
    pub async fn wait_text(&self, text: &str) {
        let quoted = serde_json::to_string(text).unwrap();
        self.wait(&format!("document.body.innerText.includes({quoted})"), text).await;
    }

    /// Clicks what a CSS selector names, once it is there.
    pub async fn click(&self, selector: &str) {
        let quoted = serde_json::to_string(selector).unwrap();
        self.click_found(&format!("document.querySelector({quoted})"), selector).await;
    }

    /// Clicks the button or link with this text, once it is there.
    pub async fn click_text(&self, text: &str) {
        let quoted = serde_json::to_string(text).unwrap();
        let find = format!(
            "[...document.querySelectorAll('a, button')].find((one) => one.textContent.trim() === {quoted})"
        );
        self.click_found(&find, text).await;
    }

    /// Presses the mouse in the middle of an element: once it is there, in sight, and nothing lies over it.
    async fn click_found(&self, find: &str, what: &str) {
        let place = format!(
            "(() => {{ const found = {find}; if (!found) return null; \
             found.scrollIntoView({{block: 'center', behavior: 'instant'}}); \
             const box = found.getBoundingClientRect(); \
             const [x, y] = [box.x + box.width / 2, box.y + box.height / 2]; \
             return found.contains(document.elementFromPoint(x, y)) ? [x, y] : null; }})()"
        );
        self.wait(&format!("{place} !== null"), &format!("{what} can be clicked")).await;
        let [x, y]: [f64; 2] = self.evaluate(&place).await;
        self.page.click(Point::new(x, y)).await.unwrap();
    }

    /// Replaces what an input holds, as if pasted.
    pub async fn fill(&self, selector: &str, text: &str) {
        self.click(selector).await;
        self.run("document.activeElement.select()").await;
        self.page.execute(InsertTextParams::new(text)).await.unwrap();
    }

    /// Shows this tab, as a user who switches to it: a tab in the background neither polls nor is drawn.
    pub async fn front(&self) {
        self.page.bring_to_front().await.unwrap();
    }

    /// Presses a key where the focus is.
    pub async fn press(&self, key: &str) {
        // Keys go to whatever has the focus; the element only leads to the page's keyboard.
        let page = self.page.find_element("html").await.unwrap();
        page.press_key(key).await.unwrap();
    }

    /// Goes on with the Tab key until what has the focus fulfils a condition on `it`.
    pub async fn tab_to(&self, condition: &str) {
        let is_there = format!("((it) => {{ return {condition}; }})(document.activeElement)");
        for _ in 0..TABS_MAX {
            if self.evaluate::<bool>(&is_there).await {
                return;
            }
            self.press("Tab").await;
        }
        self.picture("failed").await;
        panic!("{TABS_MAX} times Tab do not lead to {condition}");
    }

    /// Runs a script that has no value.
    pub async fn run(&self, script: &str) {
        self.page.evaluate_expression(script).await.expect("the script runs");
    }

    /// Keeps what is shown as `target/browser/NAME.png`.
    pub async fn picture(&self, name: &str) {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/browser");
        std::fs::create_dir_all(&folder).unwrap();
        let whole = ScreenshotParams::builder().full_page(true).build();
        let file = folder.join(format!("{name}.png"));
        self.page.save_screenshot(whole, file).await.unwrap();
    }

    /// How wide the window is, in CSS pixels.
    pub async fn width(&self, width: i64) {
        let size = SetDeviceMetricsOverrideParams::new(width, 900, 1.0, false);
        self.page.execute(size).await.unwrap();
    }

    /// Which colours the system prefers: "dark" or "light". Nothing fades from one to the other, for what is
    /// looked at next.
    pub async fn prefer(&self, colours: &str) {
        let colours = MediaFeature::new("prefers-color-scheme", colours);
        let motion = MediaFeature::new("prefers-reduced-motion", "reduce");
        self.page.emulate_media_features(vec![colours, motion]).await.unwrap();
    }

    /// Addresses that were asked for so far.
    pub fn requests(&self) -> Vec<String> {
        self.requests.lock().unwrap().clone()
    }

    /// What the browser complained of: exceptions, errors on its console, what a policy forbade, missing files.
    pub fn complaints(&self) -> Vec<String> {
        self.complaints.lock().unwrap().clone()
    }
}
