//! Stickiness by a session id in a field: chosen in the form, shown with the group, given up again.

use serde_json::{Value, json};

use crate::stage::Stage;
use crate::tab::Tab;

/// Whether the form shows the field of this setting.
fn is_shown(key: &str) -> String {
    format!("document.querySelector(\"[data-field='stickiness.{key}']\").offsetParent !== null")
}

async fn choose(console: &Tab, kind: &str) {
    console.click(&format!("input[name='stickiness.type'][value='{kind}']")).await;
}

async fn save(console: &Tab) {
    console.click("#save").await;
    console.wait("document.querySelector('#saved') !== null", "the edit is in force").await;
}

/// The attribute's settings of this type, as the file has them.
async fn in_force(console: &Tab) -> Value {
    let ask = "fetch('/v1/groups/demo').then((answer) => answer.json()).then(({attributes: {stickiness: \
        {type, app_header, on_lost}}}) => ({type, app_header: app_header ?? null, on_lost}))";
    console.evaluate(ask).await
}

#[tokio::test]
async fn sessions_in_a_field_are_chosen_and_given_up_in_the_form() {
    let Some(stage) = Stage::demo().await else { return };
    let console = &stage.tab;
    stage.show("#/groups/demo/edit").await;
    console.click("input[name='stickiness.enabled']").await;
    let (own, of_cookies) = (["app_header", "on_lost"], ["duration", "cookie_name", "failback"]);
    for (kind, by_field) in [("app_cookie", false), ("app_header", true)] {
        choose(console, kind).await;
        for (keys, expected) in [(&own[..], by_field), (&of_cookies[..], !by_field)] {
            for key in keys {
                assert_eq!(
                    console.evaluate::<bool>(&is_shown(key)).await,
                    expected,
                    "{kind} {key}"
                );
            }
        }
        let app_cookie = console.evaluate::<bool>(&is_shown("app_cookie")).await;
        assert_eq!(app_cookie, !by_field);
        assert!(console.evaluate::<bool>(&is_shown("max_age")).await);
    }
    console.click("#save").await;
    let place = "document.querySelector(\"[data-field='stickiness.type'] .wrong\")?.textContent";
    let reason = console.text_of(place).await;
    assert!(reason.contains("app_header"), "no field is named: {reason}");

    console.fill("[name='stickiness.app_header']", "Mcp-Session-Id").await;
    console.fill("[name='stickiness.on_lost']", "404").await;
    for colours in ["light", "dark"] {
        console.prefer(colours).await;
        console.picture(&format!("session-field-form-{colours}")).await;
    }
    save(console).await;
    let chosen = json!({"type": "app_header", "app_header": "Mcp-Session-Id", "on_lost": 404});
    assert_eq!(in_force(console).await, chosen);
    let group = console.text_of("document.querySelector('main').innerText").await;
    let shown = ["sticky by app_header Mcp-Session-Id, 7d at most", "404: the client begins anew"];
    assert!(shown.iter().all(|text| group.contains(text)), "{group}");
    assert!(!group.contains("Cookie name") && !group.contains("Stickiness duration"), "{group}");
    for colours in ["light", "dark"] {
        console.prefer(colours).await;
        console.picture(&format!("session-field-group-{colours}")).await;
    }

    stage.show("#/groups/demo/edit").await;
    choose(console, "lb_cookie").await;
    save(console).await;
    let given_up = json!({"type": "lb_cookie", "app_header": null, "on_lost": "balance"});
    assert_eq!(in_force(console).await, given_up);
    stage.close().await;
}
