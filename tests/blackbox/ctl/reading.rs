//! Commands that only look.

use std::process::Command;

use super::{ctl, done, json, refused, rows, serving};
use crate::support::{Target, config, group, listener, poll};

#[test]
fn status_tells_of_the_process_its_configuration_and_its_listeners() {
    let (limpet, _a, _b) = serving();
    limpet.get("/");
    let said = ctl(&limpet, "status").exits(0).has(&[
        &format!("pid {}, up ", limpet.id()),
        "1 shard",
        "configuration  version 1, ",
        &format!("listener       web on {}", limpet.address()),
        "accepted, 0 refused",
        "MiB",
        "level debug",
    ]);
    assert!(!said.out.contains("warning"), "{}", said.out);
    said.has(&["unchecked      targets of 1 target group: limpet ctl targets\n"]);
    let status = json(&limpet, "status");
    assert_eq!(status["pid"], limpet.id());
    assert_eq!(status["listeners"][0]["name"], "web");
    assert!(status["memory_bytes"].as_u64().is_some_and(|bytes| bytes > 1 << 20), "{status}");
}

#[test]
fn groups_and_targets_are_tables_with_a_line_each() {
    let (limpet, _a, _b) = serving();
    limpet.get("/");
    let groups = done(&limpet, "groups");
    let row = rows(&groups).remove(0);
    let expected = ["app", "http1", "round_robin", "lb_cookie", "1d", "2", "unchecked"];
    assert_eq!(row[..7], expected, "{groups}");
    let targets = done(&limpet, "targets app");
    assert_eq!(targets.lines().count(), 3, "{targets}");
    for (row, id) in rows(&targets).iter().zip(["a", "b"]) {
        assert_eq!(row[..2], ["app", id], "{targets}");
        assert_eq!(row[3..5], ["1", "unchecked"], "{targets}");
        // Somebody who was never checked has been what it is since the start, not since 1970.
        let seconds = row[5].strip_suffix('s').and_then(|number| number.parse::<u32>().ok());
        assert!(seconds.is_some_and(|seconds| seconds < 60), "{targets}");
    }
    assert_eq!(done(&limpet, "targets").lines().count(), 3);
    let started = json(&limpet, "status")["started_unix_ms"].as_u64().expect("a time");
    for target in json(&limpet, "targets app")["targets"].as_array().expect("targets") {
        let since = target["since_unix_ms"].as_u64().expect("a time");
        assert!(since.abs_diff(started) < 60_000, "{target}");
    }
    assert_eq!(json(&limpet, "groups")["groups"][0]["name"], "app");
    refused(&limpet, "targets nope", 1, &["There is no such target group (404)", "allowed: app"]);
}

#[test]
fn columns_stand_under_their_heads() {
    let (limpet, _a, _b) = serving();
    let table = done(&limpet, "targets");
    let head = table.lines().next().expect("a head");
    let health = head.find("HEALTH").expect("a column");
    for line in table.lines().skip(1) {
        assert_eq!(line[health..].split(' ').next(), Some("unchecked"), "{table}");
        assert_eq!(line, line.trim_end(), "no line ends in blanks");
    }
}

#[test]
fn sessions_and_verdicts_are_counted() {
    let (limpet, _a, _b) = serving();
    for _ in 0..3 {
        let cookie = limpet.get("/").set_cookie("limpet_app").expect("a cookie").pair();
        limpet.client().get_cookie("/", &cookie);
    }
    let counted = poll(|| {
        let said = done(&limpet, "sessions app");
        (said.contains("all                 3") && said.contains("new             3")).then_some(())
    });
    assert!(counted.is_some(), "{}", done(&limpet, "sessions"));
    assert_eq!(json(&limpet, "sessions")["groups"][0]["sessions"], 3);
    refused(&limpet, "sessions nope", 1, &["there is no target group \"nope\"", "app"]);
}

#[test]
fn explain_shows_each_step_of_the_running_process() {
    let (a, b) = (Target::echo("a"), Target::echo("b"));
    let rule = "name = \"gone\"\npriority = 1\nwhen.path = [\"/gone\"]\nrespond.status = 410";
    let limpet = config()
        .with_admin()
        .listener(listener("web").set("forward", "app").rule(rule))
        .group(group("app").sticky().target("a", &a).target("b", &b))
        .start();
    let answer = limpet.get("/");
    let (home, pair) = (answer.target(), answer.set_cookie("limpet_app").expect("a cookie").pair());
    let socket = limpet.admin().socket;
    let mut command = super::command(socket.to_str().expect("a path"));
    command.args(["explain", "GET /x", "-H", &format!("Cookie: {pair}")]);
    let said = super::Said::of(command.output().expect("run")).exits(0);
    said.has(&["listener   web", "verdict    valid", &format!("target     {home}")]);
    ctl(&limpet, &format!("explain {pair}")).exits(0).has(&["verdict    valid"]);
    let mut command = super::command(socket.to_str().expect("a path"));
    let said = super::Said::of(command.args(["explain", "GET /gone"]).output().expect("run"));
    said.exits(0).has(&["410"]);
    refused(&limpet, "explain --listener nope /", 2, &["nope"]);
}

#[test]
fn events_overlay_and_history_begin_with_the_start() {
    let (limpet, _a, _b) = serving();
    assert_eq!(done(&limpet, "overlay"), "no changes beside the file\n");
    let history = done(&limpet, "history");
    let row = rows(&history).remove(0);
    assert_eq!(row[..2], ["0", "1"], "{history}");
    assert!(history.contains("limpet.toml: listeners 1, target groups 1"), "{history}");
    done(&limpet, "weight app a 3");
    let events = done(&limpet, "events -n 1");
    assert!(events.contains("target a of app: weight 1 → 3"), "{events}");
    assert_eq!(events.lines().count(), 2, "{events}");
    let events = json(&limpet, "events -n 1");
    assert_eq!(events["events"][0]["kind"], "edit", "{events}");
}

#[test]
fn events_are_followed_as_they_happen() {
    let (limpet, _a, _b) = serving();
    let out = limpet.path("followed");
    let socket = limpet.admin().socket;
    let mut command = super::command(socket.to_str().expect("a path"));
    command.args(["events", "--follow"]).stdout(std::fs::File::create(&out).expect("a file"));
    crate::support::kernel::die_with_parent(&mut command);
    let mut child = command.spawn().expect("spawn");
    done(&limpet, "weight app a 4");
    let seen = poll(|| super::read(&out).contains("weight 1 → 4").then_some(()));
    let _ = child.kill();
    let _ = child.wait();
    assert!(seen.is_some(), "{}", super::read(&out));
}

#[test]
fn the_log_level_is_shown_and_changed() {
    let (limpet, _a, _b) = serving();
    assert_eq!(done(&limpet, "log-level"), "debug\n");
    assert_eq!(done(&limpet, "log-level warn"), "warn\n");
    assert_eq!(json(&limpet, "log-level")["level"], "warn");
    refused(&limpet, "log-level loud", 2, &["loud", "error, warn, info, debug, trace"]);
}

#[test]
fn metrics_are_in_the_text_format() {
    let (limpet, _a, _b) = serving();
    limpet.get("/");
    ctl(&limpet, "metrics")
        .exits(0)
        .has(&["# TYPE limpet_requests_total counter", "limpet_build_info{"]);
}

#[test]
fn completions_are_written_for_every_shell() {
    for (shell, piece) in
        [("bash", "complete -F"), ("zsh", "#compdef limpet"), ("fish", "complete -c limpet")]
    {
        let mut command = Command::new(env!("CARGO_BIN_EXE_limpet"));
        let said = super::Said::of(command.args(["completions", shell]).output().expect("run"));
        said.exits(0).has(&[piece, "stickiness", "until-idle"]);
    }
}

#[test]
fn a_file_that_cannot_be_written_is_told_before_somebody_tries() {
    let (limpet, _a, _b) = serving();
    assert!(json(&limpet, "status")["config"]["file_obstacle"].is_null());
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o444);
    std::fs::set_permissions(limpet.path("limpet.toml"), mode).expect("a mode");
    let status = done(&limpet, "status");
    assert!(status.contains("cannot be kept in the file: it is read-only (mode 0444)"), "{status}");
    refused(&limpet, "weight app a 3 --write", 1, &["it is read-only (mode 0444)"]);
}
