//! An audit of accessibility by axe-core: every page, and what comes up on them; readable when narrow as well.

use serde::Deserialize;

use crate::pages::PAGES;
use crate::stage::{self, Stage};
use crate::tab::Tab;

#[derive(Debug, Deserialize)]
struct Violation {
    id: String,
    help: String,
    nodes: Vec<String>,
}

/// Every rule, or, where nothing but the colours is new, those about contrast.
fn script(colours: &str) -> String {
    let rules = if colours == "dark" { "runOnly: ['color-contrast'], " } else { "" };
    format!(
        "axe.run(document, {{{rules}resultTypes: ['violations']}}).then(({{violations}}) => \
         violations.map(({{id, help, nodes}}) => ({{id, help, nodes: nodes.map((node) => node.html)}})))"
    )
}

/// What is wrong with what is shown, in both themes, wide and narrow. Leaves a picture of each.
pub async fn audit(tab: &Tab, axe: &str, name: &str) -> Vec<String> {
    let mut wrong = Vec::new();
    tab.run(axe).await;
    for (colours, width) in [("light", 1280), ("dark", 1280), ("light", 400), ("dark", 400)] {
        tab.prefer(colours).await;
        tab.width(width).await;
        tab.picture(&format!("{name}-{colours}-{width}")).await;
        let found: Vec<Violation> = tab.evaluate(&script(colours)).await;
        wrong.extend(found.iter().map(|violation| {
            let Violation { id, help, nodes } = violation;
            format!("{name} {colours} {width}: {id} ({help}): {nodes:?}")
        }));
        let over: i64 = tab.evaluate("document.documentElement.scrollWidth - innerWidth").await;
        if over > 0 {
            wrong.push(format!("{name} {width}: {over} pixels wider than the window"));
        }
    }
    tab.width(1280).await;
    wrong
}

#[tokio::test]
async fn every_page_passes_an_audit_of_its_accessibility_in_both_themes_wide_and_narrow() {
    let Some(stage) = Stage::demo().await else { return };
    let Some(axe) = stage::axe() else { return stage.close().await };
    let mut wrong = Vec::new();
    for (name, page) in PAGES {
        stage.show(page).await;
        wrong.extend(audit(&stage.tab, &axe, &format!("page-{name}")).await);
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    stage.close().await;
}

#[tokio::test]
async fn what_comes_up_on_a_page_passes_the_audit_as_well() {
    let Some(stage) = Stage::mismatch().await else { return };
    let Some(axe) = stage::axe() else { return stage.close().await };
    let console = &stage.tab;
    let mut wrong = Vec::new();
    stage.show("#/groups/app").await;
    console.wait("document.querySelector('#stickiness .match') !== null", "the warning").await;
    wrong.extend(audit(console, &axe, "seen-warning").await);

    console.click("button[aria-label='Drain a']").await;
    wrong.extend(audit(console, &axe, "seen-dialog").await);
    console.click("dialog .end button.first").await;
    console.wait("document.querySelector('.drain .remaining') !== null", "the countdown").await;
    wrong.extend(audit(console, &axe, "seen-countdown").await);

    stage.show("#/groups/app/edit").await;
    console.fill("[name='stickiness.duration']", "8d").await;
    console.click("#save").await;
    console.wait("document.querySelector('[aria-invalid]') !== null", "the refusal").await;
    wrong.extend(audit(console, &axe, "seen-refusal").await);

    stage.show("#/explain").await;
    console.fill("#request", "GET /account HTTP/1.1\nCookie: limpet_app=forged").await;
    console.click("main button.first").await;
    console.wait("document.querySelector('.steps') !== null", "the explanation").await;
    // The only target drains and the cookie binds nobody.
    console.wait_text("no target: 503").await;
    wrong.extend(audit(console, &axe, "seen-explanation").await);
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    stage.close().await;
}
