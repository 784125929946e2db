//! The access log from the shards to its output.
use std::io::{self, Write};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use super::access_log::{AccessLog, LogHandle, ShardLog};
use super::record::{Facts, Record};
use super::record_tests::full;
use crate::telemetry::batch::RECORD_BYTES_MAX;
use crate::telemetry::options::{AccessLogOptions, LogFormat, LogOutput, LogQuery};

/// Keeps everything that is written.
#[derive(Clone, Default)]
struct Kept(Arc<Mutex<Vec<u8>>>);

impl Kept {
    fn text(&self) -> String {
        String::from_utf8(self.0.lock().expect("lock").clone()).expect("UTF-8")
    }
}

impl Write for Kept {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().expect("lock").extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Waits for a permit before each write.
struct Gated {
    kept: Kept,
    began: Sender<()>,
    gate: Receiver<()>,
}

impl Write for Gated {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.began.send(()).ok();
        self.gate.recv().ok();
        self.kept.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn eventually(what: &str, holds: impl Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while !holds() {
        assert!(Instant::now() < deadline, "{what}");
        std::thread::yield_now();
    }
}

fn options(output: LogOutput) -> AccessLogOptions {
    AccessLogOptions {
        output,
        format: LogFormat::Json,
        template: None,
        sample: 1,
        query: LogQuery::Keep,
        buffer_bytes: 0,
    }
}

fn start(output: impl Write + Send + 'static) -> AccessLog {
    let options = options(LogOutput::Stdout);
    AccessLog::start_on(Some(Box::new(output)), &options).expect("thread")
}

#[test]
fn a_flushed_line_is_written_while_the_log_runs() {
    let kept = Kept::default();
    let log = start(kept.clone());
    let mut shard = log.shard_writer();
    assert!(shard.record(&full()));
    shard.flush();
    eventually("one line", || log.handle().lines_written() == 1);
    shard.flush();
    assert!(kept.text().starts_with("{\"time\"") && kept.text().ends_with("}\n"));
}

#[test]
fn full_batches_go_without_a_flush() {
    let kept = Kept::default();
    let log = start(kept.clone());
    let mut shard = log.shard_writer();
    let mut recorded = 0;
    // Nothing flushes here, so lines are written only if full batches are handed over.
    while log.handle().lines_written() == 0 {
        recorded += u64::from(shard.record(&full()));
    }
    drop(shard);
    log.shutdown();
    assert_eq!(recorded, log.handle().lines_written());
}

#[test]
fn shutdown_writes_what_every_shard_handed_over() {
    let kept = Kept::default();
    let log = start(kept.clone());
    std::thread::scope(|scope| {
        for shard in 0..4 {
            let mut writer = log.shard_writer();
            scope.spawn(move || {
                for _ in 0..1000 {
                    let rule = format!("shard-{shard}");
                    let record = Record { rule: &rule, ..full() };
                    while !writer.record(&record) {
                        std::thread::yield_now();
                    }
                }
            });
        }
    });
    log.shutdown();
    let text = kept.text();
    assert_eq!(text.lines().count(), 4000);
    assert_eq!(log.handle().lines_written(), 4000);
    for shard in 0..4 {
        let wanted = format!("\"rule\":\"shard-{shard}\"");
        assert_eq!(text.lines().filter(|line| line.contains(&wanted)).count(), 1000);
    }
    assert!(text.lines().all(|line| line.starts_with('{') && line.ends_with('}')));
}

#[test]
fn records_without_a_free_batch_are_dropped_and_counted_and_the_shard_never_waits() {
    let (began, begun) = channel();
    let (permit, gate) = channel();
    let kept = Kept::default();
    let log = start(Gated { kept: kept.clone(), began, gate });
    let mut shard = log.shard_writer();
    let (mut noted, mut dropped) = (0, 0);
    while dropped < 100 {
        if shard.record(&full()) {
            noted += 1;
        } else {
            dropped += 1;
        }
    }
    begun.recv().expect("the thread is at its first write");
    assert_eq!((shard.lines_dropped(), log.handle().lines_dropped()), (100, 100));
    drop(permit);
    // Once a batch has come back, records are taken again.
    let deadline = Instant::now() + Duration::from_secs(20);
    while !shard.record(&full()) {
        assert!(Instant::now() < deadline, "room again");
        dropped += 1;
    }
    drop(shard);
    log.shutdown();
    assert_eq!(kept.text().lines().count(), noted + 1);
    assert_eq!(log.handle().lines_dropped(), dropped, "kept after the shard has gone");
}

/// Fails on the writes of its script, each after taking some bytes.
struct Failing {
    kept: Kept,
    script: Vec<Option<usize>>,
}

impl Write for Failing {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self.script.pop() {
            None | Some(None) => self.kept.write(bytes),
            Some(Some(0)) => Err(io::ErrorKind::StorageFull.into()),
            Some(Some(take)) => {
                self.script.push(Some(0));
                self.kept.write(&bytes[..take])
            }
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn a_failed_write_loses_its_lines_and_the_next_batch_begins_a_new_line() {
    let kept = Kept::default();
    let log = start(Failing { kept: kept.clone(), script: vec![None, Some(10), None, Some(0)] });
    let mut shard = log.shard_writer();
    for (round, (written, failed)) in [(0, 1), (1, 1), (1, 2), (2, 2)].into_iter().enumerate() {
        assert!(shard.record(&full()), "{round}");
        shard.flush();
        eventually("a verdict on the line", || {
            (log.handle().lines_written(), log.handle().lines_failed()) == (written, failed)
        });
    }
    drop(shard);
    log.shutdown();
    let text = kept.text();
    let lines: Vec<_> = text.lines().collect();
    assert_eq!(lines.len(), 3);
    assert_eq!(lines[1], &lines[0][..10]);
    assert_eq!(lines[2], lines[0]);
}

#[test]
fn an_output_that_is_off_takes_records_for_nothing() {
    let log = AccessLog::start(&options(LogOutput::Off)).expect("a thread");
    let mut shard = log.shard_writer();
    assert!((0..1000).all(|_| shard.record(&full())), "nothing fills up");
    shard.flush();
    assert_eq!(
        (log.handle().lines_dropped(), log.handle().lines_written(), shard.lines_dropped()),
        (0, 0, 0)
    );
    log.shutdown();
}

#[test]
fn a_file_is_appended_to_and_an_impossible_one_named() {
    let folder = tempfile::tempdir().expect("folder");
    let path = folder.path().join("access.log");
    for _ in 0..2 {
        let options = AccessLogOptions {
            format: LogFormat::Combined,
            buffer_bytes: 8 * RECORD_BYTES_MAX,
            ..options(LogOutput::File(path.clone()))
        };
        let log = AccessLog::start(&options).expect("log");
        // The shard is dropped before the log, which then writes its lines.
        log.shard_writer().record(&full());
    }
    let text = std::fs::read_to_string(&path).expect("file");
    assert_eq!(text.lines().filter(|line| line.starts_with("203.0.113.9 - - [")).count(), 2);
    let nowhere = options(LogOutput::File(folder.path().join("none/access.log")));
    let error = AccessLog::start(&nowhere).expect_err("no such folder");
    assert!(error.to_string().contains("none/access.log"), "{error}");
}

/// Notes one record and waits until it is written.
fn status(status: u16) -> Record<'static> {
    Facts { status, ..Facts::default() }.into()
}

fn write_one(handle: &LogHandle, shard: &mut ShardLog, record: &Record<'_>) {
    let before = handle.lines_written();
    assert!(shard.record(record));
    shard.flush();
    eventually("the line", || handle.lines_written() == before + 1);
}

#[test]
fn one_of_so_many_is_noted_and_every_failure() {
    let kept = Kept::default();
    let sampled = AccessLogOptions { sample: 10, ..options(LogOutput::Stdout) };
    let log = AccessLog::start_on(Some(Box::new(kept.clone())), &sampled).expect("thread");
    let mut shard = log.shard_writer();
    let good = status(200);
    let failed = status(502);
    for _ in 0..35 {
        assert!(shard.record(&good));
    }
    assert!((0..3).all(|_| shard.record(&failed)));
    drop(shard);
    log.shutdown();
    let text = kept.text();
    assert_eq!(text.lines().filter(|line| line.contains("\"status\":200")).count(), 4);
    assert_eq!(text.lines().filter(|line| line.contains("\"status\":502")).count(), 3);
    assert_eq!(log.handle().lines_dropped(), 0, "what is not sampled is no loss");
}

#[test]
fn a_reopened_file_takes_everything_that_is_handed_over_afterwards() {
    let folder = tempfile::tempdir().expect("folder");
    let (path, moved) = (folder.path().join("access.log"), folder.path().join("access.log.1"));
    let log = AccessLog::start(&options(LogOutput::File(path.clone()))).expect("log");
    let mut shard = log.shard_writer();
    write_one(log.handle(), &mut shard, &full());
    std::fs::rename(&path, &moved).expect("rename");
    write_one(log.handle(), &mut shard, &full());
    log.handle().reopen().expect("reopened");
    assert!(path.exists(), "there at once");
    write_one(log.handle(), &mut shard, &full());
    let lines = |path| std::fs::read_to_string(path).expect("file").lines().count();
    assert_eq!((lines(&moved), lines(&path)), (2, 1));
}

#[test]
fn a_file_that_cannot_be_reopened_is_named_and_the_old_one_kept() {
    let folder = tempfile::tempdir().expect("folder");
    let below = folder.path().join("below");
    std::fs::create_dir(&below).expect("folder");
    let log = AccessLog::start(&options(LogOutput::File(below.join("log")))).expect("log");
    let mut shard = log.shard_writer();
    let moved = folder.path().join("moved");
    std::fs::rename(&below, &moved).expect("rename");
    let error = log.handle().reopen().expect_err("no such folder");
    assert!(error.to_string().contains("below/log"), "{error}");
    write_one(log.handle(), &mut shard, &full());
    assert_eq!(std::fs::read_to_string(moved.join("log")).expect("file").lines().count(), 1);
}

#[test]
fn format_query_sample_and_output_change_while_it_runs() {
    let folder = tempfile::tempdir().expect("folder");
    let (first, second) = (folder.path().join("first"), folder.path().join("second"));
    let log = AccessLog::start(&options(LogOutput::Off)).expect("log");
    let (handle, mut shard) = (log.handle().clone(), log.shard_writer());
    assert!(shard.record(&full()));
    let json = options(LogOutput::File(first.clone()));
    handle.reconfigure(&json).expect("to a file");
    write_one(&handle, &mut shard, &full());
    let template = AccessLogOptions {
        format: LogFormat::Template,
        template: Some("{status} {path}".into()),
        query: LogQuery::Redact,
        output: LogOutput::File(second.clone()),
        ..json.clone()
    };
    handle.reconfigure(&template).expect("by a template");
    write_one(&handle, &mut shard, &full());
    handle.reconfigure(&AccessLogOptions { sample: 1_000_000, ..template.clone() }).expect("less");
    write_one(&handle, &mut shard, &status(200));
    assert!(shard.record(&status(201)), "left out");
    handle.reconfigure(&template).expect("all again");
    write_one(&handle, &mut shard, &status(202));
    handle.reconfigure(&options(LogOutput::Off)).expect("off");
    assert!(shard.record(&full()));
    drop((shard, log));
    let read = |path| std::fs::read_to_string(path).expect("file");
    assert!(read(&first).starts_with("{\"time\"") && read(&first).lines().count() == 1);
    assert_eq!(read(&second), "200 /cart?item=***\n200 -\n202 -\n");
}

#[test]
fn a_change_that_cannot_be_made_changes_nothing() {
    let folder = tempfile::tempdir().expect("folder");
    let path = folder.path().join("log");
    let log = AccessLog::start(&options(LogOutput::File(path.clone()))).expect("log");
    let mut shard = log.shard_writer();
    for (format, template, output, says) in [
        (LogFormat::Template, Some("{stauts}"), path.clone(), "did you mean \"status\"?"),
        (LogFormat::Combined, None, folder.path().join("none/log"), "none/log"),
    ] {
        let template = template.map(Box::from);
        let wrong = AccessLogOptions { format, template, ..options(LogOutput::File(output)) };
        let error = log.handle().reconfigure(&wrong).expect_err(says);
        assert!(error.to_string().contains(says), "{error}");
    }
    write_one(log.handle(), &mut shard, &full());
    assert!(std::fs::read_to_string(&path).expect("file").starts_with("{\"time\""));
}
