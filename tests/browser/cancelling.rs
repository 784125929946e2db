//! A browser that gives up many requests at once is no attacker: a user who leaves a page full of pictures does that.

use crate::authority::{Authority, Wanted};
use crate::server::{Server, UNANSWERED};
use crate::stage::Stage;

const REQUESTS: usize = 1_000;

/// Asks for much at once, and gives all of it up after this many milliseconds, as a page does that is left while it loads.
fn cancel(after_ms: u32) -> String {
    format!(
        "window.fates = null; (async () => {{ \
           const leaving = new AbortController(); \
           const ask = (number) => fetch('{UNANSWERED}?' + number, {{ signal: leaving.signal, cache: 'no-store' }}) \
             .then(() => 'answered', (error) => error.name); \
           const all = Array.from({{ length: {REQUESTS} }}, (_, number) => ask(number)); \
           await new Promise((done) => setTimeout(done, {after_ms})); \
           leaving.abort(); \
           const fates = await Promise.all(all); \
           const next = await fetch('/', {{ cache: 'no-store' }}).catch((error) => ({{ status: 0 }})); \
           window.fates = [fates.filter((fate) => fate === 'AbortError').length, next.status]; }})(); 0"
    )
}

#[tokio::test]
async fn a_thousand_requests_that_are_given_up_leave_their_connection_alone() {
    let folder = tempfile::tempdir().unwrap();
    let name = "shop.example";
    Authority::new("Shop authority").issue(folder.path(), name, &Wanted::server(name));
    let mut web = None;
    let start = || {
        let (server, address) = Server::over_tls(folder.path());
        web = Some(address);
        server
    };
    let Some(stage) = Stage::with(start).await else { return };
    let page = stage.second_tab().await;
    page.goto(&format!("https://{}/", web.unwrap())).await;
    for after_ms in [5, 500, 50] {
        page.run(&cancel(after_ms)).await;
        page.wait("window.fates !== null", "all requests are given up").await;
        let fates: (usize, u16) = page.evaluate("window.fates").await;
        assert_eq!(fates, (REQUESTS, 200), "given up after {after_ms} ms");
    }

    let console = &stage.tab;
    console.goto(&stage.console).await;
    let metrics = "fetch('/metrics').then((answer) => answer.text())";
    let metrics: String = console.evaluate(metrics).await;
    let number = |series: &str| -> u64 {
        let of = |line: &str| line.strip_prefix(series)?.trim().parse().ok();
        metrics.lines().find_map(of).unwrap_or_else(|| panic!("{series} is missing"))
    };
    let resets = "limpet_http2_resets_total{side=\"client\",by=\"peer\",cause=\"cancel\"}";
    assert!(number(resets) > 300, "{} requests had been sent", number(resets));
    assert_eq!(number("limpet_http2_goaways_total{side=\"client\",direction=\"sent\"}"), 0);
    stage.close().await;
}
