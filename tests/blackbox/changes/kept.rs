//! Where a change is kept: in the file, with everything else as it was, or on top of it; and how it is
//! taken back.

use serde_json::{Value, json};

use crate::support::{Limpet, Target, config, group, poll};

/// A file that somebody has written by hand, with a group of two targets.
fn written_by_hand(a: &Target, b: &Target) -> String {
    let app = group("app").target("a", a).target("b", b).set("stickiness.enabled", false);
    let text = config().with_admin().group(app).text();
    text.replace(
        "[[target_group]]\n",
        "# Everything that users see.\n\n[[target_group]]   # of the shop\n",
    )
    .replace("stickiness.enabled = false", "stickiness.enabled = false # not yet")
}

/// Edits the group's stickiness; what the API says of it.
#[track_caller]
fn edit(limpet: &Limpet, set: &Value, keep: &str) -> Value {
    let body = json!({ "set": set, "keep": keep }).to_string();
    limpet.admin().change("PATCH", "/v1/groups/app/stickiness", &body)
}

fn undo(limpet: &Limpet, applied: &Value) {
    let body = json!({ "change": applied["change"] }).to_string();
    limpet.admin().change("POST", "/v1/config/undo", &body);
}

fn is_sticky(limpet: &Limpet) -> bool {
    limpet.get("/").set_cookie("limpet_app").is_some()
}

#[test]
fn an_edit_that_is_kept_in_the_file_changes_its_line_and_no_other() {
    let (a, b) = (Target::echo("a"), Target::echo("b"));
    let mut limpet = Limpet::start(&written_by_hand(&a, &b));
    let before = limpet.file_text();
    let applied = edit(&limpet, &json!({ "enabled": true }), "file");
    let summary = applied["summary"][0].as_str().unwrap();
    assert!(summary.starts_with("target group app: stickiness.enabled"), "{summary}");
    assert!(is_sticky(&limpet));
    let changed = before.replace("enabled = false # not yet", "enabled = true # not yet");
    assert_eq!(limpet.file_text(), changed);
    // What was not there comes as a line of its own, and all the others stay.
    edit(&limpet, &json!({ "duration": "12h" }), "file");
    let file = limpet.file_text();
    let new: Vec<&str> = file.lines().filter(|line| !changed.contains(line)).collect();
    assert_eq!(new.len(), 1, "{file}");
    assert!(new[0].contains("duration = \"12h\""), "{new:?}");
    let others: Vec<&str> = file.lines().filter(|line| *line != new[0]).collect();
    assert_eq!(others, changed.lines().collect::<Vec<_>>());
    assert_eq!(limpet.admin().get("/v1/config")["overlay"], json!([]));
    // The file alone says it all.
    limpet.stop();
    let restarted = Limpet::start(&file);
    let cookie = restarted.get("/").set_cookie("limpet_app").expect("a cookie");
    assert_eq!(cookie.attribute("max-age"), Some("43200"));
}

#[test]
fn an_edit_on_top_of_the_file_survives_its_reload() {
    let (a, b) = (Target::echo("a"), Target::echo("b"));
    let text = written_by_hand(&a, &b);
    let limpet = Limpet::start(&text);
    let before = limpet.file_text();
    edit(&limpet, &json!({ "enabled": true }), "overlay");
    assert_eq!(limpet.file_text(), before);
    limpet.write_config(&text.replace("# not yet", "# not yet\nslow_start = \"7s\""));
    limpet.signal(libc::SIGHUP);
    let attributes = || limpet.admin().get("/v1/groups/app")["attributes"].clone();
    poll(|| (attributes()["slow_start"] == "7s").then_some(())).expect("the file is loaded");
    assert!(is_sticky(&limpet), "and the edit is still on top of it");
    let overlay = limpet.admin().get("/v1/config")["overlay"].clone();
    assert_eq!(overlay.as_array().map(Vec::len), Some(1), "{overlay}");
    // Written into the file it is there for good.
    limpet.admin().change("POST", "/v1/config/overlay/write", "{}");
    assert!(
        limpet.file_text().contains("stickiness.enabled = true # not yet\nslow_start = \"7s\"")
    );
    assert_eq!(limpet.admin().get("/v1/config")["overlay"], json!([]));
    assert!(is_sticky(&limpet));
}

#[test]
fn an_edit_is_taken_back_from_where_it_was_kept() {
    let (a, b) = (Target::echo("a"), Target::echo("b"));
    let limpet = Limpet::start(&written_by_hand(&a, &b));
    let before = limpet.file_text();
    for keep in ["overlay", "file"] {
        let applied = edit(&limpet, &json!({ "enabled": true, "duration": "3h" }), keep);
        assert!(is_sticky(&limpet), "{keep}");
        undo(&limpet, &applied);
        assert!(!is_sticky(&limpet), "{keep}");
        assert_eq!(limpet.file_text(), before, "{keep}");
        assert_eq!(limpet.admin().get("/v1/config")["overlay"], json!([]), "{keep}");
    }
}

#[test]
fn a_file_that_somebody_else_has_changed_is_not_written_over() {
    let (a, b) = (Target::echo("a"), Target::echo("b"));
    let text = written_by_hand(&a, &b);
    let limpet = Limpet::start(&text);
    let others = text.replace("# not yet", "# soon");
    limpet.write_config(&others);
    let body = r#"{"set":{"enabled":true},"keep":"file"}"#;
    let (status, said) = limpet.admin().patch("/v1/groups/app/stickiness", body);
    assert_eq!(status, 409, "{said}");
    assert_eq!(limpet.file_text(), limpet.text_of(&others));
    assert!(!is_sticky(&limpet));
}

#[test]
fn what_a_killed_write_back_left_is_gone_after_the_next_start() {
    let (a, b) = (Target::echo("a"), Target::echo("b"));
    let limpet = Limpet::start_with(&written_by_hand(&a, &b), |command| {
        let file = command.get_args().last().expect("the file's name");
        let left = std::path::Path::new(file).with_file_name(".limpet.toml.limpet-4000000");
        std::fs::write(left, "half a file").expect("a draft");
    });
    assert!(!limpet.path(".limpet.toml.limpet-4000000").exists());
}

#[test]
fn a_secret_in_a_comment_is_not_shown_and_not_lost() {
    let (a, b) = (Target::echo("a"), Target::echo("b"));
    let text = format!("# token = \"hunter2\"\n{}", written_by_hand(&a, &b));
    let limpet = Limpet::start(&text);
    let shown = limpet.admin().get("/v1/config");
    assert!(!shown.to_string().contains("hunter2"), "{shown}");
    // The client reads octets; what it has of "…" is made one again.
    let octets = shown["file"].as_str().expect("the file").chars().map(|c| c as u8).collect();
    let file = String::from_utf8(octets).expect("UTF-8").replace("# not yet", "# soon");
    let body = json!({ "text": file, "keep": "file" }).to_string();
    limpet.admin().change("POST", "/v1/config/apply", &body);
    assert_eq!(limpet.file_text(), limpet.text_of(&text).replace("# not yet", "# soon"));
}
