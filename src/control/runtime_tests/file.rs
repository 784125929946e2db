//! Changes of the file: edits that are kept in it, files that are loaded again, and files that others have changed.

use crate::control::runtime::tests::*;

#[test]
fn a_reload_carries_over_what_is_the_same() {
    let OnDisk { control, path, .. } = &on_disk();
    let before = control.snapshot();
    fs::write(path, FILE.replace("127.0.0.1:2\"", "127.0.0.1:4\"")).unwrap();
    let applied = control.reload(&BY).unwrap();
    let expected = "target two of a: address \"127.0.0.1:2\" → \"127.0.0.1:4\"";
    assert_eq!(applied.summary, [expected]);
    let after = control.snapshot();
    assert!(Arc::ptr_eq(&before.groups[1], &after.groups[1]));
    let state = |snapshot: &Snapshot, at: usize| Arc::clone(&snapshot.groups[0].targets[at].state);
    assert!(Arc::ptr_eq(&state(&before, 0), &state(&after, 0)));
    // With another address it is another server.
    assert!(!Arc::ptr_eq(&state(&before, 1), &state(&after, 1)));
    // With other keys every codec changes, but the targets' states stay.
    let secret = crate::stickiness::keyring::format_secret(&[9; 32]);
    let keys = format!("[stickiness_keys]\nkeys = [{{ id = 3, secret = \"{secret}\" }}]\n");
    fs::write(path, format!("{}\n{keys}", fs::read_to_string(path).unwrap())).unwrap();
    let applied = control.reload(&BY).unwrap();
    assert_eq!(applied.summary, ["stickiness keys: none → 3"]);
    let rekeyed = control.snapshot();
    assert!(!Arc::ptr_eq(&after.groups[1], &rekeyed.groups[1]));
    assert!(Arc::ptr_eq(&state(&after, 0), &state(&rekeyed, 0)));
    assert_eq!(rekeyed.generation, after.generation + 1);
    assert!(!control.running_text().contains(&secret));
    assert!(control.running_text().contains("secret = \"…\""));
    assert!(!control.file_text().unwrap().contains(&secret));
}

#[test]
fn an_edit_of_the_file_changes_its_own_bytes_and_no_others() {
    let OnDisk { control, path, .. } = &on_disk();
    fs::set_permissions(path, fs::Permissions::from_mode(0o640)).unwrap();
    let mut expected = FILE.to_owned();
    for (edit, from, to) in [
        (set_target("a", "two", json!({"weight": 5})), "weight = 1\n", "weight = 5\n"),
        (set_group("a", json!({"slow_start": "30s"})), "\"10s\"", "\"30s\""),
        (
            set_group("a", json!({"stickiness.enabled": true})),
            "slow_start = \"30s\"\n",
            "slow_start = \"30s\"\nstickiness.enabled = true\n",
        ),
        (
            set_group("a", json!({"stickiness.duration": "2h"})),
            "stickiness.enabled = true\n\n",
            "stickiness.enabled = true\nstickiness.duration = \"2h\"\n\n",
        ),
        (set_group("a", json!({"slow_start": null})), "slow_start = \"30s\"\n", ""),
        (
            add_target("a", json!({"weight": 2, "address": "127.0.0.1:9", "id": "three"})),
            "\n# The other group.",
            "\n[[target_group.target]]\nid = \"three\"\naddress = \"127.0.0.1:9\"\nweight = 2\n\n# The other group.",
        ),
        (
            add_target("b", json!({"address": "127.0.0.1:8"})),
            "127.0.0.1:3\" }]",
            "127.0.0.1:3\" }, { address = \"127.0.0.1:8\" }]",
        ),
        (
            remove_target("a", "one"),
            "# The first machine.\n[[target_group.target]]\nid = \"one\"\naddress = \"127.0.0.1:1\"\n\n",
            "",
        ),
    ] {
        control.edit(&edit, Keep::File, &BY).unwrap();
        assert!(expected.contains(from), "{from}");
        expected = expected.replace(from, to);
        assert_eq!(fs::read_to_string(path).unwrap(), expected, "{edit:?}");
        assert_eq!(control.file_text().unwrap(), expected);
        assert!(!control.file_differs());
    }
    assert_eq!(fs::metadata(path).unwrap().permissions().mode() & 0o777, 0o640);
    assert!(control.overlay().is_empty());
    assert_eq!(control.running_text(), expected);
    // Undone in reverse order, byte for byte.
    control.undo(8, &BY).unwrap();
    assert!(fs::read_to_string(path).unwrap().contains("# The first machine."));
    for change in (1..=7).rev() {
        control.undo(change, &BY).unwrap();
    }
    let file = config::load(path).unwrap().file;
    assert_eq!(*file, config::parse(FILE, "x").unwrap());
}

#[test]
fn edits_on_top_stay_on_top_of_a_file_that_is_loaded_again() {
    let disk = on_disk();
    let OnDisk { control, .. } = &disk;
    overlay(control, &set_target("a", "two", json!({"weight": 5})));
    overlay(control, &set_target("b", "one", json!({"weight": 3})));
    overlay(control, &set_group("a", json!({"stickiness.duration": "2d"})));
    assert!(!control.file_differs());
    // Group b is gone, and a duration of 2 days no longer fits.
    let (kept, _) = FILE.split_once("# The other group.").unwrap();
    let text = kept.replace("\"10s\"\n", "\"20s\"\nstickiness = { max_age = \"25h\" }\n");
    fs::write(&disk.path, &text).unwrap();
    assert!(control.file_differs() && control.file_differs());
    let differences = control.diff(None).unwrap();
    let texts: Vec<&str> = differences.iter().map(|one| one.text.as_str()).collect();
    assert!(texts.contains(&"target group b removed, with 1 target"), "{texts:?}");
    let applied = control.reload(&BY).unwrap();
    assert!(!control.file_differs());
    assert_eq!(weight(control, "two"), 5);
    assert_eq!(control.overlay().len(), 1);
    let notes = applied.notes.join("\n");
    assert!(notes.contains("change 2 (target one of b: weight 1 → 3) was dropped"), "{notes}");
    assert!(notes.contains("change 3 (target group a: stickiness.duration"), "{notes}");
    assert_eq!(control.file_text().unwrap(), text);
    assert!(control.running_text().contains("weight = 5\n"));
    // The undo also restores the dropped edits.
    control.undo(applied.change, &BY).unwrap();
    assert_eq!((weight(control, "two"), control.overlay().len()), (5, 3));
    assert!(control.file().target_groups.len() == 2 && control.file_differs());
}

#[test]
fn a_bad_file_changes_nothing_and_says_why() {
    let disk = on_disk();
    let OnDisk { control, .. } = &disk;
    overlay(control, &set_target("a", "two", json!({"weight": 5})));
    let before = control.snapshot();
    disk.rewrite("slow_start = \"10s\"", "slow_start = \"10\"\nslowstart = 1");
    for error in [control.reload(&BY).unwrap_err(), control.diff(None).unwrap_err()] {
        let text = error.to_string();
        let place = format!("{}:11:14: target_group[a].slow_start", disk.path.display());
        assert!(text.contains(&place) && text.contains("2 problems"), "{text}");
    }
    fs::write(&disk.path, "[[").unwrap();
    let text = control.reload(&BY).unwrap_err().to_string();
    assert!(text.contains("is not TOML"), "{text}");
    fs::remove_file(&disk.path).unwrap();
    assert!(control.file_differs());
    let text = control.reload(&BY).unwrap_err().to_string();
    assert!(text.starts_with("the file cannot be read: "), "{text}");
    assert!(Arc::ptr_eq(&before, &control.snapshot()));
    assert_eq!((control.version(), control.overlay().len()), (2, 1));
    let none = self::control().reload(&BY).unwrap_err();
    assert!(matches!(none, ChangeError::NoFile), "{none}");
}

#[test]
fn a_file_that_somebody_else_changed_is_not_overwritten() {
    let disk = on_disk();
    disk.rewrite("10s", "11s");
    let edit = set_target("a", "two", json!({"weight": 5}));
    let error = disk.control.edit(&edit, Keep::File, &BY).unwrap_err();
    assert!(matches!(error, ChangeError::FileChanged), "{error}");
    assert_eq!((weight(&disk.control, "two"), disk.control.version()), (1, 1));
    disk.control.reload(&BY).unwrap();
    disk.control.edit(&edit, Keep::File, &BY).unwrap();
    assert!(disk.text().contains("11s") && disk.text().contains("weight = 5"));
}

#[test]
fn a_file_that_cannot_be_written_refuses_the_change_and_a_link_stays_a_link() {
    let disk = on_disk();
    let edit = set_target("a", "two", json!({"weight": 5}));
    let before = disk.control.snapshot();
    fs::set_permissions(&disk.path, fs::Permissions::from_mode(0o444)).unwrap();
    let error = disk.control.edit(&edit, Keep::File, &BY).unwrap_err().to_string();
    assert_eq!(error, "the file cannot be written: it is read-only (mode 0444)");
    assert!(Arc::ptr_eq(&before, &disk.control.snapshot()));
    fs::set_permissions(&disk.path, fs::Permissions::from_mode(0o644)).unwrap();
    let link = disk.path.with_file_name("link.toml");
    std::os::unix::fs::symlink(&disk.path, &link).unwrap();
    let control = Control::new(config::load(&link).unwrap(), Some(&link), ring()).unwrap();
    control.edit(&edit, Keep::File, &BY).unwrap();
    assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
    assert!(disk.text().contains("weight = 5"));
    let none = self::control().edit(&edit, Keep::File, &BY).unwrap_err();
    assert!(matches!(none, ChangeError::NoFile), "{none}");
}

#[test]
fn the_overlay_is_written_into_the_file_or_discarded() {
    let disk = on_disk();
    let OnDisk { control, .. } = &disk;
    overlay(control, &set_target("a", "two", json!({"weight": 5})));
    overlay(control, &set_group("b", json!({"stickiness.duration": "2h"})));
    // The target is only on top, so the file cannot have an edit of it.
    overlay(control, &add_target("a", json!({"id": "three", "address": "127.0.0.1:9"})));
    let edit = set_target("a", "three", json!({"weight": 5}));
    let text = control.edit(&edit, Keep::File, &BY).unwrap_err().to_string();
    assert!(text.contains("among the edits on top"), "{text}");
    let discarded = control.discard_overlay(&BY).unwrap();
    assert_eq!(discarded.summary.len(), 3);
    assert!(control.overlay().is_empty() && weight(control, "two") == 1);
    control.undo(discarded.change, &BY).unwrap();
    assert_eq!((control.overlay().len(), weight(control, "two")), (3, 5));
    let before = control.snapshot();
    let written = control.write_overlay(&BY).unwrap();
    let said = "what runs stays as it is; what was on top of the file is in it now";
    assert_eq!(written.summary, [said]);
    assert!(control.overlay().is_empty());
    assert_eq!(disk.text(), control.running_text());
    assert!(disk.text().contains("address = \"127.0.0.1:2\" # rack 2\nweight = 5\n"));
    assert!(Arc::ptr_eq(&before.groups[0], &control.snapshot().groups[0]));
    control.undo(written.change, &BY).unwrap();
    assert_eq!((disk.text().as_str(), control.overlay().len()), (FILE, 3));
    assert_eq!(weight(control, "two"), 5);
}

#[test]
fn an_edit_of_the_file_takes_the_place_of_one_on_top() {
    let disk = on_disk();
    let OnDisk { control, .. } = &disk;
    overlay(control, &set_target("a", "two", json!({"weight": 5, "state": "draining"})));
    control.edit(&set_target("a", "two", json!({"weight": 3})), Keep::File, &BY).unwrap();
    assert_eq!((weight(control, "two"), control.overlay().len()), (3, 1));
    assert_eq!(eligible(control, 0), ["one"]);
    assert!(disk.text().contains("weight = 3") && !disk.text().contains("draining"));
    control.edit(&remove_target("a", "two"), Keep::File, &BY).unwrap();
    assert!(control.overlay().is_empty() && !disk.text().contains("rack 2"));
}

#[test]
fn a_text_is_applied_in_the_place_of_everything() {
    let disk = on_disk();
    let OnDisk { control, .. } = &disk;
    overlay(control, &set_target("a", "two", json!({"weight": 5})));
    let text = FILE.replace("10s", "40s").replace("weight = 1", "weight = 2");
    let differences = control.diff(Some(&text)).unwrap();
    let applied = control.apply(Some(&text), None, Keep::Overlay, &BY).unwrap();
    let said = |kept: bool| {
        let some = differences.iter().filter(|one| (one.kind != "lost") == kept);
        some.map(|one| one.text.clone()).collect::<Vec<String>>()
    };
    assert_eq!(said(true), applied.summary);
    assert_eq!((said(false), said(false).len()), (applied.notes, 1));
    assert!(
        said(false)[0].contains("is lost: ") && said(false)[0].contains("weight"),
        "{said:?}",
        said = said(false)
    );
    assert_eq!((weight(control, "two"), control.running_text()), (2, text.clone()));
    assert_eq!(disk.text(), FILE);
    let edit = set_target("a", "two", json!({"weight": 5}));
    let error = control.edit(&edit, Keep::File, &BY).unwrap_err().to_string();
    assert!(error.contains("was applied and is not in the file"), "{error}");
    control.undo(applied.change, &BY).unwrap();
    assert_eq!((weight(control, "two"), control.overlay().len()), (5, 1));
    control.apply(Some(&text), None, Keep::File, &BY).unwrap();
    assert_eq!(disk.text(), text);
    let bad = control.apply(Some("x = 1"), None, Keep::Overlay, &BY).unwrap_err();
    assert!(matches!(bad, ChangeError::Invalid(_)), "{bad}");
}
