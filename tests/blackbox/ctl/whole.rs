//! Commands about the whole configuration: reload, diff, apply, confirm, rollback, overlay.

use super::{ctl, done, file, json, pair, refused, rows, serving};
use crate::support::{Limpet, Target, poll};

/// The file of the suite with another weight, beside limpet's own.
fn other(limpet: &Limpet, a: &Target, b: &Target) -> String {
    let text = pair(a, b).text().replace("id = \"a\"", "id = \"a\"\nweight = 9");
    let directory = limpet.path("");
    let text = text.replace("{dir}", directory.to_str().expect("a path").trim_end_matches('/'));
    let path = limpet.path("other.toml");
    std::fs::write(&path, text).expect("write");
    path.to_str().expect("a path").to_owned()
}

#[test]
fn reload_says_what_has_changed_or_that_nothing_has() {
    let (limpet, a, b) = serving();
    assert_eq!(done(&limpet, "reload"), "nothing differs\nconfiguration version 1, as before\n");
    assert_eq!(done(&limpet, "diff"), "nothing differs\n");
    limpet.write_config(&pair(&a, &b).text().replace("id = \"a\"", "id = \"a\"\nweight = 4"));
    ctl(&limpet, "status")
        .exits(0)
        .has(&["the file on disk is another than the one loaded: limpet ctl diff"]);
    ctl(&limpet, "diff").exits(4).has(&["target a of app: weight 1 → 4\n"]);
    assert_eq!(
        done(&limpet, "reload"),
        "target a of app: weight 1 → 4\nchange 1, configuration version 2\n"
    );
    assert_eq!(done(&limpet, "diff"), "nothing differs\n");
    limpet.write_config("listener = 5\n");
    refused(&limpet, "reload", 2, &["(422)", "limpet.toml:1:", "listener"]);
    refused(&limpet, "diff", 2, &["(422)", "limpet.toml:1:"]);
    std::fs::remove_file(limpet.path("limpet.toml")).expect("remove");
    refused(&limpet, "reload", 1, &["(409)", "the file cannot be read"]);
    assert_eq!(limpet.get("/").status, 200);
}

#[test]
fn a_file_on_trial_is_confirmed_or_taken_back() {
    let (limpet, a, b) = serving();
    let path = other(&limpet, &a, &b);
    let weight = || json(&limpet, "targets app")["targets"][0]["weight"].as_u64();
    ctl(&limpet, &format!("diff {path}")).exits(4).has(&["target a of app: weight 1 → 9\n"]);
    let said = done(&limpet, &format!("apply {path} --confirm 60s"));
    assert!(said.contains("target a of app: weight 1 → 9\n"), "{said}");
    assert!(
        said.ends_with("goes back by itself after 60s unless confirmed: limpet ctl confirm\n"),
        "{said}"
    );
    assert_eq!(weight(), Some(9));
    ctl(&limpet, "status").exits(0).has(&["goes back in", "unless confirmed (limpet ctl confirm)"]);
    refused(&limpet, "weight app a 2", 1, &["(409)", "waits to be confirmed"]);
    done(&limpet, "rollback");
    assert_eq!(weight(), Some(1));
    refused(&limpet, "confirm", 1, &["No change waits to be confirmed (409)"]);
    refused(&limpet, "rollback", 1, &["No change waits to be confirmed (409)"]);
    done(&limpet, &format!("apply {path} --confirm 60s --write"));
    assert!(!file(&limpet).contains("weight = 9"), "not before it is confirmed");
    assert!(done(&limpet, "confirm").contains("is confirmed"));
    assert!(file(&limpet).contains("weight = 9"), "{}", file(&limpet));
    assert_eq!(weight(), Some(9));
}

#[test]
fn what_nobody_confirms_goes_back_by_itself() {
    let (limpet, a, b) = serving();
    let path = other(&limpet, &a, &b);
    done(&limpet, &format!("apply {path} --confirm 1s"));
    let back = poll(|| {
        let history = done(&limpet, "history");
        history.contains("taken back: nobody confirmed it in time").then_some(())
    });
    assert!(back.is_some(), "{}", done(&limpet, "history"));
    assert_eq!(json(&limpet, "targets app")["targets"][0]["weight"], 1);
}

#[test]
fn a_bad_file_is_refused_with_everything_that_is_wrong() {
    let (limpet, a, b) = serving();
    let path = other(&limpet, &a, &b);
    let text = std::fs::read_to_string(&path).expect("read");
    std::fs::write(&path, text.replace("weight = 9", "weigth = 9\nstate = \"gone\""))
        .expect("write");
    let pieces = ["did you mean \"weight\"", "state", "found \"gone\""];
    refused(&limpet, &format!("apply {path}"), 2, &pieces);
    refused(&limpet, &format!("diff {path}"), 2, &pieces);
    refused(&limpet, "apply /no/such/file", 2, &["/no/such/file: cannot be read"]);
    assert_eq!(json(&limpet, "status")["config"]["version"], 1);
}

#[test]
fn edits_on_top_are_listed_written_and_discarded() {
    let (limpet, _a, _b) = serving();
    done(&limpet, "weight app a 5");
    done(&limpet, "stickiness off app");
    let overlay = done(&limpet, "overlay");
    assert_eq!(overlay.lines().count(), 3, "{overlay}");
    assert!(overlay.contains("target a of app: weight 1 → 5"), "{overlay}");
    ctl(&limpet, "status").exits(0).has(&["2 changes not in the file: limpet ctl overlay"]);
    let said = done(&limpet, "overlay discard");
    assert!(said.contains("weight 5 → 1") && said.contains("enabled false → true"), "{said}");
    assert_eq!(done(&limpet, "overlay"), "no changes beside the file\n");
    done(&limpet, "weight app a 6");
    let said = done(&limpet, "overlay write");
    assert!(
        said.starts_with("what runs stays as it is; what was on top of the file is in it now\n"),
        "{said}"
    );
    assert!(file(&limpet).contains("weight = 6"), "{}", file(&limpet));
    // Nothing in the history is without a word.
    let history = json(&limpet, "history");
    for entry in history["entries"].as_array().expect("entries") {
        assert_ne!(entry["summary"].as_array().map(Vec::len), Some(0), "{entry}");
    }
    assert_eq!(rows(&done(&limpet, "history")).len(), history["entries"].as_array().unwrap().len());
}
