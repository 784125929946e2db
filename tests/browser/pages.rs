//! What holds on every page: nothing from another host, nothing to complain of, reached by keyboard, both themes.

use crate::server::Server;
use crate::stage::Stage;

pub const PAGES: [(&str, &str); 14] = [
    ("overview", "#/"),
    ("groups", "#/groups"),
    ("group", "#/groups/demo"),
    ("edit", "#/groups/demo/edit"),
    ("rules", "#/rules"),
    ("certificates", "#/certificates"),
    ("explain", "#/explain"),
    ("running", "#/config/running"),
    ("file", "#/config/file"),
    ("differences", "#/config/diff"),
    ("overlay", "#/config/overlay"),
    ("history", "#/config/history"),
    ("apply", "#/config/apply"),
    ("events", "#/events"),
];

#[tokio::test]
async fn no_page_asks_another_host_for_anything_and_the_browser_has_nothing_to_complain_of() {
    let Some(stage) = Stage::demo().await else { return };
    for (_, page) in PAGES {
        stage.show(page).await;
    }
    let requests = stage.tab.requests();
    assert!(requests.len() > 3 * PAGES.len(), "requests were not seen: {requests:?}");
    let own = format!("{}/", stage.console);
    let foreign: Vec<_> =
        requests.iter().filter(|url| !url.starts_with(&own) && *url != "about:blank").collect();
    assert!(foreign.is_empty(), "{foreign:?}");
    stage.close().await;
}

#[tokio::test]
async fn the_page_cannot_reach_another_host_even_if_it_tried() {
    let Some(stage) = Stage::demo().await else { return };
    let console = &stage.tab;
    stage.show("#/").await;
    let target = stage.session_page().await;
    let fetched = format!("fetch('{target}').then(() => 'reached', () => 'forbidden')");
    assert_eq!(console.evaluate::<String>(&fetched).await, "forbidden");
    let inline = "(() => { const script = document.createElement('script'); script.textContent = 'window.ran = 1'; \
        document.body.append(script); return 'ran' in window; })()";
    assert!(!console.evaluate::<bool>(inline).await, "a script in the page itself has run");
    let complaints = console.complaints().join("\n");
    assert!(complaints.contains("Content Security Policy"), "{complaints}");
    stage.end().await;
}

#[tokio::test]
async fn every_page_is_reached_by_keyboard_and_takes_the_focus_to_its_title() {
    let Some(stage) = Stage::demo().await else { return };
    let console = &stage.tab;
    stage.show("#/").await;
    for name in
        ["Target groups", "Rules", "Certificates", "Explain", "Configuration", "Events", "Overview"]
    {
        let focus = format!(
            "[...document.querySelectorAll('#nav a')].find((a) => a.textContent === '{name}').focus()"
        );
        console.run(&focus).await;
        console.press("Enter").await;
        let title = format!(
            "document.activeElement?.tagName === 'H1' && document.activeElement.textContent.startsWith('{name}')"
        );
        console.wait(&title, &format!("{name} has the focus on its title")).await;
        let current = "document.querySelector('#nav [aria-current=page]').textContent";
        assert_eq!(console.evaluate::<String>(current).await, name);
    }
    stage.close().await;
}

#[tokio::test]
async fn colours_follow_the_system_until_the_reader_chooses() {
    let Some(stage) = Stage::demo().await else { return };
    let console = &stage.tab;
    let paper = "getComputedStyle(document.body).backgroundColor";
    console.prefer("light").await;
    stage.show("#/").await;
    let light: String = console.evaluate(paper).await;
    console.prefer("dark").await;
    let dark: String = console.evaluate(paper).await;
    assert_ne!(light, dark);
    let choose = "(() => { const choice = document.querySelector('#theme'); choice.value = 'light'; \
        choice.dispatchEvent(new Event('change')); return true; })()";
    assert!(console.evaluate::<bool>(choose).await);
    assert_eq!(console.evaluate::<String>(paper).await, light);
    stage.show("#/rules").await;
    assert_eq!(console.evaluate::<String>(paper).await, light, "the choice is kept");
    stage.close().await;
}

#[tokio::test]
async fn listeners_and_groups_say_which_versions_of_http_they_speak() {
    let Some(stage) = Stage::with(Server::http2).await else { return };
    let console = &stage.tab;
    let badges = "[...document.querySelectorAll('#main .badge')].map((badge) => badge.textContent)";
    for (page, badge) in [
        ("#/rules", "HTTP/1.1, HTTP/2"),
        ("#/groups", "HTTP/2 to targets"),
        ("#/groups/app", "HTTP/2 to targets"),
    ] {
        stage.show(page).await;
        console.wait(&format!("{badges}.includes('{badge}')"), page).await;
    }
    stage.show("#/").await;
    console.wait_text("HTTP/1.1, HTTP/2").await;
    stage.close().await;
    let Some(stage) = Stage::demo().await else { return };
    stage.show("#/groups/demo").await;
    stage.tab.wait(&format!("{badges}.includes('HTTP/1.1 to targets')"), "the default").await;
    stage.close().await;
}
