//! What is wrong is seen on the page that everybody looks at first, and told apart from what is well again.

use std::net::TcpListener;

use crate::server::{self, Server};
use crate::stage::Stage;

#[tokio::test]
async fn a_target_that_is_down_is_on_the_overview_and_its_recovery_looks_otherwise() {
    let down = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = down.local_addr().unwrap();
    drop(down);
    let Some(stage) = Stage::with(|| Server::two_targets(address)).await else { return };
    let console = &stage.tab;
    stage.show("#/").await;
    let row = "document.querySelector('[data-key=standing] tbody').innerText";
    console.wait(&format!("{row}.includes('1 unhealthy')"), "the group is in trouble").await;
    let told: String = console.evaluate(row).await;
    assert!(told.contains("refused") && told.contains('b'), "{told}");
    assert!(
        console
            .evaluate::<bool>("document.querySelector('[data-key=standing] .badge.bad') !== null")
            .await
    );
    // It stands above the charts.
    let above = "document.querySelector('#standing').getBoundingClientRect().top \
        < document.querySelector('figure.chart').getBoundingClientRect().top";
    assert!(console.evaluate::<bool>(above).await);
    for (colours, width) in [("light", 1280), ("dark", 1280), ("light", 400), ("dark", 400)] {
        console.prefer(colours).await;
        console.width(width).await;
        console.picture(&format!("trouble-{colours}-{width}")).await;
    }

    server::serve(address);
    console.wait(&format!("!{row}.includes('unhealthy')"), "it is well again").await;
    stage.show("#/events").await;
    let tones = "(() => { const of = (text) => [...document.querySelectorAll('tbody tr')]\
        .find((row) => row.innerText.includes(text))?.querySelector('.badge').className; \
        return [of('b is unhealthy'), of('b is healthy')]; })()";
    let tones: [String; 2] = console.evaluate(tones).await;
    assert_eq!(tones, ["badge bad", "badge good"]);
    let dated = "/\\d{4}-\\d\\d-\\d\\d \\d\\d:/.test(document.querySelector('tbody').innerText)";
    assert!(console.evaluate::<bool>(dated).await, "events have their date");
    console.picture("trouble-events").await;
    stage.close().await;
}

#[tokio::test]
async fn applying_starts_from_what_runs_and_warns_of_edits_that_would_be_lost() {
    let Some(stage) = Stage::mismatch().await else { return };
    let console = &stage.tab;
    stage.show("#/groups/app").await;
    let edit = "fetch('/v1/groups/app', {method: 'PATCH', body: JSON.stringify({set: {slow_start: '33s'}}), \
        headers: {'Content-Type': 'application/json', 'X-Limpet-Request': '1'}}).then((answer) => answer.status)";
    assert_eq!(console.evaluate::<u16>(edit).await, 200);
    stage.show("#/config/apply").await;
    console.click_text("Start from what runs").await;
    let text = "document.querySelector('#new-text').value";
    assert!(console.evaluate::<String>(text).await.contains("slow_start = \"33s\""));
    console.click_text("Show what would change").await;
    console.wait_text("Nothing would change.").await;
    assert!(!console.evaluate::<bool>("document.querySelector('#lost') !== null").await);
    console.click_text("Start from the file, without the overlay").await;
    console.click_text("Show what would change").await;
    let lost = console.text_of("document.querySelector('#lost')?.innerText").await;
    assert!(
        lost.contains("1 edit made at run time would be lost") && lost.contains("33s"),
        "{lost}"
    );
    console.picture("apply-lost").await;
    stage.close().await;
}

#[tokio::test]
async fn a_target_that_nobody_checks_is_grey_and_nowhere_has_a_green_tick() {
    let Some(stage) = Stage::mismatch().await else { return };
    let console = &stage.tab;
    let badges = |of: &str| {
        format!(
            "[...document.querySelectorAll('{of} .badge')].map((one) => `${{one.className.trim()}}: ${{one.innerText}}`)"
        )
    };
    stage.show("#/").await;
    let standing: Vec<String> = console.evaluate(&badges("[data-key=standing]")).await;
    assert_eq!(standing, ["badge: 1 of 1 group unchecked", "badge: 1 unchecked"]);
    for page in ["#/groups", "#/groups/app"] {
        stage.show(page).await;
        let row: Vec<String> = console.evaluate(&badges("tbody")).await;
        assert_eq!(row, ["badge: unchecked"], "{page}");
        let beside = console.text_of("document.querySelector('td.what')?.innerText").await;
        assert!(beside.contains("not checked"), "{page}: {beside}");
        assert!(beside.contains("0 failures since the start"), "{page}: {beside}");
        console.picture(&format!("unchecked-{}", page.replace(['#', '/'], ""))).await;
    }
    stage.close().await;
}
