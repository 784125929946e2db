//! Changes that are undone, by an operator or because they were not confirmed.

use crate::control::runtime::tests::*;

#[test]
fn every_edit_on_top_is_undone_and_leaves_no_trace() {
    let OnDisk { control, .. } = &on_disk();
    let before = control.file();
    for edit in [
        set_group("a", json!({"slow_start": "30s", "stickiness.enabled": true})),
        set_group("a", json!({"slow_start": null})),
        set_group("b", json!({"stickiness": {"enabled": false}})),
        set_target("a", "two", json!({"weight": 5, "state": "draining"})),
        set_target("a", "two", json!({"address": "127.0.0.1:7"})),
        add_target("a", json!({"id": "three", "address": "127.0.0.1:9"})),
    ] {
        let applied = overlay(control, &edit);
        assert_eq!(control.overlay().len(), 1, "{edit:?}");
        assert_eq!(control.overlay()[0].summary, applied.summary);
        assert_ne!(control.file(), before, "{edit:?}");
        control.undo(applied.change, &BY).unwrap();
        assert_eq!(control.file(), before, "{edit:?}");
        let again = control.undo(applied.change, &BY).unwrap_err();
        assert!(matches!(again, ChangeError::Irrevocable { .. }), "{again}");
    }
    let removed = overlay(control, &remove_target("b", "one"));
    control.undo(removed.change, &BY).unwrap();
    assert_eq!(control.file(), before);
    assert!(control.leaving().iter().all(|one| one.group != "b"));
    let left: Vec<_> = control.overlay().into_iter().map(|one| one.summary).collect();
    assert_eq!(left, Vec::<Vec<String>>::new());
}

#[test]
fn a_flush_cannot_be_undone_and_is_one_generation_wherever_it_is_kept() {
    let disk = on_disk();
    let OnDisk { control, .. } = &disk;
    let flush = Edit::FlushStickiness { group: "a".to_owned() };
    let flushed = overlay(control, &flush);
    let error = control.undo(flushed.change, &BY).unwrap_err().to_string();
    assert!(error.contains("cookies that a flush has outdated stay outdated"), "{error}");
    assert!(control.history().last().is_some_and(|entry| !entry.can_undo));
    let before = control.stickiness("a").unwrap().generation;
    control.edit(&flush, Keep::File, &BY).unwrap();
    assert_eq!(control.stickiness("a").unwrap().generation, before + 1);
    assert!(control.overlay().is_empty());
}

#[test]
fn undo_goes_back_to_what_ran_before_not_to_the_file() {
    let control = control();
    overlay(&control, &set_target("a", "two", json!({"weight": 5})));
    let second = overlay(&control, &set_target("a", "two", json!({"weight": 7})));
    assert_eq!(control.overlay().len(), 1);
    let undone = control.undo(second.change, &BY).unwrap();
    assert_eq!(undone.summary, ["target two of a: weight 7 → 5"]);
    assert_eq!(weight(&control, "two"), 5);
    control.undo(undone.change, &BY).unwrap();
    assert_eq!(weight(&control, "two"), 7);
    let unknown = control.undo(99, &BY).unwrap_err();
    assert_eq!(unknown.to_string(), "there is no change 99 to undo");
}

#[test]
fn what_is_on_trial_goes_back_by_itself_unless_it_is_confirmed() {
    let disk = on_disk();
    let OnDisk { control, .. } = &disk;
    let text = FILE.replace("weight = 1", "weight = 2");
    let minute = Some(Duration::from_secs(60));
    let on_trial = || control.apply(Some(&text), minute, Keep::File, &BY).unwrap();
    let applied = on_trial();
    assert_eq!((weight(control, "two"), disk.text().as_str()), (2, FILE));
    let pending = control.pending().unwrap();
    assert_eq!((pending.change, &*pending.actor), (applied.change, "test"));
    assert!(pending.remaining > Duration::from_secs(55));
    let edit = set_target("a", "two", json!({"weight": 5}));
    for error in [
        control.edit(&edit, Keep::Overlay, &BY).unwrap_err(),
        control.undo(applied.change, &BY).unwrap_err(),
        control.reload(&BY).unwrap_err(),
        control.apply(None, None, Keep::Overlay, &BY).unwrap_err(),
        control.write_overlay(&BY).unwrap_err(),
        control.discard_overlay(&BY).unwrap_err(),
    ] {
        assert!(matches!(error, ChangeError::Pending), "{error}");
    }
    control.tick(Instant::now() + Duration::from_secs(50));
    assert!(control.pending().is_some());
    control.tick(Instant::now() + Duration::from_secs(61));
    assert!(control.pending().is_none());
    assert_eq!((weight(control, "two"), disk.text().as_str()), (1, FILE));
    let last = control.history().pop().unwrap();
    assert_eq!((last.what, &*last.actor), ("rollback", "limpet"));
    assert_eq!(last.summary[0], "taken back: nobody confirmed it in time");
    on_trial();
    control.rollback(&BY).unwrap();
    assert_eq!(weight(control, "two"), 1);
    on_trial();
    control.confirm(&BY).unwrap();
    control.tick(Instant::now() + Duration::from_secs(61));
    assert_eq!((weight(control, "two"), disk.text()), (2, text.clone()));
    assert!(!control.file_differs());
    for error in [control.confirm(&BY).unwrap_err(), control.rollback(&BY).unwrap_err()] {
        assert!(matches!(error, ChangeError::NothingPending), "{error}");
    }
}

#[test]
fn what_is_on_trial_goes_back_at_once_when_gateway_errors_jump() {
    let disk = on_disk();
    let OnDisk { control, .. } = &disk;
    let counts = Arc::new([AtomicU64::new(1000), AtomicU64::new(0)]);
    let source = Arc::clone(&counts);
    control.set_error_source(Arc::new(move || ErrorCounts {
        requests: source[0].load(Ordering::Relaxed),
        gateway_errors: source[1].load(Ordering::Relaxed),
    }));
    disk.rewrite("weight = 1", "weight = 2");
    control.tick(Instant::now());
    control.apply(None, Some(Duration::from_secs(60)), Keep::Overlay, &BY).unwrap();
    assert_eq!(weight(control, "two"), 2);
    counts[0].fetch_add(100, Ordering::Relaxed);
    control.tick(Instant::now());
    assert!(control.pending().is_some());
    counts[1].fetch_add(50, Ordering::Relaxed);
    control.tick(Instant::now());
    assert!(control.pending().is_none());
    assert_eq!(weight(control, "two"), 1);
    let last = control.history().pop().unwrap();
    assert_eq!(last.summary[0], "taken back: 50 of 100 requests were gateway errors");
    assert!(control.file_differs(), "the file on disk is still the one that did harm");
}
