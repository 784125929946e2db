//! Who may ask, and how everybody else is refused.

use super::support::{Api, CONFIG};

const HOST: (&str, &str) = ("host", "localhost");
const MARK: (&str, &str) = ("x-limpet-request", "1");
const JSON: (&str, &str) = ("content-type", "application/json");

fn with_token() -> Api {
    Api::of(
        &CONFIG.replace(
            "[admin]\n",
            "[admin]\ntoken = \"0123456789-abcdef\"\nhosts = [\"lb.example\"]\n",
        ),
        None,
    )
}

#[tokio::test]
async fn a_name_that_is_not_ours_is_misdirected() {
    let api = with_token();
    let token = ("authorization", "Bearer 0123456789-abcdef");
    for (host, status) in [
        ("localhost", 200),
        ("127.0.0.1:9901", 200),
        ("[::1]:9901", 200),
        ("lb.example:9901", 200),
        ("evil.example", 421),
        ("localhost.evil.example:9901", 421),
    ] {
        let reply = api.raw("GET", "/v1/settings", &[("host", host), token], "").await;
        assert_eq!(reply.status, status, "{host}");
    }
    let reply = api.raw("GET", "/", &[("host", "evil.example")], "").await;
    assert_eq!(reply.problem(), "misdirected");
    let reply = api.raw("GET", "/v1/settings", &[token], "").await;
    assert_eq!(reply.problem(), "misdirected");
    let reply = api.raw("GET", "http://evil.example/v1/settings", &[HOST, token], "").await;
    assert_eq!(reply.problem(), "misdirected", "absolute-form names the host as well");
}

#[tokio::test]
async fn the_api_needs_its_token_and_nothing_else_does() {
    let api = with_token();
    for path in ["/v1/status", "/v1/groups/app", "/v1/openapi.json", "/metrics"] {
        let reply = api.raw("GET", path, &[HOST], "").await;
        assert_eq!(reply.problem(), "unauthorized", "{path}");
        assert_eq!(reply.header("www-authenticate"), "Bearer realm=\"limpet\"");
        let wrong = ("authorization", "Bearer 0123456789-abcdeF");
        assert_eq!(api.raw("GET", path, &[HOST, wrong], "").await.status, 401, "{path}");
    }
    let reply = api.raw("DELETE", "/v1/config/overlay", &[HOST, MARK], "").await;
    assert_eq!(reply.problem(), "unauthorized");
    assert_eq!(api.get("/healthz").await.text, "ok");
    let page = api.get("/").await;
    assert_eq!(
        (page.status.as_u16(), page.header("content-type")),
        (200, "text/html; charset=utf-8")
    );
    assert_eq!(page.header("cache-control"), "no-cache", "the console says so for itself");
    assert_eq!(api.get("/console/app.js").await.status, 200);
    let token = ("authorization", "Bearer 0123456789-abcdef");
    assert_eq!(api.raw("GET", "/v1/settings", &[HOST, token], "").await.status, 200);
}

#[tokio::test]
async fn the_unix_socket_needs_neither_name_nor_token() {
    let mut api = with_token();
    api.peer = limpet::control::admin::actor::Peer::Unix { uid: Some(0), pid: Some(1) };
    assert_eq!(api.raw("GET", "/v1/settings", &[("host", "limpet")], "").await.status, 200);
    let reply = api.raw("POST", "/v1/config/reload", &[("host", "limpet")], "").await;
    assert_eq!(reply.problem(), "cross-site", "a write is marked there as well");
}

#[tokio::test]
async fn a_page_of_another_site_changes_nothing() {
    let api = Api::new();
    let body = r#"{"set":{"slow_start":"9s"}}"#;
    for (fields, status) in [
        (&[HOST, JSON, MARK][..], 200),
        (&[HOST, JSON, MARK, ("origin", "http://localhost")], 200),
        (&[HOST, JSON, MARK, ("sec-fetch-site", "same-origin")], 200),
        (&[HOST, JSON], 403),
        (&[HOST, JSON, ("x-limpet-request", "yes")], 403),
        (&[HOST, JSON, MARK, ("origin", "http://evil.example")], 403),
        (&[HOST, JSON, MARK, ("origin", "null")], 403),
        (&[HOST, JSON, MARK, ("sec-fetch-site", "same-site")], 403),
        (&[HOST, MARK, ("content-type", "text/plain")], 415),
        (&[HOST, MARK], 415),
    ] {
        let reply = api.raw("PATCH", "/v1/groups/app", fields, body).await;
        assert_eq!(reply.status, status, "{fields:?}");
    }
    let preflight =
        [HOST, ("origin", "http://evil.example"), ("access-control-request-method", "PUT")];
    let reply = api.raw("OPTIONS", "/v1/log-level", &preflight, "").await;
    assert_eq!(reply.status, 405);
    let allows = reply.headers.keys().any(|name| name.as_str().starts_with("access-control-"));
    assert!(!allows, "no CORS at all");
}

#[tokio::test]
async fn every_answer_is_sealed() {
    let api = Api::new();
    for path in ["/v1/settings", "/v1/nothing", "/healthz", "/metrics", "/"] {
        let reply = api.get(path).await;
        assert!(
            reply.header("content-security-policy").contains("frame-ancestors 'none'"),
            "{path}"
        );
        assert_eq!(reply.header("x-content-type-options"), "nosniff", "{path}");
        assert_eq!(reply.header("referrer-policy"), "no-referrer", "{path}");
        if path.starts_with("/v1/") {
            assert_eq!(reply.header("cache-control"), "no-store", "{path}");
        }
    }
    let reply = api.raw("GET", "/v1/status", &[("host", "evil.example")], "").await;
    assert_eq!(reply.header("x-content-type-options"), "nosniff", "refusals as well");
}

#[tokio::test]
async fn refusals_are_problems_of_their_own_type() {
    let api = Api::new().on_socket();
    let large = format!("{{\"text\":\"{}\"}}", "x".repeat(4 * 1024 * 1024));
    for (method, path, body, status, problem) in [
        ("GET", "/v1/nothing", "", 404, "no-such-path"),
        ("GET", "/v1/groups/", "", 404, "no-such-path"),
        ("GET", "/v1//status", "", 404, "no-such-path"),
        ("GET", "/v1/groups/none", "", 404, "no-group"),
        ("GET", "/v1/groups/none/stickiness", "", 404, "no-group"),
        ("GET", "/v1/groups/none/targets/a", "", 404, "no-group"),
        ("GET", "/v1/groups/app/targets/z", "", 404, "no-target"),
        ("GET", "/v1/groups/%ff", "", 400, "bad-request"),
        ("GET", "/v1/events?after=x", "", 400, "bad-request"),
        ("GET", "/v1/events?other=1", "", 400, "bad-request"),
        ("POST", "/v1/status", "", 405, "method-not-allowed"),
        ("PUT", "/v1/log-level", "{\"level\":", 400, "bad-request"),
        ("PUT", "/v1/log-level", "{\"level\":\"loud\"}", 400, "bad-request"),
        ("PUT", "/v1/log-level", "{}", 400, "bad-request"),
        ("PUT", "/v1/log-level", "[]", 400, "bad-request"),
        ("POST", "/v1/config/reload", "{\"x\":1}", 400, "bad-request"),
        ("POST", "/v1/config/diff", &large, 413, "too-large"),
        ("POST", "/v1/config/apply", "{\"confirm\":\"soon\"}", 422, "invalid"),
        ("POST", "/v1/config/undo", "{\"change\":999}", 404, "no-change"),
        ("POST", "/v1/config/confirm", "", 409, "nothing-pending"),
        ("POST", "/v1/explain", "{\"request\":\"GET /\",\"listener\":\"none\"}", 422, "invalid"),
        ("PATCH", "/v1/groups/app", "{\"set\":{\"slow_start\":\"soon\"}}", 422, "invalid"),
        ("PATCH", "/v1/groups/none", "{\"set\":{}}", 404, "no-group"),
        ("DELETE", "/v1/groups/app/targets/a?keep=pocket", "", 400, "bad-request"),
        ("DELETE", "/v1/groups/app/targets/z", "", 404, "no-target"),
    ] {
        let reply = match method {
            "GET" => api.get(path).await,
            _ => api.write(method, path, body).await,
        };
        assert_eq!(reply.status, status, "{method} {path}: {}", reply.text);
        assert_eq!(reply.problem(), problem, "{method} {path}");
    }
    let reply = api.write("POST", "/v1/log-level", "").await;
    assert_eq!(reply.header("allow").split(',').collect::<Vec<_>>(), ["GET", "HEAD", "PUT"]);
}

#[tokio::test]
async fn an_invalid_setting_is_named_with_what_is_allowed() {
    let api = Api::new();
    let body = r#"{"set":{"duration":"8d"}}"#;
    let reply = api.write("PATCH", "/v1/groups/app/stickiness", body).await;
    assert_eq!(reply.problem(), "invalid");
    let mistakes = &reply.json()["problems"];
    let mistake = &mistakes[0];
    let key = mistake["key"].as_str().unwrap();
    assert!(key.ends_with("stickiness.duration"), "{mistakes}");
    assert!(mistake["allowed"].as_str().unwrap().contains("\"7d\""), "{mistakes}");
    assert_eq!(api.get("/v1/groups/app/stickiness").await.json()["duration"], "1h");
}

#[tokio::test]
async fn without_a_token_an_address_changes_attributes_and_nothing_else() {
    let api = Api::new();
    let status = |reply: super::support::Reply| reply.status.as_u16();
    assert_eq!(api.get("/v1/status").await.json()["may_change"], "attributes");
    let group = "/v1/groups/app";
    let (a, undo) = (format!("{group}/targets/a"), "/v1/config/undo");
    let same = serde_json::json!({ "text": CONFIG }).to_string();
    let mut changes = Vec::new();
    for (method, path, body) in [
        ("PATCH", group.to_owned(), r#"{"set":{"slow_start":"30s"}}"#),
        ("PATCH", format!("{group}/stickiness"), r#"{"set":{"duration":"2h"}}"#),
        ("POST", format!("{group}/stickiness/flush"), ""),
        ("PATCH", a.clone(), r#"{"set":{"weight":5}}"#),
        ("POST", format!("{a}/drain"), ""),
        ("POST", format!("{a}/enable"), ""),
        ("POST", format!("{a}/disable"), ""),
        ("POST", "/v1/config/diff".to_owned(), &same),
        ("POST", "/v1/explain".to_owned(), r#"{"request":"GET /"}"#),
    ] {
        let reply = api.write(method, &path, body).await;
        assert_eq!(reply.status, 200, "{method} {path}: {}", reply.text);
        changes.push(reply.json()["change"].clone());
    }
    let weight = serde_json::json!({ "change": changes[3] }).to_string();
    assert_eq!(status(api.write("POST", undo, &weight).await), 200);
    for (method, path, body) in [
        ("POST", "/v1/config/apply".to_owned(), r#"{"text":"access_log.output = \"/tmp/x\""}"#),
        ("POST", "/v1/config/reload".to_owned(), ""),
        ("POST", "/v1/config/confirm".to_owned(), ""),
        ("POST", "/v1/config/rollback".to_owned(), ""),
        ("POST", "/v1/config/overlay/write".to_owned(), ""),
        ("DELETE", "/v1/config/overlay".to_owned(), ""),
        ("PUT", "/v1/log-level".to_owned(), r#"{"level":"trace"}"#),
        ("POST", format!("{group}/targets"), r#"{"settings":{"address":"127.0.0.1:22"}}"#),
        ("PATCH", a.clone(), r#"{"set":{"address":"unix:/run/docker.sock"}}"#),
        ("PATCH", group.to_owned(), r#"{"set":{"health_check":{"type":"tcp","port":22}}}"#),
        ("DELETE", a.clone(), ""),
    ] {
        let reply = api.write(method, &path, body).await;
        assert_eq!(reply.problem(), "not-trusted", "{method} {path}");
        let said = reply.json()["detail"].to_string();
        assert!(said.contains("admin.token") && said.contains("admin.socket"), "{said}");
    }
}

#[tokio::test]
async fn without_a_token_an_address_does_not_take_back_what_it_may_not_change() {
    let mut api = Api::new().on_socket();
    let socket = api.peer.clone();
    let address = limpet::control::admin::actor::Peer::Tcp(([127, 0, 0, 1], 5000).into());
    let target = r#"{"settings":{"id":"c","address":"127.0.0.1:9004"}}"#;
    let apply =
        serde_json::json!({ "text": CONFIG.replace("weight = 3", "weight = 4") }).to_string();
    for (path, body) in [("/v1/groups/app/targets", target), ("/v1/config/apply", &apply)] {
        api.peer = socket.clone();
        let applied = api.write("POST", path, body).await;
        let undo = serde_json::json!({ "change": applied.json()["change"] }).to_string();
        api.peer = address.clone();
        let reply = api.write("POST", "/v1/config/undo", &undo).await;
        assert_eq!(reply.problem(), "not-trusted", "{path}");
    }
}

#[tokio::test]
async fn a_token_opens_everything_on_an_address() {
    let api = with_token();
    let fields = [HOST, MARK, JSON, ("authorization", "Bearer 0123456789-abcdef")];
    let body = r#"{"settings":{"id":"c","address":"127.0.0.1:9004"}}"#;
    assert_eq!(api.raw("POST", "/v1/groups/app/targets", &fields, body).await.status, 201);
    let status = api.raw("GET", "/v1/status", &fields, "").await;
    assert_eq!(status.json()["may_change"], "everything");
}
