//! Two operators who look at the same version: only the first one's change goes through.

use std::process::Command;

use crate::support::admin::Admin;
use crate::support::client::Client;
use crate::support::{Limpet, Target, config, group};

fn serving() -> (Limpet, Target) {
    let target = Target::echo("a");
    let app = group("app").target("a", &target);
    (config().with_admin().group(app).start(), target)
}

/// Status, ETag and content.
fn asked(
    admin: &Admin,
    method: &str,
    path: &str,
    lines: &str,
    body: &str,
) -> (u16, String, String) {
    let head = format!(
        "{method} {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nX-Limpet-Request: 1\r\nContent-Type: application/json\r\nContent-Length: {}\r\n{lines}\r\n{body}",
        body.len()
    );
    let response = Client::connect_unix(&admin.socket).send(head).response_to(method);
    let tag = response.field("etag").unwrap_or_default().to_owned();
    (response.status, tag, response.text())
}

#[test]
fn the_second_change_for_the_same_version_is_refused_and_says_the_version_now() {
    let (limpet, _target) = serving();
    let admin = limpet.admin();
    let (_, seen, _) = asked(&admin, "GET", "/v1/groups/app", "", "");
    assert_eq!(seen, "\"1\"");
    let condition = format!("If-Match: {seen}\r\n");
    let path = "/v1/groups/app/targets/a";
    let (status, tag, text) = asked(&admin, "PATCH", path, &condition, r#"{"set":{"weight":2}}"#);
    assert_eq!((status, tag.as_str()), (200, "\"2\""), "{text}");
    let (status, tag, text) = asked(&admin, "PATCH", path, &condition, r#"{"set":{"weight":3}}"#);
    assert_eq!((status, tag.as_str()), (412, "\"2\""), "{text}");
    assert!(text.contains("\"version\":2") && text.contains("version-mismatch"), "{text}");
    assert_eq!(admin.target("app", "a")["weight"], 2);
    // Every way to change the configuration asks the same question.
    for (method, path, body) in [
        ("PATCH", "/v1/groups/app", r#"{"set":{"slow_start":"1s"}}"#),
        ("PATCH", "/v1/groups/app/stickiness", r#"{"set":{"enabled":true}}"#),
        ("POST", "/v1/groups/app/stickiness/flush", "{}"),
        ("POST", "/v1/groups/app/targets", r#"{"settings":{"address":"127.0.0.1:1"}}"#),
        ("DELETE", "/v1/groups/app/targets/a", ""),
        ("POST", "/v1/config/reload", "{}"),
        ("POST", "/v1/config/apply", "{}"),
        ("POST", "/v1/config/undo", r#"{"change":1}"#),
        ("POST", "/v1/config/overlay/write", "{}"),
        ("DELETE", "/v1/config/overlay", ""),
    ] {
        let (status, _, text) = asked(&admin, method, path, &condition, body);
        assert_eq!(status, 412, "{method} {path}: {text}");
    }
    assert_eq!(admin.get("/v1/status")["config"]["version"], 2);
}

#[test]
fn of_many_changes_for_one_version_exactly_one_goes_through() {
    let (limpet, _target) = serving();
    let (path, condition) = ("/v1/groups/app/targets/a", "If-Match: \"1\"\r\n");
    let statuses: Vec<u16> = std::thread::scope(|scope| {
        let ask = |weight: u32| {
            let admin = limpet.admin();
            let body = format!("{{\"set\":{{\"weight\":{weight}}}}}");
            scope.spawn(move || asked(&admin, "PATCH", path, condition, &body).0)
        };
        let threads: Vec<_> = (2..18).map(ask).collect();
        threads.into_iter().map(|thread| thread.join().expect("an answer")).collect()
    });
    assert_eq!(statuses.iter().filter(|status| **status == 200).count(), 1, "{statuses:?}");
    assert!(statuses.iter().all(|status| [200, 412].contains(status)), "{statuses:?}");
}

#[test]
fn ctl_makes_a_change_for_a_version_and_says_how_to_go_on() {
    let (limpet, _target) = serving();
    let weight = |weight: &str, version: &str| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_limpet"));
        command.args(["ctl", "--admin"]).arg(limpet.admin().socket);
        command.args(["weight", "app", "a", weight, "--if-version", version]);
        command.output().expect("run limpet ctl")
    };
    assert_eq!(weight("2", "1").status.code(), Some(0));
    let refused = weight("3", "1");
    assert_eq!(refused.status.code(), Some(1));
    let said = String::from_utf8_lossy(&refused.stderr);
    assert!(said.contains("(412)") && said.contains("repeat it with --if-version 2"), "{said}");
    assert_eq!(weight("3", "2").status.code(), Some(0));
}
