//! The page of certificates, over the TLS that it is about.

use crate::audit;
use crate::authority::{Authority, Wanted};
use crate::server::Server;
use crate::stage::{self, Stage};

/// What the row of a name says.
fn row(name: &str) -> String {
    format!(
        "[...document.querySelectorAll('#main tbody tr')].find((row) => row.querySelector('th')?.textContent.includes('{name}'))"
    )
}

#[tokio::test]
async fn certificates_are_listed_with_what_is_left_of_them_and_how_they_were_read_last() {
    let folder = tempfile::tempdir().unwrap();
    let authority = Authority::new("Shop authority");
    for (name, days) in [
        ("a.shop.example", 90),
        ("b.shop.example", 20),
        ("c.shop.example", 3),
        ("d.shop.example", -2),
    ] {
        authority.issue(folder.path(), name, &Wanted { days, ..Wanted::server(name) });
    }
    let Some(stage) = Stage::signed_in(|| Server::secured(folder)).await else { return };
    let console = &stage.tab;
    console.goto(&format!("{}/#/certificates", stage.console)).await;
    console.wait_text("What is presented").await;
    for (name, left, tone) in [
        ("a.shop.example", "89 days left", "good"),
        ("b.shop.example", "19 days left", "warn"),
        ("c.shop.example", "2 days left", "bad"),
        ("d.shop.example", "expired 2d", "bad"),
    ] {
        let row = row(name);
        let badge = format!("{row}?.querySelector('.badge.{tone}')?.textContent");
        assert!(console.text_of(&badge).await.starts_with(left), "{name}");
        let text = console.text_of(&format!("{row}?.textContent")).await;
        for piece in ["the admin API", "Shop authority", "ECDSA P-256", "directory", ".pem"] {
            assert!(text.contains(piece), "{name}: no {piece} in {text}");
        }
    }
    let first: String =
        console.evaluate("document.querySelector('#main tbody th').textContent").await;
    assert_eq!(first, "d.shop.example", "what ends first comes first");
    console.wait_text("and are in order").await;
    console.fill("#find", "b.shop").await;
    console.wait(&format!("!({})", row("a.shop.example")), "others are left out").await;
    console.fill("#find", "").await;

    std::fs::write(stage.certificates().join("a.shop.example.key"), "hush-hush, no key").unwrap();
    console.wait_text("Not every file could be read anew").await;
    let said = console.text_of("document.querySelector('#last-reading')?.textContent").await;
    assert!(said.contains("a.shop.example.key") && !said.contains("hush"), "{said}");
    console.picture("certificates").await;
    let is_secure: bool = console.evaluate("isSecureContext && document.cookie === ''").await;
    assert!(is_secure, "the page is served over TLS, and what signs in is no cookie");
    if let Some(axe) = stage::axe() {
        let wrong = audit::audit(console, &axe, "page-certificates-tls").await;
        assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    }
    stage.close().await;
}
