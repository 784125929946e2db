//! Settings of the access log that a reload changes while requests go on, and rotation under load.

use std::collections::HashSet;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::serving;
use crate::support::{Config, Limpet, Target, config, poll};

/// Reloads, then asks for `path` until a line of `file` has what is wanted.
#[track_caller]
fn change(limpet: &Limpet, config: &Config, file: &str, path: &str, wanted: impl Fn(&str) -> bool) {
    limpet.write_config(&config.text());
    limpet.signal(libc::SIGHUP);
    let mut client = limpet.client();
    let text = || std::fs::read_to_string(limpet.path(file)).unwrap_or_default();
    let found = poll(|| {
        client.get(path);
        text().lines().any(&wanted).then_some(())
    });
    assert!(
        found.is_some(),
        "{path} is not in {file} as it should be:\n{}\n{}",
        text(),
        limpet.stderr()
    );
}

fn lines(path: &Path) -> usize {
    std::fs::read_to_string(path).unwrap_or_default().lines().count()
}

#[test]
fn format_query_and_output_change_with_a_reload() {
    let target = Target::echo("a");
    let base = config().serving(&target);
    let limpet = base.start();
    limpet.get("/one?key=secret");
    assert_eq!(limpet.record(1).text("path"), "/one?key=***");
    let kept = base.clone().access_log("query", "keep");
    change(&limpet, &kept, "access.log", "/two?key=value", |line| line.contains("value"));
    let short = kept.access_log("format", "template").access_log("template", "{status} {path}");
    change(&limpet, &short, "access.log", "/three", |line| line == "200 /three");
    let moved = short.access_log("output", "{dir}/other.log");
    change(&limpet, &moved, "other.log", "/four", |line| line == "200 /four");
    let before = lines(&limpet.path("access.log"));
    let combined = base.access_log("output", "{dir}/other.log").access_log("format", "combined");
    change(&limpet, &combined, "other.log", "/five", |line| {
        line.contains("\"GET /five HTTP/1.1\" 200 ")
    });
    assert_eq!(lines(&limpet.path("access.log")), before, "nothing more goes to the old file");
}

#[test]
fn a_log_is_switched_on_and_off_by_a_reload() {
    let target = Target::echo("a");
    let on = config().serving(&target);
    let off = on.clone().access_log("output", "off");
    let limpet = off.start();
    limpet.get("/unseen");
    change(&limpet, &on, "access.log", "/seen", |line| line.contains("/seen"));
    let text = || std::fs::read_to_string(limpet.path("access.log")).expect("the log");
    assert!(!text().contains("/unseen"), "{}", text());
    limpet.write_config(&off.text());
    limpet.signal(libc::SIGHUP);
    // Off when a request leaves no line although a later one has been written for the admin's counters.
    let is_off = poll(|| {
        let before = lines(&limpet.path("access.log"));
        limpet.get("/late");
        crate::support::pause(std::time::Duration::from_millis(300));
        (lines(&limpet.path("access.log")) == before).then_some(())
    });
    assert!(is_off.is_some(), "{}", text());
    change(&limpet, &on, "access.log", "/again", |line| line.contains("/again"));
}

#[test]
fn a_sample_changes_with_a_reload() {
    let target = Target::echo("a");
    let all = config().with_admin().serving(&target);
    let limpet = all.start();
    limpet.get("/");
    limpet.log_lines(1);
    limpet.write_config(&all.clone().access_log("sample", 10).text());
    limpet.signal(libc::SIGHUP);
    let written =
        || limpet.admin().get("/v1/status")["log"]["lines_written"].as_u64().expect("a number");
    let mut client = limpet.client();
    let mut ask = |count: u64| {
        (0..count).for_each(|_| drop(client.get("/")));
    };
    // In force once a hundred requests leave ten lines: those of before have been written by then.
    let sampled = poll(|| {
        ask(100);
        crate::support::pause(std::time::Duration::from_millis(300));
        let before = written();
        ask(100);
        crate::support::pause(std::time::Duration::from_millis(300));
        (written() - before == 10).then_some(())
    });
    assert!(sampled.is_some(), "one of ten, and not {} lines\n{}", written(), limpet.stderr());
}

#[test]
fn a_template_that_is_not_understood_is_refused_and_the_log_goes_on() {
    let (limpet, target) = serving();
    let bad = config().serving(&target).access_log("format", "template");
    limpet.write_config(&bad.access_log("template", "{nonsense}").text());
    limpet.signal(libc::SIGHUP);
    let said = poll(|| limpet.stderr().contains("nonsense").then_some(()));
    assert!(said.is_some(), "{}", limpet.stderr());
    limpet.get("/after");
    assert_eq!(limpet.record(1).text("path"), "/after");
}

/// Rotations while requests go on.
const ROTATIONS: usize = 20;
const THREADS: usize = 3;

#[test]
fn rotation_under_load_loses_no_line_and_splits_none() {
    let target = Target::echo("a");
    let mut limpet =
        config().process("shards", 2).access_log("buffer", "4MiB").serving(&target).start();
    let stop = Arc::new(AtomicBool::new(false));
    let address = limpet.address();
    let ask = |thread: usize| {
        let stop = Arc::clone(&stop);
        std::thread::spawn(move || {
            let mut client = crate::support::Client::connect(address);
            let mut count = 0;
            while !stop.load(Ordering::Relaxed) {
                assert_eq!(client.get(&format!("/{thread}/{count}")).status, 200);
                count += 1;
            }
            count
        })
    };
    let threads: Vec<_> = (0..THREADS).map(ask).collect();
    let path = limpet.path("access.log");
    for number in 0..ROTATIONS {
        poll(|| (lines(&path) > 0).then_some(())).expect("lines in the new file");
        std::fs::rename(&path, limpet.path(&format!("access.log.{number}"))).expect("rename");
        limpet.signal(libc::SIGUSR1);
        poll(|| path.exists().then_some(())).expect("a new file");
    }
    stop.store(true, Ordering::Relaxed);
    let counts: Vec<usize> =
        threads.into_iter().map(|thread| thread.join().expect("no panic")).collect();
    assert!(limpet.stop().success());
    let mut seen = HashSet::new();
    let files =
        (0..ROTATIONS).map(|number| limpet.path(&format!("access.log.{number}"))).chain([path]);
    for file in files {
        for line in std::fs::read_to_string(&file).expect("a log").lines() {
            let record = crate::support::access_log::Record::parse(line);
            assert!(seen.insert(record.text("path").to_owned()), "twice: {line}");
        }
    }
    let all =
        counts.iter().enumerate().flat_map(|(thread, count)| (0..*count).map(move |n| (thread, n)));
    let missing: Vec<_> =
        all.filter(|(thread, n)| !seen.contains(&format!("/{thread}/{n}"))).collect();
    assert!(missing.is_empty(), "{} of {} lines are lost: {missing:?}", missing.len(), seen.len());
    assert_eq!(seen.len(), counts.iter().sum::<usize>());
}

#[test]
fn the_first_line_after_a_change_is_in_the_new_format() {
    let target = Target::echo("a");
    let json = config().with_admin().serving(&target);
    let short = json.clone().access_log("format", "template");
    let limpet = json.start();
    let mut client = limpet.client();
    for round in 0..10 {
        let template = format!("{{status}} round {round}");
        let text = short.clone().access_log("template", &*template).text();
        let text = text.replace("{dir}", &limpet.path("").display().to_string());
        let body = serde_json::json!({ "text": text }).to_string();
        limpet.admin().change("POST", "/v1/config/apply", &body);
        client.get("/");
        let lines = limpet.log_lines(round + 1);
        assert_eq!(lines.last().map(String::as_str), Some(&*format!("200 round {round}")));
    }
}
