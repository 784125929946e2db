use serde_json::json;

use crate::control::document::*;

fn map(set: Json) -> Map<String, Json> {
    match set {
        Json::Object(map) => map,
        other => panic!("{other}"),
    }
}

fn set_group(set: Json) -> Edit {
    Edit::SetGroup { group: "a".to_owned(), set: map(set) }
}

fn add(settings: Json) -> Edit {
    Edit::AddTarget { group: "a".to_owned(), settings: map(settings) }
}

fn remove(target: &str) -> Edit {
    Edit::RemoveTarget { group: "a".to_owned(), target: target.to_owned() }
}

fn edited(text: &str, edit: &Edit) -> String {
    let mut document = Document::parse(text).unwrap();
    document.apply(edit).unwrap();
    document.text()
}

/// Each line: the text before, the edit, the text afterwards.
#[test]
fn an_edit_is_written_the_way_its_neighbours_are() {
    let sub = "[[target_group]]\nname = \"a\"\n\n[target_group.stickiness] # users\n# how long\nduration = \"1h\" # an hour\n# on\nenabled = true\n";
    for (text, edit, expected) in [
        (
            "[[target_group]]\n  name = \"a\"\n",
            set_group(json!({"queue": 5})),
            "[[target_group]]\n  name = \"a\"\n  queue = 5\n",
        ),
        (
            "[[target_group]]\n  name = \"a\"\n",
            set_group(json!({"stickiness.enabled": true})),
            "[[target_group]]\n  name = \"a\"\n  stickiness.enabled = true\n",
        ),
        (sub, set_group(json!({"stickiness.duration": "2h"})), &sub.replace("1h", "2h")),
        (
            sub,
            set_group(json!({"stickiness.duration": null})),
            &sub.replace("duration = \"1h\" # an hour\n", ""),
        ),
        (
            sub,
            set_group(json!({"stickiness.path": "/x"})),
            &sub.replace("enabled = true\n", "enabled = true\npath = \"/x\"\n"),
        ),
        (sub, set_group(json!({"timeouts.connect": null})), sub),
        (
            "target_group = [{ name = \"a\", queue = 5 }] # all\n",
            set_group(json!({"queue": null, "stickiness.enabled": true})),
            "target_group = [{ name = \"a\", stickiness = { enabled = true } }] # all\n",
        ),
        (
            "target_group = [{ name = \"a\" }]\n",
            add(json!({"address": "x:1"})),
            "target_group = [{ name = \"a\" , target = [{ address = \"x:1\" }] }]\n",
        ),
        (
            "[[target_group]]\nname = \"a\"\n",
            add(json!({"address": "x:1", "id": null})),
            "[[target_group]]\nname = \"a\"\n\n[[target_group.target]]\naddress = \"x:1\"\n",
        ),
        (
            "[[target_group]]\nname = \"a\"\n  [[target_group.target]]\n  address = \"x:1\"\n# end\n",
            add(json!({"address": "x:2", "weight": 3})),
            "[[target_group]]\nname = \"a\"\n  [[target_group.target]]\n  address = \"x:1\"\n  [[target_group.target]]\n  address = \"x:2\"\n  weight = 3\n# end\n",
        ),
        (
            "[[target_group]]\nname = \"a\"\ntarget = [\n  # the first\n  { address = \"x:1\" },\n]\n",
            add(json!({"address": "x:2"})),
            "[[target_group]]\nname = \"a\"\ntarget = [\n  # the first\n  { address = \"x:1\" },\n  { address = \"x:2\" },\n]\n",
        ),
        (
            "[[target_group]]\nname = \"a\"\ntarget = [{ address = \"x:1\" }, { id = \"b\", address = \"x:2\" }]\n",
            remove("b"),
            "[[target_group]]\nname = \"a\"\ntarget = [{ address = \"x:1\" }]\n",
        ),
    ] {
        assert_eq!(edited(text, &edit), expected, "{text}{edit:?}");
    }
}

#[test]
fn the_inverse_of_every_edit_brings_the_same_values_back() {
    let text = "[[target_group]]\nname = \"a\"\nqueue = 5\nstickiness = { enabled = true }\ntarget = [{ id = \"b\", address = \"x:2\", weight = 4 }]\n";
    for edit in [
        set_group(json!({"queue": 7, "algorithm": "hash", "stickiness.duration": "2h"})),
        set_group(json!({"stickiness": null, "timeouts.connect": "1s"})),
        set_group(json!({"stickiness": {"session_cookies": ["A", "B"]}})),
        Edit::SetTarget {
            group: "a".to_owned(),
            target: "b".to_owned(),
            set: map(json!({"weight": null, "state": "draining"})),
        },
        add(json!({"address": "x:1"})),
        remove("b"),
    ] {
        let mut document = Document::parse(text).unwrap();
        let inverse = document.apply(&edit).unwrap().unwrap();
        assert_ne!(document.text(), text, "{edit:?}");
        document.apply(&inverse).unwrap();
        // Empty tables that were made for a key may stay.
        let values = |text: &str| -> toml::Table {
            let mut table: toml::Table = text.parse().unwrap();
            let group = table["target_group"][0].as_table_mut().unwrap();
            group.retain(|_, value| value.as_table().is_none_or(|table| !table.is_empty()));
            table
        };
        assert_eq!(values(&document.text()), values(text), "{edit:?} {inverse:?}");
    }
}

#[test]
fn a_flush_counts_up_and_a_generation_is_only_raised() {
    let text = "[[target_group]]\nname = \"a\"\nstickiness.generation = 4\n";
    let mut document = Document::parse(text).unwrap();
    let flush = Edit::FlushStickiness { group: "a".to_owned() };
    assert_eq!(document.apply(&flush).unwrap(), None);
    assert_eq!(document.text(), text.replace('4', "5"));
    assert!(!document.raise_generation("a", 5));
    assert!(document.raise_generation("a", 9));
    assert!(!document.raise_generation("z", 9));
    assert_eq!(document.text(), text.replace('4', "9"));
}

#[test]
fn a_long_list_of_names_is_cut() {
    let names: Vec<String> = (0..20).map(|number| number.to_string()).collect();
    let text = listed(names.iter().map(String::as_str));
    assert_eq!(text, "0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11 and 8 more");
}

const SECRETS: &str = r#"
admin.token = "very-very-secret-1" # ask Bob
[[stickiness_keys.keys]]
id = 1
secret = "secret-2"
[[stickiness_keys.keys]]
id = 2
secret = "secret-3"
"#;

#[test]
fn secrets_are_taken_out_and_put_back() {
    let shown = redacted(SECRETS);
    assert!(!shown.contains("secret-"), "{shown}");
    assert!(shown.contains("admin.token = \"…\" # ask Bob"), "{shown}");
    assert_eq!(with_secrets_of(&shown, SECRETS), SECRETS);
    // Keys are matched by id, not by place.
    let (first, rest) = shown.split_once("id = 1").unwrap();
    let swapped = format!("{first}id = 2{}", rest.replace("id = 2", "id = 1"));
    let restored = with_secrets_of(&swapped, SECRETS);
    assert!(restored.contains("id = 2\nsecret = \"secret-3\""), "{restored}");
    // A value that was typed stays, and one whose secret is unknown stays hidden.
    let typed = shown.replace("token = \"…\"", "token = \"new\"").replace("id = 1", "id = 9");
    let restored = with_secrets_of(&typed, SECRETS);
    assert!(restored.contains("\"new\"") && restored.contains("id = 9\nsecret = \"…\""));
    let inline = "stickiness_keys = { keys = [{ id = 1, secret = \"secret-2\" }] }\n";
    assert_eq!(redacted(inline), inline.replace("secret-2", "…"));
    assert_eq!(with_secrets_of(&redacted(inline), inline), inline);
    let shared = format!("# {inline}{inline}");
    assert_eq!(with_secrets_of(&redacted(&shared), &shared), shared);
    let headed = "# token = \"hunter2\"\n[stickiness_keys]\nkeys = [{ id = 1, secret = \"secret-2\" }]\n[admin]\nsocket = \"/x\" # not yet\n";
    let soon = redacted(headed).replace("not yet", "soon");
    assert_eq!(with_secrets_of(&soon, headed), headed.replace("not yet", "soon"));
    assert_eq!(redacted("secret-2 ["), "");
}

#[test]
fn secrets_in_comments_are_taken_out_and_put_back() {
    let text = SECRETS.replace(
        "id = 2\n",
        "id = 2\n# the one before: secret = \"secret-1\"\n# and very-very-secret-1 is the token\n",
    );
    let shown = redacted(&text);
    assert!(!shown.contains("secret-"), "{shown}");
    assert_eq!(with_secrets_of(&shown, &text), text);
}

#[test]
fn the_shipped_file_loses_no_word_but_its_examples_of_secrets() {
    let text = include_str!("../../config/limpet.toml");
    let changed: Vec<(&str, String)> = text
        .lines()
        .zip(redacted(text).lines().map(str::to_owned))
        .filter(|(line, shown)| line != shown)
        .collect();
    let lines: Vec<&str> = changed.iter().map(|(line, _)| *line).collect();
    let [token, keys] = lines[..] else { panic!("{changed:?}") };
    assert!(token.starts_with("#token = ") && keys.starts_with("#keys = "), "{changed:?}");
}
