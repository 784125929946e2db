//! The description of the API is complete and true: every path and method of it is served, nothing else is,
//! and what is answered fits its schemas.

use limpet::control::admin::{OPENAPI, path_names};
use serde_json::{Map, Value, json};

use super::support::{Api, CONFIG, Reply};

const METHODS: [&str; 5] = ["get", "post", "put", "patch", "delete"];

fn document() -> Value {
    serde_json::from_str(OPENAPI).expect("openapi.json is JSON")
}

fn operations(document: &Value) -> Vec<(String, String)> {
    let paths = document["paths"].as_object().expect("paths");
    let pairs = paths.iter().flat_map(|(path, methods)| {
        let methods = methods.as_object().expect("methods");
        methods.keys().map(move |method| (path.clone(), method.clone()))
    });
    pairs.collect()
}

/// Names that are there.
fn concrete(path: &str) -> String {
    path.replace("{group}", "app").replace("{target}", "a")
}

#[tokio::test]
async fn what_is_described_is_served_and_the_other_way_round() {
    let document = document();
    let described = operations(&document);
    let mut paths: Vec<&str> = path_names().to_vec();
    paths.push("/healthz");
    let mut in_document: Vec<&str> =
        document["paths"].as_object().unwrap().keys().map(String::as_str).collect();
    in_document.sort_unstable();
    paths.sort_unstable();
    assert_eq!(in_document, paths);
    for path in paths {
        for method in METHODS {
            let api = Api::new().on_socket();
            let reply = api.write(&method.to_uppercase(), &concrete(path), "{}").await;
            let is_described = described.contains(&(path.to_owned(), method.to_owned()));
            let is_served = reply.status != 405;
            assert_eq!(is_served, is_described, "{method} {path}: {}", reply.status);
        }
    }
}

#[tokio::test]
async fn every_write_is_marked_and_says_so() {
    let document = document();
    for (path, method) in operations(&document) {
        let operation = &document["paths"][&path][&method];
        let parameters = operation["parameters"].as_array().cloned().unwrap_or_default();
        let says_so = parameters.contains(&json!({ "$ref": "#/components/parameters/Mark" }));
        assert_eq!(says_so, method != "get", "{method} {path}");
        if says_so {
            let fields = [("host", "localhost"), ("content-type", "application/json")];
            let reply = Api::new()
                .on_socket()
                .raw(&method.to_uppercase(), &concrete(&path), &fields, "{}")
                .await;
            assert_eq!(reply.problem(), "cross-site", "{method} {path}");
        }
    }
}

/// Every key that an object may have is described, and all of them are always there.
#[test]
fn schemas_of_answers_are_closed_and_whole() {
    let document = document();
    let schemas = document["components"]["schemas"].as_object().unwrap();
    for (name, schema) in schemas {
        let properties = schema["properties"].as_object().unwrap_or_else(|| panic!("{name}"));
        assert_eq!(schema["additionalProperties"], false, "{name}");
        let is_asked = ["Set", "Kept", "Nothing", "NewTarget", "DrainRequest", "Diff", "Apply"]
            .into_iter()
            .chain(["Undo", "WhichLevel", "Question", "Problem"])
            .any(|asked| asked == name);
        if !is_asked {
            let required = schema["required"].as_array().map_or(0, Vec::len);
            assert_eq!(required, properties.len(), "{name} has an optional key");
        }
    }
}

/// Holds an answer to what its operation promises.
#[track_caller]
fn assert_described(document: &Value, path: &str, method: &str, reply: &Reply) {
    let what = format!("{method} {path} → {}: {}", reply.status, reply.text);
    let responses = &document["paths"][path][method]["responses"];
    let mut response = &responses[reply.status.as_str()];
    assert!(response.is_object(), "not described: {what}");
    if let Some(name) = response["$ref"].as_str() {
        response = document.pointer(&name[1..]).unwrap();
    }
    let headers = response["headers"].as_object().cloned().unwrap_or_default();
    for name in headers.keys() {
        assert!(reply.headers.contains_key(name), "no {name}: {what}");
    }
    let (kind, content) = response["content"].as_object().unwrap().iter().next().unwrap();
    assert!(reply.header("content-type").starts_with(kind.as_str()), "{what}");
    if kind == "text/plain" {
        return;
    }
    let mut schema: Map<String, Value> = content["schema"].as_object().unwrap().clone();
    schema.insert("components".to_owned(), document["components"].clone());
    let validator = jsonschema::draft202012::new(&Value::Object(schema)).expect("a schema");
    let json = reply.json();
    let errors: Vec<String> = validator
        .iter_errors(&json)
        .map(|error| format!("{}: {error}", error.instance_path()))
        .collect();
    assert!(errors.is_empty(), "{errors:#?} in {what}");
}

/// What to send for an answer that is not a refusal.
fn body(path: &str, method: &str) -> String {
    let text = CONFIG.replace("duration = \"1h\"", "duration = \"2h\"");
    let body = match (method, path) {
        ("put", "/v1/log-level") => json!({ "level": "info" }),
        ("patch", "/v1/groups/{group}") => json!({ "set": { "slow_start": "30s" } }),
        ("patch", "/v1/groups/{group}/stickiness") => json!({ "set": { "duration": "2h" } }),
        ("patch", _) => json!({ "set": { "weight": 5 }, "keep": "overlay" }),
        ("post", "/v1/groups/{group}/targets") => {
            json!({ "settings": { "id": "c", "address": "127.0.0.1:9004" } })
        }
        ("post", "/v1/explain") => json!({ "request": "GET /" }),
        ("post", "/v1/config/diff") => json!({ "text": text }),
        ("post", "/v1/config/apply") => json!({ "text": text, "confirm": "60s" }),
        _ => return String::new(),
    };
    body.to_string()
}

#[tokio::test]
async fn every_answer_fits_its_description() {
    let document = document();
    for (path, method) in operations(&document) {
        let folder = tempfile::tempdir().unwrap();
        let api = Api::in_folder(folder.path()).on_socket();
        prepare(&api, &path).await;
        let upper = method.to_uppercase();
        let reply = match method.as_str() {
            "get" => api.get(&concrete(&path)).await,
            _ if path.ends_with("/undo") => {
                let change = api.control.history().last().unwrap().change;
                let body = json!({ "change": change }).to_string();
                api.write(&upper, &path, &body).await
            }
            _ => api.write(&upper, &concrete(&path), &body(&path, &method)).await,
        };
        assert!(reply.status.is_success(), "{method} {path} → {}: {}", reply.status, reply.text);
        assert_described(&document, &path, &method, &reply);
    }
}

/// What must have happened before.
async fn prepare(api: &Api, path: &str) {
    let set = r#"{"set":{"queue":7}}"#;
    if path != "/v1/config/reload" {
        assert_eq!(api.write("PATCH", "/v1/groups/app", set).await.status, 200);
    }
    if path.ends_with("/confirm") || path.ends_with("/rollback") || path == "/v1/status" {
        let apply = body("/v1/config/apply", "post");
        let reply = api.write("POST", "/v1/config/apply", &apply).await;
        assert_eq!(reply.status, 200, "{}", reply.text);
    }
    if path.starts_with("/v1/groups") && !path.ends_with("/drain") {
        let reply = api.write("POST", "/v1/groups/app/targets/a/drain", "").await;
        assert_eq!(reply.status, 200, "{}", reply.text);
    }
}

#[tokio::test]
async fn every_refusal_fits_its_description() {
    let document = document();
    for (path, method, body) in [
        ("/v1/groups/{group}", "patch", r#"{"set":{"slow_start":"x"}}"#),
        ("/v1/groups/{group}", "patch", "{"),
        ("/v1/config/confirm", "post", ""),
        ("/v1/config/undo", "post", r#"{"change":999}"#),
        ("/v1/config/apply", "post", r#"{"text":"listener = 1"}"#),
        ("/v1/config/reload", "post", ""),
        ("/v1/explain", "post", r#"{"request":"GET /","listener":"none"}"#),
    ] {
        let api = Api::new().on_socket();
        let reply = api.write(&method.to_uppercase(), &concrete(path), body).await;
        assert!(!reply.status.is_success(), "{method} {path}: {}", reply.text);
        reply.problem();
        assert_described(&document, path, method, &reply);
    }
    let api = Api::new().on_socket();
    let reply = api.write_if("POST", "/v1/config/reload", "", Some("\"9\"")).await;
    assert_eq!(reply.problem(), "version-mismatch");
    assert_described(&document, "/v1/config/reload", "post", &reply);
}
