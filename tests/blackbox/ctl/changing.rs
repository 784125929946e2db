//! Commands that change a group, a target or the stickiness of both.

use std::process::Stdio;

use super::{Said, command, ctl, done, file, json, refused, rows, serving};
use crate::support::{Target, config, group, poll};

fn overlay(limpet: &crate::support::Limpet) -> usize {
    json(limpet, "status")["config"]["overlay_edits"].as_u64().expect("a number") as usize
}

#[test]
fn a_weight_counts_from_the_next_request_on_and_is_undone() {
    let (limpet, _a, _b) = serving();
    assert_eq!(
        done(&limpet, "weight app a 0"),
        "target a of app: weight 1 → 0\n\
         change 1, configuration version 2; kept until limpet ends, --write keeps it in the file\n"
    );
    for _ in 0..6 {
        assert_eq!(limpet.get("/").target(), "b");
    }
    assert_eq!(
        done(&limpet, "weight app a 0"),
        "nothing differs\nconfiguration version 2, as before\n"
    );
    let undone = done(&limpet, "undo 1");
    assert!(undone.contains("target a of app: weight 0 → 1"), "{undone}");
    assert_eq!(overlay(&limpet), 0, "what is undone is no edit on top");
    refused(
        &limpet,
        "undo 1",
        1,
        &["(409)", "change 1 cannot be undone: it has been taken back already"],
    );
    refused(&limpet, "undo 0", 1, &["(409)", "there was nothing before the start"]);
    refused(&limpet, "undo 77", 1, &["There is no such change (404)"]);
    refused(&limpet, "weight app c 1", 1, &["There is no such target (404)", "allowed: a, b"]);
    refused(&limpet, "weight app a 1000000", 2, &["(422)", "weight", "allowed: "]);
    let answer = ctl(&limpet, "--json weight app c 1").exits(1);
    assert_eq!((answer.json()["status"].as_u64(), &*answer.err), (Some(404), ""));
}

#[test]
fn a_change_that_is_written_is_in_the_file_and_no_edit_on_top() {
    let (limpet, _a, _b) = serving();
    assert!(done(&limpet, "weight app a 7 --write").ends_with("version 2; kept in the file\n"));
    assert!(file(&limpet).contains("weight = 7"), "{}", file(&limpet));
    assert_eq!(overlay(&limpet), 0);
    assert_eq!(done(&limpet, "diff"), "nothing differs\n");
    done(&limpet, "undo 1");
    assert!(!file(&limpet).contains("weight"), "{}", file(&limpet));
}

#[test]
fn settings_of_a_group_are_set_and_refused_by_name() {
    let (limpet, _a, _b) = serving();
    let said = done(&limpet, "set app slow_start=30s connection_limit=100");
    assert!(said.contains("target group app: slow_start \"0s\" → \"30s\""), "{said}");
    assert!(said.contains("connection_limit 0 → 100"), "{said}");
    let attributes = &json(&limpet, "groups")["groups"][0]["attributes"];
    assert_eq!(attributes["connection_limit"], 100);
    refused(&limpet, "set app slow_strat=30s", 2, &["(422)", "slow_strat", "did you mean"]);
    refused(
        &limpet,
        "set app slow_start=soon",
        2,
        &["slow_start", "found \"soon\"", "allowed: a duration"],
    );
    done(&limpet, "set app slow_start= connection_limit=");
    assert_eq!(overlay(&limpet), 0);
}

#[test]
fn an_ordinary_target_that_is_enabled_is_no_edit() {
    let (limpet, _a, _b) = serving();
    assert_eq!(
        done(&limpet, "enable app a"),
        "nothing differs\nconfiguration version 1, as before\n"
    );
    assert_eq!(overlay(&limpet), 0);
    assert_eq!(rows(&done(&limpet, "history")).len(), 1);
}

#[test]
fn a_target_drains_once_however_often_it_is_asked_to() {
    let (limpet, _a, _b) = serving();
    let said = ctl(&limpet, "drain app b --until-idle --wait").exits(0);
    said.has(&[
        "target b of app: state",
        "b: drained: no request is in flight and no tunnel is open\n",
    ]);
    let changes = rows(&done(&limpet, "history")).len();
    for _ in 0..2 {
        let said = done(&limpet, "drain app b --until-idle");
        assert!(said.contains("note: target b of app has drained already"), "{said}");
        assert!(said.starts_with("nothing differs\n"), "{said}");
    }
    assert_eq!(rows(&done(&limpet, "history")).len(), changes, "{}", done(&limpet, "history"));
    let table = done(&limpet, "targets app");
    assert!(table.contains("unused") && table.contains("\n  drained"), "{table}");
    assert_eq!(limpet.get("/").target(), "a");
    done(&limpet, "enable app b");
    assert_eq!(overlay(&limpet), 0, "in service is what the file says");
    let targets = json(&limpet, "targets app");
    assert_eq!(targets["targets"][1]["configured_state"], "in_service");
    assert!(poll(|| (limpet.get("/").target() == "b").then_some(())).is_some());
    refused(&limpet, "drain app b --deadline soon", 2, &["soon", "30s, 10m or 1h30m"]);
}

#[test]
fn waiting_for_a_drain_ends_when_the_target_dies() {
    let (a, b) = (Target::echo("a"), Target::echo("b"));
    let app = group("app").sticky().target("a", &a).target("b", &b);
    let app = app.set("health_check.type", "tcp").set("health_check.interval", "500ms");
    let app = app.set("health_check.timeout", "500ms").set("health_check.fall", 1);
    let limpet = config().with_admin().group(app).start();
    let bound = (0..20).find_map(|_| {
        let answer = limpet.get("/");
        (answer.target() == "b").then(|| answer.set_cookie("limpet_app").expect("a cookie").pair())
    });
    limpet.client().get_cookie("/", &bound.expect("a session on b"));
    let socket = limpet.admin().socket;
    let mut waits = command(socket.to_str().expect("a path"));
    waits.args(["drain", "app", "b", "--until-sessions", "0", "--wait"]);
    let waits = waits.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("run ctl");
    limpet.admin().until_health("app", "b", "draining");
    drop(b);
    let said = Said::of(waits.wait_with_output().expect("its end")).exits(0);
    said.has(&["b: drained: it is unhealthy, and its sessions have failed over\n"]);
}

#[test]
fn a_countdown_is_shown_as_json_lines_too() {
    let (limpet, _a, _b) = serving();
    let said = ctl(&limpet, "--json drain app b --until-idle --wait").exits(0);
    let last = said.out.lines().last().expect("a line");
    let target: serde_json::Value = serde_json::from_str(last).expect("JSON");
    assert_eq!(target["drain"]["finished"], true, "{last}");
    assert_eq!(target["drain"]["remaining_s"], 0.0, "{last}");
}

#[test]
fn a_target_that_is_disabled_takes_nothing_more() {
    let (limpet, _a, _b) = serving();
    let bound = poll(|| {
        let answer = limpet.get("/");
        (answer.target() == "b").then(|| answer.set_cookie("limpet_app").expect("a cookie").pair())
    });
    let bound = bound.expect("a session on b");
    let said = done(&limpet, "disable app b");
    assert!(said.contains("target b of app drains at once"), "{said}");
    let gone = poll(|| (limpet.client().get_cookie("/", &bound).target() == "a").then_some(()));
    assert!(gone.is_some(), "its session stays");
    done(&limpet, "enable app b");
}

#[test]
fn targets_are_added_and_removed() {
    let (limpet, _a, _b) = serving();
    let c = crate::support::Target::echo("c");
    let said = done(&limpet, &format!("add app {} --id c --weight 3", c.address()));
    assert!(said.starts_with("target c added to app\n"), "{said}");
    assert!(poll(|| (limpet.get("/").target() == "c").then_some(())).is_some());
    refused(&limpet, &format!("add app {} --id c", c.address()), 2, &["is taken already"]);
    refused(&limpet, "add app nonsense", 2, &["address", "found \"nonsense\""]);
    assert!(done(&limpet, "remove app c").starts_with("target c removed from app"));
    let gone = poll(|| (limpet.get("/").target() != "c").then_some(()));
    assert!(gone.is_some());
    refused(&limpet, "remove app x", 1, &["allowed: a, b"]);
    // It drains for its group's delay, and then it is gone.
    let table = done(&limpet, "targets app");
    let note = table.lines().skip_while(|line| !line.contains(" c ")).nth(1);
    let note = note.unwrap_or_else(|| panic!("{table}"));
    assert!(note.starts_with("  drains: ") && note.ends_with("; removed"), "{table}");
}

#[test]
fn stickiness_is_shown_set_switched_and_flushed() {
    let (limpet, _a, _b) = serving();
    let shown = done(&limpet, "stickiness get app");
    for line in ["enabled          true", "duration         1d", "cookie_name      limpet_app"] {
        assert!(shown.lines().any(|had| had == line), "no {line:?} in\n{shown}");
    }
    let said = done(&limpet, "stickiness set app duration=12h");
    assert!(said.starts_with("target group app: stickiness.duration \"1d\" → \"12h\"\n"), "{said}");
    assert_eq!(json(&limpet, "stickiness get app")["duration"], "12h");
    done(&limpet, "stickiness off app");
    assert!(limpet.get("/").set_cookie("limpet_app").is_none());
    done(&limpet, "stickiness on app --write");
    assert!(limpet.get("/").set_cookie("limpet_app").is_some());
    refused(
        &limpet,
        "stickiness set app duration=8d",
        2,
        &["stickiness.duration", "is too long", "to \"7d\""],
    );
    refused(&limpet, "stickiness get nope", 1, &["allowed: app"]);
}

#[test]
fn a_flush_outdates_every_cookie_and_cannot_be_undone() {
    let (limpet, _a, _b) = serving();
    let pair = limpet.get("/").set_cookie("limpet_app").expect("a cookie").pair();
    let said = done(&limpet, "stickiness flush app");
    assert!(said.starts_with("target group app: stickiness.generation 0 → 1\n"), "{said}");
    assert!(limpet.client().get_cookie("/", &pair).set_cookie("limpet_app").is_some(), "a new one");
    let flush = json(&limpet, "history")["entries"][1].clone();
    assert_eq!((&flush["change"], &flush["can_undo"]), (&1.into(), &false.into()), "{flush}");
    refused(
        &limpet,
        "undo 1",
        1,
        &["(409)", "change 1 cannot be undone: cookies that a flush has outdated stay outdated"],
    );
    // One generation each, wherever it is kept.
    let said = done(&limpet, "stickiness flush app --write");
    assert!(said.starts_with("target group app: stickiness.generation 1 → 2\n"), "{said}");
    assert!(file(&limpet).contains("generation = 2"), "{}", file(&limpet));
    assert_eq!(overlay(&limpet), 0);
}
