//! The audit log: every change and every refusal, with who asked for it.

use std::os::unix::fs::{MetadataExt, PermissionsExt};

use serde_json::Value;

use crate::support::{Limpet, Target, config, group, poll};

fn serving(address: bool) -> (Limpet, Target) {
    let target = Target::echo("a");
    let config = config().with_admin().admin("audit_log", "{dir}/audit.log");
    let config = if address { config.admin("address", "127.0.0.1:0") } else { config };
    (config.group(group("app").sticky().target("a", &target)).start(), target)
}

fn lines(limpet: &Limpet) -> Vec<Value> {
    let text = std::fs::read_to_string(limpet.path("audit.log")).expect("the audit log");
    text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
}

/// The last line after a request that is answered with `status`.
#[track_caller]
fn after(limpet: &Limpet, method: &str, path: &str, body: &str, status: u16) -> Value {
    let count = lines(limpet).len();
    let (answered, text) = limpet.admin().ask(method, path, "X-Limpet-Actor: ctl kim\r\n", body);
    assert_eq!(answered, status, "{method} {path}: {text}");
    let lines = lines(limpet);
    assert_eq!(lines.len(), count + 1, "one line for {method} {path}: {lines:#?}");
    lines.into_iter().next_back().expect("a line")
}

#[test]
fn every_kind_of_change_is_a_line_with_who_what_from_and_to() {
    let (limpet, _target) = serving(false);
    let text = std::fs::read_to_string(limpet.path("limpet.toml")).expect("the file");
    let other = Value::from(text.replace("id = \"a\"", "id = \"a\"\nweight = 9"));
    let apply = format!("{{\"text\":{other},\"confirm\":\"60s\"}}");
    let uid = std::fs::metadata("/proc/self").expect("myself").uid();
    let actor = format!("ctl kim (uid {uid}, pid {})", std::process::id());
    let cases: [(&str, &str, &str, &str, &str); 13] = [
        (
            "PATCH",
            "/v1/groups/app",
            r#"{"set":{"slow_start":"9s"}}"#,
            "edit",
            "slow_start \"0s\" → \"9s\"",
        ),
        (
            "PATCH",
            "/v1/groups/app/stickiness",
            r#"{"set":{"duration":"2h"},"keep":"file"}"#,
            "edit",
            "\"1d\" → \"2h\"",
        ),
        ("POST", "/v1/groups/app/stickiness/flush", "{}", "edit", "generation 0 → 1"),
        ("PATCH", "/v1/groups/app/targets/a", r#"{"set":{"weight":5}}"#, "edit", "weight 1 → 5"),
        ("POST", "/v1/config/undo", r#"{"change":4}"#, "undo", "weight 5 → 1"),
        ("POST", "/v1/config/overlay/write", "{}", "write", "in it now"),
        (
            "PATCH",
            "/v1/groups/app",
            r#"{"set":{"slow_start":"3s"}}"#,
            "edit",
            "slow_start \"9s\" → \"3s\"",
        ),
        ("DELETE", "/v1/config/overlay", "", "discard", "slow_start \"3s\" → \"9s\""),
        ("POST", "/v1/config/apply", &apply, "apply", "weight 1 → 9"),
        ("POST", "/v1/config/rollback", "{}", "rollback", "weight 9 → 1"),
        ("POST", "/v1/config/apply", &apply, "apply", "weight 1 → 9"),
        ("POST", "/v1/config/confirm", "{}", "confirm", "is confirmed"),
        ("PUT", "/v1/log-level", r#"{"level":"trace"}"#, "log_level", "debug → trace"),
    ];
    for (method, path, body, what, says) in cases {
        let line = after(&limpet, method, path, body, 200);
        assert_eq!(
            (&line["actor"], &line["what"]),
            (&actor.clone().into(), &what.into()),
            "{line}"
        );
        assert_eq!(line["outcome"], "accepted", "{line}");
        assert!(line["summary"].to_string().replace('\\', "").contains(says), "{says} in {line}");
        assert!(line["time"].as_str().is_some_and(|time| time.ends_with('Z')), "{line}");
    }
    // What was applied went into the file only where that was asked for: a reload goes back to it.
    let line = after(&limpet, "POST", "/v1/config/reload", "{}", 200);
    assert_eq!(
        (line["what"].as_str(), line["outcome"].as_str()),
        (Some("reload"), Some("accepted"))
    );
    let line = after(
        &limpet,
        "POST",
        "/v1/groups/app/targets",
        r#"{"settings":{"address":"127.0.0.1:1","id":"b"}}"#,
        201,
    );
    assert_eq!(line["edit"]["edit"], "add_target", "{line}");
    let line = after(&limpet, "DELETE", "/v1/groups/app/targets/b", "", 200);
    assert_eq!(line["edit"]["target"], "b", "{line}");
}

#[test]
fn a_drain_is_the_change_and_how_it_goes() {
    let (limpet, _target) = serving(false);
    let (status, text) = limpet
        .admin()
        .post("/v1/groups/app/targets/a/drain", r#"{"until":"sessions","deadline":"10m"}"#);
    assert_eq!(status, 200, "{text}");
    let lines = lines(&limpet);
    let what: Vec<&str> = lines.iter().filter_map(|line| line["what"].as_str()).collect();
    assert_eq!(what, ["edit", "drain"], "{lines:#?}");
    let told = lines[1]["summary"].to_string();
    assert!(told.contains("until no session is left, for 10m at most"), "{told}");
}

#[test]
fn what_is_refused_is_noted_with_the_reason() {
    let (limpet, _target) = serving(false);
    for (method, path, body, status, what, why) in [
        (
            "PATCH",
            "/v1/groups/nope",
            r#"{"set":{"slow_start":"9s"}}"#,
            404,
            "edit",
            "no target group",
        ),
        ("PATCH", "/v1/groups/app", r#"{"set":{"slow_start":"soon"}}"#, 422, "edit", "slow_start"),
        ("DELETE", "/v1/groups/app/targets/z", "", 404, "edit", "no target"),
        ("POST", "/v1/groups/app/targets/z/drain", "{}", 404, "edit", "no target"),
        ("POST", "/v1/config/apply", r#"{"text":"listener = 5"}"#, 422, "apply", "listener"),
        ("POST", "/v1/config/undo", r#"{"change":9}"#, 404, "undo", "no change 9"),
        ("POST", "/v1/config/confirm", "{}", 409, "confirm", "no change waits"),
        ("POST", "/v1/config/rollback", "{}", 409, "rollback", "no change waits"),
    ] {
        let line = after(&limpet, method, path, body, status);
        assert_eq!((&line["what"], &line["outcome"]), (&what.into(), &"refused".into()), "{line}");
        assert!(line["why"].as_str().is_some_and(|text| text.contains(why)), "{line}");
        assert_eq!(line["change"], Value::Null, "{line}");
    }
    let version = "If-Match: \"7\"\r\n";
    let (status, _) = limpet.admin().ask("POST", "/v1/config/reload", version, "{}");
    assert_eq!(status, 412);
    let lines = lines(&limpet);
    let line = lines.last().expect("a line");
    assert!(line["why"].as_str().is_some_and(|why| why.contains("made for 7")), "{line}");
}

/// A limpet whose address asks for a token, and what is asked there: the status of the answer.
fn guarded() -> (Limpet, Target) {
    let target = Target::echo("a");
    let config = config().with_admin().admin("audit_log", "{dir}/audit.log");
    let config = config.admin("address", "127.0.0.1:0").admin("token", "0123456789-abcdef");
    (config.serving(&target).start(), target)
}

fn asked(limpet: &Limpet, request: &str) -> u16 {
    let mut client = limpet.client_of("@admin");
    client.send(request);
    client.response().status
}

const WRONG: &str =
    "GET /v1/status?q=secret HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer wrong\r\n\r\n";

#[test]
fn whoever_is_turned_away_is_noted_and_counted() {
    let (limpet, _target) = guarded();
    let right = "Host: localhost\r\nAuthorization: Bearer 0123456789-abcdef\r\n";
    for (request, status, why) in [
        (WRONG.to_owned(), 401, "unauthorized: GET /v1/status"),
        (
            format!("POST /v1/config/reload HTTP/1.1\r\n{right}Content-Length: 0\r\n\r\n"),
            403,
            "cross-site: POST /v1/config/reload",
        ),
        ("GET / HTTP/1.1\r\nHost: evil.example\r\n\r\n".to_owned(), 421, "misdirected: GET /"),
    ] {
        let before = lines(&limpet).len();
        assert_eq!(asked(&limpet, &request), status, "{request}");
        let lines = lines(&limpet);
        let line = lines.last().expect("a line");
        assert_eq!(lines.len(), before + 1, "{lines:#?}");
        assert_eq!(
            (&line["what"], &line["outcome"], &line["why"], &line["actor"]),
            (&"request".into(), &"refused".into(), &why.into(), &"api 127.0.0.1".into()),
        );
    }
    let (_, metrics) = limpet.admin().ask("GET", "/metrics", "", "");
    for reason in ["unauthorized", "cross-site", "misdirected"] {
        let line = format!("limpet_admin_requests_refused_total{{reason=\"{reason}\"}} 1\n");
        assert!(metrics.contains(&line), "{metrics}");
    }
}

#[test]
fn guesses_at_the_token_are_slowed_down_and_the_socket_is_not() {
    let (limpet, _target) = guarded();
    let start = std::time::Instant::now();
    for _ in 0..25 {
        assert_eq!(asked(&limpet, WRONG), 401);
    }
    // Ten are free, and each further one takes 100 ms to be forgotten.
    assert!(start.elapsed() >= std::time::Duration::from_secs(1), "{:?}", start.elapsed());
    limpet.admin().get("/v1/status");
    let right = WRONG.replace("wrong", "0123456789-abcdef");
    assert_eq!(asked(&limpet, &right), 200, "slowed down, not locked out");
    assert_eq!(lines(&limpet).len(), 25);
}

#[test]
fn signals_and_the_network_are_actors_too() {
    let (limpet, _target) = serving(true);
    limpet.write_config("listener = 5\n");
    limpet.signal(libc::SIGHUP);
    let line = poll(|| lines(&limpet).pop()).expect("a line");
    assert_eq!((&line["actor"], &line["outcome"]), (&"SIGHUP".into(), &"refused".into()), "{line}");
    let mut client = limpet.client_of("@admin");
    client.send("POST /v1/config/undo HTTP/1.1\r\nHost: localhost\r\nX-Limpet-Request: 1\r\nX-Limpet-Actor: console\r\nContent-Type: application/json\r\nContent-Length: 12\r\n\r\n{\"change\":9}");
    assert_eq!(client.response().status, 404);
    assert_eq!(lines(&limpet).pop().expect("a line")["actor"], "console 127.0.0.1");
}

#[test]
fn the_file_is_readable_by_owner_and_group_alone_and_tells_no_secret() {
    let (limpet, _target) = serving(false);
    let text = std::fs::read_to_string(limpet.path("limpet.toml")).expect("the file");
    let key = crate::support::config::KEY_TWO;
    let text = Value::from(text.replace(crate::support::config::KEY_ONE, key));
    let (status, said) = limpet.admin().post("/v1/config/apply", &format!("{{\"text\":{text}}}"));
    assert_eq!(status, 200, "{said}");
    let metadata = std::fs::metadata(limpet.path("audit.log")).expect("the audit log");
    assert_eq!(metadata.permissions().mode() & 0o777 & !0o640, 0);
    let audit = std::fs::read_to_string(limpet.path("audit.log")).expect("the audit log");
    assert!(
        audit.contains("the secret of key 1 is another one") && !audit.contains(key),
        "{audit}"
    );
}
