//! What is said, and the exit code, when the server refuses or the command line is wrong.

use serde_json::{Value, json};

use crate::{Fake, assert_has, ctl, done, failed, limpet, text};

fn problem(status: u16, more: &Value) -> Value {
    let mut problem = json!({
        "type": "https://limpet.dev/problems/x", "title": "It cannot be", "status": status,
        "detail": "because of this",
    });
    problem.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    problem
}

fn refused(status: u16, more: &Value) -> Fake {
    let fake = Fake::on_unix_socket();
    fake.answers("POST /v1/config/reload", status, problem(status, more));
    fake
}

#[test]
fn a_refusal_is_exit_code_1_with_title_and_detail() {
    for status in [400, 403, 404, 409, 412, 421, 500] {
        let output = ctl(&refused(status, &json!({})), &["reload"]);
        assert_eq!(
            failed(&output, 1),
            format!("limpet ctl: It cannot be ({status})\n  because of this\n")
        );
        assert!(output.stdout.is_empty());
    }
}

#[test]
fn an_invalid_configuration_is_exit_code_2_with_every_mistake() {
    let problems = json!({"problems": [
        {"file": "limpet.toml", "line": 12, "column": 3, "key": "target_group[app].stickiness.duration",
         "what": "is too long", "found": "\"8d\"", "allowed": "a duration from \"1s\" to \"7d\""},
        {"file": null, "line": null, "column": null, "key": "slow_start", "what": "is no duration",
         "found": null, "allowed": null},
    ]});
    assert_eq!(
        failed(&ctl(&refused(422, &problems), &["reload"]), 2),
        "limpet ctl: It cannot be (422)\n  \
         limpet.toml:12:3: target_group[app].stickiness.duration: is too long; found \"8d\"; \
         allowed: a duration from \"1s\" to \"7d\"\n  slow_start: is no duration\n"
    );
}

#[test]
fn a_refusal_says_what_to_do_next_where_that_is_known() {
    let said = failed(&ctl(&refused(412, &json!({"version": 9})), &["reload"]), 1);
    assert_has(&said, &["repeat it with --if-version 9"]);
    let said = failed(&ctl(&refused(401, &json!({})), &["reload"]), 1);
    assert_has(&said, &["Give the token by LIMPET_TOKEN"]);
}

#[test]
fn a_refusal_as_json_is_printed_untouched() {
    let output = ctl(&refused(422, &json!({"problems": []})), &["reload", "--json"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(output.stderr.is_empty());
    let printed: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(printed, problem(422, &json!({"problems": []})));
}

#[test]
fn somebody_else_who_answers_is_not_taken_for_limpet() {
    let fake = Fake::on_unix_socket();
    fake.answers("GET /v1/status", 500, "<h1>oops</h1>");
    fake.answers("GET /v1/groups", 200, "<h1>hello</h1>");
    assert_has(
        &failed(&ctl(&fake, &["status"]), 1),
        &["answers 500, but not as limpet's admin API"],
    );
    assert_has(&failed(&ctl(&fake, &["groups"]), 1), &["is not one that this version"]);
}

#[test]
fn what_a_server_says_cannot_move_the_cursor() {
    let fake = Fake::on_unix_socket();
    let events = json!({"events": [{"number": 1, "unix_ms": 0, "kind": "health", "group": "a",
        "target": null, "text": "x\u{1b}[2J\ny"}]});
    fake.answers("GET /v1/events?after=0&count=50", 200, events);
    let printed = done(&ctl(&fake, &["events"]));
    assert!(!printed.contains('\u{1b}'), "{printed:?}");
    assert_eq!(printed.lines().count(), 2);
}

#[test]
fn a_wrong_command_line_is_exit_code_2_and_asks_nobody() {
    let cases: &[(&[&str], &str)] = &[
        (&["set", "app"], "KEY=VALUE"),
        (&["set", "app", "slow_start"], "has no \"=\""),
        (&["set", "app", "a=1", "a=2"], "a is given twice"),
        (&["drain", "app", "a", "--deadline", "soon"], "write it as in 30s"),
        (&["drain", "app", "a", "--until-idle", "--until-sessions", "1"], "cannot be used with"),
        (&["weight", "app", "a", "-1"], "unexpected argument"),
        (&["weight", "app", "a", "1", "--keep", "file", "--write"], "cannot be used with"),
        (&["apply", "/nonexistent/limpet.toml"], "/nonexistent/limpet.toml: cannot be read"),
        (&["diff", "/nonexistent/limpet.toml"], "/nonexistent/limpet.toml: cannot be read"),
        (&["log-level", "loud"], "possible values: error, warn, info, debug, trace"),
        (&["fly"], "unrecognized subcommand"),
    ];
    let fake = Fake::on_unix_socket();
    for (arguments, said) in cases {
        assert_has(&failed(&ctl(&fake, arguments), 2), &[said]);
    }
    assert!(fake.asked().is_empty());
}

#[test]
fn help_teaches_and_names_the_exit_codes() {
    let help = done(&limpet(&["ctl", "--help"]).output().unwrap());
    assert_has(&help, &["Examples:", "limpet ctl drain app a", "Exit codes:", "4 diff found"]);
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let script = done(&limpet(&["completions", shell]).output().unwrap());
        assert_has(&script, &["stickiness", "until-idle", "explain"]);
    }
    let output = limpet(&["completions", "sh"]).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert_has(&text(&output.stderr), &["bash"]);
}
