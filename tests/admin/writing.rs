//! Changes: their versions, their authors, and what is in force after them.

use serde_json::{Value, json};

use super::support::Api;

#[tokio::test]
async fn two_operators_do_not_overwrite_each_other() {
    let api = Api::new().on_socket();
    let seen = api.get("/v1/groups/app").await.header("etag").to_owned();
    let first = r#"{"set":{"slow_start":"30s"}}"#;
    let reply = api.write_if("PATCH", "/v1/groups/app", first, Some(&seen)).await;
    assert_eq!(reply.status, 200, "{}", reply.text);
    assert_eq!(reply.header("etag"), "\"2\"");
    let second = r#"{"set":{"slow_start":"60s"}}"#;
    let reply = api.write_if("PATCH", "/v1/groups/app", second, Some(&seen)).await;
    assert_eq!(reply.problem(), "version-mismatch");
    assert_eq!((reply.header("etag"), &reply.json()["version"]), ("\"2\"", &json!(2)));
    assert_eq!(api.get("/v1/groups/app").await.json()["attributes"]["slow_start"], "30s");
    for (tag, status) in [("\"2\", \"9\"", 200), ("*", 200), ("W/\"3\"", 412), ("x", 400)] {
        let reply = api.write_if("PATCH", "/v1/groups/app", first, Some(tag)).await;
        assert_eq!(reply.status, status, "{tag}");
    }
    let reply = api.write("PATCH", "/v1/groups/app", second).await;
    assert_eq!(reply.status, 200, "without If-Match the write goes through");
}

#[tokio::test]
async fn a_change_names_its_author_in_the_history() {
    let mut api = Api::new();
    let flush = "/v1/groups/app/stickiness/flush";
    assert_eq!(api.write("POST", flush, "").await.status, 200);
    api.peer = limpet::control::admin::actor::Peer::Unix { uid: Some(0), pid: Some(77) };
    assert_eq!(api.write("POST", flush, "").await.status, 200);
    let history = api.get("/v1/config/history").await.json();
    let actors: Vec<&Value> =
        history["entries"].as_array().unwrap().iter().map(|entry| &entry["actor"]).collect();
    assert!(
        actors.ends_with(&[&json!("console 127.0.0.1"), &json!("console (uid 0, pid 77)")]),
        "{actors:?}"
    );
}

#[tokio::test]
async fn stickiness_is_edited_by_its_own_keys_and_undone() {
    let api = Api::new().on_socket();
    let body = r#"{"set":{"enabled":false,"duration":"12h"}}"#;
    let reply = api.write("PATCH", "/v1/groups/app/stickiness", body).await;
    assert_eq!(reply.status, 200, "{}", reply.text);
    let applied = reply.json();
    assert!(!applied["summary"].as_array().unwrap().is_empty());
    let now = api.get("/v1/groups/app/stickiness").await.json();
    assert_eq!((&now["enabled"], &now["duration"]), (&json!(false), &json!("12h")));
    let undo = json!({ "change": applied["change"] }).to_string();
    assert_eq!(api.write("POST", "/v1/config/undo", &undo).await.status, 200);
    let then = api.get("/v1/groups/app/stickiness").await.json();
    assert_eq!((&then["enabled"], &then["duration"]), (&json!(true), &json!("1h")));
}

#[tokio::test]
async fn targets_come_change_and_go() {
    let api = Api::new().on_socket();
    let body = r#"{"settings":{"id":"c","address":"127.0.0.1:9004"}}"#;
    let reply = api.write("POST", "/v1/groups/app/targets", body).await;
    assert_eq!(reply.status, 201, "{}", reply.text);
    let reply = api.write("PATCH", "/v1/groups/app/targets/c", r#"{"set":{"weight":5}}"#).await;
    assert_eq!(reply.status, 200, "{}", reply.text);
    assert_eq!(api.get("/v1/groups/app/targets/c").await.json()["weight"], 5);
    let reply = api.write("DELETE", "/v1/groups/app/targets/c?keep=overlay", "").await;
    assert_eq!(reply.status, 200, "{}", reply.text);
    // It may still be there, taking its leave.
    let after = api.get("/v1/groups/app/targets/c").await;
    assert!(after.status == 404 || after.json()["configured_state"] == "removed", "{}", after.text);
}

#[tokio::test]
async fn a_target_drains_as_it_is_told() {
    let api = Api::new().on_socket();
    let target = "/v1/groups/app/targets/a";
    let body = r#"{"until":"sessions","sessions_at_most":3,"deadline":"10m"}"#;
    let reply = api.write("POST", &format!("{target}/drain"), body).await;
    assert_eq!(reply.status, 200, "{}", reply.text);
    let shown = api.get(target).await.json();
    assert_eq!(shown["configured_state"], "draining");
    assert_eq!(shown["effective_weight"], 0.0);
    let drain = &shown["drain"];
    assert_eq!((&drain["until"], &drain["sessions_at_most"]), (&json!("sessions"), &json!(3)));
    assert!(drain["remaining_s"].as_f64().unwrap() > 590.0 || drain["finished"] == true, "{drain}");
    let reply = api.write("POST", &format!("{target}/enable"), "").await;
    assert_eq!(reply.status, 200, "{}", reply.text);
    let shown = api.get(target).await.json();
    assert_eq!((&shown["configured_state"], &shown["drain"]), (&json!("in_service"), &json!(null)));
    assert_eq!(api.write("POST", &format!("{target}/disable"), "{}").await.status, 200);
    let shown = api.get(target).await.json();
    assert_eq!(
        (&shown["configured_state"], &shown["drain"]["finished"]),
        (&json!("draining"), &json!(true))
    );
}

#[tokio::test]
async fn a_whole_configuration_goes_back_unless_it_is_confirmed() {
    let folder = tempfile::tempdir().unwrap();
    let api = Api::in_folder(folder.path()).on_socket();
    let text = super::support::CONFIG.replace("duration = \"1h\"", "duration = \"2h\"");
    let body = json!({ "text": text }).to_string();
    let diff = api.write("POST", "/v1/config/diff", &body).await;
    assert_eq!(diff.json()["differences"].as_array().unwrap().len(), 1, "{}", diff.text);
    let body = json!({ "text": text, "confirm": "60s" }).to_string();
    let reply = api.write("POST", "/v1/config/apply", &body).await;
    assert_eq!(reply.status, 200, "{}", reply.text);
    let pending = &api.get("/v1/status").await.json()["config"]["pending"];
    assert!(pending["remaining"].as_f64().unwrap() > 50.0, "{pending}");
    let edit = api.write("PATCH", "/v1/groups/app", r#"{"set":{"slow_start":"30s"}}"#).await;
    assert_eq!(edit.problem(), "pending");
    assert_eq!(api.write("POST", "/v1/config/rollback", "").await.status, 200);
    assert_eq!(api.get("/v1/groups/app/stickiness").await.json()["duration"], "1h");
}

#[tokio::test]
async fn an_edit_is_written_into_the_file_or_waits_on_top_of_it() {
    let folder = tempfile::tempdir().unwrap();
    let api = Api::in_folder(folder.path()).on_socket();
    let path = folder.path().join("limpet.toml");
    let body = r#"{"set":{"slow_start":"30s"},"keep":"file"}"#;
    let reply = api.write("PATCH", "/v1/groups/app", body).await;
    assert_eq!(reply.status, 200, "{}", reply.text);
    let text = std::fs::read_to_string(&path).unwrap();
    assert!(
        text.contains("slow_start = \"30s\"") && text.contains("# A comment that stays."),
        "{text}"
    );
    api.write("PATCH", "/v1/groups/app", r#"{"set":{"queue":7}}"#).await;
    assert_eq!(api.get("/v1/config").await.json()["overlay"].as_array().unwrap().len(), 1);
    assert_eq!(api.write("POST", "/v1/config/overlay/write", "").await.status, 200);
    assert!(std::fs::read_to_string(&path).unwrap().contains("queue = 7"));
    assert_eq!(api.get("/v1/config").await.json()["overlay"], json!([]));
    api.write("PATCH", "/v1/groups/app", r#"{"set":{"queue":8}}"#).await;
    assert_eq!(api.write("DELETE", "/v1/config/overlay", "").await.status, 200);
    assert_eq!(api.get("/v1/groups/app").await.json()["attributes"]["queue"], 7);
}

#[tokio::test]
async fn the_log_level_is_a_setting_of_the_moment() {
    let api = Api::new().on_socket();
    let reply = api.write("PUT", "/v1/log-level", r#"{"level":"debug"}"#).await;
    assert_eq!(reply.json(), json!({ "level": "debug" }));
    assert_eq!(api.get("/v1/log-level").await.json(), json!({ "level": "debug" }));
    assert_eq!(api.control.version(), 1, "it is no configuration");
}
