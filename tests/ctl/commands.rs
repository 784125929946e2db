//! What each command asks the server, and what it prints of the answer.

use serde_json::{Value, json};

use crate::{Fake, assert_has, ctl, done};

fn applied() -> Value {
    json!({
        "change": 7, "version": 4,
        "summary": ["target group app: slow_start is 30s, was 0s"],
        "notes": ["shards need a restart"],
    })
}

/// Runs the command, and holds it to one request with this content, marked as a write if it is one.
#[track_caller]
fn asks(arguments: &[&str], line: &str, body: &Value, answer: &Value) -> String {
    let fake = Fake::on_unix_socket();
    fake.answers(line, 200, answer);
    let printed = done(&ctl(&fake, arguments));
    let asked = fake.asked();
    assert_eq!(asked.len(), 1, "{asked:?}");
    assert_eq!((asked[0].line.as_str(), &asked[0].body), (line, body), "{arguments:?}");
    let is_write = !line.starts_with("GET");
    assert_eq!(asked[0].field("x-limpet-request"), is_write.then_some("1"));
    assert_eq!(asked[0].field("x-limpet-actor"), Some("ctl tester"));
    let content_type = (!body.is_null()).then_some("application/json");
    assert_eq!(asked[0].field("content-type"), content_type);
    assert_eq!(asked[0].field("authorization"), None);
    printed
}

/// Each command is exactly this request, and says what has changed.
#[track_caller]
fn changes(cases: &[(&[&str], &str, Value)]) {
    for (arguments, line, body) in cases {
        let printed = asks(arguments, line, body, &applied());
        assert_has(
            &printed,
            &[
                "target group app: slow_start is 30s, was 0s\n",
                "note: shards need a restart\n",
                "change 7, configuration version 4",
            ],
        );
    }
}

#[test]
fn targets_are_changed_by_the_requests_of_the_contract() {
    changes(&[
        (
            &["weight", "app", "a", "5"],
            "PATCH /v1/groups/app/targets/a",
            json!({"set": {"weight": 5}, "keep": "overlay"}),
        ),
        (
            &["enable", "app", "a", "--write"],
            "POST /v1/groups/app/targets/a/enable",
            json!({"keep": "file"}),
        ),
        (
            &["disable", "app", "127.0.0.1:9001", "--keep", "overlay"],
            "POST /v1/groups/app/targets/127.0.0.1%3A9001/disable",
            json!({"keep": "overlay"}),
        ),
        (
            &["add", "app", "127.0.0.1:9003", "--id", "c", "--weight", "2", "--keep", "file"],
            "POST /v1/groups/app/targets",
            json!({
                "settings": {"id": "c", "address": "127.0.0.1:9003", "weight": 2}, "keep": "file",
            }),
        ),
        (
            &["add", "app", "unix:/run/app.sock"],
            "POST /v1/groups/app/targets",
            json!({"settings": {"address": "unix:/run/app.sock"}, "keep": "overlay"}),
        ),
        (
            &["remove", "app", "a", "--write"],
            "DELETE /v1/groups/app/targets/a?keep=file",
            Value::Null,
        ),
    ]);
}

#[test]
fn attributes_are_changed_by_the_requests_of_the_contract() {
    changes(&[
        (
            &["set", "app", "slow_start=30s", "connection_limit=100", "hash_on="],
            "PATCH /v1/groups/app",
            json!({
                "set": {"slow_start": "30s", "connection_limit": 100, "hash_on": null},
                "keep": "overlay",
            }),
        ),
        (
            &["stickiness", "set", "app", "enabled=true", "duration=12h"],
            "PATCH /v1/groups/app/stickiness",
            json!({"set": {"enabled": true, "duration": "12h"}, "keep": "overlay"}),
        ),
        (
            &["stickiness", "set", "app", "type=app_header", "app_header=X-Id", "on_lost=404"],
            "PATCH /v1/groups/app/stickiness",
            json!({
                "set": {"type": "app_header", "app_header": "X-Id", "on_lost": 404},
                "keep": "overlay",
            }),
        ),
        (
            &["stickiness", "on", "app", "--write"],
            "PATCH /v1/groups/app/stickiness",
            json!({"set": {"enabled": true}, "keep": "file"}),
        ),
        (
            &["stickiness", "off", "app"],
            "PATCH /v1/groups/app/stickiness",
            json!({"set": {"enabled": false}, "keep": "overlay"}),
        ),
        (
            &["stickiness", "flush", "app"],
            "POST /v1/groups/app/stickiness/flush",
            json!({"keep": "overlay"}),
        ),
    ]);
}

#[test]
fn drains_begin_by_the_requests_of_the_contract() {
    changes(&[
        (
            &["drain", "app", "a"],
            "POST /v1/groups/app/targets/a/drain",
            json!({"until": "delay", "sessions_at_most": 0, "deadline": null, "keep": "overlay"}),
        ),
        (
            &["drain", "app", "a", "--until-idle", "--deadline", "10m", "--write"],
            "POST /v1/groups/app/targets/a/drain",
            json!({"until": "idle", "sessions_at_most": 0, "deadline": "10m", "keep": "file"}),
        ),
        (
            &["drain", "app", "a", "--until-sessions", "3"],
            "POST /v1/groups/app/targets/a/drain",
            json!({
                "until": "sessions", "sessions_at_most": 3, "deadline": null, "keep": "overlay",
            }),
        ),
    ]);
}

#[test]
fn configurations_are_changed_by_the_requests_of_the_contract() {
    changes(&[
        (&["reload"], "POST /v1/config/reload", json!({})),
        (
            &["apply", "--confirm", "60s"],
            "POST /v1/config/apply",
            json!({"text": null, "confirm": "60s", "keep": "overlay"}),
        ),
        (&["confirm"], "POST /v1/config/confirm", json!({})),
        (&["rollback"], "POST /v1/config/rollback", json!({})),
        (&["undo", "7"], "POST /v1/config/undo", json!({"change": 7})),
        (&["overlay", "write"], "POST /v1/config/overlay/write", json!({})),
        (&["overlay", "discard"], "DELETE /v1/config/overlay", Value::Null),
    ]);
}

#[test]
fn where_a_change_is_kept_is_said() {
    let printed = asks(
        &["weight", "app", "a", "5"],
        "PATCH /v1/groups/app/targets/a",
        &json!({"set": {"weight": 5}, "keep": "overlay"}),
        &applied(),
    );
    assert_has(&printed, &["version 4; kept until limpet ends, --write keeps it in the file\n"]);
    let nothing = json!({"change": 7, "version": 4, "summary": [], "notes": []});
    let printed = asks(&["reload"], "POST /v1/config/reload", &json!({}), &nothing);
    assert_eq!(printed, "nothing differs\nconfiguration version 4, as before\n");
}

#[test]
fn a_change_can_be_made_for_one_version_only() {
    let fake = Fake::on_unix_socket();
    fake.answers("PATCH /v1/groups/app", 200, applied());
    fake.answers("POST /v1/config/reload", 200, applied());
    done(&ctl(&fake, &["set", "app", "slow_start=1s", "--if-version", "3"]));
    done(&ctl(&fake, &["reload", "--if-version", "4"]));
    done(&ctl(&fake, &["reload"]));
    let versions: Vec<Option<String>> =
        fake.asked().iter().map(|asked| asked.field("if-match").map(str::to_owned)).collect();
    assert_eq!(versions, [Some("\"3\"".to_owned()), Some("\"4\"".to_owned()), None]);
}

#[test]
fn a_file_is_sent_as_text_and_differences_have_their_own_exit_code() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("new.toml");
    std::fs::write(&path, "a = 1\n").unwrap();
    let path = path.to_str().unwrap();
    let fake = Fake::on_unix_socket();
    let differences = json!({"differences": [
        {"kind": "target", "text": "2 targets removed from app, about 410 live sessions bound to them",
         "needs_restart": false},
        {"kind": "process", "text": "shards is 4, was 2", "needs_restart": true},
    ]});
    fake.answers("POST /v1/config/diff", 200, differences);
    fake.answers("GET /v1/config/diff", 200, json!({"differences": []}));
    fake.answers("POST /v1/config/apply", 200, applied());
    let differs = ctl(&fake, &["diff", path]);
    assert_eq!(differs.status.code(), Some(4));
    assert_eq!(
        crate::text(&differs.stdout),
        "2 targets removed from app, about 410 live sessions bound to them\n\
         shards is 4, was 2 (after a restart)\n"
    );
    assert_eq!(done(&ctl(&fake, &["diff"])), "nothing differs\n");
    let applied = done(&ctl(&fake, &["apply", path, "--confirm", "60s", "--write"]));
    assert_has(&applied, &["goes back by itself after 60s unless confirmed: limpet ctl confirm\n"]);
    let asked = fake.asked();
    assert_eq!(asked[0].body, json!({"text": "a = 1\n"}));
    assert_eq!(asked[2].body, json!({"text": "a = 1\n", "confirm": "60s", "keep": "file"}));
}

fn status() -> Value {
    json!({
        "version": "0.1.0", "pid": 1, "started_unix_ms": 0, "uptime_s": 12.3, "engine": "io_uring",
        "shards": 2,
        "config": {
            "version": 3, "generation": 17, "path": "/etc/limpet/limpet.toml", "loaded_unix_ms": 0,
            "overlay_edits": 2, "file_differs": false, "pending": null,
        },
        "listeners": [
            {"name": "web", "address": "127.0.0.1:8080", "http_versions": ["HTTP/2", "HTTP/1.1"]},
        ],
        "connections": {
            "open": 3, "accepted": 20, "refused": 0, "http2": {"open": 1, "streams": 17},
        },
        "target_connections": {"open": 4, "http2": {"open": 2, "streams": 1}},
        "memory_bytes": 12_582_912,
        "log": {"lines_written": 9, "lines_dropped": 0, "lines_failed": 0, "level": "info"},
        "warnings": ["no keys are configured"], "unchecked_count": 2, "demo": false, "demo_urls": [],
    })
}

#[test]
fn status_is_one_page() {
    let printed = asks(&["status"], "GET /v1/status", &Value::Null, &status());
    assert_has(
        &printed,
        &[
            "limpet         0.1.0, pid 1, up 12s\n",
            "engine         io_uring, 2 shards\n",
            "configuration  version 3, /etc/limpet/limpet.toml, loaded ",
            "               2 changes not in the file: limpet ctl overlay\n",
            "listener       web on 127.0.0.1:8080, HTTP/2, HTTP/1.1\n",
            "connections    3 open, 20 accepted, 0 refused; to targets 4 open\n",
            "of HTTP/2      1 open, 17 streams; to targets 2 open, 1 stream\n",
            "memory         12 MiB\n",
            "unchecked      targets of 2 target groups: limpet ctl targets\n",
            "log            level info; access log 9 lines written, 0 dropped, 0 failed\n",
            "warning: no keys are configured\n",
        ],
    );
}

fn group() -> Value {
    let target = |id: &str, health: &str, more: Value| {
        let mut target = json!({
            "id": id, "address": "127.0.0.1:9001", "weight": 1, "effective_weight": 1.0,
            "configured_state": "in_service", "health": health, "reason": "", "since_unix_ms": 0,
            "last_check": null, "ejected_until_unix_ms": null, "slow_start_remaining_s": null,
            "in_flight": 2, "tunnels": 0, "waiting": 0, "requests": 9, "failures": 0,
            "requests_per_second": 1.5, "requests_history": [], "sessions": null,
            "sessions_error_percent": null, "drain": null,
        });
        target.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        target
    };
    json!({
        "name": "app", "algorithm": "round_robin",
        "health_summary": {"initial": 0, "healthy": 1, "unhealthy": 1, "draining": 0, "unused": 0},
        "failing_open": false, "requests_per_second": 12.34, "requests_history": [],
        "errors_per_second": 0.0, "latency_us": {"p50": 180, "p90": 300, "p99": 2500, "p999": null},
        "in_flight": 2, "tunnels": 0, "waiting": 0, "sessions": 12,
        "attributes": {"protocol": "https", "protocol_version": "grpc"},
        "stickiness": {"enabled": true, "type": "lb_cookie", "duration": "1d", "max_age": "7d",
            "cookie_name": "limpet_app", "app_cookie": null},
        "session_matches": [{
            "cookie": "PHPSESSID", "kind": "ends_before", "session": "12h", "stickiness": "1d",
            "text": "PHPSESSID lives 12h, stickiness 1d",
            "suggestion": {"stickiness.duration": "12h"},
        }],
        "sticky": {},
        "targets": [
            target("a", "healthy", json!({})),
            target("b", "unhealthy", json!({
                "reason": "3 checks failed",
                "last_check": {"unix_ms": 0, "passed": false, "status": null,
                    "error": "connection refused", "latency_us": null},
            })),
        ],
    })
}

#[test]
fn groups_are_a_table_with_units_and_remarks_below() {
    let printed = asks(&["groups"], "GET /v1/groups", &Value::Null, &json!({"groups": [group()]}));
    let mut lines = printed.lines();
    assert_eq!(
        lines.next(),
        Some(
            "GROUP  VERSION        ALGORITHM    STICKINESS    HEALTHY              REQUESTS/s  ERRORS/s  P50 ms  \
             P99 ms  IN FLIGHT  WAITING  SESSIONS"
        )
    );
    assert_eq!(
        lines.next(),
        Some(concat!(
            "app    grpc over TLS  round_robin  lb_cookie 1d  1 of 2, 1 unhealthy        12.3         0    0.18",
            "    2.50          2        0        12",
        ))
    );
    assert_eq!(lines.next(), Some("app: PHPSESSID lives 12h, stickiness 1d"));
}

#[test]
fn a_group_by_a_session_id_in_a_field_shows_its_greatest_age_which_alone_holds() {
    let mut group = group();
    group["stickiness"]["type"] = json!("app_header");
    let printed = asks(&["groups"], "GET /v1/groups", &Value::Null, &json!({"groups": [group]}));
    assert_has(&printed, &["  app_header 7d  "]);
}

#[test]
fn a_group_that_nobody_checks_has_no_healthy_targets_but_failures() {
    let mut group = group();
    group["health_summary"] = json!({"initial": 0, "healthy": 0, "unchecked": 2, "unhealthy": 0,
        "draining": 1, "unused": 0});
    group["targets"][1]["failures_recently"] = json!(3);
    let printed = asks(&["groups"], "GET /v1/groups", &Value::Null, &json!({"groups": [group]}));
    let row = "lb_cookie 1d  2 unchecked, 1 draining ";
    let remark = "\napp: 3 failures in the last 2m, and nobody checks its targets\n";
    assert_has(&printed, &[row, remark]);
}

#[test]
fn targets_are_a_table_of_one_group_or_all() {
    let one = asks(&["targets", "app"], "GET /v1/groups/app", &Value::Null, &group());
    let all = asks(&["targets"], "GET /v1/groups", &Value::Null, &json!({"groups": [group()]}));
    assert_eq!(one, all);
    let note = "\n  3 checks failed; last check: connection refused, ";
    assert_has(&one, &["GROUP  TARGET  ADDRESS ", "FAILURES", note]);
    assert_eq!(one.lines().count(), 4, "{one}");
    assert!(one.lines().all(|line| line.len() < 100), "{one}");
}

#[test]
fn stickiness_is_shown_beside_what_the_sessions_ask_for() {
    let fake = Fake::on_unix_socket();
    fake.answers("GET /v1/groups/app/stickiness", 200, &group()["stickiness"]);
    fake.answers("GET /v1/groups/app", 200, group());
    let printed = done(&ctl(&fake, &["stickiness", "get", "app"]));
    assert_has(
        &printed,
        &[
            "duration     1d\n",
            "enabled      true\n",
            "app_cookie   -\n",
            "warning: PHPSESSID lives 12h, stickiness 1d\n  \
             limpet ctl set app stickiness.duration=12h\n",
        ],
    );
}

#[test]
fn sessions_are_told_with_their_error_and_the_verdicts() {
    let fake = Fake::on_unix_socket();
    let group = |name: &str| {
        json!({
            "name": name, "sticky": {"valid": 90, "new": 3, "full": 0}, "sessions": 12,
            "error_percent": 3.25, "targets": [{"id": "a", "sessions": 12}, {"id": "b", "sessions": null}],
        })
    };
    fake.answers("GET /v1/sessions", 200, json!({"groups": [group("app"), group("other")]}));
    let printed = done(&ctl(&fake, &["sessions", "app"]));
    assert_eq!(
        printed,
        "\
GROUP  TARGET  LIVE SESSIONS  ERROR ± %
app    all                12        3.2
app    a                  12        3.2
app    b                   -          -

GROUP  VERDICT  REQUESTS
app    new             3
app    valid          90
"
    );
    assert_has(&done(&ctl(&fake, &["sessions"])), &["other  all "]);
    let said = crate::failed(&ctl(&fake, &["sessions", "ap"]), 1);
    assert_has(&said, &["no target group \"ap\"; there is app, other"]);
}

#[test]
fn history_and_overlay_are_tables() {
    let entry = json!({
        "change": 5, "version": 3, "unix_ms": 0, "actor": "console 127.0.0.1", "what": "edit",
        "keep": "overlay", "summary": ["a is b", "c is d"], "can_undo": true,
    });
    let printed =
        asks(&["history"], "GET /v1/config/history", &Value::Null, &json!({"entries": [entry]}));
    assert_has(&printed, &["console 127.0.0.1  edit  overlay  yes   a is b; c is d\n"]);
    let config = json!({"version": 3, "path": null, "running": "", "file": null,
        "file_differs": false, "overlay": [entry], "pending": null});
    let printed = asks(&["overlay"], "GET /v1/config", &Value::Null, &config);
    assert_has(&printed, &["console 127.0.0.1  a is b; c is d\n"]);
    let empty = json!({"overlay": []});
    let printed = asks(&["overlay", "show"], "GET /v1/config", &Value::Null, &empty);
    assert_eq!(printed, "no changes beside the file\n");
}

#[test]
fn explain_prints_the_steps_of_the_running_process() {
    let answer = json!({
        "steps": [
            {"label": "listener", "text": "web (127.0.0.1:8080): the only one"},
            {"label": "rules", "text": "a: no"},
            {"label": "", "text": "default: no rule matched"},
        ],
        "outcome": {"kind": "forward", "listener": "web", "rule": "default", "group": "app",
            "target": null, "sticky_reason": "new", "status": null},
    });
    let arguments =
        ["explain", "GET /", "-H", "Host: a", "--listener", "web", "--source", "192.0.2.7"];
    let body = json!({
        "request": "GET /", "headers": ["Host: a"], "listener": "web", "source": "192.0.2.7",
    });
    let printed = asks(&arguments, "POST /v1/explain", &body, &answer);
    assert_eq!(
        printed,
        "listener   web (127.0.0.1:8080): the only one\n\
         rules      a: no\n           default: no rule matched\n"
    );
}

#[test]
fn the_log_level_is_shown_and_set_and_metrics_are_printed_as_they_are() {
    let level = json!({"level": "debug"});
    let printed = asks(&["log-level"], "GET /v1/log-level", &Value::Null, &level);
    assert_eq!(printed, "debug\n");
    let printed = asks(&["log-level", "debug"], "PUT /v1/log-level", &level, &level);
    assert_eq!(printed, "debug\n");
    let fake = Fake::on_unix_socket();
    fake.answers("GET /metrics", 200, "# TYPE a counter\na 1\n");
    assert_eq!(done(&ctl(&fake, &["metrics"])), "# TYPE a counter\na 1\n");
}

#[test]
fn json_is_the_answer_untouched() {
    let fake = Fake::on_unix_socket();
    let raw = "{\"groups\" : [ {\"name\":\"app\",\"later\":1.50} ]}";
    fake.answers("GET /v1/groups", 200, raw);
    for arguments in [&["groups", "--json"], &["--json", "targets"]] {
        assert_eq!(done(&ctl(&fake, arguments)), format!("{raw}\n"));
    }
}

#[test]
fn certificates_are_shown_with_their_ends_and_what_is_wrong_with_them() {
    let presented = |(listener, group), names: &[&str], state: &str, not_after: i64| {
        let (listener, group): (Option<&str>, Option<&str>) = (listener, group);
        json!({
            "listener": listener, "target_group": group, "chain": "/tls/shop.pem", "source": "listed", "names": names,
            "subject": "CN=shop", "issuer": "CN=authority", "serial": "1", "sha256": "00",
            "not_before_unix_s": 0, "not_after_unix_s": not_after, "state": state,
            "stapled_until_unix_s": null,
        })
    };
    let secure = (Some("secure"), None);
    let names = ["shop.example", "a.example", "b.example", "c.example"];
    let answer = json!({
        "certificates": [
            presented(secure, &names, "valid", 32_503_680_000),
            presented(secure, &[], "expired", 0),
            presented((None, Some("app")), &[], "valid", 32_503_680_000),
            presented((None, None), &[], "valid", 32_503_680_000),
        ],
        "orders": [
            {"names": ["a.example"], "directory": "https://ca.example", "obtained": true,
             "next_unix_s": 32_503_680_000_i64, "failures": 0, "fault": null},
            {"names": ["b.example"], "directory": "https://ca.example", "obtained": false,
             "next_unix_s": null, "failures": 0, "fault": null},
            {"names": ["c.example"], "directory": "https://ca.example", "obtained": true,
             "next_unix_s": 32_503_680_000_i64, "failures": 2, "fault": "no such\nname"},
        ],
        "last_reading": {"unix_ms": 0, "fault": "listener \"secure\": /tls/b.pem: does not exist\nadmin: c"},
        "notes": ["a key is readable by all"],
    });
    let printed = asks(&["certificates"], "GET /v1/certificates", &Value::Null, &answer);
    assert_has(
        &printed,
        &[
            "PRESENTED BY  NAMES",
            "shop.example a.example b.example +1  CN=authority  in ",
            "expired ",
            "\ngroup app ",
            "\n(admin) ",
            "  listed  /tls/shop.pem",
            "b.example: not issued yet; ordered now\n",
            "c.example: not issued, 2 failed: no such",
            " ago: listener \"secure\": /tls/b.pem: does not exist\nbad as read ",
            " ago: admin: c\n",
            "note: a key is readable by all\n",
        ],
    );
    assert!(!printed.contains("a.example:"), "what is in order is not spoken of: {printed}");
}
