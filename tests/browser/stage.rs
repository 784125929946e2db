//! A browser with one tab, and what it looks at. One at a time: a browser wants a machine for itself.

use std::collections::BTreeSet;
use std::env;
use std::io::{self, Write as _};
use std::path::PathBuf;

use chromiumoxide::browser::{Browser, BrowserConfig};
use futures_util::StreamExt as _;
use tokio::sync::{Mutex, MutexGuard};
use tokio::task::JoinHandle;

use crate::server::{Server, TOKEN};
use crate::tab::{Tab, WAIT_MAX};

static ONE_AT_A_TIME: Mutex<()> = Mutex::const_new(());

/// What was said to be skipped already: once is enough.
static SAID: std::sync::Mutex<BTreeSet<&str>> = std::sync::Mutex::new(BTreeSet::new());

/// What stands between a test and the console. Dropped in order: the browser goes before its server.
pub struct Stage {
    pub tab: Tab,
    /// `http://127.0.0.1:9901`, without a path.
    pub console: String,
    browser: Browser,
    events: JoinHandle<()>,
    server: Option<Server>,
    _profile: tempfile::TempDir,
    _turn: MutexGuard<'static, ()>,
}

/// Whether what is missing fails the test.
fn is_required() -> bool {
    env::var("LIMPET_REQUIRE_BROWSER").is_ok_and(|value| value == "1")
}

/// Says that something was not tested, or fails where that may not be.
fn skip(what: &'static str) {
    assert!(!is_required(), "LIMPET_REQUIRE_BROWSER=1, but {what}");
    let mut said = SAID.lock().unwrap();
    if said.insert(what) {
        // Not by a macro: what those print in a test that passes is never seen.
        io::stderr().write_all(format!("skipped: {what}\n").as_bytes()).unwrap();
    }
}

/// The browser to drive.
fn chromium() -> Option<PathBuf> {
    if let Some(path) = env::var_os("LIMPET_CHROMIUM") {
        return Some(path.into());
    }
    let names = ["chromium", "chromium-browser", "google-chrome", "google-chrome-stable"];
    let path = env::var_os("PATH").unwrap_or_default();
    let found = env::split_paths(&path)
        .flat_map(|folder| names.map(|name| folder.join(name)))
        .find(|file| file.is_file());
    if found.is_none() {
        skip("there is no Chromium; install it or name it in LIMPET_CHROMIUM");
    }
    found
}

/// The source of axe-core.
pub fn axe() -> Option<String> {
    let Some(path) = env::var_os("LIMPET_AXE") else {
        skip("LIMPET_AXE does not name axe.min.js, so no page was audited");
        return None;
    };
    Some(std::fs::read_to_string(path).expect("LIMPET_AXE names a file that can be read"))
}

impl Stage {
    /// The demo with its console; `None` without a browser.
    pub async fn demo() -> Option<Stage> {
        Stage::open(Server::demo).await
    }

    /// The same, whose pages are served over HTTPS.
    pub async fn demo_over_tls() -> Option<Stage> {
        Stage::open(Server::demo_over_tls).await
    }

    /// A balancer whose application keeps sessions longer than its stickiness lasts.
    pub async fn mismatch() -> Option<Stage> {
        Stage::open(Server::mismatch).await
    }

    /// A balancer with a file of its own, whose admin API asks for [`TOKEN`](crate::server::TOKEN).
    pub async fn guarded() -> Option<Stage> {
        Stage::open(Server::guarded).await
    }

    /// As [`Stage::mismatch`], signed in with the token that opens everything.
    pub async fn trusted() -> Option<Stage> {
        Stage::signed_in(Server::trusted).await
    }

    /// Signed in with the token that opens everything.
    pub async fn signed_in(start: impl FnOnce() -> Server) -> Option<Stage> {
        let stage = Stage::open(start).await?;
        stage.tab.goto(&stage.console).await;
        stage.tab.fill("#token", TOKEN).await;
        stage.tab.press("Enter").await;
        stage.tab.wait(LIVE, "the token is taken").await;
        Some(stage)
    }

    /// A balancer that the test itself starts.
    pub async fn with(start: impl FnOnce() -> Server) -> Option<Stage> {
        Stage::open(start).await
    }

    async fn open(start: impl FnOnce() -> Server) -> Option<Stage> {
        let chromium = chromium()?;
        let turn = ONE_AT_A_TIME.lock().await;
        let server = env::var("LIMPET_CONSOLE_URL").is_err().then(start);
        let console = match &server {
            Some(server) => server.console.clone(),
            None => env::var("LIMPET_CONSOLE_URL").unwrap().trim_end_matches('/').to_owned(),
        };
        let profile = tempfile::tempdir().unwrap();
        let config = BrowserConfig::builder()
            .chrome_executable(chromium)
            .new_headless_mode()
            // Continuous integration runs as root, where Chromium's sandbox does not.
            .no_sandbox()
            .launch_timeout(WAIT_MAX)
            .user_data_dir(profile.path())
            .window_size(1280, 900)
            .viewport(None)
            .build()
            .unwrap();
        let (browser, mut handler) = Browser::launch(config).await.expect("Chromium starts");
        let events = tokio::spawn(async move { while handler.next().await.is_some() {} });
        let tab = Tab::open(&browser).await;
        Some(Stage { tab, console, browser, events, server, _profile: profile, _turn: turn })
    }

    /// A second tab of the same browser: with the same cookies, as a user has it.
    pub async fn second_tab(&self) -> Tab {
        Tab::open(&self.browser).await
    }

    /// Shows a page of the console and waits until it is live.
    pub async fn show(&self, page: &str) {
        self.tab.goto(&format!("{}/{page}", self.console)).await;
        self.tab.wait(LIVE, &format!("{page} is live")).await;
    }

    /// The file of the configuration, of a stage that has one.
    pub fn file(&self) -> PathBuf {
        self.server.as_ref().expect("the server is this test's own").file()
    }

    /// The folder of certificates of a console with TLS.
    pub fn certificates(&self) -> PathBuf {
        self.server.as_ref().expect("the server is this test's own").certificates()
    }

    /// Address of the demo's session page, as the console's hint card has it.
    pub async fn session_page(&self) -> String {
        self.show("#/").await;
        self.tab.text_of("document.querySelector('a.session-page')?.href").await
    }

    /// Ends the browser, which must have had nothing to complain of.
    pub async fn close(self) {
        let complaints = self.tab.complaints();
        assert!(complaints.is_empty(), "the browser complains: {complaints:#?}");
        self.end().await;
    }

    /// Ends the browser, whatever it complained of.
    pub async fn end(mut self) {
        self.browser.close().await.expect("the browser ends");
        self.browser.wait().await.expect("the browser has ended");
        self.events.abort();
    }
}

/// The page is what its address says, and has been loaded.
const LIVE: &str = "document.querySelector('#connection')?.dataset.state === 'live' \
    && document.querySelector('main h1') !== null && !document.querySelector('main').textContent.includes('Loading')";
