use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use crate::control::console::*;

/// The whole console stays small: it is in every binary and loaded at once.
const BYTES_MAX: usize = 132 * 1024;

fn all() -> impl Iterator<Item = &'static Asset> {
    std::iter::once(&PAGE).chain(&ASSETS)
}

fn text(asset: &Asset) -> &'static str {
    std::str::from_utf8(asset.content).unwrap()
}

fn request(if_none_match: Option<&'static str>) -> HeaderMap {
    let mut headers = HeaderMap::new();
    if let Some(value) = if_none_match {
        headers.insert(header::IF_NONE_MATCH, HeaderValue::from_static(value));
    }
    headers
}

#[test]
fn every_file_of_the_folder_is_served_and_all_of_them_are_small() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/control/console/assets");
    let files: BTreeSet<String> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name != "index.html")
        .map(|name| format!("/console/{name}"))
        .collect();
    let served: BTreeSet<String> = ASSETS.iter().map(|asset| asset.path.to_owned()).collect();
    assert_eq!(files, served);
    let bytes: usize = all().map(|asset| asset.content.len()).sum();
    assert!(bytes < BYTES_MAX, "{bytes} bytes");
}

#[test]
fn nothing_names_another_host() {
    for asset in all() {
        let own = text(asset).replace("http://www.w3.org/2000/svg", "");
        assert!(!own.contains("://"), "{} names an address", asset.path);
        assert!(!own.contains("url(") && !own.contains("@import"), "{}", asset.path);
    }
}

#[test]
fn no_text_of_others_becomes_markup_or_code() {
    let banned =
        ["innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(", "new Function"];
    for asset in all() {
        for word in banned {
            assert!(!text(asset).contains(word), "{} has {word}", asset.path);
        }
    }
}

#[test]
fn the_page_has_no_script_and_no_style_of_its_own() {
    let page = text(&PAGE);
    assert!(!page.contains("<style") && !page.contains("style="), "{page}");
    assert!(!page.contains("<script>") && !page.contains(" on"), "an inline script or handler");
}

#[test]
fn whatever_is_named_is_there() {
    for asset in all() {
        let names = text(asset).split(['"', '\'']);
        for name in names.filter(|name| name.starts_with("./") || name.starts_with("console/")) {
            let file = name.trim_start_matches("./").trim_start_matches("console/");
            let path = format!("/console/{file}");
            assert!(is_console(&path), "{} names {name}, which is not served", asset.path);
        }
    }
}

#[test]
fn every_file_goes_out_with_its_type_its_tag_and_a_strict_policy() {
    for asset in all() {
        let tag = etag(asset.content);
        let response = answer(asset, &tag, &request(None));
        assert_eq!(response.status(), StatusCode::OK);
        let headers = response.headers();
        assert_eq!(headers[header::CONTENT_TYPE], asset.content_type);
        assert_eq!(headers[header::ETAG], *tag);
        assert_eq!(headers[header::CACHE_CONTROL], "no-cache");
        assert_eq!(headers[header::X_CONTENT_TYPE_OPTIONS], "nosniff");
        let policy = headers[header::CONTENT_SECURITY_POLICY].to_str().unwrap();
        assert!(policy.starts_with("default-src 'self'") && !policy.contains("unsafe"));
    }
}

#[test]
fn what_the_browser_has_already_is_not_sent_again() {
    let with = |value| answer(&PAGE, "\"abc\"", &request(Some(value))).status();
    for known in ["\"abc\"", "W/\"abc\"", "\"x\", \"abc\"", "*"] {
        assert_eq!(with(known), StatusCode::NOT_MODIFIED, "{known}");
    }
    for other in ["\"abcd\"", "abc", "\"x\""] {
        assert_eq!(with(other), StatusCode::OK, "{other}");
    }
}

#[test]
fn other_content_has_another_tag() {
    let tags: BTreeSet<Arc<str>> = all().map(|asset| etag(asset.content)).collect();
    assert_eq!(tags.len(), ASSETS.len() + 1);
    assert_eq!(etag(b""), etag(b""));
}

#[test]
fn the_api_is_not_the_consoles() {
    assert!(is_console("/") && is_console("/console/app.js"));
    assert!(!is_console("/v1/status") && !is_console("/console/../v1/status") && !is_console(""));
    // Paths that clash, or that axum does not take, would end the program here.
    let _: Router<()> = router();
}
