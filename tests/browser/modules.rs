//! The console's pure modules: what a form changes, what was pasted, and how numbers are written.

use std::time::Duration;

use limpet::control::config::units::{show_age, show_remaining};
use serde_json::{Value, json};

use crate::stage::Stage;
use crate::tab::Tab;

async fn call(tab: &Tab, module: &str, expression: &str) -> Value {
    tab.evaluate(&format!("import('/console/{module}').then((m) => {expression})")).await
}

#[tokio::test]
async fn what_is_pasted_is_understood_as_a_request_a_path_or_a_cookie() {
    let Some(stage) = Stage::demo().await else { return };
    stage.show("#/explain").await;
    let cases = [
        ("GET /a HTTP/1.1\\r\\nHost: x\\r\\n\\r\\ncontent: no", json!(["GET /a", ["Host: x"]])),
        ("POST /b", json!(["POST /b", []])),
        ("/c?d=e", json!(["GET /c?d=e", []])),
        ("limpet_app=abc", json!(["GET /", ["Cookie: limpet_app=abc"]])),
        ("Cookie: limpet_app=abc", json!(["GET /", ["Cookie: limpet_app=abc"]])),
        ("Mcp-Session-Id: a=.b", json!(["GET /", ["Mcp-Session-Id: a=.b"]])),
        ("", json!(["GET /", []])),
    ];
    for (text, expected) in cases {
        let expression = format!("Object.values(m.understand('{text}'))");
        assert_eq!(call(&stage.tab, "explain.js", &expression).await, expected, "{text}");
    }
    stage.close().await;
}

#[tokio::test]
async fn a_form_sends_what_differs_and_nothing_else() {
    let Some(stage) = Stage::demo().await else { return };
    stage.show("#/").await;
    let changes = async |edits: Value| {
        let expression = format!(
            "fetch('/v1/groups/demo').then((answer) => answer.json()).then(({{attributes}}) => {{ \
               const shown = (value) => value === null ? '' : Array.isArray(value) ? value.join(', ') : value === true || value === false ? value : String(value); \
               const edits = {edits}; \
               return m.changes(attributes, (key) => key in edits ? edits[key] : shown(m.read(attributes, key))); }})"
        );
        call(&stage.tab, "fields.js", &expression).await
    };
    assert_eq!(changes(json!({})).await, json!({}));
    let sticky = json!({"stickiness.enabled": true, "stickiness.duration": " 12h "});
    let expected = json!({"stickiness.enabled": true, "stickiness.duration": "12h"});
    assert_eq!(changes(sticky).await, expected);
    let numbers = json!({"queue": "7", "connection_limit": "many", "slow_start": ""});
    let expected = json!({"queue": 7, "connection_limit": "many", "slow_start": null});
    assert_eq!(changes(numbers).await, expected);
    let lists = json!({"stickiness.session_cookies": "a, b,"});
    assert_eq!(changes(lists).await, json!({"stickiness.session_cookies": ["a", "b"]}));
    let hash = json!({"algorithm": "hash", "hash_on": "source"});
    assert_eq!(changes(hash.clone()).await, hash);
    let lost = async |on_lost: &str| {
        let by_field = json!({"stickiness.type": "app_header", "stickiness.app_header": "X-Session",
            "stickiness.on_lost": on_lost, "stickiness.duration": "1h"});
        changes(by_field).await["stickiness.on_lost"].take()
    };
    assert_eq!(lost("404").await, json!(404));
    assert_eq!(lost("balance").await, Value::Null);
    assert_eq!(lost("retry").await, json!("retry"));
    let key = call(&stage.tab, "fields.js", "m.ownKey('target_group[app].stickiness.duration')");
    assert_eq!(key.await, json!("stickiness.duration"));
    stage.close().await;
}

#[tokio::test]
async fn numbers_are_written_as_people_read_them() {
    let Some(stage) = Stage::demo().await else { return };
    stage.show("#/").await;
    let cases = [
        ("m.count(0)", "0"),
        ("m.count(null)", "–"),
        ("m.count(9999)", "9999"),
        ("m.count(12345)", "12.3 k"),
        ("m.count(100000)", "100 k"),
        ("m.count(1.25)", "1.25"),
        ("m.rate(1200)", "1200"),
        ("m.latency(812)", "812 µs"),
        ("m.latency(1500)", "1.5 ms"),
        ("m.latency(2e6)", "2 s"),
        ("m.bytes(1536)", "1.5 KiB"),
        ("m.ago(Date.now())", "now"),
        ("m.ago(Date.now() - 125500)", "2m5s ago"),
        ("m.sentence('waits for 1 session')", "Waits for 1 session."),
        ("m.sentence('Gone.')", "Gone."),
        ("m.sentence('')", ""),
        ("m.setting([])", "–"),
        ("m.setting(false)", "Off"),
        ("m.moment(new Date(2026, 10, 9, 8, 5, 3).getTime())", "2026-11-09 08:05:03"),
        ("m.clock(new Date(2020, 0, 2, 8, 5, 3).getTime())", "2020-01-02 08:05:03"),
    ];
    for (expression, expected) in cases {
        assert_eq!(
            call(&stage.tab, "format.js", expression).await,
            json!(expected),
            "{expression}"
        );
    }
    stage.close().await;
}

/// Ages are told as settings are written, here as in the terminal.
#[tokio::test]
async fn durations_are_written_as_the_server_writes_them() {
    let Some(stage) = Stage::demo().await else { return };
    stage.show("#/").await;
    let ages_ms = [
        0,
        1,
        250,
        999,
        1_000,
        1_500,
        40_000,
        59_999,
        60_000,
        61_000,
        119_000,
        3_599_000,
        3_600_000,
        3_605_000,
        7_500_000,
        86_399_000,
        86_400_000,
        86_460_000,
        90_061_000,
        604_800_000,
        31_536_000_000_u64,
    ];
    let ages = ages_ms.map(Duration::from_millis);
    for (function, expected) in [("span", ages.map(show_age)), ("left", ages.map(show_remaining))] {
        let expression = format!("{ages_ms:?}.map((ms) => m.{function}(ms / 1000))");
        assert_eq!(call(&stage.tab, "format.js", &expression).await, json!(expected), "{function}");
    }
    stage.close().await;
}
