//! What is answered about a configuration and the sources.

use serde_json::json;

use super::support::Api;

#[tokio::test]
async fn status_joins_configuration_and_machine() {
    let api = Api::new();
    let reply = api.get("/v1/status").await;
    assert_eq!(reply.status, 200, "{}", reply.text);
    assert_eq!(reply.header("etag"), "\"1\"");
    let status = reply.json();
    assert_eq!(status["engine"], "epoll");
    assert_eq!(status["shards"], 2);
    assert_eq!(status["connections"]["open"], 4);
    assert_eq!(
        status["listeners"],
        json!([{ "name": "web", "address": "127.0.0.1:8080", "http_versions": ["HTTP/1.1"] }])
    );
    assert_eq!(status["config"]["version"], 1);
    assert_eq!(status["config"]["path"], json!(null));
    assert_eq!(status["log"]["lines_dropped"], 2);
    assert_eq!(status["demo"], false);
}

#[tokio::test]
async fn a_group_has_its_settings_its_numbers_and_its_targets() {
    let api = Api::new();
    let snapshot = api.control.snapshot();
    let busy = &snapshot.groups[0].targets[0].state;
    let now_s = limpet::control::events::unix_ms() / 1000;
    let life = snapshot.groups[0].stickiness.as_ref().expect("it is sticky").life();
    for session in 1..=2 {
        busy.note_session(session << 100 | session, life, now_s);
    }
    busy.try_acquire(0);
    let _tunnel = busy.open_tunnel();
    let group = api.get("/v1/groups/app").await.json();
    assert_eq!(group["algorithm"], "round_robin");
    assert_eq!(group["attributes"]["deregistration_delay"], "5m");
    assert_eq!(group["attributes"]["health_check"]["type"], "off");
    assert!(group["attributes"].get("target").is_none());
    assert_eq!(group["stickiness"]["enabled"], true);
    assert_eq!(group["stickiness"]["duration"], "1h");
    assert_eq!(group["stickiness"]["cookie_name"], "limpet_app");
    assert_eq!(group["stickiness"]["app_cookie"], json!(null));
    assert_eq!(group["stickiness"]["app_header"], json!(null));
    assert_eq!(group["stickiness"]["on_lost"], "balance");
    let summary = &group["health_summary"];
    assert_eq!((&summary["unchecked"], &summary["healthy"]), (&json!(2), &json!(0)));
    assert_eq!(group["sessions"], 2);
    assert_eq!(group["tunnels"], 1);
    assert_eq!(group["in_flight"], 1);
    assert_eq!(group["sticky"]["new"], 0);
    let target = &group["targets"][0];
    assert_eq!((&target["id"], &target["address"]), (&json!("a"), &json!("127.0.0.1:9001")));
    assert_eq!((&target["sessions"], &target["sessions_error_percent"]), (&json!(2), &json!(3.3)));
    assert_eq!((&target["health"], &target["last_check"]), (&json!("unchecked"), &json!(null)));
    assert_eq!(target["drain"], json!(null));
    assert_eq!(group["targets"][1]["effective_weight"], 3.0);
    let alone = api.get("/v1/groups/app/targets/a").await.json();
    assert_eq!(&alone, target);
    let named_by_address = api.get("/v1/groups/api/targets/127.0.0.1:9003").await;
    assert_eq!(named_by_address.status, 200, "{}", named_by_address.text);
    assert_eq!(api.get("/v1/groups").await.json()["groups"][0]["name"], "app");
}

#[tokio::test]
async fn the_overview_tells_which_group_needs_a_look_and_why() {
    let api = Api::new();
    let overview = api.get("/v1/overview").await.json();
    assert_eq!((&overview["group_count"], &overview["troubled_count"]), (&json!(2), &json!(0)));
    assert_eq!(overview["groups"][0]["name"], "app");
    assert_eq!(overview["groups"][0]["standing"], json!({"unchecked": 2}));
    assert_eq!(overview["unchecked_count"], 2, "no group has checks");
    let snapshot = api.control.snapshot();
    let api_group = snapshot.groups.iter().find(|group| &*group.name == "api").unwrap();
    api_group.targets[0].state.set_health(limpet::group::state::Health::Unhealthy);
    let overview = api.get("/v1/overview").await.json();
    assert_eq!(overview["troubled_count"], 1);
    // Trouble comes first, whatever the order of the file.
    let first = &overview["groups"][0];
    assert_eq!((&first["name"], &first["is_troubled"]), (&json!("api"), &json!(true)));
    assert_eq!(first["standing"], json!({"unhealthy": 1}));
    assert_eq!(first["troubled_targets"][0]["id"], "127.0.0.1:9003");
    api_group.targets[0].state.set_health(limpet::group::state::Health::Healthy);
    api_group.targets[0].state.set_ejected(true);
    let ejected = api.get("/v1/overview").await.json()["groups"][0].clone();
    assert_eq!(ejected["standing"], json!({"ejected": 1}), "{ejected}");
}

#[tokio::test]
async fn rules_stand_in_order_with_their_words() {
    let rules = Api::new().get("/v1/rules").await.json();
    assert_eq!(
        rules["listeners"][0],
        json!({ "name": "web", "address": "127.0.0.1:8080", "http_versions": ["HTTP/1.1"], "rules": [
            { "name": "api", "priority": 10, "conditions": ["path is /api/*", "method is GET or HEAD"],
              "action": "forward to api", "requests": 0, "requests_per_second": 0.0 },
            { "name": "default", "priority": null, "conditions": [],
              "action": "forward to app", "requests": 0, "requests_per_second": 0.0 },
        ] })
    );
}

#[tokio::test]
async fn a_session_that_outlives_stickiness_is_told_with_what_to_set() {
    let api = Api::new();
    let snapshot = api.control.snapshot();
    let group = snapshot.groups.iter().find(|group| &*group.name == "app").unwrap();
    let sticky = group.stickiness.as_ref().unwrap();
    group.state.sessions.observe(sticky, b"PHPSESSID=x; Max-Age=43200", 0);
    let matches = &api.get("/v1/groups/app").await.json()["session_matches"];
    let first = &matches[0];
    assert_eq!((&first["kind"], &first["session"]), (&json!("ends_before"), &json!("12h")));
    assert_eq!(first["suggestion"], json!({ "stickiness.duration": "12h" }));
    let set = json!({ "set": first["suggestion"] }).to_string();
    let reply = api.write("PATCH", "/v1/groups/app", &set).await;
    assert_eq!(reply.status, 200, "{}", reply.text);
    assert_eq!(api.get("/v1/groups/app").await.json()["session_matches"], json!([]));
}

#[tokio::test]
async fn settings_are_those_of_a_file() {
    let settings = Api::new().get("/v1/settings").await.json();
    let settings = settings["settings"].as_array().unwrap();
    let duration = settings.iter().find(|one| one["key"] == "target_group.stickiness.duration");
    assert_eq!(duration.unwrap()["default"], "\"1d\"");
    assert!(duration.unwrap()["allowed"].as_str().unwrap().contains("\"7d\""));
    let name = settings.iter().find(|one| one["key"] == "target_group.name").unwrap();
    assert_eq!(name["default"], json!(null));
}

#[tokio::test]
async fn events_go_on_where_the_last_answer_ended() {
    let api = Api::new();
    api.write("PATCH", "/v1/groups/app", r#"{"set":{"slow_start":"30s"}}"#).await;
    let events = api.get("/v1/events").await.json();
    let events = events["events"].as_array().unwrap();
    let last = events.last().expect("an edit is an event");
    assert_eq!(last["kind"], "edit");
    let after = api.get(&format!("/v1/events?after={}", last["number"])).await.json();
    assert_eq!(after["events"], json!([]));
    assert_eq!(api.get("/v1/events?count=0").await.json()["events"], json!([]));
}

#[tokio::test]
async fn secrets_are_never_shown() {
    let text =
        super::support::CONFIG.replace("[admin]\n", "[admin]\ntoken = \"0123456789-abcdef\"\n");
    let mut api = Api::of(&text, None);
    api.peer = limpet::control::admin::actor::Peer::Unix { uid: Some(0), pid: None };
    let config = api.get("/v1/config").await;
    assert_eq!(config.status, 200, "{}", config.text);
    assert!(!config.text.contains("0123456789"), "{}", config.text);
}

#[tokio::test]
async fn a_request_is_explained_by_the_running_configuration() {
    let api = Api::new();
    let body = r#"{"request":"GET /api/x","headers":["Host: a.example"]}"#;
    let reply = api.write("POST", "/v1/explain", body).await;
    assert_eq!(reply.status, 200, "{}", reply.text);
    let outcome = &reply.json()["outcome"];
    assert_eq!((&outcome["kind"], &outcome["rule"]), (&json!("forward"), &json!("api")));
    assert_eq!(outcome["group"], "api");
}
