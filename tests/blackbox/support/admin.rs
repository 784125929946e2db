//! The admin API of a limpet under test, over its Unix socket `{dir}/admin.sock`.

use std::path::PathBuf;

use super::client::Client;
use super::limpet::poll;

/// Asks one request a connection.
#[derive(Debug)]
pub struct Admin {
    pub socket: PathBuf,
}

impl Admin {
    /// Status and content of a request with any method; `body` "" = none.
    #[track_caller]
    pub fn ask(&self, method: &str, path: &str, lines: &str, body: &str) -> (u16, String) {
        let content = if body.is_empty() {
            String::new()
        } else {
            format!("Content-Type: application/json\r\nContent-Length: {}\r\n", body.len())
        };
        let head = format!(
            "{method} {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nX-Limpet-Request: 1\r\n{lines}{content}\r\n{body}"
        );
        let response = Client::connect_unix(&self.socket).send(head).response_to(method);
        (response.status, response.text())
    }

    /// The JSON at `path`.
    #[track_caller]
    pub fn get(&self, path: &str) -> serde_json::Value {
        let (status, text) = self.ask("GET", path, "", "");
        assert_eq!(status, 200, "{path}: {text}");
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("{path}: {error}: {text}"))
    }

    /// What is no JSON.
    #[track_caller]
    pub fn text(&self, path: &str) -> String {
        let (status, text) = self.ask("GET", path, "", "");
        assert_eq!(status, 200, "{path}: {text}");
        text
    }

    #[track_caller]
    pub fn patch(&self, path: &str, body: &str) -> (u16, String) {
        self.ask("PATCH", path, "", body)
    }

    #[track_caller]
    pub fn post(&self, path: &str, body: &str) -> (u16, String) {
        self.ask("POST", path, "", body)
    }

    /// A change that is accepted: what the API says of it.
    #[track_caller]
    pub fn change(&self, method: &str, path: &str, body: &str) -> serde_json::Value {
        let (status, text) = self.ask(method, path, "", body);
        assert!(matches!(status, 200 | 201), "{method} {path} {body}: {status} {text}");
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("{path}: {error}: {text}"))
    }

    /// The first event of this kind whose text contains `what`, once it has happened.
    #[track_caller]
    pub fn event(&self, kind: &str, what: &str) -> serde_json::Value {
        let events = || self.get("/v1/events?count=1000")["events"].clone();
        let is_it = |event: &&serde_json::Value| {
            event["kind"] == kind && event["text"].as_str().is_some_and(|text| text.contains(what))
        };
        let found = poll(|| events().as_array()?.iter().find(is_it).cloned());
        found.unwrap_or_else(|| panic!("no {kind} event with {what:?}: {:#}", events()))
    }

    /// Waits until the target is shown with this health.
    #[track_caller]
    pub fn until_health(&self, group: &str, target: &str, health: &str) -> serde_json::Value {
        let shown = || self.target(group, target);
        let found = poll(|| Some(shown()).filter(|shown| shown["health"] == health));
        found.unwrap_or_else(|| panic!("{target} never became {health}: {:#}", shown()))
    }

    /// One target as the API shows it.
    #[track_caller]
    pub fn target(&self, group: &str, target: &str) -> serde_json::Value {
        self.get(&format!("/v1/groups/{group}/targets/{target}"))
    }
}
