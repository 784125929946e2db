//! A browser that gives up many requests at once is no attacker: a user who leaves a page full of pictures does that.

use crate::stage::Stage;

/// Asks for much at once and gives all of it up, as a page does that is left while it loads.
const CANCEL: &str = "
    window.fates = null;
    (async () => {
        const giving_up = new AbortController();
        const ask = number =>
            fetch(`/?at=${number}`, { signal: giving_up.signal, cache: 'no-store' })
                .then(() => 'answered', error => error.name);
        const all = Array.from({ length: 1000 }, (_, number) => ask(number));
        await new Promise(done => setTimeout(done, 5));
        giving_up.abort();
        const fates = await Promise.all(all);
        const after = await fetch('/', { cache: 'no-store' });
        window.fates = [fates.filter(fate => fate === 'AbortError').length, after.status];
    })()";

#[tokio::test]
async fn a_thousand_requests_that_are_given_up_leave_their_connection_alone() {
    let Some(stage) = Stage::demo_over_tls().await else { return };
    let address = stage.session_page().await;
    let page = stage.second_tab().await;
    page.goto(&address).await;
    for round in 1..=2 {
        page.run(&format!("{CANCEL};0")).await;
        page.wait("window.fates !== null", "everything was given up").await;
        let (given_up, status): (usize, u16) = page.evaluate("window.fates").await;
        assert!(given_up > 500, "{given_up} requests were given up in round {round}");
        assert_eq!(status, 200, "round {round}");
    }

    let console = &stage.tab;
    console.front().await;
    let metrics = "fetch('/metrics').then(answer => answer.text())";
    let metrics: String = console.evaluate(metrics).await;
    let number = |series: &str| -> u64 {
        let line = metrics.lines().find_map(|line| line.strip_prefix(series));
        line.unwrap_or_else(|| panic!("{series} is missing")).trim().parse().unwrap()
    };
    let resets = "limpet_http2_resets_total{side=\"client\",cause=\"cancelled\"}";
    assert!(metrics.contains(resets), "{metrics}");
    assert_eq!(number("limpet_http2_goaways_total{side=\"client\",direction=\"sent\"}"), 0);
    stage.close().await;
}
